"""What goes into a count: inputs in any nesting, shapes, values that are known and that are not."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from flopcount.counters.trace import DataDependentError, count

FC = 2 * 6 * 5
WAYS: dict[str, dict[str, Any]] = {
    "meta": {},
    "checked": {"checked": True},
    "real": {"execution": "real"},
}
each_way = pytest.mark.parametrize("way", WAYS)
Pair = namedtuple("Pair", "x other")


@dataclass
class Sample:
    x: torch.Tensor
    name: str = ""


class Reading(nn.Module):
    """A linear map from 6 to 5 features of what is read from the inputs."""

    def __init__(self, read: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 5)
        self.read = read

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self.fc(self.read(*args, **kwargs))


def x() -> torch.Tensor:
    return torch.rand(2, 6)


NESTED: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "one": (lambda a: a, (x(),), {}),
    "by name": (lambda *, a, scale: a * scale, (), {"a": x(), "scale": 3}),
    "both": (lambda a, *, b: a + b, (x(),), {"b": x()}),
    "a list": (lambda a: a[1], ([None, x()],), {}),
    "a dictionary": (lambda a: a["x"][0], ({"x": (x(), 1)},), {}),
    "a named tuple": (lambda a: a.x, (Pair(x(), "b"),), {}),
    "a dataclass": (lambda a: a.x, (Sample(x()),), {}),
    "bytes to be scaled": (lambda a: a.float(), (torch.zeros(2, 6, dtype=torch.uint8),), {}),
    "a transposed tensor": (lambda a: a, (torch.rand(6, 2).t(),), {}),
}


@each_way
@pytest.mark.parametrize("name", NESTED)
def test_a_tensor_is_found_wherever_it_is_in_the_inputs(name, way):
    read, args, kwargs = NESTED[name]
    assert count(Reading(read), *args, **kwargs, **WAYS[way]).macs == FC


@each_way
def test_a_packed_sequence_costs_the_steps_that_are_there(way):
    packed = pack_padded_sequence(torch.rand(5, 2, 6), [5, 3])
    # 4 gates of 4 features, each from 6 inputs and 4 states, in 5 + 3 steps
    assert count(nn.LSTM(6, 4), packed, **WAYS[way]).macs == (5 + 3) * 4 * 4 * (6 + 4)


@each_way
@pytest.mark.parametrize(
    ("model", "shape", "macs"),
    [
        (nn.Conv1d(3, 4, 3), (3, 8), 4 * 6 * 3 * 3),
        (nn.Conv2d(3, 4, 3), (3, 8, 8), 4 * 6 * 6 * 3 * 9),
        (nn.ConvTranspose2d(3, 4, 2, stride=2), (3, 8, 8), 3 * 8 * 8 * 4 * 4),
        (nn.Linear(6, 5), (6,), 6 * 5),
        (nn.LSTM(6, 4), (5, 6), 5 * 4 * 4 * (6 + 4)),
        (nn.Bilinear(6, 3, 5), [(6,), (3,)], 5 * (6 * 3 + 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_inputs_without_a_batch_are_counted(model, shape, macs, way):
    assert count(model, shape=shape, **WAYS[way]).macs == macs


@each_way
def test_several_shapes_are_several_inputs(way):
    model = Reading(lambda a, b: a + b)
    assert count(model, shape=[(2, 6), (1, 6)], **WAYS[way]).macs == FC
    assert count(model, shape=((2, 6), (2, 6)), **WAYS[way]).macs == FC


@each_way
def test_whole_numbers_in_the_inputs_are_known(way):
    model = Reading(lambda a, lengths: a[:, : lengths.max().item()].sum(1))
    lengths = torch.tensor([3, 4])
    assert count(model, torch.rand(2, 7, 6), lengths, **WAYS[way]).macs == FC
    model = Reading(lambda a, n: torch.stack([a for _ in range(int(n))]))
    assert count(model, torch.rand(2, 6), torch.tensor(3), **WAYS[way]).macs == 3 * FC


class Early(nn.Module):
    """Leaves early if it is sure enough."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.more = nn.Linear(6, 7)

    def forward(self, a: torch.Tensor, sure: float) -> torch.Tensor:
        y = self.first(a)
        return y if y.softmax(-1).max() >= sure else self.more(a)


