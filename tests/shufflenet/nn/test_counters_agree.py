"""Three counters and one real run agree at every leaf of networks that nobody wrote down."""

from __future__ import annotations

from collections import Counter

import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from flopcount.counters import hooks
from flopcount.tally import Tally
from shufflenet.arch.network import Network
from shufflenet.nn.builder import build
from tests.strategies import networks

SMALL = settings(deadline=None, max_examples=25)


def facts(tally: Tally) -> dict[str, tuple[object, ...]]:
    """Everything a tally says of each leaf; a path that is there twice is refused."""
    found = {
        e.path: (
            e.kind,
            tuple(map(tuple, e.inputs)),
            tuple(map(tuple, e.outputs)),
            e.macs,
            e.weight,
            e.bias,
        )
        for e in tally.entries
    }
    assert len(found) == len(tally.entries)
    return found


def run(module: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, dict[str, int]]:
    """A forward pass on the CPU, and torch's FLOPs below each path."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        out = module.eval()(torch.zeros(shape))
    found = {
        name.partition(".")[2]: sum(flops.values())
        for name, flops in counter.get_flop_counts().items()
        if name != "Global"
    }
    return out, found


@SMALL
@given(networks())
def test_analytic_hooks_and_torch_agree_at_every_leaf_of_a_network_that_runs(net: Network) -> None:
    claimed = net.tally()
    module = build(net)
    shape = (1, net.spec.rows[0].channels[0], *net.frame.size)
    counted = hooks.count(module, shape=shape, strict=True)
    out, flops = run(module, shape)
    assert out.shape == (1, net.spec.rows[-1].channels[0])
    assert facts(claimed) == facts(counted)
    assert {e.path: 2 * e.macs for e in claimed.entries if e.macs} == {
        e.path: flops[e.path] for e in claimed.entries if flops.get(e.path, 0)
    }
    assert flops[""] == 2 * claimed.macs
    assert claimed.params == sum(p.numel() for p in module.parameters())


@SMALL
@given(networks())
def test_every_leaf_has_the_shape_live_on_the_cpu_that_the_layer_tree_gives_it(
    net: Network,
) -> None:
    module = build(net).eval()
    seen: dict[str, tuple[int, ...]] = {}
    for path, child in module.named_modules():
        if next(child.children(), None) is None:
            child.register_forward_hook(
                lambda _, __, out, path=path: seen.update({path: tuple(out.shape)})
            )
    with torch.no_grad():
        module(torch.zeros(tuple(net.input)))
    assert seen == {e.path: tuple(e.outputs[0]) for e in net.tally().entries}


@SMALL
@given(networks())
def test_two_images_cost_twice_the_multiply_adds_of_one_and_hold_the_same_parameters(
    net: Network,
) -> None:
    module = build(net, device="meta")
    _, c, h, w = net.input
    two = hooks.count(module, shape=(2, c, h, w))
    one = net.tally()
    assert [e.macs for e in two.entries] == [2 * e.macs for e in one.entries]
    assert two.params == one.params


def test_the_drawn_networks_reach_every_unit_odd_and_oblong_images_and_one_to_three_stages() -> (
    None
):
    met: Counter[object] = Counter()

    @settings(deadline=None, max_examples=300, database=None, derandomize=True)
    @given(networks())
    def draw(net: Network) -> None:
        h, w = net.frame.size
        met.update({row.unit for row in net.spec.rows})
        met.update(
            {
                ("stages", len(net.stage_widths)),
                ("stem", net.stem is not None),
                ("oblong", h != w),
                ("odd", h % 2 + w % 2),
                ("groups", net.groups),
                ("own size", (h, w) == net.spec.image),
            }
        )

    draw()
    wanted = {
        *("shufflenet", "resnet", "resnext", "xception", "vgg", "conv", "max_pool", "fc"),
        *(("stages", n) for n in (1, 2, 3)),
        *(("odd", n) for n in (0, 1, 2)),
        *(("groups", g) for g in (1, 2, 3, 4, 5, 8)),
        *((name, yes) for name in ("stem", "oblong", "own size") for yes in (False, True)),
    }
    assert wanted <= met.keys()
