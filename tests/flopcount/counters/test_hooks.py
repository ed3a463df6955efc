from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from flopcount import Shape, price
from flopcount.counters.hooks import UncountedError, count
from flopcount.layers import cost
from shufflenet.nn.builder import build
from tests.cases import BROKEN, CASES, trees

DEVICES = pytest.mark.parametrize("device", ["meta", "cpu", None])


class Wired(nn.Module):
    """A module of given parts whose forward pass is a function of them and the input."""

    def __init__(self, run: Callable[[Any, Tensor], Any], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self._run = run

    def forward(self, x: Tensor) -> Any:
        return self._run(self, x)


class Scaled(nn.Module):
    """A module with a parameter of its own and a child."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x * self.scale)


class Calls(nn.Module):
    """A module that writes its number of calls into a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return self.conv(x)


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no way forward")


def model(*last: nn.Module) -> nn.Sequential:
    """A model in training, with one layer frozen in evaluation and hooks of its owner's."""
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
        *last,
    )
    module[1].eval()
    module[6].weight.requires_grad_(False)
    module[0].register_forward_hook(lambda *_: None)
    module[6].register_forward_pre_hook(lambda *_: None)
    return module


def state(module: nn.Module) -> dict[str, Any]:
    """All that a user could find changed, with the values copied."""
    children = dict(module.named_modules())
    return {
        "keys": list(module.state_dict()),
        "values": [value.clone() for value in module.state_dict().values()],
        "objects": [id(value) for value in (*module.parameters(), *module.buffers())],
        "versions": [value._version for value in (*module.parameters(), *module.buffers())],
        "devices": [value.device for value in module.state_dict().values()],
        "requires_grad": [p.requires_grad for p in module.parameters()],
        "gradients": [p.grad for p in module.parameters()],
        "training": {path: child.training for path, child in children.items()},
        "attributes": {path: sorted(vars(child)) for path, child in children.items()},
        "hooks": {
            path: [
                list(child._forward_hooks),
                list(child._forward_pre_hooks),
                list(child._backward_hooks),
                list(child._state_dict_hooks),
            ]
            for path, child in children.items()
        },
    }


