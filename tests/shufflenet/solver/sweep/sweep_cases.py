"""A small space to sweep, and its rows."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from shufflenet.arch.spec_reader import load
from shufflenet.solver.problem import Space
from shufflenet.solver.sweep.run import stream
from shufflenet.solver.sweep.space_table import PricedSweep, Sweep

SPEC = load("shufflenet")
SMALL = Space(
    SPEC,
    groups=(1, 3),
    sizes=((64, 64),),
    stems=(12, 24),
    free=True,
    widths=((24, 36, 48), (48, 72, 96), (96, 144)),
    repeats=((1, 2), (3,), (1, 2, 4)),
)


def rows_of(sweep: Sweep) -> list[tuple[Any, ...]]:
    """Every row of a sweep, in Python's integers."""
    priced = PricedSweep(sweep)
    found: list[tuple[Any, ...]] = []
    for piece in priced.pieces():
        rows = priced.rows(piece)
        assert rows.size <= sweep.piece
        assert (*rows.same, *rows.columns) == sweep.columns
        same = tuple(rows.same.values())
        columns = [column.tolist() for column in rows.columns.values()]
        found += [(*same, *cells) for cells in zip(*columns, strict=True)]
    return found


def as_csv(sweep: Sweep, executor: Executor | None = None, **how: Any) -> bytes:
    found: list[bytes] = []
    stream(PricedSweep(sweep), found.append, executor, **how)
    return b"".join(found)
