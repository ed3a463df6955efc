"""The proof: the analytic cost against three counts of the built module, leaf by leaf.

Four witnesses see the same network. The first reads the layer tree and runs nothing, the second
hangs hooks on the built module, the third answers every function that it calls, and the fourth,
torch's own counter, counts the operators that torch dispatches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from flopcount.counters import hooks, trace
from flopcount.entries import VIEW_KINDS, Entry, Shape
from flopcount.layers import constraints
from flopcount.tally import Tally
from shufflenet.arch.formulas import derive
from shufflenet.arch.network import Network
from shufflenet.nn.builder import build
from shufflenet.units import Place, Unit, UnitError, made


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure on which the witnesses disagree; None where a witness does not know the leaf."""

    path: str
    what: str
    analytic: str | int | None
    hooks: str | int | None
    trace: str | int | None
    torch: str | int | None

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.what}: analytic {self.analytic}, hooks {self.hooks},"
            f" trace {self.trace}, torch {self.torch}"
        )


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the witnesses say of a network: every difference, and how many leaves were compared.

    ``witnesses`` are the multiply-adds of the whole network by each of them [MAC].
    """

    leaves: int
    macs: int
    params: int
    differences: tuple[Difference, ...]
    witnesses: Mapping[str, int | str]

    @property
    def agreed(self) -> bool:
        """Whether all witnesses agree, to the last multiply-add."""
        return not self.differences


def confirm(network: Network, tally: Tally | None = None) -> Confirmation:
    """Compare the analytic cost of a network with its built module, counted three times.

    ``tally`` is the analytic cost where it is at hand. Compared at every leaf: kind, shapes,
    multiply-adds [MAC], parameters; torch's counter knows the multiply-adds alone, as two FLOPs
    each. The module is built and run on the meta device.
    """
    claimed = network.tally(memory=False) if tally is None else tally
    module = build(network, device="meta")
    shape = tuple(network.input)
    counted = hooks.count(module, shape=shape)
    traced = trace.count(module, shape=shape)
    return compare(claimed, counted, traced, torch_flops(module, shape))


# Where a formula is held against a built unit: odd sizes, and widths of many divisors.
_SIZES = ((7, 5), (14, 14), (1, 9), (28, 28))
_WIDTHS = (24, 36, 40, 48, 96, 120, 128, 192, 240, 256, 384, 480, 512, 768, 1024)
_GROUPS = (4, 3, 2, 8, 1, 16, 32)


def confirm_formula(unit: Unit) -> tuple[Difference, ...]:
    """Hold a unit's formula against the unit built and counted by hooks, at several places.

    Raises UnitError where no place is found that keeps the unit's rules.
    """
    from sympy import symbols

    expression = derive(unit)
    names = symbols("c h w m g", positive=True, integer=True)
    places = [next(_legal_places(unit, h, w), None) for h, w in _SIZES]
    if None in places:
        raise UnitError(f"unit {unit.name}: no widths are found that keep its rules")
    found = []
    for (h, w), place in zip(_SIZES, filter(None, places), strict=True):
        c, m, g = place.c_in, place.m, place.groups
        value = int(expression.subs(dict(zip(names, (c, h, w, m, g), strict=True))))
        module = build(made(unit, place), device="meta")
        counted = hooks.count(module, shape=(1, c, h, w))
        if counted.macs != value:
            at = f"c={c}, h={h}, w={w}, m={m}, g={g}"
            found.append(Difference(at, "macs", value, counted.macs, None, None))
    return tuple(found)


def _legal_places(unit: Unit, h: int, w: int) -> Iterator[Place]:
    """Places at stride 1 where every rule of the unit holds on an image of that size."""
    groups = _GROUPS if unit.splits is not None else (1,)
    for c, g, over in product(_WIDTHS, groups, (4, 2)):
        place = Place(c, c, c // over, 1, g)
        rules = constraints(made(unit, place), Shape(1, c, h, w))
        if all(rule.holds() for _, rule in rules):
            yield place


def compare(claimed: Tally, counted: Tally, traced: Tally, flops: dict[str, int]) -> Confirmation:
    """Join the four witnesses by leaf path: analytic, hooks, trace, and torch's FLOPs by path."""
    differences = tuple(_differences(claimed, counted, traced, flops))
    said: dict[str, int | str] = {
        "analytic": claimed.macs,
        "hooks": counted.macs,
        "trace": traced.macs,
        "torch": _half(flops.get("", 0)),
    }
    return Confirmation(len(claimed.entries), claimed.macs, claimed.params, differences, said)


def torch_flops(module: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """What torch's own counter finds below each module path; the whole is under ``""``."""
    counter = FlopCounterMode(display=False)
    training = [child for child in module.modules() if child.training]
    try:
        with torch.no_grad(), counter:
            devices = (parameter.device for parameter in module.parameters())
            module.eval()(torch.empty(shape, device=next(devices, torch.device("cpu"))))
    finally:
        for child in training:
            child.training = True
    found: dict[str, int] = {}
    for name, flops in counter.get_flop_counts().items():
        if name != "Global":
            found[name.partition(".")[2]] = sum(flops.values())
    return found


def _differences(
    claimed: Tally, counted: Tally, traced: Tally, flops: dict[str, int]
) -> Iterator[Difference]:
    ours, theirs, seen = claimed.by_path(), counted.by_path(), traced.by_path()
    for path in dict.fromkeys([*ours, *theirs, *seen]):
        leaf = (ours.get(path, ()), theirs.get(path, ()), seen.get(path, ()))
        yield from _leaf(path, leaf, flops)
    # What is found anywhere must have been found at a leaf: nothing hides between the leaves.
    whole = _half(flops.get("", 0))
    if not claimed.macs == counted.macs == traced.macs == whole:
        yield Difference("(whole)", "macs", claimed.macs, counted.macs, traced.macs, whole)
    if not claimed.params == counted.params == traced.params:
        figures = (claimed.params, counted.params, traced.params)
        yield Difference("(whole)", "params", *figures, None)


def _leaf(
    path: str, leaf: tuple[tuple[Entry, ...], ...], flops: dict[str, int]
) -> Iterator[Difference]:
    one, other, third = map(_facts, leaf)
    if not leaf[2] and all(entry.kind in VIEW_KINDS for entry in leaf[1]):
        # A function that only renames a tensor is no operator, and the trace has none there.
        third = other
    half = _half(flops.get(path, 0))
    for what in ("kind", "shapes", "macs", "weight", "bias"):
        a, b, c = one.get(what), other.get(what), third.get(what)
        if not a == b == c or (what == "macs" and a != half):
            yield Difference(path or "(root)", what, a, b, c, half if what == "macs" else None)


def _facts(entries: tuple[Entry, ...]) -> dict[str, str | int]:
    if not entries:
        return {}
    return {
        "kind": ", ".join(entry.kind for entry in entries),
        "shapes": ", ".join(
            f"{' '.join(map(str, e.inputs))} -> {' '.join(map(str, e.outputs))}" for e in entries
        ),
        "macs": sum(entry.macs for entry in entries),
        "weight": sum(entry.weight for entry in entries),
        "bias": sum(entry.bias for entry in entries),
    }


def _half(flops: int) -> int | str:
    # torch counts a multiply-add as two; an odd figure is none of ours.
    return flops // 2 if flops % 2 == 0 else f"{flops}/2"
