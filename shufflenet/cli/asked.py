"""What a command that counts any network was asked for; an error in it becomes click's."""

from __future__ import annotations

import click

from flopcount.convention_files import ConventionError, load_convention
from flopcount.conventions import Convention
from flopcount.conventions import convention as named
from shufflenet.counting import Counted, Execution, counted
from shufflenet.quantities import Input
from shufflenet.targets import TargetError, read_arguments


def network(
    target: str,
    arguments: tuple[str, ...],
    inputs: tuple[Input, ...],
    execution: Execution,
    backward: bool,
) -> Counted:
    """The target, counted. Raises click's exception where it is none, or does not fit."""
    try:
        given = read_arguments(arguments)
        return counted(target, given, inputs, execution=execution, backward=backward)
    except TargetError as error:
        raise click.ClickException(str(error)) from error


def convention(name: str) -> Convention:
    """The convention of a name, or of a file that ends in ``.toml``.

    Raises click's exception where the file is none; UnknownConventionError for an unknown name.
    """
    if not name.endswith(".toml"):
        return named(name)
    try:
        return load_convention(name)
    except ConventionError as error:
        raise click.ClickException(str(error)) from error
