"""OR-tools' CP-SAT on a space of ShuffleNets: the independent referee of the exact solver.

With ``c = 4*g*k`` a width is legal wherever it is greater than the one before it by whole groups,
and all that a stage costs by itself depends on ``g, k`` and the units alone. What two neighbouring
widths cost together is one product. For one g after the other the model is smallest, and solved
soonest; the products by multiplication are easier to prove something of than tables of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from ortools.sat.python import cp_model

from tests.shufflenet.solver.engine.paper_designs import (
    CLASSES,
    CONV1,
    IMAGE,
    POOLED,
    SIDES,
    Design,
    Room,
    Wish,
    figures,
)

#: What divides every cost: the positions of the last stage, of which all others are multiples.
STEP = SIDES[-1] ** 2
Layout = Literal["tables", "products"]


class Verdict(NamedTuple):
    """The best that CP-SAT found (None: there is none), and whether it proved that."""

    design: Design | None
    proven: bool


def judged(
    room: Room,
    wish: Wish,
    *,
    limit: float = 300,
    layout: Layout = "products",
    split: bool = True,
    seed: int = 1,
) -> Verdict:
    """The optimum by CP-SAT: a model for each g in turn, or one of all of them."""
    parts: Iterable[tuple[int, ...]] = [(g,) for g in room.groups] if split else [room.groups]
    best: Design | None = None
    proven = True
    for groups in parts:
        model = _Model(room, groups, wish, layout)
        if best is not None:
            if wish.key(figures(best)) == 0 and wish.sense == "nearest":
                break
            model.better_than(wish.key(figures(best)))
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = seed
        solver.parameters.max_time_in_seconds = limit
        status = solver.solve(model.model)
        limit = max(0.01, limit - solver.wall_time)
        proven = proven and status in (cp_model.OPTIMAL, cp_model.INFEASIBLE)
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            best = model.design(solver)
    return Verdict(best, proven)


class _Model:
    """The space for some g. The variables are stem, units, ``k``, and ``c = 4*g*k`` beside it."""

    def __init__(self, room: Room, groups: tuple[int, ...], wish: Wish, layout: Layout) -> None:
        self.room, self.groups, self.wish = room, groups, wish
        self.model = model = cp_model.CpModel()
        self.g = self._one_of("g", groups)
        self.stem = self._one_of("stem", room.stems)
        self.units = [self._one_of(f"n{at}", room.units[at]) for at in range(3)]
        self.k, self.c, self.m = [], [], []
        for at in range(3):
            most = max(room.most(g, at) for g in groups)
            widest = max(4 * g * room.most(g, at) for g in groups)
            self.k.append(model.new_int_var(1, most, f"k{at}"))
            if len(groups) == 1:
                self.c.append(4 * groups[0] * self.k[at])
                self.m.append(groups[0] * self.k[at])
            else:
                m = model.new_int_var(1, widest // 4, f"m{at}")
                self.m.append(m)
                self.c.append(4 * m)
        self._rules()
        self.macs: list[Any] = []
        self.params: list[Any] = []
        if layout == "tables":
            self._tables()
        else:
            self._products()
        self._between()
        self._wished()

    def design(self, solver: cp_model.CpSolver) -> Design:
        """The design that was found."""
        return Design(
            solver.value(self.g),
            solver.value(self.stem),
            tuple(solver.value(c) for c in self.c),
            tuple(solver.value(n) for n in self.units),
        )

    def better_than(self, key: int) -> None:
        """Only what is better than something known."""
        self.model.add(self.key <= key - 1)

    def _one_of(self, name: str, values: Sequence[int]) -> cp_model.IntVar:
        return self.model.new_int_var_from_domain(cp_model.Domain.from_values(list(values)), name)

    def _product(self, a: object, b: object, most: int) -> cp_model.IntVar:
        found = self.model.new_int_var(0, most, "")
        self.model.add_multiplication_equality(found, [a, b])
        return found

    def _rules(self) -> None:
        model = self.model
        if len(self.groups) > 1:
            tuples = [
                [(g, k, g * k) for g in self.groups for k in range(1, self.room.most(g, at) + 1)]
                for at in range(3)
            ]
            for at in range(3):
                model.add_allowed_assignments([self.g, self.k[at], self.m[at]], tuples[at])
        pairs = [(g, s) for g in self.groups for s in self.room.stems if s % g == 0]
        model.add_allowed_assignments([self.g, self.stem], pairs)
        model.add(self.c[0] >= self.stem + 1)
        model.add(self.k[1] >= self.k[0] + 1)
        model.add(self.k[2] >= self.k[1] + 1)

    def _tables(self) -> None:
        """All that a stage costs by itself, looked up by g, k and its units."""
        for at, h in enumerate(SIDES):
            rows = []
            for g in self.groups:
                for k in range(1, self.room.most(g, at) + 1):
                    for n in self.room.units[at]:
                        rows.append((g, k, n, *_alone(g, k, n, h)))
            most = [max(row[column] for row in rows) for column in (3, 4)]
            macs = self.model.new_int_var(0, most[0], f"macs{at}")
            params = self.model.new_int_var(0, most[1], f"params{at}")
            if len(self.groups) == 1:
                rows = [row[1:] for row in rows]
                given = [self.k[at], self.units[at]]
            else:
                given = [self.g, self.k[at], self.units[at]]
            self.model.add_allowed_assignments([*given, macs, params], rows)
            self.macs.append(macs)
            self.params.append(params)

    def _products(self) -> None:
        """The same by multiplication."""
        for at, h in enumerate(SIDES):
            most = max(self.room.most(g, at) for g in self.groups)
            wide = max(self.room.most(g, at) * g for g in self.groups)
            square = self._product(self.k[at], self.m[at], most * wide)
            again = max(self.room.units[at])
            squares = self._product(self.units[at], square, again * most * wide)
            repeated = self._product(self.units[at], self.m[at], again * wide)
            # n - 1 units of 8*k*m + 9*m, and one of 4*k*m + 9*m
            self.macs.append(h**2 * (8 * squares - 4 * square + 9 * repeated))
            # batch norms: 2*(m + m + c) each
            self.params.append(8 * squares - 4 * square + 21 * repeated)

    def _between(self) -> None:
        """What two neighbouring widths cost, the stem and the classifier."""
        wide = max(self.room.most(g, 0) * g for g in self.groups)
        narrow = self._product(self.stem, self.k[0], max(self.room.stems) * wide)
        if len(self.groups) == 1:
            whole = self.groups[0] * narrow
        else:
            whole = self._product(self.stem, self.m[0], max(self.room.stems) * wide)
        self.macs += [
            CONV1**2 * 27 * self.stem,
            POOLED**2 * whole - SIDES[0] ** 2 * narrow,
        ]
        # a first unit's norms have the added channels only: 2*(m + m + c - before)
        self.params += [29 * self.stem, whole - narrow, -2 * self.stem]
        for at in (1, 2):
            most = max(self.room.most(g, at - 1) * g * self.room.most(g, at) for g in self.groups)
            if len(self.groups) == 1:
                pair = self.groups[0] * self._product(self.k[at - 1], self.k[at], most)
            else:
                pair = self._product(self.m[at - 1], self.k[at], most)
            # the first 1x1 at the larger size, and what the last one need not add
            self.macs.append(4 * (SIDES[at - 1] ** 2 - SIDES[at] ** 2) * pair)
            self.params.append(-2 * self.c[at - 1])
        self.params.append(CLASSES * self.c[2] + CLASSES)

    def _wished(self) -> None:
        found = {
            "macs": sum(self.macs),
            "params": sum(self.params),
            "channels": sum(self.c),
        }
        asked = [self.wish.figure, *(name for name, _ in self.wish.at_most)]
        if "memory" in asked:
            found["memory"] = self._memory()
        for name, most in self.wish.at_most:
            self.model.add(found[name] <= most)
        for name, least in self.wish.at_least:
            self.model.add(found[name] >= least)
        value = found[self.wish.figure]
        if self.wish.figure == "macs":
            # Every site is one of 49 or more, so that the cost goes in steps of 49.
            steps = self.model.new_int_var(0, 2**34, "steps")
            self.model.add(value == STEP * steps)
            value = STEP * steps
        if self.wish.sense == "nearest":
            miss = self.model.new_int_var(0, 2**40, "miss")
            self.model.add(value - self.wish.target <= miss)
            self.model.add(self.wish.target - value <= miss)
            value = miss
        self.key = -value if self.wish.sense == "most" else value
        self.model.minimize(self.key)

    def _memory(self) -> cp_model.IntVar:
        """No less than any of the peaks, which the least of it meets [B]."""
        model = self.model
        peak = model.new_int_var(0, 2**40, "memory")
        at_least = [
            IMAGE**2 * 3 + CONV1**2 * self.stem,
            2 * CONV1**2 * self.stem,
        ]
        before, big = self.stem, POOLED
        for at, (c, m, h) in enumerate(zip(self.c, self.m, SIDES, strict=True)):
            at_least += [
                big**2 * (before + m) + h**2 * before,
                big**2 * 2 * m + h**2 * before,
                h**2 * (2 * c - before),
                h**2 * 2 * c,
            ]
            if max(self.room.units[at]) > 1:
                more = model.new_bool_var(f"more{at}")
                model.add(self.units[at] >= 2).only_enforce_if(more)
                model.add(self.units[at] <= 1).only_enforce_if(~more)
                model.add(peak >= 4 * h**2 * 3 * c).only_enforce_if(more)
            before, big = c, h
        at_least.append(before + CLASSES)
        for elements in at_least:
            model.add(peak >= 4 * elements)
        return peak


def _alone(g: int, k: int, n: int, h: int) -> tuple[int, int]:
    """Multiply-adds and parameters of a stage without what hangs on the width before it."""
    weights = (n - 1) * (8 * g * k * k + 9 * g * k) + 4 * g * k * k + 9 * g * k
    return h**2 * weights, weights + n * 2 * (g * k + g * k + 4 * g * k)
