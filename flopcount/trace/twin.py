"""A twin of a module to run in its stead: new shells over the same parameters.

Nothing is copied but the dictionaries that hold a module's parts, so that it takes no time, and
what a forward pass writes on its module is written on the twin. The parameters and buffers are
the user's own; whoever runs the twin must not write on them.
"""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Container, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from flopcount.tally import Module, Parameter
from flopcount.trace.copies import Scripted, Shared, lazy_copy


class Forward(partial[Any]):
    """What stands in the place of a forward method; ``own`` is the module's, not its class's."""

    own: Any = None


#: Puts something in the place of a forward method: twin, index, and what is not its class's own.
Wrap = Callable[[nn.Module, int, Callable[..., Any] | None], Forward]

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
_BASE = frozenset({*nn.Module().__dict__, "forward"})
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
# Wrappers that run the module they hold, each in its own way: compiled, or on several devices.
_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module"}
_WRAPPERS["DistributedDataParallel"] = "module"


class HookedError(BaseException):
    """The model does what shapes alone cannot follow, or adds a hook while it runs.

    Not an Exception, so that no model catches it.
    """


class _NoHooks(OrderedDict[int, Any]):
    """No hooks, for all twins together: a dictionary for each would take most of the time."""

    def __setitem__(self, key: int, value: Any) -> None:
        raise HookedError


_NO_HOOKS = _NoHooks()
# Only a backward pass calls these, and none is run.
_NO_WAY_BACK = dict.fromkeys(("_backward_hooks", "_backward_pre_hooks"), _NO_HOOKS)
_HOOKLESS = {**dict.fromkeys(_HOOKS, _NO_HOOKS), **_NO_WAY_BACK}


def hookless(twin: Any) -> bool:
    """Whether a twin has no hooks and can be given none."""
    return twin.__dict__.get("_forward_hooks") is _NO_HOOKS


class _Owned(NamedTuple):
    tensor: Tensor
    names: list[str]


