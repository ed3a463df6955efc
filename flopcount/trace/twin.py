"""A twin of a module to run in its stead: new shells over the same parameters.

Nothing is copied but the dictionaries that hold a module's parts, so that it takes no time, and
what a forward pass writes on its module is written on the twin. The parameters and buffers are
the user's own; whoever runs the twin must not write on them.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy

from flopcount.tally import Module, Parameter

#: Puts something in the place of a forward method: twin, index, and what is not its class's own.
Wrap = Callable[[nn.Module, int, Callable[..., Any] | None], Callable[..., Any]]

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
_BASE = frozenset(nn.Module().__dict__)
_PLAIN = (int, float, bool, str, type(None), torch.dtype, torch.device, FunctionType, type, Tensor)
# Wrappers that run the module they hold, each in its own way: compiled, or on several devices.
_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module"}
_WRAPPERS["DistributedDataParallel"] = "module"


class HookedError(BaseException):
    """A hook was registered while the model ran; not an Exception, so that no model catches it."""


class _NoHooks(OrderedDict[int, Any]):
    """No hooks, for all twins together: a dictionary for each would take most of the time."""

    def __setitem__(self, key: int, value: Any) -> None:
        raise HookedError


_NO_HOOKS = _NoHooks()
_HOOKLESS = dict.fromkeys(_HOOKS, _NO_HOOKS)


class _Owned(NamedTuple):
    tensor: Tensor
    names: list[str]


class Twin:
    """The twin of a module, and what there was to see on the way through it.

    ``apart`` gives every twin its own dictionaries of hooks.
    """

    def __init__(
        self,
        module: nn.Module,
        training: bool,
        wrap: Wrap,
        real: bool = False,
        apart: bool = False,
    ) -> None:
        self.training = training
        self.wrap = wrap
        self.real = real
        self.apart = apart
        self.paths: list[str] = []
        self.layers: list[str] = []
        self.aliases: list[list[str]] = []
        self.parameters: dict[int, _Owned] = {}
        self.buffers: dict[int, Tensor] = {}
        self.scripted = False
        self._twins: dict[int, nn.Module] = {}
        self._index: dict[int, int] = {}
        self._kept: list[Any] = []
        self.module = self._twin(module, "")
        for twin in list(self._twins.values()):
            self._rebind(twin)

    def close(self) -> None:
        """Let go of the twins, which hold themselves and would wait to be found as garbage."""
        for twin in self._twins.values():
            del twin.__dict__["forward"]

    def modules(self, calls: Mapping[int, int]) -> tuple[Module, ...]:
        """Every distinct module with how often it was called."""
        found = zip(self.paths, self.layers, self.aliases, strict=True)
        return tuple(
            Module(path, layer, calls.get(index, 0), tuple(aliases))
            for index, (path, layer, aliases) in enumerate(found)
        )

    def inventory(self, called: set[int]) -> tuple[Parameter, ...]:
        """Every distinct parameter; ``called`` holds the ids of those that were read."""
        return tuple(
            Parameter(
                owned.names[0],
                owned.tensor.numel(),
                owned.tensor.requires_grad,
                key in called,
                tuple(owned.names[1:]),
            )
            for key, owned in self.parameters.items()
        )

    def _twin(self, module: nn.Module, path: str) -> nn.Module:
        key = id(module)
        known = self._twins.get(key)
        if known is not None:
            self.aliases[self._index[key]].append(path)
            return known
        index = len(self.paths)
        self.paths.append(path)
        self.layers.append(layer_of(type(module)))
        self.aliases.append([])
        self._index[key] = index
        self._kept.append(module)
        if isinstance(module, torch.jit.ScriptModule):
            return self._script(module, index, path)
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
            module = _lazy_copy(module)
        twin: nn.Module = object.__new__(type(module))
        state = module.__dict__.copy()
        object.__setattr__(twin, "__dict__", state)
        self._twins[key] = twin
        self._kept.append(module)
        prefix = f"{path}." if path else ""
        if self.apart or state["_forward_hooks"] or state["_forward_pre_hooks"]:
            state.update({hooks: OrderedDict(state[hooks]) for hooks in _HOOKS})
        else:
            state.update(_HOOKLESS)
        state["_backward_hooks"] = state["_backward_pre_hooks"] = _NO_HOOKS
        parameters = state["_parameters"]
        if parameters:
            state["_parameters"] = self._own(parameters, prefix)
        buffers = state["_buffers"]
        if buffers:
            state["_buffers"] = buffers = self._buffers(buffers)
            self.buffers.update((id(b), b) for b in buffers.values() if b is not None)
        children = state["_modules"]
        if children:
            state["_modules"] = twins = {
                name: child if child is None else self._twin(child, f"{prefix}{name}")
                for name, child in children.items()
            }
            # found at once, where `nn.Module` would look in three places first
            state.update(twins)
        # what `Module.compile` leaves would call the user's own module
        state.pop("_compiled_call_impl", None)
        state["training"] = self.training
        state["forward"] = self.wrap(twin, index, self._forward(module, twin))
        return twin

    def _forward(self, module: nn.Module, twin: nn.Module) -> Callable[..., Any] | None:
        inner = _WRAPPERS.get(type(module).__name__)
        if inner is not None and inner in twin._modules:
            held = twin._modules[inner]
            return lambda *args, **kwargs: held(*args, **kwargs)  # type: ignore[misc]
        own = module.__dict__.get("forward")
        if own is None:
            return None
        bound: Callable[..., Any] = self._bound(own)
        return bound

    def _own(self, parameters: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        for name, parameter in parameters.items():
            if parameter is not None:
                owned = self.parameters.get(id(parameter))
                if owned is None:
                    owned = self.parameters[id(parameter)] = _Owned(parameter, [])
                owned.names.append(f"{prefix}{name}")
        return dict(parameters)

    def _buffers(self, buffers: Mapping[str, Any]) -> dict[str, Any]:
        if not self.real:
            return dict(buffers)
        # A real pass writes on them.
        return {name: b if b is None else b.detach().clone() for name, b in buffers.items()}

    def _script(self, module: Any, index: int, path: str) -> nn.Module:
        self.scripted = True
        proxy = Scripted(module)
        self._twins[id(module)] = proxy
        for name, parameter in module.named_parameters(remove_duplicate=False):
            self._own({name: parameter}, f"{path}." if path else "")
        self.buffers.update((id(b), b) for b in module.buffers())
        self._kept += [*module.parameters(), *module.buffers()]
        proxy.__dict__["forward"] = self.wrap(proxy, index, proxy.forward)
        return proxy

    def _rebind(self, twin: nn.Module) -> None:
        """Let what a module holds beside its children lead to twins as well."""
        if type(twin).__module__.startswith("torch.nn.modules.") or isinstance(twin, Scripted):
            return
        state = twin.__dict__
        for name in state.keys() - _BASE:
            value = state[name]
            if name != "forward" and not isinstance(value, _PLAIN):
                state[name] = self._bound(value)

    def _bound(self, value: Any) -> Any:
        """The value with twins in the place of modules, in containers and bound methods too."""
        if isinstance(value, nn.Module):
            return self._twins.get(id(value), value)
        if isinstance(value, MethodType) and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, self._bound(value.__self__))
        if type(value) is partial:
            args = (self._bound(arg) for arg in value.args)
            kwargs = {name: self._bound(arg) for name, arg in value.keywords.items()}
            return partial(self._bound(value.func), *args, **kwargs)
        if type(value) in (list, tuple, set):
            return type(value)(self._bound(item) for item in value)
        if type(value) in (dict, OrderedDict):
            return type(value)((key, self._bound(item)) for key, item in value.items())
        return value


class Scripted(nn.Module):
    """Stands for a scripted module, whose parts live where no shell can be put over them."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.__dict__["_scripted"] = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the scripted module."""
        return self._scripted(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_scripted"], name)


def _lazy_copy(module: Any) -> Any:
    """A copy of a lazy module: what it infers it writes on itself, its parameters and hooks."""
    twin = copy.deepcopy(module)
    makers: tuple[tuple[dict[str, Any], Any], ...] = (
        (twin._parameters, UninitializedParameter),
        (twin._buffers, UninitializedBuffer),
    )
    for parts, make in makers:
        for name, part in parts.items():
            if is_lazy(part):
                parts[name] = make(part.requires_grad, device="meta", dtype=part.dtype)
    return twin


_LAYERS: dict[type, str] = {}


def layer_of(kind: type) -> str:
    """The name of a class: bare for those of torch.nn, with its module for all others."""
    known = _LAYERS.get(kind)
    if known is None:
        own = kind.__module__.startswith("torch.nn.")
        known = _LAYERS[kind] = kind.__name__ if own else f"{kind.__module__}.{kind.__qualname__}"
    return known
