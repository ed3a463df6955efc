"""One call that a living module makes, kept so that it can be made again, and known from others.

A tensor that goes into it is kept by where it lies in memory and not with its values, but for those
that nothing on the way has made (parameters, buffers) and those that are no plain floats. With a
call goes the state of the thread that made it: casting, gradients, inference mode.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from flopcount.entries import Shape

# Of these types any values do: how long an operator takes does not depend on them.
_FLOATS = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))


class Ambient(NamedTuple):
    """Whether and into what calls are cast on the CPU, and what is written down for gradients.

    ``cached`` says that a weight is cast once where the casting begins and ends, not for each call.
    """

    cast: torch.dtype | None
    cached: bool
    gradients: bool
    inference: bool

    @classmethod
    def now(cls) -> Self:
        """The state of the calling thread."""
        cast = torch.is_autocast_enabled("cpu")
        return cls(
            torch.get_autocast_dtype("cpu") if cast else None,
            cast and torch.is_autocast_cache_enabled(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
        )

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Where it holds, whatever did before.

        No weight that was cast before is read again: each time all are cast afresh.
        """
        cast = torch.autocast(
            "cpu", self.cast, enabled=self.cast is not None, cache_enabled=self.cached
        )
        # inference first, which takes gradients away
        with torch.inference_mode(self.inference), torch.set_grad_enabled(self.gradients), cast:
            yield


@dataclass(frozen=True, slots=True)
class At:
    """Stands in the arguments of a step for one of its operands, by its place among these."""

    place: int


class Operand(NamedTuple):
    """A tensor that goes into a step or comes out: how it lies in memory, and which it is.

    ``token`` numbers those that are made on the way; None is of one that nothing has made. ``kept``
    is the tensor where its values, or itself, are needed; a copy of it, where it was made.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    token: int | None
    kept: Tensor | None

    @classmethod
    def of(cls, tensor: Tensor, token: int | None, *, needed: bool = True) -> Operand:
        """A tensor by what there is to know; its values are not ``needed`` of what comes out."""
        strides = tensor.stride() if tensor.layout is torch.strided else ()
        kept = None
        if token is None:
            kept = tensor
        elif needed and not _any_values_do(tensor):
            kept = tensor.detach().clone()
        return cls(tuple(tensor.shape), strides, tensor.dtype, tensor.device, token, kept)

    @property
    def shape(self) -> Shape:
        """Its sizes."""
        return Shape(*self.size)

    @property
    def span(self) -> int:
        """How many elements there are from its first to its last, gaps and all."""
        if 0 in self.size:
            return 0
        return 1 + sum((s - 1) * t for s, t in zip(self.size, self.stride, strict=True))

    @property
    def key(self) -> Hashable:
        """What its part in the time of a call depends on."""
        made = self.token is not None
        own = self.kept
        if own is None or (self.dtype in _FLOATS and own.layout is torch.strided):
            return self.size, self.stride, self.dtype, made
        return self.size, self.stride, self.dtype, made, id(own)


class RecordedCall(NamedTuple):
    """A call: what is called, with what, and in which state; ``outputs`` are what came out.

    ``leaves`` are its arguments, flat, with places in the stead of tensors; ``what`` says which
    calls do the same with the same arguments.
    """

    run: Callable[..., Any]
    what: Hashable
    leaves: tuple[Any, ...]
    tree: TreeSpec
    operands: tuple[Operand, ...]
    ambient: Ambient
    outputs: tuple[Operand, ...] = ()

    @classmethod
    def of(
        cls,
        run: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        token: Callable[[Tensor], int | None],
    ) -> RecordedCall:
        """A call of these arguments now, in which the same tensor stays the same."""
        flat, tree = tree_flatten((args, dict(kwargs)))
        places: dict[int, At] = {}
        operands: list[Operand] = []
        for leaf in flat:
            if isinstance(leaf, Tensor) and id(leaf) not in places:
                places[id(leaf)] = At(len(operands))
                operands.append(Operand.of(leaf, token(leaf)))
        leaves = tuple(places[id(x)] if isinstance(x, Tensor) else x for x in flat)
        return cls(run, run, leaves, tree, tuple(operands), Ambient.now())

    @property
    def key(self) -> Hashable:
        """Steps of equal keys do the same work."""
        operands = tuple(operand.key for operand in self.operands)
        leaves = tuple(map(_key, self.leaves))
        return self.what, str(self.tree), leaves, operands, self.ambient

    @property
    def name(self) -> str:
        """What is called, by its name."""
        name: str = getattr(self.run, "__name__", type(self.run).__name__)
        if name in ("__get__", "__set__"):
            # an attribute of tensors
            return str(getattr(getattr(self.run, "__self__", None), "__name__", name))
        schema = getattr(self.run, "_schema", None)
        return name if schema is None else str(schema.name).rpartition("::")[2]

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[], Any]:
        """The call of these arguments, ready to be made in the state that is now."""
        run, ambient = self.run, self.ambient
        if ambient == Ambient.now():
            return lambda: run(*args, **kwargs)

        def call() -> Any:
            with ambient.entered():
                return run(*args, **kwargs)

        return call

    def arguments(self, tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Its arguments, by position and by name, with tensors for its operands."""
        flat = [tensors[leaf.place] if type(leaf) is At else leaf for leaf in self.leaves]
        args, kwargs = tree_unflatten(flat, self.tree)
        return args, kwargs


