from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from flopcount.counters.trace import count
from tests.flopcount.counters.trace.ways import Wired, empty, on_meta


def step(model: Any, *inputs: Any) -> int:
    """Multiply-adds of a training step as torch counts them: two FLOPs each."""
    own = copy.deepcopy(model) if isinstance(model, nn.Module) else model
    given = [x.clone().requires_grad_(x.requires_grad) for x in inputs]
    with FlopCounterMode(display=False) as counter:
        out = own(*given)
        while not isinstance(out, Tensor):
            out = out[0]
        if out.requires_grad:
            out.sum().backward()
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


def trained(model: Any, *inputs: Any) -> int:
    """The same by every way to count it here, with nothing left out."""
    bare = [x.requires_grad_(y.requires_grad) for x, y in zip(on_meta(inputs), inputs, strict=True)]
    shell = copy.deepcopy(model).to("meta") if isinstance(model, nn.Module) else model
    found = {
        "cpu": count(model, *inputs, backward=True),
        "meta": count(shell, *bare, backward=True),
        "checked": count(model, *inputs, backward=True, checked=True),
        "real": count(model, *inputs, backward=True, execution="real"),
    }
    assert {way: tally.uncounted for way, tally in found.items()} == {way: {} for way in found}
    figures = {way: tally.macs for way, tally in found.items()}
    assert len(set(figures.values())) == 1, figures
    return found["cpu"].macs


def asking(*shape: int) -> Tensor:
    return empty(*shape).requires_grad_()


def dense_nets() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    conv, norm, relu = nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
    return {
        "conv": (nn.Conv2d(3, 6, 3), (2, 3, 8, 8)),
        "linear": (nn.Linear(8, 5), (2, 6, 8)),
        "perceptron": (nn.Sequential(nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 5)), (3, 8)),
        "classifier": (nn.Sequential(conv, norm, relu, nn.Conv2d(6, 6, 3), *head), (2, 3, 8, 8)),
        "transposed": (nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2)), (2, 3, 8, 8)),
        "sequence": (nn.Sequential(nn.Conv1d(3, 6, 3), nn.GELU(), nn.Conv1d(6, 4, 1)), (2, 3, 9)),
        "volume": (
            nn.Sequential(nn.Conv3d(2, 3, 2), nn.Dropout(), nn.Conv3d(3, 2, 2)),
            (1, 2, 4, 4, 4),
        ),
    }


NETS = dense_nets()


@pytest.mark.parametrize("asks", [False, True], ids=["", "input asks"])
@pytest.mark.parametrize("name", NETS)
def test_a_training_step_of_a_dense_net_costs_what_torch_counts(name, asks):
    model, shape = NETS[name]
    x = empty(*shape).requires_grad_(asks)
    assert trained(model, x) == step(model, x)


