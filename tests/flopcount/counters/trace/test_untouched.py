"""The model and the process are as they were, whether a count succeeds or raises."""

from __future__ import annotations

import functools
import gc
import random
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from flopcount.counters.trace import count

WAYS = {
    "meta": {},
    "real": {"execution": "real"},
    "backward": {"backward": True},
    "checked": {"checked": True},
    "real backward": {"execution": "real", "backward": True},
}


def classifier(name: str, **options: Any) -> Callable[[], nn.Module]:
    return functools.partial(torchvision.models.get_model, name, weights=None, **options)


def vit() -> nn.Module:
    return torchvision.models.VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=10)


def swin() -> nn.Module:
    return torchvision.models.SwinTransformer([4, 4], 8, [1, 2], [2, 2], [2, 2], num_classes=10)


def maxvit() -> nn.Module:
    return torchvision.models.MaxVit((32, 32), 8, 4, [8, 16], [1, 1], 4, 0.1, num_classes=10)


def convnext() -> nn.Module:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 2)], num_classes=10)


def regnet() -> nn.Module:
    from torchvision.models.regnet import BlockParams, RegNet

    return RegNet(BlockParams.from_init_params(4, 8, 8.0, 2.0, 8), num_classes=10, stem_width=8)


def densenet() -> nn.Module:
    return torchvision.models.DenseNet(4, (1, 2, 1, 1), 8, num_classes=10)


# Those that are big live on meta, as one batch of the smallest image that they take.
FAMILIES: dict[str, tuple[Callable[[], nn.Module], int, str]] = {
    "alexnet": (classifier("alexnet"), 63, "meta"),
    "convnext": (convnext, 32, "cpu"),
    "densenet": (densenet, 32, "cpu"),
    "efficientnet": (classifier("efficientnet_b0"), 32, "meta"),
    "googlenet": (classifier("googlenet", init_weights=False), 64, "meta"),
    "inception": (classifier("inception_v3", init_weights=False), 299, "meta"),
    "maxvit": (maxvit, 32, "cpu"),
    "mnasnet": (classifier("mnasnet0_5"), 32, "meta"),
    "mobilenet v2": (classifier("mobilenet_v2"), 32, "meta"),
    "mobilenet v3": (classifier("mobilenet_v3_small"), 32, "meta"),
    "regnet": (regnet, 32, "cpu"),
    "resnet": (classifier("resnet18"), 32, "meta"),
    "shufflenet v2": (classifier("shufflenet_v2_x0_5"), 32, "meta"),
    "squeezenet": (classifier("squeezenet1_1"), 32, "meta"),
    "swin": (swin, 32, "cpu"),
    "vgg": (classifier("vgg11_bn"), 32, "meta"),
    "vit": (vit, 32, "cpu"),
}
SPACES = (torch, functional, torch.Tensor, torch._C._nn, nn.Module, nn.Conv2d)
HOOKS = (
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_parameter_registration_hooks",
    "_global_buffer_registration_hooks",
    "_global_module_registration_hooks",
)


