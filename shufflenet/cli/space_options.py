"""The options of a design space: what may vary, what must hold, what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from shufflenet.arch import ranges
from shufflenet.arch.quantities import MAX_REPEATS, MAX_WIDTH, QuantityError
from shufflenet.cli import options
from shufflenet.cli.param_types import Exactly
from shufflenet.solver.parsing import FIGURE_FORMATS, read_end, read_goal, read_near, read_objective
from shufflenet.solver.problem import FIGURES, USUAL, Bound, Figure, Goal
from shufflenet.solver.request import Request

Command = TypeVar("Command", bound=Callable[..., Any])


def _front(text: str) -> tuple[Goal, ...]:
    goals = tuple(read_goal(part) for part in text.split(","))
    if len(goals) < 2:
        raise QuantityError(f"{text!r} is one goal; a front has two or more")
    if len(set(goals)) != len(goals):
        raise QuantityError(f"{text!r} names a goal twice")
    return goals


def _goal_names() -> list[str]:
    return [f"{sense}-{figure}" for figure in USUAL for sense in ("least", "most")]


_REPEATS_TYPE = Exactly("a-b,...", lambda text: ranges.read_stages(text, "repeats", MAX_REPEATS))
_STAGES_TYPE = Exactly("a-b:step,...", lambda text: ranges.read_stages(text, "width", MAX_WIDTH))
_BOTTLENECKS_TYPE = Exactly("1:n,...", ranges.read_bottlenecks)
_SIZES_TYPE = Exactly("px|hxw,...", ranges.read_sizes)
_SCALES_TYPE = Exactly("scale,...", ranges.read_scales)
_OBJECTIVE_TYPE = Exactly("goal", read_objective, lambda: ["nearest", "at-most", *_goal_names()])
_FRONT_TYPE = Exactly("goal,goal,...", _front, lambda: [*USUAL, *_goal_names()])

_COLUMN_OPTIONS = (
    click.option(
        "--groups",
        type=options.GROUPS,
        help="One, several (1,2,3) or a range (1-8). Default: the spec's default_groups.",
    ),
    options.spec_option,
    click.option(
        "--unit",
        type=options.UNIT_NAMES,
        help="Unit of all stages, instead of the spec's, or several.",
    ),
    options.cardinality_option,
    click.option("--ratio", type=options.RATIO, help="Of the stages' widths. Default: the spec's."),
    click.option(
        "--stem",
        type=options.STEM,
        help="A width, several, a range (8-32:8), or auto: any up to the spec's own.",
    ),
    click.option(
        "--size",
        type=_SIZES_TYPE,
        help="Image: a side, or height x width (480x640); several, or a range of sides"
        " (128-224:32). Default: the spec's.",
    ),
    options.convention_option,
)
_SPACE_OPTIONS = (
    click.option("--free-stages", is_flag=True, help="Every stage's width by itself, in no ratio."),
    click.option(
        "--repeats",
        type=_REPEATS_TYPE,
        help="Units of each stage: 2-6,4-10,2-6; 2/4 is one of two.",
    ),
    click.option(
        "--bottleneck", type=_BOTTLENECKS_TYPE, help="Of the stages' units: 1:2,1:4, or 1:2-1:4."
    ),
    click.option(
        "--scales",
        type=_SCALES_TYPE,
        help="All widths are the spec's at one of these scales: 0.5,1 or 0.25-1:0.25.",
    ),
    click.option(
        "--widths", type=_STAGES_TYPE, help="Allowed for each stage: 16-576:4,32-1152:8,64-2304:16."
    ),
    click.option(
        "--widest",
        type=click.IntRange(1, 1_000),
        metavar="times",
        help="Without --widths: up to so many times the spec's own. Default: 4.",
    ),
    click.option(
        "--align",
        type=click.IntRange(1, MAX_WIDTH),
        metavar="n",
        help="Stem and stages are multiples of this: 8.",
    ),
)
#: A problem file; options come before what it says.
problem_option = click.option(
    "--problem",
    type=options.FILE,
    help="A TOML file that says all this (docs/solving.md); options come before it.",
)
_WANTED_OPTIONS = (
    click.option(
        "--objective",
        type=_OBJECTIVE_TYPE,
        help=f"least-, most- or nearest-FIGURE, or a figure of {', '.join(USUAL)} in its usual"
        " sense; nearest-params=1M has a target, nearest takes the --budget. Default: --policy.",
    ),
    click.option(
        "--pareto",
        type=_FRONT_TYPE,
        help="The whole front of several: macs,params; as in --objective.",
    ),
    problem_option,
    click.option(
        "--each-groups", is_flag=True, help="The best for each of --groups, not over all of them."
    ),
    options.latency_option,
    click.option("--save", type=options.FILE, help="Write the network as a spec file, too."),
)


def column_options(command: Command) -> Command:
    """The spec, and what of it may be one or several: ``--groups``, ``--unit`` and their kin."""
    for option in reversed(_COLUMN_OPTIONS):
        command = option(command)
    return command


def space_options(command: Command) -> Command:
    """What may vary: ``--free-stages`` and its kin."""
    for option in reversed(_SPACE_OPTIONS):
        command = option(command)
    return command


def wanted_options(command: Command) -> Command:
    """What is wanted: ``--objective``, ``--pareto``, ``--problem`` and their kin."""
    for option in reversed(_WANTED_OPTIONS):
        command = option(command)
    return command


def bound_options(command: Command) -> Command:
    """``--max-FIGURE``, ``--min-FIGURE`` and ``--near-FIGURE`` for every figure."""
    for figure in reversed(FIGURES):
        words = FIGURE_FORMATS[figure]
        # A figure may be bounded in several conventions at once, so each may come again.
        end = Exactly(words.example, partial(read_end, figure))
        share = Exactly(f"{words.example}:5%", partial(read_near, figure))
        for name, kind in (("near", share), ("min", end), ("max", end)):
            option = click.option(f"--{name}-{figure}", type=kind, multiple=True, help=words.says)
            command = option(command)
    return command


def bounds(given: dict[str, Any]) -> tuple[Bound, ...]:
    """The bounds of the options given."""
    found: list[Bound] = []
    for figure in FIGURES:
        for convention, least in given.get(f"min_{figure}", ()):
            found.append(Bound(figure, least=least, convention=convention))
        for convention, most in given.get(f"max_{figure}", ()):
            found.append(Bound(figure, most=most, convention=convention))
        found += given.get(f"near_{figure}", ())
    return tuple(found)


_BOUNDS: tuple[str, ...] = tuple(
    f"{end}_{figure}" for figure in FIGURES for end in ("max", "min", "near")
)
_SPACE_NAMES = (
    *("free_stages", "repeats", "bottleneck", "scales", "widths", "widest", "align"),
    "each_groups",
)
_NEW = (*_SPACE_NAMES, "objective", "pareto", "problem", "latency", *_BOUNDS)


def asks_for_space(given: dict[str, Any]) -> bool:
    """Whether any option given is one of a design space."""
    several = any(len(given.get(name, ())) > 1 for name in ("unit", "size"))
    return several or any(name in given for name in _NEW)


def request(given: dict[str, Any]) -> Request:
    """What the options given ask for."""
    same = (
        *("spec", "groups", "unit", "bottleneck", "size", "repeats", "stem", "ratio"),
        *("free_stages", "scales", "widths", "widest", "align", "cardinality"),
        *("convention", "budget", "top", "latency"),
    )
    goals: Any = None
    if "objective" in given:
        wanted = given["objective"]
        goals = wanted if wanted == "at-most" else (wanted,)
    elif "pareto" in given:
        goals = given["pareto"]
    elif "policy" in given:
        goals = "at-most" if given["policy"] == "at-most" else (Goal("macs", "nearest"),)
    said = {name: given[name] for name in same if name in given}
    return Request(**said, goals=goals, bounds=bounds(given))


class Grouped(click.Command):
    """A command whose help shows the options of a design space apart, and bounds in pairs."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options: the plain ones, the space's, and each figure's two bounds on a line."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Design space": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and param.name not in _BOUNDS:
                title = "Design space" if param.name in _SPACE_NAMES else "Options"
                sections[title].append(record)
        sections["Bounds"] = [
            *((f"--max-{figure}, --min-{figure}", _bound_help(figure)) for figure in FIGURES),
            ("--near-FIGURE", "Within a share of a value: --near-macs 140M:5%."),
        ]
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _bound_help(figure: Figure) -> str:
    words = FIGURE_FORMATS[figure]
    told = f"{words.says[0].upper()}{words.says[1:]}: {words.example}"
    # It is priced under a convention, and a bound may name its own.
    return f"{told}, or torch:{words.example}." if figure == "macs" else f"{told}."
