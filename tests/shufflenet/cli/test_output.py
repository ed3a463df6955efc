"""Where results go and how they look: streams, files, formats, colours, encodings."""

from __future__ import annotations

import csv
import json
import os
import re
import stat
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from shufflenet.system.atomic_files import OutputError, write_files
from tests.command import (
    COMMANDS,
    ROOT,
    Outcome,
    columns_of_latex,
    environment,
    fails,
    python,
    run,
    run_together,
)
from tests.disk import Disk

FORMATS = ["table", "markdown", "latex", "csv", "json"]
each_command = pytest.mark.parametrize("command", COMMANDS)


@cache
def everything() -> dict[tuple[str, str], Outcome]:
    """What every command gives in every format; in one process, as there are many."""
    asked = [(command, form) for command in COMMANDS for form in FORMATS]
    outcomes = run_together(*((*COMMANDS[command], "--format", form) for command, form in asked))
    return dict(zip(asked, outcomes, strict=True))


def shown(command: str, form: str) -> Outcome:
    outcome = everything()[command, form]
    assert outcome.code == 0, outcome.err
    return outcome


def rows(command: str) -> list[list[str]]:
    return list(csv.reader(shown(command, "csv").out.splitlines()))


def notes(command: str) -> list[str]:
    return shown(command, "csv").err.splitlines()


@each_command
def test_csv_has_as_many_cells_in_every_row(command: str):
    header, *body = rows(command)
    assert body
    assert {len(row) for row in body} == {len(header)}
    assert all(header)


@each_command
def test_csv_gives_numbers_as_programs_read_them(command: str):
    grouped = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
    assert [cell for row in rows(command) for cell in row if grouped.fullmatch(cell)] == []


@each_command
def test_the_notes_of_csv_go_to_standard_error(command: str):
    listed = [line for line in shown(command, "markdown").out.splitlines() if line[:2] == "- "]
    assert [f"- {note}" for note in notes(command)] == listed


def test_a_table_has_notes_for_this_to_mean_something():
    assert len(notes("table")) == 2
    assert shown("table", "table").err == ""


