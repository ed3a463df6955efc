"""The speeds that the project promises, as ratios taken in one run.

    python benchmarks/speed.py

Each pair is timed in turn, A B A B ..., and the median of the pairwise ratios is what counts, so
that a machine that slows down slows both.
"""

from __future__ import annotations

import compileall
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import flopcount
import shufflenet
from flopcount import analytic
from flopcount.conventions import convention
from flopcount.integers import lift
from shufflenet import build, load, network, solve
from shufflenet.placing import Frame
from shufflenet.sweep import prices

ROUNDS = 21
COLUMN = 16_384
CANDIDATES = 1_000_000


def seconds(run: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def paired(a: Callable[[], object], b: Callable[[], object], rounds: int) -> tuple[float, ...]:
    """Median seconds of a and of b, and the median of their ratios, taken in turn."""
    a(), b()
    times = [(seconds(a), seconds(b)) for _ in range(rounds)]
    ratios = [one / other for one, other in times]
    one, other = zip(*times, strict=True)
    return statistics.median(one), statistics.median(other), statistics.median(ratios)


def report(name: str, figure: str, promise: str, kept: bool) -> None:
    """One line of the result."""
    print(f"{name:<58} {figure:>16}  promised {promise:<12} {'kept' if kept else 'NOT KEPT'}")


def startup() -> None:
    """`table --format json` as a whole process, beside importing click."""
    # As pip does on installing; a checkout that may not write bytecode compiles at every start.
    for package in (flopcount, shufflenet):
        compileall.compile_dir(Path(package.__file__).parent, quiet=1)
    command = Path(sys.executable).parent / "shufflecost"
    table = [str(command), "table", "--format", "json"]
    click = [sys.executable, "-c", "import click"]

    def run(args: list[str]) -> Callable[[], object]:
        return lambda: subprocess.run(args, check=True, stdout=subprocess.DEVNULL)

    ours, theirs, ratio = paired(run(table), run(click), ROUNDS)
    report(
        f"table --format json: {ours * 1e3:.0f} ms; import click: {theirs * 1e3:.0f} ms",
        f"{ratio:.2f}x",
        "at most 2x",
        ratio <= 2,
    )


def fold() -> None:
    """The analytical cost of one network, beside one count by FlopCounterMode on meta."""
    net = network(load("shufflenet"), 3)
    module = build(net, device="meta").eval()
    image = torch.empty(tuple(net.input), device="meta")

    def counted() -> None:
        with torch.no_grad(), FlopCounterMode(display=False):
            module(image)

    for name, memory in (("analytic fold", False), ("  with peak memory", True)):

        def folded(memory: bool = memory) -> None:
            analytic.count(net.tree, net.input, memory=memory)

        ours, theirs, ratio = paired(folded, counted, ROUNDS)
        report(
            f"{name}: {ours * 1e3:.2f} ms; FlopCounterMode: {theirs * 1e3:.0f} ms",
            f"1/{1 / ratio:.0f}",
            "at most 1/100",
            ratio <= 1 / 100,
        )


def column() -> None:
    """Candidate widths of ShuffleNet g = 3 priced a second, in columns."""
    spec = load("shufflenet")
    frame = Frame(spec, 3, spec.image)
    chosen = convention("shufflenet-paper")

    def priced() -> None:
        for start in range(1, CANDIDATES, COLUMN):
            steps = 12 * np.arange(start, start + COLUMN, dtype=np.int64)
            widths = {"stage2": lift(steps), "stage3": lift(2 * steps), "stage4": lift(4 * steps)}
            prices(frame, {"conv1": 24, **widths}, chosen)

    priced()
    rate = CANDIDATES / statistics.median(seconds(priced) for _ in range(5))
    report("candidate widths priced, one core", f"{rate:,.0f}/s", "1,000,000/s", rate >= 1e6)


def solver() -> None:
    """One budget solved for one number of groups."""
    spec = load("shufflenet")
    solve(spec, 140_000_000, 3)
    time_taken = statistics.median(
        seconds(lambda: solve(spec, 140_000_000, 3)) for _ in range(ROUNDS)
    )
    report("one budget solved", f"{time_taken * 1e3:.1f} ms", "a few ms", time_taken < 0.02)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, NumPy {np.__version__}")
    startup()
    fold()
    column()
    solver()
