"""Where results go: standard output or a file written whole, in the format asked for."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import click

from flopcount import report
from flopcount.report import Table

Form: TypeAlias = Literal["table", "markdown", "latex", "csv", "json"]


class OutputError(Exception):
    """A file that cannot be written."""


def emit(
    form: Form,
    path: str | None,
    table: Callable[[], Table],
    figures: Callable[[], Mapping[str, Any]],
) -> None:
    """Write one result: ``table()`` gives it to people, ``figures()`` as the object for JSON.

    Only what is asked for is made. Raises OutputError where the file cannot be written; then
    nothing is.
    """
    if form == "json":
        _write(report.to_json(figures()), path)
        return
    result = table()
    if form == "table" and path is None:
        report.show(result, sys.stdout)
        return
    _write(report.render(result, form), path)
    if form == "csv":
        for note in result.notes:
            say(note)


def say(message: str) -> None:
    """A message to people, on standard error."""
    if sys.stderr is not None:
        click.echo(message, file=sys.stderr)


def _write(text: str, path: str | None) -> None:
    if path is None:
        sys.stdout.write(text)
        return
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str, data: bytes) -> None:
    """Write a file whole or not at all. Raises OutputError where it cannot be written."""
    try:
        _replace(path, data)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def check_writable(path: str) -> None:
    """See before long work that a file could be written after it; it is left as it is.

    Raises OutputError where it could not be.
    """
    folder = os.path.dirname(os.path.realpath(path))
    target = path if os.path.exists(path) else folder
    if path.endswith(os.sep) or (target == path and os.path.isdir(path)):
        reason = "is a directory"
    elif not os.path.isdir(folder):
        reason = "No such file or directory"
    elif not os.access(target, os.W_OK):
        reason = "Permission denied"
    else:
        return
    raise OutputError(f"{path}: cannot be written: {reason}")


def _replace(path: str, data: bytes) -> None:
    if path.endswith(os.sep):
        raise IsADirectoryError(21, "is a directory")
    target = os.path.realpath(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG | 0o666 & ~_umask()
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "is a directory")
    if not stat.S_ISREG(mode):
        # A device or a pipe has no whole to replace.
        with open(path, "wb") as stream:
            stream.write(data)
        return
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise PermissionError(13, "Permission denied")
    # Costly to import, and most runs write no file.
    import tempfile

    handle, name = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".shufflecost-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, stat.S_IMODE(mode))
        os.replace(name, target)
    except OSError:
        os.unlink(name)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
