"""Handlers of the functions that have no shape rule: each is answered in its own way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only
from torch.utils.hooks import RemovableHandle

from flopcount.counters.operator_kinds import FREE_OPERATORS, operator_of
from flopcount.counters.trace.function_mode import FunctionMode
from flopcount.counters.trace.records import (
    MAX_KNOWN_ELEMENTS,
    META,
    Args,
    DataDependentError,
    Gathered,
    Kwargs,
    RestartError,
    tensors,
)
from flopcount.counters.trace.recurrent import Recurrence
from flopcount.counters.trace.shape_rules import RuleResult
from flopcount.counters.trace.unwrapped import unasked

#: Answers one call of a torch function: mode, function, arguments, named arguments.
Handler: TypeAlias = Callable[[FunctionMode, Any, Args, Kwargs], Any]

_CPU = {"device": torch.device("cpu")}
# Where torch keeps what runs on the meta device.
_KERNELS = ("torch._meta_registrations", "torch._refs", "torch._prims", "torch._decomp")
# The methods that change the type of elements, each named after it.
_TYPES = {
    **{
        name: getattr(torch, name)
        for name in ["float", "double", "half", "bfloat16", "int", "long", "short", "bool"]
    },
    "char": torch.int8,
    "byte": torch.uint8,
}


def passed(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A question about a tensor itself: nobody writes it down."""
    return func(*args, **kwargs)


