"""``shufflecost solve-widths``: a budget turned back into a network."""

from __future__ import annotations

from typing import Any

import pytest

from tests.command import EXAMPLES, WITNESSES, confirmed, fails, needs_torch, ran, run, run_together

TINY = str(EXAMPLES / "tiny.toml")
KEYS = ["schema", "spec", "unit", "input", "budget", "convention", "policy", "solutions"]
SOLUTION_KEYS = [
    "groups",
    "stem",
    "widths",
    "macs",
    "params",
    "peak_activation_bytes",
    "residual",
    "candidates",
    "unique",
    "rank",
    "confirmed",
    "witnesses",
]
TABLE_1 = {
    1: [144, 288, 576],
    2: [200, 400, 800],
    3: [240, 480, 960],
    4: [272, 544, 1088],
    8: [384, 768, 1536],
}


def solved(*args: str) -> Any:
    return ran("solve-widths", *args, "--no-confirm", "--format", "json").json


def best(*args: str) -> Any:
    (only,) = solved(*args)["solutions"]
    return only


def test_140m_gives_back_all_fifteen_widths_of_table_1():
    found = solved("--budget", "140M", "--groups", "1,2,3,4,8")["solutions"]
    assert {item["groups"]: item["widths"] for item in found} == TABLE_1
    assert [item["stem"] for item in found] == [24] * 5
    assert [item["unique"] for item in found] == [True] * 5


def test_the_json_object_has_its_keys_in_their_order():
    found = solved("--budget", "40M", "--groups", "8")
    assert [key for key in found if key != "with_stem_auto"] == KEYS
    assert found["schema"] == 1
    assert found["spec"] == "shufflenet"
    assert found["unit"] is None
    assert found["budget"] == 40_000_000
    assert found["convention"] == "shufflenet-paper"
    assert found["policy"] == "nearest"
    for item in found["solutions"] + found["with_stem_auto"]:
        assert set(SOLUTION_KEYS) <= set(item)
        for key in ("groups", "stem", "macs", "params", "residual", "candidates"):
            assert type(item[key]) is int
        assert type(item["unique"]) is bool
        assert item["confirmed"] is None
        assert item["witnesses"] is None


def test_40m_at_8_groups_misses_with_the_spec_s_stem_and_says_what_any_stem_gives():
    found = solved("--budget", "40M", "--groups", "8")
    (given,) = found["solutions"]
    (auto,) = found["with_stem_auto"]
    assert (given["macs"], given["residual"], given["stem"]) == (43_577_856, 3_577_856, 24)
    assert (auto["macs"], auto["residual"], auto["stem"]) == (39_701_760, -298_240, 16)


def test_the_table_shows_both_networks_for_40m_at_8_groups():
    shown = ran("solve-widths", "--budget", "40M", "--groups", "8", "--no-confirm")
    assert shown.code == 0
    assert shown.err == ""
    assert "43,577,856" in shown.out
    assert "+3,577,856" in shown.out
    assert "39,701,760" in shown.out
    assert "stem auto" in shown.out


def test_stem_auto_gives_the_nearest_of_all_stems():
    auto = best("--budget", "40M", "--groups", "8", "--stem", "auto")
    assert (auto["stem"], auto["widths"], auto["macs"]) == (16, [192, 384, 768], 39_701_760)


def test_several_stems_give_the_nearest_of_these():
    assert best("--budget", "40M", "--groups", "8", "--stem", "12,16,24")["stem"] == 16


def test_a_stem_with_which_nothing_is_legal_names_the_rule_and_the_nearest_budget():
    outcome = run(
        "solve-widths", "--budget", "40M", "--groups", "8", "--stem", "12", "--no-confirm"
    )
    line = fails(outcome, 1, "shufflenet, g=8, stem 12", "Stage2", "39,701,760", "stem 16")
    assert "is not a multiple of g = 8" in line


def test_what_can_be_solved_is_shown_beside_what_cannot():
    outcome = run(
        *("solve-widths", "--budget", "36M", "--groups", "3,8", "--stem", "12", "--no-confirm"),
        *("--format", "csv"),
    )
    assert outcome.code == 1
    header = outcome.out.splitlines()[0]
    assert ",g = 3" in header
    assert "g = 8" not in header
    assert "shufflenet, g=8, stem 12: no network of the space is legal" in outcome.err


def test_the_residual_is_the_cost_less_the_budget():
    for item in solved("--budget", "140M", "--groups", "1,2,3,4,8")["solutions"]:
        assert item["residual"] == item["macs"] - 140_000_000


