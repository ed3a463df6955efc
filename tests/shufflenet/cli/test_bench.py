"""``shufflecost bench``: its formats, its failures, and what it says of bad input.

No time is looked at here: what is checked is that there are some, and what follows from them.
"""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path
from statistics import median
from time import sleep
from typing import Any

import pytest
from click.testing import CliRunner

from shufflenet.bench.record_files import record_json
from shufflenet.cli.bench import bench
from shufflenet.runtimes import RUNTIMES
from tests.command import (
    EXAMPLES,
    ROOT,
    Outcome,
    environment,
    fails,
    needs_torch,
    run,
    run_together,
)
from tests.shufflenet.bench.bench_records import record
from tests.shufflenet.bench.fakes import ends, fakes

TINY = (EXAMPLES / "tiny.toml").read_text()
QUICK = ("--time", "0.01", "--repeat", "2", "--size", "32", "--timeout", "240")
ALL = "eager,fakes:CRASHES,fakes:REFUSES,fakes:WRONG,fakes:CUT,fakes:LOUD,fakes:ABSENT"
# What a worker would answer, at once; times are longer the more a network costs.
INSTANT = """
import shufflenet.cli.bench
from shufflenet.bench.timings import Turn, Warmth
from shufflenet.bench.subjects import read_subject, tally_of
class Instant:
    def __init__(self, job, timeout):
        self.ns = tally_of(read_subject(job.network), job.size)[0].macs
    def load(self): return 0.0, 0.0
    def warm(self, most): return Warmth(9, True, self.ns)
    def time(self, calls): return Turn([self.ns] * calls, self.ns * calls)
    def close(self): pass
shufflenet.cli.bench.Process = Instant
"""


@cache
def workers() -> Outcome:
    """One network of one's own in every runtime of one's own."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (fakes(Path(folder)) / "tiny.toml").write_text(TINY)
        tiny = ("tiny.toml", "--baseline", "tiny.toml", "--runtime", ALL)
        return run("bench", *tiny, *QUICK, "--format", "json", cwd=folder)


def figures() -> Any:
    return json.loads(workers().out)


def by_runtime() -> dict[str, Any]:
    return {cell["runtime"]: cell for cell in figures()["cells"]}


@needs_torch
def test_runtimes_that_fail_are_told_with_their_reasons_and_the_exit_code_is_1():
    outcome = workers()
    assert outcome.code == 1, outcome.err
    assert outcome.err.splitlines()[-1] == "shufflecost: 4 of 6 cells failed"
    failed = {name: cell["failed"] for name, cell in by_runtime().items() if cell["failed"]}
    wrong = failed.pop("fakes:WRONG")
    assert re.fullmatch(
        r"check: the output differs from eager's by \S+ of its largest value, and 1\.0e-03 is"
        " allowed",
        wrong,
    )
    assert failed == {
        "fakes:CRASHES": "load: ended by SIGSEGV",
        "fakes:REFUSES": "load: ended with exit code 1: NotImplementedError: no such layer",
        "fakes:CUT": "check: the output is (1, 9), and eager's (1, 10)",
    }


@needs_torch
def test_the_others_go_on_whatever_they_print():
    for name in ("eager", "fakes:LOUD"):
        cell = by_runtime()[name]
        assert (cell["failed"], cell["difference"]) == (None, 0.0)
        assert cell["runs"] == len(cell["ns"]) >= 2
        assert cell["warm_up"]["runs"] >= 3
    assert by_runtime()["fakes:CRASHES"]["ns"] == []


@needs_torch
def test_what_a_cell_says_of_its_times_follows_from_them():
    for cell in figures()["cells"]:
        if cell["failed"]:
            assert cell["median_ns"] is cell["actual"] is cell["macs_per_second"] is None
            continue
        assert cell["median_ns"] == int(median(cell["ns"]))
        assert cell["least_ns"] == min(cell["ns"])
        assert cell["least_ns"] <= cell["low_ns"] <= cell["median_ns"] <= cell["high_ns"]
        assert cell["macs_per_second"] == cell["macs"] * 10**9 // cell["median_ns"]
        assert (cell["theory"], cell["actual"], cell["reached"]) == (1.0, 1.0, 1.0)


@needs_torch
def test_a_record_says_where_and_how_it_was_made():
    found = figures()
    assert (found["schema"], found["bench"]) == (1, 1)
    assert set(found["machine"]["versions"]) >= {"torch", "numpy"}
    assert found["machine"]["cores"] >= 1
    assert (found["threads"], found["rounds"], found["seconds"], found["seed"]) == (1, 2, 0.01, 0)
    assert found["absent"] == {"fakes:ABSENT": "fakes is not installed (pip install fakes)"}


@needs_torch
def test_what_goes_on_is_said_on_standard_error_a_cell_a_line():
    said = workers().err
    assert re.search(
        r"^32x32 eager tiny\.toml: loaded in \d+\.\d s, gives eager's output$", said, re.MULTILINE
    )
    assert [line for line in said.splitlines() if "turn" in line] == [
        f"32x32: turn {number} of 2" for number in (1, 2)
    ]
    assert re.search(r"^32x32 eager tiny\.toml: .* after \d+ runs, \S+ ms$", said, re.MULTILINE)
    assert "32x32 fakes:CRASHES tiny.toml: FAILED: load: ended by SIGSEGV" in said


@needs_torch
def test_what_is_interrupted_leaves_no_process_and_no_file_behind(tmp_path: Path):
    (fakes(tmp_path) / "tiny.toml").write_text(TINY)
    (tmp_path / "temporary").mkdir()
    command = [sys.executable, "-m", "shufflenet", "bench", "tiny.toml", "--size", "32"]
    command += ["--baseline", "tiny.toml", "--runtime", "eager,fakes:ENDLESS", "-o", "x.txt"]
    env = environment() | {"TMPDIR": str(tmp_path / "temporary")}
    running = subprocess.Popen(
        command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, encoding="utf-8"
    )
    try:
        while not (marks := list(tmp_path.glob("*.hangs"))):
            assert running.poll() is None
            sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=240)
    finally:
        running.kill()
    assert running.returncode == 130
    assert said.splitlines()[-1] == "shufflecost: interrupted"
    assert "Traceback" not in said
    assert all(ends(mark.stem) for mark in marks)
    assert not list((tmp_path / "temporary").iterdir())
    assert not (tmp_path / "x.txt").exists()


def instant(folder: Path, *commands: tuple[str, ...]) -> list[Outcome]:
    asked = [("bench", *args) for args in commands]
    return run_together(*asked, before=INSTANT, cwd=folder)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Table 8 in every format, and two records compared."""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "tiny.toml").write_text(TINY)
    eager = ("--runtime", "eager", "--repeat", "2")
    commands = {
        **{
            form: (*eager, "--format", form)
            for form in ("table", "markdown", "latex", "csv", "json")
        },
        "saved": ("tiny.toml", *eager, "--size", "64", "--format", "json", "-o", "old.json"),
        "against": ("tiny.toml", *eager, "--size", "64", "--against", "old.json"),
        "against json": (
            *("tiny.toml", "shufflenet:scale=0.5", *eager, "--size", "64"),
            *("--threads", "2", "--against", "old.json", "--format", "json"),
        ),
    }
    return dict(zip(commands, instant(folder, *commands.values()), strict=True))


