"""Hypothesis strategies of small design problems, with every network of their space beside them.

Bounds and targets are drawn from the figures of the networks themselves, so that most problems
have an answer and some have none. Spaces of the bundled frame share what they know of a network.
"""

from __future__ import annotations

from decimal import Decimal
from math import lcm, prod
from typing import Any, NamedTuple

from hypothesis import strategies as st

from flopcount.integers import MAX
from shufflenet.arch.layout import stage_rows, stem_row
from shufflenet.arch.spec import Row, Spec
from shufflenet.arch.spec_reader import load
from shufflenet.solver.problem import FIGURES, USUAL, Bound, Goal, Problem, Space
from tests.shufflenet.solver.engine.brute_force import (
    CHARGES,
    Book,
    Point,
    column,
    figure,
    needed_units,
    units_in_all,
)
from tests.strategies import STAGE_UNITS, head, image, own_spec, specs, stage

CONVENTIONS = tuple(CHARGES)
GOALS = tuple(figure for figure in USUAL if figure != "latency")
#: Networks that are tried for one problem at most, legal or not.
MOST = 500
#: Problems in one space at most.
PROBLEMS = 4


class Case(NamedTuple):
    """Some problems in one space, and every legal network of it in the space's order."""

    problems: tuple[Problem, ...]
    points: list[Point]


def framed(*columns: tuple[int, ...], groups: tuple[int, ...], stem: int, repeat: int) -> Spec:
    """The paper's frame with one stage for each column of widths, and an image of 12x12."""
    rows = [
        image(12, 12, columns=len(groups)),
        Row("Conv1", "conv", kernel=3, stride=2, channels=(stem,) * len(groups)),
        Row("MaxPool", "max_pool", kernel=3, stride=2),
    ]
    for at, widths in enumerate(columns):
        first = {} if at else {"first_groups": 1}
        name = f"Stage{at + 2}"
        rows.append(stage(name, "shufflenet", widths, options=dict(first)))
        rows.append(stage(name, "shufflenet", widths, stride=1, repeat=repeat))
    return own_spec(*rows, *head(5, len(groups)), groups=groups)


#: The paper's frame with two stages and with three, each with small widths, and Table 1.
FRAMES = (
    Book(framed((8, 16, 24), (16, 32, 48), groups=(1, 2, 3), stem=6, repeat=1)),
    Book(framed((8, 8), (12, 16), (20, 24), groups=(1, 2), stem=4, repeat=1)),
    Book(framed((16, 8), groups=(4, 2), stem=4, repeat=2)),
)
TABLE_1 = Book(load("shufflenet"))
_SIZES = ((12, 12), (9, 14), (1, 1))
_SCALES = tuple(Decimal(text) for text in ("1", "0.5", "2", "1.5", "0.25", "0.7", "3"))


