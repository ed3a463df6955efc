"""The units of a part, folded over columns of widths: which are legal, and what each costs.

The same fold that prices one network runs over int64 arrays. Candidates are legal or not before
they are priced, and those whose trees differ, since some keep their width, are folded apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flopcount.conventions import Convention, price
from flopcount.entries import Shape
from flopcount.integers import FigureTooLargeError, MixedWidthsError, lift
from flopcount.layers import cost, depth
from flopcount.layers.rules import LayerRule
from shufflenet.arch.layout import Frame, Placed, distinct, follow, stage_rows
from shufflenet.arch.network import Network
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.spec import Row
from shufflenet.cost.latency_model import LatencyError, Model
from shufflenet.solver.engine.variables import IntArray, SpacePart

Mask: TypeAlias = NDArray[np.bool_]
#: A table of each figure by its name: ``macs:`` and a convention, params, memory, moved, ...
Tables: TypeAlias = dict[str, IntArray]
WidthColumns: TypeAlias = Mapping[str, IntArray]

#: The figures that are folded: each ``macs`` with the convention that prices it, latency with its
#: model.
Names: TypeAlias = Mapping[str, Convention | Model | None]

# Two widths that no layer has, to find the rules that do not ask what arrives.
_NOBODYS = np.array([[2**30 + 1], [2**30 + 3]], np.int64)


def joined(name: str, one: Any, other: Any) -> Any:
    """Two parts of a network together: memory is the larger of both, all else adds up."""
    return np.maximum(one, other) if name == "memory" else one + other


def figured(placed: Placed, names: Names) -> dict[str, Any]:
    """The figures of one unit where it stands, for each candidate of a column."""
    tally = cost.count(placed.layer, placed.before, memory="memory" in names)
    found: dict[str, Any] = {}
    for name, how in names.items():
        if isinstance(how, Model):
            found[name] = how.network(placed.layer, tally)
        elif how is not None:
            found[name] = price(tally, how)
        elif name == "params":
            found[name] = tally.params
        elif name == "memory":
            found[name] = tally.peak_memory
        elif name == "moved":
            found[name] = tally.bytes_moved
        elif name == "layers":
            found[name] = depth(placed.layer)
    return found


def network_figures(network: Network, names: Names) -> dict[str, int]:
    """The figures of a whole network, counted anew: those named, and all that need no more."""
    tally = network.tally(memory="memory" in names)
    found = {
        "params": tally.params,
        "moved": tally.bytes_moved,
        "layers": network.depth,
        "channels": sum(network.stage_widths),
    }
    if tally.peak_memory is not None:
        found["memory"] = tally.peak_memory
    for name, how in names.items():
        if isinstance(how, Model):
            found[name] = how.network(network.tree, tally)
        elif how is not None:
            found[name] = price(tally, how)
    return found


class UnitWalk:
    """The units of some rows, one after the other, and the shape behind them once they ended."""

    def __init__(
        self, frame: Frame, rows: Sequence[Row], shape: Shape, widths: WidthColumns
    ) -> None:
        self.shape = shape
        lifted = {path: lift(column) for path, column in widths.items()}
        self._units = follow(frame, rows, shape, lifted)

    def __iter__(self) -> Iterator[Placed]:
        self.shape = yield from self._units


def rules_of(placed: Placed) -> Iterator[LayerRule]:
    """The rules of a unit, up to a broken one without a width in it: no layer is behind that."""
    for _, rule in placed.rules():
        yield rule
        if rule.holds() is False:
            return


def arriving(shape: Shape, widths: object) -> Shape:
    """The shape ``(n, c, h, w)`` with other widths."""
    return Shape(shape[0], lift(widths), *shape[2:])


def own_rules(frame: Frame, part: SpacePart, before: Shape) -> Mask:
    """Which widths keep all rules of the part's first unit that do not ask what arrives.

    A width that stays as it is has another tree, and so is asked by itself.
    """
    first = part.rows[0].with_repeat(1)
    own = part.widths[0]
    apart = np.ones(part.size, np.bool_)
    walk = UnitWalk(frame, [first], arriving(before, _NOBODYS), {first.path: own[None, :]})
    for placed in walk:
        for rule in rules_of(placed):
            held = np.asarray(rule.holds())
            if held.ndim < 2 or held.shape[0] == 1:
                apart &= held.reshape(-1)
    return apart | holds(frame, [first], arriving(before, own), {first.path: own})


def holds(frame: Frame, rows: Sequence[Row], shape: Shape, widths: WidthColumns) -> Mask:
    """Which candidates of a column keep every rule of some rows."""
    mask = np.ones(len(next(iter(widths.values()))), np.bool_)
    if not len(mask):
        return mask
    for placed in distinct(UnitWalk(frame, rows, shape, widths)):
        for _, rule in placed.rules():
            mask &= rule.holds()
        if not mask.any():
            # Nothing stands behind a unit that no candidate can have.
            return mask
    return mask


class FirstUnitTables(NamedTuple):
    """A part's first unit for each (width before, own width), and the shape behind it."""

    legal: Mask
    tables: Tables
    after: Shape


