"""``shufflecost plot``: pictures of what the other commands compute, for a paper."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from flopcount.conventions import convention as named
from shufflenet.arch.layout import stage_rows
from shufflenet.arch.network import network
from shufflenet.arch.quantities import as_printed
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec_reader import load
from shufflenet.cli import options
from shufflenet.cli.output import say
from shufflenet.cost.priced import priced
from shufflenet.system.atomic_files import check_writable, write_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_output = options.file_option("The picture: .png, .svg or .pdf.")


@click.group(
    short_help="Pictures for a paper: PNG, SVG or PDF.",
    epilog=options.epilog(
        "shufflecost plot errors -o errors.pdf",
        "shufflecost plot cost shufflenet --groups 3 -o cost.svg",
        "shufflecost plot widths --budget 140M -o widths.png",
        "shufflecost plot roofline shufflenet:groups=3 -o roofline.png",
    ),
)
def plot() -> None:
    """Pictures, each written to a file whose ending says in which format."""


@plot.command(
    short_help="Error against cost, all models of the paper.",
    epilog=options.epilog("shufflecost plot errors -o errors.pdf"),
)
@_output
def errors(path: str) -> int:
    """The reported error against the cost, for every model of Tables 2 to 6.

    The cost is the multiply-adds of the convolutions, as Table 1 counts them: of the network that
    gives the printed complexity (see `shufflecost audit`), and of the baseline's where none does
    but the figure is printed once for several networks. Where ours is not the network that the
    paper trained, a hollow marker stands at the printed complexity.
    """

    def draw() -> Figure:
        from shufflenet.paper.audit import audit
        from shufflenet.paper.claim_files import load_claims
        from shufflenet.plots.figures import error_plot
        from shufflenet.plots.points import error_points

        sheets = load_claims()
        return error_plot(error_points(sheets, audit(sheets)))

    return _draw(path, draw)


@plot.command(
    short_help="Cost by row and by kind of layer.",
    epilog=options.epilog("shufflecost plot cost shufflenet --groups 3 -o cost.svg"),
)
@click.argument("spec", type=options.SPEC)
@options.group_option
@options.scale_option
@options.size_option
@click.option("--stem", type=options.WIDTH, help="Width of the stem, instead of the scaled one.")
@click.option("--unit", type=options.UNIT, help="Unit of all stages, instead of the spec's.")
@options.cardinality_option
@options.convention_option
@options.units_from_option
@_output
def cost(
    spec: str, groups: int | None, scale: Decimal, convention: str, path: str, **choices: Any
) -> int:
    """Where the cost of a network lies: a bar for each row, stacked by kind of layer."""
    item = priced(network(load(spec), groups, scale=scale, **choices), named(convention))

    def draw() -> Figure:
        from shufflenet.cost.tables import scale_title
        from shufflenet.plots.figures import cost_plot
        from shufflenet.plots.points import parts

        net = item.network
        # A network that is printed at one scale only has no "1x" in its name.
        name = net.spec.title if net.scale == 1 and not net.spec.hints else scale_title(net)
        column = f", g = {net.groups}" if len(net.spec.groups) > 1 else ""
        title = f"{name}{column}: {as_printed(item.cost)}"
        return cost_plot(parts(item), title, item.convention)

    return _draw(path, draw)


@plot.command(
    short_help="Width against groups at a budget.",
    epilog=options.epilog("shufflecost plot widths --budget 140M -o widths.png"),
)
@click.option(
    "--budget", type=options.BUDGET, default="140M", show_default=True, help="Cost to reach."
)
@click.option("--groups", type=options.GROUPS, help="Default: all of the spec's.")
@options.spec_option
@click.option("--stem", type=options.STEM, help="A width, several, or auto. Default: the spec's.")
@click.option("--unit", type=options.UNIT, help="Unit of all stages, instead of the spec's.")
@options.cardinality_option
@options.size_option
@options.convention_option
@options.units_from_option
@_output
def widths(
    budget: int,
    groups: tuple[int, ...] | None,
    spec: str,
    convention: str,
    path: str,
    **choices: Any,
) -> int:
    """The widths that one budget allows, against the number of groups: solved, and proven best."""
    from shufflenet.plots.points import width_point
    from shufflenet.solver.budget import solve

    loaded = load(spec)
    points = []
    code = 0
    for g in sorted(groups or loaded.groups):
        try:
            answer = solve(loaded, budget, g, convention=convention, **choices)
        except NothingLegalError as error:
            say(f"shufflecost: {error}")
            code = 1
            continue
        points.append(width_point(g, priced(answer.best.network, named(convention))))
    if not points:
        return code

    def draw() -> Figure:
        from shufflenet.plots.figures import width_plot

        stages = [row.layer for row in stage_rows(loaded)]
        unit = "MAC" if named(convention).unit == "macs" else "FLOP"
        title = f"{loaded.title}: widths nearest to {as_printed(budget)} {unit} ({convention})"
        return width_plot(points, title, stages)

    return _draw(path, draw) or code


@plot.command(
    short_help="Layers beneath what this machine can do.",
    epilog=options.epilog(
        "shufflecost plot roofline shufflenet:groups=3 -o roofline.png",
        "shufflecost plot roofline --record layers.json -o roofline.png",
    ),
)
@click.argument("network", required=False, type=options.SPEC)
@click.option(
    "--record",
    type=options.FILE,
    help="What `shufflecost bench --layers --format json` wrote, instead of a network timed now.",
)
@_output
def roofline(network: str | None, record: str | None, path: str) -> int:
    """Speed against arithmetic intensity: every layer of a network beneath the machine's roofs.

    NETWORK is what `shufflecost bench` takes, with arguments behind a colon:
    shufflenet:scale=0.5,groups=3. It is timed in PyTorch eager on one thread, with the roofs. A
    callable of yours is code, and it is RUN.
    """
    from shufflenet.bench.layers.record_files import load_layers
    from shufflenet.bench.rounds import RoundSettings
    from shufflenet.cli.bench_layers import timed

    if (network is None) == (record is None):
        raise click.UsageError("give either a NETWORK, to be timed now, or a --record")
    check_writable(path)
    found = (
        load_layers(record) if record is not None else timed(str(network), None, RoundSettings())
    )

    def draw() -> Figure:
        from shufflenet.plots.roofline import roofline_plot

        size = "x".join(map(str, found.shape[2:]))
        return roofline_plot(found, f"{found.network} at {size}: PyTorch eager")

    return _draw(path, draw)


def _draw(path: str, draw: Callable[[], Figure]) -> int:
    """Draw and write a picture; what cannot be drawn becomes click's exception."""
    from shufflenet.plots.figures import EndingError, MissingPlotsError, drawn, ending

    try:
        form = ending(path)
        write_files({path: drawn(draw(), form)})
    except (EndingError, MissingPlotsError) as error:
        raise click.ClickException(str(error)) from error
    return 0
