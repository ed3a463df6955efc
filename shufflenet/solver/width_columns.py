"""Columns of candidate widths, swept: which are legal, what they cost, and when to stop.

The stages keep a ratio, so that one number of steps gives all their widths. Candidates are priced
in columns by the same fold that prices one network, over int64 arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt, lcm
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flopcount.conventions import Convention, price
from flopcount.integers import MAX, Count, FigureTooLargeError, lift
from flopcount.layers import cost as layer_cost
from flopcount.layers.rules import Divides, LayerRule
from shufflenet.arch.layout import Frame, Placed, distinct, stage_rows, stem_row, walk
from shufflenet.arch.quantities import MAX_WIDTH

Column: TypeAlias = NDArray[np.int64]
Policy: TypeAlias = Literal["nearest", "at-most"]

# Candidates looked at in one column: as many as there are widths for the paper's ratio.
_COLUMN = MAX_WIDTH // 4
# Steps to begin with where the reference width says nothing.
_BLIND_GUESS = 128


@dataclass(frozen=True, slots=True)
class Task:
    """What one search is given: the frame, the stages' ratio, the budget and how to meet it."""

    frame: Frame
    ratio: tuple[int, ...]
    budget: int
    policy: Policy
    convention: Convention

    def widths(self, stem: int | None, steps: Count) -> dict[str, Count]:
        """The width of every free layer's path, at a stem and so many steps of the ratio."""
        rows = stage_rows(self.frame.spec)
        found = {row.path: steps * part for row, part in zip(rows, self.ratio, strict=True)}
        row = stem_row(self.frame.spec)
        return found if row is None or stem is None else {row.path: stem, **found}


Swept: TypeAlias = tuple[int | None, Column, Column]


def sweep(task: Task, stem: int | None, top: int = 1) -> Swept:
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
        for chunk in alike(task, stem, low, high):
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


def _affordable(task: Task, stem: int | None, steps: Column) -> Column:
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


def _enough(task: Task, steps: Column, costs: Column, turn: int, top: int) -> bool:
    """Whether no wider candidate can be among the best: cost rises, and is past all of them."""
    if not len(costs) or not (np.diff(costs[steps > turn]) >= 0).all():
        return False
    if task.policy == "at-most":
        return bool(costs[-1] > task.budget)
    misses = np.sort(np.abs(costs - task.budget))
    return len(costs) >= top and bool(costs[-1] - task.budget > misses[top - 1])


def _hopeless(task: Task, stem: int | None, turn: int, high: int) -> bool:
    """Whether the rules have repeated within the widths tried, so that no wider one is legal."""
    period = 1
    for rule in rules_of(task, stem, np.array([high], np.int64)):
        if isinstance(rule, Divides) and rule.by is not rule.value:
            if type(rule.by) is not int:
                return False
            period = lcm(period, rule.by)
    if period >= high - turn:
        return False
    # The last period tells of all wider ones only where nothing in it is too small as yet, or
    # what is too small does not grow.
    last = np.arange(high - period, high + 1, dtype=np.int64)
    for rule in rules_of(task, stem, last):
        if not isinstance(rule, Divides) and not np.all(rule.holds()):
            value = np.atleast_1d(rule.value)
            return bool(value[-1] <= value[0])
    return True


def rules_of(task: Task, stem: int | None, steps: Column) -> Iterator[LayerRule]:
    """Every rule of a column of candidates, up to one that no width can keep."""
    for placed in distinct(walk(task.frame, task.widths(stem, lift(steps)))):
        for _, rule in placed.rules():
            yield rule
            if rule.holds() is False:
                # A rule without a width in it: no candidate has anything behind this unit.
                return


def _first_guess(task: Task, stem: int | None) -> int:
    """Steps that cost some more than the budget, if the cost grows with the square of the width."""
    steps = np.array([_reference(task)], np.int64)
    if not legal_mask(task.frame, task.widths(stem, lift(steps))).all():
        return _BLIND_GUESS
    cost = int(prices(task.frame, task.widths(stem, lift(steps)), task.convention)[0])
    return isqrt(int(steps[0]) ** 2 * task.budget * 3 // (max(cost, 1) * 2)) + 16


def _reference(task: Task) -> int:
    row = stage_rows(task.frame.spec)[0]
    assert row.channels is not None
    return max(row.channels[0] // task.ratio[0], 1)


def alike(task: Task, stem: int | None, low: int, high: int) -> Iterator[Column]:
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
            cost = price(layer_cost.count(placed.layer, placed.before, memory=False), chosen)
        if int(result.max()) + int(np.max(cost)) > MAX:
            raise FigureTooLargeError
        result += cost
        last = placed
    return result
