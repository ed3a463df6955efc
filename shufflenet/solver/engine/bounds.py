"""A chain made ready for a search: its tables summed into terms, and what is still to come.

For every width of every part it is known what the least and the most of each term is that any
completion adds. `shufflenet.solver.engine.enumeration` follows a prefix only while these let it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flopcount.integers import FigureTooLargeError
from shufflenet.solver.engine.search_limits import SearchLimits
from shufflenet.solver.engine.stage_tables import CostChain
from shufflenet.solver.engine.variables import IntArray

#: A weighted sum of figures by their names; a figure alone has the weight 1.
Term: TypeAlias = tuple[tuple[str, int], ...]
#: Beyond every figure: sums of two of these do not wrap.
FAR = 2**61


class Block(NamedTuple):
    """Networks, or prefixes of them: the entry of each part, and the terms summed so far.

    ``widths`` and ``repeats`` are (n, parts), ``values`` is (terms, n), ``memory`` is (n,) [B].
    """

    widths: NDArray[np.int32]
    repeats: NDArray[np.int32]
    values: IntArray
    memory: IntArray

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.widths)

    def part(self, start: int, stop: int) -> Block:
        """Those from one place to another."""
        return Block(
            self.widths[start:stop],
            self.repeats[start:stop],
            self.values[:, start:stop],
            self.memory[start:stop],
        )

    def at(self, places: Any) -> Block:
        """Those at some places."""
        return Block(
            self.widths[places], self.repeats[places], self.values[:, places], self.memory[places]
        )

    @classmethod
    def joined(cls, blocks: Sequence[Block]) -> Block:
        """Several blocks as one, in their order."""
        if len(blocks) == 1:
            return blocks[0]
        return cls(
            np.concatenate([block.widths for block in blocks]),
            np.concatenate([block.repeats for block in blocks]),
            np.concatenate([block.values for block in blocks], axis=1),
            np.concatenate([block.memory for block in blocks]),
        )


class Windows(NamedTuple):
    """What each term may be, from ``least`` to ``most``, and what the memory must be at least."""

    least: tuple[int, ...]
    most: tuple[int, ...]
    memory: int = 0


class Sums(NamedTuple):
    """The tables of a chain summed into terms: (terms, before, own) and (terms, own, repeats).

    ``start`` is what stands before the first part, ``largest`` what no sum of a term exceeds.
    """

    start: IntArray
    pair: tuple[IntArray, ...]
    own: tuple[IntArray, ...]
    largest: tuple[int, ...]

    @classmethod
    def of(cls, chain: CostChain, terms: Sequence[Term]) -> Sums:
        """The sums of a chain. Raises FigureTooLargeError where one could pass for infinity."""
        start = np.array([_sum(term, chain.start) for term in terms], np.int64)
        pair = tuple(np.stack([_sum(t, link.pair) for t in terms]) for link in chain.links)
        own = tuple(np.stack([_sum(t, link.own) for t in terms]) for link in chain.links)
        largest = [abs(int(value)) for value in start]
        for table in (*pair, *own):
            for index, one in enumerate(table):
                largest[index] += max(int(one.max()), -int(one.min()))
        if max(largest) >= FAR // 4:
            raise FigureTooLargeError
        return cls(start, pair, own, tuple(largest))


def _sum(term: Term, tables: Any) -> Any:
    return sum(weight * tables[name] for name, weight in term)


class ChainSearch:
    """A chain made ready for the sums of its terms, and a most for its memory [B] (None: any)."""

    def __init__(
        self,
        chain: CostChain,
        terms: Sequence[Term],
        sums: Sums,
        memory: int | None,
        limits: SearchLimits,
    ) -> None:
        self.chain = chain
        self.limits = limits
        self.terms = tuple(terms)
        self.remembers = "memory" in chain.start
        self.start, self.pair, self.own, self.largest = sums
        #: The last part's entries sorted, by the term: kept by whoever looks them up.
        self.lists: dict[int, Any] = {}
        self._floats: dict[int, tuple[Any, Any]] = {}
        self._common: dict[int, tuple[int, int]] = {}
        self.possible = bool(chain.links) and (
            memory is None or chain.start.get("memory", 0) <= memory
        )
        if not self.possible:
            return
        self.legal = [link.legal for link in chain.links]
        self.allowed = [link.allowed for link in chain.links]
        if memory is not None:
            self.legal = [m & (k.pair["memory"] <= memory) for m, k in self._with(self.legal)]
            self.allowed = [m & (k.own["memory"] <= memory) for m, k in self._with(self.allowed)]
        self._bound()
        self.possible = self.least[0] < FAR

    def _with(self, masks: list[Any]) -> Iterator[tuple[Any, Any]]:
        return zip(masks, self.chain.links, strict=True)

    def _bound(self) -> None:
        """The least and most that is still to come, for each width on arriving and on leaving."""
        count = len(self.terms)
        size = self.legal[-1].shape[1]
        least, most = np.zeros((count, size), np.int64), np.zeros((count, size), np.int64)
        peak = np.zeros(size, np.int64)
        self.tail_least, self.tail_most, self.tail_peak = [], [], []
        self.arrive_least, self.arrive_most, self.arrive_peak = [], [], []
        for p in reversed(range(len(self.legal))):
            self.tail_least.append(least)
            self.tail_most.append(most)
            self.tail_peak.append(peak)
            allowed = self.allowed[p]
            # (terms, own, repeats) -> (terms, own)
            first = np.where(allowed, self.own[p], FAR).min(axis=2)
            last = np.where(allowed, self.own[p], -FAR).max(axis=2)
            least = np.where((first < FAR) & (least < FAR), first + least, FAR)
            most = np.where((last > -FAR) & (most > -FAR), last + most, -FAR)
            if self.remembers:
                own = np.where(allowed, self.chain.links[p].own["memory"], 0).max(axis=1)
                peak = np.maximum(own, peak)
            self.arrive_least.append(least)
            self.arrive_most.append(most)
            self.arrive_peak.append(peak)
            legal = self.legal[p] & (least[0] < FAR)
            self.legal[p] = legal
            # (terms, before, own) -> (terms, before)
            least = np.where(legal, self.pair[p] + least[:, None, :], FAR).min(axis=2)
            most = np.where(legal, self.pair[p] + most[:, None, :], -FAR).max(axis=2)
            if self.remembers:
                ahead = np.maximum(self.chain.links[p].pair["memory"], peak[None, :])
                peak = np.where(legal, ahead, 0).max(axis=1)
        for bounds in (self.tail_least, self.tail_most, self.tail_peak):
            bounds.reverse()
        for bounds in (self.arrive_least, self.arrive_most, self.arrive_peak):
            bounds.reverse()
        self.least = [int(self.start[t] + least[t, 0]) for t in range(count)]
        self.most = [int(self.start[t] + most[t, 0]) for t in range(count)]
        self.peak = int(max(peak[0], self.chain.start.get("memory", 0)))

    def misses(self, windows: Windows) -> bool:
        """Whether the bounds, or what all values have in common, leave a window empty."""
        if self.remembers and self.peak < windows.memory:
            return True
        for t, (least, most) in enumerate(zip(windows.least, windows.most, strict=True)):
            least, most = max(least, self.least[t]), min(most, self.most[t])
            if least > most or (
                most - least < self.limits.narrow_window and self.above(t, least) > most
            ):
                return True
        return False

    def above(self, term: int, value: int) -> int:
        """The first number from a value on that sums of the term can be, by their common divisor.

        The differences of its table entries have a greatest common divisor; all sums are alike
        but for multiples of it.
        """
        rest, step = self._steps(term)
        return value + (rest - value) % step if step else max(rest, value)

    def below(self, term: int, value: int) -> int:
        """The last number up to a value that sums of the term can be, as `above`."""
        rest, step = self._steps(term)
        return value - (value - rest) % step if step else min(rest, value)

    def _steps(self, term: int) -> tuple[int, int]:
        if term not in self._common:
            rest, step = int(self.start[term]), 0
            masks, tables = (*self.legal, *self.allowed), (*self.pair, *self.own)
            for mask, table in zip(masks, tables, strict=True):
                entries = table[term][mask]
                rest += int(entries[0])
                step = int(np.gcd.reduce(np.append(entries - entries[0], step)))
            self._common[term] = rest, step
        return self._common[term]

    def floats(self, part: int) -> tuple[Any, Any]:
        """The tables of a part in floating point, for what needs no exactness."""
        if part not in self._floats:
            pair, own = self.pair[part], self.own[part]
            self._floats[part] = pair.astype(np.float64), own.astype(np.float64)
        return self._floats[part]
