"""Fast paths: the layers that most models are made of, answered without calling torch at all.

A layer of exactly one of these classes does what its class says, and what its call would come to
is known from its own attributes. Whatever is not plain about it, or about what it is given, goes
the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from torch import Tensor, nn

from flopcount.counters import operators
from flopcount.counters.operator_kinds import FREE_OPERATORS
from flopcount.counters.trace import shape_rules_free
from flopcount.counters.trace.shape_rules import LIKE, RuleResult, convolved
from flopcount.entries import VIEW_KINDS

#: What a call of a layer comes to, from the layer and its inputs; None where it is not sure, and
#: `PASSED_THROUGH` where what comes out is what went in.
FastPath: TypeAlias = Callable[..., RuleResult | tuple[()] | None]
PASSED_THROUGH: tuple[()] = ()


# Those that most layers are give the fields of a `RuleResult` as a plain tuple, and do not ask the
# rule of their function: that took 0.5 to 0.8 us more a layer, 12 % of a count of ResNet-50.
def _conv(axes: int) -> FastPath:
    operator = f"conv{axes}d"

    def path(m: Any, x: Any) -> Any:
        own = m._parameters
        weight, bias, dtype = own["weight"], own["bias"], x.dtype
        if m.padding_mode != "zeros" or dtype is not weight.dtype:
            return None
        cost = convolved(x.shape, weight.shape, m.stride, m.padding, m.dilation, m.groups)
        if cost is None:
            return None
        return ("conv", operator, (x,), cost[0], dtype, cost[1], weight, bias, 0)

    return path


def _batch_norm(rank: int) -> FastPath:
    def path(m: Any, x: Any) -> Any:
        own, size = m._parameters, x.shape
        weight = own["weight"]
        if len(size) != rank or (weight is not None and weight.shape[0] != size[1]):
            return None
        return ("batch_norm", "batch_norm", (x,), LIKE, x.dtype, 0, weight, own["bias"], 0)

    return path


def _alike(kind: str, operator: str) -> FastPath:
    def path(m: Any, x: Any) -> Any:
        dtype = x.dtype
        if not dtype.is_floating_point:
            return None
        size = None if m.__dict__.get("inplace") is True else LIKE
        return (kind, operator, (x,), size, dtype, 0, None, None, 0)

    return path


def _linear(m: Any, x: Any) -> Any:
    own, dtype = m._parameters, x.dtype
    weight = own["weight"]
    if dtype is not weight.dtype:
        return None
    out, macs = operators.linear(x.shape, weight.shape)
    return ("linear", "linear", (x,), out, dtype, macs, weight, own["bias"], 0)


def _layer_norm(m: Any, x: Any) -> Any:
    own, over, size = m._parameters, m.normalized_shape, x.shape
    if size[-len(over) :] != over:
        return None
    return ("layer_norm", "layer_norm", (x,), size, x.dtype, 0, own["weight"], own["bias"], 0)


_max_pool = shape_rules_free.pool("max_pool", 2)
_avg_pool = shape_rules_free.pool("avg_pool", 2)
_adaptive = shape_rules_free.adaptive_avg_pool(2)

#: The layers that have a fast path, by their exact class.
FAST_PATHS: Mapping[type, FastPath] = MappingProxyType(
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
        nn.Identity: lambda m, x: PASSED_THROUGH,
        nn.AdaptiveAvgPool2d: lambda m, x: _adaptive(x, m.output_size),
    }
)

#: Of those, the layers that in training write on themselves: they count the batches they saw.
COUNTING = (nn.BatchNorm2d, nn.BatchNorm3d)


class FastPaths(dict[type, "FastPath | None"]):
    """The fast path of every class, or None; one of another's says by ``free_size`` what it makes.

    ``free_size(self, *sizes)`` gives the sizes of the result from those of the inputs; of a class
    that says ``free_kind`` besides, has neither parameters nor parts, and makes one tensor of the
    type of its first input.
    """

    def __init__(self, known: Mapping[type, FastPath | None], asks: bool) -> None:
        super().__init__(known)
        self._asks = asks

    def __missing__(self, kind: type) -> FastPath | None:
        found = None
        if self._asks and callable(getattr(kind, "free_size", None)) and called_plainly(kind):
            free = getattr(kind, "free_kind", None)
            found = _free(free) if isinstance(free, str) and free not in VIEW_KINDS else None
        self[kind] = found
        return found


def called_plainly(kind: type) -> bool:
    """Whether a call of a module of that class comes to its forward method and nothing else."""
    return issubclass(kind, nn.Module) and kind.__call__ is nn.Module.__call__


def operator_like(kind: str) -> str:
    """The operator that what is free and of a kind is, to whoever prices operators; "" for none."""
    return kind if FREE_OPERATORS.get(kind) == kind else ""


def _free(kind: str) -> FastPath:
    operator = operator_like(kind)

    def direct(m: Any, *inputs: Any) -> RuleResult | None:
        first = inputs[0]
        if m._parameters or m._buffers or m._modules:
            return None
        if not all(type(x) is Tensor and x.is_meta and x.dtype is first.dtype for x in inputs):
            return None
        size = tuple(m.free_size(*(x.shape for x in inputs)))
        return RuleResult(kind, operator, inputs, size, first.dtype)

    return direct
