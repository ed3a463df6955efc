"""Break the sources in one place at a time, and see that the tests notice.

    python benchmarks/mutants.py --check
    python benchmarks/mutants.py --json benchmarks/records/mutants.json
    python benchmarks/mutants.py --only conv_cost_groups shuffle_groups
    python benchmarks/mutants.py --against benchmarks/records/mutants.json

Each mutation of `mutations` is applied to a copy of the checkout in a temporary folder, where the
tests that ought to catch it run; the checkout itself is never written to. Before that, the same
tests have to pass on a copy without a mutation. ``--check`` only looks whether every mutation still
fits the sources, exactly once: a function that was renamed is renamed in its table too.

Exit code 2 where a mutation does not fit, or the tests do not pass without one; 1 where a mutation
survives, or with ``--against`` only where one that the record has as caught does, or the share that
is caught has fallen; else 0.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import platform
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mutations import MUTATIONS, Mutation
from mutations.edits import PACKAGES, MisfitError, Sources, misfits, mutated, test_file

ROOT = Path(__file__).resolve().parents[1]
#: How long the tests of one mutation may take [s].
LIMIT = 240
_PYTEST = ("-x", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", "-p", "no:randomly")
_UNSHRUNK = ("-p", "benchmarks.unshrunk", "--hypothesis-profile=unshrunk")
# The same examples each time, so that nothing is caught by luck.
_SEED = "--hypothesis-seed=0"
# The tests without a mutation are run in so many parts for each copy.
_CHUNKS = 4
# Exit codes of pytest: tests failed, or could not be collected, as where an import fails.
_FAILED = (1, 2)

T = TypeVar("T")
R = TypeVar("R")


class BrokenError(Exception):
    """Tests that cannot tell anything: they fail without a mutation, or do not run at all."""


class Outcome(NamedTuple):
    """What a run of tests came to: pytest's exit code, None past the limit; the first failure."""

    code: int | None
    first: str
    seconds: float


class Result(NamedTuple):
    """Whether a mutation was caught, by which test, and how long that took [s]."""

    name: str
    function: str
    caught: bool
    seconds: float
    by: str

    @property
    def verdict(self) -> str:
        """One word for it."""
        if self.caught:
            return "caught"
        return "timeout" if self.by == "timeout" else "SURVIVED"


class Copy:
    """A copy of the checkout, in which one mutation at a time is applied."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in _files():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        self._check_imports()

    def _check_imports(self) -> None:
        """Check that Python finds the packages here, and not in an installed checkout."""
        code = (
            f"import {', '.join(PACKAGES)}; print({PACKAGES[0]}.__file__, {PACKAGES[1]}.__file__)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        for found in done.stdout.split():
            if not Path(found).is_relative_to(self.folder):
                raise BrokenError(f"{found} is imported, which is not in {self.folder}")

    def _environment(self) -> dict[str, str]:
        # Copies run beside each other: more threads than one each would only wait.
        alone = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        return {**os.environ, **alone, "PYTHONPATH": str(self.folder)}

    @contextmanager
    def applied(self, mutation: Mutation, sources: Sources) -> Iterator[None]:
        """The copy with a mutation, which is taken back afterwards."""
        path, tree = mutated(mutation, sources)
        target = self.folder / path
        try:
            _write(target, ast.unparse(tree))
            yield
        finally:
            _write(target, (ROOT / path).read_text(encoding="utf-8"))

    def run(self, items: Sequence[str], limit: int = LIMIT) -> Outcome:
        """Run some tests, for so long [s] at most."""
        files = sorted((self.folder / "tests").rglob("test_*.py"))
        chosen = []
        for item in items:
            path = test_file(item, files).relative_to(self.folder)
            _, colons, test = item.partition("::")
            chosen.append(f"{path}{colons}{test}")
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *_PYTEST, *_UNSHRUNK, _SEED, *chosen],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # What the tests start is ended with them.
            start_new_session=True,
        )
        try:
            out, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Outcome(None, "timeout", time.monotonic() - start)
        return Outcome(process.returncode, _first(out), time.monotonic() - start)


def _files() -> list[str]:
    """Every file of the checkout that git knows or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in out.split("\0") if name and (ROOT / name).is_file()]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    # Bytecode is told apart by second and size alone.
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def _first(out: str) -> str:
    """The first test that failed, as pytest's summary names it."""
    for line in out.splitlines():
        word, _, rest = line.partition(" ")
        if word in ("FAILED", "ERROR"):
            return rest.partition(" - ")[0].strip()
    return out.strip().splitlines()[-1] if out.strip() else "no output"


def tried(copy: Copy, mutation: Mutation, sources: Sources) -> Result:
    """Run the tests of a mutation on it. Raises BrokenError where they do not run."""
    with copy.applied(mutation, sources):
        outcome = copy.run(mutation.tests)
    if outcome.code is None:
        caught, by = mutation.hangs, "timeout"
    elif outcome.code in (0, *_FAILED) or outcome.code < 0:
        caught = outcome.code != 0
        by = outcome.first if caught else ""
    else:
        raise BrokenError(f"mutation {mutation.name}: pytest ended with {outcome.code}")
    return Result(mutation.name, mutation.function, caught, round(outcome.seconds, 1), by)


