"""What the pictures show, as records: `shufflenet.plots.figures` draws them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from flopcount.conventions import Convention, price, price_entry
from flopcount.conventions import convention as named
from flopcount.layers import Conv, leaves
from shufflenet.cost.priced import Priced
from shufflenet.paper.audit import Audit, Finding, costs_beside
from shufflenet.paper.candidates import network_under
from shufflenet.paper.claims import Claim, Sheet, Subject

#: The tables of the paper whose models have an error and a complexity.
ERROR_TABLES = ("2", "3", "4", "5", "6")
_UNITS = {"vgg": "VGG-like", "resnet": "ResNet", "xception": "Xception-like", "resnext": "ResNeXt"}
_SPECS = {
    "shufflenet": "ShuffleNet",
    "arch2": "ShuffleNet, arch2",
    "shallow": "ShuffleNet, shallow",
    "mobilenet_v1": "MobileNet",
}
#: Models that stand alone, each under its own name.
ALONE = "other"
_UNSHUFFLED = "without shuffle"
#: The convention by which every model's cost is counted: that of Table 1.
COUNTED = "shufflenet-paper"
# In another picture than the paper's, "our" would be somebody else's.
_OUR, _THEIR = "our impl.", "authors' impl."


class ErrorPoint(NamedTuple):
    """One model of the paper: its family, its cost [MAC] and its reported error [%].

    ``printed`` says that the cost is the printed one, as our network is not the paper's.
    """

    family: str
    label: str
    macs: int
    error: Decimal
    printed: bool = False


def error_points(sheets: Sequence[Sheet], found: Audit) -> tuple[ErrorPoint, ...]:
    """Every model of Tables 2 to 6 with its reported error.

    What tables repeat, one family at the same cost with the same error, is one point.
    """
    findings = {finding.claim.key: finding for finding in found.findings}
    points: dict[tuple[str, int, Decimal], ErrorPoint] = {}
    for sheet in sheets:
        if sheet.page not in ERROR_TABLES:
            continue
        findings |= costs_beside(sheet, sheets)
        for claim in sheet.claims:
            if claim.says == "error":
                for point in _points(sheet, claim, findings):
                    points.setdefault((point.family, point.macs, point.error), point)
    return tuple(points.values())


def _points(sheet: Sheet, claim: Claim, findings: Mapping[str, Finding]) -> Iterator[ErrorPoint]:
    error = Decimal(claim.printed)
    if claim.subject is not None:
        macs = _cost(findings[claim.key])
        family = _UNSHUFFLED if "no shuffle" in claim.column else _family(claim.subject)
        if macs is not None:
            yield ErrorPoint(family, claim.row, macs, error)
        return
    for other in sheet.claims:
        if other.says != "complexity" or other.row != claim.row:
            continue
        if other.nominal and (other.subject is None or other.subject.name != claim.column):
            continue
        ours = _cost(findings[other.key])
        family = ALONE if other.subject is None else _family(other.subject)
        label = claim.row.replace(_OUR, _THEIR)
        label = label if family == ALONE else f"{label}, {claim.column}"
        macs = int(Decimal(other.printed) * 1_000_000) if ours is None else ours
        yield ErrorPoint(family, label, macs, error, printed=ours is None)


def _cost(finding: Finding) -> int | None:
    """What our network of a printed complexity costs [MAC]; None where it is not the paper's.

    It is the network that gives the printed figure. Where none does and the figure is nominal,
    printed once for several networks, it is the baseline's: the first candidate of the audit.
    """
    claim, best = finding.claim, finding.best
    if claim.subject is None or best is None or finding.verdict == "disagree":
        return None
    net = network_under(claim.subject, best.hypothesis)
    # The figure may come out with the FC layer counted: all stand on one axis, counted alike.
    return None if net is None else int(price(net.tally(memory=False), named(COUNTED)))


def _family(subject: Subject) -> str:
    if subject.unit is not None:
        return _UNITS.get(subject.unit, subject.unit)
    return _SPECS.get(subject.spec, ALONE)


class KindShare(NamedTuple):
    """What the layers of one kind cost in one row of a network, in the convention's unit."""

    row: str
    kind: str
    cost: int


def parts(item: Priced) -> tuple[KindShare, ...]:
    """The cost of a network by row and, within a row, by kind; what costs nothing is left out."""
    kinds = {
        path: _kind(leaf) for path, leaf in leaves(item.network.tree) if isinstance(leaf, Conv)
    }
    found: dict[tuple[str, str], int] = {}
    for row, paths in _rows(item):
        for entry in item.tally.under(paths).entries:
            cost = price_entry(entry, item.convention)
            kind = kinds.get(entry.path, _NAMES.get(entry.kind, entry.kind.replace("_", " ")))
            if cost:
                found[row, kind] = found.get((row, kind), 0) + cost
    return tuple(KindShare(row, kind, cost) for (row, kind), cost in found.items())


_NAMES = {"linear": "FC"}


def _rows(item: Priced) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The rows with their units' paths; of a layer of several rows each says how many it has."""
    layers = [placed.row.layer for placed in item.network.rows]
    seen: dict[str, int] = {}
    for placed in item.network.rows:
        name, count = placed.row.layer, len(placed.paths)
        first = seen.get(name, 0) + 1
        seen[name] = first + count - 1
        if layers.count(name) > 1:
            last = seen[name]
            name = f"{name}, unit {first}" if first == last else f"{name}, units {first}-{last}"
        yield name, placed.paths


def _kind(leaf: Conv) -> str:
    size = f"{leaf.kernel}x{leaf.kernel}"
    if leaf.groups == 1:
        return f"{size} convolution"
    return f"{size} depthwise" if leaf.groups == leaf.c_in else f"{size} group convolution"


class WidthPoint(NamedTuple):
    """The widths of the stages [channels] that a budget allows at a number of groups."""

    groups: int
    stem: int | None
    widths: tuple[int, ...]
    cost: int


def width_point(groups: int, item: Priced) -> WidthPoint:
    """A solution as a point."""
    net = item.network
    return WidthPoint(groups, net.stem, net.stage_widths, item.cost)


def unit_axis(convention: Convention) -> str:
    """What an axis of costs is called: the convention, in millions of its unit."""
    unit = "MAC" if convention.unit == "macs" else "FLOP"
    return f"Cost by the convention {convention.name} [$10^6$ {unit}]"
