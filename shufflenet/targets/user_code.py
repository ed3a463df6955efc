"""The boundary to what is not ours: the user's code, and packages that may not be installed.

Code of the user's is imported and run here. What it raises is shown as its own: in one line, or as
a traceback from its first frame on.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

from flopcount.integers import FigureTooLargeError

if TYPE_CHECKING:
    from traceback import FrameSummary


class TargetError(ValueError):
    """A target that is none, or that cannot be made as asked."""


class OwnCodeError(Exception):
    """The user's own code raised its ``__cause__``; ``told`` is the traceback from there on."""

    def __init__(self, target: str, error: BaseException) -> None:
        super().__init__(f"{target}: {reason_with_kind(error)}")
        self.told = traceback_of(error)


@contextmanager
def own_code(target: str, passing: type[Exception] = TargetError) -> Iterator[None]:
    """Where the user's own code runs.

    Raises OwnCodeError from whatever it raises, but for ``passing`` and other errors of ours.
    """
    try:
        yield
    except (TargetError, FigureTooLargeError, passing):
        raise
    # The one broad except: what code of the user's raises can be anything.
    except (Exception, SystemExit) as error:
        raise OwnCodeError(target, error) from error


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Where torch draws the numbers of a seed, and goes on afterwards as if it had not."""
    import torch

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        yield


def imported(target: str, where: str) -> Any:
    """The module of a name or of a file.py. Raises TargetError where there is none."""
    if not where.endswith(".py"):
        if not all(part.isidentifier() for part in where.split(".")):
            raise TargetError(f"{target}: {where!r} is neither a module nor a file.py")
        if "" not in sys.path and os.getcwd() not in sys.path:
            # as `python -m` has it
            sys.path.insert(0, os.getcwd())
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{where}.".startswith(f"{error.name}."):
                raise TargetError(f"{target}: there is no module {error.name!r}") from error
            raise
    if not os.path.isfile(where):
        raise TargetError(f"{target}: there is no file {where}")
    name = os.path.splitext(os.path.basename(where))[0]
    if name in sys.modules:
        # It must not stand in for what is there.
        name = f"{name}_of_target"
    spec = spec_from_file_location(name, where)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # as a script has it: what lies beside the file can be imported
    sys.path.insert(0, os.path.dirname(os.path.abspath(where)))
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def reason(error: BaseException) -> str:
    """The first line of an error that says anything, or what kind of error it is."""
    return next(iter(lines(error)), type(error).__name__)


def reason_with_kind(error: BaseException) -> str:
    """The kind of an error, and its reason where it says one: ``KeyError: 'width'``."""
    kind = type(error).__name__
    return f"{kind}: {reason(error)}" if lines(error) else kind


def lines(error: BaseException) -> list[str]:
    """What an error says, line by line, without the blanks around them and the empty ones."""
    return [line.strip() for line in str(error).splitlines() if line.strip()]


def traceback_of(error: BaseException) -> str:
    """The traceback of an error, from the first frame of the user's code on; all if none is."""
    # Loaded late: a command that runs no code of the user's never needs it.
    from traceback import TracebackException

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
    from traceback import extract_tb

    return tuple(extract_tb(error.__traceback__))


def is_own(frame: FrameSummary) -> bool:
    """Whether a frame is in neither this project, nor torch, nor what imports a module."""
    loaded = (sys.modules.get(name) for name in ("flopcount", "shufflenet", "torch"))
    files = [module.__file__ for module in (importlib, *loaded) if module and module.__file__]
    folders = tuple(os.path.join(os.path.dirname(file), "") for file in files)
    return not frame.filename.startswith(("<frozen", *folders))


def lacking(extra: str, *packages: str) -> str:
    """Which of the packages are not installed, and the extra that brings them; "" if all are."""
    absent = [name for name in packages if find_spec(name) is None]
    if not absent:
        return ""
    verb = "is" if len(absent) == 1 else "are"
    return f"{', '.join(absent)} {verb} not installed (pip install 'shufflecost[{extra}]')"
