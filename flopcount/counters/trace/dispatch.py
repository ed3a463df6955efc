"""The handler of each torch function: by its shape rule, or how it is run."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any

import torch

from flopcount.counters.operator_kinds import (
    FREE_OPERATORS,
    KIND,
    NEEDS_VALUES,
    VIEW_OPERATORS,
    operator_of,
)
from flopcount.counters.operators import ShapeError
from flopcount.counters.trace import handlers, shape_rules, shape_rules_free
from flopcount.counters.trace.function_mode import FunctionMode
from flopcount.counters.trace.handlers import Handler
from flopcount.counters.trace.records import Args, Call, Gathered, Kwargs, Rule, tensors
from flopcount.counters.trace.shape_rules import ShapeRule
from flopcount.counters.trace.shape_rules_free import alike, in_place, pairwise
from flopcount.counters.trace.unwrapped import asks

#: What a shape rule raises where the arguments are not what it takes them for: the function then
#: says itself what is the matter.
UNSURE = (ShapeError, TypeError, AttributeError, IndexError, ValueError, KeyError)

_ELEMENTWISE_NAMES = (
    "relu leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid sigmoid logsigmoid"
    " tanh softplus softsign tanhshrink softshrink hardshrink square sqrt rsqrt exp log sin"
    " cos abs neg reciprocal erf floor ceil round clamp clamp_min clamp_max clip log1p expm1"
    " sign normalize local_response_norm log2 nan_to_num threshold"
)
_SHAPE_RULES: Mapping[str, ShapeRule] = {
    **{name: alike(FREE_OPERATORS[name], name) for name in _ELEMENTWISE_NAMES.split()},
    **{f"conv{axes}d": shape_rules.convolution(axes) for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": shape_rules.transposed(axes) for axes in (1, 2, 3)},
    **{f"max_pool{axes}d": shape_rules_free.pool("max_pool", axes) for axes in (1, 2, 3)},
    **{f"avg_pool{axes}d": shape_rules_free.pool("avg_pool", axes) for axes in (1, 2, 3)},
    **{f"adaptive_avg_pool{axes}d": shape_rules_free.adaptive_avg_pool(axes) for axes in (1, 2, 3)},
    "linear": shape_rules.linear,
    "bilinear": shape_rules.bilinear,
    "matmul": shape_rules.product("matmul"),
    "mm": shape_rules.product("mm", (2, 2)),
    "bmm": shape_rules.product("bmm", (3, 3)),
    "mv": shape_rules.product("mv", (2, 1)),
    "dot": shape_rules.product("dot", (1, 1)),
    "vdot": shape_rules.product("vdot", (1, 1)),
    "grouped_mm": shape_rules.grouped,
    "addmm": shape_rules.product_and_sum("addmm", 2),
    "baddbmm": shape_rules.product_and_sum("baddbmm", 3),
    "addmv": shape_rules.product_and_sum("addmv", 2, 1),
    "scaled_dot_product_attention": shape_rules.attention,
    "batch_norm": shape_rules_free.channel_norm("batch_norm"),
    "instance_norm": shape_rules_free.channel_norm("instance_norm"),
    "layer_norm": shape_rules_free.affine_norm("layer_norm", "layer_norm"),
    "group_norm": shape_rules_free.affine_norm("group_norm", "group_norm"),
    "rms_norm": shape_rules_free.affine_norm("norm", "rms_norm"),
    "hardtanh": shape_rules_free.hardtanh,
    "relu6": alike("relu6", "relu6"),
    "softmax": shape_rules_free.softmax("softmax"),
    "log_softmax": shape_rules_free.softmax("log_softmax"),
    **{name: shape_rules_free.reduction(name) for name in ("mean", "sum", "amax", "amin")},
    "cat": shape_rules_free.concat,
    "concat": shape_rules_free.concat,
    "stack": shape_rules_free.stack,
    "pad": shape_rules_free.pad,
    "roll": shape_rules_free.roll,
    "embedding": shape_rules_free.embedding,
    "interpolate": shape_rules_free.interpolate,
    "add": pairwise("elementwise", "add", "add"),
    "mul": pairwise("elementwise", "mul", "mul"),
    "multiply": pairwise("elementwise", "mul", "mul"),
    **{
        name: pairwise("elementwise", name)
        for name in ["sub", "div", "truediv", "true_divide", "pow", "maximum", "minimum"]
    },
}
# Functions that ask for a tensor's own facts: they are asked without anybody writing it down.
_FACTS_NAMES = (
    "size dim ndimension numel nelement stride is_floating_point is_complex is_contiguous"
    " element_size storage_offset data_ptr len hash repr str format get_device is_signed"
    " is_same_size is_inference is_conj is_neg result_type can_cast promote_types is_tensor"
    " is_storage dim_order storage untyped_storage has_names reduce_ex setstate"
    " is_shared is_pinned is_distributed"
    " sizeof backward typename is_set_to get_default_dtype set_grad_enabled dir is_coalesced"
    " sparse_dim dense_dim dlpack_device broadcast_shapes is_set is_nested sym_is_contiguous"
    " iinfo finfo is_warn_always_enabled"
)
_FACTS = frozenset(_FACTS_NAMES.split())
_TO_NAMES = "to cpu cuda float double half bfloat16 int long short char byte bool type type_as"
_TO = frozenset(_TO_NAMES.split())


class HandlerTable(dict[Any, Handler]):
    """The handler of every torch function that was called, found at its first call."""

    def __init__(self, rules: Mapping[Any, Rule]) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, func: Any) -> Handler:
        handler = _handler_of(func, self._rules)
        if not isinstance(func, FunctionType) or func.__module__.startswith("torch"):
            # another's function may be made anew for every call
            self[func] = handler
        return handler


#: For counts without rules of the user's: there a function is what it is for every count.
HANDLERS = HandlerTable({})


def _handler_of(func: Any, rules: Mapping[Any, Rule]) -> Handler:
    """How to answer a function that was not met before; a rule of the user's comes first."""
    name = getattr(func, "__name__", "")
    if name in ("__get__", "__set__", "__delete__"):
        return _attribute(func, name)
    space = getattr(func, "__module__", None) or "torch"
    operator = operator_of(name)
    rule = rules.get(func) or rules.get(operator) or rules.get(name)
    if rule is not None:
        return _user_ruled(rule, operator)
    if type(func).__name__ in ("OpOverload", "OpOverloadPacket"):
        return _overloaded(func, rules)
    if not space.startswith("torch"):
        # somebody else's function that can be overridden: what it calls is what counts
        return (
            handlers.python
            if isinstance(func, FunctionType) and asks(func)
            else handlers.from_below
        )
    return _named(func, space, name, operator)


