"""Pictures: what they show, how it is labelled, and that a file is written whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from command import fails, python, run, run_together
from test_paper import by_hand

from flopcount.conventions import convention
from shufflenet import load, network
from shufflenet.auditing import audit
from shufflenet.claim_files import load_claims
from shufflenet.figures import priced
from shufflenet.plot_points import ALONE, ErrorPoint, Part, WidthPoint, error_points, parts
from shufflenet.plots import COLOURS, cost_plot, drawn, error_plot, width_plot

pytest.importorskip("matplotlib")

SHEETS = load_claims()
POINTS = error_points(SHEETS, audit(SHEETS))
PAPER = convention("shufflenet-paper")
SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}
each_form = pytest.mark.parametrize("form", SIGNATURES)


def shown(figure: Any) -> Any:
    (axes,) = figure.axes
    return axes


def markers(axes: Any) -> Iterator[tuple[float, float]]:
    for line in axes.lines:
        yield from zip(line.get_xdata(), line.get_ydata(), strict=True)


# --- Error against cost


def test_every_error_of_tables_2_to_6_is_a_point_once():
    errors = {
        (claim.printed, claim.page)
        for sheet in SHEETS
        for claim in sheet.claims
        if claim.says == "error" and claim.page in "23456"
    }
    assert {str(point.error) for point in POINTS} == {printed for printed, _ in errors}
    assert len(set(POINTS)) == len(POINTS)


def test_the_families_are_those_of_the_paper():
    families = {point.family for point in POINTS}
    assert families == {
        *("ShuffleNet", "ShuffleNet, arch2", "ShuffleNet, shallow", "without shuffle"),
        *("VGG-like", "ResNet", "ResNeXt", "Xception-like", "MobileNet", ALONE),
    }
    alone = {point.label for point in POINTS if point.family == ALONE}
    assert alone == {"VGG-16", "PVANET (our impl.)", "AlexNet", "SqueezeNet"}


@pytest.mark.parametrize(
    ("family", "error", "macs"),
    [
        ("ShuffleNet", "34.1", by_hand(3, (240, 480, 960))),
        ("without shuffle", "36.4", by_hand(3, (240, 480, 960))),
        ("ShuffleNet", "29.1", by_hand(3, (480, 960, 1920), 48) + 1920 * 1000),
        ("Xception-like", "46.1", by_hand(1, (72, 144, 288), 12)),
    ],
)
def test_a_point_has_the_exact_cost_of_its_network(family: str, error: str, macs: int):
    found = [p for p in POINTS if (p.family, p.error) == (family, Decimal(error))]
    assert macs in {point.macs for point in found}
    assert not any(point.printed for point in found)


def test_a_network_that_is_not_the_papers_stands_at_the_printed_cost():
    (pvanet,) = [point for point in POINTS if point.label.startswith("PVANET")]
    assert (pvanet.macs, pvanet.printed) == (557_000_000, True)


def test_the_errors_are_drawn_against_the_costs():
    axes = shown(error_plot(POINTS))
    drawn_points = sorted(markers(axes))
    assert drawn_points == sorted((p.macs / 1e6, float(p.error)) for p in POINTS)
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "Multiply-adds [$10^6$ MAC]"
    assert axes.get_ylabel() == "Top-1 error, as reported [%]"


def test_every_family_of_the_errors_has_a_look_of_its_own_and_a_name():
    axes = shown(error_plot(POINTS))
    looks = {(line.get_color(), line.get_marker(), line.get_fillstyle()) for line in axes.lines}
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(looks) == len(names) == len({point.family for point in POINTS})
    assert {line.get_color() for line in axes.lines} <= set(COLOURS)
    # not by colour alone: where two have one marker, they differ in more
    assert {text.get_text() for text in axes.texts} == {
        point.label for point in POINTS if point.family == ALONE
    }


def boxes(figure: Any) -> list[Any]:
    """Where every text of a drawn figure stands, in pixels; texts that are empty left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = shown(figure)
    renderer = canvas.get_renderer()
    texts = [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels(), axes.title]
    texts += [axes.xaxis.label, axes.yaxis.label]
    for legend in [axes.get_legend(), *figure.legends]:
        texts += legend.get_texts() if legend else []
    seen = [t for t in texts if t.get_text() and t.get_visible()]
    left, right = sorted(axes.get_xlim())
    low, high = sorted(axes.get_ylim())
    ticks = {*axes.get_xticklabels(), *axes.get_yticklabels()}
    inside = [
        text
        for text in seen
        if text not in ticks
        or (text in axes.get_xticklabels() and left <= text.get_position()[0] <= right)
        or (text in axes.get_yticklabels() and low <= text.get_position()[1] <= high)
    ]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in inside]


