"""Goals and bounds as people write them, and as they are told: ``most-channels``, ``1 MiB``.

Every reader raises QuantityError, which quotes the text and the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias, cast, get_args

from flopcount.conventions import UnknownConventionError
from flopcount.conventions import convention as convention_named
from shufflenet.arch.quantities import (
    QuantityError,
    quoted,
    read_budget,
    read_count,
    read_duration,
    read_memory,
    read_percent,
)
from shufflenet.solver.problem import FIGURES, USUAL, Bound, Figure, Goal, Sense

#: What may be read where one goal is: that, or the most that a budget allows.
Objective: TypeAlias = Goal | Literal["at-most"]

_SENSES: tuple[Sense, ...] = get_args(Sense)


class FigureFormat(NamedTuple):
    """What a figure is called in a help text and above a column, and how a value of it is read.

    ``unit`` is told behind a value where the name of the figure does not say it.
    """

    says: str
    header: str
    example: str
    read: Callable[[str], int]
    unit: str = ""

    def told(self, value: int) -> str:
        """A value of the figure, with its unit: ``2,097,152 B``."""
        return f"{value:,} {self.unit}".rstrip()


#: Of every figure: its words.
FIGURE_FORMATS: Mapping[Figure, FigureFormat] = {
    "macs": FigureFormat(
        "cost under the convention", "Cost", "150M", lambda text: read_budget(text, "macs")
    ),
    "params": FigureFormat(
        "parameters", "Parameters", "1M", lambda text: read_budget(text, "params")
    ),
    "memory": FigureFormat(
        "peak of activations, weights apart", "Peak [B]", "2MiB", read_memory, "B"
    ),
    "moved": FigureFormat(
        "bytes moved, unfused", "Moved [B]", "40MB", lambda text: read_memory(text, "moved"), "B"
    ),
    "layers": FigureFormat(
        "layers with weights on the longest path",
        "Layers",
        "50",
        lambda text: read_count(text, "layers"),
    ),
    "channels": FigureFormat(
        "widths of the stages, added up",
        "Channels",
        "1000",
        lambda text: read_count(text, "channels"),
    ),
    "latency": FigureFormat(
        "time by the --latency model", "Predicted [ns]", "20ms", read_duration, "ns"
    ),
}


def read_figure(text: str) -> Figure:
    """The figure of a name. Raises QuantityError where there is none."""
    found = next((figure for figure in FIGURES if figure == text), None)
    if found is None:
        raise QuantityError(f"figure {text!r} is not one of {', '.join(FIGURES)}")
    return found


def read_goal(text: str) -> Goal:
    """A goal: ``most-channels``, ``nearest-params=1M``, or a figure alone, in its usual sense.

    ``nearest`` alone is of the cost, and may leave its target to a budget. Raises QuantityError
    for an unknown sense or figure, and for a target that is missing or out of place.
    """
    what, equals, target = text.strip().partition("=")
    sense, dash, name = what.partition("-")
    if what == "at-most":
        raise QuantityError(
            f"goal {text!r} stands alone; beside others it is most-macs, which a budget bounds"
        )
    if what == "nearest":
        sense, name = "nearest", "macs"
    elif not dash and sense in FIGURES:
        figure = read_figure(sense)
        sense, name = USUAL[figure], figure
    elif sense not in _SENSES or name not in FIGURES:
        raise QuantityError(
            f"goal {text!r} is not least-, most- or nearest- and then one of {', '.join(USUAL)}"
        )
    figure = read_figure(name)
    if sense != "nearest":
        if equals:
            raise QuantityError(f"goal {text!r}: only the nearest has a target")
        return Goal(figure, cast(Sense, sense))
    if not equals:
        if figure != "macs":
            example = FIGURE_FORMATS[figure].example
            raise QuantityError(f"goal {text!r} has no target, as in nearest-{figure}={example}")
        return Goal("macs", "nearest")
    return Goal(figure, "nearest", FIGURE_FORMATS[figure].read(target))


def read_objective(text: str) -> Objective:
    """The one thing that is wanted: a goal, or ``at-most``, the largest cost within a budget."""
    return "at-most" if text.strip() == "at-most" else read_goal(text)


def near(figure: Figure, target: int, within: Fraction) -> Bound:
    """The bound of what is within a share of a target, both ends included.

    The least is rounded up and the most down: it stays within.
    """
    least, most = target * (1 - within), target * (1 + within)
    return Bound(figure, -(-least.numerator // least.denominator), int(most))


def read_end(figure: Figure, text: str) -> tuple[str, int]:
    """An end of a bound as a line has it: ``300M``, or in a convention of its own, ``torch:300M``.

    The convention is "" where none is named. Raises QuantityError for anything else.
    """
    name, colon, value = text.rpartition(":")
    convention = own_convention(figure, name, text) if colon else ""
    return convention, FIGURE_FORMATS[figure].read(value)


def read_near(figure: Figure, text: str) -> Bound:
    """What is within a share of a value, as a line has it: ``140M:5%``, ``torch:280M:5%``.

    Raises QuantityError for anything else.
    """
    value, colon, share = text.rpartition(":")
    if not colon or "%" not in share:
        example = f"{FIGURE_FORMATS[figure].example}:5%"
        raise QuantityError(
            f"{figure} {quoted(text)} has no share that it is near to, as {example}"
        )
    convention, target = read_end(figure, value)
    bound = near(figure, target, read_percent(share, "share"))
    return bound._replace(convention=convention)


def own_convention(figure: Figure, name: str, text: str) -> str:
    """The convention of one bound, by its name. Raises QuantityError where it cannot have it."""
    if figure != "macs":
        raise QuantityError(
            f"{figure} {quoted(text)}: {figure} knows no convention, so no {name!r}"
        )
    try:
        return convention_named(name).name
    except UnknownConventionError as error:
        raise QuantityError(f"{figure} {quoted(text)}: {error}") from error


def goal_text(goal: Goal) -> str:
    """A goal as it is told: ``nearest macs to 140,000,000``."""
    target = "" if goal.target is None else f" to {FIGURE_FORMATS[goal.figure].told(goal.target)}"
    return f"{goal.sense} {named(goal.figure, goal.convention)}{target}"


def bound_text(bound: Bound) -> str:
    """A bound as it is told: ``params at most 1,000,000``."""
    ends = (("at least", bound.least), ("at most", bound.most))
    words = FIGURE_FORMATS[bound.figure]
    said = [f"{word} {words.told(value)}" for word, value in ends if value is not None]
    return f"{named(bound.figure, bound.convention)} {' and '.join(said)}"


def named(figure: Figure, convention: str) -> str:
    """A figure with its convention, where it has one of its own: ``macs (torch)``."""
    return f"{figure} ({convention})" if convention else figure
