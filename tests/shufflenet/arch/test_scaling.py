"""A scale multiplies all widths; what the rules forbid is rounded up to the next that is legal."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shufflenet import NothingLegalError, SpecError, load, network
from shufflenet.arch import layout
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.spec import Spec
from shufflenet.arch.spec_reader import loads
from tests.shufflenet.arch.spec_strategies import IMAGE, document, within

TABLE_1 = load("shufflenet")
STAGE_2 = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}


def mine(*rows: str) -> Spec:
    return loads(document(IMAGE, *rows), name="mine", file="mine.toml")


def notes(groups: int, scale: str, stem: int | None = None) -> list[tuple[str, Fraction, int, str]]:
    net = network(TABLE_1, groups, scale=scale, stem=stem)
    return [(r.layer, Fraction(r.wanted), r.used, r.rule) for r in net.rounded]


@pytest.mark.parametrize(
    ("groups", "stem", "widths"),
    [
        (1, 12, (72, 144, 288)),
        (2, 12, (104, 208, 416)),
        (3, 12, (120, 240, 480)),
        (4, 12, (144, 288, 576)),
        (8, 16, (192, 384, 768)),
    ],
)
def test_half_of_table_1_is_rounded_up_where_a_rule_forbids_it(
    groups: int, stem: int, widths: tuple[int, ...]
) -> None:
    net = network(TABLE_1, groups, scale="0.5")
    assert (net.stem, net.stage_widths) == (stem, widths)


def test_136_becomes_144_because_of_the_multiple_of_4_g() -> None:
    assert notes(4, "0.5") == [
        ("Stage2", Fraction(136), 144, "Stage2: width 136 is not a multiple of 4*g = 16")
    ]


def test_a_stem_of_12_becomes_16_because_of_the_width_that_is_added() -> None:
    assert notes(8, "0.5") == [
        (
            "Conv1",
            Fraction(12),
            16,
            "Stage2: added width (out - in) 180 is not a multiple of g = 8",
        )
    ]


def test_stem_and_stages_are_both_rounded_where_both_are_illegal() -> None:
    # 0.25x, g = 4: 6 is no multiple of 4, and 68 none of 16.
    found = network(TABLE_1, 4, scale="0.25")
    assert (found.stem, found.stage_widths) == (8, (80, 160, 320))
    assert [(layer, wanted, used) for layer, wanted, used, _ in notes(4, "0.25")] == [
        ("Conv1", 6, 8),
        ("Stage2", 68, 80),
    ]
    assert notes(4, "0.25")[1][3] == "Stage2: width 68 is not a multiple of 4*g = 16"


@pytest.mark.parametrize(("groups", "scale"), [(1, "0.5"), (3, "0.5"), (3, "0.25"), (8, "2")])
def test_what_is_legal_is_left_alone(groups: int, scale: str) -> None:
    net = network(TABLE_1, groups, scale=scale)
    assert net.rounded == ()
    assert net.stem == 24 * Fraction(scale)
    assert net.stage_widths == tuple(k * STAGE_2[groups] * Fraction(scale) for k in (1, 2, 4))


def test_a_width_with_a_fraction_is_rounded_up_and_says_so() -> None:
    # 0.3 of 24, 144: 7.2 and 43.2
    found = network(TABLE_1, 1, scale="0.3")
    assert (found.stem, found.stage_widths) == (8, (44, 88, 176))
    assert notes(1, "0.3") == [
        ("Conv1", Fraction("7.2"), 8, "7.2 is not a whole number"),
        ("Stage2", Fraction("43.2"), 44, "43.2 is not a whole number"),
    ]


def test_a_fraction_in_a_later_stage_alone_is_the_one_that_is_quoted() -> None:
    spec = mine(
        '{ layer = "A", unit = "vgg", channels = 4 }', '{ layer = "B", unit = "vgg", channels = 6 }'
    )
    net = network(spec, scale="0.25")
    assert net.stage_widths == (2, 3)
    assert [(r.layer, r.wanted, r.used) for r in net.rounded] == [("A", 1, 2)]
    assert "1.5 is not a whole number" in net.rounded[0].rule


def test_the_stages_keep_their_ratio_whatever_it_is() -> None:
    spec = mine(
        '{ layer = "A", unit = "resnet", channels = 40 }',
        '{ layer = "B", unit = "resnet", channels = 60 }',
    )
    # 1:4 bottlenecks: multiples of 4 in ratio 2:3, so multiples of 8 and 12
    assert network(spec, scale="0.5").stage_widths == (24, 36)
    assert network(spec, scale="0.4").stage_widths == (16, 24)


def test_a_unit_without_rules_is_rounded_to_whole_numbers_only() -> None:
    net = network(TABLE_1, 1, scale="0.3", unit="vgg")
    assert (net.stem, net.stage_widths) == (8, (44, 88, 176))
    assert network(TABLE_1, 1, scale="0.0625", unit="vgg").stage_widths == (9, 18, 36)


def test_at_the_own_scale_an_illegal_width_is_an_error_and_not_rounded() -> None:
    spec = mine('{ layer = "A", unit = "resnet", channels = 50 }')
    with pytest.raises(SpecError, match=r"^mine\.toml: A, g=1: width 50 is not a multiple of 4$"):
        network(spec)
    assert network(spec, scale=2).stage_widths == (100,)


@pytest.mark.parametrize(
    ("groups", "scale", "stem"),
    [
        # 8 divides the stage, so it must divide the stem
        (8, "0.25", 12),
        (4, "0.25", 6),
        (2, "0.5", 13),
    ],
)
def test_a_stem_that_is_given_is_never_rounded(groups: int, scale: str, stem: int) -> None:
    with pytest.raises(NothingLegalError) as caught:
        network(TABLE_1, groups, scale=scale, stem=stem)
    message = str(caught.value)
    assert message.startswith(f"specs/shufflenet.toml, g={groups}: no legal widths at or above ")
    assert f"conv1 {stem}," in message


def test_of_widths_that_break_the_same_rule_the_narrowest_are_told() -> None:
    with pytest.raises(NothingLegalError) as caught:
        network(TABLE_1, 8, scale="0.5", stem=5)
    rule = "Stage2: added width (out - in) 187 is not a multiple of g = 8"
    assert str(caught.value).endswith(f"stage4 768: {rule}")


@pytest.mark.parametrize(
    ("groups", "scale", "stem", "expected"),
    [
        # more than twice the stem that the scale wants
        (8, "0.125", None, (8, (64, 128, 256))),
        (8, "0.05", None, (8, (32, 64, 128))),
        # more than one period of 4*g above the stage that the scale wants
        (1, "0.01", 24, (24, (28, 56, 112))),
        (3, "0.01", 24, (24, (36, 72, 144))),
        (1, "0.0001", None, (1, (4, 8, 16))),
    ],
)
def test_a_legal_width_is_found_however_far_up_it_is(
    groups: int, scale: str, stem: int | None, expected: tuple[int, tuple[int, ...]]
) -> None:
    net = network(TABLE_1, groups, scale=scale, stem=stem)
    assert (net.stem, net.stage_widths) == expected


SCALES = st.integers(1, 40_000).map(lambda n: str(Decimal(n) / 10_000))


@given(groups=st.sampled_from([1, 2, 3, 4, 8]), scale=SCALES)
@example(groups=4, scale="0.5")
@example(groups=8, scale="0.5")
@settings(deadline=None, max_examples=60)
def test_a_scaled_network_is_legal_and_the_smallest_that_is(groups: int, scale: str) -> None:
    net = network(TABLE_1, groups, scale=scale)
    wanted_stem, wanted_2 = 24 * Fraction(scale), STAGE_2[groups] * Fraction(scale)
    # m = c/4 a multiple of g in every stage; c_out - c_in a multiple of g, and above zero.
    stem = next(s for s in range(ceil(wanted_stem), ceil(wanted_stem) + groups) if s % groups == 0)
    stage_2 = max(ceil(wanted_2), stem + 1)
    while stage_2 % (4 * groups):
        stage_2 += 1
    if scale != "1":
        assert (net.stem, net.stage_widths) == (stem, (stage_2, 2 * stage_2, 4 * stage_2))
    again = network(TABLE_1, groups, widths=net.stage_widths, stem=net.stem)
    assert again.tree == net.tree


@pytest.mark.parametrize(("groups", "scale"), [(4, "0.5"), (8, "0.5"), (3, "0.3"), (2, "0.33")])
def test_every_smaller_stem_and_stage_breaks_a_rule(groups: int, scale: str) -> None:
    net = network(TABLE_1, groups, scale=scale)
    assert net.stem is not None
    first_stem, first_width = (ceil(base * Fraction(scale)) for base in (24, STAGE_2[groups]))
    smaller = [
        (stem, width)
        for stem in range(first_stem, net.stem + 1)
        for width in range(first_width, net.stage_widths[0] + 4 * groups)
        if (stem, width) < (net.stem, net.stage_widths[0])
    ]
    assert smaller
    for stem, width in smaller:
        with pytest.raises(SpecError):
            network(TABLE_1, groups, widths=(width, 2 * width, 4 * width), stem=stem)


@given(scale=SCALES, unit=st.sampled_from(["vgg", "resnet", "xception", "resnext"]))
@settings(deadline=None, max_examples=25)
def test_another_unit_scales_to_the_smallest_legal_widths_too(scale: str, unit: str) -> None:
    net = network(TABLE_1, 1, scale=scale, unit=unit)
    by = {"vgg": 1, "resnet": 4, "xception": 4, "resnext": 1}[unit]
    stem = ceil(24 * Fraction(scale))
    width = ceil(144 * Fraction(scale))
    if unit == "xception":
        width = max(width, stem + 1)
    width = -(-width // by) * by
    assert (net.stem, net.stage_widths) == (stem, (width, 2 * width, 4 * width))


# --- exactness


@pytest.mark.parametrize("scale", ["0.1", "0.7", "1.1", "0.333333333333333"])
def test_a_scale_is_exact_where_a_float_would_not_be(scale: str) -> None:
    spec = mine(f'{{ layer = "A", unit = "vgg", channels = {10**5} }}')
    net = network(spec, scale=scale)
    assert net.stage_widths == (ceil(Fraction(scale) * 10**5),)
    assert Fraction(net.scale) == Fraction(scale)


def test_a_hair_above_a_whole_width_is_rounded_up_and_a_hair_below_too() -> None:
    spec = mine('{ layer = "A", unit = "vgg", channels = 1000 }')
    assert network(spec, scale="0.50000000000001").stage_widths == (501,)
    assert network(spec, scale="0.49999999999999").stage_widths == (500,)
    assert network(spec, scale="0.50000000000001").rounded[0].wanted == Decimal("500.00000000001")


def test_a_float_that_is_no_short_decimal_is_refused_as_a_scale() -> None:
    with pytest.raises(QuantityError, match="more than 15 digits"):
        network(TABLE_1, 1, scale=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", ["0.5" + "0" * 30 + "1", "0." + "9" * 40])
def test_a_scale_of_more_digits_than_are_kept_is_refused(scale: str) -> None:
    with pytest.raises(QuantityError, match="more than 15 digits"):
        network(TABLE_1, 1, scale=Decimal(scale))


def test_a_scale_that_leads_past_the_largest_width_is_refused() -> None:
    assert network(TABLE_1, 1, scale=1000).stage_widths == (144_000, 288_000, 576_000)
    says = r"^specs/shufflenet.toml: stage4, g=8: width 1536000 is not between 1 and 1048576"
    with pytest.raises(SpecError, match=says):
        network(TABLE_1, 8, scale=1000)
    with within(5), pytest.raises((SpecError, NothingLegalError)):
        network(TABLE_1, 8, scale="999.99")


def test_a_column_resolves_each_row_once_and_walks_its_rows_only_where_a_width_may_be_legal(
    monkeypatch: pytest.MonkeyPatch,
):
    done: list[str] = []

    def noted(name: str) -> None:
        plain = getattr(layout, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            done.append(name)
            return plain(*args, **kwargs)

        monkeypatch.setattr(layout, name, counting)

    noted("unit")
    noted("follow")
    net = network(TABLE_1, 8, scale=Decimal("0.5"))
    assert (net.stem, net.stage_widths) == (16, (192, 384, 768))
    assert done.count("unit") == len(TABLE_1.rows) - 1
    # 137 pairs of a stem and stages are tried; all but a few break a rule of one width alone
    assert 2 < done.count("follow") < 20
