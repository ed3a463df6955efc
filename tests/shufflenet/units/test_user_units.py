"""What users bring: own specs and own units that are odd, broken, or both."""

from __future__ import annotations

import pickle

import pytest

from flopcount.conventions import UnpricedKindError, price
from flopcount.entries import Entry, Shape
from flopcount.layers import Branches, Chain, Conv, Layer, Norm
from flopcount.tally import Tally
from shufflenet import NothingLegalError, SpecError, load, network, solve
from shufflenet.arch.spec import Row, Spec
from shufflenet.arch.spec_reader import loads
from shufflenet.nn.confirm import confirm_formula
from shufflenet.system.user_code import OwnCodeError
from shufflenet.units import Place, Unit, UnitError, made, unit

HEAD = (Row("GlobalPool", "global_pool"), Row("FC", "fc", channels=(10,)))
IMAGE = Row("Image", "image", (32, 32), channels=(3,))
STEM = Row("Conv1", "conv", kernel=3, channels=(16,))


def own(*stages: Row) -> Spec:
    return Spec("own", (IMAGE, STEM, *stages, *HEAD))


@pytest.mark.parametrize(
    ("name", "stride"),
    [("vgg", 1), ("vgg", 2), ("resnet", 1), ("resnet", 2), ("shufflenet", 1), ("resnext", 2)],
)
def test_a_first_stage_row_that_repeats_is_solved_as_it_is_counted(name: str, stride: int) -> None:
    spec = own(Row("S1", name, channels=(32,), repeat=3, stride=stride))
    best = solve(spec, 3_000_000, stem=16).best
    again = network(spec, widths=best.network.stage_widths, stem=16)
    assert price(again.tally(), "shufflenet-paper") == best.cost


def test_a_shufflenet_unit_that_strides_again_adds_no_width_and_is_refused() -> None:
    spec = own(Row("S1", "shufflenet", channels=(32,), repeat=2, stride=2))
    with pytest.raises(NothingLegalError, match=r"added width \(out - in\) 0 is less than 1"):
        solve(spec, 3_000_000)


def test_a_layer_whose_rows_have_different_widths_is_refused() -> None:
    with pytest.raises(SpecError, match=r"S1: channels \[40\] are not those of the row above"):
        own(Row("S1", "vgg", channels=(32,)), Row("S1", "vgg", channels=(40,)))


@pytest.mark.parametrize(
    "extra", ["stride = 7", "repeat = 9", "ratio = '1:9'", "ksize = '5x5'", "note = 'x'"]
)
def test_an_image_takes_nothing_but_its_size_and_channels(extra: str) -> None:
    text = f"""
    rows = [
      {{ layer = "Image", output = "8x8", unit = "image", channels = 3, {extra} }},
      {{ layer = "FC", unit = "fc", channels = 10 }},
    ]
    """
    with pytest.raises(SpecError, match=f"an image takes no {extra.split()[0]}"):
        loads(text.encode(), name="own")


def grouped(place: Place) -> Layer:
    return Chain((("conv", Conv(place.c_in, place.c_out, 3, place.stride, 1, groups=16)),))


def never_legal(place: Place) -> Layer:
    return Chain((("conv", Conv(place.c_in, place.c_out, groups=7919)),))


def too_wide(place: Place) -> Layer:
    return Chain((("conv", Conv(place.c_in, 2 * place.c_out)), ("norm", Norm(2 * place.c_out))))


def test_a_formula_is_confirmed_where_the_units_own_rules_hold() -> None:
    assert confirm_formula(Unit("own:grouped", grouped, "")) == ()


def test_a_formula_that_no_place_can_confirm_is_not_called_confirmed() -> None:
    with pytest.raises(UnitError, match="no widths are found that keep its rules"):
        confirm_formula(Unit("own:never", never_legal, ""))


def test_a_unit_whose_output_is_not_as_wide_as_its_row_is_refused() -> None:
    spec = own(Row("S1", f"{__name__}:too_wide", channels=(32,)))
    with pytest.raises(SpecError, match="S1, g=1: output width 64 is not the row's 32"):
        network(spec, units_from=[__name__])


def fails(place: Place) -> Layer:
    return Conv(place.c_in, place.c_out, place.nonsense)  # type: ignore[attr-defined]


def divides(place: Place) -> Layer:
    return Conv(place.c_in, place.c_out / 2)  # type: ignore[arg-type]


class LoudError(Exception):
    pass


def loud(place: Place) -> Layer:
    raise LoudError("of one's own")


def test_what_no_slip_raises_is_own_code_s_error_wherever_it_is_shown() -> None:
    with pytest.raises(OwnCodeError, match=r"^unit 'own:loud': LoudError: of one's own$") as caught:
        made(Unit("own:loud", loud, ""), Place(4, 8))
    assert "in loud" in caught.value.told
    sent = pickle.loads(pickle.dumps(caught.value))
    assert (str(sent), sent.told) == (str(caught.value), caught.value.told)


def empty(place: Place) -> Layer:
    return Branches((), "add")


def unstrided(place: Place) -> Layer:
    return Conv(place.c_in, place.c_out, 3, 0, 1)


def compares(place: Place) -> Layer:
    return Conv(place.c_in, place.c_out, 3 if place.c_out > 4 else 1)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fails", "AttributeError"),
        ("divides", "c_out 16.0 is no whole number"),
        ("empty", "number of branches 0 is less than 1"),
        ("unstrided", "stride 0 is less than 1"),
    ],
)
def test_a_faulty_unit_is_one_error_with_its_row(name: str, says: str) -> None:
    spec = own(Row("S1", f"{__name__}:{name}", channels=(32,)))
    with pytest.raises(SpecError, match=rf"own: S1, g=1: .*{says}"):
        network(spec, units_from=[__name__])