ASKING: dict[str, tuple[Any, str]] = {
    "if": (lambda a: a if a.sum() > 0 else -a, "__bool__"),
    "item": (lambda a: a * a.mean().item(), "item"),
    "float": (lambda a: a * float(a.max()), "__float__"),
    "tolist": (lambda a: a[: len(a.tolist())], "tolist"),
    "mask": (lambda a: a * a[a > 0].numel(), "an index by a mask"),
    "nonzero": (lambda a: a * a.nonzero().shape[0], "nonzero"),
}


@pytest.mark.parametrize("name", ASKING)
def test_a_model_that_asks_for_values_says_what_to_do_and_counts_with_them(name):
    read, operator = ASKING[name]
    model = Reading(read)
    with pytest.raises(DataDependentError, match=f'{operator}.*execution="real"'):
        count(model, shape=(2, 6))
    assert count(model, shape=(2, 6), execution="real").macs == FC


def test_an_early_exit_costs_what_ran():
    model = Early()
    for sure, macs in ((0.0, FC), (2.0, FC + 2 * 6 * 7)):
        found = count(model, x(), sure, execution="real")
        assert found.macs == macs
        assert found.uncalled == (("more",) if sure == 0.0 else ())
    with pytest.raises(DataDependentError):
        count(model, x(), 0.5)


def test_there_must_be_an_input_or_a_shape():
    with pytest.raises(TypeError, match="count takes inputs or a shape"):
        count(nn.Sequential(), input=None)
    with pytest.raises(TypeError, match="required positional argument: 'input'"):
        count(nn.Linear(6, 5))


def test_there_must_not_be_both():
    with pytest.raises(TypeError, match="either inputs or a shape"):
        count(nn.Linear(6, 5), x(), shape=(2, 6))


@pytest.mark.parametrize("shape", ["2x6", 6, 2.5, (2, 6.0), [(2, 6), 3], [(2, "6")], {2: 6}])
@pytest.mark.parametrize("execution", ["meta", "real"])
def test_what_is_no_shape_is_refused_by_name(shape, execution):
    with pytest.raises(TypeError, match="is neither one shape nor several"):
        count(nn.Linear(6, 5), shape=shape, execution=execution)


def test_an_execution_that_is_none_is_refused():
    with pytest.raises(ValueError, match="execution 'fast'"):
        count(nn.Linear(6, 5), shape=(2, 6), execution="fast")


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Conv2d(3, 4, 3), (2, 5, 8, 8)),
        (nn.Conv2d(3, 4, 3), (2, 3, 2, 2)),
        (nn.Conv2d(3, 4, 2, dilation=3), (2, 3, 3, 3)),
        (nn.MaxPool2d(3), (2, 3, 2, 2)),
        (nn.AvgPool2d(3), (2, 3, 2, 2)),
        (nn.ConvTranspose2d(3, 4, 2, padding=2), (2, 3, 2, 2)),
        (nn.Linear(6, 5), (2, 7)),
        (nn.Sequential(nn.Linear(6, 5), nn.Linear(6, 5)), (2, 6)),
        (nn.Sequential(nn.Flatten(), nn.Unflatten(1, (4, 2)), nn.Linear(2, 2)), (2, 6)),
    ],
)
@each_way
def test_an_input_that_does_not_fit_raises_what_torch_raises(model, shape, way):
    with pytest.raises(RuntimeError):
        model(torch.rand(shape))
    with pytest.raises(RuntimeError):
        count(model, shape=shape, **WAYS[way])
