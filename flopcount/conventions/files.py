"""A convention of one's own, from a TOML file; every error is a ConventionError.

A ConventionError names the file, the key, the value and the rule it breaks.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial
from typing import Literal, cast

from flopcount.conventions.pricing import (
    ENTRY_KINDS,
    FACT_NAMES,
    FREE_KINDS,
    Convention,
    Fact,
    Price,
)
from flopcount.toml_reader import TomlTable, list_of, one_of, read_file, shown, text, whole

_UNITS = whole(-1_000_000, 1_000_000)
_PROSE = text(10_000, lines=True)
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
    stem = os.path.splitext(os.path.basename(file))[0]
    return read_file(file, partial(_convention, stem=stem), ConventionError)


def _convention(table: TomlTable, stem: str) -> Convention:
    table.values.setdefault("name", stem)
    none: dict[str, Price] = {}
    prices = table.below("prices", partial(_prices, kinds=ENTRY_KINDS), none)
    return table.build(
        Convention,
        name=table.take("name", text(60, least=1)),
        says=table.take("says", _PROSE, ""),
        source=table.take("source", _PROSE, ""),
        unit=cast(Literal["macs", "flops"], table.take("unit", one_of(("macs", "flops")))),
        prices=prices,
        free=_free(table, prices),
        operators=table.below("operators", _operators, none),
        modules=table.below("modules", _modules, {}),
        batch=cast(
            Literal["total", "modules", "sample"],
            table.take("batch", one_of(("total", "modules", "sample")), "total"),
        ),
    )


def _free(table: TomlTable, prices: Collection[str]) -> frozenset[str]:
    kinds = table.take("free", list_of(one_of((_REST, *sorted(ENTRY_KINDS))), "kinds"), ())
    for kind in dict.fromkeys(kinds):
        if kinds.count(kind) > 1:
            table.fault("free", f"{shown(kind)} stands there twice")
        if kind in prices:
            table.fault("free", f"{shown(kind)} has a price, too")
    named = frozenset(kinds) - {_REST}
    return named | (FREE_KINDS - set(prices)) if _REST in kinds else named


def _modules(table: TomlTable) -> dict[str, dict[str, Price]]:
    read = partial(_prices, kinds=ENTRY_KINDS)
    return {layer: table.below(layer, read) for layer in table.values}


def _operators(table: TomlTable) -> dict[str, Price]:
    for operator in table.values:
        if not operator.isidentifier():
            table.fault(operator, "not the name of an operator")
    return _prices(table, table.values)


def _prices(table: TomlTable, kinds: Collection[str]) -> dict[str, Price]:
    prices = {key: table.below(key, _price) for key in table.values if key in kinds}
    table.settle(known=kinds)
    return prices


def _price(table: TomlTable) -> Price:
    for fact in FACT_NAMES:
        table.take(fact, _UNITS, 0)
    table.settle()
    return cast("dict[Fact, int]", table.values)
