"""TOML into a problem. Loading runs no code, and every error is a ProblemError.

A ProblemError names the file, the key, the value and the rule it breaks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from fractions import Fraction
from functools import partial
from typing import Literal, TypeVar

from flopcount.conventions import convention as convention_named
from flopcount.toml_reader import (
    Field,
    TomlError,
    TomlTable,
    flag,
    parsed_by,
    printable,
    read_file,
    shown,
    text,
    whole,
    wrong,
)
from shufflenet.arch.quantities import (
    MAX_GROUPS,
    MAX_REPEATS,
    MAX_WIDTH,
    read_budget,
    read_percent,
    read_ratio,
)
from shufflenet.arch.ranges import (
    read_bottlenecks,
    read_group_numbers,
    read_range,
    read_scales,
    read_sizes,
    read_stages,
)
from shufflenet.solver.parsing import FIGURE_FORMATS, near, read_figure, read_goal
from shufflenet.solver.problem import Bound, Goal, Problem
from shufflenet.solver.request import ProblemError, Request

_TEXT = text(10_000, least=1)
_MOST_ITEMS = 10_000

T = TypeVar("T")


def load_problem(path: str | os.PathLike[str], units_from: Collection[str] = ()) -> Problem:
    """The problem in a TOML file; ``units_from`` names the packages whose own units it may name.

    Raises ProblemError where the file cannot be read, or a value breaks a rule.
    """
    return read_request(path).problem(units_from)


def read_request(path: str | os.PathLike[str]) -> Request:
    """What a TOML file asks for, as far as it says. Raises ProblemError as `load_problem` does."""
    file = os.fspath(path)
    return read_file(file, partial(_request, file=file), ProblemError)


def _request(table: TomlTable, file: str) -> Request:
    """What the table of a whole file asks for."""
    beside = partial(os.path.join, os.path.dirname(file))
    return table.build(
        Request,
        spec=table.take("spec", lambda value: _spec(_TEXT(value), beside), None),
        groups=table.take("groups", _several(read_group_numbers), ()),
        unit=table.take("unit", _several(lambda name: (name,), _TEXT), ()),
        bottleneck=table.take("bottleneck", _several(read_bottlenecks), ()),
        size=table.take("size", _several(read_sizes), ()),
        repeats=table.take("repeats", _stages("repeats", MAX_REPEATS), ()),
        stem=table.take("stem", _stem, ()),
        ratio=table.take("ratio", _ratio, None),
        free_stages=table.take("free_stages", flag, None),
        scales=table.take("scales", _several(read_scales), ()),
        widths=table.take("widths", _stages("widths", MAX_WIDTH), ()),
        widest=table.take("widest", whole(1, 1_000), None),
        align=table.take("align", whole(1, MAX_WIDTH), None),
        cardinality=table.take("cardinality", whole(1, MAX_GROUPS), None),
        convention=table.take("convention", _convention, ""),
        budget=table.take("budget", parsed_by(read_budget, _numeral), None),
        goals=_goals(table),
        bounds=table.tables("bounds", _bound),
        top=table.take("top", whole(1, 1_000), None),
        latency=table.take("latency", parsed_by(beside, _TEXT), None),
        file=printable(file),
    )


def _spec(name: str, beside: Callable[[str], str]) -> str:
    """The name of the spec, or its file's: one beside the problem is found from any folder."""
    is_file = "/" in name or os.sep in name or name.endswith(".toml")
    return beside(name) if is_file else name


def _goals(table: TomlTable) -> tuple[Goal, ...] | Literal["at-most"] | None:
    """What is wanted; None where nothing is said."""
    value = table.values.get("goals")
    if value == ["at-most"]:
        return table.take("goals", lambda _: "at-most")
    if value == []:
        table.fault("goals", "a list is empty")
    goals = table.tables("goals", _goal, parsed_by(read_goal, _TEXT))
    return goals if "goals" in table else None


def _goal(table: TomlTable) -> Goal:
    figure = table.take("figure", parsed_by(read_figure, _TEXT))
    sense = table.take("sense", _TEXT, None)
    target = table.take("nearest", _numeral, None)
    convention = table.take("convention", _convention, "")
    table.settle()
    if sense is not None and target is not None:
        table.fault("sense", "there is a 'nearest', too")
    _check_convention(table, figure, convention)
    table.settle()
    if target is None:
        name = figure if sense is None else f"{sense}-{figure}"
        goal = table.check("figure" if sense is None else "sense", read_goal, name)
    else:
        goal = Goal(figure, "nearest", table.check("nearest", FIGURE_FORMATS[figure].read, target))
    return goal._replace(convention=convention)


