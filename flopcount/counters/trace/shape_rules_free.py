"""Rules of functions that multiply nothing: what comes out of them, and what they read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flopcount.counters import operators
from flopcount.counters.operators import Sizes
from flopcount.counters.trace.shape_rules import LIKE, RuleResult, ShapeRule, hashed


def alike(kind: str, operator: str) -> ShapeRule:
    """The rule of functions whose result is as large as their first argument."""

    def rule(input: Any, *options: Any, inplace: bool = False, **more: Any) -> RuleResult | None:
        if more and (more.get("dtype") is not None or more.get("out") is not None):
            return None
        if (options or more) and any(isinstance(x, Tensor) for x in (*options, *more.values())):
            return None
        dtype = input.dtype
        if not dtype.is_floating_point:
            return None
        size = None if inplace is True else LIKE
        return RuleResult(kind, operator, (input,), size, dtype)

    return rule


def in_place(kind: str, operator: str) -> ShapeRule:
    """The rule of methods that write on their own tensor; what else they read goes in as well."""

    def rule(input: Any, *others: Any, **more: Any) -> RuleResult | None:
        read = tuple(x for x in others if isinstance(x, Tensor))
        return RuleResult(kind, operator, (input, *read), None, None)

    return rule


def pairwise(kind: str, operator: str, many: str | None = None) -> ShapeRule:
    """The rule of functions of two operands, either of which may be a number.

    ``many`` is the kind where both are tensors.
    """

    def rule(input: Any, other: Any = None, **more: Any) -> RuleResult | None:
        if more or other is None:
            return None
        if isinstance(other, Tensor):
            if not isinstance(input, Tensor):
                if not other.dtype.is_floating_point or isinstance(input, complex):
                    return None
                return RuleResult(kind, operator, (other,), LIKE, other.dtype)
            dtype, theirs = input.dtype, other.shape
            size: Sizes = input.shape
            if dtype is other.dtype and size == theirs:
                size = LIKE
            else:
                dtype = torch.result_type(input, other)
                size = operators.broadcast(size, theirs)
            if not dtype.is_floating_point:
                return None
            return RuleResult(many or kind, operator, (input, other), size, dtype)
        dtype = input.dtype
        if not dtype.is_floating_point or isinstance(other, complex):
            return None
        return RuleResult(kind, operator, (input,), LIKE, dtype)

    return rule


def channel_norm(operator: str) -> ShapeRule:
    """The rule of ``batch_norm`` or ``instance_norm``: statistics, then a weight and a bias."""

    def rule(
        input: Any,
        running_mean: Any = None,
        running_var: Any = None,
        weight: Any = None,
        bias: Any = None,
        *options: Any,
        **more: Any,
    ) -> RuleResult | None:
        if weight is not None and weight.shape[0] != input.shape[1]:
            return None
        dtype = input.dtype
        return RuleResult(operator, operator, (input,), LIKE, dtype, weight=weight, bias=bias)

    return rule


def affine_norm(kind: str, operator: str) -> ShapeRule:
    """The rule of ``layer_norm``, ``group_norm`` or ``rms_norm``: sizes or groups, then weights."""

    def rule(
        input: Any, over: Any, weight: Any = None, bias: Any = None, *options: Any, **more: Any
    ) -> RuleResult | None:
        if kind == "norm":
            # the third of rms_norm is all it has
            bias = None
        if kind == "group_norm":
            if input.shape[1] % over:
                return None
        elif tuple(over) != input.shape[-len(over) :]:
            return None
        return RuleResult(
            kind, operator, (input,), input.shape, input.dtype, weight=weight, bias=bias
        )

    return rule


def pool(kind: str, axes: int) -> ShapeRule:
    """The rule of maximum and average pooling."""
    operator = f"{kind}{axes}d"

    def rule(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> RuleResult | None:
        if return_indices or not axes < len(input.shape) < axes + 3:
            return None
        halves = zip(operators.each(kernel_size, axes), operators.each(padding, axes), strict=True)
        if any(2 * p > k for k, p in halves):
            return None
        step = kernel_size if stride is None or stride == () else stride
        options = map(hashed, (kernel_size, step, padding, dilation, ceil_mode, axes))
        out, under = operators.pooled(input.shape, *options)
        return RuleResult(kind, operator, (input,), out, input.dtype, windows=under)

    def average(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        *options: Any,
        **more: Any,
    ) -> RuleResult | None:
        return rule(input, kernel_size, stride, padding, 1, ceil_mode)

    return rule if kind == "max_pool" else average


def adaptive_avg_pool(axes: int) -> ShapeRule:
    """The rule of adaptive average pooling; to one position, it is global average pooling."""
    operator = f"adaptive_avg_pool{axes}d"

    def rule(input: Any, output_size: Any) -> RuleResult | None:
        sizes = (output_size,) * axes if isinstance(output_size, int) else tuple(output_size)
        own = input.shape[-axes:]
        sizes = tuple(s if wanted is None else wanted for s, wanted in zip(own, sizes, strict=True))
        outer = input.shape[:-axes]
        under = outer.numel()
        for size, wanted in zip(own, sizes, strict=True):
            ends = ((i * size // wanted, -(-(i + 1) * size // wanted)) for i in range(wanted))
            under *= sum(end - start for start, end in ends)
        kind = "global_avg_pool" if set(sizes) == {1} else "adaptive_avg_pool"
        return RuleResult(kind, operator, (input,), (*outer, *sizes), input.dtype, windows=under)

    return rule


def hardtanh(
    input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> RuleResult | None:
    """The rule of ``hardtanh``, which is ReLU6 between 0 and 6."""
    if not input.dtype.is_floating_point:
        return None
    kind = "relu6" if (min_val, max_val) == (0, 6) else "activation"
    size = None if inplace else input.shape
    return RuleResult(kind, "hardtanh", (input,), size, input.dtype)


def softmax(operator: str) -> ShapeRule:
    """The rule of ``softmax`` and ``log_softmax``."""

    def rule(
        input: Any, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None
    ) -> RuleResult | None:
        if isinstance(_stacklevel, torch.dtype):
            dtype = _stacklevel
        kind = dtype if dtype is not None else input.dtype
        rank = len(input.shape)
        if not kind.is_floating_point or not (dim is None or -rank <= dim < max(rank, 1)):
            return None
        return RuleResult("softmax", operator, (input,), input.shape, kind)

    return rule


def reduction(operator: str) -> ShapeRule:
    """The rule of reductions such as ``mean`` and ``sum``."""

    def rule(
        input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **more: Any
    ) -> RuleResult | None:
        kind = input.dtype if dtype is None else dtype
        if more or not kind.is_floating_point or not isinstance(keepdim, bool):
            return None
        dims = tuple(dim) if isinstance(dim, list) else dim
        if dims is not None and not isinstance(dims, (int, tuple)):
            return None
        out = operators.reduced(input.shape, dims, keepdim)
        return RuleResult("reduce", operator, (input,), out, kind)

    return rule


def concat(tensors: Any, dim: Any = 0, **more: Any) -> RuleResult | None:
    """The rule of ``cat``."""
    tensors = tuple(tensors)
    dtype = tensors[0].dtype
    if more or not isinstance(dim, int) or any(x.dtype is not dtype for x in tensors):
        return None
    if not dtype.is_floating_point:
        return None
    out = operators.concatenated(tuple(x.shape for x in tensors), dim)
    return RuleResult("concat", "cat", tensors, out, dtype)


def stack(tensors: Any, dim: int = 0, **more: Any) -> RuleResult | None:
    """The rule of ``stack``."""
    tensors = tuple(tensors)
    first = tensors[0]
    if more or not first.dtype.is_floating_point:
        return None
    if any(x.shape != first.shape or x.dtype is not first.dtype for x in tensors):
        return None
    at = dim % (first.dim() + 1)
    out = (*first.shape[:at], len(tensors), *first.shape[at:])
    return RuleResult("concat", "stack", tensors, out, first.dtype)


def pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> RuleResult | None:
    """The rule of ``pad``."""
    if not input.dtype.is_floating_point:
        return None
    out = operators.padded(input.shape, tuple(pad))
    return RuleResult("pad", "pad", (input,), out, input.dtype)


def roll(input: Any, shifts: Any, dims: Any = None) -> RuleResult | None:
    """The rule of ``roll``."""
    if not input.dtype.is_floating_point:
        return None
    return RuleResult("index", "roll", (input,), input.shape, input.dtype)


def embedding(input: Any, weight: Any, *options: Any, **more: Any) -> RuleResult | None:
    """The rule of ``embedding``."""
    if input.dtype.is_floating_point:
        return None
    out = (*input.shape, weight.shape[1])
    return RuleResult("embedding", "embedding", (input,), out, weight.dtype, weight=weight)


# The axes of the modes that are of one rank alone.
_MODE_AXES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> RuleResult | None:
    """The rule of ``interpolate``."""
    axes = input.dim() - 2
    if axes < 1 or not input.dtype.is_floating_point or isinstance(size, Tensor):
        return None
    if size is not None:
        sizes = (size,) * axes if isinstance(size, int) else tuple(size)
        if not all(type(s) is int for s in sizes):
            return None
    elif isinstance(scale_factor, (int, float)):
        sizes = tuple(int(s * scale_factor) for s in input.shape[2:])
    else:
        pairs = zip(input.shape[2:], scale_factor, strict=True)
        sizes = tuple(int(s * float(factor)) for s, factor in pairs)
    if len(sizes) != axes or _MODE_AXES.get(mode, axes) != axes or min(sizes) < 1:
        return None
    out = (*input.shape[:2], *sizes)
    operator = f"upsample_{mode.replace('-', '_')}"
    if mode.startswith("nearest") or mode in _MODE_AXES:
        operator = f"{operator}{axes}d"
    return RuleResult("interpolate", operator, (input,), out, input.dtype)
