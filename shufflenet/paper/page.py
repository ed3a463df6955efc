"""One table of the paper with all that is found of it, for `shufflenet.paper.paper_tables`."""

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

    ``beside`` are the findings on the networks of its reported figures, by the claims' keys;
    ``columns`` are the networks of Table 1, priced under the paper's own convention.
    """

    sheet: Sheet
    found: Audit
    beside: Mapping[str, Finding]
    columns: tuple[Priced, ...] = ()

    @property
    def findings(self) -> dict[str, Finding]:
        """What is found of each claim, by its key."""
        return {finding.claim.key: finding for finding in self.found.findings}


def read_page(number: str, sheets: Sequence[Sheet]) -> Page:
    """The table of that number, judged. Raises ClaimError where the sheets hold none."""
    for sheet in sheets:
        if sheet.page == number:
            columns = _table_one() if number == "1" else ()
            return Page(sheet, audit([sheet], sheets), costs_beside(sheet, sheets), columns)
    raise ClaimError(f"no claims of table {number}")


def _table_one() -> tuple[Priced, ...]:
    """The networks of Table 1, under the convention that gives the row beside the printed one."""
    spec, chosen = load("shufflenet"), convention("shufflenet-paper")
    return tuple(priced(network(spec, groups), chosen) for groups in spec.groups)
