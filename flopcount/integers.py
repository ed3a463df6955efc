"""The arithmetic that every fold shares, over ints, NumPy int64 arrays and SymPy symbols.

A fold is written once, as if over ints. `lift` lets an array (a column of candidate widths) or a
symbol stand wherever the types say `Count`, and the helpers here do what differs between the
three. The cost of a layer uses them, ``+``, ``-`` and ``*`` alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

#: An exact whole number; in a lifted fold, the int64 array or the symbol in its place.
Count: TypeAlias = int

#: The largest figure that is given, 2**63 - 1: the largest an int64 array can hold.
MAX = 2**63 - 1


class FigureTooLargeError(ValueError):
    """A figure would pass 2**63 - 1, where array arithmetic would wrap."""

    def __init__(self) -> None:
        super().__init__(f"a figure passes 2**63 - 1 = {MAX}; it is refused, not wrapped")


class MixedWidthsError(ValueError):
    """Two columns of widths agree in some candidates only, so that no one tree is all of theirs."""

    def __init__(self) -> None:
        super().__init__("two columns of widths agree in some candidates and differ in others")


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
        # depthwise: one channel a group, in every candidate
        return 1
    if is_symbol(a) or is_symbol(b):
        return lift(cast(Any, a) / b)
    return a // b


def sites(size: Count, kernel: int, stride: int, padding: int, ceil: bool = False) -> Count:
    """Output positions of a sliding window along one axis [px]; rounds down.

    With ``ceil`` it rounds up, but for a window that would begin behind the input.
    """
    span = size + (2 * padding - kernel)
    if stride == 1:
        return span + 1
    if ceil:
        return smallest(_up(span, stride) + 1, _up(size + padding, stride))
    if is_symbol(span):
        import sympy

        return lift(sympy.floor(cast(Any, span) / stride) + 1)
    return span // stride + 1


def _up(a: Count, b: int) -> Count:
    """``a / b``, rounded up."""
    if is_symbol(a):
        import sympy

        return lift(sympy.ceiling(cast(Any, a) / b))
    return -(-a // b)


def covered(size: Count, kernel: int, stride: int, padding: int, ceil: bool = False) -> Count:
    """Elements under a sliding window along one axis, padding left out, over all its positions.

    0 for a symbol or a column of sizes, which have no such figure.
    """
    if type(size) is not int:
        return 0
    positions = max(sites(size, kernel, stride, padding, ceil), 0)
    # Only windows at the two ends reach over the edge; all between them are whole.
    first = min(-(-padding // stride), positions)
    last = max(first, min((size - kernel + padding) // stride + 1, positions))
    ends = (i * stride - padding for i in (*range(first), *range(last, positions)))
    over: int = sum(max(0, min(start + kernel, size) - max(start, 0)) for start in ends)
    return over + (last - first) * kernel


def spread(size: Count, positions: int) -> Count:
    """Elements under an adaptive window along one axis, over all its positions.

    0 for a symbol or a column of sizes, which have no such figure.
    """
    if type(size) is not int:
        return 0
    starts = (i * size // positions for i in range(positions))
    ends = (_up((i + 1) * size, positions) for i in range(positions))
    return sum(end - start for start, end in zip(starts, ends, strict=True))


def smallest(a: Count, b: Count) -> Count:
    """The smaller of two figures, element by element on arrays."""
    if type(a) is int and type(b) is int:
        return a if a < b else b
    if is_symbol(a) or is_symbol(b):
        import sympy

        return lift(sympy.Min(a, b))
    import numpy

    return lift(numpy.minimum(a, b))


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

    Raises MixedWidthsError where arrays agree in some places only.
    """
    if a is b:
        return True
    if is_array(a) or is_array(b):
        import numpy

        equal = numpy.equal(a, b)
        if equal.any() and not equal.all():
            raise MixedWidthsError
        return bool(equal.all())
    return bool(a == b)


def product(*factors: Count) -> Count:
    """The product of all factors. Raises FigureTooLargeError past 2**63 - 1."""
    scalar = 1
    lifted = []
    for factor in factors:
        if type(factor) is int:
            scalar *= factor
        else:
            lifted.append(factor)
    if not lifted:
        return _within(scalar)
    bound = scalar
    for factor in lifted:
        bound *= _magnitude(factor)
    if bound > MAX:
        return _in_python(lambda result, factor: result * factor, factors)
    result = lifted[0] if scalar == 1 else lifted[0] * scalar
    for factor in lifted[1:]:
        result = result * factor
    return result


def total(figures: Iterable[Count]) -> Count:
    """The sum of all figures. Raises FigureTooLargeError past 2**63 - 1."""
    found = tuple(figures)
    bound = 0
    lifted = False
    for figure in found:
        if type(figure) is int:
            bound += figure
        else:
            bound += _magnitude(figure)
            lifted = True
    if not lifted:
        return _within(bound)
    if bound > MAX:
        return _in_python(lambda result, figure: result + figure, found)
    return sum(found)


def _within(figure: int) -> int:
    if figure > MAX:
        raise FigureTooLargeError
    return figure


def _magnitude(value: Count) -> int:
    """The largest absolute value in an int64 array; 0 for a symbol, which cannot wrap."""
    if is_symbol(value):
        return 0
    if not is_array(value) or cast(Any, value).dtype != "int64":
        raise TypeError(f"{value!r} is neither an int, an int64 array nor a symbol")
    array = cast(Any, value)
    return max(int(array.max()), -int(array.min())) if array.size else 0


def _in_python(fold: Callable[[Any, Any], Any], parts: tuple[Count, ...]) -> Count:
    # Slow and exact: the bound may come from different candidates, none of which is too large.
    from functools import reduce

    import numpy

    objects = (numpy.asarray(part, dtype=object) for part in parts)
    result = numpy.asarray(reduce(fold, objects), dtype=object)
    if max(map(abs, result.flat)) > MAX:
        raise FigureTooLargeError
    return lift(result.astype("int64"))
