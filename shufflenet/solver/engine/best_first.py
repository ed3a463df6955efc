"""The best networks of some chains, in the order of keys: each level proven before the next.

A level is all networks with one value of a key. Levels are entered from the bound upwards: what
lies between two values is enumerated whole, so that the first that are found are the best there
are. Where a single level holds more than can be listed, the next key ranks within it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from shufflenet.solver.engine.bounds import FAR, Block, ChainSearch, Sums, Term, Windows
from shufflenet.solver.engine.enumeration import networks
from shufflenet.solver.engine.lagrangian import Cut, WindowSide, cut, sides
from shufflenet.solver.engine.search_limits import WorkMeter
from shufflenet.solver.engine.stage_tables import CostChain

#: A term's place in the list of terms that stands for the memory.
MEMORY_TERM = -1


class RankKey(NamedTuple):
    """What is ranked by: ``sign`` times a term, or its distance from a target; the least first."""

    term: int
    sign: int = 1
    target: int | None = None

    def value(self, figure: int) -> int:
        """The figure as it is ranked."""
        return self.sign * figure if self.target is None else abs(figure - self.target)


class NetworkCandidate(NamedTuple):
    """A network: its chain's number, the entries of its parts, and its terms (the memory last)."""

    chain: int
    widths: tuple[int, ...]
    repeats: tuple[int, ...]
    values: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Its place in the order of the space."""
        steps = (n for pair in zip(self.widths, self.repeats, strict=True) for n in pair)
        return (self.chain, *steps)


class TermRanges(NamedTuple):
    """What each term may be, from ``least`` to ``most``; the last of each is the memory's."""

    least: tuple[int, ...]
    most: tuple[int, ...]

    def within(self, term: int, least: int, most: int) -> TermRanges:
        """The ranges with one term kept between two values as well."""
        term %= len(self.least)
        low, high = list(self.least), list(self.most)
        low[term], high[term] = max(low[term], least), min(high[term], most)
        return TermRanges(tuple(low), tuple(high))

    @property
    def open(self) -> bool:
        """Whether no term's ranges contradict each other."""
        return all(a <= b for a, b in zip(self.least, self.most, strict=True))


class CandidateSet:
    """Chains with the terms that are asked of them; it ranks their networks."""

    def __init__(
        self, chains: Sequence[CostChain], terms: Sequence[Term], meter: WorkMeter | None = None
    ) -> None:
        self.chains = tuple(chains)
        self.terms = tuple(terms)
        self.meter = meter or WorkMeter()
        self._sums: dict[tuple[int, tuple[Term, ...]], Sums] = {}
        self._searches: dict[tuple[int, int | None, tuple[Term, ...]], ChainSearch] = {}

    def ranked(
        self,
        keys: Sequence[RankKey],
        ranges: TermRanges,
        need: int,
        cuts: Sequence[Sequence[Cut]] | None = None,
    ) -> list[NetworkCandidate]:
        """The first networks within the ranges, by the keys and then the order of the space.

        Fewer than were needed are all there are. ``cuts`` are those of wider ranges, for each
        chain; they may show that it has nothing to be looked for.
        """
        if not ranges.open or need < 1:
            return []
        known = [()] * len(self.chains) if cuts is None else cuts
        if not keys:
            return self.first(ranges, need, known)
        return _Ranking(self, keys, ranges, need, known).run()

    def alive(self, number: int, ranges: TermRanges, cuts: Sequence[Cut]) -> bool:
        """Whether the bounds of a chain, and the cuts, leave anything within the ranges."""
        search = self.search(number, ranges.most[MEMORY_TERM], cuts)
        return search.possible and not search.misses(self.windows(ranges, cuts))

    def first(
        self, ranges: TermRanges, need: int, cuts: Sequence[Sequence[Cut]] | None = None
    ) -> list[NetworkCandidate]:
        """The first networks within the ranges in the order of the space."""
        found: list[NetworkCandidate] = []
        for number in range(len(self.chains)):
            for candidate in self.candidates(number, ranges, cuts[number] if cuts else ()):
                found.append(candidate)
                if len(found) == need:
                    return found
        return found

    def search(self, number: int, memory: int | None, cuts: Sequence[Cut] = ()) -> ChainSearch:
        """A chain made ready, with the cuts as further terms."""
        remembers = "memory" in self.chains[number].start
        memory = memory if remembers and memory is not None and memory < FAR else None
        terms = (*self.terms, *(one.term(self.terms) for one in cuts))
        key = number, memory, terms
        if key not in self._searches:
            if len(self._searches) >= 4 * len(self.chains):
                self._searches.clear()
            sums = self.summed(number, terms)
            self._searches[key] = ChainSearch(
                self.chains[number], terms, sums, memory, self.meter.limits
            )
        return self._searches[key]

    def summed(self, number: int, terms: tuple[Term, ...]) -> Sums:
        """The tables of a chain summed into terms."""
        key = number, terms
        if key not in self._sums:
            if len(self._sums) >= 4 * len(self.chains):
                self._sums.clear()
            self._sums[key] = Sums.of(self.chains[number], terms)
        return self._sums[key]

    def candidates(
        self, number: int, ranges: TermRanges, cuts: Sequence[Cut]
    ) -> Iterator[NetworkCandidate]:
        """The networks of one chain within the ranges, in the order of the space."""
        search = self.search(number, ranges.most[MEMORY_TERM], cuts)
        for block in networks(search, self.windows(ranges, cuts), meter=self.meter):
            yield from self.as_candidates(number, block)

    def as_candidates(self, number: int, block: Block) -> Iterator[NetworkCandidate]:
        """The networks of one chain, one by one, without what cuts they have."""
        rows = zip(
            block.widths.tolist(),
            block.repeats.tolist(),
            block.values[: len(self.terms)].T.tolist(),
            block.memory.tolist(),
            strict=True,
        )
        for widths, repeats, values, memory in rows:
            yield NetworkCandidate(number, tuple(widths), tuple(repeats), (*values, memory))

    def windows(self, ranges: TermRanges, cuts: Sequence[Cut] = ()) -> Windows:
        """The ranges as a search takes them, with those of the cuts."""
        memory = max(ranges.least[MEMORY_TERM], 0)
        windows = Windows(ranges.least[:-1], ranges.most[:-1], memory)
        further = tuple(one.most(windows) for one in cuts)
        return Windows((*windows.least, *(-FAR for _ in cuts)), (*windows.most, *further), memory)