def pictures() -> dict[str, Any]:
    net = priced(network(load("shufflenet"), 3), PAPER)
    google = priced(network(load("googlenet")), convention("macs"))
    points = [WidthPoint(g, 24, (c, 2 * c, 4 * c), 0) for g, c in ((1, 144), (3, 240), (8, 384))]
    close = [WidthPoint(1, 24, (100, 101, 102), 0), WidthPoint(2, 24, (110, 111, 400), 0)]
    return {
        "errors": error_plot(POINTS),
        "cost": cost_plot(parts(net), "ShuffleNet 1x, g = 3", PAPER),
        "cost of many rows": cost_plot(parts(google), "GoogLeNet", convention("macs")),
        "widths": width_plot(points, "Widths", ("Stage2", "Stage3", "Stage4")),
        "widths that are close": width_plot(close, "Widths", ("Stage2", "Stage3", "Stage4")),
    }


@pytest.mark.parametrize("name", pictures())
def test_no_two_labels_overlap_and_none_is_cut_off(name: str):
    figure = pictures()[name]
    found = boxes(figure)
    assert len(found) > 8
    met = [
        (one, other)
        for (one, a), (other, b) in combinations(found, 2)
        if a.overlaps(b) and one != other
    ]
    assert met == []
    width, height = figure.get_size_inches() * figure.dpi
    for text, box in found:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text


def test_the_labels_of_two_models_at_one_place_stand_apart_and_a_third_is_found_to_overlap():
    crowded = [
        ErrorPoint(ALONE, "one label", 10**8, Decimal(40)),
        ErrorPoint(ALONE, "other label", 10**8, Decimal("40.1")),
    ]
    figure = error_plot(crowded)
    one, other = (box for text, box in boxes(figure) if text.endswith("label"))
    assert not one.overlaps(other)
    shown(figure).annotate(
        "third label", (100, 40), xytext=(6, 7), textcoords="offset points", fontsize=8
    )
    third = next(box for text, box in boxes(figure) if text == "third label")
    assert third.overlaps(one)


# --- Cost by row and kind


def test_the_parts_of_a_network_sum_to_its_cost():
    for spec, groups in (("shufflenet", 3), ("vgg16", 1), ("googlenet", 1)):
        for name in ("shufflenet-paper", "macs", "fvcore"):
            item = priced(network(load(spec), groups), convention(name))
            assert sum(part.cost for part in parts(item)) == item.cost


def test_the_kinds_of_a_shufflenet_are_told_apart():
    found = {(p.row, p.kind): p.cost for p in parts(priced(network(load("shufflenet"), 3), PAPER))}
    m, c = 60, 240
    assert found["Conv1", "3x3 convolution"] == 112 * 112 * 24 * 3 * 9
    assert found["Stage2, unit 1", "1x1 convolution"] == 56 * 56 * 24 * m
    assert found["Stage2, unit 1", "1x1 group convolution"] == 28 * 28 * m * (c - 24) // 3
    assert found["Stage2, unit 1", "3x3 depthwise"] == 28 * 28 * m * 9
    assert found["Stage2, units 2-4", "1x1 group convolution"] == 3 * 28 * 28 * 2 * m * c // 3


