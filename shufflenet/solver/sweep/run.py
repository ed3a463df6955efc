"""Sweeps carried out: pieces priced and put in a format, here or by an executor, and written."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import closing
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, TypeAlias

from shufflenet.solver.sweep.executors import in_order
from shufflenet.solver.sweep.files import SweepFile
from shufflenet.solver.sweep.formats import SweepFormat, check_form, csv_header, rendered
from shufflenet.solver.sweep.space_table import Piece, PricedSweep, Sweep, no_rows

# Pieces handed out to an executor whose number of workers is not known.
PIECES_AHEAD = 16


class Progress(NamedTuple):
    """How far a sweep is: rows in all, and the share of the space that is done, about."""

    rows: int
    share: float


class PieceTask(NamedTuple):
    """A piece to price and put in a format; the sweep as bytes, made anew once in a process."""

    sweep: bytes
    form: SweepFormat
    piece: Piece


class PieceResult(NamedTuple):
    """A piece done."""

    piece: Piece
    rows: int
    data: bytes


#: Who is told how far a sweep is, after each piece.
Told: TypeAlias = Callable[[Progress], None]


@lru_cache(maxsize=2)
def _priced(sweep: bytes) -> PricedSweep:
    found: Sweep = pickle.loads(sweep)
    return PricedSweep(found)


def done(task: PieceTask) -> PieceResult:
    """A piece's rows in their format, wherever this runs."""
    return _result(_priced(task.sweep), task.form, task.piece)


def _result(priced: PricedSweep, form: SweepFormat, piece: Piece) -> PieceResult:
    rows = priced.rows(piece)
    data = rendered(rows, form) if rows.size else b""
    return PieceResult(piece._replace(prefixes=()), rows.size, data)


def results(
    priced: PricedSweep,
    form: SweepFormat,
    executor: Executor | None = None,
    *,
    skip: int = 0,
    ahead: int = PIECES_AHEAD,
) -> Generator[PieceResult, None, None]:
    """The pieces of a sweep done, in their order, but for those to skip.

    At most ``ahead`` are in the executor's hands at once. Raises ExecutorError where its workers
    are gone, and what pricing raises.
    """
    pieces = islice(priced.pieces(), skip, None)
    if executor is None:
        yield from (_result(priced, form, piece) for piece in pieces)
        return
    sweep = pickle.dumps(priced.sweep)
    tasks = (PieceTask(sweep, form, piece) for piece in pieces)
    with closing(in_order(executor, done, tasks, ahead)) as found:
        yield from found


def stream(
    priced: PricedSweep,
    write: Callable[[bytes], object],
    executor: Executor | None = None,
    *,
    ahead: int = PIECES_AHEAD,
    told: Told | None = None,
) -> int:
    """Write a sweep as CSV to wherever ``write`` does; the number of rows.

    Raises NothingLegalError where the space holds no network.
    """
    priced.check_legal()
    write(csv_header(priced.sweep.columns))
    count = 0
    with closing(results(priced, "csv", executor, ahead=ahead)) as found:
        for result in found:
            write(result.data)
            count += result.rows
            if told is not None:
                told(Progress(count, result.piece.done))
    return count


def write_sweep(
    sweep: Sweep,
    path: str,
    form: SweepFormat = "csv",
    executor: Executor | None = None,
    *,
    restart: bool = False,
    ahead: int = PIECES_AHEAD,
    told: Told | None = None,
    begun: Callable[[int], None] | None = None,
) -> int:
    """Write a sweep into a file, or for Parquet into a folder of files; the number of rows.

    One that was broken off goes on where it was; ``begun`` is told how many rows are there. The
    executor, where there is one, prices the pieces, ``ahead`` of them at once at most. Raises
    SweepFileError where it cannot be written, or something else is there; NothingLegalError
    where the space holds no network; MissingParquetError without pyarrow; and what pricing raises.
    """
    check_form(form)
    priced = PricedSweep(sweep)
    priced.check_legal()
    with closing(SweepFile(path, form, sweep.fingerprint, restart)) as file:
        if file.begun and begun is not None:
            begun(file.journal.rows)
        if not file.journal.whole:
            _fill(priced, file, form, executor, ahead, told)
        file.finish()
        return file.journal.rows


def _fill(
    priced: PricedSweep,
    file: SweepFile,
    form: SweepFormat,
    executor: Executor | None,
    ahead: int,
    told: Told | None,
) -> None:
    header = csv_header(priced.sweep.columns) if form == "csv" else b""
    skip = file.journal.pieces
    with closing(results(priced, form, executor, skip=skip, ahead=ahead)) as found:
        for result in found:
            front = b"" if file.journal.written else header
            # A piece without rows leaves no file, and only moves the journal on.
            data = front + result.data if result.rows else b""
            file.add(result.piece.number + 1, result.rows, data)
            if told is not None:
                told(Progress(file.journal.rows, result.piece.done))
    if not file.journal.written:
        # A table without rows still has its columns.
        pieces = max(file.journal.pieces, 1)
        file.add(pieces, 0, header or rendered(no_rows(priced.sweep), form))
