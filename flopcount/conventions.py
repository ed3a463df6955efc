"""Conventions as data: what the raw facts of a Tally are worth, and to whom.

Count once, price under any convention. A kind that a convention neither prices nor lists as free
is refused, so that nothing is worth zero in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, assert_never

from flopcount.integers import Count, product, total
from flopcount.tally import Entry, Tally

#: A raw fact of an entry: its multiply-adds, or the elements that go in or come out.
Fact: TypeAlias = Literal["macs", "inputs", "outputs"]

# Kinds without a product that is summed: what they do is comparing, adding, scaling or moving.
_FREE = frozenset(
    {
        "batch_norm",  # folds into the convolution before it
        "relu",
        "max_pool",
        "avg_pool",  # sums without products
        "global_avg_pool",
        "channel_shuffle",  # moves only
        "add",
        "concat",
        "flatten",
        "identity",
        "dropout",
        "uncalled",  # did not run; there for its parameters
    }
)


class UnknownConventionError(ValueError):
    """No convention has that name."""


class UnpricedKindError(ValueError):
    """A convention says nothing about a kind of layer."""


@dataclass(frozen=True, slots=True)
class Convention:
    """A way to price a Tally: for each kind, how many units each raw fact is worth.

    ``unit`` says what the figure is called; ``free`` lists the kinds that are worth nothing, each
    on purpose. Raises ValueError where a kind is both priced and free.
    """

    name: str
    says: str
    source: str
    unit: Literal["macs", "flops"]
    prices: Mapping[str, Mapping[Fact, int]]
    free: frozenset[str] = _FREE

    def __post_init__(self) -> None:
        both = sorted(self.free & set(self.prices))
        if both:
            raise ValueError(f"convention {self.name}: {', '.join(both)}: both priced and free")


_MAC: Mapping[Fact, int] = MappingProxyType({"macs": 1})
_TWO: Mapping[Fact, int] = MappingProxyType({"macs": 2})

#: Every bundled convention by its name.
CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        convention.name: convention
        for convention in (
            Convention(
                "shufflenet-paper",
                "multiply-adds of convolutions only; the FC layer is left out",
                "ShuffleNet v1, Table 1: leaving the FC out gives all five printed complexities",
                "macs",
                {"conv": _MAC},
                _FREE | {"linear", "matmul"},
            ),
            Convention(
                "macs",
                "multiply-adds of convolutions, linear maps and matrix products, padding included",
                "this project: one multiply-add for each product that is summed",
                "macs",
                {"conv": _MAC, "linear": _MAC, "matmul": _MAC},
            ),
            Convention(
                "torch",
                "floating-point operations, two for each multiply-add",
                "torch.utils.flop_counter.FlopCounterMode, torch 2.14.1",
                "flops",
                {"conv": _TWO, "linear": _TWO, "matmul": _TWO},
            ),
        )
    }
)


def convention(name: str | Convention) -> Convention:
    """The convention of that name. Raises UnknownConventionError where there is none."""
    if isinstance(name, Convention):
        return name
    if name not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        raise UnknownConventionError(f"unknown convention {name!r}: known are {known}")
    return CONVENTIONS[name]


def price(tally: Tally, name: str | Convention = "macs") -> Count:
    """What a tally is worth under a convention, in the convention's unit.

    Raises UnknownConventionError for a name that is none, UnpricedKindError for a kind of layer
    that the convention neither prices nor lists as free.
    """
    chosen = convention(name)
    return total(price_entry(entry, chosen) for entry in tally.entries)


def price_by_kind(tally: Tally, name: str | Convention = "macs") -> dict[str, Count]:
    """What each kind of layer is worth under a convention; the sum is the price.

    Raises UnknownConventionError and UnpricedKindError as `price` does.
    """
    chosen = convention(name)
    split: dict[str, list[Count]] = {}
    for entry in tally.entries:
        split.setdefault(entry.kind, []).append(price_entry(entry, chosen))
    return {kind: total(figures) for kind, figures in split.items()}


def price_entry(entry: Entry, name: str | Convention = "macs") -> Count:
    """What one leaf is worth under a convention, in the convention's unit.

    Raises UnknownConventionError and UnpricedKindError as `price` does.
    """
    chosen = convention(name)
    prices = chosen.prices.get(entry.kind)
    if prices is None:
        if entry.kind not in chosen.free:
            raise UnpricedKindError(
                f"{entry.path}: convention {chosen.name} neither prices {entry.kind!r}"
                " nor lists it as free"
            )
        return 0
    return total(product(worth, _fact(entry, fact)) for fact, worth in prices.items())


def _fact(entry: Entry, fact: Fact) -> Count:
    match fact:
        case "macs":
            return entry.macs
        case "inputs":
            return total(shape.elements for shape in entry.inputs)
        case "outputs":
            return total(shape.elements for shape in entry.outputs)
        case _:
            assert_never(fact)