@each_command
def test_json_is_one_object_of_schema_1(command: str):
    outcome = shown(command, "json")

    def no_constant(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    found = json.loads(outcome.out, parse_constant=no_constant)
    assert isinstance(found, dict)
    assert found["schema"] == 1
    assert next(iter(found)) == "schema"
    assert outcome.err == ""


@each_command
def test_markdown_is_a_title_then_a_table_with_the_cells_of_csv(command: str):
    lines = shown(command, "markdown").out.splitlines()
    assert re.fullmatch(r"\*\*.+\*\*", lines[0])
    assert lines[1] == ""
    piped = [line for line in lines if line.startswith("|")]
    assert lines[2 : 2 + len(piped)] == piped
    header, rule, *body = ([cell.strip() for cell in line[1:-1].split("|")] for line in piped)
    assert all(line.endswith("|") for line in piped)
    assert all(re.fullmatch(":?-+:?", cell) for cell in rule)
    found = [[re.sub("[,+]", "", cell) for cell in row] for row in (header, *body)]
    assert found == [[re.sub("[,+]", "", cell) for cell in row] for row in rows(command)]


@each_command
def test_latex_is_one_tabular_with_as_many_cells_in_every_row(command: str):
    text = shown(command, "latex").out
    inside = text.partition("\\begin{tabular}{")[2].partition("\\end{tabular}")[0]
    columns = columns_of_latex(text)
    assert columns == len(rows(command)[0])
    body = [line for line in inside.splitlines()[1:] if not line.startswith("\\")]
    assert len(body) == len(rows(command))
    for line in body:
        assert line.endswith(r"\\")
        assert len(re.findall(r"(?<!\\)&", line)) == columns - 1
    assert text.count("\\begin{") == text.count("\\end{") == 1
    assert "MATH" not in text


@each_command
def test_latex_leaves_no_special_character_unescaped(command: str):
    lines = [line for line in shown(command, "latex").out.splitlines() if line[:1] != "%"]
    assert [line for line in lines if re.search(r"(?<!\\)[%#]", line)] == []
    text = [re.sub(r"\$[^$]*\$", "", line) for line in lines]
    assert [line for line in text if re.search(r"(?<!\\)[_^$~]", line)] == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_title_of_two_lines_breaks_no_format(tmp_path: Path, form: str):
    text = (ROOT / "examples" / "tiny.toml").read_text()
    (tmp_path / "own.toml").write_text(text.replace('"Tiny"', '"One\\nTwo"'))
    outcome = run("table", "--spec", "own.toml", "--format", form, cwd=tmp_path)
    if outcome.code == 2:
        fails(outcome, 2, "own.toml", "title")
        return
    lines = outcome.out.splitlines()
    if form == "latex":
        assert [line for line in lines if "Two" in line and not line.startswith("%")] == []
    elif form == "markdown":
        assert re.fullmatch(r"\*\*.+\*\*", lines[0])


@each_command
def test_a_table_begins_with_its_title_and_ends_with_its_notes(command: str):
    lines = shown(command, "table").out.splitlines()
    title = shown(command, "markdown").out.splitlines()[0].strip("*")
    assert lines[0] == title
    found = notes(command)
    assert lines[len(lines) - len(found) :] == found


@each_command
def test_a_piped_table_shows_every_cell_uncut_whatever_the_terminal(command: str):
    narrow = run(*COMMANDS[command], env={"COLUMNS": "20", "TERM": "xterm"})
    assert narrow == shown(command, "table")
    text = narrow.out
    for row in rows(command):
        for cell in row:
            assert cell in text or f"{int(cell):,}" in text


@each_command
def test_no_line_of_a_piped_table_ends_in_blanks(command: str):
    lines = shown(command, "table").out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []


@each_command
@pytest.mark.parametrize("form", FORMATS)
def test_a_pipe_gets_no_escape_codes_and_every_output_ends_its_last_line(command: str, form: str):
    outcome = shown(command, form)
    assert "\x1b" not in outcome.out + outcome.err
    assert outcome.out.endswith("\n")


def on_a_terminal(columns: int, *args: str, **env: str) -> str:
    """What a terminal of so many columns is sent."""
    fcntl = pytest.importorskip("fcntl")
    termios = pytest.importorskip("termios")
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, columns.to_bytes(2, sys.byteorder).rjust(4, b"\0") * 2)
    process = subprocess.Popen(
        [sys.executable, "-m", "shufflenet", *args],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment() | {"TERM": "xterm-256color"} | env,
        cwd=ROOT,
    )
    os.close(theirs)
    sent = b""
    try:
        while data := os.read(ours, 65_536):
            sent += data
    except OSError:
        # Linux reports the end of a terminal so.
        pass
    finally:
        os.close(ours)
    assert process.wait() == 0
    return sent.decode().replace("\r\n", "\n")


