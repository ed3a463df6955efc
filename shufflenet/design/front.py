"""The Pareto front of some chains: dynamic programming with dominance, part by part.

Of two prefixes that end in the same width, one that is no worse in any goal, bound and cost makes
the other superfluous, whatever comes behind them. What is left at the end holds the whole front,
each of its points by its first network in the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shufflenet.design.enumerating import Work, extend, prefixes
from shufflenet.design.parts import Column
from shufflenet.design.problem import SpaceTooLargeError
from shufflenet.design.ranking import MEMORY, Field, Hit, Key, Limits
from shufflenet.design.search import Block, Search

# Prefixes kept at once at most, and those of each width that a first, rough front is made of.
_MOST_PREFIXES = 4_000_000
_ROUGH = 4
# Points that prefixes are held against, and rows compared at once.
_MOST_POINTS = 64
_ROWS = 1_024


def front(field: Field, goals: Sequence[Key], cost: Key, limits: Limits) -> list[Hit]:
    """Every point of the front, by its first network; in the order of the goals, best first.

    Raises SpaceTooLargeError where more prefixes have to be kept than there is room for.
    """
    if not limits.open:
        return []
    maker = _Front(field, tuple(goals), cost, limits)
    rough = maker.points(np.zeros((0, len(goals)), np.int64), _ROUGH)
    points = _thinned(np.array([_goals(goals, hit) for hit in rough], np.int64), len(goals))
    return maker.points(points, None)


def _goals(goals: Sequence[Key], hit: Hit) -> list[int]:
    return [key.value(hit.values[key.term]) for key in goals]


def _thinned(points: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    points = points.reshape(-1, count)
    if count == 2:
        return points
    step = -(-len(points) // _MOST_POINTS) or 1
    return points[::step]


class _Criteria(NamedTuple):
    """What prefixes are compared by: columns of which the least is best, (n, criteria).

    ``decides`` says of each whether being less in it alone is being better for good.
    """

    columns: NDArray[np.int64]
    decides: NDArray[np.bool_]


class _Front:
    """One problem: chains, goals, the cost that ranks among equals, and the limits."""

    def __init__(self, field: Field, goals: tuple[Key, ...], cost: Key, limits: Limits) -> None:
        self.field = field
        self.goals = goals
        self.cost = cost
        self.limits = limits
        self.windows = field.windows(limits)

    def points(self, known: NDArray[np.int64], most: int | None) -> list[Hit]:
        """The front, given points that are in reach; or a rough one, of so many prefixes each."""
        found: list[Hit] = []
        for number in range(len(self.field.chains)):
            search = self.field.search(number, self.limits.most[MEMORY])
            if search.possible and not search.misses(self.windows):
                found += self._of_chain(number, search, known, most)
        values = np.array([_goals(self.goals, hit) for hit in found], np.int64)
        costs = np.array([hit.values[self.cost.term] for hit in found], np.int64)
        kept = _first_points(values.reshape(-1, len(self.goals)), costs, self.field.work)
        return [found[index] for index in kept.tolist()]

    def _of_chain(
        self, number: int, search: Search, known: NDArray[np.int64], most: int | None
    ) -> list[Hit]:
        labels = prefixes(search)
        for part in range(len(search.legal)):
            last = part + 1 == len(search.legal)
            kept: list[Block] = []
            count = 0
            for block in extend(search, self.windows, labels, part, self.field.work):
                block = self._in_reach(search, block, part, known)
                if last:
                    # Nothing comes behind it: widths need not be told apart any more.
                    block = block.at(
                        _first_points(*self._ends(block), self.field.work, ordered=False)
                    )
                kept.append(block)
                count += block.size
                if count > _MOST_PREFIXES:
                    labels = self._narrowed(search, Block.joined(kept), part, most, last)
                    kept, count = [labels], labels.size
                    if count > _MOST_PREFIXES // 2:
                        raise SpaceTooLargeError(
                            f"the front needs more than {_MOST_PREFIXES // 2:,} prefixes; narrow"
                            " the widths, align them, or bound what is not wanted"
                        )
            if not kept:
                return []
            labels = self._narrowed(search, Block.joined(kept), part, most, last)
        return [
            Hit(number, tuple(w), tuple(r), (*v, m))
            for w, r, v, m in zip(
                labels.widths.tolist(),
                labels.repeats.tolist(),
                labels.values[: len(self.field.terms)].T.tolist(),
                labels.memory.tolist(),
                strict=True,
            )
        ]

    def _ends(self, block: Block) -> tuple[NDArray[np.int64], Column]:
        """The goals of whole networks, and their costs."""
        columns = [_ranked(key, _figures(block, key.term)) for key in self.goals]
        return np.stack(columns, axis=1), _figures(block, self.cost.term)

    def _narrowed(
        self, search: Search, block: Block, part: int, most: int | None, last: bool
    ) -> Block:
        """The prefixes that none of the same width makes superfluous."""
        if last:
            return block.at(_first_points(*self._ends(block), self.field.work, ordered=False))
        criteria = self._criteria(search, block, part)
        node = block.widths[:, -1]
        order = np.argsort(node, kind="stable")
        cuts = np.flatnonzero(np.diff(node[order])) + 1
        kept: list[Any] = []
        for rows in np.split(order, cuts):
            columns = criteria.columns[rows]
            chosen = rows[_undominated(columns, criteria.decides, self.field.work)]
            if most is not None and len(chosen) > most:
                chosen = chosen[np.linspace(0, len(chosen) - 1, most).astype(np.int64)]
            kept.append(chosen)
        return block.at(np.sort(np.concatenate(kept)) if kept else order)

    def _criteria(self, search: Search, block: Block, part: int) -> _Criteria:
        columns: list[Any] = []
        decides: list[bool] = []

        def add(column: Any, final: bool) -> None:
            columns.append(column)
            decides.append(final)

        # The larger of two memories may hide a difference, which then decides nothing.
        for key in (*self.goals, self.cost):
            figures = _figures(block, key.term)
            add(key.sign * figures, key.target is None and key.term != MEMORY)
            if key.target is not None:
                add(-figures, False)
        node = block.widths[:, -1]
        for t, values in enumerate(block.values):
            if (values + search.tail_most[part][t][node] > self.windows.most[t]).any():
                add(values, False)
            if (values + search.tail_least[part][t][node] < self.windows.least[t]).any():
                add(-values, False)
        if (block.memory < self.windows.memory).any():
            add(-block.memory, False)
        return _Criteria(np.stack(columns, axis=1), np.array(decides))

    def _in_reach(self, search: Search, block: Block, part: int, known: NDArray[np.int64]) -> Block:
        """The prefixes that no known point beats, whatever comes behind them."""
        if not len(known) or not block.size:
            return block
        node = block.widths[:, -1]
        best = np.stack([self._best(search, block, part, node, key) for key in self.goals], axis=1)
        return block.at(np.flatnonzero(~_out_of_reach(best, known)))

    def _best(self, search: Search, block: Block, part: int, node: Any, key: Key) -> Any:
        """The best that a goal can become behind each prefix."""
        figures = _figures(block, key.term)
        if key.term == MEMORY:
            most = np.maximum(figures, search.tail_peak[part][node])
            least = figures
        else:
            least = figures + search.tail_least[part][key.term][node]
            most = figures + search.tail_most[part][key.term][node]
        if key.target is not None:
            return np.maximum(np.maximum(least - key.target, key.target - most), 0)
        return least if key.sign > 0 else -most


def _out_of_reach(best: NDArray[np.int64], known: NDArray[np.int64]) -> Any:
    """Which rows some known point beats: no worse in any goal, and better in one."""
    if known.shape[1] == 2:
        # On a front of two goals the last point that is no worse in one is the best in the other.
        at = np.searchsorted(known[:, 0], best[:, 0], "right") - 1
        first, second = known[at, 0], known[at, 1]
        better = (first < best[:, 0]) | (second < best[:, 1])
        return (at >= 0) & (second <= best[:, 1]) & better
    beaten = np.zeros(len(best), np.bool_)
    for point in known:
        beaten |= (point <= best).all(axis=1) & (point < best).any(axis=1)
    return beaten


def _figures(block: Block, term: int) -> Column:
    return block.memory if term == MEMORY else block.values[term]


def _ranked(key: Key, figures: Column) -> Column:
    return key.sign * figures if key.target is None else np.abs(figures - key.target)


def _undominated(columns: NDArray[np.int64], decides: NDArray[np.bool_], work: Work) -> Any:
    """The rows that no other makes superfluous; of equals, the first."""
    if len(columns) < 2:
        return np.arange(len(columns))
    columns, first = np.unique(columns, axis=1, return_index=True)
    decides = decides[first]
    order = np.lexsort((np.arange(len(columns)), *reversed(columns.T)))
    sorted_rows = columns[order]
    if columns.shape[1] == 2 and decides.all():
        before = np.minimum.accumulate(sorted_rows[:, 1])
        kept = np.append(True, sorted_rows[1:, 1] < before[:-1])
        return np.sort(order[kept])
    kept_rows = np.zeros((0, columns.shape[1]), np.int64)
    kept_order = np.zeros(0, np.int64)
    for start in range(0, len(order), _ROWS):
        rows, places = sorted_rows[start : start + _ROWS], order[start : start + _ROWS]
        work.spend(len(rows) * (len(rows) + len(kept_rows)))
        alive = ~_beaten(rows, places, kept_rows, kept_order, decides)
        rows, places = rows[alive], places[alive]
        alive = ~_beaten(rows, places, rows, places, decides)
        kept_rows = np.concatenate([kept_rows, rows[alive]])
        kept_order = np.concatenate([kept_order, places[alive]])
    return np.sort(kept_order)


def _beaten(rows: Any, places: Any, by: Any, by_places: Any, decides: Any) -> Any:
    """Which rows another makes superfluous: no worse in any, and better for good or earlier."""
    beaten = np.zeros(len(rows), np.bool_)
    for start in range(0, len(by), _ROWS):
        others = by[start : start + _ROWS]
        no_worse = np.ones((len(rows), len(others)), np.bool_)
        better = places[:, None] > by_places[None, start : start + _ROWS]
        for column, final in enumerate(decides.tolist()):
            here, there = rows[:, column, None], others[None, :, column]
            no_worse &= there <= here
            if final:
                better |= there < here
        beaten |= (no_worse & better).any(axis=1)
    return beaten


def _first_points(
    goals: NDArray[np.int64], costs: Column, work: Work, *, ordered: bool = True
) -> Any:
    """The rows on the front, one for each point: the cheapest, then the first.

    In the order of the goals, or else in that of the rows.
    """
    order = np.lexsort((np.arange(len(goals)), costs, *reversed(goals.T)))
    rows = goals[order]
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    order = order[fresh]
    kept = order[_undominated(goals[order], np.ones(goals.shape[1], np.bool_), work)]
    return kept if ordered else np.sort(kept)
