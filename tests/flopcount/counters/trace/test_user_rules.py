from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from threading import Barrier
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from flopcount.counters.trace import Rule, UncountedError, count
from tests.flopcount.counters.trace.ways import Wired, every_way

X = torch.eye(4).repeat(2, 1, 1)


@torch.library.custom_op("flopcount_tests::scaled", mutates_args=())
def scaled(x: Tensor, weight: Tensor) -> Tensor:
    return x * weight.sum()


@scaled.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    return torch.empty_like(x)


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (torch.linalg.inv, "aten::linalg_inv_ex"),
        (torch.fft.fft, "aten::_fft_r2c"),
        (torch.fft.rfft, "aten::_fft_r2c"),
        (torch.linalg.svdvals, "aten::_linalg_svd"),
        (torch.linalg.cholesky, "aten::linalg_cholesky_ex"),
        (lambda x: torch.linalg.solve(x, x), "aten::_linalg_solve_ex"),
        (lambda x: scaled(x, x), "flopcount_tests::scaled"),
        (lambda x: torch.ops.flopcount_tests.scaled(x, x), "flopcount_tests::scaled"),
    ],
)
def test_what_has_no_rule_is_reported_and_refused_where_one_is_strict(run, name):
    for way, tally in every_way(run, X).items():
        assert tally.uncounted == {name: 1}, way
        assert tally.coverage < 1, way
        (entry,) = (entry for entry in tally.entries if entry.kind == "uncounted")
        assert (entry.operator, entry.macs) == (name, 0), way
    with pytest.raises(UncountedError, match=name):
        count(run, X, strict=True)


def test_what_is_lost_is_counted_every_time_and_at_its_module():
    def run(m: Any, x: Any) -> Any:
        return m.b(m.a(m.map(x)))

    inverse = {name: Wired(lambda m, x: torch.linalg.inv(x)) for name in "ab"}
    tally = count(Wired(run, map=nn.Linear(4, 4), **inverse), X)
    assert tally.uncounted == {"aten::linalg_inv_ex": 2}
    lost = [entry.path for entry in tally.entries if entry.kind == "uncounted"]
    assert lost == ["a", "b"]
    assert tally.coverage == Fraction(3 - 2, 3)
    assert tally.under(["a"]).uncounted == {"aten::linalg_inv_ex": 1}
    assert tally.macs == 2 * 4 * 4 * 4


def test_nothing_lost_is_no_reason_to_refuse():
    assert count(nn.Linear(4, 4), X, strict=True).coverage == 1


def cubes(call: Any) -> int:
    """The macs of an inverse, as some count it: a product for each matrix."""
    *n, i, _ = call.args[0].shape
    return torch.Size(n).numel() * i**3


@pytest.mark.parametrize(
    "key", ["linalg_inv", torch.linalg.inv, "aten::linalg_inv_ex", "linalg_inv_ex"], ids=str
)
def test_a_rule_is_for_a_function_or_an_operator_by_any_of_its_names(key):
    for options in ({}, {"checked": True}, {"execution": "real"}):
        tally = count(torch.linalg.inv, X, rules={key: Rule("inverse", cubes)}, **options)
        assert (tally.macs, tally.uncounted) == (2 * 4**3, {}), options
        (entry,) = (entry for entry in tally.entries if entry.macs)
        assert entry.kind == "inverse", options
        assert entry.outputs[0] == (2, 4, 4), options


def test_a_kind_alone_says_that_an_operator_is_free():
    tally = count(torch.linalg.inv, X, rules={"linalg_inv": "inverse"}, strict=True)
    assert (tally.macs, tally.coverage) == (0, 1)
    assert tally.by_kind()["inverse"].calls == 1


def test_a_rule_may_say_otherwise_than_the_one_that_is_known():
    rules = {functional.relu: Rule("relu", lambda call: call.out.numel())}
    assert count(functional.relu, X, rules=rules).macs == 2 * 4 * 4
    assert count(functional.relu, X).macs == 0


@pytest.mark.parametrize("key", ["flopcount_tests::scaled", "scaled"])
def test_a_custom_operator_may_have_a_rule(key):
    def price(call: Any) -> int:
        return call.args[0].numel() * call.args[1].numel()

    def run(x: Any) -> Any:
        return scaled(x, x) + torch.ops.flopcount_tests.scaled(x, x)

    for options in ({}, {"checked": True}, {"execution": "real"}):
        tally = count(run, X, rules={key: Rule("scaled", price)}, strict=True, **options)
        assert tally.macs == 2 * (32 * 32), options
        assert tally.by_kind()["scaled"].calls == 2, options


def test_an_operator_of_ones_own_that_is_written_in_known_ones_needs_no_rule():
    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ x / 2

    assert count(Halves(), X, strict=True).macs == 2 * 4**3


