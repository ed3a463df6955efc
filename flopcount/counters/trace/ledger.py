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

from flopcount.counters.trace.autograd_functions import Custom
from flopcount.counters.trace.shadow_module import Twin
from flopcount.entries import VIEWS, Entry, Shape

#: Of a parameter the token is below this one; buffers and the module's other tensors have it.
_APART = -1
_new_tuple = tuple.__new__


#: One operator that ran: module, kind, operator, inputs, outputs, multiply-adds [MAC], weight,
#: bias, elements under windows, and whether gradients were asked for when it ran, or which function
#: with a backward method of its own did it. A kind of None says that the outputs are other names of
#: the first input.
Line: TypeAlias = tuple[
    int,
    "str | None",
    str,
    tuple[Any, ...],
    tuple[Any, ...],
    int,
    Any,
    Any,
    int,
    "bool | Custom | None",
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
        # of every module, how often it was called
        self.calls: list[int] = []


def settle(lines: Iterable[Line], twin: Twin | None, ends: tuple[Sequence[Any], ...]) -> Settled:
    """The entries of the lines; ``ends`` are the tensors that went into the model and came out."""
    return _Settling(twin, ends[0]).settle(lines, ends[1])


#: One tensor under one of its names: token, its shape alone in a tuple, elements, bytes. Of a
#: parameter the token is below `_APART`, and there is no shape.
_Facts: TypeAlias = tuple[int, tuple[Shape, ...], int, int]


class _Settling:
    def __init__(self, twin: Twin | None, inputs: Sequence[Any]) -> None:
        self.paths = twin.paths if twin else [""]
        self.layers = twin.layers if twin else [""]
        self.owned = twin.owned if twin else {}
        self.names = twin.names if twin else {}
        # parameters that were read, in the order of their tokens
        self.called: list[int] = []
        self.facts: dict[int, _Facts] = {}
        # what there is to say of every tensor of one size and type
        self.sizes: dict[tuple[Any, Any], tuple[tuple[Shape], int, int]] = {}
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
                    self.facts[id(out)] = (first[0], *self._measured(out))
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
        facts, last = self.facts, self.last
        shapes: tuple[Shape, ...] = ()
        weights = biases = moved = 0
        for tensor in ins:
            token, alone, elements, size = facts.get(id(tensor)) or self._met(tensor)
            moved += size
            if token >= 0:
                last[token] = at
            if token >= _APART:
                shapes = (*shapes, *alone) if shapes else alone
            elif _added(kind, tensor, ins):
                biases += elements
            else:
                weights += elements
        if kind == "matmul" and weights:
            # a product with a learned matrix is a linear map, whatever it is called
            kind = "linear"
        if weight is not None:
            token, alone, elements, size = self._read(weight, at)
            moved += size
            if token < _APART:
                weights += elements
            elif token > _APART:
                shapes = (*shapes, *alone)
        if bias is not None:
            token, alone, elements, size = self._read(bias, at)
            moved += size
            if token < _APART:
                biases += elements
            elif token > _APART:
                shapes = (*shapes, *alone)
        made: tuple[Shape, ...] = ()
        for out in outs:
            _, alone, _, size = self._new(out, at)
            made = (*made, *alone) if made else alone
            moved += size
        if kind == "uncounted":
            self.uncounted[operator] = self.uncounted.get(operator, 0) + 1
        entry = (
            self.paths[module],
            kind,
            shapes,
            made,
            macs,
            weights,
            biases,
            operator,
            self.layers[module],
            windows,
            0 if kind in VIEWS else moved,
        )
        self.entries.append(_new_tuple(Entry, entry))

    def _read(self, tensor: Any, at: int) -> _Facts:
        facts = self.facts.get(id(tensor)) or self._met(tensor)
        if facts[0] >= 0:
            self.last[facts[0]] = at
        return facts

    def _met(self, tensor: Any) -> _Facts:
        """A tensor that no line made: one of the model's, or made by something nobody saw."""
        key = id(tensor)
        if key in self.names:
            self.called.append(key)
            elements = tensor.numel()
            # of a parameter nobody asks the shape
            size = elements * tensor.element_size()
            learned: _Facts = (_APART - len(self.called), (), elements, size)
            self.facts[key] = learned
            return learned
        if key not in self.owned:
            self.unseen = self.unseen or bool(tensor.is_meta)
            # of those that torch.func wraps, shapes tell but a part
            self.wrapped = self.wrapped or (
                isinstance(tensor, Tensor) and is_functorch_wrapped_tensor(tensor)
            )
            return self._new(tensor, 0)
        facts = self.facts[key] = (_APART, *self._measured(tensor))
        return facts

    def _new(self, tensor: Any, at: int) -> _Facts:
        alone, elements, size = self._measured(tensor)
        facts = self.facts[id(tensor)] = (len(self.bytes), alone, elements, size)
        self.bytes.append(size)
        self.born.append(at)
        self.last.append(at)
        return facts

    def _measured(self, tensor: Any) -> tuple[tuple[Shape], int, int]:
        key = tensor.shape, tensor.dtype
        known = self.sizes.get(key)
        if known is None:
            elements = tensor.numel()
            # Sizes of a living tensor need no second check.
            alone = (_new_tuple(Shape, key[0]),)
            known = self.sizes[key] = (alone, elements, elements * tensor.element_size())
        return known

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
