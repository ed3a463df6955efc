"""``shufflecost detect``: what a network costs as the backbone of a detector, by part."""

from __future__ import annotations

from decimal import Decimal

import click

from shufflenet.arch.network import network
from shufflenet.arch.quantities import QuantityError, read_size
from shufflenet.arch.spec_reader import load
from shufflenet.cli import options, param_types
from shufflenet.cli.output import OutputFormat, emit
from shufflenet.paper.claim_files import load_claims
from shufflenet.paper.detection_tables import detection_json, detection_table
from shufflenet.paper.reported import reported
from shufflenet.targets.resolve import seeded

# Each region costs the same, so that few need to be run, whatever number is priced.
_KEPT = 10


def _side(text: str) -> int:
    h, w = read_size(text)
    if h != w:
        raise QuantityError(f"size {text!r} is not one side, such as 600")
    return h


@click.command(
    short_help="The cost of a detector on a network, by part.",
    epilog=options.epilog(
        "shufflecost detect shufflenet --scale 0.25",
        "shufflecost detect mobilenet_v1 --sizes 300 --format markdown",
    ),
)
@click.argument("spec", type=options.SPEC)
@options.group_option
@options.scale_option
@click.option(
    "--sizes",
    type=param_types.Exactly("px,...", param_types.listed(_side)),
    default="300,600",
    show_default=True,
    help="Shorter sides to resize the image to; the longer one is at most 1000.",
)
@click.option(
    "--proposals",
    type=click.IntRange(1, 100_000),
    metavar="regions",
    default=300,
    show_default=True,
    help="Regions that the heads run on.",
)
@click.option(
    "--image",
    type=options.SIZE,
    default="480x640",
    show_default=True,
    help="Image: a side, or height x width.",
)
@options.output_options
def detect(
    spec: str,
    groups: int | None,
    scale: Decimal,
    sizes: tuple[int, ...],
    proposals: int,
    image: tuple[int, int],
    form: OutputFormat,
    path: str | None,
) -> int:
    """The cost of Faster R-CNN with the network as its backbone: backbone, RPN, heads.

    The detector is built and run on an image, and counted as it runs (torch, torchvision), the
    heads for each region. Of a network in Table 7 of the ShuffleNet paper the reported precision
    stands beside.
    """
    options.need_torch("detect")
    net = network(load(spec), groups, scale=scale)
    from shufflenet.paper.detection import DetectionError, detection_cost, detector

    try:
        with seeded():
            models = ((side, detector(net, side, proposals=_KEPT)) for side in sizes)
            costs = {side: detection_cost(model, image, proposals) for side, model in models}
    except DetectionError as error:
        raise click.ClickException(str(error)) from error
    precision = reported(net, load_claims())
    emit(
        form,
        path,
        lambda: detection_table(net, costs, precision),
        lambda: detection_json(net, costs, precision),
    )
    return 0
