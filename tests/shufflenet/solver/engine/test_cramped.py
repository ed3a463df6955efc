"""The exact solver with no room: small problems take the ways that only large spaces need."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shufflenet.arch.spec_reader import load
from shufflenet.solver.engine.optimise import optimise
from shufflenet.solver.engine.search_limits import SearchLimits
from shufflenet.solver.problem import Goal, Problem, Space
from tests.shufflenet.solver.engine.checks import check, examples
from tests.shufflenet.solver.engine.problem_strategies import FRAMES, Case, cases, own_cases

#: What keeps small spaces off the ways of large ones: lists, columns, paths, rows at once.
limits = st.builds(
    SearchLimits,
    listed_networks=st.sampled_from((1, 3, 8)),
    first_batch=st.sampled_from((1, 4)),
    largest_batch=st.sampled_from((2, 16)),
    sorted_entries=st.sampled_from((0, 10**6)),
    narrow_window=st.sampled_from((0, 3, 2**14)),
    cut_paths=st.sampled_from((1, 3, 24)),
    cut_sides=st.sampled_from((1, 3)),
    compared_rows=st.sampled_from((2, 5)),
    box_prefixes=st.sampled_from((40, 300_000)),
    box_entries=st.sampled_from((2_000, 10**6)),
    parting_prefixes=st.sampled_from((0, 20)),
    first_share=st.sampled_from((0, 3, 8)),
    goal_weight=st.sampled_from((1, 2**20)),
    weighed_goals=st.sampled_from((10, 10**6, 2**49)),
    rough_prefixes=st.sampled_from((1, 2)),
    reach_points=st.sampled_from((1, 3)),
)


@examples(150)
@given(cases(FRAMES, "free", goals=1), limits)
def test_an_optimum_is_the_same_however_little_is_looked_at_at_once(
    case: Case, small: SearchLimits
) -> None:
    for problem in case.problems:
        check(problem, case.points, small)


@examples(60)
@given(cases(FRAMES, "free", goals=2), limits)
def test_a_front_is_the_same_however_little_is_looked_at_at_once(
    case: Case, small: SearchLimits
) -> None:
    for problem in case.problems:
        check(problem, case.points, small)


@examples(80)
@given(own_cases(), limits)
def test_any_spec_has_the_same_answer_however_little_is_looked_at_at_once(
    case: Case, small: SearchLimits
) -> None:
    for problem in case.problems:
        check(problem, case.points, small)


def test_a_long_proof_tells_how_far_it_is() -> None:
    space = Space(load("shufflenet"), (1, 3, 8), free=True, align=24)
    problem = Problem(space, (Goal("macs", "least"), Goal("params", "most")))
    told: list[tuple[int, int]] = []
    often = SearchLimits(note_entries=1_000)
    outcome = optimise(problem, lambda done, most: told.append((done, most)), often)
    assert outcome.candidates == optimise(problem).candidates
    counts = [done for done, _ in told]
    assert len(counts) > 1
    # once in every thousand at most
    assert len({done // 1000 for done in counts}) == len(counts)
    assert counts == sorted(counts)
    assert {most for _, most in told} == {10_000_000_000}
