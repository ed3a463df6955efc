from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from flopcount import Shape
from flopcount.integers import lift
from flopcount.layers import (
    Act,
    AdaptivePool,
    Branches,
    Chain,
    Conv,
    Flatten,
    GlobalPool,
    Identity,
    Linear,
    LocalNorm,
    Norm,
    Pool,
    Shuffle,
    Slice,
    below,
    constraints,
    depth,
    leaves,
    output,
)
from flopcount.layers.rules import AtLeast, Divides, Equal
from tests.cases import BROKEN, CASES, slid, trees


def first_broken(layer, shape) -> tuple[str, str] | None:
    for path, rule in constraints(layer, shape):
        if not rule.holds():
            return path, str(rule)
    return None


def residual(width: int, body: int) -> Branches:
    return Branches((("shortcut", Identity()), ("body", Chain((("a", Conv(width, body)),)))), "add")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_leaf_gives_the_shape_of_its_case(case):
    assert output(case.layer, case.input) == case.output


@given(trees())
@settings(deadline=None, max_examples=60)
def test_a_tree_gives_the_shape_its_leaves_lead_to(tree):
    layer, shape, after = tree
    assert output(layer, shape) == after


@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(7, 7), (8, 11), (300, 300), (301, 224)])
def test_a_pool_and_a_conv_slide_alike(kernel, stride, size):
    h, w = size
    padding = kernel // 2
    positions = (slid(h, kernel, stride, padding), slid(w, kernel, stride, padding))
    up = (slid(h, kernel, stride, padding, True), slid(w, kernel, stride, padding, True))
    shape = Shape(1, 4, h, w)
    assert output(Pool("max", kernel, stride, padding), shape) == (1, 4, *positions)
    assert output(Pool("max", kernel, stride, padding, True), shape) == (1, 4, *up)
    assert output(Conv(4, 6, kernel, stride, padding), shape) == (1, 6, *positions)


def test_a_concat_adds_up_the_widths():
    layer = Branches((("a", Conv(4, 3)), ("b", Identity()), ("c", Conv(4, 5))), "concat")
    assert output(layer, Shape(2, 4, 6, 5)) == (2, 3 + 4 + 5, 6, 5)


def test_an_add_keeps_the_width():
    assert output(residual(4, 4), Shape(2, 4, 6, 5)) == (2, 4, 6, 5)


def test_an_empty_chain_gives_what_it_gets():
    assert output(Chain(()), Shape(2, 4, 6, 5)) == (2, 4, 6, 5)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_legal_leaf_keeps_all_its_rules(case):
    assert first_broken(case.layer, case.input) is None


@given(trees())
@settings(deadline=None, max_examples=60)
def test_a_legal_tree_keeps_all_its_rules(tree):
    layer, shape, _ = tree
    assert first_broken(layer, shape) is None


@pytest.mark.parametrize(("layer", "shape", "says"), BROKEN)
def test_a_broken_rule_says_the_value_and_what_it_should_be(layer, shape, says):
    assert first_broken(layer, shape) == ("", says)


@pytest.mark.parametrize(
    ("layer", "shape", "says"),
    [
        (Conv(3, 0), Shape(1, 3, 5, 5), "output width 0 is less than 1"),
        (Linear(3, 0), Shape(1, 3), "output features 0 is less than 1"),
        (Slice(0, 0), Shape(1, 6, 5, 5), "width 0 is less than 1"),
        (AdaptivePool(0), Shape(1, 6, 5, 5), "side 0 is less than 1"),
        (LocalNorm(0), Shape(1, 6, 5, 5), "size 0 is less than 1"),
    ],
)
def test_a_layer_that_gives_nothing_is_forbidden(layer, shape, says):
    assert first_broken(layer, shape) == ("", says)


def test_a_broken_rule_has_the_path_of_the_layer_that_needs_it():
    unit = Chain((("one", Conv(4, 6)), ("two", Conv(6, 6, groups=4))))
    tree = Chain((("stage", Chain((("unit1", unit),))),))
    says = "input width 6 is not a multiple of groups = 4"
    assert first_broken(tree, Shape(1, 4, 5, 5)) == ("stage.unit1.two", says)


def test_a_layer_is_held_against_what_arrives_and_not_against_the_input():
    tree = Chain((("one", Conv(4, 6)), ("two", Norm(4))))
    says = "width 4 is not the arriving width 6"
    assert first_broken(tree, Shape(1, 4, 5, 5)) == ("two", says)


def test_a_chains_own_rules_come_first_and_with_its_path():
    rule = Divides("width", 10, 4, "4*g")
    tree = Chain((("unit", Chain((("bad", Conv(3, 0)),), (rule,))),))
    says = "width 10 is not a multiple of 4*g = 4"
    assert first_broken(tree, Shape(1, 8, 5, 5)) == ("unit", says)


