"""Tables for LaTeX, with booktabs; wide ones are fitted to the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flopcount.report.markdown import tabulated
from flopcount.report.table import Math, Table, shown

# How many letters of text fit on a line of a page that TeX sets.
_PAGE = 60
# Letters of a line in a paragraph and in a header of a table that is wider than a page.
_PARAGRAPH, _HEADER = 22, 12
# The blanks between two columns, as TeX sets them, in letters.
_TEX_GAP = 2
# Signs of titles and headers that TeX sets as formulas.
_TEX_SIGNS = {"Δ": "$\\Delta$"}


def to_latex(table: Table) -> str:
    """The table as LaTeX, with the packages that it needs in a comment."""
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
    text = tabulated(replace(table, rows=rows, headers=headers), "latex_booktabs")
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
        [header, *(shown(row[index]) for row in table.rows)]
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
