"""Processes that each time one network in one runtime, as seen from the one that starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, Queue
from threading import Lock, Thread
from time import monotonic, sleep
from typing import IO, Any, Protocol

from shufflenet.bench.timings import Turn, Warmth
from shufflenet.bench.trial import Job

#: What starts a worker; without the working folder on its path, whose files might be taken for
#: the libraries that it imports.
COMMAND = (sys.executable, "-P", "-m", "shufflenet.bench.worker")
# Every library that counts its threads by one of these finds them counted.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# How many lines are kept of what a process says, and how much of each.
_TAIL = 1
_LONGEST = 300
# How long one that is told to end may take before it is made to [s].
_PATIENCE = 5
# How long it is left alone between two looks at whether it has ended [s].
_GLANCE = 0.01


class WorkerError(Exception):
    """A worker that failed: at which step, and why."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


class Worker(Protocol):
    """What times one network in one runtime."""

    def load(self) -> tuple[float, float]:
        """Load and check it: how far it is from eager's output, and how far it may be."""

    def warm(self, most: int) -> Warmth:
        """Warm it up, for so long [ns] at most."""

    def time(self, calls: int) -> Turn:
        """The times of so many calls."""

    def close(self) -> None:
        """End it."""

    def kill(self) -> int:
        """End it at once, with what it has started; its exit code."""


class Process:
    """A worker in a fresh process, of a command; each step may take ``timeout`` seconds.

    Raises WorkerError where there can be no process; every method does where the process ends, does
    not answer in time, or finds that the output is wrong.
    """

    def __init__(self, job: Job, timeout: float, command: Sequence[str] = COMMAND) -> None:
        self._job = job
        self.timeout = timeout
        self._said: deque[bytes] = deque(maxlen=_TAIL)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(job.threads),
                # What it starts itself is ended with it.
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerError("start", f"no process: {error.strerror}") from error
        self._ended = False
        self._ending = Lock()
        self._asked = False
        self._answers: Queue[bytes | None] = Queue()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._listeners = (
            Thread(target=self._listen, args=(self._process.stdout,), daemon=True),
            Thread(target=self._overhear, args=(self._process.stderr,), daemon=True),
        )
        for listener in self._listeners:
            listener.start()

    def load(self) -> tuple[float, float]:
        """Load and check it: how far it is from eager's output, and how far it may be."""
        reply = self._ask("load", job=self._job._asdict())
        return reply["difference"], reply["tolerance"]

    def warm(self, most: int) -> Warmth:
        """Warm it up, for so long [ns] at most."""
        return Warmth(**self._ask("warm", most=most))

    def time(self, calls: int) -> Turn:
        """The times of so many calls."""
        return Turn(**self._ask("time", calls=calls))

    def close(self) -> None:
        """End it, whatever it does; another thread may be waiting for its answer."""
        assert self._process.stdin is not None
        with suppress(OSError):
            # Told so, it ends by itself; but not before what it was asked for is done.
            self._process.stdin.close()
        if not self._asked:
            self._wait()
        self.kill()
        for listener in self._listeners:
            listener.join(_PATIENCE)

    def _ask(self, step: str, **more: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._asked = True
        # One that has ended already is found to have when it does not answer; to one that is
        # closed meanwhile, nothing can be written.
        with suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps({"do": step, **more}).encode() + b"\n")
            self._process.stdin.flush()
        try:
            line = self._answers.get(timeout=self.timeout)
        except Empty:
            self.kill()
            raise WorkerError(step, f"no answer within {self.timeout:g} s") from None
        self._asked = False
        if line is None:
            raise WorkerError(step, self._end())
        try:
            reply: dict[str, Any] = json.loads(line)
        except ValueError:
            self.kill()
            raise WorkerError(step, f"answered {line[:60]!r}") from None
        if "wrong" in reply:
            raise WorkerError("check", reply["wrong"])
        return reply

    def _listen(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._answers.put(line)
        self._answers.put(None)

    def _overhear(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                if line.strip():
                    self._said.append(line[:_LONGEST])

    def _end(self) -> str:
        """Why the process ended: the signal, or the code and the last line that it said."""
        went_on = not self._wait()
        code = self.kill()
        if went_on:
            return "closed its output, and went on"
        if code < 0:
            known = {s.value: s.name for s in signal.Signals}
            return f"ended by {known.get(-code, f'signal {-code}')}"
        self._listeners[-1].join(_PATIENCE)
        last = self._said[-1].decode(errors="replace").strip() if self._said else ""
        return f"ended with exit code {code}" + (f": {last}" if last else "")

    def _wait(self) -> bool:
        """Whether the process ends by itself in time; it is left to be waited for."""
        end = monotonic() + _PATIENCE
        while not self._ended and not self._has_ended():
            if monotonic() > end:
                return False
            sleep(_GLANCE)
        return True

    def _has_ended(self) -> bool:
        if hasattr(os, "waitid"):
            options = os.WEXITED | os.WNOWAIT | os.WNOHANG
            try:
                return os.waitid(os.P_PID, self._process.pid, options) is not None
            except ChildProcessError:
                # Another thread has waited for it.
                return True
        # macOS has it from Python 3.13 on; its group keeps the number while anything is in it.
        return self._process.poll() is not None

    def kill(self) -> int:
        """End it at once, with what it has started; its exit code."""
        with self._ending:
            if not self._ended:
                # Until it is waited for, no other process can have its number.
                # macOS does not permit it where all in the group have ended.
                with suppress(ProcessLookupError, PermissionError):
                    # The group is the process's own: nothing else is in it.
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._ended = True
        return self._process.wait()


def _environment(threads: int) -> dict[str, str]:
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.environ.get("PYTHONPATH", "")
    if os.path.basename(here) not in ("site-packages", "dist-packages"):
        # A checkout that is run where it lies is found by nothing else.
        path = os.pathsep.join(filter(None, (here, path)))
    threading = dict.fromkeys(_THREADS, str(threads))
    return {**os.environ, **threading, **({"PYTHONPATH": path} if path else {})}
