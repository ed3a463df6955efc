"""Answers of the solver as people read them: as Table 1 or network by network, and the proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from flopcount.report import Cell, Signed, Table
from shufflenet.arch.layout import stem_row
from shufflenet.arch.network import Network
from shufflenet.cost.latency_model import said
from shufflenet.cost.tables import rounding_notes, table_one, unit_name, verdict_text, widths_text
from shufflenet.solver.answers import Shown, ShownOutcome, bottleneck, repeats, unit
from shufflenet.solver.parsing import FIGURE_FORMATS, bound_text, goal_text, named
from shufflenet.solver.problem import ALWAYS_SHOWN, Figure, Goal, Space

#: The most networks that stand side by side.
_MOST_COLUMNS = 5
_ORDER = (
    "lower cost first, then by unit, size, bottleneck and groups as given, then from the first"
    " layer on the narrower, then the fewer units"
)


def answers_table(answers: Sequence[ShownOutcome]) -> Table:
    """The answers as Table 1, where they are few networks of the same rows; else as a list."""
    networks = [shown.item.network for item in answers for shown in item.shown]
    alike = len({_rows(network) for network in networks}) == 1
    if answers[0].front or len(networks) > _MOST_COLUMNS or not alike:
        return _list(answers)
    return _columns(answers)


def _rows(network: Network) -> tuple[object, ...]:
    """All that Table 1 prints of the rows of a network but for its widths."""
    rows = (
        (placed.row.layer, placed.output, placed.row.kernel, placed.row.stride, placed.row.repeat)
        for placed in network.rows
    )
    return network.frame.size, *rows


class _Variable(NamedTuple):
    """What may tell networks apart, by its column's header; ``words`` say it elsewhere."""

    header: str
    words: str
    of: Callable[[Network], Cell]


def _side(network: Network) -> str:
    h, w = network.frame.size
    return f"{h}x{w}"


def _ratio(network: Network) -> str:
    ratio = bottleneck(network)
    return "" if ratio is None else f"1:{ratio}"


# What a network of a list is told by; the widths always are.
_VARIABLES = (
    _Variable("Unit", "unit {}", unit),
    _Variable("Size", "size {}", _side),
    _Variable("Bottleneck", "bottleneck {}", _ratio),
    _Variable("g", "g = {}", lambda network: network.groups),
)
_REPEATS_VARIABLE = _Variable(
    "Repeats", "repeats {}", lambda network: ", ".join(map(str, repeats(network)))
)
_STEM_VARIABLE = _Variable("Stem", "stem {}", lambda network: network.stem)


def _differ(variable: _Variable, networks: Sequence[Network]) -> bool:
    return len({variable.of(network) for network in networks}) > 1


def _title(answers: Sequence[ShownOutcome], told: Sequence[str]) -> str:
    problem = answers[0].outcome.problem
    wanted = ", ".join(goal_text(goal) for goal in problem.goals)
    if answers[0].front:
        wanted = f"the front of {wanted}"
    return ", ".join([f"{problem.space.spec.title or problem.space.spec.name}: {wanted}", *told])


def _columns(answers: Sequence[ShownOutcome]) -> Table:
    every = [shown for item in answers for shown in item.shown]
    networks = [shown.item.network for shown in every]
    space = answers[0].outcome.problem.space
    telling = [v for v in _VARIABLES if v.header != "g" and _tells(v, networks, space)]
    settled = _settled([v for v in _VARIABLES if v.header != "g"], telling, networks[0], space)
    headers = []
    for shown in every:
        network = shown.item.network
        words = [f"g = {network.groups}", *(v.words.format(v.of(network)) for v in telling)]
        headers.append(", ".join(words) + (f", #{shown.rank}" if shown.rank > 1 else ""))
    return table_one(
        _title(answers, settled),
        [shown.item for shown in every],
        headers,
        extra=[(name, [value(shown) for shown in every]) for name, value in _more(answers[0])],
        notes=[*_notes(answers)],
    )


def _given(variable: _Variable, space: Space) -> int:
    """How many values the problem gives a variable; 0 where the spec's own stays."""
    given = {"Unit": space.units, "Size": space.sizes, "Bottleneck": space.bottlenecks}
    return len(given.get(variable.header, space.groups))


def _tells(variable: _Variable, networks: Sequence[Network], space: Space) -> bool:
    """Whether the networks differ in a variable, or might have."""
    return _given(variable, space) > 1 or _differ(variable, networks)


def _settled(
    variables: Sequence[_Variable], telling: Sequence[_Variable], first: Network, space: Space
) -> list[str]:
    """What the problem settles of all its networks, in words."""
    return [v.words.format(v.of(first)) for v in variables if v not in telling and _given(v, space)]


