"""``sweep`` as people run it: into files and pipes, killed and resumed, on disks that are full."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command import environment, fails, python, run, run_together

# Some 3,000 networks, so that small pieces are many.
SPACE = (
    *("sweep", "--groups", "1,3", "--free-stages", "--size", "64", "--stem", "12,24"),
    *("--widths", "24-96:12,48-96:24,96-384:48", "--repeats", "1-3,2/4,1/2"),
)
PIECES = ("--piece", "40")


def swept(*args: str, **how: Any) -> bytes:
    done = run(*SPACE, *args, **how)
    assert done.code == 0, done.err
    return done.out.encode()


@pytest.fixture(scope="module")
def whole() -> bytes:
    return swept()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_space_is_as_large_as_is_counted(whole: bytes):
    assert run(*SPACE, "--count").out == f"{len(whole.splitlines()) - 1}\n"
    assert len(whole.splitlines()) > 1_000


def test_a_row_is_what_the_table_of_that_network_says():
    line = "sweep", "--groups", "3", "--stem", "24", "--widths", "240,480,960"
    table, made = run_together(("table", "--groups", "3", "--format", "json"), line)
    (row,) = csv.DictReader(io.StringIO(made.out))
    (column,) = table.json["columns"]
    for key in ("groups", "stem", "macs", "params", "peak_activation_bytes"):
        assert int(row[key]) == column[key]
    assert [int(row[f"stage{n}_width"]) for n in (2, 3, 4)] == column["widths"]
    assert [row[f"stage{n}_repeats"] for n in (2, 3, 4)] == ["4", "8", "4"]


def test_bounds_and_figures_choose_rows_and_columns(whole: bytes):
    found = swept("--max-macs", "0.7M", "--min-params", "50000", "--figures", "layers,moved")
    rows = list(csv.DictReader(io.StringIO(found.decode())))
    every = list(csv.DictReader(io.StringIO(whole.decode())))
    kept = [r for r in every if int(r["macs"]) <= 700_000 and int(r["params"]) >= 50_000]
    assert list(rows[0])[-2:] == ["bytes_moved", "layers"]
    assert [{name: row[name] for name in every[0]} for row in rows] == kept
    assert 0 < len(kept) < len(every)


def test_ranges_and_bounds_near_a_value_are_those_of_solving(whole: bytes):
    by_range = swept("--size", "64-96:32", "--groups", "1-3:2", "--near-macs", "0.7M:5%")
    by_list = swept("--size", "64,96", "--min-macs", "665k", "--max-macs", "735k")
    assert by_range == by_list
    torch = swept("--max-macs", "torch:1.4M")
    assert whole.splitlines()[0] == torch.splitlines()[0]
    assert 1 < len(torch.splitlines()) < len(whole.splitlines())


def test_a_problem_file_gives_the_space_and_the_bounds(tmp_path: Path):
    (tmp_path / "phone.toml").write_text(
        "groups = [1, 3]\nfree_stages = true\nsize = 64\nstem = [12, 24]\n"
        'widths = "24-96:12,48-96:24,96-384:48"\nrepeats = "1-3,2/4,1/2"\n'
        'goals = ["nearest"]\nbudget = "4M"\n'
        '[[bounds]]\nfigure = "macs"\nat_most = "0.7M"\n'
    )
    by_file = run("sweep", "--problem", str(tmp_path / "phone.toml"))
    assert by_file.out.encode() == swept("--max-macs", "0.7M"), by_file.err
    both = run("sweep", "--problem", str(tmp_path / "phone.toml"), "--groups", "3", "--count")
    assert both.out == run(*SPACE, "--groups", "3", "--count").out


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_file_has_the_same_bytes_whatever_the_jobs(tmp_path: Path, whole: bytes, jobs: str):
    assert swept("--jobs", jobs, "--piece", "200", "-o", str(tmp_path / "a.csv")) == b""
    assert (tmp_path / "a.csv").read_bytes() == whole
    assert names(tmp_path) == ["a.csv"]


def started(path: Path, *args: str) -> subprocess.Popen[bytes]:
    """A sweep begun, apart from this process's group."""
    return subprocess.Popen(
        [sys.executable, "-m", "shufflenet", *SPACE, *PIECES, *args, "-o", str(path)],
        env=environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def pieces_of(path: Path) -> int:
    journal = path.with_name(f"{path.name}.journal")
    return int(json.loads(journal.read_text())["pieces"]) if journal.exists() else 0


def killed(path: Path, after: int, *args: str, by: int = signal.SIGKILL) -> tuple[int, str]:
    """Begin a sweep, and end it as soon as its journal knows of so many pieces more."""
    had = pieces_of(path)
    process = started(path, *args)
    until = time.monotonic() + 120
    while pieces_of(path) < had + after and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(by)
    _, err = process.communicate(timeout=60)
    return process.pid, err.decode()


@pytest.mark.parametrize(("form", "jobs"), [("csv", "1"), ("csv", "2"), ("parquet", "1")])
def test_a_killed_sweep_goes_on_without_a_lost_or_doubled_row(
    tmp_path: Path, whole: bytes, form: str, jobs: str
):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"a.{form}"
    pieces = random.Random(f"{form}{jobs}")
    for _ in range(3):
        killed(path, pieces.randint(1, 12), "--jobs", jobs)
        assert names(tmp_path) in (
            [f"a.{form}.journal", f"a.{form}.lock", f"a.{form}.part"],
            [f"a.{form}.journal", f"a.{form}.journal.new", f"a.{form}.lock", f"a.{form}.part"],
        )
    done = run(*SPACE, *PIECES, "--jobs", jobs, "-o", str(path))
    assert done.code == 0, done.err
    assert "rows are there; going on" in done.err
    assert [name for name in names(tmp_path) if not name.endswith(".new")] == [path.name]
    assert read(path) == whole


def read(path: Path) -> bytes:
    """A table as CSV, whatever it was written in."""
    if path.suffix == ".csv":
        return path.read_bytes()
    dataset = pytest.importorskip("pyarrow.dataset")
    table = dataset.dataset(path).to_table()
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.column_names)
    columns = [table.column(name).to_pylist() for name in table.column_names]
    writer.writerows(zip(*columns, strict=True))
    return stream.getvalue().encode()


