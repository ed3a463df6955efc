"""``shufflecost latency``: a model of time, fitted on this machine and held against networks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from flopcount import report
from shufflenet.bench.latency.tables import checks_table
from shufflenet.bench.rounds import RoundSettings
from shufflenet.cli import options
from shufflenet.cli.bench_layers import spec_tree
from shufflenet.cli.output import OutputFormat, emit, say
from shufflenet.cost.latency_files import load_model, model_json
from shufflenet.cost.latency_model import said
from shufflenet.cost.machine import this_machine
from shufflenet.runtimes.lookup import versions
from shufflenet.system.atomic_files import check_writable, write_files
from shufflenet.system.user_code import lacking

if TYPE_CHECKING:
    from shufflenet.bench.latency.calibrate import UnseenNetwork

# Rounds in which everything is timed: by default, and where it must be quick.
_ROUNDS, _QUICK = 12, 4

_CODES = ("done, however large the error is", "never: the error is what is asked for")
_quick = click.option("--quick", is_flag=True, help=f"{_QUICK} rounds instead of {_ROUNDS}.")


@click.group(
    short_help="A model of time, fitted on this machine.",
    epilog=options.epilog(
        "shufflecost latency fit -o machine.json",
        "shufflecost latency check machine.json",
        codes=_CODES,
    ),
)
def latency() -> None:
    """Time predicted from shapes: what each kind of layer costs on this machine.

    The model is fitted to single layers, and its error measured on networks that it never saw.
    `cost` and `solve-widths` take it by --latency.
    """


@latency.command(
    short_help="Time layers, and fit a model to them.",
    epilog=options.epilog("shufflecost latency fit -o machine.json", codes=_CODES),
)
@options.file_option("The model, as JSON.")
@click.option(
    "--runtime",
    type=click.Choice(["eager"]),
    default="eager",
    show_default=True,
    help="What runs the layers: others fuse them, so that their times do not add up.",
)
@options.threads_option
@_quick
@options.seed_option("the layers that are drawn, and of the order of what is timed")
def fit(path: str, runtime: str, threads: int, quick: bool, seed: int) -> int:
    """Time about a thousand layers on this machine, fit what each kind costs, and write it.

    The layers are those of ten networks, and others that are drawn; in the same rounds the
    networks are timed whole, and others by which the error is measured. It takes about a minute,
    on a machine that does nothing else.
    """
    options.need_torch("latency")
    if absent := lacking("latency", "scipy"):
        raise click.UsageError(f"latency fit: {absent}")
    check_writable(path)
    from shufflenet.bench.latency.calibrate import learn

    effort = RoundSettings(threads, _QUICK if quick else _ROUNDS, seed)
    with redirect_stdout(sys.stderr):
        model = learn(this_machine(versions()), effort, _told(effort))
    write_files({path: report.to_json(model_json(model)).encode("utf-8")})
    say(f"{path}: {said(model)}")
    return 0


@latency.command(
    short_help="Hold a model against networks, timed now.",
    epilog=options.epilog(
        "shufflecost latency check machine.json",
        "shufflecost latency check machine.json shufflenet:groups=4,scale=2 my-net.toml",
        codes=_CODES,
    ),
)
@click.argument("model", type=options.FILE, metavar="MODEL")
@click.argument("networks", nargs=-1, type=options.SPEC, metavar="[NETWORK]...")
@_quick
@options.output_options
def check(
    model: str, networks: tuple[str, ...], quick: bool, form: OutputFormat, path: str | None
) -> int:
    """The error of a model's predictions on networks that are timed now.

    MODEL is a file that `shufflecost latency fit` wrote.

    NETWORK is a bundled spec or a .toml file, with arguments behind a colon:
    shufflenet:scale=0.5,groups=3,size=192x256. Without any, those of `shufflecost latency fit`. No
    code of yours is run.
    """
    found = load_model(model)
    options.need_torch("latency")
    if path is not None:
        check_writable(path)
    from shufflenet.bench.latency import calibrate

    others = _named(networks) if networks else calibrate.held()
    effort = RoundSettings(found.threads, _QUICK if quick else _ROUNDS)
    with redirect_stdout(sys.stderr):
        now = this_machine(versions())
        checked = calibrate.check(found, others, effort, _told(effort))
    title = f"{model}: held against networks on this machine"
    emit(form, path, lambda: checks_table(checked, title, now), lambda: model_json(checked))
    return 0


def _named(networks: tuple[str, ...]) -> list[UnseenNetwork]:
    """The networks of texts. Raises click's exception where one is no spec's."""
    from shufflenet.bench.latency.calibrate import UnseenNetwork

    return [UnseenNetwork(text, *spec_tree(text)) for text in networks]


def _told(effort: RoundSettings) -> Callable[[int], None]:
    """What tells each round that is over."""
    return lambda number: say(f"round {number} of {effort.rounds}")