@needs_torch
def test_without_a_network_table_8_is_timed_at_its_three_sizes_with_the_papers_times(shown):
    rows = list(csv.DictReader(io.StringIO(shown["csv"].out)))
    assert [row["Size"] for row in rows] == [
        size for size in ("224x224", "480x640", "720x1280") for _ in range(5)
    ]
    first = rows[:5]
    assert [row["Paper [ms]"] for row in first] == ["", "15.2", "37.8", "184.0", ""]
    assert [row["Paper's actual"] for row in first] == ["", "12.1x", "4.87x", "1.00x", ""]
    assert [row["In theory"] for row in first] == ["19.0x", "18.1x", "5.20x", "1.00x", "1.09x"]
    # as these times are the multiply-adds
    assert [row["Actual"] for row in first] == [row["In theory"] for row in first]
    assert {row["Reached"] for row in rows} == {"100%"}


@needs_torch
def test_every_format_holds_every_cell(shown):
    for form in ("table", "markdown", "csv", "json"):
        assert shown[form].code == 0, shown[form].err
        assert shown[form].out.count("until=flatten") == 3
    assert shown["latex"].out.count("until=flatten") == 3
    assert len(shown["json"].json["cells"]) == 15


@needs_torch
def test_the_ratios_in_json_are_those_of_its_figures(shown):
    cells = shown["json"].json["cells"]
    base = {tuple(c["size"]): c for c in cells if c["network"] == "alexnet_one_tower"}
    for cell in cells:
        against = base[tuple(cell["size"])]
        theory = Fraction(against["macs"], cell["macs"])
        actual = Fraction(against["median_ns"], cell["median_ns"])
        for name, ratio in (("theory", theory), ("actual", actual), ("reached", actual / theory)):
            assert abs(Fraction(cell[name]) - ratio) <= Fraction(1, 10_000)


