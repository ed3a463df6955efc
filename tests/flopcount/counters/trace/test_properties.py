"""What holds of every count, whatever the module."""

from __future__ import annotations

import copy
import json
import pickle
from collections import Counter
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from flopcount import price
from flopcount.counters import hooks
from flopcount.counters.trace import count
from flopcount.entries import VIEW_KINDS, Entry
from flopcount.tally import Tally
from tests.module_strategies import Sample, modules

SMALL = settings(deadline=None, max_examples=25)
MANY = settings(deadline=None, max_examples=60)


def counted(drawn: tuple[nn.Module, Sample], n: int = 2, **options: object) -> Tally:
    module, sample = drawn
    return count(module, shape=(n, *sample), strict=True, **options)


def facts(tally: Tally) -> Counter[Entry]:
    """Every entry, but for the copies that a reshape makes or does not, as strides will have it."""
    return Counter(entry for entry in tally.entries if entry.kind != "copy")


def macs_by_kind(tally: Tally) -> dict[str, int]:
    return {kind: group.macs for kind, group in tally.by_kind().items() if group.macs}


@SMALL
@given(modules())
def test_a_module_on_the_meta_device_is_counted_as_on_the_cpu(drawn):
    module, sample = drawn
    assert counted((copy.deepcopy(module).to("meta"), sample)) == counted(drawn)


@SMALL
@given(modules(), st.booleans())
def test_neither_the_mode_of_a_module_nor_that_of_gradients_changes_a_count(drawn, training):
    found = counted(drawn)
    drawn[0].train(training)
    with torch.no_grad():
        assert counted(drawn) == found
    with torch.inference_mode():
        assert counted(drawn) == found
    assert counted(drawn) == found
    assert all(m.training is training for m in drawn[0].modules())


@SMALL
@given(modules(), st.integers(2, 5))
def test_a_batch_costs_what_its_samples_do_of_every_kind_and_no_more_parameters(drawn, n):
    one, several = counted(drawn, 1), counted(drawn, n)
    assert macs_by_kind(several) == {kind: n * m for kind, m in macs_by_kind(one).items()}
    assert several.params == one.params == sum(p.numel() for p in drawn[0].parameters())
    assert (one.batch, several.batch) == (1, n)


class Failing(nn.Module):
    """Fails once the rest has run, or works."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        if self.fails:
            raise ZeroDivisionError
        return y


@SMALL
@given(modules(), st.booleans(), st.booleans())
def test_a_second_count_is_the_first_even_after_a_run_that_failed(drawn, checked, backward):
    module = Failing(drawn[0])
    held = {name: id(tensor) for name, tensor in module.state_dict(keep_vars=True).items()}
    before = counted((module, drawn[1]))
    module.fails = True
    with pytest.raises(ZeroDivisionError):
        counted((module, drawn[1]), checked=checked, backward=backward)
    module.fails = False
    assert counted((module, drawn[1])) == before
    assert {n: id(t) for n, t in module.state_dict(keep_vars=True).items()} == held


class Aliased(nn.Module):
    """One module under two names, called by the second of them."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.first = inner
        self.second = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.second(x)


def below(path: str, rest: str) -> str:
    return f"{path}.{rest}" if rest else path


@SMALL
@given(modules())
def test_a_module_in_another_or_under_a_second_name_costs_what_it_does_by_itself(drawn):
    alone = counted(drawn)
    for holder, path in ((nn.Sequential(drawn[0]), "0"), (Aliased(drawn[0]), "first")):
        held = counted((holder, drawn[1]))
        assert held.entries == tuple(
            entry._replace(path=below(path, entry.path)) for entry in alone.entries
        )
        assert (held.params, held.peak_memory) == (alone.params, alone.peak_memory)
        node = held.by_module().children[0]
        assert (node.path, node.total_macs, node.total_params) == (path, alone.macs, alone.params)


@SMALL
@given(modules())
def test_what_every_module_does_itself_sums_to_what_the_model_does(drawn):
    tally = counted(drawn)
    tree = tally.by_module()
    nodes = [node for _, node in tree.walk()]
    assert sum(node.macs for node in nodes) == tree.total_macs == tally.macs
    assert sum(node.params for node in nodes) == tree.total_params == tally.params
    assert sum(node.activations for node in nodes) == tree.total_activations == tally.activations
    for node in nodes:
        assert node.total_macs == node.macs + sum(child.total_macs for child in node.children)
    assert sum(group.macs for group in tally.by_kind().values()) == tally.macs
    assert sum(group.macs for group in tally.by_operator().values()) == tally.macs
    assert sum(group.bytes_moved for group in tally.by_kind().values()) == tally.bytes_moved
    assert price(tally, "macs") == tally.macs


