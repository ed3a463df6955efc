"""A process that times one network in one runtime: ``python -m shufflenet.bench.worker``.

It reads requests from its standard input and answers each on its standard output, one JSON object
a line::

    {"do": "load", "job": {...}}     -> {"difference": ..., "tolerance": ...}
    {"do": "warm", "most": ns}       -> {"runs": ..., "settled": ..., "median": ns}
    {"do": "time", "calls": n}       -> {"ns": [...], "cpu": ns}

A runtime with a wrong output is answered ``{"wrong": reason}``. Any other error ends the process:
its exit code and the last line of its standard error say why. What runtimes and modules print
goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from shufflenet.bench.trial import Job, Trial, loaded
from shufflenet.runtimes.agreement import WrongOutputError


def serve(requests: Iterable[str], replies: TextIO) -> None:
    """Answer requests, a line each, until there are no more.

    Raises ValueError for what is no request.
    """
    trial: Trial | None = None
    for line in requests:
        request = json.loads(line)
        try:
            trial, reply = _answer(trial, request)
        except WrongOutputError as error:
            reply = {"wrong": str(error)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _answer(trial: Trial | None, request: dict[str, Any]) -> tuple[Trial, dict[str, Any]]:
    if request["do"] == "load":
        job = request["job"]
        pairs = {key: tuple(value) for key, value in job.items() if isinstance(value, list)}
        trial = loaded(Job(**(job | pairs)))
        return trial, {"difference": trial.difference, "tolerance": trial.tolerance}
    if trial is None:
        raise ValueError(f"{request['do']} before load")
    if request["do"] == "warm":
        return trial, trial.warm(request["most"])._asdict()
    if request["do"] == "time":
        return trial, trial.turn(request["calls"])._asdict()
    raise ValueError(f"no request: {request['do']}")


def main() -> None:
    """Serve the process that started this one."""
    # Whoever prints must not answer: the pipe is kept apart, and the number 1 leads elsewhere.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        os.dup2(2, 1)
        serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
