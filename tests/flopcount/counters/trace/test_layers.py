from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

from flopcount.counters.trace import DataDependentError, count
from tests.flopcount.counters.trace.ways import empty, every_way

ROW, LINE, IMAGE, CUBE = (2, 8), (2, 4, 8), (2, 4, 8, 8), (2, 4, 8, 8, 8)
PLACE = torch.tensor([1, 2])
SIGNS = torch.tensor([1.0, -1.0])

#: What multiplies and adds: each has closed forms of its own elsewhere.
COUNTED = {
    *(f"{lazy}Conv{kind}{axes}d" for lazy in ("", "Lazy") for kind in ("", "Transpose")
      for axes in (1, 2, 3)),
    *("Linear", "LazyLinear", "NonDynamicallyQuantizableLinear", "Bilinear", "MultiheadAttention"),
    *(f"Transformer{part}{layer}" for part in ("Encoder", "Decoder") for layer in ("", "Layer")),
    *(f"{net}{cell}" for net in ("RNN", "LSTM", "GRU") for cell in ("", "Cell")),
    *("Transformer", "AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss"),
}  # fmt: skip
#: What runs nothing itself, what others are derived from, and what needs several processes.
NOTHING = {
    *("Module", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "Sequential"),
    *("Container", "RNNBase", "RNNCellBase", "DataParallel", "SyncBatchNorm", "Buffer"),
    *("LinearCrossEntropyOptions", "DistributedDataParallel"),
    *("Parameter", "UninitializedParameter", "UninitializedBuffer"),
}


def of_one(*names: str, shape: tuple[int, ...] = IMAGE) -> dict[str, Any]:
    return {name: (getattr(nn, name)(), (empty(*shape),)) for name in names}