def test_the_bars_of_a_row_stand_one_behind_the_other():
    found = parts(priced(network(load("shufflenet"), 3), PAPER))
    axes = shown(cost_plot(found, "ShuffleNet", PAPER))
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == list(dict.fromkeys(part.row for part in found))
    ends = [0.0] * len(rows)
    for bars in axes.containers:
        for place, bar in enumerate(bars):
            assert bar.get_x() == pytest.approx(ends[place])
            ends[place] += bar.get_width()
    for row, end in zip(rows, ends, strict=True):
        assert end == pytest.approx(sum(p.cost for p in found if p.row == row) / 1e6)
    assert axes.get_xlabel() == "Multiply-adds [$10^6$ MAC]"
    torch = cost_plot(found, "ShuffleNet", convention("torch"))
    assert shown(torch).get_xlabel() == "Operations [$10^6$ FLOP]"


def test_every_kind_has_a_colour_of_its_own_and_a_name():
    found = parts(priced(network(load("shufflenet"), 3), convention("fvcore")))
    figure = cost_plot(found, "ShuffleNet", convention("fvcore"))
    kinds = list(dict.fromkeys(part.kind for part in found))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == kinds
    looks = {(bars[0].get_facecolor(), bars[0].get_hatch()) for bars in shown(figure).containers}
    assert len(looks) == len(kinds) > 4
    assert shown(figure).get_xlim()[1] > max(
        bar.get_x() + bar.get_width() for bars in shown(figure).containers for bar in bars
    )


def test_a_kind_has_the_same_colour_in_every_picture():
    def colours(spec: str) -> dict[str, Any]:
        item = priced(network(load(spec)), convention("macs"))
        axes = shown(cost_plot(parts(item), spec, item.convention))
        return {bars.get_label(): bars[0].get_facecolor() for bars in axes.containers}

    one, other = colours("mobilenet_v1"), colours("googlenet")
    both = one.keys() & other.keys()
    assert both >= {"1x1 convolution", "3x3 convolution", "FC"}
    assert all(one[kind] == other[kind] for kind in both)


def test_more_kinds_than_colours_still_look_different():
    many = [Part("Row", f"kind {number}", 10**6) for number in range(20)]
    axes = shown(cost_plot(many, "Many", PAPER))
    looks = {(bars[0].get_facecolor(), bars[0].get_hatch()) for bars in axes.containers}
    assert len(looks) == 20


def test_a_network_that_costs_nothing_is_drawn_too():
    axes = shown(cost_plot([], "Nothing", PAPER))
    assert (len(axes.containers), axes.get_xlim()) == (0, (0, 1))


# --- Widths against groups


def test_the_widths_are_drawn_against_the_groups():
    points = [WidthPoint(g, 24, (c, 2 * c, 4 * c), 0) for g, c in ((1, 144), (3, 240), (8, 384))]
    axes = shown(width_plot(points, "Widths", ("Stage2", "Stage3", "Stage4")))
    assert [list(line.get_xdata()) for line in axes.lines] == [[1, 3, 8]] * 3
    assert [list(line.get_ydata()) for line in axes.lines] == [
        [144, 240, 384],
        [288, 480, 768],
        [576, 960, 1536],
    ]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Groups g", "Output channels")
    assert [text.get_text() for text in axes.texts] == ["Stage2", "Stage3", "Stage4"]
    assert list(axes.get_xticks()) == [1, 3, 8]


# --- Files


@each_form
def test_the_same_figure_gives_the_same_bytes(form: str):
    one, other = (drawn(error_plot(POINTS), form) for _ in range(2))
    assert one.startswith(SIGNATURES[form])
    assert one == other


def test_the_letters_of_an_svg_stay_letters():
    text = drawn(error_plot(POINTS), "svg").decode()
    assert ">SqueezeNet</text>" in text


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
    assert [line for line in outcome.err.splitlines() if "no width is legal" in line]
    assert (tmp_path / "kept.png").read_bytes() == b"an earlier picture"


def test_groups_without_a_legal_width_are_left_out_and_told(tmp_path: Path):
    outcome = run("plot", "widths", "--groups", "1,3,16", "-o", "w.svg", cwd=tmp_path)
    assert outcome.code == 1
    assert re.fullmatch(r"shufflecost: shufflenet, g=16: no width is legal.*\n", outcome.err)
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
