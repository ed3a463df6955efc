"""Files written whole: nobody ever finds a part of one under its name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple


class OutputError(Exception):
    """A file that cannot be written."""


def write_whole(path: str, data: bytes) -> None:
    """Write a file whole, or leave it as it was, and so that it stays.

    It is written as ``path.new`` first, which the next call replaces where this one is killed.
    Raises OSError where it cannot be written.
    """
    with suppress(FileNotFoundError):
        os.unlink(f"{path}.new")
    one = _stage(path, data, f"{path}.new")
    try:
        one.put()
    finally:
        one.clear()


def sync_folder(folder: str) -> None:
    """Have a folder remember its names, where the system can."""
    with suppress(OSError):
        handle = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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


def _stage(path: str, data: bytes, name: str = "") -> _Staged:
    """A file's data on the disk under another ``name``, by default a random one beside it."""
    if path.endswith(os.sep):
        raise IsADirectoryError(21, "is a directory")
    target = os.path.realpath(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None:
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "is a directory")
        if not stat.S_ISREG(mode):
            # A device or a pipe has no whole to replace.
            return _Staged(path, data, target, None)
        if not os.access(target, os.W_OK):
            raise PermissionError(13, "Permission denied")
        mode = stat.S_IMODE(mode)
    name = name or os.path.join(os.path.dirname(target), f".shufflecost-{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(name, flags, 0o666 if mode is None else mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if mode is not None:
            os.chmod(name, mode)
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
