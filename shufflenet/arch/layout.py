"""Rows placed one after the other: from a frame and its widths to units in their places.

The widths may be ints or arrays of candidates. Nothing here settles them or checks that they are
legal; every placed unit can say which rules it needs.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from flopcount.entries import Shape
from flopcount.integers import Count
from flopcount.layers import Layer, below, constraints, output
from flopcount.layers.rules import Equal, LayerRule
from shufflenet.arch.spec import Row, Spec, SpecError
from shufflenet.units import Place, Unit, UnitError, made, stage_unit, unit
from shufflenet.units.context import Option
from shufflenet.units.record import Takes

#: The cardinality of a ResNeXt unit where nothing else is said (Source: Sec. 4.2).
DEFAULT_CARDINALITY = 16


@dataclass(frozen=True)
class Frame:
    """What stays while widths vary: the spec, its column, the image (h, w) [px], the units.

    ``unit`` replaces the unit of every stage row where it is given, and ``bottleneck`` the 1:ratio
    of every stage's unit that has one; ``units_from`` names the packages whose own units may be
    imported. The unit of each row is resolved once for all widths.
    """

    spec: Spec
    groups: int
    size: tuple[int, int]
    unit: str | None = None
    cardinality: int = DEFAULT_CARDINALITY
    units_from: Collection[str] = ()
    bottleneck: int | None = None
    # By the id of a row: the row, which keeps the id its own, and what is resolved of it.
    _resolved: dict[int, tuple[Row, Unit, Row]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __getstate__(self) -> dict[str, object]:
        # Units hold functions, which cannot be pickled; they are resolved again where it arrives.
        return {**self.__dict__, "_resolved": {}}

    @property
    def image(self) -> Shape:
        """The shape of one image, ``(1, c, h, w)``."""
        return Shape(1, self.fixed(self.spec.rows[0]), *self.size)

    def fixed(self, row: Row) -> int:
        """The width of a row in this frame's column. Raises SpecError where there is none."""
        assert row.channels is not None
        if len(set(row.channels)) == 1:
            return row.channels[0]
        return row.channels[self.spec.column(self.groups)]

    def own(self, row: Row) -> int:
        """The width for which the options of a row are written: its column's, or the first."""
        assert row.channels is not None
        known = self.groups in self.spec.groups
        return row.channels[self.spec.groups.index(self.groups) if known else 0]

    def where(self, row: Row) -> str:
        """What to call a row of this frame in an error."""
        return f"{self.spec.where}: {row.layer}, g={self.groups}"

    def unit_of(self, row: Row) -> tuple[Unit, Row]:
        """The unit that builds a row, and the row without what a replaced unit does not take."""
        if id(row) not in self._resolved:
            self._resolved[id(row)] = (row, *self._resolve(row))
        _, chosen, taken = self._resolved[id(row)]
        return chosen, taken

    def _resolve(self, row: Row) -> tuple[Unit, Row]:
        chosen = unit(row.unit, self.units_from)
        row = self._with_options(row, chosen)
        check_row(chosen, row)
        if not chosen.stage:
            return chosen, row
        if self.unit is not None:
            chosen = stage_unit(self.unit, self.units_from)
            row = adopt_unit(chosen, row)
        if self.bottleneck is not None and chosen.ratio is not None:
            row = replace(row, ratio=self.bottleneck)
        return chosen, row

    def _with_options(self, row: Row, chosen: Unit) -> Row:
        """The row with the options that the spec gives to all, where its unit takes them.

        A classifier takes none of them, since nothing stands behind it.
        """
        given = {} if row.unit == "fc" else self.spec.options
        common = {name: value for name, value in given.items() if name in chosen.options}
        if not common:
            return row
        return replace(row, options=MappingProxyType({**common, **row.options}))

    def groups_of(self, chosen: Unit, row: Row) -> int:
        """The g or cardinality of a row's unit, 1 without either. Raises UnitError below 1."""
        if chosen.splits == "groups":
            return self.groups
        if chosen.splits is None:
            return 1
        given = row.options.get("cardinality", self.cardinality)
        groups = given if isinstance(given, int) else 0
        if groups < 1:
            raise UnitError(f"unit {chosen.name}: cardinality {groups} is less than 1")
        return groups

    def check_options(self) -> None:
        """Check that each option of the spec has a row that takes it. Raises SpecError."""
        if not self.spec.options:
            return
        for option in self.spec.options:
            rows = [row for row in self.spec.rows[1:] if row.unit != "fc"]
            if not any(option in unit(row.unit, self.units_from).options for row in rows):
                raise SpecError(f"{self.spec.where}: options: no row takes {option!r}")