def pairs(frame: Frame, part: SpacePart, before: Shape, wide: int, names: Names) -> FirstUnitTables:
    """Fold the first unit of a part behind so many widths, for all widths of its own."""
    try:
        return _crossed(frame, part, before, wide, names)
    except (MixedWidthsError, FigureTooLargeError, LatencyError):
        # Some pairs have another tree than others, or an illegal one has no figure.
        return _listed(frame, part, before, wide, names)


def _crossed(
    frame: Frame, part: SpacePart, before: Shape, wide: int, names: Names
) -> FirstUnitTables:
    """All pairs at once: a row of widths against a column, so that most figures stay small."""
    row = part.rows[0].with_repeat(1)
    shape = (wide, part.size)
    ahead = np.broadcast_to(np.asarray(before[1], np.int64), (wide,))[:, None]
    legal = np.ones(shape, np.bool_)
    tables = {name: np.zeros(shape, np.int64) for name in names}
    walk = UnitWalk(frame, [row], arriving(before, ahead), {row.path: part.widths[0][None, :]})
    for placed in walk:
        for rule in rules_of(placed):
            legal &= rule.holds()
        if not legal.any():
            return FirstUnitTables(legal, tables, before)
        for name, value in figured(placed, names).items():
            tables[name][:] = value
    return FirstUnitTables(legal, tables, walk.shape)


def _listed(
    frame: Frame, part: SpacePart, before: Shape, wide: int, names: Names
) -> FirstUnitTables:
    """All pairs in a list: those whose width stays, then the others; only the legal are priced."""
    row = part.rows[0].with_repeat(1)
    widths = np.broadcast_to(np.asarray(before[1], np.int64), (wide,))
    ahead, own = np.repeat(widths, part.size), np.tile(part.widths[0], wide)
    legal = np.zeros(wide * part.size, np.bool_)
    tables = {name: np.zeros(wide * part.size, np.int64) for name in names}
    after = before
    for group in (np.flatnonzero(ahead == own), np.flatnonzero(ahead != own)):
        held = holds(frame, [row], arriving(before, ahead[group]), {row.path: own[group]})
        kept = group[held]
        if not len(kept):
            continue
        legal[kept] = True
        walk = UnitWalk(frame, [row], arriving(before, ahead[kept]), {row.path: own[kept]})
        for placed in walk:
            for name, value in figured(placed, names).items():
                tables[name][kept] = value
        after = walk.shape
    shape = (wide, part.size)
    return FirstUnitTables(
        legal.reshape(shape), {n: t.reshape(shape) for n, t in tables.items()}, after
    )


class _RowRun(NamedTuple):
    """A row behind a part's first unit, with as many units as any repeats ask for.

    ``stage`` is the number of the stage whose repeats decide how many of them there are (None: all
    of them are always there), and ``skipped`` how many of the row stand before these.
    """

    row: Row
    stage: int | None
    skipped: int


class _RepeatPlan(NamedTuple):
    """What stands behind a part's first unit, and how many units of each stage's last row do."""

    runs: tuple[_RowRun, ...]
    counts: tuple[tuple[int, ...], ...]


def _plan(part: SpacePart) -> _RepeatPlan:
    own = {path: [row for row in part.rows if row.path == path] for path in part.stages}
    others = [sum(row.repeat for row in own[path][:-1]) for path in part.stages]
    counts = tuple(
        tuple(count - other for count, other in zip(combination, others, strict=True))
        for combination in part.repeats
    )
    runs = []
    for index, row in enumerate(part.rows):
        skipped = 1 if index == 0 else 0
        stage = part.stages.index(row.path) if row.path in part.stages else None
        if stage is not None and row is not own[row.path][-1]:
            stage = None
        length = row.repeat if stage is None else max((c[stage] for c in counts), default=0)
        if length > skipped:
            runs.append(_RowRun(row.with_repeat(length - skipped), stage, skipped))
    return _RepeatPlan(tuple(runs), counts)


class Rest(NamedTuple):
    """All behind a part's first unit for each (own width, repeats), and the shape behind it."""

    allowed: Mask
    tables: Tables
    after: Shape


def rest(frame: Frame, part: SpacePart, after: Shape, names: Names) -> Rest:
    """Fold the units behind the first of a part, for all its widths and repeats.

    Raises QuantityError where repeats vary of units that change the size of the image.
    """
    plan = _plan(part)
    shape = (part.size, len(part.repeats))
    allowed = np.zeros(shape, np.bool_)
    tables = {name: np.zeros(shape, np.int64) for name in names}
    channels: IntArray | int = 0
    last = after
    for group in _alike(frame, part):
        group, folded = _folded(frame, part, plan, after, group, names)
        if folded is None:
            continue
        allowed[group] = folded.allowed()
        for name in names:
            tables[name][group] = folded.table(name)
        last = folded.shape
        if np.ndim(last[1]):
            channels = np.zeros(part.size, np.int64) if np.ndim(channels) == 0 else channels
            channels[group] = last[1]  # type: ignore[index]
    if "channels" in names:
        stages = {row.path for row in stage_rows(frame.spec)}
        own = (c for p, c in zip(part.paths, part.widths, strict=True) if p in stages)
        tables["channels"] += sum(own, np.zeros(part.size, np.int64))[:, None]
    return Rest(allowed, tables, arriving(last, channels) if np.ndim(channels) else last)


