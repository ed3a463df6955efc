"""``shufflecost export``: the file that another runtime takes, checked before it is in place."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from decimal import Decimal
from typing import Any

import click

from shufflenet.cli import options
from shufflenet.cli.output import say
from shufflenet.runtimes import FORMATS, Runtime
from shufflenet.runtimes.agreement import WrongOutputError
from shufflenet.runtimes.failing import RuntimeFailedError
from shufflenet.system.atomic_files import check_files, folder_beside, place
from shufflenet.system.user_code import lacking
from shufflenet.targets.resolve import read_arguments


@click.command(
    short_help="A file for another runtime, checked.",
    epilog=options.epilog(
        "shufflecost export shufflenet --groups 3 --scale 0.5 --to onnx -o shufflenet.onnx",
        "shufflecost export arch2 --stem 12 --widths 132,264,528 --to ncnn -o arch2.param",
        "shufflecost export torchvision:resnet18 --weights r18.pth --to tflite -o r18.tflite",
        "shufflecost export net.py:Net --size 96x128 --to openvino -o net.xml",
        own=True,
        codes=(
            "done, and the file computes what PyTorch does",
            "sound input, but the runtime refused the network, or computed something else",
        ),
    ),
)
@click.argument("network", type=options.SPEC)
@click.option(
    "--to",
    "form",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="What to write: ONNX, OpenVINO's .xml and .bin, ncnn's .param and .bin, ExecuTorch's .pte"
    " with XNNPACK, or LiteRT's .tflite.",
)
@options.file_option("The file; of OpenVINO and ncnn, the .bin is written beside it.")
@options.group_option
@click.option("--scale", type=options.SCALE, help="Multiplier of all widths. Default: 1.")
@click.option("--stem", type=options.WIDTH, help="Width of the stem, instead of the scaled one.")
@click.option("--widths", type=options.WIDTHS, help="Of the stages, instead of the scaled ones.")
@options.size_option
@options.argument_option
@click.option("--weights", type=options.FILE, help="A state_dict that torch saved.")
@options.seed_option("a spec's random weights", default=None)
def export(network: str, form: str, path: str, arguments: tuple[str, ...], **choices: Any) -> int:
    """NETWORK as a file that another runtime takes.

    NETWORK is what `shufflecost count` takes, but for ONNX files: code of yours is RUN. A module
    has the weights that its code gives it, a spec random ones, unless --weights gives others.

    The file is run before it is put in place, on two random images: where its output is not what
    PyTorch computes of the same network, nothing is written.
    """
    if choices["widths"] is not None and choices["scale"] not in (None, Decimal(1)):
        raise click.UsageError("--widths and --scale exclude each other")
    if choices["seed"] is not None and choices["weights"] is not None:
        raise click.UsageError("--weights and --seed exclude each other")
    runtime = FORMATS[form]
    _need(runtime, form)
    paths = _paths(path, runtime)
    check_files(paths)
    try:
        with folder_beside(path) as folder:
            off, made = _written(network, arguments, runtime, folder, choices)
            place(dict(zip(paths, made, strict=True)), folder)
    except (RuntimeFailedError, WrongOutputError) as error:
        say(f"shufflecost: {network}: not exported to {form}: {error}")
        return 1
    allowed = f"{runtime.tolerance:.0e} is allowed"
    say(f"{' and '.join(paths)}: differs from eager by {off:.1e} of its largest value ({allowed})")
    return 0


def _need(runtime: Runtime, form: str) -> None:
    absent = lacking("torch", "torch") or runtime.missing()
    if absent:
        raise click.UsageError(f"--to {form}: {absent}")


def _paths(path: str, runtime: Runtime) -> list[str]:
    assert runtime.files is not None
    first, *others = runtime.files.suffixes
    stem, suffix = os.path.splitext(path)
    if suffix != first or not os.path.basename(stem):
        more = f", and {' and '.join(others)} is written beside it" if others else ""
        raise click.UsageError(f"-o {path}: --to {runtime.files.form} writes *{first}{more}")
    return [path, *(stem + other for other in others)]


def _written(
    name: str, given: tuple[str, ...], runtime: Runtime, folder: str, choices: dict[str, Any]
) -> tuple[float, list[str]]:
    from shufflenet.runtimes.export import Choices, original
    from shufflenet.runtimes.export import export as exported

    assert runtime.files is not None
    stem = os.path.join(folder, "network")
    # What the code prints must not be taken for the result.
    with redirect_stdout(sys.stderr):
        made = original(name, read_arguments(given), Choices(**choices))
    with _muted():
        off = exported(made, runtime, stem, choices["seed"] or 0)
    return off, [stem + suffix for suffix in runtime.files.suffixes]


@contextmanager
def _muted() -> Iterator[None]:
    # Converters write to the streams themselves, whatever Python has for them.
    if sys.stdout is None or sys.stderr is None:
        yield
        return
    before = [(stream, os.dup(stream)) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        for stream, _ in before:
            os.dup2(nowhere, stream)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.close(nowhere)
        for stream, copy in before:
            os.dup2(copy, stream)
            os.close(copy)
