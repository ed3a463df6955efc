from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import rnn

from flopcount.counters.trace import count
from tests.flopcount.counters.trace.ways import Wired, empty, every_way, macs

N, T, C, H, P = 2, 6, 4, 8, 3
GATES = {nn.RNN: 1, nn.LSTM: 4, nn.GRU: 3}
NETS = pytest.mark.parametrize("net", GATES, ids=lambda net: net.__name__)
LENGTHS = (T, 3, 1)


def step(gates: int, layers: int = 1, directions: int = 1, projected: int = 0) -> int:
    """One row through all layers: every matrix once."""
    state = projected or H
    inputs = [C] + [directions * state] * (layers - 1)
    maps = [gates * H * (width + state) + projected * H for width in inputs]
    return directions * sum(maps)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [1, 3])
@NETS
def test_a_recurrent_net_multiplies_every_matrix_once_a_row(net, layers, directions):
    model = net(C, H, layers, bidirectional=directions == 2)
    assert macs(model, empty(T, N, C)) == T * N * step(GATES[net], layers, directions)


@pytest.mark.parametrize("options", [{"bias": False}, {"dropout": 0.5}], ids=str)
@NETS
def test_neither_bias_nor_dropout_multiplies_anything(net, options):
    assert macs(net(C, H, 2, **options), empty(T, N, C)) == T * N * step(GATES[net], 2)


def test_the_lstm_that_other_tools_take_for_nothing():
    x = empty(N, T, H)
    assert macs(nn.LSTM(H, 4, batch_first=True), x) == N * T * 4 * 4 * (H + 4) == 2304


@NETS
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_recurrent_net_costs_the_same_under_any_mode_of_torch(net, training, context):
    model = net(C, H, 2, batch_first=True).train(training)
    with context():
        assert macs(model, empty(N, T, C)) == T * N * step(GATES[net], 2)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_projected_state_is_what_the_next_step_and_the_next_layer_read(layers, directions):
    model = nn.LSTM(C, H, layers, bidirectional=directions == 2, proj_size=P)
    assert macs(model, empty(T, N, C)) == T * N * step(4, layers, directions, P)


@NETS
def test_an_unbatched_sequence_is_a_batch_of_one(net):
    assert macs(net(C, H), empty(T, C)) == T * step(GATES[net])


@NETS
def test_what_was_remembered_before_costs_no_more(net):
    states = empty(2, N, H)
    begun = (states, empty(2, N, H)) if net is nn.LSTM else states
    assert macs(net(C, H, 2), empty(T, N, C), begun) == T * N * step(GATES[net], 2)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("directions", [1, 2])
@NETS
def test_a_packed_sequence_costs_its_own_rows_and_no_padding(net, directions, batch_first):
    model = net(C, H, 2, bidirectional=directions == 2, batch_first=batch_first)

    def packed(m: Any, x: Any, lengths: Any) -> Any:
        out, _ = m.net(rnn.pack_padded_sequence(x, lengths, batch_first))
        return rnn.pad_packed_sequence(out, batch_first)[0]

    n = len(LENGTHS)
    x = empty(n, T, C) if batch_first else empty(T, n, C)
    found = every_way(Wired(packed, net=model), x, torch.tensor(LENGTHS))
    rows = sum(LENGTHS) * step(GATES[net], 2, directions)
    assert {way: tally.macs for way, tally in found.items()} == dict.fromkeys(found, rows)
    wide = (n, T, directions * H) if batch_first else (T, n, directions * H)
    assert all(tally.entries[-1].outputs[0] == wide for tally in found.values())
    assert all(tally.coverage == 1 for tally in found.values())


@NETS
def test_sequences_need_not_be_sorted_to_be_packed(net):
    def packed(m: Any, x: Any, lengths: Any) -> Any:
        rows = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return rnn.pad_packed_sequence(m.net(rows)[0])[0]

    model = Wired(packed, net=net(C, H))
    assert macs(model, empty(T, 3, C), torch.tensor([2, T, 3])) == (2 + T + 3) * step(GATES[net])


