"""The solver against the paper's Table 1, and against a search that tries every width by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopcount.conventions import UnknownConventionError
from flopcount.integers import FigureTooLargeError
from flopcount.tally import Tally
from shufflenet.arch.network import Network, network
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec import Row, Spec, SpecError
from shufflenet.arch.spec_reader import load
from shufflenet.solver.budget import Answer, Solution, solve
from tests.strategies import (
    COLUMNS,
    FRAMED_UNITS,
    GROWING,
    STAGE_UNITS,
    head,
    image,
    own_spec,
    sites,
    stage,
)

#: What each convention charges for one multiply-add of each kind; anything else is free.
CHARGES = {
    "shufflenet-paper": {"conv": 1},
    "macs": {"conv": 1, "linear": 1},
    "torch": {"conv": 2, "linear": 2},
}
#: The widths of Table 1, Stage2 to Stage4, and its complexity in multiply-adds.
TABLE_1 = {
    1: ((144, 288, 576), 142_502_976),
    2: ((200, 400, 800), 140_036_512),
    3: ((240, 480, 960), 136_500_672),
    4: ((272, 544, 1088), 133_251_776),
    8: ((384, 768, 1536), 136_829_952),
}
WIDEST = 1_048_576
#: How many of the best the two searches are compared by.
LISTED = 4
LARGEST = 2**63 - 1


def cost(tally: Tally, name: str = "shufflenet-paper") -> int:
    charges = CHARGES[name]
    return sum(charges.get(entry.kind, 0) * entry.macs for entry in tally.entries)


def costs(net: Network, name: str = "shufflenet-paper") -> int:
    return cost(net.tally(memory=False), name)


def ranks(answer: Answer) -> list[tuple[int, int, int]]:
    """What the solver orders by: the miss, the cost, the stem."""
    return [
        (abs(found.cost - answer.budget), found.cost, found.network.stem or 0)
        for found in answer.solutions
    ]


def widths(found: Solution) -> tuple[int | None, tuple[int, ...]]:
    return found.network.stem, found.network.stage_widths


# Table 1, backwards


@pytest.mark.parametrize("groups", TABLE_1)
def test_140m_gives_back_the_widths_of_table_1_and_no_others(groups: int) -> None:
    printed, complexity = TABLE_1[groups]
    answer = solve(load("shufflenet"), 140_000_000, groups)
    assert answer.best.network.stage_widths == printed
    assert answer.best.network.stem == 24
    assert answer.best.cost == complexity == costs(answer.best.network)
    assert answer.best.residual == complexity - 140_000_000
    assert answer.unique
    assert answer.notable == (abs(complexity - 140_000_000) > 140_000_000 * 2 // 100)


@pytest.mark.parametrize("groups", TABLE_1)
def test_what_is_found_is_the_network_that_the_same_widths_make(groups: int) -> None:
    spec = load("shufflenet")
    answer = solve(spec, 140_000_000, groups)
    made = network(spec, groups)
    assert answer.best.network.tally() == made.tally()
    assert answer.best.network.tree == made.tree


@pytest.mark.parametrize("groups", TABLE_1)
def test_the_two_neighbours_of_table_1s_widths_are_the_next_best(groups: int) -> None:
    """Widths go in steps of 4g, and where the stem is no multiple of g there are none."""
    spec, step = load("shufflenet"), 4 * groups
    c2 = TABLE_1[groups][0][0]
    near = []
    for c in (c2 - 2 * step, c2 - step, c2, c2 + step, c2 + 2 * step):
        assert (c - 24) % groups == 0
        near.append(costs(network(spec, groups, widths=(c, 2 * c, 4 * c))))
    wanted = sorted(near, key=lambda n: abs(n - 140_000_000))[:3]
    assert [found.cost for found in solve(spec, 140_000_000, groups, top=3).solutions] == wanted


# Forty million


def test_40m_with_eight_groups_and_a_stem_of_24_is_192_wide() -> None:
    best = solve(load("shufflenet"), 40_000_000, 8).best
    assert widths(best) == (24, (192, 384, 768))
    assert (best.cost, best.residual) == (43_577_856, 3_577_856)


def test_40m_with_eight_groups_and_any_stem_has_one_of_16() -> None:
    answer = solve(load("shufflenet"), 40_000_000, 8, stem="auto")
    assert widths(answer.best) == (16, (192, 384, 768))
    assert (answer.best.cost, answer.best.residual) == (39_701_760, -298_240)
    assert answer.unique


def test_of_two_that_miss_by_as_much_the_cheaper_comes_first_however_wide_its_stem() -> None:
    budget = (33_655_552 + 35_825_664) // 2
    answer = solve(load("shufflenet"), budget, 8, stem=(8, 16, 24), top=2)
    assert [(s.network.stem, s.cost) for s in answer.solutions] == [
        (24, 33_655_552),
        (8, 35_825_664),
    ]
    assert not answer.unique


def test_a_stem_of_12_has_no_legal_width_and_the_error_names_rule_and_nearest_budget() -> None:
    spec = load("shufflenet")
    # 12 is no multiple of 8, so no width that is one is a whole number of groups wider.
    nearest = min(
        (abs(costs(net) - 40_000_000), costs(net), stem, net.stage_widths)
        for stem in range(8, 25, 8)
        for c in range(32, 401, 32)
        for net in [network(spec, 8, stem=stem, widths=(c, 2 * c, 4 * c))]
    )
    assert nearest[1:] == (39_701_760, 16, (192, 384, 768))
    with pytest.raises(NothingLegalError) as caught:
        solve(spec, 40_000_000, 8, stem=12)
    text = str(caught.value)
    (added,) = re.findall(
        r"g=8, stem 12: no network of the space is legal: Stage2: added width \(out - in\) (\d+)"
        r" is not a multiple of g = 8;",
        text,
    )
    assert int(added) % 32 == 32 - 12
    assert text.endswith(
        "the nearest budget that works is 39,701,760 (stem 16, widths 192, 384, 768)"
    )


def test_the_nearest_budget_that_an_error_names_works() -> None:
    spec = load("shufflenet")
    for budget in (5_000_000, 500_000_000):
        with pytest.raises(NothingLegalError) as caught:
            solve(spec, budget, 5)
        found = re.search(r"works is ([\d,]+) \(stem (\d+), ", str(caught.value))
        assert found is not None
        named, stem = int(found[1].replace(",", "")), int(found[2])
        assert solve(spec, named, 5, stem=stem).best.residual == 0
        assert solve(spec, budget, 5, stem="auto").best.cost == named


# At most


@pytest.mark.parametrize("groups", TABLE_1)
@pytest.mark.parametrize("budget", [20_000_000, 40_000_000, 140_000_000])
def test_at_most_never_exceeds_and_the_next_width_does(groups: int, budget: int) -> None:
    spec, step = load("shufflenet"), 4 * groups
    answer = solve(spec, budget, groups, policy="at-most", top=50)
    assert all(0 < found.cost <= budget for found in answer.solutions)
    c = answer.best.network.stage_widths[0] + step
    assert costs(network(spec, groups, widths=(c, 2 * c, 4 * c))) > budget


def test_at_most_takes_a_cost_that_meets_the_budget_and_leaves_one_that_passes_it_by_one() -> None:
    spec = load("shufflenet")
    met = solve(spec, 136_500_672, 3, policy="at-most").best
    assert (met.network.stage_widths, met.residual) == ((240, 480, 960), 0)
    missed = solve(spec, 136_500_671, 3, policy="at-most").best
    assert missed.network.stage_widths == (228, 456, 912)


def test_at_most_without_anything_to_fit_names_the_least_cost() -> None:
    spec = load("shufflenet")
    # The least width that is a multiple of 4*3 and wider than the stem.
    least = costs(network(spec, 3, widths=(36, 72, 144)))
    with pytest.raises(NothingLegalError) as caught:
        solve(spec, least - 1, 3, policy="at-most")
    text = str(caught.value)
    assert f"no network has macs at most {least - 1:,};" in text
    assert f"would have to be {least:,} " in text
    assert "(with g=3, conv1 24, stage2 36, stage3 72, stage4 144)" in text
    assert solve(spec, least, 3, policy="at-most").best.cost == least


def test_nearest_takes_the_least_network_where_the_budget_is_below_all() -> None:
    best = solve(load("shufflenet"), 1, 3).best
    assert best.network.stage_widths == (36, 72, 144)
    assert best.residual == best.cost - 1


# Ratios, stems, lists


@pytest.mark.parametrize("ratio", [(1, 1, 2), (1, 3, 9), (2, 3, 4), (1, 2, 2), (3, 4, 7)])
def test_a_ratio_is_kept_exactly(ratio: tuple[int, ...]) -> None:
    # ResNet's unit takes any widths that are multiples of 4.
    answer = solve(load("shufflenet"), 60_000_000, 1, ratio=ratio, unit="resnet", top=5)
    for found in answer.solutions:
        c = found.network.stage_widths
        assert all(a * ratio[0] == ratio[i] * c[0] for i, a in enumerate(c))


def test_a_ratio_is_taken_in_lowest_terms() -> None:
    spec = load("shufflenet")
    one, other = (solve(spec, 60_000_000, 2, ratio=r) for r in ((2, 3, 6), (20, 30, 60)))
    assert one.best.cost == other.best.cost
    assert one.candidates == other.candidates


@pytest.mark.parametrize("unit", ["shufflenet", "xception"])
@pytest.mark.parametrize("ratio", [(2, 1), (1, 1), (5, 3)])
def test_a_ratio_in_which_a_concatenating_stage_does_not_grow_is_an_error_with_the_rule(
    ratio: tuple[int, ...], unit: str
) -> None:
    spec = own_spec(
        image(16, 16),
        Row("Conv1", "conv", kernel=3, channels=(2,)),
        stage("Stage2", unit, (8,)),
        stage("Stage3", unit, (16,)),
        *head(10),
    )
    with pytest.raises(NothingLegalError, match=r": added width \(out - in\) -?\d+ is less than 1"):
        solve(spec, 100_000, ratio=ratio)


def test_a_ratio_too_steep_for_any_legal_width_is_an_error_with_a_rule() -> None:
    """Stage4 may not pass 2**20, so that Stage2 would have to be one channel wide."""
    with pytest.raises(NothingLegalError, match="is legal: Stage2: width 1 is not a multiple"):
        solve(load("shufflenet"), 60_000_000, 1, ratio=(1, 2, WIDEST))


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("stages", [(12, 480, 960), (480, 240, 960), (960, 960, 960)])
def test_widths_that_shrink_where_a_unit_concatenates_break_a_rule_of_the_network(
    stages: tuple[int, ...], groups: int
) -> None:
    with pytest.raises(SpecError, match=r"added width \(out - in\) -?\d+ is less than 1"):
        network(load("shufflenet"), groups, widths=stages)


@pytest.mark.parametrize("unit", ["resnet", "resnext", "vgg"])
def test_a_ratio_in_which_stages_shrink_is_solved_for_units_that_may_shrink(unit: str) -> None:
    spec = load("shufflenet")
    best = solve(spec, 60_000_000, 1, ratio=(4, 2, 1), unit=unit).best
    a, b, c = best.network.stage_widths
    assert (a, b) == (4 * c, 2 * c)
    again = network(spec, 1, widths=(a, b, c), unit=unit)
    assert best.cost == costs(again)


def test_of_several_stems_the_best_of_each_alone_wins() -> None:
    spec, stems = load("shufflenet"), (8, 16, 24, 32)
    alone = [solve(spec, 40_000_000, 8, stem=stem) for stem in stems]
    together = solve(spec, 40_000_000, 8, stem=stems)
    assert ranks(together)[0] == min(ranks(answer)[0] for answer in alone)
    assert solve(spec, 40_000_000, 8, stem=(24, 24, 8, 16, 32, 8)) == together


def test_a_stem_that_has_no_legal_width_does_not_spoil_one_that_has() -> None:
    spec = load("shufflenet")
    assert solve(spec, 40_000_000, 8, stem=(12, 16)) == solve(spec, 40_000_000, 8, stem=16)


def test_auto_tries_every_stem_up_to_the_specs_own() -> None:
    spec = load("shufflenet")
    auto = solve(spec, 40_000_000, 4, stem="auto", top=40)
    assert auto == solve(spec, 40_000_000, 4, stem=range(1, 25), top=40)
    assert {found.network.stem for found in auto.solutions} > {4, 12, 24}


@pytest.mark.parametrize("top", [1, 2, 7, 40])
@pytest.mark.parametrize("policy", ["nearest", "at-most"])
def test_the_top_are_sorted_each_once_and_as_many_as_asked_for(top: int, policy: str) -> None:
    answer = solve(
        load("shufflenet"),
        40_000_000,
        3,
        stem="auto",
        top=top,
        policy=policy,  # type: ignore[arg-type]
    )
    assert len(answer.solutions) == top
    assert len({widths(found) for found in answer.solutions}) == top
    assert ranks(answer) == sorted(ranks(answer))
    assert answer.best == answer.solutions[0]
    for found in answer.solutions:
        assert found.cost == costs(found.network)
        assert found.residual == found.cost - 40_000_000


@pytest.mark.parametrize("top", [3, 10, 25])
def test_the_top_are_the_nearest_of_all_widths_not_only_of_those_near_the_best(top: int) -> None:
    spec, budget = load("shufflenet"), 40_000_000
    every = sorted(
        abs(costs(network(spec, 3, widths=(c, 2 * c, 4 * c))) - budget) for c in range(36, 721, 12)
    )
    answer = solve(spec, budget, 3, top=top)
    assert [abs(found.residual) for found in answer.solutions] == every[:top]


def test_more_than_there_are_gives_all_there_are() -> None:
    answer = solve(load("shufflenet"), 40_000_000, 3, policy="at-most", top=10**6)
    # Multiples of 12 above 24, up to the best.
    best = answer.best.network.stage_widths[0]
    found = sorted(found.network.stage_widths[0] for found in answer.solutions)
    assert found == list(range(36, best + 1, 12))


# Conventions, sizes, specs, groups


@pytest.mark.parametrize("name", CHARGES)
@pytest.mark.parametrize("budget", [50_000_000, 140_000_000])
def test_the_budget_is_met_in_the_unit_of_the_convention(name: str, budget: int) -> None:
    spec = load("shufflenet")
    answer = solve(spec, budget, 3, convention=name)
    assert answer.convention == name
    assert answer.best.cost == costs(answer.best.network, name)
    every = [
        (abs(found - budget), c)
        for c in range(36, 601, 12)
        for found in [costs(network(spec, 3, widths=(c, 2 * c, 4 * c)), name)]
    ]
    assert answer.best.network.stage_widths[0] == min(every)[1]


@pytest.mark.parametrize("size", [(32, 32), (480, 640), (65, 97), (1, 1)])
def test_the_widths_found_at_another_size_cost_what_they_cost_at_that_size(
    size: tuple[int, int],
) -> None:
    spec = load("shufflenet")
    wanted = costs(network(spec, 3, size=size))
    answer = solve(spec, wanted, 3, size=size)
    assert answer.best.network.stage_widths == (240, 480, 960)
    assert answer.best.residual == 0
    assert answer.best.network.frame.size == size


@pytest.mark.parametrize(("name", "groups"), [c for c in COLUMNS if c[1] in (1, 3, 8)])
def test_every_bundled_spec_is_found_again_from_its_own_cost(name: str, groups: int) -> None:
    net = network(load(name), groups)
    answer = solve(net.spec, costs(net), groups)
    assert answer.best.network.stage_widths == net.stage_widths
    assert answer.best.residual == 0
    assert answer.unique


@pytest.mark.parametrize(
    ("unit", "groups"),
    [*product(STAGE_UNITS, (1, 3, 5)), *product(FRAMED_UNITS, (1,))],
)
def test_every_unit_is_solved_to_the_widths_that_trying_all_finds(unit: str, groups: int) -> None:
    spec, budget, every = load("shufflenet"), 40_000_000, []
    alone = _only(spec, groups)
    # Concatenating adds channels, so the stages are wider than the stem.
    for c in range(31 if unit in GROWING else 1, 400):
        try:
            net = network(alone, groups, widths=(c, 2 * c, 4 * c), stem=30, unit=unit)
        except SpecError:
            continue
        every.append((abs(costs(net) - budget), costs(net), c))
        if every[-1][1] > 3 * budget:
            break
    answer = solve(spec, budget, groups, unit=unit, stem=30, top=3)
    assert [found.network.stage_widths[0] for found in answer.solutions] == [
        c for _, _, c in sorted(every)[:3]
    ]


def _only(spec: Spec, groups: int) -> Spec:
    """The spec with its first column alone, under another number of groups."""
    rows = tuple(
        row if row.channels is None else replace(row, channels=row.channels[:1])
        for row in spec.rows
    )
    return Spec(spec.name, rows, groups=(groups,))


@pytest.mark.parametrize(("groups", "stem"), [(5, 20), (6, 24), (7, 21), (16, 32)])
def test_groups_that_the_spec_has_no_column_for_are_solved(groups: int, stem: int) -> None:
    spec = load("shufflenet")
    answer = solve(spec, 40_000_000, groups, stem=stem)
    alone = _only(spec, groups)
    every = [
        (abs(costs(net) - 40_000_000), costs(net), c)
        for c in range(4 * groups * (stem // (4 * groups) + 1), 800, 4 * groups)
        for net in [network(alone, groups, widths=(c, 2 * c, 4 * c), stem=stem)]
    ]
    _, least, c = min(every)
    assert widths(answer.best) == (stem, (c, 2 * c, 4 * c))
    assert answer.best.cost == least


def test_a_width_that_is_legal_only_far_out_is_found() -> None:
    """Widths go in steps of 4 * 64, so that the spec's own are far below the least."""
    answer = solve(load("shufflenet"), 1_000_000, 64, stem=64)
    assert widths(answer.best) == (64, (256, 512, 1024))
    assert answer.unique


