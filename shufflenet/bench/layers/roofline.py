"""The roofs of a machine, and layers beneath them: what bounds each, and how near it comes.

A layer can run no faster than its multiply-adds at the peak, nor than its bytes at the bandwidth.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

from shufflenet.bench.timings import Summary

_SECOND = 10**9

#: What bounds a layer: the bandwidth, the peak, or the call itself, which takes longer than both.
Bounded: TypeAlias = Literal["memory", "compute", "call"]


class Dense(NamedTuple):
    """A product that comes near the peak: its name, cost [MAC] and time [ns]."""

    name: str
    macs: int
    times: Summary

    @property
    def speed(self) -> int:
        """Multiply-adds in a second [MAC/s]."""
        return per_second(self.macs, self.times.median)


class Copied(NamedTuple):
    """A copy: the bytes that it reads and writes, together [B], and its time [ns]."""

    moved: int
    times: Summary

    @property
    def speed(self) -> int:
        """Bytes in a second [B/s]."""
        return per_second(self.moved, self.times.median)


class Roof(NamedTuple):
    """What a machine was measured to do: products, copies from small to large, and a call.

    ``call`` [ns] is the time of a call that has next to nothing to do.
    """

    dense: tuple[Dense, ...]
    copies: tuple[Copied, ...]
    call: Summary

    @property
    def best(self) -> Dense:
        """The fastest of the products."""
        return max(self.dense, key=lambda one: one.speed)

    @property
    def peak(self) -> int:
        """Multiply-adds in a second at most [MAC/s]."""
        return self.best.speed

    @property
    def bandwidth(self) -> int:
        """Bytes in a second where no cache holds them, by the largest copy [B/s]."""
        return max(self.copies, key=lambda one: one.moved).speed

    @property
    def cached(self) -> int:
        """Bytes in a second where a cache holds them, by the fastest copy [B/s]."""
        return max(copy.speed for copy in self.copies)

    def reach(self, moved: int) -> int:
        """Bytes in a second where so many are moved [B/s]: as the best copy of at least as many."""
        enough = [copy.speed for copy in self.copies if copy.moved >= moved]
        return max(enough, default=self.bandwidth)


def per_second(amount: int, ns: int) -> int:
    """How much in a second, of so much in a time [ns]; a time of nothing counts as 1 ns."""
    return amount * _SECOND // max(ns, 1)


class Judged(NamedTuple):
    """A layer beneath the roofs: its speed [MAC/s], its intensity [MAC/B], and its least time [ns].

    ``share`` of its time is what the roof asks for.
    """

    speed: int
    intensity: Fraction
    least_ns: int
    share: Fraction
    bound: Bounded


def judged(macs: int, moved: int, ns: int, roof: Roof) -> Judged:
    """What bounds a layer of a cost [MAC] and bytes [B], and how near it comes in its time [ns]."""
    computing = Fraction(macs * _SECOND, roof.peak)
    moving = Fraction(moved * _SECOND, roof.reach(moved))
    least = max(computing, moving)
    bound: Bounded = "memory" if moving >= computing else "compute"
    if roof.call.median > least:
        bound = "call"
    return Judged(
        per_second(macs, ns),
        Fraction(macs, moved) if moved else Fraction(0),
        int(least),
        least / max(ns, 1),
        bound,
    )


def ridge(roof: Roof) -> Fraction:
    """The intensity from which the peak bounds, not the bandwidth of the memory [MAC/B]."""
    return Fraction(roof.peak, max(roof.bandwidth, 1))
