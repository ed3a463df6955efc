"""What timing the leaves of a network leaves behind: a record, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from shufflenet.bench.layers.leaves import Cost, CountCheck
from shufflenet.bench.layers.roofline import Judged, Roof, judged
from shufflenet.bench.rounds import RoundSettings
from shufflenet.bench.timings import Summary
from shufflenet.cost.machine import Machine


class LayerTime(NamedTuple):
    """A leaf by what is known of it without a clock, and its time [ns]."""

    cost: Cost
    times: Summary


class LayerRecord(NamedTuple):
    """The leaves of a network in order, the whole of it, and the roofs, from the same rounds.

    ``shape`` is that of its image, ``(n, c, h, w)``. ``check`` holds the leaves against a count of
    the whole; None where nothing tells.
    """

    machine: Machine
    date: str
    effort: RoundSettings
    network: str
    shape: tuple[int, ...]
    layers: tuple[LayerTime, ...]
    whole: Summary
    roof: Roof
    check: CountCheck | None = None

    @property
    def summed(self) -> int:
        """The leaves' times added up [ns]."""
        return sum(layer.times.median for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of all leaves [MAC]."""
        return sum(layer.cost.macs for layer in self.layers)


class KindTime(NamedTuple):
    """The leaves of one kind: how many, their cost [MAC], bytes moved [B] and time [ns].

    The shares are of all leaves; ``roof_share`` is the share of its time that the roof asks for.
    """

    kind: str
    layers: int
    macs: int
    moved: int
    ns: int
    macs_share: Fraction
    time_share: Fraction
    roof_share: Fraction

    @property
    def beyond(self) -> Fraction:
        """The share of the time beyond that of the multiply-adds; negative where it is less."""
        return self.time_share - self.macs_share


def verdict(layer: LayerTime, roof: Roof) -> Judged:
    """What bounds a leaf."""
    return judged(layer.cost.macs, layer.cost.moved, layer.times.median, roof)


def by_kind(record: LayerRecord) -> tuple[KindTime, ...]:
    """The leaves by kind, what takes longest first."""
    found: dict[str, list[LayerTime]] = {}
    for layer in record.layers:
        found.setdefault(layer.cost.kind, []).append(layer)
    times = [_kind(name, layers, record) for name, layers in found.items()]
    return tuple(sorted(times, key=lambda kind: -kind.ns))


def _kind(name: str, layers: Sequence[LayerTime], record: LayerRecord) -> KindTime:
    macs = sum(layer.cost.macs for layer in layers)
    ns = sum(layer.times.median for layer in layers)
    least = sum(verdict(layer, record.roof).least_ns for layer in layers)
    return KindTime(
        name,
        len(layers),
        macs,
        sum(layer.cost.moved for layer in layers),
        ns,
        Fraction(macs, max(record.macs, 1)),
        Fraction(ns, max(record.summed, 1)),
        Fraction(least, max(ns, 1)),
    )


#: Kinds that multiply little or nothing for what they do to a network.
LIGHT = ("channel shuffle", "depthwise")


def light(kinds: Sequence[KindTime]) -> dict[str, tuple[Fraction, Fraction]]:
    """What the channel shuffle and the depthwise layers take: of the time, and of the cost."""
    found: dict[str, tuple[Fraction, Fraction]] = {}
    for word in LIGHT:
        own = [kind for kind in kinds if word in kind.kind]
        if own:
            time = sum((kind.time_share for kind in own), Fraction(0))
            found[word] = (time, sum((kind.macs_share for kind in own), Fraction(0)))
    return found
