"""A table as data: titled rows of cells, whose numbers stay numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, assert_never


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


def shown(cell: Cell) -> str:
    """A cell as people read it."""
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