def variable_rows(spec: Spec) -> tuple[Row, ...]:
    """The first row of every layer whose width is free: no image, no classifier, not fixed."""
    found: dict[str, Row] = {}
    for row in spec.rows:
        if row.channels is not None and not row.fixed and row.unit not in ("image", "fc"):
            found.setdefault(row.path, row)
    return tuple(found.values())


def stem_row(spec: Spec) -> Row | None:
    """The row of the stem: the first layer of free width, where it is a plain convolution."""
    rows = variable_rows(spec)
    return rows[0] if rows and rows[0].unit == "conv" else None


def stage_rows(spec: Spec) -> tuple[Row, ...]:
    """The first row of every stage: the layers of free width behind the stem."""
    return tuple(row for row in variable_rows(spec) if row is not stem_row(spec))


class Placed(NamedTuple):
    """One unit where it stands: its row, path, tree, the shape before it, its bottleneck's rules.

    What leaves it is worked out when it is asked for: a unit that breaks a rule may have no output.
    """

    row: Row
    path: str
    place: Place
    layer: Layer
    before: Shape
    requires: tuple[LayerRule, ...]

    @property
    def after(self) -> Shape:
        """The shape that leaves the unit, ``(n, c, h, w)``."""
        return output(self.layer, self.before)

    def rules(self) -> Iterator[tuple[str, LayerRule]]:
        """Every rule of the unit, with the path that needs it."""
        for rule in self.requires:
            yield self.path, rule
        yield from constraints(self.layer, self.before, self.path)
        if self.row.channels is not None:
            yield self.path, Equal("output width", self.after[1], "the row's", self.place.c_out)


def walk(frame: Frame, widths: Mapping[str, Count]) -> Iterator[Placed]:
    """Place every unit of the frame, in order, at the width given for each layer's path.

    A unit that breaks a rule may have no output, so whoever checks rules stops there. Raises
    SpecError, with the row that is at fault, for a unit that is unknown or does not fit.
    """
    frame.check_options()
    yield from follow(frame, frame.spec.rows[1:], frame.image, widths)


def follow(
    frame: Frame, rows: Sequence[Row], shape: Shape, widths: Mapping[str, Count]
) -> Generator[Placed, None, Shape]:
    """Place the units of some rows behind a shape ``(n, c, h, w)``; what leaves them is returned.

    Raises SpecError as `walk` does.
    """
    totals: dict[str, int] = {}
    for row in rows:
        totals[row.path] = totals.get(row.path, 0) + row.repeat
    done = dict.fromkeys(totals, 0)
    for row in rows:
        try:
            chosen, taken = frame.unit_of(row)
            placed: Placed | None = None
            for _ in range(row.repeat):
                done[row.path] += 1
                alone = totals[row.path] == 1
                path = row.path if alone else below(row.path, f"unit{done[row.path]}")
                last = placed
                placed = _placed(frame, taken, chosen, shape, widths, path, last)
                yield placed
                if last is None or placed.layer is not last.layer:
                    shape = placed.after
        except UnitError as error:
            raise SpecError(f"{frame.where(row)}: {error}") from error
    return shape


def distinct(units: Iterable[Placed]) -> Iterator[Placed]:
    """The units but for repeats, which have the tree, the shapes and so the rules of the first."""
    last: Placed | None = None
    for placed in units:
        if last is None or placed.layer is not last.layer:
            yield placed
        last = placed