def test_a_solution_costs_what_the_table_says_of_it():
    found = best("--budget", "140M", "--groups", "4")
    (column,) = ran("table", "--groups", "4", "--format", "json").json["columns"]
    for key in ("stem", "widths", "macs", "params", "peak_activation_bytes"):
        assert found[key] == column[key]


def test_at_most_never_costs_more_than_the_budget():
    nearest = best("--budget", "140M", "--groups", "1")
    within = best("--budget", "140M", "--groups", "1", "--policy", "at-most")
    assert within["residual"] <= 0 < nearest["residual"]
    # the widths of the next step are the nearest, so nothing within the budget lies between
    steps = zip(nearest["widths"], within["widths"], strict=True)
    assert [a - b for a, b in steps] == [4, 8, 16]


def test_a_budget_below_every_network_is_refused_with_the_least_cost():
    outcome = run("solve-widths", "--budget", "1", "--policy", "at-most", "--no-confirm")
    line = fails(outcome, 1, "no network has macs at most 1;")
    # 36 channels in Stage2 are the fewest that leave a width to add behind a stem of 24
    least = ran("cost", "shufflenet", "--widths", "36,72,144", "--format", "json").json["macs"]
    assert f"macs at most 1 would have to be {least:,} " in line


def test_top_gives_the_best_so_many_by_their_misses():
    found = solved("--budget", "140M", "--groups", "3", "--top", "4")["solutions"]
    assert [item["rank"] for item in found] == [1, 2, 3, 4]
    misses = [abs(item["residual"]) for item in found]
    assert misses == sorted(misses)
    assert len({tuple(item["widths"]) for item in found}) == 4
    assert found[0] == best("--budget", "140M", "--groups", "3")


def test_the_stages_keep_the_ratio_that_is_given():
    one, two, three = best("--budget", "140M", "--groups", "1", "--ratio", "1:3:5")["widths"]
    assert (two, three) == (3 * one, 5 * one)


def test_every_way_to_write_a_budget_gives_the_same_network():
    written = ("9M", "0.009G", "9_000_000", "9,000,000", "9e6", "9000k", "9 MFLOPs")
    outcomes = run_together(
        *(
            ("solve-widths", "--spec", TINY, "--budget", text, "--no-confirm", "--format", "json")
            for text in written
        )
    )
    assert {outcome.json["budget"] for outcome in outcomes} == {9_000_000}
    assert len(set(outcomes)) == 1


def test_another_unit_has_no_groups_to_keep_but_its_own_rule():
    found = solved("--budget", "38M", "--stem", "12", "--unit", "resnet")
    (only,) = found["solutions"]
    assert found["unit"] == "resnet"
    assert all(width % 4 == 0 for width in only["widths"])


def test_a_spec_of_ones_own_can_be_solved():
    cost = ran("table", "--spec", TINY, "--format", "json").json["columns"][0]["macs"]
    found = best("--spec", TINY, "--budget", str(cost))
    assert (found["widths"], found["residual"]) == ([64, 128], 0)


@needs_torch
def test_solutions_are_confirmed_where_torch_is_installed():
    outcome = confirmed()["solve-widths"]
    found = outcome.json
    assert [item["confirmed"] for item in found["solutions"]] == [True]
    assert [item["confirmed"] for item in found["with_stem_auto"]] == [True]
    for item in found["solutions"] + found["with_stem_auto"]:
        whole = item["macs"] + item["widths"][-1] * 1000
        assert list(item["witnesses"].items()) == [(name, whole) for name in WITNESSES]
    assert outcome.err == ""


def test_without_torch_solutions_are_not_confirmed_and_one_line_says_so():
    args = ("solve-widths", "--spec", TINY, "--budget", "9M", "--format", "json")
    outcome = run(*args, torch=False)
    assert outcome.json == ran(*args, "--no-confirm").json
    (line,) = outcome.err.splitlines()
    assert "not confirmed" in line
    assert "torch" in line


def test_without_torch_confirm_is_refused_in_one_line():
    outcome = run("solve-widths", "--budget", "40M", "--confirm", torch=False)
    fails(outcome, 2, "--confirm", "shufflecost[torch]")


@pytest.mark.parametrize("convention", ["shufflenet-paper", "macs", "torch"])
def test_the_budget_is_in_the_unit_of_the_convention(convention: str):
    args = ("--spec", TINY, "--budget", "30M", "--convention", convention)
    found = solved(*args)
    (only,) = found["solutions"]
    widths = ",".join(map(str, only["widths"]))
    shown = ran(
        *("cost", TINY, "--widths", widths),
        *("--convention", convention, "--format", "json"),
    ).json
    assert found["convention"] == convention
    assert shown["macs"] == only["macs"] == 30_000_000 + only["residual"]
