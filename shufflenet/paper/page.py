"""A page of the paper, judged: what `shufflenet.paper.paper_tables` lays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flopcount.conventions import convention
from shufflenet.arch.network import network
from shufflenet.arch.spec_reader import load
from shufflenet.cost.priced import Priced, priced
from shufflenet.paper.audit import Audit, Finding, audit, costs_beside
from shufflenet.paper.claims import ClaimError, Sheet


class Page(NamedTuple):
    """One table of a paper with all that is found of it.

    ``beside`` are the findings on the networks of its reported figures, by the claims' keys.
    """

    sheet: Sheet
    found: Audit
    beside: Mapping[str, Finding]

    @property
    def findings(self) -> dict[str, Finding]:
        """What is found of each claim, by its key."""
        return {finding.claim.key: finding for finding in self.found.findings}


def read_page(number: str, sheets: Sequence[Sheet]) -> Page:
    """The table of that number, judged. Raises ClaimError where the sheets hold none."""
    for sheet in sheets:
        if sheet.page == number:
            return Page(sheet, audit([sheet], sheets), costs_beside(sheet, sheets))
    raise ClaimError(f"no claims of table {number}")


def columns_of(page: Page) -> tuple[Priced, ...]:
    """The networks that are the columns of a table: those of Table 1, priced as the paper does."""
    if page.sheet.page != "1":
        return ()
    spec, chosen = load("shufflenet"), convention("shufflenet-paper")
    return tuple(priced(network(spec, groups), chosen) for groups in spec.groups)
