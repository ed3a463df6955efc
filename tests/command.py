"""Run ``shufflecost`` as people do, and look at all it leaves: exit code and both streams."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"

#: Every command, with arguments that make it say something at once.
COMMANDS = {
    "table": ("table",),
    "solve-widths": ("solve-widths", "--budget", "40M", "--stem", "12", "--no-confirm"),
    "compare": ("compare", "--units", "xception", "--budget", "142M", "--no-confirm"),
    "formula": ("formula",),
    "cost": ("cost", "shufflenet"),
    "count": ("count", "shufflenet"),
    "reconcile": ("reconcile", "shufflenet", "shufflenet-paper", "torch"),
    "audit": ("audit", "--table", "5"),
    "paper": ("paper", "3"),
    "paper 1": ("paper", "1"),
    "cost --layers": ("cost", "shufflenet", "--layers"),
    "specs": ("specs",),
    "units": ("units",),
    "conventions": ("conventions",),
}

#: Who confirms, in the order of the figures.
WITNESSES = ("analytic", "hooks", "trace", "torch")

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")

# What would change the output without being part of a test.
_STRANGE = {"COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "LANG", "LC_ALL", "LC_CTYPE"}
_STRANGE |= {"PYTHONIOENCODING", "PYTHONUTF8", "PYTHONWARNINGS", "TTY_COMPATIBLE"}
_TORCH = ("torch", "functorch", "nvidia", "triton", "__editable__", "_shufflecost")


class Outcome(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON; it must have succeeded."""
        assert self.code == 0, self.err
        return json.loads(self.out)


def run(*args: str, torch: bool = True, **how: Any) -> Outcome:
    """Run the command; ``torch=False`` hides torch from it, the rest is as for `python`."""
    return python("-m", "shufflenet", *args, torch=torch, **how)


#: `run`, once for the same arguments: several claims can read one run.
ran = cache(run)


def python(
    *args: str,
    torch: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    shell: str = "",
    **how: Any,
) -> Outcome:
    """Run Python on the project; ``shell`` is a shell's redirection, such as ``>&-``."""
    command = [sys.executable, *([] if torch else ["-S"]), *args]
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    if not {"stdout", "stderr"} & set(how):
        how["capture_output"] = True
    done = subprocess.run(
        command,
        env=environment(torch) | dict(env or {}),
        cwd=ROOT if cwd is None else cwd,
        timeout=300,
        encoding="utf-8",
        check=False,
        **how,
    )
    return Outcome(done.returncode, done.stdout or "", done.stderr or "")


def environment(torch: bool = True) -> dict[str, str]:
    """The environment of a run: this one's, without what changes the output."""
    kept = {key: value for key, value in os.environ.items() if key not in _STRANGE}
    path = [str(ROOT)] if torch else [str(ROOT), _packages_without_torch()]
    if torch and "PYTHONPATH" in kept:
        path.append(kept["PYTHONPATH"])
    return kept | {"PYTHONPATH": os.pathsep.join(path), "PYTHONUTF8": "1"}


@cache
def _packages_without_torch() -> str:
    """A folder with everything that is installed, but torch and what comes with it."""
    folder = tempfile.mkdtemp(prefix="without-torch-")
    atexit.register(shutil.rmtree, folder)
    for path in sys.path:
        if not path.endswith(("site-packages", "dist-packages")) or not os.path.isdir(path):
            continue
        for entry in os.scandir(path):
            link = os.path.join(folder, entry.name)
            if not entry.name.startswith(_TORCH) and not os.path.lexists(link):
                os.symlink(entry.path, link)
    return folder


_TOGETHER = """
import contextlib, io, json, sys
from shufflenet.cli import main
outcomes = []
for args in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(args)
        except SystemExit as left:
            code = left.code
    outcomes.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(outcomes))
"""


def run_together(*commands: tuple[str, ...], before: str = "", **how: Any) -> list[Outcome]:
    """Run commands one after the other in one process, which imports torch once.

    ``before`` is code to run first: it plants a fault.
    """
    done = python("-c", before + _TOGETHER, json.dumps(commands), **how)
    assert done.code == 0, done.err
    return [Outcome(*left) for left in json.loads(done.out.splitlines()[-1])]


@cache
def confirmed() -> dict[str, Outcome]:
    """Commands that confirm, by their names here; in one process, as loading torch takes long."""
    own = ("--units-from", "own_units")
    units = "shufflenet,resnet,resnext,xception,vgg"
    half = ("cost", "shallow", "--groups", "2", "--scale", "0.5", "--confirm", "--format", "json")
    in_json = ("cost", "tiny.toml", "--confirm", "--format", "json")
    commands = {
        "table": ("table", "--spec", "tiny.toml", "--confirm"),
        "compare table": ("compare", "--spec", "tiny.toml", "--units", "resnet", "--budget", "9M"),
        "compare": ("compare", "--units", units, "--budget", "38M", "--format", "json"),
        "solve-widths": ("solve-widths", "--budget", "40M", "--groups", "8", "--format", "json"),
        "formula": ("formula", "--confirm", "--format", "json"),
        "own formula": ("formula", "own_units:inverted", *own, "--confirm"),
        "cost": ("cost", "tiny.toml", "--confirm"),
        "cost in operations": (*in_json, "--convention", "torch"),
        "odd size": ("cost", "tiny.toml", "--confirm", "--size", "65x97", "--format", "json"),
        **{f"cost of {unit}": (*half, "--unit", unit) for unit in units.split(",")},
    }
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    outcomes = run_together(*commands.values(), cwd=EXAMPLES, env=env)
    return dict(zip(commands, outcomes, strict=True))


def fails(outcome: Outcome, code: int, *quoted: str) -> str:
    """The one line that a failed command leaves: nothing else, and it quotes what is at fault."""
    assert "Traceback" not in outcome.err, outcome.err
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    line, newline, more = outcome.err.partition("\n")
    assert (newline, more) == ("\n", ""), f"not one line: {outcome.err!r}"
    assert line.startswith("shufflecost: ")
    for text in quoted:
        assert text in line
    return line


def cells(line: str) -> list[str]:
    """The cells of a row of a table that was printed to a pipe."""
    return re.split(r" {2,}", line.strip())


def columns_of_latex(text: str) -> int:
    """How many columns the tabular of a text declares, whether set on a line or as paragraphs."""
    found = re.search(r"\\begin\{tabular\}\{((?:[^{}]|\{[^{}]*\})*)\}", text)
    assert found is not None
    return len(re.findall("[lrp]", re.sub(r"\{[^{}]*\}", "", found[1])))
