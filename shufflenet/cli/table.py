"""``shufflecost table``: Table 1 as the paper lays it out, at any scale."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from flopcount.conventions import convention
from flopcount.report import Table
from shufflenet.arch.network import hinted, network
from shufflenet.arch.spec_reader import load
from shufflenet.cli import options
from shufflenet.cli.confirming import confirmed, verdict
from shufflenet.cli.output import OutputFormat, emit
from shufflenet.cost.priced import Priced, column_json, input_json, priced, rows_json


@click.command(
    short_help="Table 1, for any scale, groups and image size.",
    epilog=options.epilog(
        "shufflecost table --scale 0.5",
        "shufflecost table --scale 0.25 --stem 12 --groups 1,3",
        "shufflecost table --spec arch2 --size 480x640 --format markdown",
        "shufflecost table --confirm --format json -o table1.json",
    ),
)
@options.spec_option
@options.scale_option
@click.option("--groups", type=options.GROUPS, help="Columns to show. Default: all of the spec's.")
@options.size_option
@click.option("--stem", type=options.WIDTH, help="Width of the stem, instead of the scaled one.")
@options.convention_option
@options.units_from_option
@options.confirm_flag
@options.output_options
def table(
    spec: str,
    scale: Decimal,
    groups: tuple[int, ...] | None,
    size: tuple[int, int] | None,
    stem: int | None,
    convention: str,
    units_from: tuple[str, ...],
    confirm: bool,
    form: OutputFormat,
    path: str | None,
) -> int:
    """Table 1 of the paper, for a scale: rows, widths, complexity, parameters, memory.

    A width that the scale makes illegal is rounded up, as the paper does; a footnote says which
    and why.
    """
    proof = confirm and options.wants_proof(confirm)
    loaded = load(spec)
    chosen = _convention(convention)
    columns = [
        priced(network(loaded, g, scale=scale, size=size, stem=stem, units_from=units_from), chosen)
        for g in groups or loaded.groups
    ]
    if proof:
        columns = confirmed(columns)
    emit(form, path, lambda: _table(columns), lambda: _figures(columns))
    return verdict(columns)


_convention = convention


def _figures(columns: list[Priced]) -> dict[str, Any]:
    first = columns[0].network
    return {
        "spec": first.spec.name,
        "scale": float(first.scale),
        "input": input_json(first),
        "convention": columns[0].convention.name,
        "columns": [column_json(column) for column in columns],
        "rows": rows_json([column.network for column in columns]),
    }


def _table(columns: list[Priced]) -> Table:
    from shufflenet.cost.tables import hint_notes, scale_title, table_one

    first = columns[0]
    hints = hinted(first.network, first.convention.name)
    return table_one(
        scale_title(first.network),
        columns,
        [f"g = {column.network.groups}" for column in columns],
        notes=list(hint_notes(first.network, first.convention, hints)),
    )
