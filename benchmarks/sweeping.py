"""How fast a design space is priced, put in a format, and written, one core each; and over two.

    python benchmarks/sweeping.py [FOLDER]

The space: any stem up to 96, three free stages up to four times Table 1's, every number of groups
of Table 1, and repeats over 5x9x5. Its first pieces for each number of groups are priced:
multiply-adds, parameters and peak memory of every network. FOLDER is where tables are written and
removed again; by default, where temporary files are.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
from speed import report, seconds

from shufflenet import load
from shufflenet.solver.problem import Space
from shufflenet.solver.sweep.executors import processes
from shufflenet.solver.sweep.formats import csv_rows, parquet_file
from shufflenet.solver.sweep.run import write_sweep
from shufflenet.solver.sweep.space_table import Piece, PricedSweep, Rows, Sweep

GROUPS = (1, 2, 3, 4, 8)
REPEATS = (tuple(range(2, 7)), tuple(range(4, 13)), tuple(range(2, 7)))
SPEC = load("shufflenet")
#: Pieces of each number of groups, and rounds.
PIECES, ROUNDS = 16, 5
PROMISED = 2_000_000
#: Some 12 million networks, written down whole.
WRITTEN = Space(
    SPEC, groups=(3,), stems=(24,), free=True, align=12, repeats=((2, 3, 4), (4, 8), (4,))
)


def space(groups: int) -> Space:
    """The space for one number of groups."""
    stems = tuple(range(1, 97))
    return Space(SPEC, groups=(groups,), stems=stems, free=True, repeats=REPEATS)


def rate(run: Callable[[], int]) -> float:
    """Rows a second, the median of some rounds."""
    found: list[int] = []
    times = [seconds(lambda: found.append(run())) for _ in range(ROUNDS)]
    return found[-1] / statistics.median(times)


def pricing() -> list[Rows]:
    """Networks priced a second, the slowest number of groups for all; some rows of the last."""
    slowest, first, total = float("inf"), 0.0, 0
    rows: list[Rows] = []
    for groups in GROUPS:
        priced = PricedSweep(Sweep(space(groups)))
        pieces: list[Piece] = []

        def begun(priced: PricedSweep = priced, pieces: list[Piece] = pieces) -> None:
            pieces += islice(priced.pieces(), PIECES)
            priced.rows(pieces[0])

        first = max(first, seconds(begun))
        total += priced.candidates()

        def run(priced: PricedSweep = priced, pieces: list[Piece] = pieces) -> int:
            return sum(priced.rows(piece).size for piece in pieces)

        slowest = min(slowest, rate(run))
        rows = [priced.rows(piece) for piece in pieces[:4]]
    what = f"priced, slowest of {len(GROUPS)} g (the space has {total:.1e} networks)"
    report(what, f"{slowest:,.0f}/s", f"{PROMISED:,}/s", slowest >= PROMISED)
    print(f"  tables of a frame, once: {first * 1e3:.0f} ms at most")
    return rows


def formats(rows: list[Rows]) -> None:
    """Rows put in a format a second, in memory."""
    ways: dict[str, Callable[[Rows], bytes]] = {"CSV": csv_rows}
    if find_spec("pyarrow") is not None:
        ways["Parquet"] = parquet_file
    for name, way in ways.items():
        size = sum(len(way(one)) for one in rows) / sum(one.size for one in rows)

        def run(way: Callable[[Rows], bytes] = way) -> int:
            for one in rows:
                way(one)
            return sum(one.size for one in rows)

        print(f"  {name}, in memory: {rate(run):,.0f} rows/s, {size:.0f} bytes a row")


def writing(folder: Path) -> None:
    """Rows priced, put in a format and written so that they stay, a second."""
    sweep = Sweep(WRITTEN)
    forms = ("csv", "parquet") if find_spec("pyarrow") is not None else ("csv",)
    for form in forms:
        for jobs in (1, 2):
            path = folder / f"{jobs}.{form}"
            executor = processes(jobs) if jobs > 1 else None
            if executor is not None:
                # Each imports this file, and torch with it, which a sweep does not.
                list(executor.map(time.sleep, [0.5] * jobs))
            count: list[int] = []
            taken = seconds(
                lambda form=form, path=path, executor=executor, count=count: count.append(  # type: ignore[misc]
                    write_sweep(sweep, str(path), form, executor, ahead=4)
                )
            )
            if executor is not None:
                executor.shutdown()
            print(
                f"  {form} into a file, {jobs} process{'es' if jobs > 1 else ''}:"
                f" {count[0]:,} rows in {taken:.1f} s, {count[0] / taken:,.0f} rows/s"
            )


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}, {os.cpu_count()} cores")
    formats(pricing())
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as scratch:
        writing(Path(scratch))
