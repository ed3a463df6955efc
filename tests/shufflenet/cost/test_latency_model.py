"""The latency model: fitted to times that a formula makes, exact on columns, refused where odd."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flopcount.entries import Shape
from flopcount.integers import lift
from flopcount.layers import Chain, Conv, Norm, Shuffle
from flopcount.layers import cost as layer_cost
from shufflenet import QuantityError, load
from shufflenet.arch.quantities import read_duration
from shufflenet.bench.latency.fit import scaled
from shufflenet.cost.latency_files import load_model, model_json
from shufflenet.cost.latency_model import LatencyError, said
from shufflenet.cost.machine import FieldError
from shufflenet.solver.engine.optimise import optimise
from shufflenet.solver.problem import Bound, Goal, Problem, Space
from shufflenet.solver.problem_files import load_problem
from tests.command import fails, run_together
from tests.shufflenet.bench.machines import by_hand, leaves_of, made_model, small

MODEL = made_model()


def test_the_time_of_a_network_is_that_of_its_leaves_added_up():
    net, tally = small()
    assert MODEL.network(net.tree, tally) == by_hand(MODEL, leaves_of(net))


@pytest.mark.parametrize("groups", [1, 3, 8])
def test_a_column_of_widths_gives_what_each_width_gives(groups: int):
    def tree(c: Any) -> Chain:
        return Chain(
            (
                ("expand", Conv(24 * groups, c, groups=groups)),
                ("norm", Norm(c)),
                ("shuffle", Shuffle(groups)),
                ("depthwise", Conv(c, c, 3, 2, 1, c)),
                ("group", Conv(c, c, 3, 1, 1, groups)),
                ("compress", Conv(c, 48 * groups, groups=groups)),
            )
        )

    # the first is as wide as it has groups: there a group convolution is a depthwise one
    widths = [groups * k for k in (1, 2, 7, 16, 48)]
    shape = Shape(1, 24 * groups, 28, 28)
    column = lift(np.array(widths, np.int64))
    whole = tree(column)
    found = MODEL.network(whole, layer_cost.count(whole, shape, memory=False))
    each = [MODEL.network(tree(c), layer_cost.count(tree(c), shape, memory=False)) for c in widths]
    assert np.asarray(found).tolist() == each


def test_scaling_the_costs_scales_every_one_of_them():
    assert scaled({"relu": {"call": 10, "inputs": 3}}, 3, 2) == {"relu": {"call": 15, "inputs": 5}}


def test_the_errors_are_told_with_every_prediction():
    assert MODEL.median_error == Fraction(1, 5)
    text = said(MODEL)
    assert "on 2 networks that the model never saw" in text
    assert "median error was 20.0%, the largest 30.0%" in text
    with pytest.raises(LatencyError, match="checked on no network"):
        _ = replace(MODEL, checks=()).median_error


def test_a_kind_that_the_model_does_not_know_is_refused():
    model = replace(MODEL, costs={"relu": {"call": 1}})
    net, tally = small()
    with pytest.raises(LatencyError, match="knows no time of"):
        model.network(net.tree, tally)


def written(path: Path, **change: Any) -> str:
    path.write_text(json.dumps(model_json(MODEL) | change), encoding="utf-8")
    return str(path)


def test_a_model_is_read_as_it_was_written(tmp_path: Path):
    path = written(tmp_path / "machine.json")
    assert load_model(path) == replace(MODEL, file=path)


@pytest.mark.parametrize(
    ("change", "quoted"),
    [
        ({"latency": 2}, "latency 2 is no version that is known; known is 1"),
        ({"costs_fs": {"relu": {"heat": 1}}}, "'heat' is not one of"),
        ({"costs_fs": {"relu": {"call": -1}}}, r"costs_fs\['relu'\]\['call'\]: -1: .* >= 0"),
        ({"costs_fs": {"FC": {"groups": 1}}}, "costs of FC: 'groups' is not one of call, macs"),
        ({"costs_fs": {"steam convolution": {}}}, "'steam convolution' is not one of dense"),
        ({"checks": [{}]}, r"checks\[0\]: Object missing required field `network`"),
        ({"machine": 3}, "machine: 3: Expected `object`"),
    ],
)
def test_a_file_that_is_no_such_model_is_refused(
    change: dict[str, Any], quoted: str, tmp_path: Path
):
    with pytest.raises(FieldError, match=quoted):
        load_model(written(tmp_path / "machine.json", **change))


@pytest.mark.parametrize(
    ("text", "ns"), [("20ms", 20_000_000), ("1.5 s", 1_500_000_000), ("800us", 800_000), ("7", 7)]
)
def test_times_are_read_exactly(text: str, ns: int):
    assert read_duration(text) == ns


@pytest.mark.parametrize("text", ["", "ms", "20 h", "0ms", "0.5ns", "-1ms", "1e30s"])
def test_what_is_no_time_is_refused(text: str):
    with pytest.raises(QuantityError, match="time"):
        read_duration(text)


# --- The solver


def space() -> Space:
    widths = (tuple(range(24, 97, 24)), tuple(range(48, 193, 24)), tuple(range(96, 385, 48)))
    return Space(load("shufflenet"), groups=(2, 3), free=True, widths=widths)


def test_the_latency_of_a_solved_network_is_that_of_its_leaves():
    goal = Goal("latency", "least")
    problem = Problem(space(), (goal,), (Bound("macs", least=5_000_000),), top=3, latency=MODEL)
    outcome = optimise(problem)
    assert len(outcome.solutions) == 3
    for found in outcome.solutions:
        assert found.figures["latency"] == by_hand(MODEL, leaves_of(found.network))


def test_a_bound_of_latency_gives_the_largest_network_within_it():
    least = optimise(Problem(space(), (Goal("latency", "least"),), latency=MODEL)).best
    most = least.figures["latency"] * 5 // 4
    bound = Bound("latency", most=most)
    best = optimise(Problem(space(), (Goal("macs", "most"),), (bound,), latency=MODEL)).best
    assert least.figures["latency"] <= best.figures["latency"] <= most
    assert best.figures["macs"] > least.figures["macs"]


def test_latency_without_a_model_is_refused():
    with pytest.raises(QuantityError, match="latency needs a model"):
        Problem(space(), (Goal("latency", "least"),))


def test_a_problem_file_names_a_model_beside_it(tmp_path: Path):
    written(tmp_path / "machine.json")
    text = 'goals = ["most-macs"]\nlatency = "machine.json"\n'
    bounds = '[[bounds]]\nfigure = "latency"\nat_most = "20ms"\n'
    (tmp_path / "problem.toml").write_text(text + bounds, encoding="utf-8")
    problem = load_problem(tmp_path / "problem.toml")
    assert problem.bounds == (Bound("latency", most=20_000_000),)
    assert problem.latency is not None
    assert problem.latency.costs == MODEL.costs


# --- The command


def test_the_command_predicts_and_its_faults_are_one_line(tmp_path: Path):
    path = written(tmp_path / "machine.json")
    other = written(tmp_path / "other.json", latency=2)
    few = written(tmp_path / "few.json", costs_fs={"relu": {"call": 1}})
    (tmp_path / "boom.py").write_text("print('it is run')\ndef boom(): raise ZeroDivisionError")
    solve = ("solve-widths", "--groups", "3", "--align", "12", "--no-confirm", "--format", "json")
    runs = run_together(
        ("cost", "shufflenet", "--groups", "3", "--latency", path, "--format", "json"),
        ("cost", "shufflenet", "--latency", path),
        ("cost", "shufflenet", "--latency", other),
        ("cost", "shufflenet", "--latency", str(tmp_path / "none.json")),
        (*solve, "--max-latency", "20ms", "--objective", "most-macs", "--latency", path),
        (*solve, "--max-latency", "20ms", "--objective", "most-macs"),
        ("latency", "check", other),
        ("latency", "check", path, str(tmp_path / "boom.py:boom")),
        ("latency", "check", path, "shufflenet:size=0"),
        ("latency", "check", few, "shufflenet:groups=4,size=32x48"),
        ("plot", "roofline", "-o", str(tmp_path / "a.png")),
        ("plot", "roofline", "--record", path, "-o", str(tmp_path / "a.png")),
    )
    predicted, table, version, missing, solved, without, check, *more = runs
    own, no_size, unknown, neither, record = more
    net, tally = small()
    figures = predicted.json["latency"]
    assert figures["predicted_ns"] == MODEL.network(net.tree, tally)
    assert figures["median_error"] == 0.2
    assert "predicted time" in table.out
    assert "median error was 20.0%" in table.out
    fails(version, 2, "latency 2 is no version that is known")
    fails(missing, 2, "none.json: cannot be read")
    assert solved.code == 0
    (best,) = solved.json["solutions"]
    assert best["latency_ns"] <= 20_000_000
    assert solved.json["latency"]["median_error"] == 0.2
    fails(without, 2, "latency needs a model")
    fails(check, 2, "no version")
    fails(own, 2, "boom.py:boom: is no network of a spec")
    fails(no_size, 2, "size")
    # at once: no round is told before
    fails(unknown, 2, "few.json: knows no time of a ")
    fails(neither, 2, "--record")
    fails(record, 2, "is no record of `shufflecost bench --layers`")
