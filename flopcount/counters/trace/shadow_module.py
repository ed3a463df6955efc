"""A shadow of a module to run in its stead: new shells over the same parameters.

Nothing is copied but the dictionaries that hold a module's parts, so that it takes no time, and
what a forward pass writes on its module is written on the shadow. The parameters and buffers are
the user's own; whoever runs the shadow must not write on them.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from flopcount.counters.lazy_records import Columns
from flopcount.counters.trace.lazy_children import LazyChildren, LazyModule
from flopcount.counters.trace.rebinding import Binder
from flopcount.counters.trace.records import RestartError
from flopcount.counters.trace.shared_copies import Scripted, Shared, lazy_copy
from flopcount.entries import Module, Parameter


class Forward(partial[Any]):
    """What stands in the place of a forward method; ``own`` is the module's, not its class's."""

    own: Any = None


class ForwardPolicy(Protocol):
    """What stands in the place of the forward methods of modules."""

    @property
    def fast_paths(self) -> Mapping[type, Any]:
        """What answers for a class of modules instead of its forward method, or None."""

    def runs_in_order(self, kind: type) -> bool:
        """Whether all that a class does is to run its parts one after the other."""

    def shortcut(self, shadow: nn.Module, index: int, direct: Any) -> Forward:
        """What is put in the place of that of a layer with a fast path, or else of a sequence."""

    def wrap(self, shadow: nn.Module, index: int, own: Callable[..., Any] | None) -> Forward:
        """What is put in the place of any other; ``own`` is one of the module's own."""


_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
_MODULE_STATE = frozenset({*nn.Module().__dict__, "forward"})
# Wrappers that run the module they hold, each in its own way: compiled, or on several devices.
_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module"}
_WRAPPERS["DistributedDataParallel"] = "module"


class _NoHooks(OrderedDict[int, Any]):
    """No hooks, for all shadows together: a dictionary for each would take most of the time."""

    def __setitem__(self, key: int, value: Any) -> None:
        raise RestartError


#: What every shadow has in the place of hooks: it has none, and can be given none.
NO_HOOKS = _NoHooks()
# Only a backward pass calls these, and none is run.
_NO_WAY_BACK = dict.fromkeys(("_backward_hooks", "_backward_pre_hooks"), NO_HOOKS)
_HOOKLESS = {**dict.fromkeys(_HOOKS, NO_HOOKS), **_NO_WAY_BACK}


class _Kind(NamedTuple):
    """What there is to know of a class of modules, asked once for each count.

    ``late`` are those whose shadows are made when somebody asks for them; ``odd`` those that must
    be looked at one by one.
    """

    direct: Any
    late: bool
    odd: bool
    slots: tuple[str, ...]
    torchs: bool
    wraps: str | None


