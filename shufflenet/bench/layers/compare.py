"""The timed leaves of a network beside those of an earlier record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from shufflenet.bench.compare import Against, compared
from shufflenet.bench.layers.record import LayerRecord, LayerTime
from shufflenet.bench.rounds import RoundSettings
from shufflenet.cost.machine import differing

#: A leaf among those of a network: path and kind, and how many alike stand before it.
LeafKey: TypeAlias = tuple[str, str, int]


class Since(NamedTuple):
    """A record beside an earlier one, of a file: the leaves in order, and the whole network.

    A leaf that only this one has is beside None. ``added`` and ``gone`` are those that only one of
    the two has, ``altered`` those of other shapes or costs, and ``differences`` what the two were
    not made alike in.
    """

    where: str
    date: str
    leaves: tuple[Against | None, ...]
    whole: Against
    added: tuple[LeafKey, ...]
    gone: tuple[LeafKey, ...]
    altered: tuple[LeafKey, ...]
    differences: tuple[str, ...]


def since(record: LayerRecord, old: LayerRecord, where: str) -> Since:
    """A record beside an earlier one, leaf by leaf: those of one path and kind, in their order."""
    ours, theirs = _keyed(record.layers), _keyed(old.layers)
    both = [key for key in ours if key in theirs]
    return Since(
        where,
        old.date,
        tuple(
            compared(layer.times, theirs[key].times) if key in theirs else None
            for key, layer in ours.items()
        ),
        compared(record.whole, old.whole),
        tuple(key for key in ours if key not in theirs),
        tuple(key for key in theirs if key not in ours),
        tuple(key for key in both if ours[key].cost != theirs[key].cost),
        tuple(_differences(record, old)),
    )


def _keyed(layers: Iterable[LayerTime]) -> dict[LeafKey, LayerTime]:
    met: Counter[tuple[str, str]] = Counter()
    found: dict[LeafKey, LayerTime] = {}
    for layer in layers:
        name = layer.cost.path, layer.cost.kind
        found[*name, met[name]] = layer
        met[name] += 1
    return found


def _differences(new: LayerRecord, old: LayerRecord) -> list[str]:
    found = new.machine.differences(old.machine)
    found += differing(
        (name, getattr(old.effort, name), getattr(new.effort, name))
        for name in RoundSettings._fields
    )
    return found + differing(
        [
            ("network", old.network, new.network),
            ("input", _sizes(old), _sizes(new)),
            ("multiply-adds", f"{old.macs:,}", f"{new.macs:,}"),
        ]
    )


def _sizes(record: LayerRecord) -> str:
    return "x".join(map(str, record.shape))
