"""Tables drawn with rich: in colour and fitted on a terminal, plain elsewhere."""

from __future__ import annotations

import os
from io import StringIO
from typing import TYPE_CHECKING, TextIO

from flopcount.report.table import Table, shown

if TYPE_CHECKING:
    from rich.table import Table as RichTable

# Wider than any table, so that it can be measured.
_UNBOUNDED = 10_000
# Blanks between two columns.
_GAP = 3


def draw(table: Table, stream: TextIO) -> None:
    """Write the table to a stream with rich: in colour and fitted where it is a terminal.

    Text wraps to fit, figures never do; a table that no wrapping makes fit keeps its own width,
    as it does in a pipe or a file.
    """
    from rich.console import Console
    from rich.text import Text

    plain = os.environ.get("NO_COLOR", "") != ""
    console = Console(file=stream, highlight=False, color_system=None if plain else "auto")
    if not console.is_terminal:
        stream.write(to_text(table, getattr(stream, "encoding", None) or "utf-8"))
        return
    console.print(Text(f"{table.title}\n", style="bold"))
    least = sum(_narrowest(table, i) + _GAP for i in range(len(table.headers))) - _GAP
    drawn = _drawn(table)
    if least > console.width:
        console.width = Console(width=_UNBOUNDED).measure(drawn).maximum
    console.print(drawn)
    for note in _behind(table):
        Console(file=stream, highlight=False).print(Text(note))


def to_text(table: Table, encoding: str) -> str:
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
        drawn.add_row(*(Text(shown(cell)) for cell in row), end_section=index in table.sections)
    return drawn


def _narrowest(table: Table, index: int) -> int:
    """How narrow a column may get: figures break nowhere, names between words, prose anywhere."""
    cells = [shown(row[index]) for row in table.rows]
    names = " ".join([table.headers[index], *(cells if index == 0 else [])]).split()
    return max(map(len, [*names, *(cells if index >= table.left else [])]), default=0)
