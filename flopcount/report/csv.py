"""Tables as CSV: the numbers as they are, everything else as text."""

from __future__ import annotations

from io import StringIO

from flopcount.report.table import Table, shown


def to_csv(table: Table) -> str:
    """The table as CSV: numbers as they are, everything else as people read it."""
    import csv

    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.headers)
    writer.writerows(
        [cell if isinstance(cell, int) else shown(cell) for cell in row] for row in table.rows
    )
    return stream.getvalue()
