"""What happens when a module is called: its path is written down, and whose work is its own.

A class with a rule of the user's, or one that says ``free_kind`` of itself, is one line with what
went in and what came out; the operators inside it are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from flopcount.trace.twin import Wrap
from flopcount.trace.watch import Call, Rule, Watch, tensors


def wrapped(watch: Watch, rules: Mapping[Any, Rule]) -> Wrap:
    """What is put around every forward method of the twin of a module."""
    ledger = watch.ledger
    calls = ledger.calls
    classes = {key: rule for key, rule in rules.items() if isinstance(key, type)}

    def wrap(module: nn.Module, index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        rule = _rule(type(module), classes)

        def run(*args: Any, **kwargs: Any) -> Any:
            outer, ledger.module = ledger.module, index
            calls[index] = calls.get(index, 0) + 1
            try:
                if rule is None:
                    return forward(*args, **kwargs)
                return _whole(watch, module, rule, forward, args, kwargs)
            finally:
                ledger.module = outer

        run.__wrapped__ = forward  # type: ignore[attr-defined]
        return run

    return wrap


def _rule(kind: type, classes: Mapping[type, Rule]) -> Rule | None:
    for base in kind.__mro__:
        if base in classes:
            return classes[base]
    free = getattr(kind, "free_kind", None)
    return Rule(free) if isinstance(free, str) else None


def _whole(
    watch: Watch,
    module: nn.Module,
    rule: Rule,
    forward: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    watch.muted += 1
    try:
        out = forward(*args, **kwargs)
    finally:
        watch.muted -= 1
    macs = 0 if rule.macs is None else rule.macs(Call(args, kwargs, out))
    ins = tuple(tensors((args, kwargs)))
    own = tuple(module.parameters())
    outs = tuple(x for x in tensors(out) if all(x is not y for y in ins))
    watch.write(rule.kind, "", (*ins, *own), outs, macs)
    return out
