"""A design space as a table: every row of it against the scalar fold, whoever prices it."""

from __future__ import annotations

import copy
import csv
import io
import json
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flopcount.conventions import CONVENTIONS, price
from shufflenet.design.problem import Bound, Space
from shufflenet.design.rendering import csv_header, csv_rows, parquet_file
from shufflenet.design.sweep_files import SweepFile, SweepFileError
from shufflenet.design.sweep_runs import Progress, stream, write_sweep
from shufflenet.design.sweeping import Priced, Rows, Sweep
from shufflenet.design.workers import WorkerError, executor_from, in_order
from shufflenet.network import Network, assemble
from shufflenet.placing import Frame, stage_rows, stem_row
from shufflenet.quantities import QuantityError
from shufflenet.reader import bundled, load
from shufflenet.scaling import NothingLegalError
from shufflenet.spec import Spec, SpecError

SPEC = load("shufflenet")
SMALL = Space(
    SPEC,
    groups=(1, 3),
    sizes=((64, 64),),
    stems=(12, 24),
    free=True,
    widths=((24, 36, 48), (48, 72, 96), (96, 144)),
    repeats=((1, 2), (3,), (1, 2, 4)),
)


def with_repeats(spec: Spec, counts: tuple[int, ...] | None) -> Spec | None:
    """The spec with so many units in each stage; the last row of each gets what is left."""
    rows = list(spec.rows)
    for stage, count in zip(stage_rows(spec), counts or (), strict=False):
        own = [row for row in rows if row.path == stage.path]
        left = count - sum(row.repeat for row in own[:-1])
        at = rows.index(own[-1])
        if left < 0 or (left == 0 and len(own) == 1):
            return None
        rows[at : at + 1] = [replace(own[-1], repeat=left)] if left else []
    return replace(spec, rows=tuple(rows))