@pytest.mark.parametrize("unit", STAGE_UNITS)
def test_a_spec_of_ones_own_with_two_stages_is_found_again_from_its_own_cost(unit: str) -> None:
    spec = own_spec(
        image(32, 20, 2),
        Row("Conv1", "conv", kernel=5, stride=2, channels=(6,)),
        stage("Stage2", unit, (24,), repeat=1),
        stage("Stage2", unit, (24,), stride=1, repeat=2),
        stage("Stage3", unit, (72,), repeat=1),
        *head(7),
        groups=(2,),
    )
    answer = solve(spec, costs(network(spec)))
    assert answer.best.residual == 0
    assert answer.best.network.stage_widths == (24, 72)


# Stages whose width may stay


def straight(unit: str, stem: int, width: int, h: int = 8, repeat: int = 1) -> Spec:
    """One stage without a stride behind a stem: where their widths are equal, its tree changes."""
    return own_spec(
        image(h, h),
        Row("Conv1", "conv", kernel=3, channels=(stem,)),
        stage("Stage2", unit, (width,), stride=1, repeat=repeat),
        *head(10),
    )


@pytest.mark.parametrize("unit", STAGE_UNITS)
@pytest.mark.parametrize("width", [20, 28, 60])
def test_a_stage_that_may_keep_its_width_is_found_where_it_does(unit: str, width: int) -> None:
    spec = straight(unit, 20, width)
    wanted = costs(network(spec, widths=(20,)))
    answer = solve(spec, wanted, top=2)
    assert (20, (20,)) in {widths(found) for found in answer.solutions if found.residual == 0}


