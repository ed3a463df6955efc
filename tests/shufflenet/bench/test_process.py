"""Workers as processes: the protocol, and every way in which one can fail; the others go on."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from threading import Event, Lock
from threading import enumerate as enumerate_threads
from time import sleep
from typing import Any

import pytest

from shufflenet.bench.process import COMMAND, Process, WorkerError
from shufflenet.bench.run import BenchSettings, Planned, batches, bench
from shufflenet.bench.timings import Turn, Warmth
from shufflenet.bench.trial import Job
from tests.command import needs_torch
from tests.shufflenet.bench.bench_records import SMALL
from tests.shufflenet.bench.fakes import ends, fakes

SHAPE = (1, 3, *SMALL)
PROLOGUE = "import json, os, signal, sys, time\n"
HONEST = """
for line in sys.stdin:
    asked = json.loads(line)
    answers = {
        "load": {"difference": 0.5, "tolerance": 1.0},
        "warm": {"runs": 3, "settled": True, "median": 7},
        "time": {"ns": [7] * asked.get("calls", 0), "cpu": 20},
    }
    print(json.dumps(answers[asked["do"]]), flush=True)
"""


def job(network: str = "net", runtime: str = "eager", folder: str = "") -> Job:
    return Job(network, runtime, SMALL, SHAPE, 1, 0, folder)


def process(code: str, timeout: float = 60) -> Process:
    return Process(job(), timeout, (sys.executable, "-c", PROLOGUE + code))


def failure(code: str, timeout: float = 60) -> WorkerError:
    worker = process(code, timeout)
    try:
        with pytest.raises(WorkerError) as caught:
            worker.load()
    finally:
        worker.close()
    return caught.value


def test_a_worker_is_asked_and_answers_line_by_line():
    worker = process(HONEST)
    assert worker.load() == (0.5, 1.0)
    assert worker.warm(10**9) == Warmth(3, True, 7)
    assert worker.time(4) == Turn([7] * 4, 20)
    worker.close()
    worker.close()


def test_the_number_of_threads_is_told_to_every_library():
    code = "print(json.dumps({'difference': int(os.environ['OMP_NUM_THREADS']), 'tolerance': 0}))"
    worker = process(code)
    assert worker.load() == (1, 0)
    worker.close()


FAILURES = {
    "a signal": ("os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
    "an exception": (
        "raise ValueError('cannot load it')",
        "ended with exit code 1: ValueError: cannot load it",
    ),
    "an exit code": ("os._exit(7)", "ended with exit code 7"),
    "an early end": ("", "ended with exit code 0"),
    "no message": ("print('loading...', flush=True); time.sleep(60)", r"answered b'loading...\n'"),
    "a wrong output": (
        "print(json.dumps({'wrong': 'far off'}), flush=True); sys.stdin.read()",
        "far off",
    ),
}


@pytest.mark.parametrize(("code", "reason"), FAILURES.values(), ids=FAILURES)
def test_a_worker_that_fails_is_told_with_its_reason(code: str, reason: str):
    error = failure(code)
    assert error.reason == reason
    assert error.step == ("check" if reason == "far off" else "load")


def test_a_worker_that_hangs_is_ended_at_the_end_of_its_time():
    error = failure("time.sleep(600)", 0.3)
    assert error.reason == "no answer within 0.3 s"


def test_what_a_hanging_worker_has_started_is_ended_with_it(tmp_path: Path):
    mark = tmp_path / "pid"
    code = f"""
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(mark)!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    failure(code, 3)
    assert ends(mark.read_text())


@pytest.mark.parametrize("quiet", ["", ">/dev/null 2>&1"])
def test_what_a_crashed_worker_has_started_is_ended_too(quiet: str, tmp_path: Path):
    mark = tmp_path / "pid"
    shell = f"sleep 61.5 {quiet} & echo $! > '{mark}'; exit 3"
    worker = Process(job(), 1, ("sh", "-c", shell))
    with pytest.raises(WorkerError):
        worker.load()
    worker.close()
    assert ends(mark.read_text())


def test_a_worker_that_has_ended_fails_at_its_next_step_too():
    worker = process("sys.stdin.readline(); print(json.dumps({'difference': 0, 'tolerance': 0}))")
    worker.load()
    with pytest.raises(WorkerError, match="warm: ended with exit code 0"):
        worker.warm(1)
    worker.close()


class Fake:
    """A worker that takes times from a list, and writes down what is done with it."""

    def __init__(self, name: str, done: list[str], fails: str = "", ns: int = 100) -> None:
        self.name = name
        self.done = done
        self.fails = fails
        self.ns = ns

    def _do(self, step: str) -> None:
        self.done.append(f"{step} {self.name}")
        if step == self.fails:
            raise WorkerError(step, "ended by SIGSEGV")

    def load(self) -> tuple[float, float]:
        self._do("load")
        return 2e-5, 1e-4

    def warm(self, most: int) -> Warmth:
        self._do("warm")
        return Warmth(9, True, self.ns)

    def time(self, calls: int) -> Turn:
        self._do("time")
        return Turn([self.ns] * calls, 90 * calls)

    def kill(self) -> int:
        self.done.append(f"kill {self.name}")
        return -9

    def close(self) -> None:
        self._do("close")


