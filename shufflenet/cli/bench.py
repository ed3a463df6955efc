"""``shufflecost bench``: how fast networks are on this machine, beside what they cost."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import NamedTuple

import click

from shufflenet.arch.quantities import QuantityError, read_fraction
from shufflenet.bench.plan import Plan, plan, subjects
from shufflenet.bench.process import Process
from shufflenet.bench.record import Record
from shufflenet.bench.record_files import Beside, load_record, record_json
from shufflenet.bench.rounds import RoundSettings as Rounds
from shufflenet.bench.run import BenchSettings, batches
from shufflenet.bench.run import bench as timed
from shufflenet.bench.table8 import TABLE_8_BASELINE, printed
from shufflenet.bench.tables import bench_table
from shufflenet.bench.trial import Job
from shufflenet.cli import options, param_types
from shufflenet.cli.bench_layers import show_layers
from shufflenet.cli.output import OutputFormat, emit, say
from shufflenet.cost.machine import FieldError, free_memory, load, this_machine, usable_cores
from shufflenet.runtimes import RUNTIMES
from shufflenet.runtimes.lookup import Installed, installed, versions
from shufflenet.system.atomic_files import check_writable

_SIZES = ((224, 224), (480, 640), (720, 1280))
_LONGEST = 86_400
# Parameters that --layers do not go with, by the names of their options.
_NOT_OF_LAYERS = {
    "baseline": "baseline",
    "runtimes": "runtime",
    "seconds": "time",
    "timeout": "timeout",
}


def _seconds(text: str) -> float:
    number = read_fraction(text, "seconds")
    if number > _LONGEST:
        raise QuantityError(f"seconds {text!r} is above {_LONGEST}")
    return float(number)


SECONDS = param_types.Exactly("seconds", _seconds)
RUNTIME = param_types.Exactly(
    "name,...", param_types.listed(param_types.read_name), lambda: list(RUNTIMES)
)


class _BenchChoices(NamedTuple):
    """What is to be timed, and in which runtimes."""

    plan: Plan
    runtimes: Installed


@click.command(
    short_help="How fast networks are on this machine.",
    epilog=options.epilog(
        "shufflecost bench",
        "shufflecost bench shufflenet:scale=0.5,groups=8 torchvision:mobilenet_v2 --size 224",
        "shufflecost bench net.py:Net:width=64 --baseline resnet50 --runtime eager",
        "shufflecost bench --format json -o before.json",
        "shufflecost bench --against before.json",
        "shufflecost bench shufflenet:groups=3 --layers",
        "shufflecost bench torchvision:shufflenet_v2_x1_0 --layers --format json -o layers.json",
        "shufflecost bench net.py:Net:width=64 --layers --against layers.json",
        own=True,
        codes=("done, and every cell was timed", "sound input, but a cell failed"),
    ),
)
@click.argument("networks", nargs=-1, type=options.SPEC, metavar="[NETWORK]...")
@click.option(
    "--runtime",
    "runtimes",
    type=RUNTIME,
    help=f"Of {', '.join(RUNTIMES)}, or package.module:NAME of your own."
    "  [default: every one of ours that is installed]",
)
@click.option(
    "--baseline",
    type=options.SPEC,
    default=TABLE_8_BASELINE,
    show_default=True,
    help="Network that the others are set against.",
)
@click.option(
    "--size",
    "sizes",
    type=options.SIZE,
    multiple=True,
    help="Image: a side, or height x width; may be given several times."
    "  [default: 224x224, 480x640, 720x1280]",
)
@options.threads_option
@click.option(
    "--time", "seconds", type=SECONDS, default="1", show_default=True, help="For each cell."
)
@click.option(
    "--repeat",
    "rounds",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="Turns in which that time is spent.",
)
@click.option(
    "--timeout",
    type=SECONDS,
    default="300",
    show_default=True,
    help="For each step of a cell: to load and check, to warm up, one turn.",
)
@options.seed_option("images, and of the weights of specs")
@click.option(
    "--against",
    "earlier",
    type=options.FILE,
    help="Compare with this record, cell by cell or layer by layer.",
)
@click.option(
    "--layers",
    is_flag=True,
    help="Every layer of one network in PyTorch eager, beneath this machine's roofline.",
)
@options.output_options
def bench(
    networks: tuple[str, ...],
    runtimes: tuple[str, ...] | None,
    baseline: str,
    sizes: tuple[tuple[int, int], ...],
    threads: int,
    seconds: float,
    rounds: int,
    timeout: float,
    seed: int,
    earlier: str | None,
    layers: bool,
    form: OutputFormat,
    path: str | None,
) -> int:
    """The time of one image through each NETWORK on this machine, beside its multiply-adds.

    NETWORK is a bundled spec or a .toml file, torchvision:NAME, timm:NAME,
    package.module:callable, file.py:callable or a .pt2 file, as for `shufflecost count`, with
    arguments behind a colon: shufflenet:scale=0.5,groups=3. A spec's network is cut before a layer
    by until=LAYER. Without any, the networks of the paper's Table 8, with its times of a phone.

    Each network in each runtime at each size is a cell, and has a process of its own, whose output
    is checked against eager's. When all of a size are loaded they are warmed up and timed, in
    turns, one at a time. One that crashes, hangs or is wrong is told with its reason, the others go
    on, and the exit code is 1.

    With --layers, each layer of one network is timed at its real shapes, in --repeat rounds (15
    unless given), and held against what products and copies reach in the same rounds: the leaves of
    a spec at its own size, or of a module at 224x224, each layer and function that it calls.

    A callable or a runtime of yours (package.module:NAME) is code, and it is RUN.
    """
    if layers:
        return _layers(networks, sizes, threads, seed, earlier, form, path)
    if seconds / rounds >= timeout:
        raise click.UsageError(
            f"--time {seconds:g} in --repeat {rounds} turns takes longer than --timeout {timeout:g}"
        )
    if path is not None:
        check_writable(path)
    asked, old = _asked(networks, baseline, runtimes, sizes or _SIZES, earlier)
    effort = BenchSettings(threads, rounds, int(seconds * 1e9), seed)
    record = _recorded(asked, effort, seconds, timeout, baseline.strip())
    beside = Beside(old, earlier or "", {} if networks else printed(), asked.plan.notes)
    emit(form, path, lambda: bench_table(record, beside), lambda: record_json(record, beside))
    failed = sum(1 for cell in record.cells if cell.failed)
    if failed:
        say(f"shufflecost: {failed} of {len(record.cells)} cells failed")
    return int(failed > 0)


def _recorded(
    asked: _BenchChoices, effort: BenchSettings, seconds: float, timeout: float, baseline: str
) -> Record:
    """What is asked for, timed."""
    busy = load()
    parts = batches(asked.plan.cells, free_memory())
    cells = timed(parts, effort, lambda job: _started(job, timeout), say, usable_cores())
    return Record(
        this_machine(versions()),
        datetime.now(UTC).isoformat(timespec="seconds"),
        busy,
        effort.threads,
        effort.rounds,
        seconds,
        effort.seed,
        baseline,
        asked.runtimes.absent,
        tuple(cells),
    )


def _layers(
    networks: tuple[str, ...],
    sizes: tuple[tuple[int, int], ...],
    threads: int,
    seed: int,
    earlier: str | None,
    form: OutputFormat,
    path: str | None,
) -> int:
    """Every layer of one network. Raises click's usage error for what does not go with that."""
    ctx = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    for name, option in _NOT_OF_LAYERS.items():
        if ctx.get_parameter_source(name) is not default:
            raise click.UsageError(
                f"--layers are timed in eager alone, so that --{option} does not go with it"
            )
    if len(networks) != 1 or len(sizes) > 1:
        raise click.UsageError("--layers are those of one NETWORK at one --size")
    given = ctx.get_parameter_source("rounds") is not default
    rounds = ctx.params["rounds"] if given else Rounds().rounds
    effort = Rounds(threads, rounds, seed)
    return show_layers(networks[0], next(iter(sizes), None), effort, earlier, form, path)


def _started(job: Job, timeout: float) -> Process:
    return Process(job, timeout)


def _asked(
    networks: tuple[str, ...],
    baseline: str,
    runtimes: tuple[str, ...] | None,
    sizes: tuple[tuple[int, int], ...],
    earlier: str | None,
) -> tuple[_BenchChoices, Record | None]:
    """What is asked for, checked. Raises click's exception where it is none."""
    if len(set(sizes)) != len(sizes):
        raise click.UsageError("--size: one size is given twice")
    options.need_torch("bench")
    try:
        old = None if earlier is None else load_record(earlier)
        # What the code prints must not be taken for the result.
        with redirect_stdout(sys.stderr):
            found = installed(runtimes or ())
            if not found.names:
                raise click.ClickException("; ".join(found.absent.values()))
            made = plan(subjects(networks, baseline), found.names, sizes)
    except FieldError as error:
        raise click.ClickException(str(error)) from error
    return _BenchChoices(made, found), old
