"""Every network of a search within its windows, in the stated order, block by block.

Prefixes are extended part by part while something behind them can fit; the last part is looked up
in sorted lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from shufflenet.solver.engine.bounds import FAR, Block, ChainSearch, Windows
from shufflenet.solver.engine.search_limits import WorkMeter
from shufflenet.solver.engine.variables import IntArray


def networks(
    search: ChainSearch,
    windows: Windows,
    behind: Block | None = None,
    meter: WorkMeter | None = None,
) -> Iterator[Block]:
    """Every network within the windows, in the stated order, some at a time.

    ``behind`` are the prefixes that they begin with; without it, all do. Raises
    SpaceTooLargeError once that has taken too long.
    """
    if search.possible and not search.misses(windows):
        yield from _Enumeration(search, windows, meter or WorkMeter(search.limits)).follow(
            behind or prefixes(search)
        )


def prefixes(search: ChainSearch) -> Block:
    """The one prefix of no part, which every network begins with."""
    return Block(
        np.zeros((1, 0), np.int32),
        np.zeros((1, 0), np.int32),
        search.start[:, None],
        np.full(1, search.chain.start.get("memory", 0)),
    )


def extend(
    search: ChainSearch, windows: Windows, block: Block, part: int, meter: WorkMeter | None = None
) -> Iterator[Block]:
    """Prefixes with every entry of one more part that can still come into the windows.

    Raises SpaceTooLargeError as `networks` does.
    """
    run = _Enumeration(search, windows, meter or WorkMeter(search.limits))
    for piece in run.pieces(block, part):
        found = run.extended(piece, part)
        if found.size:
            yield found


def _sorted_last(search: ChainSearch, term: int) -> _Sorted | None:
    """The entries of the last part, sorted by a term for each width before it, if they fit."""
    if term not in search.lists:
        before, own = search.legal[-1].shape
        if before * own * search.allowed[-1].shape[1] > search.limits.sorted_entries:
            return None
        search.lists[term] = _Sorted(search, term)
    found: _Sorted = search.lists[term]
    return found


class _Sorted:
    """The last part's entries (own width, repeats), sorted by one term for each width before it."""

    def __init__(self, search: ChainSearch, term: int) -> None:
        pair, own = search.pair[-1][term], search.own[-1][term]
        legal = search.legal[-1][:, :, None] & search.allowed[-1][None, :, :]
        # (before, own, repeats) -> (before, own * repeats)
        values = (pair[:, :, None] + own[None, :, :]).reshape(len(legal), -1)
        legal = legal.reshape(len(legal), -1)
        entries = values[legal]
        self.low = int(entries.min()) if len(entries) else 0
        self.high = int(entries.max()) if len(entries) else 0
        ranked = np.where(legal, values, FAR)
        self.order = np.argsort(ranked, axis=1, kind="stable")
        self.start = np.arange(len(legal), dtype=np.int64) * legal.shape[1]
        # One sorted list for all widths before: each has a range of numbers of its own.
        self.span = self.high - self.low + 3
        self.joint = len(legal) * self.span < FAR
        keys = np.take_along_axis(ranked, self.order, axis=1)
        keys = np.minimum(keys, self.high + 1) - self.low + 1
        if self.joint:
            keys = keys + (np.arange(len(legal), dtype=np.int64) * self.span)[:, None]
        self.keys = keys

    def between(self, node: Any, least: IntArray, most: IntArray) -> tuple[IntArray, IntArray]:
        """Where the entries from least to most begin and how many there are, for each prefix."""
        least = np.clip(least, self.low, self.high + 1) - self.low + 1
        most = np.clip(most, self.low - 1, self.high) - self.low + 1
        if self.joint:
            base = node * self.span
            flat = self.keys.reshape(-1)
            begin = np.searchsorted(flat, base + least, "left")
            end = np.searchsorted(flat, base + most, "right")
            begin, end = begin - self.start[node], end - self.start[node]
        else:
            begin, end = np.zeros_like(least), np.zeros_like(least)
            for one in np.unique(node):
                here = np.flatnonzero(node == one)
                begin[here] = np.searchsorted(self.keys[one], least[here], "left")
                end[here] = np.searchsorted(self.keys[one], most[here], "right")
        return begin, np.maximum(end - begin, 0)


