"""Records as JSON: written with what follows from them, and read again by what they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

from shufflenet.quantities import rounded_half_up
from shufflenet.timing.machine import Machine
from shufflenet.timing.paper import Printed
from shufflenet.timing.records import Against, Cell, Record, against, conditions, speedup
from shufflenet.timing.samples import Warmth

#: The version of a record. Keys are only ever added within one.
VERSION = 1
_DIGITS = 4


class RecordError(ValueError):
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
        "machine": {
            **{name: getattr(machine, name) for name in ("cpu", "cores", "system", "python")},
            "versions": dict(machine.versions),
        },
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
        "theory": _number(gain.theory),
        "actual": _number(gain.actual),
        "reached": _number(gain.reached),
        "noisy": gain.noisy,
        "paper": paper and {"ms": paper.ms, "ratio": _number(paper.ratio)},
        "before": earlier and _before(earlier),
        "cpu_ns": cell.cpu,
        "ns": list(cell.ns),
    }


def _before(earlier: Against) -> dict[str, Any]:
    before = earlier.before
    return {
        "median_ns": before.median,
        "low_ns": before.low,
        "high_ns": before.high,
        "ratio": _number(earlier.ratio),
        "change": earlier.change,
    }


def _number(ratio: Fraction | None) -> float | None:
    return None if ratio is None else rounded_half_up(ratio.numerator, ratio.denominator, _DIGITS)


def load_record(path: str) -> Record:
    """The record in a JSON file.

    Raises RecordError where the file cannot be read, or holds none of this version.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            table = json.load(stream)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: is not JSON: {error}") from error
    try:
        return _record(table)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error


def _record(table: Any) -> Record:
    if not isinstance(table, dict) or "bench" not in table:
        raise RecordError("is no record of `shufflecost bench --format json`")
    if table["bench"] != VERSION:
        raise RecordError(
            f"bench {table['bench']!r} is no version that is known; known is {VERSION}"
        )
    machine = _take(table, "machine", dict)
    cells = tuple(_cell(cell, index) for index, cell in enumerate(_take(table, "cells", list)))
    record = Record(
        Machine(
            _take(machine, "cpu", str),
            _take(machine, "cores", int),
            _take(machine, "system", str),
            _take(machine, "python", str),
            _texts(machine, "versions"),
        ),
        _take(table, "date", str),
        _take(table, "load", (int, float, type(None))),
        _take(table, "threads", int),
        _take(table, "rounds", int),
        float(_take(table, "seconds", (int, float))),
        _take(table, "seed", int),
        _take(table, "baseline", str),
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
        warmth = _take(table, "warm_up", (dict, type(None)))
        return Cell(
            _take(table, "network", str),
            _take(table, "runtime", str),
            _size(_wholes(table, "size", 1)),
            _whole(table, "macs", 0),
            _whole(table, "batch", 1),
            _wholes(table, "ns", 0),
            _take(table, "cpu_ns", (int, type(None))),
            warmth and _warmth(warmth),
            _take(table, "difference", (int, float, type(None))),
            _take(table, "tolerance", (int, float, type(None))),
            _take(table, "failed", (str, type(None))) or "",
        )
    except RecordError as error:
        raise RecordError(f"cells[{index}]: {error}") from error


def _warmth(table: dict[str, Any]) -> Warmth:
    return Warmth(
        _whole(table, "runs", 1), _take(table, "settled", bool), _whole(table, "median", 0)
    )


def _size(sides: tuple[int, ...]) -> tuple[int, int]:
    if len(sides) != 2:
        raise RecordError(f"'size': {list(sides)} is not a height and a width")
    return sides[0], sides[1]


def _take(table: dict[str, Any], key: str, kind: Any) -> Any:
    if key not in table:
        raise RecordError(f"{key!r} is missing")
    value = table[key]
    # A truth value is an int to Python alone.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RecordError(f"{key!r}: {str(value)[:60]!r} is of the wrong type")
    return value


def _whole(table: dict[str, Any], key: str, least: int) -> int:
    value: int = _take(table, key, int)
    if value < least:
        raise RecordError(f"{key!r}: {value} is below {least}")
    return value


def _wholes(table: dict[str, Any], key: str, least: int) -> tuple[int, ...]:
    values = _take(table, key, list)
    return tuple(_whole({key: value}, key, least) for value in values)


def _texts(table: dict[str, Any], key: str) -> dict[str, str]:
    values = _take(table, key, dict)
    return {name: _take(values, name, str) for name in values}
