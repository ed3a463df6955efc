"""Records of ``bench`` with times that are given."""

from __future__ import annotations

from typing import Any

from shufflenet.bench.record import BenchCell, Record
from shufflenet.bench.timings import Warmth
from shufflenet.cost.machine import Machine

HERE = Machine("a cpu", 2, "a system", "3.11.7", {"torch": "2.9", "numpy": "2.0"})
SMALL = (32, 32)


def cell(network: str, *ns: int, macs: int = 1000, **more: Any) -> BenchCell:
    """A cell with times [ns] and a cost [MAC]."""
    given: dict[str, Any] = {"runtime": "eager", "size": SMALL, "batch": 1} | more
    if ns:
        given |= {"warmth": Warmth(9, True, ns[0]), "difference": 0.0, "tolerance": 1e-4}
    return BenchCell(network=network, macs=macs, ns=ns, **given)


def record(*cells: BenchCell, **more: Any) -> Record:
    """A record of these cells, whose baseline is ``base``."""
    given: dict[str, Any] = {
        "machine": HERE,
        "date": "2026-01-02T03:04:05+00:00",
        "load": 0.1,
        "threads": 1,
        "rounds": 2,
        "seconds": 1.0,
        "seed": 0,
        "baseline": "base",
        "absent": {},
    }
    return Record(cells=cells, **(given | more))
