"""Short cuts: the layers that most models are made of, judged without calling torch at all.

A layer of exactly one of these classes does what its class says, and what its call would come to
is known from its own attributes. Whatever is not plain about it, or about what it is given, goes
the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from torch import nn

from flopcount.trace import free, judges
from flopcount.trace.judges import Found

#: What a call of a layer on one tensor comes to; None where it is not sure.
Direct: TypeAlias = Callable[[Any, Any], "Found | None"]


def _conv(axes: int) -> Direct:
    judge = judges.convolution(axes)

    def direct(m: Any, x: Any) -> Found | None:
        own = m._parameters
        if m.padding_mode != "zeros" or "weight" not in own or "bias" not in own:
            return None
        return judge(x, own["weight"], own["bias"], m.stride, m.padding, m.dilation, m.groups)

    return direct


def _batch_norm(rank: int) -> Direct:
    def direct(m: Any, x: Any) -> Found | None:
        own = m._parameters
        if len(x.shape) != rank or "weight" not in own or "bias" not in own:
            return None
        return free.batch_norm(x, None, None, own["weight"], own["bias"])

    return direct


def _linear(m: Any, x: Any) -> Found | None:
    own = m._parameters
    return judges.linear(x, own["weight"], own["bias"]) if "weight" in own else None


def _layer_norm(m: Any, x: Any) -> Found | None:
    own, over = m._parameters, m.normalized_shape
    if x.shape[-len(over) :] != over or "weight" not in own:
        return None
    ends = ("layer_norm", "layer_norm", (x,), x.shape, x.dtype)
    return (*ends, 0, own["weight"], own["bias"], 0)


def _alike(kind: str, operator: str) -> Direct:
    judge = free.alike(kind, operator)
    return lambda m, x: judge(x, inplace=m.__dict__.get("inplace", False))


_max_pool = free.pool("max_pool", 2)
_avg_pool = free.pool("avg_pool", 2)
_adaptive = free.adaptive_avg_pool(2)

#: The layers that have a short cut, by their exact class.
DIRECT: Mapping[type, Direct] = MappingProxyType(
    {
        nn.Conv1d: _conv(1),
        nn.Conv2d: _conv(2),
        nn.Conv3d: _conv(3),
        nn.BatchNorm2d: _batch_norm(4),
        nn.BatchNorm3d: _batch_norm(5),
        nn.Linear: _linear,
        nn.LayerNorm: _layer_norm,
        nn.ReLU: _alike("relu", "relu"),
        nn.ReLU6: _alike("relu6", "hardtanh"),
        nn.SiLU: _alike("activation", "silu"),
        nn.GELU: _alike("activation", "gelu"),
        nn.Sigmoid: _alike("activation", "sigmoid"),
        nn.Hardswish: _alike("activation", "hardswish"),
        nn.Hardsigmoid: _alike("activation", "hardsigmoid"),
        nn.MaxPool2d: lambda m, x: _max_pool(
            x, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices
        ),
        nn.AvgPool2d: lambda m, x: _avg_pool(x, m.kernel_size, m.stride, m.padding, m.ceil_mode),
        nn.AdaptiveAvgPool2d: lambda m, x: _adaptive(x, m.output_size),
    }
)