def _named(func: Any, space: str, name: str, operator: str) -> Handler:
    special = _SPECIAL.get(name)
    if special is not None:
        return special
    if name in NEEDS_VALUES:
        return handlers.valued
    if operator in _FACTS:
        return handlers.passed
    kind = FREE_OPERATORS.get(operator)
    written = name.endswith("_") and not name.startswith("_")
    augmented = name.startswith("__i") and name != "__invert__"
    if kind is not None and (augmented or (written and operator not in _RESIZING)):
        return _ruled(in_place(kind, operator), kind, operator)
    if operator in _TO:
        return handlers.moved
    if operator in _COMPOSED or (written and operator in _IN_PLACE):
        return handlers.several(operator)
    if operator in _SHAPE_RULES:
        rule, schema = _SHAPE_RULES[operator], _REORDERED.get(func)
        rule = rule if schema is None else _by_name(rule, schema)
        return _ruled(rule, KIND[operator], operator)
    if operator in ("reshape", "contiguous", "flatten", "ravel"):
        return lambda mode, f, args, kwargs: mode.maybe_view(f, args, kwargs, operator)
    if operator in VIEW_OPERATORS and not (operator == "unfold" and space == "torch.nn.functional"):
        return handlers.viewed
    if operator in _RECURRENT:
        return handlers.recurrent
    if kind in ("create", "random"):
        return handlers.created(kind, operator)
    if kind is not None:
        return lambda mode, f, args, kwargs: mode.run(f, args, kwargs, kind, operator)
    if isinstance(func, FunctionType) and asks(func):
        return handlers.python
    return handlers.from_below


def _overloaded(func: Any, rules: Mapping[Any, Rule]) -> Handler:
    """How to answer an operator called by its own name: as the function of that name."""
    schema = getattr(func, "_schema", None)
    if schema is None or schema.name in rules or "out" in schema.overload_name:
        return handlers.from_below
    space, _, operator = schema.name.partition("::")
    if space != "aten" or operator not in _SHAPE_RULES:
        return handlers.from_below
    kind = KIND[operator]
    return _ruled(_by_name(_SHAPE_RULES[operator], schema), kind, operator)


