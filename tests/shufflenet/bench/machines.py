"""Machines that are made up: their records and models are known without a clock."""

from __future__ import annotations

from collections.abc import Sequence

from flopcount.tally import Tally
from shufflenet import load, network
from shufflenet.arch.network import Network
from shufflenet.bench.latency.calibrate import place_of
from shufflenet.bench.latency.fit import Example, fit
from shufflenet.bench.latency.training_set import drawn_works
from shufflenet.bench.layers.leaves import Cost
from shufflenet.bench.layers.record import LayerRecord, LayerTime
from shufflenet.bench.layers.roofline import Copied, Dense, Roof
from shufflenet.bench.rounds import RoundSettings
from shufflenet.bench.timings import Summary
from shufflenet.cost.latency_model import FEATURES, Facts, Model, TimeCheck, kind
from shufflenet.cost.leaf_kinds import LeafCost, places
from shufflenet.cost.machine import Machine

MACHINE = Machine("made up", 2, "none", "3.11", {"torch": "2.0"})
#: 10 GMAC/s; 100 GB/s of a small copy, 20 GB/s of a large one; a call of 5 us.
ROOF_PEAK, ROOF_CACHED, ROOF_MEMORY, ROOF_CALL = 10 * 10**9, 100 * 10**9, 20 * 10**9, 5_000


def at(ns: int) -> Summary:
    """Times that are all the same."""
    return Summary(ns, ns, ns, ns, 3)


def made_roof() -> Roof:
    """The roof of the made-up machine."""
    return Roof(
        (Dense("slow", 10**6, at(10**6)), Dense("fast", 10**7, at(10**6))),
        (Copied(10**6, at(10**4)), Copied(10**8, at(5 * 10**6))),
        at(ROOF_CALL),
    )


def layer(path: str, kind: str, macs: int, moved: int, ns: int, params: int = 0) -> LayerTime:
    """A leaf of which nothing but these is known."""
    return LayerTime(Cost(path, kind, (), (), macs, params, moved), at(ns))


def made_record(*layers: LayerTime, whole: int = 10**6) -> LayerRecord:
    """A record of the made-up machine."""
    date, shape = "2026-01-01T00:00:00+00:00", (1, 3, 224, 224)
    effort, roof = RoundSettings(), made_roof()
    return LayerRecord(MACHINE, date, effort, "made up", shape, layers, at(whole), roof)


def cost_of(place: LeafCost) -> int:
    """What a leaf takes on the made-up machine [ns], by a formula of this file's own."""
    entry = place.entry
    inputs = sum(shape.elements for shape in entry.inputs)
    outputs = sum(shape.elements for shape in entry.outputs)
    ns = 5_000 + inputs // 4 + outputs // 2
    return ns + (entry.macs // 20 + entry.weight // 3 if entry.macs else 0)


def examples() -> list[Example]:
    """The drawn layers with their times on the made-up machine."""
    found = [place_of(work) for works in drawn_works() for work in works]
    return [Example(place, cost_of(place)) for place in found]


def made_model(costs: dict[str, dict[str, int]] | None = None) -> Model:
    """A model of the made-up machine, fitted where no costs are given."""
    checks = (
        TimeCheck("one", 1_000, 900, 1_100, 1_100),
        TimeCheck("other", 1_000, 900, 1_100, 700),
    )
    made = fit(examples()) if costs is None else costs
    return Model(MACHINE, "2026-01-01", "eager", 1, made, checks, "made.json")


def small(groups: int = 3, **how: object) -> tuple[Network, Tally]:
    """A ShuffleNet and its tally."""
    net = network(load("shufflenet"), groups, **how)  # type: ignore[arg-type]
    return net, net.tally(memory=False)


def by_hand(model: Model, all_places: Sequence[LeafCost]) -> int:
    """The time of leaves [ns], each a sum of features times costs, rounded half up."""
    whole = 0
    for place in all_places:
        facts = Facts(place.entry, place.work.doer)
        costs = model.costs[kind(place)]
        fs = sum(cost * FEATURES[name](facts) for name, cost in costs.items())
        whole += (2 * fs + 10**6) // (2 * 10**6)
    return whole


def leaves_of(net: Network) -> tuple[LeafCost, ...]:
    """The leaves of a network."""
    return places(net.tree, net.tally(memory=False))
