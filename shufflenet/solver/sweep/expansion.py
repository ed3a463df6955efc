"""Prefixes of networks expanded into columns: what a sweep writes of every network behind them.

The last part is where nearly all networks are told apart, so its entries are laid out once for each
width before it, and a prefix takes its stretch of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shufflenet.solver.engine.bounds import Block, ChainSearch, Windows
from shufflenet.solver.engine.enumeration import extend, networks, prefixes
from shufflenet.solver.engine.variables import IntArray


class ChoiceColumn(NamedTuple):
    """A column that says how a part is settled: its widths, or its repeats, by entry."""

    part: int
    repeats: bool
    values: IntArray


class Expanded(NamedTuple):
    """Networks as columns: those of `ChoiceColumn`, terms (terms, n), and memory [B]."""

    settled: tuple[IntArray, ...]
    values: Sequence[IntArray]
    memory: IntArray

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.memory)

    def kept(self, which: Any) -> Expanded:
        """Some of them."""
        return Expanded(
            tuple(column[which] for column in self.settled),
            [column[which] for column in self.values],
            self.memory[which],
        )


def begun(search: ChainSearch, widths: NDArray[np.int32], repeats: NDArray[np.int32]) -> Block:
    """The prefixes with these entries of their first parts, (n, parts), summed up."""
    count = len(widths)
    root = prefixes(search)
    values = np.repeat(root.values, count, axis=1)
    memory = np.repeat(root.memory, count)
    node: Any = np.zeros(count, np.int64)
    for p in range(widths.shape[1]):
        j, r = widths[:, p], repeats[:, p]
        values += search.pair[p][:, node, j] + search.own[p][:, j, r]
        if search.remembers:
            link = search.chain.links[p]
            memory = np.maximum(memory, link.pair["memory"][node, j])
            memory = np.maximum(memory, link.own["memory"][j, r])
        node = j
    return Block(widths, repeats, values, memory)


class Expansion:
    """A search made ready to expand prefixes within windows, into the columns asked for."""

    def __init__(
        self, search: ChainSearch, windows: Windows, asked: Sequence[ChoiceColumn]
    ) -> None:
        self.search = search
        self.windows = windows
        self.asked = tuple(asked)
        self.last = len(search.legal) - 1
        terms = range(len(search.terms))
        narrow = [
            t
            for t in terms
            if windows.least[t] > search.least[t] or windows.most[t] < search.most[t]
        ]
        self.narrow = tuple(narrow)
        before, own = search.legal[-1].shape
        laid_out = before * own * search.allowed[-1].shape[1] <= search.limits.laid_out_entries
        self.laid_out = None
        if laid_out and not any(self._tight(t) for t in narrow):
            self.laid_out = _LaidOut(search, self.asked)

    def _tight(self, t: int) -> bool:
        least = max(self.windows.least[t], self.search.least[t])
        most = min(self.windows.most[t], self.search.most[t])
        return (most - least) * self.search.limits.tight_window < self.search.most[
            t
        ] - self.search.least[t]

    def networks(self, block: Block) -> Iterator[Expanded]:
        """Every network within the windows that begins with one of the prefixes, in order."""
        depth = block.widths.shape[1]
        if depth > self.last or self.laid_out is None:
            # What is whole already goes through as it is.
            for found in networks(self.search, self.windows, block):
                yield self._kept(self._columns(found))
        elif depth == self.last:
            yield self._kept(self.laid_out.behind(block, self._settled(block)))
        else:
            for piece in extend(self.search, self.windows, block, depth):
                yield from self.networks(piece)

    def _settled(self, block: Block) -> list[IntArray | None]:
        """The columns of the parts that prefixes have settled; None of the others."""
        depth = block.widths.shape[1]
        return [
            None
            if one.part >= depth
            else one.values[(block.repeats if one.repeats else block.widths)[:, one.part]]
            for one in self.asked
        ]

    def _columns(self, block: Block) -> Expanded:
        settled = tuple(column for column in self._settled(block) if column is not None)
        return Expanded(settled, list(block.values), block.memory)

    def _kept(self, found: Expanded) -> Expanded:
        """Those of the networks that are within the windows."""
        windows, mask = self.windows, None
        for t in self.narrow:
            values = found.values[t]
            fits = (values >= windows.least[t]) & (values <= windows.most[t])
            mask = fits if mask is None else mask & fits
        if windows.memory:
            enough = found.memory >= windows.memory
            mask = enough if mask is None else mask & enough
        return found if mask is None or mask.all() else found.kept(np.flatnonzero(mask))


class _LaidOut:
    """The legal entries of the last part in order, one stretch for each width before it."""

    def __init__(self, search: ChainSearch, asked: Sequence[ChoiceColumn]) -> None:
        legal = search.legal[-1][:, :, None] & search.allowed[-1][None, :, :]
        node, j, r = np.nonzero(legal)
        self.count = np.bincount(node, minlength=len(legal)).astype(np.int64)
        self.begin = np.cumsum(self.count) - self.count
        pair, own = search.pair[-1], search.own[-1]
        self.values = [pair[t][node, j] + own[t][j, r] for t in range(len(pair))]
        last = len(search.legal) - 1
        self.settled = [
            one.values[r if one.repeats else j] if one.part == last else None for one in asked
        ]
        self.memory = None
        if search.remembers:
            link = search.chain.links[-1]
            self.memory = np.maximum(link.pair["memory"][node, j], link.own["memory"][j, r])

    def behind(self, block: Block, settled: Sequence[IntArray | None]) -> Expanded:
        """The networks behind prefixes that lack only the last part."""
        node = block.widths[:, -1] if block.widths.shape[1] else np.zeros(block.size, np.int64)
        count = self.count[node]
        shift = self.begin[node] - (np.cumsum(count) - count)
        at = np.repeat(shift, count)
        at += np.arange(len(at))
        values = []
        for prefix, entries in zip(block.values, self.values, strict=True):
            total = np.repeat(prefix, count)
            total += entries[at]
            values.append(total)
        memory = np.repeat(block.memory, count)
        if self.memory is not None:
            np.maximum(memory, self.memory[at], out=memory)
        columns = []
        for column, entries in zip(settled, self.settled, strict=True):
            if column is not None:
                columns.append(np.repeat(column, count))
            else:
                assert entries is not None
                columns.append(entries[at])
        return Expanded(tuple(columns), values, memory)
