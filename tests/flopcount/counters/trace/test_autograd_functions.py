"""What flows back through a function with a backward method of its own is told as uncounted."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

from flopcount.counters.trace import UncountedError, count

N, E = 2, 4
MAP = N * E * E


class Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x @ w.t() + 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, w = ctx.saved_tensors
        return grad @ w, grad.t() @ x


class Rounding(Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class Reversing(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad


def wrapped(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        return func(*args)

    return wrapper


class Wrapped(Function):
    @staticmethod
    @wrapped
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return Reversing.apply(x) * 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 2


class Between(nn.Module):
    """Two maps, and what is done between them."""

    def __init__(self, run: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.before = nn.Linear(E, E)
        self.after = nn.Linear(E, E)
        self._run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self._run(self, self.before(x)))


def linear(m: Any, x: Tensor) -> Tensor:
    return Linear.apply(x, m.after.weight)


BETWEEN: dict[str, tuple[Callable[[Any, Tensor], Tensor], dict[str, int], int]] = {
    "a product": (linear, {"Linear_backward": 1}, MAP),
    "two": (lambda m, x: linear(m, linear(m, x)), {"Linear_backward": 2}, 2 * MAP),
    "new style": (lambda m, x: Rounding.apply(x), {"Rounding_backward": 1}, 0),
    "a view": (lambda m, x: Reversing.apply(x), {"Reversing_backward": 1}, 0),
    "one in another": (lambda m, x: Wrapped.apply(x), {"Wrapped_backward": 1}, 0),
    "a checkpoint": (
        lambda m, x: checkpoint(m.after, x, use_reentrant=True),
        {"CheckpointFunction_backward": 1},
        MAP,
    ),
}
OPTIONS: list[dict[str, Any]] = [{}, {"checked": True}, {"execution": "real"}]
each_way = pytest.mark.parametrize("options", OPTIONS, ids=str)


@each_way
@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_backward_method_of_ones_own_is_told_and_what_lies_before_it_is_counted(name, options):
    run, uncounted, macs = BETWEEN[name]
    tally = count(Between(run), torch.zeros(N, E), backward=True, **options)
    assert tally.uncounted == uncounted
    assert tally.coverage < 1
    # both maps there, of the second both gradients, and of the first that of its weight
    assert tally.macs == 2 * MAP + macs + 2 * MAP + MAP
    (first,) = (e for e in tally.entries if e.path == "before" and "backward" in e.operator)
    assert (first.kind, first.macs) == ("linear_backward", MAP)


@each_way
def test_under_strict_it_is_refused(options):
    with pytest.raises(UncountedError, match=r"no rule for Linear_backward \(1\)"):
        count(Between(linear), torch.zeros(N, E), backward=True, strict=True, **options)


@each_way
def test_without_a_way_back_there_is_nothing_to_tell(options):
    tally = count(Between(linear), torch.zeros(N, E), strict=True, **options)
    assert (tally.uncounted, tally.coverage, tally.macs) == ({}, 1, 3 * MAP)


@each_way
def test_where_no_gradient_flows_nothing_is_told(options):
    def run(m: Any, x: Tensor) -> Tensor:
        Linear.apply(x, m.after.weight)
        return Linear.apply(x.detach(), m.after.weight.detach())

    tally = count(Between(run), torch.zeros(N, E), backward=True, strict=True, **options)
    assert tally.macs == 4 * MAP + MAP


@each_way
def test_what_is_run_without_gradients_is_no_such_function(options):
    @torch.no_grad()
    def forward(m: Any, x: Tensor) -> Tensor:
        return x * 2

    tally = count(Between(forward), torch.zeros(N, E), backward=True, strict=True, **options)
    assert tally.macs == 2 * MAP + MAP