@MANY
@given(modules())
def test_the_rules_say_what_the_operators_below_and_a_real_run_say(drawn):
    ruled, checked = counted(drawn), counted(drawn, checked=True)
    real = counted(drawn, execution="real")
    assert facts(ruled) == facts(checked) == facts(real)
    assert ruled.parameters == checked.parameters == real.parameters
    assert ruled.modules == checked.modules == real.modules
    assert ruled.coverage == checked.coverage == real.coverage == Fraction(1)
    if Counter(ruled.entries) == Counter(checked.entries):
        assert ruled.peak_memory == checked.peak_memory
    if Counter(checked.entries) == Counter(real.entries):
        assert checked.peak_memory == real.peak_memory


def leaves(tally: Tally) -> list[tuple[object, ...]]:
    """Every leaf that makes a new tensor, in order of execution; weights without their second use.

    The hooks count a parameter once, and the trace whatever is read.
    """
    return [
        (e.path, e.kind, e.inputs, e.outputs, e.macs)
        for e in tally.entries
        if e.kind not in VIEW_KINDS and e.kind != "uncalled"
    ]


@MANY
@given(modules(plain=True), st.integers(1, 3))
def test_where_everything_is_a_layer_the_hooks_find_the_same_leaf_by_leaf(drawn, n):
    module, sample = drawn
    traced = counted(drawn, n)
    hooked = hooks.count(module, shape=(n, *sample), strict=True)
    # the joins by flattening are calls of a layer that makes a view
    assert leaves(traced) == leaves(hooked)
    assert traced.macs == hooked.macs
    assert traced.params == hooked.params


@SMALL
@given(modules(plain=True, shared=False))
def test_where_nothing_is_shared_every_leaf_reads_the_weights_that_the_hooks_find(drawn):
    traced = counted(drawn)
    hooked = hooks.count(drawn[0], shape=(2, *drawn[1]), strict=True)
    assert [(e.path, e.weight, e.bias) for e in traced.entries if e.params] == [
        (e.path, e.weight, e.bias) for e in hooked.entries if e.params
    ]


@MANY
@given(modules())
def test_what_flows_back_through_convolutions_and_linear_maps_costs_them_twice(drawn):
    module, sample = drawn
    tally = count(module, torch.zeros(2, *sample, requires_grad=True), backward=True)
    costs = macs_by_kind(tally)
    for kind in ("conv", "linear"):
        assert costs.get(f"{kind}_backward", 0) == 2 * costs.get(kind, 0)


@SMALL
@given(modules(plain=True))
def test_where_nothing_asks_for_a_gradient_nothing_flows_back(drawn):
    drawn[0].requires_grad_(False)
    tally = counted(drawn, backward=True)
    assert not any(entry.kind.endswith("_backward") for entry in tally.entries)
    assert tally.macs == counted(drawn).macs


@st.composite
def mirrors(draw: st.DrawFn) -> tuple[nn.Module, nn.Module, Sample]:
    """A convolution, the transposed one that undoes it, and a sample of the first."""
    axes = draw(st.integers(1, 3))
    groups, ins, outs, places = (draw(st.integers(1, 3)) for _ in range(4))
    kernel, stride, dilation = (draw(st.integers(1, 3)) for _ in range(3))
    reach = dilation * (kernel - 1) + 1
    padding = draw(st.integers(0, (reach - 1) // 2))
    # of what is left over behind the last place, the transposed one has to be told
    over = draw(st.integers(0, stride - 1))
    size = reach - 2 * padding + (places - 1) * stride + over
    options = {"stride": stride, "padding": padding, "groups": groups, "dilation": dilation}
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    back = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1]
    return (
        conv(groups * ins, groups * outs, kernel, **options),
        back(groups * outs, groups * ins, kernel, output_padding=over, **options),
        (groups * ins, *(size,) * axes),
    )


@MANY
@given(mirrors())
def test_a_transposed_convolution_costs_what_the_one_costs_that_it_undoes(drawn):
    conv, back, sample = drawn
    there = counted((conv, sample))
    (out,) = there.entries[0].outputs
    again = counted((back, tuple(out[1:])))
    assert again.entries[0].outputs == ((2, *sample),)
    assert again.macs == there.macs == counted((back, tuple(out[1:])), checked=True).macs


@SMALL
@given(modules(), st.booleans())
def test_a_tally_is_plain_data_that_survives_pickle_and_json(drawn, backward):
    tally = counted(drawn, backward=backward)
    assert pickle.loads(pickle.dumps(tally)) == tally
    assert hash(tally.entries) == hash(pickle.loads(pickle.dumps(tally)).entries)
    figures = [tally.macs, tally.params, tally.peak_memory, tally.bytes_moved, tally.batch]
    assert json.loads(json.dumps(figures)) == figures
    said = json.loads(json.dumps(tally.entries))
    for entry, found in zip(tally.entries, said, strict=True):
        assert found == [
            *(entry.path, entry.kind, [[*s] for s in entry.inputs], [[*s] for s in entry.outputs]),
            *(entry.macs, entry.weight, entry.bias, entry.operator, entry.layer),
            *(entry.windows, entry.moved_bytes),
        ]
