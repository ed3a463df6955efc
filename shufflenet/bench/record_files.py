"""Records as JSON: written with what follows from them, and read again by what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple

from shufflenet.arch.quantities import ratio_json
from shufflenet.bench.json_fields import before_json
from shufflenet.bench.record import BenchCell, Record, against, conditions, speedup
from shufflenet.bench.table8 import Printed
from shufflenet.bench.timings import Warmth
from shufflenet.cost.json_fields import Natural, Positive, loaded
from shufflenet.cost.machine import FieldError, Machine

#: The version of a record. Keys are only ever added within one.
RECORD_VERSION = 1


class Beside(NamedTuple):
    """What a record is shown beside: an earlier one, the file of that, and the paper's times.

    ``notes`` are what limits its figures, a sentence each.
    """

    old: Record | None = None
    where: str = ""
    paper: Mapping[tuple[str, tuple[int, int]], Printed] = MappingProxyType({})
    notes: tuple[str, ...] = ()


#: Beside nothing.
BESIDE_NOTHING = Beside()


def record_json(record: Record, beside: Beside = BESIDE_NOTHING) -> dict[str, Any]:
    """The record as the object for JSON, beside what there is."""
    old = beside.old
    return {
        "bench": RECORD_VERSION,
        "date": record.date,
        "machine": asdict(record.machine),
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


def _cell_json(record: Record, cell: BenchCell, beside: Beside) -> dict[str, Any]:
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


class _WarmthJson(msgspec.Struct):
    runs: Positive
    settled: bool
    median: Natural


class _CellJson(msgspec.Struct):
    # In the order of `BenchCell`.
    network: str
    runtime: str
    size: tuple[Positive, Positive]
    macs: Natural
    batch: Positive
    ns: tuple[Natural, ...]
    cpu_ns: int | None
    warm_up: _WarmthJson | None
    difference: float | None
    tolerance: float | None
    failed: str | None


class _RecordJson(msgspec.Struct):
    # In the order of `Record`.
    machine: Machine
    date: str
    load: float | None
    threads: int
    rounds: int
    seconds: float
    seed: int
    baseline: str
    absent: dict[str, str]
    cells: list[_CellJson]


def load_record(path: str) -> Record:
    """The record in a JSON file.

    Raises FieldError where the file cannot be read, or holds none of this version.
    """
    what = "record of `shufflecost bench --format json`"
    found = loaded(path, _RecordJson, "bench", RECORD_VERSION, what)
    record = replace(Record(*astuple(found)), cells=tuple(map(_cell, found.cells)))
    if len(record.by_key) != len(record.cells):
        raise FieldError(f"{path}: 'cells' holds one network, runtime and size twice")
    return record


def _cell(found: _CellJson) -> BenchCell:
    warmth = None if found.warm_up is None else Warmth(*astuple(found.warm_up))
    return replace(BenchCell(*astuple(found)), warmth=warmth, failed=found.failed or "")
