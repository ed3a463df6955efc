"""A runtime's model as files: written of a module, read by the runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple


class Files(NamedTuple):
    """How a runtime's model lies in files, and how they are written and read.

    ``form`` is what they are called, ``suffixes`` are those of the files beside each other, the
    one to be named first. ``write`` takes a module in eval mode, the shape ``(n, c, h, w)`` of its
    input and the path of the files without a suffix; ``read`` that path, the shape and a number of
    threads, and gives a function of one float32 array. Both raise RuntimeFailedError where the
    runtime fails.
    """

    form: str
    suffixes: tuple[str, ...]
    write: Callable[[Any, tuple[int, ...], str], None]
    read: Callable[[str, tuple[int, ...], int], Callable[[Any], Any]]

    def load(
        self, module: Any, shape: tuple[int, ...], threads: int, folder: str
    ) -> Callable[[Any], Any]:
        """The module, written to a folder and read again as a function of one array."""
        stem = os.path.join(folder, "network")
        self.write(module, shape, stem)
        return self.read(stem, shape, threads)
