"""The files of the packages, and the rooms that they are: modules by their dotted names."""

from __future__ import annotations

from pathlib import Path

from tests.command import ROOT

FILES = sorted(
    path for package in ("flopcount", "shufflenet") for path in (ROOT / package).rglob("*.py")
)


def room_of(path: Path) -> str:
    """The dotted name of a file's module; a package's for its face."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


ROOMS = [room_of(path) for path in FILES]
