"""What arithmetic makes of a claim under a hypothesis: networks, costs, widths, as exact figures.

A hypothesis that does not apply to a network (an FC layer that no longer fits, a width that no
rule allows, nothing to solve for) gives None, and is not tried.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import cache
from math import ceil
from typing import assert_never

from flopcount.conventions import price
from flopcount.entries import Shape
from flopcount.layers import Conv, constraints, leaves
from flopcount.layers import cost as layer_cost
from shufflenet.arch.layout import Frame, stage_rows, stem_row
from shufflenet.arch.network import Network, network
from shufflenet.arch.quantities import MAX_WIDTH, in_proportion
from shufflenet.arch.scaling import NothingLegalError, first_broken
from shufflenet.arch.spec import Spec, SpecError
from shufflenet.arch.spec_reader import load
from shufflenet.paper.claims import Claim, Subject
from shufflenet.paper.hypotheses import BASELINE, CountedLayers, Hypothesis, hypotheses
from shufflenet.units import Place, made, stage_unit

_MILLION = 1_000_000
_HALF = Decimal("0.5")
# The crop with which Caffe's models are published (height, width) [px].
_CAFFE = (227, 227)
_DOUBLING = (1, 2, 4)
_CONVENTION: dict[CountedLayers, str] = {"convolutions": "shufflenet-paper", "with-fc": "macs"}


def figure(claim: Claim, hypothesis: Hypothesis) -> Fraction | None:
    """The figure of one network under a hypothesis, in the unit in which the paper prints it.

    None where the hypothesis does not apply. The claim must have a subject of its own.
    """
    assert claim.subject is not None
    match claim.says:
        case "complexity":
            found = cost(claim.subject, hypothesis)
            return None if found is None else Fraction(found, _MILLION)
        case "share":
            return _pointwise_share(claim.subject)
        case "layers":
            net = network_under(claim.subject, hypothesis)
            return None if net is None else Fraction(net.depth)
        case "channels" | "output":
            net = network_under(claim.subject, hypothesis)
            if net is None:
                return None
            channels, side = _layer(net, claim.subject.layer)
            return Fraction(channels if claim.says == "channels" else side)
        case "difference" | "ratio" | "error" | "map" | "time" | "rule":
            raise ValueError(f"{claim.key}: {claim.says} is no figure of a network alone")
        case _:
            assert_never(claim.says)


def cost(subject: Subject, hypothesis: Hypothesis) -> int | None:
    """What a network costs under a hypothesis [MAC]; None where that does not apply."""
    net = network_under(subject, hypothesis)
    if net is None:
        return None
    return int(price(net.tally(memory=False), _CONVENTION[hypothesis.counted]))


def network_under(subject: Subject, hypothesis: Hypothesis) -> Network | None:
    """The network that a claim is of under a hypothesis; None where that does not apply."""
    try:
        return _settled(subject, hypothesis)
    except (NothingLegalError, SpecError):
        return None


def refusal(subject: Subject) -> str:
    """Why no hypothesis settles a network: what the first that is refused says."""
    for hypothesis in hypotheses("widths", "stem"):
        try:
            _settled(subject, hypothesis)
        except (NothingLegalError, SpecError) as error:
            return str(error)
    return "nothing to scale, and nothing to solve for"


def _settled(subject: Subject, hypothesis: Hypothesis) -> Network | None:
    chosen = Hypothesis(
        counted=hypothesis.counted,
        stem=hypothesis.stem,
        image=hypothesis.image,
        widths=hypothesis.widths,
    )
    if chosen.widths == "given":
        # What counts makes no other network.
        chosen = chosen._replace(counted=BASELINE.counted)
    if subject.image is not None and hypothesis.image != BASELINE.image:
        return None
    return _network(subject._replace(layer="", name=""), chosen)


@cache
def _network(subject: Subject, hypothesis: Hypothesis) -> Network | None:
    match hypothesis.widths:
        case "given":
            if subject.stage is not None:
                return _as_printed(subject, subject.stage, hypothesis)
            return None if subject.scale is None else _scaled(subject, subject.scale, hypothesis)
        case "solved" | "halved" if subject.stage is not None:
            # Where the paper prints the widths nothing is left to solve for.
            return None
        case "solved":
            return _solved(subject, hypothesis)
        case "halved":
            return _halved(subject, hypothesis)
        case _:
            assert_never(hypothesis.widths)


def _size(subject: Subject, hypothesis: Hypothesis) -> tuple[int, int] | None:
    """The image (height, width) [px]; None is the one that the spec itself has."""
    match hypothesis.image:
        case "own":
            return None if subject.image is None else (subject.image, subject.image)
        case "227":
            return _CAFFE
        case _:
            assert_never(hypothesis.image)


def _scaled(subject: Subject, scale: Decimal, hypothesis: Hypothesis) -> Network | None:
    """The network with its spec's widths scaled, and the stem as the hypothesis has it."""
    spec = load(subject.spec)

    def scaled(stem: int | None) -> Network:
        return network(
            spec,
            subject.groups,
            scale=scale,
            size=_size(subject, hypothesis),
            stem=stem,
            unit=subject.unit,
            cardinality=subject.cardinality,
        )

    match hypothesis.stem:
        case "scaled":
            return scaled(None)
        case "own":
            own = _own_stem(spec, subject)
            return None if own is None or scale == 1 else scaled(own)
        case "half":
            own = _own_stem(spec, subject)
            if own is None or scale >= _HALF:
                return None
            for stem in range(ceil(own * _HALF), own + 1):
                try:
                    return scaled(stem)
                except NothingLegalError:
                    continue
            return None
        case _:
            assert_never(hypothesis.stem)


