"""Every figure of the ShuffleNet paper that arithmetic reaches, under the convention it needs."""

from __future__ import annotations

import pytest

from flopcount.conventions import price
from flopcount.entries import Shape
from flopcount.layers import cost as layer_cost
from shufflenet import Network, load, network
from shufflenet.arch.quantities import as_printed, rounded_half_up
from shufflenet.units import UNITS, Place, made
from tests.shufflenet.paper.by_hand import by_hand

TABLE_1 = load("shufflenet")
PAPER = "shufflenet-paper"


def cost(net: Network, convention: str = PAPER) -> int:
    return price(net.tally(memory=False), convention)


def hundredths(figure: int) -> int:
    """Millions with two decimals, rounded half up: 38.23M is 3823."""
    return (figure + 5_000) // 10_000


WIDTHS = {
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}


# --- Table 1


@pytest.mark.parametrize(
    ("groups", "convolutions", "with_fc", "params", "printed"),
    [
        (1, 142_502_976, 143_078_976, 1_531_936, "143M"),
        (2, 140_036_512, 140_836_512, 1_733_848, "140M"),
        (3, 136_500_672, 137_460_672, 1_865_728, "137M"),
        (4, 133_251_776, 134_339_776, 1_968_344, "133M"),
        (8, 136_829_952, 138_365_952, 2_434_768, "137M"),
    ],
)
def test_table_1_has_the_printed_complexity_and_parameters(
    groups: int, convolutions: int, with_fc: int, params: int, printed: str
) -> None:
    net = network(TABLE_1, groups)
    assert cost(net) == convolutions
    assert as_printed(cost(net)) == printed
    assert cost(net, "macs") == with_fc
    assert with_fc - convolutions == WIDTHS[groups][2] * 1000
    assert net.tally().params == params
    assert by_hand(groups, WIDTHS[groups]) == convolutions


def test_with_the_classifier_three_of_the_five_printed_complexities_are_wrong() -> None:
    printed = ["143M", "140M", "137M", "133M", "137M"]
    found = [as_printed(cost(network(TABLE_1, g), "macs")) for g in (1, 2, 3, 4, 8)]
    assert found == ["143M", "141M", "137M", "134M", "138M"]
    assert sum(ours != theirs for ours, theirs in zip(found, printed, strict=True)) == 3


@pytest.mark.parametrize(
    ("name", "repeats", "depth"),
    [("shufflenet", (4, 8, 4), 50), ("arch2", (4, 6, 4), 44), ("shallow", (2, 4, 2), 26)],
)
def test_the_layers_are_50_or_44_or_26(name: str, repeats: tuple[int, ...], depth: int) -> None:
    net = network(load(name), 3)
    assert net.depth == depth == 1 + 3 * sum(repeats) + 1
    assert cost(net) == by_hand(3, (240, 480, 960), repeats=repeats)


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
def test_a_channel_shuffle_costs_nothing(groups: int) -> None:
    assert cost(network(load("noshuffle"), groups)) == cost(network(TABLE_1, groups))


def test_table_1_keeps_about_140_mflops_while_widths_grow_with_the_groups() -> None:
    # Sec. 3.3: "we adapt the output channels to ensure overall computation cost roughly unchanged"
    costs = [cost(network(TABLE_1, g)) for g in (1, 2, 3, 4, 8)]
    assert all(133_000_000 < figure < 143_000_000 for figure in costs)
    widths = [network(TABLE_1, g).stage_widths for g in (1, 2, 3, 4, 8)]
    assert widths == sorted(widths)


# --- Sec. 3.1


