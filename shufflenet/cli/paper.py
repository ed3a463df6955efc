"""``shufflecost paper``: one of the paper's tables as it prints it, ours beside its figures."""

from __future__ import annotations

import click

from shufflenet.cli import options
from shufflenet.cli.output import OutputFormat, emit
from shufflenet.paper.claim_files import load_claims
from shufflenet.paper.page import columns_of, read_page
from shufflenet.paper.paper_tables import paper_json, paper_table


@click.command(
    short_help="A table of the paper, ours beside it.",
    epilog=options.epilog(
        "shufflecost paper 2",
        "shufflecost paper 5 --format markdown",
        "shufflecost paper 6 --format latex -o table6.tex",
        codes=options.FINDINGS,
    ),
)
@click.argument("table", type=click.Choice([*map(str, range(1, 9))]), metavar="TABLE")
@options.output_options
def paper(table: str, form: OutputFormat, path: str | None) -> int:
    """Table 1 to 8 of the ShuffleNet paper, our exact figures beside what it prints.

    What is measured (errors, precision, times) is shown as reported. The verdicts are those of
    `shufflecost audit`.
    """
    page = read_page(table, load_claims())
    emit(form, path, lambda: paper_table(page, columns_of(page)), lambda: paper_json(page))
    return 0
