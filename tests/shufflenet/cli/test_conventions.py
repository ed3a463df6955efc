"""Conventions on the command line: one's own, and those that price one sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopcount.conventions import PartOfSampleError, convention, price
from flopcount.entries import Entry, Shape
from flopcount.tally import Tally
from shufflenet.cost.breakdown import parts
from tests.command import EXAMPLES, fails, needs_torch, ran, run

OWN = """
unit = "macs"
free = ["rest", "linear"]
[prices]
conv.macs = 3
"""


def test_the_cost_of_a_network_is_priced_by_a_file_of_ones_own(tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text(OWN)
    figures = run("cost", "shufflenet", "--convention", str(file), "--format", "json").json
    paper = ran("cost", "shufflenet", "--format", "json").json
    assert figures["convention"] == "mine"
    assert figures["macs"] == 3 * paper["macs"]
    assert [row["macs"] for row in figures["rows"]] == [3 * row["macs"] for row in paper["rows"]]


@needs_torch
def test_a_file_of_ones_own_is_confirmed_as_any_convention_is():
    own = str(EXAMPLES / "my-convention.toml")
    found = run("cost", "shufflenet", "--convention", own, "--confirm", "--format", "json").json
    assert found["confirmed"] is True


def test_a_file_that_is_no_convention_is_told_by_its_name(tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text(OWN.replace(', "linear"', ""))
    # of the linear map it says nothing
    fails(run("cost", "shufflenet", "--convention", str(file)), 2, "mine", "'linear'")
    file.write_text("unit = 3")
    fails(run("cost", "shufflenet", "--convention", str(file)), 2, "mine.toml: 'unit': 3")
    fails(run("cost", "shufflenet", "--convention", "absent.toml"), 2, "absent.toml")


def mapped(path: str) -> Entry:
    """A linear map of two samples; some price its three biases once, which do not divide by two."""
    ends = (Shape(2, 4),), (Shape(2, 3),)
    return Entry(path, "linear", *ends, 2 * 4 * 3, 4 * 3, 3, "linear", "Linear")


def test_a_breakdown_whose_parts_do_not_divide_says_which_and_what_to_do():
    tally = Tally((mapped("one"), mapped("two")), batch=2)
    chosen = convention("torch-pruning")
    assert price(tally, chosen) == 4 * 3 * 2 + 3
    (kind,) = parts(tally, "kind", chosen)
    assert kind.cost == 4 * 3 * 2 + 3
    with pytest.raises(PartOfSampleError) as caught:
        parts(tally, "module", chosen)
    assert str(caught.value) == (
        f"module one: convention torch-pruning prices one sample: {2 * 4 * 3 + 3} for a batch of 2"
        " does not divide; with a batch of 1 every part has a price"
    )
