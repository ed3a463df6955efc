"""Products with learned matrices: what they read, on the way there and on the way back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from flopcount.counters.trace import count
from flopcount.tally import Tally

ROWS, INS, OUTS = 6, 5, 4


class Learned(nn.Module):
    """A matrix and a vector of its own, handed to a function."""

    def __init__(self, function) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.zeros(INS, OUTS))
        self.vector = nn.Parameter(torch.zeros(OUTS))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.matrix, self.vector)


def facts(tally: Tally) -> list[tuple[object, ...]]:
    """What every product is and learned; shapes without the ones that a batch of one brings."""
    return [
        (e.kind, [tuple(n for n in s if n != 1) for s in e.inputs], e.macs, e.weight, e.bias)
        for e in tally.entries
        if e.macs
    ]


#: Each is a linear map of x; and whether the operator itself adds the vector.
MAPS = {
    "linear": (lambda x, m, v: F.linear(x, m.t(), v), True),
    "addmm": (lambda x, m, v: torch.addmm(v, x, m), True),
    "at": (lambda x, m, v: x @ m + v, False),
    "matmul with a view": (lambda x, m, v: torch.matmul(x, m.t().t()) + v, False),
    "matmul with a detached one": (lambda x, m, v: x @ m.t().detach().t() + v, False),
    "mm": (lambda x, m, v: x.mm(m).add_(v), False),
    "bmm": (lambda x, m, v: torch.bmm(x[None], m[None])[0] + v, False),
    "einsum": (lambda x, m, v: torch.einsum("ni,ij->nj", x, m) + v, False),
}
PRODUCT = ROWS * INS * OUTS


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("options", [{}, {"checked": True}, {"execution": "real"}], ids=str)
def test_a_product_with_a_learned_matrix_or_a_view_of_it_is_a_linear_map(name, options):
    function, adds = MAPS[name]
    tally = count(Learned(function), torch.zeros(ROWS, INS), strict=True, **options)
    assert facts(tally) == [("linear", [(ROWS, INS)], PRODUCT, INS * OUTS, OUTS if adds else 0)]
    assert tally.uncalled_params == 0


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("checked", [False, True])
def test_so_it_is_on_the_way_back_where_what_was_added_is_not_read_again(name, checked):
    x = torch.zeros(ROWS, INS, requires_grad=True)
    _, *back = facts(count(Learned(MAPS[name][0]), x, backward=True, checked=checked))
    into = ("linear_backward", [(ROWS, OUTS)], PRODUCT, INS * OUTS, 0)
    own = ("linear_backward", [(ROWS, OUTS), (ROWS, INS)], PRODUCT, 0, 0)
    assert back == ([into] if "detached" in name else [into, own])


@pytest.mark.parametrize("checked", [False, True])
def test_a_product_to_which_something_learned_is_only_added_is_none(checked):
    def added(x: Tensor, _: Tensor, v: Tensor) -> Tensor:
        return torch.addmm(v, x, x.t()[:, :OUTS])

    tally = count(Learned(added), torch.zeros(ROWS, INS), checked=checked)
    assert facts(tally) == [("matmul", [(ROWS, INS), (INS, OUTS)], PRODUCT, 0, OUTS)]


EXPERTS, CHOSEN, WIDTH, INNER, TOKENS = 4, 2, 16, 24, 10
needs_groups = pytest.mark.skipif(not hasattr(F, "grouped_mm"), reason="this torch groups nothing")


class Experts(nn.Module):
    """Every token goes through the experts that a router chooses for it."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.up = nn.Parameter(torch.rand(EXPERTS, WIDTH, INNER))
        self.down = nn.Parameter(torch.rand(EXPERTS, INNER, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        chosen = self.router(x).topk(CHOSEN).indices.flatten()
        order = chosen.argsort()
        ends = (chosen[:, None] == torch.arange(EXPERTS)).sum(0).cumsum(0).to(torch.int32)
        rows = x.repeat_interleave(CHOSEN, 0)[order]
        inner = F.relu(F.grouped_mm(rows, self.up, offs=ends))
        out = F.grouped_mm(inner, self.down, offs=ends)
        return out[order.argsort()].view(TOKENS, CHOSEN, WIDTH).sum(1)


@needs_groups
@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (torch.float32, {}),
        (torch.float32, {"execution": "real"}),
        (torch.bfloat16, {}),
        # on the meta device torch groups no other
        (torch.bfloat16, {"checked": True}),
        (torch.bfloat16, {"execution": "real"}),
    ],
    ids=str,
)
def test_a_mixture_of_experts_costs_what_every_token_costs_in_those_it_goes_to(dtype, options):
    module = Experts().to(dtype)
    tally = count(module, torch.rand(TOKENS, WIDTH, dtype=dtype), strict=True, **options)
    routed = TOKENS * WIDTH * EXPERTS
    assert tally.macs == routed + TOKENS * CHOSEN * 2 * WIDTH * INNER
    assert [(e.kind, e.weight) for e in tally.entries if e.macs] == [
        ("linear", WIDTH * EXPERTS),
        ("linear", EXPERTS * WIDTH * INNER),
        ("linear", EXPERTS * INNER * WIDTH),
    ]
    assert tally.uncalled_params == 0


@needs_groups
@pytest.mark.parametrize(
    ("a", "b", "last", "out", "macs"),
    [
        ((10, 8), (3, 8, 16), (2, 6, 10), (10, 16), 10 * 8 * 16),
        ((3, 16, 8), (8, 24), (8, 16, 24), (16, 24), 16 * 8 * 24),
        ((8, 24), (24, 16), (8, 16, 24), (3, 8, 16), 8 * 24 * 16),
    ],
)
@pytest.mark.parametrize("options", [{}, {"checked": True}, {"execution": "real"}], ids=str)
def test_whatever_is_cut_in_groups_each_row_meets_the_columns_of_its_own(
    a, b, last, out, macs, options
):
    ends = torch.tensor(last, dtype=torch.int32)

    def grouped(x: Tensor, y: Tensor) -> Tensor:
        return F.grouped_mm(x, y, offs=ends)

    x, y = (torch.zeros(shape, dtype=torch.bfloat16) for shape in (a, b))
    entry = count(grouped, x, y, strict=True, **options).entries[-1]
    assert (entry.kind, entry.macs, entry.outputs) == ("matmul", macs, (out,))


def test_a_size_that_was_worked_out_of_numbers_is_one():
    def halved(x: Tensor) -> Tensor:
        half = torch.div(x.shape[0], 2, rounding_mode="trunc")
        return x.new_zeros((half - 1, x.shape[1])) @ x.t()

    for options in ({}, {"checked": True}, {"execution": "real"}):
        tally = count(halved, torch.zeros(8, 3), strict=True, **options)
        assert tally.macs == (8 // 2 - 1) * 3 * 8
