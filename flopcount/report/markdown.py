"""Tables in markdown, and the cells that tabulate sets."""

from __future__ import annotations

from flopcount.report.table import Table, shown


def tabulated(table: Table, form: str) -> str:
    """The cells as tabulate sets them in a format of its own."""
    from tabulate import tabulate

    rows = [[shown(cell) for cell in row] for row in table.rows]
    headers = table.headers
    if form == "github":
        rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
        headers = tuple(header.replace("|", "\\|") for header in headers)
    if not rows:
        # The library sets no columns where there are no rows.
        rows = [[""] * len(headers)]
    sides = ["left"] * table.left + ["right"] * (len(table.headers) - table.left)
    return tabulate(rows, headers, tablefmt=form, disable_numparse=True, colalign=sides)


def to_markdown(table: Table) -> str:
    """The table as markdown, its notes a list behind it."""
    text = f"**{table.title}**\n\n{tabulated(table, 'github')}\n"
    return text + "".join(f"\n- {note}" for note in table.notes) + "\n" * bool(table.notes)