def spread(copies: Sequence[Copy], items: Sequence[T], do: Callable[[Copy, T], R]) -> Iterator[R]:
    """Do something with each item in a copy that is free; results as they come."""
    free: queue.Queue[Copy] = queue.Queue()
    for copy in copies:
        free.put(copy)

    def one(item: T) -> R:
        copy = free.get()
        try:
            return do(copy, item)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as executor:
        futures = [executor.submit(one, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def check_clean(copies: Sequence[Copy], mutations: Sequence[Mutation]) -> None:
    """Check that every test that is to catch something passes. Raises BrokenError."""
    items = list(dict.fromkeys(item for mutation in mutations for item in mutation.tests))
    # Some at a time: most of them take less time than a process takes to start.
    count = min(_CHUNKS * len(copies), len(items))
    chunks = [items[start::count] for start in range(count)]
    runs = spread(copies, chunks, lambda copy, chunk: copy.run(chunk, LIMIT * len(chunk)))
    for number, outcome in enumerate(runs, 1):
        if outcome.code != 0:
            raise BrokenError(f"fails without a mutation: {outcome.first}")
        print(f"clean     {outcome.seconds:6.1f} s  {number} of {count}", flush=True)


def record(results: Sequence[Result]) -> dict[str, Any]:
    """The results as the object for JSON, in the order of the tables."""
    command = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    order = {mutation.name: place for place, mutation in enumerate(MUTATIONS)}
    ordered = sorted(results, key=lambda result: order[result.name])
    return {
        "commit": commit.strip(),
        "python": platform.python_version(),
        "mutations": [result._asdict() for result in ordered],
        "caught": sum(result.caught for result in ordered),
        "total": len(ordered),
    }


def worse(new: Mapping[str, Any], old: Mapping[str, Any], *, some: bool) -> list[str]:
    """What is worse than in an earlier record, a line each; ``some`` says that not all were run."""
    now = {one["name"]: one["caught"] for one in new["mutations"]}
    before = {
        one["name"]: one["caught"] for one in old["mutations"] if not some or one["name"] in now
    }
    found = [
        f"{name}: was caught, and {'is not' if name in now else 'is not there any more'}"
        for name, caught in before.items()
        if caught and not now.get(name, False)
    ]
    if sum(now.values()) * max(len(before), 1) < sum(before.values()) * max(len(now), 1):
        found.append(
            f"{sum(now.values())} of {len(now)} are caught, and {sum(before.values())} of"
            f" {len(before)} were"
        )
    return found


def run(given: argparse.Namespace, chosen: Sequence[Mutation]) -> list[Result]:
    """The results of some mutations, told line by line. Raises BrokenError."""
    sources = Sources.below(ROOT)
    results = []
    with ExitStack() as stack:
        folders = [
            stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-"))
            for _ in range(given.jobs)
        ]
        copies = [Copy(Path(folder).resolve()) for folder in folders]
        if not given.no_clean:
            check_clean(copies, chosen)
        for result in spread(copies, chosen, lambda copy, one: tried(copy, one, sources)):
            results.append(result)
            line = f"{result.verdict:<9} {result.seconds:6.1f} s  {result.name:<36} {result.by}"
            print(line.rstrip(), flush=True)
    return results


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only see whether all of them fit")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these mutations")
    parser.add_argument("--jobs", type=int, default=2, help="so many copies at once")
    parser.add_argument("--no-clean", action="store_true", help="do not run the tests without any")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record there")
    parser.add_argument("--against", type=Path, metavar="FILE", help="an earlier record")
    return parser.parse_args()


def main() -> int:
    """Run what is asked for; the exit code."""
    given = arguments()
    wrong = misfits(MUTATIONS, Sources.below(ROOT), ROOT / "tests")
    unknown = set(given.only or ()) - {mutation.name for mutation in MUTATIONS}
    wrong += [f"mutation {name} is not there" for name in sorted(unknown)]
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 2
    if given.check:
        print(f"all {len(MUTATIONS)} mutations fit")
        return 0
    old = None if given.against is None else json.loads(given.against.read_text(encoding="utf-8"))
    chosen = [one for one in MUTATIONS if given.only is None or one.name in given.only]
    start = time.monotonic()
    try:
        found = record(run(given, chosen))
    except (BrokenError, MisfitError) as error:
        print(error, file=sys.stderr)
        return 2
    share = 100 * found["caught"] / found["total"]
    minutes = (time.monotonic() - start) / 60
    print(f"{found['caught']} of {found['total']} caught ({share:.1f}%) in {minutes:.1f} min")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if old is None:
        return int(found["caught"] < found["total"])
    lines = worse(found, old, some=given.only is not None)
    print("\n".join(lines), file=sys.stderr, end="\n" if lines else "")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
