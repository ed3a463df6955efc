"""The paper's own tables, laid out as it prints them, with our figures beside the printed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, assert_never

from flopcount.report import Cell, Table
from shufflenet.cost.priced import Priced
from shufflenet.cost.tables import table_one
from shufflenet.paper.audit import Finding
from shufflenet.paper.audit_tables import (
    VERDICTS,
    finding_json,
    hypothesis_json,
    hypothesis_text,
    ours,
    printed_text,
)
from shufflenet.paper.claims import REPORTED, Claim, Sheet
from shufflenet.paper.page import Page

# Where the paper prints nothing.
_NOTHING = "-"


class _Notes:
    """Footnotes, numbered in the order in which they are asked for."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        """The number of a footnote in brackets."""
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"

    def verdict(self, finding: Finding) -> str:
        """A verdict as a cell; what it depends on goes into a footnote."""
        match finding.verdict:
            case "exact" if finding.alike:
                return f"exact {self.mark(f'exact; {hypothesis_text(finding)}')}"
            case "exact" | "reported":
                return VERDICTS[finding.verdict]
            case "under":
                return f"under {self.mark(f'exact under: {hypothesis_text(finding)}')}"
            case "nominal":
                return f"nominal {self.mark(f'not reproducible; {hypothesis_text(finding)}')}"
            case "disagree":
                return f"no {self.mark(f'not reproducible; {hypothesis_text(finding)}')}"
            case _:
                assert_never(finding.verdict)


def paper_table(page: Page, columns: Sequence[Priced] = ()) -> Table:
    """One table of the paper in its own layout, ours beside what it prints.

    ``columns`` are the networks of a table whose columns are networks (`columns_of`).
    """
    if page.sheet.page == "1":
        return _table_one(page, columns)
    return _Layout(page).table()


def _title(sheet: Sheet) -> str:
    return f"Table {sheet.page}: {sheet.title}"


def _table_one(page: Page, columns: Sequence[Priced]) -> Table:
    """Table 1: the network itself, and its complexities."""
    sheet, findings = page.sheet, page.findings
    headers = [f"g = {column.network.groups}" for column in columns]
    cells: list[Finding] = []
    for header in headers:
        cells += [findings[claim.key] for claim in sheet.at("Complexity", header)]
    extra: list[tuple[str, Sequence[Cell]]] = [
        ("Complexity, printed", [printed_text(finding.claim) for finding in cells]),
        ("Verdict", [VERDICTS[finding.verdict] for finding in cells]),
    ]
    said = ((finding.claim.column, hypothesis_text(finding)) for finding in cells)
    notes = [*_widths(sheet, findings), *(f"{column}: {text}" for column, text in said if text)]
    return table_one(_title(sheet), columns, headers, extra, notes)


def _widths(sheet: Sheet, findings: dict[str, Finding]) -> Iterator[str]:
    for says, what in (("output", "output sizes"), ("channels", "widths")):
        found = [findings[claim.key] for claim in sheet.claims if claim.says == says]
        same = [finding for finding in found if finding.out]
        under = "; ".join(dict.fromkeys(str(f.best.hypothesis) for f in same if f.best))
        yield f"{what}: {len(same)} of {len(found)} printed ones come out ({under})"


class _Layout:
    """A table whose rows are models and whose columns are figures of them."""

    def __init__(self, page: Page) -> None:
        sheet = page.sheet
        self.sheet = sheet
        self.findings = page.findings
        self.beside = page.beside
        self.notes = _Notes()
        self.columns = [column for column in sheet.columns if column != sheet.stub]
        # A row that is headed by its own complexity, or shares one, has ours below it.
        self.nominal = any(claim.nominal for claim in sheet.claims)
        self.judged = [
            column
            for column in self.columns
            if any(c.computable and not c.nominal for c in self._in(column))
        ]
        computed = any(claim.says == "complexity" for claim in sheet.claims)
        self.costs = bool(page.beside) and not computed

    def _in(self, column: str) -> list[Claim]:
        return [claim for claim in self.sheet.claims if claim.column == column]

    def table(self) -> Table:
        """The table."""
        rows: list[tuple[Cell, ...]] = []
        ends = set()
        for label in self.sheet.rows:
            rows.append((label, *self._row(label)))
            if self.nominal:
                rows += self._below(label)
                ends.add(len(rows) - 1)
        notes = [f"[{number}] {text}" for number, text in enumerate(self.notes.texts, 1)]
        return Table(
            _title(self.sheet),
            (self.sheet.stub, *self._headers()),
            tuple(rows),
            (self.sheet.source, *self._says(), *notes),
            frozenset(ends - {len(rows) - 1}),
        )

    def _says(self) -> Iterator[str]:
        reported = {claim.column for claim in self.sheet.claims if claim.says in REPORTED}
        if reported:
            yield f"as reported: {'; '.join(c for c in self.columns if c in reported)}"
        if self.judged or self.nominal or self.costs:
            yield "ours: exact; multiply-adds of convolutions only, unless a note says otherwise"
        for finding in self.findings.values():
            # A note that is a reason stands among the footnotes already.
            for text in finding.remarks:
                if text not in finding.why:
                    yield f"{finding.claim.what}: {text}"

    def _headers(self) -> Iterator[str]:
        for column in self.columns:
            yield column
            if column in self.judged:
                yield from self._beside_headers(column)
        if self.costs:
            yield from ("Ours [MAC]", "Under")

    def _beside_headers(self, column: str) -> tuple[str, ...]:
        if self._in(column)[0].says == "complexity":
            return ("Ours [MAC]", "Verdict")
        return (f"{column}, ours",)

    def _row(self, label: str) -> Iterator[Cell]:
        for column in self.columns:
            claims = self.sheet.at(label, column)
            yield _printed(claims)
            if column not in self.judged:
                continue
            ours_of = self._ours(claims[0]) if claims else ()
            yield from ours_of or (None,) * len(self._beside_headers(column))
        if self.costs:
            yield from self._beside(label)

    def _ours(self, claim: Claim) -> tuple[Cell, ...]:
        finding = self.findings[claim.key]
        if claim.says == "complexity":
            return ours(finding), self.notes.verdict(finding)
        same = finding.verdict == "exact" and not finding.alike
        return (ours(finding) if same else f"{ours(finding)} {self.notes.verdict(finding)}",)

    def _beside(self, label: str) -> tuple[Cell, Cell]:
        """What the networks of a row cost, where they all cost the same."""
        claims = [claim for claim in self.sheet.claims if claim.row == label]
        found = [self.beside[claim.key] for claim in claims if claim.key in self.beside]
        if len({finding.macs for finding in found}) != 1:
            return None, None
        if found[0].verdict == "exact":
            return found[0].macs, "baseline"
        return found[0].macs, self.notes.verdict(found[0])

    def _below(self, label: str) -> Iterator[tuple[Cell, ...]]:
        """Ours for each network of a nominal complexity, under the column that it is named for."""
        found = {
            claim.subject.name: self.findings[claim.key]
            for claim in self.sheet.claims
            if claim.row == label and claim.nominal and claim.subject
        }
        costs = [ours(found[column]) if column in found else None for column in self.columns]
        says = [
            self.notes.verdict(found[column]) if column in found else None
            for column in self.columns
        ]
        yield ("- ours [MAC]", *costs)
        yield ("- verdict", *says)


def _printed(claims: Sequence[Claim]) -> Cell:
    if not claims:
        return _NOTHING
    first = claims[0]
    return f"{first.printed} ({first.label})" if first.label else first.printed


def paper_json(page: Page) -> dict[str, Any]:
    """One table of the paper as figures: row by row what it prints, and what the audit finds."""
    sheet = page.sheet
    return {
        "table": int(sheet.page),
        "title": sheet.title,
        "source": sheet.source,
        "columns": [sheet.stub, *(c for c in sheet.columns if c != sheet.stub)],
        "rows": [
            {"row": label, "cells": [_cell(c, page) for c in sheet.claims if c.row == label]}
            for label in sheet.rows
        ],
    }


def _cell(claim: Claim, page: Page) -> dict[str, Any]:
    figures = {"column": claim.column, **finding_json(page.findings[claim.key])}
    beside = page.beside.get(claim.key)
    if beside is not None and beside.best is not None:
        figures["macs"] = beside.macs
        figures["hypothesis"] = hypothesis_json(beside.best.hypothesis)
        figures["departures"] = list(beside.best.hypothesis.departures)
        figures["cost_verdict"] = beside.verdict
    return figures
