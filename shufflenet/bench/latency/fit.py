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
# Columns that agree to so many digits are the same.
_DIGITS = 12


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
    """Non-negative weights whose sums over the rows are nearest to 1, outliers weighing less.

    Of columns that are multiples of each other, the first alone has a weight.
    """
    import numpy as np
    from scipy.optimize import nnls

    scale = rows.max(axis=0)
    scale[scale == 0] = 1
    _, first = np.unique((rows / scale).round(_DIGITS), axis=1, return_index=True)
    first.sort()
    kept = rows[:, first] / scale[first]
    weights = np.ones(len(rows))
    for _ in range(_REWEIGHTED):
        own, _ = nnls(kept * weights[:, None], weights)
        off = np.abs(kept @ own - 1)
        weights = 1 / np.sqrt(np.maximum(off, _SMALL))
    found = np.zeros(rows.shape[1])
    found[first] = own / scale[first]
    return found
