"""What a module holds beside its parts, with twins in the place of the modules that it leads to."""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from flopcount.counters.trace.lazy_children import Unmade

_PLAIN = (int, float, bool, str, type(None), torch.dtype, torch.device, type, Tensor)
# What may hold a module, and is copied with its twin in the place.
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
    """Binds values to the twins of one model, which are known by the ids of their modules.

    For a ``real`` pass, which may write on them, tensors are copied. ``kept`` is what must live as
    long as the twins do.
    """

    def __init__(self, twins: Mapping[int, nn.Module | Unmade], real: bool) -> None:
        self._twins = twins
        self.real = real
        self.kept: list[Any] = []
        # what was copied for the twins, by the id of what it is a copy of
        self._copies: dict[int, Any] = {}

    def _twin(self, module: nn.Module) -> nn.Module | None:
        """The twin of a module, made now if it was not yet; None of one that is not the model's."""
        part = self._twins.get(id(module))
        return part.made() if isinstance(part, Unmade) else part

    def rebind(self, state: dict[str, Any], names: Iterable[str]) -> None:
        """Let what a module holds by those names lead to twins."""
        for name in names:
            value = state[name]
            if self.real or not isinstance(value, _PLAIN):
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
        """The value with twins in the place of modules, in containers and functions too."""
        if isinstance(value, nn.Module):
            return self._twin(value) or value
        if isinstance(value, Tensor):
            return self.copied(value) if self.real else value
        if isinstance(value, MethodType) and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, self.bound(value.__self__))
        if type(value) not in _HOLDERS or id(value) in self._copies:
            return self._copies.get(id(value), value)
        if type(value) is tuple and not self.real and all(isinstance(x, _PLAIN) for x in value):
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
        twin = copy.copy(value)
        # found by whoever holds it and is held by it
        self._copies[id(value)] = twin
        if isinstance(value, dict):
            twin.update((key, self.bound(item)) for key, item in value.items())
        else:
            twin.clear()
            add = twin.update if isinstance(value, set) else twin.extend
            add([self.bound(item) for item in value])
        return twin

    def _enclosed(self, value: Any) -> Any:
        """What a closure holds: its lists are the user's own, but where a module has them too."""
        ours = isinstance(value, (nn.Module, FunctionType, MethodType, partial))
        return self.bound(value) if ours or id(value) in self._copies else value

    def _function(self, value: FunctionType) -> FunctionType:
        """A function of the user's, with twins in its closure."""
        if (value.__module__ or "torch").startswith("torch"):
            return value
        held = [(cell, _content(cell)) for cell in value.__closure__ or ()]
        bound = [(cell, content, self._enclosed(content)) for cell, content in held]
        named = {n: self._twin(m) for n, m in held_by(value).items() if n in value.__globals__}
        names = {n: twin for n, twin in named.items() if twin is not None}
        if not names and all(content is twin for _, content, twin in bound):
            return value
        closure = tuple(c if content is twin else CellType(twin) for c, content, twin in bound)
        space = {**value.__globals__, **names} if names else value.__globals__
        twin = FunctionType(value.__code__, space, value.__name__, value.__defaults__, closure)
        twin.__kwdefaults__ = value.__kwdefaults__
        twin.__dict__.update(value.__dict__)
        return twin


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
