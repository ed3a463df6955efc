"""What ran, in the order in which it ran; and the Tally that comes of it.

While the model runs, a line is a tuple and nothing more. What each tensor was (a parameter, an
activation, another name of one) is settled afterwards, by its identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from flopcount.tally import VIEWS, Entry, Shape
from flopcount.trace.twin import Twin

#: Of a parameter the token is below this one; buffers and the module's other tensors have it.
_APART = -1


#: One operator that ran: module, kind, operator, inputs, outputs, multiply-adds [MAC], weight,
#: bias, elements under windows, and whether gradients were asked for when it ran. A kind of None
#: says that the outputs are other names of the first input.
Line: TypeAlias = tuple[
    int, "str | None", str, tuple[Any, ...], tuple[Any, ...], int, Any, Any, int, bool
]


class Settled(NamedTuple):
    """The entries of all lines, and what they say together."""

    entries: tuple[Entry, ...]
    uncounted: dict[str, int]
    peak_bytes: int
    called: set[int]
    unseen: bool


class Ledger:
    """The lines of one run, and the module whose forward method is running."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.module = 0
        self.calls: dict[int, int] = {}


def settle(lines: Iterable[Line], twin: Twin | None, ends: tuple[Sequence[Any], ...]) -> Settled:
    """The entries of the lines; ``ends`` are the tensors that went into the model and came out."""
    return _Settling(twin, ends[0]).settle(lines, ends[1])


class _Settling:
    def __init__(self, twin: Twin | None, inputs: Sequence[Any]) -> None:
        self.paths = twin.paths if twin else [""]
        self.layers = twin.layers if twin else [""]
        self.parameters = twin.parameters if twin else {}
        self.tokens: dict[int, int] = {}
        for at, key in enumerate(self.parameters):
            self.tokens[key] = _APART - 1 - at
        for key in twin.buffers if twin else ():
            self.tokens.setdefault(key, _APART)
        self.keys = tuple(self.parameters)
        self.called: set[int] = set()
        # of each activation: its bytes, the first line it is alive at, and the last
        self.bytes: list[int] = []
        self.born: list[int] = []
        self.last: list[int] = []
        self.entries: list[Entry] = []
        self.uncounted: dict[str, int] = {}
        self.unseen = False
        for tensor in inputs:
            if id(tensor) not in self.tokens:
                self._new(tensor, 0)

    def settle(self, lines: Iterable[Line], outputs: Sequence[Any]) -> Settled:
        at = 0
        for line in lines:
            kind, ins, outs = line[1], line[3], line[4]
            if kind is None:
                token, *_ = [self._read(tensor, at) for tensor in ins]
                for out in outs:
                    self.tokens[id(out)] = token
                continue
            self._enter(line, at)
            for out in outs:
                self._new(out, at)
            at += 1
        for tensor in outputs:
            self._read(tensor, max(at - 1, 0))
        return Settled(
            tuple(self.entries), self.uncounted, self._peak(at), self.called, self.unseen
        )

    def _enter(self, line: Line, at: int) -> None:
        module, kind, operator, ins, outs, macs, weight, bias, windows = line[:9]
        shapes: list[Shape] = []
        weights = biases = moved = 0
        for tensor in ins:
            moved += tensor.numel() * tensor.element_size()
            if self._read(tensor, at) < _APART:
                weights += tensor.numel()
            else:
                shapes.append(_shape(tensor))
        linear = weights > 0
        for tensor, is_bias in ((weight, False), (bias, True)):
            if tensor is None:
                continue
            moved += tensor.numel() * tensor.element_size()
            token = self._read(tensor, at)
            if token > _APART:
                shapes.append(_shape(tensor))
            elif token < _APART and is_bias:
                biases += tensor.numel()
            elif token < _APART:
                weights += tensor.numel()
        for out in outs:
            moved += out.numel() * out.element_size()
        if kind == "matmul" and linear:
            # a product with a learned matrix is a linear map, whatever it is called
            kind = "linear"
        if kind == "uncounted":
            self.uncounted[operator] = self.uncounted.get(operator, 0) + 1
        facts = (
            self.paths[module],
            kind,
            tuple(shapes),
            tuple(_shape(out) for out in outs),
            macs,
            weights,
            biases,
            operator,
            self.layers[module],
            windows,
            0 if kind in VIEWS else moved,
        )
        self.entries.append(tuple.__new__(Entry, facts))

    def _read(self, tensor: Any, at: int) -> int:
        token = self.tokens.get(id(tensor))
        if token is None:
            # made by something that nobody saw, unless it was there before
            self.unseen = self.unseen or bool(tensor.is_meta)
            token = self._new(tensor, 0)
        if token >= 0:
            self.last[token] = at
        elif token < _APART:
            self.called.add(self.keys[_APART - 1 - token])
        return token

    def _new(self, tensor: Any, at: int) -> int:
        token = len(self.bytes)
        self.tokens[id(tensor)] = token
        self.bytes.append(tensor.numel() * tensor.element_size())
        self.born.append(at)
        self.last.append(at)
        return token

    def _peak(self, lines: int) -> int:
        change = [0] * (lines + 2)
        for size, born, last in zip(self.bytes, self.born, self.last, strict=True):
            change[born] += size
            change[last + 1] -= size
        peak = alive = 0
        for step in change:
            alive += step
            peak = max(peak, alive)
        return peak


def _shape(tensor: Any) -> Shape:
    # Sizes of a living tensor need no second check.
    return tuple.__new__(Shape, tensor.shape)
