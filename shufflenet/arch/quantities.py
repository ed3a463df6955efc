"""Numbers as people write them, read exactly and checked; and figures as the paper prints them.

Every reader returns exact numbers or raises QuantityError, which quotes the text and the rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import reduce
from math import gcd
from typing import NamedTuple

from flopcount.integers import MAX

#: The largest side of an image [px].
MAX_SIDE = 65_536
#: The largest number of groups, or of paths, of any unit.
MAX_GROUPS = 1_024
#: The largest number of channels of any layer.
MAX_WIDTH = 1_048_576
#: The largest number of units in a stage.
MAX_REPEATS = 1_000

# Nobody writes a number longer than this, or reads more of it in an error.
_LONGEST = 5_000
_SHOWN = 60
_MULTIPLES = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12}
_BUDGET = (
    r"(?P<number>[^\s]*?[\d.])\s*(?P<multiple>[A-Za-z]??)\s*"
    r"(?P<unit>(?:FLOPs?|FLOPS|MACs?|MAdds?|multiply-adds?)?)"
)
_BYTES = {
    "": 1,
    **{f"{multiple}B": 1000**power for power, multiple in enumerate(("", "k", "M", "G", "T"))},
    **{f"{multiple}iB": 1024**power for power, multiple in enumerate(("K", "M", "G", "T"), 1)},
}
_NANOSECONDS = {"": 1, "ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_AMOUNT = r"(?P<number>[^\s]*?[\d.])\s*(?P<unit>[A-Za-z]*)"
_INPUT = r"(?P<sizes>\d{1,9}(x\d{1,9})*)(:(?P<dtype>[a-z]+\d*))?"
_DTYPES = (
    *("float32", "float64", "float16", "bfloat16", "complex64", "complex128"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)
_PLAIN = r"[+-]?(\d{1,3}(,\d{3})+|\d+(_\d+)*)?(\.\d+)?([eE][+-]?\d{1,4})?"


class QuantityError(ValueError):
    """A number that cannot be read, or is out of its range."""


class Input(NamedTuple):
    """The sizes of one input, and the type of its elements; "" is the model's own."""

    sizes: tuple[int, ...]
    dtype: str = ""

    def __str__(self) -> str:
        sizes = "x".join(map(str, self.sizes))
        return f"{sizes}:{self.dtype}" if self.dtype else sizes


def read_input(text: str) -> Input:
    """An input: ``1x3x224x224``, or with the type of its elements, ``1x128:int64``.

    Raises QuantityError for what is neither, and for an unknown type.
    """
    match = re.fullmatch(_INPUT, text.strip()) if len(text) <= _LONGEST else None
    if match is None or not text.isascii():
        raise QuantityError(
            f"input {quoted(text)} is not sizes such as 1x3x224x224, or 1x128:int64"
        )
    dtype = match["dtype"] or ""
    if dtype and dtype not in _DTYPES:
        raise QuantityError(
            f"input {quoted(text)}: {dtype!r} is no type of elements; known are"
            f" {', '.join(_DTYPES)}"
        )
    return Input(tuple(map(int, match["sizes"].split("x"))), dtype)


def read_memory(text: str, what: str = "memory") -> int:
    """An amount of memory [B] as an exact int: ``8MiB``, ``512 KiB``, ``1.5GB``, ``4096``.

    Raises QuantityError for what is not a positive whole number of bytes up to 2**63 - 1, and for
    an unknown unit.
    """
    return _amount(text, what, _BYTES, "bytes", "an amount such as 8MiB, 1.5GB or 4096")


def read_duration(text: str) -> int:
    """A time [ns] as an exact int: ``20ms``, ``1.5 s``, ``800us``; a number alone is in ns.

    Raises QuantityError for what is not a positive whole number of nanoseconds up to 2**63 - 1,
    and for an unknown unit.
    """
    return _amount(text, "time", _NANOSECONDS, "ns", "a time such as 20ms, 1.5s or 800us")


