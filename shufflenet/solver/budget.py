"""Widths under a budget: a space of all widths in one ratio, as wide as can be of use."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isqrt, lcm
from typing import Literal, TypeAlias, get_args

import numpy as np

from flopcount.conventions import Convention, price
from flopcount.conventions import convention as named
from flopcount.integers import MAX, FigureTooLargeError, lift
from flopcount.layers.rules import Divides
from shufflenet.arch.layout import (
    DEFAULT_CARDINALITY,
    Frame,
    distinct,
    stage_rows,
    stem_row,
    variable_rows,
    walk,
)
from shufflenet.arch.network import Network, assemble
from shufflenet.arch.quantities import MAX_WIDTH, QuantityError, in_proportion
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec import Spec, SpecError
from shufflenet.solver.engine.infeasible import nothing_legal
from shufflenet.solver.engine.optimise import PricedProblem
from shufflenet.solver.engine.stage_tables import CostChain
from shufflenet.solver.engine.variables import IntArray, frames
from shufflenet.solver.problem import Bound, Goal, Problem, Space

Policy: TypeAlias = Literal["nearest", "at-most"]

#: A residual above this share of the budget is worth a remark: one part in 50, that is 2%.
NOTABLE = 50
# Stems that auto tries at most.
_MOST_STEMS = 1_024
# Steps to begin with where the reference width says nothing.
_BLIND_GUESS = 128


@dataclass(frozen=True, slots=True)
class Solution:
    """One network that was found, its cost under the convention, and cost minus budget."""

    network: Network
    cost: int
    residual: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The best networks for a budget, best first.

    ``candidates`` counts the legal networks that the proof covers; ``unique`` says that no other
    legal network is as good as the best.
    """

    budget: int
    policy: Policy
    convention: str
    solutions: tuple[Solution, ...]
    candidates: int
    unique: bool

    @property
    def best(self) -> Solution:
        """The optimum."""
        return self.solutions[0]

    @property
    def notable(self) -> bool:
        """Whether the best misses the budget by more than 2%."""
        return abs(self.best.residual) * NOTABLE > self.budget


def solve(
    spec: Spec,
    budget: int,
    groups: int | None = None,
    *,
    policy: Policy = "nearest",
    ratio: Sequence[int] | None = None,
    stem: int | Sequence[int] | Literal["auto"] | None = None,
    size: tuple[int, int] | None = None,
    unit: str | None = None,
    cardinality: int = DEFAULT_CARDINALITY,
    units_from: Collection[str] = (),
    convention: str | Convention = "shufflenet-paper",
    top: int = 1,
) -> Answer:
    """The networks of a spec whose cost is nearest to a budget, or the largest within it.

    The stages' widths keep ``ratio`` (the spec's own by default); ``stem`` is a width, several,
    or ``"auto"``: every width up to the spec's own. All legal widths are covered: `optimise` solves
    a space that grows until wider networks only cost more. Order: smallest miss, then the cheaper,
    then the narrower stem. Raises NothingLegalError, which names the rule in the way and the
    nearest budget that works; QuantityError or SpecError for bad input; UnknownConventionError and
    UnpricedKindError as `price` does. ``budget`` is in the convention's unit.
    """
    if not 1 <= budget <= MAX:
        raise QuantityError(f"budget {budget} is not between 1 and {MAX}")
    if policy not in get_args(Policy):
        raise QuantityError(f"policy {policy!r} is not one of {', '.join(get_args(Policy))}")
    space = Space(
        spec,
        groups=(spec.first_choice if groups is None else groups,),
        units=() if unit is None else (unit,),
        sizes=() if size is None else (size,),
        stems=_stems(spec, stem),
        ratio=None if ratio is None else tuple(ratio),
        cardinality=cardinality,
        units_from=units_from,
    )
    goal, bounds = Goal("macs", "nearest", budget), tuple[Bound, ...]()
    if policy == "at-most":
        goal, bounds = Goal("macs", "most"), (Bound("macs", most=budget),)
    problem = Problem(space, (goal,), bounds, convention, top)
    priced = _widened(problem, budget)
    if not priced.candidates:
        raise NothingLegalError(nothing_legal(priced.problem.space) + _other_stems(problem, budget))
    outcome = priced.outcome()
    costs = [found.figures["macs"] for found in outcome.solutions]
    solutions = tuple(
        Solution(found.network, cost, cost - budget)
        for found, cost in zip(outcome.solutions, costs, strict=True)
    )
    name = named(convention).name
    return Answer(budget, policy, name, solutions, outcome.candidates, outcome.best.unique)


def _stems(spec: Spec, stem: int | Sequence[int] | Literal["auto"] | None) -> tuple[int, ...]:
    """The stems of the space; none where the spec's own stays."""
    if stem is None or isinstance(stem, int):
        return () if stem is None else (stem,)
    row = stem_row(spec)
    if stem != "auto":
        if not stem:
            raise QuantityError("stem: no width is given")
        return tuple(dict.fromkeys(stem))
    if row is None or row.channels is None:
        raise QuantityError(f"{spec.where}: has no stem, so none can be auto")
    widest = max(row.channels)
    if widest > _MOST_STEMS:
        raise QuantityError(
            f"{spec.where}: stem auto would try {widest} stems, more than {_MOST_STEMS}; give some"
        )
    return tuple(range(1, widest + 1))


