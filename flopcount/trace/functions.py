"""What to do with each torch function: who judges it, or how it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from flopcount import operators
from flopcount.kinds import FREE, NEEDS_VALUES, VIEWS, operator_of
from flopcount.operators import ShapeError
from flopcount.trace import judges
from flopcount.trace.judges import Judge, alike, in_place, pairwise
from flopcount.trace.watch import Call, DataDependentError, Gathered, Rule, Watch, asks, tensors

#: Answers one call of a torch function: watch, function, arguments, named arguments.
Handler: TypeAlias = Callable[[Watch, Any, tuple[Any, ...], Mapping[str, Any]], Any]

#: Functions already met, with their handlers. A function is what it is for every count.
KNOWN: dict[Any, Handler] = {}

#: What a judge raises where the arguments are not what it takes them for: the function then says
#: itself what is the matter.
UNSURE = (ShapeError, TypeError, AttributeError, IndexError, ValueError, KeyError)

_ALIKE = (
    "relu leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid sigmoid logsigmoid tanh"
    " softplus softsign tanhshrink softshrink hardshrink square sqrt rsqrt exp log sin cos abs neg"
    " reciprocal erf floor ceil round clamp clamp_min clamp_max clip log1p expm1 sign zero"
    " masked_fill normalize local_response_norm log2 nan_to_num threshold"
).split()
_JUDGES: Mapping[str, Judge] = {
    **{name: alike(FREE[name], name) for name in _ALIKE if name not in ("zero", "masked_fill")},
    **{f"conv{axes}d": judges.convolution(axes) for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": judges.transposed(axes) for axes in (1, 2, 3)},
    **{f"max_pool{axes}d": judges.pool("max_pool", axes) for axes in (1, 2, 3)},
    **{f"avg_pool{axes}d": judges.pool("avg_pool", axes) for axes in (1, 2, 3)},
    **{f"adaptive_avg_pool{axes}d": judges.adaptive_avg_pool(axes) for axes in (1, 2, 3)},
    "linear": judges.linear,
    "bilinear": judges.bilinear,
    "matmul": judges.product("matmul"),
    "mm": judges.product("mm", (2, 2)),
    "bmm": judges.product("bmm", (3, 3)),
    "mv": judges.product("mv", (2, 1)),
    "dot": judges.product("dot", (1, 1)),
    "vdot": judges.product("vdot", (1, 1)),
    "addmm": judges.product_and_sum("addmm", 2),
    "baddbmm": judges.product_and_sum("baddbmm", 3),
    "addmv": judges.product_and_sum("addmv", 2, 1),
    "scaled_dot_product_attention": judges.attention,
    "batch_norm": judges.batch_norm,
    "instance_norm": judges.instance_norm,
    "layer_norm": judges.affine_norm("layer_norm", "layer_norm"),
    "group_norm": judges.affine_norm("group_norm", "group_norm"),
    "rms_norm": judges.affine_norm("norm", "rms_norm"),
    "hardtanh": judges.hardtanh,
    "relu6": alike("relu6", "relu6"),
    "softmax": judges.softmax("softmax"),
    "log_softmax": judges.softmax("log_softmax"),
    **{name: judges.reduction(name) for name in ("mean", "sum", "amax", "amin")},
    "cat": judges.concat,
    "concat": judges.concat,
    "stack": judges.stack,
    "pad": judges.pad,
    "roll": judges.roll,
    "embedding": judges.embedding,
    "interpolate": judges.interpolate,
    "add": pairwise("elementwise", "add", "add"),
    "mul": pairwise("elementwise", "mul", "mul"),
    "multiply": pairwise("elementwise", "mul", "mul"),
    **{
        name: pairwise("elementwise", name)
        for name in "sub div truediv true_divide pow maximum minimum".split()
    },
}
# Functions that ask for a tensor's own facts: they are asked without anybody writing it down.
_FACTS = frozenset(
    "size dim ndimension numel nelement stride is_floating_point is_complex is_contiguous"
    " element_size storage_offset data_ptr len hash repr str format get_device is_signed is_same_size"
    " is_inference is_conj is_neg result_type can_cast promote_types is_tensor is_storage dim_order"
    " storage untyped_storage has_names reduce_ex setstate deepcopy is_shared is_pinned is_distributed"
    " register_hook register_post_accumulate_grad_hook sizeof backward typename is_set_to"
    " get_default_dtype set_grad_enabled dir is_coalesced sparse_dim dense_dim dlpack_device"
    " broadcast_shapes is_set is_nested sym_is_contiguous iinfo finfo is_warn_always_enabled".split()
)
_TO = frozenset(
    "to cpu cuda float double half bfloat16 int long short char byte bool type type_as".split()
)


def handler_of(func: Any, rules: Mapping[Any, Rule]) -> Handler:
    """How to answer a function that has not been met before; a rule of the user's comes first."""
    name = getattr(func, "__name__", "")
    if name in ("__get__", "__set__", "__delete__"):
        return _attribute(func, name)
    space = getattr(func, "__module__", None) or "torch"
    operator = operator_of(name)
    rule = rules.get(func) or rules.get(operator) or rules.get(name)
    if rule is not None:
        return _ruled(rule, operator)
    if type(func).__name__ in ("OpOverload", "OpOverloadPacket"):
        return _from_below
    if not space.startswith("torch"):
        # somebody else's function that can be overridden: what it calls is what counts
        return _python if isinstance(func, FunctionType) and asks(func) else _from_below
    return _named(func, space, name, operator)


