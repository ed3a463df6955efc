"""Where timed calls of a living module find their inputs, and what keeps these as they were."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from shufflenet.timing.rounds import Call
from shufflenet.timing.steps import Operand, Step


def calls_of(steps: Mapping[Hashable, Step], seed: int = 0) -> dict[Hashable, Call]:
    """A call of each step, whose inputs are written right before it, as by the step before.

    Each is made once on the way. Raises what a step raises.
    """
    pool = _Pool.for_steps(steps, seed)
    return {work: _call(step, pool) for work, step in steps.items()}


class _Pool(NamedTuple):
    """Drawn numbers of each type, which all calls read where they write on none of them.

    So many calls need no more memory than the largest does.
    """

    drawn: dict[torch.dtype, Tensor]

    @classmethod
    def for_steps(cls, steps: Mapping[Hashable, Step], seed: int) -> _Pool:
        """Enough of them for any one of the steps."""
        most: dict[torch.dtype, int] = {}
        for step in steps.values():
            need: dict[torch.dtype, int] = {}
            for operand in step.operands:
                if operand.kept is None:
                    need[operand.dtype] = need.get(operand.dtype, 0) + operand.span
            most |= {kind: max(size, most.get(kind, 0)) for kind, size in need.items()}
        drawn = torch.Generator().manual_seed(seed)
        with torch.inference_mode(False):
            return cls({t: torch.rand(n, dtype=t, generator=drawn) for t, n in most.items()})

    def parts(self, step: Step) -> list[Tensor]:
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


def _call(step: Step, pool: _Pool) -> Call:
    parts = pool.parts(step)
    # Of what inference makes nobody can tell whether it was written on.
    with torch.inference_mode(False), torch.no_grad():
        own = [part.detach().clone() for part in parts]
    run = _bound(step, own)
    before = [part._version for part in own]
    run()
    if before != [part._version for part in own]:
        # In memory of its own, as it was before every time: what it makes must not pile up.
        return Call(run, _restoring(own, parts))
    drawn = [part for x, part in zip(step.operands, parts, strict=True) if x.kept is None]
    return Call(_bound(step, parts), _rewriting(drawn))


def _bound(step: Step, parts: list[Tensor]) -> Callable[[], object]:
    with torch.inference_mode(False):
        laid = [_laid(x, part) for x, part in zip(step.operands, parts, strict=True)]
    return step.bound(laid)


def _restoring(own: list[Tensor], parts: list[Tensor]) -> Callable[[], None]:
    def write() -> None:
        for part, source in zip(own, parts, strict=True):
            part.copy_(source)

    return write


def _rewriting(parts: list[Tensor]) -> Callable[[], None]:
    def write() -> None:
        for part in parts:
            part.mul_(1)

    return write