def unstyled(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return "".join(f"{line.rstrip()}\n" for line in plain.splitlines())


def test_a_wide_terminal_shows_what_a_pipe_does_in_bold():
    sent = on_a_terminal(200, "table")
    assert "\x1b[1m" in sent
    assert unstyled(sent) == shown("table", "table").out


def test_a_dumb_terminal_gets_no_escape_codes():
    assert "\x1b" not in on_a_terminal(200, "table", TERM="dumb")


def test_no_color_leaves_no_escape_codes():
    assert "\x1b" not in on_a_terminal(200, "table", NO_COLOR="1")


def test_a_terminal_too_narrow_for_its_figures_gets_the_table_at_its_own_width():
    sent = unstyled(on_a_terminal(60, "table", "--scale", "1"))
    rows = shown("table", "table").out.splitlines()[:18]
    assert sent.splitlines()[:18] == rows


def test_a_terminal_gets_json_as_a_pipe_does():
    assert on_a_terminal(80, "table", "--format", "json") == shown("table", "json").out


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_holds_what_standard_output_would(tmp_path: Path, form: str):
    outcome = run("table", "--format", form, "-o", "out.txt", cwd=tmp_path)
    expected = shown("table", form)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", expected.err)
    assert (tmp_path / "out.txt").read_text() == expected.out
    assert os.listdir(tmp_path) == ["out.txt"]


def test_every_command_can_write_a_file(tmp_path: Path):
    written = {name: f"{name}.txt" for name in COMMANDS}
    commands = [(*args, "-o", written[name]) for name, args in COMMANDS.items()]
    outcomes = run_together(*commands, cwd=tmp_path)
    assert {outcome[:2] for outcome in outcomes} == {(0, "")}
    for name, file in written.items():
        assert (tmp_path / file).read_text() == shown(name, "table").out


def test_a_file_holds_no_escape_codes_even_where_colour_is_forced(tmp_path: Path):
    run("table", "-o", "out.txt", cwd=tmp_path, env={"FORCE_COLOR": "1"})
    assert (tmp_path / "out.txt").read_text() == shown("table", "table").out


def test_an_existing_file_keeps_its_mode(tmp_path: Path):
    file = tmp_path / "out.txt"
    file.write_text("an earlier result that is longer" * 1000)
    for mode in (0o640, 0o600, 0o664, 0o755):
        file.chmod(mode)
        run("table", "-o", str(file))
        assert stat.S_IMODE(file.stat().st_mode) == mode
    assert file.read_text() == shown("table", "table").out


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path):
    for umask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        file = tmp_path / f"{umask:o}.txt"
        assert run("specs", "-o", str(file), umask=umask).code == 0
        assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_file_is_replaced_and_never_half_written(tmp_path: Path):
    file = tmp_path / "out.txt"
    file.write_text("an earlier result")
    with file.open() as reader:
        run("table", "-o", str(file))
        # who had it open still reads the earlier result: the new one is another file
        assert reader.read() == "an earlier result"
    assert file.read_text() == shown("table", "table").out


def test_files_are_on_the_disk_before_the_first_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {str(tmp_path / name): name.encode() for name in ("one.txt", "two.txt")}
    disk = Disk(monkeypatch)
    write_files(files)
    assert [str(target) for _, target in disk.renamed] == list(files)
    assert {name: Path(name).read_bytes() for name in files} == files


def test_where_one_of_several_files_cannot_be_written_none_is_and_nothing_is_left(tmp_path: Path):
    files = {str(tmp_path / name): b"new" for name in ("one.txt", "none/two.txt")}
    with pytest.raises(OutputError, match=r"none/two\.txt: cannot be written"):
        write_files(files)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_write_leaves_the_earlier_result_and_nothing_else(tmp_path: Path):
    (tmp_path / "out.txt").write_text("an earlier result")
    full = (
        "import resource, signal\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from shufflenet.cli import main\n"
        "main(['table', '-o', 'out.txt'])\n"
    )
    outcome = python("-c", full, cwd=tmp_path, env={"PYTHONDONTWRITEBYTECODE": "1"})
    fails(outcome, 2, "out.txt", "File too large")
    assert os.listdir(tmp_path) == ["out.txt"]
    assert (tmp_path / "out.txt").read_text() == "an earlier result"


def test_the_target_of_a_link_is_replaced_and_the_link_stays(tmp_path: Path):
    (tmp_path / "results").mkdir()
    target = tmp_path / "results" / "table.txt"
    target.write_text("an earlier result")
    (tmp_path / "link.txt").symlink_to(Path("results", "table.txt"))
    assert run("table", "-o", "link.txt", cwd=tmp_path).code == 0
    assert (tmp_path / "link.txt").is_symlink()
    assert target.read_text() == shown("table", "table").out
    assert os.listdir(tmp_path / "results") == ["table.txt"]


