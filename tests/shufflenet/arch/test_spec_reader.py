"""A file either is a spec or is refused with one SpecError that says where and why."""

from __future__ import annotations

import os
import sys
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shufflenet
from shufflenet.arch.spec import Spec, SpecError
from shufflenet.arch.spec_reader import bundled, load, loads
from tests.shufflenet.arch.spec_strategies import CONV, IMAGE, document, mutated, tables, within

NAMES = ["arch2", "noshuffle", "shallow", "shufflenet"]
# More digits than Python prints; TOML's decimal ints are limited to fewer, its hex ones are not.
HUGE = "0x" + "f" * 100_000


def refused(data: bytes, file: str = "my/net.toml") -> str:
    """What the one SpecError says, each of whose lines begins with the file."""
    with within(5), pytest.raises(SpecError) as caught:
        loads(data, name="net", file=file)
    message = str(caught.value)
    lines = message.split("\n")
    assert all(line.startswith(f"{file}: ") for line in lines)
    assert message.count(file) == len(lines)
    assert len(message) < 5_000
    return message


# --- what loads


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_spec_loads_by_name_and_by_path(name: str) -> None:
    found = load(name)
    assert (found.name, found.file) == (name, f"specs/{name}.toml")
    path = bundled()[name]
    by_path = load(path)
    assert by_path.file == path
    assert (by_path.name, by_path.rows) == (found.name, found.rows)
    assert load(Path(path)) == by_path


def test_every_spec_of_the_folder_is_bundled() -> None:
    found = bundled()
    assert set(NAMES) <= set(found)
    assert list(found) == sorted(found)
    assert all(os.path.isfile(path) for path in found.values())


def test_table_1_is_read_as_the_paper_prints_it() -> None:
    spec = load("shufflenet")
    assert spec.groups == (1, 2, 3, 4, 8)
    rows = [
        (row.layer, row.output, row.kernel, row.stride, row.repeat, row.channels)
        for row in spec.rows
    ]
    two, three, four = (
        (144, 200, 240, 272, 384),
        (288, 400, 480, 544, 768),
        (576, 800, 960, 1088, 1536),
    )
    assert rows == [
        ("Image", (224, 224), None, 1, 1, (3, 3, 3, 3, 3)),
        ("Conv1", (112, 112), 3, 2, 1, (24, 24, 24, 24, 24)),
        ("MaxPool", (56, 56), 3, 2, 1, None),
        ("Stage2", (28, 28), None, 2, 1, two),
        ("Stage2", (28, 28), None, 1, 3, two),
        ("Stage3", (14, 14), None, 2, 1, three),
        ("Stage3", (14, 14), None, 1, 7, three),
        ("Stage4", (7, 7), None, 2, 1, four),
        ("Stage4", (7, 7), None, 1, 3, four),
        ("GlobalPool", (1, 1), 7, 1, 1, None),
        ("FC", None, None, 1, 1, (1000, 1000, 1000, 1000, 1000)),
    ]
    assert all(row.ratio == 4 for row in spec.rows if row.unit == "shufflenet")
    assert [dict(row.options) for row in spec.rows if row.options] == [{"first_groups": 1}]


def test_every_key_of_a_spec_is_read() -> None:
    row = (
        '{ layer = "Stage2", unit = "shufflenet", output = "28x20", stride = 2, repeat = 3,'
        ' channels = [24, 48], ratio = "1:8", options = { shuffle = false, first_groups = 2,'
        ' word = "w" }, note = "a note" }'
    )
    spec = loads(
        document(
            IMAGE,
            row,
            head='title = "T"\nsource = "S"\ngroups = [1, 2]\ndefault_groups = 2\nnotes = ["n"]\n'
            'hints = [{ scale = "0.250", stem = 12, printed = "13M" }]',
        ),
        name="net",
    )
    assert (spec.title, spec.source, spec.notes) == ("T", "S", ("n",))
    assert (spec.groups, spec.default_groups) == ((1, 2), 2)
    assert [(hint.scale, hint.stem, hint.printed) for hint in spec.hints] == [
        (Decimal("0.25"), 12, "13M")
    ]
    read = spec.rows[1]
    assert (read.layer, read.unit, read.output) == ("Stage2", "shufflenet", (28, 20))
    assert (read.stride, read.repeat, read.channels) == (2, 3, (24, 48))
    assert (read.ratio, read.note) == (8, "a note")
    assert dict(read.options) == {"shuffle": False, "first_groups": 2, "word": "w"}
    assert spec.rows[0].channels == (3, 3)


