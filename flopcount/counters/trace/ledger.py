"""What ran, in the order in which it ran; and the Tally that comes of it.

While the model runs, a line is a tuple and nothing more. What each tensor was (a parameter, an
activation, another name of one) is settled afterwards, by its identity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from flopcount.counters.trace.autograd_functions import Custom
from flopcount.counters.trace.shadow_module import ShadowModule
from flopcount.entries import VIEW_KINDS, Entry, Shape

# Of a parameter the token is below this one; buffers and the module's other tensors have it.
_BUFFER = -1
_new_tuple = tuple.__new__


class LedgerLine(NamedTuple):
    """One operator that ran in a module, with what it read and made.

    A kind of None says that the outputs are views of the first input. ``macs`` are multiply-adds
    [MAC], ``windows`` elements under windows; ``tracked`` says whether gradients were asked for
    when it ran, or which function with a backward method of its own did it.
    """

    module: int
    kind: str | None
    operator: str
    ins: tuple[Any, ...]
    outs: tuple[Any, ...]
    macs: int
    weight: Any
    bias: Any
    windows: int
    tracked: bool | Custom | None


#: The fields of a `LedgerLine`. A plain tuple is made and unpacked in 0.1 us, the record in 0.4 us:
#: 2 % of a count of ResNet-50.
PlainLine: TypeAlias = tuple[Any, ...]


class SettledLedger(NamedTuple):
    """The entries of all lines, and what they say together."""

    entries: tuple[Entry, ...]
    uncounted: Counter[str]
    peak_bytes: int
    called: set[int]
    unseen: bool
    wrapped: bool


class Ledger:
    """The lines of one pass, and which of its modules is running.

    ``paths`` are those of all modules, ``calls`` how often each was called; ``module`` is the place
    there of the one whose forward method is running.
    """

    __slots__ = ("calls", "lines", "module", "paths")

    def __init__(self) -> None:
        self.lines: list[PlainLine] = []
        self.paths: list[str] = [""]
        self.calls: list[int] = []
        self.module = 0

    def enroll(self, paths: list[str]) -> None:
        """Take the modules of those paths in, of which none was called yet."""
        self.paths = paths
        self.calls.extend([0] * len(paths))


def settle(
    ledger: Ledger, shadow: ShadowModule | None, inputs: Sequence[Any], outputs: Sequence[Any]
) -> SettledLedger:
    """The entries of the lines of a pass through a model with these inputs and outputs."""
    return _Settling(ledger, shadow, inputs).settle(ledger.lines, outputs)


# One tensor under one of its names: token, its shape alone in a tuple, elements, bytes. Of a
# parameter the token is below `_BUFFER`, and there is no shape. As a record, made in 0.3 us instead
# of 0.05 us, it would take 2 % of a count of ResNet-50.
_TensorFacts: TypeAlias = tuple[int, tuple[Shape, ...], int, int]


class _Settling:
    def __init__(self, ledger: Ledger, shadow: ShadowModule | None, inputs: Sequence[Any]) -> None:
        self.paths = ledger.paths
        self.layers = shadow.layers if shadow else [""]
        self.owned = shadow.owned if shadow else {}
        self.names = shadow.names if shadow else {}
        # parameters that were read, in the order of their tokens
        self.called: list[int] = []
        self.facts: dict[int, _TensorFacts] = {}
        # what there is to say of every tensor of one size and type
        self.sizes: dict[tuple[Any, Any], tuple[tuple[Shape], int, int]] = {}
        # of each activation: its bytes, the first line it is alive at, and the last
        self.bytes: list[int] = []
        self.born: list[int] = []
        self.last: list[int] = []
        self.entries: list[Entry] = []
        self.uncounted: Counter[str] = Counter()
        self.unseen = self.wrapped = False
        for tensor in inputs:
            self._new(tensor, 0)

    def settle(self, lines: Iterable[PlainLine], outputs: Sequence[Any]) -> SettledLedger:
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
        return SettledLedger(
            tuple(self.entries),
            self.uncounted,
            self._peak(at),
            set(self.called),
            self.unseen,
            self.wrapped,
        )

    def _enter(self, line: PlainLine, at: int) -> None:
        module, kind, operator, ins, outs, macs, weight, bias, windows, _ = line
        facts, last = self.facts, self.last
        shapes: tuple[Shape, ...] = ()
        weights = biases = moved = 0
        for tensor in ins:
            token, alone, elements, size = facts.get(id(tensor)) or self._met(tensor)
            moved += size
            if token >= 0:
                last[token] = at
            if token >= _BUFFER:
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
            if token < _BUFFER:
                weights += elements
            elif token > _BUFFER:
                shapes = (*shapes, *alone)
        if bias is not None:
            token, alone, elements, size = self._read(bias, at)
            moved += size
            if token < _BUFFER:
                biases += elements
            elif token > _BUFFER:
                shapes = (*shapes, *alone)
        made: tuple[Shape, ...] = ()
        for out in outs:
            _, alone, _, size = self._new(out, at)
            made = (*made, *alone) if made else alone
            moved += size
        if kind == "uncounted":
            self.uncounted[operator] += 1
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
            0 if kind in VIEW_KINDS else moved,
        )
        self.entries.append(_new_tuple(Entry, entry))

    def _read(self, tensor: Any, at: int) -> _TensorFacts:
        facts = self.facts.get(id(tensor)) or self._met(tensor)
        if facts[0] >= 0:
            self.last[facts[0]] = at
        return facts

    def _met(self, tensor: Any) -> _TensorFacts:
        """A tensor that no line made: one of the model's, or made by something nobody saw."""
        key = id(tensor)
        if key in self.names:
            self.called.append(key)
            elements = tensor.numel()
            # of a parameter nobody asks the shape
            size = elements * tensor.element_size()
            learned: _TensorFacts = (_BUFFER - len(self.called), (), elements, size)
            self.facts[key] = learned
            return learned
        if key not in self.owned:
            self.unseen = self.unseen or bool(tensor.is_meta)
            # of those that torch.func wraps, shapes tell but a part
            self.wrapped = self.wrapped or (
                isinstance(tensor, Tensor) and is_functorch_wrapped_tensor(tensor)
            )
            return self._new(tensor, 0)
        facts = self.facts[key] = (_BUFFER, *self._measured(tensor))
        return facts

    def _new(self, tensor: Any, at: int) -> _TensorFacts:
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
