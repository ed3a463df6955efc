"""Why nothing fits: the bounds in the way, and the smallest relaxation that admits a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, islice, product
from math import ceil, floor
from typing import NamedTuple

import numpy as np

from shufflenet.arch.layout import Frame
from shufflenet.arch.ranges import listed
from shufflenet.arch.scaling import first_broken
from shufflenet.arch.spec import Row
from shufflenet.solver.engine.best_first import Field, Hit, Key, Limits
from shufflenet.solver.engine.bounds import FAR
from shufflenet.solver.engine.objectives import Asked, above_ratio
from shufflenet.solver.engine.pareto import front
from shufflenet.solver.engine.stage_tables import Chain
from shufflenet.solver.engine.unit_costs import own_rules
from shufflenet.solver.engine.variables import Part, cut, frames, repeated
from shufflenet.solver.problem import Bound, Goal, Problem, Sense, Space

# Digits of a ratio that are told.
_DIGITS = 6
# Bounds that give way together at most.
_MOST_TOGETHER = 3
# Other ways that are told besides the smallest.
_MOST_WAYS = 3
# Frames, and networks of each, in which the rule in the way is looked for.
_MOST_FRAMES = 16
_MOST_NETWORKS = 128
_EACH = 5


class Side(NamedTuple):
    """One side of a bound, alone: a figure at least or at most a value."""

    bound: Bound
    value: int | Fraction
    most: bool

    def __str__(self) -> str:
        convention = f" ({self.bound.convention})" if self.bound.convention else ""
        word = "most" if self.most else "least"
        return f"{self.bound.figure}{convention} at {word} {self.shown(self.value)}"

    def typed(self, value: int | Fraction) -> Decimal:
        """A value with as many digits as can be typed in: a ratio never tighter than it is."""
        if isinstance(value, int) or value.denominator == 1:
            return Decimal(int(value))
        digits: int = 10 ** max(0, _DIGITS - len(str(int(value))) * (value >= 1))
        scaled = value * digits
        return Decimal(ceil(scaled) if self.most else floor(scaled)) / digits

    def shown(self, value: int | Fraction) -> str:
        """A value as it is told."""
        return f"{self.typed(value):,}"

    @property
    def alone(self) -> Bound:
        """The side as a bound."""
        least, most = (None, self.value) if self.most else (self.value, None)
        return self.bound._replace(least=least, most=most)

    @property
    def goal(self) -> Goal:
        """What brings the figure nearest to what is asked."""
        sense: Sense = "least" if self.most else "most"
        return Goal(self.bound.figure, sense, None, self.bound.convention)

    def share(self, value: int | Fraction) -> Fraction:
        """How far a value is from what is asked, as a share of that; 0 where it is kept."""
        off = Fraction(value) - Fraction(self.value)
        return max(off if self.most else -off, Fraction(0)) / (Fraction(self.value) or 1)


class Relaxed(NamedTuple):
    """Sides that give way, the values to which they have to, and the network that these admit."""

    sides: tuple[Side, ...]
    values: tuple[int | Fraction, ...]
    network: str

    @property
    def share(self) -> Fraction:
        """All changes together, each as a share of what was asked."""
        return sum(map(Side.share, self.sides, self.values), Fraction(0))

    def __str__(self) -> str:
        texts = []
        for side, value in zip(self.sides, self.values, strict=True):
            share = float(100 * side.share(value))
            digits = ",.0f" if share >= 100 else ".3g"
            off = f" ({share:{digits}}% off)" if side.value else ""
            texts.append(f"{side} would have to be {side.shown(value)}{off}")
        return " and ".join(texts)


def nothing_fits(problem: Problem, chains: Sequence[Chain]) -> str:
    """Which bounds stand in the way, and the smallest relaxation that admits a network.

    As few bounds as can be give way, and of those by the least, all shares together.
    """
    sides = [
        Side(bound, value, most)
        for bound in problem.bounds
        for value, most in ((bound.least, False), (bound.most, True))
        if value is not None
    ]
    text = f"{_where(problem.space)}: no network has {_listed(_in_the_way(problem, chains, sides))}"
    for count in range(1, min(_MOST_TOGETHER, len(sides)) + 1):
        tried = (_relaxed(problem, chains, sides, some) for some in combinations(sides, count))
        ways = sorted((way for way in tried if way is not None), key=lambda way: way.share)
        if ways:
            told = "; or ".join(map(str, ways[:_MOST_WAYS]))
            return f"{text}; smallest relaxation: {told} (with {ways[0].network})"
    return f"{text}; nor has one if {_MOST_TOGETHER} of {_listed(sides)} are dropped"


def _listed(sides: Sequence[Side]) -> str:
    return " and ".join(map(str, sides))


def _in_the_way(problem: Problem, chains: Sequence[Chain], sides: Sequence[Side]) -> Sequence[Side]:
    """Sides that no network keeps together, though it may keep all but any one of them."""
    kept = list(sides)
    for side in sides:
        others = [other for other in kept if other is not side]
        if others and not _fits(problem, chains, others):
            kept = others
    return kept


def _fits(problem: Problem, chains: Sequence[Chain], sides: Sequence[Side]) -> bool:
    asked = Asked.of(replace(problem, bounds=tuple(side.alone for side in sides)))
    return bool(Field(chains, asked.terms).ranked([asked.cost], asked.limits, 1))


def _relaxed(
    problem: Problem, chains: Sequence[Chain], sides: Sequence[Side], dropped: Sequence[Side]
) -> Relaxed | None:
    """What the dropped sides have to give way to, by the least in all; None if that is no help."""
    kept = tuple(side.alone for side in sides if side not in dropped)
    ratios = [side for side in dropped if side.bound.figure == "intensity"]
    free = replace(problem, bounds=kept)
    if not ratios:
        return _nearest(free, chains, tuple(dropped))
    # A ratio is no goal of a front: it gives way first, and the others as little as they can then.
    first, others = ratios[0], [side for side in dropped if side is not ratios[0]]
    reached = _nearest_ratio(free, chains, first)
    if reached is None or not others:
        return reached
    tight = first._replace(value=Fraction(first.typed(reached.values[0])))
    rest = _relaxed(problem, chains, [*(s for s in sides if s is not first), tight], others)
    if rest is None:
        return None
    return Relaxed((first, *rest.sides), (tight.value, *rest.values), rest.network)


def _nearest(problem: Problem, chains: Sequence[Chain], sides: tuple[Side, ...]) -> Relaxed | None:
    """The figures nearest to what some sides ask that one network inside the bounds has."""
    asked = Asked.of(replace(problem, goals=tuple(side.goal for side in sides)))
    field = Field(chains, asked.terms)
    if len(sides) == 1:
        hits = field.ranked([*asked.goals, asked.cost], asked.limits, 1)
    else:
        hits = front(field, asked.goals, asked.cost, asked.limits)
    ways = [
        Relaxed(sides, tuple(hit.values[key.term] for key in asked.goals), _network(chains, hit))
        for hit in hits
    ]
    return min(ways, key=lambda way: way.share, default=None)


def _nearest_ratio(problem: Problem, chains: Sequence[Chain], side: Side) -> Relaxed | None:
    """The intensity nearest to what a side asks, by Dinkelbach's iteration.

    Each step finds a network that is above a ratio (below it, for a most), until none is; the
    ratio is as fine as sums of such figures have room for.
    """
    goals = (Goal("macs", "least", None, side.bound.convention), Goal("moved", "least"))
    asked = Asked.of(replace(problem, goals=goals))
    macs, moved = (key.term for key in asked.goals)
    field = Field(chains, asked.terms)
    finest = _finest(field, (macs, moved))
    hits = field.ranked([asked.cost], asked.limits, 1)
    best: Relaxed | None = None
    while hits:
        ratio = Fraction(hits[0].values[macs], hits[0].values[moved])
        if best is not None and side.share(ratio) >= side.share(best.values[0]):
            break
        best = Relaxed((side,), (ratio,), _network(chains, hits[0]))
        scaled = ratio * finest
        coarse = Fraction(ceil(scaled) if side.most else floor(scaled), finest)
        term = above_ratio(asked.terms[macs][0][0], asked.terms[moved][0][0], coarse)
        key = Key(len(asked.terms), 1 if side.most else -1)
        limits = Limits(
            (*asked.limits.least[:-1], -FAR, asked.limits.least[-1]),
            (*asked.limits.most[:-1], FAR, asked.limits.most[-1]),
        )
        hits = Field(chains, (*asked.terms, term)).ranked([key], limits, 1)
    return best


def _finest(field: Field, places: tuple[int, int]) -> int:
    """The largest denominator with which a weighted difference of two figures has room."""
    largest = 1
    for number in range(len(field.chains)):
        sums = field.summed(number, field.terms)
        largest = max(largest, *(sums.largest[place] for place in places))
    # Beside it there is to be room for the weights of cuts.
    return max(1, FAR // (1024 * largest))


def _network(chains: Sequence[Chain], hit: Hit) -> str:
    one = chains[hit.chain]
    texts = [f"g={one.frame.groups}"]
    for link, j, r in zip(one.links, hit.widths, hit.repeats, strict=True):
        part = link.part
        counts = dict(zip(part.stages, part.repeats[r], strict=True))
        for path, widths in zip(part.paths, part.widths, strict=True):
            units = f" x{counts[path]}" if path in counts else ""
            texts.append(f"{path} {widths[j]}{units}")
    return ", ".join(texts)


def _where(space: Space) -> str:
    groups = listed(space.groups or (space.spec.first_choice,), ",")
    units = f", unit {','.join(space.units)}" if space.units else ""
    stems = f", stem {listed(space.stems, ',')}" if space.stems else ""
    return f"{space.spec.name}, g={groups}{units}{stems}"


def nothing_legal(space: Space) -> str:
    """The rule in the way of the candidate that breaks it the latest."""
    furthest: tuple[int, str] | None = None
    for frame in islice(frames(space), _MOST_FRAMES):
        parts = cut(space, frame).parts
        for part in parts:
            layer = part.rows[0].layer
            if not part.size:
                aligned = f" that are multiples of {space.align}" if space.align > 1 else ""
                return f"{_where(space)}: {layer} has no widths to take{aligned}"
            if not part.repeats:
                return f"{_where(space)}: {layer}: its rows have more units than repeats allow"
        for widths, rows in _samples(frame, parts):
            spec = replace(frame.spec, rows=rows)
            broken = first_broken(replace(frame, spec=spec), widths)
            if broken is not None and (furthest is None or broken.held > furthest[0]):
                which = f" (g={frame.groups})" if len(space.groups) > 1 else ""
                furthest = broken.held, f"{broken}{which}"
    reason = f": {furthest[1]}" if furthest else ""
    return f"{_where(space)}: no network of the space is legal{reason}"


def _samples(
    frame: Frame, parts: Sequence[Part]
) -> Iterator[tuple[dict[str, int], tuple[Row, ...]]]:
    """Some candidates of a frame, spread over the widths of every part."""
    # Widths that break a rule by themselves would hide the one that none of the others keeps.
    masks = [own_rules(frame, part, frame.image) for part in parts]
    parts = [
        part.kept(mask) if mask.any() else part for part, mask in zip(parts, masks, strict=True)
    ]
    places = [np.unique(np.linspace(0, part.size - 1, _EACH).astype(np.int64)) for part in parts]
    for chosen in islice(product(*places), _MOST_NETWORKS):
        widths: dict[str, int] = {}
        rows = frame.spec.rows
        for part, place in zip(parts, chosen, strict=True):
            widths |= {p: int(c[place]) for p, c in zip(part.paths, part.widths, strict=True)}
            for path, count in zip(part.stages, part.repeats[0], strict=True):
                rows = repeated(rows, path, count)
        yield widths, rows
