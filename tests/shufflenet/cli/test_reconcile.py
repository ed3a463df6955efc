"""``shufflecost reconcile``: why two conventions differ, to the last unit."""

from __future__ import annotations

import csv
import io
from functools import cache
from typing import Any

import pytest

from tests.command import EXAMPLES, Outcome, fails, needs_torch, ran, run, run_together

KEYS = ["schema", "target", "source", "inputs", "execution", "backward", "conventions"]
KEYS += ["difference", "lines", "notes"]
LINE = ["kind", "operators", "layers", "calls", "first", "second", "difference", "why", "largest"]
OWN = str(EXAMPLES / "my-convention.toml")


def reconcile(*args: str) -> Any:
    return ran("reconcile", *args, "--format", "json").json


def test_the_json_object_has_its_keys_in_their_order():
    figures = reconcile("shufflenet", "shufflenet-paper", "torch")
    assert list(figures) == KEYS
    assert [list(line) for line in figures["lines"]] == [LINE] * len(figures["lines"])
    assert all(line["why"] for line in figures["lines"])


@pytest.mark.parametrize("second", ["macs", "torch", "fvcore", OWN])
def test_the_lines_sum_to_the_totals_and_these_are_what_count_says(second: str):
    figures = reconcile("shufflenet", "shufflenet-paper", second)
    for name, side in zip(("first", "second"), figures["conventions"], strict=True):
        assert sum(line[name] for line in figures["lines"]) == side["total"]
    counted = ran("count", "shufflenet", "--convention", second, "--format", "json").json
    assert figures["conventions"][1]["total"] == counted["macs"]
    first, other = (side["total"] for side in figures["conventions"])
    assert figures["difference"] == other - first


def test_the_paper_leaves_out_the_last_layer_and_nothing_else():
    figures = reconcile("shufflenet", "shufflenet-paper", "macs")
    (line,) = [line for line in figures["lines"] if line["difference"]]
    assert (line["kind"], line["difference"]) == ("linear", 960 * 1000)
    assert [share["path"] for share in line["largest"]] == ["fc.linear"]


def test_the_table_shows_the_layers_that_differ_most_and_as_many_as_asked():
    def listed(*more: str) -> list[dict[str, str]]:
        command = ("reconcile", "shufflenet", "shufflenet-paper", "torch", *more)
        return list(csv.DictReader(io.StringIO(ran(*command, "--format", "csv").out)))

    none, some = listed("--largest", "0"), listed("--largest", "2")
    assert [row for row in none if not row["Kind"]] == []
    assert len([row for row in some if not row["Kind"]]) == 3
    assert none[-1] == some[-1]
    assert none[-1]["Kind"] == "Total"


def test_a_convention_and_itself_differ_in_nothing():
    figures = reconcile("shufflenet", "macs", "macs")
    assert figures["difference"] == 0


@pytest.mark.parametrize(
    ("args", "quoted"),
    [
        (("nope", "macs", "torch"), ("'nope'",)),
        (("shufflenet", "macs", "nope"), ("'nope'", "fvcore")),
        (("shufflenet", "absent.toml", "macs"), ("absent.toml",)),
        (("shufflenet", "macs"), ("CONVENTION",)),
        (("shufflenet", "macs", "torch", "--largest", "-1"), ("--largest",)),
    ],
)
def test_bad_input_is_one_line_that_quotes_it(args: tuple[str, ...], quoted: tuple[str, ...]):
    fails(run("reconcile", *args), 2, *quoted)


@cache
def of_torchvision() -> list[Outcome]:
    model = ("reconcile", "torchvision:resnet18", "--input", "1x3x64x64")
    return run_together((*model, "fvcore", "thop", "--format", "json"), (*model, "fvcore", "thop"))


@needs_torch
def test_a_module_is_reconciled_by_what_ran():
    pytest.importorskip("torchvision")
    figures, table = of_torchvision()[0].json, of_torchvision()[1].out
    norms = [line for line in figures["lines"] if line["kind"] == "batch_norm"]
    assert [line["calls"] for line in norms] == [20]
    assert "fvcore" in norms[0]["why"]
    assert f"{figures['difference']:+,}" in table
