"""The leaves of living modules: nothing is missing, nothing counted twice, and none is changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

import flopcount
from shufflenet import build, load, network
from shufflenet.bench.layers.follow import followed
from shufflenet.bench.layers.module_leaves import module_leaves
from shufflenet.bench.layers.time_layers import inference, tree_leaves
from shufflenet.bench.rounds import TimedCall
from tests.module_strategies import Function, Residual, Sample, modules
from tests.shufflenet.bench.layers.module_leaf_checks import check_leaves, flat, kinds, leaves_of

#: Networks of torchvision's, the larger ones cut down, with the side of an image that each takes.
TORCHVISION: dict[str, tuple[dict[str, Any], int]] = {
    "shufflenet_v2_x0_5": ({}, 64),
    "mobilenet_v3_small": ({}, 64),
    "resnet18": ({}, 64),
    "googlenet": ({"init_weights": False}, 64),
    "DenseNet": ({"growth_rate": 8, "block_config": (2, 3), "num_init_features": 16}, 64),
    "VisionTransformer": (
        dict.fromkeys(("image_size", "hidden_dim", "mlp_dim"), 32)
        | {"patch_size": 8, "num_layers": 2, "num_heads": 4},
        32,
    ),
    "SwinTransformer": (
        {"patch_size": [4, 4], "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 4]}
        | {"window_size": [3, 3]},
        64,
    ),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_leaves_in_turn_compute_and_cost_what_the_network_does(name: str):
    models = pytest.importorskip("torchvision").models
    torch.manual_seed(0)
    arguments, side = TORCHVISION[name]
    module = getattr(models, name)(**arguments).eval()
    check_leaves(module, torch.rand(1, 3, side, side))


@given(modules())
@settings(max_examples=60, deadline=None)
def test_leaves_of_any_module_in_turn_compute_and_cost_what_it_does(
    drawn: tuple[nn.Module, Sample],
):
    module, sample = drawn
    check_leaves(module, torch.rand(2, *sample))


@pytest.mark.parametrize(
    ("spec", "groups"), [("shufflenet", 3), ("shufflenet_v2_x0_5", 1), ("mobilenet_v3_small", 1)]
)
def test_a_spec_reads_as_the_module_that_is_built_of_it(spec: str, groups: int):
    net = network(load(spec), groups, size=(64, 64))
    tree = tree_leaves(net.tree, net.input, spec)
    module = build(net).eval()
    counted = flopcount.count(module, shape=tuple(net.input))
    with torch.inference_mode():
        living = module_leaves(module, torch.rand(tuple(net.input)), spec, counted)
    assert [leaf.cost for leaf in living.leaves] == [leaf.cost for leaf in tree.leaves]
    assert living.check == tree.check


class Own(nn.Module):
    """What networks of one's own do: functions, in place, twice, attention and recurrence."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pointwise = nn.Conv2d(8, 8, 1, groups=2)
        self.norm = nn.BatchNorm2d(8)
        self.gain = nn.Parameter(torch.full((1, 8, 1, 1), 1.5))
        self.recurrent = nn.LSTM(16, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.table = nn.Embedding(10, 8)
        self.factor = torch.tensor(2.0)

    def unit(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x))
        n, c, h, w = y.shape
        y = y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        y = self.pointwise(y).mul_(self.gain)
        y += x
        return F.relu_(y)

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5).div_(0.25)
        x = self.unit(self.unit(x)) * self.factor
        x = torch.cat([x, F.relu(-x)], dim=1)
        x = F.adaptive_avg_pool2d(x, 2).flatten(2).transpose(1, 2)
        x, _ = self.recurrent(x)
        x = x + self.table(torch.arange(x.shape[1]) % 10)
        x, _ = self.attention(x, x, x, need_weights=False)
        x[:, 0] = 0
        first, second = x.split(2, dim=1)
        return torch.where(torch.ones(8, dtype=torch.bool), first, second).mean(1)


def own() -> nn.Module:
    torch.manual_seed(0)
    return Own().eval()


def test_functions_between_layers_are_leaves_by_their_names():
    found = kinds(own(), 1, 8, 6, 6)
    assert {name: found[name] for name in sorted(found)} == {
        "1x1 group convolution": 2,
        "3x3 depthwise": 2,
        "adaptive avg pool": 1,
        "add": 3,
        "arange": 1,
        "batch norm": 2,
        "channel shuffle": 2,
        "concat": 1,
        "div": 1,
        "embedding": 1,
        "flatten": 1,
        "lstm": 1,
        "mean": 1,
        "mul": 3,
        "multihead attention": 1,
        "neg": 1,
        "ones": 1,
        "relu": 3,
        "remainder": 1,
        "setitem": 1,
        "split": 1,
        "sub": 1,
        "transpose": 1,
        "where": 1,
    }