def planned(*names: str, runtime: str = "eager", side: int = 32) -> list[Planned]:
    return [Planned(name, runtime, (1, 3, side, side), 1000) for name in names]


def timeless(said: list[str]) -> list[str]:
    """What was said, without how long loading took."""
    return [re.sub(r"loaded in \d+\.\d s", "loaded", line) for line in said]


def ran(fails: dict[str, str], *parts: list[Planned], rounds: int = 2) -> tuple[Any, ...]:
    done: list[str] = []
    said: list[str] = []
    effort = BenchSettings(1, rounds, 600, 0)
    cells = bench(
        list(parts),
        effort,
        lambda job: Fake(job.network, done, fails.get(job.network, "")),
        said.append,
    )
    return cells, done, said


def test_workers_are_loaded_warmed_up_and_timed_in_turns_there_and_back():
    cells, done, said = ran({}, planned("a", "b", "c"), rounds=3)
    load, warm, close = ([f"{step} {name}" for name in "abc"] for step in ("load", "warm", "close"))
    turns = [f"time {name}" for name in "abccbaabc"]
    assert done[:-3] == [*load, *warm, *turns]
    assert sorted(done[-3:]) == close
    assert [cell.ns for cell in cells] == [(100,) * 2 * 3] * 3
    assert [cell.cpu for cell in cells] == [90 * 2 * 3] * 3
    assert timeless(said) == [
        "32x32: loading and checking 3 networks in eager",
        *(f"32x32 eager {n}: loaded, differs by 2.0e-05" for n in "abc"),
        *(f"32x32 eager {n}: steady after 9 runs, 0.00 ms" for n in "abc"),
        *(f"32x32: turn {number} of 3" for number in (1, 2, 3)),
    ]


@pytest.mark.parametrize("step", ["load", "warm", "time"])
def test_one_that_fails_is_told_with_its_step_and_the_others_go_on(step: str):
    cells, done, said = ran({"b": step}, planned("a", "b", "c"))
    assert [cell.failed for cell in cells] == ["", f"{step}: ended by SIGSEGV", ""]
    assert [len(cell.ns) for cell in cells] == [6, 0, 6]
    assert done.count("close b") == 1
    assert done.count(f"{step} b") == 1
    assert f"32x32 eager b: FAILED: {step}: ended by SIGSEGV" in said


def test_where_none_is_left_no_turns_are_told():
    cells, _, said = ran({"a": "load"}, planned("a"))
    assert cells[0].failed == "load: ended by SIGSEGV"
    assert said == [
        "32x32: loading and checking 1 network in eager",
        "32x32 eager a: FAILED: load: ended by SIGSEGV",
    ]


class Slow(Fake):
    """A worker whose load goes on until another one's begins, if it is to wait for that."""

    def __init__(self, name: str, done: list[str], begun: dict[str, Event], after: str) -> None:
        super().__init__(name, done)
        self.begun = begun
        self.after = after

    def load(self) -> tuple[float, float]:
        self.begun[self.name].set()
        if self.after:
            assert self.begun[self.after].wait(60), "it is never begun"
        found = super().load()
        self.done.append(f"loaded {self.name}")
        return found


def loaded_together(names: str, after: dict[str, str], at_once: int) -> tuple[Any, ...]:
    done: list[str] = []
    said: list[str] = []
    begun = {name: Event() for name in names}
    cells = bench(
        [planned(*names)],
        BenchSettings(1, 1, 600, 0),
        lambda job: Slow(job.network, done, begun, after.get(job.network, "")),
        said.append,
        at_once,
    )
    return [cell.network for cell in cells], done, timeless(said)


def test_several_load_at_once_and_are_told_in_their_order():
    names, done, said = loaded_together("abc", {"a": "c", "b": "c"}, 3)
    assert names == ["a", "b", "c"]
    assert said[1:4] == [f"32x32 eager {name}: loaded, differs by 2.0e-05" for name in "abc"]
    # whoever is ready first, nothing is run while one still loads
    assert {line.split()[0] for line in done[:6]} == {"load", "loaded"}
    assert done[6:9] == ["warm a", "warm b", "warm c"]


