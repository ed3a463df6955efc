"""What the command says of bad input: one line that quotes it, exit code 2, and nothing done."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from tests.command import COMMANDS, EXAMPLES, fails, needs_torch, python, run, run_together

TINY = (EXAMPLES / "tiny.toml").read_text()
OWN = (EXAMPLES / "own_units.py").read_text()
# Where torch is installed a solution is confirmed; but input is read before torch is.
SOLVE = ("solve-widths", "--no-confirm")
COMPARE = ("compare", "--no-confirm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an earlier result in it, a unit of one's own and a spec."""
    (tmp_path / "kept.txt").write_text("an earlier result\n")
    (tmp_path / "kept.txt").chmod(0o640)
    (tmp_path / "own_units.py").write_text(OWN)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All that is in a folder: every path, its mode and its contents."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def refused(folder: Path, *args: str, quotes: tuple[str, ...] = (), code: int = 2) -> str:
    """The line of a command that is refused; it does nothing in its folder."""
    (line,) = all_refused(folder, [args], code=code, quotes=quotes)
    return line


def all_refused(
    folder: Path, commands: list[tuple[str, ...]], quotes: tuple[str, ...] = (), code: int = 2
) -> list[str]:
    """As `refused`, for several commands; in one process, as there are many."""
    before = everything(folder)
    commands = [(*args, *_output(args)) for args in commands]
    how = {"cwd": folder, "env": {"PYTHONDONTWRITEBYTECODE": "1"}}
    outcomes = [run(*commands[0], **how)] if len(commands) == 1 else run_together(*commands, **how)
    assert everything(folder) == before
    return [fails(outcome, code, *quotes) for outcome in outcomes]


def _output(args: tuple[str, ...]) -> tuple[str, ...]:
    return () if "-o" in args or args[:1] == ("completion",) else ("-o", "kept.txt")


UNKNOWN_NAMES = {
    "spec of table": ("table", "--spec", "nope"),
    "spec of solve-widths": (*SOLVE, "--budget", "40M", "--spec", "nope"),
    "spec of compare": (*COMPARE, "--spec", "nope"),
    "spec of cost": ("cost", "nope"),
    "unit of solve-widths": (*SOLVE, "--budget", "40M", "--unit", "nope"),
    "unit of compare": (*COMPARE, "--units", "resnet,nope"),
    "unit of cost": ("cost", "shufflenet", "--unit", "nope"),
    "unit of formula": ("formula", "resnet", "nope"),
    "convention of table": ("table", "--convention", "nope"),
    "convention of solve-widths": (*SOLVE, "--budget", "40M", "--convention", "nope"),
    "convention of compare": (*COMPARE, "--convention", "nope"),
    "convention of cost": ("cost", "shufflenet", "--convention", "nope"),
    "policy": (*SOLVE, "--budget", "40M", "--policy", "nope"),
    "format": ("table", "--format", "nope"),
    "shell": ("completion", "nope"),
    "command": ("nope",),
}


@pytest.mark.parametrize("args", UNKNOWN_NAMES.values(), ids=UNKNOWN_NAMES)
def test_an_unknown_name_is_quoted(folder: Path, args: tuple[str, ...]):
    refused(folder, *args, quotes=("'nope'",))


@pytest.mark.parametrize(
    ("args", "known"),
    [
        (("table", "--spec", "nope"), ["arch2", "noshuffle", "shallow", "shufflenet", ".toml"]),
        (("table", "--convention", "nope"), ["shufflenet-paper", "macs", "torch"]),
        (("formula", "nope"), ["shufflenet", "resnet", "resnext", "xception", "vgg"]),
    ],
)
def test_beside_an_unknown_name_the_known_ones_are_named(folder: Path, args, known):
    refused(folder, *args, quotes=tuple(known))


OPTIONS = {
    "scale": (("table", "--scale"), ["0", "-1", "nan", "inf", "half", "", "1001", "0.0000001"]),
    "size": (("table", "--size"), ["0", "224x0", "0x224", "-5", "wide", "224x", "65537", "1.5"]),
    "groups": (("table", "--groups"), ["0", "-1", "1,1", "two", "", "1025", "1.5"]),
    "stem": (("table", "--stem"), ["0", "-4", "wide", "1048577", "1.5"]),
    "budget": (
        (*SOLVE, "--budget"),
        ["40m", "0", "-1", "nan", "inf", "", "1.5", "40X", "9223372036854775808", "1e4000"],
    ),
    "budget of compare": ((*COMPARE, "--budget"), ["40m", "0", "-1", "nan"]),
    "ratio": ((*SOLVE, "--budget", "40M", "--ratio"), ["1:2", "a:b:c", "1,2,4", ""]),
    "stem of solve-widths": ((*SOLVE, "--budget", "40M", "--stem"), ["0", "12,12"]),
    "top": ((*SOLVE, "--budget", "40M", "--top"), ["0", "1001", "all"]),
    "cardinality": ((*COMPARE, "--cardinality"), ["0", "-1", "many"]),
    "units": ((*COMPARE, "--units"), ["resnet,resnet"]),
    "widths": (("cost", "shufflenet", "--widths"), ["240,480", "wide", ""]),
}


