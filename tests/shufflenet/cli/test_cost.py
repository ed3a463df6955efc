"""``shufflecost cost``: where the cost of one network lies."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from tests.command import EXAMPLES, WITNESSES, cells, confirmed, fails, needs_torch, ran, run

TINY = str(EXAMPLES / "tiny.toml")
KEYS = [
    "schema",
    "spec",
    "unit",
    "scale",
    "input",
    "convention",
    "groups",
    "stem",
    "widths",
    "macs",
    "params",
    "peak_activation_bytes",
    "confirmed",
    "witnesses",
    "rounded",
    "depth",
    "param_bytes",
    "activations",
    "bytes_moved",
    "latency",
    "rows",
    "layers",
]
ROW_KEYS = [
    "layer",
    "unit",
    "output",
    "width",
    "paths",
    "macs",
    "params",
    "activations",
    "bytes_moved",
]


def cost(*args: str) -> Any:
    return ran("cost", *args, "--format", "json").json


def test_the_default_column_is_the_spec_s_own():
    figures = cost("shufflenet")
    assert (figures["groups"], figures["macs"]) == (3, 136_500_672)


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
def test_the_cost_of_a_column_is_table_1s(groups: int):
    table = ran("table", "--format", "json").json["columns"]
    (column,) = [item for item in table if item["groups"] == groups]
    figures = cost("shufflenet", "--groups", str(groups))
    assert {key: figures[key] for key in column} == column


def test_the_json_object_has_its_keys_in_their_order():
    figures = cost("shufflenet")
    assert list(figures) == KEYS
    assert [list(row) for row in figures["rows"]] == [ROW_KEYS] * 10
    for layer in figures["layers"]:
        assert list(layer) == ["path", "kind", "inputs", "outputs", "macs", "params"]
    assert figures["confirmed"] is None
    assert figures["witnesses"] is None
    for key in ("macs", "params", "param_bytes", "activations", "bytes_moved", "depth"):
        assert type(figures[key]) is int


@pytest.mark.parametrize("spec", ["shufflenet", "shallow", TINY])
@pytest.mark.parametrize("convention", ["shufflenet-paper", "macs"])
def test_rows_and_layers_each_add_up_to_the_whole(spec: str, convention: str):
    figures = cost(spec, "--convention", convention)
    for key in ("macs", "params"):
        assert sum(row[key] for row in figures["rows"]) == figures[key]
        assert sum(layer[key] for layer in figures["layers"]) == figures[key]
    for key in ("activations", "bytes_moved"):
        assert sum(row[key] for row in figures["rows"]) == figures[key]


def test_a_parameter_takes_four_bytes():
    figures = cost("shufflenet")
    assert figures["param_bytes"] == 4 * figures["params"]


def test_every_layer_lies_below_a_path_of_exactly_one_row():
    figures = cost("shufflenet")
    paths = [path for row in figures["rows"] for path in row["paths"]]
    for layer in figures["layers"]:
        assert sum(f"{layer['path']}.".startswith(f"{path}.") for path in paths) == 1


def test_shufflenet_has_fifty_layers_with_weights():
    # Sec. 4: the stem, sixteen units of three convolutions, the classifier
    assert cost("shufflenet")["depth"] == 1 + 16 * 3 + 1


def test_the_shares_of_the_rows_add_up_to_all():
    rows = list(csv.DictReader(ran("cost", "shufflenet", "--format", "csv").out.splitlines()))
    shares = [float(row["Share"].removesuffix("%")) for row in rows]
    assert shares[-1] == 100
    assert sum(shares[:-1]) == pytest.approx(100, abs=0.05 * len(rows))


def test_layers_lists_every_layer_by_its_path():
    rows = list(csv.DictReader(ran("cost", TINY, "--layers", "--format", "csv").out.splitlines()))
    figures = cost(TINY)
    listed = [(row["Path"], int(row["Multiply-adds [MAC]"])) for row in rows]
    layers = [(layer["path"], layer["macs"]) for layer in figures["layers"]]
    assert listed == [*layers, ("Total", figures["macs"])]


def test_layers_changes_nothing_in_json():
    assert cost("shufflenet", "--layers") == cost("shufflenet")


def test_stem_and_widths_replace_the_specs():
    figures = cost("arch2", "--groups", "3", "--stem", "12", "--widths", "132,264,528")
    assert (figures["stem"], figures["widths"]) == (12, [132, 264, 528])
    assert [row["width"] for row in figures["rows"][:4]] == [12, 12, 132, 132]


def test_the_stages_need_not_keep_their_ratio():
    assert cost("shufflenet", "--groups", "1", "--widths", "40,44,100")["widths"] == [40, 44, 100]


def test_another_unit_replaces_that_of_every_stage():
    figures = cost("shufflenet", "--unit", "vgg", "--widths", "50,100,200")
    assert figures["unit"] == "vgg"
    stem = 112 * 112 * 24 * 3 * 9
    ins, outs, sides, repeats = (24, 50, 100), (50, 100, 200), (28, 14, 7), (4, 8, 4)
    stages = sum(
        side * side * 9 * (c * d + d * d + (repeat - 1) * 2 * d * d)
        for c, d, side, repeat in zip(ins, outs, sides, repeats, strict=True)
    )
    assert figures["macs"] == stem + stages


def test_the_cardinality_is_that_of_resnext():
    narrow = cost("shufflenet", "--unit", "resnext", "--widths", "128,256,512")
    same = cost("shufflenet", "--unit", "resnext", "--widths", "128,256,512", "--cardinality", "16")
    wide = cost("shufflenet", "--unit", "resnext", "--widths", "128,256,512", "--cardinality", "32")
    assert narrow == same
    assert wide["macs"] < narrow["macs"]


def test_a_rounded_width_is_a_footnote_and_a_figure():
    figures = cost("shufflenet", "--groups", "4", "--scale", "0.5")
    assert [item["used"] for item in figures["rounded"]] == [144]
    shown = ran("cost", "shufflenet", "--groups", "4", "--scale", "0.5").out
    assert "g = 4: Stage2 136 -> 144" in shown


def test_widths_and_a_scale_exclude_each_other():
    outcome = run("cost", "shufflenet", "--widths", "240,480,960", "--scale", "0.5")
    fails(outcome, 2, "--widths", "--scale")


def test_the_table_ends_with_the_whole():
    figures = cost(TINY)
    (total,) = [line for line in ran("cost", TINY).out.splitlines() if "Total" in line]
    whole = [figures[key] for key in ("params", "activations", "bytes_moved")]
    expected = [f"{figures['macs']:,}", "100.0%", *(f"{figure:,}" for figure in whole)]
    assert cells(total) == ["Total", *expected]


@needs_torch
def test_networks_of_every_unit_are_confirmed():
    units = ("shufflenet", "resnet", "resnext", "xception", "vgg")
    names = ["odd size", *(f"cost of {unit}" for unit in units)]
    assert [confirmed()[name].json["confirmed"] for name in names] == [True] * 6


@needs_torch
def test_the_witnesses_are_four_and_each_gives_the_whole_to_the_last_multiply_add():
    figures = confirmed()["odd size"].json
    whole = cost(TINY, "--size", "65x97", "--convention", "macs")["macs"]
    assert list(figures["witnesses"].items()) == [(name, whole) for name in WITNESSES]
    assert [type(figure) for figure in figures["witnesses"].values()] == [int] * 4


@needs_torch
def test_the_witnesses_count_multiply_adds_under_every_convention():
    figures = confirmed()["cost in operations"].json
    assert figures["convention"] == "torch"
    assert figures["witnesses"] == dict.fromkeys(WITNESSES, figures["macs"] // 2)
    assert figures["macs"] % 2 == 0


@needs_torch
def test_the_table_says_that_it_is_confirmed():
    whole = cost(TINY, "--convention", "macs")["macs"]
    said = ", ".join(f"{name} {whole:,}" for name in WITNESSES)
    note = f"confirmed, leaf by leaf: yes ({said} multiply-adds)"
    assert note in confirmed()["cost"].out.splitlines()
    assert "confirmed" not in ran("cost", TINY).out


def test_without_torch_the_cost_is_the_same():
    assert run("cost", TINY, torch=False) == ran("cost", TINY)


def test_without_torch_confirm_is_refused_in_one_line():
    fails(run("cost", TINY, "--confirm", torch=False), 2, "--confirm", "shufflecost[torch]")