def test_parquet_holds_the_rows_of_csv(tmp_path: Path, whole: bytes):
    pytest.importorskip("pyarrow")
    swept("-o", str(tmp_path / "a.parquet"))
    swept("-o", str(tmp_path / "b"), "--format", "parquet", "--piece", "500", "--jobs", "2")
    assert read(tmp_path / "a.parquet") == read(tmp_path / "b") == whole


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs groups of processes")
def test_the_processes_end_with_the_one_they_work_for(tmp_path: Path):
    group, _ = killed(tmp_path / "a.csv", 1, "--jobs", "2")
    until = time.monotonic() + 30
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_sweep_says_so_in_one_line_and_goes_on(
    tmp_path: Path, whole: bytes, jobs: str
):
    _, err = killed(tmp_path / "a.csv", 3, "--jobs", jobs, by=signal.SIGINT)
    assert err.lstrip("\n") == "shufflecost: interrupted\n"
    assert swept(*PIECES, "-o", str(tmp_path / "a.csv")) == b""
    assert (tmp_path / "a.csv").read_bytes() == whole


def limited(size: int) -> Callable[[], None]:
    resource = pytest.importorskip("resource")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.parametrize("size", [0, 100, 5_000, 40_000])
def test_a_disk_that_fills_up_is_one_line_and_what_is_written_is_whole(
    tmp_path: Path, whole: bytes, size: int
):
    path = tmp_path / "a.csv"
    done = run(*SPACE, *PIECES, "-o", str(path), preexec_fn=limited(size))
    line = fails(done, 2, "a.csv: cannot be written: File too large")
    if size > 5_000:
        assert "rows are whole, and the same command goes on from there" in line
    journal = tmp_path / "a.csv.journal"
    if journal.exists():
        known = json.loads(journal.read_text())["written"]
        assert whole.startswith((tmp_path / "a.csv.part").read_bytes()[:known])
    swept(*PIECES, "-o", str(path))
    assert path.read_bytes() == whole
    assert names(tmp_path) == ["a.csv"]


