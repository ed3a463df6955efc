"""TOML into a Spec. Loading or listing runs no code, and every error is a SpecError.

A SpecError names the file, the row, the key, the value and the rule it breaks.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from flopcount import toml_reader
from flopcount.conventions import CONVENTIONS
from flopcount.toml_reader import TomlError
from shufflenet.arch.quantities import QuantityError, check_scale, check_width, read_size
from shufflenet.arch.spec import Hint, Row, Spec, SpecError, is_label
from shufflenet.units.context import Option


def bundled() -> dict[str, str]:
    """The name of every spec that comes with the package, and its file."""
    here = folder()
    files = sorted(name for name in os.listdir(here) if name.endswith(".toml"))
    return {name.removesuffix(".toml"): os.path.join(here, name) for name in files}


def folder() -> str:
    """The folder of the bundled specs."""
    # A wheel carries the folder inside the package; a checkout has it beside the package.
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    inside = os.path.join(here, "specs")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(here), "specs")


def load(name: str | os.PathLike[str]) -> Spec:
    """The spec of a bundled name, or of a file: any text with a ``/`` or a suffix ``.toml``.

    Raises SpecError where there is no such spec or file, or it breaks a rule.
    """
    text = os.fspath(name)
    if not isinstance(name, str) or os.sep in text or "/" in text or text.endswith(".toml"):
        return _read(text, text)
    known = bundled()
    if text not in known:
        raise SpecError(
            f"unknown spec {text!r}: bundled are {', '.join(known)};"
            " a file of your own ends in .toml"
        )
    return _read(known[text], f"specs/{text}.toml")


def _read(path: str, file: str) -> Spec:
    try:
        data = toml_reader.read(path)
    except TomlError as error:
        raise SpecError(f"{file}: {error}") from error
    return loads(data, name=os.path.splitext(os.path.basename(path))[0], file=file)


def loads(data: bytes, *, name: str, file: str = "") -> Spec:
    """The spec in a TOML text. Raises SpecError for anything that is not one."""
    where = file or name
    try:
        table = toml_reader.parsed(data)
        return _Reader(table, "").spec(name, file)
    except (TomlError, SpecError) as error:
        raise SpecError(f"{where}: {error}") from error


T = TypeVar("T")

_SPEC_KEYS = {f.name for f in fields(Spec)} - {"name", "file"}
_ROW_KEYS = {f.name for f in fields(Row) if f.init} - {"kernel"} | {"ksize"}


class _Reader(NamedTuple):
    """One TOML table; every value is taken by its key, with its type checked."""

    table: dict[str, Any]
    where: str

    def spec(self, name: str, file: str) -> Spec:
        self.only(_SPEC_KEYS)
        one_column: tuple[int, ...] = (1,)
        groups = self.take("groups", _ints, one_column)
        rows = tuple(reader.row(len(groups)) for reader in self.tables("rows", "row"))
        return Spec(
            name=name,
            rows=rows,
            title=self.take("title", _text, name),
            source=self.take("source", _text, ""),
            groups=groups,
            default_groups=self.take("default_groups", _int, None),
            notes=self.take("notes", _texts, ()),
            hints=tuple(reader.hint() for reader in self.tables("hints", "hint", required=False)),
            file=file,
            options=self.take("options", _options, MappingProxyType({})),
        )

    def row(self, columns: int) -> Row:
        label = self.table.get("layer")
        reader = _Reader(self.table, f"{self.where} ({label})" if _is_label(label) else self.where)
        reader.only(_ROW_KEYS)
        try:
            return Row(
                layer=reader.take("layer", _text),
                unit=reader.take("unit", _text),
                output=reader.take("output", _size, None),
                kernel=reader.take("ksize", _kernel, None),
                stride=reader.take("stride", _int, 1),
                repeat=reader.take("repeat", _int, 1),
                channels=reader.take("channels", _ints_or(columns), None),
                ratio=reader.take("ratio", _ratio, None),
                options=reader.take("options", _options, MappingProxyType({})),
                note=reader.take("note", _text, ""),
                fixed=reader.take("fixed", _flag, False),
            )
        except SpecError as error:
            message = str(error)
            if not message.startswith(reader.where):
                # The record knows its layer alone; here the number of the row is known too.
                layer = f"{label}: " if isinstance(label, str) else ""
                message = f"{reader.where}: {message.removeprefix(layer)}"
            raise SpecError(message) from error

    def hint(self) -> Hint:
        self.only(set(Hint._fields))
        return Hint(
            scale=self.take("scale", _scale),
            stem=self.take("stem", _width),
            printed=self.take("printed", _text),
            convention=self.take("convention", _convention, "shufflenet-paper"),
        )

    def only(self, known: Collection[str]) -> None:
        for key in self.table:
            if key not in known:
                raise SpecError(
                    f"{self.at(key)}: unknown key; known are {', '.join(sorted(known))}"
                )

    def take(self, key: str, read: Callable[[object], T], *default: T) -> T:
        if key not in self.table:
            if default:
                return default[0]
            raise SpecError(f"{self.at(key)}: missing")
        try:
            return read(self.table[key])
        except (QuantityError, _WrongTypeError) as error:
            raise SpecError(f"{self.at(key)}: {error}") from error

    def tables(self, key: str, word: str, *, required: bool = True) -> Iterator[_Reader]:
        value = self.table.get(key, None if required else [])
        if value is None:
            raise SpecError(f"{self.at(key)}: missing")
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise SpecError(f"{self.at(key)}: {_shown(value)} is not a list of tables")
        for number, item in enumerate(value, 1):
            yield _Reader(item, f"{word} {number}")

    def at(self, key: str) -> str:
        shown = key if len(key) <= 40 else f"{key[:40]}..."
        return f"{self.where}: {shown!r}" if self.where else f"{shown!r}"


class _WrongTypeError(Exception):
    def __init__(self, value: object, wanted: str) -> None:
        super().__init__(f"{_shown(value)} is not {wanted}")


def _shown(value: object) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:
        # Python refuses to print an int of thousands of digits; TOML's 0x... can hold one.
        return "a number too long to show"


def _is_label(value: object) -> bool:
    return isinstance(value, str) and is_label(value)


def _text(value: object) -> str:
    if (
        not isinstance(value, str)
        or len(value) > 2_000
        or not value.replace("\n", " ").isprintable()
    ):
        raise _WrongTypeError(value, "a printable text of at most 2000 characters")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _WrongTypeError(value, "a list of texts")
    return tuple(_text(item) for item in value)


def _convention(value: object) -> str:
    if _text(value) not in CONVENTIONS:
        raise _WrongTypeError(value, f"a convention: {', '.join(CONVENTIONS)}")
    return _text(value)


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _WrongTypeError(value, "a whole number")
    if value.bit_length() > 63:
        raise _WrongTypeError(value, "a whole number of at most 63 bits")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongTypeError(value, "true or false")
    return value


def _width(value: object) -> int:
    return check_width(_int(value))


def _ints(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise _WrongTypeError(value, "a list of whole numbers")
    return tuple(_int(item) for item in value)


def _ints_or(columns: int) -> Callable[[object], tuple[int, ...]]:
    """One whole number for all columns, or a list with one for each."""

    def read(value: object) -> tuple[int, ...]:
        return _ints(value) if isinstance(value, list) else (_int(value),) * columns

    return read


def _size(value: object) -> tuple[int, int]:
    return read_size(_text(value))


def _kernel(value: object) -> int:
    h, w = read_size(_text(value))
    if h != w:
        raise _WrongTypeError(value, "a square kernel such as 3x3")
    return h


def _ratio(value: object) -> int:
    one, _, over = _text(value).partition(":")
    if one != "1" or not (over.isascii() and over.isdigit() and len(over) <= 4):
        raise _WrongTypeError(value, "a bottleneck ratio such as 1:4")
    return int(over)


def _scale(value: object) -> Decimal:
    try:
        return check_scale(Decimal(_text(value)))
    except ArithmeticError as error:
        raise _WrongTypeError(value, "a scale such as 0.5, in quotes") from error


def _options(value: object) -> Mapping[str, Option]:
    if not isinstance(value, dict):
        raise _WrongTypeError(value, "a table of options")
    return MappingProxyType({name: _option(item) for name, item in value.items()})


def _option(item: object) -> Option:
    if isinstance(item, list) and item and all(isinstance(part, list) and part for part in item):
        return tuple(_ints(part) for part in item)
    if not isinstance(item, (bool, int, str)):
        raise _WrongTypeError(
            item, "true, false, a whole number, a text or lists of whole numbers in a list"
        )
    if isinstance(item, int):
        _int(int(item))
    return item