def choices(space: Space) -> Iterator[tuple[Any, ...]]:
    """Every choice of a space in its order: the frame, then the widths and the repeats."""
    spec = space.spec
    stages = stage_rows(spec)
    counts = [sorted(c) for c in space.repeats] or [[None]] * len(stages)
    for unit, size, over, g in product(
        space.units or (None,),
        space.sizes or (spec.image,),
        space.bottlenecks or (None,),
        space.groups or (spec.first_choice,),
    ):
        frame = Frame(spec, g, size, unit, bottleneck=over)
        stem = stem_row(spec)
        stems = sorted(space.stems) or ([None] if stem is None else [frame.fixed(stem)])
        if space.free:
            each = [list(product(sorted(w), c)) for w, c in zip(space.widths, counts, strict=True)]
            for first, *settled in product(stems, *each):
                widths, repeats = zip(*settled, strict=True)
                yield frame, first, widths, repeats
        else:
            ratio = space.ratio
            assert ratio is not None
            most = [max(w) for w in space.widths]
            steps = range(1, min(m // r for m, r in zip(most, ratio, strict=True)) + 1)
            found = [tuple(step * r for r in ratio) for step in steps]
            for first, widths in product(stems, found):
                if all(w in allowed for w, allowed in zip(widths, space.widths, strict=True)):
                    for repeats in product(*counts):
                        yield frame, first, widths, repeats


def brute_force(space: Space) -> Iterator[tuple[Frame, tuple[int, ...], Network]]:
    """Every legal network of a space in its order, each built and checked by itself."""
    for frame, stem, widths, repeats in choices(space):
        spec = with_repeats(space.spec, None if None in repeats else repeats)
        if spec is None or any(w % space.align for w in (*widths, stem or 0)):
            continue
        settled = {row.path: w for row, w in zip(stage_rows(spec), widths, strict=True)}
        first = stem_row(spec)
        if first is not None:
            settled[first.path] = stem
        try:
            made = assemble(frame._replace(spec=spec), settled)
        except SpecError:
            continue
        counts = tuple(
            sum(row.repeat for row in spec.rows if row.path == stage.path)
            for stage in stage_rows(spec)
        )
        yield frame, counts, made


def row_of(frame: Frame, counts: tuple[int, ...], net: Network, convention: str) -> tuple[Any, ...]:
    tally = net.tally()
    stem = () if net.stem is None else (net.stem,)
    return (
        *(frame.unit, *frame.size, frame.bottleneck, frame.groups),
        *(*stem, *net.stage_widths, *counts),
        *(price(tally, convention), tally.params, tally.peak_memory, tally.bytes_moved),
        *(net.depth, sum(net.stage_widths)),
    )


def rows_of(sweep: Sweep) -> list[tuple[Any, ...]]:
    """Every row of a sweep, in Python's integers."""
    priced = Priced(sweep)
    found: list[tuple[Any, ...]] = []
    for piece in priced.pieces():
        rows = priced.rows(piece)
        assert rows.size <= sweep.piece
        assert (*rows.same, *rows.columns) == sweep.columns
        same = tuple(rows.same.values())
        columns = [column.tolist() for column in rows.columns.values()]
        found += [(*same, *cells) for cells in zip(*columns, strict=True)]
    return found


def some(values: list[Any], most: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(tuple)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    spec = load(draw(st.sampled_from(["shufflenet", "arch2", "shallow", "mobilenet_v1"])))
    stages = len(stage_rows(spec))
    repeats: tuple[tuple[int, ...], ...] = ()
    if spec.name != "mobilenet_v1" and draw(st.booleans()):
        repeats = tuple(draw(some([1, 2, 3, 5])) for _ in range(stages))
    free = stages == 3 and draw(st.booleans())
    ratio = None if free else tuple(draw(st.sampled_from([1, 2])) for _ in range(stages))
    steps = draw(some([2, 4, 6, 8, 12, 24], 3))
    widths = tuple(
        draw(some([12, 24, 32, 36, 48, 60], 3))
        if free
        else tuple(sorted({step * part for step in steps}))
        for part in (ratio or (1,) * stages)
    )
    own = spec.name == "mobilenet_v1"
    return Space(
        spec,
        groups=() if own else draw(some([1, 2, 3, 4])),
        units=() if own else draw(st.sampled_from([(), ("resnet",), ("shufflenet", "xception")])),
        bottlenecks=() if own else draw(st.sampled_from([(), (2,), (4, 3)])),
        sizes=((32, 32),) if draw(st.booleans()) else ((64, 48), (33, 32)),
        repeats=repeats,
        stems=draw(some([4, 6, 12, 24])),
        free=free,
        ratio=ratio,
        widths=widths,
        align=draw(st.sampled_from([1, 1, 4])),
    )


@given(spaces(), st.integers(1, 40), st.sampled_from(["shufflenet-paper", "torch"]), st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_rows_are_those_of_brute_force_in_the_space_s_order(
    space: Space, piece: int, convention: str, data: st.DataObject
):
    assume(sum(1 for _ in choices(space)) <= 300)
    wanted = [row_of(*found, convention) for found in brute_force(space)]
    figures = ("moved", "layers", "channels")
    sweep = Sweep(space, (), convention, figures, piece)
    assert rows_of(sweep) == wanted
    assert Priced(sweep).candidates() == len(wanted)
    assume(wanted)
    at = len(sweep.columns) - 6
    bounds, kept = [], wanted
    for index, figure in enumerate(("macs", "params", "memory", "moved", "layers", "channels")):
        if data.draw(st.booleans()):
            values = sorted(row[at + index] for row in wanted)
            least = data.draw(st.sampled_from([None, *values[:3]]))
            most = data.draw(st.sampled_from([values[len(values) // 2], values[-1]]))
            least = None if least is not None and least > most else least
            bounds.append(Bound(figure, least, most))
            kept = [r for r in kept if (least or 0) <= r[at + index] <= most]
    bounded = Sweep(space, tuple(bounds), convention, figures, piece)
    assert rows_of(bounded) == kept


def test_networks_at_given_scales_are_rows():
    scales = ("0.25", "0.5", "1", "1.5")
    from shufflenet.network import network
    from shufflenet.quantities import read_scale

    space = Space(SPEC, groups=(3, 8), scales=tuple(map(read_scale, scales)))
    nets = [network(SPEC, g, scale=s) for g in (3, 8) for s in scales]
    wanted = [
        row_of(Frame(SPEC, net.groups, (224, 224)), (4, 8, 4), net, "shufflenet-paper")[:-3]
        for net in nets
    ]
    assert rows_of(Sweep(space)) == wanted


@pytest.mark.parametrize("piece", [1, 3, 7, 50, 5_000_000])
@pytest.mark.parametrize("most", [None, 4_000_000, 1_500_000])
def test_the_size_of_a_piece_changes_no_row(piece: int, most: int | None):
    bounds = () if most is None else (Bound("macs", None, most),)
    whole = rows_of(Sweep(SMALL, bounds, piece=100_000))
    assert whole
    assert rows_of(Sweep(SMALL, bounds, piece=piece)) == whole


def test_a_narrow_window_finds_the_rows_that_a_filter_does():
    macs = -3
    every = rows_of(Sweep(SMALL))
    values = sorted(row[macs] for row in every)
    least, most = values[len(values) // 2], values[len(values) // 2 + 3]
    wanted = [row for row in every if least <= row[macs] <= most]
    assert rows_of(Sweep(SMALL, (Bound("macs", least, most),))) == wanted


def test_what_is_done_grows_from_piece_to_piece():
    shares = [piece.done for piece in Priced(Sweep(SMALL, piece=20)).pieces()]
    assert shares == sorted(shares)
    assert len(set(shares)) == len(shares) > 10
    assert shares[0] == 0
    assert shares[-1] < 1


def test_a_space_without_a_legal_network_is_told():
    space = replace(SMALL, groups=(8,), widths=((17,), (34,), (68,)))
    with pytest.raises(NothingLegalError):
        stream(Priced(Sweep(space)), lambda data: None)


def test_a_figure_without_a_column_and_a_piece_out_of_range_are_refused():
    with pytest.raises(QuantityError, match="'intensity' is not one of"):
        Sweep(SMALL, figures=("intensity",))
    for piece in (0, 5_000_001):
        with pytest.raises(QuantityError, match=f"piece {piece} is not between"):
            Sweep(SMALL, piece=piece)


def test_two_sweeps_have_one_fingerprint_where_they_write_the_same():
    sweep = Sweep(SMALL)
    assert sweep.fingerprint == Sweep(copy.deepcopy(SMALL)).fingerprint
    moved = replace(SPEC, file="elsewhere/shufflenet.toml")
    assert sweep.fingerprint == Sweep(replace(SMALL, spec=moved)).fingerprint
    others = [
        Sweep(replace(SMALL, stems=(12,))),
        Sweep(SMALL, (Bound("macs", None, 10),)),
        Sweep(SMALL, convention="torch"),
        Sweep(SMALL, convention=CONVENTIONS["macs"]),
        Sweep(SMALL, figures=("moved",)),
        Sweep(SMALL, piece=10),
        Sweep(replace(SMALL, spec=load("arch2"))),
    ]
    assert len({one.fingerprint for one in (sweep, *others)}) == 1 + len(others)


def test_specs_and_conventions_can_be_shipped_to_another_process():
    for name in bundled():
        spec = load(name)
        again = pickle.loads(pickle.dumps(spec))
        assert again == spec
        with pytest.raises(TypeError):
            again.rows[0].options["new"] = 1
    for convention in CONVENTIONS.values():
        assert pickle.loads(pickle.dumps(convention)) == convention


@given(
    st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 30_000), min_size=1),
    st.lists(st.integers(0, 18), min_size=1),
)
def test_csv_writes_every_integer_in_full(values: list[int], powers: list[int]):
    values += [near for p in powers for near in (10**p - 1, 10**p, 10**p + 1)]
    rows = Rows(
        len(values), {"unit": None, "groups": 3}, {"n": np.array(values), "m": np.array(values)}
    )
    wanted = "".join(f",3,{value},{value}\n" for value in values)
    assert csv_rows(rows).decode() == wanted


def as_csv(sweep: Sweep, executor: Executor | None = None, **how: Any) -> bytes:
    found: list[bytes] = []
    stream(Priced(sweep), found.append, executor, **how)
    return b"".join(found)


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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 9}', '{"version": 1}', "\0"])
def test_a_journal_that_is_none_is_refused(tmp_path: Path, text: str):
    (tmp_path / "a.csv.journal").write_text(text)
    with pytest.raises(SweepFileError, match=r"a\.csv\.journal: is no journal"):
        write_sweep(Sweep(SMALL), str(tmp_path / "a.csv"))


def test_a_part_without_a_journal_is_somebody_else_s(tmp_path: Path):
    (tmp_path / "a.csv.part").write_text("mine")
    with pytest.raises(SweepFileError, match="is there without its journal"):
        write_sweep(Sweep(SMALL), str(tmp_path / "a.csv"))
    assert (tmp_path / "a.csv.part").read_text() == "mine"


def test_only_one_sweep_writes_a_file(tmp_path: Path):
    pytest.importorskip("fcntl")
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
        ("cluster of:tests", "is not package.module:callable"),
        ("no_such_room:made", "there is no module 'no_such_room'"),
        ("cluster_of_tests:nobody", "has no callable 'nobody'"),
        ("cluster_of_tests:thing", "has no callable 'thing'"),
        ("cluster_of_tests:made", "of type dict, no concurrent.futures.Executor"),
    ):
        with pytest.raises(WorkerError, match=said):
            executor_from(name)
