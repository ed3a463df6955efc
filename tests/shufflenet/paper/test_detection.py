"""Faster R-CNN over a network of ours: that it runs, and what it costs by part (Sec. 4.4)."""

from __future__ import annotations

import csv
import json
import re
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
import torch

import flopcount
from shufflenet import Network, load, network
from shufflenet.arch.spec_reader import bundled, loads
from shufflenet.paper import detection
from shufflenet.paper.claim_files import load_claims
from shufflenet.paper.detection import (
    DetectionCost,
    DetectionError,
    detection_cost,
    detector,
    halves,
)
from shufflenet.paper.reported import reported
from tests.command import ROOT, Outcome, fails, run, run_together

CLASSES = 3
# How many regions are run changes no figure, and more take longer.
KEPT = 20
IMAGE = (60, 80)
# By the shorter side: 480x640 becomes 300x400 and 600x800, padded to multiples of 16.
RUN = {300: (304, 400), 600: (608, 800)}
TABLE_7: dict[str, tuple[str, int | None, str, tuple[str, ...], str, tuple[str, str]]] = {
    "ShuffleNet 2x": (
        *("shufflenet", 3, "2"),
        *(("conv1", "maxpool", "stage2", "stage3"), "stage4", ("18.0", "24.5")),
    ),
    "ShuffleNet 1x": (
        *("shufflenet", 3, "1"),
        *(("conv1", "maxpool", "stage2", "stage3"), "stage4", ("14.3", "19.8")),
    ),
    "MobileNet": (
        *("mobilenet_v1", None, "1"),
        *(("conv1", "stage1", "stage2", "stage3", "stage4"), "stage5", ("16.4", "19.8")),
    ),
}


def net(spec: str = "shufflenet", groups: int | None = None, scale: str = "0.25") -> Network:
    return network(load(spec), groups, scale=scale)


@cache
def model(side: int) -> Any:
    torch.manual_seed(0)
    return detector(net(), side, classes=CLASSES, proposals=KEPT)


@cache
def cost(side: int, image: tuple[int, int] = (480, 640)) -> DetectionCost:
    return detection_cost(model(side), image)


def by_hand(
    spec: str, groups: int | None, scale: str, size: tuple[int, int], classes: int = 91
) -> dict[str, int]:
    """Each part from the paper's rows: the network at that size, and closed forms for the rest."""
    ahead, behind = next((row[3], row[4]) for row in TABLE_7.values() if row[0] == spec)
    whole = network(load(spec), groups, scale=scale, size=size)
    usual = network(load(spec), groups, scale=scale)
    at = {placed.row.layer.lower(): placed for placed in whole.rows}
    h, w = at[ahead[-1]].output
    c, d = at[ahead[-1]].channels, at[behind].channels
    return {
        "backbone": whole.tally().under(ahead).macs,
        "rpn": (h * w) * (c * 512 * 3 * 3 + 512 * (4 * 3) + 512 * (4 * 4 * 3)),
        # of a 224x224 image the last stage gets 14x14, too
        "heads": 300 * (usual.tally().under([behind]).macs + d * classes + d * 4 * classes),
    }


@pytest.mark.parametrize("side", [300, 600])
def test_each_part_costs_what_its_closed_form_says(side: int):
    found = cost(side)
    assert found.run == RUN[side]
    parts = by_hand("shufflenet", 3, "0.25", RUN[side], CLASSES)
    assert {name: part.macs for name, part in found.parts.items()} == parts
    assert found.heads.macs == 300 * found.per_region


def test_the_closed_form_would_tell_another_size():
    assert cost(300).backbone.macs != by_hand("shufflenet", 3, "0.25", (300, 400))["backbone"]


def test_a_network_of_the_paper_costs_what_the_closed_forms_say():
    torch.manual_seed(0)
    found = detection_cost(detector(net(scale="1"), 600, proposals=10))
    parts = by_hand("shufflenet", 3, "1", (608, 800))
    assert {name: part.macs for name, part in found.parts.items()} == parts


