"""Tables for people and for programs: rich on a terminal, markdown, latex, csv; and JSON.

A table holds its numbers as ints: people read them with separators, programs as they are.
"""

from __future__ import annotations

from typing import assert_never

from flopcount.report.csv import to_csv
from flopcount.report.json import to_json
from flopcount.report.latex import to_latex
from flopcount.report.markdown import to_markdown
from flopcount.report.table import Cell, Format, Math, Signed, Table
from flopcount.report.terminal import show, to_text

__all__ = ["Cell", "Format", "Math", "Signed", "Table", "render", "show", "to_json"]


def render(table: Table, form: Format) -> str:
    """The table as text in a format."""
    match form:
        case "table":
            return to_text(table, "utf-8")
        case "markdown":
            return to_markdown(table)
        case "latex":
            return to_latex(table)
        case "csv":
            return to_csv(table)
        case _:
            assert_never(form)
