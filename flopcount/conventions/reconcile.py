"""Why two conventions differ on one tally: kind by kind, in words, to the last unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flopcount.conventions.bundled import convention, price
from flopcount.conventions.pricing import (
    FACT_NAMES,
    Charge,
    Convention,
    Fact,
    Price,
    amount,
    charge,
    worth,
)
from flopcount.entries import Entry, grouped
from flopcount.tally import Tally

_LARGEST = 5
_UNIT_NAMES = {"macs": "multiply-adds", "flops": "floating-point operations"}


class Share(NamedTuple):
    """What one entry comes to under each of two conventions."""

    path: str
    a: int
    b: int

    @property
    def difference(self) -> int:
        """What the second convention counts more than the first."""
        return self.b - self.a


class ReconciledKind(NamedTuple):
    """What the entries of one kind come to that both conventions price alike, and why.

    ``operators`` and ``layers`` are what ran and the classes it ran in, "" for a function call;
    ``largest`` are the entries that differ most. The kind "batch" is what dividing by the samples
    of the batch takes off, where no line can be given its part of it.
    """

    kind: str
    operators: tuple[str, ...]
    layers: tuple[str, ...]
    calls: int
    a: int
    b: int
    why: str
    largest: tuple[Share, ...] = ()

    @property
    def difference(self) -> int:
        """What the second convention counts more than the first."""
        return self.b - self.a


class Reconciliation(NamedTuple):
    """Two prices of one tally, and the lines that lead from the first to the second.

    The lines sum to the totals exactly; ``notes`` say what holds for all of them.
    """

    a: str
    b: str
    unit_a: str
    unit_b: str
    total_a: int
    total_b: int
    lines: tuple[ReconciledKind, ...]
    notes: tuple[str, ...] = ()

    @property
    def difference(self) -> int:
        """What the second convention counts more than the first."""
        return self.total_b - self.total_a


def reconcile(
    tally: Tally, a: str | Convention, b: str | Convention, *, largest: int = _LARGEST
) -> Reconciliation:
    """Why two conventions differ on a tally of plain numbers, the greatest difference first.

    Raises UnknownConventionError, UnpricedKindError and PartOfSampleError as `price` does.
    """
    sides = _PricedTally.of(tally, convention(a)), _PricedTally.of(tally, convention(b))
    groups = grouped(
        ((entry.kind, *(_key(side.charges[place]) for side in sides)), place)
        for place, entry in enumerate(tally.entries)
    )
    lines = [_line(tally, sides, places, largest) for places in groups.values()]
    lines = [line for line in lines if line.a or line.b]
    lines.sort(key=lambda line: (-abs(line.difference), -max(line.a, line.b), line.kind))
    left = [side.total - sum(side.worths) for side in sides]
    if any(left):
        why = "; ".join(side.division() for side in sides if side.chosen.batch != "total")
        lines.append(ReconciledKind("batch", (), (), 0, left[0], left[1], why))
    one, other = sides
    return Reconciliation(
        one.chosen.name,
        other.chosen.name,
        one.chosen.unit,
        other.chosen.unit,
        one.total,
        other.total,
        tuple(lines),
        tuple(_notes(sides, any(left))),
    )


class _PricedTally(NamedTuple):
    """One convention on a tally: what it charges for each entry, and what that comes to."""

    chosen: Convention
    batch: int
    total: int
    charges: tuple[Charge, ...]
    worths: tuple[int, ...]

    @classmethod
    def of(cls, tally: Tally, chosen: Convention) -> _PricedTally:
        total = price(tally, chosen)
        charges = tuple(charge(entry, chosen) for entry in tally.entries)
        both = list(zip(tally.entries, charges, strict=True))
        calls = [worth(entry, found.call) for entry, found in both]
        modules = [worth(entry, found.module) for entry, found in both]
        if chosen.batch == "sample":
            calls = _divided(calls, tally.batch)
        if chosen.batch != "total":
            modules = _divided(modules, tally.batch)
        worths = tuple(call + module for call, module in zip(calls, modules, strict=True))
        return cls(chosen, tally.batch, total, charges, worths)

    def division(self) -> str:
        """What this convention divides, in words."""
        name = self.chosen.name
        what = "what modules are charged" if self.chosen.batch == "modules" else "all"
        return f"{name} divides {what} by the {self.batch} samples of the batch"


def _divided(figures: list[int], batch: int) -> list[int]:
    """Each figure by the batch; all of them as they are where one does not divide."""
    if any(figure % batch for figure in figures):
        return figures
    return [figure // batch for figure in figures]


def _key(found: Charge) -> tuple[tuple[tuple[Fact, int], ...], ...]:
    return tuple(sorted(found.call.items())), tuple(sorted(found.module.items()))


def _line(
    tally: Tally, sides: tuple[_PricedTally, _PricedTally], places: list[int], largest: int
) -> ReconciledKind:
    entries = [tally.entries[place] for place in places]
    one, other = sides
    shares = [
        Share(tally.entries[place].path, one.worths[place], other.worths[place]) for place in places
    ]
    first = sorted(shares, key=lambda share: (-abs(share.difference), -max(share.a, share.b)))
    layers = tuple(sorted({entry.layer for entry in entries if entry.layer is not None}))
    said = [_said(side, side.charges[places[0]], entries, layers) for side in sides]
    verb = "count alike" if said[0] == said[1] else ""
    names = [side.chosen.name for side in sides]
    why = (
        f"{names[0]} and {names[1]} {verb}: {said[0]}"
        if verb
        else f"{names[0]} counts {said[0]}; {names[1]} {said[1]}"
    )
    return ReconciledKind(
        entries[0].kind,
        tuple(sorted({entry.operator for entry in entries if entry.operator})),
        layers,
        len(entries),
        sum(share.a for share in shares),
        sum(share.b for share in shares),
        why,
        tuple(share for share in first[:largest] if share.a or share.b),
    )


def _said(side: _PricedTally, found: Charge, entries: list[Entry], layers: tuple[str, ...]) -> str:
    """What a convention counts for entries, in words."""
    kind = entries[0].kind
    call, module = _terms(found.call, entries), _terms(found.module, entries)
    if call and module:
        return f"{call} as a function and {module} as a module"
    if call or module:
        return call or module
    hooked = sorted(layer for layer, kinds in side.chosen.modules.items() if kind in kinds)
    if hooked and not found.module and not found.call:
        ran = ", ".join(layer or "a function" for layer in layers)
        return f"nothing, for it looks at modules that it knows, and not at {ran}"
    return "nothing"


def _terms(price: Price, entries: Iterable[Entry]) -> str:
    amounts = {fact: sum(amount(entry, fact) for entry in entries) for fact in price}
    units: dict[Fact, int] = {fact: price[fact] for fact in price if amounts[fact] and price[fact]}
    words = dict(FACT_NAMES)
    _folded(units, amounts, words, "inputs", "affine_inputs", "scaled and shifted input element")
    _folded(units, amounts, words, "outputs", "bias_outputs", FACT_NAMES["outputs"])
    terms = [f"{each} for each {words[fact]}" for fact, each in units.items()]
    return " and ".join(terms)


def _folded(
    units: dict[Fact, int],
    amounts: dict[Fact, int],
    words: dict[Fact, str],
    every: Fact,
    some: Fact,
    name: str,
) -> None:
    """Say one number for a fact where a narrower one holds of all of it."""
    if some in units and every in units and amounts[some] == amounts[every]:
        units[every] += units.pop(some)
        words[every] = name


def _notes(sides: tuple[_PricedTally, _PricedTally], left: bool) -> Iterable[str]:
    one, other = sides
    if one.chosen.unit != other.chosen.unit:
        twice, once = (one, other) if one.chosen.unit == "flops" else (other, one)
        yield (
            f"{twice.chosen.name} is in {_UNIT_NAMES['flops']} and {once.chosen.name} in"
            f" {_UNIT_NAMES['macs']}: a multiply-add is two operations, a factor of two before"
            " anything else"
        )
    for side in sides:
        if side.chosen.batch != "total" and side.batch != 1 and not left:
            yield side.division()