@pytest.mark.parametrize(("args", "values"), OPTIONS.values(), ids=OPTIONS)
def test_a_value_out_of_its_range_is_quoted(folder: Path, args, values: list[str]):
    lines = all_refused(folder, [(*args, value) for value in values])
    missed = [
        line for value, line in zip(values, lines, strict=True) if (value or "''") not in line
    ]
    assert missed == []


@pytest.mark.parametrize(
    ("args", "quoted"),
    [
        (("table", "--groups", "1,,2"), "''"),
        ((*SOLVE, "--budget", "40M", "--ratio", "1:0:4"), "0"),
        ((*SOLVE, "--budget", "40M", "--stem", "auto,12"), "'auto'"),
        (("cost", "shufflenet", "--widths", "0,480,960"), "width 0"),
        ((*COMPARE, "--units", "resnet,"), "a name is empty"),
    ],
)
def test_of_several_values_the_one_at_fault_is_quoted(folder: Path, args, quoted: str):
    refused(folder, *args, quotes=(args[-2], quoted))


def test_only_the_digits_0_to_9_are_digits(folder: Path):
    arabic = "\N{ARABIC-INDIC DIGIT FOUR}\N{ARABIC-INDIC DIGIT ZERO}M"
    refused(folder, *SOLVE, "--budget", arabic, quotes=(arabic,))
    wide = "\N{FULLWIDTH DIGIT TWO}" * 3
    refused(folder, "table", "--size", wide, quotes=(wide,))


def test_m_is_said_to_be_milli(folder: Path):
    refused(folder, *SOLVE, "--budget", "40m", quotes=("'40m'", "milli", "mega is M"))


def test_a_column_that_the_spec_has_not_is_quoted_with_those_it_has(folder: Path):
    for args in (("table",), ("cost", "shufflenet")):
        line = refused(folder, *args, "--groups", "7", quotes=("g = 7", "1, 2, 3, 4, 8"))
        assert "specs/shufflenet.toml" in line


@pytest.mark.parametrize("command", [name for name in COMMANDS if "--layers" not in name])
def test_an_unknown_option_is_quoted(folder: Path, command: str):
    refused(folder, *COMMANDS[command], "--nope", quotes=("'--nope'",))


@pytest.mark.parametrize(
    ("args", "missing"),
    [(("solve-widths",), "--budget"), (("cost",), "SPEC"), (("table", "--scale"), "--scale")],
)
def test_what_is_missing_is_named(folder: Path, args: tuple[str, ...], missing: str):
    output = ("-o", "kept.txt", *args[1:])
    refused(folder, args[0], *output, quotes=(missing,))


@pytest.mark.parametrize(
    "args",
    [
        ("formula",),
        (*COMPARE, "--units"),
        ("cost", "shufflenet", "--unit"),
        (*SOLVE, "--budget", "40M", "--unit"),
    ],
    ids=["formula", "compare", "cost", "solve-widths"],
)
def test_a_plain_layer_cannot_be_the_unit_of_a_stage(folder: Path, args: tuple[str, ...]):
    layers = ("conv", "fc", "max_pool", "global_pool")
    lines = all_refused(folder, [(*args, layer) for layer in layers], quotes=("plain layer",))
    assert [layer in line for layer, line in zip(layers, lines, strict=True)] == [True] * 4


@pytest.mark.parametrize(
    "args",
    [
        ("formula", "own_units:inverted"),
        (*COMPARE, "--units", "own_units:inverted"),
        ("cost", "tiny.toml", "--unit", "own_units:inverted"),
        (*SOLVE, "--budget", "40M", "--unit", "own_units:inverted"),
        ("formula", "own_units:inverted", "--units-from", "own_unit"),
    ],
    ids=["formula", "compare", "cost", "solve-widths", "another package"],
)
def test_a_unit_of_ones_own_is_refused_unless_its_package_is_allowed(folder: Path, args):
    refused(folder, *args, quotes=("'own_units:inverted'", "--units-from own_units"))


