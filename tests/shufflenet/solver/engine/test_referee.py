"""The exact solver against OR-tools' CP-SAT, on spaces too large for brute force.

The figures of a design are written out from the paper in `paper_designs`, the model is that of
`referee`. Both are held against the project's own networks and against brute force as well.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shufflenet.solver.engine.brute_force import repeated

pytest.importorskip("ortools")

from flopcount.conventions import price
from shufflenet.arch.network import network
from shufflenet.arch.spec_reader import load
from tests.shufflenet.solver.engine.paper_designs import (
    REFERENCE,
    Design,
    Figures,
    Room,
    Wish,
    figures,
    legal,
)
from tests.shufflenet.solver.engine.questions import design, problem
from tests.shufflenet.solver.engine.referee import Layout, judged

GROUPS = (1, 2, 3, 4, 8)
TABLE_1 = ((4,), (8,), (4,))
FEW = ((3, 4), (6, 8), (3, 4))
MANY = (tuple(range(2, 7)), tuple(range(4, 13)), tuple(range(2, 7)))
STEMS = tuple(range(1, 97))


class Question(NamedTuple):
    """A space and what is wanted in it, for both."""

    name: str
    room: Room
    wish: Wish


QUESTIONS = (
    Question(
        "nearest to 140M in g = 3",
        Room((3,), (24,), TABLE_1),
        Wish("macs", "nearest", 140_000_000),
    ),
    Question(
        "nearest to 40M within 1M parameters",
        Room(GROUPS, (8, 12, 16, 24), TABLE_1, widest=2),
        Wish("macs", "nearest", 40_000_000, (("params", 1_000_000),)),
    ),
    Question(
        "nearest to 13M with more or fewer units",
        Room((1, 2, 3), (6, 12, 24), FEW, widest=2),
        Wish("macs", "nearest", 13_000_000),
    ),
    Question(
        "most channels within 140M and 2M parameters",
        Room(GROUPS, (12, 24, 48), FEW),
        Wish("channels", "most", 0, (("macs", 140_000_000), ("params", 2_000_000))),
    ),
    Question(
        "most channels within 38M and 1 MiB of activations",
        Room(GROUPS, (3, 6, 8, 12, 24), FEW),
        Wish("channels", "most", 0, (("macs", 38_000_000), ("memory", 1 << 20))),
    ),
    Question(
        "most parameters within 140M and 2.5 MB of activations",
        Room(GROUPS, (12, 24, 48), FEW),
        Wish("params", "most", 0, (("macs", 140_000_000), ("memory", 2_500_000))),
    ),
    Question(
        "most parameters within 1,999,999 and 100M",
        Room((2, 3, 4), STEMS, TABLE_1),
        Wish("params", "most", 0, (("macs", 100_000_000), ("params", 1_999_999))),
    ),
    Question(
        "least cost with the channels of Table 1",
        Room(GROUPS, (12, 24, 48), FEW),
        Wish("macs", "least", 0, (("params", 2_000_000),), (("channels", 1680),)),
    ),
    Question(
        "least cost with the parameters of Table 1",
        Room(GROUPS, (24,), MANY, widest=2),
        Wish("macs", "least", 0, (), (("params", 1_865_728), ("channels", 1008))),
    ),
    Question(
        "least memory with the channels of Table 1",
        Room(GROUPS, STEMS[::3], FEW),
        Wish(
            "memory",
            "least",
            0,
            (("macs", 140_000_000), ("params", 2_000_000)),
            (("channels", 1680),),
        ),
    ),
)
#: A room for brute force, and what is wanted in it.
SMALL = Room((4, 8), (8, 16), ((3,), (1, 6), (4,)), widest=1)
WISHES = (
    Wish("macs", "nearest", 40_000_000, (("params", 1_000_000),)),
    Wish("channels", "most", 0, (("macs", 60_000_000), ("memory", 1_200_000))),
    Wish("params", "most", 0, (("macs", 60_000_000), ("params", 1_234_567))),
    Wish("macs", "least", 0, (), (("channels", 1_000), ("params", 900_000))),
    Wish("memory", "least", 0, (("macs", 90_000_000),), (("channels", 1_500),)),
)
each_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda asked: asked.name)


@each_question
def test_the_optimum_is_the_referees(question: Question) -> None:
    from shufflenet.solver.engine.optimise import optimise

    _, room, wish = question
    verdict = judged(room, wish, limit=60)
    assert verdict.proven
    assert verdict.design is not None
    found = optimise(problem(room, wish)).best
    ours = design(found.network)
    assert within(room, ours)
    assert wish.kept(figures(ours))
    assert wish.key(figures(ours)) == wish.key(figures(verdict.design))
    assert found.figures["macs"] == figures(ours).macs
    assert found.figures[wish.figure] == getattr(figures(ours), wish.figure)


def within(room: Room, found: Design) -> bool:
    """Whether a design is one of a space."""
    most = [room.widest * REFERENCE[found.g] * 2**at for at in range(3)]
    return (
        legal(found)
        and found.g in room.groups
        and found.stem in room.stems
        and all(c <= wide for c, wide in zip(found.widths, most, strict=True))
        and all(n in known for n, known in zip(found.units, room.units, strict=True))
    )


# The referee by itself


@st.composite
def designs(draw: st.DrawFn) -> Design:
    """A legal design of any widths and units."""
    g = draw(st.sampled_from(GROUPS))
    ks = draw(st.lists(st.integers(1, 300 // g), min_size=3, max_size=3, unique=True))
    widths = tuple(4 * g * k for k in sorted(ks))
    stem = g * draw(st.integers(1, (widths[0] - 1) // g))
    return Design(g, stem, widths, tuple(draw(st.integers(1, 9)) for _ in widths))


@settings(max_examples=100, deadline=None)
@given(designs())
def test_the_figures_of_the_paper_are_those_of_the_network(drawn: Design) -> None:
    net = network(
        repeated(load("shufflenet"), drawn.units), drawn.g, stem=drawn.stem, widths=drawn.widths
    )
    assert design(net) == drawn
    assert legal(drawn)
    tally = net.tally()
    found = figures(drawn)
    assert found.macs == price(tally, "shufflenet-paper")
    assert (found.params, found.memory) == (tally.params, tally.peak_memory)
    assert found.channels == sum(drawn.widths)


@cache
def all_designs() -> list[tuple[Design, Figures]]:
    """Every legal design of a small room."""
    found = []
    for g in SMALL.groups:
        widths = [range(4 * g, REFERENCE[g] * 2**at + 1, 4 * g) for at in range(3)]
        for chosen in product(*widths):
            for stem, units in product(SMALL.stems, product(*SMALL.units)):
                one = Design(g, stem, chosen, units)
                if legal(one):
                    found.append((one, figures(one)))
    return found


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("layout", ["products", "tables"])
@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: f"{wish.sense} {wish.figure}")
def test_the_referee_finds_what_brute_force_finds(wish: Wish, layout: Layout, split: bool) -> None:
    verdict = judged(SMALL, wish, limit=60, layout=layout, split=split)
    assert verdict.proven
    assert verdict.design is not None
    assert within(SMALL, verdict.design)
    least = min(wish.key(found) for _, found in all_designs() if wish.kept(found))
    assert wish.key(figures(verdict.design)) == least


def test_the_referee_says_where_nothing_fits() -> None:
    verdict = judged(SMALL, WISHES[0]._replace(at_most=(("macs", 1_000_000),)))
    assert verdict == (None, True)
