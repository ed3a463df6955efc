"""Where a sweep is written: beside its target until it is whole, with a journal of what is there.

``FILE.part`` grows by a piece at a time and ``FILE.journal`` says how far it is whole. Whatever is
behind that was not finished, and goes when the sweep goes on; ``FILE`` appears when all is there.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from shufflenet.system.atomic_files import OutputError, sync_folder, write_whole

if TYPE_CHECKING:
    from filelock import BaseFileLock

_VERSION = 1
_PART = re.compile(r"part-\d{8,}\.parquet")
# What a file system says that knows no locks.
_LOCKLESS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class SweepFileError(OutputError):
    """A sweep cannot be written, or not go on; the text names the file, and says what to do."""


@dataclass(frozen=True, slots=True)
class Journal:
    """How far a sweep is written: pieces, rows, and bytes of them; ``whole`` once all are there."""

    fingerprint: str
    form: str
    pieces: int = 0
    rows: int = 0
    written: int = 0
    whole: bool = False

    def __post_init__(self) -> None:
        if min(self.pieces, self.rows, self.written) < 0:
            raise ValueError("a number is below 0")


class SweepFile:
    """A sweep on its way into a file, or for Parquet a folder: begun, gone on with, finished.

    Raises SweepFileError where another sweep is there, or the target is whole already; with
    ``restart`` both are replaced.
    """

    def __init__(self, path: str, form: str, fingerprint: str, restart: bool = False) -> None:
        if form == "parquet":
            path = path.rstrip(os.sep)
        if not os.path.basename(path):
            raise SweepFileError(f"{path}: is a folder, not the name of a file")
        self.path = path
        # What a link points to is replaced, not the link.
        self.real = os.path.realpath(path)
        self.part, self.journal_path = f"{self.real}.part", f"{self.real}.journal"
        self.form = form
        self.target: _Lines | _Folder | None = None
        self.lock: BaseFileLock | None = None
        self.journal = Journal(fingerprint, form)
        with self._told():
            self._begin(restart)

    def _begin(self, restart: bool) -> None:
        self._keep_others_away()
        # What begins anew need not understand what was there.
        found = None if restart else self._read()
        if restart:
            self._check_replaceable(self.real, self.part)
        elif found is None:
            self._check_new()
        else:
            self._check_same(found)
            self.journal = found
            if found.whole:
                return
        if found is None:
            self._write_journal(self.journal)
        self.target = _Folder(self.part) if self.form == "parquet" else _Lines(self.part)
        self.target.cut(self.journal)

    def _keep_others_away(self) -> None:
        from filelock import FileLock, Timeout

        lock = FileLock(f"{self.real}.lock")
        # Where no file can be made the system says why; to a lock it would seem to be taken.
        with tempfile.TemporaryFile(dir=os.path.dirname(self.real)):
            pass
        try:
            with warnings.catch_warnings():
                # Where there are no locks, filelock says so, and takes the file itself for one.
                warnings.simplefilter("ignore", UserWarning)
                lock.acquire(timeout=0)
        except Timeout as error:
            raise SweepFileError(f"{self.path}: another sweep is writing it") from error
        except OSError as error:
            if error.errno not in _LOCKLESS:
                raise
            with suppress(OSError):
                os.unlink(lock.lock_file)
            return
        self.lock = lock

    def _check_same(self, found: Journal) -> None:
        if (found.fingerprint, found.form) != (self.journal.fingerprint, self.form):
            raise SweepFileError(
                f"{self.journal_path}: {self.part} is of another sweep, or another version's: give"
                " what was given then, another file, or --restart to begin anew"
            )

    def _check_new(self) -> None:
        if os.path.lexists(self.part):
            raise SweepFileError(
                f"{self.part}: is there without its journal {self.journal_path}: remove it, or"
                " --restart to begin anew"
            )
        if os.path.lexists(self.real):
            raise SweepFileError(f"{self.path}: is there already; --restart replaces it")

    def _check_replaceable(self, *paths: str) -> None:
        """Check that what is there is what a sweep writes: nothing else is ever removed."""
        for path in paths:
            if self.form == "csv":
                if os.path.isdir(path):
                    raise SweepFileError(f"{path}: is a folder, and a sweep into CSV is a file")
            elif os.path.isdir(path):
                strange = [name for name in os.listdir(path) if not _PART.match(name)]
                if strange:
                    raise SweepFileError(
                        f"{path}: is not replaced, since {strange[0]!r} in it is no sweep's"
                    )
            elif os.path.lexists(path):
                raise SweepFileError(f"{path}: is no folder, and a sweep into Parquet is one")

    def _read(self) -> Journal | None:
        import msgspec

        try:
            with open(self.journal_path, encoding="utf-8") as stream:
                values: Any = json.load(stream)
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict) or values.pop("version", None) != _VERSION:
            raise SweepFileError(f"{self.journal_path}: is no journal that this version reads")
        if values.keys() != {one.name for one in fields(Journal)}:
            raise SweepFileError(f"{self.journal_path}: is no journal of a sweep")
        try:
            return msgspec.convert(values, Journal)
        except msgspec.ValidationError as error:
            raise SweepFileError(
                f"{self.journal_path}: is no journal of a sweep: {error}"
            ) from error

    def _write_journal(self, journal: Journal) -> None:
        text = json.dumps({"version": _VERSION, **asdict(journal)}) + "\n"
        write_whole(self.journal_path, text.encode("utf-8"))
        self.journal = journal

    @property
    def begun(self) -> bool:
        """Whether some of it was written before."""
        return self.journal.pieces > 0 or self.journal.whole

    def add(self, pieces: int, rows: int, data: bytes) -> None:
        """Write what brings it to so many pieces, so that it stays, and say so in the journal.

        Raises SweepFileError where it cannot be written.
        """
        assert self.target is not None
        with self._told():
            written = self.journal.written + len(data)
            if data:
                self.target.add(pieces - 1, data)
            rows += self.journal.rows
            self._write_journal(replace(self.journal, pieces=pieces, rows=rows, written=written))

    def finish(self) -> None:
        """Give the whole its name. Raises SweepFileError where that is not possible."""
        with self._told():
            if not self.journal.whole:
                self._write_journal(replace(self.journal, whole=True))
            self._close_target()
            # Whoever was ended between these steps finds some of them done.
            if os.path.lexists(self.part):
                self._check_replaceable(self.real)
                if os.path.isdir(self.real):
                    shutil.rmtree(self.real)
                elif os.path.exists(self.real):
                    os.chmod(self.part, stat.S_IMODE(os.stat(self.real).st_mode))
                os.replace(self.part, self.real)
                sync_folder(os.path.dirname(self.real))
            os.unlink(self.journal_path)

    def close(self) -> None:
        """Let go of what is open, and let other sweeps write."""
        self._close_target()
        if self.lock is not None:
            # While it is held, or it could be another's; whoever waits for it sees that it is gone.
            with suppress(OSError):
                os.unlink(self.lock.lock_file)
            self.lock.release()
            self.lock = None

    def _close_target(self) -> None:
        if isinstance(self.target, _Lines):
            self.target.close()
        self.target = None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Where files are written: an error of the system's becomes one line."""
        try:
            yield
        except OSError as error:
            self.close()
            kept = (
                f"; {self.journal.rows:,} rows are whole, and the same command goes on from there"
                if self.journal.rows
                else ""
            )
            raise SweepFileError(
                f"{self.path}: cannot be written: {error.strerror}{kept}"
            ) from error
        except BaseException:
            # Whatever ends it, the lock does not stay.
            self.close()
            raise


