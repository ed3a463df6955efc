"""Where timed calls of a living module find their inputs, and what keeps these as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.utils._pytree import tree_structure

from flopcount.counters.trace.records import tensors
from shufflenet.bench.layers.calls import Operand, RecordedCall
from shufflenet.bench.rounds import TimedCall


class AloneError(ValueError):
    """A call that does not do alone what it did in its network."""


class BufferPool(NamedTuple):
    """Drawn numbers of each type, which all calls read where they write on none of them.

    So many calls need no more memory than the largest does.
    """

    drawn: dict[torch.dtype, Tensor]

    @classmethod
    def for_steps(cls, steps: Iterable[RecordedCall], seed: int = 0) -> Self:
        """Enough of them for any one of the steps."""
        most: dict[torch.dtype, int] = {}
        for step in steps:
            need: dict[torch.dtype, int] = {}
            for operand in step.operands:
                if operand.kept is None:
                    need[operand.dtype] = need.get(operand.dtype, 0) + operand.span
            most |= {kind: max(size, most.get(kind, 0)) for kind, size in need.items()}
        drawn = torch.Generator().manual_seed(seed)
        with torch.inference_mode(False):
            return cls({t: torch.rand(n, dtype=t, generator=drawn) for t, n in most.items()})

    def parts(self, step: RecordedCall) -> list[Tensor]:
        """A part for each operand of a step, one behind the other; what is kept stands itself."""
        taken: dict[torch.dtype, int] = {}
        found = []
        for operand in step.operands:
            if operand.kept is not None:
                found.append(operand.kept)
                continue
            start = taken.get(operand.dtype, 0)
            taken[operand.dtype] = end = start + operand.span
            found.append(self.drawn[operand.dtype][start:end])
        return found


def _laid(operand: Operand, part: Tensor) -> Tensor:
    """An operand as it lies in memory, over its part."""
    if operand.kept is not None:
        return part
    if not operand.span:
        return torch.empty_strided(operand.size, operand.stride, dtype=operand.dtype)
    return part.as_strided(operand.size, operand.stride)


def step_call(step: RecordedCall, pool: BufferPool) -> TimedCall:
    """A call of a step, whose inputs are written right before it, as by the step before.

    It is made once on the way. Raises AloneError where it does something else than it did, and
    what it raises.
    """
    parts = pool.parts(step)
    # Of what inference makes nobody can tell whether it was written on.
    with torch.inference_mode(False), torch.no_grad():
        own = [part.detach().clone() for part in parts]
    laid = _all_laid(step, own)
    args, kwargs = step.arguments(laid)
    before = [x._version for x in laid], tree_structure((args, kwargs))
    made, expected = sum(1 for _ in tensors(step.bound(args, kwargs)())), len(step.outputs)
    if expected and made != expected:
        raise AloneError(f"tensors that it makes: {expected} in the network, {made} by itself")
    if before != ([x._version for x in laid], tree_structure((args, kwargs))):
        return _afresh(step, own, parts)
    drawn = [part for x, part in zip(step.operands, parts, strict=True) if x.kept is None]
    return TimedCall(step.bound(*step.arguments(_all_laid(step, parts))), _rewriting(drawn))


def _all_laid(step: RecordedCall, parts: list[Tensor]) -> list[Tensor]:
    with torch.inference_mode(False):
        return [_laid(x, part) for x, part in zip(step.operands, parts, strict=True)]


def _afresh(step: RecordedCall, own: list[Tensor], parts: list[Tensor]) -> TimedCall:
    """A call that writes on what it is given: it finds that as it was before, every time.

    What it makes must not pile up: neither in memory, which is its own, nor in the shapes of
    tensors, nor in lists.
    """
    ready: list[Callable[[], object]] = []

    def prepare() -> None:
        for part, source in zip(own, parts, strict=True):
            part.copy_(source)
        again = [part.detach() for part in own]
        ready[:] = [step.bound(*step.arguments(_all_laid(step, again)))]

    def run() -> object:
        if not ready:
            prepare()
        return ready.pop()()

    return TimedCall(run, prepare)


def _rewriting(parts: list[Tensor]) -> Callable[[], None]:
    def write() -> None:
        for part in parts:
            part.mul_(1)

    return write
