"""The layers of one network timed on this machine, for whoever shows them."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib.util import find_spec

import click

from flopcount.layers import Chain
from flopcount.tally import Shape
from shufflenet.cli.output import Form, check_writable, emit, say
from shufflenet.timing.layer_records import LayerRecord
from shufflenet.timing.rounds import Effort


def spec_tree(network: str, size: tuple[int, int] | None = None) -> tuple[Chain, Shape]:
    """The layer tree of a spec's network on an image of a size, or of its own, and the image.

    Raises click's exception where it is no spec's.
    """
    from shufflenet.targets import TargetError
    from shufflenet.timing.subjects import read_subject, tree_of

    try:
        return tree_of(read_subject(network), size)
    except TargetError as error:
        raise click.ClickException(str(error)) from error


def timed(network: str, size: tuple[int, int] | None, effort: Effort) -> LayerRecord:
    """The layers of a spec's network on an image of a size, or of its own.

    Raises click's exception where it is no spec's, or torch is not installed.
    """
    if find_spec("torch") is None:
        raise click.UsageError("timing layers needs torch: pip install 'shufflecost[torch]'")
    from shufflenet.timing.eager_layers import time_layers

    tree, shape = spec_tree(network, size)
    with redirect_stdout(sys.stderr):
        return time_layers(
            tree,
            shape,
            network.strip(),
            effort,
            lambda number: say(f"round {number} of {effort.rounds}"),
        )


def show_layers(
    network: str, size: tuple[int, int] | None, effort: Effort, form: Form, path: str | None
) -> int:
    """Time the layers of a network and show them beneath the roofs; the exit code."""
    from shufflenet.timing.layer_files import layers_json
    from shufflenet.timing.layer_tables import layer_table

    if path is not None:
        check_writable(path)
    record = timed(network, size, effort)
    emit(form, path, lambda: layer_table(record), lambda: layers_json(record))
    return 0
