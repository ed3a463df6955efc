"""What a detector costs as tables and figures, with the precision that Table 7 reports beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flopcount.report import Cell, Table
from shufflenet.arch.network import Network
from shufflenet.cost.tables import scale_title
from shufflenet.paper.claims import Claim

if TYPE_CHECKING:
    from shufflenet.paper.detection import DetectionCost


def detection_table(
    net: Network, costs: Mapping[int, DetectionCost], precision: Mapping[int, Claim]
) -> Table:
    """The parts of a detector as rows, a column for each shorter side [px]."""
    found = list(costs.values())
    first = found[0]
    rows: list[tuple[Cell, ...]] = [("Image, resized and padded", *map(_run, found), None)]
    names = {"backbone": "Backbone", "rpn": "RPN", "heads": f"Heads, {first.proposals:,} regions"}
    for part, name in names.items():
        rows.append((name, *(c.parts[part].macs for c in found), first.parts[part].params))
    rows.append(("Total", *(c.macs for c in found), first.params))
    sections = {0, len(rows) - 2}
    if any(side in precision for side in costs):
        sections.add(len(rows) - 1)
        cells = [precision[side].printed if side in precision else None for side in costs]
        rows.append(("mAP [.5, .95] (%), as reported", *cells, None))
    return Table(
        f"{_title(net)}, as the backbone of Faster R-CNN",
        ("Part", *(f"{side}x [MAC]" for side in costs), "Parameters"),
        tuple(rows),
        (*_notes(net, first), *_source(precision)),
        frozenset(sections),
    )


def _title(net: Network) -> str:
    column = f", g = {net.groups}" if len(net.spec.groups) > 1 else ""
    return f"{scale_title(net)}{column}"


def _run(cost: DetectionCost) -> str:
    h, w = cost.run
    return f"{h}x{w}"


def _notes(net: Network, cost: DetectionCost) -> Iterable[str]:
    from shufflenet.paper.detection import halves

    cut = halves(net)
    ahead, behind = ([name for name, _ in half.children] for half in (cut.features, cut.head))
    h, w = cost.size
    yield (
        f"image {h}x{w}, its shorter side resized; counted in torchvision's detector as it runs;"
        " multiply-adds of convolutions and linear maps"
    )
    yield (
        f"backbone: {_span(ahead)}, stride 16; heads: {_span(behind)} and the predictors,"
        f" {cost.per_region:,} for each region"
    )


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _source(precision: Mapping[int, Claim]) -> Iterable[str]:
    if precision:
        yield "mAP: as the paper's Table 7 reports it; what else its detector has, it does not say"


def detection_json(
    net: Network, costs: Mapping[int, DetectionCost], precision: Mapping[int, Claim]
) -> dict[str, Any]:
    """What a detector costs as figures, for each shorter side [px]."""
    first = next(iter(costs.values()))
    return {
        "spec": net.spec.name,
        "groups": net.groups,
        "scale": float(net.scale),
        "image": list(first.size),
        "proposals": first.proposals,
        "sizes": [
            {
                "shorter_side": side,
                "run": list(cost.run),
                "macs": cost.macs,
                "params": cost.params,
                "region_macs": cost.per_region,
                "parts": [
                    {"part": name, "macs": part.macs, "params": part.params}
                    for name, part in cost.parts.items()
                ],
                "reported_map": precision[side].printed if side in precision else None,
            }
            for side, cost in costs.items()
        ],
    }
