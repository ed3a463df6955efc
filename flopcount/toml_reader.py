"""TOML files as records: one reader of tables, on which specs, problems, claims, conventions rest.

What could hang, never end or take for ever is refused. A `TomlTable` takes each value by its key,
through a field: a function that returns what the value means, or raises ValueError with the rule.
Every key of every table is checked before an error is raised, which has one line for each fault,
with file, row, key, value and rule.
"""

from __future__ import annotations

import difflib
import os
import reprlib
import stat
import tomllib
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

#: The largest file that is read [B].
MAX_BYTES = 1_000_000
_MAX_DOTS = 2_000
_MAX_ITEMS = 10_000
_MAX_FAULTS = 20
_LONGEST_SHOWN = 80
_MAX_INT = 2**63 - 1

T = TypeVar("T")
D = TypeVar("D")
P = ParamSpec("P")
#: What a value means. Raises ValueError, with the value and the rule that it breaks.
Field: TypeAlias = Callable[[object], T]


class TomlError(ValueError):
    """What is wrong with a file, a text for each fault; whoever asked for it names the file."""

    def __str__(self) -> str:
        return "\n".join(self.args)


def read_file(
    path: str, read: Callable[[TomlTable], T], error: type[ValueError], name: str = ""
) -> T:
    """What ``read`` makes of the table in a file, which errors call by its name.

    Raises ``error`` where the file cannot be read, is not TOML, or breaks rules: a line for each.
    """
    name = name or path
    try:
        data = _bytes(path)
    except TomlError as fault:
        raise error(f"{printable(name)}: {fault}") from fault
    return read_text(data, read, error, name)


def read_text(data: bytes, read: Callable[[TomlTable], T], error: type[ValueError], name: str) -> T:
    """What ``read`` makes of the table in a TOML text. Raises ``error`` as `read_file` does."""
    try:
        table = TomlTable(_parsed(data))
        found = read(table)
        table.settle()
    except TomlError as fault:
        lines, more = fault.args[:_MAX_FAULTS], len(fault.args) - _MAX_FAULTS
        lines += (f"... and {more} more",) if more > 0 else ()
        raise error("\n".join(f"{printable(name)}: {line}" for line in lines)) from fault
    return found


