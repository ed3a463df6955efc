"""What passes between those who watch a model run: rules, calls, and what stands for a tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from torch import Tensor

#: So many values at most are worked out on the way: lengths, positions, token numbers, masks.
FEW = 65_536


class DataDependentError(RuntimeError):
    """The model asks for values, or for a kernel that the meta device has not."""

    def __init__(self, operator: str, path: str) -> None:
        where = f"{path}: " if path else ""
        super().__init__(
            f"{where}{operator} needs values, and shapes alone have none:"
            ' count(..., execution="real") runs the model with real inputs'
        )
        self.operator = operator


class Call(NamedTuple):
    """One call of an operator or a module that a rule is asked about."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    out: Any


class Rule(NamedTuple):
    """A rule of one's own: a kind, and its multiply-adds [MAC] from the call; None has none."""

    kind: str
    macs: Callable[[Call], int] | None = None


class Gathered:
    """What was seen from below while one function ran."""

    def __init__(self) -> None:
        self.macs = 0
        self.lost: list[str] = []


class Ghost:
    """What is remembered of a tensor that must not be kept alive."""

    __slots__ = ("_elements", "_size", "dtype", "is_meta", "ref", "shape")

    def __init__(self, tensor: Tensor) -> None:
        self.shape = tensor.shape
        self.dtype = tensor.dtype
        self.is_meta = False
        self.ref = weakref.ref(tensor)
        self._elements = tensor.numel()
        self._size = tensor.element_size()

    def numel(self) -> int:
        """The number of elements."""
        return self._elements

    def element_size(self) -> int:
        """The size of one [B]."""
        return self._size


def tensors(tree: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples, dictionaries and dataclasses."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from tensors(item)
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from tensors(item)
    elif is_dataclass(tree) and not isinstance(tree, type):
        for field in fields(tree):
            yield from tensors(getattr(tree, field.name, None))
