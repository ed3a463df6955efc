"""What a count knows of the tensors that it meets, by their ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch._C import _is_alias_of  # type: ignore[attr-defined]

from flopcount.counters.trace.records import TensorRef


class TensorTable:
    """The tensors of one count: the model's own, those with a known value, and their copies.

    Invariant: a tensor that the count made or computed stays alive here as long as its id is a key,
    so that no id stands for two tensors.
    """

    __slots__ = ("_refs", "_sources", "known_values", "meta_copies", "model_tensors", "on_cpu")

    def __init__(self) -> None:
        # parameters and buffers, and views of them
        self.model_tensors: dict[int, Any] = {}
        self.known_values: dict[int, Tensor] = {}
        self.meta_copies: dict[int, Tensor] = {}
        # what is on the CPU wherever the model is
        self.on_cpu: set[int] = set()
        self._sources: dict[int, Any] = {}
        self._refs: dict[int, TensorRef] = {}

    def owns(self, tensor: Any) -> bool:
        """Whether a tensor is the model's."""
        return id(tensor) in self.model_tensors

    def knows(self, *tensors: Any) -> bool:
        """Whether there are tensors, and the values of all of them are known."""
        known = self.known_values
        return bool(known and tensors) and all(id(x) in known for x in tensors)

    def learn(self, tensors: Iterable[Tensor]) -> None:
        """Keep tensors whose values are known."""
        self.known_values.update((id(x), x) for x in tensors)

    def number(self, tensor: Tensor) -> Any:
        """The number in a tensor of one known element, else the tensor."""
        return tensor.item() if tensor.dim() == 0 and self.knows(tensor) else tensor

    def forget(self, tensors: Iterable[Tensor]) -> None:
        """Drop the known values of tensors on which something unknown was written."""
        for tensor in tensors:
            copied = self.meta_copies.get(id(tensor))
            if copied is not None and copied._version and self.knows(tensor):
                for key, other in tuple(self.known_values.items()):
                    if _is_alias_of(tensor, other):
                        self._sources[key] = self.known_values.pop(key)

    def ref(self, tensor: Any) -> Any:
        """What stands for a tensor in the ledger: itself, where it lives as long as the model."""
        if id(tensor) in self.model_tensors:
            return tensor
        known = self._refs.get(id(tensor))
        if known is None or known.shape != tensor.shape or known.ref() is not tensor:
            known = self._refs[id(tensor)] = TensorRef(tensor)
            # two of them must not share an id
            self._sources[id(known)] = known
        return known

    def add_copy(self, tensor: Tensor, copied: Tensor) -> None:
        """Keep the copy of a tensor on the meta device."""
        self.meta_copies[id(tensor)] = copied
        self._sources[id(copied)] = tensor

    def source(self, tensor: Tensor) -> Tensor:
        """The tensor that a copy is of, or itself."""
        found: Tensor = self._sources.get(id(tensor), tensor)
        return found
