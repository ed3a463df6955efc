"""Problems put as terms: which figures to fold, and what each sum of them must and should be."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from flopcount.conventions import Convention
from flopcount.conventions import convention as named
from shufflenet.cost.latency_model import Model
from shufflenet.solver.engine.best_first import MEMORY, Key, Limits
from shufflenet.solver.engine.bounds import FAR, Term
from shufflenet.solver.problem import Bound, Goal, Problem


class Asked(NamedTuple):
    """A problem put as terms: the figures to fold, the terms of them, and what is asked of each.

    ``labels`` are the terms' names for people; the memory is no term, and comes last.
    """

    names: Mapping[str, Convention | Model | None]
    terms: tuple[Term, ...]
    labels: tuple[str, ...]
    goals: tuple[Key, ...]
    cost: Key
    limits: Limits

    @classmethod
    def of(cls, problem: Problem) -> Asked:
        """The terms of a problem."""
        maker = _Terms(problem)
        cost = Key(maker.place("macs"))
        goals = tuple(_key(maker, goal) for goal in problem.goals)
        bounds = [found for bound in problem.bounds for found in _limits(maker, bound)]
        count = len(maker.terms) + 1
        limits = Limits((-FAR,) * count, (FAR,) * count)
        for term, least, most in bounds:
            limits = limits.within(term, least, most)
        terms, labels = tuple(maker.terms), tuple(maker.terms.values())
        return cls(maker.names, terms, labels, goals, cost, limits)


class _Terms:
    """The terms of a problem, each once, and the figures that they are sums of."""

    def __init__(self, problem: Problem) -> None:
        self.usual = named(problem.convention)
        self.latency = problem.latency
        self.names: dict[str, Convention | Model | None] = {}
        self.terms: dict[Term, str] = {}

    def name(self, figure: str, convention: str = "") -> str:
        """The name of a figure to fold."""
        if figure != "macs":
            self.names[figure] = self.latency if figure == "latency" else None
            return figure
        chosen = named(convention) if convention else self.usual
        self.names[f"macs:{chosen.name}"] = chosen
        return f"macs:{chosen.name}"

    def place(self, figure: str, convention: str = "") -> int:
        """The place of a figure among the terms."""
        if figure == "memory":
            self.names["memory"] = None
            return MEMORY
        label = f"{figure}:{convention}" if convention else figure
        return self.weighed(((self.name(figure, convention), 1),), label)

    def weighed(self, term: Term, label: str) -> int:
        """The place of a weighted sum of figures among the terms."""
        self.terms.setdefault(term, label)
        return list(self.terms).index(term)


def _key(maker: _Terms, goal: Goal) -> Key:
    sign = -1 if goal.sense == "most" else 1
    # All figures are below this, so that what is nearest to it is nearest to all above it.
    target = None if goal.target is None else min(goal.target, FAR // 2)
    return Key(maker.place(goal.figure, goal.convention), sign, target)


def _limits(maker: _Terms, bound: Bound) -> list[tuple[int, int, int]]:
    """What a bound asks of the terms: the place of each, its least and its most."""
    if bound.figure != "intensity":
        least = -FAR if bound.least is None else min(ceil(bound.least), FAR)
        most = FAR if bound.most is None else min(floor(bound.most), FAR)
        return [(maker.place(bound.figure, bound.convention), least, most)]
    macs, moved = maker.name("macs", bound.convention), maker.name("moved")
    found = []
    for value, least, most in ((bound.least, 0, FAR), (bound.most, -FAR, 0)):
        if value is not None:
            term = above_ratio(macs, moved, Fraction(value))
            found.append((maker.weighed(term, "intensity"), least, most))
    return found


def above_ratio(macs: str, moved: str, ratio: Fraction) -> Term:
    """A sum that is at least 0 where macs over moved is at least the ratio."""
    return ((macs, ratio.denominator), (moved, -ratio.numerator))
