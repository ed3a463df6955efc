from __future__ import annotations

import operator
from math import prod
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from flopcount.counters.operator_kinds import FREE_OPERATORS, KIND
from flopcount.counters.trace import count
from flopcount.entries import PRODUCTS
from tests.flopcount.counters.trace.ways import empty, every_way, macs

RANKS = pytest.mark.parametrize("axes", [1, 2, 3])
SIZES = (5, 6, 7)


def built(kind: str, axes: int, *options: Any, **named: Any) -> nn.Module:
    return getattr(nn, f"{kind}{axes}d")(*options, **named)


def test_a_same_padding_is_no_reason_to_count_nothing():
    model = nn.Conv2d(3, 4, 3, padding="same")
    assert macs(model, empty(2, 3, 8, 8)) == 2 * 4 * (8 * 8) * 3 * (3 * 3) == 13824


def test_a_convolution_that_is_a_function_costs_what_the_module_costs():
    def run(x: Any, weight: Any) -> Any:
        return functional.conv2d(x, weight, padding=1)

    assert macs(run, empty(2, 3, 8, 8), empty(4, 3, 3, 3)) == 2 * 4 * (8 * 8) * 3 * (3 * 3) == 13824


def test_a_transposed_convolution_costs_a_filter_for_each_input():
    found = macs(nn.ConvTranspose2d(3, 2, 2, 2), empty(2, 3, 8, 8))
    assert found == (2 * 3 * 8 * 8) * 2 * (2 * 2) == 3072


