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

from shufflenet.solver.engine.best_first import MEMORY, Field, Hit, Key, Limits
from shufflenet.solver.engine.bounds import FAR, Windows
from shufflenet.solver.engine.labels import Aims, Room, best_hits, grown
from shufflenet.solver.engine.lagrangian import Cut, Side, cut, sides
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

    def limits(self, most: int) -> tuple[int, ...]:
        """The most that each cut may be where the sum is at most that."""
        return (most, self.scale * most + self.off)[: len(self.cuts)]


def pair_front(field: Field, aims: Aims, limits: Limits) -> list[Hit]:
    """All points of the front of two goals, each by its first network, in any order.

    Raises SpaceTooLargeError where a proof would take too long.
    """
    return _Pair(field, aims, limits).run()


class _Pair:
    """Two goals inside limits; the memory, if it is one of them, is the second."""

    def __init__(self, field: Field, aims: Aims, limits: Limits) -> None:
        self.field = field
        self.sizes = field.meter.limits
        self.limits = limits
        self.windows = field.windows(limits)
        goals = sorted(aims.goals, key=lambda key: key.term == MEMORY)
        self.aims = aims._replace(goals=tuple(goals))
        self.found: dict[Point, Hit] = {}

    def run(self) -> list[Hit]:
        """Both ends of the front, then the boxes between them."""
        first = self._first(self.limits, self.aims.goals)
        if first is None:
            return []
        last = self._first(self.limits, self.aims.goals[::-1])
        assert last is not None
        boxes = [_Box((first[0] + 1, last[1] + 1), (last[0] - 1, first[1] - 1))]
        while boxes:
            box = boxes.pop()
            if box.corners():
                boxes += self._rest(box)
        return list(self.found.values())

    def _first(self, limits: Limits, goals: Sequence[Key]) -> Point | None:
        """The point of the front that is best in the first of the goals, within the limits."""
        hits = self.field.ranked([*goals, self.aims.cost], limits, 1)
        return self._known(hits)[0] if hits else None

    def _known(self, hits: Sequence[Hit]) -> list[Point]:
        """The points of some hits, which are kept."""
        one, other = self.aims.goals
        points = [
            (one.value(hit.values[one.term]), other.value(hit.values[other.term])) for hit in hits
        ]
        self.found.update(zip(points, hits, strict=True))
        most = self.sizes.front_points
        if len(self.found) > most:
            raise SpaceTooLargeError(
                f"the front has more than {most:,} points; narrow the widths, align them,"
                " or bound the goals"
            )
        return points

    def _within(self, high: Point) -> Limits:
        """The limits with both goals kept within a corner as well."""
        limits = self.limits
        for key, most in zip(self.aims.goals, high, strict=True):
            least, most = (-FAR, most) if key.sign > 0 else (-most, FAR)
            limits = limits.within(key.term, least, most)
        return limits

    def _rest(self, box: _Box) -> list[_Box]:
        """Look into a box, deeper and deeper; what is left of it if it is parted."""
        weights = self._weights(box)
        slopes = list(self._slopes(box, weights))
        least = min((slope.least for slope in slopes), default=0)
        deep = _height(box.high, weights) - least
        # Memory has no weight: the whole depth has to be looked at.
        shift = self.sizes.first_share if weights[1] else 0
        while slopes:
            open_to = max(_height(corner, weights) for corner in box.corners())
            most = min(least + (deep >> shift), open_to)
            taken = self._look(slopes, box, most)
            if taken is None:
                return self._parted(box, weights)
            box = box.knowing({*box.points, *taken.points})
            if all(_height(corner, weights) <= most for corner in box.corners()):
                break
            if taken.tried > self.sizes.parting_prefixes and box.points:
                return self._parted(box, weights)
            shift = max(shift - self.sizes.share_step, 0)
        return []

    def _parted(self, box: _Box, weights: Point) -> list[_Box]:
        """A box parted at the lowest of the points about its middle, or else in the middle."""
        if box.points:
            edge = len(box.points) // 4
            inner = box.points[edge : len(box.points) - edge]
            return box.parted(min(inner, key=lambda point: _height(point, weights)))
        (left, bottom), (right, top) = box.low, box.high
        middle = (bottom + top) // 2
        point = self._first(self._within((right, middle)), self.aims.goals)
        if point is None:
            return [box.within((left, middle + 1), box.high)]
        above = box.within((left, middle + 1), (point[0] - 1, top))
        return [above, box.within((point[0] + 1, bottom), (right, point[1] - 1))]

    def _weights(self, box: _Box) -> Point:
        """Whole numbers, in about the ratio in which one goal is worth the other in a box."""
        (left, bottom), (right, top) = box.low, box.high
        if self.aims.goals[1].term == MEMORY:
            return 1, 0
        sizes = [
            max(max(self.field.search(n, None).largest[key.term], 1) for n in self._numbers())
            for key in self.aims.goals
        ]
        raw = top - bottom + 1, right - left + 1
        weighed = sum(map(mul, raw, sizes))
        one, other = (max(raw[i] * self.sizes.goal_weight // max(raw), 1) for i in (0, 1))
        if one * sizes[0] + other * sizes[1] >= self.sizes.weighed_goals:
            one, other = (raw[i] * self.sizes.weighed_goals // weighed for i in (0, 1))
        return (one, other) if one and other else (1, 0)

    def _numbers(self) -> Iterator[int]:
        memory = self.limits.most[MEMORY]
        return (n for n in range(len(self.field.chains)) if self.field.search(n, memory).possible)

    def _slopes(self, box: _Box, weights: Point) -> Iterator[_Slope]:
        """The chains that may have points in the box, with the cuts of both goals weighed."""
        limits, top = self._within(box.high), _height(box.high, weights)
        own = tuple(
            (Side(key.term, key.sign), weight)
            for key, weight in zip(self.aims.goals, weights, strict=True)
            if weight
        )
        for number in range(len(self.field.chains)):
            slope = self._slope(number, limits, own, top)
            if slope is not None and slope.least <= top:
                yield slope

    def _slope(
        self, number: int, limits: Limits, own: tuple[tuple[Side, int], ...], top: int
    ) -> _Slope | None:
        place, memory = self.aims.terms, limits.most[MEMORY]
        plain = Cut(own)
        search = self.field.search(number, memory, [plain])
        if not search.possible or search.least[place] > top:
            return None
        slope = _Slope(number, (plain,), search.least[place])
        windows = _longer(self.windows, (FAR,))
        sharper = cut(search, Side(place, 1), sides(search, windows), windows)
        if sharper is None:
            return slope
        (_, scale), *rest = sharper.weights
        weighed = Cut((*((side, scale * weight) for side, weight in own), *rest))
        off = sum(weight * side.limit(self.windows) for side, weight in rest)
        search = self.field.search(number, memory, [plain, weighed])
        if not search.possible:
            return None
        least = max(slope.least, -((off - search.least[place + 1]) // scale))
        return _Slope(number, (plain, weighed), least, scale, off)

    def _look(self, slopes: Sequence[_Slope], box: _Box, most: int) -> _Taken | None:
        """All points of the front in a box whose sum is at most that.

        None where that takes more prefixes than there is room for.
        """
        limits = self._within(box.high)
        # What stays too much in a smaller box needs more room, not a box that is smaller still.
        sizes = self.sizes
        more = 2 ** min(box.depth // sizes.partings_to_double, sizes.doublings)
        prefixes = more * sizes.box_prefixes
        room = Room(prefixes, prefixes, more * sizes.box_entries)
        hits: list[Hit] = []
        tried = 0
        for slope in slopes:
            search = self.field.search(slope.number, limits.most[MEMORY], slope.cuts)
            windows = _longer(self.field.windows(limits), slope.limits(most))
            if slope.least > most or search.misses(windows):
                continue
            block, count = grown(search, windows, self.aims, room, self.field.meter)
            if block is None:
                return None
            tried += count
            hits += self.field.as_hits(slope.number, block)
        return _Taken(
            self._known(best_hits(self.field, self.aims.goals, self.aims.cost, hits)), tried
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
