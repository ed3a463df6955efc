"""A latency model learnt here: layers and networks timed, costs fitted, the error measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from flopcount.entries import Entry, Shape
from flopcount.layers import Branches, Layer, cost, joined
from shufflenet.bench.latency.fit import Example, fit, scaled
from shufflenet.bench.latency.training_set import SEEN, UNSEEN, Variant, drawn_works
from shufflenet.bench.layers.time_layers import inference
from shufflenet.bench.rounds import RoundSettings, in_rounds
from shufflenet.bench.timings import Summary, summary
from shufflenet.cost.latency_model import Model, TimeCheck
from shufflenet.cost.leaf_kinds import LeafCost, Task, Work, places
from shufflenet.cost.machine import Machine


class UnseenNetwork(NamedTuple):
    """A network that a model is held against: its name, its tree and the shape of its image."""

    name: str
    tree: Layer
    shape: Shape


class _Seen(NamedTuple):
    """A network that is learnt from: its leaves, what each does, and what of that differs."""

    tree: Layer
    shape: Shape
    places: tuple[LeafCost, ...]
    tasks: tuple[Task, ...]

    @classmethod
    def of(cls, variant: Variant) -> _Seen:
        """A network by its variant."""
        from shufflenet.bench.layers.spec_leaves import tasks_of

        network = variant.network()
        own = places(network.tree, network.tally(memory=False))
        tasks = tuple(dict.fromkeys(tasks_of(network.tree, network.input, own)))
        return cls(network.tree, network.input, own, tasks)


def held(variants: Sequence[Variant] = UNSEEN) -> list[UnseenNetwork]:
    """The networks that no model is fitted on."""
    networks = [(variant.name, variant.network()) for variant in variants]
    return [UnseenNetwork(name, network.tree, network.input) for name, network in networks]


def learn(
    machine: Machine,
    effort: RoundSettings,
    note: Callable[[int], object] = lambda number: None,
    *,
    seen: Sequence[Variant] = SEEN,
    unseen: Sequence[Variant] = UNSEEN,
) -> Model:
    """A model of PyTorch eager on this machine, and its error on the networks it has not seen.

    All is timed in the same rounds; ``note`` is told the number of each.
    """
    from shufflenet.bench.layers.spec_leaves import calls_of, whole_call

    known = [_Seen.of(variant) for variant in seen]
    drawn = [[alone(work) for work in works] for works in drawn_works(effort.seed)]
    others = held(unseen)
    with inference(effort.threads, effort.seed):
        blocks = [
            *([whole_call(one.tree, one.shape), *calls_of(one.tasks)] for one in known),
            *(calls_of(tasks) for tasks in drawn),
            *([whole_call(one.tree, one.shape)] for one in others),
        ]
        times = in_rounds(blocks, effort, note)
    end = len(known) + len(drawn)
    costs = _fitted(known, drawn, times[:end])
    date = datetime.now(UTC).isoformat(timespec="seconds")
    model = Model(machine, date, "eager", effort.threads, costs)
    predicted = [_prediction(model, one) for one in others]
    return _checked(model, others, predicted, [summary(whole) for (whole,) in times[end:]])


def check(
    model: Model,
    others: Sequence[UnseenNetwork],
    effort: RoundSettings,
    note: Callable[[int], object] = lambda number: None,
) -> Model:
    """The model held against networks that are timed now; ``note`` as in `learn`.

    Raises LatencyError, before any is timed, for a kind that the model knows no time of.
    """
    from shufflenet.bench.layers.spec_leaves import whole_call

    predicted = [_prediction(model, one) for one in others]
    with inference(effort.threads, effort.seed):
        blocks = [[whole_call(one.tree, one.shape)] for one in others]
        times = in_rounds(blocks, effort, note)
    return _checked(model, others, predicted, [summary(whole) for (whole,) in times])


def alone(work: Work) -> Task:
    """A work as most networks do it: of what it reads, nothing is held by anybody else."""
    return Task(work, (True,) * len(work.inputs))


def _fitted(
    known: Sequence[_Seen], drawn: Sequence[Sequence[Task]], times: Sequence[list[list[int]]]
) -> dict[str, dict[str, int]]:
    """Costs by which the leaves come out, and then the whole networks on the median."""
    taken: dict[Task, list[int]] = {}
    facts: dict[Work, LeafCost] = {}
    for one, (_, *own) in zip(known, times, strict=False):
        facts |= {place.work: place for place in one.places}
        for task, found in zip(one.tasks, own, strict=True):
            taken.setdefault(task, []).extend(found)
    for tasks, found_of in zip(drawn, times[len(known) :], strict=True):
        for task, found in zip(tasks, found_of, strict=True):
            facts.setdefault(task.work, place_of(task.work))
            taken.setdefault(task, []).extend(found)
    costs = fit([Example(facts[task.work], summary(found).median) for task, found in taken.items()])
    plain = Model(Machine("", 0, "", "", {}), "", "eager", 1, costs)
    ratios = sorted(
        (summary(whole).median / max(_predicted(plain, one.places), 1), place)
        for place, (one, (whole, *_)) in enumerate(zip(known, times, strict=False))
    )
    if not ratios:
        return costs
    middle = ratios[len(ratios) // 2][1]
    whole = summary(times[middle][0]).median
    return scaled(costs, whole, max(_predicted(plain, known[middle].places), 1))


def _predicted(model: Model, own: Sequence[LeafCost]) -> int:
    return sum(model.leaf(place) for place in own)


def place_of(work: Work) -> LeafCost:
    """A work with the facts of its cost, standing nowhere."""
    doer = work.doer
    if not isinstance(doer, str):
        return LeafCost(cost.count(doer, work.inputs[0], memory=False).entries[0], work)
    out = joined(Branches((), doer), list(work.inputs))
    ran = "mul" if doer == "mul" else ""
    return LeafCost(Entry("", doer, work.inputs, (out,), operator=ran), work)


def _prediction(model: Model, one: UnseenNetwork) -> int:
    return int(model.network(one.tree, cost.count(one.tree, one.shape, memory=False)))


def _checked(
    model: Model,
    others: Sequence[UnseenNetwork],
    predicted: Sequence[int],
    times: Sequence[Summary],
) -> Model:
    checks = [
        TimeCheck(one.name, whole.median, whole.low, whole.high, ns)
        for one, ns, whole in zip(others, predicted, times, strict=True)
    ]
    return replace(model, checks=tuple(checks))
