"""The records of a count: its options, rules and calls, and what stands for a tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

#: The arguments of a call of a torch function, and the named ones.
Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = Mapping[str, Any]
#: The device of tensors that have a shape and no values.
META = torch.device("meta")
#: A larger tensor is never computed: lengths, positions, token numbers and masks are smaller.
MAX_KNOWN_ELEMENTS = 65_536


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

    args: Args
    kwargs: Kwargs
    out: Any


class Rule(NamedTuple):
    """A rule of one's own: a kind, and its multiply-adds [MAC] from the call; None has none."""

    kind: str
    macs: Callable[[Call], int] | None = None


class TraceOptions(NamedTuple):
    """How one pass counts.

    ``real`` executes on values, ``backward`` counts a training step, ``checked`` runs every
    function, so that its rule is held against it; ``everywhere`` keeps the dispatch mode entered
    for the whole pass. ``rules`` are the user's; the model is on ``device``.
    """

    real: bool
    backward: bool
    checked: bool
    everywhere: bool
    rules: Mapping[Any, Rule]
    device: torch.device


class RestartError(BaseException):
    """The pass must run again with the dispatch mode everywhere; ``checked``, with every function.

    Not an Exception, so that no model catches it.
    """

    def __init__(self, *, checked: bool = False) -> None:
        super().__init__()
        self.checked = checked


class Gathered:
    """What the operators inside one function come to; ``lost`` are those without a rule."""

    __slots__ = ("lost", "macs")

    def __init__(self) -> None:
        self.macs = 0
        self.lost: list[str] = []


class TensorRef:
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
