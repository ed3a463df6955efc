"""A network as leaves that can be timed, be they of a layer tree or of a living module."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple, Self

from flopcount.entries import Shape
from flopcount.integers import product
from shufflenet.bench.rounds import TimedCall
from shufflenet.cost.leaf_kinds import LeafCost


class Cost(NamedTuple):
    """What is known of a leaf without a clock: path, kind, shapes, cost [MAC], parameters, bytes.

    ``inputs`` and ``outputs`` are shapes ``(n, c, h, w)``, ``moved`` is what it reads and writes,
    weights and all [B].
    """

    path: str
    kind: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    macs: int
    params: int
    moved: int

    @classmethod
    def of(cls, place: LeafCost, element_bytes: int) -> Self:
        """The cost of a leaf of a layer tree."""
        entry = place.entry
        moved = product(entry.moved, element_bytes)
        ends = (entry.inputs, entry.outputs)
        return cls(entry.path, place.kind, *ends, entry.macs, entry.params, moved)


class TimedLeaf(NamedTuple):
    """A leaf: its cost, and its work. Leaves of equal works do the same, and are timed once."""

    cost: Cost
    work: Hashable


class Totals(NamedTuple):
    """What a network comes to: multiply-adds [MAC], and distinct parameters that are read."""

    macs: int
    params: int


class CountCheck(NamedTuple):
    """What the leaves come to, beside a count of the whole network.

    ``uncounted`` is what ran in that count without a rule, with how often.
    """

    leaves: Totals
    whole: Totals
    uncounted: Mapping[str, int]


class Leaves(NamedTuple):
    """A network by its leaves in their order: a call of each work, and one of the whole.

    ``shape`` is that of its image, ``(n, c, h, w)``.
    """

    name: str
    shape: tuple[int, ...]
    leaves: tuple[TimedLeaf, ...]
    calls: Mapping[Hashable, TimedCall]
    whole: TimedCall
    check: CountCheck
