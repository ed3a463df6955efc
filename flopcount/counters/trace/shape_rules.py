"""What a call of a torch function comes to, from the shapes of its arguments.

Each rule has the signature of its function, and gives a `RuleResult`, or None where it is not
sure: then the function speaks for itself, on the meta device. Only sizes, ranks
and types of elements are read, never a value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor

from flopcount.counters import operators
from flopcount.counters.operators import OperatorCost, Sizes


class RuleResult(NamedTuple):
    """What a call of a torch function comes to.

    ``size`` are the sizes of its result: `LIKE` those of the first input, None the first input
    itself, written in place. ``macs`` are multiply-adds [MAC], ``windows`` elements under windows.
    """

    kind: str
    operator: str
    ins: tuple[Any, ...]
    size: Sizes | None
    dtype: Any
    macs: int = 0
    weight: Tensor | None = None
    bias: Tensor | None = None
    windows: int = 0


ShapeRule: TypeAlias = Callable[..., RuleResult | None]
#: In the place of the sizes of a result: it has those and the type of the first input, and lies in
#: memory as that does.
LIKE: Sizes = (-1,)

_PADDING_NAMES = ("same", "valid")


@lru_cache(operators.REMEMBERED)
def convolved(
    x: Sizes, w: Sizes, stride: Any, padding: Any, dilation: Any, groups: int
) -> OperatorCost | None:
    """What a convolution makes and costs, or None where torch would have something to say."""
    axes = len(w) - 2
    if len(x) < axes + 1 or x[-axes - 1] != w[1] * groups or w[0] % groups:
        return None
    if padding == "same" and stride not in (1, (1,) * axes):
        return None
    if type(padding) is str and padding not in _PADDING_NAMES:
        return None
    return operators.conv(x, w, stride, padding, dilation)


def convolution(axes: int) -> ShapeRule:
    """The rule of ``conv1d``, ``conv2d`` or ``conv3d``."""
    operator = f"conv{axes}d"

    def rule(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> RuleResult | None:
        x, w, dtype = input.shape, weight.shape, input.dtype
        if len(w) != axes + 2 or dtype is not weight.dtype:
            return None
        cost = convolved(x, w, hashed(stride), hashed(padding), hashed(dilation), groups)
        if cost is None:
            return None
        return RuleResult("conv", operator, (input,), cost.out, dtype, cost.macs, weight, bias)

    return rule


def transposed(axes: int) -> ShapeRule:
    """The rule of ``conv_transpose1d``, ``conv_transpose2d`` or ``conv_transpose3d``."""
    operator = f"conv_transpose{axes}d"

    def rule(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> RuleResult | None:
        x, w = input.shape, weight.shape
        if len(w) != axes + 2 or w[0] % groups or input.dtype is not weight.dtype:
            return None
        options = map(hashed, (stride, padding, output_padding, groups, dilation))
        out, macs = operators.conv_transpose(x, w, *options)
        return RuleResult("conv", operator, (input,), out, input.dtype, macs, weight, bias)

    return rule


def linear(input: Any, weight: Any, bias: Any = None) -> RuleResult | None:
    """The rule of ``linear``."""
    if input.dtype is not weight.dtype:
        return None
    out, macs = operators.linear(input.shape, weight.shape)
    return RuleResult("linear", "linear", (input,), out, input.dtype, macs, weight, bias)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> RuleResult | None:
    """The rule of ``bilinear``."""
    out, macs = operators.bilinear(input1.shape, input2.shape, weight.shape)
    return RuleResult(
        "bilinear", "bilinear", (input1, input2), out, input1.dtype, macs, weight, bias
    )


def product(operator: str, ranks: tuple[int, int] | None = None) -> ShapeRule:
    """The rule of ``matmul``, ``mm``, ``bmm``, ``mv`` and ``dot``, each with its ranks."""

    def rule(input: Any, other: Any, **more: Any) -> RuleResult | None:
        a, b = input.shape, other.shape
        if (
            more
            or input.dtype is not other.dtype
            or (ranks is not None and (len(a), len(b)) != ranks)
        ):
            return None
        if operator == "bmm" and a[0] != b[0]:
            return None
        out, macs = operators.matmul(a, b)
        return RuleResult("matmul", operator, (input, other), out, input.dtype, macs)

    return rule


def product_and_sum(operator: str, rank: int, second: int | None = None) -> ShapeRule:
    """The rule of ``addmm``, ``baddbmm`` and ``addmv``: a product, and a tensor added to it."""

    def rule(input: Any, left: Any, right: Any, **more: Any) -> RuleResult | None:
        a, b = left.shape, right.shape
        if set(more) - {"beta", "alpha"} or len(a) != rank or len(b) != (second or rank):
            return None
        if rank == 3 and a[0] != b[0]:
            return None
        out, macs = operators.matmul(a, b)
        if operators.broadcast(input.shape, out) != out:
            return None
        return RuleResult("matmul", operator, (left, right, input), out, left.dtype, macs)

    return rule


def grouped(
    mat_a: Any, mat_b: Any, offs: Any = None, bias: Any = None, out_dtype: Any = None
) -> RuleResult | None:
    """The rule of ``grouped_mm``: of the offsets, only their number is asked."""
    out, macs = operators.grouped(mat_a.shape, mat_b.shape, 1 if offs is None else len(offs))
    ins = (mat_a, mat_b) if offs is None else (mat_a, mat_b, offs)
    dtype = mat_a.dtype if out_dtype is None else out_dtype
    return RuleResult("matmul", "grouped_mm", ins, out, dtype, macs, bias=bias)


def attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> RuleResult | None:
    """The rule of ``scaled_dot_product_attention``."""
    heads = query.shape[:-2], key.shape[:-2]
    if not enable_gqa and heads[0] != heads[1] and 1 not in (*heads[0][-1:], *heads[1][-1:]):
        return None
    out, macs = operators.attention(query.shape, key.shape, value.shape)
    ins = (query, key, value) if attn_mask is None else (query, key, value, attn_mask)
    name = "scaled_dot_product_attention"
    return RuleResult("attention", name, ins, out, query.dtype, macs)


def hashed(value: Any) -> Any:
    """An option as a key: a list, as torch takes it too, as a tuple."""
    return tuple(value) if isinstance(value, list) else value
