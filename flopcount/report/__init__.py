"""Tables for people and for programs: rich on a terminal, markdown, latex, csv; and JSON.

A table holds its numbers as ints: people read them with separators, programs as they are. The code
of a format is loaded when the format is asked for.
"""

from __future__ import annotations

from typing import TextIO, assert_never

from flopcount.report.json import to_json
from flopcount.report.table import Cell, Format, Math, Signed, Table

__all__ = ["Cell", "Format", "Math", "Signed", "Table", "render", "show", "to_json"]


def render(table: Table, form: Format) -> str:
    """The table as text in a format."""
    match form:
        case "table":
            from flopcount.report.terminal import to_text

            return to_text(table, "utf-8")
        case "markdown":
            from flopcount.report.markdown import to_markdown

            return to_markdown(table)
        case "latex":
            from flopcount.report.latex import to_latex

            return to_latex(table)
        case "csv":
            from flopcount.report.csv import to_csv

            return to_csv(table)
        case _:
            assert_never(form)


def show(table: Table, stream: TextIO) -> None:
    """Write the table to a stream: in colour and fitted where it is a terminal."""
    from flopcount.report.terminal import draw

    draw(table, stream)
