"""What ran, in the order in which it ran; and the Tally that comes of it.

While the model runs, a line is a tuple and nothing more. What each tensor was (a parameter, an
activation, another name of one) is settled afterwards, by its identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

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
    wrapped: bool


class Ledger:
    """The lines of one run, and the module whose forward method is running."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.module = 0
        self.calls: dict[int, int] = {}


def settle(lines: Iterable[Line], twin: Twin | None, ends: tuple[Sequence[Any], ...]) -> Settled:
    """The entries of the lines; ``ends`` are the tensors that went into the model and came out."""
    return _Settling(twin, ends[0]).settle(lines, ends[1])


#: One tensor under one of its names: token, shape, elements, bytes. Of a parameter the token is
#: below `_APART`.
_Facts: TypeAlias = tuple[int, Shape, int, int]


class _Settling:
    def __init__(self, twin: Twin | None, inputs: Sequence[Any]) -> None:
        self.paths = twin.paths if twin else [""]
        self.layers = twin.layers if twin else [""]
        self.parameters = twin.parameters if twin else {}
        self.buffers = twin.buffers if twin else {}
        # parameters that were read, in the order of their tokens
        self.called: list[int] = []
        self.facts: dict[int, _Facts] = {}
        # of each activation: its bytes, the first line it is alive at, and the last
        self.bytes: list[int] = []
        self.born: list[int] = []
        self.last: list[int] = []
        self.entries: list[Entry] = []
        self.uncounted: dict[str, int] = {}
        self.unseen = self.wrapped = False
        for tensor in inputs:
            self._new(tensor, 0)

    def settle(self, lines: Iterable[Line], outputs: Sequence[Any]) -> Settled:
        at = 0
        for line in lines:
            if line[1] is None:
                first, *_ = [self._read(tensor, at) for tensor in line[3]]
                for out in line[4]:
                    self.facts[id(out)] = _facts(out, first[0])
            else:
                self._enter(line, at)
                at += 1
        for tensor in outputs:
            self._read(tensor, max(at - 1, 0))
        return Settled(
            tuple(self.entries),
            self.uncounted,
            self._peak(at),
            set(self.called),
            self.unseen,
            self.wrapped,
        )

    def _enter(self, line: Line, at: int) -> None:
        module, kind, operator, ins, outs, macs, weight, bias, windows, _ = line
        shapes: list[Shape] = []
        weights = biases = moved = 0
        for tensor in ins:
            token, shape, elements, size = self._read(tensor, at)
            moved += size
            if token >= _APART:
                shapes.append(shape)
            elif _added(kind, tensor, ins):
                biases += elements
            else:
                weights += elements
        if kind == "matmul" and weights:
            # a product with a learned matrix is a linear map, whatever it is called
            kind = "linear"
        if weight is not None:
            token, shape, elements, size = self._read(weight, at)
            moved += size
            if token < _APART:
                weights += elements
            elif token > _APART:
                shapes.append(shape)
        if bias is not None:
            token, shape, elements, size = self._read(bias, at)
            moved += size
            if token < _APART:
                biases += elements
            elif token > _APART:
                shapes.append(shape)
        made = []
        for out in outs:
            _, shape, _, size = self._new(out, at)
            made.append(shape)
            moved += size
        if kind == "uncounted":
            self.uncounted[operator] = self.uncounted.get(operator, 0) + 1
        facts = (
            self.paths[module],
            kind,
            tuple(shapes),
            tuple(made),
            macs,
            weights,
            biases,
            operator,
            self.layers[module],
            windows,
            0 if kind in VIEWS else moved,
        )
        self.entries.append(tuple.__new__(Entry, facts))

    def _read(self, tensor: Any, at: int) -> _Facts:
        facts = self.facts.get(id(tensor))
        if facts is None:
            facts = self._met(tensor)
        if facts[0] >= 0:
            self.last[facts[0]] = at
        return facts

    def _met(self, tensor: Any) -> _Facts:
        """A tensor that no line made: one of the model's, or made by something nobody saw."""
        key = id(tensor)
        if key in self.parameters:
            self.called.append(key)
            facts = self.facts[key] = _facts(tensor, _APART - len(self.called))
        elif key in self.buffers:
            facts = self.facts[key] = _facts(tensor, _APART)
        else:
            self.unseen = self.unseen or bool(tensor.is_meta)
            # of those that torch.func wraps, shapes tell but a part
            self.wrapped = self.wrapped or (
                isinstance(tensor, Tensor) and is_functorch_wrapped_tensor(tensor)
            )
            facts = self._new(tensor, 0)
        return facts

    def _new(self, tensor: Any, at: int) -> _Facts:
        facts = self.facts[id(tensor)] = _facts(tensor, len(self.bytes))
        self.bytes.append(facts[3])
        self.born.append(at)
        self.last.append(at)
        return facts

    def _peak(self, lines: int) -> int:
        change = [0] * (lines + 2)
        for size, born, last in zip(self.bytes, self.born, self.last, strict=True):
            change[born] += size
            change[last + 1] -= size
        return max(accumulate(change))


def _added(kind: str | None, tensor: Any, ins: tuple[Any, ...]) -> bool:
    """Whether a parameter among the inputs of a product is added to it, and not multiplied."""
    if kind == "rnn":
        return len(tensor.shape) == 1
    return kind == "matmul" and all(tensor is not factor for factor in ins[:2])


def _facts(tensor: Any, token: int) -> _Facts:
    elements = tensor.numel()
    # Sizes of a living tensor need no second check.
    shape = tuple.__new__(Shape, tensor.shape)
    return token, shape, elements, elements * tensor.element_size()
