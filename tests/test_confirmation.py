"""The proof agrees on every bundled network, and no planted fault gets past it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from strategies import head, image, one_of_each, own_spec, stage
from torch import Tensor, nn

from flopcount import hooks
from flopcount.layers import Layer
from flopcount.tally import Entry, Shape, Tally
from shufflenet import confirmation
from shufflenet.builder import build
from shufflenet.confirmation import Difference, compare, confirm, confirm_formula, torch_flops
from shufflenet.network import Network, network
from shufflenet.reader import bundled, load
from shufflenet.spec import Row
from shufflenet.units import UNITS, Place, Unit, resnet, shufflenet

COLUMNS = (1, 2, 3, 4, 8)
#: A leaf that multiplies, and one that does not.
CONV = "stage2.unit2.residual.body.expand"
FREE = "stage2.unit2.residual.body.shuffle"


class Witnesses(NamedTuple):
    """What the three say of one network, before anything is planted."""

    claimed: Tally
    counted: Tally
    flops: dict[str, int]

    def at(self, path: str) -> Entry:
        (entry,) = (e for e in self.claimed.entries if e.path == path)
        return entry


@pytest.fixture(scope="module")
def small() -> Network:
    return network(one_of_each())


@pytest.fixture(scope="module")
def witnesses(small: Network) -> Witnesses:
    shape = tuple(small.input)
    module = build(small, device="meta")
    return Witnesses(
        small.tally(memory=False), hooks.count(module, shape=shape), torch_flops(module, shape)
    )


def changed(tally: Tally, path: str, change: Callable[[Entry], Entry | None]) -> Tally:
    """The tally with one entry changed, or taken out where the change gives None."""
    entries = [change(e) if e.path == path else e for e in tally.entries]
    assert [e for e in entries if e is not None] != list(tally.entries)
    return replace(tally, entries=tuple(e for e in entries if e is not None))


def adding(macs: int = 0, weight: int = 0, bias: int = 0) -> Callable[[Entry], Entry]:
    return lambda e: e._replace(macs=e.macs + macs, weight=e.weight + weight, bias=e.bias + bias)


def taken_out(_: Entry) -> None:
    return None


# Agreement


@pytest.mark.parametrize("name", bundled())
@pytest.mark.parametrize("groups", COLUMNS)
def test_all_witnesses_agree_on_every_column_of_every_bundled_spec(name: str, groups: int) -> None:
    net = network(load(name), groups)
    found = confirm(net)
    assert found.differences == ()
    assert found.agreed
    entries = net.tally(memory=False).entries
    assert found.leaves == len(entries)
    assert found.macs == sum(e.macs for e in entries)
    assert found.params == sum(e.weight + e.bias for e in entries)


@pytest.mark.parametrize(("groups", "macs"), [(1, 142_502_976), (3, 136_500_672), (8, 136_829_952)])
def test_what_is_confirmed_is_table_1_with_its_classifier(groups: int, macs: int) -> None:
    found = confirm(network(load("shufflenet"), groups))
    features = {1: 576, 3: 960, 8: 1536}[groups]
    assert found.macs == macs + features * 1000


@pytest.mark.parametrize("unit", ["shufflenet", "resnet", "resnext", "xception", "vgg"])
@pytest.mark.parametrize("size", [(224, 224), (480, 640), (65, 97)])
def test_all_witnesses_agree_on_table_1_with_every_unit_at_every_size(
    unit: str, size: tuple[int, int]
) -> None:
    found = confirm(network(load("shufflenet"), 3, unit=unit, size=size))
    assert found.differences == ()


def test_all_witnesses_agree_on_a_network_scaled_and_rounded() -> None:
    net = network(load("shufflenet"), 4, scale="0.5")
    assert net.stage_widths == (144, 288, 576)
    assert confirm(net).agreed


# Planted in the analytic tally


def test_one_multiply_add_too_many_is_found_at_its_leaf_and_in_the_whole(
    small: Network, witnesses: Witnesses
) -> None:
    right = witnesses.at(CONV).macs
    found = confirm(small, changed(witnesses.claimed, CONV, adding(macs=1)))
    whole = sum(e.macs for e in witnesses.claimed.entries)
    assert not found.agreed
    assert found.differences == (
        Difference(CONV, "macs", right + 1, right, right),
        Difference("(whole)", "macs", whole + 1, whole, whole),
    )


def test_a_multiply_add_too_many_is_found_wherever_it_is_planted(witnesses: Witnesses) -> None:
    claimed, counted, flops = witnesses
    for entry in claimed.entries:
        found = compare(changed(claimed, entry.path, adding(macs=1)), counted, flops)
        assert [(d.path, d.what) for d in found.differences] == [
            (entry.path, "macs"),
            ("(whole)", "macs"),
        ]


def test_a_parameter_too_many_is_found_wherever_it_is_planted(witnesses: Witnesses) -> None:
    claimed, counted, flops = witnesses
    for entry in claimed.entries:
        for what, right in (("weight", entry.weight), ("bias", entry.bias)):
            found = compare(changed(claimed, entry.path, adding(**{what: 1})), counted, flops)
            assert found.differences == (Difference(entry.path, what, right + 1, right, None),)


def test_two_faults_that_cancel_in_the_total_are_both_found(witnesses: Witnesses) -> None:
    claimed, counted, flops = witnesses
    first, second = [e.path for e in claimed.entries if e.kind == "conv"][:2]
    wrong = changed(changed(claimed, first, adding(macs=7)), second, adding(macs=-7))
    assert wrong.macs == claimed.macs
    found = compare(wrong, counted, flops)
    assert [(d.path, d.what) for d in found.differences] == [(first, "macs"), (second, "macs")]


@pytest.mark.parametrize("path", [CONV, FREE])
def test_a_leaf_missing_from_the_tally_is_found_with_all_that_is_known_of_it(
    witnesses: Witnesses, path: str
) -> None:
    claimed, counted, flops = witnesses
    gone = witnesses.at(path)
    found = compare(changed(claimed, path, taken_out), counted, flops)
    here = [d for d in found.differences if d.path == path]
    assert [(d.what, d.analytic) for d in here] == [
        (what, None) for what in ("kind", "shapes", "macs", "weight", "bias")
    ]
    assert (here[0].hooks, here[2].hooks, here[2].torch) == (gone.kind, gone.macs, gone.macs)
    assert (here[3].hooks, here[4].hooks) == (gone.weight, gone.bias)
    elsewhere = {d.path for d in found.differences} - {path}
    assert elsewhere == ({"(whole)"} if gone.macs else set())


@pytest.mark.parametrize("macs", [0, 5])
def test_a_leaf_that_no_module_has_is_found(witnesses: Witnesses, macs: int) -> None:
    claimed, counted, flops = witnesses
    shape = Shape(1, 4, 2, 2)
    extra = Entry("stage9.conv", "conv", (shape,), (shape,), macs, 3)
    found = compare(replace(claimed, entries=(*claimed.entries, extra)), counted, flops)
    assert found.leaves == len(claimed.entries) + 1
    assert found.differences[:5] == (
        Difference("stage9.conv", "kind", "conv", None, None),
        Difference("stage9.conv", "shapes", "1x4x2x2 -> 1x4x2x2", None, None),
        Difference("stage9.conv", "macs", macs, None, 0),
        Difference("stage9.conv", "weight", 3, None, None),
        Difference("stage9.conv", "bias", 0, None, None),
    )
    assert [d.path for d in found.differences[5:]] == (["(whole)"] if macs else [])


def test_a_leaf_claimed_twice_is_found(witnesses: Witnesses) -> None:
    claimed, counted, flops = witnesses
    twice = replace(claimed, entries=(*claimed.entries, witnesses.at(FREE)))
    found = compare(twice, counted, flops)
    assert {d.path for d in found.differences} == {FREE}
    assert {d.what for d in found.differences} >= {"kind", "shapes"}


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_wrong_shape_is_found_wherever_it_is_planted(witnesses: Witnesses, side: str) -> None:
    claimed, counted, flops = witnesses
    for entry in claimed.entries:
        (first, *others) = getattr(entry, side)
        wider = Shape(*first[:-1], first[-1] + 1)
        wrong = changed(
            claimed, entry.path, lambda e, new=(wider, *others): e._replace(**{side: new})
        )
        found = compare(wrong, counted, flops)
        assert [(d.path, d.what, d.torch) for d in found.differences] == [
            (entry.path, "shapes", None)
        ]


def test_height_and_width_exchanged_are_found_where_the_image_is_oblong() -> None:
    net = network(one_of_each(32, 48))
    turned = network(one_of_each(48, 32)).tally(memory=False)
    found = confirm(net, turned)
    assert turned.macs == net.tally(memory=False).macs
    assert {d.what for d in found.differences} == {"shapes"}
    assert any(d.path == CONV for d in found.differences)


def test_a_wrong_kind_is_found_wherever_it_is_planted(witnesses: Witnesses) -> None:
    claimed, counted, flops = witnesses
    for entry in claimed.entries:
        wrong = changed(claimed, entry.path, lambda e: e._replace(kind="another"))
        found = compare(wrong, counted, flops)
        assert found.differences == (Difference(entry.path, "kind", "another", entry.kind, None),)


def test_a_tally_of_another_network_is_not_confirmed() -> None:
    spec = load("shufflenet")
    wrong = network(spec, 3).tally(memory=False)
    assert confirm(network(spec, 3), wrong).agreed
    assert not confirm(network(spec, 4), wrong).agreed


# Planted in what the hooks and torch find


def test_a_leaf_that_the_hooks_miss_is_found(witnesses: Witnesses) -> None:
    claimed, counted, flops = witnesses
    for entry in claimed.entries:
        found = compare(claimed, changed(counted, entry.path, taken_out), flops)
        assert [(d.path, d.what, d.hooks) for d in found.differences] == [
            (entry.path, what, None) for what in ("kind", "shapes", "macs", "weight", "bias")
        ]


@pytest.mark.parametrize("extra", [1, 2, -1, -2])
def test_torchs_counter_off_at_one_leaf_is_found_wherever_it_is(
    witnesses: Witnesses, extra: int
) -> None:
    claimed, counted, flops = witnesses
    for entry in claimed.entries:
        wrong = {**flops, entry.path: 2 * entry.macs + extra}
        found = compare(claimed, counted, wrong)
        (difference,) = found.differences
        assert (difference.path, difference.what) == (entry.path, "macs")
        assert (difference.analytic, difference.hooks) == (entry.macs, entry.macs)
        assert difference.torch != entry.macs
        if extra % 2 == 0:
            assert difference.torch == entry.macs + extra // 2


def test_a_leaf_that_torch_does_not_count_is_found(witnesses: Witnesses) -> None:
    claimed, counted, flops = witnesses
    missing = {path: count for path, count in flops.items() if path != CONV}
    right = witnesses.at(CONV).macs
    found = compare(claimed, counted, missing)
    assert found.differences == (Difference(CONV, "macs", right, right, 0),)


@pytest.mark.parametrize("extra", [1, 2, -2])
def test_a_whole_that_is_not_the_sum_of_the_leaves_is_found(
    witnesses: Witnesses, extra: int
) -> None:
    claimed, counted, flops = witnesses
    found = compare(claimed, counted, {**flops, "": flops[""] + extra})
    (difference,) = found.differences
    assert difference.path == "(whole)"
    assert (difference.analytic, difference.hooks) == (claimed.macs, claimed.macs)
    assert difference.torch != claimed.macs


# Planted in the module


def planted(
    monkeypatch: pytest.MonkeyPatch, net: Network, change: Callable[[nn.Module], nn.Module]
) -> tuple[Difference, ...]:
    """What the proof says where the builder makes the module wrong."""
    monkeypatch.setattr(
        confirmation, "build", lambda layer, *, device: change(build(layer, device=device))
    )
    return confirm(net).differences


def test_a_builder_that_forgets_the_groups_of_one_convolution_is_found(
    monkeypatch: pytest.MonkeyPatch, small: Network, witnesses: Witnesses
) -> None:
    def ungrouped(module: nn.Module) -> nn.Module:
        body = module.get_submodule(CONV.rpartition(".")[0])
        right = body.expand
        body.expand = nn.Conv2d(right.in_channels, right.out_channels, 1, bias=False, device="meta")
        return module

    right = witnesses.at(CONV)
    found = planted(monkeypatch, small, ungrouped)
    assert found[:2] == (
        Difference(CONV, "macs", right.macs, 2 * right.macs, 2 * right.macs),
        Difference(CONV, "weight", right.weight, 2 * right.weight, None),
    )
    assert [d.path for d in found[2:]] == ["(whole)"]


def test_a_builder_that_leaves_a_bias_on_one_convolution_is_found(
    monkeypatch: pytest.MonkeyPatch, small: Network, witnesses: Witnesses
) -> None:
    def biased(module: nn.Module) -> nn.Module:
        conv = module.get_submodule(CONV)
        conv.bias = nn.Parameter(torch.empty(conv.out_channels, device="meta"))
        return module

    (difference,) = planted(monkeypatch, small, biased)
    assert difference == Difference(CONV, "bias", 0, 24, None)


def test_a_builder_that_strides_another_layer_than_the_tree_is_found(
    monkeypatch: pytest.MonkeyPatch, small: Network
) -> None:
    def moved(module: nn.Module) -> nn.Module:
        body = module.stage3.residual.body
        body.compress.stride, body.spatial.stride = (2, 2), (1, 1)
        return module

    found = planted(monkeypatch, small, moved)
    (compress,) = (
        d for d in found if d.path == "stage3.residual.body.compress" and d.what == "macs"
    )
    assert compress.analytic == 4 * compress.hooks == 4 * compress.torch


def test_products_hidden_between_the_leaves_are_found_in_the_whole(
    monkeypatch: pytest.MonkeyPatch, small: Network
) -> None:
    class Hidden(nn.Sequential):  # a container that multiplies in its own forward pass
        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            return out @ torch.empty(10, 10, device=out.device)

    def hiding(module: nn.Module) -> nn.Module:
        return Hidden(OrderedDict(module.named_children()))

    (difference,) = planted(monkeypatch, small, hiding)
    assert difference.path == "(whole)"
    assert difference.torch == difference.analytic + 10 * 10
    assert difference.hooks == difference.analytic


def test_a_layer_that_runs_but_stands_in_no_tree_is_found(
    monkeypatch: pytest.MonkeyPatch, small: Network
) -> None:
    def longer(module: nn.Module) -> nn.Module:
        module.append(nn.Linear(10, 10, device="meta"))
        return module

    found = planted(monkeypatch, small, longer)
    assert [(d.path, d.what) for d in found] == [
        *((found[0].path, what) for what in ("kind", "shapes", "macs", "weight", "bias")),
        ("(whole)", "macs"),
    ]
    assert [d.analytic for d in found[:5]] == [None] * 5
    assert [d.hooks for d in (found[0], *found[2:5])] == ["linear", 10 * 10, 10 * 10, 10]


# Torch's counter


def test_torchs_flops_of_a_leaf_are_twice_its_multiply_adds() -> None:
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(4, 6, 3, 1, 1, groups=2, bias=False))
    module.add_module("flatten", nn.Flatten())
    module.add_module("linear", nn.Linear(6 * 5 * 7, 3))
    flops = torch_flops(module, (1, 4, 5, 7))
    conv = 2 * (6 * 5 * 7) * (4 // 2 * 3 * 3)
    linear = 2 * (6 * 5 * 7) * 3
    assert {path: n for path, n in flops.items() if n} == {
        "": conv + linear,
        "conv": conv,
        "linear": linear,
    }


def mixed(module: nn.Module) -> list[bool]:
    """Every third module in training, the others not: a mixture that no eval() gives back."""
    for index, child in enumerate(module.modules()):
        child.training = index % 3 == 0
    return [child.training for child in module.modules()]


def test_torchs_counter_leaves_the_train_flags_as_they_were(small: Network) -> None:
    module = build(small)
    flags = mixed(module)
    assert set(flags) == {True, False}
    torch_flops(module, tuple(small.input))
    assert [child.training for child in module.modules()] == flags


def test_torchs_counter_leaves_the_train_flags_as_they_were_where_the_forward_pass_raises(
    small: Network,
) -> None:
    module = build(small)
    flags = mixed(module)
    with pytest.raises(RuntimeError):
        torch_flops(module, (1, 5, 32, 32))
    assert [child.training for child in module.modules()] == flags


def test_torchs_counter_leaves_batch_norms_and_gradients_as_they_were(small: Network) -> None:
    module = build(small).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    torch_flops(module, tuple(small.input))
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.grad is None for p in module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert torch.is_grad_enabled()


# Formulas


@pytest.mark.parametrize("name", ["shufflenet", "resnet", "resnext", "xception", "vgg"])
def test_the_formula_of_every_unit_is_that_of_the_unit_built(name: str) -> None:
    assert confirm_formula(UNITS[name]) == ()


def _two_faced(ints: Callable[[Place], Layer], symbols: Callable[[Place], Layer]) -> Unit:
    """A unit that builds one thing of numbers and shows another to a formula."""

    def make(place: Place) -> Layer:
        return ints(place) if type(place.c_in) is int else symbols(place)

    return Unit("two_faced", make, "builds one thing, claims another", ratio=4, splits="groups")


def test_a_unit_whose_formula_is_that_of_another_is_found_with_the_place() -> None:
    found = confirm_formula(_two_faced(shufflenet, resnet))
    assert len(found) == 4
    for difference in found:
        at = dict(part.split("=") for part in difference.path.split(", "))
        c, h, w, m, g = (int(at[name]) for name in "chwmg")
        assert difference == Difference(
            difference.path,
            "macs",
            h * w * (2 * c * m + 9 * m * m),
            h * w * (2 * c * m // g + 9 * m),
            None,
        )


def test_a_unit_that_is_the_same_to_both_is_not_called_wrong() -> None:
    assert confirm_formula(_two_faced(resnet, resnet)) == ()
    assert confirm_formula(_two_faced(resnet, shufflenet)) != ()


# Reading a difference


def test_a_difference_says_where_what_and_what_each_witness_found() -> None:
    assert str(Difference("stage2.conv", "macs", 3, 4, "9/2")) == (
        "stage2.conv: macs: analytic 3, hooks 4, torch 9/2"
    )


def test_a_network_without_a_classifier_or_stages_is_confirmed() -> None:
    bare = own_spec(image(9, 5), Row("Conv1", "conv", kernel=3, stride=2, channels=(4,)))
    assert confirm(network(bare)).agreed
    straight = own_spec(image(4, 4, 8), stage("Stage2", "shufflenet", (8,), stride=1), *head(2))
    assert confirm(network(straight)).agreed


def test_a_network_without_a_single_parameter_is_confirmed() -> None:
    pooled = own_spec(image(9, 5), Row("MaxPool", "max_pool", kernel=3, stride=2))
    found = confirm(network(pooled))
    assert found.agreed
    assert (found.leaves, found.macs, found.params) == (1, 0, 0)
