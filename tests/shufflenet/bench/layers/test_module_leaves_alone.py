"""The leaves of living modules, each run alone: in its state, on what it is given, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

import flopcount
from shufflenet.bench.layers.calls import Ambient
from shufflenet.bench.layers.follow import followed
from shufflenet.bench.layers.module_leaves import module_leaves
from shufflenet.bench.layers.time_layers import inference
from shufflenet.targets.resolve import TargetError
from tests.module_strategies import Function
from tests.shufflenet.bench.layers.module_leaf_checks import check_leaves, flat, kinds, leaves_of


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


class Doubles(nn.Module):
    """Doubles what it is given, where that lies."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2)


def test_a_call_finds_the_values_that_it_writes_on_as_they_were():
    leaves = leaves_of(nn.Sequential(nn.Hardtanh(), Doubles()))
    with inference(1):
        for call in leaves.calls.values():
            most = set()
            for _ in range(4):
                call.prepare()
                most.add(float(next(flat(call.run())).max()))
            assert len(most) == 1


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