def _bound(table: TomlTable) -> Bound:
    figure = table.take("figure", parsed_by(read_figure, _TEXT))
    value = parsed_by(
        FIGURE_FORMATS[figure].read if figure in FIGURE_FORMATS else lambda _: 0, _numeral
    )
    least, most = table.take("at_least", value, None), table.take("at_most", value, None)
    target, within = table.take("near", value, None), table.take("within", _share, None)
    convention = table.take("convention", _convention, "")
    table.settle()
    ends = [key for key in ("at_least", "at_most") if key in table]
    if target is not None and ends:
        table.fault(ends[0], "there is a 'near', too")
    elif target is not None and within is None:
        table.fault("within", "missing, with 'near'")
    elif target is None and within is not None:
        table.fault("within", "there is no 'near' that it belongs to")
    elif target is None and not ends:
        table.fault(None, "none of at_least, at_most and near is given")
    elif least is not None and most is not None and least > most:
        table.fault("at_least", f"{least} is above at_most {most}")
    _check_convention(table, figure, convention)
    table.settle()
    if target is None or within is None:
        return Bound(figure, least, most, convention)
    return table.check("near", near, figure, target, within)._replace(convention=convention)


def _check_convention(table: TomlTable, figure: str, convention: str) -> None:
    if convention and figure != "macs":
        table.fault("convention", f"{figure} knows none, so it cannot be {convention}'s")


def _convention(value: object) -> str:
    """The name of a convention."""
    return convention_named(_TEXT(value)).name


def _share(value: object) -> Fraction:
    if not isinstance(value, str):
        raise wrong(value, 'a share as a text, such as "5%"')
    return read_percent(_TEXT(value), "within")


def _stem(value: object) -> tuple[int, ...] | Literal["auto"]:
    """The widths of the stem, or that any will do."""
    return "auto" if value == "auto" else _span(value, "stem", MAX_WIDTH)


def _stages(key: str, most: int) -> Field[tuple[tuple[int, ...], ...]]:
    """A range for each stage: as a text of the command's form, or as a list."""

    def field(value: object) -> tuple[tuple[int, ...], ...]:
        if isinstance(value, str):
            return read_stages(_TEXT(value), key, most)
        if not isinstance(value, list) or len(value) > _MOST_ITEMS:
            raise wrong(value, f"a list of at most {_MOST_ITEMS}")
        return tuple(_span(item, key, most) for item in value)

    return field


def _span(value: object, key: str, most: int) -> tuple[int, ...]:
    """A whole number, a range as a text, or a list of either."""
    return read_range(",".join(map(_numeral, _listed(value))), key, most)


def _ratio(value: object) -> tuple[int, ...] | None:
    """The widths of the stages in proportion: a text, or a list of them."""
    if not isinstance(value, list):
        return read_ratio(_TEXT(value))
    return tuple(map(whole(1, MAX_WIDTH), value)) or None


def _several(
    read: Callable[[str], tuple[T, ...]], item: Field[str] | None = None
) -> Field[tuple[T, ...]]:
    """One value or a list of them, each of which may be a range, and nothing twice."""
    parse = parsed_by(read, item or _numeral)

    def field(value: object) -> tuple[T, ...]:
        values = tuple(one for item in _listed(value) for one in parse(item))
        if len(set(values)) != len(values):
            raise TomlError(f"{shown(value)} names a value twice")
        return values

    return field


def _listed(value: object) -> list[object]:
    """The items of a list, or a value as one of its own. Raises TomlError for an empty list."""
    if value == []:
        raise TomlError("a list is empty")
    return value if isinstance(value, list) else [value]


def _numeral(value: object) -> str:
    """A number as the command would have it: a text, or a whole number of 0 or more."""
    if isinstance(value, float):
        # TOML gives what is nearest in binary, and ours are exact.
        raise TomlError(f'{value} has decimals, so that it must be a text to be exact: "{value}"')
    if isinstance(value, str):
        return _TEXT(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong(value, "a whole number or a text")
    if value < 0:
        raise TomlError(f"{shown(value)} is below 0")
    return shown(value)
