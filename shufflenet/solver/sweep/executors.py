"""Work done elsewhere, by the standard interface of an executor, and its results in order."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from typing import TypeVar

from shufflenet.system.user_code import RefusedError, load, own_code

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class ExecutorError(RefusedError):
    """An executor that is none, or whose workers have gone; the text says what to do."""


def in_order(
    executor: Executor | None,
    function: Callable[[TaskT], ResultT],
    tasks: Iterable[TaskT],
    ahead: int,
) -> Generator[ResultT, None, None]:
    """What a function makes of each task, in their order; without an executor, here.

    ``ahead`` is how many tasks are handed out at once at most. Those that nobody waits for any more
    are cancelled. Raises ExecutorError where the executor's workers are gone.
    """
    if executor is None:
        yield from map(function, tasks)
        return
    waiting: deque[Future[ResultT]] = deque()
    try:
        for task in tasks:
            waiting.append(executor.submit(function, task))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenExecutor as error:
        what = "a worker has gone, perhaps for want of memory; use fewer --jobs"
        raise ExecutorError(what) from error
    finally:
        for future in waiting:
            future.cancel()


def processes(jobs: int) -> ProcessPoolExecutor:
    """An executor of so many processes, which end with this one."""
    from multiprocessing import get_context

    # A fork would share what the threads of this process hold.
    return ProcessPoolExecutor(jobs, get_context("spawn"), _begin)


def _begin() -> None:
    """Have a worker leave interruptions to the process it works for, and end with that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def executor_from(name: str) -> Executor:
    """The executor that ``package.module:callable`` or ``file.py:callable`` gives.

    It is called without arguments: the code is imported and run. Raises ExecutorError where there
    is none of that name, or it gives no executor; OwnCodeError where the code fails.
    """
    label = f"executor {name!r}"
    if not all(name.rpartition(":")):
        raise ExecutorError(f"{label} is not package.module:callable")
    make = load(name, label, ExecutorError)
    if not callable(make):
        raise ExecutorError(f"{label}: is of type {type(make).__name__}, which is not callable")
    with own_code(label):
        made = make()
    if not isinstance(made, Executor):
        raise ExecutorError(
            f"{label}: gave what is of type {type(made).__name__}, no concurrent.futures.Executor"
        )
    return made