def _as_printed(subject: Subject, stage: tuple[str, int], hypothesis: Hypothesis) -> Network | None:
    """The network whose width in one stage is printed, the others in the spec's ratio.

    Its stem is that of the network whose cost it keeps.
    """
    spec = load(subject.spec)
    groups = spec.first_choice if subject.groups is None else subject.groups
    frame = Frame(spec, groups, spec.image)
    rows = stage_rows(spec)
    ratio = in_proportion([frame.fixed(row) for row in rows])
    layer, width = stage
    part = {row.layer: part for row, part in zip(rows, ratio, strict=True)}.get(layer)
    if part is None or width % part:
        raise SpecError(
            f"{spec.where}: {width} channels in {layer} leave no whole widths in the ratio"
            f" {':'.join(map(str, ratio))}"
        )
    stem = None
    if subject.like is not None:
        like = _like(subject.like, hypothesis)
        if like is None:
            return None
        stem = like.stem
    elif hypothesis.stem != BASELINE.stem:
        return None
    return network(
        spec,
        groups,
        size=_size(subject, hypothesis),
        stem=stem,
        widths=[width // part * other for other in ratio],
        unit=subject.unit,
        cardinality=subject.cardinality,
    )


def _own_stem(spec: Spec, subject: Subject) -> int | None:
    row = stem_row(spec)
    groups = spec.first_choice if subject.groups is None else subject.groups
    return None if row is None else Frame(spec, groups, spec.image).fixed(row)


def _goal(subject: Subject, hypothesis: Hypothesis) -> tuple[int, int | None] | None:
    """The cost to keep or to reach [MAC], and the stem [channels] of the network it is of."""
    if subject.like is None:
        return None if subject.budget is None else (subject.budget, None)
    like = _like(subject.like, hypothesis)
    if like is None:
        return None
    kept = price(like.tally(memory=False), _CONVENTION[hypothesis.counted])
    return (int(kept) if subject.budget is None else subject.budget), like.stem


def _like(subject: Subject, hypothesis: Hypothesis) -> Network | None:
    """The network whose cost another one keeps, from widths of its own where it has them."""
    if subject.scale is not None or subject.stage is not None:
        hypothesis = hypothesis._replace(widths=BASELINE.widths)
    return network_under(subject, hypothesis)


def _solved(subject: Subject, hypothesis: Hypothesis) -> Network | None:
    from shufflenet.solver.budget import solve

    goal = _goal(subject, hypothesis)
    if goal is None:
        return None
    budget, stem = goal
    answer = solve(
        load(subject.spec),
        budget,
        subject.groups,
        stem=stem,
        size=_size(subject, hypothesis),
        unit=subject.unit,
        cardinality=subject.cardinality,
        convention=_CONVENTION[hypothesis.counted],
    )
    return answer.best.network


def _halved(subject: Subject, hypothesis: Hypothesis) -> Network | None:
    """The nearest network whose first stage is half of the second, rounded down.

    An even second stage is what `_solved` has tried; here the odd ones stand beside its best.
    """
    best = _network(subject, hypothesis._replace(widths="solved"))
    goal = _goal(subject, hypothesis)
    if best is None or goal is None or in_proportion(best.stage_widths) != _DOUBLING:
        return None
    if not _takes_odd(subject.spec, best.groups, subject.unit, subject.cardinality):
        return None
    budget, _ = goal
    convention = _CONVENTION[hypothesis.counted]
    least = abs(price(best.tally(memory=False), convention) - budget)
    second = best.stage_widths[1]
    for way in (-1, 1):
        middle = second + way
        while 2 < middle <= MAX_WIDTH // 2:
            other = _with_middle(best, middle)
            miss = abs(price(other.tally(memory=False), convention) - budget)
            if miss >= least:
                # Further from the best even width the cost only grows away.
                break
            best, least, middle = other, miss, middle + 2 * way
    return best


@cache
def _takes_odd(spec: str, groups: int, unit: str | None, cardinality: int) -> bool:
    """Whether a second stage of odd width is legal: it is for all of them or for none.

    What a bundled unit asks of a width is nothing, or that it is a multiple of an even number.
    """
    frame = Frame(load(spec), groups, load(spec).image, unit, cardinality)
    rows = stage_rows(frame.spec)
    stem = stem_row(frame.spec)
    widths = {row.path: width for row, width in zip(rows, (33, 67, 134), strict=True)}
    if stem is not None:
        widths[stem.path] = frame.fixed(stem)
    return first_broken(frame, widths) is None


def _with_middle(like: Network, middle: int) -> Network:
    return network(
        like.spec,
        like.groups,
        size=like.frame.size,
        stem=like.stem,
        widths=(middle // 2, middle, 2 * middle),
        unit=like.frame.unit,
        cardinality=like.frame.cardinality,
    )


def _layer(net: Network, layer: str) -> tuple[int, int]:
    """The channels behind a layer, and the side of its square output [px]."""
    if layer == net.spec.rows[0].layer:
        return int(net.input[1]), net.frame.size[0]
    for placed in reversed(net.rows):
        if placed.row.layer == layer:
            return placed.channels, placed.output[0]
    known = ", ".join(dict.fromkeys(placed.row.layer for placed in net.rows))
    raise SpecError(f"'layer' {layer!r}: {net.spec.where} has none; there are {known}")


def _pointwise_share(subject: Subject) -> Fraction:
    """The share of the 1x1 convolutions in one unit that keeps its width [%]."""
    assert subject.unit is not None
    assert subject.width is not None
    chosen = stage_unit(subject.unit)
    groups = subject.cardinality if chosen.splits == "cardinality" else subject.groups or 1
    m, required = chosen.bottleneck(subject.width, groups, None)
    tree = made(chosen, Place(subject.width, subject.width, m, 1, groups))
    # A share is that of any size: every layer of the unit has the same positions.
    image = Shape(1, subject.width, 1, 1)
    for rule in (*required, *(rule for _, rule in constraints(tree, image, ""))):
        if not rule.holds():
            raise SpecError(f"unit {chosen.name}, width {subject.width}: {rule}")
    tally = layer_cost.count(tree, image, memory=False)
    wanted = [path for path, leaf in leaves(tree) if isinstance(leaf, Conv) and leaf.kernel == 1]
    pointwise = price(tally.under(wanted), "shufflenet-paper")
    return Fraction(100 * int(pointwise), int(price(tally, "shufflenet-paper")))
