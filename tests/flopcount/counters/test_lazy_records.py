"""Records kept as columns are the tuple of them, to whoever looks."""

from __future__ import annotations

import copy
import pickle
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopcount.counters.lazy_records import Columns
from flopcount.entries import Module


class Pair(NamedTuple):
    name: str
    size: int


PAIRS = st.lists(st.builds(Pair, st.text(max_size=2), st.integers(-3, 3)), max_size=6)
PLACES = st.none() | st.integers(-8, 8)


def columns(pairs: list[Pair]) -> Columns[Pair]:
    return Columns(Pair._make, [pair.name for pair in pairs], [pair.size for pair in pairs])


@given(PAIRS, PAIRS)
def test_columns_equal_and_hash_as_the_tuple_of_their_records(pairs, others):
    found = columns(pairs)
    assert found == tuple(pairs)
    assert tuple(pairs) == found
    assert found == columns(pairs)
    assert hash(found) == hash(tuple(pairs))
    assert (found == columns(others)) is (pairs == others)
    assert (found != tuple(others)) is (pairs != others)
    assert found != pairs
    assert repr(found) == repr(tuple(pairs))


@given(PAIRS)
def test_columns_are_a_sequence_of_records_of_their_type(pairs):
    found = columns(pairs)
    assert (len(found), list(found), [*reversed(found)]) == (len(pairs), pairs, pairs[::-1])
    assert all(type(pair) is Pair for pair in found)
    assert bool(found) is bool(pairs)
    for pair in pairs:
        assert pair in found
        assert (found.index(pair), found.count(pair)) == (pairs.index(pair), pairs.count(pair))
    assert Pair("no such", 9) not in found


@given(PAIRS, PLACES, PLACES, PLACES.filter(lambda step: step != 0))
def test_a_slice_of_columns_is_the_tuple_that_a_slice_of_the_tuple_is(pairs, start, stop, step):
    at = slice(start, stop, step)
    assert columns(pairs)[at] == tuple(pairs)[at]
    assert type(columns(pairs)[at]) is tuple


@given(PAIRS, st.integers(-8, 8))
def test_an_index_of_columns_is_that_of_the_tuple_or_raises_as_it_does(pairs, at):
    if -len(pairs) <= at < len(pairs):
        assert columns(pairs)[at] == pairs[at]
    else:
        with pytest.raises(IndexError):
            columns(pairs)[at]


@given(PAIRS)
def test_columns_survive_a_pickle_and_a_copy(pairs):
    found = columns(pairs)
    for other in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found)):
        assert type(other) is Columns
        assert other == found


def test_records_of_no_known_fields_are_what_make_makes_of_them():
    found = Columns(Module._make, ["", "a"], ["Net", "Conv2d"], [1, 2], [(), ("b",)])
    assert found[1] == Module("a", "Conv2d", 2, ("b",))


def test_columns_of_different_lengths_are_no_records():
    with pytest.raises(ValueError, match="shorter"):
        list(Columns(Pair._make, ["a", "b"], [1]))


def test_nothing_can_be_set_on_columns():
    with pytest.raises((TypeError, AttributeError)):
        columns([Pair("a", 1)])[0] = Pair("b", 2)  # type: ignore[index]
    with pytest.raises(AttributeError):
        columns([]).more = 1  # type: ignore[attr-defined]
