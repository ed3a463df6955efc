"""Times as fields of JSON files, and back again."""

from __future__ import annotations

from typing import Any

import msgspec

from shufflenet.arch.quantities import ratio_json
from shufflenet.bench.compare import Against
from shufflenet.bench.timings import Summary
from shufflenet.cost.json_fields import Natural, Positive


class TimesJson(msgspec.Struct):
    """Times as a file holds them [ns]."""

    median_ns: Natural
    low_ns: Natural
    high_ns: Natural
    least_ns: Natural
    runs: Positive

    def summary(self) -> Summary:
        """The times."""
        return Summary(self.median_ns, self.low_ns, self.high_ns, self.least_ns, self.runs)


def times_json(times: Summary) -> dict[str, int]:
    """Times as figures [ns]."""
    return msgspec.structs.asdict(TimesJson(*times))


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
