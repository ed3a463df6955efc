"""Where nothing fits: what is in the way, and the smallest relaxation that admits a network."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec_reader import load
from shufflenet.solver import Bound, Goal, Problem, Space
from shufflenet.solver.engine.optimise import optimise
from tests.shufflenet.solver.engine.brute_force import Point, figure, inside
from tests.shufflenet.solver.engine.problem_strategies import FRAMES

BOOK = FRAMES[0]
SPACE = Space(BOOK.spec, groups=(1, 2), stems=(4, 6, 12), free=True, widest=2)
POINTS = BOOK.points(SPACE)
CONVENTION = "shufflenet-paper"
GOALS = (Goal("macs", "least"),)
WHOLE = ("macs", "params", "memory", "moved", "layers", "channels")
SAID = re.compile(r"(\w+) at (most|least) ([\d.,]+) would have to be ([\d.,]*\d)")


def said(bounds: tuple[Bound, ...]) -> str:
    with pytest.raises(NothingLegalError) as caught:
        optimise(Problem(SPACE, GOALS, bounds))
    return str(caught.value)


def ways(text: str) -> list[list[tuple[str, str, str]]]:
    """Each way that is told: the figures, sides and values that it consists of."""
    _, _, told = text.partition("smallest relaxation: ")
    return [
        [(name, side, value.replace(",", "")) for name, side, _, value in SAID.findall(way)]
        for way in told.split("; or ")
    ]


def value(point: Point, name: str) -> int:
    return figure(point, name, CONVENTION)


def relaxed(bounds: tuple[Bound, ...], way: list[tuple[str, str, str]]) -> tuple[Bound, ...]:
    """The bounds with what a way says in place of what was asked."""
    new = {(name, side): text for name, side, text in way}
    found = []
    for bound in bounds:
        least, most = bound.least, bound.most
        if (text := new.get((bound.figure, "least"))) is not None:
            least = int(text)
        if (text := new.get((bound.figure, "most"))) is not None:
            most = int(text)
        found.append(Bound(bound.figure, least, most))
    return tuple(found)


def shares(bounds: tuple[Bound, ...], point: Point) -> dict[tuple[str, str], Fraction]:
    """By how much a network is off each side, as a share of what was asked."""
    found = {}
    for bound in bounds:
        for side, asked in (("least", bound.least), ("most", bound.most)):
            if asked is not None:
                off = Fraction(value(point, bound.figure)) - Fraction(asked)
                off = max(off if side == "most" else -off, Fraction(0))
                found[bound.figure, side] = off / (Fraction(asked) or 1)
    return found


@st.composite
def impossible(draw: st.DrawFn, figures: tuple[str, ...]) -> tuple[Bound, ...]:
    """Bounds that each figure of some network just breaks, or just keeps."""
    names = draw(st.lists(st.sampled_from(figures), min_size=1, max_size=3, unique=True))
    bounds = []
    for name in names:
        near = value(draw(st.sampled_from(POINTS)), name)
        if draw(st.booleans()):
            bounds.append(Bound(name, most=max(near - draw(st.integers(0, 1)), 0)))
        else:
            bounds.append(Bound(name, least=near + draw(st.integers(0, 1))))
    assume(not any(inside(point, bounds, CONVENTION) for point in POINTS))
    return tuple(bounds)


@settings(max_examples=150, deadline=None)
@given(impossible(WHOLE))
def test_as_few_bounds_as_can_be_give_way_and_by_the_least_together(
    bounds: tuple[Bound, ...],
) -> None:
    off = [shares(bounds, point) for point in POINTS]
    sides = list(off[0])
    for count in range(1, len(sides) + 1):
        found = [
            sum(one.values())
            for one in off
            for kept in combinations(sides, len(sides) - count)
            if all(one[side] == 0 for side in kept)
        ]
        if found:
            break
    told = ways(said(bounds))
    assert all(len(way) == count for way in told)
    new = relaxed(bounds, told[0])
    asked = dict(zip([bound.figure for bound in bounds], bounds, strict=True))
    total = Fraction(0)
    for bound in new:
        old = asked[bound.figure]
        for now, then in ((bound.least, old.least), (bound.most, old.most)):
            if now is not None and then is not None:
                total += abs(Fraction(now) - Fraction(then)) / (Fraction(then) or 1)
    assert total == min(found)


@settings(max_examples=100, deadline=None)
@given(impossible(WHOLE))
def test_every_relaxation_that_is_told_admits_a_network_when_it_is_typed_in(
    bounds: tuple[Bound, ...],
) -> None:
    for way in ways(said(bounds)):
        assert optimise(Problem(SPACE, GOALS, relaxed(bounds, way))).solutions


@settings(max_examples=100, deadline=None)
@given(impossible(WHOLE))
def test_what_is_said_to_be_in_the_way_is_and_nothing_of_it_could_be_left_out(
    bounds: tuple[Bound, ...],
) -> None:
    head, _, _ = said(bounds).partition("; smallest relaxation")
    named = re.findall(r"(\w+) at (?:most|least)", head)
    kept = [bound for bound in bounds if bound.figure in named]
    assert not any(inside(point, kept, CONVENTION) for point in POINTS)
    for left in kept:
        others = [bound for bound in kept if bound is not left]
        assert any(inside(point, others, CONVENTION) for point in POINTS)


def test_three_bounds_that_all_have_to_give_way_give_way_together() -> None:
    least = min(value(point, "params") for point in POINTS)
    most = max(value(point, "channels") for point in POINTS)
    moved = min(value(point, "moved") for point in POINTS)
    text = said(
        (
            Bound("params", most=least - 1),
            Bound("channels", least=most + 1),
            Bound("moved", most=moved - 1),
        )
    )
    assert all(len(way) == 3 for way in ways(text))


def test_a_rule_no_width_keeps_is_named_with_its_value() -> None:
    spec = load("shufflenet")
    with pytest.raises(NothingLegalError, match=r"added width \(out - in\) \d+ is not a multiple"):
        optimise(Problem(Space(spec, groups=(5, 7)), GOALS))
    with pytest.raises(NothingLegalError, match=r"Conv1 has no widths to take that are multiples"):
        optimise(Problem(Space(spec, align=16), GOALS))
