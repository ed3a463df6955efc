"""Widths for a scale: the stem and the stages multiplied, and rounded up where a rule forbids.

The paper scales all widths and says nothing of those that its own divisibility rules forbid. Its
Sec. 4.2 gives one away: 576 channels in Stage4 at 0.5x, g = 4, where half of 1088 is 544. So an
illegal stem is rounded up first, then Stage2 to the next width with which every stage is legal,
the stages still in the spec's ratio (136 -> 144, so 144, 288, 576).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import ceil, lcm
from typing import NamedTuple

from flopcount.rules import Divides, Rule
from shufflenet.placing import Frame, Placed, distinct, stage_rows, stem_row, walk
from shufflenet.quantities import MAX_WIDTH, check_width, in_proportion

# Rules repeat with the least common multiple of their moduli; past this one the search ends.
_LONGEST_PERIOD = 4_096


class NothingLegalError(ValueError):
    """No widths keep every rule, or fit; the text names the rule in the way."""


class Rounded(NamedTuple):
    """A width that a scale made illegal: what the scale wants, what is used, and the rule."""

    layer: str
    wanted: Decimal
    used: int
    rule: str


class Settled(NamedTuple):
    """The width of every layer path whose width is free, and where it was rounded."""

    widths: Mapping[str, int]
    rounded: tuple[Rounded, ...] = ()


def base_widths(frame: Frame) -> dict[str, int]:
    """The widths that the spec's own column gives, for each free layer's path."""
    stem = stem_row(frame.spec)
    rows = ([stem] if stem else []) + list(stage_rows(frame.spec))
    return {row.path: frame.fixed(row) for row in rows}


def first_broken(frame: Frame, widths: Mapping[str, int]) -> tuple[Placed, str, Rule] | None:
    """The first rule that the widths break, with the unit and the path that need it."""
    for placed in distinct(walk(frame, widths)):
        for path, rule in placed.rules():
            if not rule.holds():
                return placed, path, rule
    return None


def settle(frame: Frame, scale: Decimal, stem: int | None = None) -> Settled:
    """The widths of a frame at a scale; a ``stem`` that is given stays as it is.

    Raises NothingLegalError where rounding up finds nothing within one period of the rules.
    """
    base = base_widths(frame)
    stem_at = stem_row(frame.spec)
    # exact: a width of 7 digits times a scale of 15 stays within Decimal's 28
    wanted = {path: width * scale for path, width in base.items()}
    if stem_at is not None and stem is not None:
        wanted[stem_at.path] = Decimal(stem)
    if all(width == int(width) for width in wanted.values()):
        whole = {path: check_width(int(width)) for path, width in wanted.items()}
        if scale == 1 or first_broken(frame, whole) is None:
            # At the spec's own scale an illegal width is an error, for the network to report.
            return Settled(whole)
    return _round_up(frame, wanted, stem)


def _round_up(frame: Frame, wanted: Mapping[str, Decimal], stem: int | None) -> Settled:
    stages = stage_rows(frame.spec)
    ratio = in_proportion([frame.fixed(row) for row in stages]) if stages else ()
    step = ceil(wanted[stages[0].path] / ratio[0]) if stages else 0
    stem_at = stem_row(frame.spec)
    start = ceil(wanted[stem_at.path]) if stem_at is not None else 0

    def at(stem_width: int, steps: int) -> dict[str, int]:
        widths = {stem_at.path: stem_width} if stem_at is not None else {}
        return widths | {row.path: steps * r for row, r in zip(stages, ratio, strict=True)}

    for stem_width in range(start, (start if stem is not None else 2 * start) + 1):
        for steps in range(
            step, step + _period(frame, at(stem_width, step), at(stem_width, step + 1))
        ):
            widths = at(stem_width, steps)
            if max(widths.values(), default=0) > MAX_WIDTH:
                break
            if first_broken(frame, widths) is None:
                return Settled(widths, tuple(_footnotes(frame, wanted, widths)))
    broken = first_broken(frame, at(start, step))
    asked = ", ".join(f"{path} {shown(width)}" for path, width in wanted.items())
    raise NothingLegalError(
        f"{frame.spec.where}, g={frame.groups}: no legal widths at or above {asked}"
        + (f": {broken[0].row.layer}: {broken[2]}" if broken else "")
    )


def _period(frame: Frame, widths: Mapping[str, int], wider: Mapping[str, int]) -> int:
    """How many steps of the stages' width until the rules repeat: all there is to try."""
    moduli = [
        [
            rule.by if isinstance(rule, Divides) else 1
            for placed in walk(frame, w)
            for _, rule in placed.rules()
        ]
        for w in (widths, wider)
    ]
    # A modulus that grows with the width (a depthwise convolution's) keeps its rule by itself.
    period = lcm(*(a for a, b in zip(*moduli, strict=False) if a == b and a > 0))
    return min(period, _LONGEST_PERIOD)


def _footnotes(
    frame: Frame, wanted: Mapping[str, Decimal], used: Mapping[str, int]
) -> Iterator[Rounded]:
    stem_at, stages = stem_row(frame.spec), stage_rows(frame.spec)
    groups = ([(stem_at,)] if stem_at is not None else []) + ([stages] if stages else [])
    for rows in groups:
        first = rows[0]
        if used[first.path] == wanted[first.path]:
            continue
        asked = dict(used)
        for row in rows:
            asked[row.path] = int(wanted[row.path])
        if any(wanted[row.path] != int(wanted[row.path]) for row in rows):
            rule = f"{shown(wanted[first.path])} is not a whole number"
        elif (broken := first_broken(frame, asked)) is not None:
            rule = f"{broken[0].row.layer}: {broken[2]}"
        else:
            rule = "the stages would leave their ratio"
        yield Rounded(first.layer, wanted[first.path], used[first.path], rule)


def shown(width: Decimal) -> str:
    """A width that may have decimals, as people write it."""
    return f"{width.normalize():f}"
