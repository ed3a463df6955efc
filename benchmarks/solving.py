"""The exact solver on ShuffleNet's whole design space, beside OR-tools' CP-SAT and a count of each.

    python benchmarks/solving.py
    python benchmarks/solving.py --referee            # needs the extra "referee"
    python benchmarks/solving.py --referee --joint    # CP-SAT with all g in one model, slower

The space: any stem up to 96, three free stages up to four times Table 1's, every number of groups
of Table 1, and repeats over 5x9x5. CP-SAT gets the same space as the model of
`tests/shufflenet/solver/engine/referee.py`: one worker, its own search, a time limit, and another
seed each round, since its luck varies.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from speed import report, seconds
from torch.utils.flop_counter import FlopCounterMode

from shufflenet import build, load, network
from shufflenet.solver.engine.optimise import optimise
from shufflenet.solver.problem import Bound, Goal, Outcome, Problem

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.shufflenet.solver.engine.paper_designs import Room, Wish, figures
from tests.shufflenet.solver.engine.questions import design, problem

SPACE = Room(
    groups=(1, 2, 3, 4, 8),
    stems=tuple(range(1, 97)),
    units=(tuple(range(2, 7)), tuple(range(4, 13)), tuple(range(2, 7))),
)
WITHIN = (("macs", 140_000_000), ("params", 2_000_000))
#: The channels that Table 1 has for g = 3: 240 + 480 + 960.
AS_MANY = (("channels", 1_680),)
NEAREST = "nearest to 140M, 2M parameters at most"
WISHES = {
    NEAREST: Wish("macs", "nearest", 140_000_000, WITHIN[1:]),
    "most channels within 140M and 2M parameters": Wish("channels", "most", 0, WITHIN),
    "most parameters within 140M and 2M": Wish("params", "most", 0, WITHIN),
    "least memory with 1,680 channels": Wish("memory", "least", 0, WITHIN, AS_MANY),
    "least cost with 1,680 channels": Wish("macs", "least", 0, WITHIN[1:], AS_MANY),
}
#: Fronts of two goals over the same space, and what bounds them.
FRONTS = {
    "front of least cost and most parameters": (Goal("macs", "least"), Goal("params", "most"), ()),
    "front of least cost and most channels, 2M parameters at most": (
        Goal("macs", "least"),
        Goal("channels", "most"),
        (Bound("params", most=2_000_000),),
    ),
    "front of most channels and least memory": (
        Goal("channels", "most"),
        Goal("memory", "least"),
        (),
    ),
}
#: CPU seconds that are promised of a front.
PATIENT = 60
#: What is promised: seconds for an optimum, CP-SAT's time over ours, a count's over a candidate's.
SOON, FASTER, CHEAPER = 2, 10, 100_000


def timed(run: Callable[[], Outcome], rounds: int) -> tuple[float, Outcome]:
    """Median seconds of a run, and what came out of the last."""
    found: list[Outcome] = [run()]
    times = [seconds(lambda: found.append(run())) for _ in range(rounds)]
    return statistics.median(times), found[-1]


def ours(question: str, rounds: int) -> tuple[float, Outcome]:
    """The proven optimum of the whole space, in how many seconds."""
    asked: Problem = problem(SPACE, WISHES[question])
    taken, outcome = timed(partial(optimise, asked), rounds)
    best = design(outcome.best.network)
    value = getattr(figures(best), WISHES[question].figure)
    report(f"{question}: {value:,}", f"{taken:.3f} s", f"at most {SOON} s", taken <= SOON)
    widths = ", ".join(map(str, best.widths))
    units = ", ".join(map(str, best.units))
    print(f"    g = {best.g}, stem {best.stem}, widths {widths}, units {units}")
    return taken, outcome


def whole_front(question: str) -> None:
    """A whole front of the space, in how many CPU seconds."""
    one, other, bounds = FRONTS[question]
    asked = Problem(problem(SPACE, WISHES[NEAREST]).space, (one, other), bounds)
    start = time.process_time()
    points = len(optimise(asked).solutions)
    taken = time.process_time() - start
    shown = f"{question}: {points:,} points"
    report(shown, f"{taken:.2f} s CPU", f"at most {PATIENT} s", taken <= PATIENT)


def beside_the_referee(
    question: str, taken: float, outcome: Outcome, limit: float, rounds: int, joint: bool
) -> None:
    """CP-SAT on the same question: its times, and whether the optimum is the same."""
    from referee import judged

    wish = WISHES[question]
    times, keys, proofs = [], set(), 0
    for seed in range(1, rounds + 1):
        run = partial(judged, SPACE, wish, limit=limit, split=not joint, seed=seed)
        found = []
        times.append(seconds(lambda run=run, found=found: found.append(run())))
        (verdict,) = found
        proofs += verdict.proven
        if verdict.proven and verdict.design is not None:
            keys.add(wish.key(figures(verdict.design)))
    same = keys <= {wish.key(figures(design(outcome.best.network)))}
    middle = statistics.median(times)
    shown = f"    CP-SAT: {middle:.2f} s ({min(times):.2f} to {max(times):.2f})"
    proven = f"{proofs} of {rounds} proven, {'the same' if same else 'ANOTHER'} optimum"
    ratio = middle / taken
    if question == NEAREST:
        report(shown, f"{ratio:.1f}x", f"at least {FASTER}x", ratio >= FASTER)
    else:
        print(f"{shown:<58} {ratio:>15.1f}x")
    print(f"    {proven}")


def beside_counting(taken: float, candidates: int, rounds: int) -> None:
    """A candidate's share of a proven optimum, beside counting its built module on meta."""
    net = network(load("shufflenet"), 3)
    module = build(net, device="meta").eval()
    image = torch.empty(tuple(net.input), device="meta")

    def counted() -> None:
        with torch.no_grad(), FlopCounterMode(display=False):
            module(image)

    counted()
    one = statistics.median(seconds(counted) for _ in range(rounds))
    ratio = one / (taken / candidates)
    report(
        f"a count by FlopCounterMode: {one * 1e3:.0f} ms; a candidate",
        f"1/{ratio:.1e}",
        f"at most 1/{CHEAPER:,}",
        ratio >= CHEAPER,
    )


def main() -> None:
    """All of it, as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--referee", action="store_true", help="run OR-tools' CP-SAT too")
    parser.add_argument("--joint", action="store_true", help="give it all g in one model")
    parser.add_argument("--limit", type=float, default=300, help="its time limit in seconds")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}")
    slowest, candidates = 0.0, 0
    for question in WISHES:
        taken, outcome = ours(question, given.rounds)
        if given.referee:
            beside_the_referee(question, taken, outcome, given.limit, given.rounds, given.joint)
        slowest, candidates = max(slowest, taken), outcome.candidates
    for question in FRONTS:
        whole_front(question)
    print(f"{candidates:,} networks in the space")
    beside_counting(slowest, candidates, 21)


if __name__ == "__main__":
    main()
