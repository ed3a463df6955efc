"""The paper's own design moves come out of its budgets: widths, narrower stems, fewer units."""

from __future__ import annotations

from itertools import pairwise

import pytest

from shufflenet.arch.network import Network, network
from shufflenet.arch.spec import Spec
from shufflenet.arch.spec_reader import load
from shufflenet.solver import Bound, Goal, Problem, Space
from shufflenet.solver.engine.optimise import optimise

BASE, ARCH2 = load("shufflenet"), load("arch2")
#: Stage2's width in Table 1; the others are twice and four times as wide.
TABLE_1 = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
#: The stem of the half network: 24 halved, or the next width that has whole groups.
HALF_STEM = {1: 12, 2: 12, 3: 12, 4: 12, 8: 16}
#: The widths nearest to 38M with that stem, and their multiply-adds; only g = 1 prints as 38.
HALF = {
    1: (72, 38_229_408),
    2: (104, 40_490_464),
    3: (120, 37_109_856),
    4: (144, 40_134_528),
    8: (192, 39_701_760),
}
#: The same for 13M, and what the widths of 0.25x cost where those are others.
QUARTER = {1: (36, 13_018_320), 3: (60, 13_060_656)}
NOT_A_QUARTER = {2: (48, 12_446_784, 56, 15_248_800), 4: (64, 12_067_328, 80, 16_075_136)}


def doubling(c2: int) -> tuple[int, int, int]:
    return c2, 2 * c2, 4 * c2


def nearest(spec: Spec, budget: int, g: int, stem: int) -> tuple[Network, int]:
    """The network of a spec whose cost is nearest to a budget, and that cost."""
    space = Space(spec, groups=(g,), stems=(stem,))
    best = optimise(Problem(space, (Goal("macs", "nearest", budget),))).best
    return best.network, best.figures["macs"]


def convolutions(net: Network) -> int:
    return sum(entry.macs for entry in net.tally(memory=False).entries if entry.kind == "conv")


@pytest.mark.parametrize("g", TABLE_1)
def test_140m_gives_the_widths_of_table_1(g: int) -> None:
    net, _ = nearest(BASE, 140_000_000, g, 24)
    assert net.stage_widths == doubling(TABLE_1[g])


@pytest.mark.parametrize("g", HALF)
def test_38m_with_half_the_stem_gives_the_widths_of_half_the_scale(g: int) -> None:
    width, cost = HALF[g]
    net, found = nearest(BASE, 38_000_000, g, HALF_STEM[g])
    half = network(BASE, g, scale="0.5")
    assert net.stage_widths == half.stage_widths == doubling(width)
    assert net.stem == half.stem == HALF_STEM[g]
    assert found == cost == convolutions(half)


@pytest.mark.parametrize("g", QUARTER)
def test_13m_with_a_stem_of_12_gives_the_widths_of_a_quarter(g: int) -> None:
    width, cost = QUARTER[g]
    net, found = nearest(BASE, 13_000_000, g, 12)
    assert net.stage_widths == network(BASE, g, scale="0.25", stem=12).stage_widths
    assert (net.stage_widths, found) == (doubling(width), cost)


@pytest.mark.parametrize("g", NOT_A_QUARTER)
def test_for_two_and_four_groups_other_widths_are_nearer_to_13m_than_a_quarter(g: int) -> None:
    width, cost, quarter, dearer = NOT_A_QUARTER[g]
    net, found = nearest(BASE, 13_000_000, g, 12)
    scaled = network(BASE, g, scale="0.25", stem=12)
    assert (net.stage_widths, found) == (doubling(width), cost)
    assert (scaled.stage_widths, convolutions(scaled)) == (doubling(quarter), dearer)
    assert 13_000_000 - cost < dearer - 13_000_000


@pytest.mark.parametrize("g", [1, 2, 3, 4])
def test_two_units_fewer_in_stage3_buy_wider_stages_at_40m(g: int) -> None:
    base, _ = nearest(BASE, 40_000_000, g, 12)
    arch2, _ = nearest(ARCH2, 40_000_000, g, 12)
    assert all(b < a for b, a in zip(base.stage_widths, arch2.stage_widths, strict=True))


def test_the_repeats_of_arch2_are_found_as_a_variable_of_the_base() -> None:
    space = Space(BASE, groups=(3,), stems=(12,), repeats=((4,), (6, 8), (4,)))
    wider = optimise(Problem(space, (Goal("channels", "most"),), (Bound("macs", most=40 * 10**6),)))
    arch2, cost = nearest(ARCH2, 40_000_000, 3, 12)
    assert wider.best.network.stage_widths == arch2.stage_widths == (132, 264, 528)
    assert wider.best.figures["macs"] == cost == 38_939_712


@pytest.mark.parametrize(("budget", "stems"), [(140, (24,)), (40, (16, 24))])
def test_more_groups_buy_wider_stages(budget: int, stems: tuple[int, ...]) -> None:
    found = []
    for g in TABLE_1:
        space = Space(BASE, groups=(g,), stems=stems if g != 3 else (12, 24))
        bound = (Bound("macs", most=budget * 10**6),)
        found.append(optimise(Problem(space, (Goal("channels", "most"),), bound)).best)
    assert all(a.figures["channels"] < b.figures["channels"] for a, b in pairwise(found)), [
        f.figures for f in found
    ]


def test_with_its_stages_free_each_number_of_groups_buys_more_channels_than_the_one_before() -> (
    None
):
    found = []
    for g in TABLE_1:
        space = Space(BASE, groups=(g,), free=True)
        bound = (Bound("macs", most=143 * 10**6),)
        best = optimise(Problem(space, (Goal("channels", "most"),), bound)).best
        found.append(best.figures["channels"])
        assert best.figures["channels"] >= sum(doubling(TABLE_1[g]))
    assert found == sorted(set(found))


def test_groups_without_any_legal_network_are_named_in_the_answer() -> None:
    space = Space(BASE, groups=(3, 5, 7))
    outcome = optimise(Problem(space, (Goal("macs", "nearest", 140_000_000),)))
    assert outcome.best.network.groups == 3
    assert outcome.without == (5, 7)
