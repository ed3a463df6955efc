"""A class that says what it makes is asked, and not run, where nothing else hangs on it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flopcount.counters.trace import count
from tests.flopcount.counters.trace.ways import agreed, empty

SHAPE = (2, 3, 8, 8)
EACH = 2 * 8 * 8 * 3 * 3 * 9


def same() -> nn.Conv2d:
    return nn.Conv2d(3, 3, 3, padding=1)


class Free(nn.Module):
    """Says that it is free, and what it makes; remembers whether it was run or asked."""

    free_kind = "index"

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        self.ran.append("forward")
        return x.repeat(1, 2, 1, 1).flip(1)

    def free_size(self, x: torch.Size) -> tuple[int, ...]:
        self.ran.append("free_size")
        return (x[0], 2 * x[1], *x[2:])


class Lying(Free):
    def free_size(self, x: torch.Size) -> torch.Size:
        return x


class View(Free):
    """Only renames its input: its short cut could not say so."""

    free_kind = "slice"

    def forward(self, x: Tensor) -> Tensor:
        self.ran.append("forward")
        return x[:, :1]


class Unsaid(Free):
    """Says how large its result is, and not what kind of work it is."""

    free_kind = None


class Learning(Free):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class Remembering(Free):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))


class Holding(Free):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ReLU()


class Failing(Free):
    def free_size(self, x: torch.Size) -> tuple[int, ...]:
        self.ran.append("free_size")
        return (x[9],)


class Reached(Free):
    """A class whose call is its own."""

    def __call__(self, x: Tensor) -> Any:
        return super().__call__(x) + 1


class Heard:
    """Stands for a list that twins have in common with the module."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def append(self, name: str) -> None:
        self.names.append(name)


def ran(module: Any, **options: Any) -> list[str]:
    """What was asked of a module that is counted behind a convolution."""
    module.ran = heard = Heard()
    count(nn.Sequential(same(), module), torch.zeros(SHAPE), **options)
    return heard.names


def test_a_free_class_that_says_its_size_is_asked_for_it_and_not_run():
    assert ran(Free()) == ["free_size"]
    tally = agreed(nn.Sequential(same(), Free(), nn.Conv2d(6, 1, 1)), empty(*SHAPE))
    assert tally.macs == EACH + 2 * 8 * 8 * 6
    assert tally.by_kind()["index"].activations == 2 * 8 * 8 * 6


@pytest.mark.parametrize("options", [{"checked": True}, {"execution": "real"}], ids=str)
def test_where_every_function_runs_a_free_class_is_run_and_not_asked(options):
    assert ran(Free(), **options) == ["forward"]


@pytest.mark.parametrize("kind", [View, Unsaid, Learning, Remembering, Holding, Reached])
def test_a_free_class_that_is_more_than_free_is_run_and_not_asked(kind):
    assert ran(kind()) == ["forward"]
    agreed(nn.Sequential(same(), kind()), empty(*SHAPE))


def test_a_free_class_that_cannot_tell_its_size_is_run():
    assert [*dict.fromkeys(ran(Failing()))] == ["free_size", "forward"]
    agreed(nn.Sequential(same(), Failing()), empty(*SHAPE))


def test_a_rule_of_the_users_comes_before_what_a_class_says_of_itself():
    assert ran(Free(), rules={Free: "elementwise"}) == ["forward"]


def test_a_free_class_that_is_given_its_input_by_name_is_run():
    class Naming(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.free = Free()

        def forward(self, x: Tensor) -> Tensor:
            return self.free(x=x)

    agreed(Naming(), empty(*SHAPE))


def test_a_free_class_that_lies_about_its_size_is_found_by_a_checked_count():
    model = nn.Sequential(same(), Lying())
    plain, checked = count(model, empty(*SHAPE)), count(model, empty(*SHAPE), checked=True)
    assert plain != checked
    assert plain.by_kind()["index"].activations * 2 == checked.by_kind()["index"].activations
