"""A network written as a spec is that network: read again, its layers and its cost are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from flopcount.layers import Branches, Chain, Conv, Layer, leaves
from flopcount.toml_reader import MAX_BYTES
from shufflenet import Network, NothingLegalError, SpecError, load, network
from shufflenet.arch.layout import Frame
from shufflenet.arch.network import assemble
from shufflenet.arch.scaling import base_widths
from shufflenet.arch.spec import Row, Spec
from shufflenet.arch.spec_reader import loads
from shufflenet.arch.spec_writer import written
from shufflenet.units import UNITS, Place, Unit
from shufflenet.units.context import Option
from tests.strategies import COLUMNS, STAGE_UNITS, image, networks, own_spec, specs, stage

TABLE_1 = load("shufflenet")
HERE = __name__


def read(text: str) -> Spec:
    return loads(text.encode(), name="again")


def skeleton(layer: Layer) -> object:
    """A tree of names, joins and leaves; what its makers require is left out."""
    if isinstance(layer, Chain):
        return [(name, skeleton(child)) for name, child in layer.children]
    if isinstance(layer, Branches):
        return layer.join, [(name, skeleton(child)) for name, child in layer.children]
    return layer


def said(net: Network) -> list[object]:
    """What a network says of its rows, the image's before them."""
    rows = [
        (row.row.path, row.row.unit, row.channels, row.output, row.paths, row.m, row.groups)
        for row in net.rows
    ]
    return [net.input, net.groups, net.widths, *rows]


def written_again(net: Network) -> Spec:
    """The spec that a network is written as, once it is seen to be that network."""
    text = written(net)
    spec = read(text)
    again = network(spec, units_from=[HERE])
    assert list(leaves(again.tree)) == list(leaves(net.tree))
    assert skeleton(again.tree) == skeleton(net.tree)
    assert said(again) == said(net)
    assert again.tally() == net.tally()
    assert spec.groups == (net.groups,)
    assert spec.image == net.frame.size
    assert (spec.options, spec.hints) == ({}, ())
    sizes = [row.output for row in net.rows]
    printed = [row.output is not None for row in net.spec.rows[1:]]
    assert [row.output for row in spec.rows[1:]] == [
        size if has else None for size, has in zip(sizes, printed, strict=True)
    ]
    assert written(again) == text
    return spec


# --- what is written is the network


@settings(deadline=None, max_examples=200)
@given(networks())
def test_a_network_that_is_written_is_read_again_as_it_was(net: Network) -> None:
    written_again(net)


@st.composite
def scaled(draw: st.DrawFn) -> Network:
    """A network of other widths than its spec's, and perhaps of one unit throughout."""
    spec = draw(specs(max_stages=2, max_side=16))
    scale = draw(st.sampled_from(("0.5", "2", "3", "1.25")))
    unit = draw(st.none() | st.sampled_from(STAGE_UNITS))
    cardinality = draw(st.sampled_from((1, 2, 16)))
    groups = draw(st.sampled_from(spec.groups))
    try:
        return network(spec, groups, scale=scale, unit=unit, cardinality=cardinality)
    except NothingLegalError:
        reject()


@settings(deadline=None, max_examples=150)
@given(scaled())
def test_widths_that_are_not_the_specs_take_their_options_with_them(net: Network) -> None:
    written_again(net)


@pytest.mark.parametrize(("name", "groups"), COLUMNS)
def test_every_column_of_every_bundled_spec_is_written_as_it_is(name: str, groups: int) -> None:
    net = network(load(name), groups)
    spec = written_again(net)
    column = net.spec.groups.index(groups)
    for row, own in zip(spec.rows, net.spec.rows, strict=True):
        assert (row.layer, row.unit, row.stride, row.repeat) == (
            *(own.layer, own.unit, own.stride),
            own.repeat,
        )
        assert row.channels == (own.channels and own.channels[column : column + 1])
        assert (row.note, row.fixed, row.ratio) == (own.note, own.fixed, own.ratio)
        assert own.options.items() <= row.options.items()


