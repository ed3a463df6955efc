"""``shufflecost reconcile``: why two conventions differ on one network, to the last unit."""

from __future__ import annotations

from typing import Any

import click

from flopcount.report import Cell, Signed, Table
from shufflenet.arch.quantities import Input
from shufflenet.cli import options, target_options
from shufflenet.cli.output import OutputFormat, emit
from shufflenet.cost.breakdown import WHOLE, priceable
from shufflenet.targets.count import CountedTarget, Execution


@click.command(
    short_help="Why two conventions differ on a network.",
    epilog=options.epilog(
        "shufflecost reconcile torchvision:resnet50 fvcore thop",
        "shufflecost reconcile shufflenet shufflenet-paper macs",
        "shufflecost reconcile model.onnx macs my-convention.toml --input 1x3x224x224",
        own=True,
    ),
)
@options.target_options
@click.argument("first", metavar="CONVENTION", type=options.CONVENTION)
@click.argument("second", metavar="CONVENTION", type=options.CONVENTION)
@click.option(
    "--largest",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="How many of the layers that differ most are shown of each kind.",
)
@options.output_options
def reconcile(
    target: str,
    arguments: tuple[str, ...],
    inputs: tuple[Input, ...],
    execution: Execution,
    backward: bool,
    first: str,
    second: str,
    largest: int,
    form: OutputFormat,
    path: str | None,
) -> int:
    """Price TARGET under two conventions, and explain the difference kind by kind.

    TARGET and its options are those of `shufflecost count`: a callable of yours is RUN.
    """
    from flopcount.conventions.reconcile import reconcile as explain

    a, b = target_options.convention(first), target_options.convention(second)
    item = target_options.network(target, arguments, inputs, execution, backward)
    with target_options.priced(target):
        found = explain(priceable(item.tally), a, b, largest=largest)
    said = [f"in no figure: {item.uncounted}"] if item.uncounted else []
    found = found._replace(notes=(*found.notes, *said, *target_options.caveats(item, a, b)))
    emit(form, path, lambda: _table(item, found), lambda: _figures(item, found))
    return 0


def _table(item: CountedTarget, found: Any) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for line in found.lines:
        rows.append((line.kind, line.why, line.calls, line.a, line.b, Signed(line.difference)))
        rows += [
            ("", share.path or WHOLE, None, share.a, share.b, Signed(share.difference))
            for share in line.largest
            if share.difference
        ]
    total = ("Total", "", None, found.total_a, found.total_b, Signed(found.difference))
    units = {"macs": "MAC", "flops": "FLOP"}
    headers = (f"{found.a} [{units[found.unit_a]}]", f"{found.b} [{units[found.unit_b]}]")
    return Table(
        f"{item.target}: from {found.a} to {found.b}",
        ("Kind", "Why, and the layers that differ most", "Calls", *headers, "Difference"),
        (*rows, total),
        found.notes,
        frozenset({len(rows) - 1}),
        left=2,
    )


def _figures(item: CountedTarget, found: Any) -> dict[str, Any]:
    return {
        **target_options.described(item),
        "conventions": [
            {"name": found.a, "unit": found.unit_a, "total": found.total_a},
            {"name": found.b, "unit": found.unit_b, "total": found.total_b},
        ],
        "difference": found.difference,
        "lines": [
            {
                "kind": line.kind,
                "operators": list(line.operators),
                "layers": list(line.layers),
                "calls": line.calls,
                "first": line.a,
                "second": line.b,
                "difference": line.difference,
                "why": line.why,
                "largest": [
                    {"path": share.path or WHOLE, "first": share.a, "second": share.b}
                    for share in line.largest
                ],
            }
            for line in found.lines
        ],
        "notes": list(found.notes),
    }
