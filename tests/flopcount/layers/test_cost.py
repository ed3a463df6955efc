from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings

from flopcount import FigureTooLargeError, Shape
from flopcount.integers import lift
from flopcount.layers import (
    Act,
    AdaptivePool,
    Branches,
    Chain,
    Conv,
    Flatten,
    GlobalPool,
    Identity,
    Layer,
    Linear,
    Norm,
    Pool,
    Shuffle,
    leaves,
)
from flopcount.layers.cost import count
from tests.cases import CASES, bodies, slid, trees, widened

FACTORS = (1, 2, 3, 7)
HEIGHTS = (5, 6, 8, 15)
FIGURES = (
    "macs",
    "params",
    "param_bytes",
    "activations",
    "bytes_moved",
    "peak_activations",
    "peak_memory",
)


def column(values: tuple[int, ...]):
    return lift(np.array(values, np.int64))


def at(value: Any, index: int) -> int:
    """One candidate's figure; what does not depend on the candidate is no array."""
    if isinstance(value, np.ndarray):
        assert value.dtype == np.int64
        return int(value[index])
    assert type(value) is int
    return value


def facts(entry, index: int):
    shapes = [tuple(at(size, index) for size in s) for s in (*entry.inputs, *entry.outputs)]
    return entry.path, entry.kind, shapes, *(at(f, index) for f in entry[4:7])


def agree(columns, single, index: int) -> None:
    for figure in FIGURES:
        assert at(getattr(columns, figure), index) == getattr(single, figure), figure
    found = [facts(entry, index) for entry in columns.entries]
    assert found == [facts(entry, 0) for entry in single.entries]


def bottleneck(c, m, g, d=None, stride: int = 1) -> Layer:
    """The ShuffleNet unit, written out: an add where d is None, else a concat to d channels."""
    end = c if d is None else d - c
    body = Chain(
        (
            ("compress", Conv(c, m, groups=g)),
            ("norm1", Norm(m)),
            ("relu", Act()),
            ("shuffle", Shuffle(g)),
            ("depthwise", Conv(m, m, 3, stride, 1, m)),
            ("norm2", Norm(m)),
            ("expand", Conv(m, end, groups=g)),
            ("norm3", Norm(end)),
        )
    )
    shortcut = Identity() if d is None else Pool("avg", 3, stride, 1)
    join = "add" if d is None else "concat"
    branches = Branches((("shortcut", shortcut), ("body", body)), join)
    return Chain((("residual", branches), ("relu", Act())))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_leaf_costs_the_product_of_its_case(case):
    (entry,) = count(case.layer, case.input).entries
    assert entry[:7] == (
        "",
        case.kind,
        (case.input,),
        (case.output,),
        case.macs,
        case.weight,
        case.bias,
    )
    assert entry.operator == case.operator


def test_a_grouped_convolution_divides_its_weight_by_the_groups():
    shape = Shape(1, 24, 7, 7)
    whole = count(Conv(24, 48, 3, 1, 1), shape)
    for groups in (1, 2, 3, 4, 8, 24):
        split = count(Conv(24, 48, 3, 1, 1, groups), shape)
        assert split.params * groups == whole.params
        assert split.macs * groups == whole.macs


def test_a_batch_costs_its_images():
    layer = Chain((("unit", bottleneck(8, 4, 2)), ("pool", GlobalPool()), ("flat", Flatten())))
    layer = Chain((*layer.children, ("fc", Linear(8, 5))))
    one, five = count(layer, Shape(1, 8, 7, 5)), count(layer, Shape(5, 8, 7, 5))
    assert five.macs == 5 * one.macs
    assert five.activations == 5 * one.activations
    assert five.peak_activations == 5 * one.peak_activations
    assert five.params == one.params


