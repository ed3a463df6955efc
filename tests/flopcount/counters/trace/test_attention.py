from __future__ import annotations

from itertools import product as pairs
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from flopcount.counters.trace import count
from tests.flopcount.counters.trace.ways import Wired, empty, every_way, macs

N, T, S, E, H, F = 2, 6, 4, 8, 2, 12
CONTEXTS = {
    "grad": torch.enable_grad,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


def attended(t: int, s: int, e: int = E, key: int | None = None, value: int | None = None) -> int:
    """Of N sequences: three maps in, the scores, what they weigh, and the map out."""
    maps = N * t * e * e + N * s * (key or e) * e + N * s * (value or e) * e
    return maps + N * t * s * e + N * t * s * e + N * t * e * e


def encoded(t: int) -> int:
    return attended(t, t) + N * t * E * F + N * t * F * E


def decoded(t: int, s: int) -> int:
    return attended(t, t) + attended(t, s) + N * t * E * F + N * t * F * E


#: Minus infinity for every place after one's own.
UNSEEN = nn.Transformer.generate_square_subsequent_mask(T)


def laid(length: int, batch_first: bool, width: int = E) -> torch.Tensor:
    return empty(N, length, width) if batch_first else empty(length, N, width)


def causal(length: int) -> torch.Tensor:
    return torch.ones(length, length, dtype=torch.bool).triu(1)


def ends(length: int) -> torch.Tensor:
    """Of the last sequence, the last place is padding."""
    mask = torch.zeros(N, length, dtype=torch.bool)
    mask[-1, -1] = True
    return mask


def test_attention_is_the_product_of_queries_and_keys_and_the_one_with_values():
    q, k, v = empty(N, H, T, 5), empty(N, H, S, 5), empty(N, H, S, 3)
    assert macs(functional.scaled_dot_product_attention, q, k, v) == N * H * T * S * (5 + 3)


def test_self_attention_on_the_cpu_costs_what_it_costs_on_meta():
    x = empty(N, T, E)
    run = Wired(lambda m, x: functional.scaled_dot_product_attention(x, x, x))
    assert macs(run, x) == 2 * (N * T * T * E) == 1152


@pytest.mark.parametrize("batch", [(), (N,), (N, H), (3, N, H)], ids=str)
def test_attention_takes_any_number_of_batch_axes(batch):
    q, k = empty(*batch, T, E), empty(*batch, S, E)
    rows = torch.Size(batch).numel()
    assert macs(functional.scaled_dot_product_attention, q, k, k) == 2 * rows * T * S * E


@pytest.mark.parametrize(
    "options",
    [
        {"is_causal": True},
        {"attn_mask": ~causal(T)},
        {"attn_mask": empty(T, T)},
        {"attn_mask": ~causal(T).expand(N, H, T, T)},
        {"scale": 0.5},
        {"dropout_p": 0.0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_mask_saves_no_product(options):
    x = empty(N, H, T, E)
    found = macs(functional.scaled_dot_product_attention, x, x, x, **options)
    assert found == 2 * (N * H * T * T * E)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_grouped_queries_cost_as_much_as_if_each_had_its_own_keys(heads):
    q, k = empty(N, 4, T, E), empty(N, heads, S, E)
    found = macs(functional.scaled_dot_product_attention, q, k, k, enable_gqa=True)
    assert found == 2 * (N * 4 * T * S * E)


def test_attention_written_out_costs_what_the_function_costs():
    def written_out(q: Any, k: Any, v: Any) -> Any:
        return (q @ k.transpose(-2, -1) / E**0.5).softmax(-1) @ v

    q, k, v = empty(N, H, T, E), empty(N, H, S, E), empty(N, H, S, E)
    found = macs(written_out, q, k, v)
    assert found == macs(functional.scaled_dot_product_attention, q, k, v)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_multi_head_attention_costs_the_same_under_any_mode_of_torch(context, training):
    model = nn.MultiheadAttention(E, H, batch_first=True).train(training)
    x = empty(N, T, E)
    with CONTEXTS[context]():
        assert macs(model, x, x, x) == attended(T, T) == 4224
    assert model.training is training


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("weights", [{}, {"need_weights": False}, {"average_attn_weights": False}])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attn_mask": empty(T, S)},
        {"attn_mask": torch.zeros(N * H, T, S, dtype=torch.bool)},
        {"key_padding_mask": ends(S)},
        {"key_padding_mask": ends(S), "attn_mask": torch.zeros(T, S, dtype=torch.bool)},
    ],
    ids=lambda options: "+".join(options) or "plain",
)
def test_cross_attention_costs_the_same_with_masks_and_weights_or_without(
    batch_first, weights, options
):
    model = nn.MultiheadAttention(E, H, batch_first=batch_first)
    q, k = laid(T, batch_first), laid(S, batch_first)
    assert macs(model, q, k, k, **weights, **options) == attended(T, S)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("key", "value"), [(5, 8), (8, 7), (5, 7)])
def test_keys_and_values_of_other_widths_are_mapped_from_them(batch_first, key, value):
    model = nn.MultiheadAttention(E, H, kdim=key, vdim=value, batch_first=batch_first)
    q, k, v = laid(T, batch_first), laid(S, batch_first, key), laid(S, batch_first, value)
    assert macs(model, q, k, v) == attended(T, S, E, key, value)


def test_an_unbatched_sequence_is_a_batch_of_one():
    model, x = nn.MultiheadAttention(E, H), empty(T, E)
    assert N * macs(model, x, x, x) == attended(T, T)


def test_a_key_that_is_learned_or_zero_is_one_place_more():
    # neither is mapped: both are put behind the mapped keys and values
    model = nn.MultiheadAttention(E, H, add_bias_kv=True, add_zero_attn=True)
    q, k = laid(T, False), laid(S, False)
    assert macs(model, q, k, k) == attended(T, S) + 2 * (N * T * 2 * E)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("masks", [{}, {"src_mask": causal(T)}, {"src_key_padding_mask": ends(T)}])
def test_an_encoder_layer_costs_the_same_on_every_path_that_torch_has(context, training, masks):
    model = nn.TransformerEncoderLayer(E, H, F, batch_first=True).train(training)
    with CONTEXTS[context]():
        assert macs(model, empty(N, T, E), **masks) == encoded(T)


@pytest.mark.parametrize(
    "options",
    [{"norm_first": True}, {"activation": "gelu"}, {"activation": torch.tanh}],
    ids=("norm_first", "gelu", "tanh"),
)
def test_an_encoder_layer_costs_the_same_whatever_its_order_and_activation(options):
    model = nn.TransformerEncoderLayer(E, H, F, **options).eval()
    with torch.no_grad():
        assert macs(model, laid(T, False)) == encoded(T)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("training", "context", "batch_first", "masks"),
    [
        *pairs(
            [True, False],
            ["grad", "inference_mode"],
            [True, False],
            [{}, {"src_key_padding_mask": ends(T)}, {"mask": UNSEEN}],
        )
    ],
)
def test_an_encoder_is_its_layers(training, context, batch_first, masks):
    # a place that is only padding is multiplied like any other, whether or not torch leaves it out
    layer = nn.TransformerEncoderLayer(E, H, F, batch_first=batch_first)
    model = nn.TransformerEncoder(layer, 3, nn.LayerNorm(E)).train(training)
    with CONTEXTS[context]():
        tallies = {
            "plain": count(model, laid(T, batch_first), **masks),
            "checked": count(model, laid(T, batch_first), checked=True, **masks),
            "meta": count(model.to("meta"), laid(T, batch_first), **masks),
        }
    assert {way: tally.macs for way, tally in tallies.items()} == dict.fromkeys(
        tallies, 3 * encoded(T)
    )
    assert all(tally.coverage == 1 for tally in tallies.values())


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(
    "masks",
    [
        {},
        {"tgt_mask": causal(T)},
        {"tgt_mask": UNSEEN},
        {"tgt_key_padding_mask": ends(T)},
        {"memory_mask": empty(T, S)},
    ],
    ids=lambda masks: "+".join(masks) or "plain",
)
def test_a_decoder_is_its_layers_and_each_attends_twice(training, batch_first, masks):
    layer = nn.TransformerDecoderLayer(E, H, F, batch_first=batch_first)
    model = nn.TransformerDecoder(layer, 2).train(training)
    found = macs(model, laid(T, batch_first), laid(S, batch_first), **masks)
    assert found == 2 * decoded(T, S)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_transformer_is_its_encoder_and_its_decoder(context, training, batch_first):
    model = nn.Transformer(E, H, 2, 3, F, batch_first=batch_first).train(training)
    source, target = laid(S, batch_first), laid(T, batch_first)
    masks = {"tgt_mask": model.generate_square_subsequent_mask(T), "tgt_is_causal": True}
    with CONTEXTS[context]():
        assert macs(model, source, target, **masks) == 2 * encoded(S) + 3 * decoded(T, S)


def test_the_parts_of_multi_head_attention_are_told_apart():
    x = empty(N, T, E)
    for way, tally in every_way(nn.MultiheadAttention(E, H, batch_first=True), x, x, x).items():
        kinds = tally.by_kind()
        assert kinds["linear"].macs == 4 * (N * T * E * E), way
        assert tally.macs - kinds["linear"].macs == 2 * (N * T * T * E), way
        assert {entry.layer for entry in tally.entries if entry.macs} == {"MultiheadAttention"}, way
