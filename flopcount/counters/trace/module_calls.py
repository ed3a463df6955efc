"""What happens when a module is called: its path is written down, and whose work is its own.

A class with a rule of the user's, or one that says ``free_kind`` of itself, is one line with what
went in and what came out; the operators inside it are not looked at, but for those of a view. Fast
paths answer for the layers that most models are made of, and none of their methods is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any

from torch import nn
from torch._C import DisableTorchFunction

from flopcount.counters.trace.attention import attend, attends_to_itself
from flopcount.counters.trace.dispatch import UNSURE
from flopcount.counters.trace.fast_paths import (
    COUNTING,
    FAST_PATHS,
    PASSED_THROUGH,
    FastPath,
    FastPaths,
    called_plainly,
    operator_like,
)
from flopcount.counters.trace.function_mode import FunctionMode
from flopcount.counters.trace.lazy_children import LazyModule
from flopcount.counters.trace.ledger import Ledger
from flopcount.counters.trace.recorder import Recorder
from flopcount.counters.trace.records import Args, Call, Rule, tensors
from flopcount.counters.trace.shadow_module import NO_HOOKS, Forward
from flopcount.entries import VIEW_KINDS

_CALL = nn.Module.__call__
# What gives back what it was given, unless it trains.
_DROPOUT_CLASSES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


class CountingPolicy:
    """How the modules of one count are run; ``short`` allows fast paths."""

    def __init__(self, mode: FunctionMode, *, short: bool) -> None:
        options, known = mode.options, dict[type, FastPath | None]()
        if short:
            known.update(FAST_PATHS)
        if options.backward:
            known.update(dict.fromkeys(COUNTING))
        self.short = short
        self.fast_paths = FastPaths(known, short)
        self._mode = mode
        self._classes = {key: rule for key, rule in options.rules.items() if isinstance(key, type)}
        self._directly = directly = _directly(mode)
        self._long = long = _long(mode.recorder.ledger)
        self._short = _short(mode, directly, long)
        self._special: dict[type, Callable[..., Any]] = {
            nn.MultiheadAttention: _attending(mode, long),
            **dict.fromkeys(_DROPOUT_CLASSES, _through(mode.recorder.ledger, long)),
        }

    def runs_in_order(self, kind: type) -> bool:
        """Whether all that a class does is to run its children one after the other."""
        if not self.short or not issubclass(kind, nn.Sequential) or not called_plainly(kind):
            return False
        plain = kind.forward is nn.Sequential.forward and kind.__iter__ is nn.Sequential.__iter__
        return plain and _rule(kind, self._classes) is None

    def shortcut(self, shadow: nn.Module, index: int, direct: FastPath | None) -> Forward:
        """The forward method of a layer with a fast path, or else of a sequence."""
        if direct is None:
            ledger = self._mode.recorder.ledger
            return Forward(_in_order, ledger, self._directly, shadow._modules, index)
        return Forward(self._short, shadow, index, direct)

    def wrap(self, shadow: nn.Module, index: int, own: Callable[..., Any] | None) -> Forward:
        """The forward method of any other module; ``own`` is one of the module's own."""
        kind = type(shadow)
        if self.short and own is None and kind in self._special:
            return Forward(self._special[kind], shadow, index)
        rule = _rule(kind, self._classes)
        bound = MethodType(kind.forward, shadow) if own is None else own
        if rule is not None:
            bound = _whole(self._mode.recorder, shadow, rule, bound)
        return Forward(self._long, index, bound)


