"""Which frames of a traceback are those of the user's own code."""

from __future__ import annotations

import importlib
import os
import sys
from traceback import FrameSummary, TracebackException, extract_tb


def traceback_of(error: BaseException) -> str:
    """The traceback of an error, from the first frame of the user's code on; all if none is."""
    found = TracebackException.from_exception(error)
    first = next((i for i, frame in enumerate(found.stack) if is_own(frame)), None)
    if first is not None:
        del found.stack[:first]
    elif isinstance(error, SyntaxError):
        # It says itself where it is.
        found.stack.clear()
    return "".join(found.format())


def frames_of(error: BaseException) -> tuple[FrameSummary, ...]:
    """The frames of an error, the one that raised it last."""
    return tuple(extract_tb(error.__traceback__))


def is_own(frame: FrameSummary) -> bool:
    """Whether a frame is in neither this project, nor torch, nor what imports a module."""
    loaded = (sys.modules.get(name) for name in ("flopcount", "shufflenet", "torch"))
    files = [module.__file__ for module in (importlib, *loaded) if module and module.__file__]
    folders = tuple(os.path.join(os.path.dirname(file), "") for file in files)
    return not frame.filename.startswith(("<frozen", *folders))
