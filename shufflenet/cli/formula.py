"""``shufflecost formula``: the cost of a unit, derived by running the fold over symbols."""

from __future__ import annotations

from typing import Any

import click

from flopcount.report import Table
from shufflenet.arch import formulas
from shufflenet.cli import options
from shufflenet.cli.output import OutputFormat, emit, say
from shufflenet.units import UNITS, Unit, stage_unit


@click.command(
    short_help="The cost of a unit, derived.",
    epilog=options.epilog(
        "shufflecost formula",
        "shufflecost formula shufflenet resnext --format latex",
        "shufflecost formula my_units:mine --units-from my_units --confirm",
    ),
)
@click.argument("names", metavar="[UNIT]...", nargs=-1, type=options.UNIT)
@options.units_from_option
@options.confirm_flag
@options.output_options
def formula(
    names: tuple[str, ...],
    units_from: tuple[str, ...],
    confirm: bool,
    form: OutputFormat,
    path: str | None,
) -> int:
    """The multiply-adds of a unit at stride 1, derived: h, w, c in and out, bottleneck m, groups g.

    Without a name, every unit that has a formula. For resnext, g is the cardinality. The formula
    is a Python expression; latex gives it as the paper would print it.
    """
    proof = confirm and options.wants_proof(confirm)
    chosen = [stage_unit(name, units_from) for name in names]
    chosen = chosen or [item for item in UNITS.values() if item.stage and not item.needs]
    agreed = [_proved(item) if proof else None for item in chosen]
    emit(
        form,
        path,
        lambda: _table(chosen, agreed),
        lambda: {"formulas": [_figures(*pair) for pair in zip(chosen, agreed, strict=True)]},
    )
    return int(False in agreed)


def _proved(item: Unit) -> bool:
    from shufflenet.nn.confirm import confirm_formula

    differences = confirm_formula(item)
    for difference in differences:
        say(f"shufflecost: {item.name}: {difference}")
    return not differences


def _figures(item: Unit, agreed: bool | None) -> dict[str, Any]:
    return {
        "unit": item.name,
        "formula": formulas.formula(item),
        "latex": formulas.latex(item),
        "confirmed": agreed,
    }


def _table(chosen: list[Unit], agreed: list[bool | None]) -> Table:
    from flopcount.report import Math
    from shufflenet.cost.tables import verdict_text

    rows = tuple(
        (item.name, Math(formulas.formula(item), formulas.latex(item)), verdict_text(ok))
        for item, ok in zip(chosen, agreed, strict=True)
    )
    width = 3 if any(ok is not None for ok in agreed) else 2
    return Table(
        "Multiply-adds of a unit at stride 1 [MAC]",
        ("Unit", "Formula", "Confirmed by hooks")[:width],
        tuple(row[:width] for row in rows),
        left=2,
    )
