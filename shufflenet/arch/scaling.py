"""Widths for a scale: the stem and the stages multiplied, and rounded up where a rule forbids.

The paper scales all widths and says nothing of those that its own divisibility rules forbid. Its
Sec. 4.2 gives one away: 576 channels in Stage4 at 0.5x, g = 4, where half of 1088 is 544. So an
illegal stem is rounded up first, then Stage2 to the next width with which every stage is legal,
the stages still in the spec's ratio (136 -> 144, so 144, 288, 576).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from math import ceil, lcm
from typing import NamedTuple

from flopcount.layers.rules import Divides, LayerRule
from shufflenet.arch.layout import (
    Frame,
    Placed,
    distinct,
    stage_rows,
    stem_row,
    variable_rows,
    walk,
)
from shufflenet.arch.quantities import MAX_WIDTH, QuantityError, check_width, in_proportion
from shufflenet.arch.spec import Row, SpecError

# Some seconds of trying; the bundled units settle within a few hundred.
_MOST_TRIES = 20_000


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
    return {row.path: frame.fixed(row) for row in variable_rows(frame.spec)}


class Broken(NamedTuple):
    """A rule that is broken, the layer and path that need it, and how many rules held before it."""

    layer: str
    path: str
    rule: LayerRule
    held: int

    def __str__(self) -> str:
        return f"{self.layer}: {self.rule}"


def first_broken(frame: Frame, widths: Mapping[str, int]) -> Broken | None:
    """The first rule that the widths break."""
    return _broken_in(distinct(walk(frame, widths)))[0]


def _broken_in(units: Iterable[Placed]) -> tuple[Broken | None, int]:
    """The first rule that is broken in some units, if one is, and how many hold before it."""
    held = 0
    for placed in units:
        for path, rule in placed.rules():
            if not rule.holds():
                return Broken(placed.row.layer, path, rule, held), held
            held += 1
    return None, held


def settle(frame: Frame, scale: Decimal, stem: int | None = None) -> Settled:
    """The widths of a frame at a scale; a ``stem`` that is given stays as it is.

    Raises NothingLegalError where rounding up finds nothing, and SpecError for a width too large.
    """
    base = base_widths(frame)
    stem_at = stem_row(frame.spec)
    # exact: a width of 7 digits times a scale of 15 stays within Decimal's 28
    wanted = {path: width * scale for path, width in base.items()}
    if stem_at is not None and stem is not None:
        wanted[stem_at.path] = Decimal(stem)
    if all(width == int(width) for width in wanted.values()):
        whole = {path: int(width) for path, width in wanted.items()}
        _check_widths(frame, whole)
        if scale == 1 or first_broken(frame, whole) is None:
            # At the spec's own scale an illegal width is an error, for the network to report.
            return Settled(whole)
    return _round_up(frame, wanted, stem)


def _check_widths(frame: Frame, widths: Mapping[str, int]) -> None:
    for path, width in widths.items():
        try:
            check_width(width)
        except QuantityError as error:
            raise SpecError(f"{frame.spec.where}: {path}, g={frame.groups}: {error}") from error


def _round_up(frame: Frame, wanted: Mapping[str, Decimal], stem: int | None) -> Settled:
    search = _Search(frame, wanted)
    found = search.stems() if stem is None else search.stages(stem)
    if found is None:
        asked = ", ".join(f"{path} {shown(width)}" for path, width in wanted.items())
        reason = f": {search.furthest}" if search.furthest else ""
        raise NothingLegalError(
            f"{frame.spec.where}, g={frame.groups}: no legal widths at or above {asked}{reason}"
        )
    return Settled(found, tuple(_footnotes(frame, wanted, found)))


class _Start(NamedTuple):
    """Where the first stage starts: the path of its first unit, and the rules that hold before."""

    path: str
    held: int

    @classmethod
    def of(cls, frame: Frame, row: Row, widths: Mapping[str, int]) -> _Start | None:
        """The start of a row; None where a rule is broken before it."""
        paths: list[str] = []

        def before() -> Iterator[Placed]:
            for placed in distinct(walk(frame, widths)):
                if placed.row.path == row.path:
                    paths.append(placed.path)
                    return
                yield placed

        broken, held = _broken_in(before())
        return cls(paths[0], held) if broken is None and paths else None


class _Search:
    """The narrowest legal stem and then stages, at or above what a scale wants.

    Rules of divisibility repeat with the least common multiple of their moduli. Once so many
    widths in a row broke rules of moduli already seen, every wider one breaks them as well.

    Most widths break the bottleneck's rule of the first stage, which its width alone decides.
    Once it is known that everything before that stage holds with a stem, such a width is refused
    with the same rule as by placing the whole network, and nothing is placed.
    """

    def __init__(self, frame: Frame, wanted: Mapping[str, Decimal]) -> None:
        stem_at, stages = stem_row(frame.spec), stage_rows(frame.spec)
        self.frame = frame
        self.stem_path = stem_at.path if stem_at is not None else None
        # with no stage it is never asked for
        self.first = stages[0] if stages else frame.spec.rows[0]
        self.paths = [row.path for row in stages]
        self.ratio = in_proportion([frame.fixed(row) for row in stages]) if stages else ()
        self.start = ceil(wanted[self.stem_path]) if self.stem_path is not None else 0
        self.step = ceil(wanted[self.paths[0]] / self.ratio[0]) if stages else 0
        self.period = 1
        self.tries = 0
        # of the stem that is tried
        self.behind: _Start | None = None
        self.furthest: Broken | None = None

    def stems(self) -> dict[str, int] | None:
        """Every stem of one period, the narrowest first, with its narrowest stages."""
        stem = self.start
        while stem <= min(self.start + self.period, MAX_WIDTH):
            if (found := self.stages(stem)) is not None:
                return found
            stem += 1
        return None

    def stages(self, stem: int) -> dict[str, int] | None:
        """The narrowest legal stages with a stem, if there are any."""
        seen = 0
        self.behind = None
        last: Broken | None = None
        short: dict[str, int] = {}
        for step in range(self.step, MAX_WIDTH // max(self.ratio, default=1) + 1):
            widths = self._widths(stem, step)
            broken = self._broken(widths)
            if broken is None:
                return widths
            if last is not None and (last.path, last.rule) == (broken.path, broken.rule):
                # No width of the stages changes what this rule compares.
                return None
            if isinstance(broken.rule, Divides):
                period = lcm(self.period, broken.rule.by)
                seen = seen + 1 if period == self.period else 0
                self.period = period
            else:
                seen = 0
                missing = broken.rule.missing()
                if missing >= short.get(broken.path, missing + 1):
                    # Wider stages come no nearer to keeping it.
                    return None
                short[broken.path] = missing
            if seen > self.period or not self.paths:
                return None
            last = broken
        return None

    def _broken(self, widths: dict[str, int]) -> Broken | None:
        self.tries += 1
        if self.tries > _MOST_TRIES:
            raise NothingLegalError(
                f"{self.frame.spec.where}, g={self.frame.groups}: no legal widths among the first"
                f" {_MOST_TRIES:,} tried: {self.furthest}"
            )
        broken = self._too_odd(widths) or first_broken(self.frame, widths)
        if broken is not None and self.behind is None and self.paths:
            self.behind = _Start.of(self.frame, self.first, widths)
        if broken is not None and (self.furthest is None or broken.held > self.furthest.held):
            self.furthest = broken
        return broken

    def _too_odd(self, widths: Mapping[str, int]) -> Broken | None:
        """The bottleneck's rule that the first stage breaks by its width alone, if it is known."""
        if self.behind is None:
            return None
        chosen, row = self.frame.unit_of(self.first)
        if not chosen.known:
            return None
        groups = self.frame.groups_of(chosen, row)
        _, rules = chosen.bottleneck(widths[row.path], groups, row.ratio)
        for index, rule in enumerate(rules):
            if not rule.holds():
                return Broken(row.layer, self.behind.path, rule, self.behind.held + index)
        return None

    def _widths(self, stem: int, step: int) -> dict[str, int]:
        widths = {} if self.stem_path is None else {self.stem_path: stem}
        return widths | {path: step * r for path, r in zip(self.paths, self.ratio, strict=True)}