def test_a_unit_that_compares_its_widths_cannot_be_solved_and_says_so() -> None:
    spec = own(Row("S1", f"{__name__}:compares", channels=(32,)))
    assert network(spec, units_from=[__name__]).stage_widths == (32,)
    with pytest.raises(SpecError, match=r"compares' failed: .*truth value"):
        solve(spec, 1_000_000, units_from=[__name__])


@pytest.mark.parametrize("name", [":x", "..:x", "a b:c", "pkg:", "1:x"])
def test_a_name_that_cannot_be_a_unit_is_refused_before_anything_is_imported(name: str) -> None:
    with pytest.raises(UnitError, match="neither a name nor"):
        unit(name, units_from=["", "pkg", "a b"])


def test_a_replaced_unit_has_the_cardinality_that_is_asked_for() -> None:
    spec = own(Row("S1", "resnext", channels=(32,), options={"cardinality": 4}))
    assert network(spec).rows[1].groups == 4
    assert network(spec, unit="resnext", cardinality=8).rows[1].groups == 8


def test_more_groups_than_the_stem_is_wide_still_get_a_budget_that_works() -> None:
    with pytest.raises(
        NothingLegalError, match=r"nearest budget that works is [\d,]+ \(stem (32|64),"
    ):
        solve(load("shufflenet"), 140_000_000, 32)


def test_what_ran_and_has_no_rule_is_not_priced_as_nothing() -> None:
    tally = Tally((Entry("lstm", "uncounted", (Shape(1, 4),), (Shape(1, 4),), 0, 40),))
    with pytest.raises(UnpricedKindError, match="lstm"):
        price(tally)


def test_a_bundled_unit_is_made_without_a_net() -> None:
    assert isinstance(made(unit("vgg"), Place(4, 8)), Chain)


def test_what_a_package_gives_is_seen_before_it_is_loaded() -> None:
    import flopcount
    import shufflenet

    assert {"build", "confirm", "load", "network", "solve"} <= set(dir(shufflenet))
    assert {"count", "price"} <= set(dir(flopcount))
    for package in (flopcount, shufflenet):
        assert all(getattr(package, name) is not None for name in package.__all__)


def test_of_two_stems_that_miss_by_as_much_the_cheaper_comes_first() -> None:
    spec = own(Row("S1", "vgg", channels=(8,)))
    priced = {
        stem: price(network(spec, widths=(8,), stem=stem).tally(), "shufflenet-paper")
        for stem in (4, 12)
    }
    budget = sum(priced.values()) // 2
    assert budget * 2 == sum(priced.values())
    found = [
        (s.network.stem, s.cost)
        for s in solve(spec, budget, stem=(12, 4), top=200).solutions
        if s.network.stage_widths == (8,)
    ]
    assert found == [(4, priced[4]), (12, priced[12])]


def test_a_window_that_never_fits_is_told_by_the_solver_as_well() -> None:
    pool = Row("P", "max_pool", kernel=5, stride=5, options={"padding": 0})
    again = Row("P2", "max_pool", kernel=9, options={"padding": 0})
    spec = own(Row("S1", "vgg", channels=(8,)), pool, again, Row("S2", "vgg", channels=(16,)))
    with pytest.raises(NothingLegalError, match="P2: padded input height 6 is less than 9"):
        solve(spec, 1_000_000)


@pytest.mark.parametrize("stages", [(64, 32), (32, 32)])
def test_a_scale_that_no_width_can_follow_ends_with_the_rule(stages: tuple[int, int]) -> None:
    one, other = stages
    spec = own(
        Row("S1", "vgg", channels=(one,)), Row("S2", "xception", channels=(other,), stride=2)
    )
    with pytest.raises(NothingLegalError, match=r"S2: added width \(out - in\)"):
        network(spec, scale="0.5")


def test_a_search_among_too_many_widths_ends_and_says_so() -> None:
    with pytest.raises(NothingLegalError, match="no legal widths among the first 20,000 tried"):
        network(load("shufflenet"), 1, scale="0.5", stem=1_048_576)


def test_stems_too_many_to_try_are_refused_for_auto_and_no_matter_otherwise() -> None:
    wide = Row("Conv1", "conv", kernel=3, channels=(4096,))
    spec = Spec("own", (IMAGE, wide, Row("S1", "vgg", channels=(8,)), *HEAD))
    with pytest.raises(ValueError, match="more than 1024"):
        solve(spec, 1_000_000, stem="auto")
    assert solve(spec, 1_000_000).best.network.stem == 4096


def doubles(place: Place) -> Layer:
    parts = (("a", Conv(place.c_in, place.c_in)), ("b", Conv(place.c_in, place.c_in)))
    return Branches(parts, "concat")


DOUBLED = Unit("doubled", doubles, "twice its input", stage=False, widens=False)


@pytest.mark.parametrize("stages", [(32,), (32, 64)])
def test_a_unit_with_a_width_of_its_own_is_solved_as_trying_every_width(
    stages: tuple[int, ...],
) -> None:
    double = Row("D", f"{__name__}:DOUBLED")
    first, *others = (Row(f"S{c}", "resnet", channels=(c,)) for c in stages)
    spec = own(first, double, *others)
    every = []
    for c in range(4, 200, 4):
        widths = [c * width // stages[0] for width in stages]
        net = network(spec, widths=widths, units_from=[__name__])
        cost = price(net.tally(memory=False), "shufflenet-paper")
        every.append((abs(cost - 10_000_000), cost, net.stage_widths))
    found = solve(spec, 10_000_000, units_from=[__name__], top=3).solutions
    assert [(one.cost, one.network.stage_widths) for one in found] == [
        (cost, widths) for _, cost, widths in sorted(every)[:3]
    ]
