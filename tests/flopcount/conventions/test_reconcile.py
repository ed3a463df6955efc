"""Why two conventions differ: the lines sum exactly, and the words are those of the price lists."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopcount import CONVENTIONS, Convention, Entry, Shape, Tally, price, reconcile
from flopcount.conventions import PartOfSampleError, UnknownConventionError
from flopcount.conventions.pricing import ENTRY_KINDS, FACT_NAMES, FREE_KINDS, UnpricedKindError
from flopcount.conventions.reconcile import ReconciledKind, Share
from shufflenet import load, network

N = 2 * 6 * 8 * 8
OUT = Shape(2, 6, 8, 8)
CONV = Entry("stem.conv", "conv", (Shape(2, 3, 8, 8),), (OUT,), N * 27, 162, 6, "conv2d", "Conv2d")
NORM = Entry("stem.norm", "batch_norm", (OUT,), (OUT,), 0, 6, 6, "batch_norm", "BatchNorm2d")
PLAIN = NORM._replace(path="plain", weight=0, bias=0)
RELU = Entry("stem.relu", "relu", (OUT,), (OUT,), operator="relu", layer="ReLU")
LOOSE = RELU._replace(path="", layer="")
SMALL = Entry("head", "linear", (Shape(2, 6),), (Shape(2, 7),), 2 * 42, 42, 7, "linear", "Linear")


def line(tally: Tally, a, b, kind: str) -> ReconciledKind:
    (found,) = [line for line in reconcile(tally, a, b).lines if line.kind == kind]
    return found


def test_a_difference_is_explained_by_what_each_counts_for_an_element():
    tally = Tally((CONV, NORM), batch=2)
    found = reconcile(tally, "fvcore", "thop")
    assert (found.a, found.b) == ("fvcore", "thop")
    assert (found.total_a, found.total_b) == (N * 27 + 2 * N, N * 27 + 4 * N)
    norm, conv = found.lines
    assert norm == ReconciledKind(
        "batch_norm",
        ("batch_norm",),
        ("BatchNorm2d",),
        1,
        2 * N,
        4 * N,
        "fvcore counts 2 for each scaled and shifted input element;"
        " thop 4 for each scaled and shifted input element",
        (Share("stem.norm", 2 * N, 4 * N),),
    )
    assert conv.difference == 0
    assert conv.why == "fvcore and thop count alike: 1 for each multiply-add"
    assert found.difference == norm.difference == 2 * N


def test_the_factor_two_between_operations_and_multiply_adds_is_said_plainly():
    tally = Tally((CONV,), batch=2)
    (note,) = reconcile(tally, "torch", "macs").notes
    assert note.startswith("torch is in floating-point operations and macs in multiply-adds")
    assert "a factor of two" in note
    assert reconcile(tally, "macs", "torch").notes == (note,)
    assert line(tally, "torch", "macs", "conv").why == (
        "torch counts 2 for each multiply-add; macs 1 for each multiply-add"
    )
    assert reconcile(tally, "macs", "fvcore").notes == ()


def test_elements_that_are_not_scaled_are_said_apart():
    both = line(Tally((NORM, PLAIN), batch=2), "macs", "fvcore", "batch_norm")
    assert both.why == (
        "macs counts nothing; fvcore 1 for each input element"
        " and 1 for each input element where there is a learned scale or shift"
    )
    alone = line(Tally((PLAIN,), batch=2), "macs", "fvcore", "batch_norm")
    assert alone.why == "macs counts nothing; fvcore 1 for each input element"


def test_a_module_that_calls_a_function_it_also_counts_is_said_to():
    tally = Tally((RELU, LOOSE))
    found = reconcile(tally, "macs", "ptflops")
    module, call = found.lines
    assert module.why.endswith(
        "ptflops 1 for each input element as a function and 1 for each output element as a module"
    )
    assert call.why.endswith("ptflops 1 for each input element")
    assert (module.layers, call.layers) == (("ReLU",), ("",))
    assert (module.b, call.b) == (2 * N, N)


def test_a_tool_that_sees_only_modules_is_said_not_to_look_at_a_function():
    loose = CONV._replace(layer="")
    assert line(Tally((loose,)), "macs", "thop", "conv").why == (
        "macs counts 1 for each multiply-add;"
        " thop nothing, for it looks at modules that it knows, and not at a function"
    )


def test_the_largest_layers_are_named_the_greatest_difference_first():
    entries = tuple(CONV._replace(path=f"c{i}", macs=i) for i in range(1, 9))
    found = reconcile(Tally(entries), "macs", "torch", largest=3).lines[0]
    assert found.largest == tuple(Share(f"c{i}", i, 2 * i) for i in (8, 7, 6))
    assert found.difference == sum(range(1, 9))
    assert found.largest[0].difference == 8
    assert reconcile(Tally(entries), "macs", "torch", largest=0).lines[0].largest == ()


def test_lines_stand_by_the_size_of_their_difference_and_none_is_of_nothing():
    tally = Tally((SMALL, CONV, NORM, RELU), batch=2)
    found = reconcile(tally, "macs", "torch")
    assert [line.kind for line in found.lines] == ["conv", "linear"]


def test_one_convention_against_itself_differs_nowhere():
    found = reconcile(Tally((CONV, NORM, RELU), batch=2), "fvcore", "fvcore")
    assert found.difference == 0
    assert all(line.difference == 0 for line in found.lines)


def test_dividing_by_the_batch_is_within_the_lines_where_all_divide():
    tally = Tally((CONV, RELU), batch=2)
    found = reconcile(tally, "macs", "torch-pruning")
    assert {line.kind for line in found.lines} == {"conv", "relu"}
    assert line(tally, "macs", "torch-pruning", "relu").b == N // 2
    assert found.notes == ("torch-pruning divides all by the 2 samples of the batch",)
    assert found.total_b == (N * 27 + N + N) // 2


def test_dividing_by_the_batch_is_a_line_of_its_own_where_an_entry_does_not_divide():
    odd = (SMALL, SMALL._replace(path="second head"))
    tally = Tally(odd, batch=2)
    found = reconcile(tally, "macs", "torch-pruning")
    linear, batch = found.lines
    assert linear.b == 2 * (2 * 42 + 7)
    assert batch.kind == "batch"
    assert (batch.a, batch.b) == (0, -(2 * 42 + 7))
    assert batch.why == "torch-pruning divides all by the 2 samples of the batch"
    assert sum(line.b for line in found.lines) == found.total_b == 2 * 42 + 7


def test_ptflops_divides_what_modules_are_charged_and_not_what_functions_are():
    tally = Tally((RELU, LOOSE), batch=2)
    found = reconcile(tally, "macs", "ptflops")
    assert sorted(line.b for line in found.lines) == [N, N + N // 2]
    assert found.notes == (
        "ptflops divides what modules are charged by the 2 samples of the batch",
    )


@pytest.mark.parametrize("name", [name for name in CONVENTIONS if name != "macs"])
def test_shufflenet_is_reconciled_under_every_convention(name):
    tally = network(load("shufflenet"), groups=3).tally()
    found = reconcile(tally, "macs", name)
    assert sum(line.a for line in found.lines) == found.total_a == price(tally, "macs")
    assert sum(line.b for line in found.lines) == found.total_b == price(tally, name)


def test_what_a_price_refuses_a_reconciliation_refuses():
    with pytest.raises(UnknownConventionError, match="'tourch'"):
        reconcile(Tally(()), "macs", "tourch")
    with pytest.raises(UnpricedKindError, match="'uncounted'"):
        reconcile(Tally((CONV._replace(kind="uncounted"),)), "macs", "torch")
    with pytest.raises(PartOfSampleError):
        reconcile(Tally((SMALL,), batch=2), "macs", "torch-pruning")


KIND = st.sampled_from(sorted(ENTRY_KINDS - {"rnn"}))
LAYERS = st.sampled_from([None, "", "Conv2d", "ReLU", "Linear", "MultiheadAttention", "own.Layer"])
FIGURE = st.integers(0, 1000)
SHAPES = st.lists(
    st.lists(st.integers(0, 5), min_size=1, max_size=4).map(lambda sizes: Shape(*sizes)),
    min_size=0,
    max_size=3,
).map(tuple)
PRICE = st.dictionaries(st.sampled_from(list(FACT_NAMES)), st.integers(-3, 5), max_size=4)


@st.composite
def entries(draw):
    return Entry(
        draw(st.sampled_from(["a", "a.b", "c"])),
        draw(KIND),
        draw(SHAPES),
        draw(SHAPES),
        draw(FIGURE),
        draw(FIGURE),
        draw(FIGURE),
        draw(st.sampled_from(["", "conv2d", "relu", "mul"])),
        draw(LAYERS),
        draw(FIGURE),
    )


@st.composite
def conventions(draw):
    """A bundled convention, or a made-up one."""
    if draw(st.booleans()):
        return CONVENTIONS[draw(st.sampled_from(list(CONVENTIONS)))]
    prices = draw(st.dictionaries(KIND, PRICE, max_size=8))
    return Convention(
        draw(st.sampled_from(["mine", "yours"])),
        "",
        "",
        draw(st.sampled_from(["macs", "flops"])),
        prices,
        frozenset(ENTRY_KINDS) - set(prices),
        draw(st.dictionaries(st.sampled_from(["conv2d", "mul"]), PRICE)),
        {"ReLU": draw(st.dictionaries(KIND, PRICE, max_size=8))},
        draw(st.sampled_from(["total", "modules", "sample"])),
    )


@given(st.lists(entries(), max_size=12), conventions(), conventions(), st.integers(1, 3))
@settings(deadline=None, max_examples=150)
def test_the_lines_sum_to_both_prices_whatever_is_counted(rows, a, b, batch):
    tally = Tally(tuple(rows), batch=batch)
    try:
        prices = price(tally, a), price(tally, b)
    except PartOfSampleError:
        with pytest.raises(PartOfSampleError):
            reconcile(tally, a, b)
        return
    found = reconcile(tally, a, b, largest=len(rows))
    assert (found.total_a, found.total_b) == prices
    assert tuple(sum(getattr(line, side) for line in found.lines) for side in "ab") == prices
    assert sum(line.difference for line in found.lines) == found.difference
    for each in found.lines:
        assert each.why
        if each.kind != "batch":
            assert sum(share.difference for share in each.largest) == each.difference
            assert each.kind in ENTRY_KINDS


def test_every_free_kind_can_be_reconciled():
    tally = Tally(tuple(Entry(kind, kind, (OUT,), (OUT,)) for kind in sorted(FREE_KINDS)))
    found = reconcile(tally, "fvcore", "torchprofile")
    assert sum(line.difference for line in found.lines) == found.difference
