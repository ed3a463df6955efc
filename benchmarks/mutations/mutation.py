"""What a mutation is: one small edit of one function, and the tests that have to catch it."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """An edit of the sources, and the tests that have to fail with it.

    ``function`` is a qualified name (``Conv2d.cost``, ``solve``, ``outer.inner``), or a name that a
    module or class assigns to. ``find`` is an expression or a statement in it, and ``replace`` what
    stands there instead: several statements where ``find`` is a statement, ``pass`` to drop it.
    ``tests`` are file stems below tests/, with the end of the folder where a stem is not enough
    (``layers/test_cost``) and with ``::test`` for one test of a file. ``hangs`` says that the
    mutation may run for ever, so that reaching the time limit is being caught.
    """

    name: str
    function: str
    find: str
    replace: str
    tests: tuple[str, ...]
    hangs: bool = False
