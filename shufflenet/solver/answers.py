"""Answers of the solver as records: what is shown of them, and as figures for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from flopcount.conventions import convention as convention_named
from flopcount.conventions import price
from shufflenet.arch.layout import stage_rows
from shufflenet.arch.network import Network
from shufflenet.cost.latency_model import quality_json
from shufflenet.cost.priced import Priced, column_json, input_json, priced
from shufflenet.solver.problem import Bound, Figure, Goal, Outcome, SolvedNetwork


class Shown(NamedTuple):
    """A network of an answer with its figures, and its place in the answer, from 1."""

    item: Priced
    found: SolvedNetwork
    rank: int

    def figure(self, figure: Figure, convention: str = "") -> int:
        """A figure of the network, counted by the scalar fold; the cost under a convention."""
        tally = self.item.tally
        figures: Mapping[str, Any] = {
            "params": tally.params,
            "memory": tally.peak_memory,
            "moved": tally.bytes_moved,
            "layers": self.item.network.depth,
            "channels": sum(self.item.network.stage_widths),
        }
        if figure == "latency":
            return self.found.figures["latency"]
        if figure in figures:
            value: int = figures[figure]
            return value
        return price(tally, convention_named(convention)) if convention else self.item.cost

    @property
    def intensity(self) -> Fraction:
        """The cost for each byte moved, exactly; 0 where none is."""
        moved = self.item.tally.bytes_moved
        return Fraction(self.item.cost, moved) if moved else Fraction(0)

    def residual(self, goal: Goal) -> int:
        """The figure of the nearest, less its target."""
        assert goal.target is not None
        return self.figure(goal.figure, goal.convention) - goal.target


class ShownOutcome(NamedTuple):
    """An outcome and what is shown of it; ``groups`` where it is one of several, each of a g."""

    outcome: Outcome
    shown: tuple[Shown, ...]
    groups: int | None = None

    @property
    def front(self) -> bool:
        """Whether several goals made it a front."""
        return len(self.outcome.problem.goals) > 1

    @property
    def aim(self) -> Goal | None:
        """The one goal that has a target, if there is one."""
        aims = [goal for goal in self.outcome.problem.goals if goal.target is not None]
        return aims[0] if len(aims) == 1 else None


def answer(outcome: Outcome, most: int, groups: int | None = None) -> ShownOutcome:
    """What is shown of an outcome: the best so many; of a front as many, both ends among them."""
    chosen = convention_named(outcome.problem.convention)
    found = outcome.solutions
    places: Sequence[int] = range(len(found))[:most]
    if len(outcome.problem.goals) > 1 and len(found) > most:
        places = spread(len(found), most)
    shown = tuple(
        Shown(priced(found[place].network, chosen), found[place], place + 1) for place in places
    )
    return ShownOutcome(outcome, shown, groups)


def spread(points: int, most: int) -> tuple[int, ...]:
    """So many places among more points, evenly, with the first and the last where two fit."""
    if most == 1:
        return (0,)
    return tuple(place * (points - 1) // (most - 1) for place in range(most))


def repeats(network: Network) -> tuple[int, ...]:
    """The units of each stage, in all."""
    return tuple(
        sum(len(placed.paths) for placed in network.rows if placed.row.path == stage.path)
        for stage in stage_rows(network.spec)
    )


def bottleneck(network: Network) -> int | None:
    """The 1:ratio of the stages' bottlenecks; None where there is none, or they differ."""
    stages = {row.path for row in stage_rows(network.spec)}
    ratios = {placed.ratio for placed in network.rows if placed.row.path in stages}
    return ratios.pop() if len(ratios) == 1 else None


def unit(network: Network) -> str:
    """The unit of the stages, or of each where they differ."""
    stages = {row.path for row in stage_rows(network.spec)}
    names = [placed.row.unit for placed in network.rows if placed.row.path in stages]
    return ", ".join(dict.fromkeys(names))


def answers_json(answers: Sequence[ShownOutcome]) -> dict[str, Any]:
    """The answers to a problem as figures, those of all networks in one list."""
    problem = answers[0].outcome.problem
    return {
        "spec": problem.space.spec.name,
        "convention": convention_named(problem.convention).name,
        "latency": None if problem.latency is None else quality_json(problem.latency),
        "goals": [goal_json(goal) for goal in problem.goals],
        "bounds": [bound_json(bound) for bound in problem.bounds],
        "answers": [
            {
                "groups": item.groups,
                "candidates": item.outcome.candidates,
                "points": len(item.outcome.solutions) if item.front else None,
                "edge": list(item.outcome.edge),
                "without": list(item.outcome.without),
            }
            for item in answers
        ],
        "solutions": [_solution(item, shown) for item in answers for shown in item.shown],
    }


def goal_json(goal: Goal) -> dict[str, Any]:
    """A goal as figures."""
    return {
        "figure": goal.figure,
        "sense": goal.sense,
        "target": goal.target,
        "convention": goal.convention or None,
    }


def bound_json(bound: Bound) -> dict[str, Any]:
    """A bound as figures."""
    return {
        "figure": bound.figure,
        "at_least": bound.least,
        "at_most": bound.most,
        "convention": bound.convention or None,
    }


def _solution(item: ShownOutcome, shown: Shown) -> dict[str, Any]:
    network = shown.item.network
    return {
        "unit": unit(network),
        "input": input_json(network),
        "bottleneck": bottleneck(network),
        "repeats": list(repeats(network)),
        **solution_json(
            shown.item,
            {
                "bytes_moved": shown.figure("moved"),
                "intensity": str(shown.intensity),
                "depth": shown.figure("layers"),
                "channels": shown.figure("channels"),
                "latency_ns": shown.found.figures.get("latency"),
                "residual": None if item.aim is None else shown.residual(item.aim),
                "candidates": item.outcome.candidates,
                "unique": shown.found.unique,
                "rank": shown.rank,
            },
        ),
    }


def solution_json(item: Priced, solved: Mapping[str, Any]) -> dict[str, Any]:
    """A solved network as figures: those of its column, what solving adds, then the proof."""
    figures = column_json(item)
    del figures["rounded"]
    proof, witnesses = figures.pop("confirmed"), figures.pop("witnesses")
    return {**figures, **solved, "confirmed": proof, "witnesses": witnesses}
