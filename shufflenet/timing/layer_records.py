"""What timing the leaves of a network leaves behind: a record, and the same as JSON."""

from __future__ import annotations

from typing import NamedTuple, Self

from flopcount.integers import product
from flopcount.tally import Shape
from shufflenet.timing.machine import Machine
from shufflenet.timing.roofs import Roof
from shufflenet.timing.rounds import Effort
from shufflenet.timing.samples import Summary
from shufflenet.timing.work import Place


class LayerTime(NamedTuple):
    """A leaf and its time [ns]: path, kind, shapes, cost [MAC], parameters, bytes moved [B]."""

    path: str
    kind: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    macs: int
    params: int
    moved: int
    times: Summary

    @classmethod
    def of(cls, place: Place, element_bytes: int, times: Summary) -> Self:
        """A leaf where it stands, with its time."""
        entry = place.entry
        moved = product(entry.moved, element_bytes)
        ends = (entry.inputs, entry.outputs)
        return cls(entry.path, place.kind, *ends, entry.macs, entry.params, moved, times)


class LayerRecord(NamedTuple):
    """The leaves of a network in order, the whole of it, and the roofs, from the same rounds.

    ``shape`` is that of its image, ``(n, c, h, w)``.
    """

    machine: Machine
    date: str
    effort: Effort
    network: str
    shape: tuple[int, ...]
    layers: tuple[LayerTime, ...]
    whole: Summary
    roof: Roof

    @property
    def summed(self) -> int:
        """The leaves' times added up [ns]."""
        return sum(layer.times.median for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of all leaves [MAC]."""
        return sum(layer.macs for layer in self.layers)