def test_a_shufflenet_unit_costs_the_formula_of_the_paper():
    h, w, c, m, g = 28, 20, 240, 60, 3
    assert count(bottleneck(c, m, g), Shape(1, c, h, w)).macs == h * w * (2 * c * m // g + 9 * m)


@pytest.mark.parametrize("ceil", [False, True])
def test_the_windows_of_a_pool_lie_on_an_oblong_image_along_each_of_its_sides(ceil):
    def under(size: int) -> int:
        starts = [2 * place - 1 for place in range(slid(size, 3, 2, 1, ceil))]
        return sum(0 <= start + tap < size for start in starts for tap in range(3))

    (entry,) = count(Pool("avg", 3, 2, 1, ceil), Shape(2, 4, 5, 8)).entries
    assert entry.windows == 2 * 4 * under(5) * under(8)
    (entry,) = count(AdaptivePool(3), Shape(2, 4, 5, 8)).entries
    # 5 in thirds: 0-2, 1-4, 3-5; and 8: 0-3, 2-6, 5-8
    assert entry.windows == 2 * 4 * (2 + 3 + 2) * (3 + 4 + 3)


def test_a_join_is_an_entry_after_its_branches():
    tally = count(bottleneck(8, 4, 2, 24, 2), Shape(1, 8, 7, 5))
    join = tally.entries[-2]
    assert tally.entries[0].path == "residual.shortcut"
    assert (join.path, join.kind) == ("residual.concat", "concat")
    assert join.inputs == ((1, 8, 4, 3), (1, 24 - 8, 4, 3))
    assert join.outputs == ((1, 24, 4, 3),)
    assert (join.macs, join.params) == (0, 0)


@given(trees())
@settings(deadline=None, max_examples=50)
def test_a_tree_has_an_entry_for_each_leaf_and_costs_their_sum(tree):
    layer, shape, after = tree
    tally = count(layer, shape)
    known = dict(leaves(layer))
    counted = [e for e in tally.entries if e.kind not in ("add", "concat", "mul")]
    assert [e.path for e in counted] == list(known)
    alone = [count(known[e.path], e.inputs[0]) for e in counted]
    assert tally.macs == sum(part.macs for part in alone)
    assert tally.params == sum(part.params for part in alone)
    if tally.entries:
        assert tally.entries[-1].outputs == (after,)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_column_of_widths_costs_each_candidate_its_own(case):
    layer, shape = widened(case, np.array(FACTORS, np.int64))
    columns = count(layer, shape)
    for index, factor in enumerate(FACTORS):
        agree(columns, count(*widened(case, factor)), index)


@pytest.mark.parametrize("case", [c for c in CASES if len(c.input) == 4], ids=str)
def test_a_column_of_heights_costs_each_candidate_its_own(case):
    n, c, _, w = case.input
    columns = count(case.layer, Shape(n, c, column(HEIGHTS), w))
    for index, height in enumerate(HEIGHTS):
        agree(columns, count(case.layer, Shape(n, c, height, w)), index)


@pytest.mark.parametrize("stride", [None, 1, 2])
def test_a_column_of_units_costs_each_candidate_its_own(stride):
    def unit(k) -> Chain:
        c, m = lift(24 * k), lift(12 * k)
        if stride is None:
            # the same object three times: every candidate takes the short cut at once
            same = bottleneck(c, m, 3)
            return Chain((("a", same), ("bb", same), ("c", same)))
        return Chain((("a", bottleneck(c, m, 3, lift(60 * k), stride)),))

    ks = np.array(FACTORS, np.int64)
    columns = count(unit(ks), Shape(1, lift(24 * ks), 9, 7))
    for index, k in enumerate(FACTORS):
        agree(columns, count(unit(k), Shape(1, 24 * k, 9, 7)), index)


def test_symbols_give_the_formula_of_a_unit():
    h, w, c, m, g = sympy.symbols("h w c m g", positive=True, integer=True)
    tally = count(bottleneck(c, m, g), Shape(1, c, h, w), memory=False)
    assert sympy.expand(tally.macs - h * w * (2 * c * m / g + 9 * m)) == 0
    norms = 2 * m + 2 * m + 2 * c
    assert sympy.expand(tally.params - (2 * c * m / g + 9 * m + norms)) == 0
    assert tally.peak_activations is None


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (28, 13)])
def test_symbols_give_the_formula_of_a_strided_unit(size):
    h, w, c, m, g, d = sympy.symbols("h w c m g d", positive=True, integer=True)
    tally = count(bottleneck(c, m, g, d, 2), Shape(1, c, h, w), memory=False)
    values = {h: size[0], w: size[1], c: 24, m: 60, g: 3, d: 240}
    full, half = size[0] * size[1], ((size[0] + 1) // 2) * ((size[1] + 1) // 2)
    macs = full * 24 * 60 // 3 + half * 9 * 60 + half * 60 * (240 - 24) // 3
    assert tally.macs.subs(values) == macs


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_symbol_stands_for_every_width_of_a_leaf(case):
    k = sympy.Symbol("k", positive=True, integer=True)
    layer, shape = widened(case, k)
    tally = count(layer, shape, memory=False)
    for factor in FACTORS:
        single = count(*widened(case, factor))
        for figure in ("macs", "params", "activations"):
            found = sympy.sympify(getattr(tally, figure)).subs(k, factor)
            assert found == getattr(single, figure)


@given(bodies())
@settings(deadline=None, max_examples=50)
def test_a_repeated_unit_costs_what_separate_equal_units_cost(body_and_shape):
    body, shape = body_and_shape
    unit = Branches((("shortcut", Identity()), ("body", body)), "add")
    names = ("u", "second", "x3", "last_of_all")
    shared = Chain((("stage", Chain(tuple((name, unit) for name in names))),))
    apart = Chain((("stage", Chain(tuple((name, copy.deepcopy(unit)) for name in names))),))
    assert count(shared, shape) == count(apart, shape)


def test_a_repeated_unit_has_entries_under_each_of_its_paths():
    unit = Branches((("shortcut", Identity()), ("body", Conv(4, 4))), "add")
    stage = Chain((("u1", unit), ("unit2", unit)))
    tally = count(Chain((("stage", stage),)), Shape(1, 4, 5, 5))
    assert [entry.path for entry in tally.entries] == [
        "stage.u1.shortcut",
        "stage.u1.body",
        "stage.u1.add",
        "stage.unit2.shortcut",
        "stage.unit2.body",
        "stage.unit2.add",
    ]
    assert tally.macs == 2 * (4 * 5 * 5 * 4)


def test_a_repeated_layer_is_counted_anew_where_its_input_shrinks():
    pool, conv = Pool("max", 3, 2, 1), Conv(4, 4, 3)
    tally = count(Chain((("a", pool), ("b", pool), ("c", pool))), Shape(1, 4, 9, 9))
    assert [entry.outputs[0] for entry in tally.entries] == [(1, 4, s, s) for s in (5, 3, 2)]
    convs = count(Chain((("a", conv), ("b", conv))), Shape(1, 4, 9, 9))
    assert convs.macs == (7 * 7 + 5 * 5) * 4 * 4 * 3 * 3


def test_a_layer_that_comes_back_after_another_is_counted_again():
    conv, act = Conv(4, 4), Act()
    tally = count(Chain((("a", conv), ("r", act), ("b", conv), ("q", act))), Shape(1, 4, 3, 3))
    assert [(e.path, e.macs) for e in tally.entries] == [
        ("a", 4 * 3 * 3 * 4),
        ("r", 0),
        ("b", 4 * 3 * 3 * 4),
        ("q", 0),
    ]


@pytest.mark.parametrize("width", [1, 2, 4])
def test_memory_is_given_in_the_element_size_asked_for(width):
    tally = count(Conv(4, 6), Shape(1, 4, 5, 5), element_bytes=width)
    assert tally.element_bytes == width
    assert tally.param_bytes == width * 4 * 6
    assert tally.peak_memory == width * (4 + 6) * 5 * 5


def test_the_peak_is_left_out_where_it_is_not_asked_for():
    assert count(Conv(4, 6), Shape(1, 4, 5, 5), memory=False).peak_activations is None


AS_INT_AND_ARRAY = pytest.mark.parametrize(
    "one", [lambda v: v, lambda v: column((v,)), lambda v: column((1, v))], ids=["int", "1", "2"]
)


def most(value: Any) -> int:
    return int(value.max()) if isinstance(value, np.ndarray) else value


@AS_INT_AND_ARRAY
def test_the_largest_figure_is_given(one):
    layer = Linear(7, one((2**63 - 1) // 7), bias=False)
    tally = count(layer, Shape(1, 7))
    assert most(tally.macs) == 2**63 - 1
    assert most(tally.params) == 2**63 - 1


@AS_INT_AND_ARRAY
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda v: Linear(2, v, bias=False), lambda v: Shape(1, 2)),
        (lambda v: Linear(v, 2, bias=False), lambda v: Shape(1, v)),
        (lambda v: Conv(1, v, groups=1), lambda v: Shape(2, 1, 1, 1)),
        (lambda v: Conv(v, v, 3, 1, 1, v), lambda v: Shape(1, v, 1, 1)),
        (lambda v: Flatten(), lambda v: Shape(1, v, 2, 1)),
        (
            lambda v: Branches((("a", Identity()), ("b", Identity())), "concat"),
            lambda v: Shape(1, v, 1, 1),
        ),
    ],
    ids=["weight", "weight by input", "batch", "depthwise", "view", "concat"],
)
def test_a_figure_past_the_limit_is_refused_in_any_layer(one, layer, shape):
    large = one(2**62)
    with pytest.raises(FigureTooLargeError):
        count(layer(large), shape(large))