def test_the_parts_sum_to_the_total_and_leave_nothing_out():
    found, living = cost(300), model(300)
    assert found.macs == found.backbone.macs + found.rpn.macs + found.heads.macs
    assert found.params == found.backbone.params + found.rpn.params + found.heads.params
    assert found.params == sum(p.numel() for p in living.parameters())
    image = torch.rand(3, 480, 640)
    tally = flopcount.count(living, [image], execution="real", strict=True)
    (regions,) = {
        entry.inputs[0][0]
        for entry in tally.entries
        if entry.path.startswith("roi_heads.box_predictor") and entry.macs
    }
    assert 0 < regions <= KEPT
    assert tally.macs == found.macs - (300 - regions) * found.per_region


@pytest.mark.parametrize("side", [300, 600])
def test_the_detector_finds_boxes_in_an_image_at_both_sizes(side: int):
    image = torch.rand((3, *IMAGE), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (found,) = model(side).eval()([image])
    boxes = found["boxes"]
    assert len(boxes) == len(found["labels"]) == len(found["scores"]) > 0
    assert boxes.shape[1] == 4
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    assert boxes.min() >= 0
    assert (boxes.max(0).values <= torch.tensor([80, 60, 80, 60]) + 1e-3).all()
    assert set(found["labels"].tolist()) <= set(range(1, CLASSES))


def test_the_detector_can_be_trained():
    torch.manual_seed(0)
    trained = detector(net(), 64, classes=CLASSES).train()
    target = {"boxes": torch.tensor([[4.0, 4.0, 60.0, 50.0]]), "labels": torch.tensor([1])}
    losses = trained([torch.rand(3, *IMAGE)], [target])
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained.parameters())


def test_the_figure_depends_neither_on_the_weights_nor_on_how_many_regions_are_left():
    figures = set()
    for seed, kept in ((1, 300), (2, KEPT), (3, 7)):
        torch.manual_seed(seed)
        figures.add(detection_cost(detector(net(), 64, classes=CLASSES, proposals=kept), IMAGE))
    assert len(figures) == 1


def test_the_heads_cost_as_much_for_each_region():
    one, many = (detection_cost(model(64), IMAGE, regions) for regions in (1, 1000))
    assert one.heads.macs == one.per_region == many.per_region
    assert many.heads.macs == 1000 * one.heads.macs
    assert (one.backbone, one.rpn, one.params) == (many.backbone, many.rpn, many.params)


def test_the_longer_side_is_kept_to_1000():
    # 100x500 would be 600x3000; it is 200x1000, and padded
    assert cost(600, (100, 500)).run == (208, 1008)


def test_counting_leaves_the_detector_and_the_drawing_of_numbers_as_they_were():
    looked_at = model(64).train()
    before = {name: value.clone() for name, value in looked_at.state_dict().items()}
    drawn = torch.get_rng_state()
    detection_cost(looked_at, IMAGE)
    assert looked_at.training
    assert torch.equal(torch.get_rng_state(), drawn)
    after = looked_at.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("spec", "last", "first", "width", "head_width"),
    [
        ("shufflenet", "stage3", "stage4", 480, 960),
        ("arch2", "stage3", "stage4", 480, 960),
        ("mobilenet_v1", "stage4", "stage5", 512, 1024),
        ("resnet50", "conv4", "conv5", 1024, 2048),
        ("mobilenet_v2", "stage5", "stage6", 96, 1280),
        ("googlenet", "inception4e", "maxpool5", 832, 1024),
    ],
)
def test_a_network_is_cut_where_its_stride_passes_16(
    spec: str, last: str, first: str, width: int, head_width: int
):
    cut = halves(net(spec, scale="1"))
    assert (cut.features.children[-1][0], cut.head.children[0][0]) == (last, first)
    assert (cut.width, cut.head_width) == (width, head_width)


REFUSED = {"alexnet", "alexnet_one_tower", "squeezenet1_0", "squeezenet1_1", "vgg16"}


@pytest.mark.parametrize("spec", sorted(REFUSED))
def test_a_network_with_no_weights_behind_stride_16_is_refused(spec: str):
    with pytest.raises(DetectionError, match=rf"specs/{spec}.toml: .* stride 16, with 0 behind it"):
        detector(net(spec, scale="1"))


@pytest.mark.parametrize("spec", sorted({*bundled()} - REFUSED))
def test_the_halves_of_every_other_network_are_its_layers_up_to_the_classifier(spec: str):
    cut, whole = halves(net(spec, scale="1")), net(spec, scale="1").tree.children
    both = (*cut.features.children, *cut.head.children)
    assert both == whole[: len(both)]
    assert [name for name, _ in whole[len(both) :]][:1] in (["globalpool"], ["flatten"], [])


