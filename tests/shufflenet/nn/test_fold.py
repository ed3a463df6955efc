"""Batch norms folded: the same outputs, other leaves, and the module that was given as it was."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from hypothesis import given, settings
from torch import nn

import shufflenet
from flopcount.counters import hooks, trace
from flopcount.layers import Branches, Chain, Conv, Layer, Norm, cost
from flopcount.tally import Tally
from shufflenet.arch.network import Network, network
from shufflenet.arch.spec_reader import load
from shufflenet.nn.builder import build
from shufflenet.nn.confirm import compare, torch_flops
from shufflenet.nn.fold import FoldError, fold
from shufflenet.nn.modules import Built
from tests.shufflenet.nn.live import ONE_SIZE, image, lively, off, plain, quick, smaller
from tests.strategies import COLUMNS, networks

#: What rounding may change, as a share of the largest output.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def without_norms(layer: Layer) -> Layer:
    """The tree that a folded module is of: a bias where a norm stood behind a convolution."""
    if isinstance(layer, Branches):
        return Branches(tuple((n, without_norms(child)) for n, child in layer.children), layer.join)
    if not isinstance(layer, Chain):
        return layer
    found: list[tuple[str, Layer]] = []
    for name, child in layer.children:
        before = found[-1] if found else None
        if isinstance(child, Norm) and before is not None and isinstance(before[1], Conv):
            conv = before[1]
            sizes = (conv.c_in, conv.c_out, conv.kernel, conv.stride, conv.padding, conv.groups)
            found[-1] = (before[0], Conv(*sizes, bias=True))
        else:
            found.append((name, without_norms(child)))
    return Chain(tuple(found))


def claimed(net: Network) -> Tally:
    return cost.count(without_norms(net.tree), net.input, memory=False)


def norms(module: nn.Module) -> list[str]:
    return [path for path, m in module.named_modules() if isinstance(m, nn.BatchNorm2d)]


# The same outputs


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", sorted({name for name, _ in COLUMNS} - (ONE_SIZE - {"pvanet_fc"})))
def test_every_bundled_network_gives_folded_what_it_gave(name: str, dtype: torch.dtype) -> None:
    net = smaller(name)
    torch.manual_seed(0)
    module, x = lively(build(net)).to(dtype), image(tuple(net.input), dtype=dtype)
    twin = fold(module)
    wanted = quick(module, x)
    assert off(quick(twin, x), wanted) <= TOLERANCE[dtype]
    assert off(plain(twin, x), wanted) <= TOLERANCE[dtype]


@settings(deadline=None, max_examples=20)
@given(networks())
def test_every_legal_network_gives_folded_what_it_gave(net: Network) -> None:
    torch.manual_seed(0)
    for dtype, tolerance in TOLERANCE.items():
        module, x = lively(build(net)).to(dtype), image((2, *net.input[1:]), dtype=dtype)
        assert off(quick(fold(module), x), quick(module, x)) <= tolerance


def test_a_convolution_with_a_bias_takes_its_norm_as_well() -> None:
    module = lively(build(Chain((("conv", Conv(4, 6, 3, bias=True)), ("norm", Norm(6))))))
    x = image((1, 4, 5, 5))
    twin = fold(module)
    assert norms(twin) == []
    assert off(quick(twin, x), quick(module, x)) <= 1e-6


def test_a_fold_is_by_each_channels_scale_and_shift() -> None:
    module = build(Chain((("conv", Conv(2, 2)), ("norm", Norm(2))))).eval()
    norm = module.norm
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([3.0, 1.0]))
        norm.bias.copy_(torch.tensor([0.5, -1.0]))
        norm.running_mean.copy_(torch.tensor([2.0, 0.0]))
        norm.running_var.copy_(torch.tensor([4.0 - 1e-5, 1.0 - 1e-5]))
    twin = fold(module)
    scale = torch.tensor([3.0 / 2, 1.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(twin.conv.weight.detach(), scale * module.conv.weight.detach())
    torch.testing.assert_close(twin.conv.bias.detach(), torch.tensor([0.5 - 3.0, -1.0]))


# What it is made of


@pytest.mark.parametrize(("name", "groups"), COLUMNS)
def test_a_folded_network_is_counted_as_its_tree_without_norms(name: str, groups: int) -> None:
    net = network(load(name), groups)
    module, shape = build(net, device="meta", fold=True), tuple(net.input)
    seen = hooks.count(module, shape=shape), trace.count(module, shape=shape)
    found = compare(claimed(net), *seen, torch_flops(module, shape))
    assert found.differences == ()
    assert found.macs == net.tally(memory=False).macs


@settings(deadline=None, max_examples=15)
@given(networks())
def test_every_legal_network_has_folded_the_multiply_adds_that_it_had(net: Network) -> None:
    counted = hooks.count(build(net, device="meta", fold=True), shape=tuple(net.input))
    assert counted.macs == net.tally(memory=False).macs
    # Hooks see path, kind, shapes, multiply-adds, weight and bias.
    seen = sorted(entry[:7] for entry in counted.entries)
    assert seen == sorted(entry[:7] for entry in claimed(net).entries)


def test_a_norm_behind_anything_but_a_convolution_stays() -> None:
    tree = network(load("pvanet")).tree
    stays = norms(fold(build(tree, device="meta").eval()))
    assert stays
    assert all(path.endswith("_norm") for path in stays)
    whole = build(tree, device="meta")
    assert {path[: -len("_norm")] + "_both" for path in stays} <= {
        path for path, _ in whole.named_modules()
    }


@pytest.mark.parametrize("hooked", ["conv", "norm"])
def test_a_layer_that_is_hooked_stays_as_it_is(hooked: str) -> None:
    module = lively(build(Chain((("conv", Conv(4, 6, 3)), ("norm", Norm(6))))))
    module.get_submodule(hooked).register_forward_hook(lambda m, args, out: out + 1)
    x = image((1, 4, 5, 5))
    assert torch.equal(quick(fold(module), x), quick(module, x))


@pytest.mark.parametrize("hook", ["full_backward_hook", "full_backward_pre_hook"])
@pytest.mark.parametrize("hooked", ["conv", "norm"])
def test_a_layer_whose_gradients_are_hooked_stays_as_it_is(hooked: str, hook: str) -> None:
    module = lively(build(Chain((("conv", Conv(4, 6, 3)), ("norm", Norm(6))))))
    getattr(module.get_submodule(hooked), f"register_{hook}")(lambda m, *gradients: None)
    assert norms(fold(module)) == ["norm"]


def test_a_norm_without_statistics_of_its_own_stays() -> None:
    module = build(Chain((("conv", Conv(4, 6)), ("norm", Norm(6))))).eval()
    module.norm = nn.BatchNorm2d(6, track_running_stats=False).eval()
    assert norms(fold(module)) == ["norm"]


def test_a_convolution_that_stands_twice_is_folded_for_each_place() -> None:
    conv, one, other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    module = lively(nn.Sequential(conv, one, conv, other, conv))
    x = image((1, 3, 4, 4))
    twin = fold(module)
    assert norms(twin) == []
    assert off(quick(twin, x), quick(module, x)) <= 1e-5


def test_a_norm_that_stands_twice_is_folded_at_each_place_behind_a_convolution() -> None:
    norm = nn.BatchNorm2d(3)
    layers = (nn.Conv2d(3, 3, 1), norm, nn.ReLU(), norm, nn.Conv2d(3, 3, 1), norm)
    module = lively(nn.Sequential(*layers))
    x = image((1, 3, 4, 4))
    twin = fold(module)
    assert norms(twin) == ["3"]
    assert off(quick(twin, x), quick(module, x)) <= 1e-5


@pytest.mark.parametrize("kind", [nn.Sequential, Built])
def test_a_layer_that_stands_twice_still_stands_between_its_neighbours(
    kind: type[nn.Sequential],
) -> None:
    act = nn.ReLU()
    layers = (nn.Conv2d(3, 4, 1), act, nn.Conv2d(4, 4, 1), act, nn.BatchNorm2d(4))
    module = lively(kind(*layers))
    x = image((1, 3, 4, 4))
    twin = fold(module)
    assert norms(twin) == ["4"]
    assert torch.equal(quick(twin, x), quick(module, x))


def test_a_folded_network_folded_again_is_the_same(small: Network) -> None:
    once = build(small, fold=True)
    twice = fold(once)
    assert list(twice.state_dict()) == list(once.state_dict())
    assert all(map(torch.equal, twice.state_dict().values(), once.state_dict().values()))


# What it was made of


def test_the_module_that_is_folded_is_left_as_it_was(small: Network) -> None:
    module = lively(build(small))
    before = copy.deepcopy(module.state_dict())
    parts = list(module.named_modules())
    twin = fold(module)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.fill_(7)
    assert list(module.named_modules()) == parts
    assert list(module.state_dict()) == list(before)
    assert all(map(torch.equal, module.state_dict().values(), before.values()))
    assert not any(m._load_state_dict_pre_hooks for m in module.modules())


def test_a_network_built_folded_is_the_one_built_of_that_seed_and_then_folded(
    small: Network,
) -> None:
    torch.manual_seed(5)
    at_once = build(small, fold=True)
    torch.manual_seed(5)
    after = fold(build(small).eval())
    assert repr(at_once) == repr(after)
    assert not any(m.training for m in at_once.modules())
    assert list(at_once.state_dict()) == list(after.state_dict())
    assert all(map(torch.equal, at_once.state_dict().values(), after.state_dict().values()))


def test_a_module_in_training_is_refused_with_the_part_that_is(small: Network) -> None:
    with pytest.raises(FoldError, match=r"^the module: is in training mode"):
        fold(build(small))
    module = build(small).eval()
    module.stage3.residual.train()
    with pytest.raises(FoldError, match=r"^stage3\.residual: is in training mode"):
        fold(module)


# Weights


@pytest.mark.parametrize("strict", [True, False])
def test_weights_of_a_network_that_is_not_folded_are_refused(strict: bool, small: Network) -> None:
    module, twin = build(small), build(small, fold=True)
    before = copy.deepcopy(twin.state_dict())
    with pytest.raises(FoldError, match=r"^conv1\.conv_norm: these are weights of a network"):
        twin.load_state_dict(module.state_dict(), strict=strict)
    assert all(map(torch.equal, twin.state_dict().values(), before.values()))
    part = module.stage3.state_dict()
    with pytest.raises(FoldError, match="_norm: these are weights"):
        twin.stage3.load_state_dict(part, strict=strict)
    with pytest.raises(FoldError, match=r"^0\.conv1\.conv_norm"):
        nn.Sequential(twin).load_state_dict(nn.Sequential(module).state_dict(), strict=strict)


def test_folded_weights_go_into_a_folded_network_and_not_into_another(small: Network) -> None:
    one, other = fold(lively(build(small))), build(small, fold=True)
    other.load_state_dict(one.state_dict())
    x = image(tuple(small.input))
    assert torch.equal(quick(one, x), quick(other, x))
    with pytest.raises(RuntimeError, match=r"Missing key.*_norm"):
        build(small).load_state_dict(one.state_dict())


def test_a_folded_network_is_saved_and_read_whole_and_still_refuses(small: Network) -> None:
    twin, stream = build(small, fold=True), io.BytesIO()
    torch.save(twin, stream)
    stream.seek(0)
    again = torch.load(stream, weights_only=False)
    x = image(tuple(small.input))
    assert torch.equal(quick(again, x), quick(twin, x))
    with pytest.raises(FoldError):
        copy.deepcopy(again).load_state_dict(build(small).state_dict())


def test_the_package_has_it_by_name() -> None:
    assert shufflenet.fold is fold
