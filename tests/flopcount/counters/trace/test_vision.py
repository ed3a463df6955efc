from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torchvision import ops

from tests.flopcount.counters.trace.ways import Wired, empty, every_way, macs

BOXES = ((0.0, 0.0, 0.0, 4.0, 4.0), (1.0, 1.0, 1.0, 6.0, 6.0), (1.0, 0.0, 2.0, 3.0, 7.0))


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_deformable_convolution_costs_what_a_plain_one_costs(groups, stride, masked):
    # where it reads is interpolated, and so is free; what it reads is summed by its filters
    model = ops.DeformConv2d(4, 6, 3, stride=stride, padding=1, groups=groups)
    h = w = 8 // stride
    offset, mask = empty(2, 2 * 3 * 3, h, w), empty(2, 3 * 3, h, w)
    given = (offset, mask) if masked else (offset,)
    found = macs(model, empty(2, 4, 8, 8), *given)
    assert found == 2 * 6 * (h * w) * (4 // groups) * (3 * 3)
    plain = nn.Conv2d(4, 6, 3, stride=stride, padding=1, groups=groups)
    assert found == macs(plain, empty(2, 4, 8, 8))


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_a_deformable_convolution_may_be_a_function(masked):
    def run(x: Any, offset: Any, weight: Any, mask: Any = None) -> Any:
        return ops.deform_conv2d(x, offset, weight, mask=mask)

    given = (empty(2, 4, 8, 8), empty(2, 2 * 3 * 3, 6, 6), empty(6, 4, 3, 3))
    mask = (empty(2, 3 * 3, 6, 6),) if masked else ()
    assert macs(run, *given, *mask) == 2 * 6 * (6 * 6) * 4 * (3 * 3)


def test_what_a_deformable_convolution_is_moved_by_is_a_convolution_of_its_own():
    def run(m: Any, x: Any) -> Any:
        return m.read(x, m.move(x))

    parts = {"move": nn.Conv2d(4, 18, 3, padding=1), "read": ops.DeformConv2d(4, 6, 3, padding=1)}
    for way, tally in every_way(Wired(run, **parts), empty(2, 4, 8, 8)).items():
        cost = {entry.path: (entry.kind, entry.macs) for entry in tally.entries if entry.macs}
        assert cost == {
            "move": ("conv", 2 * 18 * (8 * 8) * 4 * 9),
            "read": ("conv", 2 * 6 * (8 * 8) * 4 * 9),
        }, way
        assert tally.coverage == 1, way


@pytest.mark.parametrize(
    ("run", "channels"),
    [
        (ops.RoIAlign((3, 3), 1.0, 2), 9),
        (ops.RoIPool((3, 3), 1.0), 9),
        (ops.PSRoIAlign((3, 3), 1.0, 2), 1),
        (ops.PSRoIPool((3, 3), 1.0), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reading_a_region_is_free_and_known(run, channels):
    x, boxes = empty(2, 9, 8, 8), torch.tensor(BOXES)
    for way, tally in every_way(run, x, boxes).items():
        assert (tally.macs, tally.coverage) == (0, 1), way
        assert tally.entries[-1].outputs[0] == (3, channels, 3, 3), way
        assert tally.by_kind()["vision"].calls == 1, way


@pytest.mark.parametrize("run", [ops.roi_align, ops.roi_pool, ops.ps_roi_align, ops.ps_roi_pool])
def test_regions_may_be_given_as_a_list_of_boxes_for_each_image(run):
    boxes = [torch.tensor(BOXES)[:2, 1:], torch.tensor(BOXES)[2:, 1:]]
    for way, tally in every_way(run, empty(2, 9, 8, 8), boxes, (3, 3)).items():
        assert (tally.macs, tally.coverage) == (0, 1), way
        assert tally.entries[-1].outputs[0][0] == 2 + 1, way


def test_the_maps_behind_a_region_are_counted_for_every_region():
    def run(m: Any, x: Any, boxes: Any) -> Any:
        return m.head(m.read(m.conv(x), boxes).flatten(1))

    parts = {
        "conv": nn.Conv2d(3, 9, 3, padding=1),
        "read": ops.RoIAlign((2, 2), 1.0, 2),
        "head": nn.Linear(9 * 2 * 2, 5),
    }
    found = macs(Wired(run, **parts), empty(2, 3, 8, 8), torch.tensor(BOXES))
    assert found == 2 * 9 * (8 * 8) * 3 * 9 + 3 * (9 * 2 * 2) * 5