@AS_INT_AND_ARRAY
def test_a_sum_past_the_limit_is_refused_where_each_part_is_given(one):
    wide = one(2**62)
    parts = Chain((("a", Linear(1, wide, bias=False)), ("b", Linear(wide, 1, bias=False))))
    tally = count(parts, Shape(1, 1))
    assert [most(entry.macs) for entry in tally.entries] == [2**62, 2**62]
    for figure in ("macs", "params", "bytes_moved"):
        with pytest.raises(FigureTooLargeError):
            getattr(tally, figure)


@AS_INT_AND_ARRAY
def test_a_bias_that_passes_the_limit_is_refused(one):
    tally = count(Linear((2**63 - 1) // 7, one(7)), Shape(1, (2**63 - 1) // 7), memory=False)
    assert most(tally.macs) == 2**63 - 1
    for figure in ("params", "param_bytes", "bytes_moved"):
        with pytest.raises(FigureTooLargeError):
            getattr(tally, figure)


@AS_INT_AND_ARRAY
def test_a_peak_past_the_limit_is_refused_and_can_be_left_out(one):
    shape = Shape(1, one(2**62))
    with pytest.raises(FigureTooLargeError):
        count(Act(), shape)
    tally = count(Act(), shape, memory=False)
    assert most(tally.activations) == 2**62


@AS_INT_AND_ARRAY
def test_bytes_past_the_limit_are_refused_where_the_elements_are_given(one):
    tally = count(Act(), Shape(1, one(2**62 - 1)))
    assert most(tally.peak_activations) == 2**63 - 2
    with pytest.raises(FigureTooLargeError):
        tally.peak_memory  # noqa: B018
    assert most(count(Act(), Shape(1, one(2**62 - 1)), element_bytes=1).peak_memory) == (2**63 - 2)