def _list(answers: Sequence[ShownOutcome]) -> Table:
    every = [shown for item in answers for shown in item.shown]
    networks = [shown.item.network for shown in every]
    first = networks[0]
    space = answers[0].outcome.problem.space
    varied = [v for v in _VARIABLES if v.header == "g" or _tells(v, networks, space)]
    settled = _settled(_VARIABLES, varied, first, space)
    stem = [_STEM_VARIABLE] if first.stem is not None else []
    told = [*varied, *stem, _Variable("Widths", "", widths_text)]
    if space.repeats or _differ(_REPEATS_VARIABLE, networks):
        told.append(_REPEATS_VARIABLE)
    chosen = every[0].item.convention
    values: list[tuple[str, Callable[[Shown], Cell]]] = [
        (unit_name(chosen), lambda shown: shown.item.cost),
        *_more(answers[0]),
        ("Parameters", lambda shown: shown.item.tally.params),
        ("Peak activations [B]", lambda shown: shown.item.tally.peak_memory),
    ]
    if any(shown.item.confirmed is not None for shown in every):
        values.append(("Confirmed", lambda shown: verdict_text(shown.item.confirmed)))
    rows = [
        (
            shown.rank,
            *(variable.of(shown.item.network) for variable in told),
            *(value(shown) for _, value in values),
        )
        for shown in every
    ]
    notes = [f"convention {chosen.name}: {chosen.says}; input {first.input}"]
    if len({network.input for network in networks}) > 1:
        notes = [f"convention {chosen.name}: {chosen.says}"]
    notes += dict.fromkeys(note for network in networks for note in rounding_notes(network))
    notes += [f"{first.spec.name}: {note}" for note in first.spec.notes]
    return Table(
        _title(answers, settled),
        ("#", *(variable.header for variable in told), *(name for name, _ in values)),
        tuple(rows),
        (*notes, *_notes(answers)),
        left=1,
    )


def _more(item: ShownOutcome) -> Iterator[tuple[str, Callable[[Shown], Cell]]]:
    """The figures that the problem asks for beside those always shown, and misses of targets."""
    problem = item.outcome.problem
    aims = [goal for goal in problem.goals if goal.target is not None]
    for goal in aims:
        header = "Residual" if len(aims) == 1 else f"Residual, {goal.figure}"
        yield header, _miss(goal)
    asked = [(goal.figure, goal.convention) for goal in problem.goals]
    asked += [(bound.figure, bound.convention) for bound in problem.bounds]
    for figure, convention in dict.fromkeys(asked):
        if convention or figure not in ALWAYS_SHOWN:
            yield named_header(figure, convention), _value(figure, convention)


def named_header(figure: Figure, convention: str) -> str:
    """The header of a figure's column."""
    header = FIGURE_FORMATS[figure].header
    return f"{header} ({convention})" if convention else header


def _miss(goal: Goal) -> Callable[[Shown], Cell]:
    return lambda shown: Signed(shown.residual(goal))


def _value(figure: Figure, convention: str) -> Callable[[Shown], Cell]:
    return lambda shown: shown.figure(figure, convention)


def _notes(answers: Sequence[ShownOutcome]) -> Iterator[str]:
    problem = answers[0].outcome.problem
    told = f"wanted: {', '.join(goal_text(goal) for goal in problem.goals)}"
    if problem.bounds:
        told += f"; kept: {', '.join(bound_text(bound) for bound in problem.bounds)}"
    yield told
    asked = [(goal.figure, goal.convention) for goal in problem.goals]
    asked += [(bound.figure, bound.convention) for bound in problem.bounds]
    for figure, convention in dict.fromkeys(asked):
        if figure not in ALWAYS_SHOWN:
            yield f"{named(figure, convention)}: {FIGURE_FORMATS[figure].says}"
    if problem.latency is not None:
        yield f"predicted: {said(problem.latency)}"
    for item in answers:
        start = "" if item.groups is None else f"g = {item.groups}: "
        for note in _proof(item):
            yield f"{start}{note}"


def _proof(item: ShownOutcome) -> Iterator[str]:
    """What is proven of one answer, and what it leaves out."""
    covered = f"{item.outcome.candidates:,} legal networks"
    listed = len(item.outcome.solutions)
    if item.front:
        points = "1 point" if listed == 1 else f"{listed:,} points"
        yield f"proven: the whole front of {covered} is {points}"
        if len(item.shown) < listed:
            yield (
                f"shown: {len(item.shown)} of them, evenly spread, both ends among them;"
                " --top shows more"
            )
        if not all(shown.found.unique for shown in item.shown):
            yield f"other networks equal some of these in every goal; listed is the first: {_ORDER}"
    else:
        yield f"proven the best of {covered}"
        if not item.outcome.best.unique:
            tied = _tied(item)
            every = tied < len(item.shown) or listed < item.outcome.problem.top
            said = f"the first {tied} are equally good" if every else "others are as good"
            yield f"{said}: {_ORDER}{'' if every else '; --top lists more'}"
    if item.outcome.without:
        which = ", ".join(map(str, item.outcome.without))
        yield f"g = {which}: no legal network in the space"
    space = item.outcome.problem.space
    stem = stem_row(space.spec)
    for layer in item.outcome.edge:
        wider = "--widths" if space.widths else "--widest or --widths"
        if space.scales:
            wider = "--scales"
        elif stem is not None and layer == stem.layer:
            wider = "--stem"
        yield f"{layer} is as wide as the space allows; {wider} can allow more"


def _tied(item: ShownOutcome) -> int:
    """How many of those shown are as good as the best."""
    goal = item.outcome.problem.goals[0]
    if goal.target is not None:
        misses = [abs(shown.residual(goal)) for shown in item.shown]
        return misses.count(misses[0])
    values = [shown.figure(goal.figure, goal.convention) for shown in item.shown]
    return values.count(values[0])