def test_what_is_not_said_has_a_plain_default() -> None:
    spec = loads(document(IMAGE, CONV), name="net")
    assert (spec.title, spec.source, spec.file) == ("net", "", "")
    assert (spec.groups, spec.default_groups, spec.notes, spec.hints) == ((1,), None, (), ())
    conv = spec.rows[1]
    assert (conv.output, conv.stride, conv.repeat, conv.ratio) == (None, 1, 1, None)
    assert (dict(conv.options), conv.note) == ({}, "")


def test_the_options_of_a_read_row_cannot_be_changed() -> None:
    row = load("shufflenet").rows[3]
    with pytest.raises(TypeError):
        row.options["first_groups"] = 8  # type: ignore[index]


def test_loading_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "was_run"
    (tmp_path / "boobytrap.py").write_text(
        f"import pathlib\npathlib.Path({str(marker)!r}).touch()\ndef unit(place): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "net.toml"
    row = '{ layer = "Stage2", unit = "boobytrap:unit", channels = 8 }'
    file.write_bytes(document(IMAGE, row))
    spec = load(file)
    assert spec.rows[1].unit == "boobytrap:unit"
    # A network of it is refused as well, before anything is imported.
    with pytest.raises(SpecError, match="not allowed"):
        shufflenet.network(spec)
    assert "boobytrap" not in sys.modules
    assert not marker.exists()


# --- what does not


@pytest.mark.parametrize(
    ("head", "parts"),
    [
        ("titel = 'x'", ["'titel': unknown key; known are ", "title"]),
        ("title = 'x'\ntitle = 'y'", ["not TOML", "overwrite"]),
        ("title = 7", ["'title': 7 is not a printable text of at most 2000 characters"]),
        ('title = "a\\u001Bb"', ["'title'", "is not a printable text"]),
        (f"title = '{'a' * 2001}'", ["'title'", "is not a printable text of at most 2000"]),
        ("source = ['x']", ["'source': ['x'] is not a printable text"]),
        ("notes = 'x'", ["'notes': 'x' is not a list of texts"]),
        ("notes = [1]", ["'notes': 1 is not a printable text"]),
        ("groups = 3", ["'groups': 3 is not a list of whole numbers"]),
        ("groups = []", ["groups: 0 columns is not 1 to 64"]),
        ("groups = [0]", ["groups 0 is not between 1 and 1024"]),
        ("groups = [1.0]", ["'groups': 1.0 is not a whole number"]),
        ("groups = [true]", ["'groups': True is not a whole number"]),
        ("groups = [2, 2]", ["groups [2, 2]: a column is named twice"]),
        ("default_groups = 3", ["no column g = 3; columns are g = 1"]),
        ("default_groups = '3'", ["'default_groups': '3' is not a whole number"]),
        ("hints = 1", ["'hints': 1 is not a list of tables"]),
        ("hints = [1]", ["'hints': [1] is not a list of tables"]),
        ("hints = [{}]", [f"hint 1: '{key}': missing" for key in ("scale", "stem", "printed")]),
        (
            "hints = [{ scale = 0.25, stem = 12, printed = 'x' }]",
            ["hint 1: 'scale': 0.25 is not a printable text"],
        ),
        (
            "hints = [{ scale = 'half', stem = 12, printed = 'x' }]",
            ["hint 1: 'scale': 'half' is not a scale such as 0.5, in quotes"],
        ),
        (
            "hints = [{ scale = '0', stem = 12, printed = 'x' }]",
            ["hint 1: 'scale': scale 0 is not a number above 0"],
        ),
        (
            "hints = [{ scale = '1', stem = 0, printed = 'x' }]",
            ["hint 1: 'stem': 0 is not between 1 and 1048576"],
        ),
        (
            "hints = [{ scale = '1', stem = 12, printed = 'x', why = 'y' }]",
            ["hint 1: 'why': unknown key; known are ", "printed, scale, stem"],
        ),
    ],
)
def test_a_bad_head_is_refused_with_file_key_value_and_rule(head: str, parts: list[str]) -> None:
    message = refused(document(IMAGE, CONV, head=head))
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ('strid = 2, unit = "conv"', ["'strid': unknown key; known are ", "stride"]),
        ('kernel = 3, unit = "conv"', ["'kernel': unknown key", "ksize"]),
        ('path = "p", unit = "conv"', ["'path': unknown key"]),
        ("stride = 2", ["'unit': missing"]),
        ("unit = 3", ["'unit': 3 is not a printable text"]),
        ('unit = "os.system"', ["unit 'os.system' is neither a name nor package.module:function"]),
        ('unit = "conv", stride = "2"', ["'stride': '2' is not a whole number"]),
        ('unit = "conv", stride = 2.0', ["'stride': 2.0 is not a whole number"]),
        ('unit = "conv", stride = true', ["'stride': True is not a whole number"]),
        ('unit = "conv", stride = 0', ["'stride': 0 is not between 1 and 1024"]),
        ('unit = "conv", stride = nan', ["'stride': nan is not a whole number"]),
        ('unit = "conv", repeat = 1000000000', ["'repeat': 1000000000 is not between 1 and 1000"]),
        ('unit = "conv", repeat = 1_000_000_000', ["'repeat': 1000000000 is not between"]),
        ('unit = "conv", repeat = 0', ["'repeat': 0 is not between 1 and 1000"]),
        ('unit = "conv", repeat = []', ["'repeat': [] is not a whole number"]),
        ('unit = "conv", output = "0"', ["'output': size 0x0: height 0 is not between"]),
        ('unit = "conv", output = "28x0"', ["'output': size 28x0: width 0 is not between"]),
        ('unit = "conv", output = "28x28x3"', ["'output': size '28x28x3' is not a side"]),
        ('unit = "conv", output = 28', ["'output': 28 is not a printable text"]),
        ('unit = "conv", ksize = 3', ["'ksize': 3 is not a printable text"]),
        ('unit = "conv", ksize = "3x5"', ["'ksize': '3x5' is not a square kernel such as 3x3"]),
        ('unit = "conv", ksize = "0x0"', ["'ksize': size 0x0", "is not between 1 and"]),
        ('unit = "conv", ksize = "2000x2000"', ["kernel 2000 is not between 1 and 1024"]),
        ('unit = "conv", channels = 0', ["'channels': 0 is not between 1 and 1048576"]),
        ('unit = "conv", channels = -8', ["'channels': -8 is not between 1 and 1048576"]),
        ('unit = "conv", channels = 2000000', ["'channels': 2000000 is not between 1 and 1048576"]),
        ('unit = "conv", channels = "8"', ["'channels': '8' is not a whole number"]),
        ('unit = "conv", channels = [8, 16]', ["2 channels [8, 16] for 1 columns g = [1]"]),
        ('unit = "conv", channels = []', ["0 channels [] for 1 columns g = [1]"]),
        ('unit = "conv", channels = [[8]]', ["'channels': [8] is not a whole number"]),
        ('unit = "conv", ratio = 4', ["'ratio': 4 is not a printable text"]),
        ('unit = "conv", ratio = "2:4"', ["'ratio': '2:4' is not a bottleneck ratio such as 1:4"]),
        ('unit = "conv", ratio = "1:4:8"', ["'ratio': '1:4:8' is not a bottleneck ratio"]),
        ('unit = "conv", ratio = "1:"', ["'ratio': '1:' is not a bottleneck ratio"]),
        ('unit = "conv", ratio = "1:0"', ["ratio 0 is not between 1 and 1024"]),
        ('unit = "conv", options = 1', ["'options': 1 is not a table of options"]),
        (
            'unit = "conv", options = { padding = 1.5 }',
            ["'options': 1.5 is not true, false, a whole number, a text or lists of whole numbers"],
        ),
        (
            'unit = "conv", options = { padding = -1 }',
            ["option padding -1 is not between 0 and 1048576"],
        ),
        ('unit = "conv", note = 1', ["'note': 1 is not a printable text"]),
        ('unit = "image", channels = 3', ["an image is only the first row"]),
    ],
)
def test_a_bad_row_is_refused_with_file_row_key_value_and_rule(keys: str, parts: list[str]) -> None:
    message = refused(document(IMAGE, f'{{ layer = "Stage7", {keys} }}'))
    assert "Stage7" in message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"", ["'rows': missing"]),
        (b"title = 'x'", ["'rows': missing"]),
        (b"rows = 3", ["'rows': 3 is not a list of tables"]),
        (b"rows = [1, 2]", ["'rows': [1, 2] is not a list of tables"]),
        (b"rows = []", ["0 rows is not 2 to 1000"]),
        (b"rows = [{}]", ["row 1: 'layer': missing"]),
        (b"rows = [{ layer = 7 }]", ["row 1: 'layer': 7 is not a printable text"]),
        (b"rows = [{ layer = '7th', unit = 'conv' }]", ["row 1: layer '7th' does not start"]),
        (document(IMAGE), ["1 rows is not 2 to 1000"]),
        (document(CONV, IMAGE), ["Conv1: the first row is not an image"]),
        (document(IMAGE, IMAGE), ["Image: an image is only the first row"]),
        (
            document(IMAGE, CONV.replace("Conv1", "A"), CONV, CONV.replace("Conv1", "A")),
            ["A: rows"],
        ),
        (document(IMAGE, *[CONV] * 1000), ["1001 rows is not 2 to 1000"]),
        (b"rows = [{ layer = 'a', layer = 'b' }]", ["not TOML"]),
        (b"nonsense", ["not TOML"]),
        (b"rows = [", ["not TOML"]),
        (b"\xff\xfe", ["not UTF-8 at byte 0"]),
        (b"title = '\xc3\x28'", ["not UTF-8 at byte 9"]),
        ("rows = 1".encode("utf-16-le"), ["not TOML"]),
        (b"title = '\x00'", ["not TOML"]),
        (b"x = " + b"9" * 5_000, ["not TOML"]),
    ],
)
def test_a_bad_file_is_refused_with_the_rule(data: bytes, parts: list[str]) -> None:
    message = refused(data)
    assert all(part in message for part in parts), message


