"""The speeds that the project promises, as ratios taken in one run.

    python benchmarks/speed.py [--json FILE]

Each pair is timed in turn, A B A B ..., and the median of the pairwise ratios is what counts, so
that a machine that slows down slows both. The file gets the seconds that ours took, by name;
`alternate.py` sets them beside those of another checkout.
"""

from __future__ import annotations

import argparse
import compileall
import json
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
from flopcount.conventions import convention
from flopcount.layers import cost
from shufflenet import build, load, network, solve
from shufflenet.solver.engine.optimise import price_space
from shufflenet.solver.problem import Space

ROUNDS = 21


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


class Report:
    """The lines of the result, and the seconds behind them by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.kept = True

    def line(
        self, name: str, taken: float, shown: str, figure: str, promise: str, kept: bool
    ) -> None:
        """One line: what took so many seconds, what is promised of it, and whether it is kept."""
        self.seconds[name] = taken
        self.kept = self.kept and kept
        report(name + shown, figure, promise, kept)


def startup(found: Report) -> None:
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
    found.line(
        "table --format json",
        ours,
        f": {ours * 1e3:.0f} ms; import click: {theirs * 1e3:.0f} ms",
        f"{ratio:.2f}x",
        "at most 2x",
        ratio <= 2,
    )


def fold(found: Report) -> None:
    """The analytical cost of one network, beside one count by FlopCounterMode on meta."""
    net = network(load("shufflenet"), 3)
    module = build(net, device="meta").eval()
    image = torch.empty(tuple(net.input), device="meta")

    def counted() -> None:
        with torch.no_grad(), FlopCounterMode(display=False):
            module(image)

    for name, memory in (("analytic fold", False), ("analytic fold with peak memory", True)):

        def folded(memory: bool = memory) -> None:
            cost.count(net.tree, net.input, memory=memory)

        ours, theirs, ratio = paired(folded, counted, ROUNDS)
        found.line(
            name,
            ours,
            f": {ours * 1e3:.2f} ms; FlopCounterMode: {theirs * 1e3:.0f} ms",
            f"1/{1 / ratio:.0f}",
            "at most 1/100",
            ratio <= 1 / 100,
        )


def column(found: Report) -> None:
    """Candidates of ShuffleNet g = 3 checked and priced a second: eight stems, all widths."""
    space = Space(load("shufflenet"), groups=(3,), stems=tuple(range(3, 25, 3)), widest=1000)
    names = {"macs": convention("shufflenet-paper")}
    candidates = sum(chain.candidates() for chain in price_space(space, names))
    taken = statistics.median(seconds(lambda: price_space(space, names)) for _ in range(ROUNDS))
    rate = candidates / taken
    name = "candidate networks priced, one core"
    found.line(name, taken, "", f"{rate:,.0f}/s", "1,000,000/s", rate >= 1e6)


def solver(found: Report) -> None:
    """One budget solved for one number of groups."""
    spec = load("shufflenet")
    solve(spec, 140_000_000, 3)
    time_taken = statistics.median(
        seconds(lambda: solve(spec, 140_000_000, 3)) for _ in range(ROUNDS)
    )
    shown = f"{time_taken * 1e3:.1f} ms"
    found.line("one budget solved", time_taken, "", shown, "a few ms", time_taken < 0.02)


def main() -> int:
    """Measure and print; 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    versions = f"Python {sys.version.split()[0]}, torch {torch.__version__}, NumPy {np.__version__}"
    print(versions)
    found = Report()
    for measure in (startup, fold, column, solver):
        measure(found)
    if given.json is not None:
        figures = {"versions": versions, "seconds": found.seconds}
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if found.kept else 1


if __name__ == "__main__":
    sys.exit(main())