def _named(func: Any, space: str, name: str, operator: str) -> Handler:
    special = _SPECIAL.get(name)
    if special is not None:
        return special
    if name in NEEDS_VALUES:
        return _valued
    if operator in _FACTS:
        return _passed
    if name.endswith("_") and not name.startswith("_") and operator in FREE:
        return _judged(in_place(FREE[operator], operator), FREE[operator], operator)
    if name.startswith("__i") and name != "__invert__" and operator in FREE:
        kind = FREE[operator]
        return _judged(in_place(kind, operator), kind, operator)
    if operator in _TO:
        return _moved
    if operator in _JUDGES:
        return _judged(_JUDGES[operator], FREE.get(operator, _kind(operator)), operator)
    if operator in ("reshape", "contiguous", "flatten", "ravel"):
        return lambda w, f, args, kwargs: w.maybe_view(f, args, kwargs, operator)
    if operator in VIEWS and not (operator == "unfold" and space == "torch.nn.functional"):
        return _viewed
    if operator in _RECURRENT:
        return _recurrent
    if operator in _PRODUCTS:
        return lambda w, f, args, kwargs: w.run(f, args, kwargs, "matmul", operator)
    if operator in FREE and FREE[operator] in ("create", "random"):
        return _created(FREE[operator], operator)
    if operator in FREE:
        kind = FREE[operator]
        return lambda w, f, args, kwargs: w.run(f, args, kwargs, kind, operator)
    if isinstance(func, FunctionType) and asks(func):
        return _python
    return _from_below


def _kind(operator: str) -> str:
    for kind, start in (("conv", "conv"), ("linear", "linear"), ("bilinear", "bilinear")):
        if operator.startswith(start):
            return kind
    return "attention" if operator.startswith("scaled_dot") else "matmul"