def some(values: Any, most: int, least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    """A few different ones of some values, in any order."""
    return st.lists(st.sampled_from(values), min_size=least, max_size=most, unique=True).map(tuple)


def _cut(parts: dict[str, Any], most: int) -> dict[str, Any]:
    """The lists of a space, the longest of them halved until there are few enough networks."""
    lists = {name: parts[name] for name in ("groups", "units", "sizes", "bottlenecks", "stems")}
    nested = {
        (name, at): values
        for name in ("repeats", "widths")
        for at, values in enumerate(parts.get(name, ()))
    }
    lists |= nested
    fixed = parts.pop("times", 1)
    while prod(len(values) or 1 for values in lists.values()) * fixed > most:
        longest = max(lists, key=lambda name: len(lists[name]))
        if len(lists[longest]) < 2:
            break
        lists[longest] = lists[longest][: (len(lists[longest]) + 1) // 2]
    cut = {name: values for name, values in lists.items() if isinstance(name, str)}
    for name in ("repeats", "widths"):
        cut[name] = tuple(lists[key] for key in nested if key[0] == name)
    return {**parts, **cut}


def _units(spec: Spec) -> list[range]:
    """How many units each stage may have: its own, where one more makes the image smaller."""
    found = []
    counts = zip(stage_rows(spec), needed_units(spec), units_in_all(spec), strict=True)
    for first, needed, own in counts:
        last = [row for row in spec.rows if row.path == first.path][-1]
        found.append(range(needed, needed + 3) if last.stride == 1 else range(own, own + 1))
    return found


@st.composite
def _varied(draw: st.DrawFn, spec: Spec, *, scaled: bool) -> dict[str, Any]:
    """Up to three things that vary beside the widths; the spec's own of all others."""
    stem = stem_row(spec)
    align = draw(st.sampled_from((1, 1, 1, 2, 4)))
    vary = draw(some(("groups", "units", "sizes", "bottlenecks", "repeats", "stems"), 3))
    chosen: tuple[int, ...] = ()
    if stem is not None and not scaled and ("stems" in vary or align > 1):
        chosen = draw(some((12, 8, 4, 24, 6, 3), 3, 1))
    # A stem of the spec's own, like a scale of it, is known for the spec's columns only.
    foreign = not scaled and (stem is None or chosen or len(set(stem.channels or ())) == 1)
    values = {
        "groups": some((*spec.groups, *((4,) if foreign and 4 not in spec.groups else ())), 3, 1),
        "units": some(STAGE_UNITS, 3, 1),
        "sizes": some(_SIZES, 2, 1),
        "bottlenecks": some((4, 2, 1, 3, 8), 2, 1),
        "repeats": st.tuples(*(some(units, 3, 1) for units in _units(spec))),
    }
    return {
        **{name: draw(each) if name in vary else () for name, each in values.items()},
        "stems": chosen,
        "cardinality": 2,
        "align": align,
    }


def _widest(draw: st.DrawFn, spec: Spec, groups: tuple[int, ...], free: bool, most: int) -> int:
    """How much wider than its column a space may be without becoming too large."""
    widest = draw(st.integers(1, 4))
    chosen = groups or (spec.first_choice,)
    while widest > 1 and free:
        if sum(prod(widest * c for c in column(spec, g)) for g in chosen) <= most:
            break
        widest -= 1
    return widest


@st.composite
def spaces(draw: st.DrawFn, spec: Spec, way: str = "", most: int = MOST) -> Space:
    """A small space of a spec: of free stages, stages in ratio, or of scales."""
    way = way or draw(st.sampled_from(("free", "ratio", "scales")))
    parts = draw(_varied(spec, scaled=way == "scales"))
    groups = parts["groups"] or (spec.first_choice,)
    own = [column(spec, g) for g in groups]
    if way == "scales":
        parts["scales"] = draw(some(_SCALES, 3, 1))
        return Space(spec, **_cut({**parts, "times": len(parts["scales"])}, most))
    if way == "ratio":
        if draw(st.booleans()):
            parts["ratio"] = tuple(draw(st.integers(1, 4)) for _ in own[0])
        parts["widest"] = draw(st.integers(1, 4))
        times = parts["widest"] * max(max(widths) for widths in own)
        return Space(spec, **_cut({**parts, "times": times}, 4 * most))
    parts["free"] = True
    every = max(prod(widths) for widths in own)
    if every <= most and draw(st.booleans()):
        parts["widest"] = _widest(draw, spec, parts["groups"], True, most)
        times = max(prod(parts["widest"] * c for c in widths) for widths in own)
        return Space(spec, **_cut({**parts, "times": times}, 4 * most))
    legal = 4 * lcm(*groups)
    step = draw(st.sampled_from((legal, legal, legal, 4, 1)))
    listed = []
    for at in range(len(own[0])):
        base = max(widths[at] for widths in own)
        near = [base, *(step * (base // step + k) for k in (0, 1, 2, 3, 4, -1))]
        listed.append(draw(some([width for width in dict.fromkeys(near) if width > 0], 6, 2)))
    parts["widths"] = tuple(listed)
    return Space(spec, **_cut(parts, most))


def _a_bound(draw: st.DrawFn, points: list[Point], name: str) -> Bound:
    """A bound that one network of the space just keeps, or just breaks."""
    chosen = draw(st.sampled_from([name for name in FIGURES if name != "latency"]))
    own = ""
    if chosen == "macs":
        own = draw(st.sampled_from(("", "", *CONVENTIONS)))
    two = [draw(st.sampled_from(points)) for _ in range(2)]
    values = sorted(figure(p, chosen, own or name) for p in two)
    less = values[0] + draw(st.sampled_from((0, 0, 0, 1, -1)))
    more = values[1] + draw(st.sampled_from((0, 0, 0, 1, -1)))
    less, more = max(less, 0), max(more, less, 0)
    match draw(st.sampled_from(("least", "most", "most", "both"))):
        case "least":
            return Bound(chosen, least=less, convention=own)
        case "most":
            return Bound(chosen, most=more, convention=own)
        case _:
            return Bound(chosen, least=less, most=more, convention=own)


def _a_goal(draw: st.DrawFn, points: list[Point], name: str) -> Goal:
    chosen = draw(st.sampled_from(GOALS))
    own = draw(st.sampled_from(("", "", *CONVENTIONS))) if chosen == "macs" else ""
    sense = draw(st.sampled_from(("least", "most", "nearest")))
    if sense != "nearest":
        return Goal(chosen, sense, convention=own)
    near = 1
    if points:
        value = figure(draw(st.sampled_from(points)), chosen, own or name)
        near = value + draw(st.sampled_from((0, 1, -1, 7, -1000)))
    return Goal(chosen, sense, min(max(near, 1), MAX), own)


def _a_problem(draw: st.DrawFn, space: Space, points: list[Point], goals: int) -> Problem:
    name = draw(st.sampled_from(CONVENTIONS))
    wanted = tuple(_a_goal(draw, points, name) for _ in range(goals or draw(st.integers(1, 3))))
    bounds: tuple[Bound, ...] = ()
    if points:
        bounds = tuple(_a_bound(draw, points, name) for _ in range(draw(st.integers(0, 3))))
    return Problem(space, wanted, bounds, name, draw(st.integers(1, 10)))


@st.composite
def cases(
    draw: st.DrawFn, books: tuple[Book, ...], way: str = "", *, goals: int = 0, most: int = MOST
) -> Case:
    """Problems in a space of one of the books, with so many goals (0: one, two or three)."""
    book = draw(st.sampled_from(books))
    space = draw(spaces(book.spec, way, most))
    points = book.points(space)
    several = range(draw(st.integers(1, PROBLEMS)))
    return Case(tuple(_a_problem(draw, space, points, goals) for _ in several), points)


@st.composite
def own_cases(draw: st.DrawFn) -> Case:
    """A problem in a space of a spec that is drawn too."""
    spec = draw(specs(max_side=12).filter(lambda spec: bool(stage_rows(spec))))
    return draw(cases((Book(spec),), most=120))