def each_rank(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return {
        f"{name}{axes}d": (getattr(nn, f"{name}{axes}d")(*args, **kwargs), (empty(*shape),))
        for axes, shape in ((1, LINE), (2, IMAGE), (3, CUBE))
        if hasattr(nn, f"{name}{axes}d")
    }


def losses() -> dict[str, Any]:
    x, y, rows = empty(*ROW), empty(*ROW), (empty(*ROW), empty(*ROW), empty(*ROW))
    pair = {
        name: (getattr(nn, name)(), (x, y))
        for name in (
            *("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss"),
            *("KLDivLoss", "PoissonNLLLoss", "SoftMarginLoss", "MultiLabelSoftMarginLoss"),
            *("HingeEmbeddingLoss", "PairwiseDistance", "CosineSimilarity"),
        )
    }
    return pair | {
        "CrossEntropyLoss": (nn.CrossEntropyLoss(), (x, PLACE)),
        "NLLLoss": (nn.NLLLoss(), (x, PLACE)),
        "NLLLoss2d": (nn.NLLLoss(), (empty(*IMAGE), torch.zeros(2, 8, 8, dtype=torch.long))),
        "MultiMarginLoss": (nn.MultiMarginLoss(), (x, PLACE)),
        "MultiLabelMarginLoss": (
            nn.MultiLabelMarginLoss(),
            (x, torch.zeros(*ROW, dtype=torch.long)),
        ),
        "CosineEmbeddingLoss": (nn.CosineEmbeddingLoss(), (x, y, SIGNS)),
        "MarginRankingLoss": (nn.MarginRankingLoss(), (empty(2), empty(2), SIGNS)),
        "TripletMarginLoss": (nn.TripletMarginLoss(), rows),
        "TripletMarginWithDistanceLoss": (nn.TripletMarginWithDistanceLoss(), rows),
    }


def cases() -> dict[str, Any]:
    """Every module of torch.nn that multiplies nothing, with inputs for it."""
    return {
        **of_one(
            *("ELU", "Hardshrink", "Hardsigmoid", "Hardtanh", "Hardswish", "LeakyReLU", "PReLU"),
            *("LogSigmoid", "ReLU", "ReLU6", "RReLU", "SELU", "CELU", "GELU", "Sigmoid", "SiLU"),
            *("Mish", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "GLU"),
            *("Softmax2d", "Identity", "Flatten", "Dropout", "AlphaDropout"),
            *("Dropout2d", "FeatureAlphaDropout"),
        ),
        **of_one("Dropout1d", shape=LINE),
        **of_one("Dropout3d", shape=CUBE),
        **{
            name: (getattr(nn, name)(dim=1), (empty(*IMAGE),))
            for name in ("Softmin", "Softmax", "LogSoftmax")
        },
        "Threshold": (nn.Threshold(0.1, 20), (empty(*IMAGE),)),
        "Unflatten": (nn.Unflatten(1, (2, 2)), (empty(*IMAGE),)),
        **each_rank("BatchNorm", 4),
        **each_rank("InstanceNorm", 4, affine=True),
        "GroupNorm": (nn.GroupNorm(2, 4), (empty(*IMAGE),)),
        "LayerNorm": (nn.LayerNorm((8, 8)), (empty(*IMAGE),)),
        "RMSNorm": (nn.RMSNorm((8, 8)), (empty(*IMAGE),)),
        "LocalResponseNorm": (nn.LocalResponseNorm(2), (empty(*IMAGE),)),
        "CrossMapLRN2d": (nn.CrossMapLRN2d(2), (empty(*IMAGE),)),
        **each_rank("MaxPool", 2),
        **each_rank("AvgPool", 2),
        **each_rank("LPPool", 2, 2),
        **each_rank("AdaptiveMaxPool", 3),
        **each_rank("AdaptiveAvgPool", 3),
        **each_rank("FractionalMaxPool", 2, output_size=3),
        **{
            f"MaxUnpool{axes}d": (
                getattr(nn, f"MaxUnpool{axes}d")(2),
                (empty(*shape), torch.zeros(shape, dtype=torch.long)),
            )
            for axes, shape in ((1, LINE), (2, IMAGE), (3, CUBE))
        },
        **{
            name: case
            for kind in ("Reflection", "Replication", "Zero", "Circular")
            for name, case in {
                f"{kind}Pad{axes}d": (getattr(nn, f"{kind}Pad{axes}d")(1), (empty(*shape),))
                for axes, shape in ((1, LINE), (2, IMAGE), (3, CUBE))
            }.items()
        },
        **{
            f"ConstantPad{axes}d": (getattr(nn, f"ConstantPad{axes}d")(1, 0.5), (empty(*shape),))
            for axes, shape in ((1, LINE), (2, IMAGE), (3, CUBE))
        },
        "Upsample": (nn.Upsample(scale_factor=2), (empty(*IMAGE),)),
        "UpsamplingNearest2d": (nn.UpsamplingNearest2d(scale_factor=2), (empty(*IMAGE),)),
        "UpsamplingBilinear2d": (nn.UpsamplingBilinear2d(scale_factor=2), (empty(*IMAGE),)),
        "PixelShuffle": (nn.PixelShuffle(2), (empty(*IMAGE),)),
        "PixelUnshuffle": (nn.PixelUnshuffle(2), (empty(*IMAGE),)),
        "ChannelShuffle": (nn.ChannelShuffle(2), (empty(*IMAGE),)),
        "Fold": (nn.Fold((8, 8), 2, stride=2), (empty(2, 4 * 2 * 2, 16),)),
        "Unfold": (nn.Unfold(2, stride=2), (empty(*IMAGE),)),
        "Embedding": (nn.Embedding(8, 3), (PLACE,)),
        "EmbeddingBag": (nn.EmbeddingBag(8, 3), (PLACE.reshape(1, 2),)),
        **losses(),
    }


CASES = cases()
LAZY = {**each_rank("LazyBatchNorm"), **each_rank("LazyInstanceNorm", affine=True)}
#: One looks whether a variance is negative; of the other torch has no kernel without values.
VALUED = {
    "GaussianNLLLoss": (nn.GaussianNLLLoss(), (empty(*ROW), empty(*ROW), torch.ones(ROW))),
    "CTCLoss": (
        nn.CTCLoss(),
        (
            empty(5, 2, 8),
            torch.ones(2, 2, dtype=torch.long),
            torch.tensor([5, 5]),
            torch.tensor([2, 1]),
        ),
    ),
}


def test_every_module_of_torch_nn_is_either_counted_or_free_or_runs_nothing():
    public = {name for name, value in vars(nn).items() if inspect.isclass(value)}
    free = {*CASES, *LAZY, *VALUED}
    assert public - free - COUNTED == NOTHING & public
    assert not COUNTED & free


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("name", CASES)
def test_a_layer_that_multiplies_nothing_is_covered_and_costs_nothing(name):
    model, inputs = CASES[name]
    found = every_way(model, *inputs)
    for way, tally in found.items():
        assert (tally.macs, tally.uncounted, tally.coverage) == (0, {}, 1), way
        assert tally.params == sum(p.numel() for p in model.parameters()), way
        # of what it writes on before it has a size, a real run knows that it has none
        assert tally.entries == found["cpu"].entries or name == "CrossMapLRN2d", way


@pytest.mark.parametrize("name", LAZY)
def test_a_norm_that_learns_its_width_from_its_input_is_one_of_that_width(name):
    model, (x,) = LAZY[name]
    for options in ({}, {"checked": True}, {"execution": "real"}):
        tally = count(model, x, **options)
        assert (tally.macs, tally.uncounted, tally.params) == (0, {}, 2 * 4), options
    assert model.has_uninitialized_params()


@pytest.mark.parametrize("name", VALUED)
def test_a_loss_whose_course_depends_on_values_says_so_and_runs_with_them(name):
    model, inputs = VALUED[name]
    with pytest.raises(DataDependentError, match="real"):
        count(model, *inputs)
    tally = count(model, *inputs, execution="real")
    assert (tally.macs, tally.uncounted, tally.coverage) == (0, {}, 1)


#: The modes of interpolation with the number of axes that each takes.
MODES = {"nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "linear": (1,), "bilinear": (2,)}
MODES |= {"bicubic": (2,), "trilinear": (3,), "area": (1, 2, 3)}


@pytest.mark.parametrize("options", [{"scale_factor": 1.7}, {"size": 5}], ids=str)
@pytest.mark.parametrize(
    ("mode", "axes"), [(mode, axes) for mode, ranks in MODES.items() for axes in ranks]
)
def test_an_image_of_another_size_is_free_and_as_large_as_torch_makes_it(mode, axes, options):
    x = empty(*(LINE, IMAGE, CUBE)[axes - 1])
    model = nn.Upsample(**options, mode=mode)
    for way, tally in every_way(model, x).items():
        assert (tally.macs, tally.coverage) == (0, 1), way
        assert tally.entries[-1].outputs[0] == tuple(model(x).shape), way


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("name", CASES)
def test_a_layer_comes_out_as_large_as_torch_makes_it(name):
    model, inputs = CASES[name]
    out = model.eval()(*inputs)
    for way, tally in every_way(model, *inputs).items():
        if tally.entries:
            made = [shape.elements for shape in tally.entries[-1].outputs]
            assert out.numel() in made, way
