"""Times summed up: medians, spreads, warm-ups and turns, all from times that are given."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shufflenet.bench.timings import calls_in_turn, overlap, summary, turns, warm_up

times = st.lists(st.integers(1, 10**12), min_size=1, max_size=40)


def test_the_figures_of_given_times_are_these():
    assert summary([5, 1, 4, 2, 3]) == (3, 2, 4, 1, 5)
    assert summary([40, 10, 30, 20]) == (25, 10, 40, 10, 4)
    assert summary([7]) == (7, 7, 7, 7, 1)


def test_nothing_is_not_summed_up():
    with pytest.raises(ValueError, match="no times"):
        summary([])


@given(times)
def test_the_least_the_quartiles_and_the_median_are_in_order(ns: list[int]):
    found = summary(ns)
    assert found.least == min(ns) <= found.low <= found.median <= found.high <= max(ns)
    assert found.runs == len(ns)
    assert {found.low, found.high} <= set(ns)
    assert sum(n <= found.median for n in ns) * 2 >= len(ns)


@given(times)
def test_at_least_half_of_the_times_lie_between_the_quartiles(ns: list[int]):
    found = summary(ns)
    assert 2 * sum(found.low <= n <= found.high for n in ns) >= len(ns)


@given(times, times)
def test_spreads_overlap_where_one_begins_before_the_other_ends(one: list[int], two: list[int]):
    first, second = summary(one), summary(two)
    apart = first.high < second.low or second.high < first.low
    assert overlap(first, second) == overlap(second, first) == (not apart)
    assert overlap(first, first)


def clock(per_call: list[int]):
    """A run of calls, each block of which takes the next of these times; the last goes on."""
    blocks = iter(per_call)
    last = [0]
    made: list[int] = []

    def run(calls: int) -> list[int]:
        last[0] = next(blocks, last[0])
        made.append(calls)
        return [last[0]] * calls

    return run, made


def test_a_warm_up_ends_when_three_medians_agree():
    run, made = clock([900, 500, 300, 201, 200, 202, 1])
    found = warm_up(run, 10**12)
    assert (found.settled, found.median) == (True, 202)
    assert found.runs == sum(made)
    assert len(made) == 6


def test_a_warm_up_that_never_settles_is_bounded_and_says_so():
    run, made = clock([10**9 * (1 + n % 2) for n in range(1000)])
    found = warm_up(run, 20 * 10**9)
    assert not found.settled
    assert made == [1] * 14
    assert found.runs == 14


def test_quick_calls_are_warmed_up_in_blocks_that_last():
    run, made = clock([1000])
    assert warm_up(run, 10**12).settled
    assert made == [1, 100_000, 100_000]


def test_slow_calls_have_as_many_blocks_as_it_takes_to_tell_whether_they_settle():
    run, made = clock([10**10])
    assert warm_up(run, 1) == (3, True, 10**10)
    assert made == [1, 1, 1]


def test_what_takes_no_time_at_all_divides_nothing_by_zero():
    run, _ = clock([0])
    assert warm_up(run, 10**9).settled
    assert calls_in_turn(0, 5) == 5


@given(st.integers(0, 8), st.integers(0, 9))
def test_every_worker_has_one_turn_in_every_round(workers: int, rounds: int):
    found = turns(workers, rounds)
    assert len(found) == rounds
    assert all(sorted(order) == list(range(workers)) for order in found)


@given(st.integers(1, 8), st.integers(1, 6))
def test_in_an_even_number_of_rounds_steady_drift_weighs_on_all_alike(workers: int, half: int):
    order = [index for turn in turns(workers, 2 * half) for index in turn]
    means = {
        index: Fraction(sum(at for at, who in enumerate(order) if who == index), 2 * half)
        for index in range(workers)
    }
    assert len(set(means.values())) == 1


def test_turns_go_there_and_back():
    assert turns(3, 3) == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


def test_a_turn_holds_as_many_calls_as_fit_and_at_least_one():
    assert calls_in_turn(30, 100) == 3
    assert calls_in_turn(101, 100) == 1