class Twin:
    """The twin of a module, and what there was to see on the way through it.

    ``apart`` gives every twin its own dictionaries of hooks; ``quiet`` are the classes whose
    forward methods write nothing on themselves.
    """

    def __init__(
        self,
        module: nn.Module,
        training: bool,
        wrap: Wrap,
        real: bool = False,
        apart: bool = False,
        quiet: Container[type] = (),
    ) -> None:
        self.training = training
        self.wrap = wrap
        self.real = real
        self.apart = apart
        self.quiet = quiet
        self.paths: list[str] = []
        self.kinds: list[type] = []
        self.aliases: dict[int, list[str]] = {}
        self.parameters: dict[int, _Owned] = {}
        self.buffers: dict[int, Tensor] = {}
        self.scripted = False
        # in the order of the paths
        self._twins: dict[int, nn.Module] = {}
        self._kept: list[Any] = []
        self._slots: dict[type, tuple[str, ...]] = {}
        # what was copied for the twins, by the id of what it is a copy of
        self._copies: dict[int, Any] = {}
        self._hooked: list[dict[str, Any]] = []
        # twins of classes that are not torch's, with what they hold beside their parts
        self._strange: list[tuple[nn.Module, frozenset[str]]] = []
        self.module = self._twin(module, "")
        for twin, own in self._strange:
            self._rebind(twin.__dict__, own)
        for state in self._hooked:
            for hooks in ("_forward_hooks", "_forward_pre_hooks"):
                state[hooks].update({k: self.bound(hook) for k, hook in state[hooks].items()})

    @property
    def layers(self) -> list[str]:
        """The names of the classes of all modules."""
        names = {kind: layer_of(kind) for kind in set(self.kinds)}
        return [names[kind] for kind in self.kinds]

    def close(self) -> None:
        """Let go of the twins, which hold themselves and would wait to be found as garbage."""
        for twin in self._twins.values():
            del twin.__dict__["forward"]

    def modules(self, calls: Mapping[int, int]) -> tuple[Module, ...]:
        """Every distinct module with how often it was called."""
        found = zip(self.paths, self.layers, strict=True)
        return tuple(
            [
                Module(path, layer, calls.get(index, 0), tuple(self.aliases.get(index, ())))
                for index, (path, layer) in enumerate(found)
            ]
        )

    def inventory(self, called: set[int]) -> tuple[Parameter, ...]:
        """Every distinct parameter; ``called`` holds the ids of those that were read."""
        return tuple(
            [
                Parameter(
                    names[0], tensor.numel(), tensor.requires_grad, key in called, tuple(names[1:])
                )
                for key, (tensor, names) in self.parameters.items()
            ]
        )

    def _twin(self, module: nn.Module, path: str) -> nn.Module:
        key = id(module)
        known = self._twins.get(key)
        if known is not None:
            self._alias(module, path, frozenset())
            return known
        index, kind = len(self.paths), type(module)
        self.paths.append(path)
        self.kinds.append(kind)
        state = module.__dict__.copy()
        own = state.get("forward")
        if isinstance(own, Forward):
            # the twin of an outer count, whose module has a forward method of its own or none
            own = own.own
        quiet = kind in self.quiet and own is None
        if not quiet:
            if isinstance(module, torch.jit.ScriptModule):
                return self._script(module, index, path)
            if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
                module = lazy_copy(module, self.real)
                self._kept.append(module)
                state = module.__dict__.copy()
        twin: nn.Module = object.__new__(kind)
        object.__setattr__(twin, "__dict__", state)
        self._twins[key] = twin
        prefix = f"{path}." if path else ""
        if self.apart or state["_forward_hooks"] or state["_forward_pre_hooks"]:
            state.update({hooks: OrderedDict(state[hooks]) for hooks in _HOOKS})
            self._hooked.append(state)
            state.update(_NO_WAY_BACK)
            quiet = False
        else:
            state.update(_HOOKLESS)
        # what `Module.compile` leaves would call the user's own module
        state.pop("_compiled_call_impl", None)
        state["training"] = self.training
        self._hold(state, prefix)
        if quiet:
            state["_modules"] = {}
        else:
            self._furnish(module, twin, prefix)
            own = self._forward(twin, own)
        state["forward"] = forward = self.wrap(twin, index, own)
        if own is not None:
            forward.own = own
        return twin

    def _hold(self, state: dict[str, Any], prefix: str) -> None:
        """Give a twin its parameters and buffers; a real pass may write on them, and has copies."""
        state["_parameters"] = parameters = self._given(state["_parameters"])
        if parameters:
            self._own(parameters, prefix)
        buffers = state["_buffers"].copy()
        if buffers and self.real:
            for name, buffer in buffers.items():
                if buffer is not None and not is_lazy(buffer):
                    buffers[name] = buffer.detach().clone()
        state["_buffers"] = buffers
        for buffer in buffers.values():
            self.buffers[id(buffer)] = buffer

    def _furnish(self, module: nn.Module, twin: nn.Module, prefix: str) -> None:
        """Give a twin what else its module has: slots, children, and what is to be looked at."""
        state, kind = twin.__dict__, type(twin)
        if kind not in self._slots:
            self._slots[kind] = _slots_of(kind)
        for slot in self._slots[kind]:
            if hasattr(module, slot):
                object.__setattr__(twin, slot, getattr(module, slot))
        if len(state) >= len(_BASE) and (self.real or not _is_torchs(kind)):
            self._strange.append((twin, frozenset(state) - _BASE))
        children = state["_modules"]
        state["_modules"] = twins = {
            name: child if child is None else self._twin(child, f"{prefix}{name}")
            for name, child in children.items()
        }
        # found at once, where `nn.Module` would look in three places first
        state.update(twins)

    def _alias(self, module: nn.Module, path: str, above: frozenset[int]) -> None:
        """Another path of a module that is known, of what is below it, and of their parameters."""
        key = id(module)
        if key in above or key not in self._twins:
            return
        self.aliases.setdefault(list(self._twins).index(key), []).append(path)
        prefix = f"{path}." if path else ""
        self._own(self._given(module._parameters), prefix)
        for name, child in module._modules.items():
            if child is not None:
                self._alias(child, f"{prefix}{name}", above | {key})

    def _forward(self, twin: nn.Module, own: Any) -> Callable[..., Any] | None:
        inner = _WRAPPERS.get(type(twin).__name__)
        if inner is not None and inner in twin._modules:
            held = twin._modules[inner]
            return lambda *args, **kwargs: held(*args, **kwargs)  # type: ignore[misc]
        bound: Callable[..., Any] | None = self.bound(own)
        return bound

    def _given(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as a twin gets them: for a real pass, which may write on them, copies."""
        if not self.real:
            return dict(parameters)
        return {name: p if p is None else self._copied(p) for name, p in parameters.items()}

    def _copied(self, tensor: Tensor) -> Tensor:
        known = self._copies.get(id(tensor))
        if known is None:
            with torch.no_grad():
                known = copy.deepcopy(tensor) if tensor.is_leaf else tensor.clone()
            self._copies[id(tensor)] = known
            self._kept.append(tensor)
        return known

    def _own(self, parameters: Mapping[str, Any], prefix: str) -> None:
        known = self.parameters
        for name, parameter in parameters.items():
            if parameter is not None:
                key = id(parameter)
                if key in known:
                    known[key].names.append(f"{prefix}{name}")
                else:
                    known[key] = tuple.__new__(_Owned, (parameter, [f"{prefix}{name}"]))

    def _script(self, module: Any, index: int, path: str) -> nn.Module:
        self.scripted = True
        parameters = tuple(module.parameters())
        with torch.no_grad(), Shared(parameters, copied=self.real):
            shell = copy.deepcopy(module)
        proxy = Scripted(shell.train(self.training))
        self._twins[id(module)] = proxy
        for name, parameter in module.named_parameters(remove_duplicate=False):
            self._own({name: parameter}, f"{path}." if path else "")
        self.buffers.update((id(b), b) for b in shell.buffers())
        self._kept += [*parameters, *shell.buffers()]
        proxy.__dict__["forward"] = self.wrap(proxy, index, proxy.forward)
        return proxy

    def _rebind(self, state: dict[str, Any], own: frozenset[str]) -> None:
        """Let what a module holds beside its children lead to twins as well."""
        for name in own:
            value = state[name]
            if self.real or not isinstance(value, _PLAIN):
                state[name] = self.bound(value)

    def bound(self, value: Any) -> Any:
        """The value with twins in the place of modules, in containers and functions too."""
        if isinstance(value, nn.Module):
            return self._twins.get(id(value), value)
        if isinstance(value, Tensor):
            return self._copied(value) if self.real else value
        if isinstance(value, MethodType) and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, self.bound(value.__self__))
        if type(value) not in _HOLDERS or id(value) in self._copies:
            return self._copies.get(id(value), value)
        self._kept.append(value)
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
        names = {n: self._twins[id(m)] for n, m in held_by(value).items() if id(m) in self._twins}
        names = {n: twin for n, twin in names.items() if n in value.__globals__}
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


def _is_torchs(kind: type) -> bool:
    return kind.__module__.startswith("torch.nn.modules.")


def _slots_of(kind: type) -> tuple[str, ...]:
    slots = [base.__dict__.get("__slots__", ()) for base in kind.__mro__]
    named = [(slot,) if isinstance(slot, str) else tuple(slot) for slot in slots]
    return tuple(x for names in named for x in names if x[:2] != "__")


_LAYERS: dict[type, str] = {}


def layer_of(kind: type) -> str:
    """The name of a class: bare for those of torch.nn, with its module for all others."""
    known = _LAYERS.get(kind)
    if known is None:
        if not kind.__module__.startswith("torch.nn."):
            # not kept: a class may be made for one module alone, and hold it
            return f"{kind.__module__}.{kind.__qualname__}"
        known = kind.__name__
        if _is_torchs(kind):
            _LAYERS[kind] = known
    return known
