"""Problems put as terms: which figures to fold, and what each of them must and should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from flopcount.conventions import Convention
from flopcount.conventions import convention as named
from shufflenet.cost.latency_model import Model
from shufflenet.solver.engine.best_first import MEMORY_TERM, RankKey, TermRanges
from shufflenet.solver.engine.bounds import FAR, Term
from shufflenet.solver.problem import Problem


class Objectives(NamedTuple):
    """A problem put as terms: the figures to fold, a term for each, and what is asked of them.

    The memory is no term, and comes last among the ranges.
    """

    names: Mapping[str, Convention | Model | None]
    terms: tuple[Term, ...]
    goals: tuple[RankKey, ...]
    cost: RankKey
    ranges: TermRanges

    @classmethod
    def of(cls, problem: Problem) -> Objectives:
        """The terms of a problem."""
        maker = _Terms(problem)
        cost = RankKey(maker.place("macs"))
        goals = tuple(
            RankKey(
                maker.place(goal.figure, goal.convention),
                -1 if goal.sense == "most" else 1,
                # All figures are below this: what is nearest to it is nearest to all above it.
                None if goal.target is None else min(goal.target, FAR // 2),
            )
            for goal in problem.goals
        )
        places = [maker.place(bound.figure, bound.convention) for bound in problem.bounds]
        count = len(maker.terms) + 1
        ranges = TermRanges((-FAR,) * count, (FAR,) * count)
        for place, bound in zip(places, problem.bounds, strict=True):
            least = -FAR if bound.least is None else min(bound.least, FAR)
            most = FAR if bound.most is None else min(bound.most, FAR)
            ranges = ranges.within(place, least, most)
        return cls(maker.names, tuple(maker.terms), goals, cost, ranges)


class _Terms:
    """The terms of a problem, each once, and the figures that they are."""

    def __init__(self, problem: Problem) -> None:
        self.usual = named(problem.convention)
        self.latency = problem.latency
        self.names: dict[str, Convention | Model | None] = {}
        self.terms: list[Term] = []

    def place(self, figure: str, convention: str = "") -> int:
        """The place of a figure among the terms."""
        if figure == "memory":
            self.names["memory"] = None
            return MEMORY_TERM
        term: Term = ((self._name(figure, convention), 1),)
        if term not in self.terms:
            self.terms.append(term)
        return self.terms.index(term)

    def _name(self, figure: str, convention: str) -> str:
        """The name of a figure to fold."""
        if figure != "macs":
            self.names[figure] = self.latency if figure == "latency" else None
            return figure
        chosen = named(convention) if convention else self.usual
        self.names[f"macs:{chosen.name}"] = chosen
        return f"macs:{chosen.name}"
