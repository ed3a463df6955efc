"""The dispatch mode: the operators that torch dispatches while a function runs.

What is written in C++ or scripted calls no torch function that could be answered. Here it is seen
operator by operator, after torch has decomposed it, and every one has a rule, is free on purpose,
calls itself pointwise, or is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch._C import DisableTorchFunction
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from flopcount.counters import operators
from flopcount.counters.operator_kinds import (
    FREE_OPERATORS,
    NEEDS_VALUES,
    VIEW_OPERATORS,
    operator_of,
)
from flopcount.counters.operators import OperatorCost
from flopcount.counters.trace.recorder import Recorder
from flopcount.counters.trace.records import (
    META,
    Args,
    Call,
    DataDependentError,
    Gathered,
    Kwargs,
    Rule,
    tensors,
)

# Multiply-adds [MAC] from the arguments and the result.
_Macs: TypeAlias = Callable[[Args, Any], int]


def _of_shapes(rule: Callable[..., OperatorCost], *places: int) -> _Macs:
    """What a rule makes of the shapes of the arguments at those places."""
    return lambda args, out: rule(*(args[at].shape for at in places)).macs


_first_two = _of_shapes(operators.matmul, 0, 1)
_last_two = _of_shapes(operators.matmul, 1, 2)
_grouped = _of_shapes(operators.grouped, 0, 1)
_attention = _of_shapes(operators.attention, 0, 1, 2)


def _convolution(args: Args, out: Any) -> int:
    x, weight, transposed = args[0], args[1], len(args) > 6 and args[6] is True
    # every output sums over one filter; transposed, every input is spread by one
    return int((x if transposed else out).numel() * weight[0].numel())


def _plain_convolution(args: Args, out: Any) -> int:
    return int(out.numel() * args[1][0].numel())


def _trilinear(args: Args, out: Any) -> int:
    # nn.Bilinear: (rows, 1, i, 1), (1, o, i, j), (rows, 1, 1, j) -> (rows, o)
    expand = [list(dims) for dims in args[3:6]]
    shapes = [list(x.shape) for x in args[:3]]
    for shape, dims in zip(shapes, expand, strict=True):
        for dim in sorted(dims):
            shape.insert(dim, 1)
    rows, o, i, j = (max(sizes) for sizes in zip(*shapes, strict=True))
    return int(rows * o * (i * j + j))


def _mkldnn_rnn(args: Args, out: Any) -> int:
    steps = args[0].shape[0] * args[0].shape[1]
    return operators.recurrent(steps, [args[1].shape, args[2].shape])


def _cudnn_rnn(args: Args, out: Any) -> int:
    x = args[0]
    rows = x.shape[0] if x.dim() == 2 else x.shape[0] * x.shape[1]
    return operators.recurrent(rows, [weight.shape for weight in args[1]])


def _native_attention(args: Args, out: Any) -> int:
    query, key, value, embed, heads, _, _, out_weight = args[:8]
    n, t = query.shape[:2]
    s, head = key.shape[1], embed // heads
    inputs = n * embed * embed * (t + s + value.shape[1])
    whole = operators.attention((n, heads, t, head), (n, heads, s, head), (n, heads, s, head))
    return int(inputs + whole.macs + n * t * out_weight.numel())


def _native_encoder(args: Args, out: Any) -> int:
    x, embed, heads = args[0], args[1], args[2]
    n, t, head = x.shape[0], x.shape[1], embed // heads
    whole = operators.attention((n, heads, t, head), (n, heads, t, head), (n, heads, t, head))
    # in and out projections, and the two maps of the feed-forward part
    weights = args[3].numel() + args[5].numel() + args[14].numel() + args[16].numel()
    return int(n * t * weights + whole.macs)


_SCALED_DOT_PRODUCTS = (
    "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu"
    " _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention"
    " _scaled_dot_product_fused_attention_overrideable"
)
# Operators that multiply and add, by their whole names, with their kind.
_PRICED_OPERATORS: Mapping[str, tuple[str, _Macs]] = MappingProxyType(
    {
        name: (kind, macs)
        for kind, macs, names in (
            ("matmul", _first_two, "mm bmm mv dot vdot _int_mm _scaled_mm"),
            ("matmul", _last_two, "addmm baddbmm addmv addbmm _addmm_activation"),
            ("matmul", _grouped, "_grouped_mm _scaled_grouped_mm"),
            ("conv", _convolution, "convolution _convolution convolution_overrideable"),
            ("conv", _plain_convolution, "mkldnn_convolution cudnn_convolution deform_conv2d"),
            ("conv", _plain_convolution, "_slow_conv2d_forward slow_conv3d_forward"),
            ("bilinear", _trilinear, "_trilinear"),
            ("attention", _attention, _SCALED_DOT_PRODUCTS),
            ("attention", _native_attention, "_native_multi_head_attention"),
            ("attention", _native_encoder, "_transformer_encoder_layer_fwd"),
            ("rnn", _mkldnn_rnn, "mkldnn_rnn_layer"),
            ("rnn", _cudnn_rnn, "_cudnn_rnn"),
        )
        for name in names.split()
    }
)

# How torch calls inside what users call otherwise.
_SAME_AS = {
    "native_batch_norm": "batch_norm",
    "native_batch_norm_legit": "batch_norm",
    "native_batch_norm_legit_no_training": "batch_norm",
    "cudnn_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "to_copy": "to",
}
# A fused step of a recurrent cell: its matrices were multiplied before it.
_FUSED = {"thnn_fused_lstm_cell": "activation", "thnn_fused_gru_cell": "activation"}
# What these give beside their result is kept for the way back, and not even made by every kernel.
_STATISTICAL = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm"})
_TAGS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_NOT_ENTERED = nullcontext()
_OWN_SPACES = ("aten", "prims", "torchvision", "quantized")


class _Operator(NamedTuple):
    """An operator by its names, and the user's rule for it; ``own`` says that it is torch's."""

    space: str
    name: str
    operator: str
    own: bool
    rule: Rule | None

    @classmethod
    def of(cls, func: Any, rules: Mapping[Any, Rule]) -> _Operator:
        """The operator that torch dispatched."""
        space, _, name = func._schema.name.partition("::")
        operator = operator_of(name)
        operator = _SAME_AS.get(operator, operator)
        rule = rules.get(f"{space}::{name}") or rules.get(operator)
        return cls(space, name, operator, space in _OWN_SPACES, rule)

    @property
    def priced(self) -> tuple[str, _Macs] | None:
        """Its kind and multiply-adds; of another's operator, the name alone says nothing."""
        return _PRICED_OPERATORS.get(self.name.rstrip("_")) if self.own else None

    @property
    def known(self) -> bool:
        """Whether there is anything to say of it as it is."""
        listed = self.own and (self.operator in FREE_OPERATORS or self.operator in VIEW_OPERATORS)
        return listed or self.priced is not None or self.rule is not None

    def __str__(self) -> str:
        return f"{self.space}::{self.name}"


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Prices every operator that torch dispatches while it is entered.

    Invariant: an operator is written once, as a line or into ``gathered``, the sum of the function
    that is running; what has no rule is written as uncounted.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = recorder
        self.gathered: Gathered | None = None

    def run(
        self, func: Any, args: Args, kwargs: Kwargs, into: Gathered | None, *, enter: bool
    ) -> Any:
        """Run a function and add its operators up in ``into``, unless an outer function does so.

        ``enter`` enters the mode meanwhile.
        """
        outer = self.gathered
        self.gathered = into if outer is None else outer
        try:
            with self if enter else _NOT_ENTERED:
                return func(*args, **kwargs)
        finally:
            self.gathered = outer

    def __torch_dispatch__(self, func: Any, types: Any, args: Args = (), kwargs: Any = None) -> Any:
        """Run one operator and write it down."""
        if self.recorder.paused:
            return func(*args, **(kwargs or {}))
        # Scripted code is seen from here alone: what is done about it is not the model's.
        with DisableTorchFunction():
            return self._operator(func, args, kwargs or {})

    def _operator(self, func: Any, args: Args, kwargs: Kwargs) -> Any:
        recorder = self.recorder
        known_tensors, real = recorder.tensors, recorder.options.real
        named = _Operator.of(func, recorder.options.rules)
        if not named.known:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out

        # what came from above may be copies on meta: the lines are about the tensors themselves
        ins = tuple(map(known_tensors.source, tensors((args, kwargs))))
        known = known_tensors.knows(*ins)
        if not real and not known:
            if named.name in NEEDS_VALUES or _depends(func, named.name, ins):
                raise DataDependentError(str(named), recorder.path)
            args, kwargs = tree_map_only(Tensor, recorder.on_meta, (args, dict(kwargs)))
            kwargs = {**kwargs, "device": META} if "device" in kwargs else kwargs
        out = func(*args, **kwargs)
        if known and not real:
            known_tensors.learn(tensors(out))
        elif known_tensors.meta_copies:
            out = tree_map_only(Tensor, known_tensors.source, out)
        self._write(func, named, ins, Call(args, kwargs, out))
        return out

    def _write(self, func: Any, named: _Operator, ins: tuple[Tensor, ...], call: Call) -> None:
        operator, own = named.operator, named.own
        outs = tuple(tensors(call.out))
        kind, macs = "uncounted", 0
        if named.rule is not None:
            kind = named.rule.kind
            macs = named.rule.macs(call) if named.rule.macs is not None else 0
        elif named.priced is not None:
            kind, price = named.priced
            macs = price(call.args, call.out)
            if price is _last_two:
                # what is multiplied comes first, as it does everywhere
                ins = (*ins[1:], *ins[:1])
        elif (own and operator in VIEW_OPERATORS) or _makes_views(func):
            if self.gathered is None:
                # inside one function, nobody else has what is between its parts
                self.recorder.write(None, "", ins[:1], outs)
            return
        elif own and operator in FREE_OPERATORS:
            kind = FREE_OPERATORS[operator]
            if kind in _STATISTICAL:
                outs = outs[:1]
        elif operator in _FUSED:
            kind = _FUSED[operator]
        elif torch.Tag.pointwise in func.tags:
            kind = "elementwise"
        elif own and not outs:
            return
        if self.gathered is None:
            name = str(named) if kind == "uncounted" else operator
            self.recorder.write(kind, name, ins, outs, macs)
            return
        self.gathered.macs += macs
        if kind == "uncounted":
            self.gathered.lost.append(str(named))


def _depends(func: Any, name: str, ins: tuple[Tensor, ...]) -> bool:
    """Whether the size of the result depends on values; an index does where it is a mask."""
    if name in ("index", "_unsafe_index"):
        return any(x.dtype in (torch.bool, torch.uint8) for x in ins[1:])
    return any(tag in func.tags for tag in _TAGS)


def _makes_views(func: Any) -> bool:
    returns = func._schema.returns
    return bool(returns) and all(
        value.alias_info is not None and not value.alias_info.is_write for value in returns
    )
