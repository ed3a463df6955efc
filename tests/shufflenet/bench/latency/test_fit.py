"""The latency model fitted to times that a formula makes, on layers that are drawn."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shufflenet import load, network
from shufflenet.bench.latency.fit import fit, non_negative
from shufflenet.bench.latency.training_set import SEEN, UNSEEN, drawn_works
from shufflenet.cli.latency import latency
from shufflenet.cost.latency_model import LEAF_KINDS
from tests.shufflenet.bench.machines import cost_of, examples, leaves_of, made_model, small

MODEL = made_model()


def test_a_machine_that_is_made_up_is_recovered_from_its_times():
    for name, groups in (("shufflenet", 3), ("mobilenet_v2", None), ("googlenet", None)):
        net = network(load(name), groups)
        true = sum(map(cost_of, leaves_of(net)))
        found = MODEL.network(net.tree, net.tally(memory=False))
        assert abs(found - true) < true // 100, name


def test_the_fit_is_the_same_for_the_same_times():
    assert fit(examples()) == MODEL.costs


def test_every_cost_is_a_whole_number_of_femtoseconds_and_none_is_negative():
    costs = [cost for own in MODEL.costs.values() for cost in own.values()]
    assert all(type(cost) is int and cost >= 0 for cost in costs)


def test_a_leaf_that_was_disturbed_does_not_bend_the_fit():
    disturbed = [
        e._replace(ns=50 * e.ns) if number % 25 == 0 else e for number, e in enumerate(examples())
    ]
    model = made_model(fit(disturbed))
    net, tally = small()
    true = sum(map(cost_of, leaves_of(net)))
    assert abs(model.network(net.tree, tally) - true) < true // 10


@given(st.integers(0, 2**32 - 1))
def test_non_negative_least_squares_find_what_made_the_target(seed: int):
    drawn = np.random.default_rng(seed)
    matrix = drawn.random((12, 4))
    true = np.where(drawn.random(4) < 0.5, 0.0, drawn.random(4))
    assert np.allclose(non_negative(matrix, matrix @ true), true, atol=1e-6)


def test_the_networks_that_check_a_model_are_none_that_it_is_fitted_on():
    seen = {variant.name for variant in SEEN}
    unseen = [variant.name for variant in UNSEEN]
    assert len(set(unseen)) == len(unseen) > 10
    assert seen & set(unseen) == set()


def test_the_help_says_on_how_many_networks_a_model_is_fitted():
    assert len(SEEN) == 10
    assert "those of ten networks" in str(latency.commands["fit"].help)


def test_the_drawn_layers_are_of_every_kind_that_the_bundled_networks_have():
    known = MODEL.costs.keys()
    assert drawn_works(3) == drawn_works(3) != drawn_works(4)
    for variant in (*SEEN, *UNSEEN):
        net = variant.network()
        assert MODEL.network(net.tree, net.tally(memory=False)) > 0
    assert {"dense convolution", "depthwise convolution", "channel shuffle", "FC"} <= known


def test_the_kinds_of_a_model_are_those_of_the_drawn_layers():
    assert set(LEAF_KINDS) == MODEL.costs.keys()