class _Lines:
    """One file that grows."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)

    def cut(self, journal: Journal) -> None:
        """Cut off what the journal does not know of. Raises SweepFileError where some is gone."""
        size = os.fstat(self.handle).st_size
        if size < journal.written:
            raise SweepFileError(
                f"{self.path}: has {size:,} bytes, fewer than the {journal.written:,} that its"
                " journal knows of; --restart begins anew"
            )
        os.ftruncate(self.handle, journal.written)
        os.lseek(self.handle, journal.written, os.SEEK_SET)

    def add(self, number: int, data: bytes) -> None:
        """Write behind what is there, so that it stays."""
        left = memoryview(data)
        while left:
            left = left[os.write(self.handle, left) :]
        os.fsync(self.handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self.handle)


class _Folder:
    """A folder of numbered files, each of them whole."""

    def __init__(self, path: str) -> None:
        self.path = path
        with suppress(FileExistsError):
            os.mkdir(path)

    def cut(self, journal: Journal) -> None:
        """Remove what the journal does not know of. Raises SweepFileError where some is gone."""
        size = 0
        for name in os.listdir(self.path):
            file = os.path.join(self.path, name)
            if _PART.fullmatch(name) and int(name[5:-8]) < journal.pieces:
                size += os.path.getsize(file)
            elif _PART.match(name):
                os.unlink(file)
        if size != journal.written:
            raise SweepFileError(
                f"{self.path}: its files have {size:,} bytes, not the {journal.written:,} that its"
                " journal knows of; --restart begins anew"
            )

    def add(self, number: int, data: bytes) -> None:
        """Write one more file, whole or not at all, so that it stays."""
        write_whole(os.path.join(self.path, f"part-{number:08}.parquet"), data)
