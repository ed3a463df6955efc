"""``shufflecost compare``: units in one frame at one budget, as in the paper's Table 4."""

from __future__ import annotations

from typing import Any

from tests.command import (
    EXAMPLES,
    WITNESSES,
    cells,
    confirmed,
    fails,
    needs_torch,
    ran,
    run,
    run_together,
)

UNIT_KEYS = [
    "unit",
    "groups",
    "cardinality",
    "stem",
    "widths",
    "macs",
    "params",
    "residual",
    "pointwise_share",
    "formula",
    "confirmed",
    "witnesses",
]
UNITS = "resnet,resnext,xception"
FORMULAS = {
    "shufflenet": "h*w*(2*c*m/g + 9*m)",
    "resnet": "h*w*(2*c*m + 9*m**2)",
    "resnext": "h*w*(2*c*m + 9*m**2/g)",
    "xception": "h*w*(2*c*m + 9*m)",
}


def compared(*args: str) -> Any:
    return ran("compare", *args, "--no-confirm", "--format", "json").json


def by_name(*args: str) -> dict[str, Any]:
    (budget,) = compared(*args)["budgets"]
    return {item["unit"]: item for item in budget["units"]}


def test_the_units_come_in_the_order_given():
    (budget,) = compared("--units", UNITS)["budgets"]
    assert [item["unit"] for item in budget["units"]] == UNITS.split(",")
    assert budget["budget"] == 140_000_000


def test_the_json_object_has_its_keys():
    figures = compared("--units", UNITS)
    assert list(figures) == ["schema", "spec", "input", "convention", "budgets"]
    assert figures["schema"] == 1
    assert figures["input"] == {"channels": 3, "height": 224, "width": 224}
    for item in figures["budgets"][0]["units"]:
        assert [key for key in item if key != "pointwise_macs"] == UNIT_KEYS
        for key in ("stem", "macs", "params", "residual"):
            assert type(item[key]) is int
        assert item["confirmed"] is None
        assert item["witnesses"] is None


def test_every_unit_has_the_formula_that_the_paper_gives_it():
    units = by_name("--units", "shufflenet,resnet,resnext,xception")
    assert {name: item["formula"] for name, item in units.items()} == FORMULAS


def test_only_a_unit_that_splits_has_groups_or_a_cardinality():
    units = by_name("--units", "shufflenet,resnet,resnext,xception")
    split = {name: (item["groups"], item["cardinality"]) for name, item in units.items()}
    assert split == {
        "shufflenet": (3, None),
        "resnet": (None, None),
        "resnext": (None, 16),
        "xception": (None, None),
    }


def test_shufflenet_at_140m_is_the_papers_column_of_three_groups():
    (unit,) = by_name("--units", "shufflenet").values()
    assert (unit["widths"], unit["macs"]) == ([240, 480, 960], 136_500_672)


def test_the_xception_unit_is_shufflenets_with_one_group():
    units = by_name("--units", "shufflenet,xception", "--groups", "1")
    same = ("stem", "widths", "macs", "params", "residual", "pointwise_share")
    assert [units["xception"][key] for key in same] == [units["shufflenet"][key] for key in same]


def test_the_residual_is_the_cost_less_the_budget():
    for item in by_name("--units", UNITS).values():
        assert item["residual"] == item["macs"] - 140_000_000


def test_the_share_is_that_of_the_1x1_convolutions_to_four_digits():
    for item in by_name("--units", UNITS).values():
        assert abs(item["pointwise_share"] - item["pointwise_macs"] / item["macs"]) <= 0.00005
    # Sec. 3.2: in ResNeXt pointwise convolutions occupy most of the multiply-adds
    assert by_name("--units", UNITS)["resnext"]["pointwise_share"] > 0.8


def test_a_unit_costs_what_its_own_network_costs():
    unit = by_name("--units", UNITS)["resnext"]
    widths = ",".join(map(str, unit["widths"]))
    alone = ran("cost", "shufflenet", "--unit", "resnext", "--widths", widths, "--format", "json")
    assert (alone.json["macs"], alone.json["params"]) == (unit["macs"], unit["params"])


