"""The proof on modules that are built wrong, torch's own counter, and the proof of a formula."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from flopcount.entries import Entry
from flopcount.layers import Layer
from shufflenet.arch.network import Network
from shufflenet.nn import confirm as confirmation
from shufflenet.nn.builder import build
from shufflenet.nn.confirm import Difference, confirm, confirm_formula, torch_flops
from shufflenet.units import UNITS, Place, Unit, resnet, shufflenet

#: A leaf that multiplies.
CONV = "stage2.unit2.residual.body.expand"
#: What is compared at a leaf, in its order.
FACTS = ("kind", "shapes", "macs", "weight", "bias")


@pytest.fixture(scope="module")
def right(small: Network) -> Entry:
    """What the tree says of the convolution that is built wrong."""
    (entry,) = small.tally(memory=False).by_path()[CONV]
    return entry


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
    monkeypatch: pytest.MonkeyPatch, small: Network, right: Entry
) -> None:
    def ungrouped(module: nn.Module) -> nn.Module:
        body = module.get_submodule(CONV.rpartition(".")[0])
        old = body.expand
        body.expand = nn.Conv2d(old.in_channels, old.out_channels, 1, bias=False, device="meta")
        return module

    found = planted(monkeypatch, small, ungrouped)
    macs, weight = 2 * right.macs, 2 * right.weight
    assert found[:2] == (
        Difference(CONV, "macs", right.macs, macs, macs, macs),
        Difference(CONV, "weight", right.weight, weight, weight, None),
    )
    assert [(d.path, d.what) for d in found[2:]] == [("(whole)", "macs"), ("(whole)", "params")]


def test_a_builder_that_leaves_a_bias_on_one_convolution_is_found(
    monkeypatch: pytest.MonkeyPatch, small: Network
) -> None:
    def biased(module: nn.Module) -> nn.Module:
        conv = module.get_submodule(CONV)
        conv.bias = nn.Parameter(torch.empty(conv.out_channels, device="meta"))
        return module

    whole = small.tally(memory=False).params
    assert planted(monkeypatch, small, biased) == (
        Difference(CONV, "bias", 0, 24, 24, None),
        Difference("(whole)", "params", whole, whole + 24, whole + 24, None),
    )


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
    assert compress.trace == compress.hooks


def test_products_hidden_between_the_leaves_are_found_in_the_whole_and_where_they_ran(
    monkeypatch: pytest.MonkeyPatch, small: Network
) -> None:
    class Hidden(nn.Sequential):  # a container that multiplies in its own forward pass
        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            return out @ torch.empty(10, 10, device=out.device)

    def hiding(module: nn.Module) -> nn.Module:
        module.fc = Hidden(OrderedDict(module.fc.named_children()))
        return module

    *here, whole = planted(monkeypatch, small, hiding)
    assert [(d.path, d.what) for d in here] == [("fc", what) for what in FACTS]
    assert [(d.analytic, d.hooks) for d in here] == [(None, None)] * 5
    assert here[2].trace == 10 * 10
    macs = small.tally(memory=False).macs
    hidden = macs + 10 * 10
    assert whole == Difference("(whole)", "macs", macs, macs, hidden, hidden)


def test_what_runs_between_the_leaves_without_a_product_is_found_by_the_trace(
    monkeypatch: pytest.MonkeyPatch, small: Network
) -> None:
    class Cut(nn.Sequential):  # a container that cuts in its own forward pass
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).clamp(-1, 1)

    def cutting(module: nn.Module) -> nn.Module:
        module.stage6 = Cut(OrderedDict(module.stage6.named_children()))
        return module

    found = planted(monkeypatch, small, cutting)
    assert [(d.path, d.what, d.analytic, d.hooks) for d in found] == [
        ("stage6", what, None, None) for what in FACTS
    ]
    assert (found[1].trace, found[2].trace) == ("1x20x2x2 -> 1x20x2x2", 0)


def test_a_parameter_that_nothing_reads_is_found(
    monkeypatch: pytest.MonkeyPatch, small: Network
) -> None:
    def idle(module: nn.Module) -> nn.Module:
        module.get_submodule(CONV).idle = nn.Parameter(torch.empty(7, device="meta"))
        return module

    params = small.tally(memory=False).params
    whole = planted(monkeypatch, small, idle)[-1]
    assert whole == Difference("(whole)", "params", params, params + 7, params + 7, None)


def test_a_layer_that_runs_but_stands_in_no_tree_is_found(
    monkeypatch: pytest.MonkeyPatch, small: Network
) -> None:
    def longer(module: nn.Module) -> nn.Module:
        module.append(nn.Linear(10, 10, device="meta"))
        return module

    found = planted(monkeypatch, small, longer)
    assert [(d.path, d.what) for d in found] == [
        *((found[0].path, what) for what in FACTS),
        ("(whole)", "macs"),
        ("(whole)", "params"),
    ]
    assert [d.analytic for d in found[:5]] == [None] * 5
    assert [d.hooks for d in (found[0], *found[2:5])] == ["linear", 10 * 10, 10 * 10, 10]
    assert [d.trace for d in found[:5]] == [d.hooks for d in found[:5]]


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
            None,
        )


def test_a_unit_that_is_the_same_to_both_is_not_called_wrong() -> None:
    assert confirm_formula(_two_faced(resnet, resnet)) == ()
    assert confirm_formula(_two_faced(resnet, shufflenet)) != ()
