"""The rules that the user gives: each is one that can be met, or an error says at once why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flopcount.counters.operator_kinds import KIND, VIEW_OPERATORS, operator_of
from flopcount.counters.trace.records import Rule
from flopcount.entries import PRODUCTS

# Where torch keeps what its users call.
_SPACES = (torch, torch.nn.functional, Tensor, torch.linalg, torch.fft, torch.special, torch._C._nn)


def checked_rules(rules: Mapping[Any, str | Rule]) -> dict[Any, Rule]:
    """The rules by what they are looked up by.

    Raises ValueError for a key that nothing can be called by, and for a kind that is none.
    """
    found = {}
    for key, value in rules.items():
        rule = Rule(value) if isinstance(value, str) else value
        _check(key, rule)
        found[operator_of(key) if isinstance(key, str) and "::" not in key else key] = rule
    return found


def _check(key: Any, rule: Any) -> None:
    where = f"rules: {key!r}"
    if isinstance(key, str):
        if not _is_operator(key):
            raise ValueError(f"{where}: torch has no operator of that name")
    elif not callable(key):
        raise ValueError(f"{where}: is neither the name of an operator, a function nor a class")
    if not isinstance(rule, Rule) or not isinstance(rule.kind, str):
        raise ValueError(f"{where}: {rule!r} is neither a kind nor a Rule")
    if rule.kind in ("", "uncounted"):
        raise ValueError(f"{where}: {rule.kind!r} is no kind")
    if rule.macs is None and rule.kind in PRODUCTS:
        raise ValueError(
            f"{where}: {rule.kind!r} multiplies and adds: it takes a Rule that says how much"
        )


def _is_operator(name: str) -> bool:
    bare = operator_of(name)
    if "::" not in name and (bare in KIND or bare in VIEW_OPERATORS):
        return True
    called = (getattr(space, x, None) for space in _SPACES for x in (name, bare))
    if "::" not in name and any(map(callable, called)):
        return True
    # as torch dispatches them, with an overload behind a dot
    names = {full.partition(".")[0] for full in torch._C._dispatch_get_all_op_names()}
    if "::" in name:
        return name in names
    return bare in {operator_of(full.partition("::")[2]) for full in names}
