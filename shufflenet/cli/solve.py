"""``shufflecost solve-widths``: the widths that fit a budget, proven best.

A budget alone goes to `solve`; options that ask for more make a request of a design space.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flopcount.conventions import convention
from flopcount.report import Table
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec_reader import load
from shufflenet.cli import options
from shufflenet.cli.confirming import confirmed, verdict
from shufflenet.cli.output import OutputFormat, emit, say
from shufflenet.cli.space_options import (
    Grouped,
    asks_for_space,
    bound_options,
    column_options,
    request,
    space_options,
    wanted_options,
)
from shufflenet.cost.priced import Priced, input_json, priced
from shufflenet.solver.answers import ShownOutcome, answer, answers_json, solution_json
from shufflenet.solver.parsing import bound_text, goal_text
from shufflenet.solver.problem import Outcome, Problem, SpaceTooLargeError
from shufflenet.solver.problem_files import read_request
from shufflenet.solver.request import Request
from shufflenet.solver.tables import answers_table

if TYPE_CHECKING:
    from shufflenet.arch.spec import Spec
    from shufflenet.solver.budget import Answer as SolvedBudget

#: How many points of a front are shown where nothing else is said.
POINTS = 20


def solve_space(
    given: dict[str, Any],
    units_from: Collection[str],
    confirm: bool | None,
    form: OutputFormat,
    path: str | None,
) -> int:
    """Solve what the options given ask for, and show it; the exit code."""
    asked = _asked(given)
    each = asked.groups if given.get("each_groups") else ()
    front = len(asked.wanted) > 1
    save = given.get("save")
    if save is not None:
        _check_one(asked, front, len(each))
    answers, code = _space_answers(asked, each, units_from, front)
    if not answers:
        return code
    if options.wants_proof(confirm):
        answers = [_confirmed(item) for item in answers]
    files = {}
    if save is not None:
        best = answers[0]
        files = saved(best.shown[0].item, save, _sentences(best.outcome.problem))
    emit(form, path, lambda: answers_table(answers), lambda: answers_json(answers), files)
    return code | verdict(shown.item for item in answers for shown in item.shown)


def _asked(given: dict[str, Any]) -> Request:
    """What options and file ask for together. Raises click's usage error for what clashes."""
    wishes = [name for name in ("objective", "pareto", "policy") if name in given]
    if len(wishes) > 1:
        one, other = wishes[:2]
        raise click.UsageError(f"--{one} says what is wanted, so --{other} cannot be given too")
    asked = request(given)
    if "problem" in given:
        asked = asked.over(read_request(given["problem"]))
    if asked.lacks_budget and asked.file:
        raise click.UsageError(f"{asked.file}: {asked.aimless}; --budget gives it as well")
    if asked.lacks_budget:
        wanted = "at-most" if asked.goals == "at-most" else "nearest"
        raise click.UsageError(
            f"Missing option '--budget': the objective {wanted} needs it; or give another by"
            " --objective or --pareto"
        )
    return asked


def _space_answers(
    asked: Request, each: tuple[int, ...], units_from: Collection[str], front: bool
) -> tuple[list[ShownOutcome], int]:
    most = (asked.top or POINTS) if front else (asked.top or 1)
    if not each:
        return [answer(_optimum(asked.problem(units_from)), most)], 0
    answers = []
    code = 0
    for g in each:
        try:
            outcome = _optimum(replace(asked, groups=(g,)).problem(units_from))
        except NothingLegalError as error:
            say(f"shufflecost: g = {g}: {error}")
            code = 1
        else:
            answers.append(answer(outcome, most, g))
    return answers, code


def _optimum(problem: Problem) -> Outcome:
    """The proven answer. Raises click's exception where a proof would take too long."""
    from shufflenet.solver.engine.optimise import optimise

    try:
        return optimise(problem, _told)
    except SpaceTooLargeError as error:
        raise click.ClickException(str(error)) from error


def _told(done: int, most: int) -> None:
    say(f"still proving: {done:,} entries looked at, of {most:,} at most")


def _confirmed(item: ShownOutcome) -> ShownOutcome:
    items = confirmed(shown.item for shown in item.shown)
    pairs = zip(item.shown, items, strict=True)
    return item._replace(shown=tuple(shown._replace(item=proved) for shown, proved in pairs))


def _check_one(asked: Request, front: bool, each: int) -> None:
    if front:
        raise click.UsageError(
            "--save writes one network, and a front is several: save an"
            " --objective's instead of --pareto's"
        )
    if each > 1:
        raise click.UsageError(
            "--save writes one network: without --each-groups it is the best over all --groups"
        )
    if (asked.top or 1) > 1:
        raise click.UsageError(f"--save writes one network, not the best {asked.top}: --top 1")


