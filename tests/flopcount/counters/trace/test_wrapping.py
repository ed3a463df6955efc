"""One model, one answer: however it is wrapped, cast, compiled, scripted or called."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
import torch.fx
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from flopcount.counters.trace import count
from flopcount.tally import Tally

SHAPE = (2, 3, 8, 8)
CONV = 2 * 4 * 8 * 8 * 3 * 3 * 3
FC = 2 * 4 * 5
PARAMS = (4 * 3 * 9 + 4) + (4 + 4) + (5 * 4 + 5)
BY_KIND = {
    "conv": (1, CONV, 4 * 3 * 9 + 4, 2 * 4 * 8 * 8),
    "batch_norm": (1, 0, 4 + 4, 2 * 4 * 8 * 8),
    "relu": (1, 0, 0, 2 * 4 * 8 * 8),
    "global_avg_pool": (1, 0, 0, 2 * 4),
    "linear": (1, FC, 5 * 4 + 5, 2 * 5),
}
WAYS: dict[str, dict[str, Any]] = {
    "meta": {},
    "checked": {"checked": True},
    "real": {"execution": "real"},
}
each_way = pytest.mark.parametrize("way", WAYS)


def net() -> nn.Sequential:
    conv, norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
    return nn.Sequential(
        conv, norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )


class Holder(nn.Module):
    """A user's module around another, with a forward method of its own."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


