"""What a command that counts any network was asked for; an error in it becomes click's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import click

from flopcount.conventions import Convention, PartOfSampleError, UnpricedKindError
from flopcount.conventions import convention as named
from flopcount.conventions.files import load_convention
from flopcount.conventions.pricing import BACKWARD
from shufflenet.arch.quantities import Input
from shufflenet.targets.count import CountedTarget, Execution, counted
from shufflenet.targets.resolve import read_arguments


def network(
    target: str,
    arguments: tuple[str, ...],
    inputs: tuple[Input, ...],
    execution: Execution,
    backward: bool,
) -> CountedTarget:
    """The target, counted. Raises what `counted` does."""
    given = read_arguments(arguments)
    # What the code prints must not be taken for the result.
    with redirect_stdout(sys.stderr):
        return counted(target, given, inputs, execution=execution, backward=backward)


@contextmanager
def priced(target: str) -> Iterator[None]:
    """Where the target is priced; what cannot be becomes click's exception, which names it."""
    try:
        yield
    except (UnpricedKindError, PartOfSampleError) as error:
        # The path of the whole is empty.
        raise click.ClickException(f"{target}: {str(error).removeprefix(': ')}") from error


def described(item: CountedTarget) -> dict[str, Any]:
    """What was counted, and how, as the beginning of every figure of it."""
    return {
        "target": item.target,
        "source": item.source,
        "inputs": [{"shape": list(x.sizes), "dtype": x.dtype or None} for x in item.inputs],
        "execution": item.execution,
        "backward": item.backward,
    }


def caveats(item: CountedTarget, *conventions: Convention) -> list[str]:
    """What limits the figures of a count under conventions, a sentence each."""
    found = []
    for chosen in conventions if item.backward else ():
        if not BACKWARD & chosen.prices.keys():
            found.append(
                f"{chosen.name} prices no backward pass: the figure is of the forward pass alone"
            )
    return found


def convention(name: str) -> Convention:
    """The convention of a name, or of a file that ends in ``.toml``.

    Raises ConventionError where the file is none; UnknownConventionError for an unknown name.
    """
    return load_convention(name) if name.endswith(".toml") else named(name)
