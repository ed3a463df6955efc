"""The bundled conventions by name, and a tally priced under one of them, or under one of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from flopcount.conventions.pricing import (
    BACKWARD,
    ENTRY_KINDS,
    NO_CHARGE,
    ONE_PER_MAC,
    TWO_PER_MAC,
    Charge,
    Convention,
    charge,
    worth,
)
from flopcount.entries import PRODUCTS, Entry, grouped
from flopcount.integers import Count, total
from flopcount.tally import Tally

# what torch has a formula for, forward and backward
_TORCH_PRODUCTS = ("conv", "linear", "matmul", "attention", "rnn")
_TORCH = {*_TORCH_PRODUCTS, *(f"{kind}_backward" for kind in _TORCH_PRODUCTS)}

_OURS = {
    "shufflenet-paper": Convention(
        "shufflenet-paper",
        "multiply-adds of convolutions only; the FC layer is left out",
        "ShuffleNet v1, Table 1: leaving the FC out gives all five printed complexities",
        "macs",
        {"conv": ONE_PER_MAC},
        ENTRY_KINDS - {"conv"},
    ),
    "macs": Convention(
        "macs",
        "multiply-adds of convolutions, linear maps and matrix products, padding included",
        "this project: one multiply-add for each product that is summed",
        "macs",
        dict.fromkeys(PRODUCTS | BACKWARD, ONE_PER_MAC),
    ),
    "torch": Convention(
        "torch",
        "floating-point operations, two for each multiply-add",
        "torch.utils.flop_counter.FlopCounterMode, torch 2.14.1",
        "flops",
        dict.fromkeys(_TORCH, TWO_PER_MAC),
        ENTRY_KINDS - _TORCH,
        # These reach none of the operators that it has a formula for.
        dict.fromkeys(("mv", "addmv", "dot", "vdot", "inner", "lstm"), NO_CHARGE),
    ),
}
_CONVENTION_NAMES = (
    *_OURS,
    "fvcore",
    "ptflops",
    "ptflops-aten",
    "thop",
    "thop-ultralytics",
    "torchinfo",
    "torchprofile",
    "deepspeed-flops",
    "deepspeed-macs",
    "torch-pruning",
)


@cache
def _tools() -> Mapping[str, Convention]:
    # A command that prices with one of the first three starts without them.
    from flopcount.conventions.tools import TOOLS

    return {item.name: item for item in TOOLS}


class _Bundled(Mapping[str, Convention]):
    """The bundled conventions; it knows their names before it has the price lists."""

    def __getitem__(self, name: str) -> Convention:
        return _OURS[name] if name in _OURS else _tools()[name]

    def __contains__(self, name: object) -> bool:
        return name in _CONVENTION_NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(_CONVENTION_NAMES)

    def __len__(self) -> int:
        return len(_CONVENTION_NAMES)


#: Every bundled convention by its name.
CONVENTIONS: Mapping[str, Convention] = _Bundled()


class UnknownConventionError(ValueError):
    """No convention has that name."""


class PartOfSampleError(ValueError):
    """A convention prices one sample of the batch, and the batch does not divide the price."""


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
    that the convention neither prices nor lists as free, PartOfSampleError where the convention
    divides by the batch and there is a remainder.
    """
    chosen = convention(name)
    return _summed(tally.entries, chosen, tally.batch)


def price_by_kind(tally: Tally, name: str | Convention = "macs") -> dict[str, Count]:
    """What each kind of layer is worth under a convention; the sum is the price.

    Raises UnknownConventionError, UnpricedKindError and PartOfSampleError as `price` does.
    """
    chosen = convention(name)
    split = grouped((entry.kind, entry) for entry in tally.entries)
    return {kind: _summed(tuple(entries), chosen, tally.batch) for kind, entries in split.items()}


def price_entry(entry: Entry, name: str | Convention = "macs", batch: Count = 1) -> Count:
    """What one leaf is worth under a convention, in the convention's unit.

    Raises UnknownConventionError, UnpricedKindError and PartOfSampleError as `price` does.
    """
    return _summed((entry,), convention(name), batch)


def per_sample(figure: Count, batch: Count, chosen: Convention) -> Count:
    """A figure divided by the batch. Raises PartOfSampleError where there is a remainder."""
    if type(batch) is int and batch == 1:
        return figure
    if type(figure) is int and type(batch) is int and (not batch or figure % batch):
        raise PartOfSampleError(
            f"convention {chosen.name} prices one sample: {figure} for a batch of {batch}"
            " does not divide"
        )
    return figure // batch


def _summed(entries: tuple[Entry, ...], chosen: Convention, batch: Count) -> Count:
    calls: list[Count] = []
    modules: list[Count] = []
    known: dict[tuple[str, str, str | None], Charge] = {}
    for entry in entries:
        key = (entry.kind, entry.operator, entry.layer)
        found = known.get(key)
        if found is None:
            found = known[key] = charge(entry, chosen)
        if found.call:
            calls.append(worth(entry, found.call))
        if found.module:
            modules.append(worth(entry, found.module))
    if chosen.batch == "total":
        return total([*calls, *modules])
    if chosen.batch == "modules":
        return total([*calls, per_sample(total(modules), batch, chosen)])
    return per_sample(total([*calls, *modules]), batch, chosen)
