"""The general counter: what any module or function of torch's costs, from shapes.

A shadow of the model runs once, on inputs that have shapes and no values: every call of a torch
function is answered by a rule (`flopcount.counters.operators`), and what has none runs on the meta
device, operator by operator. Nothing of the user's is written on.
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
from flopcount.counters.trace.dispatch import HANDLERS, HandlerTable
from flopcount.counters.trace.dispatch_mode import DispatchMode
from flopcount.counters.trace.function_mode import FunctionMode
from flopcount.counters.trace.inputs import made, prepared
from flopcount.counters.trace.ledger import settle
from flopcount.counters.trace.module_calls import CountingPolicy
from flopcount.counters.trace.rebinding import held_by
from flopcount.counters.trace.recorder import Recorder, exclusive
from flopcount.counters.trace.records import (
    Call,
    DataDependentError,
    RestartError,
    Rule,
    TraceOptions,
    tensors,
)
from flopcount.counters.trace.restore_state import kept, uncollected
from flopcount.counters.trace.shadow_module import ShadowModule
from flopcount.counters.trace.user_rules import checked_rules
from flopcount.tally import Tally, UncountedError

__all__ = ["Call", "DataDependentError", "Rule", "UncountedError", "count"]


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
    real, found, module = execution == "real", checked_rules(rules), _module_of(model)
    options = TraceOptions(real, backward, checked or real, real, found, _device(module))
    with exclusive(), torch.inference_mode(False), nullcontext() if real else uncollected():
        tally: Tally | None = None
        while tally is None:
            try:
                # all else that a pass makes is gone when it returns
                tally = _Pass(model, module, options).count(inputs, shape, kwargs)
            except RestartError as restart:
                again = options.checked or restart.checked
                options = options._replace(everywhere=True, checked=again)
    if strict and tally.uncounted:
        times = ", ".join(f"{name} ({count})" for name, count in tally.uncounted.items())
        raise UncountedError(f"no rule for {times}")
    return tally


class _Pass:
    """One pass through a model: its shadow, both modes, and the recorder that they share."""

    def __init__(self, model: Any, module: Any, options: TraceOptions) -> None:
        self.options = options
        self.recorder = Recorder(options)
        self.dispatch = DispatchMode(self.recorder)
        # with rules of the user's, no function is what it is for every count
        handlers = HandlerTable(options.rules) if options.rules else HANDLERS
        self.functions = FunctionMode(self.recorder, self.dispatch, handlers)
        self.shadow: ShadowModule | None = None
        self.model = model
        if isinstance(module, nn.Module):
            self.shadow = shadow = self._shadowed(module)
            self.model = shadow.module
            if isinstance(model, FunctionType):
                self.model = shadow.bound(model)
            elif module is not model:
                self.model = MethodType(model.__func__, shadow.module)
            self.recorder.tensors.model_tensors.update(shadow.owned)
            self.recorder.ledger.enroll(shadow.paths)

    def _shadowed(self, module: nn.Module) -> ShadowModule:
        # Fast paths would hide calls from anybody else who intercepts them.
        hooked = _has_any_global_hook()  # type: ignore[no-untyped-call]
        seen = _len_torch_function_stack() or hooked
        options = self.options
        short = not (options.checked or options.everywhere or options.rules or seen)
        policy = CountingPolicy(self.functions, short=short)
        return ShadowModule(
            module, options.backward, policy, options.real, own_hooks=options.everywhere
        )

    def count(self, inputs: tuple[Any, ...], shape: Any, kwargs: dict[str, Any]) -> Tally:
        """The tally. Raises RestartError where something ran that was not seen."""
        options, recorder, shadow = self.options, self.recorder, self.shadow
        if shadow is not None and shadow.scripted and not options.everywhere:
            # scripted code calls no torch function
            raise RestartError
        with ExitStack() as stack:
            stack.enter_context(kept())
            if shape is not None:
                inputs = made(shape, self._like(()), options.device, options.real)
            given = tuple(tensors((inputs, kwargs)))
            args, named = prepared((inputs, kwargs), recorder.tensors, real=options.real)
            stack.enter_context(torch.set_grad_enabled(options.backward))
            if options.everywhere:
                stack.enter_context(self.dispatch)
            stack.enter_context(self.functions)
            out = self.model(*args, **named)
        ins = tuple(map(self._seen, tensors((args, named))))
        outs = tuple(map(self._seen, tensors(out)))
        lines = recorder.ledger.lines
        settled = settle(recorder.ledger, shadow, ins, outs)
        if settled.wrapped and not options.checked:
            raise RestartError(checked=True)
        if (settled.unseen or self.functions.missed_operator) and not options.everywhere:
            raise RestartError
        if not ins and not lines:
            raise TypeError("count takes inputs or a shape, and the model did nothing without")
        entries, uncounted = settled.entries, settled.uncounted
        if options.backward:
            needing = {id(x) for x, y in zip(ins, given, strict=True) if y.requires_grad}
            back = gradients(lines, shadow, needing, outs)
            entries += back
            uncounted.update(entry.operator for entry in back if entry.kind == "uncounted")
        tally = Tally(
            entries,
            self._like(ins).element_size(),
            None,
            dict(uncounted),
            shadow.inventory(settled.called) if shadow else (),
            shadow.modules(recorder.ledger.calls) if shadow else (),
            None if options.backward else settled.peak_bytes,
            next((x.shape[0] for x in ins if len(x.shape)), 1),
        )
        if shadow is not None:
            shadow.close()
        return tally

    def _seen(self, tensor: Tensor) -> Any:
        return self.recorder.tensors.ref(tensor) if self.options.real else tensor

    def _like(self, inputs: Iterable[Any]) -> Any:
        """The first parameter or input that is a float, or what torch makes by default."""
        owned = self.shadow.parameters if self.shadow else ()
        floats = (x for x in chain(owned, inputs) if x.dtype.is_floating_point)
        return next(floats, torch.empty(0))


def _module_of(model: Any) -> Any:
    """The module that runs; a function of modules is counted as a module that has them."""
    if isinstance(model, MethodType):
        return model.__self__
    if isinstance(model, FunctionType) and held_by(model):
        module = nn.Module()
        module._modules.update(held_by(model))
        return module
    return model


def _device(module: Any) -> torch.device:
    parameters = module.parameters() if isinstance(module, nn.Module) else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device