@NETS
def test_a_sequence_may_come_packed(net):
    given = rnn.pack_padded_sequence(empty(T, 3, C), torch.tensor(LENGTHS))
    for options in ({}, {"checked": True}, {"execution": "real"}):
        found = count(net(C, H), given, **options)
        assert found.macs == sum(LENGTHS) * step(GATES[net]), options


@pytest.mark.parametrize(
    ("cell", "gates"), [(nn.RNNCell, 1), (nn.LSTMCell, 4), (nn.GRUCell, 3)], ids=str
)
@pytest.mark.parametrize("batch", [(), (N,)], ids=["unbatched", "batched"])
def test_a_cell_is_one_step(cell, gates, batch):
    rows = torch.Size(batch).numel()
    assert macs(cell(C, H), empty(*batch, C)) == rows * gates * H * (C + H)


@pytest.mark.parametrize(
    ("cell", "net"), [(nn.RNNCell, nn.RNN), (nn.LSTMCell, nn.LSTM), (nn.GRUCell, nn.GRU)], ids=str
)
def test_a_loop_over_a_cell_costs_what_the_net_costs(cell, net):
    def loop(m: Any, x: Any) -> Any:
        state = None
        for row in x:
            state = m.cell(row, state)
        return state

    x = empty(T, N, C)
    assert macs(Wired(loop, cell=cell(C, H)), x) == macs(net(C, H), x)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_the_function_of_a_plain_net_is_its_own(nonlinearity):
    model = nn.RNN(C, H, nonlinearity=nonlinearity)
    (entry,) = (e for e in count(model, empty(T, N, C)).entries if e.macs)
    assert (entry.kind, entry.operator, entry.layer) == ("rnn", f"rnn_{nonlinearity}", "RNN")
    assert entry.weight == H * (C + H)
    assert entry.bias == 2 * H
    assert entry.outputs == ((T, N, H), (1, N, H))


def test_an_entry_of_an_lstm_says_what_goes_in_and_comes_out():
    model = nn.LSTM(C, H, 2, bidirectional=True, proj_size=P)
    (entry,) = (e for e in count(model, empty(T, N, C)).entries if e.macs)
    assert entry.outputs == ((T, N, 2 * P), (4, N, P), (4, N, H))
    assert entry.weight + entry.bias == sum(p.numel() for p in model.parameters())
    assert entry.inputs[0] == (T, N, C)


@pytest.mark.parametrize("shape", [(5,), (N, 5), (N, 3, 5)], ids=str)
def test_looking_up_is_free_and_its_parameters_are_counted(shape):
    tokens = torch.zeros(shape, dtype=torch.long)
    for way, tally in every_way(nn.Embedding(10, C), tokens).items():
        (entry,) = tally.entries
        assert (entry.kind, entry.operator, entry.macs) == ("embedding", "embedding", 0), way
        assert entry.outputs == ((*shape, C),), way
        assert tally.params == entry.weight == 10 * C, way


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_words_are_free_and_their_parameters_are_counted(mode):
    tokens, starts = torch.zeros(6, dtype=torch.long), torch.tensor([0, 2])
    for given in ((tokens, starts), (tokens.reshape(2, 3),)):
        for way, tally in every_way(nn.EmbeddingBag(10, C, mode=mode), *given).items():
            assert tally.by_kind()["embedding"].params == tally.params == 10 * C, way
            assert (tally.macs, tally.coverage) == (0, 1), way
            assert (2, C) in [out for entry in tally.entries for out in entry.outputs], way


def test_a_language_model_is_its_lookup_its_steps_and_its_head():
    def model(m: Any, tokens: Any) -> Any:
        return m.head(m.net(m.words(tokens))[0])

    parts = {"words": nn.Embedding(10, C), "net": nn.GRU(C, H), "head": nn.Linear(H, 10)}
    found = macs(Wired(model, **parts), torch.zeros(T, N, dtype=torch.long))
    assert found == T * N * step(3) + T * N * H * 10
