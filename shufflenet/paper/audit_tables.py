"""What the audit finds, as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, assert_never, get_args

from flopcount.report import Cell, Table
from shufflenet.paper.audit import PLANTED, Audit, Candidate, Finding, Verdict
from shufflenet.paper.claims import MEANINGS, Claim
from shufflenet.paper.hypotheses import AXES, MOST_DEPARTURES, Hypothesis

#: Every verdict in words, in the order of the score.
VERDICTS: dict[Verdict, str] = {
    "exact": "exact",
    "under": "exact under",
    "nominal": "nominal",
    "disagree": "not reproducible",
    "reported": "reported only",
}


def audit_table(whole: Audit, title: str, only: Verdict | None = None) -> Table:
    """The findings as a table, those that are reported only left out unless asked for.

    The score below it is that of all findings, whichever are shown.
    """
    shown = [f for f in whole.findings if f.verdict == only or (only is None and f.best)]
    rows = tuple(_row(finding) for finding in shown)
    headers = ("Where", "Claim", "Verdict", "Hypothesis, or why not", "Printed", "Ours", "Tried")
    return Table(title, headers, rows, tuple(_notes(whole, shown)), left=4)


def _row(finding: Finding) -> tuple[Cell, ...]:
    claim = finding.claim
    return (
        claim.where,
        claim.what,
        VERDICTS[finding.verdict],
        hypothesis_text(finding),
        printed_text(claim),
        ours(finding),
        len(finding.tried) or None,
    )


def _notes(whole: Audit, shown: Sequence[Finding]) -> list[str]:
    counts = ", ".join(f"{whole.count(v)} {VERDICTS[v]}" for v in get_args(Verdict))
    passed, false = whole.planted()
    planted = (
        f"of {false} false figures planted in place of the printed ones ({PLANTED[0]} to"
        f" {PLANTED[-1]} units of the last digit off, either way), {passed} would pass"
    )
    reached = (
        f"of the {whole.judged} that arithmetic reaches {whole.distinct} differ in network,"
        " quantity or figure; nominal: not reproducible, but one figure for several networks"
    )
    order = (
        f"hypotheses, the baseline of each axis first, at most {MOST_DEPARTURES} departures at"
        " once, fewest first; tried: the distinct figures they give"
    )
    axes = (f"{axis.says}: {'; '.join(axis.choices.values())}" for axis in AXES.values())
    # A note that is a reason stands in its row already.
    remarks = [(f, text) for f in shown for text in f.remarks if text not in f.why]
    return [
        f"score of {len(whole.findings)} claims: {counts}",
        reached,
        planted,
        order,
        *axes,
        *(f"{f.claim.where}, {f.claim.what}: {text}" for f, text in remarks),
    ]


def hypothesis_text(finding: Finding) -> str:
    """Under what the figure comes out, or why it does not and what comes nearest."""
    if finding.best is None:
        return ""
    said = str(finding.best.hypothesis)
    match finding.verdict:
        case "exact":
            return f"also under: {' or '.join(finding.alike)}" if finding.alike else ""
        case "reported":
            return ""
        case "under":
            return said
        case "nominal" | "disagree":
            under = (f"ours: {said}",) if finding.best.hypothesis.departures else ()
            return "; ".join((*finding.why, *under, *_nearest(finding)))
        case _:
            assert_never(finding.verdict)


def _nearest(finding: Finding) -> Iterator[str]:
    """What comes nearer to the printed figure than ours, where anything does."""
    near, best = finding.nearest, finding.best
    if near is None or best is None or near.figures == best.figures:
        return
    further = [d for d in near.hypothesis.departures if d not in best.hypothesis.departures]
    yield f"nearest {_figures_text(finding, near)}: {'; '.join(further)}"


def _figures_text(finding: Finding, candidate: Candidate) -> str:
    macs = finding.cost_of(candidate)
    if macs is not None:
        return f"{macs:,}"
    return ", ".join(decimal_text(value, finding.claim) for value in candidate.figures)


def printed_text(claim: Claim) -> str:
    """The printed figure with its unit, as the paper's text writes it."""
    return f"{claim.printed}{MEANINGS[claim.says][1]}"


def ours(finding: Finding) -> Cell:
    """Our figure: multiply-adds exactly, others with a digit more than is printed."""
    if finding.best is None:
        return None
    if finding.macs is not None:
        return finding.macs
    texts = [decimal_text(value, finding.claim) for value in finding.best.figures]
    return ", ".join(texts)


def decimal_text(value: Fraction, claim: Claim) -> str:
    """A figure in decimals: as it is where that is short, else rounded half up."""
    printed = len(claim.printed.partition(".")[2])
    found = Decimal(value.numerator) / Decimal(value.denominator)
    digits = printed + 2
    if Fraction(found) == value:
        exponent = found.normalize().as_tuple().exponent
        assert isinstance(exponent, int)
        digits = max(printed, -exponent)
    return f"{found.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):f}"


def audit_json(whole: Audit, only: Verdict | None = None) -> dict[str, Any]:
    """The score, the hypotheses and the findings as figures."""
    passed, false = whole.planted()
    return {
        "score": {verdict: whole.count(verdict) for verdict in get_args(Verdict)},
        "judged": {"claims": whole.judged, "distinct": whole.distinct},
        "planted": {"passed": passed, "of": false},
        "most_departures": MOST_DEPARTURES,
        "axes": [
            {
                "axis": name,
                "says": axis.says,
                "choices": [{"choice": c, "says": says} for c, says in axis.choices.items()],
            }
            for name, axis in AXES.items()
        ],
        "claims": [finding_json(f) for f in whole.findings if only in (None, f.verdict)],
    }


def finding_json(finding: Finding) -> dict[str, Any]:
    """One finding as figures; what may have decimals is a text."""
    claim, best = finding.claim, finding.best
    return {
        "key": claim.key,
        "where": claim.where,
        "also": list(claim.also),
        "claim": claim.what,
        "says": claim.says,
        "unit": MEANINGS[claim.says][1] or None,
        "printed": claim.printed,
        "nominal": claim.nominal,
        "verdict": finding.verdict,
        "macs": finding.macs,
        "figures": [decimal_text(value, claim) for value in best.figures] if best else [],
        "hypothesis": hypothesis_json(best.hypothesis) if best else None,
        "departures": list(best.hypothesis.departures) if best else [],
        "tried": len(finding.tried),
        "note": claim.note or None,
        "alike": list(finding.alike),
        "why": list(finding.why),
        "nearest": nearest_json(finding),
        "remarks": list(finding.remarks),
    }


def nearest_json(finding: Finding) -> dict[str, Any] | None:
    """What comes nearest to a figure that nothing gives, as figures."""
    near = finding.nearest
    if near is None:
        return None
    return {
        "macs": finding.cost_of(near),
        "figures": [decimal_text(value, finding.claim) for value in near.figures],
        "hypothesis": hypothesis_json(near.hypothesis),
        "departures": list(near.hypothesis.departures),
    }


def hypothesis_json(hypothesis: Hypothesis) -> dict[str, str]:
    """The choice on every axis."""
    return dict(hypothesis._asdict())
