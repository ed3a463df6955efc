"""Widths under a budget: every legal width is priced, so the best is proven, not found by luck.

The stages keep a ratio, so that one number of steps gives all their widths. Candidates are priced
in columns by the same fold that prices one network, over int64 arrays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt, lcm
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from flopcount import analytic
from flopcount.conventions import Convention, price
from flopcount.conventions import convention as named
from flopcount.integers import MAX, Count, FigureTooLargeError, MixedWidthsError, lift
from flopcount.rules import Divides, Rule
from shufflenet.network import Network, assemble
from shufflenet.placing import CARDINALITY, Frame, Placed, distinct, stage_rows, stem_row, walk
from shufflenet.quantities import (
    MAX_WIDTH,
    QuantityError,
    check_groups,
    check_size,
    check_width,
    in_proportion,
)
from shufflenet.scaling import NothingLegalError, first_broken
from shufflenet.spec import Spec, SpecError

Column: TypeAlias = NDArray[np.int64]
Policy: TypeAlias = Literal["nearest", "at-most"]

#: A residual above this share of the budget is worth a remark: one part in 50, that is 2%.
NOTABLE = 50
# Candidates looked at in one column: as many as there are widths for the paper's ratio.
_COLUMN = MAX_WIDTH // 4
# Steps to begin with where the reference width says nothing.
_BLIND_GUESS = 128
# Stems that auto tries at most.
_MOST_STEMS = 1_024
# Widths searched for the rule that stands in the way: more than one period of any bundled unit's.
_SEARCHED = 4_096


@dataclass(frozen=True, slots=True)
class Solution:
    """One network that was found, its cost under the convention, and cost minus budget."""

    network: Network
    cost: int
    residual: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The best networks for a budget, best first, and what was tried to prove it.

    ``candidates`` counts the legal widths that were priced; ``unique`` says that no other legal
    width is as good as the best.
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


@dataclass(frozen=True, slots=True)
class _Task:
    """What one search is given."""

    frame: Frame
    ratio: tuple[int, ...]
    budget: int
    policy: Policy
    convention: Convention

    def widths(self, stem: int | None, steps: Count) -> dict[str, Count]:
        rows = stage_rows(self.frame.spec)
        found = {row.path: steps * part for row, part in zip(rows, self.ratio, strict=True)}
        row = stem_row(self.frame.spec)
        return found if row is None or stem is None else {row.path: stem, **found}


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
    cardinality: int = CARDINALITY,
    units_from: Collection[str] = (),
    convention: str | Convention = "shufflenet-paper",
    top: int = 1,
) -> Answer:
    """The networks of a spec whose cost is nearest to a budget, or the largest within it.

    The stages' widths keep ``ratio`` (the spec's own by default); ``stem`` is a width, several,
    or ``"auto"``: every width up to the spec's own. All legal widths are tried, up to where the
    cost can only grow away from the budget. Order: smallest miss, then the cheaper, then the
    narrower stem. Raises NothingLegalError, which names the rule in the way and the nearest
    budget that works; QuantityError or SpecError for bad input; UnknownConventionError and
    UnpricedKindError as `price` does. ``budget`` is in the convention's unit.
    """
    if not 1 <= budget <= MAX:
        raise QuantityError(f"budget {budget} is not between 1 and {MAX}")
    if top < 1:
        raise QuantityError(f"top {top} is less than 1")
    if policy not in get_args(Policy):
        raise QuantityError(f"policy {policy!r} is not one of {', '.join(get_args(Policy))}")
    chosen = check_groups(spec.first_choice if groups is None else groups)
    check_groups(cardinality, "cardinality")
    h, w = spec.image if size is None else check_size(*size)
    frame = Frame(spec, chosen, (h, w), unit, cardinality, units_from)
    task = _Task(frame, _ratio(frame, ratio), budget, policy, named(convention))
    try:
        found = [_sweep(task, width, top) for width in _stems(frame, stem)]
    except MixedWidthsError as error:
        raise SpecError(
            f"{spec.where}: a unit gives its input a width of its own, which the solver does not"
            f" follow: {error}"
        ) from error
    stems = np.concatenate([np.full(len(steps), s or 0) for s, steps, _ in found])
    steps = np.concatenate([steps for _, steps, _ in found])
    costs = np.concatenate([cost for _, _, cost in found])
    if not len(steps):
        raise NothingLegalError(_why_nothing(task, tuple(s for s, _, _ in found)))
    return _answer(task, stems, steps, costs, top)


def _answer(task: _Task, stems: Column, steps: Column, costs: Column, top: int) -> Answer:
    misses = np.abs(costs - task.budget)
    tried = len(costs)
    if task.policy == "at-most":
        within = costs <= task.budget
        if not within.any():
            least = int(np.lexsort((steps, stems, costs))[0])
            raise NothingLegalError(
                f"{_name(task.frame)}: no legal network costs at most {task.budget:,};"
                f" the least costs {int(costs[least]):,}"
                f" ({_shown(task, int(stems[least]), int(steps[least]))})"
            )
        stems, steps, costs, misses = (a[within] for a in (stems, steps, costs, misses))
    order = np.lexsort((stems, costs, misses))
    best = misses[order[0]]
    solutions = []
    for index in order[:top].tolist():
        stem = int(stems[index]) or None
        widths = task.widths(stem, int(steps[index]))
        net = assemble(task.frame, widths)
        cost = price(net.tally(memory=False), task.convention)
        solutions.append(Solution(net, cost, cost - task.budget))
    return Answer(
        task.budget,
        task.policy,
        task.convention.name,
        tuple(solutions),
        tried,
        int((misses == best).sum()) == 1,
    )


def _ratio(frame: Frame, ratio: Sequence[int] | None) -> tuple[int, ...]:
    rows = stage_rows(frame.spec)
    if not rows:
        raise QuantityError(f"{frame.spec.where}: has no stage whose width is free")
    if ratio is None:
        column = frame.spec.groups.index(frame.groups) if frame.groups in frame.spec.groups else 0
        return in_proportion([row.channels[column] for row in rows if row.channels is not None])
    if len(ratio) != len(rows):
        raise QuantityError(
            f"ratio {':'.join(map(str, ratio))}: {len(ratio)} parts for {len(rows)} stages"
            f" ({', '.join(row.layer for row in rows)})"
        )
    return in_proportion([check_width(part) for part in ratio])


def _stems(
    frame: Frame, stem: int | Sequence[int] | Literal["auto"] | None
) -> Sequence[int | None]:
    row = stem_row(frame.spec)
    if row is None:
        if stem is not None:
            raise QuantityError(f"{frame.spec.where}: has no stem, so none can be {stem}")
        return (None,)
    if stem is None:
        return (frame.fixed(row),)
    if stem == "auto":
        if frame.fixed(row) > _MOST_STEMS:
            raise QuantityError(
                f"{frame.spec.where}: stem auto would try {frame.fixed(row)} stems, more than"
                f" {_MOST_STEMS}; give some"
            )
        return range(1, frame.fixed(row) + 1)
    if isinstance(stem, int):
        return (check_width(stem),)
    if not stem:
        raise QuantityError("stem: no width is given")
    return tuple(dict.fromkeys(check_width(width) for width in stem))


Swept: TypeAlias = tuple[int | None, Column, Column]


def _sweep(task: _Task, stem: int | None, top: int = 1) -> Swept:
    """Every legal number of steps, with its cost, up to where the cost only grows away."""
    # Where the first stage is as wide as what comes before it, a projection falls away and the
    # cost may drop; behind that it only rises.
    turn = (task.frame.image[1] if stem is None else stem) // task.ratio[0]
    most = MAX_WIDTH // max(task.ratio)
    steps = np.zeros(0, np.int64)
    costs = np.zeros(0, np.int64)
    overflow = False
    low, high = 1, min(max(_first_guess(task, stem), turn + 1), most)
    while low <= high:
        for chunk in _alike(task, stem, low, high):
            legal = chunk[legal_mask(task.frame, task.widths(stem, lift(chunk)))]
            cost = _affordable(task, stem, legal)
            steps, costs = np.append(steps, legal[: len(cost)]), np.append(costs, cost)
            overflow = overflow or len(cost) < len(legal)
        order = np.argsort(steps)
        steps, costs = steps[order], costs[order]
        if overflow or _enough(task, steps, costs, turn, top):
            break
        if not len(steps) and _hopeless(task, stem, turn, high):
            break
        low, high = high + 1, min(2 * high, most)
    return stem, steps, costs


def _affordable(task: _Task, stem: int | None, steps: Column) -> Column:
    """What the steps cost, up to the first one whose cost passes every budget there can be."""
    fit, past = 0, len(steps) + 1
    costs = np.zeros(0, np.int64)
    tried = len(steps)
    while fit < tried < past:
        try:
            widths = task.widths(stem, lift(steps[:tried]))
            costs, fit = prices(task.frame, widths, task.convention), tried
        except FigureTooLargeError:
            past = tried
        tried = (fit + past) // 2
    return costs


def _enough(task: _Task, steps: Column, costs: Column, turn: int, top: int) -> bool:
    """Whether no wider candidate can be among the best: cost rises, and is past all of them."""
    if not len(costs) or not (np.diff(costs[steps > turn]) >= 0).all():
        return False
    if task.policy == "at-most":
        return bool(costs[-1] > task.budget)
    misses = np.sort(np.abs(costs - task.budget))
    return len(costs) >= top and bool(costs[-1] - task.budget > misses[top - 1])


def _hopeless(task: _Task, stem: int | None, turn: int, high: int) -> bool:
    """Whether the rules have repeated within the widths tried, so that no wider one is legal."""
    period = 1
    for rule in _rules(task, stem, np.array([high], np.int64)):
        if isinstance(rule, Divides) and rule.by is not rule.value:
            if type(rule.by) is not int:
                return False
            period = lcm(period, rule.by)
    if period >= high - turn:
        return False
    # The last period tells of all wider ones only where nothing in it is too small as yet, or
    # what is too small does not grow.
    last = np.arange(high - period, high + 1, dtype=np.int64)
    for rule in _rules(task, stem, last):
        if not isinstance(rule, Divides) and not np.all(rule.holds()):
            value = np.atleast_1d(rule.value)
            return bool(value[-1] <= value[0])
    return True


def _rules(task: _Task, stem: int | None, steps: Column) -> Iterator[Rule]:
    for placed in distinct(walk(task.frame, task.widths(stem, lift(steps)))):
        for _, rule in placed.rules():
            yield rule
            if rule.holds() is False:
                # A rule without a width in it: no candidate has anything behind this unit.
                return


def _first_guess(task: _Task, stem: int | None) -> int:
    """Steps that cost some more than the budget, if the cost grows with the square of the width."""
    steps = np.array([_reference(task)], np.int64)
    if not legal_mask(task.frame, task.widths(stem, lift(steps))).all():
        return _BLIND_GUESS
    cost = int(prices(task.frame, task.widths(stem, lift(steps)), task.convention)[0])
    return isqrt(int(steps[0]) ** 2 * task.budget * 3 // (max(cost, 1) * 2)) + 16


def _reference(task: _Task) -> int:
    row = stage_rows(task.frame.spec)[0]
    assert row.channels is not None
    return max(row.channels[0] // task.ratio[0], 1)


def _alike(task: _Task, stem: int | None, low: int, high: int) -> Iterator[Column]:
    """The steps from low to high in columns, each of networks with one and the same tree.

    A unit whose width stays has another tree than one whose width changes, so candidates are kept
    apart by which neighbouring widths are equal.
    """
    for start in range(low, high + 1, _COLUMN):
        chunk = np.arange(start, min(start + _COLUMN, high + 1), dtype=np.int64)
        widths: list[Any] = [task.frame.image[1], *task.widths(stem, lift(chunk)).values()]
        pattern = np.zeros(len(chunk), np.int64)
        for one, other in pairwise(widths):
            pattern = 2 * pattern + (one == other)
        if not pattern.any():
            yield chunk
            continue
        for found in np.unique(pattern):
            yield chunk[pattern == found]


def legal_mask(frame: Frame, widths: dict[str, Count]) -> NDArray[np.bool_]:
    """Which candidates of a column keep every rule; ``widths`` holds an array for each path."""
    length = max(np.size(width) for width in widths.values())
    mask = np.ones(length, np.bool_)
    for placed in distinct(walk(frame, widths)):
        for _, rule in placed.rules():
            mask &= rule.holds()
            if not mask.any():
                # Nothing stands behind a unit that no candidate can have.
                return mask
    return mask


def prices(frame: Frame, widths: dict[str, Count], chosen: Convention) -> Column:
    """What every candidate of a column costs, in the convention's unit; all must be legal."""
    length = max(np.size(width) for width in widths.values())
    result = np.zeros(length, np.int64)
    cost: Any = 0
    last: Placed | None = None
    for placed in walk(frame, widths):
        if last is None or placed.layer is not last.layer:
            cost = price(analytic.count(placed.layer, placed.before, memory=False), chosen)
        if int(result.max()) + int(np.max(cost)) > MAX:
            raise FigureTooLargeError
        result += cost
        last = placed
    return result


