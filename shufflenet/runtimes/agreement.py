"""Whether an output is eager's: how far one array is from another."""

from __future__ import annotations

from typing import Any


class WrongOutputError(Exception):
    """A runtime whose output is not eager's, or a module whose output cannot be compared."""


def difference(output: Any, expected: Any) -> float:
    """How far an array is from another, as a share of the largest absolute value of that.

    Raises WrongOutputError where the shapes differ, or a value is not finite.
    """
    import numpy as np

    found = np.asarray(output)
    if found.shape != expected.shape:
        raise WrongOutputError(f"the output is {found.shape}, and eager's {expected.shape}")
    for whose, values in (("eager's", expected), ("the", found)):
        if not np.isfinite(values).all():
            raise WrongOutputError(f"{whose} output has values that are not finite")
    off = float(np.abs(found - expected).max(initial=0))
    largest = float(np.abs(expected).max(initial=0))
    # Where eager gives zeros alone nothing else is near.
    return off / largest if largest else float(off > 0)


def check(output: Any, expected: Any, tolerance: float) -> float:
    """How far an array is from another, which must be no more than the tolerance.

    Raises WrongOutputError where it is more.
    """
    off = difference(output, expected)
    if not off <= tolerance:
        raise WrongOutputError(
            f"the output differs from eager's by {off:.1e} of its largest value, and"
            f" {tolerance:.1e} is allowed"
        )
    return off
