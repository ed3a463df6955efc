"""A convention of one's own, from a TOML file; every error is a ConventionError.

A ConventionError names the file, the key, the value and the rule it breaks.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, Literal, NamedTuple, cast

from flopcount import toml_reader
from flopcount.conventions.pricing import (
    BACKWARD,
    ENTRY_KINDS,
    FACT_NAMES,
    FREE_KINDS,
    Convention,
    Fact,
    Price,
)
from flopcount.entries import PRODUCTS
from flopcount.toml_reader import TomlError, shown

_MAX_NAME = 60
_MAX_UNITS = 1_000_000
_KEYS = ("name", "says", "source", "unit", "batch", "free", "prices", "operators", "modules")
_UNITS = ("macs", "flops")
_BATCHES = ("total", "modules", "sample")
#: In a list of free kinds: every kind without products that is not priced.
_REST = "rest"


class ConventionError(ValueError):
    """A convention that cannot be read, or breaks a rule; the text quotes file, key and value."""


def load_convention(path: str | os.PathLike[str]) -> Convention:
    """The convention in a TOML file.

    Raises ConventionError where the file cannot be read, is not TOML, or a key, a kind, a fact or
    a number is not one that a convention has.
    """
    file = os.fspath(path)
    try:
        table = toml_reader.parsed(toml_reader.read(file))
        return _Reader(table, "").convention(os.path.splitext(os.path.basename(file))[0])
    except (TomlError, ConventionError) as error:
        raise ConventionError(f"{file}: {error}") from error


class _Reader(NamedTuple):
    """One TOML table, and where it stands."""

    table: dict[str, Any]
    where: str

    def convention(self, stem: str) -> Convention:
        self.only(_KEYS, "no such key")
        name = self.text("name", stem)
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
            raise ConventionError(f"name: {shown(name)} is not 1 to {_MAX_NAME} printable letters")
        prices = self.below("prices").prices(ENTRY_KINDS)
        free = self.free(prices)
        operators = self.below("operators")
        for operator in operators.table:
            if not operator.isidentifier():
                raise ConventionError(f"operators: {shown(operator)} is not the name of one")
        modules = self.below("modules")
        return Convention(
            name,
            self.text("says", ""),
            self.text("source", ""),
            cast(Literal["macs", "flops"], self.choice("unit", _UNITS)),
            prices,
            free,
            operators.prices(None),
            {layer: modules.below(layer).prices(ENTRY_KINDS) for layer in modules.table},
            cast(Literal["total", "modules", "sample"], self.choice("batch", _BATCHES, "total")),
        )

    def only(self, known: Collection[str], rule: str) -> None:
        for key in self.table:
            if key not in known:
                raise ConventionError(f"{self.at(key)}: {rule}; there are {', '.join(known)}")

    def at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def text(self, key: str, default: str) -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str):
            raise ConventionError(f"{self.at(key)}: {shown(value)} is not a text")
        return value

    def choice(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        value = self.table.get(key, default)
        if value is None:
            raise ConventionError(f"{self.at(key)}: missing; it is one of {', '.join(known)}")
        if value not in known:
            raise ConventionError(f"{self.at(key)}: {shown(value)} is none of {', '.join(known)}")
        return cast(str, value)

    def below(self, key: str) -> _Reader:
        value = self.table.get(key, {})
        if not isinstance(value, dict):
            raise ConventionError(f"{self.at(key)}: {shown(value)} is not a table")
        return _Reader(value, self.at(key))

    def free(self, prices: Collection[str]) -> frozenset[str]:
        value = self.table.get("free", [])
        if not isinstance(value, list):
            raise ConventionError(f"free: {shown(value)} is not a list of kinds")
        for place, kind in enumerate(value):
            if not isinstance(kind, str) or kind not in {_REST, *ENTRY_KINDS}:
                raise ConventionError(f"free: {shown(kind)} is no kind; {_kinds()}")
            if kind in value[:place]:
                raise ConventionError(f"free: {shown(kind)} stands there twice")
            if kind in prices:
                raise ConventionError(f"free: {shown(kind)} has a price, too")
        named = frozenset(value) - {_REST}
        return named | (FREE_KINDS - set(prices)) if _REST in value else named

    def prices(self, kinds: Collection[str] | None) -> dict[str, Price]:
        for key in self.table:
            if kinds is not None and key not in kinds:
                raise ConventionError(f"{self.at(key)}: {shown(key)} is no kind; {_kinds()}")
        return {key: self.below(key).price() for key in self.table}

    def price(self) -> Price:
        self.only(FACT_NAMES, "no such fact")
        for fact, units in self.table.items():
            if type(units) is not int:
                raise ConventionError(f"{self.at(fact)}: {shown(units)} is not a whole number")
            if abs(units) > _MAX_UNITS:
                raise ConventionError(f"{self.at(fact)}: {units} is more than {_MAX_UNITS}")
        return cast("dict[Fact, int]", dict(self.table))


def _kinds() -> str:
    return f"there are {', '.join([*sorted(PRODUCTS), *sorted(BACKWARD), *sorted(FREE_KINDS)])}"
