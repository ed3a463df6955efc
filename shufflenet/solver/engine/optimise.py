"""Problems solved: a space priced, its bounds and goals put as terms, and the answer proven."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from shufflenet.arch.layout import variable_rows
from shufflenet.arch.network import Network
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec import SpecError
from shufflenet.solver.engine.best_first import CandidateSet, NetworkCandidate, RankKey
from shufflenet.solver.engine.infeasible import nothing_fits, nothing_legal
from shufflenet.solver.engine.objectives import Objectives
from shufflenet.solver.engine.pareto import front
from shufflenet.solver.engine.search_limits import LIMITS, SearchLimits, WorkMeter
from shufflenet.solver.engine.stage_tables import CostChain, chain
from shufflenet.solver.engine.unit_costs import Names, network_figures
from shufflenet.solver.engine.variables import frames, split_frame
from shufflenet.solver.problem import Outcome, Problem, SolvedNetwork, Space


def optimise(
    problem: Problem,
    note: Callable[[int, int], object] = lambda done, most: None,
    limits: SearchLimits = LIMITS,
) -> Outcome:
    """The best networks of a space inside the bounds, or the whole front, proven.

    ``note`` is told, every few seconds of a long proof, how many entries it has looked at, and how
    many it may; ``limits`` say how many those are. Raises NothingLegalError where there is none,
    which names what is in the way and the smallest relaxation that admits one; SpaceTooLargeError
    where a proof would take too long; and what pricing the space raises.
    """
    return PricedProblem(problem, note, limits).outcome()


class PricedProblem:
    """A problem whose space is priced: what every network costs is known, not yet which is best.

    ``candidates`` is how many legal networks the space holds. Raises what pricing the space raises.
    """

    def __init__(
        self,
        problem: Problem,
        note: Callable[[int, int], object] = lambda done, most: None,
        limits: SearchLimits = LIMITS,
    ) -> None:
        self.problem = problem
        self.limits = limits
        self.asked = Objectives.of(problem)
        self.chains = price_space(problem.space, self.asked.names, limits)
        self.candidates = sum(one.candidates() for one in self.chains)
        self.pool = CandidateSet(self.chains, self.asked.terms, WorkMeter(limits, note))
        for number in range(len(self.chains)):
            self.pool.summed(number, self.pool.terms)

    @property
    def cost_name(self) -> str:
        """The name of the cost among the figures of the chains."""
        return self.asked.terms[self.asked.cost.term][0][0]

    def outcome(self) -> Outcome:
        """The proven answer. Raises NothingLegalError and SpaceTooLargeError as `optimise` does."""
        problem, asked, pool = self.problem, self.asked, self.pool
        if not self.candidates:
            raise NothingLegalError(nothing_legal(problem.space))
        if len(problem.goals) == 1:
            found = pool.ranked([*asked.goals, asked.cost], asked.ranges, problem.top + 1)
            unique: Sequence[bool | None] = _apart(found, asked.goals[0])
            found = found[: problem.top]
        else:
            found = front(pool, asked.goals, asked.cost, asked.ranges)
            unique = []
        if not found:
            raise NothingLegalError(nothing_fits(problem, self.chains, self.limits))
        solutions = _Solutions(pool, asked, found, unique)
        legal = {one.frame.groups for one in self.chains if one.links}
        without = tuple(g for g in problem.space.groups if g not in legal)
        edge = _edge(self.chains, found[0])
        return Outcome(problem, solutions, self.candidates, edge, without)


class _Solutions(Sequence[SolvedNetwork]):
    """The networks of an answer, each built, and counted anew as a whole, when it is asked for."""

    def __init__(
        self,
        pool: CandidateSet,
        asked: Objectives,
        candidates: Sequence[NetworkCandidate],
        unique: Sequence[bool | None],
    ) -> None:
        self._pool, self._asked = pool, asked
        self._chosen, self._unique = candidates, unique
        self._made: dict[int, SolvedNetwork] = {}

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> SolvedNetwork: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SolvedNetwork, ...]: ...
    def __getitem__(self, index: int | slice) -> SolvedNetwork | tuple[SolvedNetwork, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        if place not in self._made:
            candidate = self._chosen[place]
            self._made[place] = SolvedNetwork(
                *_network(self._pool, self._asked, candidate), self._is_unique(place)
            )
        return self._made[place]

    def _is_unique(self, place: int) -> bool:
        known = self._unique[place] if self._unique else None
        return _alone(self._pool, self._asked, self._chosen[place]) if known is None else known


def price_space(space: Space, names: Names, limits: SearchLimits) -> list[CostChain]:
    """Every frame of a space, priced in the figures of these names."""
    return [chain(split_frame(space, frame), names, limits) for frame in frames(space)]


def _apart(candidates: Sequence[NetworkCandidate], key: RankKey) -> list[bool]:
    """Whether the goal of each network is not that of the one before or after it."""
    values = [key.value(candidate.values[key.term]) for candidate in candidates]
    return [
        value not in values[max(index - 1, 0) : index]
        and value not in values[index + 1 : index + 2]
        for index, value in enumerate(values)
    ]


def _alone(pool: CandidateSet, asked: Objectives, candidate: NetworkCandidate) -> bool:
    """Whether no other network has a front point's goals."""
    alike = [asked.ranges]
    for key in asked.goals:
        value = candidate.values[key.term]
        values = {value} if key.target is None else {value, 2 * key.target - value}
        alike = [ranges.within(key.term, v, v) for ranges in alike for v in values]
    # What is ranked by has but one value; ranking brings the cuts that find its networks.
    ranked = RankKey(asked.goals[0].term)
    return sum(len(pool.ranked([ranked], ranges, 2)) for ranges in alike) == 1


def _network(
    pool: CandidateSet, asked: Objectives, candidate: NetworkCandidate
) -> tuple[Network, dict[str, int]]:
    """The network of a candidate and its figures, counted anew as a whole.

    Raises SpecError where the sum of its units is not what the whole costs.
    """
    made = pool.chains[candidate.chain].network(candidate.widths, candidate.repeats)
    whole = network_figures(made, asked.names)
    sums = [sum(weight * whole[name] for name, weight in term) for term in asked.terms]
    if "memory" in asked.names:
        sums.append(whole["memory"])
    if sums != list(candidate.values[: len(sums)]):
        raise SpecError(
            f"{made.spec.where}: its units depend on more than their neighbours, which the solver"
            " does not follow"
        )
    usual = asked.terms[asked.cost.term][0][0]
    figures = {"macs": whole[usual]}
    figures |= {name: value for name, value in whole.items() if name not in ("macs", usual)}
    return made, figures


def _edge(chains: Sequence[CostChain], candidate: NetworkCandidate) -> tuple[str, ...]:
    """The layers of a network that are as wide as the space allows, where it allows several."""
    one = chains[candidate.chain]
    names = {row.path: row.layer for row in variable_rows(one.frame.spec)}
    found = []
    for link, j in zip(one.links, candidate.widths, strict=True):
        for path, widths in zip(link.part.paths, link.part.widths, strict=True):
            if len(widths) > 1 and widths[j] == widths.max():
                found.append(names[path])
    return tuple(found)