def process() -> dict[str, Any]:
    """All that a count could leave behind outside the model."""
    kind, keys, *rest = np.random.get_state()
    return {
        "torch random": torch.get_rng_state().tolist(),
        "python random": random.getstate(),
        "numpy random": (kind, keys.tolist(), *rest),
        "function modes": [id(mode) for mode in _get_current_function_mode_stack()],
        "dispatch modes": [id(mode) for mode in _get_current_dispatch_mode_stack()],
        "functions": [
            {name: id(value) for name, value in vars(space).items() if callable(value)}
            for space in SPACES
        ],
        "global hooks": [dict(getattr(torch.nn.modules.module, name)) for name in HOOKS],
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": torch.is_autocast_enabled("cpu"),
        "collecting": gc.isenabled(),
        "defaults": (torch.get_default_dtype(), torch.get_default_device()),
        "threads": {thread.ident for thread in threading.enumerate()},
        "warnings": list(warnings.filters),
        "scripts": torch._C._get_graph_executor_optimize(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def tensor(x: torch.Tensor | None) -> Any:
    if x is None:
        return None
    values = None if x.is_meta else x.detach().clone()
    facts = (id(x), x._version, x.requires_grad, id(x.grad), id(x.grad_fn), x.shape, x.dtype)
    return (*facts, x.device, x.data_ptr() if not x.is_meta else 0, values)


def held(value: Any) -> Any:
    """A value of a module's dictionary, with whatever is in it."""
    if isinstance(value, torch.Tensor):
        return tensor(value)
    if isinstance(value, dict):
        return (id(value), type(value), {key: held(item) for key, item in value.items()})
    if isinstance(value, (list, tuple, set)):
        return (id(value), type(value), [held(item) for item in value])
    return (id(value), value if isinstance(value, (int, float, str, bool)) else None)


def snapshot(model: nn.Module) -> dict[str, Any]:
    """All that there is to see of a model."""
    return {
        "state": {name: tensor(x) for name, x in model.state_dict(keep_vars=True).items()},
        "modules": {
            name: (id(module), type(module), id(type(module).forward), held(vars(module)))
            for name, module in model.named_modules(remove_duplicate=False)
        },
    }


def same(a: Any, b: Any) -> bool:
    """Equal, with tensors compared by value."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def changed(before: Any, after: Any) -> list[str]:
    """Where two snapshots differ."""
    found = [key for key in before["process"] if before["process"][key] != after["process"][key]]
    for part in ("state", "modules"):
        if list(before[part]) != list(after[part]):
            found.append(part)
        else:
            names = before[part]
            found += [f"{part} {x}" for x in names if not same(names[x], after[part][x])]
    return found


def everything(model: nn.Module) -> dict[str, Any]:
    return {**snapshot(model), "process": process()}


def built(name: str, device: str) -> tuple[nn.Module, tuple[int, ...]]:
    make, size, _ = FAMILIES[name]
    with torch.device(device):
        return make().train(), (2, 3, size, size)


@pytest.fixture(autouse=True, scope="module")
def warm() -> None:
    """What torch and Python load on first use is none of the model's."""
    for options in WAYS.values():
        count(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()), shape=(1, 3, 8, 8), **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_count_leaves_a_model_of_every_family_as_it_was(family):
    model, shape = built(family, FAMILIES[family][2])
    before = everything(model)
    for way in ("meta", "backward", "checked"):
        assert count(model, shape=shape, **WAYS[way]).macs > 0
        assert changed(before, everything(model)) == [], way


@pytest.mark.parametrize("family", [name for name in FAMILIES if FAMILIES[name][2] == "cpu"])
def test_a_count_with_values_leaves_a_model_as_it_was(family):
    model, shape = built(family, "cpu")
    before = everything(model)
    for way in ("real", "real backward"):
        assert count(model, shape=shape, **WAYS[way]).macs > 0
        assert changed(before, everything(model)) == [], way


class Failing(nn.Module):
    """Raises in the middle of a model, as often as it is told to."""

    def __init__(self, error: BaseException | None) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x
        if self.error is not None:
            raise self.error
        return x


def failing(family: str, error: BaseException | None) -> tuple[nn.Module, tuple[int, ...]]:
    """A model with one that raises before the middle one of its convolutions and norms."""
    model, shape = built(family, FAMILIES[family][2])
    leaves = [m for m in model.named_modules() if isinstance(m[1], (nn.Conv2d, nn.LayerNorm))]
    path, leaf = leaves[len(leaves) // 2]
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, nn.Sequential(Failing(error), leaf))
    return model, shape


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_model_raises_comes_out_unchanged_and_leaves_all_as_it_was(family):
    error = ArithmeticError("in the middle", 7)
    model, shape = failing(family, error)
    ways = {way: options for way, options in WAYS.items() if way in ("meta", "backward", "checked")}
    before = everything(model)
    for way, options in ways.items():
        with pytest.raises(ArithmeticError) as raised:
            count(model, shape=shape, **options)
        assert raised.value is error
        assert raised.value.args == ("in the middle", 7)
        assert changed(before, everything(model)) == [], way


ERRORS = [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), OSError(), RuntimeError("x")]


@pytest.mark.parametrize(("error", "way"), list(zip(ERRORS, WAYS, strict=True)))
def test_a_count_after_one_that_failed_is_as_if_it_had_not(error, way):
    model, shape = failing("regnet", error)
    sound, _ = failing("regnet", None)
    expected = count(sound, shape=shape, **WAYS[way])
    before = everything(model)
    with pytest.raises(type(error)) as raised:
        count(model, shape=shape, **WAYS[way])
    assert raised.value is error
    assert changed(before, everything(model)) == []
    next(m for m in model.modules() if isinstance(m, Failing)).error = None
    assert count(model, shape=shape, **WAYS[way]) == expected


@pytest.mark.parametrize("way", WAYS)
def test_a_model_computes_the_same_after_a_count_as_before(way):
    model, shape = built("densenet", "cpu")
    x = torch.rand(shape)
    expected = model.eval()(x)
    count(model.train(), shape=shape, **WAYS[way])
    assert torch.equal(model.eval()(x), expected)


@pytest.mark.parametrize("way", WAYS)
def test_gradients_that_are_there_stay_as_they_are(way):
    model, shape = built("convnext", "cpu")
    model(torch.rand(shape)).sum().backward()
    before = everything(model)
    count(model, shape=shape, **WAYS[way])
    assert changed(before, everything(model)) == []


@pytest.mark.parametrize("way", WAYS)
def test_the_inputs_are_as_they_were(way):
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    before = tensor(x)
    count(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3)), x, **WAYS[way])
    assert same(before, tensor(x))