def test_a_full_disk_under_parquet_is_one_line_and_resumable(tmp_path: Path, whole: bytes):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    done = run(*SPACE, "-o", str(path), preexec_fn=limited(3_000))
    fails(done, 2, "a.parquet: cannot be written: File too large")
    swept("-o", str(path))
    assert read(path) == whole
    assert names(tmp_path) == ["a.parquet"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_exits_2_in_one_line():
    with open("/dev/full", "w") as full:
        done = run(*SPACE, stdout=full, stderr=subprocess.PIPE)
    fails(done, 2, "cannot write: No space left on device")
    fails(run(*SPACE, "-o", "/dev/full"), 2, "cannot write: No space left on device")


def test_a_reader_that_has_gone_is_no_traceback():
    done = python("-m", "shufflenet", *SPACE, *PIECES, shell="| head -n 1")
    assert done.err == ""
    assert done.out.startswith("unit,height,width,bottleneck,groups,stem,")
    assert done.out.count("\n") == 1


def test_a_folder_that_is_not_there_or_cannot_be_written_is_one_line(tmp_path: Path):
    done = run(*SPACE, "-o", str(tmp_path / "nowhere" / "a.csv"))
    fails(done, 2, "nowhere/a.csv: cannot be written: No such file or directory")
    assert names(tmp_path) == []
    fails(run(*SPACE, "-o", f"{tmp_path}/"), 2, "is a folder, not the name of a file")
    if os.access("/proc/version", os.W_OK) and os.geteuid() == 0:
        closed = "/proc"
    else:
        (tmp_path / "closed").mkdir(0o500)
        closed = str(tmp_path / "closed")
    fails(run(*SPACE, "-o", f"{closed}/a.csv"), 2, f"{closed}/a.csv: cannot be written")


def test_what_is_there_is_replaced_only_with_restart(tmp_path: Path, whole: bytes):
    path = tmp_path / "a.csv"
    path.write_text("mine")
    fails(run(*SPACE, "-o", str(path)), 2, "a.csv: is there already; --restart replaces it")
    assert path.read_text() == "mine"
    swept("-o", str(path), "--restart")
    assert path.read_bytes() == whole


def test_another_sweep_is_refused_where_one_was_broken_off(tmp_path: Path):
    path = tmp_path / "a.csv"
    killed(path, 2)
    done = run(*SPACE, *PIECES, "--max-macs", "0.7M", "-o", str(path))
    fails(done, 2, "a.csv.journal", "a.csv.part is of another sweep", "--restart")


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="needs /dev/stdout")
def test_a_pipe_is_streamed_to(whole: bytes):
    assert swept("-o", "/dev/stdout") == whole


def test_parquet_needs_a_file_and_pyarrow(tmp_path: Path):
    fails(run(*SPACE, "--format", "parquet"), 2, "so it needs one: -o FILE")
    code = """
import sys
sys.modules["pyarrow"] = None
from importlib import util
real = util.find_spec
util.find_spec = lambda name, *rest: None if name == "pyarrow" else real(name, *rest)
"""
    (done,) = run_together((*SPACE, "-o", str(tmp_path / "a.parquet")), before=code)
    fails(done, 2, "Parquet needs pyarrow", "pip install 'shufflecost[parquet]'")
    assert names(tmp_path) == []


def test_nothing_legal_and_nothing_in_bounds_exit_1_in_one_line(tmp_path: Path, whole: bytes):
    nothing = "sweep", "--groups", "8", "--free-stages", "--widths", "17,34,68"
    assert fails(run(*nothing), 1)
    assert fails(run(*nothing, "-o", str(tmp_path / "a.csv")), 1)
    assert names(tmp_path) == []
    done = run(*SPACE, "--max-macs", "1")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "no legal network of the space is inside the bounds" in done.err
    assert done.out.encode() == whole[: whole.index(b"\n") + 1]


