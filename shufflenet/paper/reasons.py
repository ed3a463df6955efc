"""Why a printed figure does not come out, and what a figure that does rests on, in words.

All of it follows from the claims and from what the networks say of themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from shufflenet.arch.scaling import shown
from shufflenet.paper.candidates import network_under
from shufflenet.paper.claims import DERIVED, MEANINGS, Claim, Subject
from shufflenet.paper.hypotheses import Hypothesis

_ROW = "one figure is printed for the whole row"
_UNPRINTED = "its widths are not printed"
_DERIVED = "it does not follow from these figures"
_NOTHING = "nothing that is left open gives it"


def bare(subject: Subject) -> Subject:
    """The network alone, without the name that it has in a row."""
    like = None if subject.like is None else bare(subject.like)
    return subject._replace(name="", layer="", like=like)


def costs_printed(claims: Iterable[Claim]) -> dict[Subject, list[Claim]]:
    """The claims of a complexity, by the network that they are of."""
    found: dict[Subject, list[Claim]] = {}
    for claim in claims:
        if claim.says == "complexity" and claim.subject is not None:
            found.setdefault(bare(claim.subject), []).append(claim)
    return found


def why(claim: Claim, hypothesis: Hypothesis, same: Sequence[Claim]) -> tuple[str, ...]:
    """Why no hypothesis gives a printed figure, in words: one reason at least.

    ``hypothesis`` is what our figure comes under; ``same`` are the complexities that the paper
    prints of the same network.
    """
    return tuple(_reasons(claim, hypothesis, same)) or (
        (_DERIVED if claim.says in DERIVED else _NOTHING),
    )


def _reasons(claim: Claim, hypothesis: Hypothesis, same: Sequence[Claim]) -> Iterator[str]:
    if claim.note:
        yield claim.note
    subject = claim.subject
    if subject is None or claim.says != "complexity":
        return
    if claim.nominal:
        yield _ROW
    for other in same:
        if not other.nominal and other.printed != claim.printed:
            figure = f"{other.printed}{MEANINGS[other.says][1]}"
            yield f"{other.where} prints {figure} for this network"
    if subject.scale is None and subject.stage is None:
        yield _UNPRINTED
    net = network_under(subject, hypothesis)
    for rounded in () if net is None else net.rounded:
        wanted = shown(rounded.wanted)
        yield f"{rounded.layer} cannot have {wanted} channels, so it has {rounded.used}"


def remarks(claim: Claim, hypothesis: Hypothesis) -> tuple[str, ...]:
    """What is to be said of a claim's network: the claim's note, and bottlenecks rounded down."""
    return (*((claim.note,) if claim.note else ()), *_bottlenecks(claim, hypothesis))


def _bottlenecks(claim: Claim, hypothesis: Hypothesis) -> Iterator[str]:
    if claim.subject is None or not claim.subject.spec:
        return
    net = network_under(claim.subject, hypothesis)
    if net is None:
        return
    # The rows of a stage have one bottleneck.
    stages = {placed.row.layer: placed for placed in net.rows if placed.rounded}
    rounded = [f"{layer} {p.channels}/{p.ratio} to {p.m}" for layer, p in stages.items()]
    if rounded:
        yield (
            f"bottleneck rounded down to a multiple of the cardinality {net.frame.cardinality}:"
            f" {', '.join(rounded)}"
        )
