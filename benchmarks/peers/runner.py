"""A tool that counts in a process of its own, which stays and is asked for count after count."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Runner:
    """`run.py` of a checkout's ``peers`` with one tool, in an environment of its own."""

    def __init__(self, tool: str, peers: Path, env: Mapping[str, str], device: str = "cpu") -> None:
        self.tool, self.device = tool, device
        self.process = subprocess.Popen(
            [sys.executable, str(peers / "run.py"), tool],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
        )

    def ask(self, model: str, repeat: int, seconds: float) -> dict[str, Any]:
        """One turn on a model: so many counts at the least, for so long [s]."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"model": model, "device": self.device, "repeat": repeat, "seconds": seconds}
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        found: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        return found

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
