"""Several values as people write them: ranges hold what they say, exactly and in order."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.ranges import read_bottlenecks, read_group_numbers, read_scales, read_sizes


@given(least=st.integers(1, 1024), more=st.integers(0, 1023), step=st.integers(1, 50))
def test_a_range_holds_every_step_up_to_its_end(least: int, more: int, step: int) -> None:
    most = min(least + more, 1024)
    held = tuple(range(least, most + 1, step))
    assert read_group_numbers(f"{least}-{most}:{step}") == held
    assert read_sizes(f"{least}-{most}:{step}") == tuple((side, side) for side in held)
    assert read_bottlenecks(f"1:{least}-1:{most}:{step}") == held


@given(
    least=st.integers(1, 10**6),
    more=st.integers(0, 10**6),
    step=st.integers(10**3, 10**5),
    digits=st.integers(4, 9),
)
def test_scales_in_steps_are_exact(least: int, more: int, step: int, digits: int) -> None:
    def text(number: int) -> str:
        return f"{Decimal(number).scaleb(-digits):f}"

    if Fraction(least, 10**digits) < Fraction(1, 10**6):
        least = 10**digits
    found = read_scales(f"{text(least)}-{text(least + more)}:{text(step)}")
    held = [Fraction(value, 10**digits) for value in range(least, least + more + 1, step)]
    assert [Fraction(scale) for scale in found] == held
    assert [text for text in map(str, found) if "." in text and text.endswith("0")] == []


def test_values_and_ranges_stand_side_by_side_in_the_order_given() -> None:
    assert read_group_numbers("8,1-3") == (8, 1, 2, 3)
    assert read_sizes("96x64, 128-192:32,224") == (
        (96, 64),
        *((side, side) for side in (128, 160, 192, 224)),
    )
    assert read_bottlenecks("1:8,1:2-1:4") == (8, 2, 3, 4)
    assert read_scales("2x,0.25-1:0.25,1e-3") == tuple(
        map(Decimal, ("2", "0.25", "0.5", "0.75", "1", "0.001"))
    )
    assert [str(scale) for scale in read_scales("10-30:10")] == ["10", "20", "30"]
    assert len(read_scales("1e-3-1e-2:1e-3")) == 10


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (read_group_numbers, "3-1", "groups '3-1': the range holds nothing"),
        (read_group_numbers, "1-3:0", "the range holds nothing"),
        (read_group_numbers, "1-1025", "groups 1025 is not between 1 and 1024"),
        (read_group_numbers, "1-3,2", "groups '1-3,2' names a value twice"),
        (read_group_numbers, "1-x", "groups '1-x' is not a whole number or a range such as"),
        (read_group_numbers, "x", "groups 'x' is not a whole number"),
        (read_sizes, "1-65537", "size 65537 is not between 1 and 65536"),
        (read_sizes, "96X64-128", "a range is of the sides of squares, such as 128-224:32"),
        (read_sizes, "96,96x96", "size '96,96x96' names a value twice"),
        (read_bottlenecks, "1:2-4", "bottleneck '1:2-4' is not a ratio such as 1:4 or a range"),
        (read_bottlenecks, "1:2-1:1025", "bottleneck 1025 is not a whole number between"),
        (read_bottlenecks, "1:4-1:2", "bottleneck '1:4-1:2': the range holds nothing"),
        (read_scales, "0.5-1", "scales '0.5-1': a range needs its step, such as 0.25-1:0.25"),
        (read_scales, "1-0.5:0.1", "scales '1-0.5:0.1': the range holds nothing"),
        (read_scales, "0.5-1:0", "scale '0' is not a number above 0"),
        (read_scales, "1e-6-1:1e-6", "1000000 values, more than 10000"),
        (read_scales, "0.5-1:0.25,1.00", "names a value twice"),
        (read_scales, "-1", "scale '-1' is not a number above 0"),
        (read_scales, "1-2-3", "scale '1-2-3' is not a number such as 0.5"),
    ],
)
def test_a_range_that_is_none_is_quoted_with_its_rule(read, text: str, says: str) -> None:
    with pytest.raises(QuantityError, match=re.escape(says)):
        read(text)
