"""The reader of TOML tables: all that is wrong with a file is said, each fault in a line."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopcount.toml_reader import (
    TomlTable,
    error_lines,
    flag,
    list_of,
    one_of,
    parsed_by,
    printable,
    read_file,
    read_text,
    shown,
    text,
    whole,
)
from tests.shufflenet.arch.spec_strategies import mutated, toml, values

FILE = "my/zoo.toml"
UNKNOWN = "unknown key; known are"
GOOD = """
name = "zoo"
[[animals]]
name = "ape"
legs = 2
[[animals]]
name = "bee"
legs = 6
wings = true
colours = ["black", "yellow"]
home = { kind = "hive", depth = 3 }
"""
# One fault in each key of two rows, and of the table in one of them.
FAULTY = """
nome = "zoo"
[[animals]]
name = "ape"
legs = 2000
wings = 1
[[animals]]
name = "bee"
legs = "six"
colours = ["black", 3]
home = { kind = "hole", deep = 3 }
"""


class ZooError(ValueError):
    """A file that describes no zoo."""


class Animal(NamedTuple):
    name: str
    legs: int
    wings: bool
    colours: tuple[str, ...]
    home: Any


def _home(table: TomlTable) -> tuple[str, int]:
    kind = table.take("kind", one_of(("hive", "tree")))
    return table.build(lambda *both: both, kind, table.take("depth", whole(0, 9), 0))


def _animal(table: TomlTable) -> Animal:
    name = table.take("name", text(20, least=1))
    if not table.faults:
        table.label(name)
    return table.build(
        Animal,
        name,
        legs=table.take("legs", whole(0, 1_000)),
        wings=table.take("wings", flag, False),
        colours=table.take("colours", list_of(text(20), "colours"), ()),
        home=table.below("home", _home, None),
    )


def _zoo(table: TomlTable) -> tuple[str, tuple[Animal, ...]]:
    name = table.take("name", parsed_by(str.upper, text(20)), "")
    animals = table.tables("animals", _animal)
    table.settle()
    return name, animals


def lines(data: str, name: str = FILE) -> list[str]:
    """What is wrong with a zoo."""
    with pytest.raises(ZooError) as caught:
        read_text(data.encode(), _zoo, ZooError, name)
    assert str(caught.value).split("\n") == error_lines(caught.value)
    return error_lines(caught.value)


def test_what_stands_in_a_table_is_read_and_what_does_not_has_its_default():
    name, (ape, bee) = read_text(GOOD.encode(), _zoo, ZooError, FILE)
    assert name == "ZOO"
    assert ape == Animal("ape", 2, False, (), None)
    assert bee == Animal("bee", 6, True, ("black", "yellow"), ("hive", 3))


def test_every_independent_fault_is_told_with_file_row_key_value_and_rule():
    assert lines(FAULTY) == [
        f"{FILE}: animal 1 (ape): 'legs': 2000 is not between 0 and 1000",
        f"{FILE}: animal 1 (ape): 'wings': 1 is not true or false",
        f"{FILE}: animal 2 (bee): 'legs': 'six' is not a whole number",
        f"{FILE}: animal 2 (bee): 'colours': 3 is not a printable text of at most 20 characters",
        f"{FILE}: animal 2 (bee): 'home': 'kind': 'hole' is not one of hive, tree",
        f"{FILE}: animal 2 (bee): 'home': 'deep': {UNKNOWN} depth, kind; did you mean 'depth'?",
        f"{FILE}: 'nome': {UNKNOWN} animals, name; did you mean 'name'?",
    ]


def test_nothing_is_made_of_a_table_with_a_fault():
    made: list[object] = []

    def read(table: TomlTable) -> None:
        table.build(lambda *values: made.append(values), table.take("n", whole(1, 2)))

    for data in (b"n = 3", b"", b"n = 1\nm = 2"):
        with pytest.raises(ZooError):
            read_text(data, read, ZooError, FILE)
    assert made == []
    read_text(b"n = 1", read, ZooError, FILE)
    assert made == [(1,)]


def test_a_fault_that_the_reading_function_does_not_ask_about_is_raised_all_the_same():
    with pytest.raises(ZooError, match="'n': 3 is not between"):
        read_text(b"n = 3", lambda table: table.take("n", whole(1, 2), 1), ZooError, FILE)


def test_a_record_that_refuses_its_values_is_a_fault_of_its_table():
    def read(table: TomlTable) -> int:
        return table.build(int, table.take("n", text(9)))

    with pytest.raises(ZooError, match=f"^{FILE}: invalid literal for int"):
        read_text(b"n = 'x'", read, ZooError, FILE)


@pytest.mark.parametrize("count", [19, 20, 21, 1_000])
def test_of_many_faults_the_first_are_told_and_the_rest_counted(count: int):
    found = lines("[[animals]]\nname = 'a'\nlegs = -1\n" * count)
    assert found[0] == f"{FILE}: animal 1 (a): 'legs': -1 is not between 0 and 1000"
    rest = [f"{FILE}: ... and {count - 20} more"] if count > 20 else []
    assert found[min(count, 20) :] == rest


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("0x" + "f" * 100_000, "a number of 400000 bits"),
        ("[0x" + "f" * 100_000 + "]", "a number of 400000 bits"),
        (f"'{'x' * 100_000}'", "..."),
        (f"[{'1,' * 10_000}]", "..."),
        ('"a\\u001b[31m"', "\\x1b[31m"),
        ('"a\\nb"', "\\n"),
        ('"a\\u202eb"', "\\u202e"),
        ("2017-07-04", "2017"),
    ],
)
def test_a_value_too_long_or_unprintable_is_shown_safely(value: str, quoted: str):
    (line,) = lines(f"[[animals]]\nname = 'a'\nlegs = {value}")
    assert quoted in line
    assert line.isprintable()
    assert len(line) < 200


@pytest.mark.parametrize("key", ["a\\nb", "a\\u001bb", "a\\u202eb", "x" * 10_000])
def test_a_key_too_long_or_unprintable_is_shown_safely(key: str):
    (line,) = lines(f'"{key}" = 1')
    assert line.isprintable()
    assert len(line) < 200


def test_a_file_whose_name_has_control_characters_is_named_without_them(tmp_path):
    file = tmp_path / "a\n\x1b\u202e.toml"
    for content, rule in (("x = 1", "'x': unknown key"), ("x =", "not TOML")):
        file.write_text(content)
        with pytest.raises(ZooError) as caught:
            read_file(str(file), _zoo, ZooError)
        (line,) = error_lines(caught.value)
        assert line.isprintable()
        assert f"a\\n\\x1b\\u202e.toml: {rule}" in line


def test_an_error_of_no_toml_file_is_one_line_whatever_is_in_it():
    assert error_lines(ValueError("a\nb")) == ["a\nb"]


@given(st.text())
def test_what_is_printable_stays_and_the_rest_is_escaped(string: str):
    safe = printable(string)
    assert safe.isprintable()
    assert (safe == string) == string.isprintable()


@given(values)
def test_any_value_is_shown_printable_and_short(value: object):
    assert shown(value).isprintable()
    assert len(shown(value)) <= 80


_ANIMALS = st.fixed_dictionaries(
    {"name": st.sampled_from(["ape", "", "a\nb"]) | values},
    optional=dict.fromkeys(("legs", "wings", "colours", "home", "oops"), values),
)
_ZOOS = st.fixed_dictionaries(
    {"animals": st.lists(_ANIMALS, max_size=4) | values}, optional={"name": values}
).map(toml)


@given(_ZOOS | mutated([GOOD.encode(), FAULTY.encode()]) | st.binary(max_size=60))
def test_any_text_is_read_or_refused_with_the_one_error_in_printable_lines(data: bytes):
    refusal = ""
    try:
        read_text(data, _zoo, ZooError, FILE)
    except ZooError as error:
        refusal = str(error)
    told = refusal.split("\n") if refusal else []
    assert [line for line in told if not line.startswith(f"{FILE}: ")] == []
    assert [line for line in told if not line.isprintable()] == []