def check_save(save: str, path: str | None) -> None:
    """Check the name of a spec to write. Raises click's usage error."""
    if not save.endswith(".toml"):
        raise click.UsageError(f"--save {save!r}: the name of a spec file ends in .toml")
    if path is not None and os.path.realpath(path) == os.path.realpath(save):
        raise click.UsageError(f"--save {save!r} is where -o writes, too")


def saved(item: Priced, path: str, notes: Collection[str]) -> dict[str, bytes]:
    """The file to write of a network as a spec; none where its witnesses disagree."""
    from shufflenet.arch.spec_writer import written

    if item.confirmed is False:
        say(f"shufflecost: {path}: not written, as the witnesses disagree")
        return {}
    network = item.network
    title = f"{network.spec.title or network.spec.name}, solved"
    text = written(network, title=title, source="shufflecost solve-widths", notes=tuple(notes))
    return {path: text.encode("utf-8")}


def _sentences(problem: Problem) -> list[str]:
    """What a saved network was solved for."""
    wanted = ", ".join(goal_text(goal) for goal in problem.goals)
    held = [bound_text(bound) for bound in problem.bounds]
    kept = f", with {', '.join(held)}" if held else ""
    return [f"solved for {wanted}{kept}; convention {convention(problem.convention).name}"]


class _Solved(NamedTuple):
    """A solution as a column, and the answer it belongs to."""

    item: Priced
    answer: SolvedBudget
    residual: int
    auto: bool
    rank: int


@click.command(
    cls=Grouped,
    short_help="Widths for a budget, proven the best.",
    epilog=options.epilog(
        "shufflecost solve-widths --budget 140M --groups 1,2,3,4,8",
        "shufflecost solve-widths --budget 40M --groups 8 --stem auto",
        "shufflecost solve-widths --spec arch2 --budget 40M --stem 12 --groups 3",
        "shufflecost solve-widths --budget 38M --stem 12 --unit resnet --top 3",
        "shufflecost solve-widths --groups 1,2,3,4,8 --max-macs 140M --objective most-channels",
        "shufflecost solve-widths --groups 4,8 --max-macs 60M --pareto macs,channels --top 5",
        "shufflecost solve-widths --budget 40M --align 8 --max-params 1M --save my-net.toml",
    ),
)
@click.option(
    "--budget",
    type=options.BUDGET,
    help="Cost to reach: 40M, 0.04G, 40_000_000, 4e7. Of another goal than nearest: the most.",
)
@column_options
@click.option(
    "--policy",
    type=click.Choice(["nearest", "at-most"]),
    default="nearest",
    show_default=True,
    help="Nearest to the budget, or the largest within it.",
)
@click.option(
    "--top",
    type=click.IntRange(1, 1000),
    default=1,
    show_default="1; of a front 20",
    help="How many to show, the best first.",
)
@wanted_options
@space_options
@bound_options
@options.units_from_option
@options.confirm_switch
@options.output_options
def solve_widths(
    units_from: tuple[str, ...],
    confirm: bool | None,
    form: OutputFormat,
    path: str | None,
    **choices: Any,
) -> int:
    """The widths whose cost is nearest to a budget, every rule kept, proven the best.

    The stages keep their ratio (1:2:4 in the paper). All legal widths are tried. Several --groups
    give an answer each.

    With any option of a design space, a bound, --objective, --pareto or --problem, the answer is
    the best network of the whole space: --groups are a variable like the others (--each-groups
    gives an answer for each), and widths end at --widest times the spec's own.
    """
    ctx = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    given = {
        name: value
        for name, value in choices.items()
        if ctx.get_parameter_source(name) is not default
    }
    if "save" in given:
        check_save(given["save"], path)
    if asks_for_space(given):
        return solve_space(given, units_from, confirm, form, path)
    if "budget" not in given:
        raise click.UsageError("Missing option '--budget'; or give an --objective or a --problem.")
    return _solve_budget(choices, units_from, confirm, form, path)


