"""Why nothing fits: the bounds in the way, and the smallest relaxation that admits a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, islice, product
from typing import NamedTuple

import numpy as np

from shufflenet.design.asking import Asked, above_ratio
from shufflenet.design.chain import Chain
from shufflenet.design.folding import own_rules
from shufflenet.design.parts import Part, cut, frames, repeated
from shufflenet.design.problem import Bound, Goal, Problem, Sense, Space
from shufflenet.design.ranking import Field, Hit, Key, Limits
from shufflenet.design.search import FAR
from shufflenet.placing import Frame
from shufflenet.scaling import first_broken
from shufflenet.spec import Row

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
        return f"{self.bound.figure}{convention} at {word} {_shown(self.value)}"

    @property
    def alone(self) -> Bound:
        """The side as a bound."""
        least, most = (None, self.value) if self.most else (self.value, None)
        return self.bound._replace(least=least, most=most)


class Relaxed(NamedTuple):
    """A side that gives way, the value to which it has to, and the network that this admits."""

    side: Side
    value: int | Fraction
    network: str

    @property
    def share(self) -> Fraction:
        """The change as a share of what was asked."""
        asked = Fraction(self.side.value)
        return abs(Fraction(self.value) - asked) / (asked or Fraction(1, 10**9))

    def __str__(self) -> str:
        return f"{self.side}, relaxed to {_shown(self.value)} ({float(100 * self.share):.3g}%)"


def _shown(value: int | Fraction) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{float(value):.6g}"


def nothing_fits(problem: Problem, chains: Sequence[Chain]) -> str:
    """Which bounds stand in the way, and the smallest relaxation that admits a network."""
    where = _where(problem.space)
    sides = [
        Side(bound, value, most)
        for bound in problem.bounds
        for value, most in ((bound.least, False), (bound.most, True))
        if value is not None
    ]
    for count in range(1, min(_MOST_TOGETHER, len(sides)) + 1):
        tried = (_relaxed(problem, chains, sides, some) for some in combinations(sides, count))
        ways = sorted((way for way in tried if way), key=lambda w: sum(one.share for one in w))
        if ways:
            texts = [" and ".join(map(str, way)) for way in ways[:_MOST_WAYS]]
            return (
                f"{where}: no network keeps {' and '.join(map(str, sides))}; smallest relaxation:"
                f" {texts[0]}, with {ways[0][-1].network}"
                + "".join(f"; or {text}" for text in texts[1:])
            )
    return (
        f"{where}: no network keeps {' and '.join(map(str, sides))}, nor would one with any"
        f" {_MOST_TOGETHER} of these dropped"
    )


def _relaxed(
    problem: Problem, chains: Sequence[Chain], sides: Sequence[Side], dropped: Sequence[Side]
) -> list[Relaxed]:
    """What each of the dropped sides has to give way to; nothing where that does not help.

    The first gives way as little as it can while the others are dropped; the next as little as it
    can then.
    """
    kept = [side.alone for side in sides if side not in dropped]
    found: list[Relaxed] = []
    for side in dropped:
        nearest = _nearest_ratio if side.bound.figure == "intensity" else _nearest
        reached = nearest(replace(problem, bounds=tuple(kept)), chains, side)
        if reached is None:
            return []
        found.append(Relaxed(side, *reached))
        kept.append(side._replace(value=reached[0]).alone)
    return found


def _nearest(
    problem: Problem, chains: Sequence[Chain], side: Side
) -> tuple[int | Fraction, str] | None:
    """The figure nearest to what a side asks that a network inside the bounds has."""
    sense: Sense = "least" if side.most else "most"
    goal = Goal(side.bound.figure, sense, None, side.bound.convention)
    asked = Asked.of(replace(problem, goals=(goal,)))
    hits = Field(chains, asked.terms).ranked([*asked.goals, asked.cost], asked.limits, 1)
    if not hits:
        return None
    return hits[0].values[asked.goals[0].term], _network(chains, hits[0])


def _nearest_ratio(
    problem: Problem, chains: Sequence[Chain], side: Side
) -> tuple[int | Fraction, str] | None:
    """The intensity nearest to what a side asks, by Dinkelbach's iteration: exact when it stops."""
    goals = (Goal("macs", "least", None, side.bound.convention), Goal("moved", "least"))
    asked = Asked.of(replace(problem, goals=goals))
    macs, moved = (key.term for key in asked.goals)
    hits = Field(chains, asked.terms).first(asked.limits, 1)
    ratio: Fraction | None = None
    while hits:
        found = Fraction(hits[0].values[macs], hits[0].values[moved])
        if found == ratio:
            return ratio, _network(chains, hits[0])
        ratio = found
        term = above_ratio(asked.terms[macs][0][0], asked.terms[moved][0][0], ratio)
        key = Key(len(asked.terms), 1 if side.most else -1)
        limits = Limits(
            (*asked.limits.least[:-1], -FAR, asked.limits.least[-1]),
            (*asked.limits.most[:-1], FAR, asked.limits.most[-1]),
        )
        hits = Field(chains, (*asked.terms, term)).ranked([key], limits, 1)
    return None


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
    groups = ",".join(map(str, space.groups or (space.spec.first_choice,)))
    units = f", unit {','.join(space.units)}" if space.units else ""
    return f"{space.spec.name}, g={groups}{units}"


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
            broken = first_broken(frame._replace(spec=spec), widths)
            if broken is not None and (furthest is None or broken.held > furthest[0]):
                furthest = broken.held, f"{broken} (g={frame.groups})"
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
