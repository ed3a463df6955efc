"""An error of somebody else's code, told in a line."""

from __future__ import annotations


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
