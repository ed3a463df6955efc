"""Times of one call [ns], summed up: median, spread, and whether two differ beyond theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

# A block of a warm-up lasts about so long [ns], and holds at least one call.
_BLOCK = 100_000_000
# Medians of two blocks that are nearer than a share of 1/this agree; so many have to, in a row.
_NEAR = 20
_AGREEING = 3


class Summary(NamedTuple):
    """Times in figures [ns]: the median, the quartiles (the spread) and the least, of so many."""

    median: int
    low: int
    high: int
    least: int
    runs: int


class Turn(NamedTuple):
    """One turn: the time of each call [ns], and what processors worked for all of them [ns]."""

    ns: list[int]
    cpu: int


class Warmth(NamedTuple):
    """A warm-up: how many calls it took, whether their time settled, and to what median [ns]."""

    runs: int
    settled: bool
    median: int


def summary(times: Sequence[int]) -> Summary:
    """The figures of times [ns]: each a time that was measured, or halfway between two.

    Raises ValueError where there are none.
    """
    if not times:
        raise ValueError("no times to sum up")
    inner = sorted(times)
    last = len(inner) - 1
    quarter = last // 4
    return Summary(
        (inner[last // 2] + inner[len(inner) // 2]) // 2,
        inner[quarter],
        inner[last - quarter],
        inner[0],
        len(inner),
    )


def overlap(one: Summary, other: Summary) -> bool:
    """Whether the spreads of two have anything in common: then noise hides what differs."""
    return one.low <= other.high and other.low <= one.high


def warm_up(run: Callable[[int], list[int]], most: int) -> Warmth:
    """Run blocks of calls until their medians settle, or for ``most`` [ns] but three blocks.

    ``run`` makes so many calls and gives the time of each [ns].
    """
    times = run(1)
    medians = [summary(times).median]
    spent = sum(times)
    made = len(times)
    while len(medians) < _AGREEING or (not _settled(medians) and spent < most):
        block = run(calls_in_turn(medians[-1], _BLOCK))
        medians.append(summary(block).median)
        spent += sum(block)
        made += len(block)
    return Warmth(made, _settled(medians), medians[-1])


def _settled(medians: Sequence[int]) -> bool:
    last = medians[-_AGREEING:]
    return len(last) == _AGREEING and (max(last) - min(last)) * _NEAR <= min(last)


def turns(workers: int, rounds: int) -> list[list[int]]:
    """In which order workers have their turns, round by round: there, and then back.

    So whatever drifts steadily weighs on all of them alike.
    """
    order = list(range(workers))
    return [order[::-1] if number % 2 else order[:] for number in range(rounds)]


def calls_in_turn(median: int, share: int) -> int:
    """How many calls of a median time fill a share of a turn [ns]; at least one."""
    return max(1, share // max(median, 1))
