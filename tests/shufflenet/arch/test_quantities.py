"""Numbers are read exactly as people write them, or refused with the text and the reason."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shufflenet.arch.quantities import (
    QuantityError,
    as_printed,
    check_scale,
    check_size,
    check_width,
    in_proportion,
    read_bottleneck,
    read_budget,
    read_count,
    read_fraction,
    read_groups,
    read_input,
    read_memory,
    read_percent,
    read_ratio,
    read_scale,
    read_size,
    read_width,
    rounded_half_up,
)
from shufflenet.arch.ranges import read_range, read_stages
from tests.shufflenet.arch.spec_strategies import within

BIGGEST = 9_223_372_036_854_775_807


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("40M", 40 * 10**6),
        ("0.04G", 40 * 10**6),
        ("40 MFLOPs", 40 * 10**6),
        ("40MFLOPS", 40 * 10**6),
        ("40 MMACs", 40 * 10**6),
        ("40 M", 40 * 10**6),
        ("40M multiply-adds", 40 * 10**6),
        ("40_000_000", 40 * 10**6),
        ("40,000,000", 40 * 10**6),
        ("40000000", 40 * 10**6),
        ("4e7", 40 * 10**6),
        ("4E7", 40 * 10**6),
        ("+40M", 40 * 10**6),
        (" 40M\n", 40 * 10**6),
        ("40k", 40 * 10**3),
        ("40K", 40 * 10**3),
        ("1.5k", 1500),
        (".5M", 500_000),
        ("1,000.5k", 1_000_500),
        ("0.1e1", 1),
        ("1T", 10**12),
        ("4 GMACs", 4 * 10**9),
        ("40 FLOPs", 40),
        ("40 MACs", 40),
        ("1.000001M", 1_000_001),
        ("9223372036854775807", BIGGEST),
        ("9.223372036854775807e18", BIGGEST),
        ("9223372.036854775807T", BIGGEST),
    ],
)
def test_a_budget_is_read_exactly_as_people_write_it(text: str, budget: int) -> None:
    found = read_budget(text)
    assert found == budget
    assert type(found) is int


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("40m", "'m' is no multiple; known are k, M, G, T (m is milli; mega is M)"),
        ("40E", "'E' is no multiple"),
        ("40g", "'g' is no multiple"),
        ("-40M", "is not above zero"),
        ("-0.5", "is not above zero"),
        ("0", "is not above zero"),
        ("0.0M", "is not above zero"),
        ("-0", "is not above zero"),
        ("NaN", "is not a number"),
        ("nan", "is not a number"),
        ("inf", "is not a number"),
        ("-inf", "is not a number"),
        ("Infinity", "is not a number"),
        ("", "is not a number"),
        ("   ", "is not a number"),
        ("M", "is not a number"),
        ("forty", "is not a number"),
        ("0x10", "is not a number"),
        ("40__0", "is not a number"),
        ("4,0", "is not a number"),
        ("40 000 000", "is not a number"),
        ("40.0.0M", "is not a number"),
        ("40MM", "is not a number"),
        ("\uff14\uff10M", "is not a number"),
        ("1.5", "is not a whole number"),
        ("0.5", "is not a whole number"),
        ("0.0005k", "is not a whole number"),
        ("1e-9999", "is not a whole number"),
        ("9223372036854775808", f"is above 2**63 - 1 = {BIGGEST}"),
        ("9.3e18", "is above 2**63 - 1"),
        ("1e9999", "is above 2**63 - 1"),
        pytest.param("9" * 5000, "is above 2**63 - 1", id="5000 digits"),
    ],
)
def test_what_is_no_budget_is_refused_with_the_text_and_the_reason(text: str, reason: str) -> None:
    with pytest.raises(QuantityError) as caught:
        read_budget(text)
    assert reason in str(caught.value)
    assert repr(text[:60]) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["1e999999999", "1e-999999999", "-1e999999999", "1e999999999M", "9" * 50 + "e99999999"]
)
def test_a_budget_with_an_endless_exponent_is_refused_at_once(text: str) -> None:
    with within(2), pytest.raises(QuantityError):
        read_budget(text)


@pytest.mark.parametrize(
    "text",
    [
        "1" + " " * 20_000 + "!",
        "1" * 100_000 + "!",
        "1" + ",111" * 30_000 + "!",
        "1" + "_1" * 50_000 + "!",
        "." * 100_000,
        "M" * 100_000,
    ],
    ids=["spaces", "digits", "commas", "underscores", "dots", "letters"],
)
def test_a_long_text_that_is_no_budget_is_refused_quickly(text: str) -> None:
    with within(2), pytest.raises(QuantityError):
        read_budget(text)


@pytest.mark.parametrize(
    "text",
    [
        "0." + "9" * 40,
        "1." + "0" * 40 + "1",
        "1.5" + "0" * 40 + "1M",
        f"{BIGGEST}." + "0" * 30 + "1",
    ],
)
def test_a_budget_is_never_rounded_to_a_whole_number_however_many_digits_it_has(text: str) -> None:
    with pytest.raises(QuantityError):
        read_budget(text)


def test_zeros_without_value_change_no_budget() -> None:
    assert read_budget("0" * 500 + "40M") == 40 * 10**6
    assert read_budget("40." + "0" * 500 + "M") == 40 * 10**6


@given(
    number=st.integers(1, BIGGEST),
    style=st.sampled_from(["{}", "{:_}", "{:,}", " {} ", "{} MACs", "{}.0", "{}e0", "+{}"]),
)
@settings(deadline=None, max_examples=100)
def test_every_whole_number_in_range_is_a_budget_in_every_style(number: int, style: str) -> None:
    assert read_budget(style.format(number)) == number


@given(
    digits=st.integers(1, 10**9),
    places=st.integers(0, 12),
    multiple=st.sampled_from([("", 0), ("k", 3), ("K", 3), ("M", 6), ("G", 9), ("T", 12)]),
)
@settings(deadline=None, max_examples=200)
def test_a_decimal_budget_is_its_exact_product_or_refused(
    digits: int, places: int, multiple: tuple[str, int]
) -> None:
    text = f"{Decimal(digits).scaleb(-places):f}{multiple[0]}"
    exact = Fraction(digits * 10 ** multiple[1], 10**places)
    if exact.denominator == 1 and exact <= BIGGEST:
        assert read_budget(text) == exact
    else:
        with pytest.raises(QuantityError):
            read_budget(text)


BUDGETISH = st.text("0123456789.,_+-eEkKMGTm FLOPsMACx\u0664\uff14 \n\x1c", max_size=24)


@given(text=st.text(max_size=40) | BUDGETISH)
@example("1e999999999")
@example("\x1c1")
@settings(deadline=None, max_examples=300)
def test_any_text_is_a_budget_in_range_or_a_quantity_error(text: str) -> None:
    budget, refusal = None, ""
    with within(2):
        try:
            budget = read_budget(text)
        except QuantityError as error:
            refusal = str(error)
    if budget is None:
        assert repr(text) in refusal
    else:
        assert type(budget) is int
        assert 1 <= budget <= BIGGEST


# --- scales


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("0.5", "0.5"),
        ("0.5x", "0.5"),
        (" 2 ", "2"),
        (".25", "0.25"),
        ("1000", "1000"),
        ("1e3", "1000"),
        ("0.000001", "0.000001"),
        ("0.1", "0.1"),
        ("0.123456789012345", "0.123456789012345"),
        ("0.50000000000000000000000000000000000", "0.5"),
    ],
)
def test_a_scale_is_read_exactly(text: str, scale: str) -> None:
    found = read_scale(text)
    assert type(found) is Decimal
    assert Fraction(found) == Fraction(scale)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0", "above 0"),
        ("-1", "above 0"),
        ("1000.1", "at most 1000"),
        ("1e999999", "is not a number such as 0.5"),
        ("1e9999", "at most 1000"),
        ("1e-7", "at least 1e-6"),
        ("1e-9999", "at least 1e-6"),
        ("nan", "is not a number such as 0.5"),
        ("inf", "is not a number such as 0.5"),
        ("", "is not a number such as 0.5"),
        ("x", "is not a number such as 0.5"),
        ("half", "is not a number such as 0.5"),
        ("1/2", "is not a number such as 0.5"),
        ("0.5X0.5", "is not a number such as 0.5"),
        ("0.1234567890123456", "more than 15 digits"),
        ("0." + "9" * 27, "more than 15 digits"),
        ("0." + "9" * 32, "more than 15 digits"),
        ("0.5" + "0" * 32 + "1", "more than 15 digits"),
    ],
)
def test_what_is_no_scale_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(QuantityError) as caught:
        read_scale(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity", "0", "-0.5"])
def test_a_decimal_that_is_no_scale_is_refused(value: str) -> None:
    with pytest.raises(QuantityError):
        check_scale(Decimal(value))


@given(text=st.text(max_size=20) | st.text("0123456789.eE+-x_, ", max_size=40))
@settings(deadline=None, max_examples=200)
def test_any_text_is_a_scale_in_range_or_a_quantity_error(text: str) -> None:
    with within(2):
        try:
            scale = read_scale(text)
        except QuantityError:
            return
    assert Fraction(1, 10**6) <= Fraction(scale) <= 1000
    significant = "".join(str(digit) for digit in scale.as_tuple().digits).strip("0")
    assert 1 <= len(significant) <= 15


# --- sizes, widths, groups, ratios


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("224", (224, 224)),
        ("480x640", (480, 640)),
        ("480X640", (480, 640)),
        (" 224 ", (224, 224)),
        ("1x65536", (1, 65_536)),
        ("65536", (65_536, 65_536)),
    ],
)
def test_a_size_is_height_by_width(text: str, size: tuple[int, int]) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0", "height 0 is not between 1 and 65536"),
        ("1x0", "width 0 is not between 1 and 65536"),
        ("65537", "height 65537 is not between 1 and 65536"),
        ("65536x65537", "width 65537 is not between 1 and 65536"),
        ("224x", "'224x' is not a side"),
        ("x224", "'x224' is not a side"),
        ("x", "'x' is not a side"),
        ("", "'' is not a side"),
        ("1x2x3", "'1x2x3' is not a side"),
        ("-1", "'-1' is not a side"),
        ("2.5", "'2.5' is not a side"),
        ("480 x 640", "'480 x 640' is not a side"),
        ("\uff11\uff12", "is not a side"),
        pytest.param("9" * 5000, "is not a side", id="5000 digits"),
    ],
)
def test_what_is_no_size_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(QuantityError) as caught:
        read_size(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(("h", "w"), [(0, 1), (1, 0), (-3, 4), (65_537, 1), (1, 65_537)])
def test_a_side_out_of_range_is_refused(h: int, w: int) -> None:
    with pytest.raises(QuantityError):
        check_size(h, w)


@pytest.mark.parametrize(("text", "width"), [("1", 1), (" 24 ", 24), ("1048576", 1_048_576)])
def test_a_width_is_a_number_of_channels(text: str, width: int) -> None:
    assert read_width(text) == width


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0", "width 0 is not between 1 and 1048576"),
        ("1048577", "width 1048577 is not between 1 and 1048576"),
        ("-1", "'-1' is not a whole number of channels"),
        ("1.0", "'1.0' is not a whole number of channels"),
        ("1_0", "'1_0' is not a whole number of channels"),
        ("", "'' is not a whole number of channels"),
        ("\u0969", "is not a whole number of channels"),
        pytest.param("9" * 5000, "is not a whole number of channels", id="5000 digits"),
    ],
)
def test_what_is_no_width_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(QuantityError) as caught:
        read_width(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize("width", [0, -1, 1_048_577, 10**40])
def test_a_width_out_of_range_is_refused(width: int) -> None:
    with pytest.raises(QuantityError):
        check_width(width)


@pytest.mark.parametrize(("text", "groups"), [("1", 1), (" 3 ", 3), ("1024", 1024)])
def test_groups_are_read(text: str, groups: int) -> None:
    assert read_groups(text) == groups


@pytest.mark.parametrize("text", ["0", "-1", "1025", "3.0", "", "three", "9" * 50])
def test_groups_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="is not a whole number between 1 and 1024"):
        read_groups(text)


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("1:2:4", (1, 2, 4)),
        ("144:288:576", (1, 2, 4)),
        ("4:6", (2, 3)),
        ("7", (1,)),
        (" 1:1 ", (1, 1)),
    ],
)
def test_a_ratio_is_read_in_lowest_terms(text: str, ratio: tuple[int, ...]) -> None:
    assert read_ratio(text) == ratio


@pytest.mark.parametrize("text", ["", ":", "1:", "1::2", "1:0:4", "1:-2", "a:b", "1: 2", "1:2.5"])
def test_what_is_no_ratio_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        read_ratio(text)


@given(
    ratio=st.lists(st.integers(1, 500), min_size=1, max_size=5),
    times=st.integers(1, 1000),
)
@settings(deadline=None, max_examples=100)
def test_a_proportion_is_the_smallest_whole_numbers_in_that_ratio(
    ratio: list[int], times: int
) -> None:
    widths = [part * times for part in ratio]
    found = in_proportion(widths)
    assert all(f * widths[0] == w * found[0] for f, w in zip(found, widths, strict=True))
    smaller = range(2, min(found) + 1)
    assert not any(all(part % by == 0 for part in found) for by in smaller)


READERS = [read_size, read_width, read_ratio, read_groups]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
@given(text=st.text(max_size=12) | st.text("0123456789:xX -+.\u0664\x1c\n", max_size=12))
@example("3\x1f")
@example("\u20033")
@settings(deadline=None, max_examples=100)
def test_any_text_is_positive_whole_numbers_or_a_quantity_error(read: object, text: str) -> None:
    assert callable(read)
    try:
        found = read(text)
    except QuantityError:
        return
    numbers = found if isinstance(found, tuple) else (found,)
    assert all(type(number) is int and 1 <= number <= 1_048_576 for number in numbers)


# --- printing


@pytest.mark.parametrize(
    ("figure", "printed", "tenths"),
    [
        (0, "0", "0"),
        (999, "999", "999"),
        (99_999, "99,999", "99,999"),
        (100_000, "0.1M", "0.1M"),
        (149_999, "0.1M", "0.1M"),
        (150_000, "0.2M", "0.2M"),
        (1_949_999, "1.9M", "1.9M"),
        (9_949_999, "9.9M", "9.9M"),
        (9_950_000, "10M", "10.0M"),
        (10_499_999, "10M", "10.5M"),
        (10_500_000, "11M", "10.5M"),
        (11_500_000, "12M", "11.5M"),
        (136_499_999, "136M", "136.5M"),
        (136_500_000, "137M", "136.5M"),
        (13_018_320, "13M", "13.0M"),
        (15_346_630_656, "15347M", "15346.6M"),
    ],
)
def test_a_figure_is_printed_in_millions_rounded_half_up(
    figure: int, printed: str, tenths: str
) -> None:
    assert as_printed(figure) == printed
    assert as_printed(figure, tenths=True) == tenths


@pytest.mark.parametrize(
    ("part", "whole", "digits", "share"),
    [
        (0, 0, 4, 0.0),
        (0, 7, 4, 0.0),
        (7, 7, 4, 1.0),
        (1, 8, 2, 0.13),
        (1, 2, 0, 1.0),
        (1, 3, 4, 0.3333),
        (2, 3, 4, 0.6667),
        (5, 10_000, 3, 0.001),
        (49_999, 10**8, 3, 0.0),
        (65_536, 65_536 + 4_608, 3, 0.934),
    ],
)
def test_a_share_is_rounded_half_up(part: int, whole: int, digits: int, share: float) -> None:
    assert rounded_half_up(part, whole, digits) == share


@given(whole=st.integers(1, 10**15), numerator=st.integers(0, 10**15), digits=st.integers(0, 6))
@settings(deadline=None, max_examples=100)
def test_a_share_is_the_float_of_the_decimal_rounded_half_up(
    whole: int, numerator: int, digits: int
) -> None:
    part = numerator % (whole + 1)
    share = Fraction(part, whole)
    units = share * 10**digits
    rounded = units.__floor__() + (1 if units - units.__floor__() >= Fraction(1, 2) else 0)
    assert rounded_half_up(part, whole, digits) == float(Fraction(rounded, 10**digits))


@pytest.mark.parametrize(
    ("text", "sizes", "dtype"),
    [
        ("1x3x224x224", (1, 3, 224, 224), ""),
        (" 1x128:int64 ", (1, 128), "int64"),
        ("7", (7,), ""),
        ("0x3:bfloat16", (0, 3), "bfloat16"),
    ],
)
def test_an_input_is_sizes_and_perhaps_a_type(text: str, sizes: tuple[int, ...], dtype: str):
    assert read_input(text) == (sizes, dtype)
    assert read_input(str(read_input(text))) == (sizes, dtype)


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "x1", "1x-3", "1X3", "1x3:", "1x3:float", "1x3:int64:int64", "1.5", "²"]
)
def test_what_is_no_input_is_quoted(text: str):
    with pytest.raises(QuantityError, match=re.escape(repr(text))):
        read_input(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8MiB", 8 * 2**20),
        ("512 KiB", 512 * 2**10),
        ("1.5GiB", 3 * 2**29),
        ("1.5GB", 1_500_000_000),
        ("2kB", 2000),
        ("1e3B", 1000),
        ("4096", 4096),
        ("4,096 B", 4096),
        ("0.5KiB", 512),
        (f"{2**63 - 1}", 2**63 - 1),
    ],
)
def test_an_amount_of_memory_is_read_exactly(text: str, expected: int):
    assert read_memory(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "MiB", "8Mib", "8mb", "8M", "-1", "0", "0.3", "0.0001KiB", "1e-9TiB", "1e-5000", "8EiB",
     f"{2**63}", "9e18KiB", "1e400", "nan", "8 MiB MiB"],
)  # fmt: skip
def test_what_is_no_amount_of_memory_is_quoted(text: str):
    with pytest.raises(QuantityError, match=re.escape(repr(text))):
        read_memory(text)


@given(least=st.integers(1, 500), more=st.integers(0, 500), step=st.integers(1, 50))
def test_a_range_holds_both_its_ends_where_its_step_leads_there(least: int, more: int, step: int):
    found = read_range(f"{least}-{least + more}:{step}")
    assert found == tuple(range(least, least + more + 1, step))
    assert read_range(f"{least}-{least + more}")[-1] == least + more
    assert read_range(str(least)) == (least,)


def test_ranges_and_numbers_stand_in_the_order_given():
    assert read_range("24,8-12:2,4") == (24, 8, 10, 12, 4)
    assert read_range("24/8-12:2/4") == (24, 8, 10, 12, 4)
    assert read_stages("2-4,8/6,1", "repeats") == ((2, 3, 4), (8, 6), (1,))


@pytest.mark.parametrize("text", ["", "-4", "4-", "4-2", "2-6:0", "2:6", "a", "1,1", "2-4,3", "0"])
def test_what_is_no_range_is_refused_and_quoted(text: str):
    with pytest.raises(QuantityError, match="width"):
        read_range(text)


def test_a_range_keeps_within_what_is_allowed():
    assert read_range("1-1000", "repeats", 1000)[-1] == 1000
    with pytest.raises(QuantityError, match="repeats 1001 is not between 1 and 1000"):
        read_range("1-1001", "repeats", 1000)


@given(units=st.integers(1, 10**6), tens=st.integers(0, 6))
def test_a_number_with_decimals_is_read_exactly(units: int, tens: int):
    text = f"{Decimal(units).scaleb(-tens):f}"
    assert read_fraction(text, "intensity") == Fraction(units, 10**tens)


@pytest.mark.parametrize("text", ["0", "-1", "x", "", "1e30", "0.0000000000000000001", "nan"])
def test_what_is_no_number_above_zero_is_refused(text: str):
    with pytest.raises(QuantityError, match="intensity"):
        read_fraction(text, "intensity")


def test_shares_bottlenecks_and_counts_are_read():
    assert read_percent("2.5%", "within") == Fraction(1, 40)
    assert read_bottleneck("1:4") == 4
    assert read_count("50", "layers") == 50
    for read, text in (
        (read_bottleneck, "2:4"),
        (read_bottleneck, "1:0"),
        (lambda text: read_count(text, "layers"), "0"),
        (lambda text: read_percent(text, "within"), "5"),
        (lambda text: read_percent(text, "within"), "100%"),
    ):
        with pytest.raises(QuantityError, match=text[:1]):
            read(text)
