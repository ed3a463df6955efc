"""A run of ``bench``: which networks, runtimes and sizes go together, and who runs when."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from time import monotonic
from typing import NamedTuple

from shufflenet.bench.process import Worker, WorkerError
from shufflenet.bench.record import BenchCell
from shufflenet.bench.timings import calls_in_turn, turns
from shufflenet.bench.trial import Job

# How long a warm-up may go on, in times of what a cell has for its measurement; and at least, and
# at most [ns].
_WARMING = 3
_LEAST_WARMING, _MOST_WARMING = 1_000_000_000, 10_000_000_000
# What a worker may need [B]: torch, a runtime and AlexNet; and for each pixel of the image.
_WORKER = 2**30
_PIXEL = 2**10


class Planned(NamedTuple):
    """A cell to be: a network in a runtime on images of a shape, and its cost [MAC]."""

    network: str
    runtime: str
    shape: tuple[int, ...]
    macs: int

    @property
    def size(self) -> tuple[int, int]:
        """The size of its image (height, width) [px]."""
        return self.shape[2], self.shape[3]


class BenchSettings(NamedTuple):
    """How thoroughly a cell is timed: so many turns, in so long altogether [ns]."""

    threads: int
    rounds: int
    budget: int
    seed: int


def batches(planned: list[Planned], memory: int) -> list[list[Planned]]:
    """The cells that are timed in turns, together: those of one size, as far as memory [B] allows.

    Cells of one size and runtime are never parted, so that each is in turns with its baseline.
    """
    found: list[list[Planned]] = []
    for group in _groups(planned):
        h, w = group[0].size
        most = memory // (_WORKER + _PIXEL * h * w)
        last = found[-1] if found else []
        if last and last[0].size == (h, w) and len(last) + len(group) <= most:
            last.extend(group)
        else:
            found.append(group)
    return found


def _groups(planned: list[Planned]) -> Iterator[list[Planned]]:
    groups: dict[tuple[tuple[int, int], str], list[Planned]] = {}
    for item in planned:
        groups.setdefault((item.size, item.runtime), []).append(item)
    yield from sorted(groups.values(), key=lambda group: group[0].size)


def bench(
    parts: list[list[Planned]],
    effort: BenchSettings,
    start: Callable[[Job], Worker],
    say: Callable[[str], None],
    loading: int = 1,
) -> list[BenchCell]:
    """Time every cell of every batch. One that fails is told with its reason; the others go on.

    So many as ``loading`` load at once; from the first that is warmed up on, one works at a time.
    """
    cells: list[BenchCell] = []
    for number, part in enumerate(parts, 1):
        batch = _Batch(effort, start, say)
        with tempfile.TemporaryDirectory(prefix="shufflecost-") as folder:
            try:
                batch.load(part, number, folder, loading)
                batch.warm()
                batch.time()
            except KeyboardInterrupt:
                batch.kill()
                raise
            finally:
                batch.close()
        cells += [timed.cell for timed in batch.timed]
    return cells


class _Timed:
    """A cell as it fills; its worker is None once that has failed."""

    def __init__(self, cell: BenchCell) -> None:
        self.cell = cell
        self.worker: Worker | None = None


class _Loaded(NamedTuple):
    """How far an output is from eager's, how far it may be, and how long loading took [s]."""

    difference: float
    tolerance: float
    seconds: float


def _loaded(worker: Worker) -> _Loaded:
    start = monotonic()
    return _Loaded(*worker.load(), monotonic() - start)


