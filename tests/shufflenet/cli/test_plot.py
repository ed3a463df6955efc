"""`plot`: titles, options, and that a picture is written whole or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.command import fails, python, run, run_together

pytest.importorskip("matplotlib")

SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}


# --- Titles


def test_a_title_has_a_scale_only_where_the_spec_prints_others_or_it_is_not_1(tmp_path: Path):
    asked = {
        ">VGG-16: ": ("vgg16",),
        ">VGG-16 0.5x: ": ("vgg16", "--scale", "0.5"),
        ">ShuffleNet 1x, g = 3: 137M</text>": ("shufflenet",),
    }
    commands = [("plot", "cost", *a, "-o", f"{i}.svg") for i, a in enumerate(asked.values())]
    assert {outcome.code for outcome in run_together(*commands, cwd=tmp_path)} == {0}
    for place, title in enumerate(asked):
        assert title in (tmp_path / f"{place}.svg").read_text()


def test_the_widths_follow_the_cardinality_and_the_title_says_what_counts(tmp_path: Path):
    common = ("plot", "widths", "--unit", "resnext", "--groups", "1", "--convention", "torch")
    outcomes = run_together(
        *((*common, "--cardinality", paths, "-o", f"{paths}.svg") for paths in ("1", "16")),
        cwd=tmp_path,
    )
    assert {outcome.code for outcome in outcomes} == {0}
    one, other = ((tmp_path / f"{paths}.svg").read_text() for paths in ("1", "16"))
    assert one != other
    assert "widths nearest to 140M FLOP (torch)</text>" in one


# --- Files


def test_every_picture_is_written_in_every_format(tmp_path: Path):
    kinds = {
        "errors": ("errors",),
        "cost": ("cost", "mobilenet_v1", "--scale", "0.5", "--convention", "macs"),
        "widths": ("widths", "--budget", "38M", "--stem", "12", "--groups", "1,3"),
    }
    commands = [
        ("plot", *args, "-o", f"{name}.{form}")
        for name, args in kinds.items()
        for form in SIGNATURES
    ]
    outcomes = run_together(*commands, cwd=tmp_path)
    assert set(outcomes) == {(0, "", "")}
    for name in kinds:
        for form, signature in SIGNATURES.items():
            assert (tmp_path / f"{name}.{form}").read_bytes().startswith(signature)
    assert len(os.listdir(tmp_path)) == len(commands)


def test_the_ending_may_be_in_capitals(tmp_path: Path):
    assert run("plot", "cost", "arch2", "-o", "a.PNG", cwd=tmp_path).code == 0
    assert (tmp_path / "a.PNG").read_bytes().startswith(SIGNATURES["png"])


def test_bad_input_is_refused_in_one_line_and_nothing_is_written(tmp_path: Path):
    commands = [
        (("errors", "-o", "errors.gif"), ("errors.gif", ".png, .svg, .pdf")),
        (("errors", "-o", "errors"), ("errors", ".png")),
        (("errors", "-o", ".png"), (".png: an ending without a name",)),
        (("errors", "-o", "./.PDF"), ("an ending without a name", "pdf.pdf")),
        (("errors", "-o", "missing/errors.png"), ("missing/errors.png", "No such file")),
        (("errors",), ("--output",)),
        (("errors", "-o", ""), ("empty",)),
        (("cost", "nope", "-o", "a.png"), ("'nope'",)),
        (("cost", "shufflenet", "--groups", "7", "-o", "a.png"), ("g = 7",)),
        (("widths", "--budget", "40m", "-o", "a.png"), ("'40m'", "milli")),
        (("pie", "-o", "a.png"), ("'pie'",)),
    ]
    outcomes = run_together(*(("plot", *args) for args, _ in commands), cwd=tmp_path)
    for outcome, (_, quotes) in zip(outcomes, commands, strict=True):
        fails(outcome, 2, *quotes)
    assert os.listdir(tmp_path) == []


def test_an_earlier_picture_is_kept_where_the_new_one_cannot_be_drawn(tmp_path: Path):
    (tmp_path / "kept.png").write_bytes(b"an earlier picture")
    outcome = run("plot", "widths", "--groups", "7,16", "-o", "kept.png", cwd=tmp_path)
    assert outcome.code == 1
    assert [line for line in outcome.err.splitlines() if "no network of the space is legal" in line]
    assert (tmp_path / "kept.png").read_bytes() == b"an earlier picture"


def test_groups_without_a_legal_width_are_left_out_and_told(tmp_path: Path):
    outcome = run("plot", "widths", "--groups", "1,3,16", "-o", "w.svg", cwd=tmp_path)
    assert outcome.code == 1
    assert re.fullmatch(
        r"shufflecost: shufflenet, g=16: no network of the space is legal.*\n", outcome.err
    )
    assert (tmp_path / "w.svg").exists()


_HIDDEN = """
import sys
sys.modules["matplotlib"] = None
from shufflenet.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("kind", [("errors",), ("cost", "shufflenet"), ("widths",)])
def test_without_matplotlib_the_extra_is_named(kind: tuple[str, ...], tmp_path: Path):
    outcome = python("-c", _HIDDEN, "plot", *kind, "-o", "a.png", cwd=tmp_path)
    fails(outcome, 2, "matplotlib", "shufflecost[plot]")
    assert os.listdir(tmp_path) == []


def test_without_matplotlib_everything_else_works():
    assert python("-c", _HIDDEN, "paper", "7").code == 0


@pytest.mark.parametrize("kind", ["errors", "cost", "widths"])
def test_every_picture_has_help_with_an_example_and_the_exit_codes(kind: str):
    said = run("plot", kind, "--help").out
    assert f"shufflecost plot {kind}" in said
    assert "Exit codes:" in said
