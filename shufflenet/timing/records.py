"""What a run of ``bench`` leaves: every cell with its times, and under which conditions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

from shufflenet.timing.machine import Machine
from shufflenet.timing.samples import Summary, Warmth, overlap, summary

#: A cell by what it times: the network, the runtime, the size (height, width) [px].
Key: TypeAlias = tuple[str, str, tuple[int, int]]
#: What became of a time: beyond both spreads, or within what noise hides.
Change: TypeAlias = Literal["slower", "faster", "noise"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One network in one runtime at one size: its cost [MAC] and its times [ns], in their order.

    Cells of one ``batch`` were timed in turns. ``failed`` is the step and the reason where it
    could not be timed, and ``ns`` is empty then.
    """

    network: str
    runtime: str
    size: tuple[int, int]
    macs: int
    batch: int
    ns: tuple[int, ...] = ()
    warmth: Warmth | None = None
    difference: float | None = None
    tolerance: float | None = None
    failed: str = ""

    @property
    def key(self) -> Key:
        """What it times."""
        return self.network, self.runtime, self.size

    @property
    def times(self) -> Summary | None:
        """Its times summed up, where it has any."""
        return summary(self.ns) if self.ns else None

    @property
    def speed(self) -> int | None:
        """Multiply-adds in a second, by the median time [MAC/s]."""
        return self.macs * 10**9 // max(self.times.median, 1) if self.times else None


@dataclass(frozen=True, slots=True)
class Record:
    """A run: where, when and how it was made, and its cells.

    ``load`` is how many processes wanted to run before it began, where the system says so;
    ``seconds`` is the time for each cell, in ``rounds`` turns; ``absent`` are the runtimes that
    could not run, with what is missing.
    """

    machine: Machine
    date: str
    load: float | None
    threads: int
    rounds: int
    seconds: float
    seed: int
    baseline: str
    absent: dict[str, str]
    cells: tuple[Cell, ...]

    @property
    def by_key(self) -> dict[Key, Cell]:
        """Its cells by what they time."""
        return {cell.key: cell for cell in self.cells}


class Speedup(NamedTuple):
    """A cell beside the baseline: times fewer multiply-adds, times faster.

    ``actual`` is None where either has no time; ``noisy`` says that their spreads overlap.
    """

    theory: Fraction | None
    actual: Fraction | None
    noisy: bool

    @property
    def reached(self) -> Fraction | None:
        """The share of the theory that the clock confirms."""
        return self.actual / self.theory if self.actual and self.theory else None


class Against(NamedTuple):
    """A cell beside the same of an earlier record: the ratio of the medians, new to old."""

    before: Summary
    ratio: Fraction
    change: Change


def speedup(record: Record, cell: Cell) -> Speedup:
    """A cell beside the baseline, in the same runtime at the same size."""
    base = record.by_key.get((record.baseline, cell.runtime, cell.size))
    if base is None:
        return Speedup(None, None, False)
    theory = Fraction(base.macs, cell.macs) if cell.macs and base.macs else None
    ours, theirs = cell.times, base.times
    if ours is None or theirs is None:
        return Speedup(theory, None, False)
    noisy = cell.key != base.key and overlap(ours, theirs)
    return Speedup(theory, Fraction(theirs.median, max(ours.median, 1)), noisy)


def against(cell: Cell, old: Record) -> Against | None:
    """A cell beside the same of an earlier record; None where either has no time."""
    earlier = old.by_key.get(cell.key)
    before = earlier.times if earlier is not None else None
    now = cell.times
    if before is None or now is None:
        return None
    ratio = Fraction(now.median, max(before.median, 1))
    if overlap(now, before):
        return Against(before, ratio, "noise")
    return Against(before, ratio, "slower" if now.median > before.median else "faster")


def conditions(new: Record, old: Record) -> list[str]:
    """What two records were not made alike in, in words: machine, versions, threads, seed."""
    found = new.machine.differences(old.machine)
    for name in ("threads", "seed"):
        before, now = getattr(old, name), getattr(new, name)
        if before != now:
            found.append(f"{name} {before} -> {now}")
    macs = {cell.key: cell.macs for cell in old.cells}
    for cell in new.cells:
        if macs.get(cell.key, cell.macs) != cell.macs:
            h, w = cell.size
            before = macs[cell.key]
            found.append(f"multiply-adds of {cell.network} at {h}x{w} {before:,} -> {cell.macs:,}")
    return list(dict.fromkeys(found))
