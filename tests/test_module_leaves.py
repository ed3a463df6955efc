"""The leaves of living modules: nothing is missing, nothing counted twice, and none is changed."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from module_strategies import Function, Residual, Sample, modules
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

import flopcount
from shufflenet import build, load, network
from shufflenet.targets import TargetError
from shufflenet.timing.ambient import Ambient
from shufflenet.timing.eager_layers import inference, tree_leaves
from shufflenet.timing.following import Found, followed
from shufflenet.timing.leaves import Leaves
from shufflenet.timing.module_leaves import module_leaves, shuffled
from shufflenet.timing.rounds import Call

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


def flat(found: Any) -> Iterator[Tensor]:
    """The tensors of what came out of a call."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, dict):
        yield from flat(list(found.values()))
    elif found is not None and not isinstance(found, (str, int, float, bool)):
        for item in found:
            yield from flat(item)


def leaves_in_turn(found: list[Found], image: Tensor) -> list[Tensor]:
    """What the leaves make one after the other, each of what those before it have made."""
    have = {1: image}
    last: list[Tensor] = [image]
    for leaf in found:
        step = leaf.step
        tensors = [x.kept if x.token is None else have[x.token] for x in step.operands]
        last = list(flat(step.bound(*step.arguments(tensors))()))
        for operand, tensor in zip(step.outputs, last, strict=True):
            assert tuple(tensor.shape) == operand.size
            if operand.token is not None:
                have[operand.token] = tensor
    return last


def check_leaves(module: nn.Module, image: Tensor) -> list[Found]:
    """The leaves of a module: in turn they come to its output, and together to its count."""
    counted = flopcount.count(copy.deepcopy(module), image.clone())
    with torch.inference_mode():
        expected = list(flat(copy.deepcopy(module)(image.clone())))
        found = list(shuffled(followed(copy.deepcopy(module), image.clone())))
        outputs = leaves_in_turn(found, image.clone())
        leaves = module_leaves(module, image.clone(), "net", counted)
    if found:
        # the last leaf may make more than the network hands on
        assert len(outputs) >= len(expected) > 0
        for ours, theirs in zip(outputs, expected, strict=False):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    assert leaves.check.leaves == leaves.check.whole
    assert leaves.check.whole.macs == counted.macs
    return found


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


def kinds(module: nn.Module, *size: int) -> Counter[str]:
    counted = flopcount.count(module, shape=size)
    with torch.inference_mode():
        found = module_leaves(module.eval(), torch.rand(size), "net", counted)
    assert found.check.leaves == found.check.whole
    return Counter(leaf.cost.kind for leaf in found.leaves)


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


def leaves_of(module: nn.Module) -> Leaves:
    counted = flopcount.count(module, shape=(1, 8, 6, 6))
    with inference(1):
        return module_leaves(module, torch.rand(1, 8, 6, 6), "net", counted)


def test_a_call_makes_the_same_in_every_round_though_it_writes_on_its_inputs():
    leaves = leaves_of(own())
    calls: list[Call] = [leaves.whole, *leaves.calls.values()]

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
    from shufflenet.timing.subjects import living, read_subject

    module = nn.Sequential(nn.Conv2d(3, 8, 3, groups=1), nn.Sequential(nn.ReLU(), nn.Flatten()))
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(module.eval(), (torch.rand(1, 3, 8, 8),)), path)
    again = living(read_subject(str(path))).module
    assert kinds(again, 1, 3, 8, 8) == {"3x3 convolution": 1, "relu": 1, "flatten": 1}