class _Ranking:
    """One key ranked: from the proven bound upwards, a level or a stretch of levels at a time."""

    def __init__(
        self,
        pool: CandidateSet,
        keys: Sequence[RankKey],
        ranges: TermRanges,
        need: int,
        known: Sequence[Sequence[Cut]],
    ) -> None:
        self.pool = pool
        self.key, self.others = keys[0], tuple(keys[1:])
        self.keys = keys
        self.ranges = ranges
        self.need = need
        self.cuts: list[list[Cut]] = []
        self.bounds: list[int | None] = []
        self.most = -FAR
        for number in range(len(pool.chains)):
            self._bound(number, known[number])

    def _bound(self, number: int, known: Sequence[Cut]) -> None:
        """The cuts of one chain, and the least that the key can be in it."""
        pool, key = self.pool, self.key
        search = pool.search(number, self.ranges.most[MEMORY_TERM])
        windows = pool.windows(self.ranges)
        if not search.possible or not pool.alive(number, self.ranges, known):
            self.cuts.append([])
            self.bounds.append(None)
            return
        found = sides(search, windows)
        wanted = self._wanted(found)
        cuts = [cut(search, side, [s for s in found if s != side], windows) for side in wanted]
        kept = [one for one in cuts if one is not None]
        self.cuts.append(kept)
        values = self._span(search)
        if values is None:
            self.bounds.append(None)
            return
        least, most = values
        ready = pool.search(number, self.ranges.most[MEMORY_TERM], kept)
        for index, one in enumerate(kept):
            (side, scale), rest = one.weights[0], one.weights[1:]
            if side.term != key.term:
                continue
            limit = sum(weight * other.limit(windows) for other, weight in rest)
            bound = -((limit - ready.least[len(pool.terms) + index]) // scale)
            # ``bound`` is the least of the side: of the term, or of its negative.
            if side.sign > 0:
                least = max(least, bound)
            else:
                most = min(most, -bound)
        if least > most:
            self.bounds.append(None)
            return
        if key.target is None:
            floor = least if key.sign > 0 else -most
            self.most = max(self.most, most if key.sign > 0 else -least)
        else:
            floor = self._nearest(search, least, most)
            self.most = max(self.most, abs(least - key.target), abs(most - key.target))
        self.bounds.append(floor)

    def _nearest(self, search: ChainSearch, least: int, most: int) -> int:
        """The least distance from the target that the term's values can have."""
        key = self.key
        assert key.target is not None
        if key.term == MEMORY_TERM:
            return max(least - key.target, key.target - most, 0)
        above = search.above(key.term, max(key.target, least))
        below = search.below(key.term, min(key.target, most))
        ways = [abs(value - key.target) for value in (above, below) if least <= value <= most]
        return min(ways, default=FAR)

    def _wanted(self, found: Sequence[WindowSide]) -> list[WindowSide]:
        """The sides that a cut is made for: those of the key, and every other that is there."""
        key = self.key
        own: list[WindowSide] = []
        if key.term != MEMORY_TERM:
            signs = (1, -1) if key.target is not None else (key.sign,)
            own = [WindowSide(key.term, sign) for sign in signs]
        return [*own, *(side for side in found if side not in own)]

    def _span(self, search: ChainSearch) -> tuple[int, int] | None:
        """The least and most of the key's term in a chain, inside the ranges."""
        term = self.key.term
        if term == MEMORY_TERM:
            least, most = 0, search.peak
        else:
            least, most = search.least[term], search.most[term]
        least = max(least, self.ranges.least[term])
        most = min(most, self.ranges.most[term])
        return (least, most) if least <= most else None

    def run(self) -> list[NetworkCandidate]:
        """The best, level by level: all that are done are fewer than needed, or the answer."""
        floors = [bound for bound in self.bounds if bound is not None and bound < FAR]
        if not floors:
            return []
        done: list[NetworkCandidate] = []
        levels = self._levels()
        low = min(floors) - 1
        high: int | None = None
        top, stretch = levels.after(low), levels.stretch
        while top <= self.most:
            if top == levels.after(low):
                found, complete = self._level(top, self.need - len(done)), True
            else:
                found, complete = self._stretch(low, top)
            if complete:
                done += sorted(found, key=self._rank)
                if len(done) >= self.need:
                    break
                low = top
                if high is None:
                    stretch = max(16 * stretch, abs(top) >> 18)
                    top = max(levels.after(low), min(low + stretch, self.most))
                else:
                    top = levels.between(low, high)
                continue
            # So many are known to have no more than this.
            values = sorted(self.key.value(candidate.values[self.key.term]) for candidate in found)
            enough = values[self.need - len(done) - 1]
            high = enough if high is None else min(high, enough)
            top = min(high, levels.between(low, top))
        return done[: self.need]

    def _levels(self) -> _Levels:
        if self.key.term != MEMORY_TERM:
            return _Levels(None)
        tables = (
            table["memory"][mask]
            for chain in self.pool.chains
            for link in chain.links
            for mask, table in ((link.legal, link.pair), (link.allowed, link.own))
        )
        starts = [chain.start["memory"] for chain in self.pool.chains]
        values = np.unique(np.concatenate([np.array(starts, np.int64), *tables]))
        return _Levels(sorted({self.key.value(int(value)) for value in values.tolist()}))

    def _level(self, value: int, need: int) -> list[NetworkCandidate]:
        """The first networks whose key has one value."""
        key = self.key
        if key.target is None:
            figures = [key.sign * value]
        else:
            # The lower of the two comes first only where nothing else ranks them.
            figures = sorted({key.target - value, key.target + value})
        found: list[NetworkCandidate] = []
        for figure in figures:
            inside = self.ranges.within(key.term, figure, figure)
            others = tuple(k for k in self.others if k.term != key.term)
            found += self.pool.ranked(others, inside, need, self.cuts)
        return found

    def _stretch(self, low: int, top: int) -> tuple[list[NetworkCandidate], bool]:
        """All networks whose key is above ``low`` and up to ``top``, and whether that is all."""
        key = self.key
        if key.target is not None:
            inside = self.ranges.within(key.term, key.target - top, key.target + top)
        elif key.sign > 0:
            inside = self.ranges.within(key.term, low + 1, top)
        else:
            inside = self.ranges.within(key.term, -top, -low - 1)
        found: list[NetworkCandidate] = []
        if not inside.open:
            return found, True
        most = max(self.pool.meter.limits.listed_networks, 4 * self.need)
        for number, bound in enumerate(self.bounds):
            if bound is None or bound > top:
                continue
            before = len(found)
            for candidate in self.pool.candidates(number, inside, self.cuts[number]):
                if key.value(candidate.values[key.term]) > low:
                    found.append(candidate)
                    if len(found) >= most:
                        return found, False
            if len(found) == before:
                self.bounds[number] = top + 1
        return found, True

    def _rank(self, candidate: NetworkCandidate) -> tuple[int, ...]:
        return (*(key.value(candidate.values[key.term]) for key in self.keys), *candidate.order)


class _Levels:
    """The values that a key can have: every whole number, or those in a list."""

    def __init__(self, values: list[int] | None) -> None:
        self.values = values

    @property
    def stretch(self) -> int:
        """How far to look at first, above the bound: listed values have no common distance."""
        return 1 if self.values is None else FAR

    def after(self, low: int) -> int:
        """The first value above another; FAR where none is."""
        if self.values is None:
            return low + 1
        at = bisect_right(self.values, low)
        return self.values[at] if at < len(self.values) else FAR

    def between(self, low: int, high: int) -> int:
        """A value halfway between two, above the first and below the second if there is one."""
        if self.values is None:
            return max(low + 1, (low + high) // 2)
        first, last = bisect_right(self.values, low), bisect_left(self.values, high)
        return self.values[(first + last) // 2] if first < last else high
