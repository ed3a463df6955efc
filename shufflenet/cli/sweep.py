"""``shufflecost sweep``: a whole design space as a table, streamed into a file."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from shufflenet.cli import options
from shufflenet.cli.output import say
from shufflenet.cli.param_types import Exactly, listed
from shufflenet.cli.space_options import (
    Grouped,
    bound_options,
    column_options,
    problem_option,
    request,
    space_options,
)
from shufflenet.solver.parsing import read_figure
from shufflenet.solver.problem import Figure, Goal, Problem

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from shufflenet.solver.sweep.formats import SweepFormat
    from shufflenet.solver.sweep.run import Progress, Told
    from shufflenet.solver.sweep.space_table import Sweep

# Pieces in the hands of each of an executor's workers, so that none waits for the next.
_AHEAD = 2
#: Where nothing else is said: workers of an executor of the user's own.
_WORKERS = 8
_FIGURES_TYPE = Exactly("figure,...", listed(read_figure), lambda: ["moved", "layers", "channels"])


@click.command(
    cls=Grouped,
    short_help="A whole design space as a table.",
    epilog=options.epilog(
        "shufflecost sweep --groups 1,2,3,4,8 --repeats 2-6,4-10,2-6 -o space.csv",
        "shufflecost sweep --free-stages --align 24 --max-macs 140M --jobs 2 -o free.parquet",
        "shufflecost sweep --problem phone.toml --count",
        "shufflecost sweep --free-stages --align 24 --executor cluster:executor -o wide.csv",
        own=True,
    ),
)
@column_options
@problem_option
@space_options
@bound_options
@options.units_from_option
@click.option(
    "--figures", type=_FIGURES_TYPE, help="Columns besides the usual: moved,layers,channels."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet"]),
    help="Default: by the ending of FILE, else CSV. Parquet is a folder of files (pyarrow).",
)
@click.option("-o", "--output", "path", metavar="FILE", type=options.FILE, help="Write there.")
@click.option("--restart", is_flag=True, help="Begin anew, and replace what is there.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 10_000),
    metavar="n",
    help=f"Processes; with --executor, the workers it has. Default: 1, or {_WORKERS} workers.",
)
@click.option(
    "--executor",
    metavar="PACKAGE.MODULE:CALLABLE",
    help="Called for a concurrent.futures.Executor that does the work: its code is imported and"
    " run.",
)
@click.option(
    "--piece",
    type=click.IntRange(1, 5_000_000),
    default=250_000,
    show_default=True,
    metavar="n",
    help="Networks priced at once, and lost if the sweep is broken off.",
)
@click.option("--count", is_flag=True, help="Only say how many legal networks the space has.")
def sweep(
    units_from: tuple[str, ...],
    path: str | None,
    form: SweepFormat | None,
    count: bool,
    restart: bool,
    jobs: int | None,
    executor: str | None,
    figures: tuple[Figure, ...] | None,
    piece: int,
    **choices: Any,
) -> int:
    """Every legal network of a design space that is inside the bounds, a row for each.

    A sweep that was broken off goes on where it was when the same command is given again. Widths
    end at --widest times the spec's own. Without -o, CSV goes to standard output.
    """
    from shufflenet.solver.sweep.space_table import PricedSweep, Sweep

    ctx = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    given = {k: v for k, v in choices.items() if ctx.get_parameter_source(k) is not default}
    asked = _problem(given, units_from)
    made = Sweep(asked.space, asked.bounds, asked.convention, figures or (), piece)
    if count:
        click.echo(PricedSweep(made).candidates())
        return 0
    form = form or ("parquet" if path and path.rstrip(os.sep).endswith(".parquet") else "csv")
    with _executor(executor, jobs) as (workers, ahead):
        rows = _written(made, path, form, workers, restart, ahead)
    if not rows:
        say("shufflecost: no legal network of the space is inside the bounds")
    return int(not rows)


def _problem(given: dict[str, Any], units_from: tuple[str, ...]) -> Problem:
    """The problem whose space and bounds are swept; what it wants most is left aside."""
    from shufflenet.solver.problem_files import read_request

    asked = request(given)
    if "problem" in given:
        asked = asked.over(read_request(given["problem"]))
    if asked.goals is None or asked.lacks_budget:
        # A budget that is to be neared bounds nothing.
        asked = replace(asked, goals=(Goal("macs", "least"),), budget=None)
    return asked.problem(units_from)


def _written(
    made: Sweep,
    path: str | None,
    form: SweepFormat,
    executor: Executor | None,
    restart: bool,
    ahead: int,
) -> int:
    from shufflenet.solver.sweep.run import stream, write_sweep
    from shufflenet.solver.sweep.space_table import PricedSweep

    if path is None or _is_stream(path):
        if form == "parquet":
            raise click.UsageError("Parquet is a folder of files, so it needs one: -o FILE")
        # On a terminal the rows themselves show how far it is.
        hidden = path is None and sys.stdout.isatty()
        with _to(path) as write, _bar(hidden) as told:
            return stream(PricedSweep(made), write, executor, ahead=ahead, told=told)

    def begun(rows: int) -> None:
        say(f"{path}: {rows:,} rows are there; going on")

    with _bar() as told:
        return write_sweep(
            made, path, form, executor, restart=restart, ahead=ahead, told=told, begun=begun
        )


def _is_stream(path: str) -> bool:
    """Whether a path is a device or a pipe, which has no whole to replace."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


@contextmanager
def _to(path: str | None) -> Iterator[Callable[[bytes], object]]:
    if path is None:
        # The text stream is what a test or a caller may have put there.
        def write(data: bytes) -> None:
            sys.stdout.write(data.decode("ascii"))
            sys.stdout.flush()

        yield write
        return
    with open(path, "wb", buffering=0) as raw:
        yield lambda data: _all(raw.write, data)


def _all(write: Callable[[memoryview], int | None], data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[write(left) or 0 :]


@contextmanager
def _executor(name: str | None, jobs: int | None) -> Iterator[tuple[Executor | None, int]]:
    """What does the work (None: this process), and how many pieces it has in hand at most."""
    from shufflenet.solver.sweep.executors import executor_from, processes

    if name is None and (jobs or 1) == 1:
        yield None, 1
        return
    if name is None:
        assert jobs is not None
        made: Executor = processes(jobs)
    else:
        # What the code prints must not be taken for the table.
        with redirect_stdout(sys.stderr):
            made = executor_from(name)
    try:
        yield made, _AHEAD * (jobs or _WORKERS)
    finally:
        made.shutdown()


@contextmanager
def _bar(hidden: bool = False) -> Iterator[Told | None]:
    """A progress bar on standard error, where that is a terminal, unless it is to be hidden."""
    if hidden or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        *(TextColumn("{task.fields[rows]:,} rows"), BarColumn(), TaskProgressColumn()),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0, rows=0)

        def told(progress: Progress) -> None:
            bar.update(task, completed=progress.share, rows=progress.rows)

        yield told