def _placed(
    frame: Frame,
    row: Row,
    chosen: Unit,
    before: Shape,
    widths: Mapping[str, Count],
    path: str,
    last: Placed | None,
) -> Placed:
    if len(before) != 4 and row.unit not in ("fc", "flatten"):
        raise UnitError(f"unit {row.unit} needs an image, but what arrives is flat")
    c_in = before[1]
    if last is not None and _alike(last.before, before):
        # The same unit on the same shape: one tree serves every repeat, and the shape stays.
        return Placed(row, path, last.place, last.layer, before, last.requires)
    c_out, own = c_in, 0
    if row.channels is not None:
        own = frame.own(row)
        c_out = widths[row.path] if row.path in widths else frame.fixed(row)
    groups = frame.groups_of(chosen, row)
    m, requires = chosen.bottleneck(c_out, groups, row.ratio)
    place = Place(c_in, c_out, m, row.stride, groups, row.kernel or 0, row.options, own)
    return Placed(row, path, place, made(chosen, place), before, requires)


def _alike(one: Shape, other: Shape) -> bool:
    # Arrays of widths are alike only where they are one and the same.
    return all(
        a is b or (type(a) is type(b) is int and a == b) for a, b in zip(one, other, strict=True)
    )


def check_row(chosen: Unit, row: Row) -> None:
    """Check that a row gives what a unit takes. Raises UnitError where it does not."""
    faults = (
        (chosen.kernel == "required" and row.kernel is None, "needs a ksize"),
        (chosen.kernel == "refused" and row.kernel is not None, "takes no ksize"),
        (chosen.widens and row.channels is None, "needs channels"),
        (not chosen.widens and row.channels is not None, "keeps its width: takes no channels"),
        (not chosen.strides and (row.stride, row.repeat) != (1, 1), "takes no stride or repeat"),
        (chosen.known and chosen.ratio is None and row.ratio is not None, "takes no ratio"),
    )
    for fault, says in faults:
        if fault:
            raise UnitError(f"unit {chosen.name} {says}")
    _check_needs(chosen, row)
    for option, value in row.options.items() if chosen.known else ():
        if option not in chosen.options:
            known = ", ".join(chosen.options) or "none"
            raise UnitError(f"unit {chosen.name} takes no option {option!r}; known: {known}")
        if wrong := _unfit(value, chosen.options[option]):
            raise UnitError(f"unit {chosen.name}: option {option} = {value!r} {wrong}")


def adopt_unit(chosen: Unit, row: Row) -> Row:
    """The row with another unit in place of its own, and only the options that one takes.

    A bundled unit has a ratio of its own; the row's stays for a unit from elsewhere. A
    cardinality belongs to the unit that was there. Raises UnitError where the row lacks what
    the unit needs.
    """
    _check_needs(chosen, row)
    taken = set(chosen.options) - {"cardinality"}
    kept = {name: value for name, value in row.options.items() if name in taken}
    ratio = None if chosen.known else row.ratio
    return replace(row, unit=chosen.name, ratio=ratio, options=MappingProxyType(kept))


def _check_needs(chosen: Unit, row: Row) -> None:
    for option in chosen.needs:
        if option not in row.options:
            raise UnitError(f"unit {chosen.name} needs option {option}")


def _unfit(value: Option, wanted: Takes) -> str:
    """What is wrong with the value of an option, if anything is."""
    if isinstance(wanted, tuple):
        return "" if value in wanted else f"is none of {', '.join(wanted)}"
    if wanted is Decimal:
        says = "is not a number between 0 and 1 in quotes, such as '0.001'"
        return "" if _is_fraction(value) else says
    if type(value) is wanted:
        return ""
    if wanted.__name__ == "tuple":
        return "is not lists of whole numbers in a list"
    return f"is not of type {wanted.__name__}"


def _is_fraction(value: Option) -> bool:
    if not isinstance(value, str) or len(value) > 40:
        return False
    try:
        return 0 < Decimal(value) < 1
    except ArithmeticError:
        return False