def error_lines(error: BaseException) -> list[str]:
    """The lines of an error: several where it tells the faults of a TOML file, else one."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TomlError):
        cause = cause.__cause__
    return [str(error)] if cause is None else str(error).split("\n")


def _bytes(path: str) -> bytes:
    data = None
    try:
        # A pipe or a device could hang or never end.
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TomlError(f"cannot be read: {reason}") from error
    if data is None:
        raise TomlError("not a regular file")
    if len(data) > MAX_BYTES:
        raise TomlError(f"more than {MAX_BYTES} bytes")
    return data


def _parsed(data: bytes) -> dict[str, Any]:
    if data.count(b".") > _MAX_DOTS:
        # A key of thousands of dotted parts costs the parser its square in time and memory.
        raise TomlError(f"more than {_MAX_DOTS} dots")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TomlError(f"not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise TomlError(printable(f"not TOML: {error}")) from error


class TomlTable:
    """One table of a TOML file, read key by key; ``faults`` are what is wrong, each a text.

    After a fault `take` and `below` give the default, or None, so that the other keys are read;
    `settle` then raises, before anything is made of what is not there.
    """

    def __init__(self, values: dict[str, Any], where: str = "") -> None:
        self.values = values
        self.where = where
        self.faults: list[str] = []
        self._known: list[str] = []
        self._label = ""

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def label(self, text: str) -> None:
        """Call the table by a name, too, behind its number: ``row 3 (Stage2)``."""
        self._label = text
        self.where = f"{self.where} ({text})"

    def take(self, key: str, field: Field[T], *default: D) -> T | D:
        """The value of a key; the default where there is none, which is a fault without one."""
        self._known.append(key)
        try:
            if key in self.values:
                return field(self.values[key])
            if not default:
                self.fault(key, "missing")
        except ValueError as error:
            self.fault(key, error)
        return default[0] if default else cast(T, None)

    def below(self, key: str, read: Callable[[TomlTable], T], *default: D) -> T | D:
        """What ``read`` makes of the table of a key."""
        self.take(key, _table, *default)
        values = self.values.get(key)
        found = (
            self._read(TomlTable(values, self._at(key)), read) if isinstance(values, dict) else []
        )
        if found:
            return found[0]
        return default[0] if default else cast(T, None)

    def tables(
        self,
        key: str,
        read: Callable[[TomlTable], T],
        other: Field[T] | None = None,
        *,
        required: bool = False,
    ) -> tuple[T, ...]:
        """What ``read`` makes of each table of a list; ``other`` reads a text in its place."""
        items = self.take(key, _items, *([] if required else [None])) or []
        if other is None and not all(isinstance(item, dict) for item in items):
            self.fault(key, f"{shown(items)} is not a list of tables")
            return ()
        found: list[T] = []
        for number, item in enumerate(items, 1):
            if isinstance(item, dict):
                where = f"{key.removesuffix('s')} {number}"
                where = f"{self.where}: {where}" if self.where else where
                found += self._read(TomlTable(item, where), read)
            elif other is not None and isinstance(item, str):
                try:
                    found.append(other(item))
                except ValueError as error:
                    self.fault(key, error)
            else:
                self.fault(key, f"{shown(item)} is neither a text nor a table")
        return tuple(found)

    def build(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What is made of all that was taken. Raises TomlError as `settle` does, and for a rule."""
        self.settle()
        return self.check(None, make, *args, **kwargs)

    def check(self, key: str | None, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What is made of values; where that raises ValueError, it is a fault of the key."""
        try:
            return make(*args, **kwargs)
        except ValueError as error:
            self.fault(key, str(error).removeprefix(f"{self._label}: "))
            raise TomlError(*self.faults) from error

    def settle(self, known: Collection[str] = ()) -> None:
        """Refuse every key that is neither known nor was taken; raise TomlError for all faults."""
        known = dict.fromkeys([*self._known, *known])
        for number, key in enumerate([key for key in self.values if key not in known]):
            # Of more faults than are told, none needs a hint.
            near = [] if number >= _MAX_FAULTS else known
            close = difflib.get_close_matches(key[:_LONGEST_SHOWN], near, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            self.fault(key, f"unknown key; known are {', '.join(sorted(known))}{hint}")
            # Each key is a fault once.
            self._known.append(key)
        if self.faults:
            raise TomlError(*self.faults)

    def fault(self, key: str | None, rule: object) -> None:
        """Keep what is wrong with a key, or with the whole table."""
        where = self.where if key is None else self._at(key)
        self.faults.append(printable(f"{where}: {rule}" if where else str(rule)))

    def _at(self, key: str) -> str:
        quoted = repr(key if len(key) <= 40 else f"{key[:40]}...")
        return f"{self.where}: {quoted}" if self.where else quoted

    def _read(self, table: TomlTable, read: Callable[[TomlTable], T]) -> list[T]:
        """What is made of a table below, whose faults are also ours; nothing where it has any."""
        found = []
        try:
            found.append(read(table))
            table.settle()
        except TomlError:
            found.clear()
        self.faults += table.faults
        return found


def wrong(value: object, wanted: str) -> TomlError:
    """The error of a value that is not what is wanted."""
    return TomlError(f"{shown(value)} is not {wanted}")


def text(most: int, least: int = 0, *, lines: bool = False) -> Field[str]:
    """A field of a text that can be shown, of so many characters; of several lines if so said."""
    size = f"{least} to {most}" if least else f"at most {most}"

    def field(value: object) -> str:
        if (
            not isinstance(value, str)
            or not least <= len(value) <= most
            or not (value.replace("\n", " ") if lines else value).isprintable()
        ):
            raise wrong(value, f"a printable text of {size} characters")
        return value

    return field


def whole(least: int = -_MAX_INT, most: int = _MAX_INT) -> Field[int]:
    """A field of a whole number between two, both included."""

    def field(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong(value, "a whole number")
        if not least <= value <= most:
            raise wrong(value, f"between {least} and {most}")
        return value

    return field


def flag(value: object) -> bool:
    """A field of whether something is so."""
    if not isinstance(value, bool):
        raise wrong(value, "true or false")
    return value


def one_of(words: Collection[str]) -> Field[str]:
    """A field of one of several words."""

    def field(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise wrong(value, f"one of {', '.join(words)}")
        return value

    return field


def list_of(field: Field[T], what: str) -> Field[tuple[T, ...]]:
    """A field of a list of values of another field; ``what`` they are, for an error."""

    def each(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise wrong(value, f"a list of {what}")
        return tuple(field(item) for item in value)

    return each


def parsed_by(parse: Callable[[str], T], field: Field[str]) -> Field[T]:
    """A field of a text that a function parses, which raises ValueError with the rule."""
    return lambda value: parse(field(value))


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(value, "a table")
    return value


def _items(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise wrong(value, "a list of tables")
    if len(value) > _MAX_ITEMS:
        raise TomlError(f"{len(value)} items is more than {_MAX_ITEMS}")
    return value


class _Repr(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = _LONGEST_SHOWN

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to print an int of thousands of digits; TOML's 0x... can hold one.
        return repr(x) if x.bit_length() <= 128 else f"a number of {x.bit_length()} bits"


_REPR = _Repr()


def shown(value: object) -> str:
    """A value as an error quotes it: printable, and cut where it is long."""
    quoted = _REPR.repr(value)
    return quoted if len(quoted) <= _LONGEST_SHOWN else f"{quoted[: _LONGEST_SHOWN - 3]}..."


def printable(text: str) -> str:
    """A text whose unprintable characters are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
