"""What happens when a module is called: its path is written down, and whose work is its own.

A class with a rule of the user's, or one that says ``free_kind`` of itself, is one line with what
went in and what came out; the operators inside it are not looked at, but for those of a view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any

from torch import nn
from torch._C import DisableTorchFunction

from flopcount.kinds import FREE
from flopcount.tally import VIEWS
from flopcount.trace.functions import UNSURE
from flopcount.trace.records import Call, Rule, tensors
from flopcount.trace.shortcuts import DIRECT, Direct
from flopcount.trace.twin import Forward, Wrap, hookless
from flopcount.trace.watch import Watch


def wrapped(watch: Watch, rules: Mapping[Any, Rule], short: bool) -> Wrap:
    """What is put in the place of every forward method; ``short`` allows short cuts."""
    classes = {key: rule for key, rule in rules.items() if isinstance(key, type)}
    long, shorter, sequence = _long(watch), _short(watch), _sequence(watch)

    def wrap(twin: nn.Module, index: int, own: Callable[..., Any] | None) -> Forward:
        kind = type(twin)
        if short and own is None:
            if kind in DIRECT:
                return Forward(shorter, twin, index, DIRECT[kind])
            if kind.forward is nn.Sequential.forward and _rule(kind, classes) is None:
                return Forward(sequence, twin, index)
        rule = _rule(kind, classes)
        bound = MethodType(kind.forward, twin) if own is None else own
        if rule is not None:
            bound = _whole(watch, twin, rule, bound)
        return Forward(long, index, bound)

    return wrap


def _long(watch: Watch) -> Callable[..., Any]:
    ledger = watch.ledger
    calls = ledger.calls

    def run(index: int, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        outer, ledger.module = ledger.module, index
        calls[index] = calls.get(index, 0) + 1
        try:
            return forward(*args, **kwargs)
        finally:
            ledger.module = outer

    return run


def _sequence(watch: Watch) -> Callable[..., Any]:
    """One module after the other; where no hook is called, without asking for any."""
    ledger = watch.ledger
    calls = ledger.calls
    call = nn.Module.__call__

    def run(twin: nn.Module, index: int, input: Any) -> Any:
        outer, ledger.module = ledger.module, index
        calls[index] = calls.get(index, 0) + 1
        try:
            for child in twin._modules.values():
                if hookless(child) and type(child).__call__ is call:
                    input = child.__dict__["forward"](input)
                else:
                    input = child(input)  # type: ignore[misc]
        finally:
            ledger.module = outer
        return input

    return run


def _short(watch: Watch) -> Callable[..., Any]:
    long = _long(watch)
    ledger = watch.ledger
    calls, worked_out, answer = ledger.calls, watch.worked_out, watch.answer

    def run(
        twin: nn.Module,
        index: int,
        direct: Direct,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if len(args) == 1 and not kwargs and id(args[0]) not in worked_out:
            with DisableTorchFunction():
                try:
                    found = direct(twin, args[0])
                except UNSURE:
                    found = None
                if found is not None:
                    outer, ledger.module = ledger.module, index
                    calls[index] = calls.get(index, 0) + 1
                    out = answer(found)
                    ledger.module = outer
                    return out
        return long(index, MethodType(type(twin).forward, twin), *args, **kwargs)

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
    # What is free and of the kind of an operator is that operator, to whoever prices those.
    operator = rule.kind if rule.macs is None and FREE.get(rule.kind) == rule.kind else ""

    def run(*args: Any, **kwargs: Any) -> Any:
        watch.muted += 1
        try:
            out = forward(*args, **kwargs)
        finally:
            watch.muted -= 1
        macs = 0 if rule.macs is None else rule.macs(Call(args, kwargs, out))
        ins = tuple(tensors((args, kwargs)))
        own = tuple(module.parameters())
        outs = tuple(x for x in tensors(out) if all(x is not y for y in ins))
        watch.write(rule.kind, operator, (*ins, *own), outs, macs)
        return out

    return run