def test_a_network_of_grey_images_is_refused():
    text = (ROOT / "specs" / "shufflenet.toml").read_text(encoding="utf-8")
    grey = loads(text.replace("channels = 3 }", "channels = 1 }").encode(), name="grey")
    with pytest.raises(DetectionError, match="3 channels, not 1"):
        halves(network(grey))


@pytest.mark.parametrize(
    ("image", "proposals", "says"),
    [
        ((5000, 5000), 300, "image 5000x5000: a side is not between 1 and 4096"),
        ((0, 60), 300, "image 0x60: a side"),
        ((1, 4000), 300, "image 1x4000 does not fit"),
        (IMAGE, 0, "proposals 0 is less than 1"),
    ],
)
def test_an_image_or_a_number_of_regions_out_of_range_is_refused(
    image: tuple[int, int], proposals: int, says: str
):
    with pytest.raises(DetectionError, match=says):
        detection_cost(model(64), image, proposals)


def altered(**parts: Any) -> Any:
    torch.manual_seed(0)
    made = detector(net(), 64, classes=CLASSES)
    for name, wrap in parts.items():
        setattr(made.roi_heads, name, wrap(getattr(made.roi_heads, name)))
    return made


class Around(torch.nn.Module):
    """A module that does more than the one it wraps: a linear map of its own, once."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.more = torch.nn.Linear(1, 1)

    def forward(self, *given: Any) -> Any:
        self.more(torch.ones(1, 1))
        return self.inner(*given)


def test_what_is_of_no_part_is_refused():
    with pytest.raises(DetectionError, match="1 multiply-adds are of no backbone, RPN or box head"):
        detection_cost(altered(box_roi_pool=Around), IMAGE)


def test_a_head_that_does_not_cost_the_same_for_each_region_is_refused():
    with pytest.raises(DetectionError, match="do not cost the same for each"):
        detection_cost(altered(box_head=Around), IMAGE)


def test_a_detector_that_keeps_no_region_is_refused():
    made = altered()
    made.rpn.score_thresh = 2.0
    with pytest.raises(DetectionError, match="no region is left"):
        detection_cost(made, IMAGE)


def test_without_torchvision_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(detection, "find_spec", lambda name: None)
    with pytest.raises(DetectionError, match="not installed: pip install torchvision"):
        detector(net())


@pytest.mark.parametrize("name", TABLE_7)
def test_the_precision_beside_a_network_is_the_one_that_table_7_prints_of_it(name: str):
    spec, groups, scale, _, _, printed = TABLE_7[name]
    found = reported(net(spec, groups, scale), load_claims())
    assert {side: claim.printed for side, claim in found.items()} == dict(
        zip((300, 600), printed, strict=True)
    )
    assert all(claim.says == "map" for claim in found.values())


def test_no_other_network_has_a_precision():
    others = [net(scale="0.25"), net(groups=4, scale="1"), net("mobilenet_v1", scale="0.75")]
    others += [net("noshuffle", scale="1"), network(load("shufflenet"), 3, unit="xception")]
    others.append(network(load("shufflenet"), 3, stem=30))
    text = (ROOT / "specs" / "shufflenet.toml").read_text(encoding="utf-8")
    others.append(network(loads(text.replace("24, 24", "30, 24").encode(), name="shufflenet"), 3))
    for other in others:
        assert reported(other, load_claims()) == {}


FORMATS = ("table", "markdown", "latex", "csv", "json")
SMALL = ("detect", "shufflenet", "--scale", "0.25", "--sizes", "64,96")


@cache
def shown() -> dict[str, Outcome]:
    asked = {form: (*SMALL, "--format", form) for form in FORMATS}
    paper = ("detect", "shufflenet", "--sizes", "300,64", "--proposals", "10", "--image", "48x64")
    asked |= {"paper": (*paper, "--format", "json"), "paper table": paper}
    return dict(zip(asked, run_together(*asked.values()), strict=True))


def test_the_command_prints_the_figures_of_the_library():
    figures = shown()["json"].json
    assert (figures["spec"], figures["groups"], figures["scale"]) == ("shufflenet", 3, 0.25)
    assert (figures["image"], figures["proposals"]) == ([480, 640], 300)
    sizes = {64: (64, 96), 96: (96, 128)}
    for size, (side, ran) in zip(figures["sizes"], sizes.items(), strict=True):
        assert (size["shorter_side"], tuple(size["run"])) == (side, ran)
        parts = {part["part"]: part["macs"] for part in size["parts"]}
        assert parts == by_hand("shufflenet", 3, "0.25", ran)
        assert size["macs"] == sum(parts.values())
        assert size["params"] == sum(part["params"] for part in size["parts"])
        assert size["reported_map"] is None


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_every_figure(form: str):
    outcome = shown()[form]
    assert outcome.code == 0
    text = outcome.out.replace("{,}", ",").replace(",", "" if form != "csv" else ",")
    for size in shown()["json"].json["sizes"]:
        for part in size["parts"]:
            assert str(part["macs"]) in text
        assert str(size["macs"]) in text
    notes = outcome.err if form == "csv" else outcome.out
    assert form == "json" or "conv1 to stage3" in notes


def test_the_csv_has_a_row_for_each_part_and_no_precision():
    header, *body = csv.reader(shown()["csv"].out.splitlines())
    assert header == ["Part", "64x [MAC]", "96x [MAC]", "Parameters"]
    assert [row[0] for row in body] == [
        *("Image, resized and padded", "Backbone", "RPN", "Heads, 300 regions", "Total"),
    ]


def test_the_precision_stands_beside_the_size_it_is_of_and_is_said_to_be_reported():
    sizes = json.loads(shown()["paper"].out)["sizes"]
    assert [size["reported_map"] for size in sizes] == ["14.3", None]
    table = shown()["paper table"].out
    (line,) = (line for line in table.splitlines() if line.startswith("mAP [.5"))
    assert re.split(" {2,}", line.strip()) == ["mAP [.5, .95] (%), as reported", "14.3"]
    assert "as the paper's Table 7 reports it" in table


def test_the_command_refuses_what_makes_no_detector_with_one_line():
    missing = "import sys\nsys.modules['torchvision'] = None\n"
    (without,) = run_together(SMALL, before=missing)
    fails(without, 2, "torchvision is not installed: pip install torchvision")
    asked = {
        ("vgg16",): "specs/vgg16.toml",
        ("nothing",): "nothing",
        ("shufflenet", "--sizes", "300x200"): "'300x200' is not one side",
        ("shufflenet", "--sizes", "300,300"): "names a value twice",
        ("shufflenet", "--sizes", ""): "--sizes",
        ("shufflenet", "--proposals", "0"): "--proposals",
        ("shufflenet", "--groups", "5"): "g = 5",
        ("shufflenet", "--scale", "0.25", "--image", "1x4000"): "image 1x4000 does not fit",
    }
    outcomes = run_together(*(("detect", *args) for args in asked))
    for outcome, says in zip(outcomes, asked.values(), strict=True):
        fails(outcome, 2, says)


def test_without_torch_the_command_says_what_to_install():
    fails(run(*SMALL, torch=False), 2, "pip install 'shufflecost[torch]'")


def test_a_run_of_the_command_leaves_nothing_on_standard_error(tmp_path: Any):
    outcome = run(*SMALL, "-o", str(tmp_path / "detector.txt"))
    assert outcome == Outcome(0, "", "")
    assert (tmp_path / "detector.txt").read_text(encoding="utf-8") == shown()["table"].out


def test_the_docs_give_what_each_detector_of_table_7_costs():
    text = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    totals = {}
    for name, (spec, groups, scale, _, _, printed) in TABLE_7.items():
        for (side, size), mean in zip(RUN.items(), printed, strict=True):
            parts = by_hand(spec, groups, scale, size)
            totals[name, side] = sum(parts.values())
            cells = (*parts.values(), totals[name, side])
            row = " | ".join([name, f"{side}x", *(f"{cell:,}" for cell in cells), mean])
            assert f"| {row} |" in text
    ratio = Decimal(totals["MobileNet", 600]) / totals["ShuffleNet 1x", 600]
    assert f"the whole detector costs {ratio:.1f} times as much" in " ".join(text.split())
    backbones = [
        by_hand(*TABLE_7[name][:3], RUN[600])["backbone"] for name in ("MobileNet", "ShuffleNet 1x")
    ]
    assert f"{Decimal(backbones[0]) / backbones[1]:.1f} times less" in " ".join(text.split())