def test_a_stage_split_by_another_is_refused() -> None:
    other = CONV.replace("Conv1", "Conv2")
    message = refused(document(IMAGE, CONV, other, CONV))
    assert "Conv1: rows of layer 'Conv1' are not next to each other" in message


def test_repeats_that_are_each_allowed_are_refused_in_sum() -> None:
    rows = (CONV.replace('"Conv1"', f'"C{i}", repeat = 1000') for i in range(6))
    assert "6001 repeats in all is more than 5000" in refused(document(IMAGE, *rows))


@pytest.mark.parametrize(
    "opening",
    [b"[", b"a = [", b"a = {b = ", b"[[", b"a.", b"[a."],
)
def test_deep_nesting_is_refused(opening: bytes) -> None:
    deep = opening.rstrip(b"[") + opening[-1:] * 900_000 if opening.endswith(b"[") else opening * 9
    assert refused(deep).startswith("my/net.toml: not TOML: ")


def test_tables_nested_deep_are_refused() -> None:
    assert "not TOML" in refused(b"a = " + b"{b = " * 100_000)


def test_a_long_dotted_key_is_refused_without_a_table_for_each_of_its_parts() -> None:
    # tomllib keeps every beginning of a dotted key: the square of its length in memory and time
    data = b"a." * 3_000 + b"a = 1"
    tracemalloc.start()
    try:
        refused(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000 * len(data)


@pytest.mark.parametrize(
    "head",
    [
        "groups = [HUGE]",
        "default_groups = HUGE",
        "title = HUGE",
        "notes = [HUGE]",
        "hints = [{ scale = '1', stem = HUGE, printed = 'x' }]",
        "hints = HUGE",
        "oops = HUGE",
    ],
)
def test_a_number_too_long_to_print_is_refused_in_the_head(head: str) -> None:
    refused(document(IMAGE, CONV, head=head.replace("HUGE", HUGE)))


@pytest.mark.parametrize(
    "keys",
    [
        "channels = HUGE",
        "channels = [HUGE]",
        "channels = [HUGE, HUGE]",
        "stride = HUGE",
        "repeat = HUGE",
        "ratio = HUGE",
        "ksize = HUGE",
        "output = HUGE",
        "note = HUGE",
        "options = { padding = HUGE }",
        "options = HUGE",
        "oops = HUGE",
    ],
)
def test_a_number_too_long_to_print_is_refused_in_a_row(keys: str) -> None:
    row = f'{{ layer = "Stage7", unit = "conv", {keys.replace("HUGE", HUGE)} }}'
    assert "Stage7" in refused(document(IMAGE, row))


def test_a_layer_and_rows_that_are_numbers_too_long_to_print_are_refused() -> None:
    refused(document(IMAGE, f'{{ layer = {HUGE}, unit = "conv" }}'))
    refused(f"rows = {HUGE}".encode())
    refused(f"rows = [{HUGE}]".encode())


# --- files


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError) as caught:
        load("shuflenet")
    message = str(caught.value)
    assert "unknown spec 'shuflenet'" in message
    assert all(name in message for name in NAMES)
    assert ".toml" in message


