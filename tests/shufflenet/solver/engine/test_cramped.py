"""The exact solver with no room: small problems take the ways that only large spaces need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from shufflenet.arch.spec_reader import load
from shufflenet.solver.engine import (
    best_first,
    biobjective,
    bounds,
    dominance,
    enumeration,
    lagrangian,
    pareto,
)
from shufflenet.solver.engine.optimise import optimise
from shufflenet.solver.problem import Goal, Problem, Space
from tests.shufflenet.solver.engine.checks import check, examples
from tests.shufflenet.solver.engine.problem_strategies import FRAMES, Case, cases, own_cases

#: What keeps small spaces off the ways of large ones: lists, columns, paths, rows at once.
ROOM = (
    (best_first, "_LISTED", (1, 3, 8)),
    (enumeration, "_FIRST_COLUMN", (1, 4)),
    (enumeration, "_COLUMN", (2, 16)),
    (enumeration, "_MOST_SORTED", (0, 10**6)),
    (bounds, "_NARROW", (0, 3, 2**14)),
    (lagrangian, "_MOST_PATHS", (1, 3, 24)),
    (lagrangian, "_MOST_SIDES", (1, 3)),
    (dominance, "_ROWS", (2, 5)),
    (biobjective, "_MOST_TRIED", (40, 300_000)),
    (biobjective, "_MOST_ENTRIES", (2_000, 10**6)),
    (biobjective, "_MANY", (0, 20)),
    (biobjective, "_SHARES", (0, 3, 8)),
    (biobjective, "_FINEST", (1, 2**20)),
    (biobjective, "_ROOM", (10, 10**6, 2**49)),
    (pareto, "_ROUGH", (1, 2)),
    (pareto, "_MOST_POINTS", (1, 3)),
)
rooms = st.tuples(*(st.sampled_from(sizes) for *_, sizes in ROOM))


@contextmanager
def cramped(sizes: tuple[int, ...]) -> Iterator[None]:
    """The solver with so little room."""
    with ExitStack() as stack:
        for (room, name, _), size in zip(ROOM, sizes, strict=True):
            stack.enter_context(patch.object(room, name, size))
        yield


@examples(150)
@given(cases(FRAMES, "free", goals=1), rooms)
def test_an_optimum_is_the_same_however_little_is_looked_at_at_once(
    case: Case, sizes: tuple[int, ...]
) -> None:
    with cramped(sizes):
        for problem in case.problems:
            check(problem, case.points)


@examples(60)
@given(cases(FRAMES, "free", goals=2), rooms)
def test_a_front_is_the_same_however_little_is_looked_at_at_once(
    case: Case, sizes: tuple[int, ...]
) -> None:
    with cramped(sizes):
        for problem in case.problems:
            check(problem, case.points)


@examples(80)
@given(own_cases(), rooms)
def test_any_spec_has_the_same_answer_however_little_is_looked_at_at_once(
    case: Case, sizes: tuple[int, ...]
) -> None:
    with cramped(sizes):
        for problem in case.problems:
            check(problem, case.points)


def test_a_long_proof_tells_how_far_it_is() -> None:
    space = Space(load("shufflenet"), (1, 3, 8), free=True, align=24)
    problem = Problem(space, (Goal("macs", "least"), Goal("params", "most")))
    told: list[tuple[int, int]] = []
    with patch.object(enumeration, "_TOLD", 1000):
        outcome = optimise(problem, lambda done, most: told.append((done, most)))
    assert outcome.candidates == optimise(problem).candidates
    counts = [done for done, _ in told]
    assert len(counts) > 1
    # once in every thousand at most
    assert len({done // 1000 for done in counts}) == len(counts)
    assert counts == sorted(counts)
    assert {most for _, most in told} == {10_000_000_000}
