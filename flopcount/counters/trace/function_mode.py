"""The function mode: every call of a torch function is answered and written as a line.

A function whose result follows from shapes is answered by its shape rule, and no kernel runs. Any
other runs on the meta device below the dispatch mode, operator by operator. Under real execution,
and where the rules themselves are to be checked, every function runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch._C import _is_alias_of  # type: ignore[attr-defined]
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from flopcount.counters.operators import Sizes
from flopcount.counters.trace.dispatch_mode import DispatchMode
from flopcount.counters.trace.recorder import Recorder
from flopcount.counters.trace.records import (
    META,
    Args,
    DataDependentError,
    Gathered,
    Kwargs,
    tensors,
)
from flopcount.counters.trace.shape_rules import LIKE, RuleResult
from flopcount.entries import PRODUCTS

_empty = torch.empty
# Kinds whose result has the strides of their input.
_ELEMENTWISE = frozenset({"activation", "relu", "relu6", "elementwise", "add", "mul", "batch_norm"})


class FunctionMode(TorchFunctionMode):
    """Answers every torch function that is called while it is entered.

    Invariant: the handler of a function writes what it costs with the recorder, or runs it below
    the dispatch mode, which does; only a handler of what costs nothing does neither.
    ``missed_operator`` says that an operator ran below no torch function at all.
    """

    def __init__(
        self, recorder: Recorder, dispatch: DispatchMode, handlers: Mapping[Any, Any]
    ) -> None:
        super().__init__()
        self.recorder = recorder
        self.options = recorder.options
        self.tensors = recorder.tensors
        self.dispatch = dispatch
        self.handlers = handlers
        self.missed_operator = False

    def __torch_function__(self, func: Any, types: Any, args: Args = (), kwargs: Any = None) -> Any:
        """Answer one call."""
        if self.recorder.paused:
            return func(*args, **(kwargs or {}))
        return self.handlers[func](self, func, args, kwargs or {})

    def answer(self, result: Any) -> Any:
        """Write a `RuleResult` down, and make its tensor."""
        kind, operator, ins, size, dtype, macs, weight, bias, windows = result
        recorder = self.recorder
        if size is None:
            out = ins[0]
            if id(out) in self.tensors.model_tensors:
                # written on: its value is not known from here on
                recorder.on_meta(out)
        elif self.options.everywhere:
            with recorder.pause():
                sizes = ins[0].shape if size is LIKE else size
                out = _empty(sizes, dtype=dtype, device=META)
        elif size is LIKE and ins[0].is_meta and ins[0].is_contiguous():
            # a tensor like the first, made in a third of the time
            out = ins[0].detach()
        elif size is LIKE or kind in _ELEMENTWISE:
            out = _made(kind, ins[0], ins[0].shape if size is LIKE else size, dtype)
        else:
            out = _empty(size, dtype=dtype, device=META)
        if recorder.suppress_depth:
            recorder.record_read((*ins, weight, bias))
        else:
            recorder.append(kind, operator, ins, (out,), macs, weight, bias, windows)
        return out

    def run(
        self,
        func: Any,
        args: Args,
        kwargs: Kwargs,
        kind: str,
        operator: str,
        result: RuleResult | None = None,
    ) -> Any:
        """Run a function whose kind is known, and write it as one line.

        ``result`` is what its shape rule says of it, where there is one.
        """
        ins = tuple(tensors((args, kwargs)))
        gathered = Gathered()
        below = kind in PRODUCTS or self.options.checked
        out = self.execute(func, args, kwargs, ins, gathered, below=below)
        # what gives nothing back has written on its first tensor
        outs = ins[:1] if out is None else tuple(tensors(out))
        if not outs:
            return out
        macs, weight, bias, windows = gathered.macs, None, None, 0
        if kind == "conv" and any(x.is_complex() for x in ins):
            # torch makes three products of real parts of what is one product of complex numbers
            macs //= 3
        if result is not None:
            kind, operator, ins, _, _, ruled, weight, bias, windows = result
            macs = macs if self.options.checked else ruled
        for lost in gathered.lost if kind in PRODUCTS else ():
            self.recorder.write("uncounted", lost, ins, ())
        self.recorder.write(kind, operator, ins, outs, macs, weight, bias, windows)
        return out

    def execute(
        self,
        func: Any,
        args: Args,
        kwargs: Kwargs,
        ins: tuple[Tensor, ...],
        gathered: Gathered | None,
        *,
        below: bool = True,
    ) -> Any:
        """Run a function: for real where its values are known or asked for, else on meta.

        ``below`` runs it below the dispatch mode; ``gathered`` takes what is seen there, instead
        of lines.
        """
        options, known_tensors = self.options, self.tensors
        known = options.real or known_tensors.knows(*ins)
        if not known:
            args, kwargs = tree_map_only(Tensor, self.recorder.on_meta, (args, dict(kwargs)))
        try:
            enter = below and not options.everywhere
            out = self.dispatch.run(func, args, kwargs, gathered, enter=enter)
        except RuntimeError as error:
            asked = isinstance(error, DataDependentError)
            if known or asked or "meta tensor" not in str(error).lower():
                raise
            name = getattr(func, "__name__", str(func))
            raise DataDependentError(name, self.recorder.path) from error
        if (known or not ins) and not options.real:
            # of numbers alone torch makes a tensor with a value, too
            known_tensors.learn(x for x in tensors(out) if not x.is_meta)
        elif known_tensors.meta_copies:
            if not known and known_tensors.known_values:
                known_tensors.forget(ins)
            out = tree_map_only(Tensor, known_tensors.source, out)
        return out

    def view(self, func: Any, args: Args, kwargs: Kwargs, operator: str = "") -> Any:
        """Run a function that makes views of its first tensor."""
        first = args[0] if args else next(iter(kwargs.values()))
        out = self._moved(func, args, kwargs)
        outs = tuple(tensors(out))
        if self.tensors.knows(first):
            self.tensors.learn(outs)
        self.recorder.write_view(first, outs, operator)
        return out

    def maybe_view(self, func: Any, args: Args, kwargs: Kwargs, operator: str) -> Any:
        """Run a function that makes a view of a tensor where it can, else a copy."""
        first = args[0]
        if not self.options.real and (first.is_contiguous() or not first.is_meta):
            return self.view(func, args, kwargs)
        out = self._moved(func, args, kwargs)
        if out is first:
            return out
        if _is_alias_of(first, out):
            self.recorder.write_view(first, (out,))
        else:
            self.recorder.write("copy", operator, (first,), (out,))
        return out

    def _moved(self, func: Any, args: Args, kwargs: Kwargs) -> Any:
        """Run a function that computes nothing, unseen by the dispatch mode."""
        if self.options.real:
            return self.execute(func, args, kwargs, (), Gathered(), below=False)
        with self.recorder.pause():
            return func(*args, **kwargs)


def _made(kind: str, first: Tensor, size: Sizes, dtype: torch.dtype) -> Tensor:
    """A tensor without values; element by element, it has the strides of the first input."""
    if kind in _ELEMENTWISE and not first.is_contiguous() and first.shape == size:
        return torch.empty_strided(size, _strides(first), dtype=dtype, device=META)
    return _empty(size, dtype=dtype, device=META)


def _strides(tensor: Tensor) -> tuple[int, ...]:
    """The strides of a tensor that leaves no gaps, else those of a contiguous one."""
    size, strides = tensor.shape, tensor.stride()
    reach = sum((s - 1) * t for s, t in zip(size, strides, strict=True)) + 1
    if reach == tensor.numel() and 0 not in strides:
        return strides
    return tuple(prod(size[i + 1 :]) for i in range(len(size)))
