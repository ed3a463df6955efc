"""Conventions: what the raw facts of a Tally are worth, and to whom.

Count once, price under any convention. A kind that a convention neither prices nor lists as free
is refused, so that nothing is worth zero in silence.
"""

from flopcount.conventions.bundled import (
    CONVENTIONS,
    PartOfSampleError,
    UnknownConventionError,
    convention,
    per_sample,
    price,
    price_by_kind,
    price_entry,
)
from flopcount.conventions.pricing import Convention, Fact, Price, UnpricedKindError

__all__ = [
    "CONVENTIONS",
    "Convention",
    "Fact",
    "PartOfSampleError",
    "Price",
    "UnknownConventionError",
    "UnpricedKindError",
    "convention",
    "per_sample",
    "price",
    "price_by_kind",
    "price_entry",
]
