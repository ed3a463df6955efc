"""What is asked of the solver, and what it answers: spaces, bounds, goals and outcomes as records.

A space says what may vary, a bound what must hold, a goal what is wanted. Everything here is plain
numbers; `shufflenet.solver.engine.stage_tables` prices a space and
`shufflenet.solver.engine.optimise` solves a problem.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias, get_args

from flopcount.conventions import Convention
from flopcount.conventions import convention as named
from flopcount.integers import MAX
from shufflenet.arch.layout import DEFAULT_CARDINALITY, stage_rows, stem_row
from shufflenet.arch.network import Network
from shufflenet.arch.quantities import (
    MAX_WIDTH,
    QuantityError,
    check_groups,
    check_scale,
    check_size,
    check_width,
    in_proportion,
)
from shufflenet.arch.spec import Spec
from shufflenet.cost.latency_model import Model

#: What a bound or a goal may be about. ``macs`` is the cost under the problem's convention;
#: ``params`` [params]; ``memory`` the peak of activations [B]; ``moved`` the bytes moved [B];
#: ``layers`` those with weights on the longest path; ``channels`` the sum of the stages' widths;
#: ``latency`` the time by the problem's model [ns].
Figure: TypeAlias = Literal["macs", "params", "memory", "moved", "layers", "channels", "latency"]
FIGURES: tuple[Figure, ...] = get_args(Figure)
#: What every answer and every sweep says of a network, whatever is asked.
ALWAYS_SHOWN: tuple[Figure, ...] = ("macs", "params", "memory")
Sense: TypeAlias = Literal["least", "most", "nearest"]
#: What is wanted of a figure where only its name is given.
USUAL: Mapping[Figure, Sense] = {
    "macs": "least",
    "params": "most",
    "memory": "least",
    "moved": "least",
    "layers": "most",
    "channels": "most",
    "latency": "least",
}
_MOST_VALUES = MAX_WIDTH


class SpaceTooLargeError(ValueError):
    """A proof would take too long, or too much room; the text says what to narrow."""


class Goal(NamedTuple):
    """What is wanted of a figure: the least, the most, or the nearest to a target.

    ``convention`` prices ``macs``; "" is the problem's.
    """

    figure: Figure
    sense: Sense
    target: int | None = None
    convention: str = ""


class Bound(NamedTuple):
    """What a figure must be: at least, at most, or between (None where it is open)."""

    figure: Figure
    least: int | None = None
    most: int | None = None
    convention: str = ""


@dataclass(frozen=True, slots=True)
class Space:
    """The networks that are looked at: a spec, and what of it may vary.

    An empty tuple means that the spec's own stays. ``repeats`` are the units of each stage in all,
    a tuple for each stage; ``bottlenecks`` the 1:ratio of the stages' units; ``stems`` the widths
    of the stem. The widths of the stages keep ``ratio`` (None: the spec's own), or vary each by
    itself with ``free``; or all widths are the spec's at each of ``scales``. ``widths`` lists those
    allowed for each stage; where it is empty, any up to ``widest`` times the spec's own column are.
    Every width of the stem and the stages is a multiple of ``align``. Raises QuantityError for a
    value out of its range, and where two of these contradict each other.
    """

    spec: Spec
    groups: tuple[int, ...] = ()
    units: tuple[str, ...] = ()
    bottlenecks: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    repeats: tuple[tuple[int, ...], ...] = ()
    stems: tuple[int, ...] = ()
    ratio: tuple[int, ...] | None = None
    free: bool = False
    scales: tuple[Decimal, ...] = ()
    widths: tuple[tuple[int, ...], ...] = ()
    widest: int = 4
    align: int = 1
    cardinality: int = DEFAULT_CARDINALITY
    units_from: Collection[str] = ()

    def __post_init__(self) -> None:
        rows = stage_rows(self.spec)
        stages = ", ".join(row.layer for row in rows)
        for g in self.groups:
            check_groups(g)
        check_groups(self.cardinality, "cardinality")
        for over in self.bottlenecks:
            check_groups(over, "bottleneck")
        for size in self.sizes:
            check_size(*size)
        for scale in self.scales:
            check_scale(scale)
        for width in (*self.stems, *(w for stage in self.widths for w in stage), self.align):
            check_width(width)
        if self.stems and stem_row(self.spec) is None:
            raise QuantityError(f"{self.spec.where}: has no stem, so none can be {self.stems[0]}")
        if not rows:
            raise QuantityError(f"{self.spec.where}: has no stage whose width is free")
        if not 1 <= self.widest <= 1_000:
            raise QuantityError(f"widest {self.widest} is not between 1 and 1000")
        lengths: dict[str, Sequence[object]] = {
            "repeats": self.repeats or rows,
            "widths": self.widths or rows,
        }
        if self.ratio is not None:
            lengths[f"ratio {':'.join(map(str, self.ratio))}"] = self.ratio
        for name, given in lengths.items():
            if len(given) != len(rows):
                raise QuantityError(
                    f"{name}: {len(given)} given, for {len(rows)} stages ({stages})"
                )
        for row, counts in zip(rows, self.repeats, strict=False):
            for count in counts:
                if not 1 <= count <= 1_000:
                    raise QuantityError(f"repeats {count} of {row.layer} is not between 1 and 1000")
        if self.ratio is not None:
            in_proportion([check_width(part) for part in self.ratio])
        clash = [name for name in ("ratio", "free", "widths", "stems") if getattr(self, name)]
        if self.scales and clash:
            raise QuantityError(f"scales settle all widths, so {clash[0]} cannot be given too")
        if self.free and self.ratio:
            raise QuantityError("free stages keep no ratio, so none can be given too")
        for name in ("groups", "units", "bottlenecks", "sizes", "stems", "scales"):
            self._check_values(name, getattr(self, name))
        for name in ("repeats", "widths"):
            for values in getattr(self, name):
                self._check_values(name, values, empty=False)

    def _check_values(self, name: str, values: tuple[object, ...], *, empty: bool = True) -> None:
        if not values and not empty:
            raise QuantityError(f"{name}: a stage has no value to take")
        if len(values) > _MOST_VALUES:
            raise QuantityError(f"{name}: {len(values)} values, more than {_MOST_VALUES}")
        if len(set(values)) != len(values):
            twice = next(value for value in values if values.count(value) > 1)
            raise QuantityError(f"{name}: {twice} is given twice")


@dataclass(frozen=True, slots=True)
class Problem:
    """A space, what must hold in it, and what is wanted: one goal for an optimum, more for a front.

    Order of the answer: the goal; then the lower cost under the convention; then the order of the
    space: unit, size, bottleneck and groups as given, and from the first layer on the narrower
    width, then the fewer units. ``top`` is how many of them are listed; of a front, all are.
    ``latency`` is the model of time, where one is bounded or wanted.
    Raises QuantityError for figures, senses and targets that do not fit together.
    """

    space: Space
    goals: tuple[Goal, ...]
    bounds: tuple[Bound, ...] = ()
    convention: str | Convention = "shufflenet-paper"
    top: int = 1
    latency: Model | None = None

    def __post_init__(self) -> None:
        named(self.convention)
        self._check_latency()
        if not self.goals:
            raise QuantityError("no goal is given")
        if self.top < 1:
            raise QuantityError(f"top {self.top} is less than 1")
        for goal in self.goals:
            _check_figure(goal.figure, goal.convention)
            if goal.sense not in get_args(Sense):
                raise QuantityError(
                    f"{goal.sense!r} of {goal.figure} is not one of {', '.join(get_args(Sense))}"
                )
            if (goal.target is None) != (goal.sense != "nearest"):
                raise QuantityError(
                    f"{goal.sense} {goal.figure}: a target belongs to the nearest, and only to it"
                )
            if goal.target is not None and not 1 <= goal.target <= MAX:
                raise QuantityError(f"target {goal.target} is not between 1 and {MAX}")
        for bound in self.bounds:
            _check_figure(bound.figure, bound.convention)
            if bound.least is None and bound.most is None:
                raise QuantityError(f"the bound of {bound.figure} says neither least nor most")
            for value in (bound.least, bound.most):
                if value is not None and type(value) is not int:
                    raise QuantityError(f"{bound.figure}: {value} is not a whole number")
                if value is not None and not 0 <= value <= MAX:
                    raise QuantityError(f"{bound.figure}: {value} is not between 0 and {MAX}")
            if bound.least is not None and bound.most is not None and bound.least > bound.most:
                raise QuantityError(
                    f"{bound.figure}: at least {bound.least} and at most {bound.most}"
                    " leave nothing between"
                )

    def _check_latency(self) -> None:
        asked = [*(goal.figure for goal in self.goals), *(b.figure for b in self.bounds)]
        if "latency" in asked and self.latency is None:
            raise QuantityError(
                "latency needs a model of a machine: --latency FILE, of `shufflecost latency fit`"
            )


def _check_figure(figure: str, convention: str) -> None:
    if figure not in FIGURES:
        raise QuantityError(f"figure {figure!r} is not one of {', '.join(FIGURES)}")
    if convention and figure != "macs":
        raise QuantityError(f"{figure} knows no convention, so it cannot be {convention}'s")
    if convention:
        named(convention)


class SolvedNetwork(NamedTuple):
    """A network of an answer, its figures (every one that the problem asks for, and ``macs``).

    ``unique`` says that no other network of the space inside the bounds equals it in every goal.
    """

    network: Network
    figures: Mapping[str, int]
    unique: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The proven answer to a problem, best first; of a front, in the order of its first goal.

    ``candidates`` is how many legal networks the space holds, all of them covered by the proof.
    ``edge`` names the stages whose width in a solution is the widest that the space allows;
    ``without`` are the groups of the space that no legal network has.
    """

    problem: Problem
    solutions: Sequence[SolvedNetwork]
    candidates: int
    edge: tuple[str, ...] = ()
    without: tuple[int, ...] = ()

    @property
    def best(self) -> SolvedNetwork:
        """The optimum, or the first of the front."""
        return self.solutions[0]
