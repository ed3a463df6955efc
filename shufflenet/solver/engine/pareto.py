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

from shufflenet.solver.engine.best_first import MEMORY, Field, Hit, Key, Limits
from shufflenet.solver.engine.biobjective import pair_front
from shufflenet.solver.engine.bounds import FAR, Block, Search
from shufflenet.solver.engine.labels import Aims, Room, best_hits, figures, goals_of, grown
from shufflenet.solver.problem import SpaceTooLargeError


def front(field: Field, goals: Sequence[Key], cost: Key, limits: Limits) -> list[Hit]:
    """Every point of the front, by its first network; in the order of the goals, best first.

    Raises SpaceTooLargeError where more prefixes have to be kept than there is room for.
    """
    found: list[Hit] = []
    for plain, inside in _sides(goals, limits):
        if inside.open:
            aims = Aims(plain, cost, len(field.terms))
            paired = len(plain) == 2 and plain[0].term != plain[1].term
            found += pair_front(field, aims, inside) if paired else _whole(field, aims, inside)
    return best_hits(field, goals, cost, found)


def _sides(goals: Sequence[Key], limits: Limits) -> list[tuple[tuple[Key, ...], Limits]]:
    """Goals without targets, and their limits: a target's two sides are a way each."""
    ways: list[list[tuple[Key, int, int]]] = []
    for key in goals:
        if key.target is None:
            ways.append([(key, -FAR, FAR)])
        else:
            above = Key(key.term, 1), key.target, FAR
            ways.append([above, (Key(key.term, -1), -FAR, key.target - 1)])
    found = []
    for way in product(*ways):
        inside = limits
        for key, least, most in way:
            inside = inside.within(key.term, least, most)
        found.append((tuple(key for key, _, _ in way), inside))
    return found


def _whole(field: Field, aims: Aims, limits: Limits) -> list[Hit]:
    """The front in one go: first a rough one, then that of all prefixes which it does not beat."""
    sizes = field.meter.limits
    known = np.zeros((0, len(aims.goals)), np.int64)
    room = Room(sizes.kept_prefixes, FAR, FAR)
    rough = _grown(field, aims, limits, room._replace(each=sizes.rough_prefixes), known)
    rough = best_hits(field, aims.goals, aims.cost, rough)
    points = [goals_of(hit, aims.goals) for hit in rough]
    known = np.array(points, np.int64).reshape(-1, len(aims.goals))
    step = -(-len(known) // sizes.reach_points) or 1
    return _grown(field, aims, limits, room, known[::step])


def _grown(
    field: Field, aims: Aims, limits: Limits, room: Room, known: NDArray[np.int64]
) -> list[Hit]:
    windows = field.windows(limits)
    found: list[Hit] = []

    def reach(search: Search, block: Block, part: int) -> NDArray[np.bool_]:
        return _in_reach(aims, search, block, part, known)

    for number in range(len(field.chains)):
        search = field.search(number, limits.most[MEMORY])
        if search.possible and not search.misses(windows):
            block, _ = grown(search, windows, aims, room, field.meter, reach)
            if block is None:
                raise SpaceTooLargeError(
                    f"the front needs more than {room.kept:,} prefixes; narrow the widths,"
                    " align them, or bound what is not wanted"
                )
            found += field.as_hits(number, block)
    return found


def _in_reach(
    aims: Aims, search: Search, block: Block, part: int, known: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """The prefixes that no known point beats, whatever comes behind them."""
    node = block.widths[:, -1]
    best = np.stack([_least(search, block, part, node, key) for key in aims.goals], axis=1)
    beaten = np.zeros(len(best), np.bool_)
    for point in known:
        beaten |= (point <= best).all(axis=1) & (point < best).any(axis=1)
    return ~beaten


def _least(search: Search, block: Block, part: int, node: Any, key: Key) -> Any:
    """The best that a goal can become behind each prefix."""
    done = figures(block, key.term)
    if key.term == MEMORY:
        return done if key.sign > 0 else -np.maximum(done, search.tail_peak[part][node])
    if key.sign > 0:
        return done + search.tail_least[part][key.term][node]
    return -done - search.tail_most[part][key.term][node]
