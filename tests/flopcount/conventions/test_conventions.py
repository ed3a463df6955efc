from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from flopcount import (
    CONVENTIONS,
    Convention,
    Entry,
    FigureTooLargeError,
    Shape,
    Tally,
    entries,
    price,
    price_by_kind,
)
from flopcount.conventions import (
    PartOfSampleError,
    UnknownConventionError,
    UnpricedKindError,
    convention,
    price_entry,
)
from flopcount.conventions.pricing import ENTRY_KINDS
from flopcount.integers import lift
from flopcount.layers import Act, Chain, Conv, Flatten, GlobalPool, Linear, Norm, Pool
from flopcount.layers.cost import count
from shufflenet import load, network
from tests.cases import CASES, trees

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
    try:
        worth = price(tally, name)
    except PartOfSampleError:
        # a bias that is counted once a batch does not always divide by its samples
        with pytest.raises(PartOfSampleError):
            price_by_kind(tally, name)
        return
    split = price_by_kind(tally, name)
    assert sum(split.values()) == worth
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


# --- the table of the field: what each tool counts for each kind of layer, one image ---

NAMES = (
    "conv", "conv without bias", "linear", "norm", "norm that learns nothing", "relu", "relu6",
    "max pool", "average pool", "mean", "mean by a function", "add", "concat",
)  # fmt: skip
N_IN, N_OUT = 3 * 8 * 8, 6 * 8 * 8
MAC = 6 * 8 * 8 * 3 * 3 * 3
FEATURES, CLASSES = 10, 7
FC = FEATURES * CLASSES
ELEMENTS = 6 * 8 * 8
POOLED = 6 * 4 * 4
# kernel 3, stride 2, padding 1 on 8: the first of four windows reaches over the edge
UNDER = 6 * (2 + 3 + 3 + 3) ** 2
MEANS = 6


def layers(n: int = 1) -> dict[str, Entry]:
    """One entry for each column of the table, for a batch of n."""
    image, out, half, one = (Shape(n, *s) for s in ((3, 8, 8), (6, 8, 8), (6, 4, 4), (6, 1, 1)))

    def row(kind, operator, layer, ins, made, **facts):
        return Entry(kind, kind, ins, (made,), operator=operator, layer=layer, **facts)

    flat, classes = Shape(n, FEATURES), Shape(n, CLASSES)
    weights = {"macs": n * MAC, "weight": 6 * 3 * 3 * 3}
    mean = ("global_avg_pool", "adaptive_avg_pool2d")
    elements = {"windows": n * ELEMENTS}
    found = (
        row("conv", "conv2d", "Conv2d", (image,), out, **weights, bias=6),
        row("conv", "conv2d", "Conv2d", (image,), out, **weights),
        row("linear", "linear", "Linear", (flat,), classes, macs=n * FC, weight=FC, bias=CLASSES),
        row("batch_norm", "batch_norm", "BatchNorm2d", (out,), out, weight=6, bias=6),
        row("batch_norm", "batch_norm", "BatchNorm2d", (out,), out),
        row("relu", "relu", "ReLU", (out,), out),
        row("relu6", "hardtanh", "ReLU6", (out,), out),
        row("max_pool", "max_pool2d", "MaxPool2d", (out,), half, windows=n * UNDER),
        row("avg_pool", "avg_pool2d", "AvgPool2d", (out,), half, windows=n * UNDER),
        row(*mean, "AdaptiveAvgPool2d", (out,), one, **elements),
        row(*mean, "", (out,), one, **elements),
        row("add", "add", "", (out, out), out),
        row("concat", "cat", "", (out, out), Shape(n, 12, 8, 8)),
    )
    return dict(zip(NAMES, found, strict=True))


