"""An outcome of the solver held against brute force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from shufflenet.arch.scaling import NothingLegalError
from shufflenet.solver.engine.search_limits import LIMITS, SearchLimits
from shufflenet.solver.problem import Outcome, Problem
from tests.shufflenet.solver.engine.brute_force import (
    ONE,
    Named,
    Point,
    answer,
    asked,
    facts_of,
    named,
)

#: Of how many solutions the network itself is counted too; a front may have hundreds.
MADE = 10


def optimum(problem: Problem, limits: SearchLimits = LIMITS) -> Outcome:
    """What the solver under test answers."""
    from shufflenet.solver.engine.optimise import optimise

    return optimise(problem, limits=limits)


def stated(name: Named, figures: Mapping[str, int], unique: bool) -> dict[str, Any]:
    """What an answer says of one solution; which scale made it is left open."""
    return {**name._replace(scale=ONE)._asdict(), "figures": dict(figures), "unique": unique}


def examples(most: int) -> settings:
    """So many spaces, each with a few problems in it."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=most, deadline=None, suppress_health_check=slow)


def check(problem: Problem, points: list[Point], limits: SearchLimits = LIMITS) -> None:
    """Check the solver against the networks of the space, one by one."""
    expected = answer(problem, points)
    if not expected:
        with pytest.raises(NothingLegalError):
            optimum(problem, limits)
        return
    outcome = optimum(problem, limits)
    assert outcome.candidates == len(points)
    wanted = asked(problem, points[0])
    got = [
        stated(named(found.network), {name: found.figures[name] for name in wanted}, found.unique)
        for found in outcome.solutions
    ]
    assert got == [stated(point.named, asked(problem, point), unique) for point, unique in expected]
    for found, best in zip(outcome.solutions[:MADE], expected, strict=False):
        assert facts_of(found.network) == best.point.facts
