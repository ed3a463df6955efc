"""A latency model learnt on this machine: leaves and networks timed, costs fitted, error measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from flopcount import analytic
from flopcount.layers import Branches, joined
from flopcount.tally import Entry
from shufflenet.network import Network
from shufflenet.timing.fitting import Example, fit, scaled
from shufflenet.timing.latency import Check, Model
from shufflenet.timing.layers import calls_of, inference, whole_call
from shufflenet.timing.machine import Machine
from shufflenet.timing.rounds import Call, Effort, in_rounds
from shufflenet.timing.samples import Summary, summary
from shufflenet.timing.training import SEEN, UNSEEN, Variant, drawn_works
from shufflenet.timing.work import Place, Work, places


class _Seen(NamedTuple):
    """A network that is learnt from: its leaves, and those of them that do different work."""

    network: Network
    places: tuple[Place, ...]
    works: tuple[Work, ...]

    @classmethod
    def of(cls, variant: Variant) -> _Seen:
        """A network by its variant."""
        network = variant.network()
        own = places(network.tree, network.tally(memory=False))
        return cls(network, own, tuple(dict.fromkeys(place.work for place in own)))


def learn(
    machine: Machine,
    effort: Effort,
    note: Callable[[int], object] = lambda number: None,
    *,
    seen: Sequence[Variant] = SEEN,
    unseen: Sequence[Variant] = UNSEEN,
) -> Model:
    """A model of PyTorch eager on this machine, and its error on the networks it has not seen.

    All is timed in the same rounds; ``note`` is told the number of each.
    """
    known = [_Seen.of(variant) for variant in seen]
    drawn = drawn_works(effort.seed)
    held = [(variant, variant.network()) for variant in unseen]
    with inference(effort.threads):
        blocks = [
            *([_whole(one.network), *calls_of(one.works)] for one in known),
            *(calls_of(works) for works in drawn),
            *([_whole(network)] for _, network in held),
        ]
        times = in_rounds(blocks, effort, note)
    ends = len(known), len(known) + len(drawn)
    costs = _fitted(known, drawn, times[: ends[1]])
    model = Model(
        machine, datetime.now(UTC).isoformat(timespec="seconds"), "eager", effort.threads, costs
    )
    wholes = [summary(whole) for (whole,) in times[ends[1] :]]
    return _checked(model, held, wholes)


def check(
    model: Model,
    effort: Effort,
    note: Callable[[int], object] = lambda number: None,
    unseen: Sequence[Variant] = UNSEEN,
) -> Model:
    """The model with its error measured again, on this machine and now."""
    held = [(variant, variant.network()) for variant in unseen]
    with inference(effort.threads):
        times = in_rounds([[_whole(network)] for _, network in held], effort, note)
    return _checked(model, held, [summary(whole) for (whole,) in times])


def _whole(network: Network) -> Call:
    return whole_call(network.tree, network.input)


def _fitted(
    known: Sequence[_Seen], drawn: Sequence[Sequence[Work]], times: Sequence[list[list[int]]]
) -> dict[str, dict[str, int]]:
    """Costs by which the leaves come out, and then the whole networks on the median."""
    taken: dict[Work, list[int]] = {}
    facts: dict[Work, Place] = {}
    for one, (_, *own) in zip(known, times, strict=False):
        facts |= {place.work: place for place in one.places}
        for work, found in zip(one.works, own, strict=True):
            taken.setdefault(work, []).extend(found)
    for works, found_of in zip(drawn, times[len(known) :], strict=True):
        for work, found in zip(works, found_of, strict=True):
            facts.setdefault(work, place_of(work))
            taken.setdefault(work, []).extend(found)
    costs = fit([Example(facts[work], summary(found).median) for work, found in taken.items()])
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


def _predicted(model: Model, own: Sequence[Place]) -> int:
    return sum(model.leaf(place) for place in own)


def place_of(work: Work) -> Place:
    """A work with the facts of its cost, standing nowhere."""
    doer = work.doer
    if not isinstance(doer, str):
        return Place(analytic.count(doer, work.inputs[0], memory=False).entries[0], work)
    out = joined(Branches((), doer), list(work.inputs))
    ran = "mul" if doer == "mul" else ""
    return Place(Entry("", doer, work.inputs, (out,), operator=ran), work)


def _checked(
    model: Model, held: Sequence[tuple[Variant, Network]], times: Sequence[Summary]
) -> Model:
    checks = []
    for (variant, network), whole in zip(held, times, strict=True):
        predicted = model.network(network.tree, network.tally(memory=False))
        checks.append(Check(variant.name, whole.median, whole.low, whole.high, predicted))
    return Model(
        model.machine,
        model.date,
        model.runtime,
        model.threads,
        model.costs,
        tuple(checks),
        model.file,
    )