def device(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Where a tensor is: where the model is, but for what torch keeps on the CPU."""
    if mode.options.real:
        return func(*args)
    return _CPU["device"] if id(args[0]) in mode.tensors.on_cpu else mode.options.device


def viewed(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A function that makes views of its first tensor."""
    options, known = mode.options, mode.tensors
    untracked = options.backward and not torch.is_grad_enabled()
    if options.everywhere or untracked or not args or known.owns(args[0]) or known.knows(args[0]):
        return mode.view(func, args, kwargs)
    out = func(*args, **kwargs)
    outs = (out,) if isinstance(out, Tensor) else tuple(tensors(out))
    mode.recorder.ledger.lines.append((0, None, "", args[:1], outs, 0, None, None, 0, True))
    return out


def detached(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A view of a tensor that leads no gradient back."""
    if _lazy(args[0]):
        # without a shape yet
        return func(*args)
    return mode.view(func, args, kwargs, "detach")


def python(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A function of torch's that is written in Python: what it calls is answered."""
    with mode:
        return unasked(func)(*args, **kwargs)


def from_below(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A function that is only seen operator by operator."""
    return mode.execute(func, args, kwargs, tuple(tensors((args, kwargs))), None)


def valued(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A function whose result depends on values: they must be known."""
    ins = tuple(tensors((args, kwargs)))
    if not mode.options.real and not mode.tensors.knows(*ins):
        if not all(mode.tensors.knows(x) or _own(mode, x) for x in ins):
            raise DataDependentError(getattr(func, "__name__", str(func)), mode.recorder.path)
        with mode.recorder.pause():
            return func(*args, **kwargs)
    name = operator_of(getattr(func, "__name__", ""))
    return mode.run(func, args, kwargs, FREE_OPERATORS.get(name, "copy"), name)


def _own(mode: FunctionMode, tensor: Tensor) -> bool:
    """Whether a tensor is a number beside a module's weights, such as a step or a temperature."""
    small = not tensor.is_meta and tensor.numel() <= 1
    return small and id(tensor) not in mode.tensors.meta_copies


def dropping(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """``dropout`` and its kin: in evaluation, the input itself."""
    x = args[0] if args else kwargs["input"]
    if not kwargs.get("training", args[2] if len(args) > 2 else True):
        return x
    if mode.options.checked or mode.tensors.knows(x):
        return mode.run(func, args, kwargs, "dropout", "dropout")
    size = None if kwargs.get("inplace") or func.__name__.endswith("_") else x.shape
    return mode.answer(RuleResult("dropout", "dropout", (x,), size, x.dtype))


def getitem(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """An index: a view where it is plain, a copy where it holds tensors."""
    at = args[1]
    parts = at if isinstance(at, tuple) else (at,)
    if any(isinstance(part, (Tensor, list)) for part in parts):
        if not mode.options.real:
            places = tuple(place for part in parts for place in _places(mode, part))
            args = (args[0], places)
        return mode.run(func, args, kwargs, "index", "getitem")
    return mode.view(func, args, kwargs)


def _places(mode: FunctionMode, part: Any) -> tuple[Any, ...]:
    """A part of an index; of a mask whose values are known, the places that it marks."""
    if not isinstance(part, Tensor) or part.dtype not in (torch.bool, torch.uint8):
        return (part,)
    if not mode.tensors.knows(part):
        raise DataDependentError("an index by a mask", mode.recorder.path)
    with mode.recorder.pause():
        found = part.bool().nonzero(as_tuple=True)
    mode.tensors.learn(found)
    return found


def reflected(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """``__rmatmul__``: the product with its operands in their order."""
    with mode:
        return torch.matmul(args[1], args[0])


def hooked(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A hook on a tensor: only a backward pass would call it, and none is run."""
    return RemovableHandle({}) if mode.tensors.owns(args[0]) else func(*args, **kwargs)


def copied(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A deep copy of a tensor: one of the model's own, and nothing that it computes."""
    with mode.recorder.pause():
        return func(*args, **kwargs)


def unchanged(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """What changes where a tensor lies, and nothing of what it costs."""
    return args[0]


def where(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """``where`` of three chooses; of one it asks for values."""
    if len(args) + len(kwargs) == 1:
        return valued(mode, func, args, kwargs)
    return mode.run(func, args, kwargs, "elementwise", "where")


def repeat_interleave(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """``repeat_interleave``, whose result is as long as its repeats say."""
    repeats = kwargs.get("repeats", args[1] if len(args) > 1 else args[0])
    if isinstance(repeats, Tensor) and "output_size" not in kwargs:
        return valued(mode, func, args, kwargs)
    return mode.run(func, args, kwargs, "index", "repeat_interleave")


def moved(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """``to`` and its kin: nothing leaves the device, but elements may change their type."""
    x = args[0]
    if mode.options.real:
        return mode.maybe_view(func, args, kwargs, "to")
    name, known = func.__name__, mode.tensors.knows(x)
    if known and name in ("cpu", "cuda"):
        return x
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
    if known:
        out = x.to(dtype, copy=True)
        mode.tensors.learn([out])
    else:
        with mode.recorder.pause():
            out = torch.empty(x.shape, dtype=dtype, device=META)
    mode.recorder.write("copy", "to", (x,), (out,))
    return out


def created(kind: str, operator: str) -> Handler:
    """A function that makes a tensor of nothing; what is no larger than a mask is computed."""

    def handle(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
        ins = tuple(tensors((args, kwargs)))
        caller = sys._getframe(2).f_globals["__name__"]
        # The result of an operator that was called by none of torch's functions.
        mode.missed_operator |= caller.startswith(_KERNELS)
        if mode.options.real or func.__name__ in ("tensor", "as_tensor", "asarray", "from_numpy"):
            out = _valued(mode, func, args, kwargs)
        elif ins and not mode.tensors.knows(*ins):
            kwargs = {**kwargs, "device": META} if "device" in kwargs else kwargs
            args = (*args[:1], *tree_map_only(Tensor, mode.tensors.number, args[1:]))
            return mode.run(func, args, kwargs, kind, operator)
        else:
            with mode.recorder.pause():
                out = func(*args, **{**kwargs, "device": META})
                sure = "empty" not in operator or not (out.is_floating_point() or out.is_complex())
                if kind == "create" and sure and out.numel() <= MAX_KNOWN_ELEMENTS:
                    out = func(*args, **{**kwargs, **_CPU})
                    mode.tensors.learn([out])
        mode.recorder.write(kind, operator, ins, (out,))
        return out

    return handle


def _valued(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """The tensor that a function makes of values."""
    with mode.recorder.pause():
        if mode.options.real:
            out = func(*args, **kwargs)
        elif args and isinstance(args[0], Tensor):
            out = args[0]
        else:
            given = {k: v for k, v in kwargs.items() if k not in ("device", "requires_grad")}
            out = func(*args, **given, **({} if func.__name__ == "from_numpy" else _CPU))
            mode.tensors.learn([out])
    return out


def set_data(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Setting ``data``: of what is the user's, only what the model sees changes."""
    tensor, value = args
    if mode.tensors.owns(tensor) and not _lazy(tensor):
        shown = value if mode.options.real else mode.recorder.on_meta(value)
        mode.tensors.meta_copies[id(tensor)] = shown
        return None
    return func(tensor, value)


def _lazy(tensor: Tensor) -> bool:
    return type(tensor).__name__ in ("UninitializedParameter", "UninitializedBuffer")


def ignored(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Setting what a count has no use for, such as ``grad``; never on a tensor of the user's."""
    return None if mode.tensors.owns(args[0]) else func(*args, **kwargs)


def requires_grad(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Asking for gradients on the way: they flow only through what runs."""
    if mode.tensors.owns(args[0]):
        return args[0]
    _differentiate(mode)
    return func(*args, **kwargs)


def dual(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """A tensor with its tangent: what is made of it carries one as well."""
    _differentiate(mode)
    return mode.view(func, args, kwargs)


def _differentiate(mode: FunctionMode) -> None:
    if not mode.options.checked:
        raise RestartError(checked=True)


def recurrent(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """``lstm`` and its kin: every matrix is multiplied once for each row of each step."""
    name = func.__name__
    if kwargs:
        # in no order that is known here
        return mode.run(func, args, kwargs, "rnn", name)
    if mode.options.checked:
        func = _stepping(func, args)
    if mode.options.checked and not mode.options.backward:
        return mode.run(func, args, kwargs, "rnn", name)
    ins = tuple(tensors(args))
    call = Recurrence.of(name, args)
    if mode.options.checked:
        outs = tuple(tensors(mode.execute(func, args, kwargs, ins, Gathered())))
    else:
        with mode.recorder.pause():
            outs = tuple(torch.empty(s, dtype=call.x.dtype, device=META) for s in call.sizes())
    if mode.options.backward:
        call.write_parts(mode.recorder, name, outs)
    else:
        mode.recorder.write("rnn", name, ins, outs, call.macs())
    return outs if len(outs) > 1 else outs[0]


def _stepping(func: Any, args: Args) -> Any:
    # Of a packed sequence the sizes of its steps are read, whatever the device.
    if func.__name__.endswith("_cell") or not isinstance(args[3], (list, tuple)):
        return func
    return lambda x, _, *rest: func(x, args[1], *rest)


def several(operator: str) -> Handler:
    """A product of several tensors; for a training step, each product of two by itself."""

    def handle(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
        if mode.options.backward:
            return from_below(mode, func, args, kwargs)
        return mode.run(func, args, kwargs, "matmul", operator)

    return handle


def vecdot(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """``linalg.vecdot``: rows by columns, which torch writes as products that are added up."""
    return several("vecdot")(mode, _rows_by_columns, args, kwargs)


def _rows_by_columns(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    rows, columns = x.movedim(dim, -1).conj().unsqueeze(-2), y.movedim(dim, -1).unsqueeze(-1)
    return (rows @ columns).squeeze(-1).squeeze(-1)


def dense(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> bool:
    """Whether sequences may be nested by their mask: not here, where padding is counted too."""
    return False


def pack(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """``_pack_padded_sequence``: the rows that are there, and how many at each step."""
    x, lengths, _ = args
    if mode.options.real:
        return mode.run(func, args, kwargs, "copy", "pack_padded_sequence")
    if not mode.tensors.knows(lengths) and lengths.is_meta:
        raise DataDependentError("pack_padded_sequence", mode.recorder.path)
    counts = lengths.tolist()
    sizes = [sum(length > step for length in counts) for step in range(max(counts, default=0))]
    with mode.recorder.pause():
        batch_sizes = torch.tensor(sizes, dtype=torch.int64)
        data = torch.empty((sum(counts), *x.shape[2:]), dtype=x.dtype, device=META)
    mode.tensors.learn([batch_sizes])
    mode.tensors.on_cpu.add(id(batch_sizes))
    mode.recorder.write("copy", "pack_padded_sequence", (x,), (data, batch_sizes))
    return data, batch_sizes


def unpack(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """``_pad_packed_sequence``: every sequence as long as the longest."""
    if mode.options.real:
        return mode.run(func, args, kwargs, "copy", "pad_packed_sequence")
    data, batch_sizes, batch_first, _, total_length = args
    sizes = batch_sizes.tolist()
    n, steps = sizes[0], max(len(sizes), total_length)
    with mode.recorder.pause():
        outer = (n, steps) if batch_first else (steps, n)
        out = torch.empty((*outer, *data.shape[1:]), dtype=data.dtype, device=META)
        lengths = torch.tensor([sum(size > i for size in sizes) for i in range(n)])
    mode.tensors.learn([lengths])
    mode.recorder.write("copy", "pad_packed_sequence", (data,), (out, lengths))
    return out, lengths


def asserted(mode: FunctionMode, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """``torch._assert``: what is asserted of sizes is known, what of values is not."""
    condition, message = args
    if (
        isinstance(condition, Tensor)
        and not mode.options.real
        and not mode.tensors.knows(condition)
    ):
        raise DataDependentError("_assert", mode.recorder.path)
    assert condition, message
