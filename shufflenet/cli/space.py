"""The route of ``solve-widths`` through a design space: a request solved, confirmed and shown."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import click

from flopcount.conventions import convention
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.cli import options
from shufflenet.cli.output import Form, emit, say
from shufflenet.cli.proof import confirmed, verdict
from shufflenet.cli.space_options import request
from shufflenet.design.answers import Answer, answer, answers_json
from shufflenet.design.problem import Outcome, Problem
from shufflenet.design.problem_files import read_request
from shufflenet.design.request import Request
from shufflenet.design.tables import answers_table
from shufflenet.design.words import bound_text, goal_text
from shufflenet.figures import Priced

#: How many points of a front are shown where nothing else is said.
POINTS = 20


def solve_space(
    given: dict[str, Any],
    units_from: Collection[str],
    confirm: bool | None,
    form: Form,
    path: str | None,
) -> int:
    """Solve what the options given ask for, and show it; the exit code."""
    asked = _asked(given)
    each = asked.groups if given.get("each_groups") else ()
    front = len(asked.wanted) > 1
    save = given.get("save")
    if save is not None:
        _check_one(asked, front, len(each))
    answers, code = _answers(asked, each, units_from, front)
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


def _answers(
    asked: Request, each: tuple[int, ...], units_from: Collection[str], front: bool
) -> tuple[list[Answer], int]:
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
    from shufflenet.design.optimum import optimise
    from shufflenet.design.problem import SpaceTooLargeError

    try:
        return optimise(problem, _told)
    except SpaceTooLargeError as error:
        raise click.ClickException(str(error)) from error


def _told(done: int, most: int) -> None:
    say(f"still proving: {done:,} entries looked at, of {most:,} at most")


def _confirmed(item: Answer) -> Answer:
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