class Sees(nn.Module):
    """A layer that writes down the state that it runs in."""

    def __init__(self, seen: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        cast = None
        if torch.is_autocast_enabled("cpu"):
            cast = torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()
        self.seen.append((cast, torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        return x + 1


STATES: dict[str, Callable[[], Any]] = {
    "cast": lambda: torch.autocast("cpu", torch.bfloat16),
    "cast afresh": lambda: torch.autocast("cpu", torch.float16, cache_enabled=False),
    "gradients": torch.enable_grad,
    "no inference": lambda: torch.inference_mode(mode=False),
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_leaf_runs_in_the_state_in_which_the_network_runs_it(state: Callable[[], Any]):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[tuple[Any, ...]] = []
            self.layer = Sees(self.seen)

        def forward(self, x: Tensor) -> Tensor:
            with state():
                return self.layer(x)

    net = Net().eval()
    leaves = leaves_of(net)
    net.seen.clear()
    with inference(1):
        before = Ambient.now()
        leaves.whole.run()
        for call in leaves.calls.values():
            call.run()
        assert Ambient.now() == before
    whole, *others = net.seen
    assert others == [whole]


def test_layers_that_are_cast_are_leaves_in_turn_and_other_work_than_those_that_are_not():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                x = self.conv(self.conv(x))
            return self.conv(x.float())

    found = check_leaves(Net().eval(), torch.rand(1, 8, 6, 6))
    sizes = [leaf.step.outputs[0].dtype for leaf in found if leaf.module is not None]
    assert sizes == [torch.bfloat16, torch.bfloat16, torch.float32]
    leaves = leaves_of(Net().eval()).leaves
    convolutions = [leaf for leaf in leaves if leaf.cost.kind == "3x3 convolution"]
    assert len({leaf.work for leaf in convolutions}) == 3
    # an image of 8x6x6 read, weights and biases, and an image of half the bytes made
    moved = 4 * 8 * 36 + 4 * (8 * 8 * 9 + 8) + 2 * 8 * 36
    assert convolutions[0].cost.moved == moved


class Tries(nn.Module):
    """Has a layer that fails, and goes on without it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = Function(self.fails)
        self.conv = nn.Conv2d(8, 4, 1)

    def fails(self, x: Tensor) -> Tensor:
        x.relu()
        raise ZeroDivisionError

    def forward(self, x: Tensor) -> Tensor:
        try:
            x = self.layer(x)
        except ZeroDivisionError:
            # a layer that is called meanwhile has not failed
            x = self.conv(x)
        return x * 2


def test_a_layer_that_fails_is_no_leaf_and_what_it_did_before_stays():
    found = check_leaves(Tries().eval(), torch.rand(1, 8, 6, 6))
    assert [(leaf.path, leaf.module is None) for leaf in found] == [
        ("layer", True),
        ("conv", False),
        ("", True),
    ]


def test_a_container_is_no_leaf_and_what_it_calls_is():
    script = torch.jit.trace(nn.ReLU(), torch.rand(1))
    module = nn.Sequential(nn.Sequential(script, script), nn.Identity(), nn.Sequential())
    assert kinds(module, 1, 8, 6, 6) == {"relu": 2, "identity": 2}


def works_of(*layers: nn.Module) -> int:
    """How many works the layers are, one behind the other."""
    return len(leaves_of(nn.Sequential(*layers).eval()).calls)


def test_layers_that_do_what_no_function_shows_are_other_work():
    hooked, own, before = nn.ReLU(), nn.ReLU(), nn.ReLU()
    hooked.register_forward_hook(lambda *_: None)
    before.register_forward_pre_hook(lambda *_: None)
    own.forward = lambda x: torch.relu(x)  # type: ignore[method-assign, assignment]
    plain = nn.ReLU()
    plain.forward = plain.forward  # type: ignore[method-assign]
    assert works_of(nn.ReLU(), nn.ReLU()) == 1
    for other in (hooked, before, own, plain):
        assert works_of(nn.ReLU(), other) == 2


def test_steps_that_do_not_follow_one_another_are_no_shuffle():
    def apart(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        other = (x + 1).view(n, 2, c // 2, h, w)
        parts = x.view(n, 2, c // 2, h, w)
        swapped = other.transpose(1, 2)
        return parts.reshape(n, c, h, w) + swapped.sum()

    class Between(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return apart(self.conv(x))

    assert kinds(Between(), 1, 4, 2, 2)["channel shuffle"] == 0


def test_a_tensor_is_never_taken_for_an_older_one_that_is_gone():
    def long(x: Tensor) -> Tensor:
        for _ in range(100):
            x = x + 1
        return x

    class Long(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return long(self.conv(x))

    found = followed(Long().eval(), torch.rand(1, 8, 6, 6))
    assert len({leaf.step.outputs[0].token for leaf in found}) == len(found) == 101


class Grows(nn.Module):
    """Adds to the list that it is given."""

    def forward(self, xs: list[Tensor]) -> Tensor:
        xs.append(torch.cat(xs))
        return xs[-1]


class Takes(nn.Module):
    """Takes from the list that it is given."""

    def forward(self, xs: list[Tensor]) -> Tensor:
        return xs.pop() * 2


class Given(nn.Module):
    """Hands a list to a layer, and changes the shape of what comes of it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer([x])
        y.unsqueeze_(0)
        y.transpose_(0, 2)
        return y.squeeze_(2).mul_(0.5)


@pytest.mark.parametrize("layer", [Grows(), Takes()])
@pytest.mark.parametrize("state", [torch.inference_mode, torch.enable_grad])
def test_a_call_finds_lists_and_shapes_as_they_were(layer: nn.Module, state: Callable[[], Any]):
    leaves = leaves_of(Given(layer))
    shapes = {leaf.work: leaf.cost.outputs for leaf in leaves.leaves}
    with inference(1), state():
        for _ in range(3):
            for work, call in leaves.calls.items():
                call.run()
                call.prepare()
                call.run()
                made = list(flat(call.run()))
                assert [tuple(x.shape) for x in made] == [tuple(x) for x in shapes[work]]
                assert float(made[0].max()) <= 2


CONVOLUTION = {
    "a weight that is worked out before": lambda conv: nn.utils.spectral_norm(conv),
    "a hook behind": lambda conv: hooked(conv),
    "a class of one's own": lambda conv: Standard(8, 8, 3, groups=8, padding=1),
    "a convolution over time before": lambda conv: InTime(8, 8, 3, groups=8, padding=1),
}


def hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda _, args, out: (out + 1) @ torch.eye(out.shape[-1]))
    return layer


class Standard(nn.Conv2d):
    """A convolution whose weight is brought to a mean of zero."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


class InTime(nn.Conv2d):
    """A convolution, and another one whose weight lies otherwise: (k, c, d)."""

    def forward(self, x: Tensor) -> Tensor:
        torch.conv_tbc(x[0], torch.ones(3, 6, 2), torch.ones(2))
        return super().forward(x)


@pytest.mark.parametrize("make", CONVOLUTION.values(), ids=CONVOLUTION)
def test_a_convolution_is_called_by_its_kernel_whatever_else_it_does(
    make: Callable[[nn.Module], nn.Module],
):
    torch.manual_seed(0)
    conv = make(nn.Conv2d(8, 8, 3, padding=1, groups=8))
    assert kinds(nn.Sequential(conv), 1, 8, 6, 6) == {"3x3 depthwise": 1}


class MyReLU(nn.Module):
    """A layer of one's own, named as torch writes one."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=0) * 1


def test_layers_are_called_by_what_they_are_for_and_by_whole_words():
    layers = [hooked(nn.ReLU6()), hooked(nn.BatchNorm2d(8)), hooked(nn.AvgPool2d(1)), MyReLU()]
    found = kinds(nn.Sequential(*layers), 1, 8, 6, 6)
    assert found == {"relu6": 1, "batch norm": 1, "avg pool": 1, "my relu": 1}


class Chooses(nn.Module):
    """Does what depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)
        self.picks = Function(lambda x: x[x > x.mean()])

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if x.sum().item() > 1e9:
            return x
        return self.picks(x)


def test_a_leaf_whose_work_depends_on_values_is_counted_with_them():
    module = Chooses().eval()
    image = torch.rand(1, 8, 6, 6)
    counted = flopcount.count(module, image, execution="real")
    with inference(1):
        leaves = module_leaves(module, image, "net", counted)
    assert leaves.check.leaves == leaves.check.whole == (8 * 8 * 6 * 6, 8 * 8 + 8)
    assert [leaf.cost.path for leaf in leaves.leaves] == ["conv", "(itself)", "(itself)", "picks"]


def test_sparse_tensors_of_equal_sizes_are_told_apart():
    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("few", torch.eye(6).to_sparse())
            self.register_buffer("many", torch.ones(6, 6).to_sparse())

        def forward(self, x: Tensor) -> Tensor:
            x = x[0, 0]
            return torch.mm(self.few, x) + torch.mm(self.many, x)

    found = followed(Sparse(), torch.rand(1, 8, 6, 6))
    products = [leaf.step.key for leaf in found if leaf.step.name == "mm"]
    assert len(products) == len(set(products)) == 2


class Kept(nn.Module):
    """Has a weight, and lets its input through."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_weights_that_a_layer_does_not_read_are_not_counted():
    leaves = leaves_of(nn.Sequential(nn.Conv2d(8, 8, 1), Kept()).eval())
    assert leaves.check.leaves == leaves.check.whole == (8 * 8 * 6 * 6, 8 * 8 + 8)


ALONE = {
    "a layer that goes by what was before": (
        lambda: Stateful(),
        "net: leaf 'layer' (once) cannot be run alone: only once",
    ),
    "a layer that reads an iterator": (
        lambda: Lazy(),
        "net: leaf 'layer' (function) cannot be run alone: tensors that it makes: 1 in the network",
    ),
    "what is not on the CPU": (
        lambda: Function(lambda x: x.to("meta")),
        "net: leaf '0' (function) cannot be run alone: a tensor of it is on meta, and not on the",
    ),
    "gradients, of what is no longer there": (
        lambda: Slope(),
        "net: leaf '(itself)' (grad) cannot be run alone: element 0 of tensors does not require",
    ),
}


class Once(nn.Module):
    """Can be called once for each time that its network is."""

    called = False

    def forward(self, x: Tensor) -> Tensor:
        if self.called:
            raise ZeroDivisionError("only once")
        self.called = True
        return x + 1


class Stateful(nn.Module):
    """Has a layer that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = Once()

    def forward(self, x: Tensor) -> Tensor:
        self.layer.called = False
        return self.layer(x)


class Lazy(nn.Module):
    """Hands an iterator to a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = Function(sum)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(y * 2 for y in (x, x))
        return found


class Slope(nn.Module):
    """Asks for a gradient on its way."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode(mode=False), torch.enable_grad():
            x = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad((x * x).sum(), x)
        return slope


@pytest.mark.parametrize(("make", "said"), ALONE.values(), ids=ALONE)
def test_a_leaf_that_cannot_be_run_alone_is_told(make: Callable[[], nn.Module], said: str):
    module = nn.Sequential(make()) if isinstance(make(), Function) else make()
    counted = flopcount.count(nn.Identity(), shape=(1, 8, 6, 6))
    with inference(1), pytest.raises(TargetError) as caught:
        module_leaves(module, torch.rand(1, 8, 6, 6), "net", counted)
    assert str(caught.value).startswith(said)
