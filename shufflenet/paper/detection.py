"""A network as the backbone of Faster R-CNN (Sec. 4.4), and what the detector costs by part.

The paper says only that it uses the released Caffe code, py-faster-rcnn, "with default settings".
Where that says how (sides 600 and 1000, stride 16, RPN of 512 channels, 300 regions) so it is here.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from flopcount.counters.trace import count
from flopcount.entries import Shape
from flopcount.integers import total
from flopcount.layers import Chain, depth, output
from flopcount.tally import Tally
from shufflenet.arch.network import Network
from shufflenet.nn.builder import build
from shufflenet.system.user_code import reason

#: Pixels of the image to one position of the feature map, along each side.
STRIDE = 16
#: The side of the window into which each region is sampled: what Stage 4 gets of a 224x224 image.
WINDOW = 14
#: Channels of the RPN's 3x3 convolution.
RPN_WIDTH = 512
#: Sides [px] and height-to-width ratios of the anchors at each position.
ANCHOR_SIDES = (64, 128, 256, 512)
ANCHOR_RATIOS = (0.5, 1.0, 2.0)

#: The largest side of an image [px].
MOST_SIDE = 4096

# Where a classifier ends: what stands from here on is left out.
_ENDS = ("global_pool", "adaptive_pool", "flatten", "fc")
_PREDICTOR = "roi_heads.box_predictor"
_PARTS = {"backbone": ("backbone",), "rpn": ("rpn",), "heads": ("roi_heads.box_head", _PREDICTOR)}


class DetectionError(ValueError):
    """A network that no detector can be made of, or a detector that cannot be counted by part."""


class Halves(NamedTuple):
    """A network cut in two: ``features`` for the whole image, ``head`` for each of its regions.

    The channels of what leaves each are ``width`` and ``head_width``.
    """

    features: Chain
    head: Chain
    width: int
    head_width: int


class DetectorPart(NamedTuple):
    """What one part of a detector costs: multiply-adds [MAC] and parameters [params]."""

    macs: int
    params: int


class DetectionCost(NamedTuple):
    """What a detector costs on one image, by part.

    ``size`` is the image's (height, width) [px], ``run`` what the backbone was given of it, resized
    and padded; ``heads`` is the cost of one region, ``per_region`` [MAC], times ``proposals``.
    Pooling the regions, choosing and suppressing boxes multiply nothing, and are free.
    """

    size: tuple[int, int]
    run: tuple[int, int]
    proposals: int
    per_region: int
    backbone: DetectorPart
    rpn: DetectorPart
    heads: DetectorPart

    @property
    def parts(self) -> dict[str, DetectorPart]:
        """The parts by name, in the order in which they run."""
        return {name: getattr(self, name) for name in _PARTS}

    @property
    def macs(self) -> int:
        """Multiply-adds of all parts [MAC]."""
        return sum(part.macs for part in self.parts.values())

    @property
    def params(self) -> int:
        """Parameters of all parts [params]."""
        return sum(part.params for part in self.parts.values())


class Features(nn.Sequential):
    """Layers that turn images ``(n, 3, h, w)`` into one map ``(n, out_channels, h/16, w/16)``."""

    def __init__(self, layers: nn.Module, out_channels: int) -> None:
        super().__init__(OrderedDict(layers.named_children()))
        self.out_channels = out_channels


class RegionHead(nn.Module):
    """The RPN's layers: a 3x3 convolution, then a score and four deltas for every anchor."""

    def __init__(self, channels: int, anchors: int, width: int = RPN_WIDTH) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.cls_logits = nn.Conv2d(width, anchors, 1)
        self.bbox_pred = nn.Conv2d(width, 4 * anchors, 1)
        for layer in (self.conv, self.cls_logits, self.bbox_pred):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """``(n, c, h, w)`` of each map ``-> (n, a, h, w), (n, 4*a, h, w)``."""
        hidden = [torch.relu(self.conv(x)) for x in maps]
        return [self.cls_logits(x) for x in hidden], [self.bbox_pred(x) for x in hidden]


def halves(network: Network) -> Halves:
    """The network cut where its stride passes 16: ShuffleNet before Stage 4.

    Raises DetectionError where it takes no image of three channels, no layer ends at stride 16, or
    no layer with weights follows before the global pooling.
    """
    where = network.spec.where
    if network.input[1] != 3:
        raise DetectionError(f"{where}: an image has 3 channels, not {network.input[1]}")
    cut, end, stride = None, None, 1
    for placed in network.rows:
        name = placed.paths[0].partition(".")[0]
        if placed.row.unit in _ENDS:
            end = name
            break
        stride *= placed.row.stride**placed.row.repeat
        if stride > STRIDE:
            cut = cut or name
    names = [name for name, _ in network.tree.children]
    last = len(names) if end is None else names.index(end)
    first = last if cut is None else names.index(cut)
    features, head = Chain(network.tree.children[:first]), Chain(network.tree.children[first:last])
    reached = _stride(network, names[:first])
    if reached != STRIDE or depth(head) == 0:
        raise DetectionError(
            f"{where}: a detector needs a map of stride {STRIDE} and layers with weights behind it;"
            f" the map before its last stride is of stride {reached}, with {depth(head)} behind it"
        )
    middle = output(features, Shape(1, 3, WINDOW * STRIDE, WINDOW * STRIDE))
    behind = output(head, Shape(1, middle[1], WINDOW, WINDOW))
    return Halves(features, head, middle[1], behind[1])