class _Enumeration:
    """One enumeration: prefixes in order, extended part by part."""

    def __init__(self, search: ChainSearch, windows: Windows, meter: WorkMeter) -> None:
        self.search = search
        self.windows = windows
        self.meter = meter
        self.column = self.listed = search.limits.first_batch
        self.tried = 0
        self.last = len(search.legal) - 1
        # Only what is not certain is looked at.
        self.open = [
            t
            for t in range(len(search.terms))
            if windows.least[t] > search.least[t] or windows.most[t] < search.most[t]
        ]
        self.pivot = min(self.open, key=self._width) if self.open else None

    def _width(self, t: int) -> float:
        least = max(self.windows.least[t], self.search.least[t])
        most = min(self.windows.most[t], self.search.most[t])
        return (most - least) / max(self.search.most[t] - self.search.least[t], 1)

    def follow(self, block: Block) -> Iterator[Block]:
        """Every network that begins with one of the prefixes."""
        part = block.widths.shape[1]
        if part > self.last:
            if block.size:
                yield block
            return
        for piece in self.pieces(block, part):
            tables = self._tables() if part == self.last else None
            if tables is not None:
                yield from self._looked_up(piece, tables)
            else:
                yield from self.follow(self.extended(piece, part))

    def _tables(self) -> _Sorted | None:
        """The sorted lists, once as many entries were tried as have to be sorted for them."""
        if self.pivot is None or (
            self.pivot not in self.search.lists and self.tried < self.search.legal[-1].size
        ):
            return None
        return _sorted_last(self.search, self.pivot)

    def pieces(self, block: Block, part: int) -> Iterator[Block]:
        """The prefixes some at a time: few at first, since those may be enough."""
        own = self.search.legal[part].shape[1]
        start = 0
        while start < block.size:
            looked_up = part == self.last and self.pivot in self.search.lists
            each = 1 if looked_up else own * self.search.allowed[part].shape[1]
            stop = start + max(1, self.column // each)
            self.column = min(2 * self.column, self.search.limits.largest_batch)
            piece = block.part(start, stop)
            self._worked(piece.size * each)
            yield piece
            start = stop

    def _worked(self, entries: int) -> None:
        self.tried += entries
        self.meter.spend(entries)

    def _node(self, block: Block) -> Any:
        part = block.widths.shape[1]
        return block.widths[:, -1].astype(np.int64) if part else np.zeros(block.size, np.int64)

    def _fits(self, t: int, values: Any, least: Any, most: Any) -> Any:
        """Where a term can still come into its window, with what is still to come."""
        fits = values + least <= self.windows.most[t]
        fits &= values + most >= self.windows.least[t]
        return fits

    def extended(self, block: Block, part: int) -> Block:
        """The prefixes with every width and every repeats of one more part."""
        s, node = self.search, self._node(block)
        mask = s.legal[part][node]
        for t in self.open:
            values = block.values[t][:, None] + s.pair[part][t][node]
            mask &= self._fits(t, values, s.arrive_least[part][t], s.arrive_most[part][t])
        memory = block.memory
        if s.remembers:
            ahead = s.chain.links[part].pair["memory"]
            if self.windows.memory:
                most = np.maximum(ahead[node], s.arrive_peak[part])
                mask &= np.maximum(memory[:, None], most) >= self.windows.memory
        a, j = np.nonzero(mask)
        values = block.values[:, a] + s.pair[part][:, node[a], j]
        memory = np.maximum(memory[a], ahead[node[a], j]) if s.remembers else memory[a]
        widths = np.concatenate([block.widths[a], j[:, None].astype(np.int32)], axis=1)
        return self._repeated(Block(widths, block.repeats[a], values, memory), part)

    def _repeated(self, block: Block, part: int) -> Block:
        s, node = self.search, self._node(block)
        mask = s.allowed[part][node]
        for t in self.open:
            values = block.values[t][:, None] + s.own[part][t][node]
            least, most = s.tail_least[part][t][node], s.tail_most[part][t][node]
            mask &= self._fits(t, values, least[:, None], most[:, None])
        memory = block.memory
        if s.remembers:
            own = s.chain.links[part].own["memory"]
            if self.windows.memory:
                peak = np.maximum(own[node], s.tail_peak[part][node][:, None])
                mask &= np.maximum(memory[:, None], peak) >= self.windows.memory
        a, r = np.nonzero(mask)
        values = block.values[:, a] + s.own[part][:, node[a], r]
        memory = np.maximum(memory[a], own[node[a], r]) if s.remembers else memory[a]
        repeats = np.concatenate([block.repeats[a], r[:, None].astype(np.int32)], axis=1)
        return Block(block.widths[a], repeats, values, memory)

    def _looked_up(self, block: Block, tables: _Sorted) -> Iterator[Block]:
        """The prefixes with those entries of the last part that bring them into the windows."""
        t, node = self.pivot, self._node(block)
        assert t is not None
        done = block.values[t]
        begin, count = tables.between(
            node, self.windows.least[t] - done, self.windows.most[t] - done
        )
        found = np.flatnonzero(count)
        ends = np.cumsum(count[found])
        start = 0
        while start < len(found):
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + self.listed, "right")))
            self.listed = min(2 * self.listed, self.search.limits.largest_batch)
            rows = found[start:stop]
            self._worked(int(count[rows].sum()))
            matches = self._matches(block, tables, node, rows, begin, count)
            if matches.size:
                yield matches
            start = stop

    def _matches(
        self, block: Block, tables: _Sorted, node: Any, rows: Any, begin: IntArray, count: IntArray
    ) -> Block:
        s, repeats = self.search, self.search.allowed[-1].shape[1]
        a = np.repeat(rows, count[rows])
        first = np.cumsum(count[rows]) - count[rows]
        at = np.arange(len(a)) - np.repeat(first, count[rows]) + begin[a]
        entry = tables.order[node[a], at]
        mask = np.ones(len(a), np.bool_)
        j, r = np.divmod(entry, repeats)
        for t in self.open:
            values = block.values[t][a] + s.pair[-1][t][node[a], j] + s.own[-1][t][j, r]
            mask &= self._fits(t, values, 0, 0)
        memory = block.memory[a]
        if s.remembers:
            link = s.chain.links[-1]
            memory = np.maximum(memory, link.pair["memory"][node[a], j])
            memory = np.maximum(memory, link.own["memory"][j, r])
            mask &= memory >= self.windows.memory
        kept = np.flatnonzero(mask)
        kept = kept[np.lexsort((entry[kept], a[kept]))]
        a, j, r = a[kept], j[kept], r[kept]
        return Block(
            np.concatenate([block.widths[a], j[:, None].astype(np.int32)], axis=1),
            np.concatenate([block.repeats[a], r[:, None].astype(np.int32)], axis=1),
            block.values[:, a] + s.pair[-1][:, node[a], j] + s.own[-1][:, j, r],
            memory[kept],
        )