def _amount(text: str, what: str, units: Mapping[str, int], one: str, usual: str) -> int:
    match = re.fullmatch(_AMOUNT, text.strip()) if len(text) <= _LONGEST else None
    if match is None or (number := _decimal(match["number"])) is None:
        raise QuantityError(f"{what} {quoted(text)} is not {usual}")
    if match["unit"] not in units:
        known = ", ".join(filter(None, units))
        raise QuantityError(
            f"{what} {quoted(text)}: {match['unit']!r} is no unit; known are {known}"
        )
    if number <= 0:
        raise QuantityError(f"{what} {quoted(text)} is not above zero")
    if number.adjusted() > 18:
        raise QuantityError(f"{what} {quoted(text)} is above 2**63 - 1 = {MAX}")
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    whole: int = int("".join(map(str, digits))) * units[match["unit"]]
    rest = 0
    if exponent >= 0:
        whole *= 10**exponent
    elif exponent > -_LONGEST:
        whole, rest = divmod(whole, 10**-exponent)
    if exponent <= -_LONGEST or rest:
        raise QuantityError(f"{what} {quoted(text)} is not a whole number of {one}")
    if whole > MAX:
        raise QuantityError(f"{what} {quoted(text)} is above 2**63 - 1 = {MAX}")
    return whole


def read_budget(text: str, what: str = "budget") -> int:
    """A budget as an exact int: ``40M``, ``0.04G``, ``40 MFLOPs``, ``40_000_000``, ``4e7``.

    Raises QuantityError for what is not a positive whole number up to 2**63 - 1, and for a
    multiple that is none (``40m`` is milli).
    """
    match = re.fullmatch(_BUDGET, text.strip()) if len(text) <= _LONGEST else None
    if match is None or (number := _decimal(match["number"])) is None:
        raise QuantityError(
            f"{what} {quoted(text)} is not a number such as 40M, 0.04G or 40_000_000"
        )
    multiple = match["multiple"]
    if multiple not in _MULTIPLES:
        hint = " (m is milli; mega is M)" if multiple == "m" else ""
        raise QuantityError(
            f"{what} {quoted(text)}: {multiple!r} is no multiple; known are k, M, G, T{hint}"
        )
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    # Shifted by hand: arithmetic would round to 28 digits.
    scaled = Decimal((sign, digits, exponent + _MULTIPLES[multiple]))
    if scaled <= 0:
        raise QuantityError(f"{what} {quoted(text)} is not above zero")
    if scaled.adjusted() > 18 or scaled > MAX:
        raise QuantityError(f"{what} {quoted(text)} is above 2**63 - 1 = {MAX}")
    if scaled.adjusted() < 0 or scaled != int(scaled):
        raise QuantityError(f"{what} {quoted(text)} is not a whole number")
    return int(scaled)


def read_scale(text: str) -> Decimal:
    """A width multiplier, exactly: ``0.5``.

    Raises QuantityError outside 1e-6 <= scale <= 1000, or past 15 digits.
    """
    number = _decimal(text.strip().removesuffix("x")) if len(text) <= _LONGEST else None
    if number is None:
        raise QuantityError(f"scale {quoted(text)} is not a number such as 0.5")
    return check_scale(number, quoted(text))


def check_scale(scale: Decimal, text: str = "") -> Decimal:
    """The scale itself. Raises QuantityError outside 1e-6 <= scale <= 1000, or past 15 digits."""
    said = text or str(scale)
    if not scale.is_finite() or not 0 < scale <= 1000 or scale.adjusted() < -6:
        raise QuantityError(f"scale {said} is not a number above 0 (at least 1e-6), at most 1000")
    if len("".join(map(str, scale.as_tuple().digits)).strip("0")) > 15:
        raise QuantityError(f"scale {said} has more than 15 digits")
    return scale


def read_size(text: str) -> tuple[int, int]:
    """An image size as (height, width) [px]: ``224`` or ``480x640``, height x width.

    Raises QuantityError for what is neither, and for a side outside 1 to 65536.
    """
    h, cross, w = text.strip().lower().partition("x")
    if not _is_number(h) or (cross and not _is_number(w)):
        raise QuantityError(
            f"size {quoted(text)} is not a side such as 224 or height x width, 480x640"
        )
    return check_size(int(h), int(w or h))


def check_size(h: int, w: int) -> tuple[int, int]:
    """The size itself (height, width) [px]. Raises QuantityError for a side out of range."""
    for name, side in (("height", h), ("width", w)):
        if not 1 <= side <= MAX_SIDE:
            raise QuantityError(f"size {h}x{w}: {name} {side} is not between 1 and {MAX_SIDE}")
    return h, w


def read_width(text: str) -> int:
    """A number of channels. Raises QuantityError outside 1 to 1048576."""
    if not _is_number(text.strip()):
        raise QuantityError(f"width {quoted(text)} is not a whole number of channels")
    return check_width(int(text.strip()))


def check_width(width: int) -> int:
    """The width itself [channels]. Raises QuantityError outside 1 to 1048576."""
    if not 1 <= width <= MAX_WIDTH:
        raise QuantityError(f"width {width} is not between 1 and {MAX_WIDTH}")
    return width


