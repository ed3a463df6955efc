"""What is wished of a space of ShuffleNets, put to the exact solver; and its answer read back."""

from __future__ import annotations

from shufflenet.arch.layout import stage_rows
from shufflenet.arch.network import Network
from shufflenet.arch.spec_reader import load
from shufflenet.solver.problem import Bound, Goal, Problem, Space
from tests.shufflenet.solver.engine.paper_designs import Design, Room, Wish


def problem(room: Room, wish: Wish) -> Problem:
    """The same question to the exact solver, every stage free."""
    space = Space(
        load("shufflenet"),
        groups=room.groups,
        repeats=room.units,
        stems=room.stems,
        free=True,
        widest=room.widest,
    )
    most, least = dict(wish.at_most), dict(wish.at_least)
    bounds = tuple(
        Bound(name, least.get(name), most.get(name)) for name in dict.fromkeys([*most, *least])
    )
    return Problem(space, (Goal(wish.figure, wish.sense, wish.target or None),), bounds)


def design(net: Network) -> Design:
    """A network in the words of the paper's formulas."""
    units = dict.fromkeys((row.path for row in stage_rows(net.spec)), 0)
    for row in net.rows:
        if row.row.path in units:
            units[row.row.path] += len(row.paths)
    assert net.stem is not None
    return Design(net.groups, net.stem, net.stage_widths, tuple(units.values()))
