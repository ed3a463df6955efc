"""Why nothing fits: the bounds in the way, and the smallest relaxation that admits a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, islice, product
from typing import NamedTuple

import numpy as np

from shufflenet.arch.layout import Frame
from shufflenet.arch.ranges import listed
from shufflenet.arch.scaling import first_broken
from shufflenet.arch.spec import Row
from shufflenet.solver.engine.best_first import CandidateSet, NetworkCandidate
from shufflenet.solver.engine.objectives import Objectives
from shufflenet.solver.engine.pareto import front
from shufflenet.solver.engine.search_limits import SearchLimits, WorkMeter
from shufflenet.solver.engine.stage_tables import CostChain
from shufflenet.solver.engine.unit_costs import own_rules
from shufflenet.solver.engine.variables import SpacePart, frames, repeated, split_frame
from shufflenet.solver.problem import Bound, Goal, Problem, Sense, Space

# Bounds that give way together at most.
_MOST_TOGETHER = 3
# Other ways that are told besides the smallest.
_MOST_WAYS = 3
# Frames, and networks of each, in which the rule in the way is looked for.
_MOST_FRAMES = 16
_MOST_NETWORKS = 128
_EACH = 5


class BoundSide(NamedTuple):
    """One side of a bound, alone: a figure at least or at most a value."""

    bound: Bound
    value: int
    most: bool

    def __str__(self) -> str:
        convention = f" ({self.bound.convention})" if self.bound.convention else ""
        word = "most" if self.most else "least"
        return f"{self.bound.figure}{convention} at {word} {self.value:,}"

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

    def share(self, value: int) -> Fraction:
        """How far a value is from what is asked, as a share of that; 0 where it is kept."""
        off = value - self.value if self.most else self.value - value
        return Fraction(max(off, 0), self.value or 1)


class Relaxed(NamedTuple):
    """Sides that give way, the values to which they have to, and the network that these admit."""

    sides: tuple[BoundSide, ...]
    values: tuple[int, ...]
    network: str

    @property
    def share(self) -> Fraction:
        """All changes together, each as a share of what was asked."""
        return sum(map(BoundSide.share, self.sides, self.values), Fraction(0))

    def __str__(self) -> str:
        texts = []
        for side, value in zip(self.sides, self.values, strict=True):
            share = float(100 * side.share(value))
            digits = ",.0f" if share >= 100 else ".3g"
            off = f" ({share:{digits}}% off)" if side.value else ""
            texts.append(f"{side} would have to be {value:,}{off}")
        return " and ".join(texts)


def nothing_fits(problem: Problem, chains: Sequence[CostChain], limits: SearchLimits) -> str:
    """Which bounds stand in the way, and the smallest relaxation that admits a network.

    As few bounds as can be give way, and of those by the least, all shares together.
    """
    return str(_Relaxation(problem, chains, limits))


class _Relaxation:
    """A problem in which nothing fits, with the sides of its bounds."""

    def __init__(self, problem: Problem, chains: Sequence[CostChain], limits: SearchLimits) -> None:
        self.problem = problem
        self.chains = chains
        self.limits = limits
        self.sides = [
            BoundSide(bound, value, most)
            for bound in problem.bounds
            for value, most in ((bound.least, False), (bound.most, True))
            if value is not None
        ]

    def __str__(self) -> str:
        text = f"{_where(self.problem.space)}: no network has {_listed(self._in_the_way())}"
        for count in range(1, min(_MOST_TOGETHER, len(self.sides)) + 1):
            tried = (self._nearest(some) for some in combinations(self.sides, count))
            ways = sorted((way for way in tried if way is not None), key=lambda way: way.share)
            if ways:
                told = "; or ".join(map(str, ways[:_MOST_WAYS]))
                return f"{text}; smallest relaxation: {told} (with {ways[0].network})"
        return f"{text}; nor has one if {_MOST_TOGETHER} of {_listed(self.sides)} are dropped"

    def _in_the_way(self) -> Sequence[BoundSide]:
        """Sides that no network keeps together, though it may keep all but any one of them."""
        kept = list(self.sides)
        for side in self.sides:
            others = [other for other in kept if other is not side]
            if others and not self._best(others, ()):
                kept = others
        return kept

    def _nearest(self, dropped: tuple[BoundSide, ...]) -> Relaxed | None:
        """What the dropped sides give way to, by the least in all; None if that is no help."""
        kept = [side for side in self.sides if side not in dropped]
        ways = [Relaxed(dropped, values, network) for values, network in self._best(kept, dropped)]
        return min(ways, key=lambda way: way.share, default=None)

    def _best(
        self, kept: Sequence[BoundSide], nearest: Sequence[BoundSide]
    ) -> list[tuple[tuple[int, ...], str]]:
        """The figures nearest to what some sides ask that networks inside others have."""
        goals = tuple(side.goal for side in nearest) or self.problem.goals
        bounds = tuple(side.alone for side in kept)
        asked = Objectives.of(replace(self.problem, goals=goals, bounds=bounds))
        pool = CandidateSet(self.chains, asked.terms, WorkMeter(self.limits))
        if len(nearest) > 1:
            candidates = front(pool, asked.goals, asked.cost, asked.ranges)
        else:
            keys = asked.goals if nearest else ()
            candidates = pool.ranked([*keys, asked.cost], asked.ranges, 1)
        return [
            (
                tuple(candidate.values[key.term] for key in asked.goals),
                _network(self.chains, candidate),
            )
            for candidate in candidates
        ]


def _listed(sides: Sequence[BoundSide]) -> str:
    return " and ".join(map(str, sides))


def _network(chains: Sequence[CostChain], candidate: NetworkCandidate) -> str:
    one = chains[candidate.chain]
    texts = [f"g={one.frame.groups}"]
    for link, j, r in zip(one.links, candidate.widths, candidate.repeats, strict=True):
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
        parts = split_frame(space, frame).parts
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
    frame: Frame, parts: Sequence[SpacePart]
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