def test_the_first_layer_costs_twice_and_every_other_three_times_its_forward_pass():
    model = nn.Sequential(nn.Linear(8, 7), nn.Linear(7, 5), nn.Linear(5, 4))
    first, others = 3 * 8 * 7, 3 * 7 * 5 + 3 * 5 * 4
    assert trained(model, empty(3, 8)) == 2 * first + 3 * others
    assert trained(model, asking(3, 8)) == 3 * first + 3 * others


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("net", [nn.Conv2d, nn.ConvTranspose2d])
def test_the_gradients_of_a_grouped_convolution_cost_twice_its_forward_pass(net, groups):
    # torch's own counter charges the gradient of the weight as if there were no groups
    model = net(4, 4, 3, padding=1, groups=groups)
    forward = 2 * 4 * (8 * 8) * (4 // groups) * 9
    assert trained(model, empty(2, 4, 8, 8)) == 2 * forward
    assert trained(model, asking(2, 4, 8, 8)) == 3 * forward
    assert (step(model, asking(2, 4, 8, 8)) == 3 * forward) == (groups == 1)


def test_a_frozen_weight_costs_no_gradient_but_hands_one_on():
    model = nn.Sequential(nn.Linear(8, 7), nn.Linear(7, 5), nn.Linear(5, 4))
    for parameter in model[1].parameters():
        parameter.requires_grad_(False)
    a, b, c = 3 * 8 * 7, 3 * 7 * 5, 3 * 5 * 4
    assert trained(model, empty(3, 8)) == step(model, empty(3, 8)) == 2 * a + 2 * b + 3 * c


def test_no_gradient_flows_below_the_first_weight_that_learns():
    model = nn.Sequential(nn.Linear(8, 7), nn.Linear(7, 5), nn.Linear(5, 4))
    for parameter in model[:2].parameters():
        parameter.requires_grad_(False)
    a, b, c = 3 * 8 * 7, 3 * 7 * 5, 3 * 5 * 4
    assert trained(model, empty(3, 8)) == step(model, empty(3, 8)) == a + b + 2 * c


def test_a_frozen_net_costs_its_forward_pass():
    model = nn.Sequential(nn.Linear(8, 7), nn.Linear(7, 5)).requires_grad_(False)
    assert trained(model, empty(3, 8)) == 3 * 8 * 7 + 3 * 7 * 5


def test_a_bias_that_learns_alone_costs_no_product_of_its_own():
    model = nn.Linear(8, 7)
    model.weight.requires_grad_(False)
    assert trained(model, empty(3, 8)) == step(model, empty(3, 8)) == 3 * 8 * 7


@pytest.mark.parametrize("how", ["detach", "data", "no_grad", "detach_"])
def test_nothing_flows_back_past_where_a_tensor_is_cut_off(how):
    def run(m: Any, x: Any) -> Any:
        if how == "no_grad":
            with torch.no_grad():
                y = m.a(x)
        else:
            y = m.a(x)
            y = y.data if how == "data" else getattr(y, how)()
        return m.b(y)

    model = Wired(run, a=nn.Linear(8, 7), b=nn.Linear(7, 5))
    found = trained(model, empty(3, 8))
    assert found == step(model, empty(3, 8)) == 3 * 8 * 7 + 2 * (3 * 7 * 5)


def test_a_function_without_gradients_may_be_declared_so():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 7), nn.Linear(7, 5)

        @torch.no_grad()
        def features(self, x: Tensor) -> Tensor:
            return self.a(x)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.features(x))

    assert trained(Model(), empty(3, 8)) == 3 * 8 * 7 + 2 * (3 * 7 * 5)


def test_gradients_may_be_switched_on_again_inside():
    def run(m: Any, x: Any) -> Any:
        with torch.no_grad():
            y = m.a(x)
            with torch.enable_grad():
                return m.b(y)

    model = Wired(run, a=nn.Linear(8, 7), b=nn.Linear(7, 5))
    assert trained(model, empty(3, 8)) == step(model, empty(3, 8)) == 3 * 8 * 7 + 2 * 3 * 7 * 5


def test_a_branch_whose_output_nobody_uses_has_no_gradient():
    def run(m: Any, x: Any) -> Any:
        m.unused(x)
        return m.used(x)

    model = Wired(run, unused=nn.Linear(8, 7), used=nn.Linear(8, 5))
    found = trained(model, empty(3, 8))
    assert found == step(model, empty(3, 8)) == 3 * 8 * 7 + 2 * (3 * 8 * 5)


def test_branches_that_come_together_each_have_their_gradients():
    def run(m: Any, x: Any) -> Any:
        y = m.stem(x)
        return torch.cat([m.a(y) + y, m.b(y) * y], 1)

    model = Wired(run, stem=nn.Linear(8, 7), a=nn.Linear(7, 7), b=nn.Linear(7, 7))
    found = trained(model, empty(3, 8))
    assert found == step(model, empty(3, 8)) == 2 * (3 * 8 * 7) + 2 * 3 * (3 * 7 * 7)


def test_a_weight_that_is_used_twice_has_a_gradient_of_each_use():
    def run(m: Any, x: Any) -> Any:
        return m.a(m.a(x))

    model = Wired(run, a=nn.Linear(8, 8))
    assert trained(model, empty(3, 8)) == step(model, empty(3, 8)) == (2 + 3) * (3 * 8 * 8)


