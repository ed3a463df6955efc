"""The audit: every printed figure against what arithmetic gives, and under which hypothesis.

For each claim the declared hypotheses are tried in their order (`shufflenet.hypotheses`), and the
first that gives the printed digits is the verdict. No claim has a hypothesis of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias, assert_never

from shufflenet.candidates import figure, refusal
from shufflenet.claims import DERIVED, REPORTED, Claim, ClaimError, Says, Sheet, Subject
from shufflenet.hypotheses import BASELINE, Digits, Hypothesis, hypotheses

#: ``exact``: to the printed digits under the baseline; ``under``: under a named hypothesis;
#: ``disagree``: under none; ``reported``: measured, and out of arithmetic's reach.
Verdict: TypeAlias = Literal["exact", "under", "disagree", "reported"]

# The axes on which the figures of a claim can vary.
_AXES: Mapping[Says, tuple[str, ...]] = {
    "complexity": ("counted", "digits", "stem", "image", "widths"),
    "channels": ("counted", "stem", "image", "widths"),
    "output": ("image",),
    "layers": (),
    "share": (),
    "difference": ("figures", "pairs"),
    "ratio": ("figures", "pairs"),
}
# How many printed digits must stay where zeros at the end are left out.
_LEAST_DIGITS = 2
#: By how many units of its last digit a planted figure is off.
PLANTED = (1, 2, 3, 4, 5)


class Candidate(NamedTuple):
    """What one hypothesis makes of a claim: figures that must all print as the paper has it."""

    hypothesis: Hypothesis
    figures: tuple[Fraction, ...]


class Finding(NamedTuple):
    """What the audit finds of a claim.

    ``best`` is the candidate that gives the printed figure, or where none does the nearest one;
    None where the figure is reported only. ``tried`` are all distinct candidates, in order.
    """

    claim: Claim
    verdict: Verdict
    best: Candidate | None = None
    tried: tuple[Candidate, ...] = ()

    @property
    def macs(self) -> int | None:
        """The exact cost that stands against a printed complexity [MAC]."""
        if self.claim.says != "complexity" or self.best is None:
            return None
        return int(self.best.figures[0] * 1_000_000)


class Audit(NamedTuple):
    """All findings, in the order of the claims."""

    findings: tuple[Finding, ...]

    def count(self, verdict: Verdict) -> int:
        """How many claims have a verdict."""
        return sum(finding.verdict == verdict for finding in self.findings)

    def planted(self) -> tuple[int, int]:
        """How many false figures would pass, and of how many.

        In place of every printed figure stand false ones, 1 to 5 units of its last digit off
        either way; the candidates are the same.
        """
        passed = tried = 0
        for finding in self.findings:
            for false in _false(finding.claim.printed) if finding.tried else ():
                tried += 1
                passed += any(_gives(candidate, false) for candidate in finding.tried)
        return passed, tried


def audit(sheets: Iterable[Sheet]) -> Audit:
    """Every claim of the sheets with its verdict.

    Raises ClaimError for a claim to which no hypothesis gives a figure, and SpecError where one
    names a layer that its network has not.
    """
    known: dict[str, Finding] = {}
    return Audit(tuple(_found(claim, known) for sheet in sheets for claim in sheet.claims))


def costs_beside(sheet: Sheet, sheets: Iterable[Sheet]) -> dict[str, Finding]:
    """For the claims of a sheet that are reported only: what the audit finds of their network.

    The cost is that of the first printed complexity of the same network, wherever it stands; a
    claim whose network has none is left out.
    """
    printed: dict[Subject, Claim] = {}
    for other in sheets:
        for claim in other.claims:
            if claim.says == "complexity" and claim.subject is not None:
                printed.setdefault(_bare(claim.subject), claim)
    found = {}
    known: dict[str, Finding] = {}
    for claim in sheet.claims:
        if claim.says in REPORTED and claim.subject and _bare(claim.subject) in printed:
            found[claim.key] = _found(printed[_bare(claim.subject)], known)
    return found


def _bare(subject: Subject) -> Subject:
    """The network alone, without the name that it has in a row."""
    like = None if subject.like is None else _bare(subject.like)
    return subject._replace(name="", layer="", like=like)


def prints_as(value: Fraction, printed: str, digits: Digits = "all") -> bool:
    """Whether a figure, rounded half up to the digits that are printed, is the printed one."""
    place = _last_place(printed, digits)
    return (value / place + Fraction(1, 2)).__floor__() * place == Fraction(printed)


def _last_place(printed: str, digits: Digits) -> Fraction:
    """What one unit of the last printed digit is worth."""
    whole, _, decimals = printed.partition(".")
    match digits:
        case "all":
            zeros = 0
        case "leading":
            zeros = 0 if decimals else len(whole) - max(len(whole.rstrip("0")), _LEAST_DIGITS)
        case _:
            assert_never(digits)
    return Fraction(10) ** (max(zeros, 0) - len(decimals))


def _found(claim: Claim, known: dict[str, Finding]) -> Finding:
    if claim.key not in known:
        known[claim.key] = _judged(claim, known)
    return known[claim.key]


def _judged(claim: Claim, known: dict[str, Finding]) -> Finding:
    if not claim.computable:
        return Finding(claim, "reported")
    tried = tuple(_candidates(claim, known))
    for candidate in tried:
        if _gives(candidate, claim.printed):
            base = candidate.hypothesis == BASELINE
            return Finding(claim, "exact" if base else "under", candidate, tried)
    if not tried:
        why = refusal(claim.subject) if claim.subject else "a pair of it divides by zero"
        raise ClaimError(f"{claim.key}: no hypothesis gives a figure: {why}")
    target = Fraction(claim.printed)
    nearest = min(
        tried, key=lambda c: max(abs(value - target) for value in c.figures), default=None
    )
    return Finding(claim, "disagree", nearest, tried)


def _gives(candidate: Candidate, printed: str) -> bool:
    return all(
        prints_as(value, printed, candidate.hypothesis.digits) for value in candidate.figures
    )


def _candidates(claim: Claim, known: dict[str, Finding]) -> Iterator[Candidate]:
    """The distinct candidates of a claim, each under the first hypothesis that gives it.

    Which digits are meant makes another candidate whatever is printed, so that what is tried does
    not depend on it.
    """
    seen: set[tuple[tuple[Fraction, ...], Digits]] = set()
    for hypothesis in hypotheses(*_AXES[claim.says]):
        figures = _figures(claim, hypothesis, known)
        if figures and (figures, hypothesis.digits) not in seen:
            seen.add((figures, hypothesis.digits))
            yield Candidate(hypothesis, figures)


def _figures(
    claim: Claim, hypothesis: Hypothesis, known: dict[str, Finding]
) -> tuple[Fraction, ...]:
    if claim.says not in DERIVED:
        found = figure(claim, hypothesis)
        return () if found is None else (found,)
    values = []
    for pair in claim.pairs:
        first, second = (_taken(other, hypothesis, known) for other in pair)
        if first is None or second is None or (claim.says == "ratio" and not second):
            return ()
        values.append(first / second if claim.says == "ratio" else first - second)
    match hypothesis.pairs:
        case "each":
            return tuple(values)
        case "mean":
            return (sum(values, Fraction(0)) / len(values),)
        case _:
            assert_never(hypothesis.pairs)


def _taken(claim: Claim, hypothesis: Hypothesis, known: dict[str, Finding]) -> Fraction | None:
    """The figure of a claim that another one follows from."""
    match hypothesis.figures:
        case "printed":
            return Fraction(claim.printed)
        case "computed":
            best = _found(claim, known).best
            return None if best is None else best.figures[0]
        case _:
            assert_never(hypothesis.figures)


def _false(printed: str) -> Iterator[str]:
    """Figures of as many decimals that the paper does not print, but above zero."""
    place = Decimal(1).scaleb(-len(printed.partition(".")[2]))
    for off in PLANTED:
        for false in (Decimal(printed) - off * place, Decimal(printed) + off * place):
            if false > 0:
                yield f"{false:f}"