def test_leaves_of_a_network_of_ones_own_in_turn_compute_and_cost_what_it_does():
    found = check_leaves(own(), torch.rand(1, 8, 6, 6))
    # what several leaves do alike is one work
    assert [leaf.path for leaf in found].count("depthwise") == 2
    leaves = leaves_of(own())
    assert len(leaves.calls) < len(leaves.leaves) == len(found)


def test_a_call_makes_the_same_in_every_round_though_it_writes_on_its_inputs():
    leaves = leaves_of(own())
    calls: list[TimedCall] = [leaves.whole, *leaves.calls.values()]

    def rounds() -> list[list[Tensor]]:
        made = []
        for call in calls:
            # as the rounds do: once more, with what is left by the last time
            call.run()
            call.prepare()
            made.append([x.clone() for x in flat(call.run())])
        return made

    with inference(1):
        first = rounds()
        for _ in range(20):
            last = rounds()
    for ours, theirs in zip(first, last, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other)
            assert bool(torch.isfinite(one).all())


def state(module: nn.Module) -> dict[str, Any]:
    """All that a module and those within it hold, tensors by identity and by values."""
    found: dict[str, Any] = {}
    for path, inner in module.named_modules():
        for name, value in vars(inner).items():
            held = dict(value) if isinstance(value, dict) else value
            found[f"{path}:{name}"] = held
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return found | {name: (id(x), x.detach().clone().tolist()) for name, x in tensors.items()}


class Raises(nn.Module):
    """Fails behind its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        self.norm(x)
        raise ZeroDivisionError


@pytest.mark.parametrize("make", [own, lambda: Raises().train(), lambda: nn.Sequential(Raises())])
def test_a_module_is_left_as_it_was_also_where_it_raises(make: Callable[[], nn.Module]):
    module = make()
    inner = next(module.children())
    ran: list[str] = []
    inner.register_forward_hook(lambda *_: ran.append("hook"))
    inner.register_forward_pre_hook(lambda *_: ran.append("pre-hook"))
    module.eval()
    before = state(module)
    with torch.inference_mode():
        try:
            followed(module, torch.rand(1, 8, 6, 6))
        except ZeroDivisionError:
            assert not isinstance(module, Own)
        else:
            assert isinstance(module, Own)
    assert ran[0] == "pre-hook"
    assert state(module) == before


class Kernel(torch.autograd.Function):
    """A function of one's own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * x


