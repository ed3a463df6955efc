from __future__ import annotations

import subprocess
import sys
from math import prod

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flopcount import FigureTooLargeError
from flopcount.integers import (
    MAX,
    covered,
    exact,
    is_array,
    is_symbol,
    largest,
    lift,
    product,
    same,
    sites,
    smallest,
    spread,
    total,
)

FACTORS = st.lists(st.integers(0, 2**40), min_size=1, max_size=4)
COLUMNS = st.lists(st.lists(st.integers(0, 2**24), min_size=3, max_size=3), min_size=1, max_size=4)


def column(*values: int):
    return lift(np.array(values, np.int64))


@given(FACTORS)
@settings(deadline=None)
def test_a_product_of_ints_is_exact_or_refused(factors):
    if prod(factors) > 2**63 - 1:
        with pytest.raises(FigureTooLargeError):
            product(*factors)
    else:
        assert product(*factors) == prod(factors)


@given(FACTORS)
@settings(deadline=None)
def test_a_product_of_arrays_is_exact_or_refused(factors):
    arrays = [column(factor) for factor in factors]
    if prod(factors) > 2**63 - 1:
        with pytest.raises(FigureTooLargeError):
            product(*arrays)
    else:
        assert product(*arrays).tolist() == [prod(factors)]


@given(COLUMNS, st.integers(0, 2**24))
@settings(deadline=None)
def test_a_product_of_columns_is_each_candidates_own(columns, scalar):
    if any(scalar * prod(row) > 2**63 - 1 for row in zip(*columns, strict=True)):
        with pytest.raises(FigureTooLargeError):
            product(scalar, *(column(*values) for values in columns))
    else:
        found = product(scalar, *(column(*values) for values in columns))
        rows = zip(*columns, strict=True)
        assert found.tolist() == [scalar * prod(row) for row in rows]


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=5), st.data())
@settings(deadline=None)
def test_a_sum_of_ints_and_arrays_is_exact_or_refused(figures, data):
    mixed = [column(f) if data.draw(st.booleans()) else f for f in figures]
    if sum(figures) > 2**63 - 1:
        with pytest.raises(FigureTooLargeError):
            total(mixed)
    else:
        found = total(mixed)
        assert (found.tolist() if is_array(found) else [found]) == [sum(figures)]


@pytest.mark.parametrize("one", [lambda v: v, column], ids=["int", "array"])
def test_the_largest_figure_is_given_and_one_more_is_refused(one):
    assert product(one(7), (2**63 - 1) // 7) == 2**63 - 1
    assert total([one(2**63 - 2), 1]) == 2**63 - 1
    with pytest.raises(FigureTooLargeError):
        product(one(2), 2**62)
    with pytest.raises(FigureTooLargeError):
        total([one(2**63 - 1), 1])


@pytest.mark.parametrize(
    "large",
    [np.array(2**62), np.int64(2**62), np.array([2**62])],
    ids=["array without axes", "scalar", "array"],
)
@pytest.mark.parametrize("reckon", [lambda v: product(v, v), lambda v: total([v, v])])
def test_no_numpy_figure_wraps_whatever_its_form(large, reckon):
    with pytest.raises((FigureTooLargeError, TypeError)):
        reckon(lift(large))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint8, np.uint32])
def test_an_array_of_narrower_integers_never_gives_a_wrapped_figure(dtype):
    largest_value = int(np.iinfo(dtype).max)
    values = lift(np.array([largest_value], dtype))
    try:
        found = product(values, values)
    except (TypeError, ValueError):
        return
    assert [int(v) for v in found] == [largest_value * largest_value]


def test_one_candidate_too_large_refuses_the_column():
    with pytest.raises(FigureTooLargeError):
        product(column(1, 2**40, 3), 2**23)
    assert product(column(1, 2**40, 3), 2**22).tolist() == [2**22, 2**62, 3 * 2**22]


def test_an_empty_column_costs_nothing_and_is_refused_nothing():
    assert product(column(), 2**62).tolist() == []
    assert total([column(), 5]).tolist() == []


def test_the_product_and_the_sum_of_nothing_are_one_and_zero():
    assert product() == 1
    assert total([]) == 0


def test_the_refusal_names_the_limit():
    assert MAX == 2**63 - 1
    with pytest.raises(FigureTooLargeError, match=r"2\*\*63 - 1 = 9223372036854775807; .*refused"):
        product(2**32, 2**31)


def test_the_refusal_is_a_value_error():
    assert issubclass(FigureTooLargeError, ValueError)


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3))
@settings(deadline=None)
def test_sites_are_the_positions_a_window_takes(size, kernel, stride, padding):
    padded = size + 2 * padding
    assume(padded >= kernel)
    positions = [i for i in range(padded) if i % stride == 0 and i + kernel <= padded]
    assert sites(size, kernel, stride, padding) == len(positions)
    assert sites(column(size), kernel, stride, padding).tolist() == [len(positions)]
    h = sympy.Symbol("h", positive=True, integer=True)
    assert sympy.sympify(sites(lift(h), kernel, stride, padding)).subs(h, size) == len(positions)