@pytest.mark.parametrize("way", WAYS)
def test_a_scripted_model_is_left_as_it_was(way):
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU())
    model = torch.jit.script(plain)
    before = everything(plain)
    flags = [module.training for module in model.modules()]
    assert count(model, shape=(2, 3, 8, 8), **WAYS[way]).macs > 0
    assert changed(before, everything(plain)) == []
    assert [module.training for module in model.modules()] == flags == [True] * len(flags)


def _moves_statistics(model: nn.Module, x: torch.Tensor) -> None:
    model(x)


def _leaves_a_hook(model: nn.Module, x: torch.Tensor) -> None:
    model.register_forward_hook(lambda *_: None)


def _leaves_an_attribute(model: nn.Module, x: torch.Tensor) -> None:
    model.macs = 0


def _leaves_a_buffer(model: nn.Module, x: torch.Tensor) -> None:
    model.register_buffer("total_ops", torch.zeros(1))


def _leaves_it_in_evaluation(model: nn.Module, x: torch.Tensor) -> None:
    model[1].eval()


def _puts_other_parameters_in(model: nn.Module, x: torch.Tensor) -> None:
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())


def _writes_a_parameter_with_itself(model: nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight)


def _leaves_gradients(model: nn.Module, x: torch.Tensor) -> None:
    model.eval()(x).sum().backward()
    model.train()


def _freezes(model: nn.Module, x: torch.Tensor) -> None:
    model[0].weight.requires_grad_(False)


def _changes_a_class(model: nn.Module, x: torch.Tensor) -> None:
    model[2].__class__ = nn.ReLU6


def _draws(model: nn.Module, x: torch.Tensor) -> None:
    torch.rand(1)


def _rolls(model: nn.Module, x: torch.Tensor) -> None:
    random.random()
    np.random.rand()


def _moves_weights(model: nn.Module, x: torch.Tensor) -> None:
    model.double().float()


DIRTY = [
    _moves_statistics,
    _leaves_a_hook,
    _leaves_an_attribute,
    _leaves_a_buffer,
    _leaves_it_in_evaluation,
    _puts_other_parameters_in,
    _writes_a_parameter_with_itself,
    _leaves_gradients,
    _freezes,
    _changes_a_class,
    _draws,
    _rolls,
    _moves_weights,
]


@pytest.mark.parametrize("dirty", DIRTY)
def test_a_counter_that_leaves_traces_is_caught(dirty):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    before = everything(model)
    dirty(model, torch.rand(2, 3, 8, 8))
    assert changed(before, everything(model)) != []


class Drawing(nn.Module):
    """A module that draws numbers wherever there are any."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _draws(self, x)
        _rolls(self, x)
        return functional.relu(x)


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_draws_numbers_leaves_every_generator_as_it_was(way):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Drawing())
    before = everything(model)
    assert count(model, shape=(2, 3, 8, 8), **WAYS[way]).macs > 0
    assert changed(before, everything(model)) == []


def test_a_patched_function_a_mode_and_a_switch_are_caught(monkeypatch):
    model = nn.ReLU()
    before = everything(model)
    with monkeypatch.context() as patch:
        patch.setattr(functional, "relu", lambda x: x)
        assert changed(before, everything(model)) == ["functions"]
    with torch.no_grad():
        assert changed(before, everything(model)) == ["grad"]
    with torch.device("meta"):
        assert changed(before, everything(model)) == ["function modes", "defaults"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert changed(before, everything(model)) == ["warnings"]
    with torch.jit.optimized_execution(False):
        assert changed(before, everything(model)) == ["scripts"]
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert changed(before, everything(model)) == ["global hooks"]
    handle.remove()
    assert changed(before, everything(model)) == []
