"""Confirming what a command shows: the witnesses asked, their differences told."""

from __future__ import annotations

from collections.abc import Iterable

from shufflenet.cli.output import say
from shufflenet.cost.priced import Priced


def confirmed(items: Iterable[Priced]) -> list[Priced]:
    """The items with what the witnesses say; every difference goes to standard error."""
    from shufflenet.nn.confirm import confirm

    checked = []
    for item in items:
        proof = confirm(item.network, item.tally)
        for difference in proof.differences:
            say(f"shufflecost: {item.network.spec.name}, g={item.network.groups}: {difference}")
        checked.append(item._replace(confirmed=proof.agreed, witnesses=proof.witnesses))
    return checked


def verdict(items: Iterable[Priced]) -> int:
    """The exit code: 1 where any item was checked and disagrees."""
    return int(any(item.confirmed is False for item in items))
