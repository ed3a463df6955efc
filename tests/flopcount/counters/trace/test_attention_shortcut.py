"""`nn.MultiheadAttention` of one tensor, counted in one go, is what it is step by step."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from flopcount.counters.trace import attention, count, module_calls
from flopcount.tally import Tally
from tests.flopcount.counters.trace.ways import agreed

T, N, E, HEADS = 5, 2, 8, 2
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Attending(nn.Module):
    """Attends to one tensor, between two maps."""

    def __init__(self, inner: nn.Module, call: Mapping[str, Any] = NOTHING, e: int = E) -> None:
        super().__init__()
        self.before = nn.Linear(e, e)
        self.inner = inner
        self.call = {"need_weights": False, **call}

    def forward(self, x: Tensor) -> Any:
        y = self.before(x)
        return self.inner(y, y, y, **self.call)[0]


def of(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(shape, dtype=dtype)


def attended(t: int = T, n: int = N, e: int = E) -> int:
    """The map before, three maps in, scores, what they weigh, and the map out."""
    return n * t * e * e * (1 + 3 + 1) + 2 * n * t * t * e


def at_once(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each call that was offered to the short cut, whether it was taken."""
    found: list[bool] = []

    def attend(*args: Any) -> Any:
        out = attention.attend(*args)
        found.append(out is not None)
        return out

    monkeypatch.setattr(module_calls, "attend", attend)
    return found


SIZES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))


@settings(deadline=None, max_examples=40)
@given(SIZES, st.booleans(), st.booleans(), st.booleans())
def test_self_attention_counts_as_its_steps_do_at_every_size(sizes, batch_first, bias, backward):
    t, n, heads, each = sizes
    e = heads * each
    inner = nn.MultiheadAttention(e, heads, bias=bias, batch_first=batch_first)
    x = of(n, t, e) if batch_first else of(t, n, e)
    model = Attending(inner, e=e)
    tally = count(model, x, backward=backward)
    with patch.object(module_calls, "attend", return_value=None):
        assert list(tally.entries) == list(count(model, x, backward=backward).entries)
    assert agreed(model, x, backward=backward) == tally
    forward = [entry for entry in tally.entries if not entry.kind.endswith("_backward")]
    assert sum(entry.macs for entry in forward) == attended(t, n, e)
    assert tally.params == e * e + e + (3 * e * e + e * e) + bias * (3 * e + e)
    assert tally.uncalled == ()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("batch_first", [False, True])
def test_self_attention_of_another_type_is_taken_at_once(dtype, batch_first, monkeypatch):
    taken = at_once(monkeypatch)
    inner = nn.MultiheadAttention(E, HEADS, batch_first=batch_first)
    model = Attending(inner).to(dtype)
    tally = agreed(model, of(N, T, E, dtype=dtype))
    t, n = (T, N) if batch_first else (N, T)
    assert tally.macs == attended(t, n)
    assert taken == [True]


MASK = torch.zeros(T, T, dtype=torch.bool)
PADDING = torch.zeros(N, T, dtype=torch.bool)
#: What a module is made with or called with, and how much more is multiplied than without.
LONG: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "a mask": ({}, {"attn_mask": MASK}),
    "a mask of numbers": ({}, {"attn_mask": MASK.float()}),
    "padding": ({}, {"key_padding_mask": PADDING}),
    "a causal mask": ({}, {"attn_mask": MASK, "is_causal": True}),
    "weights": ({}, {"need_weights": True}),
    "weights of each head": ({}, {"need_weights": True, "average_attn_weights": False}),
    "a bias of keys": ({"add_bias_kv": True}, {}),
    "an empty key": ({"add_zero_attn": True}, {}),
}


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize("name", LONG)
def test_what_is_not_plain_about_it_goes_the_long_way(name, backward, monkeypatch):
    taken = at_once(monkeypatch)
    made, called = LONG[name]
    inner = nn.MultiheadAttention(E, HEADS, batch_first=True, **made)
    tally = agreed(Attending(inner, called), of(N, T, E), backward=backward)
    assert tally.macs >= attended()
    assert True not in taken


def test_one_sequence_without_a_batch_goes_the_long_way(monkeypatch):
    taken = at_once(monkeypatch)
    tally = agreed(Attending(nn.MultiheadAttention(E, HEADS)), of(T, E))
    assert tally.macs == attended(T, 1)
    assert taken == []