@pytest.mark.parametrize("name", ["", " ", "shufflenet ", "SHUFFLENET", "..", "shufflenet\0"])
def test_what_is_nearly_a_name_is_no_spec(name: str) -> None:
    with pytest.raises(SpecError, match="unknown spec"):
        load(name)


@pytest.mark.parametrize("name", ["missing.toml", "a/missing", "a\0b.toml", "x" * 5000 + ".toml"])
def test_a_missing_file_is_refused(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(name)
    shown = name.replace("\0", "\\x00")
    assert str(caught.value).startswith(f"{shown}: cannot be read: ")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "net.toml"
    folder.mkdir()
    with pytest.raises(SpecError) as caught:
        load(folder)
    assert str(caught.value) == f"{folder}: not a regular file"


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    pipe = tmp_path / "net.toml"
    os.mkfifo(pipe)
    with within(2), pytest.raises(SpecError) as caught:
        load(pipe)
    assert str(caught.value) == f"{pipe}: not a regular file"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(device: str) -> None:
    with within(2), pytest.raises(SpecError, match=f"^{device}: not a regular file$"):
        load(device)


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.toml"
    file.write_bytes(document(IMAGE, CONV))
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(SpecError, match="cannot be read"):
        load(file)


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "net.toml"
    link.symlink_to(link)
    with pytest.raises(SpecError, match="cannot be read"):
        load(link)


def test_a_file_of_more_than_a_million_bytes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.toml"
    text = document(IMAGE, CONV)
    file.write_bytes(text + b"#" * (1_000_000 - len(text)))
    assert load(file).name == "net"
    file.write_bytes(text + b"#" * (1_000_001 - len(text)))
    with pytest.raises(SpecError) as caught:
        load(file)
    assert str(caught.value) == f"{file}: more than 1000000 bytes"


def test_a_file_is_named_in_its_error(tmp_path: Path) -> None:
    file = tmp_path / "net.toml"
    file.write_bytes(document(IMAGE, '{ layer = "Conv1", unit = "conv", strid = 2 }'))
    with pytest.raises(SpecError) as caught:
        load(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: row 2 (Conv1): 'strid': unknown key; known are ")
    assert message.count(str(file)) == 1


def test_a_text_without_a_file_is_called_by_its_name() -> None:
    with pytest.raises(SpecError, match=r"^net: 'rows': missing$"):
        loads(b"", name="net")


# --- anything


def spec_or_error(data: bytes) -> None:
    found, refusal = None, ""
    with within(10):
        try:
            found = loads(data, name="net", file="net.toml")
        except SpecError as error:
            refusal = str(error)
    assert refusal.startswith("net.toml: ") if found is None else isinstance(found, Spec)


@given(data=st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_a_spec_or_a_spec_error(data: bytes) -> None:
    spec_or_error(data)


@given(data=mutated([Path(path).read_bytes() for path in bundled().values()]))
@settings(deadline=None, max_examples=150)
def test_a_damaged_spec_is_a_spec_or_a_spec_error(data: bytes) -> None:
    spec_or_error(data)


@given(data=tables)
@settings(deadline=None, max_examples=250)
def test_any_table_is_a_spec_or_a_spec_error(data: bytes) -> None:
    spec_or_error(data)