def test_a_transposed_convolution_of_groups_spreads_into_its_own_alone():
    found = macs(nn.ConvTranspose2d(4, 6, 2, 2, groups=2), empty(2, 4, 8, 8))
    assert found == (2 * 4 * 8 * 8) * (6 // 2) * (2 * 2) == 6144


@RANKS
@pytest.mark.parametrize("batch", [(), (2,)], ids=["unbatched", "batched"])
@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
def test_what_a_convolution_is_padded_with_costs_nothing(axes, batch, mode):
    model = built("Conv", axes, 4, 6, 3, padding=1, groups=2, padding_mode=mode)
    sites = prod(SIZES[:axes])
    found = macs(model, empty(*batch, 4, *SIZES[:axes]))
    assert found == prod(batch) * 6 * sites * (4 // 2) * 3**axes


@RANKS
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_dilated_and_strided_convolution_costs_a_filter_for_each_output(axes, groups):
    # 5, 6 and 7 are followed by 2, 2 and 3: (s + 2 * 2 - 2 * (3 - 1) - 1) // 2 + 1
    model = built("Conv", axes, 4, 8, 3, stride=2, padding=2, dilation=2, groups=groups)
    sites = prod((3, 3, 4)[:axes])
    found = macs(model, empty(2, 4, *SIZES[:axes]))
    assert found == 2 * 8 * sites * (4 // groups) * 3**axes


@RANKS
@pytest.mark.parametrize("batch", [(), (2,)], ids=["unbatched", "batched"])
@pytest.mark.parametrize("groups", [1, 2])
def test_options_of_a_transposed_convolution_do_not_change_its_cost(axes, batch, groups):
    x = empty(*batch, 4, *SIZES[:axes])
    expected = prod(x.shape) * (6 // groups) * 3**axes
    for options in (
        {},
        {"stride": 2},
        {"stride": 3, "padding": 1, "output_padding": 2},
        {"dilation": 2, "bias": False},
    ):
        model = built("ConvTranspose", axes, 4, 6, 3, groups=groups, **options)
        assert macs(model, x) == expected, options


@pytest.mark.parametrize("rows", [(), (3,), (2, 6), (2, 3, 4)], ids=str)
def test_a_linear_map_counts_every_row_of_any_rank(rows):
    assert macs(nn.Linear(8, 5), empty(*rows, 8)) == prod(rows) * 8 * 5


def test_a_linear_map_over_a_sequence_counts_each_of_its_places():
    assert macs(nn.Linear(8, 5), empty(2, 6, 8)) == 2 * 6 * 8 * 5 == 480


@pytest.mark.parametrize(
    "run",
    [operator.matmul, torch.matmul, torch.Tensor.matmul, torch.linalg.matmul],
    ids=("operator", "torch", "Tensor", "linalg"),
)
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((2, 6, 8), (8, 6), 2 * 6 * 8 * 6),
        ((3, 6), (2, 6, 8), 2 * 3 * 6 * 8),
        ((6, 8), (8, 5), 6 * 8 * 5),
        ((2, 1, 6, 8), (3, 8, 5), 2 * 3 * 6 * 8 * 5),
        ((6, 8), (8,), 6 * 8),
        ((2, 6, 8), (8,), 2 * 6 * 8),
        ((8,), (8, 5), 8 * 5),
        ((8,), (2, 8, 5), 2 * 8 * 5),
        ((8,), (8,), 8),
    ],
)
def test_a_product_of_any_two_tensors_is_counted_however_it_is_written(run, a, b, expected):
    assert macs(run, empty(*a), empty(*b)) == expected


@pytest.mark.parametrize(
    ("run", "shapes", "expected"),
    [
        (torch.mm, ((6, 8), (8, 5)), 6 * 8 * 5),
        (torch.Tensor.mm, ((6, 8), (8, 5)), 6 * 8 * 5),
        (torch.bmm, ((2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        (torch.mv, ((6, 8), (8,)), 6 * 8),
        (torch.dot, ((8,), (8,)), 8),
        (torch.vdot, ((8,), (8,)), 8),
        (torch.inner, ((6, 8), (5, 8)), 6 * 8 * 5),
        (torch.inner, ((2, 6, 8), (5, 8)), 2 * 6 * 8 * 5),
        (torch.inner, ((8,), (8,)), 8),
        (torch.outer, ((6,), (8,)), 0),
        (torch.linalg.vecdot, ((6, 8), (6, 8)), 6 * 8),
        (torch.linalg.vecdot, ((8,), (6, 8)), 6 * 8),
        (torch.addmm, ((6, 5), (6, 8), (8, 5)), 6 * 8 * 5),
        (torch.addmm, ((5,), (6, 8), (8, 5)), 6 * 8 * 5),
        (torch.Tensor.addmm_, ((6, 5), (6, 8), (8, 5)), 6 * 8 * 5),
        (torch.addmv, ((6,), (6, 8), (8,)), 6 * 8),
        (torch.addr, ((6, 8), (6,), (8,)), 0),
        (torch.baddbmm, ((2, 6, 5), (2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        (torch.Tensor.baddbmm_, ((2, 6, 5), (2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        (torch.addbmm, ((6, 5), (2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        (torch.Tensor.addbmm_, ((6, 5), (2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        (torch.tensordot, ((3, 6, 8), (6, 8, 5)), 3 * (6 * 8) * 5),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_product_of_two_that_torch_has_a_name_for_is_counted(run, shapes, expected):
    assert macs(run, *(empty(*shape) for shape in shapes)) == expected


def test_the_axes_of_a_tensor_product_may_be_named():
    def run(a: Any, b: Any) -> Any:
        return torch.tensordot(a, b, dims=([0, 2], [1, 0]))

    assert macs(run, empty(3, 6, 8), empty(8, 3, 5)) == 6 * (3 * 8) * 5


def test_a_product_may_be_scaled_and_written_where_one_says():
    def run(a: Any, b: Any, c: Any) -> Any:
        torch.mm(b, c, out=torch.empty(6, 5))
        return torch.addmm(a, b, c, beta=2, alpha=3)

    assert macs(run, empty(6, 5), empty(6, 8), empty(8, 5)) == 2 * (6 * 8 * 5)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (((10, 100), (100, 5), (5, 50)), 10 * 100 * 5 + 10 * 5 * 50),
        (((50, 5), (5, 100), (100, 10)), 5 * 100 * 10 + 50 * 5 * 10),
        (((100,), (100, 5), (5, 50), (50,)), 100 * 5 + 5 * 50 + 5),
        (((6, 8), (8, 5)), 6 * 8 * 5),
    ],
)
def test_a_chain_of_products_costs_what_its_best_order_costs(shapes, expected):
    def run(*matrices: Any) -> Any:
        return torch.linalg.multi_dot(matrices)

    assert macs(run, *(empty(*shape) for shape in shapes)) == expected


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
def test_a_chain_has_an_older_name():
    shapes = ((10, 100), (100, 5), (5, 50))
    found = macs(torch.chain_matmul, *(empty(*shape) for shape in shapes))
    assert found == 10 * 100 * 5 + 10 * 5 * 50


@pytest.mark.parametrize(("power", "products"), [(2, 1), (3, 2), (4, 2), (8, 3)])
def test_a_power_of_a_matrix_is_its_products(power, products):
    def run(x: Any) -> Any:
        return torch.linalg.matrix_power(x, power)

    assert macs(run, empty(4, 4)) == products * 4 * 4 * 4


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        ("bik,kj->bij", ((2, 6, 8), (8, 6)), 2 * 6 * 8 * 6),
        ("ik,kj", ((6, 8), (8, 5)), 6 * 8 * 5),
        ("b i k, b k j -> b i j", ((2, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        ("...ik,...kj->...ij", ((3, 1, 6, 8), (2, 8, 5)), 3 * 2 * 6 * 8 * 5),
        ("bik,bkj->bij", ((1, 6, 8), (2, 8, 5)), 2 * 6 * 8 * 5),
        ("bhqd,bhkd->bhqk", ((2, 3, 4, 5), (2, 3, 6, 5)), 2 * 3 * 4 * 5 * 6),
        ("nchw,cd->ndhw", ((2, 3, 4, 5), (3, 6)), (2 * 4 * 5) * 3 * 6),
        ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5)), 2 * 3 * 4 + 2 * 4 * 5),
        ("bn,anm,bm->ba", ((2, 5), (3, 5, 6), (2, 6)), 2 * 5 * 3 * 6 + 2 * 3 * 6),
        ("ikx,kj->ij", ((2, 3, 7), (3, 4)), 2 * 3 * 4),
        ("i,i->", ((5,), (5,)), 5),
        ("ij,j->i", ((4, 3), (3,)), 4 * 3),
        ("ij,ij->", ((4, 3), (4, 3)), 4 * 3),
        ("ii,ij->j", ((4, 4), (4, 3)), 4 * 3),
        ("iij,jk->ik", ((4, 4, 3), (3, 5)), 4 * 3 * 5),
        ("ii->", ((4, 4),), 0),
        ("ii->i", ((4, 4),), 0),
        ("ij->ji", ((4, 3),), 0),
        ("ij->", ((4, 3),), 0),
        ("i,j->ij", ((6,), (8,)), 0),
        ("ij,ij->ij", ((4, 3), (4, 3)), 0),
    ],
)
def test_an_einsum_is_its_products_two_at_a_time(equation, shapes, expected):
    def run(*inputs: Any) -> Any:
        return torch.einsum(equation, *inputs)

    assert macs(run, *(empty(*shape) for shape in shapes)) == expected


def test_an_einsum_may_number_its_axes_instead():
    def run(a: Any, b: Any) -> Any:
        return torch.einsum(a, [0, 1], b, [1, 2], [0, 2])

    assert macs(run, empty(6, 8), empty(8, 5)) == 6 * 8 * 5


@pytest.mark.parametrize("rows", [(), (3,), (2, 3)], ids=str)
def test_a_bilinear_map_contracts_twice(rows):
    model = nn.Bilinear(4, 5, 6)
    found = macs(model, empty(*rows, 4), empty(*rows, 5))
    assert found == prod(rows) * 6 * (4 * 5 + 5)


def test_a_product_with_a_learned_matrix_is_a_linear_map_and_any_other_is_not():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = nn.Parameter(empty(8, 5))

        def forward(self, x: Any) -> Any:
            y = x @ self.own
            return y.transpose(-2, -1) @ y

    for way, tally in every_way(Model(), empty(2, 6, 8)).items():
        linear, matmul = (entry for entry in tally.entries if entry.macs)
        assert (linear.kind, linear.macs, linear.weight) == ("linear", 2 * 6 * 8 * 5, 8 * 5), way
        assert (matmul.kind, matmul.macs, matmul.weight) == ("matmul", 2 * 5 * 6 * 5, 0), way


def test_a_shared_module_is_counted_once_for_each_call_under_its_first_name():
    # 8 -> 8 features for one sample, reached by two parents and run by both
    shared = nn.Linear(8, 8)
    model = nn.ModuleDict({"a": nn.Sequential(shared), "b": nn.Sequential(shared)})

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = model

        def forward(self, x: Any) -> Any:
            return self.parts["b"](self.parts["a"](x))

    for way, tally in every_way(Model(), empty(2, 8)).items():
        assert tally.macs == 2 * (2 * 8 * 8) == 256, way
        assert set(tally.by_path()) == {"parts.a.0"}, way
        assert tally.params == 8 * 8 + 8, way


@RANKS
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_a_convolution_that_learns_its_width_from_its_input_is_one_of_that_width(axes, kind):
    model, x = built(f"Lazy{kind}", axes, 6, 3, padding=1), empty(2, 4, *SIZES[:axes])
    known = count(built(kind, axes, 4, 6, 3, padding=1), x)
    for options in ({}, {"checked": True}, {"execution": "real"}):
        found = count(model, x, **options)
        assert (found.macs, found.params) == (known.macs, known.params), options
    assert known.macs == 2 * 6 * prod(SIZES[:axes]) * 4 * 3**axes
    assert model.has_uninitialized_params()


@pytest.mark.parametrize(
    ("targets", "rare"), [((1, 2), 0), ((1, 5), 8 * 4 + 4 * 3), ((5, 9), 44 + 8 * 2 + 2 * 3)]
)
def test_rare_classes_cost_only_where_they_are_asked_for(targets, rare):
    # 4 frequent classes and two clusters of 3, behind 4 and behind 2 features
    model = nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4, 7], div_value=2.0)
    assert macs(model, empty(2, 8), torch.tensor(targets)) == 2 * 8 * (4 + 2) + rare
    everything = 2 * (8 * (4 + 2) + (8 * 4 + 4 * 3) + (8 * 2 + 2 * 3))
    assert macs(model.log_prob, empty(2, 8)) == everything


@pytest.mark.skipif(not hasattr(nn, "LinearCrossEntropyLoss"), reason="newer than this torch")
def test_a_loss_that_maps_first_costs_the_map():
    found = macs(nn.LinearCrossEntropyLoss(8, 5), empty(3, 8), torch.tensor([1, 2, 3]))
    assert found == 3 * 8 * 5


@pytest.mark.parametrize("options", [{}, {"checked": True}, {"execution": "real"}], ids=str)
def test_a_product_of_values_that_are_known_is_counted_like_any_other(options):
    known = torch.arange(64, dtype=torch.int32).reshape(8, 8)
    for run in (lambda x: x @ x, lambda x: torch.einsum("ij,jk->ik", x, x)):
        assert count(run, known, **options).macs == 8 * 8 * 8


KINDS = {
    "conv1d": (functional.conv1d, (2, 3, 5), (4, 3, 3)),
    "conv_transpose2d": (functional.conv_transpose2d, (2, 3, 5, 5), (3, 4, 3, 3)),
    "linear": (functional.linear, (2, 3), (4, 3)),
    "bilinear": (functional.bilinear, (2, 3), (2, 5), (4, 3, 5)),
    "matmul": (torch.matmul, (2, 3), (3, 4)),
    "addmv": (torch.addmv, (2,), (2, 3), (3,)),
    "scaled_dot_product_attention": (functional.scaled_dot_product_attention, *[(2, 4, 3)] * 3),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_a_product_is_what_the_list_of_kinds_says(name):
    run, *shapes = KINDS[name]
    for way, tally in every_way(run, *(empty(*shape) for shape in shapes)).items():
        (entry,) = tally.entries
        assert (entry.operator, entry.kind) == (name, KIND[name]), way
        assert entry.kind in PRODUCTS, way


def test_no_operator_is_both_free_and_a_product_and_every_kind_is_one_that_there_is():
    products = {name: kind for name, kind in KIND.items() if name not in FREE_OPERATORS}
    assert set(products.values()) <= PRODUCTS
    assert {**FREE_OPERATORS, **products} == KIND
    assert not PRODUCTS & set(FREE_OPERATORS.values())


COMPLEX = {
    "conv1d": (functional.conv1d, (2, 3, 8), (4, 3, 3), 2 * 4 * 6 * 3 * 3),
    "conv2d": (functional.conv2d, (2, 3, 8, 8), (4, 3, 3, 3), 2 * 4 * 6 * 6 * 3 * 9),
    "conv_transpose2d": (
        functional.conv_transpose2d,
        (2, 3, 8, 8),
        (3, 4, 3, 3),
        2 * 3 * 8 * 8 * 4 * 9,
    ),
    "linear": (functional.linear, (2, 3), (4, 3), 2 * 3 * 4),
    "matmul": (torch.matmul, (2, 3), (3, 4), 2 * 3 * 4),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_a_product_of_complex_numbers_is_one_however_torch_makes_it(name):
    run, x, w, expected = COMPLEX[name]
    given = [torch.zeros(shape, dtype=torch.complex64) for shape in (x, w)]
    assert macs(run, *given) == macs(run, empty(*x), empty(*w)) == expected


@pytest.mark.parametrize("options", [{}, {"checked": True}, {"execution": "real"}], ids=str)
@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
def test_gradients_of_complex_numbers_flow_as_those_of_others_do(options):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 1)).to(torch.complex64)
    x = torch.zeros(2, 3, 8, 8, dtype=torch.complex64)
    first, second = 2 * 4 * 6 * 6 * 3 * 9, 2 * 6 * 6 * 4
    tally = count(model, x, backward=True, **options)
    assert tally.macs == 2 * first + 3 * second
