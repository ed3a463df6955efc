"""How the functions are answered that no judge can speak for: each in a way of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only
from torch.utils.hooks import RemovableHandle

from flopcount.counters.operator_kinds import FREE, operator_of
from flopcount.counters.trace.function_mode import Watch
from flopcount.counters.trace.records import FEW, DataDependentError, Gathered, tensors
from flopcount.counters.trace.recurrent import Recurrence
from flopcount.counters.trace.shadow_module import HookedError

#: Answers one call of a torch function: watch, function, arguments, named arguments.
Handler: TypeAlias = Callable[[Watch, Any, tuple[Any, ...], Mapping[str, Any]], Any]


def passed(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A question about a tensor itself: nobody writes it down."""
    return func(*args, **kwargs)


def device(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Where a tensor is: where the model is, but for what torch keeps on the CPU."""
    if w.real:
        return func(*args)
    return _CPU["device"] if id(args[0]) in w.on_cpu else w.device


def viewed(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A function that makes other names of its first tensor."""
    known = args and (id(args[0]) in w.apart or id(args[0]) in w.worked_out)
    if w.everywhere or not args or known or (w.backward and not torch.is_grad_enabled()):
        return w.view(func, args, kwargs)
    out = func(*args, **kwargs)
    outs = (out,) if isinstance(out, Tensor) else tuple(tensors(out))
    w.ledger.lines.append((0, None, "", args[:1], outs, 0, None, None, 0, True))
    return out


def detached(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Another name of a tensor that leads no gradient back."""
    if _lazy(args[0]):
        # without a shape yet
        return func(*args)
    return w.view(func, args, kwargs, "detach")


def python(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A function of torch's that is written in Python: what it calls is watched."""
    return w.unchecked(func, args, kwargs)


def from_below(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A function that is only seen operator by operator."""
    return w.execute(func, args, kwargs, tuple(tensors((args, kwargs))), True, None)


def valued(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A function whose result depends on values: they must be known."""
    ins = tuple(tensors((args, kwargs)))
    if not w.real and not all(id(x) in w.worked_out for x in ins):
        if not all(id(x) in w.worked_out or _own(w, x) for x in ins):
            raise DataDependentError(getattr(func, "__name__", str(func)), w.path)
        with w.aside():
            return func(*args, **kwargs)
    name = operator_of(getattr(func, "__name__", ""))
    return w.run(func, args, kwargs, FREE.get(name, "copy"), name)


def _own(w: Watch, tensor: Tensor) -> bool:
    # A small tensor that the module keeps beside its weights, such as a step or a temperature.
    small = not tensor.is_meta and tensor.numel() <= 1
    return small and id(tensor) not in w.shadows


def dropping(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``dropout`` and its kin: in evaluation, the input itself."""
    x = args[0] if args else kwargs["input"]
    if not kwargs.get("training", args[2] if len(args) > 2 else True):
        return x
    if w.checked or id(x) in w.worked_out:
        return w.run(func, args, kwargs, "dropout", "dropout")
    size = None if kwargs.get("inplace") or func.__name__.endswith("_") else x.shape
    return w.answer(("dropout", "dropout", (x,), size, x.dtype, 0, None, None, 0))


def getitem(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """An index: another name where it is plain, a copy where it holds tensors."""
    at = args[1]
    parts = at if isinstance(at, tuple) else (at,)
    if any(isinstance(part, (Tensor, list)) for part in parts):
        if not w.real:
            places = tuple(place for part in parts for place in _places(w, part))
            args = (args[0], places)
        return w.run(func, args, kwargs, "index", "getitem")
    return w.view(func, args, kwargs)


def _places(w: Watch, part: Any) -> tuple[Any, ...]:
    """A part of an index; of a mask whose values are known, the places that it marks."""
    if not isinstance(part, Tensor) or part.dtype not in (torch.bool, torch.uint8):
        return (part,)
    if id(part) not in w.worked_out:
        raise DataDependentError("an index by a mask", w.path)
    with w.aside():
        found = part.bool().nonzero(as_tuple=True)
    w.worked_out.update((id(x), x) for x in found)
    return found


def reflected(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``__rmatmul__``: the product with its operands in their order."""
    with w:
        return torch.matmul(args[1], args[0])


def hooked(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A hook on a tensor: only a backward pass would call it, and none is run."""
    return RemovableHandle({}) if id(args[0]) in w.apart else func(*args, **kwargs)


def copied(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A deep copy of a tensor: one of the model's own, and nothing that it works out."""
    with w.aside():
        return func(*args, **kwargs)


def unchanged(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What changes where a tensor lies, and nothing of what it costs."""
    return args[0]


def where(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``where`` of three chooses; of one it asks for values."""
    if len(args) + len(kwargs) == 1:
        return valued(w, func, args, kwargs)
    return w.run(func, args, kwargs, "elementwise", "where")


def repeat_interleave(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``repeat_interleave``, whose result is as long as its repeats say."""
    repeats = kwargs.get("repeats", args[1] if len(args) > 1 else args[0])
    if isinstance(repeats, Tensor) and "output_size" not in kwargs:
        return valued(w, func, args, kwargs)
    return w.run(func, args, kwargs, "index", "repeat_interleave")


def moved(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``to`` and its kin: nothing leaves the device, but elements may change their type."""
    x = args[0]
    if w.real:
        return w.maybe_view(func, args, kwargs, "to")
    if id(x) in w.worked_out and func.__name__ in ("cpu", "cuda"):
        return x
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
        with w.aside():
            out = torch.empty(x.shape, dtype=dtype, device="meta")
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


# Where torch keeps what runs on the meta device.
_KERNELS = ("torch._meta_registrations", "torch._refs", "torch._prims", "torch._decomp")


def created(kind: str, operator: str) -> Handler:
    """A function that makes a tensor of nothing; what is no larger than a mask is worked out."""

    def handle(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        ins = tuple(tensors((args, kwargs)))
        if not w.everywhere and sys._getframe(2).f_globals["__name__"].startswith(_KERNELS):
            # The result of an operator that was called by none of torch's functions.
            w.overheard = True
        if w.real or func.__name__ in ("tensor", "as_tensor", "asarray", "from_numpy"):
            return _kept(w, func, args, kwargs, kind, operator)
        if ins and not all(id(x) in w.worked_out for x in ins):
            kwargs = {**kwargs, "device": "meta"} if "device" in kwargs else kwargs
            args = (*args[:1], *tree_map_only(Tensor, w.number, args[1:]))
            return w.run(func, args, kwargs, kind, operator)
        with w.aside():
            out = func(*args, **{**kwargs, "device": "meta"})
            sure = "empty" not in operator or not (out.is_floating_point() or out.is_complex())
            if kind == "create" and sure and out.numel() <= FEW:
                out = func(*args, **{**kwargs, "device": "cpu"})
                w.worked_out[id(out)] = out
        w.write(kind, operator, ins, (out,))
        return out

    return handle


def _kept(
    w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], kind: str, operator: str
) -> Any:
    with w.aside():
        if w.real:
            out = func(*args, **kwargs)
        elif args and isinstance(args[0], Tensor):
            out = args[0]
        else:
            given = {k: v for k, v in kwargs.items() if k not in ("device", "requires_grad")}
            out = func(*args, **given, **({} if func.__name__ == "from_numpy" else _CPU))
            w.worked_out[id(out)] = out
    w.write(kind, operator, tensors((args, kwargs)), (out,))
    return out


_CPU = {"device": torch.device("cpu")}


def set_data(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Setting ``data``: of what is the user's, only what the model sees changes."""
    tensor, value = args
    if id(tensor) in w.apart and not _lazy(tensor):
        # The user's own: only what the model sees of it changes.
        w.shadows[id(tensor)] = value if w.real else w.meta(value)
        return None
    return func(tensor, value)


def _lazy(tensor: Tensor) -> bool:
    return type(tensor).__name__ in ("UninitializedParameter", "UninitializedBuffer")


def ignored(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Setting what a count has no use for, such as ``grad``; never on a tensor of the user's."""
    return None if id(args[0]) in w.apart else func(*args, **kwargs)


def requires_grad(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Asking for gradients on the way: they flow only through what runs."""
    if id(args[0]) in w.apart:
        return args[0]
    _differentiate(w)
    return func(*args, **kwargs)


def dual(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A tensor with its tangent: what is made of it carries one as well."""
    _differentiate(w)
    return w.view(func, args, kwargs)


def _differentiate(w: Watch) -> None:
    if not w.checked:
        w.differentiated = True
        raise HookedError


def recurrent(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``lstm`` and its kin: every matrix is multiplied once for each row of each step."""
    name = func.__name__
    if kwargs:
        # in no order that is known here
        return w.run(func, args, kwargs, "rnn", name)
    if w.checked:
        func = _stepping(func, args)
    if w.checked and not w.backward:
        return w.run(func, args, kwargs, "rnn", name)
    ins = tuple(tensors(args))
    call = Recurrence.of(name, args)
    if w.checked:
        outs = tuple(tensors(w.execute(func, args, kwargs, ins, True, Gathered())))
    else:
        with w.aside():
            outs = tuple(torch.empty(s, dtype=call.x.dtype, device="meta") for s in call.sizes())
    if w.backward:
        call.write_parts(w, name, outs)
    else:
        w.write("rnn", name, ins, outs, call.macs())
    return outs if len(outs) > 1 else outs[0]


def _stepping(func: Any, args: tuple[Any, ...]) -> Any:
    # Of a packed sequence the sizes of its steps are read, whatever the device.
    if func.__name__.endswith("_cell") or not isinstance(args[3], (list, tuple)):
        return func
    return lambda x, _, *rest: func(x, args[1], *rest)


def several(operator: str) -> Handler:
    """A product of several tensors; for a training step, each product of two by itself."""

    def handle(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if w.backward:
            return from_below(w, func, args, kwargs)
        return w.run(func, args, kwargs, "matmul", operator)

    return handle


def vecdot(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``linalg.vecdot``: rows by columns, which torch writes as products that are added up."""
    return several("vecdot")(w, _rows_by_columns, args, kwargs)


def _rows_by_columns(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    rows, columns = x.movedim(dim, -1).conj().unsqueeze(-2), y.movedim(dim, -1).unsqueeze(-1)
    return (rows @ columns).squeeze(-1).squeeze(-1)


def dense(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether sequences may be nested by their mask: not here, where padding is counted too."""
    return False


def pack(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``_pack_padded_sequence``: the rows that are there, and how many at each step."""
    x, lengths, _ = args
    if w.real:
        return w.run(func, args, kwargs, "copy", "pack_padded_sequence")
    if id(lengths) not in w.worked_out and lengths.is_meta:
        raise DataDependentError("pack_padded_sequence", w.path)
    counts = lengths.tolist()
    sizes = [sum(length > step for length in counts) for step in range(max(counts, default=0))]
    with w.aside():
        batch_sizes = torch.tensor(sizes, dtype=torch.int64)
        data = torch.empty((sum(counts), *x.shape[2:]), dtype=x.dtype, device="meta")
    w.worked_out[id(batch_sizes)] = batch_sizes
    w.on_cpu.add(id(batch_sizes))
    w.write("copy", "pack_padded_sequence", (x,), (data, batch_sizes))
    return data, batch_sizes


def unpack(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``_pad_packed_sequence``: every sequence as long as the longest."""
    if w.real:
        return w.run(func, args, kwargs, "copy", "pad_packed_sequence")
    data, batch_sizes, batch_first, _, total_length = args
    sizes = batch_sizes.tolist()
    n, steps = sizes[0], max(len(sizes), total_length)
    with w.aside():
        outer = (n, steps) if batch_first else (steps, n)
        out = torch.empty((*outer, *data.shape[1:]), dtype=data.dtype, device="meta")
        lengths = torch.tensor([sum(size > i for size in sizes) for i in range(n)])
    w.worked_out[id(lengths)] = lengths
    w.write("copy", "pad_packed_sequence", (data,), (out, lengths))
    return out, lengths


def asserted(w: Watch, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``torch._assert``: what is asserted of sizes is known, what of values is not."""
    condition, message = args
    if isinstance(condition, Tensor) and not w.real and id(condition) not in w.worked_out:
        raise DataDependentError("_assert", w.path)
    assert condition, message