class _Batch:
    """Workers that live together: several load at once, and then one runs at a time."""

    def __init__(
        self, effort: BenchSettings, start: Callable[[Job], Worker], say: Callable[[str], None]
    ) -> None:
        self.effort = effort
        self.start = start
        self.say = say
        self.timed: list[_Timed] = []

    def load(self, part: list[Planned], number: int, folder: str, at_once: int) -> None:
        """Start a worker for each cell, and have it checked; all have ended loading then."""
        networks = len({item.network for item in part})
        names = ", ".join(dict.fromkeys(item.runtime for item in part))
        many = f"{networks} network{'s' if networks > 1 else ''}"
        self.say(f"{self._size(part[0].size)}: loading and checking {many} in {names}")
        for index, item in enumerate(part):
            here = os.path.join(folder, str(index))
            os.mkdir(here)
            self._start(item, number, here)
        # These only wait for the workers, and go when close() ends those.
        waiting = ThreadPoolExecutor(at_once)
        try:
            loads = [
                (timed, waiting.submit(_loaded, timed.worker))
                for timed in self.timed
                if timed.worker is not None
            ]
            for timed, load in loads:
                self._load(timed, load)
        finally:
            waiting.shutdown(wait=False, cancel_futures=True)

    def _start(self, item: Planned, number: int, folder: str) -> None:
        timed = _Timed(BenchCell(item.network, item.runtime, item.size, item.macs, number))
        self.timed.append(timed)
        threads, seed = self.effort.threads, self.effort.seed
        job = Job(item.network, item.runtime, item.size, item.shape, threads, seed, folder)
        try:
            timed.worker = self.start(job)
        except WorkerError as error:
            self._fail(timed, error)

    def _load(self, timed: _Timed, load: Future[_Loaded]) -> None:
        try:
            off, allowed, seconds = load.result()
        except WorkerError as error:
            self._fail(timed, error)
            return
        timed.cell = replace(timed.cell, difference=off, tolerance=allowed)
        how = f"differs by {off:.1e}" if off else "gives eager's output"
        self._told(timed.cell, f"loaded in {seconds:.1f} s, {how}")

    def warm(self) -> None:
        """Bring each to a steady state."""
        most = min(max(_LEAST_WARMING, _WARMING * self.effort.budget), _MOST_WARMING)
        for timed in self.timed:
            if timed.worker is None:
                continue
            try:
                warmth = timed.worker.warm(most)
            except WorkerError as error:
                self._fail(timed, error)
                continue
            timed.cell = replace(timed.cell, warmth=warmth)
            steady = "steady" if warmth.settled else "NOT STEADY"
            ms = warmth.median / 1e6
            self._told(timed.cell, f"{steady} after {warmth.runs} runs, {ms:.2f} ms")

    def time(self) -> None:
        """Let them take turns, there and back."""
        share = self.effort.budget // self.effort.rounds
        for number, order in enumerate(turns(len(self.timed), self.effort.rounds), 1):
            if any(timed.worker is not None for timed in self.timed):
                size = self._size(self.timed[0].cell.size)
                self.say(f"{size}: turn {number} of {self.effort.rounds}")
            for index in order:
                timed = self.timed[index]
                if timed.worker is None or timed.cell.warmth is None:
                    continue
                try:
                    turn = timed.worker.time(calls_in_turn(timed.cell.warmth.median, share))
                except WorkerError as error:
                    self._fail(timed, error)
                    continue
                cell = timed.cell
                cpu = (cell.cpu or 0) + turn.cpu
                timed.cell = replace(cell, ns=(*cell.ns, *turn.ns), cpu=cpu)

    def close(self) -> None:
        """End all that are left, side by side: each may take its time to end by itself."""
        left = [timed.worker for timed in self.timed if timed.worker is not None]
        with ThreadPoolExecutor(max(len(left), 1)) as ending:
            ended = [ending.submit(worker.close) for worker in left]
        for end in ended:
            end.result()

    def kill(self) -> None:
        """End all that are left at once."""
        for timed in self.timed:
            if timed.worker is not None:
                timed.worker.kill()

    def _fail(self, timed: _Timed, error: WorkerError) -> None:
        timed.cell = replace(timed.cell, ns=(), cpu=None, failed=str(error))
        if timed.worker is not None:
            timed.worker.close()
            timed.worker = None
        self._told(timed.cell, f"FAILED: {error}")

    def _told(self, cell: BenchCell, what: str) -> None:
        self.say(f"{self._size(cell.size)} {cell.runtime} {cell.network}: {what}")

    @staticmethod
    def _size(size: tuple[int, int]) -> str:
        return f"{size[0]}x{size[1]}"
