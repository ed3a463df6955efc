"""Where results go: standard output or a file, in the format asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import click

from flopcount import report
from flopcount.report import Table
from shufflenet.system.atomic_files import write_files

OutputFormat: TypeAlias = Literal["table", "markdown", "latex", "csv", "json"]


def emit(
    form: OutputFormat,
    path: str | None,
    table: Callable[[], Table],
    figures: Callable[[], Mapping[str, Any]],
    beside: Mapping[str, bytes] | None = None,
) -> None:
    """Write one result: ``table()`` gives it to people, ``figures()`` as the object for JSON.

    Only what is asked for is made. ``beside`` are files that belong to the result. Raises
    OutputError where a file cannot be written; then nothing is.
    """
    files = dict(beside or {})
    if form == "json":
        _write(report.to_json(figures()), path, files)
        return
    result = table()
    if form == "table" and path is None:
        write_files(files)
        report.show(result, sys.stdout)
        return
    _write(report.render(result, form), path, files)
    if form == "csv":
        for note in result.notes:
            say(note)


def say(message: str) -> None:
    """A message to people, on standard error."""
    if sys.stderr is not None:
        click.echo(message, file=sys.stderr)


def _write(text: str, path: str | None, files: dict[str, bytes]) -> None:
    if path is None:
        write_files(files)
        sys.stdout.write(text)
        return
    write_files(files | {path: text.encode("utf-8")})
