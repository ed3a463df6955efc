"""Units of other networks: their leaves, their widths in proportion, and what a row may ask."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from flopcount.entries import Shape
from flopcount.layers import (
    Act,
    AdaptivePool,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Identity,
    Leaf,
    Linear,
    LocalNorm,
    Negate,
    Norm,
    Pool,
    Shuffle,
    Slice,
    constraints,
    cost,
    leaves,
)
from shufflenet import SpecError, load, network
from shufflenet.arch.layout import check_row
from shufflenet.arch.spec import Row
from shufflenet.arch.spec_reader import loads
from shufflenet.units import UNITS, Place, UnitError, made
from tests.shufflenet.arch.spec_strategies import document

RELU = Act("relu")


def place(c: int, d: int, m: int = 0, stride: int = 1, kernel: int = 0, **options: Any) -> Place:
    return Place(c, d, m, stride, 1, kernel, MappingProxyType(options), d)


def tree(name: str, at: Place) -> list[tuple[str, Leaf]]:
    return list(leaves(made(UNITS[name], at)))


def kinds(name: str, at: Place) -> list[Leaf]:
    return [leaf for _, leaf in tree(name, at)]


def macs(name: str, at: Place, h: int, w: int) -> int:
    return cost.count(made(UNITS[name], at), Shape(1, at.c_in, h, w)).macs


def broken(name: str, at: Place, h: int = 8, w: int = 8) -> list[str]:
    rules = constraints(made(UNITS[name], at), Shape(1, at.c_in, h, w))
    return [str(rule) for _, rule in rules if not rule.holds()]


# --- what they are made of


def test_a_fire_module_squeezes_and_expands_in_two_halves_without_norms() -> None:
    assert tree("fire", place(96, 128, 16)) == [
        ("squeeze", Conv(96, 16, bias=True)),
        ("squeeze_relu", RELU),
        ("expand.one.expand1x1", Conv(16, 64, bias=True)),
        ("expand.one.expand1x1_relu", RELU),
        ("expand.three.expand3x3", Conv(16, 64, 3, 1, 1, bias=True)),
        ("expand.three.expand3x3_relu", RELU),
    ]


def test_an_inception_module_has_its_towers_and_a_pool_side_by_side() -> None:
    at = place(192, 256, towers=((64,), (96, 128), (16, 24, 32)), pool=32)
    convs = [(path, leaf) for path, leaf in tree("inception", at) if not isinstance(leaf, Act)]
    convs = [(path, leaf) for path, leaf in convs if not isinstance(leaf, Norm)]
    assert convs == [
        ("towers.tower1.conv1", Conv(192, 64)),
        ("towers.tower2.conv1", Conv(192, 96)),
        ("towers.tower2.conv2", Conv(96, 128, 3, 1, 1)),
        ("towers.tower3.conv1", Conv(192, 16)),
        ("towers.tower3.conv2", Conv(16, 24, 3, 1, 1)),
        ("towers.tower3.conv3", Conv(24, 32, 3, 1, 1)),
        ("towers.pool.max", Pool("max", 3, 1, 1)),
        ("towers.pool.conv", Conv(192, 32)),
    ]
    assert broken("inception", at) == []


def test_pvanets_inception_strides_in_its_first_1x1s_its_pool_and_its_projection() -> None:
    at = place(128, 256, stride=2, towers=((64,), (48, 128), (24, 48, 48)), pool=128)
    strided = [
        path for path, leaf in tree("pvanet_inception", at) if getattr(leaf, "stride", 1) > 1
    ]
    towers = "residual.body.towers"
    assert strided == [
        "residual.shortcut.project",
        *(f"{towers}.tower{number}.conv1" for number in (1, 2, 3)),
        f"{towers}.pool.max",
    ]
    assert macs("pvanet_inception", at, 28, 28) == 48_444_928


def test_a_crelu_doubles_the_channels_by_their_negation() -> None:
    at = place(64, 64, inner=24)
    body = "residual.body"
    assert tree("crelu_block", at)[:8] == [
        ("residual.shortcut", Identity()),
        (f"{body}.compress", Conv(64, 24)),
        (f"{body}.compress_norm", Norm(24)),
        (f"{body}.compress_relu", RELU),
        (f"{body}.spatial", Conv(24, 24, 3, 1, 1)),
        (f"{body}.spatial_both.same", Identity()),
        (f"{body}.spatial_both.negated", Negate()),
        (f"{body}.spatial_norm", Norm(48)),
    ]
    assert tree("crelu_block", at)[9:] == [
        (f"{body}.expand", Conv(48, 64)),
        (f"{body}.expand_norm", Norm(64)),
        ("relu", RELU),
    ]


@pytest.mark.parametrize(("c", "d", "stride", "k"), [(32, 64, 1, 0), (64, 128, 2, 5)])
def test_a_separable_convolution_is_a_depthwise_and_a_pointwise_one(
    c: int, d: int, stride: int, k: int
) -> None:
    found = kinds("separable", place(c, d, stride=stride, kernel=k, act="relu6"))
    kernel = k or 3
    depthwise = Conv(c, c, kernel, stride, kernel // 2, c)
    assert found == [depthwise, Norm(c), Act("relu6"), Conv(c, d), Norm(d), Act("relu6")]
    bare = kinds("separable", place(c, d, stride=stride, kernel=k, between=False))
    assert bare == [depthwise, Conv(c, d), Norm(d), RELU]


def test_an_xception_block_strides_in_its_pool_and_grows_where_it_is_told() -> None:
    first = kinds("xception_block", place(64, 128, stride=2, starts=False))
    assert [leaf for leaf in first if isinstance(leaf, (Act, Pool))] == [RELU, Pool("max", 3, 2, 1)]
    assert first[:2] == [Conv(64, 128, 1, 2), Norm(128)]
    last = kinds("xception_block", place(728, 1024, stride=2, grows="last"))
    points = [leaf for leaf in last[2:] if isinstance(leaf, Conv) and leaf.kernel == 1]
    assert points == [Conv(728, 728), Conv(728, 1024)]
    middle = kinds("xception_block", place(728, 728, depth=3))
    assert middle[0] == Identity()
    assert middle.count(RELU) == middle.count(Norm(728)) == 3


def test_an_inverted_residual_widens_and_ends_without_a_nonlinearity() -> None:
    at = place(24, 24, expand=6)
    depthwise = Conv(144, 144, 3, 1, 1, 144)
    body = [Conv(24, 144), Norm(144), Act("relu6"), depthwise, Norm(144), Act("relu6")]
    assert kinds("inverted", at) == [Identity(), *body, Conv(144, 24), Norm(24)]
    strided = kinds("inverted", place(24, 24, stride=2, expand=6))
    assert Identity() not in strided
    once = kinds("inverted", place(32, 16, expand=1))
    assert once[0] == Conv(32, 32, 3, 1, 1, 32)


def test_a_squeeze_and_excitation_multiplies_each_channel_by_a_number() -> None:
    at = place(40, 40, kernel=5, hidden=120, se=32, act="relu", eps="0.001")
    excite = "body.excite"
    assert [item for item in tree("inverted", at) if item[0].startswith(excite)] == [
        (f"{excite}.map", Identity()),
        (f"{excite}.gate.pool", GlobalPool()),
        (f"{excite}.gate.squeeze", Conv(120, 32, bias=True)),
        (f"{excite}.gate.squeeze_relu", RELU),
        (f"{excite}.gate.restore", Conv(32, 120, bias=True)),
        (f"{excite}.gate.restore_act", Act("hardsigmoid")),
    ]
    norms = [leaf for leaf in kinds("inverted", at) if isinstance(leaf, Norm)]
    assert {norm.eps for norm in norms} == {Decimal("0.001")}
    h, w = 14, 9
    assert macs("inverted", at, h, w) == h * w * (2 * 40 * 120 + 25 * 120) + 2 * 120 * 32


def test_a_shufflenet_v2_unit_passes_one_half_and_works_on_the_other() -> None:
    plain = tree("shufflenet_v2", place(116, 116))
    assert plain[0] == ("halves.first", Slice(0, 58))
    assert plain[1] == ("halves.second.split", Slice(58, 58))
    assert plain[-1] == ("shuffle", Shuffle(2))
    assert [leaf for _, leaf in plain if isinstance(leaf, Conv)] == [
        Conv(58, 58),
        Conv(58, 58, 3, 1, 1, 58),
        Conv(58, 58),
    ]
    strided = kinds("shufflenet_v2", place(24, 116, stride=2))
    assert [leaf for leaf in strided if isinstance(leaf, Conv)] == [
        Conv(24, 24, 3, 2, 1, 24),
        Conv(24, 58),
        Conv(24, 58),
        Conv(58, 58, 3, 2, 1, 58),
        Conv(58, 58),
    ]
    assert (
        broken("shufflenet_v2", place(24, 117, stride=2))[0] == "width 117 is not a multiple of 2"
    )


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        (
            "conv",
            place(96, 256, kernel=5, groups=2, bias=True, norm=False),
            [Conv(96, 256, 5, 1, 2, 2, bias=True), RELU],
        ),
        ("conv", place(3, 8, kernel=1, act="none"), [Conv(3, 8), Norm(8)]),
        (
            "conv",
            place(3, 8, kernel=1, act="silu", eps="0.001", dropout=20),
            [Dropout(20), Conv(3, 8), Norm(8, Decimal("0.001")), Act("silu")],
        ),
        (
            "conv",
            place(3, 32, stride=2, kernel=7, act="crelu"),
            [Conv(3, 16, 7, 2, 3), Identity(), Negate(), Norm(32), RELU],
        ),
        ("max_pool", place(8, 8, stride=2, kernel=3, ceil=True), [Pool("max", 3, 2, 1, True)]),
        ("adaptive_pool", place(8, 8, side=7), [AdaptivePool(7)]),
        ("lrn", place(8, 8), [LocalNorm(5)]),
        ("flatten", place(8, 8), [Flatten()]),
        (
            "fc",
            place(8, 16, act="hardswish", dropout=50),
            [Flatten(), Dropout(50), Linear(8, 16), Act("hardswish")],
        ),
    ],
)
def test_a_plain_layer_does_what_its_options_say(
    name: str, at: Place, expected: list[Leaf]
) -> None:
    assert kinds(name, at) == expected


# --- widths in proportion


def test_inner_widths_follow_the_width_of_the_unit() -> None:
    at = place(192, 256, towers=((64,), (96, 128), (16, 32)), pool=32)
    half = at._replace(c_in=96, c_out=128)
    convs = [leaf for leaf in kinds("inception", half) if isinstance(leaf, Conv)]
    assert [conv.c_out for conv in convs] == [32, 48, 64, 8, 16, 16]
    assert broken("inception", half) == []


def test_an_inner_width_that_is_not_whole_breaks_a_rule() -> None:
    at = place(24, 24, hidden=72, se=6)._replace(c_out=25)
    assert broken("inverted", at)[0] == "6 x width = 150 is not a multiple of the spec's width = 24"


@pytest.mark.parametrize("scale", ["0.5", "2"])
def test_a_scaled_googlenet_has_every_inner_width_scaled(scale: str) -> None:
    own, scaled = (network(load("googlenet"), scale=s).tree for s in ("1", scale))
    pairs = zip(leaves(own), leaves(scaled), strict=True)
    for (path, one), (_, other) in pairs:
        if isinstance(one, Conv):
            assert isinstance(other, Conv)
            assert other.c_out == one.c_out * Decimal(scale), path


# --- what a row may ask


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (Row("S", "inception", channels=(8,)), "unit inception needs option towers"),
        (Row("S", "crelu_block", channels=(8,)), "unit crelu_block needs option inner"),
        (Row("S", "adaptive_pool"), "unit adaptive_pool needs option side"),
        (
            Row("S", "inception", channels=(8,), options={"towers": 8}),
            "option towers = 8 is not lists of whole numbers in a list",
        ),
        (
            Row("S", "separable", channels=(8,), options={"act": "gelu"}),
            "option act = 'gelu' is none of relu, relu6, hardswish, hardsigmoid, silu, sigmoid",
        ),
        (
            Row("S", "conv", kernel=3, channels=(8,), options={"eps": "1"}),
            "option eps = '1' is not a number between 0 and 1 in quotes, such as '0.001'",
        ),
        (
            Row("S", "conv", kernel=3, channels=(8,), options={"eps": "small"}),
            "option eps = 'small' is not a number",
        ),
        (
            Row("S", "xception_block", channels=(8,), options={"grows": "middle"}),
            "option grows = 'middle' is none of first, last",
        ),
        (Row("S", "fire", kernel=3, channels=(8,)), "unit fire takes no ksize"),
        (Row("S", "flatten", channels=(8,)), "unit flatten keeps its width"),
    ],
)
def test_a_row_that_asks_for_what_its_unit_does_not_take_is_refused(row: Row, says: str) -> None:
    with pytest.raises(UnitError) as caught:
        check_row(UNITS[row.unit], row)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        ("inception", "Stage2, g=1: unit inception needs option towers"),
        ("fire", "Stage2, g=1: unit fire has no stride, but a stride of 2 is asked for"),
    ],
)
def test_a_unit_that_cannot_stand_in_for_the_stages_says_why(unit: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        network(load("shufflenet"), 1, unit=unit)
    assert str(caught.value) == f"specs/shufflenet.toml: {says}"


# --- options of a whole spec, and widths that stay

IMAGE = '{ layer = "Image", output = "8x8", unit = "image", channels = 3 }'
CONV = '{ layer = "Conv1", ksize = "3x3", unit = "conv", channels = 8 }'
POOL = '{ layer = "Pool", unit = "global_pool" }'
FC = '{ layer = "FC", unit = "fc", channels = 10 }'


def mine(head: str, *rows: str) -> Any:
    return loads(document(IMAGE, *rows, head=head), name="mine", file="mine.toml")


def test_an_option_of_the_spec_goes_to_every_row_that_takes_it_but_a_classifier() -> None:
    block = '{ layer = "S", unit = "separable", channels = 8, options = { act = "silu" } }'
    spec = mine('options = { act = "relu6", bias = true }', CONV, block, POOL, FC)
    found = dict(leaves(network(spec).tree))
    assert found["conv1.conv_act"] == Act("relu6")
    assert found["conv1.conv"] == Conv(3, 8, 3, 1, 1, bias=True)
    assert [
        leaf for path, leaf in found.items() if path.startswith("s.") and path[-3:] == "act"
    ] == [
        Act("silu"),
        Act("silu"),
    ]
    assert [path for path in found if path.startswith("fc.")] == ["fc.flatten", "fc.linear"]


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("options = { shuffle = true }", "mine.toml: options: no row takes 'shuffle'"),
        ("options = { act = 7 }", "mine.toml: Conv1, g=1: unit conv: option act = 7 is none of"),
    ],
)
def test_an_option_of_the_spec_that_no_row_takes_is_refused(head: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        network(mine(head, CONV, POOL, FC))
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("options = { padding = -1 }", "mine.toml: option padding -1 is not between 0 and 1048576"),
        ("options = 3", "mine.toml: 'options': 3 is not a table of options"),
        (
            "options = { towers = [[1, 0]] }",
            "mine.toml: option towers 0 is not between 1 and 1048576",
        ),
        (
            f"options = {{ towers = {[[1] * 65]} }}",
            "mine.toml: option towers: 65 numbers, more than 64",
        ),
        ("options = { towers = [1, 2] }", "mine.toml: 'options': [1, 2] is not true, false"),
        ("options = { towers = [[]] }", "mine.toml: 'options': [[]] is not true, false"),
        ("options = { towers = [[1.5]] }", "mine.toml: 'options': 1.5 is not a whole number"),
    ],
)
def test_a_bad_option_of_the_spec_is_refused_where_it_is_read(head: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        mine(head, CONV, POOL, FC)
    assert str(caught.value).startswith(says)


def test_a_fixed_width_stays_at_every_scale_and_is_no_stage() -> None:
    last = '{ layer = "Last", ksize = "1x1", unit = "conv", channels = 20, fixed = true }'
    block = '{ layer = "Stage", unit = "separable", channels = 16 }'
    net = network(mine("", CONV, block, last, POOL, FC), scale="0.5")
    assert (net.stem, net.stage_widths) == (4, (8,))
    assert [row.channels for row in net.rows] == [4, 8, 20, 20, 10]


def test_a_width_is_fixed_or_not_and_nothing_else() -> None:
    with pytest.raises(SpecError, match=r"row 2 \(Conv1\): 'fixed': 'yes' is not true or false"):
        mine("", CONV.replace(" }", ', fixed = "yes" }'), POOL, FC)
