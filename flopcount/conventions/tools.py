"""The price list of each tool, pinned to the version it reproduces; loaded where one is asked for.

Each row says what its tool counts, wrong where the tool is wrong. A tool that listens to operators
has prices by kind and operator; one that hooks modules has prices by the class of the module, and
sees a class by its exact name, so that a subclass and a function call are worth nothing to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from flopcount.conventions.pricing import (
    ENTRY_KINDS,
    NO_CHARGE,
    ONE_PER_MAC,
    TWO_PER_MAC,
    Convention,
    Price,
)

_BIASED: Price = {"macs": 1, "bias_outputs": 1}
_IN: Price = {"inputs": 1}
_OUT: Price = {"outputs": 1}
# a price for each element, once more where it is scaled and shifted
_AFFINE: Price = {"inputs": 1, "affine_inputs": 1}
_FOURFOLD: Price = {"inputs": 2, "affine_inputs": 2}
_ESTIMATE: Price = {"inputs": 4, "affine_inputs": 1}


def _all(prices: Price, *names: str) -> dict[str, Price]:
    """One price under each of the names; ``Conv*d`` stands for three ranks."""
    ranks = (name.replace("*", rank) for name in names for rank in "123")
    return dict.fromkeys(ranks, prices)


def _hooked(kinds: str, classes: str, price: Price) -> dict[str, dict[str, Price]]:
    """What a module of these classes is charged for each of these kinds that it runs."""
    return {name: dict.fromkeys(kinds.split(), price) for name in _all(price, *classes.split())}


_CONV = "Conv*d"
_DECONV = "ConvTranspose*d"
_BATCH = "BatchNorm*d"
_INSTANCE = "InstanceNorm*d"
_AVERAGE = "global_avg_pool adaptive_avg_pool"
_POOLS = (
    _hooked("max_pool", "MaxPool*d AdaptiveMaxPool*d", _IN)
    | _hooked("avg_pool", "AvgPool*d", _IN)
    | _hooked(_AVERAGE, "AdaptiveAvgPool*d", _IN)
)


def _recurrent(weights: int, states: tuple[int, int, int]) -> dict[str, dict[str, Price]]:
    """Prices of RNN, GRU and LSTM: weights and biases once a step, and so much a hidden element."""
    names = zip(("RNN", "GRU", "LSTM"), states, strict=True)
    return {
        name: {"rnn": {"weight_steps": weights, "bias_steps": 1, "states": each}}
        for name, each in names
    }


def _row(
    name: str,
    says: str,
    source: str,
    unit: Literal["macs", "flops"],
    prices: Mapping[str, Price],
    operators: Mapping[str, Price] | None = None,
    modules: Mapping[str, Mapping[str, Price]] | None = None,
    batch: Literal["total", "modules", "sample"] = "total",
    refused: frozenset[str] = frozenset(),
) -> Convention:
    """A row: what it neither prices nor refuses is worth nothing to its tool."""
    free = ENTRY_KINDS - prices.keys() - refused
    return Convention(name, says, source, unit, prices, free, operators or {}, modules or {}, batch)


def _named(operators: str, price: Price) -> dict[str, Price]:
    return dict.fromkeys(operators.split(), price)


def _fvcore() -> Convention:
    return _row(
        "fvcore",
        "multiply-adds, and some operations for each element of a normalization or a mean",
        "fvcore.nn.FlopCountAnalysis, fvcore 0.1.5.post20221221; mmengine's is the same",
        "macs",
        dict.fromkeys(("conv", "linear", "matmul"), ONE_PER_MAC)
        | {"batch_norm": _AFFINE}
        | dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), _ESTIMATE)
        | {"global_avg_pool": _IN, "adaptive_avg_pool": _IN, "interpolate": _OUT},
        _named("mv addmv dot vdot inner baddbmm addbmm", NO_CHARGE)
        | _named("adaptive_avg_pool1d adaptive_avg_pool3d", NO_CHARGE)
        | _named("upsample_nearest1d upsample_nearest3d upsample_linear1d", NO_CHARGE)
        | _named("upsample_bicubic2d upsample_trilinear3d", NO_CHARGE)
        | _named("upsample_bilinear2d grid_sample grid_sampler", {"outputs": 4}),
    )


def _ptflops_modules() -> dict[str, dict[str, Price]]:
    norms = _hooked("batch_norm", _BATCH, _AFFINE) | _hooked("instance_norm", _INSTANCE, _AFFINE)
    heads: dict[str, Price] = {
        "linear": _BIASED,
        # both products, the scaled queries and the softmax
        "attention": {"macs": 1, "outputs": 1, "scores": 1},
        "matmul": ONE_PER_MAC,
        "mul": _OUT,
        "softmax": _IN,
    }
    return (
        _hooked("conv", _CONV, _BIASED)
        | _hooked("linear", "Linear", _BIASED)
        | _hooked("relu", "ReLU", _OUT)
        | _hooked("relu6 activation", "ReLU6", _OUT)
        | _hooked("activation", "PReLU ELU LeakyReLU GELU", _OUT)
        | _POOLS
        | norms
        | _hooked("group_norm", "GroupNorm", _AFFINE)
        | _hooked("interpolate", "Upsample", _OUT)
        | {"MultiheadAttention": heads}
    )


def _ptflops() -> tuple[Convention, ...]:
    pools = ("max_pool", "avg_pool", "global_avg_pool", "adaptive_avg_pool")
    return (
        _row(
            "ptflops",
            "multiply-adds and biases of modules for one sample; elements of activations,"
            " pools and normalizations, twice where a module calls a function it also counts",
            "ptflops.get_model_complexity_info, PyTorch backend, ptflops 0.7.5",
            "macs",
            {"matmul": ONE_PER_MAC, "relu": _IN, "softmax": _IN, "interpolate": _OUT}
            | dict.fromkeys(pools, _IN),
            _named("prelu elu gelu silu relu6", _IN)
            | _named("addmm baddbmm", {"macs": 1, "outputs": 1})
            | _named("einsum mv addmv dot vdot inner addbmm log_softmax softmin", NO_CHARGE),
            _ptflops_modules()
            | _hooked("conv", _DECONV, _BIASED)
            | _hooked("layer_norm", "LayerNorm", _IN)
            | _recurrent(1, (1, 7, 10)),
            "modules",
        ),
        _row(
            "ptflops-aten",
            "multiply-adds and biases of convolutions, linear maps and matrix products",
            "ptflops.get_model_complexity_info, ATen backend, ptflops 0.7.5; pycls is the same",
            "macs",
            {"conv": _BIASED, "linear": _BIASED, "matmul": ONE_PER_MAC, "rnn": ONE_PER_MAC},
            _named("mv addmv dot vdot inner baddbmm lstm", NO_CHARGE),
        ),
    )


def _thop_modules() -> dict[str, dict[str, Price]]:
    """What both of the two count alike."""
    softmax: Price = {"inputs": 3, "vectors": -1}
    return (
        _hooked("conv", _CONV, ONE_PER_MAC)
        | _hooked("batch_norm", f"{_BATCH} SyncBatchNorm", _FOURFOLD)
        | _hooked("instance_norm", _INSTANCE, _FOURFOLD)
        | _hooked("layer_norm", "LayerNorm", _FOURFOLD)
        | _hooked("activation", "PReLU", _IN)
        | _hooked("softmax", "Softmax", softmax)
        | _hooked("interpolate", "UpsamplingBilinear2d", {"outputs": 11})
        | _recurrent(1, (1, 7, 8))
    )


def _thop() -> tuple[Convention, ...]:
    average: Price = {"inputs": 1, "outputs": 1}
    windows: Price = {"windows": 1, "outputs": 1}
    return (
        _row(
            "thop",
            "multiply-adds of modules; four for each element of a batch normalization",
            "thop.profile, thop 0.1.1.post2209072238",
            "macs",
            {},
            None,
            _thop_modules()
            | _hooked("conv", _DECONV, {"weight_positions": 1})
            | _hooked("linear", "Linear", ONE_PER_MAC)
            | _hooked("avg_pool", "AvgPool*d", _OUT)
            | _hooked(_AVERAGE, "AdaptiveAvgPool*d", average)
            | _hooked("interpolate", "Upsample UpsamplingNearest2d", _OUT),
        ),
        _row(
            "thop-ultralytics",
            "multiply-adds of modules, of linear maps and of matrix products; four for each element"
            " of a normalization, one for each element under an average",
            "thop.profile, ultralytics-thop 2.2.3",
            "macs",
            {"linear": ONE_PER_MAC, "matmul": ONE_PER_MAC, "attention": ONE_PER_MAC},
            _named("mm addmm mv addmv dot vdot inner baddbmm addbmm", NO_CHARGE),
            _thop_modules()
            | _hooked("conv", _DECONV, ONE_PER_MAC)
            | _hooked("group_norm", "GroupNorm", _FOURFOLD)
            # it sees subclasses; this is torchvision's of LayerNorm
            | _hooked("layer_norm", "torchvision.models.convnext.LayerNorm2d", _FOURFOLD)
            | _hooked("norm", "RMSNorm", _FOURFOLD)
            | _hooked("avg_pool", "AvgPool*d", windows)
            | _hooked(_AVERAGE, "AdaptiveAvgPool*d", windows)
            | _hooked("bilinear", "Bilinear", ONE_PER_MAC)
            | {"MultiheadAttention": {"attention": {"scores": 3, "vectors": -1}}},
        ),
    )


def _torchinfo() -> Convention:
    each: Price = {"weight_rows": 1, "bias_rows": 1}
    steps: Price = {"weight_steps": 1, "bias_steps": 1}
    positions: Price = {"weight_positions": 1, "bias_positions": 1}
    return _row(
        "torchinfo",
        "parameters of the innermost modules, at each output position of a convolution and once"
        " a sample of all else",
        "torchinfo.summary, total_mult_adds, torchinfo 1.8.0",
        "macs",
        {},
        None,
        _hooked("conv", f"{_CONV} {_DECONV}", positions)
        | _hooked("conv", "torchvision.ops.deform_conv.DeformConv2d", positions)
        | _hooked("linear", "Linear", each)
        | _hooked("bilinear", "Bilinear", each)
        | _hooked("batch_norm", f"{_BATCH} SyncBatchNorm", each)
        | _hooked("instance_norm", _INSTANCE, each)
        | _hooked("layer_norm", "LayerNorm torchvision.models.convnext.LayerNorm2d", each)
        | _hooked("group_norm", "GroupNorm", each)
        | _hooked("norm", "RMSNorm", each)
        | _hooked("activation", "PReLU", each)
        | _hooked("embedding", "Embedding", each)
        | _hooked("rnn", "RNN GRU LSTM RNNCell GRUCell LSTMCell", steps),
    )


def _torchprofile() -> Convention:
    affine: Price = {"affine_inputs": 1}
    norms = ("batch_norm", "layer_norm", "group_norm", "instance_norm")
    means = ("avg_pool", "global_avg_pool", "adaptive_avg_pool")
    return _row(
        "torchprofile",
        "multiply-adds; one for each output of an affine normalization, an average and a product",
        "torchprofile.profile_macs, torchprofile 0.1.0",
        "macs",
        dict.fromkeys(("conv", "linear", "matmul", "attention"), ONE_PER_MAC)
        | dict.fromkeys(norms, affine)
        | dict.fromkeys(means, _OUT),
        _named("conv_transpose1d conv_transpose2d conv_transpose3d", {"weight_positions": 1})
        | _named("mm mv dot vdot inner addbmm", NO_CHARGE)
        | _named("mean mul leaky_relu", _OUT)
        | {"lstm": ONE_PER_MAC, "upsample_bilinear2d": {"outputs": 4}},
    )


def _deepspeed_prices() -> dict[str, Price]:
    biased: Price = {"macs": 2, "bias_outputs": 1}
    # A size that is given is taken for the whole output.
    sites: Price = {"sites": 1}
    pools = ("max_pool", "avg_pool", "global_avg_pool", "adaptive_avg_pool")
    return (
        {"conv": biased, "batch_norm": _AFFINE, "relu": _IN, "softmax": _IN, "interpolate": sites}
        | dict.fromkeys(("linear", "matmul", "attention"), TWO_PER_MAC)
        | dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), _ESTIMATE)
        | dict.fromkeys(pools, _IN)
    )


def _deepspeed() -> tuple[Convention, ...]:
    uncounted = _named("mv addmv dot vdot inner addbmm", NO_CHARGE)
    addend: Price = {"macs": 2, "outputs": 1}
    # A module mostly has a factor, and then every element counts.
    scaled: Price = {"outputs": 1, "sites": -1}
    return (
        _row(
            "deepspeed-flops",
            "floating-point operations: two for each multiply-add, some for each element of an"
            " activation, a pool or a normalization",
            "deepspeed.profiling.flops_profiler.get_model_profile, deepspeed 0.19.8; calflops'"
            " are the same but for attention, matrix products and transposed convolutions",
            "flops",
            _deepspeed_prices(),
            _named("prelu elu leaky_relu silu gelu relu6", _IN)
            | _named("addmm baddbmm", addend)
            | _named("log_softmax softmin", NO_CHARGE)
            | uncounted,
            _hooked("interpolate", "Upsample UpsamplingNearest2d UpsamplingBilinear2d", scaled)
            | _recurrent(2, (-1, 1, 2)),
        ),
        _row(
            "deepspeed-macs",
            "multiply-adds of convolutions, linear maps and matrix products",
            "deepspeed.profiling.flops_profiler.get_model_profile, deepspeed 0.19.8",
            "macs",
            dict.fromkeys(("conv", "linear", "matmul", "attention"), ONE_PER_MAC),
            {"einsum": NO_CHARGE} | uncounted,
        ),
    )


def _torch_pruning() -> Convention:
    once: Price = {"macs": 1, "bias": 1}
    deconv: Price = {"weight_positions": 1, "bias_outputs": 1}
    return _row(
        "torch-pruning",
        "multiply-adds and biases of modules for one sample; elements of activations, pools and"
        " normalizations",
        "torch_pruning.utils.count_ops_and_params, torch-pruning 1.6.1",
        "macs",
        {},
        None,
        _ptflops_modules()
        | _hooked("conv", _DECONV, deconv)
        | _hooked("linear", "Linear", once)
        | _hooked("layer_norm", "LayerNorm", _AFFINE),
        "sample",
        # what it charges takes the features of a sequence for its steps
        frozenset({"rnn"}),
    )


#: Every tool's convention but torch's own, in the order in which they are listed.
TOOLS: tuple[Convention, ...] = (
    _fvcore(),
    *_ptflops(),
    *_thop(),
    _torchinfo(),
    _torchprofile(),
    *_deepspeed(),
    _torch_pruning(),
)