def unchanged(before: dict[str, Any], after: dict[str, Any]) -> None:
    values, still = before.pop("values"), after.pop("values")
    assert before == after
    assert all(torch.equal(a, b) for a, b in zip(values, still, strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_living_leaf_costs_the_product_of_its_case(case):
    module = build(case.layer)
    (entry,) = count(module, shape=tuple(case.input), strict=True).entries
    assert entry[:7] == (
        "",
        case.kind,
        (case.input,),
        (case.output,),
        case.macs,
        case.weight,
        case.bias,
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_torchs_own_counter_finds_the_torch_price(case):
    module = build(case.layer, device="meta").eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        module(torch.empty(tuple(case.input), device="meta"))
    tally = count(module, shape=tuple(case.input))
    assert counter.get_total_flops() == price(tally, "torch") == 2 * case.macs


@pytest.mark.parametrize(("layer", "shape", "says"), BROKEN)
def test_what_the_rules_forbid_torch_refuses(layer, shape, says):
    with pytest.raises((RuntimeError, ValueError)):
        count(build(layer, device="cpu"), shape=tuple(shape), device=None)


@given(trees())
@settings(deadline=None, max_examples=40)
def test_a_living_tree_has_the_entries_of_the_fold(tree):
    layer, shape, _ = tree
    counted = count(build(layer, device="meta"), shape=tuple(shape), strict=True)
    facts = [entry[:7] for entry in counted.entries]
    assert facts == [entry[:7] for entry in cost.count(layer, shape).entries]


@pytest.mark.parametrize(
    ("module", "shape", "macs", "weight"),
    [
        (nn.Conv1d(3, 4, 3, padding=1), (2, 3, 9), 2 * 4 * 9 * 3 * 3, 4 * 3 * 3),
        (nn.Conv1d(4, 6, 5, 2, groups=2), (1, 4, 9), 6 * 3 * 4 // 2 * 5, 6 * 4 // 2 * 5),
        (
            nn.Conv2d(3, 4, 3, padding="same", dilation=2),
            (2, 3, 8, 8),
            2 * 4 * 8 * 8 * 3 * 3 * 3,
            4 * 3 * 3 * 3,
        ),
        (
            nn.Conv2d(3, 4, (1, 5), (1, 2)),
            (2, 3, 8, 9),
            2 * 4 * 8 * 3 * 3 * 1 * 5,
            4 * 3 * 1 * 5,
        ),
        (
            nn.Conv3d(2, 4, 3, padding=1, groups=2),
            (1, 2, 4, 5, 6),
            4 * 4 * 5 * 6 * 2 // 2 * 3 * 3 * 3,
            4 * 2 // 2 * 3 * 3 * 3,
        ),
        (nn.ConvTranspose1d(3, 2, 4, 2), (1, 3, 5), 3 * 5 * 2 * 4, 3 * 2 * 4),
        (
            nn.ConvTranspose2d(3, 2, 2, 2),
            (2, 3, 8, 8),
            2 * 3 * 8 * 8 * 2 * 2 * 2,
            3 * 2 * 2 * 2,
        ),
        (
            nn.ConvTranspose2d(4, 6, 3, 2, 1, groups=2),
            (1, 4, 5, 5),
            4 * 5 * 5 * 6 // 2 * 3 * 3,
            4 * 6 // 2 * 3 * 3,
        ),
        (
            nn.ConvTranspose3d(2, 3, 2),
            (1, 2, 3, 4, 5),
            2 * 3 * 4 * 5 * 3 * 2 * 2 * 2,
            2 * 3 * 2 * 2 * 2,
        ),
        (nn.Linear(8, 5), (2, 6, 8), 2 * 6 * 5 * 8, 5 * 8),
        (nn.Linear(8, 5), (8,), 5 * 8, 5 * 8),
        (nn.Conv2d(3, 4, 3), (3, 8, 8), 4 * 6 * 6 * 3 * 3 * 3, 4 * 3 * 3 * 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
@DEVICES
def test_a_module_of_any_rank_costs_its_taps(module, shape, macs, weight, device):
    tally = count(module, shape=shape, device=device, strict=True)
    (entry,) = tally.entries
    bias = module.weight.shape[0]
    if "Transpose" in type(module).__name__:
        bias = module.out_channels
    assert (entry.macs, entry.weight, entry.bias) == (macs, weight, bias)
    assert price(tally, "macs") == macs


@pytest.mark.parametrize(
    ("module", "shape", "kind"),
    [
        (nn.BatchNorm1d(4), (2, 4, 5), "batch_norm"),
        (nn.BatchNorm3d(4), (2, 4, 2, 2, 2), "batch_norm"),
        (nn.MaxPool1d(2), (2, 4, 6), "max_pool"),
        (nn.AvgPool3d(2), (2, 4, 2, 2, 2), "avg_pool"),
        (nn.ChannelShuffle(2), (2, 4, 3, 3), "channel_shuffle"),
        (nn.Dropout(0.5), (2, 4), "dropout"),
        (nn.Dropout2d(0.5), (2, 4, 3, 3), "dropout"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_a_free_module_is_an_entry_that_costs_nothing(module, shape, kind):
    tally = count(module, shape=shape, strict=True)
    assert [(entry.kind, entry.macs) for entry in tally.entries] == [(kind, 0)]
    assert price(tally, "macs") == 0


def test_a_subclass_of_a_module_is_counted_as_one():
    class Mine(nn.Conv2d):
        pass

    tally = count(Mine(3, 4, 3, padding=1), shape=(1, 3, 8, 8), strict=True)
    assert tally.macs == 4 * 8 * 8 * 3 * 3 * 3


@DEVICES
def test_a_count_leaves_the_model_as_it_was(device):
    module = model()
    before, seed = state(module), torch.get_rng_state()
    tally = count(module, shape=(2, 3, 8, 8), device=device)
    unchanged(before, state(module))
    assert torch.equal(torch.get_rng_state(), seed)
    assert tally.macs == 2 * 4 * 8 * 8 * 3 * 3 * 3 + 2 * 2 * 4


@DEVICES
def test_a_count_that_fails_leaves_the_model_as_it_was(device):
    module = model(Raises())
    before, seed = state(module), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="no way forward"):
        count(module, shape=(2, 3, 8, 8), device=device)
    unchanged(before, state(module))
    assert torch.equal(torch.get_rng_state(), seed)


@DEVICES
def test_a_strict_refusal_leaves_the_model_as_it_was(device):
    module = model(nn.GELU())
    before = state(module)
    with pytest.raises(UncountedError):
        count(module, shape=(2, 3, 8, 8), device=device, strict=True)
    unchanged(before, state(module))


@DEVICES
def test_a_buffer_that_the_forward_pass_writes_is_left_as_it_was(device):
    module = Calls()
    count(module, shape=(1, 3, 4, 4), device=device)
    assert module.calls.tolist() == [0]


@DEVICES
def test_an_input_is_left_as_it_was_by_a_layer_that_works_in_place(device):
    x = -torch.ones(1, 3, 4, 4)
    count(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 1)), x, device=device)
    assert x.unique().tolist() == [-1]


@DEVICES
def test_a_count_says_the_same_on_every_device(device):
    expected = count(model(), shape=(2, 3, 8, 8))
    assert count(model(), shape=(2, 3, 8, 8), device=device) == expected
    assert count(model(), torch.zeros(2, 3, 8, 8), device=device) == expected


def test_a_count_says_the_same_after_one_that_failed():
    module = model()
    expected = count(module, shape=(2, 3, 8, 8))
    with pytest.raises(RuntimeError):
        count(module, shape=(2, 5, 8, 8))
    assert count(module, shape=(2, 3, 8, 8)) == expected


def test_a_model_counts_the_same_in_training_and_in_evaluation():
    module = model()
    assert count(module.train(), shape=(2, 3, 8, 8)) == count(module.eval(), shape=(2, 3, 8, 8))


@DEVICES
def test_a_model_still_trains_after_a_count(device):
    module = model()
    count(module, shape=(2, 3, 8, 8), device=device)
    module(torch.ones(2, 3, 8, 8)).sum().backward()
    assert module[0].weight.grad is not None


def test_a_model_under_no_parents_gradients_is_counted():
    x = torch.ones(1, 3, 4, 4, requires_grad=True)
    assert count(nn.Conv2d(3, 4, 1), x).macs == 4 * 4 * 4 * 3
    assert x.grad is None


@DEVICES
def test_a_shared_module_costs_twice_and_has_its_parameters_once(device):
    conv = nn.Conv2d(3, 3, 1)
    tally = count(nn.Sequential(conv, conv), shape=(1, 3, 5, 5), device=device)
    assert tally.macs == 2 * (3 * 5 * 5 * 3)
    assert tally.params == 3 * 3 + 3
    assert [(e.path, e.weight) for e in tally.entries] == [("0", 3 * 3), ("0", 0)]


def test_a_module_under_two_parents_costs_each_of_its_calls():
    conv = nn.Conv2d(4, 4, 1, bias=False)
    module = nn.Sequential(nn.Sequential(conv), nn.Sequential(conv), nn.Sequential(conv))
    tally = count(module, shape=(1, 4, 2, 2))
    assert tally.macs == 3 * (4 * 2 * 2 * 4)
    assert tally.params == 4 * 4


@DEVICES
def test_tied_parameters_count_once_under_the_first_that_uses_them(device):
    one, other = nn.Linear(4, 4, bias=False), nn.Linear(4, 4)
    other.weight = one.weight
    tally = count(nn.Sequential(one, other), shape=(1, 4), device=device)
    assert [(e.path, e.weight, e.bias) for e in tally.entries] == [("0", 4 * 4, 0), ("1", 0, 4)]
    assert tally.macs == 2 * (4 * 4)


def test_frozen_parameters_are_parameters():
    tally = count(nn.Conv2d(3, 4, 1).requires_grad_(False), shape=(1, 3, 2, 2))
    assert tally.params == 4 * 3 + 4


def test_what_has_no_rule_is_reported_by_its_path_and_type():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.GELU(), nn.PReLU(4)))
    tally = count(module, shape=(1, 3, 5, 5))
    assert tally.uncounted == {"1.0 (GELU)": 1, "1.1 (PReLU)": 1}
    assert [(e.path, e.kind, e.params) for e in tally.entries[1:]] == [
        ("1.0", "uncounted", 0),
        ("1.1", "uncounted", 4),
    ]


def test_what_has_no_rule_is_reported_with_the_times_it_ran():
    act = nn.GELU()
    tally = count(nn.Sequential(act, act, act), shape=(1, 3))
    assert tally.uncounted == {"0 (GELU)": 3}
    assert len(tally.entries) == 3


def test_strict_refuses_what_has_no_rule_and_names_it():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU(), nn.Softmax(1))
    with pytest.raises(UncountedError, match=r"no rule for 1 \(GELU\), 2 \(Softmax\)"):
        count(module, shape=(1, 3, 5, 5), strict=True)


def test_a_kind_declared_free_is_counted_as_it():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU())
    tally = count(module, shape=(1, 3, 5, 5), free={nn.GELU: "relu"}, strict=True)
    assert [entry.kind for entry in tally.entries] == ["conv", "relu"]
    assert tally.uncounted == {}


def test_a_class_of_ones_own_says_that_it_is_free():
    class Sum(nn.Module):
        free_kind = "add"

        def forward(self, x: Tensor) -> Tensor:
            return x + x

    tally = count(nn.Sequential(Sum(), nn.Linear(3, 2)), shape=(1, 3), strict=True)
    assert [entry.kind for entry in tally.entries] == ["add", "linear"]
    assert price(tally, "macs") == 2 * 3


def test_a_parent_with_a_parameter_of_its_own_is_reported():
    tally = count(Scaled(), shape=(1, 3, 2, 2))
    assert tally.uncounted == {" (Scaled)": 1}
    assert tally.params == 3 + 4 * 3 + 4
    assert tally.macs == 4 * 2 * 2 * 3


def test_a_module_without_children_that_only_calls_functions_is_reported():
    module = nn.Sequential(nn.ReLU(), Wired(lambda _, x: x @ x))
    assert count(module, shape=(5, 5)).uncounted == {"1 (Wired)": 1}


def test_containers_are_their_children():
    module = nn.Sequential(nn.Sequential(), nn.Sequential(nn.Sequential(nn.Linear(3, 2))))
    tally = count(module, shape=(1, 3), strict=True)
    assert [entry.path for entry in tally.entries] == ["1.0.0"]


@DEVICES
def test_a_parameter_that_no_call_reached_is_an_entry_of_its_own(device):
    module = Wired(lambda m, x: m.used(x), used=nn.Linear(3, 2), spare=nn.Linear(3, 5))
    tally = count(module, shape=(1, 3), device=device, strict=True)
    spare = tally.entries[-1]
    assert spare[:7] == ("spare", "uncalled", (), (), 0, 5 * 3, 5)
    assert tally.params == 2 * 3 + 2 + 5 * 3 + 5
    assert tally.macs == 2 * 3


def test_uncalled_modules_that_share_a_parameter_have_it_once():
    spare = nn.Linear(3, 5)
    module = Wired(lambda m, x: m.used(x), used=nn.Linear(3, 2), spare=spare, again=spare)
    assert count(module, shape=(1, 3)).params == 2 * 3 + 2 + 5 * 3 + 5


def test_a_module_called_by_keyword_is_counted():
    module = Wired(lambda m, x: m.up(input=m.conv(input=x)), conv=nn.Conv2d(3, 4, 1))
    module.add_module("up", nn.ConvTranspose2d(4, 2, 2, 2))
    tally = count(module, shape=(1, 3, 5, 5))
    assert tally.macs == 4 * 5 * 5 * 3 + 4 * 5 * 5 * 2 * 2 * 2
    assert tally.entries[0].inputs == ((1, 3, 5, 5),)


def test_every_tensor_of_a_join_is_an_input():
    class Sum(nn.Module):
        def forward(self, *xs: Tensor) -> Tensor:
            return xs[0] + xs[1]

    module = Wired(lambda m, x: m.sum(x, m.conv(x)), conv=nn.Conv2d(3, 3, 1), sum=Sum())
    tally = count(module, shape=(1, 3, 5, 5), free={Sum: "add"}, strict=True)
    assert tally.entries[-1].inputs == ((1, 3, 5, 5), (1, 3, 5, 5))


def test_entries_come_in_order_of_execution():
    module = Wired(lambda m, x: m.a(m.b(x)), a=nn.Linear(4, 2), b=nn.Linear(3, 4))
    assert [entry.path for entry in count(module, shape=(1, 3)).entries] == ["b", "a"]


def test_a_module_of_two_inputs_is_given_both():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(5, 2)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.a(x) + self.b(y)

    assert count(Two(), torch.zeros(4, 3), torch.zeros(4, 5)).macs == 4 * 2 * 3 + 4 * 2 * 5


@pytest.mark.parametrize("given", [{}, {"shape": (1, 3), "x": torch.zeros(1, 3)}])
def test_no_input_and_two_kinds_of_input_are_refused(given):
    inputs = [given.pop("x")] if "x" in given else []
    with pytest.raises(TypeError, match="either input tensors or a shape"):
        count(nn.Linear(3, 2), *inputs, **given)


@pytest.mark.parametrize(
    ("dtype", "width"),
    [(torch.float16, 2), (torch.bfloat16, 2), (torch.float32, 4), (torch.float64, 8)],
)
@pytest.mark.parametrize("device", ["meta", None])
def test_an_element_has_the_bytes_of_the_models_type(dtype, width, device):
    tally = count(nn.Linear(3, 2).to(dtype), shape=(1, 3), device=device)
    assert tally.element_bytes == width
    assert tally.param_bytes == width * (2 * 3 + 2)


@pytest.mark.parametrize("device", ["meta", None])
def test_parameters_have_their_own_bytes_whatever_type_the_input_has(device):
    module = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 5))
    tally = count(module, torch.zeros(2, 6, dtype=torch.long), device=device)
    assert tally.macs == 2 * 6 * 5 * 8
    assert tally.param_bytes == 4 * (10 * 8 + 5 * 8 + 5)


def test_a_module_without_parameters_is_counted_in_float32():
    assert count(nn.ReLU(), shape=(1, 3)).element_bytes == 4


def test_a_model_on_the_meta_device_is_counted_where_it_is():
    with torch.device("meta"):
        module = nn.Conv2d(3, 4, 3, padding=1)
    assert count(module, shape=(1, 3, 8, 8), device=None).macs == 4 * 8 * 8 * 3 * 3 * 3


def test_a_count_has_no_peak():
    assert count(nn.ReLU(), shape=(1, 3)).peak_activations is None


def test_shapes_of_a_count_are_shapes():
    (entry,) = count(nn.Linear(3, 2), shape=(4, 3)).entries
    assert all(type(shape) is Shape for shape in (*entry.inputs, *entry.outputs))


def test_an_uncounted_refusal_is_a_value_error():
    assert issubclass(UncountedError, ValueError)
