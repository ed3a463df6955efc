"""The records of a network say what is wrong with them: the value, and the rule it breaks."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shufflenet.arch.spec import Row, Spec, SpecError, is_label

IMAGE = Row("Image", "image", output=(224, 224), channels=(3,))
CONV = Row("Conv1", "conv", kernel=3, channels=(24,))
FC = Row("FC", "fc", channels=(1000,))


def spec(*rows: Row, **others: Any) -> Spec:
    return Spec(name="mine", rows=rows, **others)


def image(columns: int) -> Row:
    return Row("Image", "image", output=(224, 224), channels=(3,) * columns)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": ""}, "layer '' does not start with a letter"),
        ({"layer": "2nd"}, "layer '2nd' does not start with a letter"),
        ({"layer": "a.b"}, "layer 'a.b' does not start with a letter, or has characters other"),
        ({"layer": "a/b"}, "letters, digits, space, _ and -"),
        ({"layer": "a" * 41}, "or more than 40"),
        ({"layer": "\u00e9tage"}, "does not start with a letter"),
        ({"layer": "caf\u00e9"}, "has characters other than"),
        ({"unit": ""}, "unit '' is neither a name nor package.module:function"),
        ({"unit": "a-b"}, "unit 'a-b' is neither a name nor"),
        ({"unit": "a b"}, "unit 'a b' is neither a name nor"),
        ({"unit": "a.b"}, "unit 'a.b' is neither a name nor"),
        ({"unit": ":f"}, "unit ':f' is neither a name nor"),
        ({"unit": "a:"}, "unit 'a:' is neither a name nor"),
        ({"unit": "a..b:f"}, "unit 'a..b:f' is neither a name nor"),
        ({"unit": ".a:f"}, "unit '.a:f' is neither a name nor"),
        ({"unit": "a:b:c"}, "unit 'a:b:c' is neither a name nor"),
        ({"unit": "a:f()"}, "unit 'a:f()' is neither a name nor"),
        ({"unit": "a" * 301}, "is neither a name nor"),
        ({"kernel": 0}, "kernel 0 is not between 1 and 1024"),
        ({"kernel": 1025}, "kernel 1025 is not between 1 and 1024"),
        ({"stride": 0}, "stride 0 is not between 1 and 1024"),
        ({"stride": -2}, "stride -2 is not between 1 and 1024"),
        ({"stride": 1025}, "stride 1025 is not between 1 and 1024"),
        ({"repeat": 0}, "repeat 0 is not between 1 and 1000"),
        ({"repeat": 1001}, "repeat 1001 is not between 1 and 1000"),
        ({"repeat": 10**9}, "repeat 1000000000 is not between 1 and 1000"),
        ({"ratio": 0}, "ratio 0 is not between 1 and 1024"),
        ({"ratio": 1025}, "ratio 1025 is not between 1 and 1024"),
        ({"output": (0, 7)}, "size 0x7: height 0 is not between 1 and 65536"),
        ({"output": (7, 65_537)}, "size 7x65537: width 65537 is not between 1 and 65536"),
        ({"channels": (0,)}, "width 0 is not between 1 and 1048576"),
        ({"channels": (24, -1)}, "width -1 is not between 1 and 1048576"),
        ({"channels": (1_048_577,)}, "width 1048577 is not between 1 and 1048576"),
        ({"options": {"padding": -1}}, "option padding -1 is not between 0 and 1048576"),
        ({"options": {"padding": 1_048_577}}, "option padding 1048577 is not between 0 and"),
    ],
)
def test_a_row_out_of_its_range_is_refused_with_value_and_rule(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        Row(**{"layer": "Conv1", "unit": "conv", **changes})
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["kernel", "stride", "repeat", "ratio"])
def test_a_broken_rule_names_the_row(key: str) -> None:
    with pytest.raises(SpecError, match=f"Stage2: {key} 0 is not between"):
        Row(**{"layer": "Stage2", "unit": "shufflenet", key: 0})


@pytest.mark.parametrize(
    "changes",
    [
        {"layer": "a" * 40},
        {"layer": "Stage 2-b_c"},
        {"unit": "package.module:function"},
        {"unit": "module:function"},
        {"kernel": 1024, "stride": 1024, "repeat": 1000, "ratio": 1024},
        {"output": (1, 65_536)},
        {"channels": (1, 1_048_576)},
        {"options": {"padding": 0, "shuffle": False, "mode": "any text"}},
        {"options": {"padding": 1_048_576}},
    ],
)
def test_a_row_at_the_edge_of_its_range_is_kept_as_it_is(changes: dict[str, Any]) -> None:
    row = Row(**{"layer": "Conv1", "unit": "conv", **changes})
    assert {key: getattr(row, key) for key in changes} == changes


def test_a_row_and_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CONV.stride = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec(IMAGE, CONV).rows = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("layer", "path"),
    [
        ("Conv1", "conv1"),
        ("MaxPool", "maxpool"),
        ("Stage 2-b", "stage_2_b"),
        ("GlobalPool", "globalpool"),
    ],
)
def test_the_path_of_a_row_is_its_layer_in_small_letters(layer: str, path: str) -> None:
    assert Row(layer, "conv").path == path


@given(text=st.text(max_size=45) | st.text("aZ09 _-.\u00e9\u0661", max_size=45))
@settings(deadline=None, max_examples=150)
def test_a_label_makes_a_path_that_is_an_identifier(text: str) -> None:
    if is_label(text):
        assert Row(text, "conv").path.isidentifier()
    else:
        with pytest.raises(SpecError):
            Row(text, "conv")


@pytest.mark.parametrize(
    ("rows", "others", "message"),
    [
        ((IMAGE,), {}, "1 rows is not 2 to 1000"),
        ((), {}, "0 rows is not 2 to 1000"),
        ((IMAGE, *[CONV] * 1000), {}, "1001 rows is not 2 to 1000"),
        ((CONV, FC), {}, "Conv1: the first row is not an image (unit, output and channels)"),
        ((CONV, IMAGE), {}, "Conv1: the first row is not an image"),
        (
            (Row("Image", "image", channels=(3,)), CONV),
            {},
            "Image: the first row is not an image (unit, output and channels)",
        ),
        (
            (Row("Image", "image", output=(8, 8)), CONV),
            {},
            "Image: the first row is not an image (unit, output and channels)",
        ),
        ((IMAGE, IMAGE), {}, "Image: an image is only the first row"),
        (
            (IMAGE, CONV, Row("Again", "image", output=(8, 8), channels=(3,))),
            {},
            "Again: an image is only the first row",
        ),
        (
            (IMAGE, CONV, FC, CONV),
            {},
            "Conv1: rows of layer 'Conv1' are not next to each other",
        ),
        (
            (IMAGE, Row("Stage 2", "conv"), Row("Stage-2", "conv")),
            {},
            "Stage-2: the name is too like 'Stage 2'",
        ),
        (
            (IMAGE, Row("Stage 2", "conv"), CONV, Row("Stage-2", "conv")),
            {},
            "Stage-2: rows of layer 'Stage 2' are not next to each other",
        ),
        (
            (IMAGE, *(Row(f"S{i}", "conv", repeat=1000, channels=(8,)) for i in range(5))),
            {},
            "5001 repeats in all is more than 5000",
        ),
        ((IMAGE, CONV), {"groups": ()}, "groups: 0 columns is not 1 to 64"),
        ((IMAGE, CONV), {"groups": tuple(range(1, 66))}, "groups: 65 columns is not 1 to 64"),
        ((IMAGE, CONV), {"groups": (0,)}, "groups 0 is not between 1 and 1024"),
        ((IMAGE, CONV), {"groups": (1025,)}, "groups 1025 is not between 1 and 1024"),
        ((IMAGE, CONV), {"groups": (3, 3)}, "groups [3, 3]: a column is named twice"),
        (
            (IMAGE, CONV),
            {"groups": (1, 2)},
            "Image: 1 channels [3] for 2 columns g = [1, 2]",
        ),
        (
            (image(2), Row("Conv1", "conv", channels=(24, 24, 24))),
            {"groups": (1, 2)},
            "Conv1: 3 channels [24, 24, 24] for 2 columns g = [1, 2]",
        ),
        (
            (IMAGE, CONV),
            {"default_groups": 3},
            "default_groups: no column g = 3; columns are g = 1",
        ),
    ],
)
def test_rows_that_make_no_network_are_refused_with_value_and_rule(
    rows: tuple[Row, ...], others: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        spec(*rows, **others)
    assert message in str(caught.value)


def test_five_thousand_repeats_in_all_are_kept() -> None:
    rows = [Row(f"S{i}", "conv", repeat=999, channels=(8,)) for i in range(5)]
    kept = spec(IMAGE, *rows, Row("Last", "conv", repeat=4, channels=(8,)))
    assert sum(row.repeat for row in kept.rows) == 5_000


def test_rows_of_one_layer_next_to_each_other_are_one_stage() -> None:
    first = Row("Stage2", "shufflenet", stride=2, channels=(144,))
    rest = Row("Stage2", "shufflenet", repeat=3, channels=(144,))
    assert spec(IMAGE, CONV, first, rest, FC).rows == (IMAGE, CONV, first, rest, FC)


def test_a_column_belongs_to_its_number_of_groups() -> None:
    two = spec(image(2), Row("Conv1", "conv", channels=(24, 32)), groups=(8, 3), file="a/b.toml")
    assert [two.column(8), two.column(3)] == [0, 1]
    with pytest.raises(SpecError, match=r"a/b\.toml: no column g = 1; columns are g = 8, 3"):
        two.column(1)


def test_the_first_choice_is_the_default_groups_or_else_the_first_column() -> None:
    rows = (image(2), Row("Conv1", "conv", channels=(24, 32)))
    assert spec(*rows, groups=(8, 3)).first_choice == 8
    assert spec(*rows, groups=(8, 3), default_groups=3).first_choice == 3


def test_a_spec_knows_its_image_and_what_to_call_itself() -> None:
    row = Row("Image", "image", output=(480, 640), channels=(3,))
    assert spec(row, CONV).image == (480, 640)
    assert spec(row, CONV).where == "mine"
    assert spec(row, CONV, file="x/mine.toml").where == "x/mine.toml"
