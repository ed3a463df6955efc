"""``shufflecost audit``: every printed figure of the paper against what arithmetic gives."""

from __future__ import annotations

from typing import get_args

import click

from shufflenet.cli import options
from shufflenet.cli.output import OutputFormat, emit
from shufflenet.paper.audit import Verdict
from shufflenet.paper.audit import audit as audited
from shufflenet.paper.audit_tables import audit_json, audit_table
from shufflenet.paper.claim_files import load_claims


@click.command(
    short_help="Every printed figure of the paper, judged.",
    epilog=options.epilog(
        "shufflecost audit",
        "shufflecost audit --table 5",
        "shufflecost audit --only disagree --format markdown",
        codes=options.FINDINGS,
    ),
)
@click.option(
    "--table",
    "page",
    metavar="NUMBER|text",
    help="One table, or the text. Default: all.",
)
@click.option(
    "--only",
    type=click.Choice([*get_args(Verdict)]),
    help="Claims of one verdict. Default: all that arithmetic reaches.",
)
@click.option(
    "--claims", "file", type=options.FILE, help="Claims of your own, instead of the paper's."
)
@options.output_options
def audit(
    page: str | None, only: Verdict | None, file: str | None, form: OutputFormat, path: str | None
) -> int:
    """Every printed figure of the ShuffleNet paper beside ours, with a verdict.

    exact: to the printed digits, counted as Table 1 is. exact under: under one of the declared
    hypotheses, named. nominal: under none, but one figure is printed for several networks. not
    reproducible: under none, with the reason and the nearest. reported only: measured.
    A figure that does not come out is a finding and no failure.
    """
    every = sheets = load_claims(file)
    if page is not None:
        known = ", ".join(sheet.page for sheet in sheets)
        sheets = tuple(sheet for sheet in sheets if sheet.page == page)
        if not sheets:
            raise click.UsageError(f"--table {page!r}: no claims of it; there are {known}")
    found = audited(sheets, every)
    name = "ShuffleNet v1" if file is None else file
    title = f"{name}: printed figures and ours"
    emit(form, path, lambda: audit_table(found, title, only), lambda: audit_json(found, only))
    return 0
