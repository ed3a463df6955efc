"""Rows of a sweep as bytes: CSV, and Parquet where pyarrow is installed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shufflenet.solver.engine.variables import IntArray
from shufflenet.solver.sweep.space_table import Rows
from shufflenet.system.user_code import RefusedError

SweepFormat: TypeAlias = Literal["csv", "parquet"]
# Rows laid out at once: so many stay in a processor's cache.
_LAID_OUT = 2**14
_DIGITS = 4
_BASE = 10**_DIGITS


class MissingParquetError(RefusedError):
    """Parquet is asked for, and pyarrow is not installed."""


def check_form(form: SweepFormat) -> None:
    """Check that a format can be written. Raises MissingParquetError."""
    if form == "parquet" and find_spec("pyarrow") is None:
        raise MissingParquetError(
            "Parquet needs pyarrow, which is not installed: pip install 'shufflecost[parquet]'"
        )


def csv_header(columns: Iterable[str]) -> bytes:
    """The first line of a table."""
    return ",".join(columns).encode("ascii") + b"\n"


def csv_rows(rows: Rows) -> bytes:
    """The lines of some rows, integers in full; a cell without a value is empty."""
    same = [b"" if value is None else str(value).encode("ascii") for value in rows.same.values()]
    front = b"".join(cell + b"," for cell in same)
    columns = list(rows.columns.values())
    tables = [_DigitTable(column) for column in columns]
    width = len(front) + sum(one.width + 1 for one in tables)
    lines: NDArray[np.uint8] = np.zeros((_LAID_OUT, width), np.uint8)
    lines[:, : len(front)] = np.frombuffer(front, np.uint8)
    at = len(front)
    starts = []
    for one in tables:
        starts.append(at)
        at += one.width + 1
        lines[:, at - 1] = ord(",")
    lines[:, -1] = ord("\n")
    found = []
    for begin in range(0, rows.size, _LAID_OUT):
        end = min(begin + _LAID_OUT, rows.size)
        for start, column, one in zip(starts, columns, tables, strict=True):
            one.write(column[begin:end], lines[: end - begin, start : start + one.width])
        # What no digit stands in is a NUL, and goes.
        found.append(lines[: end - begin].tobytes().translate(None, b"\0"))
    return b"".join(found)


class _DigitTable:
    """A column of integers from 0 on, written in groups of four digits looked up in a table."""

    def __init__(self, column: IntArray) -> None:
        most = int(column.max()) if len(column) else 0
        assert not len(column) or int(column.min()) >= 0
        self.groups = max(1, -(-len(str(most)) // _DIGITS))
        self.width = _DIGITS * self.groups

    def write(self, values: IntArray, into: NDArray[np.uint8]) -> None:
        """Write values into so many bytes for each; those that are not needed are NUL."""
        table = _table()
        alone = _ALONE
        for group in reversed(range(self.groups)):
            if group:
                higher = values // _BASE
                entry = values - higher * _BASE
                entry += np.where(higher > 0, _FULL, alone)
            else:
                higher, entry = values, values + alone
            text = table[entry].view(np.uint8).reshape(-1, _DIGITS)
            into[:, _DIGITS * group : _DIGITS * (group + 1)] = text
            values, alone = higher, _NONE


# Where the texts of a group begin: with nothing for 0, with all four digits, with one for 0.
_NONE, _FULL, _ALONE = 0, _BASE, 2 * _BASE


@cache
def _table() -> NDArray[np.uint32]:
    """The text of every group of four digits, as one number; NULs stand before the first digit."""
    short = [str(value) for value in range(_BASE)]
    texts = ["", *short[1:], *(text.zfill(_DIGITS) for text in short), *short]
    return np.frombuffer("".join(t.rjust(_DIGITS, "\0") for t in texts).encode(), np.uint32)


def parquet_file(rows: Rows) -> bytes:
    """A whole Parquet file of some rows. Raises MissingParquetError without pyarrow."""
    check_form("parquet")
    import pyarrow as pa
    from pyarrow import parquet

    same = {
        name: pa.array([value], pa.string() if name == "unit" else pa.int64())
        for name, value in rows.same.items()
    }
    first = np.zeros(rows.size, np.int8)
    columns = {name: one.take(pa.array(first)) for name, one in same.items()}
    columns |= {name: pa.array(column, pa.int64()) for name, column in rows.columns.items()}
    stream = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), stream)
    found: bytes = stream.getvalue().to_pybytes()
    return found


def rendered(rows: Rows, form: SweepFormat) -> bytes:
    """Rows in a format: lines of CSV without the header, or a Parquet file."""
    return csv_rows(rows) if form == "csv" else parquet_file(rows)
