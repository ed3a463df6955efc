"""Whose the parameters are: shared, tied, frozen, never read, not yet there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from flopcount.counters.trace import count

WAYS: dict[str, dict[str, Any]] = {
    "meta": {},
    "checked": {"checked": True},
    "real": {"execution": "real"},
}
each_way = pytest.mark.parametrize("way", WAYS)
SQUARE = 6 * 6 + 6


class Two(nn.Module):
    """Runs its first part, and its second on what comes out."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


@each_way
def test_a_shared_module_costs_each_call_and_owns_its_parameters_once(way):
    shared = nn.Linear(6, 6)
    found = count(Two(shared, nn.Sequential(shared)), shape=(2, 6), **WAYS[way])
    assert (found.macs, found.params) == (2 * 2 * 6 * 6, SQUARE)
    assert [(e.path, e.macs) for e in found.entries] == [("first", 2 * 36)] * 2
    modules = {m.path: (m.calls, m.aliases) for m in found.modules}
    assert modules["first"] == (2, ("second.0",))
    assert "second.0" not in modules
    names = {p.name: p.aliases for p in found.parameters}
    assert names == {"first.weight": ("second.0.weight",), "first.bias": ("second.0.bias",)}
    assert found.tied_params == SQUARE


@each_way
def test_a_tied_parameter_is_counted_once_and_lists_its_names(way):
    model = Two(nn.Linear(6, 6), nn.Linear(6, 6))
    model.second.weight = model.first.weight
    found = count(model, shape=(2, 6), **WAYS[way])
    assert (found.macs, found.params, found.tied_params) == (2 * 2 * 36, 6 * 6 + 6 + 6, 6 * 6)
    weight = next(p for p in found.parameters if p.name == "first.weight")
    assert (weight.aliases, weight.elements) == (("second.weight",), 6 * 6)


@each_way
def test_frozen_and_trainable_parameters_add_up_to_all(way):
    model = Two(nn.Linear(6, 6).requires_grad_(False), nn.Linear(6, 5))
    found = count(model, shape=(2, 6), **WAYS[way])
    assert (found.frozen_params, found.trainable_params) == (SQUARE, 6 * 5 + 5)
    assert found.params == found.frozen_params + found.trainable_params


@each_way
def test_parameters_that_nothing_reads_are_counted_and_named(way):
    model = Two(nn.Linear(6, 6), nn.Identity())
    model.first.extra = nn.Parameter(torch.rand(7))
    model.aside = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    model.own = nn.Parameter(torch.rand(4))
    found = count(model, shape=(2, 6), **WAYS[way])
    assert found.params == SQUARE + 7 + (3 * 2 + 2) + 4
    assert found.uncalled_params == 7 + (3 * 2 + 2) + 4
    assert set(found.uncalled) == {"", "first", "aside.0"}
    assert {m.path: m.calls for m in found.modules}["aside.0"] == 0


def lazy() -> nn.Module:
    conv, norm = nn.LazyConv2d(4, 3, padding=1), nn.LazyBatchNorm2d()
    return nn.Sequential(conv, norm, nn.Flatten(), nn.LazyLinear(5))


@each_way
def test_a_lazy_model_is_counted_as_it_will_be_and_stays_lazy(way):
    model = lazy()
    for width in (8, 6):
        found = count(model, shape=(2, 3, width, width), **WAYS[way])
        flat = 4 * width * width
        assert found.macs == 2 * flat * 3 * 9 + 2 * 5 * flat
        assert found.params == (4 * 3 * 9 + 4) + (4 + 4) + (5 * flat + 5)
        assert (found.uncalled_params, found.uncounted) == (0, {})
    lazies = [name for name, p in model.named_parameters() if is_lazy(p)]
    assert set(lazies) == set(dict(lazy().named_parameters()))
    assert [type(m) for m in model] == [type(m) for m in lazy()]
    model(torch.rand(1, 3, 4, 4))
    assert model[3].weight.shape == (5, 4 * 4 * 4)


UNUSUAL: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "no bias": (lambda: nn.Linear(6, 5, bias=False), (2, 6), 5 * 6),
    "no affine map": (lambda: nn.BatchNorm2d(4, affine=False), (2, 4, 3, 3), 0),
    "no statistics": (lambda: nn.BatchNorm2d(4, track_running_stats=False), (2, 4, 3, 3), 4 + 4),
}


@each_way
@pytest.mark.parametrize("name", UNUSUAL)
def test_what_a_layer_has_not_is_not_counted(name, way):
    make, shape, params = UNUSUAL[name]
    found = count(make(), shape=shape, **WAYS[way])
    assert (found.params, found.uncalled_params) == (params, 0)


@each_way
def test_a_table_of_embeddings_is_owned_whole_however_little_is_read(way):
    found = count(nn.Embedding(10, 6), torch.zeros(2, 3, dtype=torch.long), **WAYS[way])
    assert (found.params, found.macs, found.uncalled_params) == (10 * 6, 0, 0)
    assert found.activations == 2 * 3 * 6


@each_way
def test_low_level_functions_read_the_same_weights_as_those_above_them(way):
    class Low(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(4)
            self.table = nn.Embedding(10, 4)

        def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            n = self.norm
            means = (n.running_mean, n.running_var)
            y = torch.batch_norm(x, n.weight, n.bias, *means, False, 0.1, 1e-5, False)
            z = torch.embedding(self.table.weight, index)
            return torch.instance_norm(y, n.weight, n.bias, None, None, True, 0.1, 1e-5, False) + z

    found = count(Low(), torch.rand(2, 4, 3, 4), torch.zeros(3, dtype=torch.long), **WAYS[way])
    assert (found.params, found.uncalled_params, found.uncounted) == (4 + 4 + 10 * 4, 0, {})
    assert [e.outputs[0] for e in found.entries if e.kind == "embedding"] == [(3, 4)]
    assert [(e.weight, e.bias) for e in found.entries if "norm" in e.kind] == [(4, 4), (4, 4)]