def _solve_budget(
    choices: dict[str, Any],
    units_from: tuple[str, ...],
    confirm: bool | None,
    form: OutputFormat,
    path: str | None,
) -> int:
    """The answer for each number of groups, all legal widths in the stages' ratio tried."""
    loaded = load(choices["spec"])
    groups, save = choices["groups"] or (loaded.first_choice,), choices["save"]
    if save is not None and len(groups) > 1:
        raise click.UsageError(
            "--save writes one network, and several --groups give one each: give one of them, or"
            " an --objective for the best over all"
        )
    if save is not None and choices["top"] > 1:
        raise click.UsageError(f"--save writes one network, not the best {choices['top']}: --top 1")
    unit, size = (values[0] if (values := choices[name]) else None for name in ("unit", "size"))
    how = {name: choices[name] for name in ("cardinality", "convention", "policy", "ratio", "top")}
    how |= {"unit": unit, "size": size, "units_from": units_from}
    columns: list[_Solved] = []
    code = 0
    for g in groups:
        try:
            columns += _for_groups(loaded, choices["budget"], g, choices["stem"], how)
        except NothingLegalError as error:
            say(f"shufflecost: {error}")
            code = 1
    if not columns:
        return code
    if options.wants_proof(confirm):
        items = confirmed(column.item for column in columns)
        columns = [c._replace(item=item) for c, item in zip(columns, items, strict=True)]
    files = {}
    if save is not None:
        answer = columns[0].answer
        note = f"solved for {answer.budget:,} ({answer.policy}); convention {answer.convention}"
        files = saved(columns[0].item, save, [note])
    emit(form, path, lambda: _table(columns), lambda: _figures(columns), files)
    return code | verdict(column.item for column in columns)


def _for_groups(
    loaded: Spec, budget: int, groups: int, stem: Any, choices: dict[str, Any]
) -> list[_Solved]:
    """The answer for a number of groups; beside it, where it misses, the best with any stem."""
    from shufflenet.solver.budget import solve

    answer = solve(loaded, budget, groups, stem=stem, **choices)
    columns = _columns(answer)
    if answer.notable and stem != "auto" and answer.best.network.stem is not None:
        # Where no narrower stem is legal, or there are too many to try, the answer stands alone.
        with suppress(NothingLegalError, QuantityError):
            other = solve(loaded, budget, groups, stem="auto", **(choices | {"top": 1}))
            if abs(other.best.residual) < abs(answer.best.residual):
                columns += _columns(other, auto=True)
    return columns


def _columns(answer: SolvedBudget, auto: bool = False) -> list[_Solved]:
    chosen = convention(answer.convention)
    return [
        _Solved(priced(found.network, chosen), answer, found.residual, auto, rank)
        for rank, found in enumerate(answer.solutions, 1)
    ]


def _figures(columns: list[_Solved]) -> dict[str, Any]:
    first = columns[0]
    return {
        "spec": first.item.network.spec.name,
        "unit": first.item.network.frame.unit,
        "input": input_json(first.item.network),
        "budget": first.answer.budget,
        "convention": first.answer.convention,
        "policy": first.answer.policy,
        "solutions": [_solution(column) for column in columns if not column.auto],
        "with_stem_auto": [_solution(column) for column in columns if column.auto],
    }


def _solution(column: _Solved) -> dict[str, Any]:
    return solution_json(
        column.item,
        {
            "residual": column.residual,
            "candidates": column.answer.candidates,
            "unique": column.answer.unique,
            "rank": column.rank,
        },
    )


def _table(columns: list[_Solved]) -> Table:
    from flopcount.report import Signed
    from shufflenet.cost.tables import table_one

    first = columns[0]
    title = f"{first.item.network.spec.title}: widths for {first.answer.budget:,}"
    if first.item.network.frame.unit:
        title += f", unit {first.item.network.frame.unit}"
    return table_one(
        f"{title} ({first.answer.policy})",
        [column.item for column in columns],
        [_header(column) for column in columns],
        extra=(
            ("Residual", [Signed(column.residual) for column in columns]),
            ("Legal widths tried", [column.answer.candidates for column in columns]),
        ),
        notes=list(_remarks(columns)),
    )


def _header(column: _Solved) -> str:
    text = f"g = {column.item.network.groups}"
    if column.auto:
        text += ", stem auto"
    return text if column.rank == 1 else f"{text}, #{column.rank}"


def _remarks(columns: list[_Solved]) -> list[str]:
    notes = []
    best = [column for column in columns if column.rank == 1]
    given = [column for column in best if not column.auto]
    proven = [c.item.network.groups for c in given if c.answer.unique]
    tied = [c.item.network.groups for c in given if not c.answer.unique]
    if proven:
        which = ", ".join(str(g) for g in dict.fromkeys(proven))
        notes.append(f"g = {which}: the one best of all legal widths tried")
    if tied:
        which = ", ".join(str(g) for g in dict.fromkeys(tied))
        notes.append(
            f"g = {which}: other legal widths miss by as much; the cheaper comes first, then the"
            " narrower stem"
        )
    for column in best:
        if column.auto:
            notes.append(
                f"g = {column.item.network.groups}: above 2% off with the given stem; with any"
                f" stem up to the spec's own, {column.item.network.stem} is the nearest"
            )
    return notes
