"""Rows become one checked tree: its paths, its sizes, and the errors where a rule is broken."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopcount.conventions import price
from flopcount.layers import Conv, Linear, Pool, Shuffle, leaves
from shufflenet import Network, SpecError, load, network
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.spec import Spec
from shufflenet.arch.spec_reader import bundled, loads
from tests.shufflenet.arch.spec_strategies import CONV, IMAGE, document

TABLE_1 = load("shufflenet")


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """A copy of Table 1's spec with some texts changed."""
    text = Path(bundled()["shufflenet"]).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return file


def mine(*rows: str, head: str = "") -> Spec:
    return loads(document(IMAGE, *rows, head=head), name="mine", file="mine.toml")


def cost(net: Network) -> int:
    return price(net.tally(memory=False), "macs")


# --- the tree


def test_the_paths_of_table_1_are_its_layers_and_the_units_of_its_stages() -> None:
    paths = [path for path, _ in leaves(network(TABLE_1, 3).tree)]
    roots = list(dict.fromkeys(".".join(path.split(".")[:2]) for path in paths))
    assert roots == [
        *["conv1.conv", "conv1.conv_norm", "conv1.conv_relu", "maxpool"],
        *[f"stage2.unit{i}" for i in (1, 2, 3, 4)],
        *[f"stage3.unit{i}" for i in (1, 2, 3, 4, 5, 6, 7, 8)],
        *[f"stage4.unit{i}" for i in (1, 2, 3, 4)],
        *["globalpool", "fc.flatten", "fc.linear"],
    ]
    assert len(paths) == len(set(paths))


def test_the_first_pointwise_layer_alone_is_not_grouped() -> None:
    found = dict(leaves(network(TABLE_1, 3).tree))
    pointwise = {
        p: leaf for p, leaf in found.items() if isinstance(leaf, Conv) and leaf.kernel == 1
    }
    assert len(pointwise) == 2 * (4 + 8 + 4)
    ungrouped = [path for path, leaf in pointwise.items() if leaf.groups == 1]
    assert ungrouped == ["stage2.unit1.residual.body.compress"]
    assert {leaf.groups for path, leaf in pointwise.items() if path not in ungrouped} == {3}
    assert pointwise["stage2.unit1.residual.body.compress"] == Conv(24, 60)
    assert pointwise["stage3.unit1.residual.body.compress"] == Conv(240, 120, groups=3)


def test_the_rows_in_place_are_those_of_table_1() -> None:
    net = network(TABLE_1, 8)
    rows = [(r.row.layer, r.channels, r.output, len(r.paths), r.m, r.ratio) for r in net.rows]
    assert rows == [
        ("Conv1", 24, (112, 112), 1, None, None),
        ("MaxPool", 24, (56, 56), 1, None, None),
        ("Stage2", 384, (28, 28), 1, 96, 4),
        ("Stage2", 384, (28, 28), 3, 96, 4),
        ("Stage3", 768, (14, 14), 1, 192, 4),
        ("Stage3", 768, (14, 14), 7, 192, 4),
        ("Stage4", 1536, (7, 7), 1, 384, 4),
        ("Stage4", 1536, (7, 7), 3, 384, 4),
        ("GlobalPool", 1536, (1, 1), 1, None, None),
        ("FC", 1000, (1, 1), 1, None, None),
    ]
    assert net.rows[3].paths == ("stage2.unit2", "stage2.unit3", "stage2.unit4")
    assert net.rows[0].paths == ("conv1",)
    assert [row.groups for row in net.rows[2:8]] == [8] * 6


@pytest.mark.parametrize(
    ("groups", "widths"),
    [
        (1, (144, 288, 576)),
        (2, (200, 400, 800)),
        (3, (240, 480, 960)),
        (4, (272, 544, 1088)),
        (8, (384, 768, 1536)),
    ],
)
def test_a_column_of_table_1_is_taken_as_printed(groups: int, widths: tuple[int, ...]) -> None:
    net = network(TABLE_1, groups)
    assert (net.groups, net.stem, net.stage_widths, net.rounded) == (groups, 24, widths, ())
    assert tuple(net.input) == (1, 3, 224, 224)


def test_without_a_column_named_the_default_is_taken() -> None:
    assert network(TABLE_1).groups == 3
    assert network(dataclasses.replace(TABLE_1, default_groups=None)).groups == 1


@pytest.mark.parametrize(
    ("name", "depth"), [("shufflenet", 50), ("noshuffle", 50), ("arch2", 44), ("shallow", 26)]
)
@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
def test_the_depth_is_the_papers(name: str, groups: int, depth: int) -> None:
    assert network(load(name), groups).depth == depth


