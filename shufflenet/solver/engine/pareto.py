"""The Pareto front of some chains, by dynamic programming with dominance.

A goal with a target is two goals, one on either side of it. Two goals make a front that is walked
box by box (`shufflenet.solver.engine.biobjective`); more are grown in one go, held against a rough
front.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.solver.engine.best_first import (
    MEMORY_TERM,
    CandidateSet,
    NetworkCandidate,
    RankKey,
    TermRanges,
)
from shufflenet.solver.engine.biobjective import pair_front
from shufflenet.solver.engine.bounds import FAR, Block, ChainSearch
from shufflenet.solver.engine.labels import Goals, Room, best_candidates, figures, goals_of, grown
from shufflenet.solver.problem import SpaceTooLargeError


def front(
    pool: CandidateSet, goals: Sequence[RankKey], cost: RankKey, ranges: TermRanges
) -> list[NetworkCandidate]:
    """Every point of the front, by its first network; in the order of the goals, best first.

    Raises SpaceTooLargeError where more prefixes have to be kept than there is room for.
    """
    found: list[NetworkCandidate] = []
    for plain, inside in _sides(goals, ranges):
        if inside.open:
            sided = Goals(plain, cost, len(pool.terms))
            paired = len(plain) == 2 and plain[0].term != plain[1].term
            found += pair_front(pool, sided, inside) if paired else _whole(pool, sided, inside)
    return best_candidates(pool, goals, cost, found)


def _sides(
    goals: Sequence[RankKey], ranges: TermRanges
) -> list[tuple[tuple[RankKey, ...], TermRanges]]:
    """Goals without targets, and their ranges: a target's two sides are a way each."""
    ways: list[list[tuple[RankKey, int, int]]] = []
    for key in goals:
        if key.target is None:
            ways.append([(key, -FAR, FAR)])
        else:
            above = RankKey(key.term, 1), key.target, FAR
            ways.append([above, (RankKey(key.term, -1), -FAR, key.target - 1)])
    found = []
    for way in product(*ways):
        inside = ranges
        for key, least, most in way:
            inside = inside.within(key.term, least, most)
        found.append((tuple(key for key, _, _ in way), inside))
    return found


def _whole(pool: CandidateSet, goals: Goals, ranges: TermRanges) -> list[NetworkCandidate]:
    """The front in one go: first a rough one, then that of all prefixes which it does not beat."""
    limits = pool.meter.limits
    known = np.zeros((0, len(goals.keys)), np.int64)
    room = Room(limits.kept_prefixes, FAR, FAR)
    rough = _grown(pool, goals, ranges, room._replace(each=limits.rough_prefixes), known)
    rough = best_candidates(pool, goals.keys, goals.cost, rough)
    points = [goals_of(candidate, goals.keys) for candidate in rough]
    known = np.array(points, np.int64).reshape(-1, len(goals.keys))
    step = -(-len(known) // limits.reach_points) or 1
    return _grown(pool, goals, ranges, room, known[::step])


def _grown(
    pool: CandidateSet, goals: Goals, ranges: TermRanges, room: Room, known: NDArray[np.int64]
) -> list[NetworkCandidate]:
    windows = pool.windows(ranges)
    found: list[NetworkCandidate] = []

    def reach(search: ChainSearch, block: Block, part: int) -> NDArray[np.bool_]:
        return _in_reach(goals, search, block, part, known)

    for number in range(len(pool.chains)):
        search = pool.search(number, ranges.most[MEMORY_TERM])
        if search.possible and not search.misses(windows):
            block, _ = grown(search, windows, goals, room, pool.meter, reach)
            if block is None:
                raise SpaceTooLargeError(
                    f"the front needs more than {room.kept:,} prefixes; narrow the widths,"
                    " align them, or bound what is not wanted"
                )
            found += pool.as_candidates(number, block)
    return found


def _in_reach(
    goals: Goals, search: ChainSearch, block: Block, part: int, known: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """The prefixes that no known point beats, whatever comes behind them."""
    node = block.widths[:, -1]
    best = np.stack([_least(search, block, part, node, key) for key in goals.keys], axis=1)
    beaten = np.zeros(len(best), np.bool_)
    for point in known:
        beaten |= (point <= best).all(axis=1) & (point < best).any(axis=1)
    return ~beaten


def _least(search: ChainSearch, block: Block, part: int, node: Any, key: RankKey) -> Any:
    """The best that a goal can become behind each prefix."""
    done = figures(block, key.term)
    if key.term == MEMORY_TERM:
        return done if key.sign > 0 else -np.maximum(done, search.tail_peak[part][node])
    if key.sign > 0:
        return done + search.tail_least[part][key.term][node]
    return -done - search.tail_most[part][key.term][node]
