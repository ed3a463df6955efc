"""This checkout beside an earlier one, in alternation: is anything slower than it was?

    git worktree add ../before COMMIT
    python benchmarks/alternate.py ../before [--rounds 9] [--json FILE]

Counts: a process of each checkout counts the same models in turn, old, new, old, new. Speed: each
checkout's own `speed.py` runs in turn. What counts is the median of the ratios of neighbours, new
over old, so that a machine that slows down slows both. Ends in 1 where a median passes 1.10, or
where the two count differently.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from runner import Runner

HERE = Path(__file__).resolve().parents[1]
MODELS = (
    "resnet50",
    "mobilenet_v2",
    "efficientnet_b7",
    "vit_b_16",
    "swin_t",
    "densenet121",
    "spec:shufflenet",
)
#: A median above it is slower, and no noise.
MOST = 1.10
#: A count repeats for so long in its turn [s], and so often at the least.
TURN, REPEATS = 0.2, 5


class Line(NamedTuple):
    """One figure of both checkouts: median seconds, and the median of the ratios new over old."""

    name: str
    old: float
    new: float
    ratio: float

    @classmethod
    def of(cls, name: str, pairs: list[tuple[float, float]]) -> Line:
        """The line of seconds taken in turn, old and new."""
        old, new = zip(*pairs, strict=True)
        ratio = statistics.median(after / before for before, after in pairs)
        return cls(name, statistics.median(old), statistics.median(new), ratio)


def environment(checkout: Path) -> dict[str, str]:
    """The environment in which a checkout imports its own packages."""
    return {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}


def counter(checkout: Path) -> Runner:
    """The counter of a checkout, in a process that stays."""
    return Runner("shufflecost", checkout / "benchmarks" / "peers", environment(checkout))


def counts(old: Path, new: Path, rounds: int) -> tuple[list[Line], list[str]]:
    """Both counters on every model in turn, and the models on which they differ."""
    before, after = counter(old), counter(new)
    lines, differing = [], []
    turn = (REPEATS, TURN)
    try:
        for model in MODELS:
            totals = before.ask(model, *turn)["total"], after.ask(model, *turn)["total"]
            if totals[0] != totals[1]:
                differing.append(f"{model}: {totals[0]:,} before, {totals[1]:,} now")
            turns = [(before.ask(model, *turn), after.ask(model, *turn)) for _ in range(rounds)]
            steady = [
                (statistics.median(a["seconds"]), statistics.median(b["seconds"])) for a, b in turns
            ]
            first = [(a["seconds"][0], b["seconds"][0]) for a, b in turns]
            lines += [
                Line.of(f"count {model}", steady),
                Line.of(f"  first of a turn {model}", first),
            ]
    finally:
        before.close()
        after.close()
    return lines, differing


def speeds(old: Path, new: Path, rounds: int) -> list[Line]:
    """Each checkout's `speed.py` in turn, figure by figure."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        before, after = speed(old), speed(new)
        for name in before.keys() & after.keys():
            pairs.setdefault(name, []).append((before[name], after[name]))
    return [Line.of(name, pairs[name]) for name in sorted(pairs)]


def speed(checkout: Path) -> dict[str, float]:
    """The seconds of a checkout's `speed.py`, by figure."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speed.json"
        subprocess.run(
            [sys.executable, str(checkout / "benchmarks" / "speed.py"), "--json", str(file)],
            env=environment(checkout),
            stdout=subprocess.DEVNULL,
            check=False,
        )
        seconds: dict[str, float] = json.loads(file.read_text())["seconds"]
        return seconds


def commit(checkout: Path) -> str:
    """The commit that a checkout stands at."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Measure and print; 1 where something is slower, or counts differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    old = given.before.resolve()
    lines, differing = counts(old, HERE, given.rounds)
    lines += speeds(old, HERE, max(given.rounds // 3, 1))
    print(f"{commit(old)} before, {commit(HERE)} now")
    for line in lines:
        slower = "  SLOWER" if line.ratio > MOST else ""
        print(
            f"{line.name:<40} {1e3 * line.old:>9.2f} ms {1e3 * line.new:>9.2f} ms"
            f" {line.ratio:>6.3f}{slower}"
        )
    for text in differing:
        print(f"counts differ: {text}")
    if given.json is not None:
        figures = {
            line.name.strip(): line._asdict() | {"name": line.name.strip()} for line in lines
        }
        found = {"before": commit(old), "now": commit(HERE), "figures": figures}
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if differing or any(line.ratio > MOST for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
