"""A space cut into parts: the layers whose widths are settled together, and what they may be.

Stages that are free are a part each; stages in a ratio are one part; at given scales everything
is. What a unit costs depends on the width that arrives and on its own, so that a part sees of the
parts before it only the last width of the one right before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import product
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shufflenet.arch.layout import Frame, stage_rows, stem_row, variable_rows
from shufflenet.arch.quantities import MAX_WIDTH, QuantityError, in_proportion
from shufflenet.arch.scaling import NothingLegalError, Rounded, settle
from shufflenet.arch.spec import Row, SpecError
from shufflenet.solver.problem import Space

IntArray: TypeAlias = NDArray[np.int64]


class SpacePart(NamedTuple):
    """Layers whose widths are settled together: their paths, and a column of widths for each.

    ``rows`` are all rows from its first layer up to the next part; ``repeats`` the numbers of
    units, one for each of ``stages``, that are tried together. Where the widths are those of
    scales, ``scales`` says which, and what was rounded.
    """

    paths: tuple[str, ...]
    widths: tuple[IntArray, ...]
    rows: tuple[Row, ...]
    stages: tuple[str, ...]
    repeats: tuple[tuple[int, ...], ...]
    scales: tuple[tuple[Decimal, tuple[Rounded, ...]], ...] = ()

    def kept(self, mask: NDArray[np.bool_]) -> SpacePart:
        """The part with those of its widths for which the mask holds."""
        return self._replace(
            widths=tuple(column[mask] for column in self.widths),
            scales=tuple(scale for scale, kept in zip(self.scales, mask, strict=False) if kept),
        )

    @property
    def size(self) -> int:
        """How many widths it may take."""
        return len(self.widths[0])


class SplitFrame(NamedTuple):
    """One frame of a space, cut: the rows before the first part, and the parts."""

    frame: Frame
    before: tuple[Row, ...]
    parts: tuple[SpacePart, ...]


def frames(space: Space) -> Iterator[Frame]:
    """Every frame of a space in its order: unit, size, bottleneck and groups as they are given."""
    spec = space.spec
    for unit, size, over, groups in product(
        space.units or (None,),
        space.sizes or (spec.image,),
        space.bottlenecks or (None,),
        space.groups or (spec.first_choice,),
    ):
        yield Frame(spec, groups, size, unit, space.cardinality, space.units_from, over)


def split_frame(space: Space, frame: Frame) -> SplitFrame:
    """The parts of one frame. Raises QuantityError where repeats are asked of what has none."""
    scales: tuple[tuple[Decimal, tuple[Rounded, ...]], ...] = ()
    if space.scales:
        columns, scales = _scaled(space, frame)
        settled = [(tuple(row.path for row in variable_rows(space.spec)), columns)]
    else:
        settled = [*_stem(space, frame), *_stages(space, frame)]
    rows = frame.spec.rows[1:]
    starts = [_first(rows, paths[0]) for paths, _ in settled]
    ends = [*starts[1:], len(rows)]
    parts = tuple(
        SpacePart(paths, columns, rows[start:end], *_repeats(space, paths), scales)
        for (paths, columns), start, end in zip(settled, starts, ends, strict=True)
    )
    return SplitFrame(frame, rows[: starts[0]], parts)


def _first(rows: Sequence[Row], path: str) -> int:
    return next(index for index, row in enumerate(rows) if row.path == path)


_PathWidths: TypeAlias = tuple[tuple[str, ...], tuple[IntArray, ...]]


def _column(widths: Sequence[int] | IntArray, align: int) -> IntArray:
    column: IntArray = np.array(widths, np.int64)
    kept: IntArray = column[column % align == 0]
    return kept


def _stem(space: Space, frame: Frame) -> list[_PathWidths]:
    row = stem_row(space.spec)
    if row is None:
        return []
    stems = sorted(space.stems) if space.stems else [frame.fixed(row)]
    return [((row.path,), (_column(stems, space.align),))]


def _stages(space: Space, frame: Frame) -> list[_PathWidths]:
    rows = stage_rows(space.spec)
    allowed = [np.array(sorted(widths), np.int64) for widths in space.widths]
    most = [min(space.widest * frame.own(row), MAX_WIDTH) for row in rows]
    if space.free:
        candidates = allowed or [np.arange(1, top + 1, dtype=np.int64) for top in most]
        return [
            ((row.path,), (_column(widths, space.align),))
            for row, widths in zip(rows, candidates, strict=True)
        ]
    ratio = in_proportion(list(space.ratio or (frame.own(row) for row in rows)))
    tops = [int(widths[-1]) for widths in allowed] or most
    steps = np.arange(1, min(t // r for t, r in zip(tops, ratio, strict=True)) + 1, dtype=np.int64)
    columns = [steps * part for part in ratio]
    mask = np.ones(len(steps), np.bool_)
    for index, column in enumerate(columns):
        mask &= column % space.align == 0
        if allowed:
            mask &= np.isin(column, allowed[index])
    return [(tuple(row.path for row in rows), tuple(column[mask] for column in columns))]


def _scaled(
    space: Space, frame: Frame
) -> tuple[tuple[IntArray, ...], tuple[tuple[Decimal, tuple[Rounded, ...]], ...]]:
    """The widths of every layer at each scale that has some, and those scales."""
    found: list[list[int]] = []
    scales = []
    for scale in space.scales:
        try:
            settled = settle(frame, scale)
        except (NothingLegalError, SpecError):
            # No network of this scale: the others are the space.
            continue
        values = [settled.widths[row.path] for row in variable_rows(space.spec)]
        if all(width % space.align == 0 for width in values):
            found.append(values)
            scales.append((scale, settled.rounded))
    columns = np.array(found, np.int64).reshape(-1, len(variable_rows(space.spec)))
    return tuple(columns.T), tuple(scales)


def _repeats(
    space: Space, paths: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """The stages of a part whose repeats vary, and every combination of them."""
    if not space.repeats:
        return (), ((),)
    rows = stage_rows(space.spec)
    given = {row.path: sorted(counts) for row, counts in zip(rows, space.repeats, strict=True)}
    stages = tuple(path for path in paths if path in given)
    lists = [_possible(space, path, given[path]) for path in stages]
    return stages, tuple(product(*lists))


def _possible(space: Space, path: str, counts: Sequence[int]) -> list[int]:
    """The numbers of units that the rows of a stage can have.

    Raises QuantityError where another number of them would make another image.
    """
    *others, last = [row for row in space.spec.rows if row.path == path]
    own = sum(row.repeat for row in (*others, last))
    if last.stride != 1 and list(counts) != [own]:
        raise QuantityError(
            f"{space.spec.where}: {last.layer}: repeats {', '.join(map(str, counts))}: every unit"
            f" of its last row has stride {last.stride}, so there can only be {own}"
        )
    least = max(sum(row.repeat for row in others), 1)
    return [count for count in counts if count >= least]


def repeated(rows: Sequence[Row], path: str, count: int) -> tuple[Row, ...]:
    """The rows with so many units in the layer of that path: its last row gets what is left.

    Where nothing is left for it, the last row goes. Raises QuantityError where the other rows of
    the layer have more units already.
    """
    own = [index for index, row in enumerate(rows) if row.path == path]
    left = count - sum(rows[index].repeat for index in own[:-1])
    if left < 0 or (left == 0 and len(own) == 1):
        raise QuantityError(f"repeats {count} of {rows[own[0]].layer}: its rows have more units")
    last = rows[own[-1]]
    return (
        *rows[: own[-1]],
        *((last.with_repeat(left),) if left else ()),
        *rows[own[-1] + 1 :],
    )
