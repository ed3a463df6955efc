"""``shufflecost cost``: where the cost of one network lies, by row or by layer."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

import click

from flopcount.conventions import price, price_entry
from flopcount.report import Table
from shufflenet.arch.network import network
from shufflenet.arch.spec_reader import load
from shufflenet.bench.latency.tables import prediction_text
from shufflenet.cli import options, target_options
from shufflenet.cli.confirming import confirmed, verdict
from shufflenet.cli.output import OutputFormat, emit
from shufflenet.cost.latency_model import Model, prediction_json
from shufflenet.cost.priced import Priced, column_json, input_json, priced


@click.command(
    short_help="The cost of one network, by row or by layer.",
    epilog=options.epilog(
        "shufflecost cost shufflenet --groups 8",
        "shufflecost cost arch2 --groups 3 --stem 12 --widths 132,264,528",
        "shufflecost cost my-net.toml --layers --format csv -o layers.csv",
        "shufflecost cost shufflenet --latency machine.json",
    ),
)
@click.argument("spec", type=options.SPEC)
@options.group_option
@options.scale_option
@options.size_option
@click.option("--stem", type=options.WIDTH, help="Width of the stem, instead of the scaled one.")
@click.option("--widths", type=options.WIDTHS, help="Of the stages, instead of the scaled ones.")
@click.option("--unit", type=options.UNIT, help="Unit of all stages, instead of the spec's.")
@options.cardinality_option
@click.option("--layers", is_flag=True, help="Every layer by its path, instead of every row.")
@options.own_convention_option("shufflenet-paper")
@options.latency_option
@options.units_from_option
@options.confirm_flag
@options.output_options
def cost(
    spec: str,
    groups: int | None,
    scale: Decimal,
    convention: str,
    layers: bool,
    latency: str | None,
    confirm: bool,
    form: OutputFormat,
    path: str | None,
    **choices: Any,
) -> int:
    """The cost of one network: multiply-adds, parameters, activations, bytes moved."""
    if choices["widths"] is not None and scale != 1:
        raise click.UsageError("--widths and --scale exclude each other")
    proof = confirm and options.wants_proof(confirm)
    net = network(load(spec), groups, scale=scale, **choices)
    item = priced(net, target_options.convention(convention))
    predicted = None if latency is None else _predicted(item, latency)
    if proof:
        (item,) = confirmed([item])
    emit(form, path, lambda: _table(item, layers, predicted), lambda: _figures(item, predicted))
    return verdict([item])


class _Predicted(NamedTuple):
    """The time that a model predicts [ns]."""

    ns: int
    model: Model


def _predicted(item: Priced, path: str) -> _Predicted:
    from shufflenet.cost.latency_files import load_model

    model = load_model(path)
    return _Predicted(model.network(item.network.tree, item.tally), model)


def _table(item: Priced, layers: bool, predicted: _Predicted | None) -> Table:
    from shufflenet.cost.tables import breakdown, layer_by_layer, scale_title, widths_text

    net = item.network
    title = f"{scale_title(net)}, g = {net.groups}, widths {widths_text(net)}"
    table = layer_by_layer(item, title) if layers else breakdown(item, title)
    if predicted is None:
        return table
    return replace(table, notes=(*table.notes, prediction_text(*predicted)))


def _figures(item: Priced, predicted: _Predicted | None) -> dict[str, Any]:
    net, tally = item.network, item.tally
    return {
        "spec": net.spec.name,
        "unit": net.frame.unit,
        "scale": float(net.scale),
        "input": input_json(net),
        "convention": item.convention.name,
        **column_json(item),
        "depth": net.depth,
        "param_bytes": tally.param_bytes,
        "activations": tally.activations,
        "bytes_moved": tally.bytes_moved,
        "latency": None if predicted is None else prediction_json(*predicted),
        "rows": [_row(item, placed) for placed in net.rows],
        "layers": [
            {
                "path": entry.path,
                "kind": entry.kind,
                "inputs": [list(shape) for shape in entry.inputs],
                "outputs": [list(shape) for shape in entry.outputs],
                "macs": price_entry(entry, item.convention),
                "params": entry.params,
            }
            for entry in tally.entries
        ],
    }


def _row(item: Priced, placed: Any) -> dict[str, Any]:
    part = item.tally.under(placed.paths)
    return {
        "layer": placed.row.layer,
        "unit": placed.row.unit,
        "output": list(placed.output),
        "width": placed.channels,
        "paths": list(placed.paths),
        "macs": price(part, item.convention),
        "params": part.params,
        "activations": part.activations,
        "bytes_moved": part.bytes_moved,
    }
