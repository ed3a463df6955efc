"""The latency model fitted to times that a formula makes, on layers that are drawn."""

from __future__ import annotations

import os
from pathlib import Path

from flopcount.report import to_json
from shufflenet import load, network
from shufflenet.bench.latency.fit import fit
from shufflenet.bench.latency.training_set import SEEN, UNSEEN, drawn_works
from shufflenet.cli.latency import latency
from shufflenet.cost.latency_files import model_json
from shufflenet.cost.latency_model import LEAF_KINDS
from tests.command import fails, python
from tests.shufflenet.bench.machines import cost_of, examples, leaves_of, made_model, small

MODEL = made_model()
_HIDDEN = """
import sys
sys.modules["scipy"] = None
from shufflenet.cli import main
main(sys.argv[1:])
"""


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


def test_costs_that_made_the_times_are_found_and_those_that_cost_nothing_are_left_out():
    shares = {kind: costs.keys() for kind, costs in MODEL.costs.items()}
    again = fit([e._replace(ns=2 * e.ns) for e in examples()])
    assert {kind: costs.keys() for kind, costs in again.items()} == shares
    for kind, costs in again.items():
        for name, cost in costs.items():
            assert abs(cost - 2 * MODEL.costs[kind][name]) <= max(2, cost // 10**6)


def test_of_features_that_are_the_same_for_every_leaf_the_first_has_the_cost():
    costs = MODEL.costs["pointwise dense convolution"]
    assert "call" in costs
    assert "groups" not in costs


def test_without_scipy_a_fit_names_the_extra_and_writes_nothing(tmp_path: Path):
    outcome = python("-c", _HIDDEN, "latency", "fit", "-o", "m.json", cwd=tmp_path)
    fails(outcome, 2, "scipy", "shufflecost[latency]")
    assert os.listdir(tmp_path) == []


def test_a_saved_model_predicts_without_scipy(tmp_path: Path):
    file = tmp_path / "machine.json"
    file.write_text(to_json(model_json(MODEL)), encoding="utf-8")
    outcome = python("-c", _HIDDEN, "cost", "shufflenet", "--latency", str(file))
    assert (outcome.code, outcome.err) == (0, "")


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
