"""Dominance among rows, against every pair of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shufflenet.solver.engine.dominance import Criteria, first_points, undominated
from shufflenet.solver.engine.search_limits import SearchLimits, WorkMeter

Rows = list[tuple[int, ...]]


@st.composite
def tables(draw: st.DrawFn, most: int = 4) -> tuple[Rows, list[int], list[bool]]:
    """Rows of small numbers, the group of each, and which of their columns decide."""
    width = draw(st.integers(1, most))
    row = st.tuples(*(st.integers(0, 4) for _ in range(width)), st.integers(0, 2))
    drawn = draw(st.lists(row, max_size=40))
    decides = draw(st.lists(st.booleans(), min_size=width, max_size=width))
    return [each[:-1] for each in drawn], [each[-1] for each in drawn], decides


def superfluous(a: int, b: int, rows: Rows, decides: list[bool]) -> bool:
    """Whether row b makes row a superfluous."""
    better = any(final and y < x for x, y, final in zip(rows[a], rows[b], decides, strict=True))
    return all(y <= x for x, y in zip(rows[a], rows[b], strict=True)) and (better or b < a)


@given(tables(), st.sampled_from((1, 3, 1_024)))
def test_what_is_kept_is_what_no_other_row_of_its_group_makes_superfluous(
    table: tuple[Rows, list[int], list[bool]], rows_at_once: int
) -> None:
    rows, groups, decides = table
    expected = [
        a
        for a in range(len(rows))
        if not any(
            groups[a] == groups[b] and superfluous(a, b, rows, decides)
            for b in range(len(rows))
            if a != b
        )
    ]
    columns = np.array(rows, np.int64).reshape(len(rows), len(decides))
    criteria = Criteria(columns, np.array(decides, np.bool_))
    meter = WorkMeter(SearchLimits(compared_rows=rows_at_once))
    kept = undominated(criteria, np.array(groups, np.int64), meter)
    assert kept.tolist() == expected


@given(tables())
def test_a_front_has_each_point_once_by_its_cheapest_and_then_first_row(
    table: tuple[Rows, list[int], list[bool]],
) -> None:
    rows, costs, _ = table
    best: dict[tuple[int, ...], int] = {}
    for place in range(len(rows)):
        key = rows[place]
        if key not in best or costs[place] < costs[best[key]]:
            best[key] = place
    expected = [
        best[key]
        for key in sorted(best)
        if not any(o != key and all(y <= x for x, y in zip(key, o, strict=True)) for o in best)
    ]
    width = len(rows[0]) if rows else 2
    goals = np.array(rows, np.int64).reshape(len(rows), width)
    found = first_points(goals, np.array(costs, np.int64), WorkMeter())
    assert found.tolist() == expected
    unordered = first_points(goals, np.array(costs, np.int64), WorkMeter(), ordered=False)
    assert unordered.tolist() == sorted(expected)
