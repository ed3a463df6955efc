"""One network in one runtime, inside a process of its own: built, checked, warmed up, timed."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns, process_time_ns
from typing import Any, NamedTuple

from shufflenet.bench.subjects import module_of, read_subject
from shufflenet.bench.timings import Turn, Warmth, warm_up
from shufflenet.runtimes import eager
from shufflenet.runtimes.agreement import check
from shufflenet.runtimes.lookup import runtime


class Job(NamedTuple):
    """What a worker is to time: a network at a size (height, width) [px], in a runtime.

    ``shape`` is that of the image, ``folder`` an empty one for the runtime's files; ``seed`` is
    what the image is drawn from, and the weights of a spec.
    """

    network: str
    runtime: str
    size: tuple[int, int]
    shape: tuple[int, ...]
    threads: int
    seed: int
    folder: str


class Trial(NamedTuple):
    """A network that is loaded and checked; ``difference`` is how far it is from eager's output."""

    call: Callable[[Any], Any]
    image: Any
    difference: float
    tolerance: float

    def run(self, calls: int) -> list[int]:
        """The time of each of so many calls [ns]."""
        call, image = self.call, self.image
        times = []
        for _ in range(calls):
            start = perf_counter_ns()
            call(image)
            times.append(perf_counter_ns() - start)
        return times

    def warm(self, most: int) -> Warmth:
        """Run it until it is as fast as it gets, or for so long [ns]."""
        return warm_up(self.run, most)

    def turn(self, calls: int) -> Turn:
        """The time of each of so many calls [ns], behind one that is not told.

        That one finds the processor's caches as another worker left them.
        """
        self.call(self.image)
        start = process_time_ns()
        times = self.run(calls)
        return Turn(times, process_time_ns() - start)


def loaded(job: Job) -> Trial:
    """The network of a job in its runtime.

    Raises WrongOutputError where the output is not eager's within the runtime's tolerance, or no
    tensor. What else goes wrong is passed on: it is the end of the process, and the reason that is
    told.
    """
    import numpy as np

    chosen = runtime(job.runtime)
    module = module_of(read_subject(job.network), job.size, job.seed)
    image = np.random.default_rng(job.seed).standard_normal(job.shape, dtype=np.float32)
    expected = eager.output(module, image, job.threads)
    call = chosen.load(module, job.shape, job.threads, job.folder)
    off = check(call(image), expected, chosen.tolerance)
    return Trial(call, image, off, chosen.tolerance)
