"""How a latency model does on networks that it never saw, as a table for people."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from statistics import median

from flopcount.report import Table
from shufflenet.cost.latency_model import Model, said
from shufflenet.cost.machine import Machine


def checks_table(model: Model, title: str, now: Machine | None = None) -> Table:
    """Every check of a model; ``now`` is the machine that it was checked on, where another day."""
    rows = tuple(
        (
            check.network,
            _ms(check.measured),
            f"{_ms(check.low)} to {_ms(check.high)}",
            _ms(check.predicted),
            f"{float(check.error):+.1%}",
        )
        for check in model.checks
    )
    headers = ("Network", "Time [ms]", "Quartiles [ms]", "Predicted [ms]", "Error")
    return Table(title, headers, rows, tuple(_notes(model, now)))


def _notes(model: Model, now: Machine | None) -> Iterator[str]:
    yield (
        f"median error {float(model.median_error):.1%}, the largest {float(model.errors[-1]):.1%},"
        f" on {len(model.checks)} networks, in {model.runtime}, threads: {model.threads}"
    )
    ratios = [Fraction(check.predicted, max(check.measured, 1)) for check in model.checks]
    common = median(ratios)
    apart = median([abs(ratio / common - 1) for ratio in ratios]) if common else common
    yield (
        f"predictions are {float(common):.2f} times the time on the median: that is how much faster"
        f" or slower the machine is than when the model was fitted; apart from it the median error"
        f" is {float(apart):.1%}"
    )
    within = sum(check.low <= check.predicted <= check.high for check in model.checks)
    yield f"{within} of {len(model.checks)} predictions lie within the quartiles of the time"
    different = [] if now is None else now.differences(model.machine)
    if different:
        yield f"not the machine that the model was fitted on: {'; '.join(different)}"


def _ms(ns: int) -> str:
    return f"{ns / 1e6:.2f}"


def prediction_text(ns: int, model: Model) -> str:
    """A prediction in words, with how good it is."""
    return f"predicted time {_ms(ns)} ms ({said(model)})"
