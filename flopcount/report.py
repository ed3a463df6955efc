"""Tables for people and for programs: rich on a terminal, markdown, latex, csv; and JSON.

A table holds its numbers as ints: people read them with separators, programs as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any, Literal, TextIO, TypeAlias, assert_never


@dataclass(frozen=True, slots=True)
class Math:
    """A formula: as plain text, and as the TeX that a LaTeX table sets in its place."""

    text: str
    tex: str


Cell: TypeAlias = str | int | Math | None
#: The formats of a table; ``json`` is made from the figures themselves, by `to_json`.
Format: TypeAlias = Literal["table", "markdown", "latex", "csv"]


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; ``sections`` are the rows behind which a line is drawn.

    Raises ValueError for a row that is not as long as the headers.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    sections: frozenset[int] = frozenset()
    left: int = 1

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.headers):
                raise ValueError(f"{len(row)} cells in a row of {len(self.headers)}: {row}")


def to_json(figures: Mapping[str, Any]) -> str:
    """The figures as one JSON object, schema 1, in the order given."""
    return json.dumps({"schema": 1, **figures}, indent=2, allow_nan=False) + "\n"


def render(table: Table, form: Format) -> str:
    """The table as text in a format."""
    match form:
        case "table":
            stream = StringIO()
            show(table, stream)
            return stream.getvalue()
        case "markdown":
            text = f"**{table.title}**\n\n{_tabulated(table, 'github')}\n"
            return text + "".join(f"\n- {note}" for note in table.notes) + "\n" * bool(table.notes)
        case "latex":
            return _latex(table)
        case "csv":
            return _csv(table)
        case _:
            assert_never(form)


def show(table: Table, stream: TextIO) -> None:
    """Write the table to a stream with rich: in colour and fitted where it is a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        title=Text(table.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    for index, header in enumerate(table.headers):
        justify: Literal["left", "right"] = "left" if index < table.left else "right"
        drawn.add_column(Text(header), justify=justify, overflow="fold")
    for index, row in enumerate(table.rows):
        drawn.add_row(*(Text(_shown(cell)) for cell in row), end_section=index in table.sections)
    terminal = Console(file=stream, highlight=False, markup=False)
    if terminal.is_terminal:
        terminal.print(drawn)
        for note in table.notes:
            terminal.print(Text(note))
        return
    # A pipe has no width: the table takes its own, so that nothing is cut.
    paper = Console(file=StringIO(), width=10_000, legacy_windows=False, no_color=True)
    buffer = StringIO()
    ascii_only = not (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
    plain = Console(file=buffer, width=paper.measure(drawn).maximum, safe_box=ascii_only)
    drawn.box = box.ASCII if ascii_only else drawn.box
    plain.print(drawn)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    stream.write("\n".join([*lines, *table.notes]) + "\n")


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case int():
            return f"{cell:,}"
        case Math(text):
            return text
        case str():
            return cell
        case _:
            assert_never(cell)


def _tabulated(table: Table, form: str) -> str:
    from tabulate import tabulate

    rows = [[_shown(cell) for cell in row] for row in table.rows]
    sides = ["left"] * table.left + ["right"] * (len(table.headers) - table.left)
    return tabulate(rows, table.headers, tablefmt=form, disable_numparse=True, colalign=sides)


def _latex(table: Table) -> str:
    # The library escapes every cell, so formulas stand aside while it sets the table.
    math = {f"MATH{i:04}": cell.tex for i, cell in enumerate(_formulas(table))}
    names = iter(math)
    rows = tuple(
        tuple(next(names) if isinstance(cell, Math) else cell for cell in row) for row in table.rows
    )
    text = _tabulated(replace(table, rows=rows), "latex_booktabs")
    for name, tex in math.items():
        text = text.replace(name, f"${tex}$")
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("\\midrule")) + 1
    for index in sorted(table.sections, reverse=True):
        if index + 1 < len(table.rows):
            lines.insert(first + index + 1, "\\midrule")
    notes = [f"\\par {_escaped(note)}" for note in table.notes]
    head = f"% {table.title}\n% needs \\usepackage{{booktabs}}\n"
    foot = "{\\footnotesize\n" + "\n".join(notes) + "\n\\par}\n" if notes else ""
    return head + "\n".join(lines) + "\n" + foot


def _formulas(table: Table) -> list[Math]:
    return [cell for row in table.rows for cell in row if isinstance(cell, Math)]


def _escaped(text: str) -> str:
    special = {c: f"\\{c}" for c in "&%$#_{}"} | {
        "\\": "\\textbackslash{}",
        "~": "\\textasciitilde{}",
        "^": "\\textasciicircum{}",
        "<": "\\textless{}",
        ">": "\\textgreater{}",
    }
    return "".join(special.get(c, c) for c in text)


def _csv(table: Table) -> str:
    import csv

    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.headers)
    writer.writerows(
        [cell if isinstance(cell, int) else _shown(cell) for cell in row] for row in table.rows
    )
    return stream.getvalue()
