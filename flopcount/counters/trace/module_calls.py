"""What happens when a module is called: its path is written down, and whose work is its own.

A class with a rule of the user's, or one that says ``free_kind`` of itself, is one line with what
went in and what came out; the operators inside it are not looked at, but for those of a view. Short
cuts answer for the layers that most models are made of, and none of their methods is called.
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
    DIRECT,
    SAME,
    Direct,
    ShortCuts,
    called_plainly,
    operator_like,
)
from flopcount.counters.trace.function_mode import Watch
from flopcount.counters.trace.lazy_children import Unmade
from flopcount.counters.trace.ledger import Ledger
from flopcount.counters.trace.records import Call, Rule, tensors
from flopcount.counters.trace.shadow_module import NO_HOOKS, Forward
from flopcount.entries import VIEWS

_CALL = nn.Module.__call__
# What gives back what it was given, unless it trains.
_DROPPING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


class Manner:
    """How the modules of one count are run; ``short`` allows short cuts.

    ``directs`` has the short cut of a class, or None.
    """

    def __init__(self, watch: Watch, rules: Mapping[Any, Rule], short: bool) -> None:
        self.short = short
        known: dict[type, Direct | None] = {}
        if short:
            known.update(DIRECT)
        if watch.backward:
            known.update(dict.fromkeys(COUNTING))
        self.directs = ShortCuts(known, short)
        self._watch = watch
        self._classes = {key: rule for key, rule in rules.items() if isinstance(key, type)}
        directly = _directly(watch)
        self._long = long = _long(watch)
        self._short = _short(watch, directly, long)
        self._order = (watch.ledger, directly)
        self._special: dict[type, Callable[..., Any]] = {
            nn.MultiheadAttention: _attending(watch, long),
            **dict.fromkeys(_DROPPING, _through(watch, long)),
        }

    def in_order(self, kind: type) -> bool:
        """Whether all that a class does is to run its parts one after the other."""
        if not self.short or not issubclass(kind, nn.Sequential) or not called_plainly(kind):
            return False
        plain = kind.forward is nn.Sequential.forward and kind.__iter__ is nn.Sequential.__iter__
        return plain and _rule(kind, self._classes) is None

    def shortly(self, twin: nn.Module, index: int, direct: Direct | None) -> Forward:
        """What is put in the place of that of a layer with a short cut, or else of a sequence."""
        if direct is None:
            return Forward(_in_order, *self._order, twin._modules, index)
        return Forward(self._short, twin, index, direct)

    def wrap(self, twin: nn.Module, index: int, own: Callable[..., Any] | None) -> Forward:
        """What is put in the place of a forward method; ``own`` is one of the module's own."""
        kind = type(twin)
        if self.short and own is None and kind in self._special:
            return Forward(self._special[kind], twin, index)
        rule = _rule(kind, self._classes)
        bound = MethodType(kind.forward, twin) if own is None else own
        if rule is not None:
            bound = _whole(self._watch, twin, rule, bound)
        return Forward(self._long, index, bound)


