"""A design space by brute force: every network of it made and counted by itself, then sorted.

Nothing is shared with the solver but its records and the scalar fold: what a space holds, which
networks are legal, what they cost and which come first is worked out here once more, slowly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import reduce
from itertools import product
from math import gcd
from typing import NamedTuple

from flopcount.tally import Tally
from shufflenet.arch.layout import Frame, stage_rows, stem_row
from shufflenet.arch.network import Network, assemble
from shufflenet.arch.scaling import NothingLegalError, settle
from shufflenet.arch.spec import Row, Spec, SpecError
from shufflenet.solver.problem import Bound, Goal, Problem, Space

#: What each convention charges for one multiply-add of each kind; anything else is free.
CHARGES = {
    "shufflenet-paper": {"conv": 1, "linear": 0},
    "macs": {"conv": 1, "linear": 1},
    "torch": {"conv": 2, "linear": 2},
}
ONE = Decimal(1)


class Facts(NamedTuple):
    """What one network comes to: multiply-adds by kind, and every other figure."""

    conv: int
    linear: int
    params: int
    memory: int
    moved: int
    layers: int
    channels: int

    def macs(self, convention: str) -> int:
        """The cost under a convention."""
        charges = CHARGES[convention]
        return charges["conv"] * self.conv + charges["linear"] * self.linear


class Named(NamedTuple):
    """What tells a network of a space from the others."""

    unit: str | None
    size: tuple[int, int]
    bottleneck: int | None
    groups: int
    scale: Decimal
    stem: int | None
    widths: tuple[int, ...]
    repeats: tuple[int, ...]


class Point(NamedTuple):
    """A legal network of a space: where it stands in the space's order, its name, its facts."""

    place: tuple[object, ...]
    named: Named
    facts: Facts


class Best(NamedTuple):
    """A network of an answer, and whether no other one is as good."""

    point: Point
    unique: bool


class Variant:
    """A frame with so many units in each stage, and what its networks come to, as far as known."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        rows = (stem_row(frame.spec), *stage_rows(frame.spec))
        self.paths = [row.path for row in rows if row is not None]
        self._known: dict[tuple[int, ...], Facts | None] = {}

    def facts(self, widths: tuple[int, ...]) -> Facts | None:
        """The facts of the network of these widths, stem first, or None where it is illegal."""
        if widths not in self._known:
            try:
                net = assemble(self.frame, dict(zip(self.paths, widths, strict=True)))
            except SpecError:
                self._known[widths] = None
            else:
                self._known[widths] = facts_of(net)
        return self._known[widths]


class Book:
    """A spec, and the variants of it that have been asked for."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._variants: dict[tuple[object, ...], Variant] = {}

    def variant(
        self,
        unit: str | None,
        size: tuple[int, int],
        bottleneck: int | None,
        groups: int,
        repeats: tuple[int, ...],
        cardinality: int,
    ) -> Variant:
        """The spec with all this settled."""
        key = (unit, size, bottleneck, groups, repeats, cardinality)
        if key not in self._variants:
            spec = repeated(self.spec, repeats)
            frame = Frame(spec, groups, size, unit, cardinality, bottleneck=bottleneck)
            self._variants[key] = Variant(frame)
        return self._variants[key]

    def points(self, space: Space) -> list[Point]:
        """Every legal network of a space of this spec, in the space's order."""
        assert space.spec is self.spec
        return sorted(self._points(space), key=lambda point: point.place)

    def _points(self, space: Space) -> Iterator[Point]:
        own = units_in_all(self.spec)
        outer = product(
            enumerate(space.units or (None,)),
            enumerate(space.sizes or (self.spec.image,)),
            enumerate(space.bottlenecks or (None,)),
            enumerate(space.groups or (self.spec.first_choice,)),
            product(*(space.repeats or [(n,) for n in own])),
        )
        for (u, unit), (s, size), (b, bottleneck), (g, groups), repeats in outer:
            variant = self.variant(unit, size, bottleneck, groups, repeats, space.cardinality)
            settled = _scaled if space.scales else _free if space.free else _in_ratio
            for place, scale, stem, widths in settled(space, variant.frame, repeats):
                if any(width % space.align for width in (stem or 0, *widths)):
                    continue
                facts = variant.facts(widths if stem is None else (stem, *widths))
                if facts is not None:
                    named = Named(unit, size, bottleneck, groups, scale, stem, widths, repeats)
                    yield Point((u, s, b, g, *place), named, facts)


def named(net: Network) -> Named:
    """What tells a network from the others of its space."""
    units: dict[str, int] = {}
    for row in net.rows:
        units[row.row.path] = units.get(row.row.path, 0) + len(row.paths)
    frame = net.frame
    repeats = tuple(units[row.path] for row in stage_rows(net.spec))
    given = (frame.unit, frame.size, frame.bottleneck, frame.groups)
    return Named(*given, net.scale, net.stem, net.stage_widths, repeats)


def facts_of(net: Network) -> Facts:
    """What a network comes to, from the scalar fold."""
    tally: Tally = net.tally()
    of = dict.fromkeys(("conv", "linear"), 0)
    for entry in tally.entries:
        if entry.macs:
            of[entry.kind] += entry.macs
    memory = tally.peak_memory
    assert memory is not None
    return Facts(
        of["conv"],
        of["linear"],
        tally.params,
        memory,
        tally.bytes_moved,
        net.depth,
        sum(net.stage_widths),
    )


