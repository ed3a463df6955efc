"""What a runtime needs, and what is said where it lacks it or fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec


class RuntimeFailedError(Exception):
    """A runtime that cannot take a network, in its own words."""


def lacking(extra: str, *packages: str) -> str:
    """Which of the packages are not installed, and the extra that brings them; "" if all are."""
    absent = [name for name in packages if find_spec(name) is None]
    if not absent:
        return ""
    verb = "is" if len(absent) == 1 else "are"
    return f"{', '.join(absent)} {verb} not installed (pip install 'shufflecost[{extra}]')"


@contextmanager
def told(name: str, *errors: type[Exception]) -> Iterator[None]:
    """Where a runtime's own errors are told in a line.

    Raises RuntimeFailedError from any of them.
    """
    try:
        yield
    except errors as error:
        lines = (line.strip() for line in str(error).splitlines())
        reason = next(filter(None, lines), "no reason given")
        raise RuntimeFailedError(f"{name}: {type(error).__name__}: {reason}") from error
