"""Dominance among rows of figures: one that is no worse anywhere makes another superfluous.

Rows are compared within their group. Sorted by one column, the rest is a running least; two more
columns take a merge of halves; only more than that compares pairs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shufflenet.solver.engine.search_limits import WorkMeter
from shufflenet.solver.engine.variables import IntArray


class Criteria(NamedTuple):
    """What rows are compared by: columns of which the least is best, (n, criteria).

    ``decides`` says of each whether being less in it alone is being better for good.
    """

    columns: NDArray[np.int64]
    decides: NDArray[np.bool_]


def undominated(criteria: Criteria, groups: IntArray, meter: WorkMeter) -> IntArray:
    """The rows that no other of their group makes superfluous; of equals, the first; in order.

    A row does so that is no worse in any column, and less in one that decides or else before the
    other. Raises SpaceTooLargeError where that takes too many comparisons.
    """
    count = len(groups)
    deciding, others = _different(criteria)
    # In this order a row can be superfluous only by one before it, and then by its columns alone.
    order = np.lexsort((np.arange(count), *reversed(deciding), groups))
    rest = np.stack([*deciding[1:], *others, groups], axis=1)[order]
    rest, groups = rest[:, :-1], rest[:, -1]
    if not rest.shape[1]:
        beaten = _beaten_by_one(_apart(groups, groups))
    elif rest.shape[1] == 1:
        beaten = _beaten_by_one(_apart(rest[:, 0], groups))
    elif rest.shape[1] == 2:
        beaten = _beaten_by_two(_apart(rest[:, 0], groups), _ranks(rest[:, 1]))
    else:
        beaten = _beaten_by_pairs(rest, groups, meter)
    found: IntArray = np.sort(order[~beaten])
    return found


def first_points(
    goals: NDArray[np.int64], costs: IntArray, meter: WorkMeter, *, ordered: bool = True
) -> IntArray:
    """The rows on the front, one for each point: the cheapest, then the first.

    In the order of the goals, or else in that of the rows.
    """
    order = np.lexsort((np.arange(len(goals)), costs, *reversed(goals.T)))
    rows = goals[order]
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    order = order[fresh]
    criteria = Criteria(goals[order], np.ones(goals.shape[1], np.bool_))
    kept: IntArray = order[undominated(criteria, np.zeros(len(order), np.int64), meter)]
    return kept if ordered else np.sort(kept)


def _different(criteria: Criteria) -> tuple[list[IntArray], list[IntArray]]:
    """The columns that tell rows apart, each once: those that decide, and the others."""
    found: list[tuple[IntArray, bool]] = []
    ranked = sorted(range(len(criteria.decides)), key=lambda index: not criteria.decides[index])
    for index in ranked:
        column = criteria.columns[:, index]
        known = any(np.array_equal(column, other) for other, _ in found)
        if not known and (column != column[:1]).any():
            found.append((column, bool(criteria.decides[index])))
    return [c for c, final in found if final], [c for c, final in found if not final]


def _ranks(values: IntArray) -> IntArray:
    """The place of each value among the different ones: small, and in the same order."""
    found: IntArray = np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return found


def _apart(values: IntArray, groups: IntArray) -> IntArray:
    """The ranks of values, those of later groups below those of all before them."""
    found: IntArray = _ranks(values) - _ranks(groups) * (len(values) + 1)
    return found


def _beaten_by_one(values: IntArray) -> NDArray[np.bool_]:
    """Which rows come behind one that is no more."""
    beaten = np.zeros(len(values), np.bool_)
    beaten[1:] = values[1:] >= np.minimum.accumulate(values)[:-1]
    return beaten


def _beaten_by_two(one: IntArray, other: IntArray) -> NDArray[np.bool_]:
    """Which rows come behind one that is no more in both; ``other`` are ranks.

    Halves of halves: whatever the first half of a block has, it has before all of the second.
    """
    count = len(one)
    beaten = np.zeros(count, np.bool_)
    places = np.argsort(one, kind="stable")
    half = 1 << max(count - 1, 0).bit_length() >> 1
    while half:
        places = places[np.argsort(places // (2 * half), kind="stable")]
        offset = places // (2 * half) * (count + 1)
        ahead = (places // half) % 2 == 0
        # The least so far of each block's first half, all blocks in one run.
        least = np.minimum.accumulate(np.where(ahead, other[places], count) - offset) + offset
        gone = ~ahead & (least <= other[places])
        beaten[places[gone]] = True
        places = places[~gone]
        half >>= 1
    return beaten


def _beaten_by_pairs(
    rows: NDArray[np.int64], groups: IntArray, meter: WorkMeter
) -> NDArray[np.bool_]:
    """Which rows come behind one of their group that is no more in any column."""
    beaten = np.zeros(len(rows), np.bool_)
    most = meter.limits.compared_rows
    cuts = np.flatnonzero(np.diff(groups)) + 1
    for places in np.split(np.arange(len(rows)), cuts):
        kept = np.zeros((0, rows.shape[1]), np.int64)
        for start in range(0, len(places), most):
            here = places[start : start + most]
            meter.spend(len(here) * (len(here) + len(kept)))
            here = here[~_no_less(rows[here], kept, most)]
            own = _no_less(rows[here], rows[here], most, behind=True)
            kept = np.concatenate([kept, rows[here[~own]]])
            beaten[places[start : start + most]] = True
            beaten[here[~own]] = False
    return beaten


def _no_less(rows: Any, by: Any, most: int, *, behind: bool = False) -> Any:
    """Which rows are no less in any column than one of the others, or of those before them.

    So many others are compared at once at most.
    """
    found = np.zeros(len(rows), np.bool_)
    for start in range(0, len(by), most):
        others = by[start : start + most]
        over = np.ones((len(rows), len(others)), np.bool_)
        for column in range(rows.shape[1]):
            over &= others[None, :, column] <= rows[:, column, None]
        if behind:
            over &= np.arange(len(others))[None, :] + start < np.arange(len(rows))[:, None]
        found |= over.any(axis=1)
    return found
