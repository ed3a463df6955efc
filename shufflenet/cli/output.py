"""Where results go: standard output or a file written whole, in the format asked for."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal, NamedTuple, TypeAlias

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


def write_bytes(path: str, data: bytes) -> None:
    """Write a file whole or not at all. Raises OutputError where it cannot be written."""
    write_files({path: data})


def write_files(files: Mapping[str, bytes]) -> None:
    """Write files, each whole, and none before the others are on the disk under other names.

    Raises OutputError where one cannot be written.
    """
    staged: list[_Staged] = []
    path = ""
    try:
        for path, data in files.items():
            staged.append(_stage(path, data))
        for one in staged:
            path = one.path
            one.put()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        for one in staged:
            one.clear()


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


class _Staged(NamedTuple):
    """A file about to be written: its data in another beside it, or in hand for a device."""

    path: str
    data: bytes
    target: str
    name: str | None

    def put(self) -> None:
        if self.name is not None:
            os.replace(self.name, self.target)
            return
        with open(self.path, "wb") as stream:
            stream.write(self.data)

    def clear(self) -> None:
        if self.name is not None:
            with suppress(FileNotFoundError):
                os.unlink(self.name)


def _stage(path: str, data: bytes) -> _Staged:
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
        return _Staged(path, data, target, None)
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
    except OSError:
        os.unlink(name)
        raise
    return _Staged(path, data, target, name)


@contextmanager
def folder_beside(path: str) -> Iterator[str]:
    """An empty folder on the file system of a file to be, which is removed with all that is in it.

    Raises OutputError where none can be made there.
    """
    import tempfile

    try:
        where = os.path.dirname(os.path.realpath(path))
        made = tempfile.TemporaryDirectory(dir=where, prefix=".shufflecost-")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    with made as folder:
        yield folder


def check_files(paths: Iterable[str]) -> None:
    """See before long work that files could be written after it, as `check_writable` does."""
    for path in paths:
        if os.path.exists(path) and not os.path.isdir(path) and not os.path.isfile(path):
            raise OutputError(f"{path}: cannot be written: is no regular file")
        check_writable(path)


def place(files: Mapping[str, str], folder: str) -> None:
    """Move finished files, by the path each is to have, from a folder beside them: all or none.

    Each replaces what was there; that is kept in the folder meanwhile, and put back where a later
    one fails. Raises OutputError then.
    """
    kept: dict[str, str | None] = {}
    try:
        for number, (path, made) in enumerate(files.items()):
            target = os.path.realpath(path)
            exists = os.path.exists(target)
            mode = os.stat(target).st_mode if exists else 0o666 & ~_umask()
            os.chmod(made, stat.S_IMODE(mode))
            with open(made, "rb") as stream:
                os.fsync(stream.fileno())
            before = os.path.join(folder, f"before-{number}") if exists else None
            if before is not None:
                os.replace(target, before)
            kept[target] = before
            os.replace(made, target)
    except OSError as error:
        for target, before in kept.items():
            # What cannot be put back stays away: there is nothing else to be done for it.
            with suppress(OSError):
                os.unlink(target) if before is None else os.replace(before, target)
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
