"""Leaves beneath a roofline, from records that are given: no clock decides whether these pass."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shufflenet.bench.layers.compare import since
from shufflenet.bench.layers.leaves import CountCheck, Totals
from shufflenet.bench.layers.record import LayerTime, by_kind, light
from shufflenet.bench.layers.record_files import layers_json, load_layers
from shufflenet.bench.layers.roofline import judged, ridge
from shufflenet.bench.layers.tables import layer_table
from shufflenet.bench.rounds import RoundSettings, TimedCall, in_rounds
from shufflenet.bench.timings import Summary
from shufflenet.cost.leaf_kinds import places
from shufflenet.cost.machine import FieldError
from tests.shufflenet.bench.machines import (
    ROOF_CACHED,
    ROOF_MEMORY,
    ROOF_PEAK,
    layer,
    made_record,
    made_roof,
    small,
)

LAYERS = (
    layer("a", "1x1 convolution", 10**7, 10**6, 2 * 10**6),
    layer("b", "3x3 depthwise", 10**6, 2 * 10**6, 10**6),
    layer("c", "channel shuffle", 0, 10**6, 5 * 10**5),
    layer("d", "relu", 0, 10**3, 5 * 10**5),
)


def test_the_roof_is_the_fastest_product_and_the_largest_and_the_fastest_copy():
    roof = made_roof()
    assert (roof.peak, roof.best.name) == (ROOF_PEAK, "fast")
    assert (roof.cached, roof.bandwidth) == (ROOF_CACHED, ROOF_MEMORY)
    assert ridge(roof) == Fraction(1, 2)


def test_a_layer_is_held_against_a_copy_of_at_least_as_many_bytes():
    roof = made_roof()
    assert roof.reach(10**6) == ROOF_CACHED
    assert roof.reach(10**6 + 1) == ROOF_MEMORY
    assert roof.reach(10**12) == ROOF_MEMORY


@pytest.mark.parametrize(
    ("macs", "moved", "ns", "bound", "least", "share"),
    [
        (10**7, 10**6, 2 * 10**6, "compute", 10**6, Fraction(1, 2)),
        (10**6, 2 * 10**6, 10**6, "memory", 10**5, Fraction(1, 10)),
        (0, 10**6, 10**5, "memory", 10**4, Fraction(1, 10)),
        (10**3, 10**3, 10**5, "call", 100, Fraction(1, 1000)),
        (0, 0, 10**5, "call", 0, Fraction(0)),
    ],
)
def test_what_bounds_a_layer_is_the_slower_of_peak_and_bandwidth(
    macs: int, moved: int, ns: int, bound: str, least: int, share: Fraction
):
    found = judged(macs, moved, ns, made_roof())
    assert (found.bound, found.least_ns, found.share) == (bound, least, share)
    assert found.speed == macs * 10**9 // ns
    assert found.intensity == (Fraction(macs, moved) if moved else 0)


def test_kinds_stand_in_the_order_of_their_time_and_their_shares_add_up():
    kinds = by_kind(made_record(*LAYERS))
    assert [kind.kind for kind in kinds][:2] == ["1x1 convolution", "3x3 depthwise"]
    assert sum(kind.time_share for kind in kinds) == 1
    assert sum(kind.macs_share for kind in kinds) == 1
    assert kinds[1].beyond == Fraction(1, 4) - Fraction(1, 11)


def test_what_takes_longest_comes_first_wherever_it_stands_in_the_network():
    assert by_kind(made_record(*LAYERS[2::-1])) == by_kind(made_record(*LAYERS[:3]))


def test_what_shuffle_and_depthwise_take_is_told_beside_their_multiply_adds():
    record = made_record(*LAYERS)
    assert light(by_kind(record)) == {
        "channel shuffle": (Fraction(1, 8), Fraction(0)),
        "depthwise": (Fraction(1, 4), Fraction(1, 11)),
    }
    text = " ".join(layer_table(record).notes)
    assert "channel shuffle: 12.5% of the time for 0.0% of the multiply-adds" in text
    assert "depthwise convolutions: 25.0% of the time for 9.1% of the multiply-adds" in text


def test_the_sum_of_the_layers_stands_beside_the_whole():
    record = made_record(*LAYERS, whole=5 * 10**6)
    assert record.summed == 4 * 10**6
    assert "4.00 ms together, the whole network 5.00 ms" in layer_table(record).notes[0]
    assert "-20.0%" in layer_table(record).notes[0]


def test_a_record_is_read_as_it_was_written(tmp_path: Path):
    plain = made_record(*LAYERS)
    totals = Totals(plain.macs, 3)
    path = tmp_path / "layers.json"
    for record in (plain, plain._replace(check=CountCheck(totals, Totals(1, 2), {"strange": 2}))):
        path.write_text(json.dumps(layers_json(record)), encoding="utf-8")
        assert load_layers(str(path)) == record


def test_what_the_count_of_the_whole_has_and_the_layers_have_not_is_told():
    checks = CountCheck(Totals(5, 7), Totals(6, 7), {"strange": 2})
    record = made_record(*LAYERS)._replace(check=checks)
    notes = layer_table(record).notes
    assert "multiply-adds of the layers are 5 together, and 6 by the count" in " ".join(notes)
    assert "uncounted: strange" in notes
    assert not any(note.startswith("the parameters") for note in notes)
    alike = record._replace(check=CountCheck(Totals(6, 7), Totals(6, 7), {}))
    assert not any(
        "together, and" in note or "uncounted" in note for note in layer_table(alike).notes
    )
    table = layers_json(record)["check"]
    assert table == {
        "params": 7,
        "counted_macs": 6,
        "counted_params": 7,
        "uncounted": {"strange": 2},
    }


def test_a_leaf_is_set_beside_that_of_its_path_and_kind_and_place_among_these():
    def at(path: str, low: int, high: int, kind: str = "relu", macs: int = 0) -> LayerTime:
        times = Summary((low + high) // 2, low, high, low, 3)
        return layer(path, kind, macs, 1, 1)._replace(times=times)

    old = made_record(at("a", 10, 20), at("a", 50, 60), at("b", 10, 20), at("c", 1, 2))
    new = made_record(
        at("new", 1, 2),
        at("a", 20, 30),
        at("a", 30, 40),
        at("b", 21, 23, macs=5),
        at("c", 1, 2, "add"),
    )
    found = since(new, old, "old.json")
    assert [one and (one.ratio, one.change) for one in found.leaves] == [
        None,
        (Fraction(25, 15), "noise"),
        (Fraction(35, 55), "faster"),
        (Fraction(22, 15), "slower"),
        None,
    ]
    assert found.added == (("new", "relu", 0), ("c", "add", 0))
    assert found.gone == (("c", "relu", 0),)
    assert found.altered == (("b", "relu", 0),)
    assert found.differences == ("multiply-adds 0 -> 5",)


def test_all_that_two_records_were_not_made_alike_in_is_told():
    old = made_record(*LAYERS)
    machine = replace(old.machine, cpu="another", versions={"torch": "2.1"})
    new = old._replace(
        machine=machine, effort=RoundSettings(2, 20, 1), network="other", shape=(1, 3, 32, 48)
    )
    assert since(new, old, "old.json").differences == (
        "cpu made up -> another",
        "torch 2.0 -> 2.1",
        "threads 1 -> 2",
        "rounds 15 -> 20",
        "seed 0 -> 1",
        "network made up -> other",
        "input 1x3x224x224 -> 1x3x32x48",
    )
    assert since(old, old, "old.json").differences == ()


@pytest.mark.parametrize(
    ("change", "quoted"),
    [
        ({"check": 3}, "check: 3: Expected `object | null`"),
        ({"layer_times": 2}, "layer_times 2 is no version that is known"),
        ({"layer_times": True}, "no version"),
        ({"layers": [{"path": 1}]}, r"layers\[0\].path: 1: Expected `str`"),
        ({"input": [0]}, r"input\[0\]: 0: Expected `int` >= 1"),
        ({"whole": None}, "whole: None: Expected `object`"),
        (
            {"whole": {"runs": 1, "median_ns": 2**63}},
            f"whole.median_ns: {2**63}: Expected `int` <= {2**63 - 1}",
        ),
        (
            {"roof": {"dense": [], "copies": [], "call": {}}},
            r"roof.dense: \[\]: Expected `array` of length >= 1",
        ),
    ],
)
def test_a_file_that_is_no_such_record_is_refused(
    change: dict[str, Any], quoted: str, tmp_path: Path
):
    path = tmp_path / "layers.json"
    table = layers_json(made_record(*LAYERS)) | change
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(FieldError, match=quoted):
        load_layers(str(path))


def test_the_leaves_have_the_paths_and_kinds_of_the_tally():
    net, tally = small()
    found = places(net.tree, tally)
    assert [place.entry for place in found] == list(tally.entries)
    kinds = {place.kind for place in found}
    assert {"1x1 group convolution", "3x3 depthwise", "channel shuffle", "add", "concat"} <= kinds


def test_every_call_has_its_turn_in_every_round_and_blocks_keep_their_order():
    ran: list[str] = []

    def call(name: str) -> TimedCall:
        return TimedCall(lambda: ran.append(name), lambda: None)

    told: list[int] = []
    blocks = [[call("a"), call("b")], [call("c")]]
    found = in_rounds(blocks, RoundSettings(rounds=4, seed=1), told.append)
    assert [[len(times) for times in block] for block in found] == [[4, 4], [4]]
    assert told == [1, 2, 3, 4]
    # once more before the rounds that count, and every block twice
    assert {name: ran.count(name) for name in "abc"} == dict.fromkeys("abc", 2 * 5)
    assert "ba" not in "".join(ran).replace("c", "").replace("abab", "")
    assert all(ns >= 0 for block in found for times in block for ns in times)


@pytest.mark.parametrize("seed", [0, 1])
def test_blocks_come_in_an_order_that_is_drawn_anew_for_every_round(seed: int):
    ran: list[int] = []

    def call(number: int) -> TimedCall:
        return TimedCall(lambda: ran.append(number), lambda: None)

    in_rounds([[call(number)] for number in range(9)], RoundSettings(rounds=4, seed=seed))
    # every block twice, and one round more that does not count
    rounds = [ran[first : first + 18 : 2] for first in range(0, len(ran), 18)]
    order, drawn = list(range(9)), Random(seed)
    for found in rounds:
        drawn.shuffle(order)
        assert found == order
    assert len(rounds) == 5


def test_a_network_is_timed_leaf_by_leaf_in_eager():
    pytest.importorskip("torch")
    import torch

    from shufflenet.bench.layers.time_layers import time_layers, tree_leaves

    before = torch.get_num_threads()
    net, tally = small(scale="0.25", size=(64, 64))
    record = time_layers(tree_leaves(net.tree, net.input, "small"), RoundSettings(rounds=1))
    assert [layer.cost.path for layer in record.layers] == [entry.path for entry in tally.entries]
    assert record.macs == tally.macs
    assert sum(layer.cost.moved for layer in record.layers) == tally.bytes_moved
    assert record.whole.runs == 1
    assert record.roof.peak > 0
    assert torch.get_num_threads() == before
    alike = [layer for layer in record.layers if layer.cost.path.endswith("unit3.relu")]
    assert alike
