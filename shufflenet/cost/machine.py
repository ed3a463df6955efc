"""The machine that times are taken on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


class FieldError(ValueError):
    """A file of times on a machine that cannot be read, or does not hold what it should."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What times depend on: the processor, the system, Python, and the versions of libraries."""

    cpu: str
    cores: int
    system: str
    python: str
    versions: dict[str, str]

    def __post_init__(self) -> None:
        """Raise ValueError for fewer cores than none."""
        if self.cores < 0:
            raise ValueError(f"cores {self.cores} is below 0")

    def differences(self, other: Machine) -> list[str]:
        """What is not as on another one, in words: that one first."""
        pairs = [
            (name, getattr(other, name), getattr(self, name))
            for name in ("cpu", "cores", "system", "python")
        ]
        for name in sorted({*self.versions, *other.versions}):
            pairs.append((name, other.versions.get(name, "-"), self.versions.get(name, "-")))
        return differing(pairs)


def this_machine(versions: dict[str, str]) -> Machine:
    """The machine that this runs on."""
    return Machine(
        _found("/proc/cpuinfo", r"model name\s*:\s*(.+)") or platform.processor() or "unknown",
        os.cpu_count() or 1,
        f"{platform.system()} {_number(platform.release())} {platform.machine()}",
        platform.python_version(),
        versions,
    )


def usable_cores() -> int:
    """How many cores this process may run on, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int:
    """How much memory new processes can take [B]; 0 where the system does not say."""
    return 1024 * int(_found("/proc/meminfo", r"MemAvailable:\s*(\d+) kB") or 0)


def load() -> float | None:
    """How many processes wanted to run, over the last minute; None where nobody says."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def _number(release: str) -> str:
    """A release without what its builder has appended."""
    match = re.match(r"[\d.]*\d", release)
    return match[0] if match else release


def _found(path: str, pattern: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as stream:
        match = re.search(pattern, stream.read())
    return match[1].strip() if match else ""


def differing(pairs: Iterable[tuple[str, Any, Any]]) -> list[str]:
    """In words, which values are others than before; each behind its name, the old one first."""
    return [f"{name} {before} -> {now}" for name, before, now in pairs if before != now]
