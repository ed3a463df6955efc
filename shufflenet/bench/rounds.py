"""Calls timed in rounds, block by block: every call once in each round.

So whatever drifts weighs on all of them alike. Within a block calls keep their order, as the
layers of a network do, and find the caches as those before them left them.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

# Before the rounds that count, so many that load code.
_WARMING = 1


class TimedCall(NamedTuple):
    """What is timed: ``run``; ``prepare`` comes right before it, outside the clock."""

    run: Callable[[], object]
    prepare: Callable[[], object]


class RoundSettings(NamedTuple):
    """How thoroughly calls are timed: on so many threads, in so many rounds, in a drawn order."""

    threads: int = 1
    rounds: int = 15
    seed: int = 0


def in_rounds(
    blocks: Sequence[Sequence[TimedCall]],
    effort: RoundSettings,
    note: Callable[[int], object] = lambda number: None,
) -> list[list[list[int]]]:
    """The times [ns] of each call of each block, one a round; ``note`` is told each round's number.

    In every round the blocks come in a drawn order, and every block is gone through twice, of which
    the second counts: libraries keep what they made for a shape, though not for all of many. On one
    thread the time in which the system gave the processor to somebody else is left out.
    """
    order = list(range(len(blocks)))
    drawn = random.Random(effort.seed)
    alone = effort.threads == 1
    found: list[list[list[int]]] = [[[] for _ in block] for block in blocks]
    with _uncollected():
        for number in range(-_WARMING, effort.rounds):
            drawn.shuffle(order)
            for place in order:
                for call in blocks[place]:
                    call.run()
                taken = [clocked(call, alone=alone) for call in blocks[place]]
                if number >= 0:
                    for times, ns in zip(found[place], taken, strict=True):
                        times.append(ns)
            if number >= 0:
                note(number + 1)
    return found


def clocked(call: TimedCall, *, alone: bool) -> int:
    """How long one call takes [ns]; ``alone`` says that it runs on the calling thread only."""
    call.prepare()
    run = call.run
    if not alone:
        start = time.perf_counter_ns()
        run()
        return time.perf_counter_ns() - start
    ran = time.thread_time_ns()
    start = time.perf_counter_ns()
    run()
    end = time.perf_counter_ns()
    # The outer clock costs more to read, but stands still while others run.
    return min(end - start, time.thread_time_ns() - ran)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without pauses of the garbage collector."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
