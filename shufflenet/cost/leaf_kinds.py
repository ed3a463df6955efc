"""What the leaves of a network do, as records that can be timed: a layer, and what it reads.

A network repeats its units, and networks share theirs; a work is timed once, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from flopcount.entries import Entry, Shape
from flopcount.integers import Count
from flopcount.layers import Conv, Join, Layer, Leaf, leaves
from flopcount.tally import Tally

#: What one leaf is: a layer, or the join of branches by its name.
Doer: TypeAlias = Leaf | Join

_JOINS: dict[str, Join] = {"add": "add", "concat": "concat", "mul": "mul"}


class Work(NamedTuple):
    """One leaf's work: what it is, and the shapes ``(n, c, h, w)`` that it reads."""

    doer: Doer
    inputs: tuple[Shape, ...]


class Task(NamedTuple):
    """A work as a network does it: of each input, whether it is held by nobody else.

    Such a one may be written on, which takes less time than filling new memory.
    """

    work: Work
    held: tuple[bool, ...]


class LeafCost(NamedTuple):
    """A leaf of a network: the facts of its cost, and its work."""

    entry: Entry
    work: Work

    @property
    def kind(self) -> str:
        """What its kind is called: ``1x1 group convolution``."""
        return kind_name(self.work.doer, self.entry)


def places(tree: Layer, tally: Tally) -> tuple[LeafCost, ...]:
    """Every leaf of a tree with its work, in the order of its tally, by the same paths."""
    doers = dict(leaves(tree))
    return tuple(
        LeafCost(entry, Work(doers.get(entry.path) or _JOINS[entry.kind], entry.inputs))
        for entry in tally.entries
    )


def kind_name(doer: Doer, entry: Entry) -> str:
    """The kind of a leaf as people call it; convolutions by their kernel and groups."""
    if isinstance(doer, Conv):
        return conv_name(doer)
    return named(entry.operator or entry.kind)


def named(kind: str) -> str:
    """A kind or an operator of a tally as people call it."""
    return "FC" if kind == "linear" else kind.replace("_", " ")


def conv_name(layer: Conv) -> str:
    """A convolution by its kernel and groups: ``3x3 depthwise``, ``1x1 group convolution``."""
    # By identity first: the groups of a depthwise layer may be a column, and are that of its width.
    depthwise = layer.groups is layer.c_in
    return kernel_name((layer.kernel,) * 2, layer.c_in, None if depthwise else layer.groups)


def kernel_name(kernel: Sequence[int], channels: Count, groups: Count | None) -> str:
    """A convolution by its kernel, the channels it reads and its groups: None are one for each."""
    size = "x".join(map(str, kernel))
    if groups is None:
        return f"{size} depthwise" if channels != 1 else f"{size} convolution"
    if groups == 1:
        return f"{size} convolution"
    return f"{size} depthwise" if groups == channels else f"{size} group convolution"
