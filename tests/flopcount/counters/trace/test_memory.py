"""Memory as the general counter sees it, against a schedule of tensors, and the layer trees."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from flopcount.counters import hooks
from flopcount.counters.trace import count
from flopcount.entries import VIEW_KINDS
from flopcount.tally import Tally
from shufflenet.arch.network import Network, network
from shufflenet.arch.spec_reader import load
from shufflenet.nn.builder import build
from tests.module_strategies import Branches, Residual, modules
from tests.strategies import networks

SMALL = settings(deadline=None, max_examples=25)
MANY = settings(deadline=None, max_examples=60)

#: Layers that make another name of what they are given.
RENAMING = (nn.Identity, nn.Dropout, nn.Flatten)


@dataclass
class Schedule:
    """Tensors by number with their elements; the steps that read some and make one; all moved."""

    tensors: list[int] = field(default_factory=list)
    steps: list[tuple[list[int], int]] = field(default_factory=list)
    moved: int = 0

    def start(self, x: Tensor) -> int:
        self.tensors.append(x.numel())
        return len(self.tensors) - 1

    def run(self, module: nn.Module, tensor: int, x: Tensor) -> tuple[int, Tensor]:
        match module:
            case nn.Sequential():
                for child in module:
                    tensor, x = self.run(child, tensor, x)
                return tensor, x
            case Residual():
                body, y = self.run(module.body, tensor, x)
                return self.step([tensor, body], [x, y], x + y)
            case Branches():
                ends = [self.run(branch, tensor, x) for branch in module.branches]
                ys = [y for _, y in ends]
                return self.step([end for end, _ in ends], ys, torch.cat(ys, 1))
            case _ if isinstance(module, RENAMING):
                return tensor, module(x)
            case _:
                self.moved += sum(p.numel() for p in module.parameters())
                return self.step([tensor], [x], module(x))

    def step(self, inputs: list[int], read: list[Tensor], made: Tensor) -> tuple[int, Tensor]:
        self.moved += sum(x.numel() for x in read) + made.numel()
        out = self.start(made)
        self.steps.append((inputs, out))
        return out, made

    def peak(self, result: int) -> int:
        born = {0: 0} | {out: time for time, (_, out) in enumerate(self.steps)}
        last = {t: time for time, (inputs, _) in enumerate(self.steps) for t in inputs}
        last[result] = len(self.steps)
        alive = [
            sum(size for t, size in enumerate(self.tensors) if born[t] <= time <= last.get(t, 0))
            for time in range(len(self.steps))
        ]
        return max(alive, default=self.tensors[0])


def scheduled(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    """The most elements alive at once, and all that are moved."""
    schedule, x = Schedule(), torch.zeros(shape)
    with torch.no_grad():
        result, _ = schedule.run(module, schedule.start(x), x)
    return schedule.peak(result), schedule.moved


DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@MANY
@given(modules(plain=True), st.integers(1, 3), st.sampled_from(DTYPES))
def test_peak_and_traffic_are_those_of_the_schedule_times_the_size_of_an_element(drawn, n, dtype):
    module, sample = drawn
    peak, moved = scheduled(module, (n, *sample))
    tally = count(copy.deepcopy(module).to(dtype), torch.zeros(n, *sample, dtype=dtype))
    assert tally.element_bytes == dtype.itemsize
    assert tally.peak_memory == dtype.itemsize * peak
    assert tally.bytes_moved == dtype.itemsize * moved


@SMALL
@given(modules(plain=True))
def test_operators_below_and_a_real_run_hold_and_move_what_the_schedule_says(drawn):
    module, sample = drawn
    peak, moved = scheduled(module, (2, *sample))
    for options in ({"checked": True}, {"execution": "real"}):
        tally = count(module, shape=(2, *sample), **options)
        assert (tally.peak_memory, tally.bytes_moved) == (4 * peak, 4 * moved)


#: What each keeps alive, in elements of one sample of 8 features, at the worst moment.
KNOWN = {
    "an operator holds what it reads and what it makes": (lambda x: x.exp(), 8 + 8),
    "nothing is done in place": (lambda x: x.clone().relu_(), 8 + 8),
    "a view holds nothing of its own": (lambda x: x.view(-1).view(x.shape).exp(), 8 + 8),
    "a part keeps the whole alive": (
        lambda x: x.repeat(1, 4)[:, :1] + x.repeat(1, 5),
        8 * 4 + 8 * 5 + 8 * 5,
    ),
    "what is not read again is let go": (lambda x: x.exp().exp().exp(), 8 + 8),
    "what is read later is kept": (lambda x: x.exp().exp() + x, 8 + 8 + 8),
    "a product holds both sides": (lambda x: x.t() @ x, 8 + 8 * 8),
    "what comes out lives to the end": (lambda x: (x.exp(), x.sin(), x.cos()), 8 + 3 * 8),
    "masks are bytes": (lambda x: torch.where(x > 0, x, -x), 8 + 2 + 8 + 8),
}


@pytest.mark.parametrize("claim", KNOWN)
@pytest.mark.parametrize("options", [{}, {"checked": True}, {"execution": "real"}], ids=str)
def test_a_function_keeps_alive_what_is_known(claim, options):
    function, elements = KNOWN[claim]
    tally = count(function, torch.rand(1, 8), **options)
    assert tally.peak_memory == 4 * elements


def leaves(tally: Tally) -> list[tuple[object, ...]]:
    """Every leaf that makes a new tensor, in order."""
    return [
        (e.path, e.kind, e.inputs, e.outputs, e.macs, e.weight, e.bias)
        for e in tally.entries
        if e.kind not in VIEW_KINDS
    ]


@SMALL
@given(networks())
def test_a_network_costs_by_its_layer_tree_by_hooks_and_by_trace_the_same_at_every_path(
    net: Network,
) -> None:
    claimed = net.tally()
    module = build(net)
    traced = count(module, shape=tuple(net.input), strict=True)
    hooked = hooks.count(module, shape=tuple(net.input), strict=True)
    assert leaves(claimed) == leaves(traced) == leaves(hooked)
    assert claimed.macs == traced.macs == hooked.macs
    assert claimed.params == traced.params == hooked.params
    assert claimed.activations == traced.activations
    assert claimed.bytes_moved == traced.bytes_moved
    assert claimed.peak_memory == traced.peak_memory


@SMALL
@given(networks(), st.integers(1, 3))
def test_the_trace_of_several_images_is_alive_and_costs_so_many_times_the_layer_tree(
    net: Network, n: int
) -> None:
    _, *image = net.input
    traced = count(build(net, device="meta"), shape=(n, *image))
    assert traced.macs == n * net.tally().macs
    assert traced.peak_memory == n * net.tally().peak_memory


@pytest.mark.parametrize("options", [{}, {"checked": True}], ids=str)
def test_the_peak_of_a_training_step_is_not_said(options):
    tally = count(nn.Linear(3, 4), shape=(2, 3), backward=True, **options)
    assert tally.peak_memory is None


class Looking(nn.Module):
    """A module that looks at its parts while it runs, holds them in a list, and attends."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.LayerNorm(4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.listed = [self.body[0][0]]

    def forward(self, x: Tensor) -> Tensor:
        """``(n, t, 4) -> (n, t, 4)``."""
        for part in self.body:
            x = part(x)
        x = self.listed[0](self.body[0](x))
        return self.attention(x, x, x, need_weights=False)[0]


HELD: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "a sequence": (lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU()), (2, 4)),
    "a network": (lambda: build(network(load("shufflenet"), 3, scale="0.25")), (1, 3, 64, 64)),
    "one that looks at its parts": (Looking, (2, 3, 4)),
    "a recurrent net": (lambda: nn.LSTM(4, 4), (2, 3, 4)),
}


def held_by_torch() -> list[object]:
    """Every tensor and module there is, by class: asking some for theirs has effects."""
    return [x for x in gc.get_objects() if issubclass(type(x), (Tensor, nn.Module))]


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("backward", [False, True])
def test_a_count_leaves_no_tensor_and_no_module_to_the_search_for_garbage(held, backward):
    make, shape = HELD[held]
    module = make()
    count(module, shape=shape, backward=backward)
    gc.collect()
    gc.disable()
    try:
        before = set(map(id, held_by_torch()))
        tally = count(module, shape=shape, backward=backward)
        assert [type(x).__name__ for x in held_by_torch() if id(x) not in before] == []
    finally:
        gc.enable()
    assert tally.entries
