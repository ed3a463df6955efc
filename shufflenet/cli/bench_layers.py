"""The layers of one network timed on this machine, for whoever shows them."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import click

from flopcount.entries import Shape
from flopcount.layers import Chain
from shufflenet.bench.layers.record import LayerRecord
from shufflenet.bench.rounds import Effort
from shufflenet.cli import options
from shufflenet.cli.output import Form, check_writable, emit, say


def spec_tree(network: str, size: tuple[int, int] | None = None) -> tuple[Chain, Shape]:
    """The layer tree of a spec's network on an image of a size, or of its own, and the image.

    Raises click's exception where it is no spec's.
    """
    from shufflenet.bench.subjects import read_subject, tree_of
    from shufflenet.targets.user_code import TargetError

    try:
        return tree_of(read_subject(network), size)
    except TargetError as error:
        raise click.ClickException(str(error)) from error


def timed(network: str, size: tuple[int, int] | None, effort: Effort) -> LayerRecord:
    """The layers of a network on an image of a size, or of its own.

    Raises click's exception where it is none or takes no such image, its code fails, or torch is
    not installed.
    """
    options.need_torch("timing layers")
    from shufflenet.bench.layers import run
    from shufflenet.bench.subjects import read_subject
    from shufflenet.targets.user_code import OwnCodeError, TargetError

    def note(number: int) -> None:
        say(f"round {number} of {effort.rounds}")

    try:
        # What the code prints must not be taken for the result.
        with redirect_stdout(sys.stderr):
            return run.timed(read_subject(network), size, effort, note)
    except OwnCodeError as error:
        say(error.told.rstrip())
        raise click.ClickException(str(error)) from error
    except TargetError as error:
        raise click.ClickException(str(error)) from error


def show_layers(
    network: str,
    size: tuple[int, int] | None,
    effort: Effort,
    earlier: str | None,
    form: Form,
    path: str | None,
) -> int:
    """Time the layers of a network and show them beneath the roofs; the exit code.

    ``earlier`` is the file of a record that they are set beside.
    """
    from shufflenet.bench.layers.compare import since
    from shufflenet.bench.layers.record_files import layers_json, load_layers
    from shufflenet.bench.layers.tables import layer_table

    if path is not None:
        check_writable(path)
    old = None if earlier is None else load_layers(earlier)
    record = timed(network, size, effort)
    beside = None if old is None else since(record, old, str(earlier))
    emit(form, path, lambda: layer_table(record, beside), lambda: layers_json(record, beside))
    return 0