def _long(watch: Watch) -> Callable[..., Any]:
    ledger = watch.ledger
    calls = ledger.calls

    def run(index: int, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        outer, ledger.module = ledger.module, index
        calls[index] += 1
        try:
            return forward(*args, **kwargs)
        finally:
            ledger.module = outer

    return run


def _directly(watch: Watch) -> Callable[[Any, int, Direct, tuple[Any, ...]], Any]:
    """What comes out of a module by its short cut, or None."""
    ledger = watch.ledger
    calls, worked_out, answer = ledger.calls, watch.worked_out, watch.answer

    def run(module: Any, index: int, direct: Direct, args: tuple[Any, ...]) -> Any:
        if worked_out and any(id(x) in worked_out for x in args):
            return None
        with DisableTorchFunction():
            try:
                found = direct(module, *args)
            except UNSURE:
                found = None
            if found is None:
                return None
            calls[index] += 1
            if found is SAME:
                return args[0]
            outer, ledger.module = ledger.module, index
            out = answer(found)
            ledger.module = outer
            return out

    return run


def _short(
    watch: Watch, directly: Callable[..., Any], long: Callable[..., Any]
) -> Callable[..., Any]:
    def run(twin: nn.Module, index: int, direct: Direct, *args: Any, **kwargs: Any) -> Any:
        # a layer whose mode the model has changed does more or less than its class at large
        plain = twin.training is watch.backward and not kwargs
        out = directly(twin, index, direct, args) if plain else None
        if out is None:
            forward: Callable[..., Any] = MethodType(type(twin).forward, twin)
            rule = _rule(type(twin), {})
            if rule is not None:
                forward = _whole(watch, twin, rule, forward)
            return long(index, forward, *args, **kwargs)
        return out

    return run


def _in_order(
    ledger: Ledger, directly: Callable[..., Any], parts: dict[str, Any], index: int, input: Any
) -> Any:
    """One module after the other; where no hook is called, without asking for any."""
    outer, ledger.module = ledger.module, index
    ledger.calls[index] += 1
    try:
        # the parts as they are: what nobody asks for need not be made
        for part in dict.values(parts):
            if type(part) is Unmade and part.twin is None:
                if part.direct is None:
                    input = _in_order(ledger, directly, part.parts, part.index, input)
                    continue
                out = directly(part.module, part.index, part.direct, (input,))
                if out is not None:
                    input = out
                    continue
            twin = part.made() if type(part) is Unmade else part
            state = twin.__dict__
            if state.get("_forward_hooks") is NO_HOOKS and type(twin).__call__ is _CALL:
                input = state["forward"](input)
            else:
                input = twin(input)
    finally:
        ledger.module = outer
    return input


def _attending(watch: Watch, long: Callable[..., Any]) -> Callable[..., Any]:
    """`nn.MultiheadAttention`: in one go where it is given one tensor and nothing else."""
    ledger = watch.ledger
    calls, worked_out = ledger.calls, watch.worked_out

    def run(twin: nn.Module, index: int, *args: Any, **kwargs: Any) -> Any:
        with DisableTorchFunction():
            if attends_to_itself(args, kwargs) and id(args[0]) not in worked_out:
                outer, ledger.module = ledger.module, index
                try:
                    out = attend(watch, twin, args[0])
                except UNSURE:
                    out = None
                ledger.module = outer
                if out is not None:
                    calls[index] += 1
                    return out, None
        return long(index, MethodType(type(twin).forward, twin), *args, **kwargs)

    return run


def _through(watch: Watch, long: Callable[..., Any]) -> Callable[..., Any]:
    """Dropout: in evaluation, what comes out is what went in."""
    calls = watch.ledger.calls

    def run(twin: nn.Module, index: int, *args: Any, **kwargs: Any) -> Any:
        if twin.training or kwargs or len(args) != 1:
            return long(index, MethodType(type(twin).forward, twin), *args, **kwargs)
        calls[index] += 1
        return args[0]

    return run


def _rule(kind: type, classes: Mapping[type, Rule]) -> Rule | None:
    if classes:
        for base in kind.__mro__:
            if base in classes:
                return classes[base]
    free = getattr(kind, "free_kind", None)
    # What only renames a tensor is seen by what it calls, so that the tensor is known to be one.
    return Rule(free) if isinstance(free, str) and free not in VIEWS else None


def _whole(
    watch: Watch, module: nn.Module, rule: Rule, forward: Callable[..., Any]
) -> Callable[..., Any]:
    operator = operator_like(rule.kind) if rule.macs is None else ""

    def run(*args: Any, **kwargs: Any) -> Any:
        watch.muted += 1
        try:
            out = forward(*args, **kwargs)
        finally:
            watch.muted -= 1
        macs = 0 if rule.macs is None else rule.macs(Call(args, kwargs, out))
        ins = tuple(tensors((args, kwargs)))
        own = tuple(module.parameters()) if module._parameters or module._modules else ()
        outs = tuple(x for x in tensors(out) if all(x is not y for y in ins))
        watch.write(rule.kind, operator, (*ins, *own), outs, macs)
        return out

    return run
