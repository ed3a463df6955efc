"""The arithmetic that every fold shares, over ints, NumPy int64 arrays and SymPy symbols.

A fold is written once, as if over ints. `lift` lets an array (a column of candidate widths) or a
symbol stand wherever the types say `Count`, and the helpers here are the only places that tell the
three apart. Beyond them a fold uses ``+``, ``-`` and ``*`` alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeAlias, cast

#: An exact whole number; in a lifted fold, the int64 array or the symbol in its place.
Count: TypeAlias = int

#: The largest figure that is given, 2**63 - 1: the largest an int64 array can hold.
MAX = 2**63 - 1


class FigureTooLargeError(ValueError):
    """A figure would pass 2**63 - 1, where array arithmetic would wrap."""

    def __init__(self) -> None:
        super().__init__(f"a figure passes 2**63 - 1 = {MAX}; it is refused, not wrapped")


def lift(value: object) -> Count:
    """Let an int64 array or a symbol stand where a fold says `Count`."""
    return cast(Count, value)


def is_symbol(value: object) -> bool:
    """Whether the value is a SymPy expression (without importing SymPy)."""
    sympy = sys.modules.get("sympy")
    return sympy is not None and isinstance(value, sympy.Basic)


def is_array(value: object) -> bool:
    """Whether the value is a NumPy array (without importing NumPy)."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def exact(a: Count, b: Count) -> Count:
    """``a / b`` where the rules make it whole: ``//`` on ints and arrays, ``/`` on symbols."""
    if type(a) is int and type(b) is int:
        return a // b
    if a is b:
        return 1
    if is_symbol(a) or is_symbol(b):
        return lift(cast(Any, a) / b)
    return a // b


def sites(size: Count, kernel: int, stride: int, padding: int) -> Count:
    """Output positions of a sliding window along one axis [px]; rounds down."""
    span = size + (2 * padding - kernel)
    if stride == 1:
        return span + 1
    if is_symbol(span):
        import sympy

        return lift(sympy.floor(cast(Any, span) / stride) + 1)
    return span // stride + 1


def largest(a: Count, b: Count) -> Count:
    """The larger of two figures, element by element on arrays; not defined on symbols."""
    if type(a) is int and type(b) is int:
        return a if a > b else b
    if is_array(a) or is_array(b):
        import numpy

        return lift(numpy.maximum(a, b))
    return max(a, b)


def same(a: Count, b: Count) -> bool:
    """Whether two widths are the same in every candidate.

    Raises ValueError where arrays agree in some places only: no one tree describes them all.
    """
    if a is b:
        return True
    if is_array(a) or is_array(b):
        import numpy

        equal = numpy.equal(a, b)
        if equal.any() and not equal.all():
            raise ValueError("two arrays of widths agree in some places and differ in others")
        return bool(equal.all())
    return bool(a == b)


def product(*factors: Count) -> Count:
    """The product of all factors. Raises FigureTooLargeError where it could pass 2**63 - 1."""
    scalar = 1
    lifted = []
    for factor in factors:
        if type(factor) is int:
            scalar *= factor
        else:
            lifted.append(factor)
    if not lifted:
        if scalar > MAX:
            raise FigureTooLargeError
        return scalar
    bound = scalar
    for factor in lifted:
        bound *= _magnitude(factor)
    if bound > MAX:
        raise FigureTooLargeError
    result = lifted[0] if scalar == 1 else lifted[0] * scalar
    for factor in lifted[1:]:
        result = result * factor
    return result


def total(figures: Iterable[Count]) -> Count:
    """The sum of all figures. Raises FigureTooLargeError where it could pass 2**63 - 1."""
    result: Count = 0
    bound = 0
    for figure in figures:
        result = result + figure
        bound += figure if type(figure) is int else _magnitude(figure)
    if bound > MAX:
        raise FigureTooLargeError
    return result


def _magnitude(value: Count) -> int:
    """The largest absolute value in an array; 0 for a symbol, which cannot wrap."""
    if not is_array(value):
        return 0
    array = cast(Any, value)
    return max(int(array.max()), -int(array.min())) if array.size else 0
