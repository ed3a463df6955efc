"""Pictures: what they show and how it is labelled; `test_cli_plot` has the command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest

from flopcount.conventions import CONVENTIONS, convention
from shufflenet import load, network
from shufflenet.cost.priced import priced
from shufflenet.paper.audit import audit
from shufflenet.paper.claim_files import load_claims
from shufflenet.plots.figures import COLOURS, cost_plot, drawn, error_plot, width_plot
from shufflenet.plots.points import ALONE, ErrorPoint, KindShare, WidthPoint, error_points, parts
from tests.shufflenet.paper.by_hand import by_hand

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


def test_every_error_of_tables_2_to_6_is_a_point():
    errors = {
        claim.printed
        for sheet in SHEETS
        for claim in sheet.claims
        if claim.says == "error" and claim.page in "23456"
    }
    assert {str(point.error) for point in POINTS} == errors


def test_what_several_tables_repeat_is_one_point():
    places = [(point.family, point.macs, point.error) for point in POINTS]
    assert len(set(places)) == len(places)
    repeated = [p for p in POINTS if (p.family, p.error) == ("ShuffleNet", Decimal("34.1"))]
    assert len(repeated) == 1


def test_two_errors_of_one_family_at_one_cost_are_two_points():
    sheet, claim = next(
        (sheet, claim)
        for sheet in SHEETS
        for claim in sheet.claims
        if sheet.page in "23456" and claim.says == "error" and claim.subject
    )
    other = replace(sheet, claims=(replace(claim, printed="99.9"),))
    found = error_points([*SHEETS, other], audit(SHEETS))
    assert len(found) == len(POINTS) + 1
    assert [point.error for point in found if point not in POINTS] == [Decimal("99.9")]


def test_the_families_are_those_of_the_paper():
    families = {point.family for point in POINTS}
    assert families == {
        *("ShuffleNet", "ShuffleNet, arch2", "ShuffleNet, shallow", "without shuffle"),
        *("VGG-like", "ResNet", "ResNeXt", "Xception-like", "MobileNet", ALONE),
    }
    alone = {point.label for point in POINTS if point.family == ALONE}
    assert alone == {"VGG-16", "PVANET (authors' impl.)", "AlexNet", "SqueezeNet"}


@pytest.mark.parametrize(
    ("family", "error", "macs"),
    [
        ("ShuffleNet", "34.1", by_hand(3, (240, 480, 960))),
        ("without shuffle", "36.4", by_hand(3, (240, 480, 960))),
        ("ShuffleNet", "29.1", by_hand(3, (480, 960, 1920), 48)),
        # the stem with which the audit finds the printed 13, and no other
        ("ShuffleNet", "55.6", by_hand(3, (60, 120, 240), 12)),
        ("Xception-like", "46.1", by_hand(1, (72, 144, 288), 12)),
    ],
)
def test_a_point_has_the_exact_cost_of_its_network(family: str, error: str, macs: int):
    found = [p for p in POINTS if (p.family, p.error) == (family, Decimal(error))]
    assert macs in {point.macs for point in found}
    assert not any(point.printed for point in found)


def test_a_network_that_is_not_the_papers_stands_at_the_printed_cost():
    printed = {point.label.partition(" (")[0]: point.macs for point in POINTS if point.printed}
    assert printed == {"PVANET": 557_000_000, "ShuffleNet 0.5x": 40_000_000}


def test_a_nominal_figure_that_nothing_gives_stands_at_the_baseline():
    verdicts = {f.claim.key: f.verdict for f in audit(SHEETS).findings}
    assert verdicts["2/ShuffleNet 1x/Complexity (MFLOPs)/g = 4"] == "nominal"
    (point,) = [p for p in POINTS if p.label == "ShuffleNet 1x, g = 4"]
    # the nearest candidate counts the FC layer; the baseline does not
    assert (point.macs, point.printed) == (by_hand(4, (272, 544, 1088)), False)


def test_the_crowd_at_40_million_is_drawn_again_and_whole():
    (inset,) = shown(error_plot(POINTS)).child_axes
    crowd = {(p.macs / 1e6, float(p.error)) for p in POINTS if 35e6 < p.macs < 44e6}
    assert set(markers(inset)) == crowd
    assert len(crowd) > 15
    assert shown(error_plot(POINTS[:3])).child_axes == []


def test_hollow_markers_are_the_printed_costs_and_the_legend_says_so():
    def explained(points: Any) -> tuple[set[tuple[float, float]], list[str]]:
        figure = error_plot(points)
        hollow = [ln for ln in shown(figure).lines if ln.get_markerfacecolor() == "none"]
        (legend,) = figure.legends
        found = {place for line in hollow for place in zip(*line.get_data(), strict=True)}
        return found, [text.get_text() for text in legend.get_texts()]

    places, names = explained(POINTS)
    assert places == {(p.macs / 1e6, float(p.error)) for p in POINTS if p.printed}
    assert [name for name in names if "printed cost" in name] == names[-1:]
    places, names = explained([point for point in POINTS if not point.printed])
    assert places == set()
    assert not any("printed" in name for name in names)


def test_the_errors_are_drawn_against_the_costs():
    axes = shown(error_plot(POINTS))
    drawn_points = sorted(markers(axes))
    assert drawn_points == sorted((p.macs / 1e6, float(p.error)) for p in POINTS)
    assert axes.get_xscale() == "log"
    name, says = axes.get_xlabel().split("\n")
    assert name == "Cost by the convention shufflenet-paper [$10^6$ MAC]"
    assert says == PAPER.says
    assert axes.get_ylabel() == "Top-1 error, as reported [%]"


def test_every_family_of_the_errors_has_a_marker_of_its_own_and_a_name():
    figure = error_plot(POINTS)
    axes = shown(figure)
    families = {point.family for point in POINTS}
    # by its marker alone, which print in grey keeps
    assert len({line.get_marker() for line in axes.lines}) == len(families)
    assert {line.get_color() for line in axes.lines} <= set(COLOURS)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert set(names[:-1]) == (families - {ALONE}) | {"others"}
    assert len(names) == len(families) + 1
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
    assert_whole(pictures()[name])


def assert_whole(figure: Any) -> None:
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


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_axis_of_costs_names_the_convention_its_unit_and_what_it_counts(name: str):
    counted = convention(name)
    found = parts(priced(network(load("googlenet")), PAPER))
    figure = cost_plot(found, "GoogLeNet", counted)
    unit = {"macs": "MAC", "flops": "FLOP"}[counted.unit]
    first, *says = shown(figure).get_xlabel().split("\n")
    assert first == f"Cost by the convention {name} [$10^6$ {unit}]"
    assert " ".join(says) == counted.says
    assert_whole(figure)


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
    many = [KindShare("Row", f"kind {number}", 10**6) for number in range(20)]
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


def test_lines_that_coincide_share_a_name_and_no_name_is_left_out():
    widths = ((32, 48, 48, 32), (40, 40, 50, 40))
    points = [WidthPoint(g, None, width, 0) for g, width in zip((1, 2), widths, strict=True)]
    figure = width_plot(points[:1], "Widths", ("Conv2", "Conv3", "Conv4", "Conv5"))
    assert [t.get_text() for t in shown(figure).texts] == ["Conv2, Conv5", "Conv3, Conv4"]
    figure = width_plot(points, "Widths", ("Conv2", "Conv3", "Conv4", "Conv5"))
    texts = shown(figure).texts
    # two that only meet at the end are two lines, each with its name
    assert [t.get_text() for t in texts] == ["Conv2, Conv5", "Conv3", "Conv4"]
    low, high = shown(figure).get_ylim()
    assert all(low <= text.xy[1] <= high for text in texts)
    assert_whole(figure)
    sizes = [line.get_markersize() for line in shown(figure).lines]
    assert sizes == sorted(set(sizes), reverse=True)


def test_many_names_at_the_top_are_all_drawn():
    points = [WidthPoint(g, None, (100, 100 + g, 101 + g, 102 + g), 0) for g in (1, 2)]
    figure = width_plot(points, "Widths", ("A", "B", "C", "D"))
    names = [text for text, _ in boxes(figure)]
    assert [name for name in names if name in "ABCD"] == ["A", "B", "C", "D"]
    assert_whole(figure)


# --- Files


@each_form
def test_the_same_figure_gives_the_same_bytes(form: str):
    one, other = (drawn(error_plot(POINTS), form) for _ in range(2))
    assert one.startswith(SIGNATURES[form])
    assert one == other


def test_the_letters_of_an_svg_stay_letters():
    text = drawn(error_plot(POINTS), "svg").decode()
    assert ">SqueezeNet</text>" in text
