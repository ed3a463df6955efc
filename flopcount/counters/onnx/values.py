"""Tensors of a graph, and what one node reads and writes."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from flopcount.counters.onnx.naming import bits


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


class Step(NamedTuple):
    """What one node reads and writes, and the bytes its own graph has alive meanwhile [B]."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    inside: int | None = 0