@pytest.mark.parametrize(
    ("body", "join", "says"),
    [
        (Conv(4, 8), "add", "size 8 is not the first branch's 4"),
        (Conv(4, 4, 3), "add", "size 3 is not the first branch's 5"),
        (Conv(4, 8, 1, 2), "concat", "size 3 is not the first branch's 5"),
    ],
)
def test_branches_that_do_not_fit_are_named_at_their_join(body, join, says):
    tree = Chain((("r", Branches((("shortcut", Identity()), ("body", body)), join)),))
    assert first_broken(tree, Shape(1, 4, 5, 5)) == (f"r.{join}", says)


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        (GlobalPool(), None),
        (Identity(), None),
        (Chain((("pool", GlobalPool()), ("wide", Conv(4, 8)))), "size 8 is not"),
        (Conv(4, 4, 3), "size 3 is not the first branch's 5"),
    ],
    ids=["one place", "every place", "another width", "another size"],
)
def test_a_product_takes_what_has_one_place_or_all_of_them(gate, says):
    broken = first_broken(Branches((("map", Identity()), ("gate", gate)), "mul"), Shape(1, 4, 5, 5))
    assert (broken is None) == (says is None)
    assert broken is None or (broken[0] == "mul" and says in broken[1])


def test_branches_of_different_widths_may_be_concatenated():
    layer = Branches((("a", Conv(4, 3)), ("b", Conv(4, 5))), "concat")
    assert first_broken(layer, Shape(1, 4, 5, 5)) is None


@pytest.mark.parametrize("join", ["add", "concat", "mul"])
@pytest.mark.parametrize(
    "children",
    [(("map", Identity()), ("flat", Flatten())), (("flat", Flatten()), ("map", Identity()))],
    ids=["map first", "flat first"],
)
def test_branches_of_different_ranks_break_a_rule(children, join):
    broken = first_broken(Branches(children, join), Shape(1, 8, 1, 1))
    assert broken is not None
    assert broken[0] == join


def test_the_constraints_return_the_shape_that_leaves():
    tree = Chain((("a", Conv(4, 6, 3, 2, 1)), ("b", residual(6, 6)), ("c", Flatten())))
    returned: list[Shape] = []

    def watched():
        returned.append((yield from constraints(tree, Shape(2, 4, 7, 5))))

    assert all(rule.holds() for _, rule in watched())
    assert returned == [(2, 6 * 4 * 3)]


def test_rules_answer_for_each_candidate():
    widths = lift(np.array([8, 10, 12]))
    layer = Conv(8, widths, groups=4)
    rules = [rule for _, rule in constraints(layer, Shape(1, 8, 5, 5)) if rule.what[:3] == "out"]
    answers = np.logical_and.reduce([np.broadcast_to(rule.holds(), 3) for rule in rules])
    assert answers.tolist() == [width % 4 == 0 for width in (8, 10, 12)]


def test_a_depthwise_conv_is_legal_for_every_candidate():
    widths = lift(np.array([8, 10, 12]))
    layer = Conv(widths, widths, 3, 1, 1, widths)
    for _, rule in constraints(layer, Shape(1, widths, 5, 5)):
        assert np.all(rule.holds())


@pytest.mark.parametrize(
    ("rule", "holds", "says"),
    [
        (Divides("width", 12, 4), True, "width 12 is not a multiple of 4"),
        (Divides("width", 10, 4), False, "width 10 is not a multiple of 4"),
        (Divides("width", 480, 28, "4*g"), False, "width 480 is not a multiple of 4*g = 28"),
        (Divides("width", 0, 4), True, "width 0 is not a multiple of 4"),
        (Divides("width", 12, 0), False, "width 12 is not a multiple of 0"),
        (Divides("width", 12, -4), False, "width 12 is not a multiple of -4"),
        (AtLeast("width", 4, 4), True, "width 4 is less than 4"),
        (AtLeast("width", 3, 4), False, "width 3 is less than 4"),
        (Equal("width", 3, "the arriving width", 3), True, "width 3 is not the arriving width 3"),
        (Equal("width", 3, "the arriving width", 4), False, "width 3 is not the arriving width 4"),
    ],
)
def test_a_rule_can_be_asked_and_says_what_is_wrong(rule, holds, says):
    assert rule.holds() is holds
    assert str(rule) == says


@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_convs_and_linear_layers_are_deep(case):
    assert depth(case.layer) == int(case.weight > 0 and case.kind != "batch_norm")


def test_a_chain_is_as_deep_as_its_layers_together():
    chain = Chain((("a", Conv(4, 4)), ("n", Norm(4)), ("r", Act()), ("fc", Linear(4, 4))))
    assert depth(chain) == 1 + 1


def test_branches_are_as_deep_as_the_deepest():
    three = Chain(tuple((f"c{i}", Conv(4, 4)) for i in range(3)))
    assert depth(Branches((("shortcut", Conv(4, 4)), ("body", three)), "add")) == 3
    assert depth(Branches((("shortcut", Identity()), ("pool", Pool("avg", 3, 1, 1))), "add")) == 0


def test_leaves_come_in_order_with_their_paths():
    inner = residual(4, 4)
    tree = Chain(
        (
            ("stem", Conv(3, 4)),
            ("unit", Chain((("r", inner), ("relu", Act())))),
            ("s", Shuffle(2)),
            ("pool", GlobalPool()),
        )
    )
    assert list(leaves(tree)) == [
        ("stem", Conv(3, 4)),
        ("unit.r.shortcut", Identity()),
        ("unit.r.body.a", Conv(4, 4)),
        ("unit.relu", Act()),
        ("s", Shuffle(2)),
        ("pool", GlobalPool()),
    ]


def test_a_leaf_alone_is_its_own_leaf():
    assert list(leaves(Conv(3, 4), "stem")) == [("stem", Conv(3, 4))]


def test_a_child_of_the_root_has_its_own_name_as_path():
    assert below("", "stem") == "stem"
    assert below("stage2.unit1", "relu") == "stage2.unit1.relu"
