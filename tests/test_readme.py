"""Every example in the README and the docs is run, and does what it says."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from shufflenet.reader import loads

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n\$ (shufflecost [^\n]*)\n(.*?)```", README, re.DOTALL)
DOCS = {
    name: "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    for name, text in (
        ("README.md", README),
        ("counting.md", (ROOT / "docs" / "counting.md").read_text(encoding="utf-8")),
    )
}


def test_the_readme_has_examples_of_both_kinds() -> None:
    assert len(CONSOLE) >= 5
    assert all(text.count(">>>") >= 10 for text in DOCS.values())


@pytest.mark.parametrize(("line", "printed"), CONSOLE, ids=[line for line, _ in CONSOLE])
def test_a_command_in_the_readme_prints_what_the_readme_shows(line: str, printed: str) -> None:
    arguments = shlex.split(line)[1:]
    done = subprocess.run(
        [sys.executable, "-m", "shufflenet", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


@pytest.mark.parametrize("name", DOCS)
def test_the_python_examples_give_what_they_show(name: str) -> None:
    examples = doctest.DocTestParser().get_doctest(DOCS[name], {}, name, name, 0)
    said: list[str] = []
    failed, tried = doctest.DocTestRunner().run(examples, out=said.append)
    assert tried >= 10
    assert failed == 0, "".join(said)


def test_the_test_command_of_the_readme_is_the_one_that_the_checks_run() -> None:
    marked = re.search(r"<!-- test command -->\n```sh\n(python3 [^\n]*)\n```", README)
    assert marked is not None
    for part in ("ruff check", "ruff format --check", "mypy", "pytest"):
        assert part in marked[1]
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_spec_in_the_documentation_is_a_spec() -> None:
    text = (ROOT / "docs" / "specs.md").read_text(encoding="utf-8")
    block = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert block is not None
    spec = loads(block[1].encode(), name="documented")
    assert spec.groups == (1, 2)


JSON = {
    "table": ("--groups", "3"),
    "solve-widths": ("--budget", "40M", "--no-confirm"),
    "compare": ("--no-confirm",),
    "cost": ("arch2",),
    "formula": (),
    "specs": (),
    "units": (),
    "conventions": (),
}


@pytest.mark.parametrize("command", JSON)
def test_every_json_key_that_a_command_prints_is_documented(command: str) -> None:
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]*)`", text))))
    done = subprocess.run(
        [sys.executable, "-m", "shufflenet", command, *JSON[command], "--format", "json"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    keys = set(re.findall(r'"([a-z_]+)":', done.stdout)) - {"schema"}
    assert keys
    assert keys - documented == set()


def test_the_project_says_who_may_use_it_and_what_it_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert all(">=" in need for need in project["dependencies"])
