"""A living module followed through one run: each module and torch function that it calls.

Functions are seen as they are called, and what calls none is seen below them, operator by operator,
so that nothing runs unseen. The hooks that tell one module from another come off in any case.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from flopcount.counters.operator_kinds import NEEDS_VALUES
from flopcount.counters.trace.records import tensors
from shufflenet.bench.layers.calls import Operand, RecordedCall


class Ran:
    """A call of a module, and within it the calls that it made, in their order.

    ``step`` is None of the whole, and of a call that raised.
    """

    def __init__(self, module: nn.Module, path: str, step: RecordedCall | None = None) -> None:
        self.module = module
        self.path = path
        self.step = step
        # which is being handled where it is called
        self.error = sys.exception()
        self.within: list[Ran | RecordedCall] = []


class Found(NamedTuple):
    """A leaf of a run: where it was called, its call, and what that called in turn.

    ``module`` is None where a function was called.
    """

    path: str
    step: RecordedCall
    module: nn.Module | None = None
    within: tuple[RecordedCall, ...] = ()


def followed(module: nn.Module, *inputs: Tensor) -> list[Found]:
    """Every leaf of one run of a module, in order.

    A leaf is a module within it that has none itself, or is torch's own and calls none; else a
    function. The hooks come off, whether it succeeds or raises; what the module writes on itself
    stays, as after any call. Raises what it raises.
    """
    follower = _Follower(module)
    for tensor in inputs:
        follower.make(tensor)
    with ExitStack() as stack:
        stack.enter_context(_hooked(module, follower))
        stack.enter_context(_Operators(follower))
        stack.enter_context(_Functions(follower))
        module(*inputs)
    return list(_leaves(follower.stack[0]))


def _leaves(ran: Ran) -> Iterator[Found]:
    for item in ran.within:
        if isinstance(item, RecordedCall):
            yield Found(ran.path, item)
        elif item.step is not None and _is_leaf(item):
            steps = tuple(step for step in item.within if isinstance(step, RecordedCall))
            yield Found(item.path, item.step, item.module, steps)
        else:
            yield from _leaves(item)


def is_torchs(module: nn.Module) -> bool:
    """Whether a module is of one of torch's own classes of layers."""
    return type(module).__module__.startswith("torch.nn.modules.")


_CONTAINERS = nn.Sequential.__module__


def _is_leaf(ran: Ran) -> bool:
    if any(isinstance(item, Ran) for item in ran.within):
        return False
    if next(ran.module.children(), None) is None:
        return True
    # a container does no more than those within it
    return is_torchs(ran.module) and type(ran.module).__module__ != _CONTAINERS


class _Follower:
    """What was seen so far, and which module is running."""

    def __init__(self, module: nn.Module) -> None:
        self.stack = [Ran(module, "")]
        self.paths = {id(inner): path for path, inner in module.named_modules()}
        self._tokens: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._made = 0
        self.hidden = 0

    @contextmanager
    def hiding(self) -> Iterator[None]:
        """Let nothing that is done meanwhile be seen."""
        self.hidden += 1
        try:
            yield
        finally:
            self.hidden -= 1

    def token(self, tensor: Tensor) -> int | None:
        """The number of a tensor that was made on the way; None of any other."""
        ref, token = self._tokens.get(id(tensor), (None, None))
        return token if ref is not None and ref() is tensor else None

    def make(self, tensor: Tensor) -> int:
        """The number of a tensor that is made now, or that was and is written on."""
        token = self.token(tensor)
        if token is None:
            token = self._made = self._made + 1
            self._tokens[id(tensor)] = weakref.ref(tensor), token
        return token

    def call(self, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call, and write it down if it does any work on tensors."""
        with self.hiding():
            step = RecordedCall.of(run, args, kwargs, self.token)
            out = run(*args, **kwargs)
            step = self.after(step, out)
        if step.outputs or step.name in NEEDS_VALUES or _writes(run):
            self.stack[-1].within.append(step)
        return out

    def after(self, step: RecordedCall, out: Any) -> RecordedCall:
        """The step with what has come out of it."""
        own = {id(operand.kept): operand for operand in step.operands if operand.token is None}
        # what it only passes on is still not made by anybody
        outputs = tuple(
            own.get(id(x)) or Operand.of(x, self.make(x), needed=False) for x in tensors(out)
        )
        return step._replace(outputs=outputs)

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module is called."""
        if not self.hidden:
            with self.hiding():
                step = RecordedCall.of(module, args, kwargs, self.token)
            self.stack.append(Ran(module, self.paths[id(module)], step))

    def leave(self, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        """A module is done, or has raised."""
        if self.hidden:
            return
        ran = self.stack.pop()
        assert ran.step is not None
        with self.hiding():
            raised = sys.exception() is not ran.error
            ran.step = None if raised else self.after(ran.step, out)
        self.stack[-1].within.append(ran)


def _writes(run: Callable[..., Any]) -> bool:
    """Whether a function that gives nothing back has written on a tensor."""
    name = getattr(run, "__name__", "")
    return name == "__setitem__" or (name.endswith("_") and not name.startswith("__"))


class _Functions(TorchFunctionMode):
    """Sees every torch function that is called."""

    def __init__(self, follower: _Follower) -> None:
        super().__init__()
        self.follower = follower

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Make one call."""
        if self.follower.hidden:
            return func(*args, **(kwargs or {}))
        return self.follower.call(func, args, kwargs or {})


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator that runs and no function has called: a kernel of one's own, a script."""

    def __init__(self, follower: _Follower) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.follower = follower

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operator."""
        if self.follower.hidden:
            return func(*args, **(kwargs or {}))
        return self.follower.call(func, args, kwargs or {})


@contextmanager
def _hooked(module: nn.Module, follower: _Follower) -> Iterator[None]:
    """With hooks on every module within one, before and behind those that are there."""
    with ExitStack() as stack:
        for inner in _within(module):
            before = inner.register_forward_pre_hook(follower.enter, prepend=True, with_kwargs=True)
            stack.callback(before.remove)
            behind = inner.register_forward_hook(follower.leave, with_kwargs=True, always_call=True)
            stack.callback(behind.remove)
        yield


def _within(module: nn.Module) -> Iterator[nn.Module]:
    """Every module within one, each once, but for scripts, which take no hooks of Python's."""
    met = {id(module)}
    waiting = [module]
    while waiting:
        for child in waiting.pop().children():
            if id(child) not in met and not isinstance(child, torch.jit.ScriptModule):
                met.add(id(child))
                yield child
                waiting.append(child)