@pytest.mark.parametrize(
    ("run", "shapes", "macs"),
    [
        (torch.matmul, ((2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        (torch.mm, ((6, 8), (8, 5)), 6 * 8 * 5),
        (torch.bmm, ((2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        (torch.inner, ((6, 8), (5, 8)), 6 * 8 * 5),
        (torch.tensordot, ((3, 6, 8), (6, 8, 5)), 3 * 6 * 8 * 5),
        (lambda a, b: torch.einsum("bik,bkj->bij", a, b), ((2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        (torch.linalg.vecdot, ((6, 8), (6, 8)), 6 * 8),
        (torch.mv, ((6, 8), (8,)), 6 * 8),
        (torch.dot, ((8,), (8,)), 8),
    ],
)
@pytest.mark.parametrize("asks", [(True, True), (True, False), (False, True), (False, False)])
def test_each_side_of_a_product_that_asks_costs_the_product_once_more(run, shapes, macs, asks):
    inputs = [empty(*s).requires_grad_(ask) for s, ask in zip(shapes, asks, strict=True)]
    assert trained(run, *inputs) == (1 + sum(asks)) * macs


@pytest.mark.parametrize(
    ("run", "shapes", "macs"),
    [
        (torch.addmm, ((6, 5), (6, 8), (8, 5)), 6 * 8 * 5),
        (torch.baddbmm, ((2, 6, 5), (2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        (torch.addbmm, ((6, 5), (2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        (torch.addmv, ((6,), (6, 8), (8,)), 6 * 8),
        (lambda a, b, c: (a * 1).addmm_(b, c), ((6, 5), (6, 8), (8, 5)), 6 * 8 * 5),
    ],
)
@pytest.mark.parametrize(
    ("asks", "products"),
    [((1, 0, 0), 0), ((0, 1, 0), 1), ((0, 0, 1), 1), ((1, 1, 1), 2), ((0, 0, 0), 0)],
)
def test_a_tensor_that_is_only_added_costs_nothing_on_the_way_back(
    run, shapes, macs, asks, products
):
    inputs = [empty(*s).requires_grad_(bool(ask)) for s, ask in zip(shapes, asks, strict=True)]
    assert trained(run, *inputs) == (1 + products) * macs


def test_attention_has_four_products_on_the_way_back():
    def written_out(q: Any, k: Any, v: Any) -> Any:
        return (q @ k.transpose(-2, -1)).softmax(-1) @ v

    q, k, v = asking(2, 3, 6, 5), asking(2, 3, 4, 5), asking(2, 3, 4, 7)
    scores, values = 2 * 3 * 6 * 4 * 5, 2 * 3 * 6 * 4 * 7
    found = trained(functional.scaled_dot_product_attention, q, k, v)
    assert found == trained(written_out, q, k, v) == step(written_out, q, k, v)
    assert found == 3 * (scores + values)


@pytest.mark.parametrize("asks", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1)])
def test_attention_costs_on_the_way_back_what_its_two_products_cost(asks):
    def written_out(q: Any, k: Any, v: Any) -> Any:
        return (q @ k.transpose(-2, -1)).softmax(-1) @ v

    shapes = ((2, 3, 6, 5), (2, 3, 4, 5), (2, 3, 4, 7))
    given = [empty(*s).requires_grad_(bool(ask)) for s, ask in zip(shapes, asks, strict=True)]
    found = trained(functional.scaled_dot_product_attention, *given)
    assert found == trained(written_out, *given) == step(written_out, *given)


def test_multi_head_attention_costs_three_times_its_forward_pass_where_its_input_asks():
    model = nn.MultiheadAttention(8, 2, batch_first=True)

    def run(m: Any, x: Any) -> Any:
        return m.own(x, x, x, need_weights=False)[0]

    maps, products = 4 * (2 * 6 * 8 * 8), 2 * (2 * 6 * 6 * 8)
    assert trained(Wired(run, own=model), asking(2, 6, 8)) == 3 * (maps + products)
    # without, the three maps in need no gradient of their input
    three = 3 * (2 * 6 * 8 * 8)
    assert trained(Wired(run, own=model), empty(2, 6, 8)) == 3 * (maps + products) - three


@pytest.mark.parametrize("part", ["TransformerEncoderLayer", "TransformerDecoderLayer"])
def test_a_layer_of_a_transformer_costs_three_times_its_forward_pass(part):
    model = getattr(nn, part)(8, 2, 12, batch_first=True)
    inputs = (asking(2, 6, 8),) * (1 if "Encoder" in part else 2)
    assert trained(model, *inputs) == 3 * count(model, *inputs).macs


@pytest.mark.parametrize("asks", [False, True], ids=["", "input asks"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
@pytest.mark.parametrize("net", [nn.RNN, nn.LSTM, nn.GRU], ids=lambda net: net.__name__)
def test_a_step_of_a_recurrent_net_costs_what_torch_counts(net, options, asks):
    # torch sees the products of doubles alone: a net of floats is one operator of oneDNN's
    model, x = net(4, 5, **options), empty(6, 2, 4).requires_grad_(asks)
    assert trained(model, x) == step(model.double(), x.detach().double().requires_grad_(asks))


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_projected_recurrent_net_costs_what_torch_counts():
    model, x = nn.LSTM(4, 5, 2, proj_size=3), empty(6, 2, 4)
    assert trained(model, x) == step(model.double(), x.double())


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.LSTMCell, nn.GRUCell], ids=lambda c: c.__name__)
def test_a_cell_costs_what_torch_counts(cell):
    def run(m: Any, x: Any) -> Any:
        state = None
        for row in x:
            state = m.own(row, state)
        return state

    model, x = Wired(run, own=cell(4, 5)), empty(3, 2, 4)
    assert trained(model, x) == step(model, x)


@pytest.mark.parametrize("asks", [(False, False), (True, False), (False, True), (True, True)])
def test_every_gradient_of_a_bilinear_map_is_two_contractions(asks):
    model = nn.Bilinear(3, 4, 5)
    n, o, i, j = 2, 5, 3, 4
    x, y = empty(n, i).requires_grad_(asks[0]), empty(n, j).requires_grad_(asks[1])
    forward = n * o * (i * j + j)
    of_weight = n * o * (i * j + i)
    of_x, of_y = n * o * (i * j + i), n * o * (i * j + j)
    assert trained(model, x, y) == forward + of_weight + asks[0] * of_x + asks[1] * of_y


def test_what_was_looked_up_has_a_gradient_that_is_no_product():
    model = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 5))
    tokens = torch.zeros(2, 6, dtype=torch.long)
    # the map's input is trainable, so that it has both its gradients
    assert trained(model, tokens) == step(model, tokens) == 3 * (2 * 6 * 8 * 5)
    model[0].requires_grad_(False)
    assert trained(model, tokens) == step(model, tokens) == 2 * (2 * 6 * 8 * 5)


def test_every_gradient_is_an_entry_that_says_what_it_is():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3))
    tally = count(model, empty(2, 3, 8, 8), backward=True)
    back = [entry for entry in tally.entries if entry.kind == "conv_backward"]
    assert [(entry.path, entry.operator, entry.layer) for entry in back] == [
        ("2", "conv2d_backward", "Conv2d"),
        ("2", "conv2d_backward", "Conv2d"),
        ("0", "conv2d_backward", "Conv2d"),
    ]
    assert sorted(entry.outputs[0] for entry in back) == sorted(
        [(2, 4, 6, 6), (5, 4, 3, 3), (4, 3, 3, 3)]
    )
    assert tally.params == (4 * 3 * 9 + 4) + (5 * 4 * 9 + 5)


def test_a_loss_may_be_part_of_the_step():
    def run(m: Any, x: Any, y: Any) -> Any:
        return functional.cross_entropy(m.own(x), y)

    model, y = Wired(run, own=nn.Linear(8, 5)), torch.zeros(3, dtype=torch.long)
    assert trained(model, empty(3, 8), y) == step(model, empty(3, 8), y) == 2 * (3 * 8 * 5)


def test_counting_a_step_leaves_no_gradient_and_no_statistics_behind():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).eval()
    before = copy.deepcopy(model.state_dict())
    for options in ({}, {"checked": True}, {"execution": "real"}):
        count(model, asking(2, 3, 8, 8), backward=True, **options)
        assert not any(p.grad is not None for p in model.parameters())
        assert not any(module.training for module in model.modules())
        after = model.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_what_is_seen_from_below_alone_multiplies_the_same_two_on_the_way_back():
    # scripted, a linear map is a product to which its bias is added
    plain = nn.Sequential(nn.Linear(8, 7), nn.Linear(7, 5))
    first, second = 3 * 8 * 7, 3 * 7 * 5
    scripted = count(torch.jit.script(plain), empty(3, 8), backward=True)
    assert scripted.macs == trained(plain, empty(3, 8)) == 2 * first + 3 * second
    back = [e.outputs[0] for e in scripted.entries if e.kind == "linear_backward"]
    assert back == [(3, 7), (7, 5), (8, 7)]


class Written(nn.Module):
    """Writes products into a larger tensor, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        out = x.new_zeros(3, 2, 4)
        for i in range(3):
            out[i] = self.fc(x)
        return out


@pytest.mark.parametrize("options", [{}, {"checked": True}, {"execution": "real"}], ids=str)
def test_a_gradient_flows_through_what_is_written_into_another_tensor(options):
    found = count(Written(), torch.ones(2, 4), backward=True, **options)
    assert found.macs == 2 * 3 * (2 * 4 * 4)


def test_a_tensor_made_like_another_leads_no_gradient_back():
    fc = nn.Linear(4, 4)
    found = count(lambda x: fc(torch.zeros_like(fc(x))), torch.ones(2, 4), backward=True)
    assert found.macs == 2 * (2 * 4 * 4) + 2 * 4 * 4
