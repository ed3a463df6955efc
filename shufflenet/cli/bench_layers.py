"""The layers of one network timed on this machine, for whoever shows them."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

from flopcount.entries import Shape
from flopcount.layers import Chain
from shufflenet.bench.layers.record import LayerRecord
from shufflenet.bench.rounds import RoundSettings
from shufflenet.cli import options
from shufflenet.cli.output import OutputFormat, emit, say
from shufflenet.system.atomic_files import check_writable


def spec_tree(network: str, size: tuple[int, int] | None = None) -> tuple[Chain, Shape]:
    """The layer tree of a spec's network on an image of a size, or of its own, and the image.

    Raises TargetError where it is no spec's.
    """
    from shufflenet.bench.subjects import read_subject, tree_of

    return tree_of(read_subject(network), size)


def timed(network: str, size: tuple[int, int] | None, effort: RoundSettings) -> LayerRecord:
    """The layers of a network on an image of a size, or of its own.

    Raises what timing them does, and click's exception where torch is not installed.
    """
    options.need_torch("timing layers")
    from shufflenet.bench.layers import run
    from shufflenet.bench.subjects import read_subject

    def note(number: int) -> None:
        say(f"round {number} of {effort.rounds}")

    # What the code prints must not be taken for the result.
    with redirect_stdout(sys.stderr):
        return run.timed(read_subject(network), size, effort, note)


def show_layers(
    network: str,
    size: tuple[int, int] | None,
    effort: RoundSettings,
    earlier: str | None,
    form: OutputFormat,
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
