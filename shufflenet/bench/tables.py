"""A run of ``bench`` as a table for people."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from flopcount.report import Cell as Shown
from flopcount.report import Table
from shufflenet.bench.compare import FEWEST
from shufflenet.bench.layers.tables import BESIDE, change_cells
from shufflenet.bench.record import BenchCell, Record, against, conditions, speedup
from shufflenet.bench.record_files import BESIDE_NOTHING, Beside

_HEADERS = (
    *("Size", "Runtime", "Network", "Multiply-adds [MAC]", "Time [ms]", "Quartiles [ms]"),
    *("Least [ms]", "Runs", "GMAC/s", "In theory", "Actual", "Reached"),
)
# A load above which the clock is shared.
_BUSY = 0.5
_PAPER = ("Paper [ms]", "Paper's actual")
_BEFORE = ("Before [ms]", *BESIDE)


def bench_table(record: Record, beside: Beside = BESIDE_NOTHING) -> Table:
    """The cells of a record, size by size, beside what there is."""
    rows = [
        (
            *_measured(record, cell),
            *(_paper(cell, beside) if beside.paper else ()),
            *(_before(record, cell, beside.old) if beside.old is not None else ()),
        )
        for cell in record.cells
    ]
    ends = [
        index
        for index, (cell, after) in enumerate(zip(record.cells, record.cells[1:], strict=False))
        if cell.size != after.size
    ]
    more = (_PAPER if beside.paper else ()) + (() if beside.old is None else _BEFORE)
    threads = "1 thread" if record.threads == 1 else f"{record.threads} threads"
    return Table(
        f"Inference time of one image, {threads}, {record.machine.cpu}",
        (*_HEADERS, *more),
        tuple(rows),
        (*_notes(record, beside), *beside.notes),
        frozenset(ends),
        left=3,
    )


def _measured(record: Record, cell: BenchCell) -> tuple[Shown, ...]:
    h, w = cell.size
    gain = speedup(record, cell)
    named = (f"{h}x{w}", cell.runtime, cell.network, cell.macs)
    times = cell.times
    if times is None or cell.speed is None:
        return (*named, "failed", "", "", None, "", _ratio(gain.theory), "", "")
    noisy = "~" if gain.noisy else ""
    return (
        *named,
        _ms(times.median),
        f"{_ms(times.low)} to {_ms(times.high)}",
        _ms(times.least),
        times.runs,
        f"{cell.speed / 1e9:.2f}",
        _ratio(gain.theory),
        _ratio(gain.actual, noisy),
        "" if gain.reached is None else f"{float(gain.reached):.0%}",
    )


def _paper(cell: BenchCell, beside: Beside) -> tuple[Shown, ...]:
    found = beside.paper.get((cell.network, cell.size))
    return ("", "") if found is None else (found.ms, _ratio(found.ratio))


def _before(record: Record, cell: BenchCell, old: Record) -> tuple[Shown, ...]:
    return change_cells(against(record, cell, old), _ms)


def _ms(time: int) -> str:
    """A time [ns] in milliseconds, with at least three digits of it."""
    ms = time / 1e6
    return f"{ms:.1f}" if ms >= 100 else f"{ms:.2f}" if ms >= 1 else f"{ms:.4f}"


def _ratio(ratio: Fraction | None, mark: str = "") -> str:
    if ratio is None:
        return ""
    number = float(ratio)
    return f"{mark}{number:.1f}x" if number >= 10 else f"{mark}{number:.2f}x"


def _notes(record: Record, beside: Beside) -> Iterator[str]:
    machine = record.machine
    known = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    yield (
        f"{machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python}"
        f"{', ' if known else ''}{known}; {record.date}"
    )
    yield (
        f"time: the median; each cell in a process of its own, its output checked against eager's,"
        f" about {record.seconds:g} s in {record.rounds} turns with the others, behind a warm-up;"
        f" ratios are to {record.baseline} in the same runtime at the same size"
    )
    if record.load is not None and record.load > _BUSY:
        yield f"other work was going on when this began: load average {record.load:.1f}"
    if any(speedup(record, cell).noisy for cell in record.cells):
        yield (
            "~: the quartiles overlap those of the baseline, or either was disturbed: noise may"
            " hide what differs"
        )
    yield from _troubles(record)
    for name, what in record.absent.items():
        yield f"not timed: {name}: {what}"
    if beside.paper:
        yield (
            "paper: Table 8, a mobile device with an ARM platform; its ratios are to its own"
            " AlexNet, at 720M"
        )
    if beside.old is not None:
        yield from _against_notes(record, beside.old, beside.where)


def _troubles(record: Record) -> Iterator[str]:
    disturbed = [cell for cell in record.cells if record.is_disturbed(cell)]
    if disturbed:
        least = min(cell.busy for cell in disturbed if cell.busy is not None)
        yield (
            f"disturbed: {len(disturbed)} of {len(record.cells)} cells had to share their"
            f" processor, one to {float(least):.0%}: their times are too long"
        )
    for cell in record.cells:
        h, w = cell.size
        where = f"{h}x{w} {cell.runtime} {cell.network}"
        if record.is_greedy(cell) and cell.busy is not None:
            yield f"more than its threads: {float(cell.busy):.1f} processors worked for {where}"
        if cell.failed:
            yield f"failed: {where}: {cell.failed}"
        elif cell.warmth is not None and not cell.warmth.settled:
            yield f"not steady after {cell.warmth.runs} runs of warm-up: {where}"
    batches = {(cell.size, cell.batch) for cell in record.cells}
    if len(batches) > len({size for size, _ in batches}):
        yield (
            "memory did not let all runtimes of a size be timed in turns: those that were not"
            " have different numbers of their batch in the JSON record, and drift may part them"
        )


def _against_notes(record: Record, old: Record, where: str) -> Iterator[str]:
    yield (
        f"before: {where}, {old.date}; within noise (~): the quartiles of the two overlap, or"
        f" are of fewer than {FEWEST} calls, or either was disturbed"
    )
    different = conditions(record, old)
    if different:
        yield f"not made alike: {'; '.join(different)}"
    missing = [cell.key for cell in record.cells if cell.key not in old.by_key]
    if missing:
        yield f"not in {where}: {len(missing)} of {len(record.cells)} cells"
