"""The audit: every printed figure against what arithmetic gives, and under which hypothesis.

For each claim the declared hypotheses are tried in their order (`shufflenet.paper.hypotheses`),
and the first that gives the printed digits is the verdict. No claim has a hypothesis of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias, assert_never

from shufflenet.arch.spec import SpecError
from shufflenet.paper.candidates import figure, refusal
from shufflenet.paper.claims import DERIVED, REPORTED, Claim, ClaimError, Says, Sheet
from shufflenet.paper.hypotheses import BASELINE, Hypothesis, MeantDigits, hypotheses
from shufflenet.paper.reasons import bare, costs_printed, remarks, why
from shufflenet.units import UnitError

#: ``exact``: to the printed digits under the baseline; ``under``: under a named hypothesis;
#: ``nominal``: under none, but one figure is printed for several networks; ``disagree``: under
#: none; ``reported``: measured or a rule of thumb, and out of arithmetic's reach.
Verdict: TypeAlias = Literal["exact", "under", "nominal", "disagree", "reported"]

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

    ``best`` is the candidate that gives the printed figure, or where none does the one that
    departs least from the baseline; None where the figure is reported only. ``tried`` are all
    distinct candidates, in order; ``why`` says why none gives the figure, ``remarks`` what else is
    to be said.
    """

    claim: Claim
    verdict: Verdict
    best: Candidate | None = None
    tried: tuple[Candidate, ...] = ()
    why: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def macs(self) -> int | None:
        """The exact cost that stands against a printed complexity [MAC]."""
        return None if self.best is None else self.cost_of(self.best)

    def cost_of(self, candidate: Candidate) -> int | None:
        """The cost that a candidate gives [MAC]; None where the claim is of no complexity."""
        return int(candidate.figures[0] * 1_000_000) if self.claim.says == "complexity" else None

    @property
    def out(self) -> bool:
        """Whether the figure comes out."""
        return self.verdict in ("exact", "under")

    @property
    def nearest(self) -> Candidate | None:
        """What comes nearest to a figure that nothing gives; None where it comes out."""
        if self.best is None or self.out:
            return None
        target = Fraction(self.claim.printed)
        return min(self.tried, key=lambda c: max(abs(value - target) for value in c.figures))

    @property
    def alike(self) -> tuple[str, ...]:
        """The departures that print an exact figure as well, though ours would be another."""
        if self.best is None or self.verdict != "exact":
            return ()
        return tuple(
            str(other.hypothesis)
            for other in self.tried
            if len(other.hypothesis.departures) == 1
            and other.figures != self.best.figures
            and _gives(other, self.claim.printed)
        )


class Audit(NamedTuple):
    """All findings, in the order of the claims."""

    findings: tuple[Finding, ...]

    def count(self, verdict: Verdict) -> int:
        """How many claims have a verdict."""
        return sum(finding.verdict == verdict for finding in self.findings)

    @property
    def judged(self) -> int:
        """How many claims arithmetic reaches."""
        return len(self.findings) - self.count("reported")

    @property
    def distinct(self) -> int:
        """How many of those differ in network, quantity or figure."""
        return len({_identity(f.claim) for f in self.findings if f.verdict != "reported"})

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


def _identity(claim: Claim) -> tuple[object, ...]:
    """What a claim says of which network, wherever it stands."""
    if claim.subject is not None:
        layer = claim.subject.layer
        return claim.says, claim.printed, bare(claim.subject), layer
    if claim.pairs:
        return claim.says, claim.printed, *(_identity(other) for p in claim.pairs for other in p)
    return (claim.key,)


def audit(sheets: Iterable[Sheet], beside: Iterable[Sheet] = ()) -> Audit:
    """Every claim of the sheets with its verdict.

    ``beside`` are other sheets of the same paper, to which a reason may point. Raises ClaimError,
    which quotes file and claim, for a claim to which no hypothesis gives a figure.
    """
    sheets = tuple(sheets)
    judge = _Judge((*sheets, *beside))
    return Audit(tuple(judge.of(claim) for sheet in sheets for claim in sheet.claims))