@pytest.mark.parametrize(
    ("name", "repeats"),
    [("arch2", (1, 3, 1, 5, 1, 3)), ("shallow", (1, 1, 1, 3, 1, 1))],
)
def test_arch2_and_shallow_are_table_1_with_only_repeats_changed(
    name: str, repeats: tuple[int, ...]
) -> None:
    other = load(name)
    assert tuple(row.repeat for row in other.rows[3:9]) == repeats
    assert tuple(row.repeat for row in TABLE_1.rows[3:9]) == (1, 3, 1, 7, 1, 3)
    as_in_table_1 = tuple(
        dataclasses.replace(row, repeat=ours.repeat)
        for row, ours in zip(other.rows, TABLE_1.rows, strict=True)
    )
    assert as_in_table_1 == TABLE_1.rows
    assert other.groups == TABLE_1.groups


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
def test_noshuffle_has_the_same_cost_and_layers_but_for_the_shuffles(groups: int) -> None:
    ours, theirs = network(TABLE_1, groups), network(load("noshuffle"), groups)
    shuffled = list(leaves(ours.tree))
    assert sum(isinstance(leaf, Shuffle) for _, leaf in shuffled) == (16 if groups > 1 else 0)
    assert list(leaves(theirs.tree)) == [p for p in shuffled if not isinstance(p[1], Shuffle)]
    assert cost(ours) == cost(theirs)
    assert ours.tally().params == theirs.tally().params


# --- sizes


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            '"28x28",   stride = 2',
            '"27x27",   stride = 2',
            "Stage2, g=1: output 27x27 is printed, but stride 2 from 56x56 gives 28x28",
        ),
        (
            '"28x28",   stride = 1',
            '"14x14",   stride = 1',
            "Stage2, g=1: output 14x14 is printed, but stride 1 from 28x28 gives 28x28",
        ),
        (
            '"112x112", ksize = "3x3", stride = 2',
            '"112x112", ksize = "3x3", stride = 1',
            "Conv1, g=1: output 112x112 is printed, but stride 1 from 224x224 gives 224x224",
        ),
        (
            '"1x1", ksize = "7x7", unit = "global_pool"',
            '"7x7", ksize = "7x7", unit = "global_pool"',
            "GlobalPool, g=1: output 7x7 is printed, but stride 1 from 7x7 gives 1x1",
        ),
    ],
)
def test_a_printed_size_that_does_not_come_out_is_refused_at_the_own_size_only(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    file = edited(tmp_path, (old, new))
    spec = load(file)
    with pytest.raises(SpecError) as caught:
        network(spec, 1)
    assert str(caught.value) == f"{file}: {says}"
    with pytest.raises(SpecError):
        network(spec, 1, size=(224, 224))
    recomputed = network(spec, 1, size=(192, 256))
    assert recomputed.rows[0].output[0] in (96, 192)


@given(h=st.integers(1, 700), w=st.integers(1, 700))
@settings(deadline=None, max_examples=30)
def test_at_another_size_every_output_is_recomputed_rounding_up(h: int, w: int) -> None:
    net = network(TABLE_1, 1, size=(h, w))
    outputs = [row.output for row in net.rows]
    strides = (2, 4, 8, 8, 16, 16, 32, 32)
    assert outputs[:8] == [(-(-h // s), -(-w // s)) for s in strides]
    assert outputs[8:] == [(1, 1), (1, 1)]
    assert tuple(net.input) == (1, 3, h, w)


def test_the_global_pool_is_global_at_480x640() -> None:
    net = network(TABLE_1, 3, size=(480, 640))
    assert [row.output for row in net.rows[-4:]] == [(15, 20), (15, 20), (1, 1), (1, 1)]
    # 49 positions of Stage4 become 300, and every other stage grows alike.
    assert price(net.tally(), "shufflenet-paper") == 136_500_672 // 49 * 300
    assert 136_500_672 % 49 == 0
    assert net.tally().params == network(TABLE_1, 3).tally().params


@pytest.mark.parametrize("size", [(0, 224), (224, 0), (-1, 5), (65_537, 1)])
def test_a_size_out_of_range_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(QuantityError, match="is not between 1 and 65536"):
        network(TABLE_1, 1, size=size)


# --- widths and the stem


def test_widths_and_a_stem_that_are_given_replace_the_columns() -> None:
    net = network(TABLE_1, 3, widths=(132, 264, 528), stem=12)
    assert (net.stem, net.stage_widths, net.rounded) == (12, (132, 264, 528), ())
    found = dict(leaves(net.tree))
    assert found["conv1.conv"] == Conv(3, 12, 3, 2, 1)
    assert found["fc.linear"] == Linear(528, 1000)
    assert network(TABLE_1, 3, widths=(132, 264, 528)).stem == 24


def test_widths_need_no_ratio() -> None:
    assert network(TABLE_1, 1, widths=(100, 104, 600)).stage_widths == (100, 104, 600)


def test_a_stem_that_is_given_stays_as_it_is_at_any_scale() -> None:
    net = network(TABLE_1, 3, scale="1.5", stem=24)
    assert (net.stem, net.stage_widths) == (24, (360, 720, 1440))
    assert net.scale == Decimal("1.5")


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"widths": (144,)}, "widths 144: 1 given, 3 stages (Stage2, Stage3, Stage4)"),
        ({"widths": (1, 2, 3, 4)}, "widths 1,2,3,4: 4 given, 3 stages"),
        ({"widths": ()}, "0 given, 3 stages"),
        ({"widths": (0, 4, 8)}, "width 0 is not between 1 and 1048576"),
        ({"widths": (144, 288, -576)}, "width -576 is not between"),
        ({"widths": (144, 288, 2_000_000)}, "width 2000000 is not between"),
        ({"stem": 0}, "width 0 is not between"),
        ({"stem": -24}, "width -24 is not between"),
        ({"scale": 0}, "scale 0 is not a number above 0"),
        ({"scale": "-1"}, "scale '-1' is not a number above 0"),
        ({"scale": "nan"}, "is not a number such as 0.5"),
        ({"scale": 1001}, "scale 1001 is not a number above 0 (at least 1e-6), at most 1000"),
        ({"scale": "half"}, "half"),
        ({"scale": ""}, "scale"),
    ],
)
def test_a_number_out_of_range_is_refused(kwargs: dict[str, Any], says: str) -> None:
    with pytest.raises(QuantityError) as caught:
        network(TABLE_1, 1, **kwargs)
    assert says in str(caught.value)


