"""The exact solver against brute force: the same optimum, the same front, the same ties."""

from __future__ import annotations

import pytest
from hypothesis import given

from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec_reader import load
from shufflenet.solver.budget import solve
from shufflenet.solver.problem import Bound, Goal, Problem, Space
from tests.shufflenet.solver.engine.brute_force import (
    Best,
    Book,
    answer,
    badness,
)
from tests.shufflenet.solver.engine.checks import check, examples, optimum
from tests.shufflenet.solver.engine.problem_strategies import FRAMES, Case, cases, own_cases
from tests.strategies import head, image, own_spec, stage

#: The widths of Table 1, Stage2 to Stage4, and its complexity in multiply-adds.
TABLE_1 = {
    1: ((144, 288, 576), 142_502_976),
    2: ((200, 400, 800), 140_036_512),
    3: ((240, 480, 960), 136_500_672),
    4: ((272, 544, 1088), 133_251_776),
    8: ((384, 768, 1536), 136_829_952),
}
NEAREST = Goal("macs", "nearest", 140_000_000)
BUNDLED = Book(load("shufflenet"))


def check_all(case: Case) -> None:
    """Check every problem of a case."""
    for problem in case.problems:
        check(problem, case.points)


# Against brute force


@examples(100)
@given(cases(FRAMES, "free", goals=1))
def test_free_stages_give_the_optimum_and_the_ties_of_brute_force(case: Case) -> None:
    check_all(case)


@examples(150)
@given(cases(FRAMES, "ratio", goals=1))
def test_stages_in_ratio_give_the_optimum_and_the_ties_of_brute_force(case: Case) -> None:
    check_all(case)


@examples(80)
@given(cases(FRAMES, "scales"))
def test_scales_give_the_optimum_the_ties_and_the_front_of_brute_force(case: Case) -> None:
    check_all(case)


@examples(120)
@given(cases(FRAMES, "free", goals=2))
def test_two_goals_of_free_stages_give_the_front_of_brute_force(case: Case) -> None:
    check_all(case)


@examples(80)
@given(cases(FRAMES, "free", goals=3))
def test_three_goals_of_free_stages_give_the_front_of_brute_force(case: Case) -> None:
    check_all(case)


@examples(100)
@given(cases(FRAMES, "ratio", goals=2))
def test_two_goals_of_stages_in_ratio_give_the_front_of_brute_force(case: Case) -> None:
    check_all(case)


@examples(200)
@given(own_cases())
def test_any_spec_gives_the_optimum_and_the_front_of_brute_force(case: Case) -> None:
    check_all(case)


# Table 1


@pytest.mark.parametrize("groups", TABLE_1)
def test_brute_force_gives_table_1_at_140m_and_so_does_the_older_solver(groups: int) -> None:
    space = Space(BUNDLED.spec, groups=(groups,), widest=2)
    problem = Problem(space, (NEAREST,), top=4)
    best = answer(problem, BUNDLED.points(space))
    assert best[0].point.named.widths == TABLE_1[groups][0]
    assert best[0].point.named.stem == 24
    assert best[0].point.facts.conv == TABLE_1[groups][1]
    assert best[0].unique
    older = solve(BUNDLED.spec, 140_000_000, groups, top=4)
    assert [found.network.stage_widths for found in older.solutions] == [
        each.point.named.widths for each in best
    ]


@pytest.mark.parametrize("groups", TABLE_1)
def test_140m_gives_back_table_1_with_its_ties_and_candidates(groups: int) -> None:
    space = Space(BUNDLED.spec, groups=(groups,))
    check(Problem(space, (NEAREST,), top=4), BUNDLED.points(space))


def test_all_columns_of_table_1_and_their_front_of_cost_and_channels() -> None:
    space = Space(BUNDLED.spec, groups=tuple(TABLE_1), widest=2)
    points = BUNDLED.points(space)
    goals = (Goal("macs", "least"), Goal("channels", "most"))
    bounds = (Bound("macs", most=150_000_000), Bound("params", most=2_000_000))
    check(Problem(space, goals, bounds), points)
    check(Problem(space, goals[1:], bounds, top=10), points)


# Brute force by itself


@examples(50)
@given(cases(FRAMES))
def test_the_oracle_lists_each_network_once_and_in_order(case: Case) -> None:
    names = [point.named for point in case.points]
    assert len(set(names)) == len(names)
    assert [point.place for point in case.points] == sorted(p.place for p in case.points)


@examples(50)
@given(cases(FRAMES, goals=2))
def test_the_front_of_the_oracle_holds_the_optimum_of_each_goal(case: Case) -> None:
    for problem in case.problems:
        front = answer(problem, case.points)
        for goal in problem.goals:
            alone = answer(
                Problem(problem.space, (goal,), problem.bounds, problem.convention), case.points
            )
            assert bool(alone) == bool(front)
            if alone:
                assert best_of(goal, front, problem) == best_of(goal, alone, problem)


def best_of(goal: Goal, found: list[Best], problem: Problem) -> int:
    """The least miss of a goal among some solutions."""
    assert isinstance(problem.convention, str)
    return min(badness(best.point, goal, problem.convention) for best in found)


def test_repeats_of_a_row_that_strides_are_refused_and_its_own_number_is_not() -> None:
    rows = (*FRAMES[0].spec.rows[:3], stage("Stage2", "resnet", (8,) * 3), *head(5, 3))
    spec = own_spec(*rows, groups=(1, 2, 3))
    goals = (Goal("params", "least"),)
    assert optimum(Problem(Space(spec, repeats=((1,),)), goals)).candidates
    with pytest.raises(QuantityError, match=r"Stage2: repeats 1, 2: .* there can only be 1"):
        optimum(Problem(Space(spec, repeats=((1, 2),)), goals))


def test_a_stage_whose_own_units_break_a_rule_leaves_no_legal_network() -> None:
    # Two shufflenet units of stride 2 in a row: the second adds no width, whatever the first has.
    rows = (
        image(1, 1, columns=1),
        stage("Stage2", "shufflenet", (4,), stride=1),
        stage("Stage3", "resnet", (4,), repeat=2),
        stage("Stage4", "resnet", (8,), stride=1),
        *head(1, 1),
    )
    widths = ((4, 8), (4, 8), (8, 12))
    space = Space(own_spec(*rows), units=("shufflenet",), free=True, widths=widths)
    with pytest.raises(NothingLegalError, match=r"Stage3: added width \(out - in\) 0"):
        optimum(Problem(space, (Goal("macs", "least"),)))