def read_ratio(text: str) -> tuple[int, ...]:
    """Widths in proportion, in lowest terms: ``1:2:4``. Raises QuantityError for anything else."""
    parts = text.strip().split(":")
    if not all(_is_number(part) for part in parts):
        raise QuantityError(f"ratio {quoted(text)} is not whole numbers such as 1:2:4")
    return in_proportion([check_width(int(part)) for part in parts])


def read_bottleneck(text: str) -> int:
    """How many times narrower a bottleneck is: ``1:4`` is 4. Raises QuantityError otherwise."""
    one, colon, over = text.strip().partition(":")
    if one != "1" or not colon or not _is_number(over):
        raise QuantityError(f"bottleneck {quoted(text)} is not a ratio such as 1:4")
    return check_groups(int(over), "bottleneck")


def read_count(text: str, what: str) -> int:
    """A whole number of anything. Raises QuantityError outside 1 to 999999999."""
    if not _is_number(text.strip()) or not int(text.strip()):
        raise QuantityError(f"{what} {quoted(text)} is not a whole number above zero")
    return int(text.strip())


def read_fraction(text: str, what: str) -> Fraction:
    """A number with decimals, exactly: ``12.5``.

    Raises QuantityError for what is no number above zero, and past 18 digits on either side of
    the point.
    """
    number = _decimal(text.strip()) if len(text) <= _LONGEST else None
    if number is None or number <= 0:
        raise QuantityError(f"{what} {quoted(text)} is not a number above zero, such as 12.5")
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if number.adjusted() > 17 or exponent < -18:
        raise QuantityError(f"{what} {quoted(text)} has more than 18 digits beside the point")
    return Fraction(number)


def read_percent(text: str, what: str) -> Fraction:
    """A share of less than the whole: ``5%``. Raises QuantityError for anything else."""
    number, sign, rest = text.strip().partition("%")
    if not sign or rest:
        raise QuantityError(f"{what} {quoted(text)} is not a share such as 5%")
    share = read_fraction(number, what) / 100
    if share >= 1:
        raise QuantityError(f"{what} {quoted(text)} is not less than 100%")
    return share


def in_proportion(widths: list[int] | tuple[int, ...]) -> tuple[int, ...]:
    """The widths divided by what they have in common: 144, 288, 576 -> 1, 2, 4."""
    common = reduce(gcd, widths)
    return tuple(width // common for width in widths)


def quoted(text: str) -> str:
    """A text as errors quote it, cut where it is long."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _decimal(text: str) -> Decimal | None:
    if not any(c.isdigit() for c in text) or not re.fullmatch(_PLAIN, text) or not text.isascii():
        return None
    try:
        return Decimal(text.replace("_", "").replace(",", ""))
    except InvalidOperation:
        return None


def rounded_half_up(part: int, whole: int, digits: int) -> float:
    """A share, rounded half up to so many digits; 0 of 0 is 0."""
    if whole == 0:
        return 0.0
    unit: int = 10**digits
    return ((2 * part * unit + whole) // (2 * whole)) / unit


def ratio_json(ratio: Fraction | None) -> float | None:
    """An exact ratio as a number of four digits; None stays what it is."""
    return None if ratio is None else rounded_half_up(ratio.numerator, ratio.denominator, 4)


def as_printed(figure: int, *, tenths: bool = False) -> str:
    """A complexity as the paper prints it, in millions and rounded half up: ``143M``.

    Below ten million, or with ``tenths``, one decimal is kept; below a tenth of a million the
    figure is given whole.
    """
    if figure >= 9_950_000 and not tenths:
        return f"{(figure + 500_000) // 1_000_000}M"
    if figure >= 100_000:
        rounded = (figure + 50_000) // 100_000
        return f"{rounded // 10}.{rounded % 10}M"
    return f"{figure:,}"


def read_groups(text: str, what: str = "groups") -> int:
    """A number of groups, or a cardinality. Raises QuantityError outside 1 to 1024."""
    if not _is_number(text.strip()):
        raise QuantityError(
            f"{what} {quoted(text)} is not a whole number between 1 and {MAX_GROUPS}"
        )
    return check_groups(int(text.strip()), what)


def check_groups(groups: int, what: str = "groups") -> int:
    """The groups, or the cardinality, itself. Raises QuantityError outside 1 to 1024."""
    if not 1 <= groups <= MAX_GROUPS:
        raise QuantityError(f"{what} {groups} is not a whole number between 1 and {MAX_GROUPS}")
    return groups
