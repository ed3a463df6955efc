"""A sweep on its way into files: broken off, gone on with, finished, by whatever executor."""

from __future__ import annotations

import csv
import errno
import io
import json
import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shufflenet.solver.problem import Bound
from shufflenet.solver.sweep.executors import ExecutorError, executor_from, in_order
from shufflenet.solver.sweep.files import SweepFile, SweepFileError
from shufflenet.solver.sweep.formats import csv_header, parquet_file
from shufflenet.solver.sweep.run import Progress, write_sweep
from shufflenet.solver.sweep.space_table import Rows, Sweep
from tests.disk import Disk
from tests.shufflenet.solver.sweep.sweep_cases import SMALL, as_csv, rows_of


def test_csv_reads_back_as_the_rows():
    text = as_csv(Sweep(SMALL, figures=("moved", "layers")))
    header, *lines = csv.reader(io.StringIO(text.decode()))
    sweep = Sweep(SMALL, figures=("moved", "layers"))
    assert tuple(header) == sweep.columns
    wanted = [["" if v is None else str(v) for v in row] for row in rows_of(sweep)]
    assert lines == wanted


class Backwards(Executor):
    """An executor that does what is asked of it at the last moment, and the last first."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.most = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = _Asked(self)
        shipped = pickle.dumps((fn, args, kwargs))

        def carried_out() -> None:
            function, given, named = pickle.loads(shipped)
            future.set_result(pickle.loads(pickle.dumps(function(*given, **named))))

        self.waiting.append(carried_out)
        self.most = max(self.most, len(self.waiting))
        return future

    def do_all(self) -> None:
        while self.waiting:
            self.waiting.pop()()


class _Asked(Future):  # type: ignore[type-arg]
    def __init__(self, owner: Backwards) -> None:
        super().__init__()
        self.owner = owner

    def result(self, timeout: float | None = None) -> Any:
        self.owner.do_all()
        return super().result(timeout)


def test_threads_and_any_executor_write_the_same_bytes():
    sweep = Sweep(SMALL, piece=10)
    alone = as_csv(sweep)
    with ThreadPoolExecutor(3) as threads:
        assert as_csv(sweep, threads) == alone
    own = Backwards()
    assert as_csv(sweep, own, ahead=5) == alone
    assert own.most == 5


def test_what_nobody_waits_for_is_cancelled():
    futures: list[Future[Any]] = []

    class Lazy(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            if not futures:
                future.set_result(fn(*args))
            futures.append(future)
            return future

    found = in_order(Lazy(), abs, iter(range(100)), 4)
    assert next(found) == 0
    found.close()
    assert len(futures) == 4
    assert [future.cancelled() for future in futures] == [False, True, True, True]


def write(path: Path, sweep: Sweep, **how: Any) -> bytes:
    write_sweep(sweep, str(path), **how)
    return path.read_bytes()


def test_a_file_holds_what_a_stream_would_and_leaves_nothing_beside_it(tmp_path: Path):
    sweep = Sweep(SMALL, piece=13)
    told: list[Progress] = []
    assert write(tmp_path / "a.csv", sweep, told=told.append) == as_csv(sweep)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert told[-1].rows == len(rows_of(sweep))
    assert [one.rows for one in told] == sorted(one.rows for one in told)


def test_rows_are_on_the_disk_before_the_journal_knows_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sweep, path = Sweep(SMALL, piece=13), tmp_path / "a.csv"
    part, journal = tmp_path / "a.csv.part", tmp_path / "a.csv.journal"
    disk = Disk(monkeypatch)

    def told(_: Progress) -> None:
        assert json.loads(journal.read_text())["written"] == disk.holds(part)
        assert disk.renamed[-1] == (tmp_path / "a.csv.journal.new", journal)

    assert write(path, sweep, told=told) == as_csv(sweep)
    assert disk.renamed[-1] == (part, path)


def broken_off(path: Path, sweep: Sweep, pieces: int, form: Any = "csv") -> None:
    """Begin a sweep, and break it off after so many pieces."""

    class EnoughError(Exception):
        pass

    left = pieces

    def told(_: Progress) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise EnoughError

    with pytest.raises(EnoughError):
        write_sweep(sweep, str(path), form, told=told)


@pytest.mark.parametrize("pieces", [1, 2, 9])
@pytest.mark.parametrize("tail", [b"", b"half a ro", b"\0" * 10_000])
def test_what_the_journal_does_not_know_of_is_cut_off(tmp_path: Path, pieces: int, tail: bytes):
    sweep = Sweep(SMALL, piece=13)
    path = tmp_path / "a.csv"
    broken_off(path, sweep, pieces)
    part, journal = tmp_path / "a.csv.part", tmp_path / "a.csv.journal"
    assert not path.exists()
    assert json.loads(journal.read_text())["pieces"] == pieces
    assert as_csv(sweep).startswith(part.read_bytes())
    part.write_bytes(part.read_bytes() + tail)
    begun: list[int] = []
    assert write(path, sweep, begun=begun.append) == as_csv(sweep)
    assert begun[0] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_part_that_lost_what_the_journal_knows_of_is_refused(tmp_path: Path):
    path = tmp_path / "a.csv"
    broken_off(path, Sweep(SMALL, piece=13), 3)
    part = tmp_path / "a.csv.part"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(SweepFileError, match=r"a\.csv\.part: has .* fewer than the"):
        write_sweep(Sweep(SMALL, piece=13), str(path))
    assert write(path, Sweep(SMALL, piece=13), restart=True) == as_csv(Sweep(SMALL))


def test_another_sweep_does_not_go_on_with_this_one_s_part(tmp_path: Path):
    path = tmp_path / "a.csv"
    broken_off(path, Sweep(SMALL, piece=13), 3)
    before = (tmp_path / "a.csv.part").read_bytes()
    with pytest.raises(SweepFileError, match=r"a\.csv\.journal: .*a\.csv\.part is of another"):
        write_sweep(Sweep(SMALL, piece=14), str(path))
    assert (tmp_path / "a.csv.part").read_bytes() == before
    assert write(path, Sweep(SMALL, piece=14), restart=True) == as_csv(Sweep(SMALL))


def test_what_is_finished_is_replaced_only_when_asked_and_only_once_the_new_is_whole(
    tmp_path: Path,
):
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(SweepFileError, match=r"a\.csv: is there already; --restart"):
        write_sweep(Sweep(SMALL), str(path))
    assert path.read_text() == "mine"
    path.chmod(0o640)
    write_sweep(Sweep(SMALL, piece=13), str(path), restart=True)
    assert path.read_bytes() == as_csv(Sweep(SMALL))
    assert path.stat().st_mode & 0o777 == 0o640


def journal(**changed: object) -> str:
    fields = {"fingerprint": "a", "form": "csv", "pieces": 1, "rows": 1, "written": 1}
    return json.dumps({"version": 1, **fields, "whole": False, **changed})


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"version": 9}', '{"version": 1}', "\0", "[" * 100_000),
        *(journal(pieces="x"), journal(written=-1), journal(whole="no"), journal(rows=1.5)),
    ],
    ids=repr,
)
def test_a_journal_that_is_none_is_refused_and_replaced_by_what_begins_anew(
    tmp_path: Path, text: str
):
    path = tmp_path / "a.csv"
    (tmp_path / "a.csv.journal").write_text(text)
    with pytest.raises(SweepFileError, match=r"a\.csv\.journal: is no journal"):
        write_sweep(Sweep(SMALL), str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv.journal"]
    write_sweep(Sweep(SMALL), str(path), restart=True)
    assert path.read_bytes() == as_csv(Sweep(SMALL))


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_written_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
):
    fcntl = pytest.importorskip("fcntl")

    def refuse(handle: int, how: int) -> None:
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    write_sweep(Sweep(SMALL), str(tmp_path / "a.csv"))
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


def test_a_part_without_a_journal_is_somebody_else_s(tmp_path: Path):
    (tmp_path / "a.csv.part").write_text("mine")
    with pytest.raises(SweepFileError, match="is there without its journal"):
        write_sweep(Sweep(SMALL), str(tmp_path / "a.csv"))
    assert (tmp_path / "a.csv.part").read_text() == "mine"


def test_only_one_sweep_writes_a_file(tmp_path: Path):
    sweep = Sweep(SMALL)
    one = SweepFile(str(tmp_path / "a.csv"), "csv", sweep.fingerprint)
    for restart in (False, True):
        with pytest.raises(SweepFileError, match="another sweep is writing it"):
            write_sweep(sweep, str(tmp_path / "a.csv"), restart=restart)
    one.close()
    assert write(tmp_path / "a.csv", sweep) == as_csv(sweep)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_who_was_ended_while_finishing_finishes_later(
    tmp_path: Path, form: Any, monkeypatch: pytest.MonkeyPatch
):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    sweep, path = Sweep(SMALL, piece=50), tmp_path / "a"
    for failing in ("replace", "unlink"):
        with monkeypatch.context() as patch:
            _failing_at_the_end(patch, failing, path)
            with pytest.raises(SweepFileError, match="rows are whole"):
                write_sweep(sweep, str(path), form)
        assert write_sweep(sweep, str(path), form) == len(rows_of(sweep))
        assert [one.name for one in tmp_path.iterdir()] == ["a"]
        path.rename(tmp_path.parent / f"{form}-{failing}")


def _failing_at_the_end(patch: pytest.MonkeyPatch, name: str, path: Path) -> None:
    import os

    real = getattr(os, name)

    def failing(first: str, *others: str) -> None:
        last = others[-1] if others else first
        if str(last) in (str(path), f"{path}.journal") and (name != "replace" or others):
            if name == "replace" and str(last).endswith(".journal"):
                return real(first, *others)
            raise OSError(5, "Input/output error")
        return real(first, *others)

    patch.setattr(os, name, failing)


def test_parquet_holds_the_rows_of_csv_whole_and_resumed(tmp_path: Path):
    dataset = pytest.importorskip("pyarrow.dataset")
    sweep = Sweep(SMALL, figures=("moved",), piece=40)
    path = tmp_path / "a.parquet"
    broken_off(path, sweep, 3, "parquet")
    assert not path.exists()
    part = tmp_path / "a.parquet.part"
    (part / "part-00000003.parquet.new").write_bytes(b"half")
    (part / "part-00000003.parquet").write_bytes(b"unknown to the journal")
    assert write_sweep(sweep, f"{path}/", "parquet") == len(rows_of(sweep))
    assert [one.name for one in tmp_path.iterdir()] == ["a.parquet"]
    files = sorted(one.name for one in path.iterdir())
    assert files == [f"part-{n:08}.parquet" for n in range(len(files))]
    table = dataset.dataset(path).to_table()
    assert tuple(table.column_names) == sweep.columns
    rows = zip(*(table.column(name).to_pylist() for name in sweep.columns), strict=True)
    assert list(rows) == rows_of(sweep)


def test_parquet_that_lost_a_file_is_refused_and_a_folder_of_others_never_replaced(tmp_path: Path):
    pytest.importorskip("pyarrow")
    sweep, path = Sweep(SMALL, piece=40), tmp_path / "a.parquet"
    broken_off(path, sweep, 3, "parquet")
    (tmp_path / "a.parquet.part" / "part-00000001.parquet").unlink()
    with pytest.raises(SweepFileError, match="its files have"):
        write_sweep(sweep, str(path), "parquet")
    path.mkdir()
    (path / "mine").touch()
    with pytest.raises(SweepFileError, match="is not replaced, since 'mine'"):
        write_sweep(sweep, str(path), "parquet", restart=True)
    (path / "mine").unlink()
    write_sweep(sweep, str(path), "parquet", restart=True)
    assert all(one.name.startswith("part-") for one in path.iterdir())


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_without_rows_still_has_its_columns(tmp_path: Path, form: Any):
    sweep = Sweep(SMALL, (Bound("macs", None, 1),))
    path = tmp_path / "a"
    if form == "csv":
        assert write(path, sweep) == csv_header(sweep.columns)
        return
    parquet = pytest.importorskip("pyarrow.parquet")
    assert write_sweep(sweep, str(path), form) == 0
    assert tuple(parquet.read_table(path).column_names) == sweep.columns


def test_parquet_keeps_the_types_where_a_cell_has_no_value():
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = Rows(2, {"unit": None, "groups": 3}, {"macs": np.array([1, 2**62])})
    table = parquet.read_table(io.BytesIO(parquet_file(rows)))
    assert [str(kind) for kind in table.schema.types] == ["string", "int64", "int64"]
    assert table.to_pylist()[1] == {"unit": None, "groups": 3, "macs": 2**62}


def test_an_executor_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cluster_of_tests.py").write_text("made = dict\nthing = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, said in (
        ("cluster_of_tests", "is not package.module:callable"),
        ("cluster of:tests", "'cluster of' is neither a module nor a file.py"),
        ("no_such_room:made", "there is no module 'no_such_room'"),
        ("cluster_of_tests:nobody", "has no 'nobody'"),
        ("cluster_of_tests:thing", "is of type int, which is not callable"),
        ("cluster_of_tests:made", "of type dict, no concurrent.futures.Executor"),
    ):
        with pytest.raises(ExecutorError, match=said):
            executor_from(name)