def test_pointwise_convolutions_are_93_4_percent_of_a_resnext_unit() -> None:
    tree = made(UNITS["resnext"], Place(256, 256, 128, 1, 32))
    tally = layer_cost.count(tree, Shape(1, 256, 1, 1), memory=False)
    body = "residual.body"
    pointwise = price(tally.under([f"{body}.compress", f"{body}.expand"]), PAPER)
    assert pointwise == 65_536 == 2 * 256 * 128
    assert price(tally, PAPER) - pointwise == 4_608 == 128 * 9 * (128 // 32)
    assert rounded_half_up(pointwise, 65_536 + 4_608, 3) == 0.934


# --- Table 2


@pytest.mark.parametrize(
    ("groups", "stem", "widths", "printed"),
    [
        (1, 12, (72, 144, 288), 3823),
        (2, 12, (104, 208, 416), 4049),
        (3, 12, (120, 240, 480), 3711),
        (4, 12, (144, 288, 576), 4013),
        (8, 16, (192, 384, 768), 3970),
    ],
)
def test_half_of_table_1_costs_about_38_mflops(
    groups: int, stem: int, widths: tuple[int, ...], printed: int
) -> None:
    net = network(TABLE_1, groups, scale="0.5")
    assert (net.stem, net.stage_widths) == (stem, widths)
    assert hundredths(cost(net)) == printed
    assert cost(net) == by_hand(groups, widths, stem)


def test_only_one_group_prints_as_the_nominal_38_mflops() -> None:
    found = {g: as_printed(cost(network(TABLE_1, g, scale="0.5"))) for g in (1, 2, 3, 4, 8)}
    assert found == {1: "38M", 2: "40M", 3: "37M", 4: "40M", 8: "40M"}


@pytest.mark.parametrize(
    ("groups", "stem", "printed"),
    [(1, 12, 1302), (3, 12, 1306), (1, 6, 1086), (3, 6, 1077)],
)
def test_a_quarter_of_table_1_costs_13_mflops_with_a_stem_of_12_and_not_of_6(
    groups: int, stem: int, printed: int
) -> None:
    net = network(TABLE_1, groups, scale="0.25", stem=stem)
    widths = tuple(width // 4 for width in WIDTHS[groups])
    assert net.stage_widths == widths
    assert hundredths(cost(net)) == printed
    assert cost(net) == by_hand(groups, widths, stem)
    assert as_printed(cost(net)) == ("13M" if stem == 12 else "11M")


def test_the_stem_of_a_quarter_is_6_where_none_is_given() -> None:
    assert network(TABLE_1, 1, scale="0.25").stem == 6


def test_arch2_at_half_costs_about_40_mflops() -> None:
    net = network(load("arch2"), 3, widths=(132, 264, 528), stem=12)
    assert hundredths(cost(net)) == 3894
    assert cost(net) == by_hand(3, (132, 264, 528), 12, (4, 6, 4))


# --- Sec. 4.2


@pytest.mark.parametrize(
    ("unit", "widths", "macs"),
    [
        ("resnet", (48, 96, 192), 37_933_056),
        ("xception", (72, 144, 288), 38_229_408),
        ("resnext", (48, 96, 192), 38_121_216),
    ],
)
def test_the_structures_of_38_mflops_have_the_stage_4_widths_that_are_printed(
    unit: str, widths: tuple[int, ...], macs: int
) -> None:
    assert cost(network(TABLE_1, 1, unit=unit, stem=12, widths=widths)) == macs


@pytest.mark.parametrize(
    ("widths", "printed"), [((12, 25, 50), 3753), ((12, 24, 48), 3556), ((13, 26, 52), 4094)]
)
def test_vgg_reaches_38_mflops_with_50_channels_only_as_12_25_50(
    widths: tuple[int, ...], printed: int
) -> None:
    net = network(TABLE_1, 1, unit="vgg", stem=12, widths=widths)
    assert hundredths(cost(net)) == printed


def test_shufflenet_of_38_mflops_has_576_channels_in_stage_4() -> None:
    assert network(TABLE_1, 4, scale="0.5").stage_widths[2] == 576


def test_xception_is_shufflenet_with_one_group() -> None:
    net = network(TABLE_1, 1, unit="xception", stem=12, widths=(72, 144, 288))
    assert cost(net) == cost(network(TABLE_1, 1, scale="0.5"))
    assert cost(net) == by_hand(1, (72, 144, 288), 12)


def test_the_bottleneck_of_a_resnext_of_48_is_24_rounded_down_to_its_cardinality() -> None:
    net = network(TABLE_1, 1, unit="resnext", stem=12, widths=(48, 96, 192))
    assert [row.m for row in net.rows[2:8]] == [16, 16, 48, 48, 96, 96]


# --- Tables 5 and 6


def test_twice_table_1_costs_524_mflops_with_a_scaled_stem_and_the_classifier() -> None:
    net = network(TABLE_1, 3, scale=2)
    assert (net.stem, net.stage_widths) == (48, (480, 960, 1920))
    assert hundredths(cost(net, "macs")) == 52405
    assert as_printed(cost(net, "macs")) == "524M"
    assert as_printed(cost(net)) != "524M"
    assert cost(net, "macs") == by_hand(3, (480, 960, 1920), 48) + 1920 * 1000


def test_one_and_a_half_of_table_1_costs_292_mflops_with_its_own_stem_and_the_classifier() -> None:
    net = network(TABLE_1, 3, scale="1.5", stem=24)
    assert net.stage_widths == (360, 720, 1440)
    assert hundredths(cost(net, "macs")) == 29244
    assert as_printed(cost(net, "macs")) == "292M"
    assert as_printed(cost(network(TABLE_1, 3, scale="1.5"), "macs")) != "292M"
    assert cost(net, "macs") == by_hand(3, (360, 720, 1440), 24) + 1440 * 1000
