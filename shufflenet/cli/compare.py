"""``shufflecost compare``: units in one frame at one budget, as in the paper's Table 4."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from flopcount.conventions import Convention
from flopcount.conventions import convention as named
from flopcount.report import Math, Table
from shufflenet.arch.formulas import formula, latex
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec_reader import load
from shufflenet.cli import options
from shufflenet.cli.confirming import confirmed, verdict
from shufflenet.cli.output import OutputFormat, emit, say
from shufflenet.cost.priced import Priced, input_json, priced
from shufflenet.units import Unit, UnitError, stage_unit

_DEFAULT = "shufflenet,resnet,resnext,xception,vgg"


class _Line(NamedTuple):
    """One unit at one budget."""

    budget: int
    unit: Unit
    item: Priced
    residual: int
    formula: Math | None
    notable: bool

    @property
    def groups(self) -> int | None:
        return self.item.network.groups if self.unit.splits == "groups" else None

    @property
    def cardinality(self) -> int | None:
        return self.item.network.frame.cardinality if self.unit.splits == "cardinality" else None


@click.command(
    short_help="Units in one frame at one budget.",
    epilog=options.epilog(
        "shufflecost compare --units resnet,resnext,xception",
        "shufflecost compare --budget 140M --budget 38M --stem 12",
        "shufflecost compare --units shufflenet,my_units:mine --units-from my_units",
    ),
)
@click.option(
    "--units",
    type=options.UNIT_NAMES,
    default=_DEFAULT,
    show_default=True,
    help="Units to compare.",
)
@click.option(
    "--budget",
    "budgets",
    type=options.BUDGET,
    multiple=True,
    default=("140M",),
    show_default=True,
    help="May be given several times.",
)
@options.spec_option
@click.option("--stem", type=options.STEM, help="A width, several, or auto. Default: the spec's.")
@click.option(
    "--groups",
    type=options.GROUP,
    default=3,
    show_default=True,
    help="Of shufflenet units, and of your own.",
)
@options.cardinality_option
@options.size_option
@options.convention_option
@options.units_from_option
@options.confirm_switch
@options.output_options
def compare(
    units: tuple[str, ...],
    budgets: tuple[int, ...],
    convention: str,
    units_from: tuple[str, ...],
    confirm: bool | None,
    form: OutputFormat,
    path: str | None,
    **choices: Any,
) -> int:
    """Units in the same frame at the same budget: widths, cost, parameters, share, formula."""
    choices["spec"] = load(choices["spec"])
    chosen = [stage_unit(name, units_from) for name in units]
    formulas = {item.name: _formula(item) for item in chosen}
    lines: list[_Line] = []
    unsolved: list[str] = []
    for budget in dict.fromkeys(budgets):
        for item in chosen:
            try:
                line = _line(
                    budget, item, formulas[item.name], named(convention), units_from, choices
                )
                lines.append(line)
            except NothingLegalError as error:
                unsolved.append(str(error))
    for message in unsolved:
        say(f"shufflecost: {message}")
    if not lines:
        return 1
    if options.wants_proof(confirm):
        items = confirmed(line.item for line in lines)
        lines = [a._replace(item=b) for a, b in zip(lines, items, strict=True)]
    for line in lines:
        if line.notable:
            hint = "" if choices["stem"] == "auto" else "; --stem auto may come nearer"
            say(
                f"{line.unit.name} at {line.budget:,}: the nearest legal width misses by"
                f" {line.residual:+,} (above 2%){hint}"
            )
    emit(form, path, lambda: _table(lines), lambda: _figures(lines))
    return int(bool(unsolved)) | verdict(line.item for line in lines)


def _line(
    budget: int,
    item: Unit,
    formula: Math | None,
    convention: Convention,
    units_from: tuple[str, ...],
    choices: dict[str, Any],
) -> _Line:
    from shufflenet.solver.budget import solve

    answer = solve(
        budget=budget,
        unit=item.name,
        units_from=units_from,
        convention=convention,
        **choices,
    )
    found = answer.best
    result = priced(found.network, convention)
    return _Line(budget, item, result, found.residual, formula, answer.notable)


def _formula(item: Unit) -> Math | None:
    try:
        return Math(formula(item), latex(item))
    except UnitError as error:
        # The unit can be solved and counted all the same.
        say(f"shufflecost: {error}")
        return None


def _figures(lines: list[_Line]) -> dict[str, Any]:
    first = lines[0].item.network
    budgets = dict.fromkeys(line.budget for line in lines)
    return {
        "spec": first.spec.name,
        "input": input_json(first),
        "convention": lines[0].item.convention.name,
        "budgets": [
            {"budget": b, "units": [_unit(line) for line in lines if line.budget == b]}
            for b in budgets
        ],
    }


def _unit(line: _Line) -> dict[str, Any]:
    item = line.item
    return {
        "unit": line.unit.name,
        "groups": line.groups,
        "cardinality": line.cardinality,
        "stem": item.network.stem,
        "widths": list(item.network.stage_widths),
        "macs": item.cost,
        "params": item.tally.params,
        "residual": line.residual,
        "pointwise_macs": item.pointwise,
        "pointwise_share": item.pointwise_share,
        "formula": line.formula.text if line.formula else None,
        "confirmed": item.confirmed,
        "witnesses": None if item.witnesses is None else dict(item.witnesses),
    }


def _table(lines: list[_Line]) -> Table:
    from flopcount.report import Signed
    from shufflenet.cost.tables import (
        comparison_notes,
        percent,
        unit_name,
        verdict_text,
        widths_text,
    )

    rows = []
    ends = set()
    for index, line in enumerate(lines):
        item = line.item
        if index + 1 < len(lines) and lines[index + 1].budget != line.budget:
            ends.add(index)
        rows.append(
            (
                line.budget,
                line.unit.name,
                line.groups or line.cardinality,
                item.network.stem,
                widths_text(item.network),
                item.cost,
                Signed(line.residual),
                item.tally.params,
                percent(item.pointwise, item.cost),
                line.formula,
                verdict_text(item.confirmed),
            )
        )
    first = lines[0].item
    headers = ("g", "Stem", "Widths", unit_name(first.convention), "Residual", "Parameters")
    return Table(
        f"Units in the frame of {first.network.spec.title}",
        ("Budget", "Unit", *headers, "1x1 share", "Formula (stride 1)", "Confirmed"),
        tuple(rows),
        tuple(comparison_notes([line.item for line in lines])),
        frozenset(ends),
        left=2,
    )
