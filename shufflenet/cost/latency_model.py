"""A latency model: what each kind of leaf costs in time on one machine, as whole femtoseconds.

A leaf's time is a weighted sum of what is known of it without running it, such as its
multiply-adds and the elements that it reads; a network's is the sum of its leaves'. All is exact
integer arithmetic, so that a column of candidate widths and each of them alone give one number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, NamedTuple, cast, get_args

from flopcount.entries import Entry
from flopcount.integers import Count, exact, is_array, lift, product, smallest, total
from flopcount.layers import Conv, Function, Layer
from flopcount.tally import Tally
from shufflenet.arch.quantities import ratio_json
from shufflenet.cost.leaf_kinds import Doer, LeafCost, kind_name, places
from shufflenet.cost.machine import Machine

#: Femtoseconds in a nanosecond.
FEMTO = 10**6
# Convolutions keep channels in blocks of so many, where processors have vectors of 512 bits.
_BLOCK = 16
_FEW = 2**22


class LatencyError(ValueError):
    """A model that cannot be read, or does not know what it is asked for."""


class Facts(NamedTuple):
    """What a leaf's time is a sum of: its entry in a tally, and what it is."""

    entry: Entry
    doer: Doer


def _up(value: Count) -> Count:
    """A width in whole blocks."""
    return -(-value // _BLOCK) * _BLOCK


def _sites(facts: Facts) -> Count:
    n, _, *sides = facts.entry.outputs[0]
    return product(n, *sides)


def _conv(facts: Facts) -> Conv:
    return cast(Conv, facts.doer)


def _blocked(facts: Facts) -> Count:
    conv = _conv(facts)
    c, d = (_up(exact(width, conv.groups)) for width in (conv.c_in, conv.c_out))
    return product(_sites(facts), conv.groups, c, d, conv.kernel**2)


def _half_blocked(facts: Facts) -> Count:
    conv = _conv(facts)
    d = _up(exact(conv.c_out, conv.groups))
    return product(_sites(facts), conv.c_in, d, conv.kernel**2)


#: What is known of a leaf without running it, by name; of convolutions alone from ``groups`` on.
FEATURES: Mapping[str, Callable[[Facts], Count]] = {
    "call": lambda facts: 1,
    "macs": lambda facts: facts.entry.macs,
    "inputs": lambda facts: total(shape.elements for shape in facts.entry.inputs),
    "outputs": lambda facts: total(shape.elements for shape in facts.entry.outputs),
    "weight": lambda facts: facts.entry.weight,
    # many are read one behind the other, few of them as if each were far from the last
    "few weights": lambda facts: smallest(facts.entry.weight, _FEW),
    "windows": lambda facts: facts.entry.windows,
    "groups": lambda facts: _conv(facts).groups,
    # the patches under the kernel, laid out as a matrix
    "patches": lambda facts: product(_sites(facts), _conv(facts).c_in, _conv(facts).kernel ** 2),
    "group sites": lambda facts: product(_sites(facts), _conv(facts).groups),
    # multiply-adds with the widths of a group in whole blocks: both, or that of the output
    "blocked macs": _blocked,
    "half blocked macs": _half_blocked,
    "blocked sites": lambda facts: product(_up(_sites(facts)), facts.entry.weight),
}
_OF_CONVOLUTIONS = frozenset(list(FEATURES)[list(FEATURES).index("groups") :])
_DENSE = "dense convolution"
_DEPTHWISE = "depthwise convolution"
_GROUP = "group convolution"
_POINTWISE = tuple(
    f"{prefix}pointwise {which}" for prefix in ("", "strided ") for which in (_DENSE, _GROUP)
)
#: Every kind of leaf that a layer tree can have, as costs are kept.
LEAF_KINDS = (
    *(_DENSE, _DEPTHWISE, _GROUP, *_POINTWISE, "FC"),
    *("batch norm", "local response norm", "channel shuffle", "add", "concat", "mul", "neg"),
    *get_args(Function),
    *("max pool", "avg pool", "global avg pool", "adaptive avg pool"),
    *("dropout", "flatten", "identity", "slice"),
)


def features(kind: str) -> tuple[str, ...]:
    """The names of what the time of a kind of leaf may depend on."""
    conv = kind.endswith("convolution")
    return tuple(name for name in FEATURES if conv or name not in _OF_CONVOLUTIONS)


def kinds(place: LeafCost) -> tuple[str, ...]:
    """The kinds that a leaf may be of: one, or those of a convolution by its groups.

    Of a convolution whose widths are a column, candidates may be dense, depthwise and grouped.
    """
    doer = place.work.doer
    if not isinstance(doer, Conv):
        return (kind_name(doer, place.entry),)
    if doer.kernel > 1:
        return _DENSE, _DEPTHWISE, _GROUP
    prefix = "pointwise " if doer.stride == 1 else "strided pointwise "
    return prefix + _DENSE, prefix + _GROUP, prefix + _GROUP


def kind(place: LeafCost) -> str:
    """The kind of a leaf whose widths are plain numbers."""
    found = kinds(place)
    doer = place.work.doer
    if not isinstance(doer, Conv):
        return found[0]
    return found[0 if doer.groups == 1 else 1 if doer.groups == doer.c_in else 2]


class TimeCheck(NamedTuple):
    """A network that the model never saw: its time as measured and as predicted [ns]."""

    network: str
    measured: int
    low: int
    high: int
    predicted: int

    @property
    def error(self) -> Fraction:
        """How far the prediction is off, as a share of the time; negative where it is short."""
        return Fraction(self.predicted - self.measured, max(self.measured, 1))


@dataclass(frozen=True, slots=True)
class Model:
    """The costs of each kind of leaf [fs] by feature, and how the model did on ``checks``.

    ``file`` is what messages name it by.
    """

    machine: Machine
    date: str
    runtime: str
    threads: int
    costs: Mapping[str, Mapping[str, int]]
    checks: tuple[TimeCheck, ...] = ()
    file: str = ""

    def __hash__(self) -> int:
        return hash((self.machine.cpu, self.date, self.file))

    @property
    def errors(self) -> list[Fraction]:
        """The sizes of the errors on networks never seen, the smallest first."""
        return sorted(abs(check.error) for check in self.checks)

    @property
    def median_error(self) -> Fraction:
        """The median error on networks never seen. Raises LatencyError where none was checked."""
        errors = self.errors
        if not errors:
            raise LatencyError(f"{self.file or 'the model'}: was checked on no network")
        last = len(errors) - 1
        return (errors[last // 2] + errors[len(errors) // 2]) / 2

    def leaf(self, place: LeafCost) -> Count:
        """The time of a leaf [ns], a whole number; a column of them for a column of widths.

        Raises LatencyError for a kind that the model knows no time of.
        """
        facts = Facts(place.entry, place.work.doer)
        doer = place.work.doer
        if isinstance(doer, Conv) and (is_array(doer.groups) or is_array(doer.c_in)):
            return self._of_candidates(doer, kinds(place), facts)
        return self._time(kind(place), facts)

    def network(self, tree: Layer, tally: Tally) -> Count:
        """The time of a tree [ns]: that of its leaves, added up. Raises as `leaf` does."""
        return total(self.leaf(place) for place in places(tree, tally))

    def _of_candidates(self, conv: Conv, names: tuple[str, ...], facts: Facts) -> Count:
        import numpy as np

        dense = np.equal(conv.groups, 1)
        depthwise = np.equal(conv.groups, conv.c_in) & ~dense
        found: Any = 0
        for name, mask in zip(names, (dense, depthwise, ~dense & ~depthwise), strict=True):
            if mask.any():
                found = np.where(mask, cast(Any, self._time(name, facts)), found)
        return lift(np.asarray(found, np.int64))

    def _time(self, name: str, facts: Facts) -> Count:
        costs = self.costs.get(name)
        if costs is None:
            raise LatencyError(f"{self.file or 'the model'}: knows no time of a {name}")
        fs = total(product(cost, FEATURES[feature](facts)) for feature, cost in costs.items())
        return (fs + FEMTO // 2) // FEMTO


def said(model: Model) -> str:
    """How good a prediction is, in words, as it is printed with each."""
    errors = model.errors
    cores = "1 thread" if model.threads == 1 else f"{model.threads} threads"
    return (
        f"{model.runtime}, {cores}, {model.machine.cpu}; on {len(errors)} networks that the model"
        f" never saw its median error was {float(model.median_error):.1%}, the largest"
        f" {float(errors[-1]):.1%}"
    )


def prediction_json(ns: int, model: Model) -> dict[str, Any]:
    """A prediction [ns] as figures, with how good the model is. Raises as `median_error` does."""
    return {"predicted_ns": ns, **quality_json(model)}


def quality_json(model: Model) -> dict[str, Any]:
    """How good a model is, and where, as figures. Raises as `median_error` does."""
    return {
        "median_error": ratio_json(model.median_error),
        "largest_error": ratio_json(model.errors[-1]),
        "checked_networks": len(model.checks),
        "runtime": model.runtime,
        "threads": model.threads,
        "machine": asdict(model.machine),
    }
