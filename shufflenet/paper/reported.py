"""What the paper reports of a network: the precision of a detector on it (Table 7)."""

from __future__ import annotations

from collections.abc import Iterable

from shufflenet.arch.network import Network, network
from shufflenet.arch.spec_reader import load
from shufflenet.paper.claims import Claim, Sheet

_TABLE = "7"


def reported(net: Network, sheets: Iterable[Sheet]) -> dict[int, Claim]:
    """The precision that the paper's Table 7 reports of a network, by the shorter side [px].

    Its rows are those of the tables that say which network bears the name; empty where none does.
    """
    sheets = tuple(sheets)
    labels = {claim.row for sheet in sheets for claim in sheet.claims if _is_of(claim, net)}
    return {
        side: claim
        for sheet in sheets
        for claim in sheet.claims
        if sheet.page == _TABLE and claim.row in labels
        for side in (300, 600)
        if f"{side}x image" in claim.column
    }


def _is_of(claim: Claim, net: Network) -> bool:
    """Whether a claim is of this very network, by itself."""
    subject = claim.subject
    if subject is None or claim.nominal or subject.unit or subject.spec != net.spec.name:
        return False
    if subject.layer or subject.scale != net.scale:
        return False
    named = network(load(subject.spec), subject.groups, scale=subject.scale)
    return named.tree == net.tree
