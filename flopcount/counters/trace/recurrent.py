"""Recurrent nets: what a call of ``lstm`` and its kin multiplies, and with what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from flopcount.counters import operators

if TYPE_CHECKING:
    from flopcount.counters.trace.recorder import Recorder
    from flopcount.counters.trace.records import Args


class Recurrence(NamedTuple):
    """One call: its input, first states, and weights, a list for each layer and direction."""

    x: Tensor
    states: tuple[Tensor, ...]
    weights: tuple[tuple[Tensor, ...], ...]
    directions: int
    cell: bool

    @classmethod
    def of(cls, name: str, args: Args) -> Recurrence:
        """The call of that function with those arguments."""
        if name.endswith("_cell"):
            states = args[1] if isinstance(args[1], (list, tuple)) else (args[1],)
            return cls(args[0], tuple(states), (tuple(args[2:4]),), 1, True)
        # a packed sequence brings the sizes of its steps behind its rows
        at = 2 if isinstance(args[3], (list, tuple)) else 1
        states = args[at] if isinstance(args[at], (list, tuple)) else (args[at],)
        params, layers = list(args[at + 1]), args[at + 3]
        directions = 2 if args[at + 6] else 1
        each = len(params) // (layers * directions)
        groups = (params[i : i + each] for i in range(0, len(params), each))
        matrices = tuple(tuple(p for p in group if p.dim() == 2) for group in groups)
        return cls(args[0], tuple(states), matrices, directions, False)

    @property
    def rows(self) -> int:
        """The rows of all steps."""
        return self.x.shape[:-1].numel()

    def macs(self) -> int:
        """Multiply-adds of the whole call [MAC]."""
        shapes = [weight.shape for group in self.weights for weight in group]
        return operators.recurrent(self.rows, shapes)

    def sizes(self) -> Iterator[tuple[int, ...]]:
        """The sizes of all that comes out."""
        if not self.cell:
            yield (*self.x.shape[:-1], self.directions * self.states[0].shape[-1])
        for state in self.states:
            yield tuple(state.shape)

    def write_parts(self, recorder: Recorder, name: str, outs: tuple[Tensor, ...]) -> None:
        """Write every product down by itself, so that each has gradients of its own."""
        x, rows = self.x, self.rows
        first = self.states[0].shape[-2] if self.states[0].dim() > 1 else 1
        made: list[Tensor] = []
        for at, (into, again, *projected) in enumerate(self.weights):
            given, begun, later, out = _stand_ins(recorder, 4)
            recorder.write("rnn", name, (x,), (given,), rows * into.numel(), into)
            recorder.write("rnn", name, (self.states[0],), (begun,), first * again.numel(), again)
            if rows > first:
                hidden = _stand_ins(recorder, 1)[0]
                recorder.write("rnn", name, (given, begun), (hidden,))
                more = (rows - first) * again.numel()
                recorder.write("rnn", name, (hidden,), (later,), more, again)
                begun = later
            made.append(out)
            recorder.write("rnn", name, (given, begun), (out,))
            for weight in projected:
                (made[-1],) = _stand_ins(recorder, 1)
                recorder.write("rnn", name, (out,), (made[-1],), rows * weight.numel(), weight)
            if (at + 1) % self.directions == 0 and at + 1 < len(self.weights):
                (x,) = _stand_ins(recorder, 1)
                recorder.write("rnn", name, made[-self.directions :], (x,))
        recorder.write("rnn", name, made, outs)


def _stand_ins(recorder: Recorder, number: int) -> tuple[Tensor, ...]:
    # What is between the products is never seen: it leads from one of them to the next.
    with recorder.pause():
        return tuple(torch.empty(0, device="meta") for _ in range(number))
