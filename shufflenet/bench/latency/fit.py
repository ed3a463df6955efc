"""A latency model fitted to measured leaves: non-negative costs, least in relative error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shufflenet.cost.latency_model import FEATURES, FEMTO, Facts, features, kind
from shufflenet.cost.leaf_kinds import LeafCost

# Errors below this share of a time weigh as squares, larger ones less and less: a leaf that was
# disturbed must not bend the fit.
_SMALL = 0.03
_REWEIGHTED = 8
_MOST_STEPS = 300


class Example(NamedTuple):
    """A leaf and its time [ns]."""

    place: LeafCost
    ns: int


def fit(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    """The cost of each kind of leaf by feature [fs]; what does not matter is left out."""
    by_kind: dict[str, list[Example]] = {}
    for example in examples:
        by_kind.setdefault(kind(example.place), []).append(example)
    return {name: _fit_kind(name, found) for name, found in by_kind.items()}


def scaled(
    costs: Mapping[str, Mapping[str, int]], measured: int, predicted: int
) -> dict[str, dict[str, int]]:
    """The costs with everything times measured over predicted, rounded to whole femtoseconds."""
    return {
        name: {key: (2 * fs * measured + predicted) // (2 * predicted) for key, fs in own.items()}
        for name, own in costs.items()
    }


def _fit_kind(name: str, examples: Sequence[Example]) -> dict[str, int]:
    import numpy as np

    names = features(name)
    facts = [Facts(example.place.entry, example.place.work.doer) for example in examples]
    times = np.array([max(example.ns, 1) for example in examples], float)
    rows = np.array([[FEATURES[key](fact) for key in names] for fact in facts], float)
    found = _robust(rows / times[:, None])
    costs = {key: round(value * FEMTO) for key, value in zip(names, found, strict=True)}
    return {key: cost for key, cost in costs.items() if cost} or {"call": 0}


def _robust(rows: Any) -> Any:
    """Non-negative weights whose sums over the rows are nearest to 1, outliers weighing less."""
    import numpy as np

    scale = rows.max(axis=0)
    scale[scale == 0] = 1
    weights = np.ones(len(rows))
    found = np.zeros(rows.shape[1])
    for _ in range(_REWEIGHTED):
        found = non_negative(rows / scale * weights[:, None], weights)
        off = np.abs(rows / scale @ found - 1)
        weights = 1 / np.sqrt(np.maximum(off, _SMALL))
    return found / scale


def non_negative(matrix: Any, target: Any) -> Any:
    """The x of no negative element for which ``|matrix x - target|`` is least.

    Source: Lawson and Hanson, Solving Least Squares Problems, chapter 23.
    """
    import numpy as np

    count = matrix.shape[1]
    found = np.zeros(count)
    free = np.zeros(count, bool)
    enough = 1e-9 * np.abs(matrix.T @ target).max(initial=0.0)
    for _ in range(_MOST_STEPS):
        slope = np.where(free, -np.inf, matrix.T @ (target - matrix @ found))
        if free.all() or slope.max() <= enough:
            break
        free[int(np.argmax(slope))] = True
        while True:
            tried = np.zeros(count)
            tried[free] = np.linalg.lstsq(matrix[:, free], target, rcond=None)[0]
            low = free & (tried <= 0)
            if not low.any():
                found = tried
                break
            step = (found[low] / (found[low] - tried[low])).min()
            found = found + step * (tried - found)
            free &= found > 1e-15
    return found