class ShadowModule:
    """The shadow of a module, and what there was to see on the way through it.

    ``own_hooks`` gives every shadow its own dictionaries of hooks.
    """

    def __init__(
        self,
        module: nn.Module,
        training: bool,
        policy: ForwardPolicy,
        real: bool = False,
        own_hooks: bool = False,
    ) -> None:
        self.training = training
        self.policy = policy
        self.real = real
        self.own_hooks = own_hooks
        self.paths: list[str] = []
        self.kinds: list[type] = []
        self.aliases: dict[int, list[str]] = {}
        # every parameter and buffer by its id; of those that are parameters the first name, and
        # the others where there are any
        self.owned: dict[int, Tensor] = {}
        self.names: dict[int, str] = {}
        self._others: dict[int, list[str]] = {}
        self.scripted = False
        # what `Module.compile` leaves would call the user's own module
        self._plain = {**_HOOKLESS, "training": training, "_compiled_call_impl": None}
        # in the order of the paths
        self._shadows: dict[int, nn.Module | LazyModule] = {}
        self._binder = Binder(self._shadows, real)
        self._known: dict[type, _Kind] = {}
        self._hooked: list[dict[str, Any]] = []
        # shadows of classes that are not torch's, with what they hold beside their parts
        self._strange: list[tuple[dict[str, Any], set[str]]] | None = []
        self.module = self._shadow(module, "")
        layers = {kind: layer_of(kind) for kind in set(self.kinds)}
        self.layers = [layers[kind] for kind in self.kinds]
        strange, self._strange = self._strange, None
        for state, names in strange:
            self._binder.rebind(state, names)
        for state in self._hooked:
            for hooks in ("_forward_hooks", "_forward_pre_hooks"):
                state[hooks].update({k: self.bound(hook) for k, hook in state[hooks].items()})

    @property
    def parameters(self) -> Iterator[Tensor]:
        """Every distinct parameter, in the order in which they were met."""
        return map(self.owned.__getitem__, self.names)

    def bound(self, value: Any) -> Any:
        """The value with shadows in the place of modules, in containers and functions too."""
        return self._binder.bound(value)

    def close(self) -> None:
        """Let go of the shadows, which hold themselves and would wait to be found as garbage."""
        for part in self._shadows.values():
            shadow = part.shadow if isinstance(part, LazyModule) else part
            if shadow is not None:
                del shadow.__dict__["forward"]
        self._shadows.clear()
        del self.module

    def modules(self, calls: Sequence[int]) -> Columns[Module]:
        """Every distinct module with how often it was called."""
        others: list[tuple[str, ...]] = [()] * len(self.paths)
        for index, names in self.aliases.items():
            others[index] = tuple(names)
        return Columns(Module._make, self.paths, self.layers, calls, others)

    def inventory(self, called: set[int]) -> Columns[Parameter]:
        """Every distinct parameter; ``called`` holds the ids of those that were read."""
        tensors = list(self.parameters)
        others = [tuple(self._others.get(key, ())) for key in self.names]
        return Columns(
            Parameter._make,
            list(self.names.values()),
            [tensor.numel() for tensor in tensors],
            [tensor.requires_grad for tensor in tensors],
            [key in called for key in self.names],
            others,
        )

    def _shadow(self, module: nn.Module, path: str) -> nn.Module:
        part = self._part(module, path)
        return part.materialize() if isinstance(part, LazyModule) else part

    def _part(self, module: nn.Module, path: str) -> nn.Module | LazyModule:
        """The shadow of a module, put off where that can be."""
        key, kind, state = id(module), type(module), module.__dict__
        if key in self._shadows:
            self._alias(module, path, frozenset())
            return self._shadows[key]
        known = self._known.get(kind) or self._meet(kind)
        index = len(self.paths)
        self.paths.append(path)
        self.kinds.append(kind)
        odd = state["_forward_hooks"] or state["_forward_pre_hooks"] or "forward" in state
        # a layer may have been given parts, which no fast path looks at
        if not known.late or odd or (known.direct is not None and state["_modules"]):
            return self._whole(module, path, index, known)
        part = self._shadows[key] = LazyModule(self._make, module, index, known.direct)
        if state["_parameters"] or state["_buffers"]:
            self._learn(state, path)
        if not known.torchs and known.direct is not None:
            # another's class may write on itself when it is asked what it makes
            part.materialize()
        elif known.direct is None:
            prefix = f"{path}." if path else ""
            for name, child in state["_modules"].items():
                part.children[name] = None if child is None else self._part(child, prefix + name)
        return part

    def _meet(self, kind: type) -> _Kind:
        direct = None if self.own_hooks else self.policy.fast_paths[kind]
        torchs = _is_torchs(kind)
        late = direct is not None or (not self.own_hooks and self.policy.runs_in_order(kind))
        odd = issubclass(kind, (torch.jit.ScriptModule, LazyModuleMixin))
        wraps = _WRAPPERS.get(kind.__name__)
        known = _Kind(direct, late, odd, _slots_of(kind), torchs, wraps)
        self._known[kind] = known
        return known

    def _make(self, part: LazyModule) -> nn.Module:
        """The shadow that was put off."""
        module, kind = part.module, type(part.module)
        state = module.__dict__.copy()
        shadow = self._shell(kind, state)
        state["_parameters"] = state["_parameters"].copy()
        state["_buffers"] = state["_buffers"].copy()
        state["_modules"] = LazyChildren(part.children)
        known = self._known[kind]
        if part.direct is None or not known.torchs:
            self._look_at(module, shadow, known)
        state["forward"] = self.policy.shortcut(shadow, part.index, part.direct)
        return shadow

    def _whole(self, module: nn.Module, path: str, index: int, known: _Kind) -> nn.Module:
        """The shadow of a module, and of all that is below it."""
        key = id(module)
        own = module.__dict__.get("forward")
        if isinstance(own, Forward):
            # the shadow of an outer count, whose module has a forward method of its own or none
            own = own.own
        if known.odd:
            if isinstance(module, torch.jit.ScriptModule):
                return self._script(module, index, path)
            if module.has_uninitialized_params():  # type: ignore[operator]
                module = lazy_copy(module, self.real)
                self._binder.kept.append(module)
        state = module.__dict__.copy()
        shadow = self._shadows[key] = self._shell(type(module), state)
        self._hold(state, path)
        self._look_at(module, shadow, known)
        prefix = f"{path}." if path else ""
        state["_modules"] = shadows = {
            name: child if child is None else self._shadow(child, prefix + name)
            for name, child in state["_modules"].items()
        }
        # found at once, where `nn.Module` would look in three places first
        state.update(shadows)
        held = None if known.wraps is None else shadows.get(known.wraps)
        if held is not None:
            own = _calling(held)
        elif own is not None:
            own = self.bound(own)
        state["forward"] = forward = self.policy.wrap(shadow, index, own)
        if own is not None:
            forward.own = own
        return shadow

    def _shell(self, kind: type, state: dict[str, Any]) -> nn.Module:
        """A module of a class that has that state, and hooks of its own where there are any."""
        shadow: nn.Module = object.__new__(kind)
        object.__setattr__(shadow, "__dict__", state)
        if self.own_hooks or state["_forward_hooks"] or state["_forward_pre_hooks"]:
            own = {hooks: OrderedDict(state[hooks]) for hooks in _HOOKS}
            if self.own_hooks:
                own |= {hooks: OrderedDict() for hooks in _NO_WAY_BACK}
            self._hooked.append(state)
            state.update(self._plain, **own)
        else:
            state.update(self._plain)
        return shadow

    def _hold(self, state: dict[str, Any], path: str) -> None:
        """Give a shadow its parameters and buffers; for a real pass, copies."""
        state["_parameters"] = self._given(state["_parameters"])
        state["_buffers"] = buffers = state["_buffers"].copy()
        if buffers and self.real:
            for name, buffer in buffers.items():
                if buffer is not None and not is_lazy(buffer):
                    buffers[name] = buffer.detach().clone()
        if state["_parameters"] or buffers:
            self._learn(state, path)

    def _learn(self, state: Mapping[str, Any], path: str) -> None:
        """Know the parameters and buffers that a module has."""
        owned, names = self.owned, self.names
        for name, tensor in state["_parameters"].items():
            if tensor is not None:
                key = id(tensor)
                owned[key] = tensor
                full = f"{path}.{name}" if path else name
                if names.setdefault(key, full) is not full:
                    self._others.setdefault(key, []).append(full)
        for tensor in state["_buffers"].values():
            owned[id(tensor)] = tensor

    def _look_at(self, module: nn.Module, shadow: nn.Module, known: _Kind) -> None:
        """See what a module holds beside its parts: it may lead to modules, too."""
        for slot in known.slots:
            if hasattr(module, slot):
                object.__setattr__(shadow, slot, getattr(module, slot))
        if known.torchs and not self.real:
            return
        state = shadow.__dict__
        names = state.keys() - _MODULE_STATE
        if self._strange is None:
            self._binder.rebind(state, names)
        else:
            # once all shadows are there to be led to
            self._strange.append((state, names))

    def _alias(self, module: nn.Module, path: str, above: frozenset[int]) -> None:
        """Another path of a module that is known, of what is below it, and of their parameters."""
        key = id(module)
        if key in above or key not in self._shadows:
            return
        self.aliases.setdefault(list(self._shadows).index(key), []).append(path)
        prefix = f"{path}." if path else ""
        self._learn({"_parameters": self._given(module._parameters), "_buffers": {}}, path)
        for name, child in module._modules.items():
            if child is not None:
                self._alias(child, f"{prefix}{name}", above | {key})

    def _given(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as a shadow gets them; a real pass may write on them, and gets copies."""
        if not self.real:
            return dict(parameters)
        copied = self._binder.copied
        return {name: p if p is None else copied(p) for name, p in parameters.items()}

    def _script(self, module: Any, index: int, path: str) -> nn.Module:
        self.scripted = True
        parameters = tuple(module.parameters())
        with torch.no_grad(), Shared(parameters, copied=self.real):
            shell = copy.deepcopy(module)
        proxy = Scripted(shell.train(self.training))
        self._shadows[id(module)] = proxy
        named = dict(module.named_parameters(remove_duplicate=False))
        self._learn({"_parameters": named, "_buffers": dict(shell.named_buffers())}, path)
        self._binder.kept += [*parameters, *shell.buffers()]
        proxy.__dict__["forward"] = self.policy.wrap(proxy, index, proxy.forward)
        return proxy


def _is_torchs(kind: type) -> bool:
    return kind.__module__.startswith("torch.nn.modules.")


def _slots_of(kind: type) -> tuple[str, ...]:
    slots = [base.__dict__.get("__slots__", ()) for base in kind.__mro__]
    named = [(slot,) if isinstance(slot, str) else tuple(slot) for slot in slots]
    return tuple(x for names in named for x in names if x[:2] != "__")


def _calling(module: nn.Module) -> Callable[..., Any]:
    return lambda *args, **kwargs: module(*args, **kwargs)


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
