"""Count what a network costs, under any convention, exactly.

``count`` needs torch and loads it on first use; everything else does without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flopcount.conventions import (
    CONVENTIONS,
    Convention,
    PartOfSampleError,
    UnknownConventionError,
    UnpricedKindError,
    price,
    price_by_kind,
)
from flopcount.entries import Entry, Shape
from flopcount.integers import FigureTooLargeError
from flopcount.tally import Tally, UncountedError

if TYPE_CHECKING:
    from flopcount.conventions.files import ConventionError as ConventionError
    from flopcount.conventions.files import load_convention as load_convention
    from flopcount.conventions.reconcile import reconcile as reconcile
    from flopcount.counters.trace import Call as Call
    from flopcount.counters.trace import DataDependentError as DataDependentError
    from flopcount.counters.trace import Rule as Rule
    from flopcount.counters.trace import count as count

__all__ = [
    "CONVENTIONS",
    "Call",
    "Convention",
    "ConventionError",
    "DataDependentError",
    "Entry",
    "FigureTooLargeError",
    "PartOfSampleError",
    "Rule",
    "Shape",
    "Tally",
    "UncountedError",
    "UnknownConventionError",
    "UnpricedKindError",
    "count",
    "load_convention",
    "price",
    "price_by_kind",
    "reconcile",
]

_LATE = {
    "ConventionError": "flopcount.conventions.files",
    "Call": "flopcount.counters.trace",
    "DataDependentError": "flopcount.counters.trace",
    "Rule": "flopcount.counters.trace",
    "count": "flopcount.counters.trace",
    "load_convention": "flopcount.conventions.files",
    "reconcile": "flopcount.conventions.reconcile",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