def _widened(problem: Problem, budget: int) -> PricedProblem:
    """The problem in a space so wide that all wider networks are worse, or cannot be legal.

    A step adds the ratio to the stages' widths. Raises FigureTooLargeError where the figures of
    such a space are too large to be summed exactly.
    """
    space = problem.space
    (frame,) = frames(space)
    rows = stage_rows(space.spec)
    ratio = in_proportion(space.ratio or [frame.own(row) for row in rows])
    row = stem_row(space.spec)
    stems = () if row is None else space.stems or (frame.fixed(row),)
    # Where the first stage is as wide as what comes before it, a projection falls away and the
    # cost may drop; behind that it only rises.
    turn = max(stems, default=frame.image[1]) // ratio[0]
    limit = most = MAX_WIDTH // max(ratio)
    low, high = 0, min(max(_first_guess(problem, frame, ratio, stems[-1:], budget), turn + 1), most)
    while True:
        widths = tuple(tuple(range(part, part * high + 1, part)) for part in ratio)
        try:
            priced = PricedProblem(replace(problem, space=replace(space, widths=widths)))
        except FigureTooLargeError:
            if high - low < 2:
                raise
            most, high = high - 1, (low + high) // 2
            continue
        if high == limit or _is_wide_enough(priced, budget, stems, ratio, turn, high):
            return priced
        if high == most:
            raise FigureTooLargeError
        low, high = high, min(2 * high, most)


def _first_guess(
    problem: Problem, frame: Frame, ratio: tuple[int, ...], stem: tuple[int, ...], budget: int
) -> int:
    """Steps that cost some more than the budget, if cost grows with the square of the width."""
    first = stage_rows(frame.spec)[0]
    assert first.channels is not None
    steps = max(first.channels[0] // ratio[0], 1)
    widths = [*stem, *(steps * part for part in ratio)]
    paths = [row.path for row in variable_rows(frame.spec)]
    try:
        tally = assemble(frame, dict(zip(paths, widths, strict=True))).tally(memory=False)
    except SpecError:
        return _BLIND_GUESS
    cost = price(tally, named(problem.convention))
    return isqrt(steps**2 * budget * 3 // (max(cost, 1) * 2)) + 16


def _is_wide_enough(
    priced: PricedProblem,
    budget: int,
    stems: tuple[int, ...],
    ratio: tuple[int, ...],
    turn: int,
    high: int,
) -> bool:
    """Whether no wider network can be among the best: cost rises, and is past all of them."""
    (chain,) = priced.chains
    columns = list(_columns(chain, priced.cost_name))
    if columns:
        misses = np.sort(np.abs(np.concatenate([costs for _, costs in columns]) - budget))
        top, at_most = priced.problem.top, bool(priced.problem.bounds)
        if not at_most and len(misses) < top:
            return False
        reach = 0 if at_most else int(misses[top - 1])
        for widths, costs in columns:
            rising = costs[widths > turn * ratio[0]]
            if int(costs[-1]) - budget <= reach or (np.diff(rising) < 0).any():
                return False
    legal = chain.links[0].part.widths[0].tolist() if columns else []
    others = [stem for stem in stems if stem not in legal]
    if columns and not others:
        return True
    return _never_legal(chain.frame, others, ratio, turn, high)


def _columns(chain: CostChain, name: str) -> Iterator[tuple[IntArray, IntArray]]:
    """For each stem that has legal networks: the widths of their first stage, and their costs."""
    if not chain.links:
        return
    *stem, stages = chain.links
    before = np.array([chain.start[name]])
    for link in stem:
        before = before + link.pair[name][0] + link.own[name][:, 0]
    costs = before[:, None] + stages.pair[name] + stages.own[name][:, 0]
    for column, legal in zip(costs, stages.legal & stages.allowed[:, 0], strict=True):
        yield stages.part.widths[0][legal], column[legal]


def _never_legal(
    frame: Frame, stems: Sequence[int], ratio: tuple[int, ...], turn: int, high: int
) -> bool:
    """Whether the rules have repeated within the widths tried, so that no wider one is legal."""
    steps = np.arange(turn + 1, high + 1, dtype=np.int64)
    # (stems, steps)
    columns = [lift(np.array([stems], np.int64).T)] if stems else []
    columns += [lift(steps[None, :] * part) for part in ratio]
    paths = [row.path for row in variable_rows(frame.spec)]
    shape = max(len(stems), 1), len(steps)
    alive = np.ones(shape[0], np.bool_)
    period, start = 1, turn
    for placed in distinct(walk(frame, dict(zip(paths, columns, strict=True)))):
        for _, rule in placed.rules():
            if rule.holds() is False:
                # A rule without a width in it.
                return True
            if not isinstance(rule, Divides):
                held, value = (np.broadcast_to(one, shape) for one in (rule.holds(), rule.value))
                # What is too small by the last step stays so where it does not grow.
                small = alive & ~held[:, -1]
                if (value[small, -1] > value[small, 0]).any():
                    return False
                alive &= held[:, -1]
                start = max(start, int(steps[~held[alive].all(axis=0)].max(initial=turn)))
            elif rule.by is not rule.value:
                if type(rule.by) is not int:
                    return False
                period = lcm(period, rule.by)
    return high - start > period or not alive.any()


def _other_stems(problem: Problem, budget: int) -> str:
    """The nearest budget that works with another stem, in words; "" where there is none."""
    row = stem_row(problem.space.spec)
    if row is None or row.channels is None:
        return ""
    (groups,) = problem.space.groups
    # More groups than the spec's stem is wide: multiples of them are what divides.
    for stems in (
        range(1, min(max(row.channels), _MOST_STEMS) + 1),
        range(groups, 4 * groups + 1, groups),
    ):
        space = replace(problem.space, stems=tuple(stems))
        goal = Goal("macs", "nearest", budget)
        priced = _widened(Problem(space, (goal,), (), problem.convention), budget)
        if priced.candidates:
            best = priced.outcome().best
            widths = ", ".join(map(str, best.network.stage_widths))
            return (
                f"; the nearest budget that works is {best.figures['macs']:,}"
                f" (stem {best.network.stem}, widths {widths})"
            )
    return ""