def _long(ledger: Ledger) -> Callable[..., Any]:
    calls = ledger.calls

    def run(index: int, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        outer, ledger.module = ledger.module, index
        calls[index] += 1
        try:
            return forward(*args, **kwargs)
        finally:
            ledger.module = outer

    return run


def _directly(mode: FunctionMode) -> Callable[[Any, int, FastPath, tuple[Any, ...]], Any]:
    """What comes out of a module by its fast path, or None."""
    ledger, known_values = mode.recorder.ledger, mode.tensors.known_values
    calls, answer = ledger.calls, mode.answer

    def run(module: Any, index: int, direct: FastPath, args: Args) -> Any:
        if known_values and any(id(x) in known_values for x in args):
            return None
        with DisableTorchFunction():
            try:
                result = direct(module, *args)
            except UNSURE:
                result = None
            if result is None:
                return None
            calls[index] += 1
            if result is PASSED_THROUGH:
                return args[0]
            outer, ledger.module = ledger.module, index
            out = answer(result)
            ledger.module = outer
            return out

    return run


def _short(
    mode: FunctionMode, directly: Callable[..., Any], long: Callable[..., Any]
) -> Callable[..., Any]:
    recorder, backward = mode.recorder, mode.options.backward

    def run(shadow: nn.Module, index: int, direct: FastPath, *args: Any, **kwargs: Any) -> Any:
        # a layer whose mode the model has changed does more or less than its class at large
        plain = shadow.training is backward and not kwargs
        out = directly(shadow, index, direct, args) if plain else None
        if out is None:
            forward: Callable[..., Any] = MethodType(type(shadow).forward, shadow)
            rule = _rule(type(shadow), {})
            if rule is not None:
                forward = _whole(recorder, shadow, rule, forward)
            return long(index, forward, *args, **kwargs)
        return out

    return run


def _in_order(
    ledger: Ledger, directly: Callable[..., Any], children: dict[str, Any], index: int, input: Any
) -> Any:
    """One module after the other; where no hook is called, without asking for any."""
    outer, ledger.module = ledger.module, index
    ledger.calls[index] += 1
    try:
        # the parts as they are: what nobody asks for need not be made
        for part in dict.values(children):
            if type(part) is LazyModule and part.shadow is None:
                if part.direct is None:
                    input = _in_order(ledger, directly, part.children, part.index, input)
                    continue
                out = directly(part.module, part.index, part.direct, (input,))
                if out is not None:
                    input = out
                    continue
            shadow = part.materialize() if type(part) is LazyModule else part
            state = shadow.__dict__
            if state.get("_forward_hooks") is NO_HOOKS and type(shadow).__call__ is _CALL:
                input = state["forward"](input)
            else:
                input = shadow(input)
    finally:
        ledger.module = outer
    return input


def _attending(mode: FunctionMode, long: Callable[..., Any]) -> Callable[..., Any]:
    """`nn.MultiheadAttention`: in one go where it is given one tensor and nothing else."""
    ledger, known_values = mode.recorder.ledger, mode.tensors.known_values

    def run(shadow: nn.Module, index: int, *args: Any, **kwargs: Any) -> Any:
        with DisableTorchFunction():
            if attends_to_itself(args, kwargs) and id(args[0]) not in known_values:
                outer, ledger.module = ledger.module, index
                try:
                    out = attend(mode, shadow, args[0])
                except UNSURE:
                    out = None
                ledger.module = outer
                if out is not None:
                    ledger.calls[index] += 1
                    return out, None
        return long(index, MethodType(type(shadow).forward, shadow), *args, **kwargs)

    return run


def _through(ledger: Ledger, long: Callable[..., Any]) -> Callable[..., Any]:
    """Dropout: in evaluation, what comes out is what went in."""

    def run(shadow: nn.Module, index: int, *args: Any, **kwargs: Any) -> Any:
        if shadow.training or kwargs or len(args) != 1:
            return long(index, MethodType(type(shadow).forward, shadow), *args, **kwargs)
        ledger.calls[index] += 1
        return args[0]

    return run


def _rule(kind: type, classes: Mapping[type, Rule]) -> Rule | None:
    if classes:
        for base in kind.__mro__:
            if base in classes:
                return classes[base]
    free = getattr(kind, "free_kind", None)
    # What only renames a tensor is seen by what it calls, so that the tensor is known to be one.
    return Rule(free) if isinstance(free, str) and free not in VIEW_KINDS else None


def _whole(
    recorder: Recorder, module: nn.Module, rule: Rule, forward: Callable[..., Any]
) -> Callable[..., Any]:
    operator = operator_like(rule.kind) if rule.macs is None else ""

    def run(*args: Any, **kwargs: Any) -> Any:
        recorder.suppress_depth += 1
        try:
            out = forward(*args, **kwargs)
        finally:
            recorder.suppress_depth -= 1
        macs = 0 if rule.macs is None else rule.macs(Call(args, kwargs, out))
        ins = tuple(tensors((args, kwargs)))
        own = tuple(module.parameters()) if module._parameters or module._modules else ()
        outs = tuple(x for x in tensors(out) if all(x is not y for y in ins))
        recorder.write(rule.kind, operator, (*ins, *own), outs, macs)
        return out

    return run