def _footnotes(
    frame: Frame, wanted: Mapping[str, Decimal], used: Mapping[str, int]
) -> Iterator[Rounded]:
    stem_at, stages = stem_row(frame.spec), stage_rows(frame.spec)
    layers = ([(stem_at,)] if stem_at is not None else []) + ([stages] if stages else [])
    for rows in layers:
        first = rows[0]
        if used[first.path] != wanted[first.path]:
            reason = "; ".join(_reasons(frame, rows, wanted, used))
            yield Rounded(first.layer, wanted[first.path], used[first.path], reason)


def _reasons(
    frame: Frame, rows: tuple[Row, ...], wanted: Mapping[str, Decimal], used: Mapping[str, int]
) -> Iterator[str]:
    """Why the widths of some rows are not what was wanted: no whole numbers, or a broken rule."""
    fractional = next((row for row in rows if wanted[row.path] != int(wanted[row.path])), None)
    if fractional is not None:
        at = "" if fractional is rows[0] else f"{fractional.layer}: "
        yield f"{at}{shown(wanted[fractional.path])} is not a whole number"
    ratio = in_proportion([frame.fixed(row) for row in rows])
    steps = ceil(wanted[rows[0].path] / ratio[0])
    asked = {row.path: steps * part for row, part in zip(rows, ratio, strict=True)}
    broken = first_broken(frame, {**used, **asked})
    if broken is not None:
        yield str(broken)


def shown(width: Decimal) -> str:
    """A width that may have decimals, as people write it."""
    return f"{width.normalize():f}"
