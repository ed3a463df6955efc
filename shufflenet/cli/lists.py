"""``specs``, ``units``, ``conventions``: what there is; ``completion``: for the shell."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import get_completion_class

from flopcount.conventions import CONVENTIONS
from flopcount.report import Table
from shufflenet.arch.spec_reader import bundled, load
from shufflenet.cli import options
from shufflenet.cli.output import OutputFormat, emit
from shufflenet.units import UNITS


@click.command(
    short_help="Bundled specs.", epilog=options.epilog("shufflecost specs --format json")
)
@options.output_options
def specs(form: OutputFormat, path: str | None) -> int:
    """The specs that come with the package; a file of your own works wherever a name does."""
    loaded = [load(name) for name in bundled()]
    figures = [
        {
            "name": spec.name,
            "title": spec.title,
            "groups": list(spec.groups),
            "source": spec.source,
            "notes": list(spec.notes),
        }
        for spec in loaded
    ]
    rows = tuple(
        (spec.name, spec.title, ", ".join(map(str, spec.groups)), spec.source) for spec in loaded
    )
    notes = tuple(f"{spec.name}: {note}" for spec in loaded for note in spec.notes)
    headers = ("Name", "Title", "Groups", "Source")
    listing = Table("Bundled specs", headers, rows, notes, left=4)
    emit(form, path, lambda: listing, lambda: {"specs": figures})
    return 0


@click.command(
    short_help="Units that rows can name.", epilog=options.epilog("shufflecost units --format json")
)
@options.output_options
def units(form: OutputFormat, path: str | None) -> int:
    """The units that rows can name; one of your own is package.module:function."""
    figures: list[dict[str, Any]] = [
        {
            "name": unit.name,
            "stage": unit.stage,
            "bottleneck": None if unit.ratio is None else f"1:{unit.ratio}",
            "splits": unit.splits,
            "options": list(unit.options),
            "needs": list(unit.needs),
            "says": unit.says,
        }
        for unit in UNITS.values()
    ]
    rows = tuple(
        (
            item["name"],
            "stage" if item["stage"] else "layer",
            item["bottleneck"],
            item["splits"],
            ", ".join(item["options"]),
            item["says"],
        )
        for item in figures
    )
    headers = ("Name", "Builds", "Bottleneck", "g is", "Options", "What it is")
    listing = Table("Units", headers, rows, left=6)
    emit(form, path, lambda: listing, lambda: {"units": figures})
    return 0


@click.command(
    short_help="Conventions that price a layer.",
    epilog=options.epilog("shufflecost conventions --format json"),
)
@options.output_options
def conventions(form: OutputFormat, path: str | None) -> int:
    """The conventions that price a layer, and where each comes from."""
    figures = [
        {"name": item.name, "unit": item.unit, "says": item.says, "source": item.source}
        for item in CONVENTIONS.values()
    ]
    rows = tuple(tuple(item.values()) for item in figures)
    listing = Table("Conventions", ("Name", "Unit", "Counts", "Source"), rows, left=4)
    emit(form, path, lambda: listing, lambda: {"conventions": figures})
    return 0


@click.command(
    short_help="Completion for a shell.",
    epilog=options.epilog(
        "shufflecost completion bash >> ~/.bashrc",
        "shufflecost completion fish > ~/.config/fish/completions/shufflecost.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """The script that completes shufflecost in a shell."""
    found = get_completion_class(shell)
    assert found is not None
    root = ctx.find_root().command
    click.echo(found(root, {}, "shufflecost", "_SHUFFLECOST_COMPLETE").source())
    return 0
