"""The front of two goals, box by box: between two points that are known lies the rest of it.

Weighed by the slope of a box, the goals have a least sum, sharpened by the multipliers of the
bounds. Networks are grown whose sum is little above it; once none of the corners that the points
found leave open is below what was looked at, the box is done. A box that takes too many prefixes is
parted at a point of the front.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import mul
from typing import NamedTuple, TypeAlias

from shufflenet.solver.engine.best_first import (
    MEMORY_TERM,
    CandidateSet,
    NetworkCandidate,
    RankKey,
    TermRanges,
)
from shufflenet.solver.engine.bounds import FAR, Windows
from shufflenet.solver.engine.labels import Goals, Room, best_candidates, grown
from shufflenet.solver.engine.lagrangian import Cut, WindowSide, cut, sides
from shufflenet.solver.problem import SpaceTooLargeError

#: The two goals as they are ranked, the least best.
Point: TypeAlias = tuple[int, int]


class _Box(NamedTuple):
    """What two goals can be: from ``low`` to ``high``, both ends included; the points known in it.

    No network has both goals within ``high`` and one of them below ``low``. ``depth`` is how often
    boxes were parted at known points to come to this one.
    """

    low: Point
    high: Point
    depth: int = 0
    points: tuple[Point, ...] = ()

    def within(self, low: Point, high: Point) -> _Box:
        """A part of the box, with the points known in it."""
        return _Box(low, high, self.depth).knowing(self.points)

    def parted(self, point: Point) -> list[_Box]:
        """What a point of the front leaves of the box, on either side of it."""
        (left, bottom), (right, top) = self.low, self.high
        deeper = self._replace(depth=self.depth + 1)
        above = deeper.within((left, point[1] + 1), (point[0] - 1, top))
        return [above, deeper.within((point[0] + 1, bottom), (right, point[1] - 1))]

    def knowing(self, points: Iterable[Point]) -> _Box:
        """The box with those of some points that are in it, in their order."""
        (left, bottom), (right, top) = self.low, self.high
        inside = (p for p in points if left <= p[0] <= right and bottom <= p[1] <= top)
        return self._replace(points=tuple(sorted(inside)))

    def corners(self) -> list[Point]:
        """The highest that a further point of the front can be, between any two that are known."""
        before = (self.low[0] - 1, self.high[1] + 1)
        behind = (self.high[0] + 1, self.low[1] - 1)
        steps = pairwise((before, *self.points, behind))
        return [(b[0] - 1, a[1] - 1) for a, b in steps if b[0] - a[0] > 1 and a[1] - b[1] > 1]


class _Slope(NamedTuple):
    """The weighed sum of both goals in one chain, as cuts, the last of which bounds it best.

    The last cut is ``scale`` times the sum, and ``rest`` beside it, whose limits come to ``off``.
    The sum is at least ``least``.
    """

    number: int
    cuts: tuple[Cut, ...]
    least: int
    scale: int = 1
    off: int = 0

    def caps(self, most: int) -> tuple[int, ...]:
        """The most that each cut may be where the sum is at most that."""
        return (most, self.scale * most + self.off)[: len(self.cuts)]


def pair_front(pool: CandidateSet, goals: Goals, ranges: TermRanges) -> list[NetworkCandidate]:
    """All points of the front of two goals, each by its first network, in any order.

    Raises SpaceTooLargeError where a proof would take too long.
    """
    return _Pair(pool, goals, ranges).run()


class _Pair:
    """Two goals inside ranges; the memory, if it is one of them, is the second."""

    def __init__(self, pool: CandidateSet, goals: Goals, ranges: TermRanges) -> None:
        self.pool = pool
        self.limits = pool.meter.limits
        self.ranges = ranges
        self.windows = pool.windows(ranges)
        keys = sorted(goals.keys, key=lambda key: key.term == MEMORY_TERM)
        self.goals = goals._replace(keys=tuple(keys))
        self.found: dict[Point, NetworkCandidate] = {}

    def run(self) -> list[NetworkCandidate]:
        """Both ends of the front, then the boxes between them."""
        first = self._first(self.ranges, self.goals.keys)
        if first is None:
            return []
        last = self._first(self.ranges, self.goals.keys[::-1])
        assert last is not None
        boxes = [_Box((first[0] + 1, last[1] + 1), (last[0] - 1, first[1] - 1))]
        while boxes:
            box = boxes.pop()
            if box.corners():
                boxes += self._rest(box)
        return list(self.found.values())

    def _first(self, ranges: TermRanges, goals: Sequence[RankKey]) -> Point | None:
        """The point of the front that is best in the first of the goals, within the ranges."""
        candidates = self.pool.ranked([*goals, self.goals.cost], ranges, 1)
        return self._known(candidates)[0] if candidates else None

    def _known(self, candidates: Sequence[NetworkCandidate]) -> list[Point]:
        """The points of some candidates, which are kept."""
        one, other = self.goals.keys
        points = [
            (one.value(c.values[one.term]), other.value(c.values[other.term])) for c in candidates
        ]
        self.found.update(zip(points, candidates, strict=True))
        most = self.limits.front_points
        if len(self.found) > most:
            raise SpaceTooLargeError(
                f"the front has more than {most:,} points; narrow the widths, align them,"
                " or bound the goals"
            )
        return points

    def _within(self, high: Point) -> TermRanges:
        """The ranges with both goals kept within a corner as well."""
        ranges = self.ranges
        for key, most in zip(self.goals.keys, high, strict=True):
            least, most = (-FAR, most) if key.sign > 0 else (-most, FAR)
            ranges = ranges.within(key.term, least, most)
        return ranges

    def _rest(self, box: _Box) -> list[_Box]:
        """Look into a box, deeper and deeper; what is left of it if it is parted."""
        weights = self._weights(box)
        slopes = list(self._slopes(box, weights))
        least = min((slope.least for slope in slopes), default=0)
        deep = _height(box.high, weights) - least
        # Memory has no weight: the whole depth has to be looked at.
        shift = self.limits.first_share if weights[1] else 0
        while slopes:
            open_to = max(_height(corner, weights) for corner in box.corners())
            most = min(least + (deep >> shift), open_to)
            taken = self._look(slopes, box, most)
            if taken is None:
                return self._parted(box, weights)
            box = box.knowing({*box.points, *taken.points})
            if all(_height(corner, weights) <= most for corner in box.corners()):
                break
            if taken.tried > self.limits.parting_prefixes and box.points:
                return self._parted(box, weights)
            shift = max(shift - self.limits.share_step, 0)
        return []

    def _parted(self, box: _Box, weights: Point) -> list[_Box]:
        """A box parted at the lowest of the points about its middle, or else in the middle."""
        if box.points:
            edge = len(box.points) // 4
            inner = box.points[edge : len(box.points) - edge]
            return box.parted(min(inner, key=lambda point: _height(point, weights)))
        (left, bottom), (right, top) = box.low, box.high
        middle = (bottom + top) // 2
        point = self._first(self._within((right, middle)), self.goals.keys)
        if point is None:
            return [box.within((left, middle + 1), box.high)]
        above = box.within((left, middle + 1), (point[0] - 1, top))
        return [above, box.within((point[0] + 1, bottom), (right, point[1] - 1))]

    def _weights(self, box: _Box) -> Point:
        """Whole numbers, in about the ratio in which one goal is worth the other in a box."""
        (left, bottom), (right, top) = box.low, box.high
        if self.goals.keys[1].term == MEMORY_TERM:
            return 1, 0
        sizes = [
            max(max(self.pool.search(n, None).largest[key.term], 1) for n in self._numbers())
            for key in self.goals.keys
        ]
        raw = top - bottom + 1, right - left + 1
        weighed = sum(map(mul, raw, sizes))
        one, other = (max(raw[i] * self.limits.goal_weight // max(raw), 1) for i in (0, 1))
        if one * sizes[0] + other * sizes[1] >= self.limits.weighed_goals:
            one, other = (raw[i] * self.limits.weighed_goals // weighed for i in (0, 1))
        return (one, other) if one and other else (1, 0)

    def _numbers(self) -> Iterator[int]:
        memory = self.ranges.most[MEMORY_TERM]
        return (n for n in range(len(self.pool.chains)) if self.pool.search(n, memory).possible)

    def _slopes(self, box: _Box, weights: Point) -> Iterator[_Slope]:
        """The chains that may have points in the box, with the cuts of both goals weighed."""
        ranges, top = self._within(box.high), _height(box.high, weights)
        own = tuple(
            (WindowSide(key.term, key.sign), weight)
            for key, weight in zip(self.goals.keys, weights, strict=True)
            if weight
        )
        for number in range(len(self.pool.chains)):
            slope = self._slope(number, ranges, own, top)
            if slope is not None and slope.least <= top:
                yield slope

    def _slope(
        self, number: int, ranges: TermRanges, own: tuple[tuple[WindowSide, int], ...], top: int
    ) -> _Slope | None:
        place, memory = self.goals.terms, ranges.most[MEMORY_TERM]
        plain = Cut(own)
        search = self.pool.search(number, memory, [plain])
        if not search.possible or search.least[place] > top:
            return None
        slope = _Slope(number, (plain,), search.least[place])
        windows = _longer(self.windows, (FAR,))
        sharper = cut(search, WindowSide(place, 1), sides(search, windows), windows)
        if sharper is None:
            return slope
        (_, scale), *rest = sharper.weights
        weighed = Cut((*((side, scale * weight) for side, weight in own), *rest))
        off = sum(weight * side.limit(self.windows) for side, weight in rest)
        search = self.pool.search(number, memory, [plain, weighed])
        if not search.possible:
            return None
        least = max(slope.least, -((off - search.least[place + 1]) // scale))
        return _Slope(number, (plain, weighed), least, scale, off)

    def _look(self, slopes: Sequence[_Slope], box: _Box, most: int) -> _Taken | None:
        """All points of the front in a box whose sum is at most that.

        None where that takes more prefixes than there is room for.
        """
        ranges = self._within(box.high)
        # What stays too much in a smaller box needs more room, not a box that is smaller still.
        limits = self.limits
        more = 2 ** min(box.depth // limits.partings_to_double, limits.doublings)
        prefixes = more * limits.box_prefixes
        room = Room(prefixes, prefixes, more * limits.box_entries)
        candidates: list[NetworkCandidate] = []
        tried = 0
        for slope in slopes:
            search = self.pool.search(slope.number, ranges.most[MEMORY_TERM], slope.cuts)
            windows = _longer(self.pool.windows(ranges), slope.caps(most))
            if slope.least > most or search.misses(windows):
                continue
            block, count = grown(search, windows, self.goals, room, self.pool.meter)
            if block is None:
                return None
            tried += count
            candidates += self.pool.as_candidates(slope.number, block)
        return _Taken(
            self._known(best_candidates(self.pool, self.goals.keys, self.goals.cost, candidates)),
            tried,
        )


class _Taken(NamedTuple):
    """A look into a box: the points found, and how many prefixes were tried."""

    points: list[Point]
    tried: int


def _longer(windows: Windows, most: Iterable[int]) -> Windows:
    """The windows with those of further terms, each at most a value."""
    further = tuple(min(value, FAR) for value in most)
    least = (-FAR,) * len(further)
    return Windows((*windows.least, *least), (*windows.most, *further), windows.memory)


def _height(point: Point, weights: Point) -> int:
    return point[0] * weights[0] + point[1] * weights[1]
