"""Tables for people and for programs: rich on a terminal, markdown, latex, csv; and JSON.

A table holds its numbers as ints: people read them with separators, programs as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TextIO, TypeAlias, assert_never

if TYPE_CHECKING:
    from rich.table import Table as RichTable

# Wider than any table, so that it can be measured.
_UNBOUNDED = 10_000
# Blanks between two columns.
_GAP = 3
# How many letters of text fit on a line of a page that TeX sets.
_PAGE = 60
# Letters of a line in a paragraph and in a header of a table that is wider than a page.
_PARAGRAPH, _HEADER = 22, 12
# The blanks between two columns, as TeX sets them, in letters.
_TEX_GAP = 2
# Signs of titles and headers that TeX sets as formulas.
_TEX_SIGNS = {"Δ": "$\\Delta$"}


class Math(NamedTuple):
    """A formula: as plain text, and as the TeX that a LaTeX table sets in its place."""

    text: str
    tex: str


class Signed(int):
    """A difference: people read it with its sign, programs as the number it is."""


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
        # One line each: a line break would end a comment, a list item or a bold title.
        object.__setattr__(self, "title", " ".join(self.title.split()))
        object.__setattr__(self, "notes", tuple(" ".join(note.split()) for note in self.notes))
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
            return _plain(table, "utf-8")
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
    """Write the table to a stream with rich: in colour and fitted where it is a terminal.

    Text wraps to fit, figures never do; a table that no wrapping makes fit keeps its own width,
    as it does in a pipe or a file.
    """
    from rich.console import Console
    from rich.text import Text

    plain = os.environ.get("NO_COLOR", "") != ""
    console = Console(file=stream, highlight=False, color_system=None if plain else "auto")
    if not console.is_terminal:
        stream.write(_plain(table, getattr(stream, "encoding", None) or "utf-8"))
        return
    console.print(Text(f"{table.title}\n", style="bold"))
    least = sum(_narrowest(table, i) + _GAP for i in range(len(table.headers))) - _GAP
    drawn = _drawn(table)
    if least > console.width:
        console.width = Console(width=_UNBOUNDED).measure(drawn).maximum
    console.print(drawn)
    for note in _behind(table):
        Console(file=stream, highlight=False).print(Text(note))


def _plain(table: Table, encoding: str) -> str:
    """The drawn table without style, at its own width, for a stream that is no terminal."""
    from rich.console import Console

    drawn = _drawn(table, ascii_only=not encoding.lower().startswith("utf"))
    width = Console(width=_UNBOUNDED).measure(drawn).maximum
    buffer = StringIO()
    Console(file=buffer, width=width, color_system=None, force_terminal=False).print(drawn)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join([table.title, "", *lines, *_behind(table)]) + "\n"


def _behind(table: Table) -> tuple[str, ...]:
    return ("", *table.notes) if table.notes else ()


def _drawn(table: Table, ascii_only: bool = False) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    style = box.ASCII if ascii_only else box.SIMPLE_HEAD
    drawn = RichTable(
        box=style,
        show_edge=ascii_only,
        pad_edge=ascii_only,
    )
    for index, header in enumerate(table.headers):
        drawn.add_column(
            Text(header),
            justify="left" if index < table.left else "right",
            overflow="fold",
            min_width=_narrowest(table, index),
        )
    for index, row in enumerate(table.rows):
        drawn.add_row(*(Text(_shown(cell)) for cell in row), end_section=index in table.sections)
    return drawn


def _narrowest(table: Table, index: int) -> int:
    """How narrow a column may get: figures break nowhere, names between words, prose anywhere."""
    cells = [_shown(row[index]) for row in table.rows]
    names = " ".join([table.headers[index], *(cells if index == 0 else [])]).split()
    return max(map(len, [*names, *(cells if index >= table.left else [])]), default=0)


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case Signed():
            return f"{cell:+,}"
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
    headers = table.headers
    if form == "github":
        rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
        headers = tuple(header.replace("|", "\\|") for header in headers)
    if not rows:
        # The library sets no columns where there are no rows.
        rows = [[""] * len(headers)]
    sides = ["left"] * table.left + ["right"] * (len(table.headers) - table.left)
    return tabulate(rows, headers, tablefmt=form, disable_numparse=True, colalign=sides)


def _latex(table: Table) -> str:
    # The library escapes every cell, so what is TeX already stands aside while it sets the table.
    aside: dict[str, str] = {}
    rows = tuple(
        tuple(_aside(f"${c.tex}$", aside) if isinstance(c, Math) else c for c in row)
        for row in table.rows
    )
    wide = _is_wide(table)
    headers = table.headers
    if wide:
        sides = "l" * table.left + "r" * (len(headers) - table.left)
        stacked = map(_stacked, headers, sides)
        headers = tuple(_aside(header, aside) for header in stacked)
    text = _tabulated(replace(table, rows=rows, headers=headers), "latex_booktabs")
    for name, tex in aside.items():
        text = text.replace(name, tex)
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("\\midrule")) + 1
    for index in sorted(table.sections, reverse=True):
        if index + 1 < len(table.rows):
            lines.insert(first + index + 1, "\\midrule")
    if wide:
        lines = _fitted(lines, table)
    notes = [f"\\par {_escaped(note)}" for note in table.notes]
    packages = "array,booktabs,graphicx" if wide else "booktabs"
    head = f"% {table.title}\n% needs \\usepackage{{{packages}}}\n"
    foot = "{\\footnotesize\n" + "\n".join(notes) + "\n\\par}\n" if notes else ""
    whole = "\n".join(lines) + "\n" + foot
    for sign, tex in _TEX_SIGNS.items():
        whole = whole.replace(sign, tex)
    return head + whole


def _aside(tex: str, aside: dict[str, str]) -> str:
    """A name that no escaping changes, in place of TeX."""
    name = f"MATH{len(aside):04}"
    aside[name] = tex
    return name


def _is_wide(table: Table) -> bool:
    """Whether a table may be wider than a page that TeX sets."""
    widths = [max(map(len, column)) + _TEX_GAP for column in _columns(table)]
    return sum(widths) > _PAGE


def _columns(table: Table) -> list[list[str]]:
    return [
        [header, *(_shown(row[index]) for row in table.rows)]
        for index, header in enumerate(table.headers)
    ]


def _stacked(header: str, side: str) -> str:
    """A header in TeX; a long one in two lines, at the blank that makes them most alike."""
    blanks = [i for i, letter in enumerate(header) if letter == " "]
    if len(header) <= _HEADER or not blanks:
        return _escaped(header)
    cut = min(blanks, key=lambda i: max(i, len(header) - i))
    return f"\\shortstack[{side}]{{{_escaped(header[:cut])}\\\\{_escaped(header[cut + 1 :])}}}"


def _fitted(lines: Sequence[str], table: Table) -> list[str]:
    """A tabular with its long texts as paragraphs, and shrunk where it is wider than the page."""
    columns = _columns(table)
    sides = ["l" if index < table.left else "r" for index in range(len(columns))]
    for index in range(table.left):
        cells = columns[index]
        # A word that is longer would stand out of its paragraph.
        breaks = all(len(word) <= _PARAGRAPH for cell in cells for word in cell.split())
        if breaks and max(map(len, cells)) > _PARAGRAPH:
            sides[index] = f">{{\\raggedright\\arraybackslash}}p{{{_PARAGRAPH // 2}em}}"
    # TeX itself measures the table: only it knows how wide the page is.
    shrunk = "\\noindent\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}"
    begin = f"{shrunk}{{\\begin{{tabular}}{{{''.join(sides)}}}"
    return [begin, *lines[1:-1], f"{lines[-1]}}}"]


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