class Held(nn.Module):
    """Has a layer that torch does not know of."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Sequential(nn.Conv2d(8, 8, 1, bias=False))]

    def forward(self, x: Tensor) -> Tensor:
        return self.hidden[0](x)


UNSEEN = {
    "a function with a backward of its own": (lambda: Function(Kernel.apply), {"mul": 1}),
    "an attribute": (lambda: Function(lambda x: x.mT), {"mT": 1}),
    "a walk through a tensor": (
        lambda: Function(lambda x: torch.stack(list(x))),
        {"unbind": 1, "concat": 1},
    ),
    "what gives nothing back": (
        lambda: Function(lambda x: x.clone().__setitem__(0, 1.0) or x),
        {"clone": 1, "setitem": 1},
    ),
    "an argument by name": (
        lambda: Function(lambda x: F.conv2d(weight=torch.ones(4, 4, 1, 1), groups=2, input=x)),
        {"ones": 1, "1x1 group convolution": 1},
    ),
}


@pytest.mark.parametrize(("make", "found"), UNSEEN.values(), ids=UNSEEN)
def test_nothing_that_runs_is_missing(make: Callable[[], nn.Module], found: dict[str, int]):
    assert kinds(make(), 1, 8, 6, 6) == found


def test_what_a_script_runs_is_seen_operator_by_operator():
    layers = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU())
    module = nn.Sequential(torch.jit.trace(layers, torch.rand(1, 8, 6, 6)), nn.Conv2d(8, 4, 1))
    found = kinds(module, 1, 8, 6, 6)
    assert found == {"3x3 convolution": 1, "relu": 1, "1x1 convolution": 1}


def test_a_layer_that_torch_does_not_know_of_is_a_leaf_and_its_parameters_are_told_apart():
    counted = flopcount.count(Held(), shape=(1, 8, 6, 6))
    with torch.inference_mode():
        found = module_leaves(Held().eval(), torch.rand(1, 8, 6, 6), "net", counted)
    assert [leaf.cost.kind for leaf in found.leaves] == ["1x1 convolution"]
    assert found.check.leaves.macs == found.check.whole.macs == 8 * 8 * 6 * 6
    assert (found.check.leaves.params, found.check.whole.params) == (8 * 8, 0)


def test_what_the_hooks_of_a_layer_do_is_its_own():
    layer = nn.Conv2d(8, 8, 1)
    layer.register_forward_pre_hook(lambda _, args: (args[0] * 2,))
    layer.register_forward_hook(lambda _, args, out: out + args[0])
    module = nn.Sequential(layer, nn.ReLU()).eval()
    found = check_leaves(module, torch.rand(1, 8, 6, 6))
    assert [leaf.path for leaf in found] == ["0", "1"]
    assert kinds(module, 1, 8, 6, 6) == {"1x1 convolution": 1, "relu": 1}


def shuffle(g: int, how: str) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, g, c // g, h, w)
        if how == "permute":
            return parts.permute(0, 2, 1, 3, 4).reshape(n, c, h, w)
        if how == "flatten":
            return parts.swapaxes(1, 2).contiguous().flatten(1, 2)
        if how == "sides":
            return parts.transpose(3, 4).reshape(n, c, h, w)
        if how == "back and forth":
            return parts.transpose(1, 2).transpose(1, 2).reshape(n, c, h, w)
        return parts.transpose(1, 2).reshape(n, c, h, w)

    return run


@pytest.mark.parametrize(
    ("how", "shuffled"),
    [
        ("transpose", True),
        ("permute", True),
        ("flatten", True),
        ("sides", False),
        ("back and forth", False),
    ],
)
@pytest.mark.parametrize("between", [True, False])
def test_a_channel_shuffle_is_one_by_what_it_does(how: str, shuffled: bool, between: bool):
    layer: nn.Module = Function(shuffle(2, how))
    # as a layer of its own, or as what a module does between its layers
    module = Residual(nn.Identity(), layer) if between else nn.Sequential(layer)
    if between:
        layer.forward = lambda x, y: shuffle(2, how)(x)  # type: ignore[method-assign, assignment]
    # g, k, h and w are the same number, so that no shape tells them apart
    assert kinds(module, 1, 4, 2, 2)["channel shuffle"] == int(shuffled)


def test_a_shuffle_between_layers_is_one_leaf_and_its_parts_are_none():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(6, 6, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = shuffle(3, "flatten")(self.conv(x)) + 1
            return shuffle(3, "sides")(x)

    found = kinds(Net(), 1, 6, 4, 4)
    assert found == {
        "1x1 convolution": 1,
        "channel shuffle": 1,
        "add": 1,
        "reshape": 2,
        "transpose": 1,
    }


def test_parameters_that_are_tied_are_read_once():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Conv2d(4, 4, 1)
            self.other = nn.Conv2d(4, 4, 1)
            self.other.weight = self.one.weight
            self.never = nn.Linear(9, 9)

        def forward(self, x: Tensor) -> Tensor:
            return self.other(self.one(self.one(x)))

    counted = flopcount.count(Tied(), shape=(1, 4, 2, 2))
    with torch.inference_mode():
        found = module_leaves(Tied().eval(), torch.rand(1, 4, 2, 2), "net", counted)
    assert found.check.leaves == found.check.whole == (3 * 4 * 4 * 2 * 2, 4 * 4 + 4 + 4)
    assert [leaf.cost.params for leaf in found.leaves] == [4 * 4 + 4] * 3


def test_an_exported_program_reads_as_the_module_that_it_was(tmp_path: Path):
    from shufflenet.bench.subjects import living, read_subject

    module = nn.Sequential(nn.Conv2d(3, 8, 3, groups=1), nn.Sequential(nn.ReLU(), nn.Flatten()))
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(module.eval(), (torch.rand(1, 3, 8, 8),)), path)
    again = living(read_subject(str(path))).module
    assert kinds(again, 1, 3, 8, 8) == {"3x3 convolution": 1, "relu": 1, "flatten": 1}
