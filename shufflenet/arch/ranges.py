"""Several values as people write them, ranges among them: ``2-6``, ``16-96:8``, ``0.25-1:0.25``.

A range holds both its ends, the last one where its step leads there. Every reader keeps the order
given, and raises QuantityError, which quotes the text and the rule, for a range that holds nothing
and for a value named twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

from shufflenet.arch.quantities import (
    MAX_GROUPS,
    MAX_SIDE,
    MAX_WIDTH,
    QuantityError,
    check_groups,
    check_scale,
    quoted,
    read_bottleneck,
    read_groups,
    read_scale,
    read_size,
)

T = TypeVar("T")
_RANGE = r"(?P<least>\d{1,9})(-(?P<most>\d{1,9})(:(?P<step>\d{1,9}))?)?"
_RATIOS = r"1:(?P<least>\d{1,9})-1:(?P<most>\d{1,9})(:(?P<step>\d{1,9}))?"
_DECIMAL = r"[\d._]+([eE][+-]?\d+)?x?"
_SCALES = rf"(?P<least>{_DECIMAL})-(?P<most>{_DECIMAL})(:(?P<step>{_DECIMAL}))?"
# More scales than this nobody means.
_MOST_SCALES = 10_000
# The most values that an error quotes; of more, the first two and the last.
_LISTED = 4


def read_range(text: str, what: str = "width", most: int = MAX_WIDTH) -> tuple[int, ...]:
    """Whole numbers and ranges: ``4``, ``2-6``, ``16-96:8``, ``2,8-16``.

    ``/`` does as well as a comma. Raises QuantityError for anything else, and a number outside 1
    to ``most``.
    """
    return _once((_span(part, what, most) for part in re.split("[,/]", text)), text, what)


def read_stages(text: str, what: str, most: int = MAX_WIDTH) -> tuple[tuple[int, ...], ...]:
    """A range for each stage: ``2-6,4-10,2-6``; several values of one have ``/`` between: ``2/4``.

    Raises QuantityError as `read_range` does.
    """
    return tuple(read_range(part, what, most) for part in text.split(","))


def read_group_numbers(text: str) -> tuple[int, ...]:
    """Numbers of groups: ``1,2,3``, ``1-8``. Raises QuantityError outside 1 to 1024."""
    return _once((_groups(part) for part in text.split(",")), text, "groups")


def read_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Image sizes as (height, width) [px]: ``224,192x256``, or a range of sides, ``128-224:32``.

    Raises QuantityError for anything else, and for a side outside 1 to 65536.
    """
    return _once((_sizes(part) for part in text.split(",")), text, "size")


def read_bottlenecks(text: str) -> tuple[int, ...]:
    """How many times narrower bottlenecks are: ``1:2,1:4``, or a range, ``1:2-1:4``.

    Raises QuantityError for anything else.
    """
    return _once((_bottlenecks(part) for part in text.split(",")), text, "bottleneck")


def read_scales(text: str) -> tuple[Decimal, ...]:
    """Width multipliers, exactly: ``0.25,0.5``, or a range with its step, ``0.25-1:0.25``.

    Raises QuantityError for anything else, and for a scale that `read_scale` refuses.
    """
    return _once((_scales(part) for part in text.split(",")), text, "scales")


def _once(parts: Iterable[Iterable[T]], text: str, what: str) -> tuple[T, ...]:
    """The values of all parts, each of which may come but once."""
    values = tuple(value for part in parts for value in part)
    if len(set(values)) != len(values):
        raise QuantityError(f"{what} {quoted(text)} names a value twice")
    return values


def _span(text: str, what: str, most: int) -> range:
    match = re.fullmatch(_RANGE, text.strip())
    if match is None or not text.isascii():
        raise QuantityError(
            f"{what} {quoted(text)} is not a whole number or a range such as 2-6 or 16-96:8"
        )

    def check(value: int) -> None:
        if not 1 <= value <= most:
            raise QuantityError(f"{what} {value} is not between 1 and {most}")

    return _between(match, text, what, check)


def _between(match: re.Match[str], text: str, what: str, check: Callable[[int], object]) -> range:
    """The whole numbers of a range, both of whose ends are checked."""
    least, last = int(match["least"]), int(match["most"] or match["least"])
    step = int(match["step"] or 1)
    for value in (least, last):
        check(value)
    if least > last or step < 1:
        raise QuantityError(f"{what} {quoted(text)}: the range holds nothing")
    return range(least, last + 1, step)


def _groups(text: str) -> Iterable[int]:
    if "-" not in text:
        return (read_groups(text),)
    return _span(text, "groups", MAX_GROUPS)


def _sizes(text: str) -> Iterable[tuple[int, int]]:
    if "-" not in text:
        return (read_size(text),)
    if "x" in text.lower():
        raise QuantityError(
            f"size {quoted(text)}: a range is of the sides of squares, such as 128-224:32"
        )
    return ((side, side) for side in _span(text, "size", MAX_SIDE))


def _bottlenecks(text: str) -> Iterable[int]:
    if "-" not in text:
        return (read_bottleneck(text),)
    match = re.fullmatch(_RATIOS, text.strip())
    if match is None or not text.isascii():
        raise QuantityError(
            f"bottleneck {quoted(text)} is not a ratio such as 1:4 or a range such as 1:2-1:4"
        )
    return _between(match, text, "bottleneck", lambda over: check_groups(over, "bottleneck"))


def _scales(text: str) -> Iterable[Decimal]:
    match = re.fullmatch(_SCALES, text.strip())
    if match is None:
        return (read_scale(text),)
    least, most = read_scale(match["least"]), read_scale(match["most"])
    if match["step"] is None:
        raise QuantityError(f"scales {quoted(text)}: a range needs its step, such as 0.25-1:0.25")
    step = read_scale(match["step"])
    if least > most:
        raise QuantityError(f"scales {quoted(text)}: the range holds nothing")
    # No scale has more than 21 decimals or 4 digits before them, so that decimals stay exact.
    count = int((most - least) // step) + 1
    if count > _MOST_SCALES:
        raise QuantityError(f"scales {quoted(text)}: {count} values, more than {_MOST_SCALES}")
    return [check_scale(_plain(least + step * index)) for index in range(count)]


def _plain(number: Decimal) -> Decimal:
    """The number without zeros behind its last decimal."""
    short = number.normalize()
    return short.quantize(Decimal(1)) if short == int(short) else short


def listed(values: Sequence[object], comma: str) -> str:
    """Values with something between, the middle of many left out."""
    if len(values) <= _LISTED:
        return comma.join(map(str, values))
    return f"{values[0]}{comma}{values[1]}{comma}...{comma}{values[-1]}"