def _by_name(rule: ShapeRule, schema: Any) -> ShapeRule:
    """The rule of an operator that has its arguments in an order of its own."""
    names = [_ARGUMENTS.get(argument.name, argument.name) for argument in schema.arguments]

    def rule_by_name(*args: Any, **kwargs: Any) -> Any:
        given = {_ARGUMENTS.get(name, name): value for name, value in kwargs.items()}
        return rule(**dict(zip(names, args, strict=False)), **given)

    return rule_by_name


_ARGUMENTS = {"self": "input", "indices": "input"}
# Functions whose arguments are in another order than those of the same name above them.
_REORDERED = {
    torch.batch_norm: torch.ops.aten.batch_norm.default._schema,
    torch.embedding: torch.ops.aten.embedding.default._schema,
    torch.instance_norm: torch.ops.aten.instance_norm.default._schema,
}


def _ruled(rule: ShapeRule, kind: str, operator: str) -> Handler:
    def handle(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
        try:
            result = rule(*args, **kwargs)
        except UNSURE:
            result = None
        if result is None:
            return mode.run(func, args, kwargs, kind, operator)
        known = mode.tensors.known_values
        if mode.options.checked or (known and id(result[2][0]) in known):
            return mode.run(func, args, kwargs, kind, operator, result)
        return mode.answer(result)

    return handle


def _user_ruled(rule: Rule, operator: str) -> Handler:
    def handle(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
        ins = tuple(tensors((args, kwargs)))
        out = mode.execute(func, args, kwargs, ins, Gathered())
        macs = 0 if rule.macs is None else rule.macs(Call(args, kwargs, out))
        mode.recorder.write(rule.kind, operator, ins, tensors(out), macs)
        return out

    return handle


def _on_device(device: str) -> Handler:
    """Whether a tensor is on a device: where the model is."""
    return lambda mode, f, args, kwargs: (
        f(*args) if mode.options.real else mode.options.device.type == device
    )


def _attribute(func: Any, name: str) -> Handler:
    what = getattr(func.__self__, "__name__", "")
    if name == "__get__":
        if what == "data":
            return handlers.detached
        if what in ("T", "mT", "H", "mH", "real", "imag"):
            return lambda mode, f, args, kwargs: mode.view(f, args, kwargs)
        if what == "device":
            return handlers.device
        if what == "is_cuda":
            return _on_device("cuda")
        if what == "is_meta":
            return _on_device("meta")
        return handlers.passed
    if what == "data":
        return handlers.set_data
    return handlers.requires_grad if what == "requires_grad" else handlers.ignored


# In place, but of another size afterwards.
_RESIZING = frozenset(("resize", "resize_as", "set"))
_RECURRENT_NAMES = "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell"
_RECURRENT = frozenset(_RECURRENT_NAMES.split())
# Products of several tensors, which torch takes apart into products of two.
_COMPOSED_NAMES = (
    "einsum tensordot inner chain_matmul multi_dot linalg_multi_dot addbmm"
    " linalg_matrix_power matrix_power linalg_matmul convolution"
)
_COMPOSED = frozenset(_COMPOSED_NAMES.split())
# Products added to what they write on.
_IN_PLACE = frozenset(["addmm", "baddbmm", "addmv", "addbmm"])
_DROPOUT_FUNCTIONS = (
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout feature_dropout"
    " dropout_ alpha_dropout_ feature_dropout_ feature_alpha_dropout_"
)
_SPECIAL: Mapping[str, Handler] = {
    **dict.fromkeys(_DROPOUT_FUNCTIONS.split(), handlers.dropping),
    "__getitem__": handlers.getitem,
    "__rmatmul__": handlers.reflected,
    "register_hook": handlers.hooked,
    "register_post_accumulate_grad_hook": handlers.hooked,
    "share_memory_": handlers.unchanged,
    "__deepcopy__": handlers.copied,
    "detach": handlers.detached,
    "detach_": handlers.detached,
    "_assert": handlers.asserted,
    "where": handlers.where,
    "repeat_interleave": handlers.repeat_interleave,
    "requires_grad_": handlers.requires_grad,
    "_make_dual": handlers.dual,
    "linalg_vecdot": handlers.vecdot,
    "_nested_tensor_from_mask_left_aligned": handlers.dense,
    "_pack_padded_sequence": handlers.pack,
    "_pad_packed_sequence": handlers.unpack,
}