OWN_UNITS = {
    "no module": ("missing:unit", "", "there is no module 'missing'"),
    "no attribute": ("own:unit", "", "unit"),
    "not a function": ("own:unit", "unit = 3\n", "int"),
    "not a layer": ("own:unit", "def unit(place):\n    return 3\n", "int"),
    "not Python": ("own:unit", "def\n", "own"),
}


@pytest.mark.parametrize(("name", "code", "says"), OWN_UNITS.values(), ids=OWN_UNITS)
def test_a_unit_that_is_none_is_quoted(folder: Path, name: str, code: str, says: str):
    (folder / "own.py").write_text(code)
    package = name.partition(":")[0]
    refused(folder, "formula", name, "--units-from", package, quotes=(f"'{name}'", says))


LOUD = """
class Loud(Exception):
    pass

def unit(place):
    raise Loud("of one's own")
"""


def test_whatever_a_unit_of_ones_own_raises_is_its_traceback_and_one_line(folder: Path):
    (folder / "loud.py").write_text(LOUD)
    (folder / "own.toml").write_text(
        TINY.replace('unit = "shufflenet", ratio = "1:4"', 'unit = "loud:unit"')
    )
    outcome = run("table", "--spec", "own.toml", "--units-from", "loud", cwd=folder)
    assert (outcome.code, outcome.out) == (2, "")
    *told, last = outcome.err.splitlines()
    assert last == "shufflecost: unit 'loud:unit': Loud: of one's own"
    assert [line for line in told if "File" in line] == [
        f'  File "{folder / "loud.py"}", line 6, in unit'
    ]


STAGE3 = 'unit = "resnet", ratio = "1:4", channels = 128'
SPECS = {
    "a typo in a key": ("channels = 64", "chanels = 64", ("Stage2", "'chanels'", "channels")),
    "a typo in a key of the file": ("title =", "titel =", ("'titel'", "title")),
    "a missing key": ('layer = "FC", ', "", ("row 7", "'layer'", "missing")),
    "no rows": (TINY, 'title = "x"\n', ("'rows'", "missing")),
    "an empty file": (TINY, "", ("'rows'", "missing")),
    "no channels": (", channels = 128", "", ("Stage3", "channels")),
    "an illegal width": ("channels = 128", "channels = 130", ("Stage3", "130", "multiple of 4")),
    "a width of 0": ("channels = 128", "channels = 0", ("Stage3", "0 is not between 1")),
    "a width as text": ("channels = 128", 'channels = "128"', ("Stage3", "'128'")),
    "a size that does not come out": ('"12x12"', '"13x13"', ("Stage3", "13x13", "12x12")),
    "no size": ('"12x12"', '"12 by 12"', ("Stage3", "'12 by 12'")),
    "a stride of 0": (
        f"stride = 2, repeat = 1, {STAGE3}",
        f"stride = 0, repeat = 1, {STAGE3}",
        ("Stage3", "'stride': 0"),
    ),
    "a repeat that is no number": ("repeat = 2", "repeat = true", ("Stage2", "True")),
    "no ratio": (STAGE3, STAGE3.replace("1:4", "1-4"), ("Stage3", "'1-4'")),
    "an unknown unit": ('"resnet"', '"nope"', ("Stage3", "'nope'")),
    "a unit of one's own": (STAGE3, 'unit = "own_units:inverted", channels = 128', ("Stage3",)),
    "an option that the unit has not": (
        STAGE3,
        f"{STAGE3}, options = {{ shuffle = false }}",
        ("Stage3", "'shuffle'"),
    ),
    "a column too many": ("channels = 64", "channels = [64, 64]", ("Stage2", "[64, 64]")),
    "no image": ('unit = "image"', 'unit = "conv"', ("Image",)),
    "a layer split in two": ('"Stage3"', '"Conv1"', ("Conv1",)),
    "not TOML": ("rows = [", "rows = ", ("not TOML",)),
}


@pytest.mark.parametrize(("old", "new", "quotes"), SPECS.values(), ids=SPECS)
def test_a_fault_of_a_spec_is_quoted_with_its_file_and_row(folder: Path, old, new, quotes):
    assert old in TINY
    (folder / "own.toml").write_text(TINY.replace(old, new, 1))
    refused(folder, "table", "--spec", "own.toml", quotes=("own.toml", *quotes))


