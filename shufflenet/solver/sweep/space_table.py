"""A design space as a table: its networks in the space's order, cut into pieces, and priced.

The pieces depend on nothing but the sweep, so that one that was broken off goes on where it was,
and several processes price them apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flopcount.conventions import Convention
from shufflenet._version import __version__
from shufflenet.arch.layout import Frame, stage_rows, stem_row
from shufflenet.arch.network import assemble
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec import SpecError
from shufflenet.solver.engine.best_first import MEMORY_TERM, CandidateSet
from shufflenet.solver.engine.bounds import Block, ChainSearch
from shufflenet.solver.engine.enumeration import extend, prefixes
from shufflenet.solver.engine.objectives import Objectives
from shufflenet.solver.engine.search_limits import LIMITS, SearchLimits, WorkMeter
from shufflenet.solver.engine.stage_tables import CostChain, chain
from shufflenet.solver.engine.unit_costs import network_figures
from shufflenet.solver.engine.variables import IntArray, frames, repeated, split_frame
from shufflenet.solver.problem import ALWAYS_SHOWN, USUAL, Bound, Figure, Goal, Problem, Space
from shufflenet.solver.sweep.expansion import ChoiceColumn, Expanded, Expansion, begun

#: The names of all figures in the table of a sweep.
COLUMN_NAMES: Mapping[Figure, str] = {
    "macs": "macs",
    "params": "params",
    "memory": "peak_activation_bytes",
    "moved": "bytes_moved",
    "layers": "layers",
    "channels": "channels",
}
#: Networks in one piece at most, where nothing else is said.
PIECE = 250_000
_MOST_PIECE = 5_000_000
# More completions than any piece has; counts end here, so that none can wrap.
_COUNT_CAP = 2**31


class Piece(NamedTuple):
    """Some networks: all that begin with one of the prefixes, which stand in the space's order.

    ``prefixes`` are pairs of entries, (n, parts) widths and repeats; ``done`` is the share of the
    space before it, about, from 0 to 1.
    """

    number: int
    frame: int
    prefixes: tuple[tuple[NDArray[np.int32], NDArray[np.int32]], ...]
    done: float


class Rows(NamedTuple):
    """Some rows of a sweep's table: cells that are the same in all of them, then columns."""

    size: int
    same: Mapping[str, str | int | None]
    columns: Mapping[str, IntArray]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A space to be written down: the bounds that hold, the convention, further figures.

    ``piece`` is how many networks are priced at once at most. Raises QuantityError for a figure
    that has no column, and for a piece out of its range.
    """

    space: Space
    bounds: tuple[Bound, ...] = ()
    convention: str | Convention = "shufflenet-paper"
    figures: tuple[Figure, ...] = ()
    piece: int = PIECE

    def __post_init__(self) -> None:
        for figure in self.figures:
            if figure not in COLUMN_NAMES:
                raise QuantityError(f"figure {figure!r} is not one of {', '.join(COLUMN_NAMES)}")
        if not 1 <= self.piece <= _MOST_PIECE:
            raise QuantityError(f"piece {self.piece} is not between 1 and {_MOST_PIECE}")
        _ = self.problem

    @property
    def wanted(self) -> tuple[Figure, ...]:
        """The figures of the table, in its order."""
        return tuple(f for f in COLUMN_NAMES if f in (*ALWAYS_SHOWN, *self.figures))

    @property
    def problem(self) -> Problem:
        """The problem that asks for the same figures inside the same bounds."""
        goals = tuple(Goal(figure, USUAL[figure]) for figure in self.wanted)
        return Problem(self.space, goals, self.bounds, self.convention)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the table's columns."""
        return (*_FRAME_COLUMNS, *self.settled, *(COLUMN_NAMES[figure] for figure in self.wanted))

    @property
    def settled(self) -> tuple[str, ...]:
        """The columns that say which network it is, within a frame: widths and repeats."""
        stages = [row.path for row in stage_rows(self.space.spec)]
        stem = () if stem_row(self.space.spec) is None else ("stem",)
        return (*stem, *(f"{s}_width" for s in stages), *(f"{s}_repeats" for s in stages))

    @property
    def fingerprint(self) -> str:
        """What tells this sweep from every other: two alike write the same table."""
        values = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}
        text = json.dumps([__version__, values], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


_FRAME_COLUMNS = ("unit", "height", "width", "bottleneck", "groups")


def _plain(value: Any) -> Any:
    """A value as JSON has it, the same wherever it is read; where a spec lies is left out."""
    if is_dataclass(value):
        named = {one.name: getattr(value, one.name) for one in fields(value) if one.name != "file"}
        return {name: _plain(found) for name, found in named.items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(found) for key, found in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, Collection) and not isinstance(value, str):
        return [_plain(found) for found in value]
    return value if isinstance(value, bool | int | None) else str(value)


def no_rows(sweep: Sweep) -> Rows:
    """The table of a sweep without any rows."""
    names = sweep.columns
    same: dict[str, str | int | None] = dict.fromkeys(names[: len(_FRAME_COLUMNS)])
    return Rows(0, same, {name: np.zeros(0, np.int64) for name in names[len(_FRAME_COLUMNS) :]})


class PricedSweep:
    """A sweep with its frames priced, each when it is first asked for."""

    def __init__(self, sweep: Sweep, kept: int = 2, limits: SearchLimits = LIMITS) -> None:
        self.sweep = sweep
        self.limits = limits
        self.frames = tuple(frames(sweep.space))
        self.asked = Objectives.of(sweep.problem)
        # Tables of a frame can be large, and pieces come frame by frame.
        self.frame = lru_cache(maxsize=kept)(self._frame)

    def _frame(self, number: int) -> _PricedFrame:
        return _PricedFrame(self.sweep, self.asked, self.frames[number], self.limits)

    def candidates(self) -> int:
        """How many legal networks the space holds, exactly; bounds leave out some of them."""
        return sum(self.frame(number).chain.candidates() for number in range(len(self.frames)))

    def check_legal(self) -> None:
        """Check that the space has a network. Raises NothingLegalError."""
        from shufflenet.solver.engine.infeasible import nothing_legal

        if not any(self.frame(number).chain.links for number in range(len(self.frames))):
            raise NothingLegalError(nothing_legal(self.sweep.space))

    def pieces(self) -> Iterator[Piece]:
        """The pieces, in the order of the space; those of which nothing is in bounds are none."""
        number = 0
        for index in range(len(self.frames)):
            one = self.frame(index)
            for blocks in one.cut(self.sweep.piece):
                done = (index + one.share_before(blocks[0])) / len(self.frames)
                shipped = tuple((block.widths, block.repeats) for block in blocks)
                yield Piece(number, index, shipped, done)
                number += 1

    def rows(self, piece: Piece) -> Rows:
        """The rows of a piece.

        Raises SpecError where the first of them, counted anew as a whole, is not what it says.
        """
        return self.frame(piece.frame).rows(piece)


class _PricedFrame:
    """One frame's chain, made ready for the bounds."""

    def __init__(self, sweep: Sweep, asked: Objectives, frame: Frame, limits: SearchLimits) -> None:
        self.sweep = sweep
        self.asked = asked
        self.frame = frame
        self.chain: CostChain = chain(split_frame(sweep.space, frame), asked.names, limits)
        pool = CandidateSet([self.chain], asked.terms, WorkMeter(limits))
        self.windows = pool.windows(asked.ranges)
        self.search: ChainSearch = pool.search(0, asked.ranges.most[MEMORY_TERM])
        self.possible = self.search.possible and not self.search.misses(self.windows)

    @cached_property
    def expansion(self) -> Expansion:
        """How prefixes become networks."""
        return Expansion(self.search, self.windows, self._settled())

    def _settled(self) -> list[ChoiceColumn]:
        """The columns of widths and repeats, in the order of the table."""
        rows = self.frame.spec.rows
        widths, repeats = {}, {}
        for p, link in enumerate(self.chain.links):
            part = link.part
            for path, column in zip(part.paths, part.widths, strict=True):
                widths[path] = ChoiceColumn(p, False, column)
                own = sum(row.repeat for row in rows if row.path == path)
                counts = np.full(len(part.repeats), own)
                if path in part.stages:
                    counts[:] = [counts[part.stages.index(path)] for counts in part.repeats]
                repeats[path] = ChoiceColumn(p, True, counts)
        stem = stem_row(self.frame.spec)
        stages = [row.path for row in stage_rows(self.frame.spec)]
        first = [] if stem is None else [stem.path]
        return [*(widths[path] for path in (*first, *stages)), *(repeats[path] for path in stages)]

    @cached_property
    def completions(self) -> list[IntArray]:
        """For each depth: how many ways each width before it can go on, as far as they matter."""
        search = self.search
        behind = np.ones(search.legal[-1].shape[1], np.int64)
        found = [behind]
        for legal, allowed in zip(reversed(search.legal), reversed(search.allowed), strict=True):
            ways = legal @ (allowed.sum(axis=1, dtype=np.int64) * behind)
            behind = np.minimum(ways, _COUNT_CAP)
            found.append(behind)
        return found[::-1]

    def cut(self, size: int) -> Iterator[list[Block]]:
        """Prefixes that have so many completions together at most."""
        if not self.possible:
            return
        taken: list[Block] = []
        left = size
        for block, ways in self._fine(prefixes(self.search), size):
            ends, start = np.cumsum(ways), 0
            while start < block.size:
                before = int(ends[start - 1]) if start else 0
                stop = int(np.searchsorted(ends, before + left, "right"))
                if stop > start:
                    taken.append(block.part(start, stop))
                    left -= int(ends[stop - 1]) - before
                if stop < block.size:
                    yield taken
                    taken, left = [], size
                start = stop
        if taken:
            yield taken

    def _fine(self, block: Block, size: int) -> Iterator[tuple[Block, IntArray]]:
        """Prefixes in order, and the completions of each: none has more than so many."""
        depth = block.widths.shape[1]
        node = block.widths[:, -1] if depth else np.zeros(block.size, np.int64)
        ways = self.completions[depth][node]
        fine = ways <= size
        edges = [0, *(np.flatnonzero(fine[1:] != fine[:-1]) + 1).tolist(), block.size]
        for start, stop in pairwise(edges):
            if start == stop:
                continue
            if fine[start]:
                yield block.part(start, stop), ways[start:stop]
                continue
            for finer in extend(self.search, self.windows, block.part(start, stop), depth):
                yield from self._fine(finer, size)

    @cached_property
    def _tails(self) -> list[Any]:
        """The legal completions of each depth's widths, bounds aside, in floating point."""
        tails = [np.ones(self.chain.links[-1].part.size)]
        for link in reversed(self.chain.links):
            tails.append(link.legal @ (link.allowed.sum(axis=1) * tails[-1]))
        return tails[::-1]

    def share_before(self, block: Block) -> float:
        """The share of the frame's networks before the first of some prefixes, about."""
        links, tails = self.chain.links, self._tails
        before, node = 0.0, 0
        steps = zip(links, block.widths[0].tolist(), block.repeats[0].tolist(), strict=False)
        for p, (link, j, r) in enumerate(steps):
            ways = link.allowed.sum(axis=1) * tails[p + 1]
            before += float(link.legal[node, :j] @ ways[:j])
            before += float(link.allowed[j, :r].sum() * tails[p + 1][j])
            node = j
        return before / float(tails[0][0])

    def rows(self, piece: Piece) -> Rows:
        """The rows of a piece, the first of them checked."""
        found = [
            networks
            for widths, repeats in piece.prefixes
            for networks in self.expansion.networks(begun(self.search, widths, repeats))
            if networks.size
        ]
        if not found:
            return no_rows(self.sweep)
        names = self.sweep.columns[len(_FRAME_COLUMNS) :]
        parts = [self._columns(networks) for networks in found]
        columns = (
            parts[0] if len(parts) == 1 else [np.concatenate(c) for c in zip(*parts, strict=True)]
        )
        rows = Rows(len(columns[0]), self._same(), dict(zip(names, columns, strict=True)))
        self._check(rows)
        return rows

    def _columns(self, networks: Expanded) -> list[IntArray]:
        places = [key.term for key in self.asked.goals]
        figures = [
            networks.memory if place == MEMORY_TERM else networks.values[place] for place in places
        ]
        return [*networks.settled, *figures]

    def _same(self) -> dict[str, str | int | None]:
        frame = self.frame
        values = (frame.unit, *frame.size, frame.bottleneck, frame.groups)
        return dict(zip(_FRAME_COLUMNS, values, strict=True))

    def _check(self, rows: Rows) -> None:
        """Check the first row against the network that it names, counted as a whole."""
        first = {name: int(column[0]) for name, column in rows.columns.items()}
        spec, widths = self.frame.spec, {}
        stem = stem_row(spec)
        if stem is not None:
            widths[stem.path] = first["stem"]
        new = spec.rows
        for row in stage_rows(spec):
            widths[row.path] = first[f"{row.path}_width"]
            new = repeated(new, row.path, first[f"{row.path}_repeats"])
        if new != spec.rows:
            spec = replace(spec, rows=new)
        made = assemble(replace(self.frame, spec=spec), widths)
        whole = network_figures(made, self.asked.names)
        whole["macs"] = whole[self.asked.terms[self.asked.cost.term][0][0]]
        if any(first[COLUMN_NAMES[figure]] != whole[figure] for figure in self.sweep.wanted):
            raise SpecError(
                f"{spec.where}: its units depend on more than their neighbours, which a sweep does"
                " not follow"
            )