def test_three_tensors_go_the_long_way(monkeypatch):
    class Crossing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.MultiheadAttention(E, HEADS)

        def forward(self, x: Tensor, y: Tensor) -> Any:
            return self.inner(x, y, y, need_weights=False)[0]

    taken = at_once(monkeypatch)
    agreed(Crossing(), of(T, N, E), of(T + 1, N, E))
    assert taken == []


@pytest.mark.parametrize("shape", [(T, N, E + 1), (T, N, E - 1), (T, E + 1), (T, N, E, 1)], ids=str)
def test_what_torch_refuses_is_refused_in_its_words(shape):
    inner = nn.MultiheadAttention(E, HEADS)
    x = of(*shape)
    with pytest.raises(Exception, match=r".") as real:
        inner(x, x, x, need_weights=False)

    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Any:
            return self.inner(x, x, x, need_weights=False)[0]

    with pytest.raises(type(real.value)) as found:
        count(Bare(), x)
    assert str(found.value) == str(real.value)


def test_weights_of_another_type_go_the_long_way(monkeypatch):
    taken = at_once(monkeypatch)
    agreed(Attending(nn.MultiheadAttention(E, HEADS).double()), of(T, N, E))
    assert taken == [False]


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 0.5


def halved(inner: nn.MultiheadAttention) -> None:
    parametrize.register_parametrization(inner, "in_proj_weight", Halved())


def halved_out(inner: nn.MultiheadAttention) -> None:
    parametrize.register_parametrization(inner.out_proj, "weight", Halved())


def hooked(inner: nn.MultiheadAttention) -> None:
    inner.register_forward_hook(lambda module, args, out: (out[0] * 2, out[1]))


def hooked_out(inner: nn.MultiheadAttention) -> None:
    # torch's own forward method never calls it
    inner.out_proj.register_forward_hook(lambda module, args, out: out * 2)


def frozen(inner: nn.MultiheadAttention) -> None:
    inner.requires_grad_(False)


def tied(inner: nn.MultiheadAttention) -> None:
    inner.out_proj.weight = nn.Parameter(inner.in_proj_weight[:E].detach())


def another_out_without_bias(inner: nn.MultiheadAttention) -> None:
    inner.out_proj = nn.Linear(E, E, bias=False)


ALTERED = [halved, halved_out, hooked, hooked_out, frozen, tied, another_out_without_bias]


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize("alter", ALTERED, ids=lambda alter: alter.__name__)
def test_what_was_done_to_its_weights_counts(alter, backward):
    inner = nn.MultiheadAttention(E, HEADS)
    alter(inner)
    tally = agreed(Attending(inner), of(T, N, E), backward=backward)
    products = [e for e in tally.entries if e.kind in ("linear", "attention")]
    assert sum(entry.macs for entry in products) == attended()


def test_a_weight_that_is_worked_out_goes_the_long_way(monkeypatch):
    taken = at_once(monkeypatch)
    inner = nn.MultiheadAttention(E, HEADS)
    parametrizations.spectral_norm(inner.out_proj)
    parametrizations.weight_norm(inner, "in_proj_weight")
    tally = agreed(Attending(inner), of(T, N, E))
    assert tally.macs > attended()
    assert True not in taken


def test_a_layer_of_an_encoder_counts_as_its_steps_do():
    for norm_first in (False, True):
        layer = nn.TransformerEncoderLayer(E, HEADS, 12, norm_first=norm_first, batch_first=True)
        agreed(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), of(N, T, E))


def test_attending_twice_reads_its_weights_twice_and_owns_them_once():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.MultiheadAttention(E, HEADS)

        def forward(self, x: Tensor) -> Any:
            y = self.inner(x, x, x, need_weights=False)[0]
            return self.inner(y, y, y, need_weights=False)[0]

    tally = agreed(Twice(), of(T, N, E))
    assert tally.macs == 2 * (attended() - N * T * E * E)
    assert tally.params == 4 * E * E + 4 * E
    assert calls(tally)["inner"] == 2


def calls(tally: Tally) -> dict[str, int]:
    return {module.path: module.calls for module in tally.modules}
