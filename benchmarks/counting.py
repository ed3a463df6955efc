"""How fast a count is, beside every other tool, and whether the tool agrees with its convention.

    python benchmarks/peers/install.py FOLDER
    python benchmarks/counting.py FOLDER [--rounds 7] [--models resnet50 ...] [--tools thop ...] \\
        [--json FILE]

Every tool runs in a process of its own, on the real CPU and on the meta device, and so does the
model's own forward pass. In each round all of them count the same model, one after the other and
each for as long; a ratio is the median of the rounds' ratios, each tool's time over ours, so that a
machine that slows down slows them all. A tool agrees where its total is, to the unit, what
`flopcount.price` makes of our tally under the convention that is named after it. The file gets the
figures of ours, by model: the total, and the ratio of each tool to it; `alternate.py` sets two
checkouts of ours beside each other. Without tools (``--tools``) the folder is not looked into.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

PEERS = Path(__file__).parent / "peers"
sys.path.insert(0, str(PEERS))

from run import TOOLS, build  # noqa: E402
from runner import Runner  # noqa: E402

import flopcount  # noqa: E402

MODELS = ("resnet50", "mobilenet_v2", "efficientnet_b7", "vit_b_16", "spec:shufflenet")
DEVICES = ("cpu", "meta")
#: Tools that count by another's convention.
CONVENTION_OF = {"calflops-flops": "deepspeed-flops", "calflops-macs": "deepspeed-macs"}
PROMISED = 10
#: Every tool counts for as long in its turn [s], and so often at the least; the median is taken.
#: The first finds the caches as others left them, and is shown by itself.
TURN = 0.15
REPEATS = 5


def runner(tool: str, folder: Path, device: str) -> Runner:
    """A tool in a process that finds what was installed for it below the folder."""
    path = [str(folder / TOOLS[tool][0])] if TOOLS[tool][0] else []
    python_path = os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")])
    return Runner(tool, PEERS, {**os.environ, "PYTHONPATH": python_path}, device)


class Result(NamedTuple):
    """One tool on one device: median milliseconds, median ratio to ours, and its total.

    ``first`` and ``first_ratio`` are the same of the first count of each turn alone.
    """

    tool: str
    device: str
    ms: float
    ratio: float
    first: float
    first_ratio: float
    total: Any


def measure(model: str, tools: list[str], folder: Path, rounds: int) -> list[Result]:
    """All tools on one model, in turn; ours is the first of the results."""
    runners = [runner("shufflecost", folder, "cpu")]
    runners += [runner(tool, folder, device) for tool in tools for device in DEVICES]
    runners += [runner("forward", folder, device) for device in DEVICES]
    try:
        first = [one.ask(model, REPEATS, TURN) for one in runners]
        able = [r for r, answer in zip(runners, first, strict=True) if "error" not in answer]
        totals = [answer["total"] for answer in first if "error" not in answer]
        turns = [[one.ask(model, REPEATS, TURN)["seconds"] for one in able] for _ in range(rounds)]
    finally:
        for one in runners:
            one.close()
    results = []
    for at, (one, total) in enumerate(zip(able, totals, strict=True)):
        figures = []
        for time in (statistics.median, lambda counts: counts[0]):
            ours, theirs = [[time(turn[who]) for turn in turns] for who in (0, at)]
            ratios = (x / y for x, y in zip(theirs, ours, strict=True))
            figures += [1000 * statistics.median(theirs), statistics.median(ratios)]
        results.append(Result(one.tool, one.device, *figures, total))
    return results


def agrees(result: Result, tally: flopcount.Tally) -> str:
    """Whether a tool's total is what its convention makes of our tally."""
    if result.tool in ("shufflecost", "forward"):
        return ""
    ours = flopcount.price(tally, CONVENTION_OF.get(result.tool, result.tool))
    return "yes" if result.total == ours else f"{result.total:,} is not {ours:,}"


def show(model: str, results: list[Result]) -> bool:
    """Print the results of one model; whether the promise is kept."""
    tally = flopcount.count(build(model, "meta"), shape=(1, 3, 224, 224))
    ours, *others = results
    print(f"\n{model}: {ours.ms:.2f} ms (first {ours.first:.2f}), {tally.macs:,} multiply-adds")
    for result in sorted(others, key=lambda r: r.ratio):
        line = f"  {result.tool:<18} {result.device:<5} {result.ms:>10.1f} ms {result.ratio:>8.1f}x"
        print(f"{line}  {agrees(result, tally)}".rstrip())
    peers = [r for r in others if r.tool != "forward"]
    forward = min((r for r in others if r.tool == "forward"), key=lambda r: r.ratio)
    fastest = min(peers, key=lambda r: r.ratio, default=forward)
    kept = fastest.ratio >= PROMISED and forward.ratio > 1
    print(
        f"  fastest peer {fastest.tool} on {fastest.device}: {fastest.ratio:.1f}x, promised"
        f" {PROMISED}x, first counts {fastest.first_ratio:.1f}x; forward pass on"
        f" {forward.device}: {forward.ratio:.1f}x:"
        f" {'kept' if kept else 'NOT KEPT'}",
        flush=True,
    )
    return kept


def figures_of(results: list[Result]) -> dict[str, Any]:
    """The figures of one model as an object: ours, and every other's time over ours."""
    ours, *others = results
    ratios = {f"{r.tool} {r.device}": round(r.ratio, 3) for r in others}
    return {"macs": ours.total, "ms": ours.ms, "first_ms": ours.first, "ratios": ratios}


def main() -> int:
    """Measure and print; 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--json", type=Path)
    known = [tool for tool in TOOLS if tool not in ("shufflecost", "forward")]
    parser.add_argument("--tools", nargs="*", default=known)
    given = parser.parse_args()
    found = {
        model: measure(model, list(given.tools), given.folder, given.rounds)
        for model in given.models
    }
    kept = [show(model, results) for model, results in found.items()]
    if given.json is not None:
        figures = {model: figures_of(results) for model, results in found.items()}
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
