"""A frame of a space, priced: every unit once for each pair of neighbouring widths.

What a network costs is the sum of a few table entries (its memory the largest of them), and it is
legal where each of them is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from flopcount.entries import Shape
from flopcount.integers import MAX, FigureTooLargeError, MixedWidthsError
from shufflenet.arch.layout import Frame
from shufflenet.arch.network import Network, assemble
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.scaling import Rounded
from shufflenet.arch.spec import Row, SpecError
from shufflenet.solver.engine.search_limits import SearchLimits
from shufflenet.solver.engine.unit_costs import (
    Mask,
    Names,
    Tables,
    UnitWalk,
    figured,
    joined,
    own_rules,
    pairs,
    rest,
)
from shufflenet.solver.engine.variables import SpacePart, SplitFrame, repeated


class Link(NamedTuple):
    """One part priced: tables over (i, j) = (width before, own width) and (j, r) = (own, repeats).

    ``pair`` holds the figures of its first unit, ``own`` those of all behind it; ``legal`` and
    ``allowed`` say which entries keep every rule.
    """

    part: SpacePart
    legal: Mask
    allowed: Mask
    pair: Tables
    own: Tables


@dataclass(frozen=True, slots=True)
class CostChain:
    """A frame with its parts priced; ``start`` are the figures of what stands before them.

    A chain of which no network is legal has no links.
    """

    frame: Frame
    start: dict[str, int]
    links: tuple[Link, ...]

    def candidates(self) -> int:
        """How many legal networks it holds, exactly."""
        if not self.links:
            return 0
        counts = np.ones(1, object)
        for link in self.links:
            arrived = counts.dot(link.legal.astype(object))
            counts = arrived * link.allowed.sum(axis=1).astype(object)
        return int(counts.sum())

    def network(self, widths: Sequence[int], repeats: Sequence[int]) -> Network:
        """The network at one entry of each part's widths and repeats.

        Raises SpecError where it breaks a rule of the whole, such as a printed size.
        """
        rows: tuple[Row, ...] = self.frame.spec.rows
        settled: dict[str, int] = {}
        scale = Decimal(1)
        rounded: tuple[Rounded, ...] = ()
        for link, j, r in zip(self.links, widths, repeats, strict=True):
            part = link.part
            settled |= {p: int(c[j]) for p, c in zip(part.paths, part.widths, strict=True)}
            if part.scales:
                scale, rounded = part.scales[j]
            for path, count in zip(part.stages, part.repeats[r], strict=True):
                rows = repeated(rows, path, count)
        spec = self.frame.spec
        if rows != spec.rows:
            spec = replace(spec, rows=rows)
        return assemble(replace(self.frame, spec=spec), settled, scale, rounded)


def chain(split: SplitFrame, names: Names, limits: SearchLimits) -> CostChain:
    """Price the parts of a frame; only widths that some legal network has are kept.

    Raises FigureTooLargeError past 2**63 - 1, QuantityError for too many pairs of widths, and
    SpecError where units depend on more than their neighbours.
    """
    frame = split.frame
    frame.check_options()
    start, shape, legal = _scalar(frame, split.before, names)
    links: list[Link] = []
    for part in split.parts if legal else ():
        wide = links[-1].part.size if links else 1
        try:
            found = _link(frame, part, shape, wide, names, limits)
        except MixedWidthsError as error:
            raise SpecError(
                f"{frame.spec.where}: a unit gives its input a width of its own, which the solver"
                f" does not follow: {error}"
            ) from error
        if found is None:
            return CostChain(frame, start, ())
        link, shape = found
        links.append(link)
    made = CostChain(frame, start, _reachable(links))
    _check(made, names)
    return made


def _scalar(
    frame: Frame, rows: tuple[Row, ...], names: Names
) -> tuple[dict[str, int], Shape, bool]:
    """What the rows before the first part cost, and whether they are legal."""
    totals = dict.fromkeys(names, 0)
    walk = UnitWalk(frame, rows, frame.image, {})
    for placed in walk:
        if not all(rule.holds() for _, rule in placed.rules()):
            return totals, frame.image, False
        for name, value in figured(placed, names).items():
            totals[name] = int(joined(name, totals[name], value))
    return totals, walk.shape, True


def _link(
    frame: Frame, part: SpacePart, before: Shape, wide: int, names: Names, limits: SearchLimits
) -> tuple[Link, Shape] | None:
    """One part behind a shape whose width is a column of so many, or a plain number."""
    if not part.size or not part.repeats:
        return None
    part = part.kept(own_rules(frame, part, before))
    if wide * part.size > limits.table_pairs:
        raise QuantityError(
            f"{frame.spec.where}: {part.rows[0].layer}: {wide:,} x {part.size:,} pairs of widths"
            f" are more than {limits.table_pairs:,}; allow fewer, or align them"
        )
    first = pairs(frame, part, before, wide, names)
    if not first.legal.any():
        return None
    behind = rest(frame, part, first.after, names)
    if not behind.allowed.any():
        return None
    return Link(part, first.legal, behind.allowed, first.tables, behind.tables), behind.after


def _reachable(links: Sequence[Link]) -> tuple[Link, ...]:
    """The links with only those widths that some legal network has."""
    forward: list[Mask] = []
    alive: Any = np.ones(1, np.bool_)
    for link in links:
        alive = link.legal[alive].any(axis=0) & link.allowed.any(axis=1)
        forward.append(alive)
    kept: list[Mask] = []
    after: Any = None
    for link, mask in zip(reversed(links), reversed(forward), strict=True):
        alive = mask if after is None else mask & after
        kept.append(alive)
        after = link.legal[:, alive].any(axis=1)
    kept.reverse()
    if not all(mask.any() for mask in kept):
        return ()
    found = []
    ahead: Any = np.ones(1, np.bool_)
    for link, mask in zip(links, kept, strict=True):
        found.append(
            Link(
                link.part.kept(mask),
                link.legal[ahead][:, mask],
                link.allowed[mask],
                {name: table[ahead][:, mask] for name, table in link.pair.items()},
                {name: table[mask] for name, table in link.own.items()},
            )
        )
        ahead = mask
    return tuple(found)


def _check(made: CostChain, names: Names) -> None:
    """Check that no sum of entries can wrap."""
    for name in names:
        largest = made.start[name]
        for link in made.links:
            largest += int(link.pair[name].max()) + int(link.own[name].max())
        if largest > MAX:
            raise FigureTooLargeError
