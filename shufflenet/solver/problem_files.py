"""TOML into a problem. Loading runs no code, and every error is a ProblemError.

A ProblemError names the file, the key, the value and the rule it breaks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

from flopcount import toml_reader
from flopcount.conventions import UnknownConventionError
from flopcount.conventions import convention as convention_named
from flopcount.toml_reader import TomlError, shown
from shufflenet.arch.quantities import (
    MAX_REPEATS,
    MAX_WIDTH,
    QuantityError,
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
from shufflenet.solver.parsing import FIGURE_FORMATS, near, read_figure, read_goal, read_objective
from shufflenet.solver.problem import Bound, Figure, Goal, Problem
from shufflenet.solver.request import ProblemError, Request

_KEYS = (
    *("spec", "groups", "unit", "bottleneck", "size", "repeats", "stem", "ratio"),
    *("free_stages", "scales", "widths", "widest", "align", "cardinality"),
    *("convention", "budget", "goals", "bounds", "top", "latency"),
)
_GOAL_KEYS = ("figure", "sense", "nearest", "convention")
_BOUND_KEYS = ("figure", "at_least", "at_most", "near", "within", "convention")
_MOST_ITEMS = 10_000
_LONGEST = 10_000
_MOST_TOP = 1_000

T = TypeVar("T")


def load_problem(path: str | os.PathLike[str], units_from: Collection[str] = ()) -> Problem:
    """The problem in a TOML file; ``units_from`` names the packages whose own units it may name.

    Raises ProblemError where the file cannot be read, or a value breaks a rule.
    """
    return read_request(path).problem(units_from)


def read_request(path: str | os.PathLike[str]) -> Request:
    """What a TOML file asks for, as far as it says. Raises ProblemError as `load_problem` does."""
    file = os.fspath(path)
    try:
        table = toml_reader.parsed(toml_reader.read(file))
        return _Reader(table, "").request(file)
    except (TomlError, ProblemError) as error:
        raise ProblemError(f"{file}: {error}") from error


class _Reader(NamedTuple):
    """One TOML table, and where it stands; every value is taken with its type checked."""

    table: Mapping[str, Any]
    where: str

    def request(self, file: str) -> Request:
        """What the table of a whole file asks for."""
        self.only(_KEYS)
        return Request(
            spec=self.spec(file),
            groups=self.several("groups", read_group_numbers),
            unit=self.several("unit", lambda text: (text,), numbers=False),
            bottleneck=self.several("bottleneck", read_bottlenecks),
            size=self.several("size", read_sizes),
            repeats=self.stages("repeats", MAX_REPEATS),
            stem=self.stem(),
            ratio=self.ratio(),
            free_stages=self.one("free_stages", self.flag),
            scales=self.several("scales", read_scales),
            widths=self.stages("widths", MAX_WIDTH),
            widest=self.one("widest", self.between(1, 1_000)),
            align=self.one("align", self.between(1, MAX_WIDTH)),
            cardinality=self.one("cardinality", self.between(1, 1_024)),
            convention=self.convention(),
            budget=self.one("budget", self.reads(read_budget, numbers=True)),
            goals=self.goals(),
            bounds=tuple(table.bound() for table in self.tables("bounds")),
            top=self.one("top", self.between(1, _MOST_TOP)),
            latency=self.beside(file),
            file=file,
        )

    def spec(self, file: str) -> str | None:
        """The name of the spec, or its file's."""
        name = self.one("spec", self.text)
        if name is None or not ("/" in name or os.sep in name or name.endswith(".toml")):
            return name
        # A file beside the problem is found from any folder.
        return os.path.join(os.path.dirname(file), name)

    def beside(self, file: str) -> str | None:
        name = self.one("latency", self.text)
        return None if name is None else os.path.join(os.path.dirname(file), name)

    def convention(self) -> str:
        """The name of the convention; "" where none is said."""
        name = self.one("convention", self.text)
        try:
            return "" if name is None else convention_named(name).name
        except UnknownConventionError as error:
            raise self.fault("convention", error) from error

    def stem(self) -> tuple[int, ...] | Literal["auto"]:
        """The widths of the stem, or that any will do."""
        if self.table.get("stem") == "auto":
            return "auto"
        return () if "stem" not in self.table else self.span("stem", self.table["stem"], MAX_WIDTH)

    def stages(self, key: str, most: int) -> tuple[tuple[int, ...], ...]:
        """A range for each stage: as a text of the command's form, or as a list."""
        value = self.table.get(key, [])
        if isinstance(value, str):
            return self.reads(lambda text: read_stages(text, key, most))(key, value)
        return tuple(self.span(key, item, most) for item in self.list(key))

    def span(self, key: str, value: object, most: int) -> tuple[int, ...]:
        """A whole number, a range as a text, or a list of either."""
        items = value if isinstance(value, list) else [value]
        if not items:
            raise self.fault(key, "a list is empty")
        text = ",".join(self.numeral(key, item) for item in items)
        return self.reads(lambda text: read_range(text, key, most))(key, text)

    def ratio(self) -> tuple[int, ...] | None:
        """The widths of the stages in proportion: a text, or a list of them."""
        value = self.table.get("ratio")
        if not isinstance(value, list):
            return self.one("ratio", self.reads(read_ratio))
        return tuple(self.between(1, MAX_WIDTH)("ratio", item) for item in value) or None

    def goals(self) -> tuple[Goal, ...] | Literal["at-most"] | None:
        """What is wanted; None where nothing is said."""
        if "goals" not in self.table:
            return None
        items = self.list("goals")
        if not items:
            raise self.fault("goals", "a list is empty")
        if len(items) == 1 and isinstance(items[0], str):
            only = self.reads(read_objective)("goals", items[0])
            return only if only == "at-most" else (only,)
        return tuple(
            self.reads(read_goal)("goals", item)
            if isinstance(item, str)
            else self.below("goals", number, item).goal()
            for number, item in enumerate(items, 1)
        )

    def goal(self) -> Goal:
        """The goal of a table."""
        self.only(_GOAL_KEYS)
        figure = self.figure()
        try:
            sense = self.one("sense", self.text)
            if "nearest" in self.table:
                if sense is not None:
                    raise self.fault("sense", "there is a 'nearest', too")
                read = self.reads(FIGURE_FORMATS[figure].read, numbers=True)
                target = read("nearest", self.table["nearest"])
                return Goal(figure, "nearest", target, self.own_convention(figure))
            goal = read_goal(figure if sense is None else f"{sense}-{figure}")
        except QuantityError as error:
            raise self.fault("figure" if "sense" not in self.table else "sense", error) from error
        return goal._replace(convention=self.own_convention(figure))

    def bound(self) -> Bound:
        """The bound of a table."""
        self.only(_BOUND_KEYS)
        figure = self.figure()
        convention = self.own_convention(figure)
        ends = [key for key in ("at_least", "at_most") if key in self.table]
        if "near" in self.table:
            if ends:
                raise self.fault(ends[0], "there is a 'near', too")
            return self.near(figure)._replace(convention=convention)
        if "within" in self.table:
            raise self.fault("within", "there is no 'near' that it belongs to")
        if not ends:
            raise ProblemError(f"{self.where}: none of at_least, at_most and near is given")
        least, most = (
            self.value(key, figure) if key in self.table else None
            for key in ("at_least", "at_most")
        )
        if least is not None and most is not None and least > most:
            raise self.fault("at_least", f"{least} is above at_most {most}")
        return Bound(figure, least, most, convention)

    def near(self, figure: Figure) -> Bound:
        """The bound of what is within a share of a value."""
        if "within" not in self.table:
            raise self.fault("within", "missing, with 'near'")
        share = self.table["within"]
        if not isinstance(share, str):
            raise self.fault("within", f'{shown(share)} is not a share as a text, such as "5%"')
        within = self.reads(lambda text: read_percent(text, "within"))("within", share)
        try:
            return near(figure, self.value("near", figure), within)
        except QuantityError as error:
            raise self.fault("near", error) from error

    def figure(self) -> Figure:
        """The figure that a goal or a bound is about."""
        if "figure" not in self.table:
            raise self.fault("figure", "missing")
        return self.reads(read_figure)("figure", self.table["figure"])

    def own_convention(self, figure: Figure) -> str:
        """The convention of one goal or bound; "" is the problem's."""
        name = self.convention()
        if name and figure != "macs":
            raise self.fault("convention", f"{figure} knows none, so it cannot be {name}'s")
        return name

    def value(self, key: str, figure: Figure) -> Any:
        """The value of a figure: a text as the command reads it, or a whole number."""
        return self.reads(FIGURE_FORMATS[figure].read, numbers=True)(key, self.table[key])

    def several(
        self, key: str, read: Callable[[str], tuple[T, ...]], numbers: bool = True
    ) -> tuple[T, ...]:
        """One value or a list of them, each of which may be a range, and nothing twice."""
        if key not in self.table:
            return ()
        value = self.table[key]
        items = value if isinstance(value, list) else [value]
        checked = self.reads(read, numbers=numbers)
        values = tuple(one for item in items for one in checked(key, item))
        if not values:
            raise self.fault(key, "a list is empty")
        if len(set(values)) != len(values):
            raise self.fault(key, f"{shown(value)} names a value twice")
        return values

    def one(self, key: str, read: Callable[[str, object], T]) -> T | None:
        """The value of a key, read; None where it is not there."""
        return read(key, self.table[key]) if key in self.table else None

    def reads(self, read: Callable[[str], T], numbers: bool = False) -> Callable[[str, object], T]:
        """A reader of a text, or of a whole number too, whose QuantityError becomes ours."""

        def checked(key: str, value: object) -> T:
            text = self.numeral(key, value) if numbers else self.text(key, value)
            try:
                return read(text)
            except QuantityError as error:
                raise self.fault(key, error) from error

        return checked

    def between(self, least: int, most: int) -> Callable[[str, object], int]:
        """A reader of a whole number."""

        def checked(key: str, value: object) -> int:
            if type(value) is not int or not least <= value <= most:
                raise self.fault(
                    key, f"{shown(value)} is not a whole number between {least} and {most}"
                )
            return value

        return checked

    def numeral(self, key: str, value: object) -> str:
        """A number as the command would have it: a text, or a whole number of 0 or more."""
        if isinstance(value, float):
            # TOML gives what is nearest in binary, and ours are exact.
            raise self.fault(
                key, f'{value} has decimals, so that it must be a text to be exact: "{value}"'
            )
        if isinstance(value, str):
            return self.text(key, value)
        if type(value) is not int:
            raise self.fault(key, f"{shown(value)} is neither a whole number nor a text")
        if value < 0:
            raise self.fault(key, f"{shown(value)} is below 0")
        return str(value)

    def text(self, key: str, value: object) -> str:
        """A text that can be shown."""
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not value.isprintable():
            raise self.fault(
                key, f"{shown(value)} is not a printable text of 1 to {_LONGEST} characters"
            )
        return value

    def flag(self, key: str, value: object) -> bool:
        """Whether something is so."""
        if not isinstance(value, bool):
            raise self.fault(key, f"{shown(value)} is neither true nor false")
        return value

    def list(self, key: str) -> list[Any]:
        """A list of anything; empty where the key is not there."""
        value = self.table.get(key, [])
        if not isinstance(value, list) or len(value) > _MOST_ITEMS:
            raise self.fault(key, f"{shown(value)} is not a list of at most {_MOST_ITEMS}")
        return value

    def tables(self, key: str) -> Iterator[_Reader]:
        """The tables of a list, each with its place."""
        for number, item in enumerate(self.list(key), 1):
            yield self.below(key, number, item)

    def below(self, key: str, number: int, value: object) -> _Reader:
        """One table of a list."""
        if not isinstance(value, dict):
            raise self.fault(key, f"{shown(value)} is not a table")
        return _Reader(value, f"{key.removesuffix('s')} {number}")

    def only(self, known: Collection[str]) -> None:
        """Refuse every other key."""
        for key in self.table:
            if key not in known:
                raise self.fault(shown(key)[1:-1], f"unknown key; known are {', '.join(known)}")

    def fault(self, key: str, what: object) -> ProblemError:
        """The error that names the table, the key and the rule."""
        return ProblemError(f"{self.where}: {key!r}: {what}" if self.where else f"{key!r}: {what}")