def _judged(judge: Judge, kind: str, operator: str) -> Handler:
    def handle(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        try:
            found = judge(*args, **kwargs)
        except UNSURE:
            found = None
        if found is None:
            return w.run(func, args, kwargs, kind, operator)
        if w.checked or (w.worked_out and id(found[2][0]) in w.worked_out):
            return w.run(func, args, kwargs, kind, operator, found)
        return w.answer(found)

    return handle


def _ruled(rule: Rule, operator: str) -> Handler:
    def handle(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        ins = tuple(tensors((args, kwargs)))
        out = w.execute(func, args, kwargs, ins, True, Gathered())
        macs = 0 if rule.macs is None else rule.macs(Call(args, kwargs, out))
        w.write(rule.kind, operator, ins, tensors(out), macs)
        return out

    return handle


def _passed(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return func(*args, **kwargs)


def _viewed(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if w.everywhere or not args or id(args[0]) in w.apart or id(args[0]) in w.worked_out:
        return w.view(func, args, kwargs)
    out = func(*args, **kwargs)
    outs = (out,) if isinstance(out, Tensor) else tuple(tensors(out))
    w.ledger.lines.append((0, None, "", args[:1], outs, 0, None, None, 0, True))
    return out


def _python(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return w.unchecked(func, args, kwargs)


def _from_below(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return w.execute(func, args, kwargs, tuple(tensors((args, kwargs))), True, None)


def _valued(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    ins = tuple(tensors((args, kwargs)))
    if not w.real and not all(id(x) in w.worked_out or _own(w, x) for x in ins):
        raise DataDependentError(getattr(func, "__name__", str(func)), w.path)
    name = operator_of(getattr(func, "__name__", ""))
    return w.run(func, args, kwargs, FREE.get(name, "copy"), name)


def _own(w: Watch, tensor: Tensor) -> bool:
    # A small tensor that the module keeps beside its weights, such as a step or a temperature.
    small = not tensor.is_meta and tensor.numel() <= 1
    return small and id(tensor) not in w.shadows


def _dropout(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    training = kwargs.get("training", args[2] if len(args) > 2 else True)
    if not training:
        return args[0] if args else kwargs["input"]
    return _drops(w, func, args, kwargs)


def _getitem(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    at = args[1]
    parts = at if isinstance(at, tuple) else (at,)
    if any(isinstance(part, (Tensor, list)) for part in parts):
        masks = [x for x in tensors(parts) if x.dtype in (torch.bool, torch.uint8)]
        if not w.real and any(id(x) not in w.worked_out for x in masks):
            raise DataDependentError("an index by a mask", w.path)
        return w.run(func, args, kwargs, "index", "getitem")
    return w.view(func, args, kwargs)


def _where(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if len(args) + len(kwargs) == 1:
        return _valued(w, func, args, kwargs)
    return w.run(func, args, kwargs, "elementwise", "where")


def _repeat_interleave(
    w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    repeats = kwargs.get("repeats", args[1] if len(args) > 1 else args[0])
    if isinstance(repeats, Tensor) and "output_size" not in kwargs:
        return _valued(w, func, args, kwargs)
    return w.run(func, args, kwargs, "index", "repeat_interleave")


def _moved(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``to`` and its kin: nothing leaves the device, but elements may change their type."""
    x = args[0]
    if w.real or id(x) in w.worked_out:
        if not w.real and func.__name__ in ("cpu", "cuda"):
            return x
        return w.maybe_view(func, args, kwargs, "to") if w.real else _changed(w, func, args, kwargs)
    return _changed(w, func, args, kwargs)


def _changed(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    x, name = args[0], func.__name__
    dtype, copied = x.dtype, kwargs.get("copy", False)
    if name in ("to", "type", "type_as"):
        more = [*args[1:], *kwargs.values()]
        found = [v for v in more if isinstance(v, torch.dtype)]
        found += [v.dtype for v in more if isinstance(v, Tensor)]
        if name == "type" and not more:
            return func(*args)
        if name == "type" and isinstance(more[0], str):
            found.append(torch.empty(0).type(more[0]).dtype)
        dtype = found[0] if found else dtype
    elif name not in ("cpu", "cuda"):
        dtype = _TYPES[name]
    if dtype is x.dtype and not copied:
        return x
    if id(x) in w.worked_out:
        out = x.to(dtype, copy=True)
        w.worked_out[id(out)] = out
    else:
        busy, w.busy = w.busy, True
        out = torch.empty(x.shape, dtype=dtype, device="meta")
        w.busy = busy
    w.write("copy", "to", (x,), (out,))
    return out


_TYPES = {
    "float": torch.float32,
    "double": torch.float64,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "int": torch.int32,
    "long": torch.int64,
    "short": torch.int16,
    "char": torch.int8,
    "byte": torch.uint8,
    "bool": torch.bool,
}


def _created(kind: str, operator: str) -> Handler:
    """A function that makes a tensor of nothing; whole numbers are worked out where they are few."""

    def handle(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        ins = tuple(tensors((args, kwargs)))
        if w.real or func.__name__ in ("tensor", "as_tensor", "asarray", "from_numpy"):
            return _kept(w, func, args, kwargs, kind, operator)
        if ins and not all(id(x) in w.worked_out for x in ins):
            kwargs = {**kwargs, "device": "meta"} if "device" in kwargs else kwargs
            return w.run(func, args, kwargs, kind, operator)
        busy, w.busy = w.busy, True
        out = func(*args, **{**kwargs, "device": "meta"})
        whole = not out.is_floating_point() and not out.is_complex()
        if whole and kind == "create" and out.numel() <= _FEW:
            out = func(*args, **{**kwargs, "device": "cpu"})
            w.worked_out[id(out)] = out
        w.busy = busy
        w.write(kind, operator, ins, (out,))
        return out

    return handle


_FEW = 65_536


def _kept(
    w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], kind: str, operator: str
) -> Any:
    busy, w.busy = w.busy, True
    try:
        if w.real:
            out = func(*args, **kwargs)
        elif args and isinstance(args[0], Tensor):
            out = args[0]
        else:
            given = {k: v for k, v in kwargs.items() if k not in ("device", "requires_grad")}
            out = func(*args, **given, **({} if func.__name__ == "from_numpy" else _CPU))
            w.worked_out[id(out)] = out
    finally:
        w.busy = busy
    w.write(kind, operator, tensors((args, kwargs)), (out,))
    return out


_CPU = {"device": "cpu"}


def _attribute(func: Any, name: str) -> Handler:
    what = getattr(func.__self__, "__name__", "")
    if name == "__get__":
        if what in ("T", "mT", "H", "mH", "data", "real", "imag"):
            return lambda w, f, args, kwargs: w.view(f, args, kwargs)
        if what == "device":
            return lambda w, f, args, kwargs: f(*args) if w.real else w.device
        if what == "is_cuda":
            return lambda w, f, args, kwargs: f(*args) if w.real else w.device.type == "cuda"
        if what == "is_meta":
            return lambda w, f, args, kwargs: f(*args) if w.real else w.device.type == "meta"
        return _passed
    if what == "data":
        return _set_data
    return _ignored


def _set_data(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    tensor, value = args
    if id(tensor) in w.apart and not _lazy(tensor):
        # The user's own: only what the model sees of it changes.
        w.shadows[id(tensor)] = value if w.real else w.meta(value)
        return None
    return func(tensor, value)


def _lazy(tensor: Tensor) -> bool:
    return type(tensor).__name__ in ("UninitializedParameter", "UninitializedBuffer")


def _ignored(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Setting what a count has no use for, such as ``grad``; never on a tensor of the user's."""
    return None if id(args[0]) in w.apart else func(*args, **kwargs)


def _requires_grad(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return args[0]


_RECURRENT = frozenset(
    "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell".split()
)
# Products of several tensors, which torch takes apart into products of two.
_PRODUCTS = frozenset(
    "einsum tensordot inner chain_matmul multi_dot linalg_multi_dot cdist addbmm vecdot"
    " linalg_vecdot linalg_matrix_power matrix_power linalg_matmul convolution".split()
)


def _recurrent(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``lstm`` and its kin: every matrix is multiplied once for each row of each step."""
    name = func.__name__
    ins = tuple(tensors(args))
    cell = name.endswith("_cell")
    packed = not cell and isinstance(args[3], (list, tuple))
    state = args[2 if packed else 1]
    weights = args[2:] if cell else args[3 if packed else 2]
    if w.checked:
        return w.run(func, args, kwargs, "rnn", name)
    shapes = [weight.shape for weight in tensors(weights)]
    macs = operators.recurrent(args[0].shape[:-1].numel(), shapes)
    states = tuple(tensors(state))
    sizes = [tuple(x.shape) for x in states]
    if not cell:
        directions = 2 if args[8 if packed else 7] else 1
        sizes.insert(0, (*args[0].shape[:-1], directions * states[0].shape[-1]))
    busy, w.busy = w.busy, True
    outs = tuple(torch.empty(size, dtype=args[0].dtype, device="meta") for size in sizes)
    w.busy = busy
    w.write("rnn", name, ins, outs, macs)
    return outs if len(outs) > 1 else outs[0]


def _pack(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``_pack_padded_sequence``: the rows that are there, and how many at each step."""
    x, lengths, batch_first = args
    if w.real:
        return w.run(func, args, kwargs, "copy", "pack_padded_sequence")
    if id(lengths) not in w.worked_out and lengths.is_meta:
        raise DataDependentError("pack_padded_sequence", w.path)
    counts = lengths.tolist()
    sizes = [sum(length > step for length in counts) for step in range(max(counts, default=0))]
    busy, w.busy = w.busy, True
    batch_sizes = torch.tensor(sizes, dtype=torch.int64)
    data = torch.empty((sum(counts), *x.shape[2:]), dtype=x.dtype, device="meta")
    w.busy = busy
    w.worked_out[id(batch_sizes)] = batch_sizes
    w.write("copy", "pack_padded_sequence", (x,), (data, batch_sizes))
    return data, batch_sizes


def _unpack(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``_pad_packed_sequence``: every sequence as long as the longest."""
    if w.real:
        return w.run(func, args, kwargs, "copy", "pad_packed_sequence")
    data, batch_sizes, batch_first, _, total_length = args
    sizes = batch_sizes.tolist()
    n, steps = sizes[0], max(len(sizes), total_length)
    busy, w.busy = w.busy, True
    outer = (n, steps) if batch_first else (steps, n)
    out = torch.empty((*outer, *data.shape[1:]), dtype=data.dtype, device="meta")
    lengths = torch.tensor([sum(size > i for size in sizes) for i in range(n)])
    w.busy = busy
    w.worked_out[id(lengths)] = lengths
    w.write("copy", "pad_packed_sequence", (data,), (out, lengths))
    return out, lengths


def _asserted(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``torch._assert``: what is asserted of sizes is known, what of values is not."""
    condition, message = args
    if isinstance(condition, Tensor) and not w.real and id(condition) not in w.worked_out:
        raise DataDependentError("_assert", w.path)
    assert condition, message


_drops = _judged(judges.dropout, "dropout", "dropout")
_SPECIAL: Mapping[str, Handler] = {
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"), _dropout),
    **dict.fromkeys(("feature_alpha_dropout", "feature_dropout"), _dropout),
    "__getitem__": _getitem,
    "_assert": _asserted,
    "where": _where,
    "repeat_interleave": _repeat_interleave,
    "requires_grad_": _requires_grad,
    "_pack_padded_sequence": _pack,
    "_pad_packed_sequence": _unpack,
}
