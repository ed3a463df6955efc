"""Each unit is the one of the paper: its leaves in order, and where norms and ReLUs stand."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopcount.entries import Shape
from flopcount.layers import (
    Act,
    Branches,
    Chain,
    Conv,
    Flatten,
    GlobalPool,
    Identity,
    Layer,
    Leaf,
    Linear,
    Norm,
    Pool,
    Shuffle,
    constraints,
    leaves,
)
from shufflenet import SpecError, load, network
from shufflenet.arch.layout import check_row
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.spec import Row
from shufflenet.units import UNITS, Place, Unit, UnitError, made, stage_unit, unit

RELU = Act("relu")
BODY, SHORT = "residual.body", "residual.shortcut"


def tree(name: str, place: Place) -> list[tuple[str, Leaf]]:
    return list(leaves(made(UNITS[name], place)))


def test_an_unknown_unit_of_a_stage_is_told_those_that_stages_are_made_of() -> None:
    with pytest.raises(UnitError) as caught:
        stage_unit("foo")
    known = str(caught.value).partition("known are ")[2].partition(";")[0].split(", ")
    assert known == [name for name, found in UNITS.items() if found.stage]
    assert "shufflenet" in known
    assert not {"conv", "max_pool", "fc"} & set(known)


def shufflenet_body(
    c: int, m: int, d: int, g: int, *, stride: int = 1, first: int | None = None
) -> list[tuple[str, Leaf]]:
    """Fig. 2 b and c: GConv, BN, ReLU, shuffle, DWConv, BN, GConv, BN."""
    first = g if first is None else first
    return [
        (f"{BODY}.compress", Conv(c, m, 1, 1, 0, first)),
        (f"{BODY}.compress_norm", Norm(m)),
        (f"{BODY}.compress_relu", RELU),
        (f"{BODY}.shuffle", Shuffle(g)),
        (f"{BODY}.depthwise", Conv(m, m, 3, stride, 1, m)),
        (f"{BODY}.depthwise_norm", Norm(m)),
        (f"{BODY}.expand", Conv(m, d, 1, 1, 0, g)),
        (f"{BODY}.expand_norm", Norm(d)),
    ]


def bottleneck_body(c: int, m: int, d: int, g: int, stride: int = 1) -> list[tuple[str, Leaf]]:
    """Fig. 2 a with a full 3x3: Conv, BN, ReLU, Conv, BN, ReLU, Conv, BN."""
    return [
        (f"{BODY}.compress", Conv(c, m)),
        (f"{BODY}.compress_norm", Norm(m)),
        (f"{BODY}.compress_relu", RELU),
        (f"{BODY}.spatial", Conv(m, m, 3, stride, 1, g)),
        (f"{BODY}.spatial_norm", Norm(m)),
        (f"{BODY}.spatial_relu", RELU),
        (f"{BODY}.expand", Conv(m, d)),
        (f"{BODY}.expand_norm", Norm(d)),
    ]


def projection(c: int, d: int, stride: int) -> list[tuple[str, Leaf]]:
    return [
        (f"{SHORT}.project", Conv(c, d, 1, stride)),
        (f"{SHORT}.project_norm", Norm(d)),
    ]


LAST = [("relu", RELU)]


# --- the ShuffleNet unit


def test_a_shufflenet_unit_of_stride_1_is_fig_2_b() -> None:
    found = tree("shufflenet", Place(240, 240, 60, 1, 3))
    assert found == [(SHORT, Identity()), *shufflenet_body(240, 60, 240, 3), *LAST]


def test_a_shufflenet_unit_of_stride_2_is_fig_2_c() -> None:
    found = tree("shufflenet", Place(240, 480, 120, 2, 3))
    body = shufflenet_body(240, 120, 480 - 240, 3, stride=2)
    assert found == [(SHORT, Pool("avg", 3, 2, 1)), *body, *LAST]


@pytest.mark.parametrize(("stride", "join"), [(1, "add"), (2, "concat")])
def test_a_shufflenet_unit_adds_at_stride_1_and_concatenates_at_stride_2(
    stride: int, join: str
) -> None:
    layer = made(UNITS["shufflenet"], Place(240, 240 * stride, 60 * stride, stride, 3))
    assert isinstance(layer, Chain)
    [(name, branches), last] = layer.children
    assert isinstance(branches, Branches)
    assert (name, branches.join, last) == ("residual", join, ("relu", RELU))
    assert [name for name, _ in branches.children] == ["shortcut", "body"]


def test_a_shufflenet_unit_that_widens_at_stride_1_pools_without_a_stride() -> None:
    found = tree("shufflenet", Place(24, 240, 60, 1, 3))
    assert found[0] == (SHORT, Pool("avg", 3, 1, 1))
    assert found[1:] == [*shufflenet_body(24, 60, 240 - 24, 3), *LAST]


def test_the_first_pointwise_layer_takes_groups_of_its_own() -> None:
    place = Place(24, 240, 60, 2, 3, options=MappingProxyType({"first_groups": 1}))
    found = tree("shufflenet", place)
    assert found[1:] == [*shufflenet_body(24, 60, 216, 3, stride=2, first=1), *LAST]


def test_a_shuffle_can_be_left_out_and_nothing_else_changes() -> None:
    place = Place(240, 240, 60, 1, 3)
    without = tree("shufflenet", place._replace(options={"shuffle": False}))
    shuffled = tree("shufflenet", place._replace(options={"shuffle": True}))
    assert shuffled == tree("shufflenet", place)
    assert without == [leaf for leaf in shuffled if leaf[1] != Shuffle(3)]
    assert len(without) == len(shuffled) - 1


def test_one_group_has_nothing_to_shuffle() -> None:
    found = tree("shufflenet", Place(144, 144, 36, 1, 1))
    body = [leaf for leaf in shufflenet_body(144, 36, 144, 1) if leaf[1] != Shuffle(1)]
    assert found == [(SHORT, Identity()), *body, *LAST]


@pytest.mark.parametrize("stride", [1, 2])
def test_an_xception_unit_is_the_shufflenet_unit_with_one_group(stride: int) -> None:
    place = Place(144, 144 * stride, 36 * stride, stride, 8)
    assert tree("xception", place) == tree("shufflenet", place._replace(groups=1))


# --- the others


def test_a_resnet_unit_is_a_bottleneck_with_a_full_3x3() -> None:
    found = tree("resnet", Place(48, 48, 12, 1, 3))
    assert found == [(SHORT, Identity()), *bottleneck_body(48, 12, 48, 1), *LAST]


def test_a_resnext_unit_groups_only_its_3x3() -> None:
    found = tree("resnext", Place(256, 256, 128, 1, 32))
    assert found == [(SHORT, Identity()), *bottleneck_body(256, 128, 256, 32), *LAST]


@pytest.mark.parametrize(("name", "g"), [("resnet", 1), ("resnext", 4)])
def test_a_bottleneck_strides_in_its_3x3_and_projects_with_a_norm(name: str, g: int) -> None:
    found = tree(name, Place(48, 96, 24, 2, g))
    assert found == [*projection(48, 96, 2), *bottleneck_body(48, 24, 96, g, stride=2), *LAST]


@pytest.mark.parametrize(("name", "g"), [("resnet", 1), ("resnext", 4)])
@pytest.mark.parametrize(("c", "d", "stride"), [(48, 96, 1), (48, 48, 2)])
def test_a_bottleneck_projects_where_it_only_widens_or_only_strides(
    name: str, g: int, c: int, d: int, stride: int
) -> None:
    found = tree(name, Place(c, d, 24, stride, g))
    assert found == [*projection(c, d, stride), *bottleneck_body(c, 24, d, g, stride), *LAST]


@pytest.mark.parametrize("name", ["resnet", "resnext"])
@pytest.mark.parametrize(("d", "stride"), [(48, 1), (96, 2)])
def test_a_bottleneck_adds_its_branches(name: str, d: int, stride: int) -> None:
    layer = made(UNITS[name], Place(48, d, 24, stride, 1))
    assert isinstance(layer, Chain)
    branches = layer.children[0][1]
    assert isinstance(branches, Branches)
    assert branches.join == "add"


@pytest.mark.parametrize(("c", "d", "stride"), [(12, 12, 1), (12, 25, 2), (12, 25, 1), (12, 12, 2)])
def test_a_vgg_block_is_two_3x3_and_has_no_shortcut(c: int, d: int, stride: int) -> None:
    assert tree("vgg", Place(c, d, 0, stride)) == [
        ("conv1", Conv(c, d, 3, stride, 1)),
        ("conv1_norm", Norm(d)),
        ("conv1_relu", RELU),
        ("conv2", Conv(d, d, 3, 1, 1)),
        ("conv2_norm", Norm(d)),
        ("conv2_relu", RELU),
    ]


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        (
            "conv",
            Place(3, 24, 0, 2, kernel=3),
            [("conv", Conv(3, 24, 3, 2, 1)), ("conv_norm", Norm(24)), ("conv_relu", RELU)],
        ),
        (
            "conv",
            Place(3, 24, 0, 2, kernel=7, options={"padding": 0}),
            [("conv", Conv(3, 24, 7, 2, 0)), ("conv_norm", Norm(24)), ("conv_relu", RELU)],
        ),
        ("max_pool", Place(24, 24, 0, 2, kernel=3), [("", Pool("max", 3, 2, 1))]),
        (
            "max_pool",
            Place(24, 24, 0, 2, kernel=2, options={"padding": 1}),
            [("", Pool("max", 2, 2, 1))],
        ),
        ("global_pool", Place(960, 960), [("", GlobalPool())]),
        ("fc", Place(960, 1000), [("flatten", Flatten()), ("linear", Linear(960, 1000))]),
    ],
)
def test_a_plain_layer_is_what_its_row_says(
    name: str, place: Place, expected: list[tuple[str, Leaf]]
) -> None:
    assert tree(name, place) == expected


# --- what holds for all of them


@st.composite
def places(draw: st.DrawFn) -> tuple[str, Place]:
    name = draw(st.sampled_from(["shufflenet", "xception", "resnet", "resnext", "vgg"]))
    g = draw(st.integers(1, 8))
    c = draw(st.integers(1, 12)) * 4 * g
    stride = draw(st.integers(1, 3))
    d = c + draw(st.integers(0, 8)) * 4 * g
    if stride > 1 and d == c:
        d = 2 * c
    options = {"shuffle": draw(st.booleans())} if name == "shufflenet" else {}
    return name, Place(c, d, d // 4, stride, g, 3, options)


@given(drawn=places())
@settings(deadline=None, max_examples=100)
def test_every_convolution_has_its_norm_behind_it_and_no_bias(drawn: tuple[str, Place]) -> None:
    found = tree(*drawn)
    convolutions = [at for at, (_, leaf) in enumerate(found) if isinstance(leaf, Conv)]
    assert convolutions
    for at in convolutions:
        path, leaf = found[at]
        assert isinstance(leaf, Conv)
        assert not leaf.bias
        assert found[at + 1] == (f"{path}_norm", Norm(leaf.c_out))


@given(drawn=places())
@settings(deadline=None, max_examples=100)
def test_no_relu_follows_a_depthwise_convolution_or_the_last_norm_of_a_branch(
    drawn: tuple[str, Place],
) -> None:
    name, place = drawn
    found = dict(tree(name, place))
    silent = {f"{BODY}.depthwise_relu", f"{BODY}.expand_relu", f"{SHORT}.project_relu"}
    assert not silent & set(found)
    relus = [path for path, leaf in found.items() if leaf == RELU]
    bottleneck = [f"{BODY}.compress_relu", f"{BODY}.spatial_relu", "relu"]
    assert (
        relus
        == {
            "shufflenet": [f"{BODY}.compress_relu", "relu"],
            "xception": [f"{BODY}.compress_relu", "relu"],
            "resnet": bottleneck,
            "resnext": bottleneck,
            "vgg": ["conv1_relu", "conv2_relu"],
        }[name]
    )


@given(drawn=places(), h=st.integers(1, 30), w=st.integers(1, 30))
@settings(deadline=None, max_examples=100)
def test_a_legal_place_keeps_every_rule_and_gives_the_width_and_the_strided_size(
    drawn: tuple[str, Place], h: int, w: int
) -> None:
    name, place = drawn
    walk = constraints(made(UNITS[name], place), Shape(1, place.c_in, h, w))
    rules = []
    while True:
        try:
            rules.append(next(walk))
        except StopIteration as end:
            shape = end.value
            break
    assert [str(rule) for _, rule in rules if not rule.holds()] == []
    assert tuple(shape) == (1, place.c_out, -(-h // place.stride), -(-w // place.stride))


@pytest.mark.parametrize(
    ("name", "c", "g", "m"),
    [
        ("shufflenet", 240, 3, 60),
        ("xception", 144, 8, 36),
        ("resnet", 48, 1, 12),
        ("resnext", 256, 32, 128),
        ("resnext", 192, 16, 96),
        # 1:2 rounded down to a multiple of the cardinality: 24 -> 16, 50 -> 48
        ("resnext", 48, 16, 16),
        ("resnext", 100, 16, 48),
        # and never less than one channel for each path
        ("resnext", 20, 16, 16),
        ("vgg", 50, 1, 0),
    ],
)
def test_a_bottleneck_follows_from_the_width(name: str, c: int, g: int, m: int) -> None:
    found, rules = UNITS[name].bottleneck(c, g)
    assert found == m
    assert all(rule.holds() for rule in rules)


@pytest.mark.parametrize(
    ("name", "c", "g", "ratio", "says"),
    [
        ("shufflenet", 480, 7, None, "width 480 is not a multiple of 4*g = 28"),
        ("shufflenet", 136, 4, None, "width 136 is not a multiple of 4*g = 16"),
        ("shufflenet", 240, 3, 100, "width 240 is not a multiple of 100*g = 300"),
        ("resnet", 50, 1, None, "width 50 is not a multiple of 4"),
        ("xception", 50, 1, None, "width 50 is not a multiple of 4"),
    ],
)
def test_a_bottleneck_that_is_not_whole_breaks_a_rule(
    name: str, c: int, g: int, ratio: int | None, says: str
) -> None:
    _, rules = UNITS[name].bottleneck(c, g, ratio)
    assert [str(rule) for rule in rules if not rule.holds()] == [says]


# --- what a row may ask


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (Row("S", "shufflenet"), "unit shufflenet needs channels"),
        (Row("S", "shufflenet", kernel=3, channels=(8,)), "unit shufflenet takes no ksize"),
        (Row("S", "vgg", channels=(8,), ratio=4), "unit vgg takes no ratio"),
        (Row("S", "conv", channels=(8,)), "unit conv needs a ksize"),
        (Row("S", "conv", kernel=3), "unit conv needs channels"),
        (Row("S", "max_pool"), "unit max_pool needs a ksize"),
        (Row("S", "max_pool", kernel=3, channels=(8,)), "takes no channels"),
        (Row("S", "global_pool", stride=2), "unit global_pool takes no stride or repeat"),
        (Row("S", "fc", channels=(8,), repeat=2), "unit fc takes no stride or repeat"),
        (
            Row("S", "shufflenet", channels=(8,), options={"shufle": False}),
            "unit shufflenet takes no option 'shufle'; known: shuffle, first_groups",
        ),
        (
            Row("S", "vgg", channels=(8,), options={"shuffle": False}),
            "unit vgg takes no option 'shuffle'; known: none",
        ),
        (
            Row("S", "shufflenet", channels=(8,), options={"shuffle": 1}),
            "unit shufflenet: option shuffle = 1 is not of type bool",
        ),
        (
            Row("S", "shufflenet", channels=(8,), options={"first_groups": True}),
            "unit shufflenet: option first_groups = True is not of type int",
        ),
        (
            Row("S", "resnext", channels=(8,), options={"cardinality": "16"}),
            "unit resnext: option cardinality = '16' is not of type int",
        ),
        (
            Row("S", "conv", kernel=3, channels=(8,), options={"padding": False}),
            "unit conv: option padding = False is not of type int",
        ),
    ],
)
def test_a_row_that_asks_for_what_its_unit_does_not_take_is_refused(row: Row, says: str) -> None:
    with pytest.raises(UnitError) as caught:
        check_row(UNITS[row.unit], row)
    assert says in str(caught.value)


def test_the_rows_of_every_bundled_spec_are_taken_by_their_units() -> None:
    for name in ("shufflenet", "arch2", "shallow", "noshuffle"):
        for row in load(name).rows[1:]:
            check_row(UNITS[row.unit], row)


@pytest.mark.parametrize("name", ["", "nope", "Shufflenet", "shuffle net", "image"])
def test_an_unknown_unit_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnitError) as caught:
        unit(name)
    message = str(caught.value)
    assert f"unknown unit {name!r}" in message
    assert all(known in message for known in ("shufflenet", "resnet", "resnext", "xception", "vgg"))
    assert "package.module:function" in message


@pytest.mark.parametrize("name", ["image", "conv", "max_pool", "global_pool", "fc", "nope"])
def test_what_is_no_stage_cannot_stand_in_for_the_stages(name: str) -> None:
    with pytest.raises(SpecError):
        network(load("shufflenet"), 1, unit=name)


@pytest.mark.parametrize("cardinality", [0, -1, -16])
def test_a_cardinality_below_one_is_refused(cardinality: int) -> None:
    with pytest.raises((SpecError, QuantityError), match="cardinality") as caught:
        network(load("shufflenet"), 1, unit="resnext", cardinality=cardinality)
    assert str(cardinality) in str(caught.value)


# --- units of one's own

_numbers = count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of one's own, importable under a name never used before."""
    name = f"own_units_{next(_numbers)}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "units.py").write_text(
        "from flopcount.layers import Conv\n"
        "from shufflenet.units import Unit\n"
        "number = 7\n"
        "def plain(place):\n"
        "    '''A single 1x1.\n\n    And more.'''\n"
        "    return Conv(place.c_in, place.c_out, 1, place.stride)\n"
        "def nothing(place):\n"
        "    return None\n"
        "record = Unit('mine', plain, 'a record', ratio=2)\n"
    )
    (folder / "broken.py").write_text("def unit(place:\n")
    (folder / "missing.py").write_text("import no_such_module_anywhere\n")
    (folder / "reading.py").write_text("open('no-such-file.json')\n")
    (folder / "later.py").write_text("def unit(place):\n    open('no-such-file.json')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_function_of_ones_own_is_a_unit_where_its_package_is_allowed(package: str) -> None:
    found = unit(f"{package}.units:plain", (package,))
    assert (found.name, found.says) == (f"{package}.units:plain", "A single 1x1.")
    assert made(found, Place(8, 16, 0, 2)) == Conv(8, 16, 1, 2)


def test_a_unit_record_of_ones_own_serves_as_well(package: str) -> None:
    found = unit(f"{package}.units:record", (package,))
    assert (found.name, found.says, found.ratio) == (f"{package}.units:record", "a record", 2)


def test_a_unit_of_ones_own_builds_the_stages_of_a_network(package: str) -> None:
    found = network(load("shufflenet"), 1, unit=f"{package}.units:plain", units_from=[package])
    stage2 = dict(leaves(found.tree))
    assert stage2["stage2.unit1"] == Conv(24, 144, 1, 2)
    assert stage2["stage2.unit2"] == Conv(144, 144, 1, 1)


@pytest.mark.parametrize("allow", [(), ("other",), ("{}_more",), ("{}.unit",), ("{}.units.deep",)])
def test_a_unit_of_ones_own_is_refused_where_its_package_is_not_allowed(
    package: str, allow: tuple[str, ...]
) -> None:
    with pytest.raises(UnitError) as caught:
        unit(f"{package}.units:plain", tuple(name.format(package) for name in allow))
    message = str(caught.value)
    assert f"unit '{package}.units:plain' runs code of package '{package}'" in message
    assert f"--units-from {package} allows it" in message


def test_allowing_a_package_does_not_allow_another_that_begins_like_it(package: str) -> None:
    shorter = package[:-1]
    with pytest.raises(UnitError, match="not allowed"):
        unit(f"{package}.units:plain", (shorter,))
    assert unit(f"{package}.units:plain", (f"{package}.units",)).name.endswith(":plain")


@pytest.mark.parametrize("module", ["nowhere", "broken", "missing"])
def test_a_module_that_cannot_be_imported_is_refused(package: str, module: str) -> None:
    name = f"{package}.{module}:unit"
    with pytest.raises(UnitError) as caught:
        unit(name, (package,))
    assert f"unit {name!r} cannot be imported: " in str(caught.value)


def test_a_module_that_reads_what_is_not_there_says_which_file(package: str) -> None:
    name = f"{package}.reading:unit"
    with pytest.raises(UnitError) as caught:
        unit(name, (package,))
    assert f"unit {name!r} cannot be imported: " in str(caught.value)
    assert "'no-such-file.json'" in str(caught.value)
    later = unit(f"{package}.later:unit", (package,))
    with pytest.raises(UnitError, match=r"failed: FileNotFoundError: .*'no-such-file\.json'"):
        made(later, Place(8, 16, 0, 2))


def test_a_name_that_the_module_lacks_is_refused(package: str) -> None:
    with pytest.raises(UnitError, match=r"cannot be imported: .* has no 'nope'"):
        unit(f"{package}.units:nope", (package,))


def test_what_is_not_a_function_is_no_unit(package: str) -> None:
    with pytest.raises(UnitError, match="is of type int, no function of a Place"):
        unit(f"{package}.units:number", (package,))


def test_a_unit_that_returns_no_layer_is_refused(package: str) -> None:
    found = unit(f"{package}.units:nothing", (package,))
    with pytest.raises(UnitError, match="returned a NoneType, not a layer"):
        made(found, Place(8, 8))


@pytest.mark.parametrize(
    ("leaf", "says"),
    [
        (Act("gelu"), "function 'gelu' is none of relu, relu6, hardswish"),
        (Norm(8, 0.001), "eps 0.001 is no Decimal"),
        (Conv(8, 4.0), "c_out 4.0 is no whole number"),
    ],
)
def test_a_leaf_that_nobody_can_count_is_refused_with_its_path(leaf: Leaf, says: str) -> None:
    mine = Unit("mine:unit", lambda place: Chain((("leaf", leaf),)), "")
    with pytest.raises(UnitError) as caught:
        made(mine, Place(8, 8))
    assert str(caught.value).startswith(f"unit 'mine:unit': leaf: {says}")


def test_a_fault_of_a_unit_of_ones_own_is_told_with_its_row(package: str) -> None:
    with pytest.raises(SpecError) as caught:
        network(load("shufflenet"), 3, unit=f"{package}.units:nothing", units_from=[package])
    message = str(caught.value)
    assert message.startswith("specs/shufflenet.toml: Stage2, g=3: unit ")
    assert "returned a NoneType" in message


def test_a_bundled_name_never_imports() -> None:
    def explode(place: Place) -> Layer:
        raise AssertionError("run")

    assert unit("vgg", ("vgg",)) is UNITS["vgg"]
    with pytest.raises(AssertionError, match="run"):
        made(Unit("mine", explode, ""), Place(1, 1))
