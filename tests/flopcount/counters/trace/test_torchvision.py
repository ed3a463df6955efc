"""Every model of torchvision's, against torch's own counter and the figures printed with weights.

A few of each family run always; all of them where SHUFFLECOST_ALL_MODELS is set.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models
from torchvision.models import detection, optical_flow, quantization, segmentation, video
from torchvision.models.regnet import BlockParams

from flopcount.counters.trace import count
from flopcount.tally import Tally

ALL = bool(os.environ.get("SHUFFLECOST_ALL_MODELS"))
GROUPS = (models, segmentation, video, optical_flow, quantization)

#: One or two of each family, and what is different about them.
FAMILIES = (
    *("alexnet", "vgg11_bn", "squeezenet1_1", "googlenet", "inception_v3", "densenet121"),
    *("resnet18", "resnext50_32x4d", "regnet_y_400mf", "shufflenet_v2_x1_0", "mnasnet0_5"),
    *("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_v2_s"),
    *("convnext_tiny", "maxvit_t", "swin_t", "swin_v2_t", "vit_b_32"),
    *("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "fcn_resnet50"),
    *("r2plus1d_18", "mc3_18", "mvit_v1_b", "mvit_v2_s", "s3d", "swin3d_t"),
    *("raft_small", "quantized_mobilenet_v2"),
)
EVERY = tuple(name for group in GROUPS for name in models.list_models(module=group))
#: Only a copy depends on strides, which the rules do not follow: a reshape copies or does not.
STRIDES = frozenset({"copy"})
#: Where there is one: what an einsum makes has strides of its own.
COPYING = frozenset({"mvit_v2_s"})


@contextmanager
def on_meta() -> Iterator[None]:
    """Build on the meta device; the widths of a RegNet are worked out of tensors all the same."""
    widths = BlockParams.from_init_params

    def worked_out(*args: object, **kwargs: object) -> BlockParams:
        with torch.device("cpu"):
            return widths(*args, **kwargs)

    with mock.patch.object(BlockParams, "from_init_params", worked_out), torch.device("meta"):
        yield


def built(name: str, **options: object) -> nn.Module:
    if name in segmentation.__dict__:
        options["weights_backbone"] = None
    if name.removeprefix("quantized_") in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    with on_meta():
        return models.get_model(name, weights=None, **options).eval()


def inputs(name: str) -> tuple[Tensor, ...]:
    """A small image or clip that the model takes."""
    own = {"maxvit_t": 224, "quantized_inception_v3": 80, "inception_v3": 80}
    if name.startswith("raft"):
        return (torch.empty(1, 3, 128, 128, device="meta"),) * 2
    if name.startswith("vit"):
        own[name] = built(name).image_size
    size = own.get(name, 64)
    shape = (1, 3, size, size)
    if name in video.__dict__:
        # its positions are learned for these sizes; its last pooling has a fixed window
        sizes = {"mvit_v1_b": (16, 224), "mvit_v2_s": (16, 224), "s3d": (16, 224)}
        frames, side = sizes.get(name, (8, 56))
        shape = (1, 3, frames, side, side)
    return (torch.empty(shape, device="meta"),)


def facts(tally: Tally) -> Counter[object]:
    """All that is known of every entry, but for those that depend on strides."""
    return Counter(entry for entry in tally.entries if entry.kind not in STRIDES)


def torchs_own(module: nn.Module, *args: object) -> dict[str, int]:
    """Torch's FLOPs below every path, with gradients on, so that no layer takes a fused path."""
    counter = FlopCounterMode(display=False)
    with counter:
        module(*args)
    return {
        name.partition(".")[2]: sum(flops.values())
        for name, flops in counter.get_flop_counts().items()
        if name != "Global"
    }


def flops_by_module(tally: Tally) -> dict[str, int]:
    return {node.path: 2 * node.total_macs for _, node in tally.by_module().walk()}


def assert_is_torchs_own(tally: Tally, module: nn.Module, *args: object) -> None:
    theirs = torchs_own(module, *args)
    ours = flops_by_module(tally)
    assert {path: flops for path, flops in theirs.items() if flops} == {
        path: ours[path] for path, flops in theirs.items() if flops
    }
    assert theirs[""] == ours[""] == 2 * tally.macs > 0