@needs_torch
def test_a_record_is_compared_with_an_earlier_one(shown):
    assert shown["saved"].out == ""
    assert "Before [ms]" in shown["against"].out
    assert "not made alike" not in shown["against"].out
    found = shown["against json"].json
    assert found["against"]["differences"] == ["threads 1 -> 2"]
    before = {cell["network"]: cell["before"] for cell in found["cells"]}
    assert before["shufflenet:scale=0.5"] is None
    assert before["tiny.toml"]["ratio"] == 1.0
    assert before["tiny.toml"]["change"] == "noise"


@needs_torch
def test_every_json_key_of_a_record_is_documented(shown):
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]*)`", text))))
    found = [shown["json"].json, shown["against json"].json]
    for figures in found:
        for named in (figures["machine"]["versions"], figures["absent"]):
            named.clear()
    keys = set(re.findall(r'"([a-z_]+)":', json.dumps(found)))
    assert keys - documented == set()


def test_the_help_names_every_runtime_and_the_exit_code_of_a_failed_cell():
    text = " ".join(CliRunner().invoke(bench, ["--help"], terminal_width=400).output.split())
    assert f"Of {', '.join(RUNTIMES)}, or" in text
    assert "1 sound input, but a cell failed" in text


BAD = {
    "an unknown network": (("nope",), "unknown target 'nope'"),
    "an unknown baseline": (("--baseline", "nope"), "unknown target 'nope'"),
    "an unknown runtime": (("--runtime", "nope"), "unknown runtime 'nope': known are eager"),
    "a runtime twice": (("--runtime", "eager,eager"), "names a value twice"),
    "no runtime": (("--runtime", ""), "a name is empty"),
    "a runtime of no module": (("--runtime", "nope:X"), "there is no module 'nope'"),
    "none that is installed": (
        ("--runtime", "fakes:ABSENT"),
        "fakes is not installed (pip install fakes)",
    ),
    "a network twice": (("vgg16", "vgg16"), "'vgg16' is named twice"),
    "a size twice": (("--size", "32", "--size", "32x32"), "twice"),
    "an argument that does not fit": (("vgg16:width=3",), "argument width=3 does not fit"),
    "no column": (("shufflenet:groups=7",), "no column g = 7"),
    "no layer": (("vgg16:until=nope",), "until=nope"),
    "a module that is cut": (("torchvision:alexnet:until=x",), "only a spec's network is cut"),
    "a size that does not fit": (("torchvision:vit_b_16", "--size", "32"), "1x3x32x32"),
    "an ONNX file": (("net.onnx",), "ONNX"),
    "an ONNX file by its layers": (("net.onnx", "--layers"), "net.onnx: an ONNX file is no module"),
    "no time": (("--time", "0"), "'0'"),
    "a long time": (("--time", "86401"), "'86401'"),
    "a turn longer than a step": (
        ("--time", "9", "--repeat", "3", "--timeout", "3"),
        "--timeout 3",
    ),
    "no turns": (("--repeat", "0"), "0"),
    "no threads": (("--threads", "0"), "0"),
    "a missing record": (("--against", "missing.json"), "missing.json: cannot be read"),
    "no record": (("--against", "tiny.toml"), "tiny.toml: is not JSON"),
    "an older record": (("--against", "newer.json"), "bench 2 is no version"),
    "a folder that is not there": (("-o", "missing/x.json"), "missing/x.json: cannot be written"),
    "a folder": (("-o", "folder"), "folder: cannot be written: is a directory"),
}


@needs_torch
def test_bad_input_is_a_line_and_nothing_is_timed(tmp_path: Path):
    pytest.importorskip("torchvision")
    (fakes(tmp_path) / "tiny.toml").write_text(TINY)
    (tmp_path / "folder").mkdir()
    (tmp_path / "boom.py").write_text("print('it is run')\ndef boom(): raise ZeroDivisionError")
    newer = record_json(record()) | {"bench": 2}
    (tmp_path / "newer.json").write_text(json.dumps(newer))
    outcomes = instant(tmp_path, *(args for args, _ in BAD.values()))
    missed = [
        line
        for outcome, (_, quoted) in zip(outcomes, BAD.values(), strict=True)
        if quoted not in (line := fails(outcome, 2))
    ]
    assert missed == []


def test_without_torch_nothing_can_be_timed():
    fails(run("bench", torch=False), 2, "bench needs torch", "shufflecost[torch]")
