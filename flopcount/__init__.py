"""Count what a network costs, under any convention, exactly.

``count`` and ``hooks`` need torch and load it on first use; everything else does without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flopcount.conventions import (
    CONVENTIONS,
    Convention,
    UnknownConventionError,
    UnpricedKindError,
    price,
    price_by_kind,
)
from flopcount.integers import FigureTooLargeError
from flopcount.tally import Entry, Shape, Tally

if TYPE_CHECKING:
    from flopcount.hooks import UncountedError as UncountedError
    from flopcount.hooks import count as count

__all__ = [
    "CONVENTIONS",
    "Convention",
    "Entry",
    "FigureTooLargeError",
    "Shape",
    "Tally",
    "UncountedError",
    "UnknownConventionError",
    "UnpricedKindError",
    "count",
    "price",
    "price_by_kind",
]

_LATE = {"count": "flopcount.hooks", "UncountedError": "flopcount.hooks"}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