def repeated(spec: Spec, repeats: Sequence[int]) -> Spec:
    """The spec with so many units in each stage: its last row has what the others leave."""
    wanted = dict(zip((row.path for row in stage_rows(spec)), repeats, strict=True))
    rows: list[Row] = []
    for at, row in enumerate(spec.rows):
        following = spec.rows[at + 1].path if at + 1 < len(spec.rows) else None
        if row.path in wanted and following != row.path:
            others = [other.repeat for other in spec.rows if other.path == row.path][:-1]
            left = wanted[row.path] - sum(others)
            assert left >= 0
            if left:
                rows.append(replace(row, repeat=left))
        else:
            rows.append(row)
    return replace(spec, rows=tuple(rows))


def units_in_all(spec: Spec) -> tuple[int, ...]:
    """How many units each stage has."""
    return tuple(
        sum(row.repeat for row in spec.rows if row.path == first.path) for first in stage_rows(spec)
    )


def needed_units(spec: Spec) -> tuple[int, ...]:
    """How many units the rows of each stage have but for the last; one, where it is alone."""
    found = []
    for first in stage_rows(spec):
        counts = [row.repeat for row in spec.rows if row.path == first.path]
        found.append(sum(counts[:-1]) or 1)
    return tuple(found)


def column(spec: Spec, groups: int) -> tuple[int, ...]:
    """The stages' widths in the column of g, or in the first one where there is none."""
    at = spec.groups.index(groups) if groups in spec.groups else 0
    return tuple(row.channels[at] for row in stage_rows(spec) if row.channels is not None)


Settled = tuple[tuple[object, ...], Decimal, int | None, tuple[int, ...]]


def _stems(space: Space, frame: Frame) -> tuple[int | None, ...]:
    row = stem_row(frame.spec)
    if row is None:
        return (None,)
    return space.stems or (frame.fixed(row),)


def _free(space: Space, frame: Frame, repeats: tuple[int, ...]) -> Iterator[Settled]:
    widest = [space.widest * width for width in column(frame.spec, frame.groups)]
    ranges = space.widths or [range(1, most + 1) for most in widest]
    for stem, *widths in product(_stems(space, frame), *ranges):
        layers = [part for pair in zip(widths, repeats, strict=True) for part in pair]
        yield (stem or 0, *layers), ONE, stem, tuple(widths)


def _in_ratio(space: Space, frame: Frame, repeats: tuple[int, ...]) -> Iterator[Settled]:
    own = column(frame.spec, frame.groups)
    ratio = space.ratio or own
    ratio = tuple(part // reduce(gcd, ratio) for part in ratio)
    if space.widths:
        steps = range(1, max(space.widths[0]) + 1)
    else:
        fits = zip(own, ratio, strict=True)
        steps = range(1, min(space.widest * most // part for most, part in fits) + 1)
    for stem, step in product(_stems(space, frame), steps):
        widths = tuple(step * part for part in ratio)
        listed = zip(widths, space.widths, strict=False)
        if all(width in allowed for width, allowed in listed):
            yield (stem or 0, step, *repeats), ONE, stem, widths


def _scaled(space: Space, frame: Frame, repeats: tuple[int, ...]) -> Iterator[Settled]:
    stem, stages = stem_row(frame.spec), stage_rows(frame.spec)
    for at, scale in enumerate(space.scales):
        try:
            settled = settle(frame, scale).widths
        except (NothingLegalError, SpecError):
            continue
        widths = tuple(settled[row.path] for row in stages)
        yield (at, *repeats), scale, None if stem is None else settled[stem.path], widths


def figure(point: Point, name: str, convention: str) -> int:
    """A figure of a point under a convention."""
    if name == "macs":
        return point.facts.macs(convention)
    value: int = getattr(point.facts, name)
    return value


def inside(point: Point, bounds: Sequence[Bound], convention: str) -> bool:
    """Whether a point is inside all bounds."""
    for bound in bounds:
        value = figure(point, bound.figure, bound.convention or convention)
        if bound.least is not None and value < bound.least:
            return False
        if bound.most is not None and value > bound.most:
            return False
    return True


def badness(point: Point, goal: Goal, convention: str) -> int:
    """How far a point is from a goal: the less the better."""
    value = figure(point, goal.figure, goal.convention or convention)
    if goal.sense == "nearest":
        assert goal.target is not None
        return abs(value - goal.target)
    return value if goal.sense == "least" else -value


def answer(problem: Problem, points: Sequence[Point]) -> list[Best]:
    """What is to come out, best first; nothing where no network is inside the bounds."""
    name = problem.convention
    assert isinstance(name, str)
    found: dict[tuple[int, ...], list[Point]] = {}
    for point in points:
        if inside(point, problem.bounds, name):
            key = tuple(badness(point, goal, name) for goal in problem.goals)
            found.setdefault(key, []).append(point)
    for alike in found.values():
        alike.sort(key=lambda point: (point.facts.macs(name), point.place))
    ordered = sorted(found)
    if len(problem.goals) == 1:
        listed = [Best(point, len(found[key]) == 1) for key in ordered for point in found[key]]
        return listed[: problem.top]
    front = [key for key in ordered if not any(_dominates(other, key) for other in ordered)]
    return [Best(found[key][0], len(found[key]) == 1) for key in front]


def _dominates(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def asked(problem: Problem, point: Point) -> Mapping[str, int]:
    """The figures of a point that an answer has to state."""
    name = problem.convention
    assert isinstance(name, str)
    parts = [*problem.goals, *problem.bounds]
    wanted = {part.figure for part in parts} | {"macs"}
    return {each: figure(point, each, name) for each in sorted(wanted)}