def test_several_budgets_come_in_their_order_each_with_all_units():
    figures = compared("--units", "resnet,xception", "--budget", "140M", "--budget", "38M")
    assert [item["budget"] for item in figures["budgets"]] == [140_000_000, 38_000_000]
    for item in figures["budgets"]:
        assert [unit["unit"] for unit in item["units"]] == ["resnet", "xception"]
        for unit in item["units"]:
            assert unit["residual"] == unit["macs"] - item["budget"]


def test_the_stem_is_kept_where_it_is_given():
    units = by_name("--units", UNITS, "--budget", "38M", "--stem", "12")
    assert {item["stem"] for item in units.values()} == {12}


def test_a_miss_above_two_percent_is_told_and_only_such_a_miss():
    outcome = ran("compare", "--units", UNITS, "--no-confirm", "--format", "json")
    units = by_name("--units", UNITS)
    missed = [name for name, item in units.items() if abs(item["residual"]) * 50 > 140_000_000]
    assert 0 < len(missed) < len(units)
    assert [line.partition(" ")[0] for line in outcome.err.splitlines()] == missed
    assert all("--stem auto" in line for line in outcome.err.splitlines())


def test_what_fits_is_shown_beside_what_does_not():
    outcome = run(
        *("compare", "--units", "shufflenet,resnet", "--groups", "8", "--stem", "12"),
        *("--budget", "40M", "--no-confirm", "--format", "csv"),
    )
    assert outcome.code == 1
    assert [line.split(",")[1] for line in outcome.out.splitlines()] == ["Unit", "resnet"]
    assert "unit shufflenet, stem 12: no network of the space is legal" in outcome.err


def test_where_nothing_fits_the_rule_is_named_and_nothing_is_shown():
    outcome = run(
        *("compare", "--units", "shufflenet", "--groups", "8", "--stem", "12"),
        *("--budget", "40M", "--no-confirm"),
    )
    fails(outcome, 1, "g=8", "stem 12", "39,701,760")


def test_a_unit_of_ones_own_is_compared_where_it_is_allowed():
    own = "own_units:inverted"
    outcome = run(
        *("compare", "--units", f"resnet,{own}", "--units-from", "own_units", "--budget", "300M"),
        *("--no-confirm", "--format", "json"),
        cwd=EXAMPLES,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    (budget,) = outcome.json["budgets"]
    (found,) = [item for item in budget["units"] if item["unit"] == own]
    # 1x1 to 6c, 3x3 depthwise, 1x1 back: 6c*c + 9*6c + 6c*c at each position
    h, w, c = 7, 5, 32
    value = eval(found["formula"], {"h": h, "w": w, "c": c})
    assert value == h * w * (6 * c * c + 9 * 6 * c + 6 * c * c)


@needs_torch
def test_units_are_confirmed_where_torch_is_installed():
    (budget,) = confirmed()["compare"].json["budgets"]
    assert [unit["confirmed"] for unit in budget["units"]] == [True] * 5
    for unit in budget["units"]:
        whole = unit["macs"] + unit["widths"][-1] * 1000
        assert list(unit["witnesses"].items()) == [(name, whole) for name in WITNESSES]


@needs_torch
def test_the_table_has_a_column_of_what_is_confirmed():
    shown = [cells(line) for line in confirmed()["compare table"].out.splitlines() if line]
    (header,) = [line for line in shown if "Confirmed" in line]
    (resnet,) = [line for line in shown if line[1:2] == ["resnet"]]
    assert (header[-1], resnet[-1]) == ("Confirmed", "yes")


def test_without_torch_units_are_not_confirmed_and_one_line_says_so():
    args = ("compare", "--units", "xception", "--budget", "142M", "--format", "json")
    outcome = run(*args, torch=False)
    assert outcome.json == ran(*args, "--no-confirm").json
    (line,) = outcome.err.splitlines()
    assert "not confirmed" in line


def test_without_torch_confirm_is_refused_in_one_line():
    outcome = run("compare", "--confirm", torch=False)
    fails(outcome, 2, "--confirm", "shufflecost[torch]")


def test_the_default_is_every_unit_of_a_stage_at_140m():
    first, second = run_together(
        ("compare", "--no-confirm", "--format", "json"),
        (
            *("compare", "--units", "shufflenet,resnet,resnext,xception,vgg"),
            *("--budget", "140M", "--no-confirm", "--format", "json"),
        ),
    )
    assert first == second
    assert first.code == 0
