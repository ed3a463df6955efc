"""What a run of ``bench`` leaves: every cell with its times, and under which conditions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from shufflenet.bench.compare import Against, compared
from shufflenet.bench.timings import Summary, Warmth, overlap, summary
from shufflenet.cost.machine import Machine, differing

#: A cell by what it times: the network, the runtime, the size (height, width) [px].
CellKey: TypeAlias = tuple[str, str, tuple[int, int]]

# A process that has its processor for less than this share of the time had to share it, and one
# that has so many times more than its threads did not keep to them.
_UNDISTURBED = Fraction(95, 100)
_GREEDY = Fraction(5, 4)


@dataclass(frozen=True, slots=True)
class BenchCell:
    """One network in one runtime at one size: its cost [MAC] and its times [ns], in their order.

    ``cpu`` is what processors worked for all of them [ns]. Cells of one ``batch`` were timed in
    turns. ``failed`` is the step and the reason where it could not be timed, and ``ns`` is empty
    then.
    """

    network: str
    runtime: str
    size: tuple[int, int]
    macs: int
    batch: int
    ns: tuple[int, ...] = ()
    cpu: int | None = None
    warmth: Warmth | None = None
    difference: float | None = None
    tolerance: float | None = None
    failed: str = ""

    @property
    def key(self) -> CellKey:
        """What it times."""
        return self.network, self.runtime, self.size

    @property
    def times(self) -> Summary | None:
        """Its times summed up, where it has any."""
        return summary(self.ns) if self.ns else None

    @property
    def busy(self) -> Fraction | None:
        """How many processors worked for it while it was timed, on average."""
        return Fraction(self.cpu, max(sum(self.ns), 1)) if self.ns and self.cpu else None

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
    cells: tuple[BenchCell, ...]

    def is_disturbed(self, cell: BenchCell) -> bool:
        """Whether a cell on one thread had to share its processor, so that its times are too long.

        Of several threads nobody can tell: they wait for each other as well.
        """
        return self.threads == 1 and cell.busy is not None and cell.busy < _UNDISTURBED

    def is_greedy(self, cell: BenchCell) -> bool:
        """Whether a cell had more processors work for it than threads were asked for."""
        return cell.busy is not None and cell.busy > self.threads * _GREEDY

    @property
    def by_key(self) -> dict[CellKey, BenchCell]:
        """Its cells by what they time."""
        return {cell.key: cell for cell in self.cells}


class Speedup(NamedTuple):
    """A cell beside the baseline: times fewer multiply-adds, times faster.

    ``actual`` is None where either has no time; ``noisy`` says that their spreads overlap, or that
    either was disturbed.
    """

    theory: Fraction | None
    actual: Fraction | None
    noisy: bool

    @property
    def reached(self) -> Fraction | None:
        """The share of the theory that the clock confirms."""
        return self.actual / self.theory if self.actual and self.theory else None


def speedup(record: Record, cell: BenchCell) -> Speedup:
    """A cell beside the baseline, in the same runtime at the same size."""
    base = record.by_key.get((record.baseline, cell.runtime, cell.size))
    if base is None:
        return Speedup(None, None, False)
    theory = Fraction(base.macs, cell.macs) if cell.macs and base.macs else None
    ours, theirs = cell.times, base.times
    if ours is None or theirs is None:
        return Speedup(theory, None, False)
    disturbed = record.is_disturbed(cell) or record.is_disturbed(base)
    noisy = cell.key != base.key and (disturbed or overlap(ours, theirs))
    return Speedup(theory, Fraction(theirs.median, max(ours.median, 1)), noisy)


def against(record: Record, cell: BenchCell, old: Record) -> Against | None:
    """A cell beside the same of an earlier record; None where either has no time.

    Where the spreads overlap, or either was disturbed, what differs may be noise.
    """
    earlier = old.by_key.get(cell.key)
    if earlier is None or earlier.times is None or cell.times is None:
        return None
    disturbed = record.is_disturbed(cell) or old.is_disturbed(earlier)
    return compared(cell.times, earlier.times, disturbed=disturbed)


def conditions(new: Record, old: Record) -> list[str]:
    """What two records were not made alike in, in words: machine, versions, options, costs."""
    found = new.machine.differences(old.machine)
    names = ("threads", "rounds", "seconds", "seed")
    found += differing((name, getattr(old, name), getattr(new, name)) for name in names)
    macs = {cell.key: cell.macs for cell in old.cells}
    for cell in new.cells:
        if macs.get(cell.key, cell.macs) != cell.macs:
            h, w = cell.size
            before = macs[cell.key]
            found.append(f"multiply-adds of {cell.network} at {h}x{w} {before:,} -> {cell.macs:,}")
    return list(dict.fromkeys(found))