class Compiling(Holder):
    """Calls a compiled function inside its forward method."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        @torch.compile
        def compiled(y: torch.Tensor) -> torch.Tensor:
            return self.inner(y)

        return compiled(x)


def facts(tally: Tally) -> tuple[Any, ...]:
    kinds = {
        kind: (group.calls, group.macs, group.params, group.activations)
        for kind, group in tally.by_kind().items()
    }
    return tally.macs, tally.params, kinds, dict(tally.uncounted), tally.uncalled


EXPECTED = (CONV + FC, PARAMS, BY_KIND, {}, ())


def compiled_in_place() -> nn.Module:
    model = net()
    model.compile()
    return model


def exported() -> nn.Module:
    return torch.export.export(net().eval(), (torch.rand(SHAPE),)).module()


def function() -> Callable[[torch.Tensor], torch.Tensor]:
    model = net()
    return lambda x: model(x)


WRAPPED: dict[str, Callable[[], Any]] = {
    "plain": net,
    "on meta": lambda: net().to("meta"),
    "float16": lambda: net().half(),
    "bfloat16": lambda: net().bfloat16(),
    "float64": lambda: net().double(),
    "in evaluation": lambda: net().eval(),
    "in training": lambda: net().train(),
    "frozen": lambda: net().requires_grad_(False),
    "copied": lambda: copy.deepcopy(net()),
    "channels last": lambda: net().to(memory_format=torch.channels_last),
    "in a Sequential": lambda: nn.Sequential(net()),
    "in a user's module": lambda: Holder(net()),
    "in a ModuleList": lambda: Holder(nn.ModuleList([net()])[0]),
    "DataParallel": lambda: nn.DataParallel(net()),
    "compiled": lambda: torch.compile(net()),
    "compiled in place": compiled_in_place,
    "compiled as a part": lambda: Holder(torch.compile(net())),
    "compiled function inside": lambda: Compiling(net()),
    "symbolically traced": lambda: torch.fx.symbolic_trace(net()),
    "exported": exported,
    "its forward method": lambda: net().forward,
    "a function": function,
    "a partial": lambda: functools.partial(net()),
}
# A function owns no parameters.
BARE = ("a function", "a partial")


@each_way
@pytest.mark.parametrize("name", [name for name in WRAPPED if name not in BARE])
def test_a_wrapped_model_costs_what_it_costs_bare(name, way):
    model = WRAPPED[name]()
    found = count(model, shape=SHAPE, **WAYS[way])
    if name == "exported":
        # a call of torch's own makes an empty tensor on the way
        kinds = {kind for kind in found.by_kind() if kind != "create"}
        assert kinds == set(BY_KIND)
        assert (found.macs, found.params, found.uncalled) == (CONV + FC, PARAMS, ())
    else:
        assert facts(found) == EXPECTED


@each_way
@pytest.mark.parametrize("name", BARE)
def test_a_function_costs_what_the_model_in_it_costs(name, way):
    found = count(WRAPPED[name](), shape=SHAPE, **WAYS[way])
    assert found.macs == CONV + FC
    # the parameters of a module that the function names are its own
    assert found.params == (PARAMS if name == "a function" else 0)
    assert found.uncounted == {}


CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "nothing": nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "enable_grad": torch.enable_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "a device": lambda: torch.device("cpu"),
    "torch's own counter": lambda: FlopCounterMode(display=False),
}


@each_way
@pytest.mark.parametrize("given", ["shape", "tensor", "tensor on meta"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_model_costs_the_same_under_every_context(context, given, way):
    model = net().to("meta") if (given, way) == ("tensor on meta", "real") else net()
    with CONTEXTS[context]():
        if given == "shape":
            found = count(model, shape=SHAPE, **WAYS[way])
        else:
            device = "meta" if "meta" in given else "cpu"
            found = count(model, torch.rand(SHAPE, device=device), **WAYS[way])
    assert facts(found) == EXPECTED


@pytest.mark.parametrize("way", ["meta", "checked"])
def test_a_model_costs_the_same_while_the_default_device_is_meta(way):
    with torch.device("meta"):
        assert facts(count(net(), shape=SHAPE, **WAYS[way])) == EXPECTED


def test_a_mode_of_the_users_changes_nothing():
    class Passing(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            return func(*args, **(kwargs or {}))

    model = net()
    with Passing():
        assert facts(count(model, shape=SHAPE)) == EXPECTED


def test_torchs_own_counter_around_a_count_counts_nothing_of_a_model_on_meta():
    model = net()
    with FlopCounterMode(display=False) as theirs:
        count(model, shape=SHAPE)
    assert theirs.get_total_flops() == 0


def test_nothing_is_compiled_by_a_count():
    called = []

    def backend(graph: Any, inputs: Any) -> Any:
        called.append(graph)
        return graph

    model = torch.compile(net(), backend=backend)
    assert facts(count(model, shape=SHAPE)) == EXPECTED
    assert facts(count(model, shape=SHAPE, execution="real")) == EXPECTED
    assert called == []


def traced(model: nn.Module) -> Any:
    with warnings.catch_warnings():
        # a batch norm in training asks for the size of its batch
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return torch.jit.trace(model, torch.rand(SHAPE), check_trace=False)


SCRIPTS: dict[str, Callable[[nn.Module], Any]] = {"script": torch.jit.script, "trace": traced}


def counted_kinds(tally: Tally) -> tuple[Any, ...]:
    kinds = {
        kind: (group.calls, group.macs, group.params)
        for kind, group in tally.by_kind().items()
        if kind in ("conv", "batch_norm", "relu", "linear")
    }
    return tally.macs, tally.params, kinds, dict(tally.uncounted), tally.uncalled


SCRIPTED = (
    CONV + FC,
    PARAMS,
    {kind: BY_KIND[kind][:3] for kind in ("conv", "batch_norm", "relu", "linear")},
    {},
    (),
)


@each_way
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_scripted_model_costs_the_same_count_after_count(script, mode, way):
    model = SCRIPTS[script](net().train(mode == "train"))
    for _ in range(4):
        assert counted_kinds(count(model, shape=SHAPE, **WAYS[way])) == SCRIPTED


@each_way
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_scripted_part_costs_what_it_costs_bare(script, way):
    part = SCRIPTS[script](net())
    for model in (Holder(part), nn.Sequential(part, nn.Identity())):
        assert counted_kinds(count(model, shape=SHAPE, **WAYS[way])) == SCRIPTED


@each_way
def test_a_frozen_script_costs_the_same_and_owns_nothing(way):
    model = torch.jit.freeze(torch.jit.script(net().eval()))
    for _ in range(4):
        found = count(model, shape=SHAPE, **WAYS[way])
        assert (found.macs, found.params, found.uncounted) == (CONV + FC, 0, {})


def test_parts_around_a_scripted_one_keep_their_paths():
    model = net()
    model[0] = torch.jit.script(model[0])
    found = count(model, shape=SHAPE)
    assert counted_kinds(found) == SCRIPTED
    assert [(e.path, e.kind) for e in found.entries if e.macs] == [("0", "conv"), ("5", "linear")]


class Heads(nn.Module):
    """Runs a second head in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 5)
        self.extra = nn.Linear(6, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(x)
        if self.training:
            y = y + self.extra(x).sum()
        return y


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("wrap", [lambda m: m, torch.jit.script], ids=["plain", "scripted"])
def test_a_model_is_counted_as_it_is_evaluated_whatever_its_mode(wrap, mode):
    model = wrap(Heads().train(mode))
    assert count(model, shape=(2, 6)).macs == 2 * 6 * 5
    assert model.training is mode


@pytest.mark.parametrize("wrap", [lambda m: m, torch.jit.script], ids=["plain", "scripted"])
def test_a_training_step_is_counted_as_it_trains_whatever_the_mode(wrap):
    forward = 2 * 6 * 5 + 2 * 6 * 7
    found = count(wrap(Heads().eval()), shape=(2, 6), backward=True)
    # the input needs no gradient: one product for each weight
    assert found.macs == forward + forward


@each_way
def test_a_scripted_function_is_counted_from_below(way):
    @torch.jit.script
    def scripted(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, weight)

    class Calling(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return scripted(x, self.weight)

    for _ in range(3):
        found = count(Calling(6, 5, bias=False), shape=(2, 6), **WAYS[way])
        assert (found.macs, found.uncounted, found.uncalled) == (2 * 6 * 5, {}, ())


def weight_normed() -> nn.Module:
    return parametrizations.weight_norm(nn.Linear(6, 5))


def old_weight_normed() -> nn.Module:
    return nn.utils.weight_norm(nn.Linear(6, 5))


def spectral() -> nn.Module:
    return parametrizations.spectral_norm(nn.Linear(6, 5))


def old_spectral() -> nn.Module:
    return nn.utils.spectral_norm(nn.Linear(6, 5))


def pruned() -> nn.Module:
    return prune.random_unstructured(nn.Linear(6, 5), "weight", 0.5)


# In evaluation, sigma is u' (W v): the weight by a vector, and a vector by a vector.
SIGMA = 6 * 5 + 5


@each_way
@pytest.mark.parametrize(
    ("make", "macs", "params"),
    [
        (weight_normed, 2 * 6 * 5, 6 * 5 + 5 + 5),
        (old_weight_normed, 2 * 6 * 5, 6 * 5 + 5 + 5),
        (spectral, 2 * 6 * 5 + SIGMA, 6 * 5 + 5),
        (old_spectral, 2 * 6 * 5 + SIGMA, 6 * 5 + 5),
        (pruned, 2 * 6 * 5, 6 * 5 + 5),
    ],
)
def test_a_weight_that_is_made_on_the_way_is_read_from_what_it_is_made_of(make, macs, params, way):
    found = count(make(), shape=(2, 6), **WAYS[way])
    assert (found.macs, found.params, found.uncalled_params) == (macs, params, 0)
    assert found.uncounted == {}


def test_an_orthogonal_weight_says_what_it_did_not_count():
    found = count(parametrizations.orthogonal(nn.Linear(6, 5)), shape=(2, 6))
    assert found.params == 6 * 5 + 5
    assert set(found.uncounted) == {"aten::linalg_householder_product"}


def test_eight_threads_count_what_one_does():
    models = [net(), net(), nn.Linear(6, 5), Heads()]
    shapes = [SHAPE, (1, *SHAPE[1:]), (2, 6), (3, 6)]
    shared = net()
    jobs = [(m, s) for m, s in zip(models, shapes, strict=True)] * 4 + [(shared, SHAPE)] * 16
    serial = [count(model, shape=shape) for model, shape in jobs]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda job: count(job[0], shape=job[1]), jobs))
    assert parallel == serial
