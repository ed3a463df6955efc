"""The general counter: what any module or function of torch's costs, from shapes.

The model runs once, on inputs that have shapes and no values, as a twin of itself: every call of a
torch function is answered by a rule (`flopcount.counters.operators`), and what has none runs on
the meta device, watched operator by operator. Nothing of the user's is written on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, nullcontext
from itertools import chain
from types import FunctionType, MappingProxyType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import _len_torch_function_stack
from torch.nn.modules.module import _has_any_global_hook

from flopcount.counters.trace.backward import backward as gradients
from flopcount.counters.trace.dispatch import KNOWN, handler_of
from flopcount.counters.trace.function_mode import Watch, alone
from flopcount.counters.trace.inputs import made, prepared
from flopcount.counters.trace.ledger import Ledger, settle
from flopcount.counters.trace.module_calls import Manner
from flopcount.counters.trace.rebinding import held_by
from flopcount.counters.trace.records import Call, DataDependentError, Rule, tensors
from flopcount.counters.trace.restore_state import kept, uncollected
from flopcount.counters.trace.shadow_module import HookedError, Twin
from flopcount.counters.trace.user_rules import given
from flopcount.tally import Tally

__all__ = ["Call", "DataDependentError", "Rule", "UncountedError", "count"]


class UncountedError(ValueError):
    """In strict mode: something ran that has no rule."""


def count(
    model: Callable[..., Any],
    *inputs: Any,
    shape: Any = None,
    execution: str = "meta",
    backward: bool = False,
    strict: bool = False,
    rules: Mapping[Any, str | Rule] = MappingProxyType({}),
    checked: bool = False,
    **kwargs: Any,
) -> Tally:
    """The tally of one pass through a model, operator by operator.

    ``model`` is a module, a method of one, or a function. The inputs are tensors, in any nesting,
    and named ones; or ``shape``, one shape ``(n, c, h, w)`` or several. The model is counted as
    it is evaluated, whatever its mode; with ``backward`` as it is trained, with the multiply-adds
    of every gradient. ``execution="real"`` runs it with values, which a model needs whose course
    depends on them. ``rules`` adds to what is known, for this count alone: the name of an
    operator, a function or a class of modules, with a kind that is free or a `Rule`.
    ``checked`` has every function run and its operators counted below, instead of being answered
    by its shapes.
    Raises UncountedError under ``strict`` where something ran that has no rule, DataDependentError
    where values are needed, ValueError for a rule that nothing can meet, TypeError where there is
    neither input nor shape, or both; and whatever the model raises.
    """
    if execution not in ("meta", "real"):
        raise ValueError(f'execution {execution!r}: is "meta" or "real"')
    if shape is not None and inputs:
        raise TypeError("count takes either inputs or a shape")
    asked = given(rules)
    real = execution == "real"
    with alone(), torch.inference_mode(False), nullcontext() if real else uncollected():
        tally = _counted(model, inputs, shape, kwargs, (real, backward, checked, asked))
    if strict and tally.uncounted:
        times = ", ".join(f"{name} ({count})" for name, count in tally.uncounted.items())
        raise UncountedError(f"no rule for {times}")
    return tally


def _counted(
    model: Any,
    inputs: tuple[Any, ...],
    shape: Any,
    kwargs: dict[str, Any],
    how: tuple[bool, bool, bool, Mapping[Any, Rule]],
) -> Tally:
    """The tally; all else that a run makes is gone when this returns."""
    real, backward, checked, asked = how
    run = _Run(model, real, backward, checked, asked, thorough=real)
    tally = run.count(inputs, shape, kwargs)
    while tally is None:
        # Something ran that calls no torch function, or that adds hooks on its way: again,
        # with all of it watched from below; and every function run where gradients flow.
        checked = checked or run.watch.differentiated
        run = _Run(model, real, backward, checked, asked, thorough=True)
        tally = run.count(inputs, shape, kwargs)
    return tally


class _Run:
    """One pass: the twin, the watch, and what comes of them."""

    def __init__(
        self,
        model: Any,
        real: bool,
        backward: bool,
        checked: bool,
        rules: Mapping[Any, Rule],
        *,
        thorough: bool,
    ) -> None:
        module = model.__self__ if isinstance(model, MethodType) else model
        if isinstance(model, FunctionType) and held_by(model):
            # a function of modules is counted as a module that has them
            module = nn.Module()
            module._modules.update(held_by(model))
        self.real = real
        self.backward = backward
        self.ledger = Ledger()
        self.device = _device(module)
        # with rules of the user's, no function is what it is for every count
        table = {} if rules else KNOWN
        how = {"real": real, "checked": checked}
        self.watch = Watch(self.ledger, table, handler_of, device=self.device, **how)
        self.watch.rules = rules
        self.watch.everywhere = thorough
        self.watch.backward = backward
        self.twin: Twin | None = None
        self.model = model
        if isinstance(module, nn.Module):
            # Short cuts are for those who hide nothing from anybody else that watches.
            hooked = _has_any_global_hook()  # type: ignore[no-untyped-call]
            watched = _len_torch_function_stack() or hooked
            plain = not (checked or thorough or rules or watched)
            manner = Manner(self.watch, rules, plain)
            self.twin = Twin(module, backward, manner, real, apart=thorough)
            self.model = self.twin.module
            if isinstance(model, FunctionType):
                self.model = self.twin.bound(model)
            elif module is not model:
                self.model = MethodType(model.__func__, self.twin.module)
            self.watch.paths = self.twin.paths
            self.watch.apart = self.twin.owned.copy()
            self.ledger.calls.extend([0] * len(self.twin.paths))

    def count(self, inputs: tuple[Any, ...], shape: Any, kwargs: dict[str, Any]) -> Tally | None:
        """The tally, or None where something ran that was not seen."""
        watch = self.watch
        watch.everywhere |= self.twin is not None and self.twin.scripted
        with ExitStack() as stack:
            stack.enter_context(kept())
            if shape is not None:
                inputs = made(shape, self._like(()), self.device, self.real)
            given = tuple(tensors((inputs, kwargs)))
            args, named = prepared((inputs, kwargs), watch)
            stack.enter_context(torch.set_grad_enabled(self.backward))
            if watch.everywhere:
                stack.enter_context(watch.deep)
            stack.enter_context(watch)
            try:
                out = self.model(*args, **named)
            except HookedError:
                return None
        ins = tuple(map(self._seen, tensors((args, named))))
        outs = tuple(map(self._seen, tensors(out)))
        settled = settle(self.ledger.lines, self.twin, (ins, outs))
        if settled.wrapped and not watch.checked:
            watch.differentiated = True
            return None
        if (settled.unseen or watch.overheard) and not watch.everywhere:
            return None
        if not ins and not self.ledger.lines:
            raise TypeError("count takes inputs or a shape, and the model did nothing without")
        entries, uncounted = settled.entries, settled.uncounted
        if self.backward:
            back = gradients(
                self.ledger.lines,
                self.twin,
                {id(x) for x, y in zip(ins, given, strict=True) if y.requires_grad},
                outs,
            )
            entries += back
            for entry in back:
                if entry.kind == "uncounted":
                    uncounted[entry.operator] = uncounted.get(entry.operator, 0) + 1
        tally = Tally(
            entries,
            self._like(ins).element_size(),
            None,
            uncounted,
            self.twin.inventory(settled.called) if self.twin else (),
            self.twin.modules(self.ledger.calls) if self.twin else (),
            None if self.backward else settled.peak_bytes,
            next((x.shape[0] for x in ins if len(x.shape)), 1),
        )
        if self.twin is not None:
            self.twin.close()
        # the two hold each other, and with them all that ran
        watch.deep.watch = None
        return tally

    def _seen(self, tensor: Tensor) -> Any:
        return self.watch.ghost(tensor) if self.real else tensor

    def _like(self, inputs: Iterable[Any]) -> Any:
        """The first parameter or input that is a float, or what torch makes by default."""
        owned = self.twin.parameters if self.twin else ()
        floats = (x for x in chain(owned, inputs) if x.dtype.is_floating_point)
        return next(floats, torch.empty(0))


def _device(module: Any) -> torch.device:
    parameters = module.parameters() if isinstance(module, nn.Module) else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device