def test_a_spec_without_a_stem_takes_none() -> None:
    spec = mine('{ layer = "Stage2", unit = "vgg", channels = 8 }')
    assert network(spec).stem is None
    with pytest.raises(SpecError, match=r"^mine\.toml: has no stem, so none can be 12$"):
        network(spec, stem=12)


# --- rules


def test_an_unknown_column_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError) as caught:
        network(TABLE_1, 5)
    assert str(caught.value) == (
        "specs/shufflenet.toml: no column g = 5; columns are g = 1, 2, 3, 4, 8"
    )


def test_a_width_that_is_no_multiple_is_refused_with_file_row_groups_value_and_rule(
    tmp_path: Path,
) -> None:
    file = edited(
        tmp_path,
        ("groups = [1, 2, 3, 4, 8]\ndefault_groups = 3", "groups = [7]"),
        ("[24, 24, 24, 24, 24]", "[28]"),
        ("[144, 200, 240, 272, 384]", "[252]"),
        ("[288, 400, 480, 544, 768]", "[480]"),
        ("[576, 800, 960, 1088, 1536]", "[1008]"),
    )
    with pytest.raises(SpecError) as caught:
        network(load(file))
    assert str(caught.value) == f"{file}: Stage3, g=7: width 480 is not a multiple of 4*g = 28"


