from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, trees
from hypothesis import given, settings

from flopcount import (
    CONVENTIONS,
    Convention,
    Entry,
    FigureTooLargeError,
    Shape,
    Tally,
    price,
    price_by_kind,
)
from flopcount.analytic import count
from flopcount.conventions import UnknownConventionError, UnpricedKindError, convention
from flopcount.integers import lift
from flopcount.layers import Act, Chain, Conv, Flatten, GlobalPool, Linear, Norm, Pool

SHAPE = Shape(2, 3, 8, 8)
CONV_MACS = 2 * 6 * 8 * 8 * 3 * 3 * 3
LINEAR_MACS = 2 * 10 * 6
NETWORK = Chain(
    (
        ("conv", Conv(3, 6, 3, 1, 1)),
        ("norm", Norm(6)),
        ("relu", Act()),
        ("pool", Pool("max", 2, 2)),
        ("mean", GlobalPool()),
        ("flat", Flatten()),
        ("fc", Linear(6, 10)),
    )
)
TALLY = count(NETWORK, SHAPE)
# Rows of other tools' behaviour, in which elements are worth something.
BY_ELEMENTS = Convention(
    "by-elements",
    "two per element of a batch norm, one per element a mean reads, two per product",
    "made up of rows that tools follow",
    "flops",
    {
        "conv": {"macs": 2, "outputs": 1},
        "linear": {"macs": 2},
        "batch_norm": {"inputs": 2},
        "global_avg_pool": {"inputs": 1, "outputs": 1},
        "add": {"inputs": 1},
    },
    frozenset({"relu", "max_pool", "flatten"}),
)


@pytest.mark.parametrize(
    ("name", "worth"),
    [
        ("shufflenet-paper", CONV_MACS),
        ("macs", CONV_MACS + LINEAR_MACS),
        ("torch", 2 * (CONV_MACS + LINEAR_MACS)),
        (BY_ELEMENTS, 0),
    ],
    ids=["shufflenet-paper", "macs", "torch", "by-elements"],
)
def test_a_convention_prices_the_same_facts_its_own_way(name, worth):
    if name is BY_ELEMENTS:
        norm, mean = 2 * (2 * 6 * 8 * 8), 2 * 6 * 4 * 4 + 2 * 6
        worth = 2 * (CONV_MACS + LINEAR_MACS) + 2 * 6 * 8 * 8 + norm + mean
    assert price(TALLY, name) == worth


def test_multiply_adds_are_what_a_price_is_unless_said():
    assert price(TALLY) == CONV_MACS + LINEAR_MACS


def test_every_input_of_a_join_is_worth_its_elements():
    join = Entry("add", "add", (Shape(1, 4, 3, 3), Shape(1, 4, 3, 3)), (Shape(1, 4, 3, 3),))
    assert price(Tally((join,)), BY_ELEMENTS) == 2 * (4 * 3 * 3)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_torch_counts_two_for_each_multiply_add(case):
    entry = Entry("", case.kind, (case.input,), (case.output,), case.macs, case.weight, case.bias)
    tally = Tally((entry,))
    assert price(tally, "torch") == 2 * case.macs
    assert price(tally, "macs") == case.macs
    assert price(tally, "shufflenet-paper") == (case.macs if case.kind == "conv" else 0)


@pytest.mark.parametrize("name", list(CONVENTIONS))
@given(tree=trees())
@settings(deadline=None, max_examples=25)
def test_what_the_kinds_are_worth_sums_to_the_price(name, tree):
    layer, shape, _ = tree
    tally = count(layer, shape)
    split = price_by_kind(tally, name)
    assert sum(split.values()) == price(tally, name)
    assert set(split) == {entry.kind for entry in tally.entries}


def test_a_price_by_kind_splits_the_price():
    assert price_by_kind(TALLY, "torch") == {
        "conv": 2 * CONV_MACS,
        "batch_norm": 0,
        "relu": 0,
        "max_pool": 0,
        "global_avg_pool": 0,
        "flatten": 0,
        "linear": 2 * LINEAR_MACS,
    }
    assert price_by_kind(TALLY, BY_ELEMENTS)["global_avg_pool"] == 2 * 6 * 4 * 4 + 2 * 6


