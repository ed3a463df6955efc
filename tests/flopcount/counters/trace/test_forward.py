"""Whatever a forward method does, its work is counted, and the model is none the wiser."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from flopcount.counters.trace import DataDependentError, count

SHAPE = (2, 6)
FC = 2 * 6 * 5
PARAMS = 6 * 5 + 5
WAYS: dict[str, dict[str, Any]] = {
    "meta": {},
    "checked": {"checked": True},
    "real": {"execution": "real"},
}
each_way = pytest.mark.parametrize("way", WAYS)


class Forward(nn.Module):
    """A linear map from 6 to 5 features, and a forward method to be told."""

    def __init__(self, forward: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 5)
        self.told = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.told(self, *args, **kwargs)


def fc() -> nn.Linear:
    return nn.Linear(6, 5)


def patched() -> nn.Module:
    model = fc()
    model.forward = lambda x: functional.relu(functional.linear(x, model.weight, model.bias))
    return model


def wrapped() -> nn.Module:
    model = fc()
    own = model.forward
    model.forward = lambda x: own(x) * 2
    return model


def partial() -> nn.Module:
    model = fc()
    model.forward = functools.partial(nn.Linear.forward, model)
    return model


def method_of_another() -> nn.Module:
    model, other = nn.Identity(), fc()
    model.other = other
    model.forward = other.forward
    return model


class Slots(nn.Module):
    __slots__ = ("factor",)

    def __init__(self) -> None:
        super().__init__()
        self.fc = fc()
        object.__setattr__(self, "factor", 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) * self.factor


class Delegating(nn.Module):
    """Finds what it has not in the module it holds, and lets nobody write on it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = fc()
        self.__dict__["closed"] = True

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_modules"]:
            return self.__dict__["_modules"][name]
        return getattr(self.__dict__["_modules"]["fc"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("closed"):
            raise AttributeError(name)
        super().__setattr__(name, value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) + self.in_features


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x @ weight.t()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return grad, None


def to_its_device(m: Any, x: torch.Tensor) -> torch.Tensor:
    x = x.cuda() if x.is_cuda else x.to(x.device)
    y = m.fc(x) + torch.zeros(5, device=x.device) + torch.arange(5, device=m.fc.weight.device)
    return y.cpu()


def by_functional_call(m: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.func.functional_call(m.fc, dict(m.fc.named_parameters()), (x,))


def by_other_parameters(m: Any, x: torch.Tensor) -> torch.Tensor:
    doubled = {name: 2 * parameter for name, parameter in m.fc.named_parameters()}
    return torch.func.functional_call(m.fc, doubled, (x,))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "a forward method of its own": patched,
    "its own forward method, wrapped": wrapped,
    "a partial": partial,
    "another's forward method": method_of_another,
    "slots": Slots,
    "a __getattr__ and a __setattr__": Delegating,
    "a part's forward method": lambda: Forward(lambda m, x: m.fc.forward(x)),
    "an autograd function": lambda: Forward(lambda m, x: Square.apply(x, m.fc.weight) + m.fc.bias),
    "a checkpoint": lambda: Forward(lambda m, x: checkpoint(m.fc, x, use_reentrant=False)),
    "an old checkpoint": lambda: Forward(lambda m, x: checkpoint(m.fc, x, use_reentrant=True)),
    "functional_call": lambda: Forward(by_functional_call),
    "functional_call with others": lambda: Forward(by_other_parameters),
    "vmap": lambda: Forward(lambda m, x: torch.func.vmap(m.fc)(x)),
    "a chosen branch": lambda: Forward(
        lambda m, x: torch.cond(x.shape[0] > 1, m.fc, lambda y: y, (x,))
    ),
    "no tensor as its result": lambda: Forward(lambda m, x: (m.fc(x), None)[1]),
    "nested results": lambda: Forward(lambda m, x: {"y": [m.fc(x), 3]}),
    "its device asked for": lambda: Forward(to_its_device),
    "a number of its own": lambda: Forward(
        lambda m, x: m.fc(x) * m.scale.item() if m.on else x,
        scale=torch.ones(()),
        on=torch.tensor(1),
    ),
}


@each_way
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
def test_a_model_costs_its_linear_map_whatever_way_it_calls_it(name, way):
    model = MODELS[name]()
    found = count(model, shape=SHAPE, **WAYS[way])
    assert (found.macs, found.params, found.uncounted) == (FC, PARAMS, {})
    assert found.uncalled_params == 0


class Recursive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor, depth: int = 2) -> torch.Tensor:
        return self.fc(x) if depth == 0 else self(self.fc(x), depth - 1)


@each_way
def test_a_module_that_calls_itself_costs_every_call(way):
    found = count(Recursive(), shape=SHAPE, **WAYS[way])
    assert (found.macs, found.params) == (3 * 2 * 6 * 6, 6 * 6 + 6)
    assert {module.path: module.calls for module in found.modules} == {"": 3, "fc": 3}


class Hiding(nn.Module):
    """Keeps its layers where torch does not look for them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(6, 6)]
        self.named = {"last": (fc(),)}
        inner = nn.Linear(6, 6)
        self.bound = inner.forward
        self.closed = lambda x: inner(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.named["last"][0](self.closed(self.bound(self.layers[0](x))))


@each_way
def test_modules_that_are_not_registered_cost_and_own_nothing(way):
    found = count(Hiding(), shape=SHAPE, **WAYS[way])
    assert (found.macs, found.params) == (3 * 2 * 6 * 6 + FC, 0)


def hooked() -> nn.Module:
    model = nn.Sequential(fc(), nn.Linear(5, 4))
    model[0].register_forward_hook(lambda module, args, out: out + 1)
    model[0].register_forward_pre_hook(lambda module, args: (args[0][:1],))
    return model


@each_way
def test_hooks_that_change_what_goes_in_and_out_are_obeyed(way):
    model = hooked()
    found = count(model, shape=SHAPE, **WAYS[way])
    # the batch of 2 is cut to 1 on its way in
    assert found.macs == 1 * 6 * 5 + 1 * 5 * 4
    assert (len(model[0]._forward_hooks), len(model[0]._forward_pre_hooks)) == (1, 1)


@each_way
def test_a_hook_may_take_its_input_by_name(way):
    model = fc()
    model.register_forward_pre_hook(lambda module, args, kw: ((kw["y"],), {}), with_kwargs=True)
    assert count(model, y=torch.rand(SHAPE), **WAYS[way]).macs == FC


def hooking(m: Any, x: torch.Tensor) -> torch.Tensor:
    m.fc.register_forward_hook(lambda module, args, out: functional.linear(out, m.more.weight))
    return m.fc(x)


@each_way
def test_a_hook_that_is_registered_on_the_way_is_called_and_gone_afterwards(way):
    model = Forward(hooking, more=nn.Linear(5, 4, bias=False))
    for _ in range(2):
        assert count(model, shape=SHAPE, **WAYS[way]).macs == FC + 2 * 5 * 4
    assert len(model.fc._forward_hooks) == 0


def writing(m: Any, x: torch.Tensor) -> torch.Tensor:
    m.calls = getattr(m, "calls", 0) + 1
    m.cache = m.fc(x)
    m.state = m.state + x.mean(0)
    m.state.mul_(2)
    m.moved.mul_(0.9).add_(x.detach().mean(0))
    m.seen.append(x)
    return m.cache + m.state[:5]


@each_way
def test_what_a_forward_method_writes_is_not_on_the_model_afterwards(way):
    model = Forward(writing, seen=[])
    model.register_buffer("state", torch.ones(6))
    model.register_buffer("moved", torch.ones(6))
    moved, version = model.moved, model.moved._version
    for _ in range(2):
        assert count(model, shape=SHAPE, **WAYS[way]).macs == FC
    assert (hasattr(model, "calls"), hasattr(model, "cache"), model.seen) == (False, False, [])
    assert model.moved is moved
    assert (moved._version, moved.tolist(), model.state.tolist()) == (version, [1] * 6, [1] * 6)


def stepping(m: Any, x: torch.Tensor) -> torch.Tensor:
    m.steps += 1
    return m.fc(x) if m.steps.item() == 1 else m.more(x)


def test_a_value_that_was_written_on_the_way_is_not_taken_for_what_it_was():
    model = Forward(stepping, more=nn.Linear(6, 100))
    model.register_buffer("steps", torch.zeros((), dtype=torch.long))
    with pytest.raises(DataDependentError, match="item needs values"):
        count(model, shape=SHAPE)
    assert count(model, shape=SHAPE, execution="real").macs == FC
    assert model.steps.item() == 0


@each_way
def test_gradients_that_are_taken_on_the_way_are_counted(way):
    def force(m: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (grad,) = torch.autograd.grad(m.fc(x).sum(), x)
        return grad

    def by_attribute(m: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = x.detach()
            x.requires_grad = True
            return torch.autograd.grad(m.fc(x).sum(), x)[0]

    def by_func(m: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.func.grad(lambda y: m.fc(y).sum())(x)

    # a linear map forward, and the gradient of its input
    for forward in (force, by_attribute, by_func):
        model = Forward(forward)
        assert count(model, shape=SHAPE, **WAYS[way]).macs == FC + 2 * 5 * 6
        assert model.fc.weight.grad is None


@each_way
def test_a_map_over_many_inputs_costs_as_many_times(way):
    def mapped(m: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.func.vmap(lambda weight: functional.linear(x, weight))(
            torch.stack([m.fc.weight] * 3)
        )

    assert count(Forward(mapped), shape=SHAPE, **WAYS[way]).macs == 3 * FC


def test_a_map_over_a_parameter_is_counted_with_values_and_refused_without():
    model = Forward(
        lambda m, x: torch.func.vmap(lambda weight: functional.linear(x, weight))(m.many),
        many=nn.Parameter(torch.rand(3, 5, 6)),
    )
    assert count(model, shape=SHAPE, execution="real").macs == 3 * FC
    with pytest.raises(DataDependentError, match='execution="real"'):
        count(model, shape=SHAPE)


@each_way
def test_a_count_inside_a_counted_model_changes_neither(way):
    inner: list[int] = []

    def nested(m: Any, x: torch.Tensor) -> torch.Tensor:
        inner.append(count(m.more, shape=(7, 6), **WAYS[way]).macs)
        return m.fc(x)

    model = Forward(nested, more=nn.Linear(6, 9))
    found = count(model, shape=SHAPE, **WAYS[way])
    assert found.macs == FC
    assert found.uncalled == ("more",)
    assert set(inner) == {7 * 6 * 9}


class Hooked(nn.Module):
    """Keeps what a hook of its own, a closure, has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.seen = nn.Linear(4, 5), []
        self.fc.register_forward_hook(lambda module, args, out: self.seen.append(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.fc(x)
        return self.seen[-1]


@each_way
def test_a_hook_that_knows_its_module_writes_on_the_shadow_alone(way):
    model = Hooked()
    assert count(model, shape=(2, 4), **WAYS[way]).macs == 2 * 4 * 5
    assert model.seen == []


class Replacing(nn.Module):
    """Puts other parts into its layer on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.fc.weight = nn.Parameter(self.fc.weight.detach() * 2)
        self.fc.bias = None
        self.fc.register_buffer("more", torch.ones(1))
        with torch.no_grad():
            self.fc.weight.mul_(3)
        return self.fc(x)


@each_way
def test_parts_that_are_replaced_on_the_way_are_replaced_in_the_shadow(way):
    model = Replacing()
    weight, bias = model.fc.weight, model.fc.bias
    before = weight.detach().clone()
    assert count(model, shape=(2, 4), **WAYS[way]).macs == 2 * 4 * 4
    assert model.fc.weight is weight
    assert model.fc.bias is bias
    assert set(model.state_dict()) == {"fc.weight", "fc.bias"}
    assert torch.equal(model.fc.weight, before)


class HooksBackward(nn.Module):
    """Registers hooks on the way that only a backward pass would call."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.fc.register_full_backward_pre_hook(lambda *args: None)
        self.fc.register_full_backward_hook(lambda *args: None)
        return self.fc(x)


@each_way
def test_a_backward_hook_that_is_registered_on_the_way_stays_on_the_shadow(way):
    model = HooksBackward()
    assert count(model, shape=(2, 4), **WAYS[way]).macs == 2 * 4 * 5
    assert not model.fc._backward_hooks
    assert not model.fc._backward_pre_hooks
