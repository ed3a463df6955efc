"""A tensor that attends to itself: what `nn.MultiheadAttention` comes to, without running it.

Its forward method asks and rearranges much before it multiplies. Where it is given one tensor, no
masks, and asked for no weights, what it writes down is known from the sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flopcount.counters.trace import shape_rules
from flopcount.counters.trace.shape_rules import RuleResult

if TYPE_CHECKING:
    from torch import Tensor

    from flopcount.counters.trace.function_mode import FunctionMode
    from flopcount.counters.trace.records import Args, Kwargs

_ABSENT = {"key_padding_mask": None, "attn_mask": None, "is_causal": False}


def attends_to_itself(args: Args, kwargs: Kwargs) -> bool:
    """Whether a call is of one batch ``(n, t, e)`` or ``(t, n, e)``, unmasked, without weights."""
    if len(args) != 3 or not args[0] is args[1] is args[2] or len(args[0].shape) != 3:
        return False
    return kwargs.get("need_weights") is False and all(
        kwargs.get(name, absent) is absent for name, absent in _ABSENT.items()
    )


def attend(mode: FunctionMode, module: Any, x: Tensor) -> Tensor | None:
    """Write a whole call of `nn.MultiheadAttention` down; None where it is not a plain one.

    Raises KeyError where a weight is not where it is put by its class.
    """
    own, last = module._parameters, module.out_proj._parameters
    e, heads, first = module.embed_dim, module.num_heads, module.batch_first
    weights, biases = (own["in_proj_weight"], last["weight"]), (own["in_proj_bias"], last["bias"])
    extra = own.get("bias_k") is not None or own.get("bias_v") is not None or module.add_zero_attn
    if mode.options.everywhere or extra or not _fit(x, e, heads, weights):
        return None
    # (n, t, e) -> (t, n, e), weight (3e, e) -> (t, n, 3e) -> (3, t, n, e)
    steps = _renamed(mode, x, x.transpose(0, 1)) if first else x
    t, n, _ = steps.shape
    together = mode.answer(shape_rules.linear(steps, weights[0], biases[0]))
    three = _renamed(mode, together, together.view(t, n, 3, e).permute(2, 0, 1, 3))
    packed = _dense(mode, three, (3, t, n, e), "contiguous")
    # (3, t, n, e) -> three times (n, heads, t, e/heads) -> (n, heads, t, e/heads)
    split = packed.view(3, t, n, heads, e // heads).permute(0, 2, 3, 1, 4).unbind(0)
    mode.recorder.write_view(packed, split)
    query, key, value = split
    mapped = mode.answer(shape_rules.attention(query, key, value))
    # (n, heads, t, e/heads) -> (t*n, e), weight (e, e)
    rows = _dense(mode, _renamed(mode, mapped, mapped.permute(2, 0, 1, 3)), (t * n, e), "reshape")
    flat = mode.answer(shape_rules.linear(rows, weights[1], biases[1]))
    out = _renamed(mode, flat, flat.view(t, n, e))
    return _renamed(mode, out, out.transpose(0, 1)) if first else out


def _fit(x: Tensor, e: int, heads: int, weights: tuple[Any, Any]) -> bool:
    """Whether every product that is to come is one that torch would make."""
    shapes = ((3 * e, e), (e, e))
    return (
        x.shape[2] == e
        and e % heads == 0
        # heads of one element may lie so that nothing need be copied
        and e > heads
        and all(w is not None and w.dtype is x.dtype for w in weights)
        and all(w.shape == shape for w, shape in zip(weights, shapes, strict=True))
    )


def _renamed(mode: FunctionMode, tensor: Tensor, view: Tensor) -> Tensor:
    mode.recorder.write_view(tensor, (view,))
    return view


def _dense(mode: FunctionMode, tensor: Tensor, size: tuple[int, ...], operator: str) -> Tensor:
    """The tensor in another size: a view where its elements lie in order, else a copy."""
    if tensor.is_contiguous():
        # torch's contiguous() is then the tensor itself
        return tensor if tensor.shape == size else _renamed(mode, tensor, tensor.view(size))
    copied: Tensor = mode.answer(RuleResult("copy", operator, (tensor,), size, tensor.dtype))
    return copied