def _why_nothing(task: _Task, tried: Sequence[int | None]) -> str:
    """The rule in the way, and the nearest budget that works with another stem."""
    rule = _rule_in_the_way(task, tried[0])
    stems = ",".join(str(stem) for stem in tried)
    text = f"{_name(task.frame)}: no width is legal"
    if tried != (None,):
        text += f" with stem {stems}" if len(tried) == 1 else f" with any stem of {stems}"
    text += f": {rule}"
    row = stem_row(task.frame.spec)
    others: list[Swept] = []
    if row is not None and task.frame.fixed(row) <= _MOST_STEMS:
        others = _legal_sweeps(task, _stems(task.frame, "auto"))
    if row is not None and not others:
        # More groups than the spec's stem is wide: multiples of them are what divides.
        others = _legal_sweeps(task, [task.frame.groups * k for k in range(1, 5)])
    costs = [
        (abs(int(c) - task.budget), int(c), stem, int(t))
        for stem, ts, cs in others
        for t, c in zip(ts, cs, strict=True)
    ]
    if not costs:
        return text
    _, cost, stem, steps = min(costs)
    return f"{text}; the nearest budget that works is {cost:,} ({_shown(task, stem, steps)})"


def _legal_sweeps(task: _Task, stems: Sequence[int | None]) -> list[Swept]:
    return [found for found in (_sweep(task, stem) for stem in stems) if len(found[1])]


def _rule_in_the_way(task: _Task, stem: int | None) -> str:
    """The first rule broken by the width that breaks the fewest."""
    least: tuple[int, int] | None = None
    for chunk in _alike(task, stem, 1, min(_SEARCHED, MAX_WIDTH // max(task.ratio))):
        broken = np.zeros(len(chunk), np.int64)
        for rule in _rules(task, stem, chunk):
            broken += ~np.asarray(rule.holds())
        at = int(broken.argmin())
        here = (int(broken[at]), int(chunk[at]))
        least = here if least is None else min(least, here)
    assert least is not None
    found = first_broken(task.frame, task.widths(stem, least[1]))
    assert found is not None
    return str(found)


def _name(frame: Frame) -> str:
    unit = f", unit {frame.unit}" if frame.unit else ""
    return f"{frame.spec.name}, g={frame.groups}{unit}"


def _shown(task: _Task, stem: int | None, steps: int) -> str:
    widths = task.widths(stem, steps)
    row = stem_row(task.frame.spec)
    stages = ", ".join(str(widths[r.path]) for r in stage_rows(task.frame.spec))
    return f"stem {stem}, widths {stages}" if row is not None else f"widths {stages}"
