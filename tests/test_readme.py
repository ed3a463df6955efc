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
from typing import get_args

import pytest

from shufflenet.arch.spec_reader import loads
from shufflenet.cost.tables import percent
from shufflenet.paper.audit import Audit, Verdict, audit
from shufflenet.paper.claim_files import load_claims

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAPER = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
SOLVING = (ROOT / "docs" / "solving.md").read_text(encoding="utf-8")
SWEEPING = (ROOT / "docs" / "sweeping.md").read_text(encoding="utf-8")
CONSOLE = [
    example
    for text in (README, PAPER, SOLVING, SWEEPING)
    for example in re.findall(r"```console\n\$ (shufflecost [^\n]*)\n(.*?)```", text, re.DOTALL)
]
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


def test_the_python_examples_of_sweeps_give_what_they_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(ROOT / "docs" / "sweeping.md"), module_relative=False)
    assert (failed, tried) == (0, 12)
    assert [path.name for path in tmp_path.iterdir()] == ["small.csv"]


def test_the_python_examples_of_solving_give_what_they_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = ROOT / "examples" / "phone.toml"
    (tmp_path / "phone.toml").write_bytes(example.read_bytes())
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(ROOT / "docs" / "solving.md"), module_relative=False)
    assert (failed, tried) == (0, 17)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["phone.csv", "phone.toml"]
    shown = "".join(re.findall(r">>> (.*)", SOLVING))
    for name in ("Space", "Problem", "Bound", "Goal", "optimise", "load_problem", "write_sweep"):
        assert f"{name}(" in shown


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


def test_the_score_in_the_docs_is_the_audits() -> None:
    whole = audit(load_claims())
    exact, under, nominal, disagree, reported = (whole.count(v) for v in get_args(Verdict))
    claims = len(whole.findings)
    said = " ".join(PAPER.split())
    assert (
        f"Of {claims} claims {exact} are exact, {under} exact under a hypothesis, {nominal}"
        f" nominal, {disagree} not reproducible and {reported} reported only."
        f" Of the {whole.judged} that arithmetic reaches {whole.distinct} differ in"
        " network, quantity or figure"
    ) in said
    assert (
        f"{exact} of {claims} are exact as printed, {under} under a named hypothesis"
    ) in " ".join(README.split())
    assert (
        f"{nominal} stand for a row of networks that do not keep them, {disagree} come out under"
        f" none, and {reported} are reported only"
    ) in " ".join(README.split())
    passed, false = whole.planted()
    costs = Audit(tuple(f for f in whole.findings if f.claim.says == "complexity"))
    passed_costs, false_costs = costs.planted()
    assert (
        f"Of {false:,} false figures {passed} would pass ({percent(passed, false)}),"
        f" {passed_costs} of them among the {false_costs} of complexities."
    ) in said


def test_the_docs_say_how_many_false_figures_of_solved_networks_would_pass() -> None:
    solved = Audit(
        tuple(
            finding
            for finding in audit(load_claims()).findings
            if finding.claim.says == "complexity"
            and finding.claim.subject is not None
            and finding.claim.subject.scale is finding.claim.subject.stage is None
        )
    )
    passed, _ = solved.planted()
    assert f"{passed} of those are of networks whose widths are solved for." in PAPER


def test_the_docs_say_how_many_candidates_a_claim_has() -> None:
    tried: dict[str, list[int]] = {}
    for finding in audit(load_claims()).findings:
        if finding.tried:
            tried.setdefault(finding.claim.says, []).append(len(finding.tried))
    costs, widths = (
        f"{min(tried[says])} to {max(tried[says])}" for says in ("complexity", "channels")
    )
    others = [n for says, ns in tried.items() if says not in ("complexity", "channels") for n in ns]
    assert (min(others), max(others)) == (1, 2)
    assert (
        f"has {costs} distinct candidates, one of a width {widths}, any other 1 or 2"
    ) in " ".join(PAPER.split())


def test_the_claims_in_the_documentation_are_claims(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", PAPER, re.DOTALL)
    assert block is not None
    (tmp_path / "documented.toml").write_text(block[1], encoding="utf-8")
    found = audit(load_claims(tmp_path / "documented.toml"))
    assert [found.count(v) for v in get_args(Verdict)] == [1, 1, 0, 0, 2]


JSON = {
    "table": ("--groups", "3"),
    "solve-widths": ("--budget", "40M", "--no-confirm"),
    "compare": ("--no-confirm",),
    "cost": ("arch2",),
    "detect": ("shufflenet", "--scale", "0.25", "--sizes", "64"),
    "formula": (),
    "audit": (),
    "paper": ("4",),
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