def test_dev_null_is_written_to_and_stays_a_device():
    assert run("table", "-o", os.devnull) == Outcome(0, "", "")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_named_pipe_is_written_to(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    assert run("table", "-o", str(pipe)).code == 0
    reader.join(10)
    assert received == [shown("table", "table").out]


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="needs /dev/stdout")
def test_the_pipe_behind_dev_stdout_is_written_to():
    # a shell's `-o >(gzip > table.gz)` is such a file too
    assert run("table", "-o", "/dev/stdout") == shown("table", "table")


ENDINGS = {
    "table": ("table",),
    "markdown": ("table", "--format", "markdown"),
    "json": ("cost", "shufflenet", "--format", "json"),
    "specs": ("specs",),
    "help": ("--help",),
    "help of table": ("table", "--help"),
    "version": ("--version",),
    "completion": ("completion", "bash"),
}
each_ending = pytest.mark.parametrize("args", ENDINGS.values(), ids=ENDINGS)


@each_ending
def test_a_reader_that_has_gone_is_no_traceback(args: tuple[str, ...]):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        outcome = run(*args, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert outcome.err == ""


def test_head_gets_its_line_and_nobody_a_traceback():
    command = [sys.executable, "-m", "shufflenet", "cost", "shufflenet", "--format", "json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"{\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(60)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@each_ending
def test_a_full_disk_behind_standard_output_exits_2_in_one_line(args: tuple[str, ...]):
    with open("/dev/full", "wb") as full:
        outcome = run(*args, stdout=full, stderr=subprocess.PIPE)
    fails(outcome, 2, "No space left on device")


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_a_closed_standard_output_exits_2_in_one_line(form: str):
    outcome = run("specs", "--format", form, shell=">&-")
    assert "Traceback" not in outcome.err
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("shufflecost: ")


def test_an_error_without_standard_error_still_exits_2():
    assert run("table", "--scale", "0", shell="2>&-").code == 2
    assert run("table", "--scale", "0", shell="2>&-").out == ""


@pytest.mark.parametrize("command", ["table", "cost", "formula", "units", "conventions"])
def test_an_ascii_stream_gets_ascii(command: str):
    outcome = run(*COMMANDS[command], env={"PYTHONIOENCODING": "ascii"})
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.isascii()
    assert not shown(command, "table").out.isascii()


def test_a_title_that_an_ascii_stream_cannot_hold_is_escaped(tmp_path: Path):
    text = (ROOT / "examples" / "tiny.toml").read_text().replace('"Tiny"', '"Tiné"')
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    escaped = run("cost", "own.toml", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (escaped.code, escaped.err) == (0, "")
    assert escaped.out.startswith("Tin\\xe9 1x")
    assert run("cost", "own.toml", cwd=tmp_path).out.startswith("Tiné 1x")


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_no_format_fails_on_a_title_that_an_ascii_stream_cannot_hold(tmp_path: Path, form: str):
    text = (ROOT / "examples" / "tiny.toml").read_text().replace('"Tiny"', '"Tiné"')
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    args = ("table", "--spec", "own.toml", "--format", form)
    outcome = run(*args, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (outcome.code, "Traceback" in outcome.err) == (0, False)


def test_no_error_fails_on_a_name_that_an_ascii_stream_cannot_hold():
    fails(run("table", "--spec", "né", env={"PYTHONIOENCODING": "ascii"}), 2, "unknown spec")


@pytest.mark.parametrize("command", ["table", "units", "cost"])
def test_the_plain_locale_changes_nothing_but_the_frame(command: str):
    c = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    outcome = run(*COMMANDS[command], env=c)
    assert (outcome.code, outcome.err) == (0, "")
    assert run(*COMMANDS[command], "--format", "csv", env=c).out == shown(command, "csv").out
