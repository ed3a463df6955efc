"""Problems solved: a space priced, its bounds and goals put as terms, and the answer proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from flopcount.conventions import Convention, price
from flopcount.conventions import convention as named
from shufflenet.design.chain import Chain, chain
from shufflenet.design.front import front
from shufflenet.design.parts import cut, frames
from shufflenet.design.problem import Bound, Found, Goal, Outcome, Problem, Space
from shufflenet.design.ranking import MEMORY, Field, Hit, Key, Limits
from shufflenet.design.search import FAR, Term
from shufflenet.network import Network
from shufflenet.placing import variable_rows
from shufflenet.quantities import QuantityError
from shufflenet.scaling import NothingLegalError
from shufflenet.spec import SpecError

# Points of a front of which it is looked up whether another network equals them.
_MOST_LOOKED_UP = 1_000


def optimise(problem: Problem) -> Outcome:
    """The best networks of a space inside the bounds, or the whole front, proven.

    Raises NothingLegalError where there is none, which names what is in the way and the smallest
    relaxation that admits one; SpaceTooLargeError where a proof would take too long; and what
    pricing the space raises.
    """
    from shufflenet.design.relaxing import nothing_fits, nothing_legal

    asked = Asked.of(problem)
    chains = price_space(problem.space, asked.names)
    candidates = sum(one.candidates() for one in chains)
    if not candidates:
        raise NothingLegalError(nothing_legal(problem.space))
    field = Field(chains, asked.terms)
    if len(problem.goals) == 1:
        hits = field.ranked([*asked.goals, asked.cost], asked.limits, problem.top + 1)
        unique = _apart(hits, asked.goals[0])
        hits = hits[: problem.top]
    else:
        hits = front(field, asked.goals, asked.cost, asked.limits)
        unique = [_alone(field, asked, hit) for hit in hits[:_MOST_LOOKED_UP]]
        unique += [False] * (len(hits) - len(unique))
    if not hits:
        raise NothingLegalError(nothing_fits(problem, field, asked))
    found = tuple(
        Found(*_network(field, asked, hit), alone) for hit, alone in zip(hits, unique, strict=False)
    )
    return Outcome(problem, found, candidates, _edge(chains, hits[0]))


def price_space(space: Space, names: Mapping[str, Convention | None]) -> list[Chain]:
    """Every frame of a space, priced in the figures of these names."""
    return [chain(cut(space, frame), names) for frame in frames(space)]


class Asked(NamedTuple):
    """A problem put as terms: the figures to fold, the terms of them, and what is asked of each.

    ``labels`` are the terms' names for people; the memory is no term, and comes last.
    """

    names: Mapping[str, Convention | None]
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
        self.names: dict[str, Convention | None] = {}
        self.terms: dict[Term, str] = {}

    def name(self, figure: str, convention: str = "") -> str:
        """The name of a figure to fold."""
        if figure != "macs":
            self.names[figure] = None
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
    return Key(maker.place(goal.figure, goal.convention), sign, goal.target)


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
            ratio = Fraction(value)
            if max(ratio.numerator, ratio.denominator) > 2**24:
                raise QuantityError(f"intensity {value} has too many digits")
            term = ((macs, ratio.denominator), (moved, -ratio.numerator))
            found.append((maker.weighed(term, "intensity"), least, most))
    return found


def _apart(hits: Sequence[Hit], key: Key) -> list[bool]:
    """Whether the goal of each network is not that of the one before or after it."""
    values = [key.value(hit.values[key.term]) for hit in hits]
    return [
        value not in values[max(index - 1, 0) : index] and value not in values[index + 1 : index + 2]
        for index, value in enumerate(values)
    ]


def _alone(field: Field, asked: Asked, hit: Hit) -> bool:
    """Whether no other network has a front point's goals."""
    alike = [asked.limits]
    for key in asked.goals:
        value = hit.values[key.term]
        values = {value} if key.target is None else {value, 2 * key.target - value}
        alike = [limits.within(key.term, v, v) for limits in alike for v in values]
    found = 0
    for limits in alike:
        found += len(field.first(limits, 2)) if limits.open else 0
    return found == 1


def _network(field: Field, asked: Asked, hit: Hit) -> tuple[Network, dict[str, int]]:
    """The network of a hit and its figures, counted anew as a whole.

    Raises SpecError where the sum of its units is not what the whole costs.
    """
    made = field.chains[hit.chain].network(hit.widths, hit.repeats)
    tally = made.tally(memory="memory" in asked.names)
    whole: dict[str, int] = {}
    for name, convention in asked.names.items():
        if convention is not None:
            whole[name] = price(tally, convention)
    peak = tally.peak_memory
    whole |= {
        "params": tally.params,
        "moved": tally.bytes_moved,
        "layers": made.depth,
        "channels": sum(made.stage_widths),
    }
    if peak is not None:
        whole["memory"] = peak
    sums = [sum(weight * whole[name] for name, weight in term) for term in asked.terms]
    if sums != list(hit.values[:-1]) or ("memory" in asked.names and peak != hit.values[-1]):
        raise SpecError(
            f"{made.spec.where}: its units depend on more than their neighbours, which the solver"
            " does not follow"
        )
    usual = asked.terms[asked.cost.term][0][0]
    figures = {"macs": whole[usual]}
    figures |= {name: value for name, value in whole.items() if name not in ("macs", usual)}
    return made, figures


def _edge(chains: Sequence[Chain], hit: Hit) -> tuple[str, ...]:
    """The layers of a network that are as wide as the space allows, where it allows several."""
    one = chains[hit.chain]
    names = {row.path: row.layer for row in variable_rows(one.frame.spec)}
    found = []
    for link, j in zip(one.links, hit.widths, strict=True):
        for path, widths in zip(link.part.paths, link.part.widths, strict=True):
            if len(widths) > 1 and widths[j] == widths.max():
                found.append(names[path])
    return tuple(found)
