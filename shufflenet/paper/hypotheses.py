"""What the audit may assume, in one place and alike for every claim.

A paper does not say how it counts. Each axis below is one thing it leaves open, its baseline
first: what Table 1 of the ShuffleNet paper does. A hypothesis takes one choice on every axis. They
are tried in order: the fewer departures from the baseline the sooner, then in the order of the
axes and of their choices; never more than two departures at once. The first that gives the printed
figure is the verdict. An axis is open only where the paper is silent: it states the image of its
own networks, and the widths of those in Table 1 and of those that Sec. 4.2 compares. Widths, layers
and sizes are whole numbers, of which every digit is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any, Literal, NamedTuple, TypeAlias, cast

CountedLayers: TypeAlias = Literal["convolutions", "with-fc"]
MeantDigits: TypeAlias = Literal["all", "leading"]
Stem: TypeAlias = Literal["scaled", "own", "half"]
Image: TypeAlias = Literal["own", "227"]
Widths: TypeAlias = Literal["given", "solved", "halved"]
Figures: TypeAlias = Literal["printed", "computed"]
Pairs: TypeAlias = Literal["each", "mean"]


class Hypothesis(NamedTuple):
    """One choice on every axis; the default is the baseline."""

    counted: CountedLayers = "convolutions"
    digits: MeantDigits = "all"
    stem: Stem = "scaled"
    image: Image = "own"
    widths: Widths = "given"
    figures: Figures = "printed"
    pairs: Pairs = "each"

    @property
    def departures(self) -> tuple[str, ...]:
        """Where it departs from the baseline, in words; () is the baseline itself."""
        return tuple(
            AXES[axis].choices[choice]
            for axis, choice, base in zip(self._fields, self, BASELINE, strict=True)
            if choice != base
        )

    def __str__(self) -> str:
        return "; ".join(self.departures) or "baseline"


class Axis(NamedTuple):
    """One thing that the paper leaves open: what it is, and its choices in words."""

    says: str
    choices: Mapping[str, str]


#: All axes in order, each with its choices in order, the baseline's first.
AXES: Mapping[str, Axis] = {
    "counted": Axis(
        "which layers count",
        {"convolutions": "convolutions only", "with-fc": "FC layers counted too"},
    ),
    "digits": Axis(
        "which printed digits of a complexity are meant (behind two of them at least)",
        {"all": "every printed digit", "leading": "zeros at the end not significant"},
    ),
    "stem": Axis(
        "how the stem scales (rounded up to a legal width)",
        {
            "scaled": "stem scaled",
            "own": "stem not scaled",
            "half": "stem scaled to a half at least",
        },
    ),
    "image": Axis(
        "which image the network is given",
        {"own": "image of its own description", "227": "image 227x227"},
    ),
    "widths": Axis(
        "where the widths come from (the stages double)",
        {
            "given": "widths of the spec, scaled, or printed elsewhere",
            "solved": "widths solved for the complexity",
            "halved": "widths solved, the first stage's rounded down",
        },
    ),
    "figures": Axis(
        "which figures a derived one follows from",
        {"printed": "from printed figures", "computed": "from computed figures"},
    ),
    "pairs": Axis(
        "what a ratio of several columns means",
        {"each": "a ratio of every column", "mean": "the mean of all columns"},
    ),
}
BASELINE = Hypothesis()
#: A figure that needs more than this is not explained but fitted.
MOST_DEPARTURES = 2


@cache
def hypotheses(*axes: str) -> tuple[Hypothesis, ...]:
    """Every hypothesis that varies on these axes alone, in the order in which they are tried."""
    spans = [
        list(axis.choices) if name in axes else [base]
        for (name, axis), base in zip(AXES.items(), BASELINE, strict=True)
    ]
    found = [Hypothesis(*cast(Any, choices)) for choices in product(*spans)]
    few = [hypothesis for hypothesis in found if len(hypothesis.departures) <= MOST_DEPARTURES]
    return tuple(sorted(few, key=_rank))


def _rank(hypothesis: Hypothesis) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Fewer departures first; then those on earlier axes; then earlier choices."""
    chosen = [
        list(axis.choices).index(choice)
        for axis, choice in zip(AXES.values(), hypothesis, strict=True)
    ]
    departed = tuple(place for place, choice in enumerate(chosen) if choice)
    return len(departed), departed, tuple(chosen)