@pytest.mark.parametrize("unit", ["resnet", "resnext"])
def test_a_width_that_is_cheaper_since_it_needs_no_projection_is_found_behind_dearer_ones(
    unit: str,
) -> None:
    """Cost falls once, where the width meets the stem's: far behind widths past the budget."""
    spec = straight(unit, 200, 120)
    wanted = costs(network(spec, widths=(200,)))
    between = [costs(network(spec, widths=(c,))) for c in range(140, 200, 4)]
    assert min(between) > wanted
    assert solve(spec, wanted).best.network.stage_widths == (200,)
    at_most = solve(spec, wanted, policy="at-most")
    assert at_most.best.network.stage_widths == (200,)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("unit", STAGE_UNITS)
def test_a_stage_right_behind_the_image_is_solved_as_any_other(unit: str, channels: int) -> None:
    spec = own_spec(image(8, 8, channels), stage("Stage2", unit, (16,), stride=1), *head(10))
    wanted = costs(network(spec))
    answer = solve(spec, wanted)
    assert widths(answer.best) == (None, (16,))
    assert answer.best.residual == 0


# Against a search by hand


class Task(NamedTuple):
    """What is asked of both searches."""

    spec: Spec
    groups: int
    stems: tuple[int | None, ...]
    ratio: tuple[int, ...]
    unit: str | None
    cardinality: int
    name: str

    def network(self, stem: int | None, steps: int) -> Network | None:
        """The network of so many steps, made by itself, or None where a rule is broken."""
        try:
            return network(
                self.spec,
                self.groups,
                stem=stem,
                widths=[steps * part for part in self.ratio],
                unit=self.unit,
                cardinality=self.cardinality,
            )
        except SpecError:
            return None

    def by_hand(self, stem: int | None) -> Iterator[tuple[int, int]]:
        """Every legal number of steps with its cost, without end."""
        steps = 0
        while True:
            steps += 1
            net = self.network(stem, steps)
            if net is not None:
                yield steps, costs(net, self.name)

    @property
    def settled(self) -> int:
        """Steps from which on no stage has the width of the stem or image; rules repeat in 4g."""
        return max(*(stem or 0 for stem in self.stems), self.spec.rows[0].channels[0]) + 1

    def all_up_to(self, budget: int) -> list[tuple[int, int, int, int]]:
        """(miss, cost, stem, steps), best first, to where several cost over thrice the budget."""
        found = []
        for stem in self.stems:
            if not self.possible(stem):
                continue
            past = 0
            for steps, price in self.by_hand(stem):
                found.append((abs(price - budget), price, stem or 0, steps))
                past += steps > self.settled and price > 3 * budget
                if past == LISTED:
                    break
        return sorted(found)

    def possible(self, stem: int | None) -> bool:
        """Whether any width is legal: the rules repeat, so one period past the start shows it."""
        period = 4 * self.groups
        return any(self.network(stem, steps) for steps in range(1, self.settled + period + 1))


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    groups = draw(st.sampled_from((1, 2, 3, 4, 5)))
    stages = draw(st.integers(1, 3))
    has_stem = draw(st.booleans()) or draw(st.booleans())
    rows = [image(draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 4)))]
    stems: tuple[int | None, ...] = (None,)
    if has_stem:
        stems = tuple(draw(st.lists(st.integers(1, 24), min_size=1, max_size=3, unique=True)))
        rows.append(Row("Conv1", "conv", kernel=3, stride=1, channels=(draw(st.integers(1, 8)),)))
    for index in range(stages):
        unit = draw(st.sampled_from(STAGE_UNITS))
        name, stride = f"Stage{index + 2}", draw(st.integers(1, 2))
        channels = (8 * 2**index,)
        rows.append(stage(name, unit, channels, stride))
        if draw(st.booleans()):
            rows.append(stage(name, unit, channels, 1, draw(st.integers(1, 2))))
    # Growing ratios more often than others: most units concatenate.
    parts = st.lists(st.integers(1, 4), min_size=stages, max_size=stages)
    ratio = draw(parts)
    if draw(st.integers(0, 3)):
        ratio = [sum(ratio[: index + 1]) for index in range(stages)]
    common = int(np.gcd.reduce(ratio))
    return Task(
        own_spec(*rows, *head(draw(st.integers(1, 9)))),
        groups,
        stems,
        tuple(part // common for part in ratio),
        draw(st.none() | st.sampled_from(STAGE_UNITS)),
        draw(st.sampled_from((1, 2, 3, 16))),
        draw(st.sampled_from(sorted(CHARGES))),
    )


@st.composite
def problems(draw: st.DrawFn) -> tuple[Task, int]:
    """A task and a budget in the neighbourhood of what a few steps cost."""
    task = draw(tasks())
    anchors = [
        price
        for stem in task.stems
        if task.possible(stem)
        for _, (_, price) in zip(range(4), task.by_hand(stem), strict=False)
    ]
    near = draw(st.sampled_from(anchors)) if anchors else 10_000
    shift = draw(st.sampled_from((-1, 0, 1)) | st.integers(-near // 3, near // 3))
    return task, max(1, near + shift)


def asked(task: Task, budget: int, **more: object) -> Answer:
    stem: Sequence[int] | None = None if task.stems == (None,) else [s or 0 for s in task.stems]
    return solve(
        task.spec,
        budget,
        task.groups,
        ratio=task.ratio,
        stem=stem,
        unit=task.unit,
        cardinality=task.cardinality,
        convention=task.name,
        **more,  # type: ignore[arg-type]
    )


@settings(deadline=None, max_examples=50)
@given(problems())
def test_nearest_is_what_trying_every_width_one_by_one_finds(problem: tuple[Task, int]) -> None:
    task, budget = problem
    every = task.all_up_to(budget)
    if not every:
        with pytest.raises(NothingLegalError):
            asked(task, budget)
        return
    answer = asked(task, budget, top=LISTED)
    assert ranks(answer) == [rank[:3] for rank in every[:LISTED]]
    assert answer.unique == (sum(rank[0] == every[0][0] for rank in every) == 1)
    found = {(stem, steps * task.ratio[0]): price for _, price, stem, steps in every}
    for solution in answer.solutions:
        stem, stages = widths(solution)
        assert found[stem or 0, stages[0]] == solution.cost
        assert solution.cost == costs(solution.network, task.name)


@settings(deadline=None, max_examples=35)
@given(problems())
def test_at_most_is_what_trying_every_width_one_by_one_finds(problem: tuple[Task, int]) -> None:
    task, budget = problem
    every = task.all_up_to(budget)
    within = [rank for rank in every if rank[1] <= budget]
    if not within:
        with pytest.raises(NothingLegalError) as caught:
            asked(task, budget, policy="at-most")
        least = min((rank[1] for rank in every), default=0)
        assert not every or f"would have to be {least:,} " in str(caught.value)
        return
    answer = asked(task, budget, policy="at-most", top=LISTED)
    assert ranks(answer) == [rank[:3] for rank in within[:LISTED]]
    assert answer.unique == (sum(rank[0] == within[0][0] for rank in within) == 1)


# One answer by hand


def test_the_cost_of_a_stem_and_a_unit_is_the_sum_written_out() -> None:
    """Nothing of the library's arithmetic: every layer of one small answer, by hand."""
    spec = own_spec(
        image(9, 7),
        Row("Conv1", "conv", kernel=3, stride=2, channels=(4,)),
        stage("Stage2", "shufflenet", (16,)),
        *head(5),
        groups=(2,),
    )
    answer = solve(spec, 1, top=3)
    for found in answer.solutions:
        (c,) = found.network.stage_widths
        m, g, d = c // 4, 2, c - 4
        h, w = sites(9, 3, 2, 1), sites(7, 3, 2, 1)
        small = sites(h, 3, 2, 1) * sites(w, 3, 2, 1)
        stem = h * w * 4 * 3 * 9
        unit = h * w * 4 * m // g + small * 9 * m + small * m * d // g
        assert found.cost == stem + unit
    assert [found.network.stage_widths for found in answer.solutions] == [(8,), (16,), (24,)]


# Large budgets


@pytest.mark.parametrize("budget", [LARGEST, LARGEST - 1, 2**62, 10**17])
@pytest.mark.parametrize("groups", TABLE_1)
@pytest.mark.parametrize("policy", ["nearest", "at-most"])
def test_a_budget_past_the_widest_network_gives_the_widest(
    budget: int, groups: int, policy: str
) -> None:
    best = solve(load("shufflenet"), budget, groups, policy=policy).best  # type: ignore[arg-type]
    # Stage4 is the widest stage, four times Stage2; widths go in steps of 4g.
    c = WIDEST // 4 // (4 * groups) * (4 * groups)
    assert best.network.stage_widths == (c, 2 * c, 4 * c)
    assert 0 < best.cost == costs(best.network)
    assert best.residual == best.cost - budget < 0


@pytest.mark.parametrize("power", range(7, 18))
def test_a_budget_that_widths_reach_is_met_to_within_one_step(power: int) -> None:
    spec, budget = load("shufflenet"), 10**power
    best = solve(spec, budget, 1, size=(4096, 4096)).best
    c = best.network.stage_widths[0]
    for other in (c - 4, c + 4):
        if other > 24:
            net = network(spec, 1, size=(4096, 4096), widths=(other, 2 * other, 4 * other))
            assert abs(costs(net) - budget) > abs(best.residual)


@pytest.mark.parametrize("budget", [10**17, 2 * 10**17, 10**18, 9 * 10**18, LARGEST])
@pytest.mark.parametrize("unit", STAGE_UNITS)
def test_budgets_near_the_largest_figure_end_in_an_exact_answer_or_a_refusal(
    budget: int, unit: str
) -> None:
    spec = load("shufflenet")
    refusal = None
    try:
        best = solve(spec, budget, 1, size=(65_536, 65_536), unit=unit).best
    except FigureTooLargeError as error:
        refusal = str(error)
    if refusal is not None:
        # Only where what lies on either side of the budget may pass what is summed exactly.
        assert budget > LARGEST // 32
        assert str(LARGEST) in refusal
        return
    assert best.residual == best.cost - budget
    assert best.cost == costs(best.network)
    assert abs(best.residual) * 1_000 < budget


# Refusals


@pytest.mark.parametrize("budget", [0, -1, 2**63, 10**30])
def test_a_budget_that_is_out_of_range_is_refused(budget: int) -> None:
    with pytest.raises(QuantityError, match=f"budget {budget} is not between 1 and {LARGEST}"):
        solve(load("shufflenet"), budget, 3)


@pytest.mark.parametrize("top", [0, -3])
def test_a_list_of_none_is_refused(top: int) -> None:
    with pytest.raises(QuantityError, match=f"top {top} is less than 1"):
        solve(load("shufflenet"), 40_000_000, 3, top=top)


@pytest.mark.parametrize("ratio", [(1,), (1, 2), (1, 2, 4, 8), ()])
def test_a_ratio_of_another_length_than_the_stages_is_refused(ratio: tuple[int, ...]) -> None:
    with pytest.raises(QuantityError, match=f": {len(ratio)} given, for 3 stages"):
        solve(load("shufflenet"), 40_000_000, 3, ratio=ratio)


@pytest.mark.parametrize("ratio", [(0, 1, 2), (1, -2, 4), (1, 2, WIDEST + 1)])
def test_a_ratio_with_a_part_out_of_range_is_refused(ratio: tuple[int, ...]) -> None:
    with pytest.raises(QuantityError, match="width"):
        solve(load("shufflenet"), 40_000_000, 3, ratio=ratio)


@pytest.mark.parametrize("stem", [0, -1, WIDEST + 1, (24, 0), ()])
def test_a_stem_that_is_out_of_range_or_none_is_refused(stem: int | tuple[int, ...]) -> None:
    with pytest.raises(QuantityError):
        solve(load("shufflenet"), 40_000_000, 3, stem=stem)


@pytest.mark.parametrize("groups", [0, -4, 1025])
def test_groups_that_no_spec_may_have_are_refused(groups: int) -> None:
    with pytest.raises((QuantityError, SpecError), match=f"groups {groups}"):
        solve(load("shufflenet"), 40_000_000, groups)


def test_a_stem_for_a_spec_without_one_is_refused() -> None:
    spec = own_spec(image(8, 8), stage("Stage2", "vgg", (16,)), *head(10))
    with pytest.raises(QuantityError, match="has no stem"):
        solve(spec, 100_000, stem=8)
    assert solve(spec, 100_000).best.network.stem is None


def test_a_spec_without_stages_is_refused() -> None:
    spec = own_spec(image(8, 8), Row("Conv1", "conv", kernel=3, channels=(8,)), *head(10))
    with pytest.raises(QuantityError, match="no stage"):
        solve(spec, 100_000)


def test_a_convention_or_unit_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownConventionError, match="horses"):
        solve(load("shufflenet"), 40_000_000, 3, convention="horses")
    with pytest.raises(SpecError, match="horse"):
        solve(load("shufflenet"), 40_000_000, 3, unit="horse")


@pytest.mark.parametrize("size", [(0, 224), (224, 65_537)])
def test_a_size_out_of_range_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(QuantityError, match="size"):
        solve(load("shufflenet"), 40_000_000, 3, size=size)


def test_more_candidates_never_make_the_answer_worse() -> None:
    """A finer ratio's steps, or more stems, hold all that the coarser choice holds."""
    spec = load("shufflenet")
    misses = [
        ranks(solve(spec, 33_333_333, 4, stem=stems))[0] for stems in ((24,), (20, 24), "auto")
    ]
    assert all(later <= earlier for earlier, later in pairwise(misses))
