"""What is on the disk when a file gets its name: every byte of it, or the test fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class Disk:
    """How much of each file was synced, and which files got which names, in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.renamed: list[tuple[Path, Path]] = []
        self._synced: dict[int, int] = {}
        self._fsync, self._replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", self._note)
        monkeypatch.setattr(os, "replace", self._check)

    def holds(self, path: str | Path) -> int:
        """The bytes of a file that were synced; -1 for one that never was."""
        return self._synced.get(os.stat(path).st_ino, -1)

    def _note(self, handle: int) -> None:
        self._fsync(handle)
        found = os.fstat(handle)
        self._synced[found.st_ino] = found.st_size

    def _check(self, source: str, target: str) -> None:
        assert source != target, f"{target} is written in place"
        assert self.holds(source) == os.path.getsize(source), f"{source} is renamed unsynced"
        self.renamed.append((Path(source), Path(target)))
        if os.path.exists(target):
            # another file may get its number
            self._synced.pop(os.stat(target).st_ino, None)
        self._replace(source, target)