def test_no_more_load_at_once_than_may():
    most = at_once = 0
    guard = Lock()

    class Counted(Fake):
        def load(self) -> tuple[float, float]:
            nonlocal most, at_once
            with guard:
                at_once += 1
                most = max(most, at_once)
            # a third one would have begun by then
            sleep(0.01)
            with guard:
                at_once -= 1
            return super().load()

    done: list[str] = []
    bench(
        [planned(*"abcdefgh")],
        BenchSettings(1, 1, 600, 0),
        lambda job: Counted(job.network, done),
        lambda _: None,
        2,
    )
    assert most <= 2
    assert sorted(done[:8]) == [f"load {name}" for name in "abcdefgh"]


def test_one_that_hangs_in_loading_is_told_and_the_others_go_on():
    said: list[str] = []

    def start(asked: Job) -> Process:
        hangs = asked.network == "b"
        code = "time.sleep(600)" if hangs else HONEST
        command = (sys.executable, "-c", PROLOGUE + code)
        return Process(asked, 0.5 if hangs else 60, command)

    cells = bench([planned("a", "b", "c")], BenchSettings(1, 1, 1, 0), start, said.append, 2)
    assert [cell.failed for cell in cells] == ["", "load: no answer within 0.5 s", ""]
    assert [len(cell.ns) > 0 for cell in cells] == [True, False, True]
    assert [line.split()[2:4] for line in said[1:4]] == [
        ["a:", "loaded"],
        ["b:", "FAILED:"],
        ["c:", "loaded"],
    ]


def test_whatever_ends_a_run_while_others_load_ends_them_all(tmp_path: Path):
    def start(asked: Job) -> Process:
        mark = tmp_path / asked.network
        here = f"open({str(mark)!r}, 'w').write(str(os.getpid()))\n"
        code = HONEST if asked.network == "a" else "if sys.stdin.readline(): time.sleep(600)"
        return Process(asked, 600, (sys.executable, "-c", PROLOGUE + here + code))

    def interrupted(line: str) -> None:
        if "loaded" in line:
            raise KeyboardInterrupt

    before = set(enumerate_threads())
    # d and e are not asked yet when it happens
    with pytest.raises(KeyboardInterrupt):
        bench([planned(*"abcde")], BenchSettings(1, 1, 1, 0), start, interrupted, 3)
    for name in "abcde":
        mark = tmp_path / name
        # one that is ended before it has written anything has not even begun
        assert not mark.exists() or not mark.read_text() or ends(mark.read_text())
    for thread in set(enumerate_threads()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_a_worker_that_cannot_be_started_fails_alone():
    def start(asked: Job) -> Process:
        return Process(asked, 1, ("/nowhere/at/all",))

    (cell,) = bench([planned("a")], BenchSettings(1, 1, 1, 0), start, lambda _: None)
    assert cell.failed == "start: no process: No such file or directory"


def test_batches_follow_each_other_and_one_is_closed_before_the_next():
    cells, done, _ = ran({}, planned("a"), planned("b", side=64))
    assert done.index("close a") < done.index("load b")
    assert [cell.batch for cell in cells] == [1, 2]


def test_whatever_ends_a_run_ends_its_workers():
    done: list[str] = []

    class Interrupted(Fake):
        def time(self, calls: int) -> Turn:
            raise KeyboardInterrupt

    def start(asked: Job) -> Interrupted:
        return Interrupted(asked.network, done)

    with pytest.raises(KeyboardInterrupt):
        bench(
            [planned("a", "b")],
            BenchSettings(1, 1, 1, 0),
            lambda j: Interrupted(j.network, done),
            print,
        )
    # at once, before any has time to end by itself
    assert done[-4:-2] == ["kill a", "kill b"]
    assert sorted(done[-2:]) == ["close a", "close b"]


def test_a_batch_holds_the_runtimes_of_one_size_as_far_as_memory_allows():
    cells = [
        item
        for side in (64, 32)
        for runtime in ("one", "two", "three")
        for item in planned("a", "b", runtime=runtime, side=side)
    ]

    def shape(memory: int) -> list[tuple[int, list[str]]]:
        return [
            (part[0].size[0], [item.runtime for item in part]) for part in batches(cells, memory)
        ]

    plenty = shape(2**40)
    six = ["one", "one", "two", "two", "three", "three"]
    assert plenty == [(32, six), (64, six)]
    none = shape(0)
    assert none == [(side, [name] * 2) for side in (32, 64) for name in ("one", "two", "three")]
    some = shape(5 * 2**30)
    assert some == [(s, part) for s in (32, 64) for part in (six[:4], six[4:])]


@needs_torch
def test_a_runtime_that_hangs_when_it_runs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(fakes(tmp_path))
    worker = Process(job("squeezenet1_1", "fakes:HANGS"), 240, COMMAND)
    assert worker.load() == (0.0, 1e-3)
    worker.timeout = 0.5
    with pytest.raises(WorkerError, match=r"warm: no answer within 0\.5 s"):
        worker.warm(10**9)
    worker.close()