class Solver(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.map = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.inv(self.map(x))


class NarrowSolver(Solver):
    pass


def test_a_class_of_modules_may_have_a_rule_and_is_then_one_entry():
    def price(call: Any) -> int:
        return 10 * call.args[0].numel()

    model = nn.Sequential(nn.Linear(4, 4), Solver(), NarrowSolver())
    for options in ({}, {"checked": True}, {"execution": "real"}):
        tally = count(model, X, rules={Solver: Rule("solver", price)}, strict=True, **options)
        assert [(e.path, e.kind, e.macs) for e in tally.entries] == [
            ("0", "linear", 2 * 4 * 4 * 4),
            ("1", "solver", 10 * 2 * 4 * 4),
            ("2", "solver", 10 * 2 * 4 * 4),
        ], options
        assert [e.params for e in tally.entries] == [4 * 4 + 4] * 3, options
        assert tally.params == 3 * (4 * 4 + 4), options
        assert tally.uncalled == (), options
    # and the nearest class comes first
    rules = {Solver: "free", NarrowSolver: Rule("narrow", price)}
    assert count(model, X, rules=rules).by_kind()["narrow"].calls == 1


def test_a_class_of_torch_may_have_a_rule_too():
    rules = {nn.Linear: Rule("own", lambda call: 7)}
    tally = count(nn.Sequential(nn.Linear(4, 4), nn.Conv1d(4, 4, 1)), X, rules=rules)
    assert {e.kind: e.macs for e in tally.entries} == {"own": 7, "conv": 2 * 4 * 4 * 4}


def test_a_class_may_say_of_itself_that_it_is_free():
    class Quiet(Solver):
        free_kind = "quiet"

    tally = count(nn.Sequential(Quiet(), nn.Linear(4, 4)), X, strict=True)
    assert [(e.kind, e.macs) for e in tally.entries] == [("quiet", 0), ("linear", 2 * 4 * 4 * 4)]


@pytest.mark.parametrize("key", ["linalg_inv", torch.linalg.inv, Solver, "aten::linalg_inv_ex"])
def test_a_rule_that_was_given_to_one_count_is_not_seen_by_the_next(key):
    given = count(Solver(), X, rules={key: "inverse"})
    assert given.uncounted == {}
    assert count(Solver(), X).uncounted == {"aten::linalg_inv_ex": 1}


def test_two_threads_have_rules_of_their_own_and_one_has_none():
    ready = Barrier(3)

    def run(x: Any) -> Any:
        ready.wait(10)
        return torch.linalg.inv(x)

    def counted(macs: int | None) -> Any:
        rules = {} if macs is None else {"linalg_inv": Rule("inverse", lambda call: macs)}
        return [count(run, X, rules=rules) for _ in range(10)]

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(counted, (3, 5, None)))
    assert [{tally.macs for tally in tallies} for tallies in found] == [{3}, {5}, {0}]
    assert [len(tally.uncounted) for tally in found[2]] == [1] * 10


def test_the_price_of_a_rule_may_ask_for_what_the_function_was_given_by_name():
    def run(x: Any) -> Any:
        return functional.softplus(x, beta=3)

    rules = {functional.softplus: Rule("own", lambda call: call.kwargs["beta"] * call.out.numel())}
    assert count(run, X, rules=rules).macs == 3 * 32


def test_the_way_back_through_a_rule_of_ones_own_is_reported():
    rules = {"linalg_inv": Rule("inverse", cubes)}
    tally = count(Solver(), X, rules=rules, backward=True)
    assert tally.uncounted == {"linalg_inv_backward": 1}
    with pytest.raises(UncountedError, match="linalg_inv_backward"):
        count(Solver(), X, rules=rules, backward=True, strict=True)


def nothing(call: Any) -> int:
    return 0


@pytest.mark.parametrize(
    ("key", "rule", "says"),
    [
        ("linalg_inw", "inverse", "'linalg_inw': torch has no operator of that name"),
        ("aten::linalg_inw", "inverse", "'aten::linalg_inw': torch has no operator"),
        ("nowhere::inv", "inverse", "'nowhere::inv': torch has no operator"),
        ("", "inverse", "'': torch has no operator"),
        ("pi", "inverse", "'pi': torch has no operator"),
        (7, "inverse", "7: is neither the name of an operator, a function nor a class"),
        ("linalg_inv", nothing, "'linalg_inv': .* is neither a kind nor a Rule"),
        ("linalg_inv", None, "'linalg_inv': None is neither a kind nor a Rule"),
        ("linalg_inv", Rule(7), "'linalg_inv': .* is neither a kind nor a Rule"),
        ("linalg_inv", "", "'linalg_inv': '' is no kind"),
        ("linalg_inv", Rule("uncounted", nothing), "'linalg_inv': 'uncounted' is no kind"),
        (
            "linalg_inv",
            "matmul",
            "'matmul' multiplies and adds: it takes a Rule that says how much",
        ),
        (Solver, Rule("conv"), "'conv' multiplies and adds"),
    ],
)
def test_a_rule_that_nothing_can_meet_is_refused_by_what_is_wrong_with_it(key, rule, says):
    with pytest.raises(ValueError, match=rf"^rules: .*{says}"):
        count(torch.linalg.inv, X, rules={"relu": "relu", key: rule})


@pytest.mark.parametrize(
    "key",
    [
        "linalg_inv",
        "aten::linalg_inv_ex",
        "_fft_r2c",
        "__add__",
        "add_",
        "getitem",
        "scaled_dot_product_attention",
        "lstm",
        "inv",
        "nms",
        "masked_fill_",
        "addcmul",
        "reshape",
        "flopcount_tests::scaled",
        "scaled",
    ],
)
def test_a_rule_may_go_by_every_name_that_torch_knows(key):
    assert count(nn.Linear(4, 4), X, rules={key: "own"}).macs == 2 * 4 * 4 * 4
