"""A twin of a module to run in its stead: new shells over the same parameters.

Nothing is copied but the dictionaries that hold a module's parts, so that it takes no time, and
what a forward pass writes on its module is written on the twin. The parameters and buffers are
the user's own; whoever runs the twin must not write on them.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from flopcount.tally import Module, Parameter


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
_PLAIN = (int, float, bool, str, type(None), torch.dtype, torch.device, FunctionType, type, Tensor)
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
        # twins of classes that are not torch's, with what they hold beside their parts
        self._strange: list[tuple[nn.Module, frozenset[str]]] = []
        self.module = self._twin(module, "")
        for twin, own in self._strange:
            self._rebind(twin.__dict__, own)

    @property
    def layers(self) -> list[str]:
        """The names of the classes of all modules."""
        return list(map(layer_of, self.kinds))

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
                module = _lazy_copy(module, self.real)
                self._kept.append(module)
                state = module.__dict__.copy()
        twin: nn.Module = object.__new__(kind)
        object.__setattr__(twin, "__dict__", state)
        self._twins[key] = twin
        prefix = f"{path}." if path else ""
        if self.apart or state["_forward_hooks"] or state["_forward_pre_hooks"]:
            state.update({hooks: OrderedDict(state[hooks]) for hooks in _HOOKS})
            state.update(_NO_WAY_BACK)
            quiet = False
        else:
            state.update(_HOOKLESS)
        # what `Module.compile` leaves would call the user's own module
        state.pop("_compiled_call_impl", None)
        state["training"] = self.training
        if state["_parameters"]:
            self._own(state["_parameters"], prefix)
        buffers = state["_buffers"]
        if buffers and self.real:
            # A real pass writes on them.
            state["_buffers"] = buffers = {
                name: b if b is None or is_lazy(b) else b.detach().clone()
                for name, b in buffers.items()
            }
        for buffer in buffers.values():
            self.buffers[id(buffer)] = buffer
        if not quiet:
            for slot in _slots_of(kind):
                if hasattr(module, slot):
                    object.__setattr__(twin, slot, getattr(module, slot))
            if len(state) > len(_BASE) and not _is_torchs(kind):
                self._strange.append((twin, frozenset(state) - _BASE))
            state["_parameters"] = dict(state["_parameters"])
            state["_buffers"] = dict(buffers)
            children = state["_modules"]
            state["_modules"] = twins = {
                name: child if child is None else self._twin(child, f"{prefix}{name}")
                for name, child in children.items()
            }
            # found at once, where `nn.Module` would look in three places first
            state.update(twins)
        if not quiet:
            own = self._forward(twin, own)
        state["forward"] = forward = self.wrap(twin, index, own)
        if own is not None:
            forward.own = own
        return twin

    def _alias(self, module: nn.Module, path: str, above: frozenset[int]) -> None:
        """Another path of a module that is known, of what is below it, and of their parameters."""
        key = id(module)
        if key in above or key not in self._twins:
            return
        self.aliases.setdefault(list(self._twins).index(key), []).append(path)
        prefix = f"{path}." if path else ""
        self._own(module._parameters, prefix)
        for name, child in module._modules.items():
            if child is not None:
                self._alias(child, f"{prefix}{name}", above | {key})

    def _forward(self, twin: nn.Module, own: Any) -> Callable[..., Any] | None:
        inner = _WRAPPERS.get(type(twin).__name__)
        if inner is not None and inner in twin._modules:
            held = twin._modules[inner]
            return lambda *args, **kwargs: held(*args, **kwargs)  # type: ignore[misc]
        bound: Callable[..., Any] | None = self._bound(own)
        return bound

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
        with torch.no_grad(), _Shared(parameters, copied=self.real):
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
            if not isinstance(value, _PLAIN):
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


class _Shared(TorchDispatchMode):
    """Lets a deep copy share its parameters, and the values of all else unless they are copied."""

    def __init__(self, parameters: Iterable[Tensor], copied: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.parameters = {id(tensor) for tensor in parameters}
        self.copied = copied

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Give the tensor itself in the place of its copy."""
        if id(args[0]) in self.parameters:
            return args[0]
        # of another tensor with the same values, the version is its own
        return func(*args, **(kwargs or {})) if self.copied else args[0].data


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


def _lazy_copy(module: Any, real: bool) -> Any:
    """A copy of a lazy module: what it infers it writes on itself, its parameters and hooks."""
    # What has no shape yet is not copied: a buffer of that kind cannot be.
    makers: tuple[tuple[dict[str, Any], Any], ...] = (
        (module._parameters, UninitializedParameter),
        (module._buffers, UninitializedBuffer),
    )
    known = {
        id(part): make(part.requires_grad, part.device if real else "meta", part.dtype)
        for parts, make in makers
        for part in parts.values()
        if is_lazy(part)
    }
    return copy.deepcopy(module, known)


def _is_torchs(kind: type) -> bool:
    return kind.__module__.startswith("torch.nn.modules.")


_SLOTS: dict[type, tuple[str, ...]] = {}


def _slots_of(kind: type) -> tuple[str, ...]:
    known = _SLOTS.get(kind)
    if known is None:
        slots = [base.__dict__.get("__slots__", ()) for base in kind.__mro__]
        named = [(slot,) if isinstance(slot, str) else tuple(slot) for slot in slots]
        known = _SLOTS[kind] = tuple(x for names in named for x in names if x[:2] != "__")
    return known


_LAYERS: dict[type, str] = {}


def layer_of(kind: type) -> str:
    """The name of a class: bare for those of torch.nn, with its module for all others."""
    known = _LAYERS.get(kind)
    if known is None:
        own = kind.__module__.startswith("torch.nn.")
        known = _LAYERS[kind] = kind.__name__ if own else f"{kind.__module__}.{kind.__qualname__}"
    return known