def _any_values_do(tensor: Tensor) -> bool:
    return (
        type(tensor) is Tensor
        and tensor.dtype in _FLOATS
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
    )


def _key(leaf: Any) -> Hashable:
    kind = type(leaf)
    if kind is slice:
        return kind, repr(leaf)
    try:
        hash(leaf)
    except TypeError:
        # as long as the step is kept, no other has its number
        return kind, id(leaf)
    return kind, leaf


class InTurn:
    """Steps that each work on what the one before has made, as one function of a tensor."""

    def __init__(self, steps: Sequence[RecordedCall]) -> None:
        self.rest = tuple((step.run, *_rest(step)) for step in steps)

    def __call__(self, x: Any) -> Any:
        """What the last of them makes of a tensor."""
        for run, args, kwargs in self.rest:
            x = run(x, *args, **kwargs)
        return x


def _rest(step: RecordedCall) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a step is given behind its first argument, the one tensor."""
    (_, *args), kwargs = step.arguments((None,))
    return tuple(args), kwargs


def in_turn(steps: Sequence[RecordedCall]) -> RecordedCall:
    """Steps that each have one operand, their first argument, which the one before has made."""
    leaves, tree = tree_flatten(((At(0),), {}))
    what = (InTurn, *(step.key for step in steps))
    first, last = steps[0], steps[-1]
    return RecordedCall(
        InTurn(steps), what, tuple(leaves), tree, first.operands, first.ambient, last.outputs
    )


def shuffles(steps: Sequence[RecordedCall]) -> Iterator[tuple[int, int]]:
    """Where steps are a channel shuffle, one behind the other: the first, and the one behind."""
    at = 0
    while at < len(steps):
        found = next((n for n in (4, 3) if _is_shuffle(steps[at : at + n], n)), 0)
        if found:
            yield at, at + found
        at += found or 1


_SPLIT = frozenset(("view", "reshape", "unflatten"))
_SWAP = frozenset(("transpose", "permute", "swapaxes", "swapdims", "movedim", "moveaxis"))
_MERGE = frozenset(("view", "reshape", "flatten"))


def _is_shuffle(steps: Sequence[RecordedCall], count: int) -> bool:
    """Whether steps see channels ``(n, g*k, h, w)`` as g x k, transpose them, and see them flat.

    By what they made, whatever they are written as: axes 1 and 2 have changed their places in
    memory, and no other has.
    """
    if len(steps) != count or not all(map(_is_link, steps)):
        return False
    split, swap, *copy, merge = steps
    names = split.name in _SPLIT and swap.name in _SWAP and merge.name in _MERGE
    if not names or any(step.name != "contiguous" for step in copy):
        return False
    follows = pairwise(steps)
    if any(one.outputs[0].token != other.operands[0].token for one, other in follows):
        return False
    whole, parts, swapped = split.operands[0], split.outputs[0], swap.outputs[0]
    if len(whole.size) != 4 or len(parts.size) != 5 or merge.outputs[0].size != whole.size:
        return False
    n, c, *sides = whole.size
    first, g, k, *rest = parts.size
    return (first, g * k, rest) == (n, c, sides) and all(
        (a, c, b, *others) == now
        for (a, b, c, *others), now in (
            (parts.size, swapped.size),
            (parts.stride, swapped.stride),
        )
    )


def _is_link(step: RecordedCall) -> bool:
    """Whether a step has one tensor, its first argument, and makes one."""
    alone = len(step.operands) == len(step.outputs) == 1
    (*_, token, _kept) = step.operands[0] if alone else (None, None)
    places = sum(type(leaf) is At for leaf in step.leaves)
    return alone and token is not None and places == 1 and step.leaves[0] == At(0)
