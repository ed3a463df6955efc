"""A time beside an earlier one: whether it is another, and what the two were not made alike in."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

from shufflenet.bench.timings import Summary, overlap

#: What became of a time: beyond both spreads, or within what noise hides.
Change: TypeAlias = Literal["slower", "faster", "noise"]

#: Quartiles of fewer runs say too little to tell two times apart.
FEWEST = 3


class Against(NamedTuple):
    """A time beside an earlier one: the ratio of the medians, new to old."""

    before: Summary
    ratio: Fraction
    change: Change


def compared(now: Summary, before: Summary, *, disturbed: bool = False) -> Against:
    """A time beside an earlier one.

    Where the spreads overlap or are of fewer runs than `FEWEST`, or either was ``disturbed``, what
    differs may be noise.
    """
    ratio = Fraction(now.median, max(before.median, 1))
    if disturbed or overlap(now, before) or min(now.runs, before.runs) < FEWEST:
        return Against(before, ratio, "noise")
    return Against(before, ratio, "slower" if now.median > before.median else "faster")