def test_a_price_adds_up_entries_of_one_kind():
    entries = tuple(Entry(f"c{i}", "conv", (), (), macs) for i, macs in enumerate((3, 5, 7)))
    assert price_by_kind(Tally(entries), "torch") == {"conv": 2 * (3 + 5 + 7)}


@pytest.mark.parametrize("reckon", [price, price_by_kind])
def test_an_unknown_convention_is_refused_and_the_known_are_named(reckon):
    says = "unknown convention 'tourch': known are shufflenet-paper, macs, torch"
    with pytest.raises(UnknownConventionError, match=says):
        reckon(TALLY, "tourch")


@pytest.mark.parametrize("reckon", [price, price_by_kind])
@pytest.mark.parametrize("name", list(CONVENTIONS))
def test_a_kind_that_is_neither_priced_nor_free_is_refused(reckon, name):
    tally = Tally((Entry("block.act", "gelu", (), ()),))
    says = f"block.act: convention {name} neither prices 'gelu' nor lists it as free"
    with pytest.raises(UnpricedKindError, match=says):
        reckon(tally, name)


def test_a_convention_of_ones_own_lists_its_own_free_kinds():
    with pytest.raises(UnpricedKindError, match="by-elements neither prices 'identity'"):
        price(Tally((Entry("a", "identity", (), ()),)), BY_ELEMENTS)


def test_a_kind_both_priced_and_free_is_refused():
    with pytest.raises(ValueError, match="convention odd: linear, relu: both priced and free"):
        Convention(
            "odd",
            "",
            "",
            "macs",
            {"linear": {"macs": 1}, "relu": {"inputs": 1}, "conv": {"macs": 1}},
            frozenset({"relu", "linear", "flatten"}),
        )


def test_a_bundled_free_kind_is_refused_a_price_unless_it_is_taken_off_the_list():
    with pytest.raises(ValueError, match="convention mine: batch_norm: both priced and free"):
        Convention("mine", "", "", "macs", {"batch_norm": {"inputs": 1}})


@pytest.mark.parametrize("name", list(CONVENTIONS))
def test_a_bundled_convention_goes_by_its_name_and_says_its_source(name):
    bundled = convention(name)
    assert bundled.name == name
    assert bundled.unit in ("macs", "flops")
    assert bundled.says
    assert bundled.source


def test_a_convention_stands_for_itself():
    assert convention(BY_ELEMENTS) is BY_ELEMENTS


def test_the_bundled_conventions_cannot_be_replaced():
    with pytest.raises(TypeError):
        CONVENTIONS["macs"] = BY_ELEMENTS  # type: ignore[index]


def test_an_unpriced_kind_and_an_unknown_convention_are_value_errors():
    assert issubclass(UnpricedKindError, ValueError)
    assert issubclass(UnknownConventionError, ValueError)


@pytest.mark.parametrize("one", [lambda v: v, lambda v: lift(np.array([1, v]))])
def test_a_price_past_the_limit_is_refused(one):
    tally = Tally((Entry("c", "conv", (), (), one(2**62)),))
    assert np.max(price(tally, "macs")) == 2**62
    for reckon in (price, price_by_kind):
        with pytest.raises(FigureTooLargeError):
            reckon(tally, "torch")


def test_a_column_is_priced_candidate_by_candidate():
    widths = lift(np.array([4, 6, 20]))
    tally = count(Conv(3, widths, 3, 1, 1), SHAPE)
    assert price(tally, "torch").tolist() == [
        2 * 2 * width * 8 * 8 * 3 * 3 * 3 for width in (4, 6, 20)
    ]


def test_nothing_is_worth_nothing():
    assert price(Tally(()), "torch") == 0
    assert price_by_kind(Tally(()), "torch") == {}
