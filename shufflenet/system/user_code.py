"""The one boundary to what is not ours: the user's code, and packages that may not be installed.

Code of the user's is imported here, and run inside `own_code`. What it raises is shown as its own:
in one line, and as a traceback from its first frame on.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from types import ModuleType
from typing import TYPE_CHECKING, Any

from flopcount.integers import FigureTooLargeError

if TYPE_CHECKING:
    from traceback import FrameSummary


class RefusedError(ValueError):
    """What the user named is not there, or is not what is needed; the text says which and why."""


class OwnCodeError(Exception):
    """The user's own code raised its ``__cause__``; ``told`` is the traceback from there on."""

    def __init__(self, line: str, told: str = "") -> None:
        # A worker process hands it on with the line alone, and then what else it has.
        super().__init__(line)
        self.told = told


@contextmanager
def own_code(name: str, *passing: type[Exception]) -> Iterator[None]:
    """Where the user's own code runs; ``name`` is what the user calls it.

    Raises OwnCodeError from whatever it raises, but for ``passing`` and other errors of ours.
    """
    ours: tuple[type[Exception], ...] = (OwnCodeError, RefusedError, FigureTooLargeError)
    try:
        yield
    except ours + passing:
        raise
    # The one broad except: what code of the user's raises can be anything.
    except (Exception, SystemExit) as error:
        line = f"{name}: {reason_with_kind(error)}"
        raise OwnCodeError(line, traceback_of(error)) from error


def load(
    name: str,
    label: str,
    refused: Callable[[str], Exception] = RefusedError,
    passing: tuple[type[Exception], ...] = (),
) -> Any:
    """What ``package.module:name`` or ``file.py:name`` leads to; the name may have dots.

    The module is imported, and so its code is run. Raises what ``refused`` makes of a line that
    begins with the ``label`` where there is none; OwnCodeError where the code fails, but for the
    errors in ``passing``.
    """
    where, _, path = name.rpartition(":")
    is_file = where.endswith(".py")
    if not is_file and not all(part.isidentifier() for part in where.split(".")):
        raise refused(f"{label}: {where!r} is neither a module nor a file.py")
    if is_file and not os.path.isfile(where):
        raise refused(f"{label}: there is no file {where}")
    with own_code(label, *passing):
        module = _run(where) if is_file else _imported(where)
        found: Any = module
        for part in path.split(".") if isinstance(module, ModuleType) else ():
            found = getattr(found, part, _ABSENT)
    if not isinstance(module, ModuleType):
        raise refused(f"{label}: there is no module {module!r}")
    if found is _ABSENT:
        raise refused(f"{label}: {where} has no {path!r}; {_there(module)}")
    return found


# What stands for a name that leads to nothing.
_ABSENT = object()


def _imported(where: str) -> ModuleType | str:
    """The module of a name, or the name of the package in it that is not there."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        # as `python -m` has it
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        # What the module itself lacks is the user's to mend.
        if error.name is None or not f"{where}.".startswith(f"{error.name}."):
            raise
        return error.name


def _run(where: str) -> ModuleType:
    """The module of a file.py."""
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


def _there(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
    return f"there are {', '.join(names[:10])}" if names else "nothing in it is callable"


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