@pytest.mark.parametrize(
    ("groups", "kwargs", "says"),
    [
        (4, {"widths": (136, 272, 544)}, "Stage2, g=4: width 136 is not a multiple of 4*g = 16"),
        (1, {"widths": (50, 100, 200)}, "Stage2, g=1: width 50 is not a multiple of 4*g = 4"),
        (
            3,
            {"stem": 25},
            "Stage2, g=3: added width (out - in) 215 is not a multiple of g = 3",
        ),
        (
            1,
            {"widths": (24, 48, 96)},
            "Stage2, g=1: added width (out - in) 0 is less than 1",
        ),
        (
            1,
            {"widths": (8, 16, 32)},
            "Stage2, g=1: added width (out - in) -16 is less than 1",
        ),
        (
            1,
            {"widths": (288, 144, 576)},
            "Stage3, g=1: added width (out - in) -144 is less than 1",
        ),
        (
            1,
            {"widths": (50, 100, 200), "unit": "resnet"},
            "Stage2, g=1: width 50 is not a multiple of 4",
        ),
    ],
)
def test_a_broken_rule_is_refused_with_file_row_groups_value_and_rule(
    groups: int, kwargs: dict[str, Any], says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        network(TABLE_1, groups, **kwargs)
    assert str(caught.value) == f"specs/shufflenet.toml: {says}"


@pytest.mark.parametrize(
    ("layer", "keys"),
    [
        ("Big", 'unit = "conv", ksize = "35x35", channels = 8, options = { padding = 0 }'),
        ("Big", 'unit = "max_pool", ksize = "33x33", options = { padding = 0 }'),
        ("Odd", 'unit = "max_pool", ksize = "3x3", options = { padding = 2 }'),
        ("Odd", 'unit = "resnext", channels = 8, options = { cardinality = 0 }'),
        ("Odd", 'unit = "shufflenet", channels = 8, options = { first_groups = 0 }'),
        ("Odd", 'unit = "vgg", channels = 8, options = { padding = 1 }'),
        ("FC", 'unit = "fc", channels = 10'),
        ("Stage2", 'unit = "unheard_of", channels = 8'),
        ("Stage2", 'unit = "os:system", channels = 8'),
        ("Stage2", 'unit = "vgg"'),
    ],
)
def test_a_row_that_does_not_fit_is_refused_with_its_layer(layer: str, keys: str) -> None:
    spec = mine(f'{{ layer = "{layer}", {keys} }}')
    with pytest.raises(SpecError) as caught:
        network(spec)
    assert str(caught.value).startswith(f"mine.toml: {layer}, g=1: ")


@pytest.mark.parametrize(
    "after",
    [
        CONV,
        '{ layer = "Pool", unit = "max_pool", ksize = "3x3" }',
        '{ layer = "Pool", unit = "global_pool" }',
        '{ layer = "Stage2", unit = "shufflenet", channels = 16 }',
        '{ layer = "Stage2", unit = "vgg", channels = 16 }',
    ],
)
def test_a_layer_of_images_behind_a_classifier_is_refused(after: str) -> None:
    classifier = '{ layer = "FC", unit = "fc", channels = 10 }'
    pool = '{ layer = "First", unit = "global_pool" }'
    spec = mine(pool, classifier, after)
    with pytest.raises(SpecError, match=r"^mine\.toml: (Conv1|Pool|Stage2), g=1: "):
        network(spec)


def test_one_width_for_all_columns_serves_every_number_of_groups() -> None:
    spec = mine('{ layer = "Stage2", unit = "shufflenet", channels = 67, stride = 2 }')
    # 67 = 3 + 64, and 4*g divides neither
    for groups in (1, 2, 4):
        with pytest.raises(SpecError, match=f"width 67 is not a multiple of 4\\*g = {4 * groups}"):
            network(spec, groups)
    assert network(mine('{ layer = "Stage2", unit = "vgg", channels = 67 }'), 4).groups == 4


# --- other units


def test_a_unit_in_place_of_the_stages_leaves_the_other_rows() -> None:
    found = dict(leaves(network(TABLE_1, 3, unit="resnet").tree))
    assert found["conv1.conv"] == Conv(3, 24, 3, 2, 1)
    assert found["maxpool"] == Pool("max", 3, 2, 1)
    assert found["stage2.unit1.residual.body.compress"] == Conv(24, 60)
    assert found["stage2.unit1.residual.shortcut.project"] == Conv(24, 240, 1, 2)
    assert found["fc.linear"] == Linear(960, 1000)
    assert not any(isinstance(leaf, Shuffle) for leaf in found.values())


@pytest.mark.parametrize(("cardinality", "m"), [(16, 64), (32, 64), (48, 48)])
def test_a_resnext_rounds_its_bottleneck_down_to_its_cardinality(cardinality: int, m: int) -> None:
    net = network(TABLE_1, 1, unit="resnext", cardinality=cardinality, widths=(132, 264, 528))
    stage2 = net.rows[2]
    assert (stage2.m, stage2.ratio, stage2.groups) == (m, 2, cardinality)
    spatial = dict(leaves(net.tree))["stage2.unit2.residual.body.spatial"]
    assert spatial == Conv(m, m, 3, 1, 1, cardinality)


def test_the_cost_of_a_whole_network_is_the_sum_of_its_rows() -> None:
    net = network(TABLE_1, 4)
    tally = net.tally()
    parts = [tally.under(row.paths) for row in net.rows]
    assert sum(price(part, "macs") for part in parts) == 134_339_776
    assert sum(part.params for part in parts) == 1_968_344
