"""``shufflecost table``: Table 1 of the paper, and every scale of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.command import (
    EXAMPLES,
    WITNESSES,
    Outcome,
    cells,
    confirmed,
    fails,
    needs_torch,
    ran,
    run,
)

GROUPS = [1, 2, 3, 4, 8]
WIDTHS = [(144, 288, 576), (200, 400, 800), (240, 480, 960), (272, 544, 1088), (384, 768, 1536)]
MACS = [142_502_976, 140_036_512, 136_500_672, 133_251_776, 136_829_952]
WITH_FC = [143_078_976, 140_836_512, 137_460_672, 134_339_776, 138_365_952]
PARAMS = [1_531_936, 1_733_848, 1_865_728, 1_968_344, 2_434_768]
ROW_KEYS = ["layer", "unit", "output", "ksize", "stride", "repeat", "channels"]
COLUMN_KEYS = [
    "groups",
    "stem",
    "widths",
    "macs",
    "params",
    "peak_activation_bytes",
    "confirmed",
    "witnesses",
    "rounded",
]


def figures(*args: str) -> Any:
    return ran("table", *args, "--format", "json").json


def column(figures: Any, key: str) -> list[Any]:
    return [item[key] for item in figures["columns"]]


def row(outcome: Outcome, name: str) -> list[str]:
    (found,) = [cells(line) for line in outcome.out.splitlines() if line.strip().startswith(name)]
    return found[1:]


def test_the_five_costs_are_the_papers_to_the_last_multiply_add():
    assert column(figures("--scale", "1"), "macs") == MACS


def test_the_five_complexities_are_printed_as_the_paper_prints_them():
    table = ran("table", "--scale", "1")
    assert row(table, "Complexity") == ["143M", "140M", "137M", "133M", "137M"]
    assert row(table, "Multiply-adds [MAC]") == [f"{macs:,}" for macs in MACS]
    assert row(table, "Parameters") == [f"{params:,}" for params in PARAMS]


def test_scale_1_is_what_no_scale_gives():
    assert figures() == figures("--scale", "1")


def test_the_classifier_counts_under_the_convention_macs():
    with_fc = figures("--convention", "macs")
    assert column(with_fc, "macs") == WITH_FC
    fc = [widths[-1] * 1000 for widths in WIDTHS]
    assert [a - b for a, b in zip(WITH_FC, MACS, strict=True)] == fc
    assert column(with_fc, "params") == PARAMS


def test_torch_counts_two_operations_for_each_multiply_add():
    shown = ran("table", "--convention", "torch")
    assert row(shown, "Operations [FLOP]") == [f"{2 * macs:,}" for macs in WITH_FC]
    assert "Multiply-adds [MAC]" not in shown.out


def test_the_columns_are_those_of_the_paper():
    table = figures()
    assert column(table, "groups") == GROUPS
    assert [tuple(widths) for widths in column(table, "widths")] == WIDTHS
    assert column(table, "stem") == [24] * 5
    assert column(table, "params") == PARAMS
    assert column(table, "rounded") == [[]] * 5


def test_the_json_object_has_its_keys_in_their_order():
    table = figures()
    assert list(table) == ["schema", "spec", "scale", "input", "convention", "columns", "rows"]
    assert table["schema"] == 1
    assert table["spec"] == "shufflenet"
    assert table["scale"] == 1
    assert table["input"] == {"channels": 3, "height": 224, "width": 224}
    assert table["convention"] == "shufflenet-paper"
    assert [list(item) for item in table["columns"]] == [COLUMN_KEYS] * 5
    assert [list(item) for item in table["rows"]] == [ROW_KEYS] * 11


def test_the_figures_of_the_json_object_are_whole_numbers():
    for item in figures()["columns"]:
        for key in ("groups", "stem", "macs", "params", "peak_activation_bytes"):
            assert type(item[key]) is int
        assert [type(width) for width in item["widths"]] == [int] * 3


def test_the_rows_are_those_of_the_paper():
    rows = figures()["rows"]
    stages = ["Stage2", "Stage2", "Stage3", "Stage3", "Stage4", "Stage4"]
    names = ["Image", "Conv1", "MaxPool", *stages, "GlobalPool", "FC"]
    assert [row["layer"] for row in rows] == names
    assert [row["output"] for row in rows[:-1]] == [
        [side, side] for side in (224, 112, 56, 28, 28, 14, 14, 7, 7, 1)
    ]
    assert [row["repeat"] for row in rows[3:9]] == [1, 3, 1, 7, 1, 3]
    assert [row["stride"] for row in rows[3:9]] == [2, 1, 2, 1, 2, 1]
    assert rows[-1]["channels"] == [1000] * 5
    for stage, at in enumerate((3, 5, 7)):
        assert rows[at]["channels"] == [widths[stage] for widths in WIDTHS]


def test_the_peak_is_a_layer_of_the_stem_with_its_input_and_its_output():
    # the batch norm behind Conv1: 24 channels of 112x112 in, as many out, four bytes each
    assert column(figures(), "peak_activation_bytes")[:3] == [4 * 2 * 24 * 112 * 112] * 3


def test_nothing_is_confirmed_unless_asked_for():
    assert column(figures(), "confirmed") == [None] * 5
    assert column(figures(), "witnesses") == [None] * 5
    assert "Confirmed" not in ran("table").out


@needs_torch
def test_every_column_of_table_1_is_confirmed_to_the_last_multiply_add():
    outcome = run("table", "--confirm", "--format", "json")
    assert column(outcome.json, "confirmed") == [True] * 5
    assert column(outcome.json, "macs") == MACS
    assert column(outcome.json, "witnesses") == [
        dict.fromkeys(WITNESSES, whole) for whole in WITH_FC
    ]
    assert outcome.err == ""


@needs_torch
def test_the_table_has_a_row_of_what_is_confirmed():
    assert row(confirmed()["table"], "Confirmed") == ["yes"]


def test_without_torch_the_table_is_the_same():
    assert run("table", "--format", "json", torch=False) == ran("table", "--format", "json")


def test_without_torch_confirm_is_refused_in_one_line():
    fails(run("table", "--confirm", torch=False), 2, "--confirm", "shufflecost[torch]")


def test_at_half_the_width_the_footnotes_say_what_is_rounded_and_why():
    notes = ran("table", "--scale", "0.5").out.splitlines()
    assert "g = 4: Stage2 136 -> 144 (width 136 is not a multiple of 4*g = 16)" in notes
    (stem,) = [line for line in notes if line.startswith("g = 8: Conv1 12 -> 16")]
    assert "is not a multiple of g = 8" in stem


def test_at_half_the_width_the_figures_say_what_is_rounded_and_why():
    by_groups = {item["groups"]: item for item in figures("--scale", "0.5")["columns"]}
    (stage,) = by_groups[4]["rounded"]
    assert (stage["layer"], Decimal(stage["wanted"]), stage["used"]) == ("Stage2", 136, 144)
    assert "width 136 is not a multiple of 4*g = 16" in stage["rule"]
    (stem,) = by_groups[8]["rounded"]
    assert (stem["layer"], Decimal(stem["wanted"]), stem["used"]) == ("Conv1", 12, 16)
    assert by_groups[4]["widths"] == [144, 288, 576]
    assert by_groups[8]["stem"] == 16
    assert by_groups[8]["macs"] == 39_701_760
    assert by_groups[1]["rounded"] == by_groups[3]["rounded"] == []


def test_at_a_quarter_a_note_gives_the_stem_of_the_papers_13m():
    (note,) = [
        line for line in ran("table", "--scale", "0.25").out.splitlines() if "--stem" in line
    ]
    assert "the scaled stem is 6 (10.9M at g = 1)" in note
    assert "--stem 12 gives the paper's 13M (13.0M at g = 1)" in note


def test_with_the_stem_of_the_note_the_quarter_is_the_papers_13m():
    shown = ran("table", "--scale", "0.25", "--stem", "12", "--groups", "1")
    assert row(shown, "Complexity") == ["13M"]
    assert row(shown, "Conv1") == ["112x112", "3x3", "2", "1", "12"]
    assert "the paper's 13M" not in shown.out


def test_a_scale_may_be_written_as_the_paper_writes_it():
    assert figures("--scale", "0.5x") == figures("--scale", "0.5")


def test_groups_choose_the_columns_in_the_order_given():
    chosen = figures("--groups", "8,1")
    assert column(chosen, "groups") == [8, 1]
    assert column(chosen, "macs") == [MACS[4], MACS[0]]


def test_height_comes_before_width():
    wide = figures("--size", "480x640", "--groups", "3")
    assert wide["input"] == {"channels": 3, "height": 480, "width": 640}
    assert [row["output"] for row in wide["rows"][1:3]] == [[240, 320], [120, 160]]


def test_the_cost_of_the_convolutions_follows_the_area():
    # 448 halves to whole sizes wherever 224 does, so every map has four times the positions
    assert column(figures("--size", "448"), "macs") == [4 * macs for macs in MACS]


@pytest.mark.parametrize(("spec", "fewer"), [("arch2", 2), ("noshuffle", 0)])
def test_another_spec_gives_its_own_table(spec: str, fewer: int):
    other = figures("--spec", spec)
    repeats = [row["repeat"] for row in other["rows"][3:9]]
    assert repeats == [1, 3, 1, 7 - fewer, 1, 3]
    less = [b < a for a, b in zip(MACS, column(other, "macs"), strict=True)]
    assert less == [fewer > 0] * 5


def test_a_spec_of_ones_own_gives_its_own_table():
    own = figures("--spec", str(EXAMPLES / "tiny.toml"))
    (only,) = own["columns"]
    assert (own["spec"], only["groups"], only["stem"]) == ("tiny", 1, 16)
    assert only["widths"] == [64, 128]
    # three units of stage 2 at 24x24, one of stage 3 at 12x12, each as the paper's figures draw it
    stem = 48 * 48 * 16 * 3 * 9
    first = 48 * 48 * 16 * 16 + 24 * 24 * (9 * 16 + 16 * 48)
    other = 24 * 24 * (64 * 16 + 9 * 16 + 16 * 64)
    last = 24 * 24 * 64 * 32 + 12 * 12 * (9 * 32 * 32 + 32 * 128 + 64 * 128)
    assert only["macs"] == stem + first + 2 * other + last


def test_a_spec_with_a_unit_of_ones_own_runs_where_it_is_allowed(tmp_path):
    text = (EXAMPLES / "tiny.toml").read_text()
    own = text.replace('unit = "resnet", ratio = "1:4"', 'unit = "own_units:inverted"')
    assert own != text
    (tmp_path / "own.toml").write_text(own)
    (tmp_path / "own_units.py").write_text((EXAMPLES / "own_units.py").read_text())
    allowed = run(
        "table", "--spec", "own.toml", "--units-from", "own_units", "--format", "json", cwd=tmp_path
    )
    wide = 6 * 64
    last = 24 * 24 * 64 * wide + 12 * 12 * (9 * wide + wide * 128)
    bundled = 24 * 24 * 64 * 32 + 12 * 12 * (9 * 32 * 32 + 32 * 128 + 64 * 128)
    before = figures("--spec", str(EXAMPLES / "tiny.toml"))["columns"][0]["macs"]
    assert allowed.json["columns"][0]["macs"] == before - bundled + last


def test_a_stem_that_no_width_is_legal_with_is_told_from_a_bad_one():
    fails(run("table", "--scale", "0.5", "--groups", "8", "--stem", "12"), 1, "g=8", "12", "Stage2")
    fails(run("table", "--groups", "8", "--stem", "12"), 2, "g=8", "Stage2", "372")