def _alike(frame: Frame, part: SpacePart) -> Iterator[IntArray]:
    """The candidates of a part in groups of one tree: by which neighbouring widths are equal."""
    columns = dict(zip(part.paths, part.widths, strict=True))
    widths = [
        columns[row.path] if row.path in columns else np.full(part.size, frame.fixed(row))
        for row in part.rows
        if row.channels is not None
    ]
    pattern = np.zeros(part.size, np.int64)
    for one, other in pairwise(widths):
        if one is not other:
            pattern = np.unique(2 * pattern + (one == other), return_inverse=True)[1]
    for found in np.unique(pattern):
        yield np.flatnonzero(pattern == found)


class _IllegalError(Exception):
    """Some candidates break a rule of a unit that none of them goes without."""

    def __init__(self, legal: Mask) -> None:
        super().__init__()
        self.legal = legal


def _folded(
    frame: Frame, part: SpacePart, plan: _RepeatPlan, after: Shape, group: IntArray, names: Names
) -> tuple[IntArray, _Folded | None]:
    """A group of candidates folded, without those that are illegal anyway; None if all are.

    Behind a broken rule widths are not what the rows say, and trees not alike.
    """
    while len(group):
        widths = {p: column[group] for p, column in zip(part.paths, part.widths, strict=True)}
        shape = arriving(after, widths[part.paths[0]])
        try:
            return group, _Folded(frame, plan, shape, widths, names)
        except _IllegalError as error:
            group = group[error.legal]
    return group, None


class _Folded:
    """The units behind the first, over one column of candidates; stages by number of units."""

    def __init__(
        self, frame: Frame, plan: _RepeatPlan, shape: Shape, widths: WidthColumns, names: Names
    ) -> None:
        self.size = len(next(iter(widths.values())))
        self.plan = plan
        self.masks: dict[int, dict[int, Mask]] = {}
        self.fixed: dict[str, Any] = dict.fromkeys(names, 0)
        self.grown: dict[int, dict[int, dict[str, Any]]] = {}
        self.shape = shape
        for run in plan.runs:
            self._fold(frame, run, widths, names)

    def _fold(self, frame: Frame, run: _RowRun, widths: WidthColumns, names: Names) -> None:
        walk = UnitWalk(frame, [run.row], self.shape, widths)
        held: Any = True
        figures: dict[str, Any] = {}
        last: Placed | None = None
        for number, placed in enumerate(walk, run.skipped + 1):
            if last is None or placed.layer is not last.layer:
                rules = [np.broadcast_to(r.holds(), self.size) for r in rules_of(placed)]
                held = np.logical_and.reduce(rules)
                if not held.all() and self._needed(run, number):
                    raise _IllegalError(held)
                figures = figured(placed, names)
            last = placed
            if run.stage is None:
                self.fixed = {n: joined(n, self.fixed[n], v) for n, v in figures.items()}
            else:
                self._grow(frame, run, number, placed, held, figures)
        self.shape = walk.shape

    def _needed(self, run: _RowRun, number: int) -> bool:
        """Whether all repeats have this unit."""
        return run.stage is None or number <= min(count[run.stage] for count in self.plan.counts)

    def _grow(
        self,
        frame: Frame,
        run: _RowRun,
        number: int,
        placed: Placed,
        held: Any,
        figures: Mapping[str, Any],
    ) -> None:
        assert run.stage is not None
        if len({count[run.stage] for count in self.plan.counts}) > 1:
            before, after = placed.before[2:], placed.after[2:]
            if before != after:
                raise QuantityError(
                    f"{frame.where(run.row)}: its number of units cannot vary, since each of them"
                    f" makes the image smaller"
                )
        masks = self.masks.setdefault(run.stage, {run.skipped: np.ones(self.size, np.bool_)})
        masks[number] = masks[number - 1] & held
        grown = self.grown.setdefault(run.stage, {run.skipped: dict.fromkeys(figures, 0)})
        grown[number] = {n: joined(n, grown[number - 1][n], v) for n, v in figures.items()}

    def allowed(self) -> Mask:
        """Which (candidate, repeats) keep every rule."""
        found = np.ones((self.size, len(self.plan.counts)), np.bool_)
        for stage, masks in self.masks.items():
            for r, count in enumerate(self.plan.counts):
                found[:, r] &= masks[count[stage]]
        return found

    def table(self, name: str) -> IntArray:
        """A figure for each (candidate, repeats)."""
        found = np.zeros((self.size, len(self.plan.counts)), np.int64)
        if name not in self.fixed or name == "channels":
            return found
        found[:] = np.broadcast_to(np.asarray(self.fixed[name]), (self.size,))[:, None]
        for stage, grown in self.grown.items():
            for r, count in enumerate(self.plan.counts):
                found[:, r] = joined(name, found[:, r], grown[count[stage]][name])
        return found
