"""What a module holds beside its parts, with shadows in the place of the modules behind it."""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from flopcount.counters.trace.lazy_children import LazyModule

_LEAF_TYPES = (int, float, bool, str, type(None), torch.dtype, torch.device, type, Tensor)
# What may hold a module, and is copied with its shadow in the place.
_HOLDERS = (
    list,
    tuple,
    set,
    frozenset,
    dict,
    OrderedDict,
    defaultdict,
    deque,
    partial,
    FunctionType,
)


class Binder:
    """Binds values to the shadows of one model, which are known by the ids of their modules.

    For a ``real`` pass, which may write on them, tensors are copied. ``kept`` is what must live as
    long as the shadows do.
    """

    def __init__(self, shadows: Mapping[int, nn.Module | LazyModule], real: bool) -> None:
        self._shadows = shadows
        self.real = real
        self.kept: list[Any] = []
        # what was copied for the shadows, by the id of what it is a copy of
        self._copies: dict[int, Any] = {}

    def _shadow(self, module: nn.Module) -> nn.Module | None:
        """The shadow of a module, made now if it was not yet; None of one outside the model."""
        part = self._shadows.get(id(module))
        return part.materialize() if isinstance(part, LazyModule) else part

    def rebind(self, state: dict[str, Any], names: Iterable[str]) -> None:
        """Let what a module holds by those names lead to shadows."""
        for name in names:
            value = state[name]
            if self.real or not isinstance(value, _LEAF_TYPES):
                state[name] = self.bound(value)

    def copied(self, tensor: Tensor) -> Tensor:
        """The copy of a tensor, one for all who hold it."""
        known = self._copies.get(id(tensor))
        if known is None:
            with torch.no_grad():
                known = copy.deepcopy(tensor) if tensor.is_leaf else tensor.clone()
            self._copies[id(tensor)] = known
            self.kept.append(tensor)
        return known

    def bound(self, value: Any) -> Any:
        """The value with shadows in the place of modules, in containers and functions too."""
        if isinstance(value, nn.Module):
            return self._shadow(value) or value
        if isinstance(value, Tensor):
            return self.copied(value) if self.real else value
        if isinstance(value, MethodType) and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, self.bound(value.__self__))
        if type(value) not in _HOLDERS or id(value) in self._copies:
            return self._copies.get(id(value), value)
        if (
            type(value) is tuple
            and not self.real
            and all(isinstance(x, _LEAF_TYPES) for x in value)
        ):
            return value
        self.kept.append(value)
        found = self._copies[id(value)] = self._holder(value)
        return found

    def _holder(self, value: Any) -> Any:
        """A copy of what holds others: each of them once, so that what is shared stays so."""
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, partial):
            args = (self.bound(arg) for arg in value.args)
            kwargs = {name: self.bound(arg) for name, arg in value.keywords.items()}
            return partial(self.bound(value.func), *args, **kwargs)
        if isinstance(value, (tuple, frozenset)):
            return type(value)(self.bound(item) for item in value)
        shadow = copy.copy(value)
        # found by whoever holds it and is held by it
        self._copies[id(value)] = shadow
        if isinstance(value, dict):
            shadow.update((key, self.bound(item)) for key, item in value.items())
        else:
            shadow.clear()
            add = shadow.update if isinstance(value, set) else shadow.extend
            add([self.bound(item) for item in value])
        return shadow

    def _enclosed(self, value: Any) -> Any:
        """What a closure holds: its lists are the user's own, but where a module has them too."""
        ours = isinstance(value, (nn.Module, FunctionType, MethodType, partial))
        return self.bound(value) if ours or id(value) in self._copies else value

    def _function(self, value: FunctionType) -> FunctionType:
        """A function of the user's, with shadows in its closure."""
        if (value.__module__ or "torch").startswith("torch"):
            return value
        held = [(cell, _content(cell)) for cell in value.__closure__ or ()]
        bound = [(cell, content, self._enclosed(content)) for cell, content in held]
        named = {n: self._shadow(m) for n, m in held_by(value).items() if n in value.__globals__}
        names = {n: shadow for n, shadow in named.items() if shadow is not None}
        if not names and all(content is shadow for _, content, shadow in bound):
            return value
        closure = tuple(
            c if content is shadow else CellType(shadow) for c, content, shadow in bound
        )
        space = {**value.__globals__, **names} if names else value.__globals__
        shadow = FunctionType(value.__code__, space, value.__name__, value.__defaults__, closure)
        shadow.__kwdefaults__ = value.__kwdefaults__
        shadow.__dict__.update(value.__dict__)
        return shadow


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        # not filled yet
        return None


def held_by(func: FunctionType) -> dict[str, nn.Module]:
    """The modules that a function finds in its closure and among the names of its module."""
    cells = zip(func.__code__.co_freevars, func.__closure__ or (), strict=True)
    found = {name: _content(cell) for name, cell in cells}
    found |= {n: func.__globals__[n] for n in func.__code__.co_names if n in func.__globals__}
    return {name: x for name, x in found.items() if isinstance(x, nn.Module)}