@pytest.mark.parametrize(
    "args",
    [
        ("cost", "own.toml"),
        (*SOLVE, "--budget", "9M", "--spec", "own.toml"),
        (*COMPARE, "--units", "resnet", "--budget", "9M", "--spec", "own.toml"),
    ],
    ids=["cost", "solve-widths", "compare"],
)
@pytest.mark.parametrize("fault", ["a typo in a key", "a size that does not come out"])
def test_every_command_quotes_the_fault_of_a_spec(folder: Path, args, fault: str):
    old, new, quotes = SPECS[fault]
    (folder / "own.toml").write_text(TINY.replace(old, new, 1))
    refused(folder, *args, quotes=("own.toml", *quotes))


def test_a_spec_that_is_not_text_is_refused(folder: Path):
    (folder / "own.toml").write_bytes(b"title = '\xff'\n")
    refused(folder, "cost", "own.toml", quotes=("own.toml", "UTF-8"))


def test_a_spec_that_is_not_there_is_quoted(folder: Path):
    refused(folder, "cost", "missing.toml", quotes=("missing.toml", "No such file"))
    refused(folder, "cost", "./missing", quotes=("./missing",))


def test_a_folder_is_no_spec_and_is_named_once(folder: Path):
    (folder / "specs").mkdir()
    line = refused(folder, "cost", "./specs", quotes=("./specs", "not a regular file"))
    assert line.count("./specs") == 1


def test_a_pipe_is_no_spec_and_nothing_waits_for_it(folder: Path):
    os.mkfifo(folder / "pipe.toml")
    refused(folder, "cost", "pipe.toml", quotes=("pipe.toml", "not a regular file"))


@pytest.mark.skipif(os.access("/", os.W_OK), reason="this user may read everything")
def test_a_spec_that_may_not_be_read_is_quoted(folder: Path):
    (folder / "own.toml").write_text(TINY)
    (folder / "own.toml").chmod(0)
    outcome = run("cost", "own.toml", cwd=folder)
    fails(outcome, 2, "own.toml", "Permission denied")


def test_a_figure_past_64_bits_is_refused_and_not_wrapped(folder: Path):
    line = refused(folder, "table", "--scale", "1000", "--size", "65536", quotes=("2**63 - 1",))
    assert "9223372036854775807" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_folder_is_quoted_and_not_made(folder: Path, command: str):
    refused(folder, *COMMANDS[command], "-o", "missing/out.txt", quotes=("missing/out.txt",))


def test_a_folder_is_no_file_to_write(folder: Path):
    (folder / "results").mkdir()
    for name in ("results", "results/", "."):
        refused(folder, "table", "-o", name, quotes=(name, "directory"))


def test_a_name_that_ends_as_a_folder_is_not_made_a_file(folder: Path):
    refused(folder, "table", "-o", "missing/", quotes=("missing/",))


def test_an_empty_name_of_a_file_is_refused(folder: Path):
    refused(folder, "table", "-o", "")


def test_below_a_file_nothing_can_be_written(folder: Path):
    refused(folder, "table", "-o", "kept.txt/out.txt", quotes=("kept.txt/out.txt",))


def test_a_link_to_itself_is_refused(folder: Path):
    (folder / "loop").symlink_to("loop")
    refused(folder, "table", "-o", "loop", quotes=("loop",))


def test_a_name_too_long_is_refused(folder: Path):
    refused(folder, "table", "-o", "a" * 300, quotes=("a" * 300,))


@pytest.mark.skipif(os.access("/", os.W_OK), reason="this user may write everywhere")
def test_in_a_read_only_folder_nothing_is_written(folder: Path):
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        refused(folder, "table", "-o", "out.txt", quotes=("out.txt", "Permission denied"))
    finally:
        folder.chmod(stat.S_IRWXU)


@pytest.mark.skipif(os.access("/", os.W_OK), reason="this user may write everywhere")
def test_a_read_only_file_is_not_replaced(folder: Path):
    (folder / "kept.txt").chmod(0o400)
    refused(folder, "table", "-o", "kept.txt", quotes=("kept.txt", "Permission denied"))


