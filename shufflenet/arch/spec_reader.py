"""TOML into a Spec. Loading or listing runs no code, and every error is a SpecError.

A SpecError names the file, the row, the key, the value and the rule it breaks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from types import MappingProxyType

from flopcount.conventions import CONVENTIONS
from flopcount.toml_reader import (
    Field,
    TomlTable,
    flag,
    list_of,
    one_of,
    parsed_by,
    printable,
    read_file,
    read_text,
    text,
    whole,
    wrong,
)
from shufflenet.arch.quantities import MAX_REPEATS, MAX_WIDTH, check_scale, read_size
from shufflenet.arch.spec import MAX_KERNEL, Hint, Row, Spec, SpecError, is_label
from shufflenet.units.context import Option

_TEXT = text(2_000, lines=True)
_WHOLES = list_of(whole(), "whole numbers")


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
    path = file = os.fspath(name)
    if isinstance(name, str) and not (os.sep in path or "/" in path or path.endswith(".toml")):
        known = bundled()
        if name not in known:
            raise SpecError(
                f"unknown spec {name!r}: bundled are {', '.join(known)};"
                " a file of your own ends in .toml"
            )
        path, file = known[name], f"specs/{name}.toml"
    stem = os.path.splitext(os.path.basename(path))[0]
    return read_file(path, partial(_spec, name=stem, file=printable(file)), SpecError, file)


def loads(data: bytes, *, name: str, file: str = "") -> Spec:
    """The spec in a TOML text. Raises SpecError for anything that is not one."""
    return read_text(data, partial(_spec, name=name, file=file), SpecError, file or name)


def _spec(table: TomlTable, name: str, file: str) -> Spec:
    groups = table.take("groups", _WHOLES, (1,))
    return table.build(
        Spec,
        name=name,
        rows=table.tables("rows", partial(_row, columns=len(groups)), required=True),
        title=table.take("title", _TEXT, name),
        source=table.take("source", _TEXT, ""),
        groups=groups,
        default_groups=table.take("default_groups", whole(), None),
        notes=table.take("notes", list_of(_TEXT, "texts"), ()),
        hints=table.tables("hints", _hint),
        file=file,
        options=table.take("options", _options, MappingProxyType({})),
    )


def _row(table: TomlTable, columns: int) -> Row:
    label = table.values.get("layer")
    if isinstance(label, str) and is_label(label):
        table.label(label)
    return table.build(
        Row,
        layer=table.take("layer", _TEXT),
        unit=table.take("unit", _TEXT),
        output=table.take("output", parsed_by(read_size, _TEXT), None),
        kernel=table.take("ksize", parsed_by(_kernel, _TEXT), None),
        stride=table.take("stride", whole(1, MAX_KERNEL), 1),
        repeat=table.take("repeat", whole(1, MAX_REPEATS), 1),
        channels=table.take("channels", _channels(columns), None),
        ratio=table.take("ratio", parsed_by(_ratio, _TEXT), None),
        options=table.take("options", _options, MappingProxyType({})),
        note=table.take("note", _TEXT, ""),
        fixed=table.take("fixed", flag, False),
    )


def _hint(table: TomlTable) -> Hint:
    return table.build(
        Hint,
        scale=table.take("scale", parsed_by(_scale, _TEXT)),
        stem=table.take("stem", whole(1, MAX_WIDTH)),
        printed=table.take("printed", _TEXT),
        convention=table.take("convention", one_of(CONVENTIONS), "shufflenet-paper"),
    )


def _channels(columns: int) -> Field[tuple[int, ...]]:
    """One width for all columns, or a list with one for each."""
    width = whole(1, MAX_WIDTH)
    widths = list_of(width, "widths")
    return lambda value: widths(value) if isinstance(value, list) else (width(value),) * columns


def _kernel(size: str) -> int:
    h, w = read_size(size)
    if h != w:
        raise wrong(size, "a square kernel such as 3x3")
    return h


def _ratio(ratio: str) -> int:
    one, _, over = ratio.partition(":")
    if one != "1" or not (over.isascii() and over.isdigit() and len(over) <= 4):
        raise wrong(ratio, "a bottleneck ratio such as 1:4")
    return int(over)


def _scale(scale: str) -> Decimal:
    try:
        return check_scale(Decimal(scale))
    except ArithmeticError as error:
        raise wrong(scale, "a scale such as 0.5, in quotes") from error


def _options(value: object) -> Mapping[str, Option]:
    if not isinstance(value, dict):
        raise wrong(value, "a table of options")
    return MappingProxyType({name: _option(item) for name, item in value.items()})


def _option(item: object) -> Option:
    if isinstance(item, list) and item and all(isinstance(part, list) and part for part in item):
        return tuple(_WHOLES(part) for part in item)
    if not isinstance(item, (bool, int, str)):
        raise wrong(item, "true, false, a whole number, a text or lists of whole numbers in a list")
    return item if isinstance(item, (bool, str)) else whole()(item)
