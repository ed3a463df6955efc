"""Watching a model run: every call of a torch function is answered, and written down.

A function whose result follows from shapes is answered by its judge, and no kernel runs. Any other
runs on the meta device, watched from below while it does, operator by operator. Under real
execution, and where the answers themselves are to be checked, every function runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch._C import _is_alias_of  # type: ignore[attr-defined]
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from flopcount.counters.operator_kinds import COUNTED
from flopcount.counters.operators import Sizes
from flopcount.counters.trace.dispatch_mode import Deep
from flopcount.counters.trace.ledger import Ledger
from flopcount.counters.trace.recorder import Recorder
from flopcount.counters.trace.records import DataDependentError, Gathered, Rule, tensors
from flopcount.counters.trace.shape_rules import LIKE
from flopcount.counters.trace.unwrapped import unasked

_META = torch.device("meta")
_empty = torch.empty
_empty_strided = torch.empty_strided
_is_grad_enabled = torch.is_grad_enabled
# Kinds whose result lies in memory as their input does.
_AS_THEY_LIE = frozenset({"activation", "relu", "relu6", "elementwise", "add", "mul", "batch_norm"})
# The count that each thread is at.
_running = threading.local()


class Watch(Recorder, TorchFunctionMode):
    """Answers and writes down every torch function that is called while it is entered.

    ``table`` has the handler of each function already met, and ``resolve`` finds that of another.
    """

    def __init__(
        self,
        ledger: Ledger,
        table: dict[Any, Any],
        resolve: Callable[[Any, Mapping[Any, Rule]], Any],
        *,
        real: bool,
        checked: bool,
        device: torch.device,
    ) -> None:
        TorchFunctionMode.__init__(self)
        Recorder.__init__(self, ledger, real=real, checked=checked)
        _running.watch = self
        self.device = device
        self.table = table
        self.resolve = resolve
        self.deep = Deep(self)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Answer one call."""
        if self.paused:
            return func(*args, **(kwargs or {}))
        handler = self.table.get(func)
        if handler is None:
            handler = self.resolve(func, self.rules)
            if not isinstance(func, FunctionType) or func.__module__.startswith("torch"):
                # another's function may be made anew for every call
                self.table[func] = handler
        return handler(self, func, args, kwargs or {})

    def answer(self, found: Any) -> Any:
        """Write down what a judge found, and make its result."""
        kind, operator, ins, size, dtype, macs, weight, bias, windows = found
        if size is None:
            out = ins[0]
            if id(out) in self.apart:
                # written on: its value is not known from here on
                self.meta(out)
        elif size is LIKE and not self.everywhere and ins[0].is_meta and ins[0].is_contiguous():
            # a tensor like the first, made in a third of the time
            out = ins[0].detach()
        elif size is LIKE or self.everywhere or kind in _AS_THEY_LIE:
            out = self._made(kind, ins[0], ins[0].shape if size is LIKE else size, dtype)
        else:
            out = _empty(size, dtype=dtype, device=_META)
        if self.muted:
            self.glimpse((*ins, weight, bias))
            return out
        ledger = self.ledger
        grad = _is_grad_enabled() or (self.backward and self.customs.running())
        line = (ledger.module, kind, operator, ins, (out,), macs, weight, bias, windows, grad)
        ledger.lines.append(line)
        return out

    def _made(self, kind: str, first: Tensor, size: Sizes, dtype: torch.dtype) -> Tensor:
        """A tensor without values; element by element, it lies in memory as the first input."""
        if self.everywhere:
            self.busy = True
            out = _empty(size, dtype=dtype, device=_META)
            self.busy = False
            return out
        if kind in _AS_THEY_LIE and not first.is_contiguous() and first.shape == size:
            return _empty_strided(size, _strides(first), dtype=dtype, device=_META)
        return _empty(size, dtype=dtype, device=_META)

    def run(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        kind: str | None,
        operator: str,
        found: Any = None,
    ) -> Any:
        """Run a function whose kind is known, and write it down as one line."""
        ins = tuple(tensors((args, kwargs)))
        gathered = Gathered()
        out = self.execute(func, args, kwargs, ins, kind in COUNTED or self.checked, gathered)
        # what gives nothing back has written on its first tensor
        outs = ins[:1] if out is None else tuple(tensors(out))
        if not outs:
            return out
        macs, weight, bias, windows = gathered.macs, None, None, 0
        if kind == "conv" and any(x.is_complex() for x in ins):
            # torch makes three products of real parts of what is one product of complex numbers
            macs //= 3
        if found is not None:
            kind, operator, ins = found[0], found[1], found[2]
            weight, bias, windows = found[6:9]
            if not self.checked:
                macs = found[5]
        for lost in gathered.lost if kind in COUNTED else ():
            self.write("uncounted", lost, ins, ())
        self.write(kind, operator, ins, outs, macs, weight, bias, windows)
        return out

    def execute(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        ins: tuple[Tensor, ...],
        below: bool,
        gathered: Gathered | None,
    ) -> Any:
        """Run a function: for real where its values are known or asked for, else on meta.

        ``below`` has it watched from below; ``gathered`` takes what is seen there, instead of
        lines of their own.
        """
        known = self.real or (bool(ins) and all(id(x) in self.worked_out for x in ins))
        if not known:
            args, kwargs = tree_map_only(Tensor, self.meta, (args, dict(kwargs)))
        outer, self.gathered = self.gathered, gathered if self.gathered is None else self.gathered
        try:
            if below and not self.everywhere:
                with self.deep:
                    out = func(*args, **kwargs)
            else:
                out = func(*args, **kwargs)
        except RuntimeError as error:
            asked = isinstance(error, DataDependentError)
            if known or asked or "meta tensor" not in str(error).lower():
                raise
            raise DataDependentError(getattr(func, "__name__", str(func)), self.path) from error
        finally:
            self.gathered = outer
        if (known or not ins) and not self.real:
            # of numbers alone torch makes a tensor with a value, too
            self.worked_out.update((id(x), x) for x in tensors(out) if not x.is_meta)
        elif self.shadows:
            if not known and self.worked_out:
                self.forget(ins)
            out = tree_map_only(Tensor, self.source, out)
        return out

    def view(
        self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], operator: str = ""
    ) -> Any:
        """Run a function that makes other names of its first tensor."""
        first = args[0] if args else next(iter(kwargs.values()))
        if self.real:
            out = self.execute(func, args, kwargs, (), False, Gathered())
        else:
            with self.aside():
                out = func(*args, **kwargs)
        outs = tuple(tensors(out))
        if id(first) in self.worked_out:
            self.worked_out.update((id(x), x) for x in outs)
        self.write_view(first, outs, operator)
        return out

    def maybe_view(
        self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], operator: str
    ) -> Any:
        """Run a function that makes another name of a tensor where it can, else a copy."""
        first = args[0]
        if self.real:
            out = self.execute(func, args, kwargs, (), False, Gathered())
        elif first.is_contiguous() or not first.is_meta:
            return self.view(func, args, kwargs)
        else:
            with self.aside():
                out = func(*args, **kwargs)
        if out is first:
            return out
        if _is_alias_of(first, out):
            self.write_view(first, (out,))
        else:
            self.write("copy", operator, (first,), (out,))
        return out

    def unchecked(
        self, func: FunctionType, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Run a function of torch's that is written in Python, and watch what it calls."""
        with self:
            return unasked(func)(*args, **kwargs)


def _strides(tensor: Tensor) -> tuple[int, ...]:
    """The strides of a tensor that leaves no gaps, else those of a contiguous one."""
    size, strides = tensor.shape, tensor.stride()
    reach = sum((s - 1) * t for s, t in zip(size, strides, strict=True)) + 1
    if reach == tensor.numel() and 0 not in strides:
        return strides
    return tuple(prod(size[i + 1 :]) for i in range(len(size)))


@contextmanager
def alone() -> Iterator[None]:
    """Let an outer count of this thread look away meanwhile."""
    outer: Watch | None = getattr(_running, "watch", None)
    if outer is not None:
        outer.paused = True
    try:
        yield
    finally:
        _running.watch = outer
        if outer is not None:
            outer.paused = False
