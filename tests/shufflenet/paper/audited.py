"""The paper's claims, audited once for the tests."""

from __future__ import annotations

from dataclasses import replace

from shufflenet.paper.audit import Finding, audit
from shufflenet.paper.claim_files import load_claims
from shufflenet.paper.claims import Claim, Sheet


def judged(claim: Claim) -> Finding:
    """What the audit finds of one claim alone."""
    (finding,) = audit([Sheet(claim.page, "t", "s", "Model", (claim,))]).findings
    return finding


SHEETS = load_claims()
FOUND = audit(SHEETS)
BY_KEY = {finding.claim.key: finding for finding in FOUND.findings}
CX = "Complexity (MFLOPs)"


def false(key: str, printed: str) -> Finding:
    """What the audit finds where the paper would print another figure."""
    claim = BY_KEY[key].claim
    assert claim.printed != printed
    return judged(replace(claim, printed=printed))