def _stride(network: Network, names: list[str]) -> int:
    stride = 1
    for placed in network.rows:
        if placed.paths[0].partition(".")[0] in names:
            stride *= placed.row.stride**placed.row.repeat
    return stride


def detector(
    network: Network,
    shorter_side: int = 600,
    longest: int = 1000,
    classes: int = 91,
    *,
    proposals: int = 300,
) -> nn.Module:
    """Torchvision's FasterRCNN over a built network, freshly initialised: ``[(3, h, w), ...]``.

    The layout is C4: Stage 3 gives the map, of stride 16 as in py-faster-rcnn, and Stage 4 runs on
    each region, 14x14 as in the classifier, before pooling and two linear maps: the network's own
    layers to the last, where a head of two FC layers would hold 49M weights over 960 channels.
    Images are resized to ``shorter_side`` [px] or, where that is less, to ``longest``, and padded
    to a multiple of 16. ``classes`` has the background; ``proposals`` is how many regions at most
    are kept. Raises DetectionError where torchvision is missing or the network cannot be cut.
    """
    if find_spec("torchvision") is None:
        raise DetectionError("torchvision is not installed: pip install torchvision")
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    cut = halves(network)
    head = OrderedDict(build(cut.head).named_children())
    made: nn.Module = FasterRCNN(
        Features(build(cut.features), cut.width),
        min_size=shorter_side,
        max_size=longest,
        size_divisible=STRIDE,
        rpn_anchor_generator=AnchorGenerator((ANCHOR_SIDES,), (ANCHOR_RATIOS,)),
        rpn_head=RegionHead(cut.width, len(ANCHOR_SIDES) * len(ANCHOR_RATIOS)),
        rpn_pre_nms_top_n_test=6000,
        rpn_post_nms_top_n_test=proposals,
        box_roi_pool=MultiScaleRoIAlign(["0"], WINDOW, 2),
        box_head=nn.Sequential(head | {"GlobalPool": nn.AdaptiveAvgPool2d(1)}),
        box_predictor=FastRCNNPredictor(cut.head_width, classes),
    )
    return made


def detection_cost(
    detector: nn.Module, size: tuple[int, int] = (480, 640), proposals: int = 300
) -> DetectionCost:
    """What a detector of torchvision's costs on one image (height, width) [px], by part.

    It is run with values and counted. How many regions are left once overlapping ones are
    suppressed depends on its weights, so the heads are counted for those and given for
    ``proposals``. Raises DetectionError where no region is left, and where anything but backbone,
    RPN and box head multiplies, and for an image that is too large or that no resizing makes fit;
    UncountedError where something has no rule.
    """
    if proposals < 1:
        raise DetectionError(f"proposals {proposals} is less than 1")
    tally = _counted(detector, size)
    ran = {name: tally.under(paths) for name, paths in _PARTS.items()}
    if (rest := tally.macs - total(part.macs for part in ran.values())) != 0:
        raise DetectionError(f"{rest:,} multiply-adds are of no backbone, RPN or box head")
    regions = [entry.inputs[0][0] for entry in tally.under([_PREDICTOR]).entries if entry.macs]
    if not regions or not regions[0]:
        raise DetectionError("no region is left to run the heads on")
    per_region, odd = divmod(ran["heads"].macs, regions[0])
    if odd:
        raise DetectionError(f"the heads do not cost the same for each of {regions[0]} regions")
    h, w = ran["backbone"].entries[0].inputs[0][2:]
    return DetectionCost(
        size,
        (h, w),
        proposals,
        per_region,
        DetectorPart(ran["backbone"].macs, _params(tally, "backbone")),
        DetectorPart(ran["rpn"].macs, _params(tally, "rpn")),
        DetectorPart(per_region * proposals, _params(tally, "heads")),
    )


def _counted(detector: nn.Module, size: tuple[int, int]) -> Tally:
    shown = f"image {size[0]}x{size[1]}"
    if not 1 <= min(size) <= max(size) <= MOST_SIDE:
        raise DetectionError(f"{shown}: a side is not between 1 and {MOST_SIDE}")
    image = torch.rand((3, *size), generator=torch.Generator().manual_seed(0))
    try:
        return count(detector, [image], execution="real", strict=True)
    except RuntimeError as error:
        raise DetectionError(f"{shown} does not fit: {reason(error)}") from error


def _params(tally: Tally, part: str) -> Any:
    below = tuple(f"{path}." for path in _PARTS[part])
    return total(p.elements for p in tally.parameters or () if p.name.startswith(below))