@pytest.mark.parametrize(("a", "b"), [(12, 3), (12, 12), (5, 1), (0, 4)])
def test_an_exact_division_is_whole_on_ints_arrays_and_symbols(a, b):
    quotient = next(q for q in range(a + 1) if q * b == a)
    assert exact(a, b) == quotient
    assert type(exact(a, b)) is int
    assert exact(column(a, 2 * a), b).tolist() == [quotient, 2 * quotient]
    assert exact(column(a), column(b)).tolist() == [quotient]
    c, g = sympy.symbols("c g", positive=True)
    assert exact(lift(c), lift(g)).subs({c: a, g: b}) == quotient
    assert exact(lift(c), b).subs(c, a) == quotient


def test_a_width_over_itself_is_one():
    width = column(4, 8)
    assert exact(width, width) == 1


def test_the_largest_of_columns_is_taken_candidate_by_candidate():
    assert largest(3, 5) == 5
    assert largest(column(1, 9), column(4, 4)).tolist() == [4, 9]
    assert largest(column(1, 9), 4).tolist() == [4, 9]
    assert largest(4, column(1, 9)).tolist() == [4, 9]


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (3, 3, True),
        (3, 4, False),
        (column(3, 4), column(3, 4), True),
        (column(3, 4), column(5, 6), False),
        (column(3, 3), 3, True),
        (3, column(4, 5), False),
        (lift(sympy.Symbol("c")), lift(sympy.Symbol("c")), True),
        (lift(sympy.Symbol("c")), lift(sympy.Symbol("d")), False),
    ],
)
def test_widths_are_the_same_in_every_candidate_or_in_none(a, b, equal):
    assert same(a, b) is equal


def test_widths_that_agree_in_some_candidates_only_are_refused():
    with pytest.raises(ValueError, match="agree in some candidates"):
        same(column(3, 4), column(3, 5))


def test_arrays_and_symbols_are_told_from_ints():
    assert [is_array(v) for v in (1, column(1), sympy.Symbol("c"))] == [False, True, False]
    assert [is_symbol(v) for v in (1, column(1), sympy.Symbol("c"))] == [False, False, True]


def test_a_symbol_is_multiplied_and_summed_as_it_is():
    c = sympy.Symbol("c")
    assert product(2, lift(c), 3) == 2 * 3 * c
    assert total([lift(c), 2**62, lift(c)]) == 2 * c + 2**62


def test_counting_over_ints_loads_neither_numpy_nor_sympy_nor_torch():
    program = (
        "import sys\n"
        "from flopcount import Shape, price\n"
        "from flopcount.layers import Branches, Chain, Conv, Identity, cost\n"
        "unit = Branches((('a', Identity()), ('b', Conv(4, 4, 3, 1, 1, 4))), 'add')\n"
        "tally = cost.count(Chain((('x', unit), ('y', Conv(4, 8, 1, 2)))), Shape(1, 4, 9, 9))\n"
        "print(price(tally, 'torch'), *{'numpy', 'sympy', 'torch'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(2 * (4 * 9 * 9 * 3 * 3 + 8 * 5 * 5 * 4))]


WINDOWS = st.tuples(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3))


def starts(size: int, kernel: int, stride: int, padding: int, ceil: bool) -> list[int]:
    """Where the windows begin, tried one by one; rounding up adds one that reaches over the end."""
    found = []
    at = -padding
    while at + kernel <= size + padding:
        found.append(at)
        at += stride
    over = found and found[-1] + kernel < size + padding
    return [*found, at] if ceil and over and at < size else found


@given(WINDOWS, st.booleans())
@settings(deadline=None)
def test_the_positions_of_a_window_are_those_tried_one_by_one(window, ceil):
    size, kernel, stride, padding = window
    assume(2 * padding <= kernel <= size + 2 * padding)
    found = starts(size, kernel, stride, padding, ceil)
    assert sites(size, kernel, stride, padding, ceil) == len(found)
    assert sites(column(size), kernel, stride, padding, ceil).tolist() == [len(found)]
    h = sympy.Symbol("h", positive=True, integer=True)
    symbol = sympy.sympify(sites(lift(h), kernel, stride, padding, ceil))
    assert symbol.subs(h, size) == len(found)
    taps = sum(0 <= at + tap < size for at in found for tap in range(kernel))
    assert covered(size, kernel, stride, padding, ceil) == taps


@given(st.integers(1, 40), st.integers(1, 9))
@settings(deadline=None)
def test_adaptive_windows_cover_all_elements_and_overlap_where_sizes_do_not_divide(size, positions):
    begin = [int(np.floor(i * size / positions)) for i in range(positions)]
    end = [int(np.ceil((i + 1) * size / positions)) for i in range(positions)]
    assert spread(size, positions) == sum(b - a for a, b in zip(begin, end, strict=True))
    assert (spread(size, positions) == size) == (size % positions == 0)
    assert spread(column(size), positions) == 0


def test_the_smaller_of_two_is_taken_candidate_by_candidate():
    assert smallest(3, 5) == smallest(5, 3) == 3
    assert smallest(column(1, 9), column(4, 4)).tolist() == [1, 4]
    assert smallest(column(1, 9), 4).tolist() == [1, 4]
    h = sympy.Symbol("h", positive=True, integer=True)
    assert sympy.sympify(smallest(lift(h), 4)).subs(h, 7) == 4