E = ELEMENTS
#: conv, conv without bias, linear | norm, plain norm | relu, relu6 | max, average | mean, by a
#: function | add, concat
TABLE = {
    "shufflenet-paper": (MAC, MAC, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "macs": (MAC, MAC, FC, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "torch": (2 * MAC, 2 * MAC, 2 * FC, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "fvcore": (MAC, MAC, FC, 2 * E, E, 0, 0, 0, 0, E, E, 0, 0),
    "ptflops": (
        *(MAC + N_OUT, MAC, FC + CLASSES),
        *(2 * E, E, 2 * E, E, 2 * E, 2 * E, 2 * E, E, 0, 0),
    ),
    "ptflops-aten": (MAC + N_OUT, MAC, FC + CLASSES, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "thop": (MAC, MAC, FC, 4 * E, 2 * E, 0, 0, 0, POOLED, E + MEANS, 0, 0, 0),
    "thop-ultralytics": (
        *(MAC, MAC, FC, 4 * E, 2 * E, 0, 0, 0),
        *(UNDER + POOLED, E + MEANS, 0, 0, 0),
    ),
    "torchinfo": (
        *((6 * 3 * 3 * 3 + 6) * 8 * 8, 6 * 3 * 3 * 3 * 8 * 8, FC + CLASSES),
        *(2 * 6, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    ),
    "torchprofile": (MAC, MAC, FC, E, 0, 0, 0, 0, POOLED, MEANS, MEANS, 0, 0),
    "deepspeed-flops": (2 * MAC + N_OUT, 2 * MAC, 2 * FC, 2 * E, E, E, 0, E, E, E, E, 0, 0),
    "deepspeed-macs": (MAC, MAC, FC, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "torch-pruning": (MAC + N_OUT, MAC, FC + CLASSES, 2 * E, E, E, E, E, E, E, 0, 0, 0),
}


@pytest.mark.parametrize("name", list(CONVENTIONS))
def test_each_convention_counts_each_layer_as_its_tool_was_seen_to(name):
    counted = tuple(price_entry(entry, name) for entry in layers().values())
    assert dict(zip(NAMES, counted, strict=True)) == dict(zip(NAMES, TABLE[name], strict=True))


def test_the_table_has_every_bundled_convention():
    assert list(TABLE) == list(CONVENTIONS)


@pytest.mark.parametrize("name", list(CONVENTIONS))
def test_an_entry_that_no_living_module_made_is_priced_as_the_module_of_its_kind(name):
    # a function call is one that a living module made; and ReLU6 is known by its kind
    seen = {key: entry for key, entry in layers().items() if entry.layer}
    for entry in seen.values():
        assert price_entry(entry._replace(operator="", layer=None), name) == price_entry(
            entry, name
        )


def doubled(name: str) -> int:
    """What the table comes to for a batch of two, from what it comes to for one image."""
    once = sum(TABLE[name])
    if name == "ptflops":
        calls = 5 * ELEMENTS  # relu, both pools, and both means
        return (once - calls) + 2 * calls
    return 2 * once


@pytest.mark.parametrize("name", [name for name in CONVENTIONS if name != "torch-pruning"])
def test_a_batch_is_counted_whole_or_by_the_sample_as_the_tool_does(name):
    assert price(Tally(tuple(layers(2).values()), batch=2), name) == doubled(name)


def test_a_bias_that_is_counted_once_a_batch_may_leave_no_whole_price_of_a_sample():
    tally = Tally(tuple(layers(2).values()), batch=2)
    says = "torch-pruning prices one sample: .* for a batch of 2 does not divide"
    for reckon in (price, price_by_kind):
        with pytest.raises(PartOfSampleError, match=says):
            reckon(tally, "torch-pruning")
    even = layers(2)["linear"]._replace(bias=8)
    assert price(Tally((even,), batch=2), "torch-pruning") == FC + 8 // 2


def entry(kind, operator="", layer=None, ins=(), outs=(), **facts):
    shapes = [tuple(Shape(*s) for s in sizes) for sizes in (ins, outs)]
    return Entry(kind, kind, *shapes, operator=operator, layer=layer, **facts)


ROWS, WIDTH, HEADS = 5, 8, 2
QUERIES = ((1, HEADS, ROWS, WIDTH // HEADS),) * 3
PRODUCTS = 2 * ROWS * ROWS * WIDTH
SCORES = HEADS * ROWS * ROWS


@pytest.mark.parametrize(
    ("name", "worth"),
    [
        ("macs", PRODUCTS),
        ("torch", 2 * PRODUCTS),
        ("fvcore", 0),
        ("ptflops", PRODUCTS + ROWS * WIDTH + SCORES),
        ("ptflops-aten", 0),
        ("thop", 0),
        # each score: an exponential, a sum but for the first of its row, a division
        ("thop-ultralytics", PRODUCTS + 3 * SCORES - HEADS * ROWS),
        ("torchinfo", 0),
        ("torchprofile", PRODUCTS),
        ("deepspeed-flops", 2 * PRODUCTS),
        ("deepspeed-macs", PRODUCTS),
        ("torch-pruning", PRODUCTS + ROWS * WIDTH + SCORES),
    ],
)
def test_attention_inside_its_module_is_counted_as_the_tool_does(name, worth):
    attention = entry(
        "attention",
        "scaled_dot_product_attention",
        "MultiheadAttention",
        QUERIES,
        QUERIES[:1],
        macs=PRODUCTS,
    )
    assert price_entry(attention, name) == worth


STEPS, HIDDEN = 4, 3
LSTM_WEIGHTS, LSTM_BIASES = 4 * HIDDEN * (WIDTH + HIDDEN), 2 * 4 * HIDDEN


@pytest.mark.parametrize(
    ("name", "each_step"),
    [
        ("macs", LSTM_WEIGHTS),
        ("torch", 0),
        ("fvcore", 0),
        ("ptflops", LSTM_WEIGHTS + LSTM_BIASES + (4 + 3 + 3) * HIDDEN),
        ("thop", LSTM_WEIGHTS + LSTM_BIASES + (4 + 3 + 1) * HIDDEN),
        ("thop-ultralytics", LSTM_WEIGHTS + LSTM_BIASES + (4 + 3 + 1) * HIDDEN),
        ("torchinfo", LSTM_WEIGHTS + LSTM_BIASES),
        ("torchprofile", LSTM_WEIGHTS),
        # 2 n - 1 for each row of both weights
        (
            "deepspeed-flops",
            2 * LSTM_WEIGHTS - 2 * 4 * HIDDEN + LSTM_BIASES + (4 + 3 + 3) * HIDDEN,
        ),
        ("deepspeed-macs", 0),
    ],
)
def test_a_recurrent_layer_is_counted_step_by_step_as_the_tool_does(name, each_step):
    lstm = entry(
        "rnn",
        "lstm",
        "LSTM",
        [(1, STEPS, WIDTH)],
        [(1, STEPS, HIDDEN), (1, 1, HIDDEN), (1, 1, HIDDEN)],
        macs=STEPS * LSTM_WEIGHTS,
        weight=LSTM_WEIGHTS,
        bias=LSTM_BIASES,
    )
    assert price_entry(lstm, name) == STEPS * each_step


def test_the_hidden_elements_of_every_layer_count_in_each_step_of_each_sample():
    own = Convention("own", "", "", "macs", {"rnn": {"states": 1}}, frozenset())
    outs = [(2, STEPS, HIDDEN), (3, 2, HIDDEN), (3, 2, HIDDEN)]
    lstm = entry("rnn", "lstm", "LSTM", [(2, STEPS, WIDTH)], outs)
    assert price_entry(lstm, own) == 2 * STEPS * 3 * HIDDEN


def test_what_a_tool_cannot_be_followed_in_is_refused():
    with pytest.raises(UnpricedKindError, match="torch-pruning neither prices 'rnn'"):
        price_entry(entry("rnn", "lstm", "LSTM"), "torch-pruning")


DECONV = {
    "ins": [(1, 6, 8, 8)],
    "outs": [(1, 4, 16, 16)],
    "macs": 6 * 8 * 8 * 4 * 2 * 2,
    "weight": 6 * 4 * 2 * 2,
    "bias": 4,
}
SPREAD = 6 * 8 * 8 * 4 * 2 * 2
DECONV_OUT = 4 * 16 * 16


@pytest.mark.parametrize(
    ("name", "worth"),
    [
        ("macs", SPREAD),
        ("ptflops", SPREAD + DECONV_OUT),
        # stride squared too many: at every output, as if it were a convolution
        ("thop", SPREAD * 2 * 2),
        ("thop-ultralytics", SPREAD),
        ("torchinfo", SPREAD * 2 * 2 + DECONV_OUT),
        ("torchprofile", SPREAD * 2 * 2),
        ("deepspeed-flops", 2 * SPREAD + DECONV_OUT),
        ("torch-pruning", SPREAD * 2 * 2 + DECONV_OUT),
    ],
)
def test_a_transposed_convolution_is_counted_at_its_inputs_or_wrongly_at_its_outputs(name, worth):
    deconv = entry("conv", "conv_transpose2d", "ConvTranspose2d", **DECONV)
    assert price_entry(deconv, name) == worth


@pytest.mark.parametrize("name", ["ptflops", "thop", "thop-ultralytics", "torchinfo"])
def test_a_tool_that_hooks_modules_sees_no_convolution_that_a_function_runs(name):
    conv = layers()["conv"]
    assert price_entry(conv._replace(layer=""), name) == 0
    assert price_entry(conv._replace(layer="own.Conv2d"), name) == 0
    assert price_entry(conv, name) > 0


def test_a_norm_over_features_is_counted_by_an_estimate_or_by_hooks():
    norm = entry(
        "layer_norm", "layer_norm", "LayerNorm", [(1, 5, 8)], [(1, 5, 8)], weight=8, bias=8
    )
    plain = norm._replace(weight=0, bias=0)
    n = 5 * 8
    worth = {"fvcore": (5, 4), "ptflops": (1, 1), "thop": (4, 2), "deepspeed-flops": (5, 4)}
    for name, (affine, without) in worth.items():
        assert price_entry(norm, name) == affine * n
        assert price_entry(plain, name) == without * n
    assert price_entry(norm, "torchinfo") == 8 + 8


def test_only_our_own_and_torchs_count_what_runs_backward():
    back = entry("conv_backward", "conv2d", "Conv2d", macs=7, outs=[(1, 2)], bias=2)
    worth = {name: price_entry(back, name) for name in CONVENTIONS}
    assert {name: figure for name, figure in worth.items() if figure} == {"macs": 7, "torch": 14}


def test_a_gradient_is_priced_by_its_kind_whatever_its_operator_is():
    prices = {"conv": {"macs": 1}, "conv_backward": {"macs": 2}}
    own = Convention("own", "", "", "macs", prices, frozenset(), {"conv2d": {"macs": 5}})
    forward = entry("conv", "conv2d", "Conv2d", macs=7)
    assert price_entry(forward, own) == 5 * 7
    assert price_entry(forward._replace(kind="conv_backward"), own) == 2 * 7


@pytest.mark.parametrize("name", list(CONVENTIONS))
def test_no_convention_prices_what_has_no_rule(name):
    with pytest.raises(UnpricedKindError, match="neither prices 'uncounted'"):
        price(Tally((entry("uncounted", "warp"),)), name)


@pytest.mark.parametrize("name", list(CONVENTIONS))
def test_every_kind_that_there_is_has_a_price_or_is_free(name):
    refused = {"rnn"} if name == "torch-pruning" else set()
    chosen = convention(name)
    assert chosen.free | set(chosen.prices) == ENTRY_KINDS - refused
    assert {kind for kinds in chosen.modules.values() for kind in kinds} <= ENTRY_KINDS


def test_every_kind_of_the_general_counter_is_one_that_conventions_know():
    kinds = pytest.importorskip("flopcount.counters.operator_kinds")
    assert set(kinds.FREE_OPERATORS.values()) | entries.PRODUCTS <= ENTRY_KINDS


def test_a_price_on_a_class_of_modules_comes_on_top_of_the_calls():
    own = Convention(
        "own",
        "",
        "",
        "flops",
        {"relu": {"inputs": 1}},
        frozenset(),
        modules={"ReLU": {"relu": {"outputs": 10}}, "PReLU": {"activation": {"inputs": 3}}},
    )
    relu = layers()["relu"]
    assert price_entry(relu, own) == 11 * ELEMENTS
    assert price_entry(relu._replace(layer=""), own) == ELEMENTS
    prelu = relu._replace(kind="activation", layer="PReLU")
    assert price_entry(prelu, own) == 3 * ELEMENTS
    with pytest.raises(UnpricedKindError):
        price_entry(prelu._replace(layer=""), own)


def test_a_fact_that_is_none_is_refused():
    with pytest.raises(ValueError, match="convention odd: no such fact: flops, taps"):
        Convention("odd", "", "", "macs", {"conv": {"taps": 1, "flops": 1, "macs": 1}})


# --- ShuffleNet 1x, g = 3, as the tools were seen to count an implementation of it ---

SEEN = {
    "macs": 137_460_672,
    "torch": 274_921_344,
    "fvcore": 143_458_272,
    "ptflops": 150_200_104,
    "thop": 149_546_208,
    "torchinfo": 137_486_152,
    "torchprofile": 140_549_808,
}


@pytest.mark.parametrize("name", list(SEEN))
def test_shufflenet_is_counted_as_the_tools_counted_an_implementation(name):
    tally = network(load("shufflenet"), groups=3).tally()
    # The implementation ends in nn.AvgPool2d(7), where the spec says that pooling is global.
    last = next(e for e in tally.entries if e.kind == "global_avg_pool")
    windowed = tuple(e._replace(kind="avg_pool") if e is last else e for e in tally.entries)
    assert price(Tally(windowed), name) == SEEN[name]
    # fvcore and thop charge the elements that a global pool reads, and none of a windowed one.
    more = {"fvcore": 960 * 7 * 7, "thop": 960 * 7 * 7}
    assert price(tally, name) == SEEN[name] + more.get(name, 0)
