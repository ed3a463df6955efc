"""Widths under a budget: every legal width is priced, so the best is proven, not found by luck."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from flopcount.conventions import Convention, price
from flopcount.conventions import convention as named
from flopcount.integers import MAX, MixedWidthsError
from shufflenet.arch.layout import CARDINALITY, Frame, stage_rows, stem_row
from shufflenet.arch.network import Network, assemble
from shufflenet.arch.quantities import (
    MAX_WIDTH,
    QuantityError,
    check_groups,
    check_size,
    check_width,
    in_proportion,
)
from shufflenet.arch.scaling import NothingLegalError, first_broken
from shufflenet.arch.spec import Spec, SpecError
from shufflenet.solver.width_columns import Column, Policy, Swept, Task, alike, rules_of, sweep

#: A residual above this share of the budget is worth a remark: one part in 50, that is 2%.
NOTABLE = 50
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
    task = Task(frame, _ratio(frame, ratio), budget, policy, named(convention))
    try:
        found = [sweep(task, width, top) for width in _stems(frame, stem)]
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


def _answer(task: Task, stems: Column, steps: Column, costs: Column, top: int) -> Answer:
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


def _why_nothing(task: Task, tried: Sequence[int | None]) -> str:
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


def _legal_sweeps(task: Task, stems: Sequence[int | None]) -> list[Swept]:
    return [found for found in (sweep(task, stem) for stem in stems) if len(found[1])]


def _rule_in_the_way(task: Task, stem: int | None) -> str:
    """The first rule broken by the width that breaks the fewest."""
    least: tuple[int, int] | None = None
    for chunk in alike(task, stem, 1, min(_SEARCHED, MAX_WIDTH // max(task.ratio))):
        broken = np.zeros(len(chunk), np.int64)
        for rule in rules_of(task, stem, chunk):
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


def _shown(task: Task, stem: int | None, steps: int) -> str:
    widths = task.widths(stem, steps)
    row = stem_row(task.frame.spec)
    stages = ", ".join(str(widths[r.path]) for r in stage_rows(task.frame.spec))
    return f"stem {stem}, widths {stages}" if row is not None else f"widths {stages}"