@pytest.mark.parametrize(
    ("args", "quoted"),
    [
        (("--figures", "nope"), "'nope' is not one of"),
        (("--figures", "intensity"), "'intensity' is not one of"),
        (("--piece", "0"), "0 is not in the range"),
        (("--jobs", "0"), "0 is not in the range"),
        (("--format", "json"), "'json' is not one of"),
        (("--max-macs", "much"), "'much'"),
        (("--problem", "nowhere.toml"), "nowhere.toml"),
        (("--convention", "nope"), "'nope'"),
        (("--executor", "nope"), "'nope' is not package.module:callable"),
        (("--executor", "no_such_room:made"), "there is no module 'no_such_room'"),
        (("--objective", "macs"), "--objective"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input_is_quoted_in_one_line(args: tuple[str, ...], quoted: str):
    (done,) = run_together((*SPACE, *args))
    fails(done, 2, quoted)


OWN = """
from concurrent.futures import Executor, Future, ThreadPoolExecutor

print("made")

class Direct(Executor):
    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future

def threads():
    return ThreadPoolExecutor(2)

def broken():
    raise RuntimeError("no cluster")

def nothing():
    return 3
"""


@pytest.mark.parametrize("name", ["Direct", "threads"])
def test_an_executor_of_one_s_own_does_the_work(tmp_path: Path, whole: bytes, name: str):
    (tmp_path / "own_cluster.py").write_text(OWN)
    done = run(*SPACE, *PIECES, "--executor", f"own_cluster:{name}", cwd=tmp_path)
    assert (done.code, done.err) == (0, "made\n")
    assert done.out.encode() == whole


def test_an_executor_that_fails_is_told(tmp_path: Path):
    (tmp_path / "own_cluster.py").write_text(OWN.replace('print("made")', ""))
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    for name, said in (
        ("nothing", "of type int, no concurrent.futures.Executor"),
        ("none", "has no 'none'"),
    ):
        done = run(*SPACE, "--executor", f"own_cluster:{name}", cwd=tmp_path, env=env)
        fails(done, 2, f"own_cluster:{name}", said)
    done = run(*SPACE, "--executor", "own_cluster:broken", cwd=tmp_path, env=env)
    assert done.code == 2
    first, *_, last = done.err.splitlines()
    assert first.startswith("Traceback")
    assert last == "shufflecost: executor 'own_cluster:broken': RuntimeError: no cluster"
    assert "own_cluster.py" in done.err
    assert "targets.py" not in done.err


def test_a_process_that_dies_is_one_line_and_what_is_written_is_whole(tmp_path: Path, whole: bytes):
    (tmp_path / "own_cluster.py").write_text(
        "import os\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "def mortal():\n"
        "    made = ProcessPoolExecutor(1, get_context('spawn'))\n"
        "    submit, count = made.submit, 0\n"
        "    def counted(fn, /, *args):\n"
        "        nonlocal count\n"
        "        count += 1\n"
        "        return submit(os.abort) if count == 5 else submit(fn, *args)\n"
        "    made.submit = counted\n"
        "    return made\n"
    )
    path = tmp_path / "a.csv"
    done = run(
        *(*SPACE, *PIECES, "-o", "a.csv", "--executor", "own_cluster:mortal", "--jobs", "1"),
        cwd=tmp_path,
    )
    fails(done, 2, "a worker has gone", "fewer --jobs")
    swept(*PIECES, "-o", str(path))
    assert path.read_bytes() == whole


def test_a_terminal_gets_a_progress_bar_on_standard_error_and_a_pipe_none(tmp_path: Path):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    done = run(
        *SPACE, *PIECES, "-o", str(tmp_path / "a.csv"), stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            more = os.read(ours, 65_536)
        except OSError:
            break
        if not more:
            break
        shown += more
    os.close(ours)
    assert (done.code, done.out) == (0, "")
    assert b"rows" in shown
    assert b"%" in shown
    assert run(*SPACE).err == ""
