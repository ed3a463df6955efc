"""Every bundled network: its printed figures, and torchvision's leaves, parameters and outputs."""

from __future__ import annotations

from decimal import Decimal

import pytest
import torch

import flopcount
from flopcount.conventions import CONVENTIONS, price, price_by_kind
from shufflenet import SpecError, build, load, network, solve
from shufflenet.arch.network import Network
from shufflenet.arch.quantities import in_proportion
from tests.shufflenet.arch.architectures import TWINS, filled, given, in_their_order, leaves, theirs

# Costs: of convolutions, of linear maps, and the parameters of all.
FIGURES = {
    "alexnet": (
        96 * 55**2 * 3 * 11**2
        + 256 * 27**2 * 96 // 2 * 5**2
        + 13**2 * 3**2 * (384 * 256 + 384 * 384 // 2 + 256 * 384 // 2),
        256 * 6**2 * 4096 + 4096 * 4096 + 4096 * 1000,
        60_965_224,
    ),
    "vgg16": (15_346_630_656, 123_633_664, 138_357_544),
    "squeezenet1_0": (818_924_576, 0, 1_248_424),
    "squeezenet1_1": (349_151_936, 0, 1_235_496),
    "googlenet": (1_497_352_192, 1024 * 1000, 6_624_904),
    "pvanet": (511_092_736, 0, None),
    "pvanet_fc": (
        511_092_736,
        384 * 7**2 * 4096 + 4096 * 4096 + 4096 * 1000,
        None,
    ),
    "resnet50": (4_087_136_256, 2048 * 1000, 25_557_032),
    "resnext50_32x4d": (4_228_431_872, 2048 * 1000, 25_028_904),
    "xception": (8_355_355_496, 2048 * 1000, 22_855_952),
    "mobilenet_v1": (568_740_352 - 1024 * 1000, 1024 * 1000, None),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_network_costs_what_is_known_of_it(name: str):
    conv, linear, params = FIGURES[name]
    tally = network(load(name)).tally(memory=False)
    costs = price_by_kind(tally, "macs")
    assert (costs["conv"], costs.get("linear", 0)) == (conv, linear)
    assert params in (None, tally.params)


def test_alexnet_of_two_groups_costs_724_million():
    macs = network(load("alexnet")).tally(memory=False).macs
    assert round(macs / 1e5) / 10 == 724.4


def test_squeezenet_at_227_costs_what_its_authors_image_costs():
    assert network(load("squeezenet1_0"), size=(227, 227)).tally(memory=False).macs == 832_667_936


@pytest.mark.parametrize(
    ("scale", "printed"), [("1", 569), ("0.75", 325), ("0.5", 149), ("0.25", 41)]
)
def test_a_mobilenet_costs_the_millions_that_its_paper_prints_at_every_multiplier(
    scale: str, printed: int
):
    macs = network(load("mobilenet_v1"), scale=scale).tally(memory=False).macs
    assert (macs + 500_000) // 1_000_000 == printed


PVANET = {
    "conv1": 29_503_488,
    "conv2.unit1": 34_721_792,
    "conv2.unit2": 30_707_712,
    "conv2.unit3": 30_707_712,
    "conv3.unit1": 34_721_792,
    "conv3.unit2": 30_707_712,
    "conv4.unit1": 48_444_928,
    "conv4.unit2": 40_216_064,
    "conv5.unit1": 28_098_560,
    "conv5.unit4": 20_471_808,
}


@pytest.mark.parametrize("path", PVANET)
def test_each_block_of_pvanet_costs_what_its_paper_prints(path: str):
    assert network(load("pvanet")).tally(memory=False).under([path]).macs == PVANET[path]


@pytest.mark.parametrize(
    "name", ["squeezenet1_1", "pvanet", "googlenet", "mobilenet_v3_small", "xception"]
)
def test_a_budget_is_met_by_the_widths_that_trying_all_finds(name: str):
    spec = load(name)
    own = network(spec).stage_widths
    parts = in_proportion(own)
    budget = price(network(spec).tally(memory=False), "shufflenet-paper") * 2 // 5
    every = []
    for step in range(1, own[0] // parts[0] + 1):
        try:
            net = network(spec, widths=[step * part for part in parts])
        except SpecError:
            continue
        cost = price(net.tally(memory=False), "shufflenet-paper")
        every.append((abs(cost - budget), net.stage_widths))
    assert len(every) > 2
    assert solve(spec, budget).best.network.stage_widths == min(every)[1]


@pytest.mark.parametrize(
    ("name", "scaled"),
    [("shufflenet_v2_x0_5", (48, 96, 192)), ("shufflenet_v2_x1_5", (176, 352, 704))],
)
def test_a_wider_shufflenet_v2_is_the_first_one_at_other_widths(name: str, scaled: tuple[int, ...]):
    other = network(load("shufflenet_v2"), widths=scaled)
    assert other.tally() == network(load(name)).tally()


# Torchvision


@pytest.fixture(scope="module")
def ours() -> dict[str, Network]:
    return {name: network(load(name)) for name in TWINS}


@pytest.mark.parametrize("name", TWINS)
def test_the_leaves_are_torchvisions_one_by_one_in_order(name: str, ours: dict[str, Network]):
    tally = ours[name].tally(memory=False)
    counted = flopcount.count(theirs(name), shape=(1, 3, 224, 224))
    assert counted.uncounted == {}
    assert leaves(in_their_order(name, tally.entries)) == leaves(counted.entries)
    assert (tally.macs, tally.params) == (counted.macs, counted.params)


@pytest.mark.parametrize("name", TWINS)
def test_the_output_is_torchvisions_with_its_weights(name: str, ours: dict[str, Network]):
    side = 65
    other = filled(theirs(name), seed=1)
    module = build(ours[name], device="meta").double().eval()
    module = given(module, name, ours[name].tally(memory=False), other, side)
    x = torch.randn(1, 3, side, side, dtype=torch.float64, generator=torch.Generator())
    with torch.no_grad():
        expected, found = other(x), module(x)
    assert expected.std() > 1e-6
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_an_epsilon_that_is_not_theirs_is_seen_in_the_output(ours: dict[str, Network]):
    other = filled(theirs("mobilenet_v3_small"), seed=1)
    net = ours["mobilenet_v3_small"]
    module = build(net, device="meta").double().eval()
    module = given(module, "mobilenet_v3_small", net.tally(memory=False), other, 64)
    norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {float(Decimal("0.001"))}
    norms[-1].eps = 1e-5
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator())
    with torch.no_grad():
        assert not torch.allclose(module(x), other(x), rtol=1e-6)


# What theirs calls as a function, which tools that hook modules do not see, or see differently.
CALLED = {
    "googlenet": {"relu"},
    "mobilenet_v2": {"global_avg_pool"},
    # a mean over two axes
    **{name: {"global_avg_pool", "reduce"} for name in TWINS if name.startswith("shufflenet_v2")},
}


@pytest.mark.parametrize("name", TWINS)
def test_every_convention_prices_the_formulas_as_it_prices_torchvisions_module(
    name: str, ours: dict[str, Network]
):
    tally = ours[name].tally(memory=False)
    counted = flopcount.count(theirs(name), shape=(1, 3, 224, 224))
    for convention in CONVENTIONS:
        one, other = price_by_kind(tally, convention), price_by_kind(counted, convention)
        kinds = {*one, *other} - CALLED.get(name, set())
        assert {k: one.get(k, 0) for k in kinds} == {k: other.get(k, 0) for k in kinds}, convention
        if name not in CALLED:
            assert price(tally, convention) == price(counted, convention)


@pytest.mark.parametrize("name", [*TWINS, "alexnet", "mobilenet_v1", "pvanet_fc", "xception"])
def test_every_convention_prices_the_formulas_as_it_prices_the_built_module(name: str):
    net = network(load(name))
    counted = flopcount.count(build(net, device="meta"), shape=tuple(net.input))
    one, other = net.tally(), counted
    for convention in CONVENTIONS:
        assert price(one, convention) == price(other, convention), convention
    assert one.peak_memory == other.peak_memory
    assert one.activations == other.activations
    assert one.bytes_moved == other.bytes_moved