@pytest.mark.parametrize("scale", ["0.25", "0.5", "2"])
@pytest.mark.parametrize(
    "name", ["shufflenet", "mobilenet_v3_small", "googlenet", "pvanet_fc", "squeezenet1_0"]
)
def test_a_bundled_spec_is_written_at_other_scales_and_sizes(name: str, scale: str) -> None:
    net = network(load(name), scale=scale, size=(160, 192))
    assert written_again(net).rows[0].output == (160, 192)


def test_options_are_written_for_the_settled_width() -> None:
    half = written_again(network(load("mobilenet_v3_small"), scale="0.5"))
    bneck = next(row for row in half.rows if row.layer == "Bneck4")
    assert bneck.channels == (40 // 2,)
    assert bneck.options == {"eps": "0.001", "hidden": 96 // 2, "se": 24 // 2, "act": "hardswish"}
    half = written_again(network(load("pvanet"), scale="0.5"))
    towers = [row.options["towers"] for row in half.rows if "towers" in row.options]
    assert towers[0] == ((64 // 2,), (48 // 2, 128 // 2), (24 // 2, 48 // 2, 48 // 2))


def test_widths_and_stem_that_were_given_are_written() -> None:
    net = network(TABLE_1, 3, stem=12, widths=(60, 120, 240))
    spec = written_again(net)
    channels = {row.layer: row.channels for row in spec.rows}
    assert channels["Conv1"] == (12,)
    assert [channels[f"Stage{index}"] for index in (2, 3, 4)] == [(60,), (120,), (240,)]


def test_groups_that_are_no_column_are_written_as_the_only_one() -> None:
    net = network(load("resnet50"), 5, widths=(64, 128, 256, 512))
    assert written_again(net).groups == (5,)


# --- another unit, another bottleneck


@pytest.mark.parametrize("cardinality", [2, 16])
@pytest.mark.parametrize("unit", STAGE_UNITS)
@pytest.mark.parametrize("name", ["shufflenet", "mobilenet_v3_large", "resnext50_32x4d"])
def test_a_replaced_unit_stands_in_the_rows(name: str, unit: str, cardinality: int) -> None:
    net = network(load(name), unit=unit, cardinality=cardinality)
    spec = written_again(net)
    for row, own in zip(spec.rows[1:], net.spec.rows[1:], strict=True):
        assert row.unit == (unit if UNITS[own.unit].stage else own.unit)
        chosen = cardinality if row.unit == "resnext" else None
        assert row.options.get("cardinality") == chosen


def test_a_footnote_stays_with_the_unit_that_it_is_about() -> None:
    notes = [row.note for row in TABLE_1.rows if row.note]
    kept = written_again(network(TABLE_1, unit="shufflenet"))
    assert [row.note for row in kept.rows if row.note] == notes
    replaced = written_again(network(TABLE_1, unit="resnet"))
    assert [row.note for row in replaced.rows if row.note] == []


@pytest.mark.parametrize("bottleneck", [1, 2, 3, 8])
@pytest.mark.parametrize("unit", [None, *STAGE_UNITS])
def test_a_frames_bottleneck_is_the_ratio_of_each_row(unit: str | None, bottleneck: int) -> None:
    frame = Frame(TABLE_1, 1, (64, 96), unit, 2, bottleneck=bottleneck)
    spec = written_again(assemble(frame, base_widths(frame)))
    ratios = {row.ratio for row in spec.rows if row.layer.startswith("Stage")}
    assert ratios == {None if unit == "vgg" else bottleneck}


# --- texts


def test_a_row_is_a_line_in_the_order_of_table_1() -> None:
    lines = written(network(TABLE_1, 8, scale="0.5")).splitlines()
    assert lines[:5] == [
        'title = "ShuffleNet"',
        "groups = [8]",
        "",
        "rows = [",
        '  { layer = "Image", output = "224x224", unit = "image", channels = 3 },',
    ]
    assert (
        '  { layer = "Stage3", output = "14x14", stride = 1, repeat = 7, unit = "shufflenet",'
        ' ratio = "1:4", channels = 384 },'
    ) in lines
    assert lines[7].endswith(
        " channels = 192, options = { first_groups = 1 },"
        ' note = "group convolution is not applied on the first pointwise layer" },'
    )
    assert len(lines) == len(TABLE_1.rows) + 5


printable = st.text(
    st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" \n\"\\'{}#=[],"), max_size=30
).filter(lambda text: text.replace("\n", " ").isprintable())


@settings(deadline=None)
@given(printable, printable, st.lists(printable, max_size=3))
def test_texts_at_the_top_survive(title: str, source: str, notes: Sequence[str]) -> None:
    net = network(TABLE_1)
    text = written(net, title=title, source=source, notes=notes)
    spec = read(text)
    assert spec.title == (title or "ShuffleNet")
    assert (spec.source, spec.notes) == (source, tuple(notes))
    again = network(spec)
    assert written(again, source=spec.source, notes=spec.notes) == text


def test_a_title_with_quotes_newlines_and_accents_survives() -> None:
    title = 'the "best"\nof \\n 13M, désormais 网络 🙂'
    assert read(written(network(TABLE_1), title=title)).title == title


def test_a_spec_without_a_title_is_written_under_its_name() -> None:
    assert read(written(network(replace(TABLE_1, title="", name="mine")))).title == "mine"


def free(place: Place) -> Layer:
    return Chain((("conv", Conv(place.c_in, place.c_out, stride=place.stride)),))


unicode = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
values: st.SearchStrategy[Option] = (
    st.booleans()
    | st.integers(0, 1_048_576)
    | unicode
    | st.lists(
        st.lists(st.integers(1, 1_048_576), min_size=1, max_size=3).map(tuple),
        min_size=1,
        max_size=3,
    ).map(tuple)
)


@settings(deadline=None)
@given(st.dictionaries(unicode, values, max_size=3), unicode.filter(str.isprintable))
def test_whatever_a_unit_of_ones_own_takes_survives(options: dict[str, Any], note: str) -> None:
    row = replace(stage("Stage2", f"{HERE}:free", (4,), options=options), note=note)
    spec = written_again(network(own_spec(image(8, 8), row), units_from=[HERE]))
    (kept,) = spec.rows[1:]
    assert dict(kept.options) == options
    assert [type(value) for value in kept.options.values()] == [
        type(value) for value in options.values()
    ]
    assert (kept.unit, kept.note) == (f"{HERE}:free", note)


@pytest.mark.parametrize("text", ["a\x00b", "\u2028", "\ud800", "x" * 2_001])
def test_a_text_that_no_spec_may_hold_is_refused(text: str) -> None:
    net = network(TABLE_1)
    for head in ({"title": text}, {"source": text}, {"notes": [text]}):
        with pytest.raises(SpecError, match=r"^specs/shufflenet.toml, written: "):
            written(net, **head)  # type: ignore[arg-type]


def test_more_than_a_file_may_hold_is_refused() -> None:
    notes = ["x" * 2_000] * (MAX_BYTES // 2_000)
    with pytest.raises(SpecError, match=f"written: more than {MAX_BYTES} bytes"):
        written(network(TABLE_1), notes=notes)


# --- what cannot be written


def follows(place: Place) -> Layer:
    """A unit whose option is a width, which a function cannot say."""
    inner = place.inner(int(place.number("inside", 8)))
    return Chain((("in", Conv(place.c_in, inner)), ("out", Conv(inner, place.c_out))))


def halved(place: Place) -> Layer:
    """The same, rounded down where it is not whole."""
    inner = int(place.number("inside", 8)) * place.c_out // place.own
    return Chain((("in", Conv(place.c_in, inner)), ("out", Conv(inner, place.c_out))))


def joins(place: Place) -> Layer:
    """A unit that joins its branches otherwise at another width than its spec's."""
    same = (("one", Conv(place.c_in, place.c_in)), ("other", Conv(place.c_in, place.c_in)))
    joined = Branches(same, "add" if place.c_out == place.own else "mul")
    return Chain((("joined", joined), ("out", Conv(place.c_in, place.c_out))))


says = Unit("says", halved, "", options=MappingProxyType({"inside": int}), inside=("inside",))
paths = Unit("paths", follows, "", splits="cardinality", ratio=2, rounds="down")
refuses = Unit("refuses", free, "")


def mine(name: str, **options: Option) -> Spec:
    return own_spec(image(8, 8), stage("Stage2", f"{HERE}:{name}", (16,), options=options))


def test_a_unit_of_ones_own_is_written_at_the_width_of_its_options() -> None:
    written_again(network(mine("follows", inside=6), units_from=[HERE]))


def test_a_unit_that_may_have_widths_in_its_options_is_refused_at_another_width() -> None:
    net = network(mine("follows", inside=6), scale=2, units_from=[HERE])
    with pytest.raises(
        SpecError,
        match=rf"^own: Stage2, g=1: cannot be written: at width 32 unit {HERE}:follows makes"
        " another layer of options for width 16 than of the same for its own",
    ):
        written(net)


def test_a_unit_that_joins_otherwise_at_another_width_is_refused_though_its_leaves_stay() -> None:
    written_again(network(mine("joins"), units_from=[HERE]))
    with pytest.raises(SpecError, match="makes another layer"):
        written(network(mine("joins"), scale=2, units_from=[HERE]))


def test_a_unit_whose_options_do_not_follow_its_width_is_written_at_any() -> None:
    spec = written_again(network(mine("free", inside=6), scale=2, units_from=[HERE]))
    assert spec.rows[1].options == {"inside": 6}


def test_a_unit_that_says_which_options_are_widths_is_written_at_any_where_they_are_whole() -> None:
    double = network(mine("says", inside=6), scale=2, units_from=[HERE])
    assert written_again(double).rows[1].options == {"inside": 2 * 6}
    odd = network(mine("says", inside=5), widths=(8,), units_from=[HERE])
    with pytest.raises(
        SpecError,
        match=r"^own: Stage2, g=1: cannot be written: option inside: 5 at width 16 is no whole"
        " number at width 8",
    ):
        written(odd)


def test_the_cardinality_of_a_unit_of_ones_own_is_written() -> None:
    net = network(mine("paths"), cardinality=4, units_from=[HERE])
    assert written_again(net).rows[1].options == {"cardinality": 4}


def test_a_window_that_a_replaced_unit_does_not_take_is_left_out() -> None:
    net = network(load("mobilenet_v3_small"), unit=f"{HERE}:refuses", units_from=[HERE])
    stages = [row for row in written_again(net).rows if row.unit == f"{HERE}:refuses"]
    assert {row.kernel for row in stages} == {None}


def test_an_inner_width_past_the_limit_is_refused() -> None:
    row = stage("Stage2", "crelu_block", (2,), options={"inner": 1_000_000})
    net = network(own_spec(image(8, 8), row), widths=(4,))
    with pytest.raises(
        SpecError,
        match=r"^own: Stage2, g=1: cannot be written: option inner 2000000 is not between",
    ):
        written(net)


def test_the_window_of_a_global_pool_is_what_it_pools() -> None:
    def window(size: tuple[int, int]) -> int | None:
        spec = written_again(network(TABLE_1, size=size))
        (pool,) = (row for row in spec.rows if row.unit == "global_pool")
        return pool.kernel

    assert [window(size) for size in ((224, 224), (448, 448), (224, 448))] == [7, 14, None]


def test_a_fixed_row_keeps_its_width_and_stays_fixed() -> None:
    spec = written_again(network(load("squeezenet1_0"), scale="0.5"))
    (last,) = (row for row in spec.rows if row.layer == "Conv10")
    assert (last.channels, last.fixed) == ((1000,), True)


def test_a_written_network_can_be_scaled_as_any_spec() -> None:
    net = network(load("mobilenet_v3_large"), scale="0.5")
    again = network(read(written(net)), scale=2)
    assert list(leaves(again.tree)) == list(leaves(network(load("mobilenet_v3_large")).tree))


def test_the_rows_that_print_no_size_print_none() -> None:
    row = Row("Stage2", "vgg", channels=(4,))
    assert written_again(network(own_spec(image(8, 8), row))).rows[1].output is None