# The hooks find one multiply-add too many in every convolution, the trace one parameter too many in
# every classifier; torch's counter finds no classifier.
_MISCOUNT = """
from dataclasses import replace
from types import MappingProxyType
from torch import nn
from flopcount.counters import hooks
from flopcount.counters import trace
from shufflenet.nn import confirm as confirmation
kind, rule = hooks.PRICED_MODULES[nn.Conv2d]
one_more = (kind, lambda module, x, out: rule(module, x, out) + 1)
hooks.PRICED_MODULES = MappingProxyType({**hooks.PRICED_MODULES, nn.Conv2d: one_more})
right = confirmation.torch_flops
def wrong(module, shape):
    return right(module, shape) | {"fc.linear": 0}
confirmation.torch_flops = wrong
traced = trace.count
def one_weight_more(module, **how):
    tally = traced(module, **how)
    entries = tuple(e._replace(weight=e.weight + (e.kind == "linear")) for e in tally.entries)
    return replace(tally, entries=entries)
trace.count = one_weight_more
"""


@needs_torch
def test_where_the_witnesses_disagree_every_command_exits_1_and_names_the_leaf(folder: Path):
    commands = {
        "table": ("table", "--spec", "tiny.toml", "--confirm", "--format", "json"),
        "cost": ("cost", "tiny.toml", "--confirm", "--format", "json"),
        "solve-widths": ("solve-widths", "--spec", "tiny.toml", "--budget", "9M"),
        "compare": ("compare", "--spec", "tiny.toml", "--units", "resnet", "--budget", "9M"),
        "formula": ("formula", "resnet", "--confirm"),
    }
    planted = run_together(*commands.values(), before=_MISCOUNT, cwd=folder)
    outcomes = dict(zip(commands, planted, strict=True))
    assert {name: outcome.code for name, outcome in outcomes.items()} == dict.fromkeys(commands, 1)
    stem = 48 * 48 * 16 * 3 * 9
    of_hooks = f"conv1.conv: macs: analytic {stem}, hooks {stem + 1}, trace {stem}, torch {stem}"
    of_torch = "fc.linear: macs: analytic 1280, hooks 1280, trace 1280, torch 0"
    of_trace = "fc.linear: weight: analytic 1280, hooks 1280, trace 1281, torch None"
    for name in ("table", "cost"):
        said = outcomes[name].err.splitlines()
        for difference in (of_hooks, of_torch, of_trace):
            assert f"shufflecost: tiny, g=1: {difference}" in said
        shown = json.loads(outcomes[name].out)
        (figures,) = shown.get("columns", [shown])
        assert figures["confirmed"] is False
        right = figures["macs"] + 1280
        witnesses = figures["witnesses"]
        assert (witnesses["analytic"], witnesses["trace"], witnesses["torch"]) == (right,) * 3
        # the stem, three units of three convolutions, a bottleneck and its projection
        assert witnesses["hooks"] == right + 1 + 3 * 3 + 3 + 1
    for name in ("solve-widths", "compare", "formula"):
        assert "hooks" in outcomes[name].err
        assert "NO" in outcomes[name].out.split()


def test_the_environment_without_torch_has_none_but_has_all_else():
    absent = python("-c", "import torch", torch=False)
    assert "No module named 'torch'" in absent.err
    present = python("-c", "import click, numpy, rich, sympy, tabulate", torch=False)
    assert (present.code, present.err) == (0, "")


def test_an_interruption_exits_130_without_a_traceback():
    planted = (
        "from shufflenet.cli import main, table\n"
        "def interrupted(*args, **kwargs): raise KeyboardInterrupt\n"
        "table.network = interrupted\n"
        "main(['table'])\n"
    )
    outcome = python("-c", planted)
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.strip() == "shufflecost: interrupted"


@pytest.mark.parametrize(
    ("command", "text", "parts"),
    [
        (
            ("cost", "own.toml"),
            'title = 3\nrows = [{ layer = "A", unit = 3, stride = 0 }]',
            (("row 1 (A)", "'unit': 3"), ("row 1 (A)", "'stride': 0"), ("'title': 3",)),
        ),
        (
            ("cost", "shufflenet", "--convention", "own.toml"),
            'unit = "mac"\nsays = "\\u001b"',
            (("'says': '\\x1b'",), ("'unit': 'mac'", "macs")),
        ),
        (
            ("audit", "--claims", "own.toml"),
            "title = 3",
            (("'title': 3",), ("'source': missing",), ("'stub': missing",)),
        ),
    ],
)
def test_every_fault_of_a_file_is_a_line_of_its_own(command, text, parts, tmp_path):
    (tmp_path / "own.toml").write_text(text)
    outcome = run(*command, cwd=tmp_path)
    lines = outcome.err.splitlines()
    assert (outcome.code, outcome.out, len(lines)) == (2, "", len(parts))
    for line, quoted in zip(lines, parts, strict=True):
        assert line.startswith("shufflecost: own.toml: ")
        assert line.isprintable()
        assert [part for part in quoted if part not in line] == []
