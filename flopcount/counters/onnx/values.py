"""Tensors of a graph by name, and what one node reads and writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from flopcount.counters.onnx.naming import bits
from flopcount.counters.onnx.reading import OnnxSource
from flopcount.entries import Entry


class Value(NamedTuple):
    """One tensor: its sizes where they are known, its type, and what it was made from.

    ``static`` says that constants and weights alone decide it; ``origins`` are the weights.
    """

    sizes: tuple[int, ...] | None
    type: int
    static: bool = False
    origins: frozenset[str] = frozenset()

    @property
    def bytes(self) -> int | None:
        """Its size [B], or None where that is not known."""
        width = bits(self.type)
        if self.sizes is None or width is None:
            return None
        return -(-prod(self.sizes) * width // 8)


class NodeStep(NamedTuple):
    """What one node reads and writes, and the bytes its own graph has alive meanwhile [B]."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    inside: int | None = 0


class Scope:
    """The tensors of one graph by name, and what a pass over it has counted so far.

    ``outer`` are the tensors of the graph around it, which this one may read.
    """

    def __init__(self, source: OnnxSource, outer: Mapping[str, Value] | None = None) -> None:
        self.source = source
        self.entries: list[Entry] = []
        self.uncounted: Counter[str] = Counter()
        self.values: dict[str, Value] = dict(outer or {})
        for name, (kind, sizes) in source.types.items():
            if name in source.inputs and name not in self.values:
                self.values[name] = Value(sizes, kind)
        for weight in source.weights.values():
            self.values[weight.name] = Value(
                weight.sizes, weight.type, True, frozenset([weight.name])
            )

    def value(self, name: str) -> Value:
        """A tensor by its name; what was computed is a constant."""
        if name not in self.values:
            kind, sizes = self.source.types.get(name, (0, None))
            self.values[name] = Value(sizes, kind, name in self.source.known)
        return self.values[name]
