"""The weights that specs are timed and exported with: a norm left out shows, no signal fades."""

from __future__ import annotations

from typing import Any

import pytest

from shufflenet.arch.network import Network, network
from shufflenet.arch.spec_reader import load
from shufflenet.runtimes import RUNTIMES
from shufflenet.runtimes.agreement import WrongOutputError, check
from tests.shufflenet.solver.engine.brute_force import repeated

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from shufflenet.nn.builder import build  # noqa: E402
from shufflenet.nn.init import drawn  # noqa: E402

#: Deep ones of every way to be deep: shuffled, residual, depthwise, squeezed and excited, dense.
DEEP = {
    "shufflenet": 3,
    "resnet50": None,
    "mobilenet_v3_large": None,
    "shufflenet_v2_x0_5": None,
    "googlenet": None,
}


def norms(module: nn.Module) -> list[Any]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def small(name: str = "shufflenet", groups: int | None = 3, side: int = 64) -> Network:
    return network(load(name), groups, size=(side, side))


def deepest() -> Network:
    """A MobileNet with three times its units, of which a new one is faded long before the end."""
    return network(repeated(load("mobilenet_v1"), (1, 4, 4, 40, 4)), scale="0.5", size=(32, 32))


def image(net: Network) -> Any:
    return torch.randn(tuple(net.input), generator=torch.Generator().manual_seed(1))


def signals(module: nn.Module, x: Any) -> list[Any]:
    """What every leaf gives, of an image."""
    found: list[Any] = []

    def keep(leaf: nn.Module, inputs: Any, output: Any) -> None:
        found.append(output.clone())

    leaves = [part for part in module.modules() if not list(part.children())]
    hooks = [leaf.register_forward_hook(keep) for leaf in leaves]
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return found


def subnormal(values: Any) -> int:
    """How many values are smaller than the smallest normal number, and are not zero."""
    least = torch.finfo(values.dtype).tiny
    return int(((values.abs() < least) & (values != 0)).sum())


@pytest.mark.parametrize("name", [*DEEP, "deepest"])
def test_no_signal_of_a_deep_network_fades_or_swells(name: str):
    net = deepest() if name == "deepest" else small(name, DEEP[name])
    module, x = drawn(net, 0), image(net)
    for values in signals(module, x):
        assert torch.isfinite(values).all()
        assert subnormal(values) == 0
        assert values.abs().max() < 1e4
    # each norm brings it back, however deep
    for norm in norms(module):
        norm.register_forward_hook(
            lambda norm, inputs, output: found.append(float(output.square().mean()))
        )
    found: list[float] = []
    with torch.no_grad():
        module(x)
    assert len(found) == len(norms(module))
    assert all(0.01 < square < 100 for square in found), (min(found), max(found))


def test_the_probe_of_fading_sees_it_in_a_new_module():
    net = deepest()
    assert any(map(subnormal, signals(build(net).eval(), image(net))))


def test_whichever_norm_is_left_out_the_output_is_refused():
    net = network(load("arch2"), 3, widths=(24, 48, 96), stem=12, size=(64, 48))
    module, x = drawn(net, 0), image(net)
    with torch.no_grad():
        expected = module(x).numpy()
    paths = [path for path, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(paths) > 40
    largest = max(runtime.tolerance for runtime in RUNTIMES.values())
    for path in paths:
        parent, _, name = path.rpartition(".")
        holder = module.get_submodule(parent)
        norm = getattr(holder, name)
        setattr(holder, name, nn.Identity())
        with torch.no_grad():
            found = module(x).numpy()
        setattr(holder, name, norm)
        with pytest.raises(WrongOutputError):
            check(found, expected, largest)


def test_no_norm_is_the_identity():
    module = drawn(small(), 0)
    assert not module.training
    assert len(norms(module)) > 40
    for norm in norms(module):
        for values in (norm.running_mean, norm.running_var - 1, norm.weight - 1, norm.bias):
            assert (values.abs() > 1e-4).float().mean() > 0.9


def test_one_seed_gives_one_module_and_another_another():
    one, again, other = (drawn(small(side=32), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[key], again[key]) for key in one)
    for key in ("conv1.conv.weight", "conv1.conv_norm.running_var"):
        assert not torch.equal(one[key], other[key])


def test_the_random_numbers_of_others_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    drawn(small(side=32), 0)
    assert torch.equal(torch.rand(4), expected)


def test_no_hook_is_left_on_the_module():
    module = drawn(small(side=32), 0)
    assert not any(part._forward_pre_hooks for part in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())
