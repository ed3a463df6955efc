"""What is said where a runtime fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shufflenet.system.user_code import reason_with_kind


class RuntimeFailedError(Exception):
    """A runtime that cannot take a network, in its own words."""


@contextmanager
def told(name: str, *errors: type[Exception]) -> Iterator[None]:
    """Where a runtime's own errors are told in a line.

    Raises RuntimeFailedError from any of them.
    """
    try:
        yield
    except errors as error:
        raise RuntimeFailedError(f"{name}: {reason_with_kind(error)}") from error