def costs_beside(sheet: Sheet, sheets: Iterable[Sheet]) -> dict[str, Finding]:
    """For the claims of a sheet that are reported only: what the audit finds of their network.

    The cost is that of the first printed complexity of the same network, wherever it stands; a
    claim whose network has none is left out.
    """
    judge = _Judge(sheets)
    found = {}
    for claim in sheet.claims:
        if claim.says in REPORTED and claim.subject and bare(claim.subject) in judge.costs:
            found[claim.key] = judge.of(judge.costs[bare(claim.subject)][0])
    return found


def prints_as(value: Fraction, printed: str, digits: MeantDigits = "all") -> bool:
    """Whether a figure, rounded half up to the digits that are printed, is the printed one."""
    place = _last_place(printed, digits)
    return (value / place + Fraction(1, 2)).__floor__() * place == Fraction(printed)


def _last_place(printed: str, digits: MeantDigits) -> Fraction:
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


def _gives(candidate: Candidate, printed: str) -> bool:
    return all(
        prints_as(value, printed, candidate.hypothesis.digits) for value in candidate.figures
    )


class _Judge:
    """Findings, each made once: a derived claim asks for those that it follows from."""

    def __init__(self, sheets: Iterable[Sheet]) -> None:
        # By their keys, since a sheet may be given twice.
        placed = {claim.key: (claim, sheet.file) for sheet in sheets for claim in sheet.claims}
        self.files = {key: file for key, (_, file) in placed.items()}
        self.costs = costs_printed(claim for claim, _ in placed.values())
        self.known: dict[str, Finding] = {}

    def of(self, claim: Claim) -> Finding:
        """What is found of a claim."""
        if claim.key not in self.known:
            try:
                self.known[claim.key] = self._judged(claim)
            except ClaimError:
                raise
            except (SpecError, UnitError) as error:
                raise ClaimError(f"{self._where(claim)}: {error}") from error
        return self.known[claim.key]

    def _where(self, claim: Claim) -> str:
        file = self.files.get(claim.key)
        name = claim.subject.name if claim.nominal and claim.subject else ""
        at = ", ".join(part for part in (claim.row, claim.column, name) if part)
        return f"{file}: ({at})" if file else claim.key

    def _judged(self, claim: Claim) -> Finding:
        if not claim.computable:
            return Finding(claim, "reported", remarks=(claim.note,) if claim.note else ())
        tried = tuple(self._candidates(claim))
        if not tried:
            reason = refusal(claim.subject) if claim.subject else "a pair of it divides by zero"
            raise ClaimError(f"{self._where(claim)}: no hypothesis gives a figure: {reason}")
        for candidate in tried:
            if _gives(candidate, claim.printed):
                said = remarks(claim, candidate.hypothesis)
                base = candidate.hypothesis == BASELINE
                return Finding(claim, "exact" if base else "under", candidate, tried, (), said)
        least = tried[0]
        same = self.costs.get(bare(claim.subject), ()) if claim.subject else ()
        return Finding(
            claim,
            "nominal" if claim.nominal else "disagree",
            least,
            tried,
            why(claim, least.hypothesis, same),
            remarks(claim, least.hypothesis),
        )

    def _candidates(self, claim: Claim) -> Iterator[Candidate]:
        """The distinct candidates of a claim, each under the first hypothesis that gives it.

        Which digits are meant makes another candidate whatever is printed, so that what is tried
        does not depend on it.
        """
        seen: set[tuple[tuple[Fraction, ...], MeantDigits]] = set()
        for hypothesis in hypotheses(*_AXES[claim.says]):
            figures = self._figures(claim, hypothesis)
            if figures and (figures, hypothesis.digits) not in seen:
                seen.add((figures, hypothesis.digits))
                yield Candidate(hypothesis, figures)

    def _figures(self, claim: Claim, hypothesis: Hypothesis) -> tuple[Fraction, ...]:
        if claim.says not in DERIVED:
            found = figure(claim, hypothesis)
            return () if found is None else (found,)
        values = []
        for pair in claim.pairs:
            first, second = (self._taken(other, hypothesis) for other in pair)
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

    def _taken(self, claim: Claim, hypothesis: Hypothesis) -> Fraction | None:
        """The figure of a claim that another one follows from."""
        match hypothesis.figures:
            case "printed":
                return Fraction(claim.printed)
            case "computed":
                best = self.of(claim).best
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
