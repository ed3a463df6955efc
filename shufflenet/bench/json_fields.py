"""Times as fields of JSON files, and back again."""

from __future__ import annotations

from typing import Any

from shufflenet.bench.compare import Against
from shufflenet.bench.timings import Summary
from shufflenet.cost.json_fields import ratio_json, whole


def times_json(times: Summary) -> dict[str, int]:
    """Times as figures [ns]."""
    return {
        "median_ns": times.median,
        "low_ns": times.low,
        "high_ns": times.high,
        "least_ns": times.least,
        "runs": times.runs,
    }


def read_times(table: dict[str, Any]) -> Summary:
    """Times from figures. Raises FieldError as `whole` does."""
    median, low, high, least = (
        whole(table, f"{name}_ns") for name in ("median", "low", "high", "least")
    )
    return Summary(median, low, high, least, whole(table, "runs", 1))


def before_json(earlier: Against | None) -> dict[str, Any] | None:
    """An earlier time, and how the new one compares, as an object."""
    if earlier is None:
        return None
    before = earlier.before
    return {
        "median_ns": before.median,
        "low_ns": before.low,
        "high_ns": before.high,
        "ratio": ratio_json(earlier.ratio),
        "change": earlier.change,
    }
