"""Records of ``bench``: ratios computed from given times, two compared, written and read again."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from shufflenet.bench.record import against, conditions, speedup
from shufflenet.bench.record_files import Beside, load_record, record_json
from shufflenet.bench.table8 import TABLE_8, TABLE_8_BASELINE, printed
from shufflenet.bench.tables import bench_table
from shufflenet.cost.machine import FieldError
from tests.shufflenet.bench.bench_records import HERE, cell, record

BASE = cell("base", 800, 900, 1000, macs=18_000)
FAST = cell("fast", 90, 100, 110, macs=1000)


def test_a_speedup_is_the_baselines_median_over_the_networks():
    found = speedup(record(BASE, FAST), FAST)
    assert (found.theory, found.actual, found.noisy) == (18, 9, False)
    assert found.reached == Fraction(1, 2)


def test_the_baseline_itself_is_once_itself_and_not_noisy():
    assert speedup(record(BASE, FAST), BASE) == (1, 1, False)


def test_the_baseline_of_a_cell_is_that_of_its_runtime_and_size():
    other = replace(FAST, runtime="other")
    large = replace(FAST, size=(64, 64))
    whole = record(BASE, FAST, other, large, replace(BASE, runtime="other", ns=(400,)))
    assert speedup(whole, other).actual == 4
    assert speedup(whole, large) == (None, None, False)


def test_overlapping_spreads_mark_a_ratio_as_noisy():
    near = cell("near", 790, 850, 950, macs=18_000)
    assert speedup(record(BASE, near), near).noisy
    assert not speedup(record(BASE, FAST), FAST).noisy
    shown = bench_table(record(BASE, near))
    assert shown.rows[1][10] == "~1.06x"
    assert any(note.startswith("~: ") for note in shown.notes)


def test_a_cell_that_failed_has_a_theory_and_no_time():
    failed = cell("lost", macs=9000, failed="load: ended by SIGSEGV")
    whole = record(BASE, failed)
    assert speedup(whole, failed) == (2, None, False)
    table = bench_table(whole)
    assert "failed" in table.rows[1]
    assert any("lost: load: ended by SIGSEGV" in note for note in table.notes)


def test_where_the_baseline_failed_nothing_has_a_ratio_but_in_theory():
    whole = record(replace(BASE, ns=(), failed="time: no answer within 3 s"), FAST)
    assert speedup(whole, FAST) == (18, None, False)
    assert speedup(whole, FAST).reached is None


def test_the_speed_of_a_cell_is_its_multiply_adds_in_a_second():
    assert FAST.speed == 1000 * 10**9 // 100
    assert cell("lost").speed is None


def test_a_cell_is_set_against_the_same_cell_of_an_earlier_record():
    old = record(BASE, FAST)
    slower = cell("fast", 190, 200, 210)
    found = against(old, slower, old)
    assert found is not None
    assert (found.ratio, found.change, found.before.median) == (2, "slower", 100)
    faster = against(old, cell("fast", 40, 50, 60), old)
    assert faster is not None
    assert (faster.ratio, faster.change) == (Fraction(1, 2), "faster")


def test_a_change_within_the_spreads_is_noise():
    found = against(record(), cell("fast", 100, 105, 120), record(FAST))
    assert found is not None
    assert (found.ratio, found.change) == (Fraction(21, 20), "noise")


def test_quartiles_of_two_calls_tell_no_times_apart():
    slower, old = cell("fast", 190, 200, 210), cell("fast", 100, 101)
    for now, before in ((slower, old), (old, slower)):
        found = against(record(), now, record(before))
        assert found is not None
        assert found.change == "noise"


def test_what_either_record_has_no_time_of_is_not_compared():
    assert against(record(), cell("new", 5), record(FAST)) is None
    assert against(record(), FAST, record(cell("fast", failed="load: lost"))) is None
    assert against(record(), cell("fast", failed="load: lost"), record(FAST)) is None


def test_a_process_that_had_to_share_its_processor_is_disturbed_and_proves_nothing():
    alone, shared = (replace(FAST, cpu=share * 3) for share in (96, 94))
    assert alone.busy == Fraction(96, 100)
    one, two = record(BASE, alone), record(BASE, shared)
    assert (one.is_disturbed(alone), two.is_disturbed(shared)) == (False, True)
    assert not record(shared, threads=2).is_disturbed(shared)
    assert (speedup(one, alone).noisy, speedup(two, shared).noisy) == (False, True)
    later = cell("fast", 190, 200, 210)
    changes = [against(record(), later, old) for old in (one, two)]
    assert [found and found.change for found in changes] == ["slower", "noise"]
    back = against(two, shared, record(later))
    assert back is not None
    assert back.change == "noise"
    notes = bench_table(two).notes
    assert any(note.startswith("disturbed: 1 of 2 cells had to share") for note in notes)
    assert not any(note.startswith("disturbed") for note in bench_table(one).notes)


def test_a_runtime_that_works_on_more_threads_than_asked_is_told():
    two = replace(FAST, cpu=570)
    said = "more than its threads: 1.9 processors worked for 32x32 eager fast"
    assert said in bench_table(record(BASE, two)).notes
    assert said not in bench_table(record(BASE, two, threads=2)).notes


def test_another_machine_and_other_versions_are_said():
    old = record(FAST)
    there = replace(HERE, cpu="another", versions={"torch": "2.8", "onnx": "1.2"})
    new = record(replace(FAST, macs=2000), machine=there, threads=2, seed=1, rounds=9, seconds=0.5)
    assert conditions(old, old) == []
    assert conditions(new, old) == [
        "cpu a cpu -> another",
        "numpy 2.0 -> -",
        "onnx - -> 1.2",
        "torch 2.9 -> 2.8",
        "threads 1 -> 2",
        "rounds 2 -> 9",
        "seconds 1.0 -> 0.5",
        "seed 0 -> 1",
        "multiply-adds of fast at 32x32 1,000 -> 2,000",
    ]
    notes = bench_table(new, Beside(old, "old.json")).notes
    assert any(note.startswith("not made alike: cpu a cpu -> another; ") for note in notes)


def test_the_table_against_an_earlier_record_says_what_changed():
    old = record(BASE, FAST, cell("near", 100, 110, 120))
    now = (BASE, cell("fast", 190, 200, 210), cell("near", 101, 112, 121), cell("new", 4))
    table = bench_table(record(*now), Beside(old, "old.json"))
    assert table.headers[-3:] == ("Before [ms]", "New/old", "Change")
    assert [row[-2:] for row in table.rows] == [
        ("~1.000", "within noise"),
        ("2.000", "slower"),
        ("~1.018", "within noise"),
        ("", ""),
    ]
    assert "not in old.json: 1 of 4 cells" in table.notes


def test_what_was_not_timed_and_what_was_not_steady_is_said():
    shaky = replace(FAST, warmth=FAST.warmth and FAST.warmth._replace(settled=False))
    missing = {"other": "other is not installed (pip install other)"}
    notes = bench_table(record(BASE, shaky, absent=missing, load=1.9)).notes
    assert "not timed: other: other is not installed (pip install other)" in notes
    assert "not steady after 9 runs of warm-up: 32x32 eager fast" in notes
    assert any("load average 1.9" in note for note in notes)


def test_what_limits_the_figures_is_said_in_both():
    beside = Beside(notes=("fast: uncounted: aten::fft",))
    assert bench_table(record(FAST), beside).notes[-1] == "fast: uncounted: aten::fft"
    assert record_json(record(FAST), beside)["notes"] == ["fast: uncounted: aten::fft"]


def test_runtimes_that_were_not_timed_in_turns_are_said_to_be():
    apart = bench_table(record(BASE, replace(FAST, runtime="other", batch=2)))
    assert any("not let all runtimes" in note for note in apart.notes)
    sizes = bench_table(record(BASE, replace(FAST, size=(64, 64), batch=2)))
    assert not any("not let all runtimes" in note for note in sizes.notes)
    assert sizes.sections == {0}


def test_the_papers_times_stand_beside_its_networks():
    paper = printed()
    names = [name for name, row in TABLE_8.items() if row]
    sizes = [(224, 224), (480, 640), (720, 1280)]
    assert set(paper) == {(name, size) for name in names for size in sizes}
    assert paper[TABLE_8_BASELINE, (224, 224)] == ("184.0", 1)
    half = next(name for name in names if name.startswith("arch2"))
    assert paper[half, (720, 1280)] == ("260.1", Fraction(36339, 2601))
    table = bench_table(record(cell(half, 5, size=(224, 224))), Beside(paper=paper))
    assert table.rows[0][-2:] == ("15.2", "12.1x")


def written(path: Path, figures: Any) -> str:
    path.write_text(json.dumps(figures))
    return str(path)


def test_a_record_is_read_again_as_it_was(tmp_path: Path):
    failed = cell("lost", failed="check: wrong", runtime="other", size=(480, 640), batch=2)
    whole = record(BASE, FAST, failed, absent={"gone": "pip install gone"}, load=None)
    path = written(tmp_path / "old.json", record_json(whole))
    assert load_record(path) == whole


def test_the_figures_for_json_are_whole_numbers_but_for_ratios():
    figures = record_json(record(BASE, FAST), Beside(record(FAST), "old.json"))
    first, second = figures["cells"]
    assert (second["median_ns"], second["low_ns"], second["high_ns"]) == (100, 90, 110)
    assert (second["theory"], second["actual"], second["reached"]) == (18.0, 9.0, 0.5)
    assert second["ns"] == [90, 100, 110]
    assert second["before"]["change"] == "noise"
    assert first["before"] is None
    assert figures["against"] == {
        "file": "old.json",
        "date": "2026-01-02T03:04:05+00:00",
        "differences": [],
    }


MACHINE = record_json(record())["machine"]
CELL: dict[str, Any] = record_json(record(FAST))["cells"][0]
BROKEN: dict[str, tuple[Any, str]] = {
    "another command's": ({"schema": 1, "columns": []}, "is no record"),
    "no object": ([], "is no record"),
    "a later version": ({"bench": 2}, "bench 2 is no version"),
    "nothing in it": ({"bench": 1}, "Object missing required field `machine`"),
    "no cells": ({"cells": 5}, "cells: 5: Expected `array`, got `int`"),
    "a cell that is none": ({"cells": [5]}, "cells[0]: 5: Expected `object`"),
    "a text for times": ({"cells": [CELL | {"ns": ["a"]}]}, "cells[0].ns[0]: 'a': Expected `int`"),
    "a negative time": (
        {"cells": [CELL | {"ns": [-1]}]},
        "cells[0].ns[0]: -1: Expected `int` >= 0",
    ),
    "a truth for a cost": (
        {"cells": [CELL | {"macs": True}]},
        "cells[0].macs: True: Expected `int`",
    ),
    "one side": ({"cells": [CELL | {"size": [3]}]}, "cells[0].size: [3]: Expected"),
    "a cell twice": ({"cells": [CELL, CELL]}, "twice"),
    "versions, and a seed": (
        {"machine": MACHINE | {"versions": {"torch": "2", "a": 1}}, "seed": "x"},
        "machine.versions['a']: 1: Expected `str`",
    ),
    "fewer cores than none": ({"machine": MACHINE | {"cores": -1}}, "cores -1 is below 0"),
    "a key that is no text": ({"\ud800": 1}, "a key is not Unicode"),
}


@pytest.mark.parametrize(("changed", "quoted"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_record_is_refused_with_what_is_wrong(
    tmp_path: Path, changed: Any, quoted: str
):
    whole = not isinstance(changed, dict) or "schema" in changed or "bench" in changed
    figures = changed if whole else record_json(record(FAST)) | changed
    path = written(tmp_path / "old.json", figures)
    with pytest.raises(FieldError) as caught:
        load_record(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert quoted in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(FieldError, match="cannot be read: No such file"):
        load_record(str(tmp_path / "missing.json"))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(FieldError, match="is not JSON"):
        load_record(str(tmp_path / "bad.json"))
