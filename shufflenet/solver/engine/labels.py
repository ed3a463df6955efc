"""Prefixes of networks grown part by part, of which only those are kept that a front may need.

Of two prefixes that end in the same width, one that is no worse in any goal, bound and cost makes
the other superfluous, whatever comes behind them. What is left at the end holds every point of the
front that the windows allow, each by its first network in the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shufflenet.solver.engine.best_first import MEMORY_TERM, CandidateSet, NetworkCandidate, RankKey
from shufflenet.solver.engine.bounds import Block, ChainSearch, Windows
from shufflenet.solver.engine.dominance import Criteria, first_points, undominated
from shufflenet.solver.engine.enumeration import extend, prefixes
from shufflenet.solver.engine.search_limits import WorkMeter
from shufflenet.solver.engine.variables import IntArray

#: Of some prefixes behind so many parts, which can still be on the front.
Reach: TypeAlias = Callable[[ChainSearch, Block, int], NDArray[np.bool_]]


class Goals(NamedTuple):
    """What a front is made of: goals without a target, and the cost that ranks among equals.

    ``terms`` is how many terms the problem has; a search may have cuts behind them.
    """

    keys: tuple[RankKey, ...]
    cost: RankKey
    terms: int

    def points(self, block: Block) -> NDArray[np.int64]:
        """The goals of whole networks, (n, goals), the least best."""
        columns = [key.sign * figures(block, key.term) for key in self.keys]
        return np.stack(columns, axis=1)


class Room(NamedTuple):
    """How many prefixes there may be, kept at once and tried in all, and entries looked at.

    ``each`` is how many of each width are kept for a rough front (None: all).
    """

    kept: int
    tried: int
    entries: int
    each: int | None = None


def figures(block: Block, term: int) -> IntArray:
    """One term of some prefixes; the memory is beside the terms."""
    return block.memory if term == MEMORY_TERM else block.values[term]


def goals_of(candidate: NetworkCandidate, goals: Iterable[RankKey]) -> tuple[int, ...]:
    """The goals of a network, the least best."""
    return tuple(key.value(candidate.values[key.term]) for key in goals)


def best_candidates(
    pool: CandidateSet,
    goals: Sequence[RankKey],
    cost: RankKey,
    candidates: Iterable[NetworkCandidate],
) -> list[NetworkCandidate]:
    """The front of some candidates, each point by its first, in the order of the goals."""
    found = sorted(set(candidates), key=lambda candidate: candidate.order)
    points = [goals_of(candidate, goals) for candidate in found]
    costs = np.array([candidate.values[cost.term] for candidate in found], np.int64)
    columns = np.array(points, np.int64).reshape(-1, len(goals))
    return [found[index] for index in first_points(columns, costs, pool.meter).tolist()]


def grown(
    search: ChainSearch,
    windows: Windows,
    goals: Goals,
    room: Room,
    meter: WorkMeter,
    reach: Reach | None = None,
) -> tuple[Block | None, int]:
    """The front of one chain inside the windows, in the stated order, and the prefixes tried.

    None in its place where there is no room for these.
    """
    growth = _Growth(search, windows, goals, meter)
    labels, tried, start = prefixes(search), 0, meter.done
    for part in range(len(search.legal)):
        kept: list[Block] = []
        count = 0
        for block in extend(search, windows, labels, part, meter):
            tried += block.size
            if tried > room.tried or meter.done - start > room.entries:
                return None, tried
            if reach is not None:
                block = block.at(np.flatnonzero(reach(search, block, part)))
            if part == growth.last:
                # Nothing comes behind it: widths need not be told apart any more.
                block = growth.narrowed(block, part)
            kept.append(block)
            count += block.size
            if count > 2 * room.kept:
                kept = [growth.narrowed(Block.joined(kept), part, room.each)]
                count = kept[0].size
                if count > room.kept:
                    return None, tried
        if not kept:
            return _none(search), tried
        labels = growth.narrowed(Block.joined(kept), part, room.each)
    return labels, tried


def _thinned(places: IntArray, node: IntArray, each: int) -> IntArray:
    """So many of each width's prefixes at most, evenly spread."""
    order = np.argsort(node, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(node[order])) + 1)
    spread = [g[np.linspace(0, len(g) - 1, min(each, len(g))).astype(np.int64)] for g in groups]
    found: IntArray = places[np.sort(np.concatenate(spread))]
    return found


def _none(search: ChainSearch) -> Block:
    parts = len(search.legal)
    entries = np.zeros((0, parts), np.int32)
    return Block(
        entries, entries, np.zeros((len(search.terms), 0), np.int64), np.zeros(0, np.int64)
    )


class _Growth:
    """One chain inside some windows, and what its prefixes are compared by."""

    def __init__(
        self, search: ChainSearch, windows: Windows, goals: Goals, meter: WorkMeter
    ) -> None:
        self.search = search
        self.windows = windows
        self.goals = goals
        self.meter = meter
        self.last = len(search.legal) - 1

    def narrowed(self, block: Block, part: int, each: int | None = None) -> Block:
        """The prefixes that none of the same width makes superfluous, or so many of each width."""
        if part == self.last:
            cost = figures(block, self.goals.cost.term)
            points = self.goals.points(block)
            return block.at(first_points(points, cost, self.meter, ordered=False))
        node = block.widths[:, -1].astype(np.int64)
        kept = undominated(self._criteria(block, part), node, self.meter)
        if each is not None:
            kept = _thinned(kept, node[kept], each)
        return block.at(kept)

    def _criteria(self, block: Block, part: int) -> Criteria:
        columns: list[Any] = []
        decides: list[bool] = []

        def add(column: Any, final: bool) -> None:
            columns.append(column)
            decides.append(final)

        # The larger of two memories may hide a difference, which then decides nothing.
        for key in (*self.goals.keys, self.goals.cost):
            add(key.sign * figures(block, key.term), key.term != MEMORY_TERM)
        search, windows = self.search, self.windows
        node = block.widths[:, -1]
        for t, values in enumerate(block.values[: self.goals.terms]):
            if (values + search.tail_most[part][t][node] > windows.most[t]).any():
                add(values, False)
            if (values + search.tail_least[part][t][node] < windows.least[t]).any():
                add(-values, False)
        if (block.memory < windows.memory).any():
            add(-block.memory, False)
        return Criteria(np.stack(columns, axis=1), np.array(decides))
