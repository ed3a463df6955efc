"""Records as JSON: written with what follows from them, and read again by what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from shufflenet.bench.json_fields import before_json
from shufflenet.bench.record import Cell, Record, against, conditions, speedup
from shufflenet.bench.table8 import Printed
from shufflenet.bench.timings import Warmth
from shufflenet.cost.json_fields import (
    FieldError,
    check_version,
    machine_json,
    parsed,
    ratio_json,
    read_machine,
    take,
    whole,
    wholes,
)

#: The version of a record. Keys are only ever added within one.
VERSION = 1


class RecordError(FieldError):
    """A file that holds no record of a run."""


class Beside(NamedTuple):
    """What a record is shown beside: an earlier one, the file of that, and the paper's times.

    ``notes`` are what limits its figures, a sentence each.
    """

    old: Record | None = None
    where: str = ""
    paper: Mapping[tuple[str, tuple[int, int]], Printed] = MappingProxyType({})
    notes: tuple[str, ...] = ()


#: Beside nothing.
ALONE = Beside()


def record_json(record: Record, beside: Beside = ALONE) -> dict[str, Any]:
    """The record as the object for JSON, beside what there is."""
    old = beside.old
    machine = record.machine
    return {
        "bench": VERSION,
        "date": record.date,
        "machine": machine_json(machine),
        "load": record.load,
        "threads": record.threads,
        "rounds": record.rounds,
        "seconds": record.seconds,
        "seed": record.seed,
        "baseline": record.baseline,
        "absent": dict(record.absent),
        "against": None
        if old is None
        else {"file": beside.where, "date": old.date, "differences": conditions(record, old)},
        "notes": list(beside.notes),
        "cells": [_cell_json(record, cell, beside) for cell in record.cells],
    }


def _cell_json(record: Record, cell: Cell, beside: Beside) -> dict[str, Any]:
    times, warmth = cell.times, cell.warmth
    gain = speedup(record, cell)
    earlier = against(record, cell, beside.old) if beside.old is not None else None
    paper = beside.paper.get((cell.network, cell.size))
    return {
        "network": cell.network,
        "runtime": cell.runtime,
        "size": list(cell.size),
        "macs": cell.macs,
        "batch": cell.batch,
        "failed": cell.failed or None,
        "difference": cell.difference,
        "tolerance": cell.tolerance,
        "warm_up": None if warmth is None else warmth._asdict(),
        "runs": 0 if times is None else times.runs,
        "median_ns": times and times.median,
        "low_ns": times and times.low,
        "high_ns": times and times.high,
        "least_ns": times and times.least,
        "macs_per_second": cell.speed,
        "theory": ratio_json(gain.theory),
        "actual": ratio_json(gain.actual),
        "reached": ratio_json(gain.reached),
        "noisy": gain.noisy,
        "paper": paper and {"ms": paper.ms, "ratio": ratio_json(paper.ratio)},
        "before": before_json(earlier),
        "cpu_ns": cell.cpu,
        "ns": list(cell.ns),
    }


def load_record(path: str) -> Record:
    """The record in a JSON file.

    Raises RecordError where the file cannot be read, or holds none of this version.
    """
    try:
        table = parsed(path)
    except FieldError as error:
        raise RecordError(str(error)) from error
    try:
        return _record(table)
    except FieldError as error:
        raise RecordError(f"{path}: {error}") from error


def _record(table: Any) -> Record:
    check_version(table, "bench", VERSION, "record of `shufflecost bench --format json`")
    machine = read_machine(table)
    cells = tuple(_cell(cell, index) for index, cell in enumerate(take(table, "cells", list)))
    record = Record(
        machine,
        take(table, "date", str),
        take(table, "load", (int, float, type(None))),
        take(table, "threads", int),
        take(table, "rounds", int),
        float(take(table, "seconds", (int, float))),
        take(table, "seed", int),
        take(table, "baseline", str),
        _texts(table, "absent"),
        cells,
    )
    if len(record.by_key) != len(cells):
        raise RecordError("'cells' holds one network, runtime and size twice")
    return record


def _cell(table: Any, index: int) -> Cell:
    try:
        if not isinstance(table, dict):
            raise RecordError("is no object")
        warmth = take(table, "warm_up", (dict, type(None)))
        return Cell(
            take(table, "network", str),
            take(table, "runtime", str),
            _size(wholes(table, "size", 1)),
            whole(table, "macs", 0),
            whole(table, "batch", 1),
            wholes(table, "ns", 0),
            take(table, "cpu_ns", (int, type(None))),
            warmth and _warmth(warmth),
            take(table, "difference", (int, float, type(None))),
            take(table, "tolerance", (int, float, type(None))),
            take(table, "failed", (str, type(None))) or "",
        )
    except FieldError as error:
        raise RecordError(f"cells[{index}]: {error}") from error


def _warmth(table: dict[str, Any]) -> Warmth:
    return Warmth(whole(table, "runs", 1), take(table, "settled", bool), whole(table, "median", 0))


def _size(sides: tuple[int, ...]) -> tuple[int, int]:
    if len(sides) != 2:
        raise RecordError(f"'size': {list(sides)} is not a height and a width")
    return sides[0], sides[1]


def _texts(table: dict[str, Any], key: str) -> dict[str, str]:
    values = take(table, key, dict)
    return {name: take(values, name, str) for name in values}