@pytest.mark.parametrize("name", EVERY if ALL else FAMILIES)
def test_a_model_is_counted_wholly_by_rules_and_operators_alike_and_as_torch_does(name):
    module, args = built(name), inputs(name)
    tally, checked = count(module, *args), count(module, *args, checked=True)
    assert tally.coverage == checked.coverage == 1
    assert tally.params == sum(p.numel() for p in module.parameters()) > 0
    assert facts(tally) == facts(checked)
    copies = Counter(tally.entries) != Counter(checked.entries)
    assert copies == (name in COPYING)
    assert copies or tally.peak_memory == checked.peak_memory > 0
    assert_is_torchs_own(tally, module, *args)


def test_the_families_are_models_of_torchvisions():
    assert set(FAMILIES) <= set(EVERY)


DETECTORS = ("ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn")
DETECTORS += ("fcos_resnet50_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn")
#: Those whose image is scaled to a size of its own whatever is asked.
FIXED = ("ssd300_vgg16", "ssdlite320_mobilenet_v3_large")


def detector(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return models.get_model(name, weights=None, weights_backbone=None, **options).eval()


@pytest.mark.parametrize("name", models.list_models(module=detection) if ALL else DETECTORS)
def test_a_detector_that_runs_with_values_is_counted_wholly_and_as_torch_does(name):
    small = {} if name in FIXED else {"min_size": 64, "max_size": 64}
    module = detector(name, **small)
    images = [torch.rand(3, 48, 64)]
    tally = count(module, images, execution="real")
    assert tally.coverage == 1
    assert tally.params == sum(p.numel() for p in module.parameters())
    assert_is_torchs_own(tally, module, images)


PRINTED = (
    *("resnet18", "mobilenet_v2", "googlenet", "inception_v3", "regnet_y_16gf", "convnext_tiny"),
    *("swin_v2_t", "vit_h_14", "maxvit_t", "deeplabv3_resnet50", "swin3d_t", "r3d_18"),
)


def with_weights(name: str, weights: object) -> tuple[nn.Module, tuple[int, ...]]:
    """The model as those weights want it, and the shape their figures are for."""
    options: dict[str, object] = {"num_classes": len(weights.meta["categories"] or range(1000))}
    crop = weights.transforms.keywords.get("crop_size", 520)
    side = crop if isinstance(crop, int) else crop[0]
    shape: tuple[int, ...] = (1, 3, side, side)
    if name in video.__dict__:
        shape = (1, 3, 16, side, side)
    if name.startswith("vit"):
        options["image_size"] = side
    if name == "googlenet":
        # trained with auxiliary classifiers, and delivered without
        options["aux_logits"] = False
    if name in segmentation.__dict__ and not name.startswith("lraspp"):
        options["aux_loss"] = True
    return built(name, **options), shape


PRINTING = [n for group in (models, segmentation, video) for n in models.list_models(module=group)]


@pytest.mark.parametrize("name", PRINTING if ALL else PRINTED)
def test_the_multiply_adds_and_parameters_are_those_printed_with_the_weights(name):
    offered = list(models.get_model_weights(name))
    for weights in offered if ALL else offered[:1]:
        module, shape = with_weights(name, weights)
        tally = count(module, shape=shape)
        assert round(tally.macs / 1e9, 3) == weights.meta["_ops"]
        assert tally.params == weights.meta["num_params"]


#: How many proposals a score lets through, and how many boxes get a mask, only weights say.
TRAINED = frozenset(
    {
        *("fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_mobilenet_v3_large_fpn"),
        *("maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn"),
    }
)
#: Delivered with weights, the norms of their ResNet are frozen: constants, and no parameters.
FROZEN = frozenset({"fasterrcnn_resnet50_fpn", "fcos_resnet50_fpn", "retinanet_resnet50_fpn"})


@pytest.mark.skipif(not ALL, reason="every one of them runs an image of 800x800")
@pytest.mark.parametrize("name", sorted({*models.list_models(module=detection)} - TRAINED))
def test_the_multiply_adds_of_a_detector_are_those_printed_with_its_weights(name):
    weights = models.get_model_weights(name).DEFAULT
    module = detector(name)
    tally = count(module, [torch.rand(3, 64, 64)], execution="real")
    norms = [m for m in module.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    constants = sum(2 * norm.num_features for norm in norms) if name in FROZEN else 0
    assert round(tally.macs / 1e9, 3) == weights.meta["_ops"]
    assert tally.params == weights.meta["num_params"] + constants
