"""The architecture: what is loaded when, how a room is kept, and that the map is of this house.

Who may import whom is a set of contracts in ``pyproject.toml`` (`lint-imports`), and what may be
loaded early is a rule of ruff's; here both are shown to refuse what is planted.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest

import flopcount
import shufflenet
from tests.command import ROOT, python, run_together
from tests.rooms import FILES, ROOMS, room_of

MOST_LINES = 450
SPEAKS = ("print", "exit", "quit", "sys.exit", "os._exit")
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))

# --- Contracts

#: The contracts, by how their names start, and an import that breaks each.
PLANTED = {
    "flopcount knows no architecture": ("flopcount/layers/tree.py", "import shufflenet.units"),
    "The floors of flopcount": (
        "flopcount/tally.py",
        "def f():\n    from flopcount.layers import Conv",
    ),
    "The floors of shufflenet": (
        "shufflenet/units/plain.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import shufflenet.arch.spec",
    ),
    "No circles": (
        "shufflenet/arch/quantities.py",
        "from shufflenet.arch.ranges import read_range",
    ),
    "The formulas, the hooks, the tracer": (
        "flopcount/counters/trace/ledger.py",
        "from flopcount.counters import hooks",
    ),
    "No formula can reach the hooks": (
        "flopcount/counters/hooks.py",
        "def f():\n    from flopcount.counters import operators",
    ),
    "The modules and the hooks": (
        "shufflenet/nn/builder.py",
        "from flopcount.layers.cost import count",
    ),
    "click only": ("shufflenet/cost/tables.py", "def f():\n    import click"),
    "rich and tabulate only": ("shufflenet/cost/priced.py", "def f():\n    import tabulate"),
    "torch only": ("shufflenet/arch/network.py", "def f():\n    import torch.nn"),
    "onnx only": ("shufflenet/targets/count.py", "def f():\n    import onnx"),
    "torchvision only": (
        "shufflenet/targets/count.py",
        "def f():\n    from torchvision import models",
    ),
    "timm only": ("shufflenet/paper/detection.py", "def f():\n    import timm"),
    "Nothing but the command": ("shufflenet/__init__.py", "def f():\n    import shufflenet.cli"),
    "matplotlib only": ("shufflenet/cost/tables.py", "def f():\n    import matplotlib"),
    "pyarrow only": ("shufflenet/solver/sweep/files.py", "def f():\n    import pyarrow"),
    "scipy only": ("shufflenet/cost/latency_model.py", "def f():\n    import scipy.optimize"),
    "openvino only": ("shufflenet/runtimes/export.py", "def f():\n    import openvino"),
    "ncnn only": ("shufflenet/runtimes/litert.py", "def f():\n    import ncnn"),
    "pnnx only": ("shufflenet/runtimes/litert.py", "def f():\n    import pnnx"),
    "onnxruntime only": ("shufflenet/runtimes/eager.py", "def f():\n    import onnxruntime"),
    "executorch only": ("shufflenet/runtimes/litert.py", "def f():\n    import executorch"),
    "litert_torch only": ("shufflenet/runtimes/ncnn.py", "def f():\n    import litert_torch"),
    "ai_edge_litert only": ("shufflenet/runtimes/ncnn.py", "def f():\n    import ai_edge_litert"),
}


def contracts(folder: Path) -> dict[str, str]:
    """Every contract of a copy of the packages, and what is said of it."""
    pytest.importorskip("importlinter")
    program = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"
    env = {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    ran = python("-c", program, cwd=folder, env=env)
    return dict(re.findall(r"^(.+) (KEPT|BROKEN)$", ran.out, re.MULTILINE))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The contracts of the packages with every planted import in them."""
    folder = copied(tmp_path_factory.mktemp("planted"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for file, source in PLANTED.values():
        with (folder / file).open("a", encoding="utf-8") as stream:
            stream.write(f"\n\n{source}\n")
    return contracts(folder)


@pytest.mark.parametrize("name", PLANTED)
def test_a_contract_refuses_what_is_planted(name: str, broken: dict[str, str]):
    assert [broken[found] for found in broken if found.startswith(name)] == ["BROKEN"]


def test_every_contract_has_an_import_that_breaks_it(broken: dict[str, str]):
    assert len(broken) == len(PLANTED)


def test_a_new_folder_must_be_given_its_floor(tmp_path: Path):
    folder = copied(tmp_path)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "shufflenet" / "attic").mkdir()
    (folder / "shufflenet" / "attic" / "__init__.py").write_text('"""An attic."""\n')
    found = contracts(folder)
    assert {name for name in found if found[name] == "BROKEN"} == {
        "The floors of shufflenet, from the top down"
    }


EARLY = {
    "rich, early": ("flopcount/report/terminal.py", "from rich.table import Table"),
    "torch, early": ("shufflenet/targets/resolve.py", "from torch import nn"),
    "a room of torch, early": (
        "shufflenet/cli/cost.py",
        "from shufflenet.nn.confirm import confirm",
    ),
    "a room of onnx, early": ("shufflenet/targets/count.py", "from flopcount.counters import onnx"),
    "sympy, early": ("shufflenet/arch/formulas.py", "import sympy"),
    "matplotlib, early": ("shufflenet/plots/figures.py", "from matplotlib.figure import Figure"),
    "the solver's engine, early": (
        "shufflenet/cli/solve.py",
        "from shufflenet.solver.engine.optimise import optimise",
    ),
    "a runtime, early": ("shufflenet/runtimes/ncnn.py", "import pnnx"),
}


def too_early(file: str, source: str) -> bool:
    """Whether ruff refuses to have a file load so much when it is imported."""
    pytest.importorskip("ruff")
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--select",
            "TID253",
            "--stdin-filename",
            file,
            "-",
        ],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stderr
    return "TID253" in ran.stdout


@pytest.mark.parametrize(("file", "source"), EARLY.values(), ids=EARLY)
def test_what_is_costly_may_be_loaded_late_alone(file: str, source: str):
    assert too_early(file, source)
    lines = "\n".join(f"    {line}" for line in source.splitlines())
    assert not too_early(file, f"def f():\n{lines}\n")


def hidden(source: str) -> list[int]:
    """The lines of imports that run with the module but stand where ruff's rule does not look."""

    def visit(node: ast.AST) -> list[int]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return []
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return [line for child in node.orelse for line in visit(child)]
        own = [node.lineno] if isinstance(node, ast.Import | ast.ImportFrom) else []
        return own + [line for child in ast.iter_child_nodes(node) for line in visit(child)]

    top = [
        node for node in ast.parse(source).body if not isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return [line for node in top for line in visit(node)]


@each_file
def test_what_is_imported_early_is_imported_at_the_top(path: Path):
    assert hidden(path.read_text()) == []


def test_a_hidden_import_is_found():
    assert hidden("try:\n    import numpy\nexcept E:\n    pass") == [2]
    assert hidden("class A:\n    import numpy") == [2]
    assert hidden("if TYPE_CHECKING:\n    import a\nelse:\n    from b import c") == [4]
    assert hidden("import a\nif TYPE_CHECKING:\n    import b\ndef f():\n    import c") == []


def test_a_room_that_is_made_of_torch_loads_it_early():
    assert not too_early("shufflenet/nn/builder.py", "import torch")
    assert not too_early("flopcount/counters/trace/ledger.py", "import torch")


def test_no_room_of_flopcount_names_one_of_shufflenet():
    texts = [
        (path.name, node.value)
        for path in FILES
        if room_of(path).startswith("flopcount")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [text for text in texts if fnmatch(text[1], "shufflenet.*") and " " not in text[1]] == []


COSTLY = [
    "torch",
    "torchvision",
    "onnx",
    "numpy",
    "scipy",
    "msgspec",
    "sympy",
    "rich",
    "tabulate",
    "matplotlib",
]
_LOADED = f"""
import atexit, json, sys
def report():
    print(json.dumps([name for name in {COSTLY} if name in sys.modules]), file=sys.stderr)
atexit.register(report)
from shufflenet.cli import main
main(sys.argv[1:])
"""


def loaded(*args: str, planted: str = "") -> set[str]:
    """Which of the costly packages a run of the command has loaded when it ends."""
    outcome = python("-c", f"{planted}\n{_LOADED}", *args)
    assert outcome.code == 0, outcome.err
    return set(json.loads(outcome.err.splitlines()[-1]))


@pytest.mark.parametrize(
    "args",
    [
        ("table", "--format", "json"),
        ("table", "--scale", "0.5", "--format", "json"),
        ("table", "--scale", "0.25", "--convention", "torch", "--format", "csv"),
        ("cost", "shufflenet", "--format", "json"),
        ("count", "shufflenet", "--format", "json"),
        ("specs", "--format", "json"),
        ("table", "--help"),
    ],
)
def test_what_needs_nothing_costly_loads_nothing_costly(args: tuple[str, ...]):
    assert loaded(*args) == set()


@pytest.mark.parametrize(
    ("args", "needs"),
    [
        (("cost", "shufflenet"), {"rich"}),
        (("cost", "shufflenet", "--format", "markdown"), {"tabulate"}),
        (("formula", "--format", "json"), {"sympy"}),
        (("solve-widths", "--budget", "40M", "--no-confirm", "--format", "json"), {"numpy"}),
        (("audit", "--format", "json"), {"numpy"}),
        (("audit", "--only", "disagree", "--format", "csv"), {"numpy"}),
        (("paper", "6", "--format", "json"), {"numpy"}),
    ],
)
def test_what_needs_something_loads_that_alone(args: tuple[str, ...], needs: set[str]):
    assert loaded(*args) == needs


@pytest.mark.parametrize("package", ["numpy", "rich", "tabulate"])
def test_the_probe_sees_a_package_that_is_loaded(package: str):
    assert package in loaded("table", "--format", "json", planted=f"import {package}")


def test_a_design_space_is_described_without_numpy():
    program = (
        "import sys, shufflenet.solver as solver\n"
        "solver.Problem, solver.load_problem\n"
        "print('numpy' in sys.modules, {*solver.__all__} <= {*dir(solver)})\n"
        "print(all(getattr(solver, name) for name in solver.__all__))\n"
        "print(solver.optimise.__name__, solver.write_sweep.__name__, 'numpy' in sys.modules)\n"
    )
    said = python("-c", program).out.split()
    assert said == ["False", "True", "True", "optimise", "write_sweep", "True"]


def speaks(source: str) -> list[str]:
    """The calls of a source that print, or leave the program."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [name for name in (ast.unparse(call.func) for call in calls) if name in SPEAKS]


@each_file
def test_the_library_neither_prints_nor_leaves(path: Path):
    allowed = {"sys.exit"} if room_of(path) == "shufflenet.cli.command" else set()
    assert set(speaks(path.read_text())) <= allowed


def test_a_print_is_found_wherever_it_stands():
    source = "def f():\n    if True:\n        print(1)\nclass A:\n    x = lambda: sys.exit(2)"
    assert sorted(speaks(source)) == ["print", "sys.exit"]
    assert speaks("blueprint(1)") == []


@each_file
def test_no_room_is_too_long(path: Path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_no_room_is_called_utils():
    assert [path for path in FILES if path.stem in ("utils", "helpers", "misc", "common")] == []


def open_ended(source: str) -> list[int]:
    """The lines of matches over a closed union that do not end in ``assert_never``.

    A match is over a closed union where it names values, or more than four classes: whoever
    names so many means all of them. One that singles a few out must say what of the rest.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Match):
            continue
        last = node.cases[-1]
        anything = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
        ends = anything and "assert_never" in "".join(map(ast.dump, last.body))
        patterns = [part for case in node.cases for part in ast.walk(case.pattern)]
        classes = {ast.unparse(part.cls) for part in patterns if isinstance(part, ast.MatchClass)}
        values = any(isinstance(part, ast.MatchValue) for part in patterns)
        closed = values or len(classes) > 4
        if not ends and (closed or not anything):
            found.append(node.lineno)
    return found


@each_file
def test_every_match_over_a_closed_union_ends_in_assert_never(path: Path):
    assert open_ended(path.read_text()) == []


def test_an_open_match_is_found():
    never = "\n    case _: assert_never(x)"
    default = "\n    case _: y = 0"
    values = "match x:\n    case 'a': y = 1\n    case 'b': y = 2"
    assert open_ended(values) == open_ended(values + default) == [1]
    assert open_ended(values + never) == []
    many = "match x:" + "".join(f"\n    case {name}(): y = 1" for name in "ABCDE")
    assert open_ended(many) == open_ended(many + default) == [1]
    assert open_ended(many + never) == []
    few = "match x:\n    case A() | B(): y = 1"
    assert open_ended(few) == [1]
    assert open_ended(few + default) == []


def test_every_fold_over_the_layers_was_seen():
    text = {room_of(path): path.read_text() for path in FILES}
    folds = [name for name in text if "match layer:" in text[name]]
    assert {"flopcount.layers.cost", "flopcount.layers.tree", "shufflenet.nn.builder"} <= set(folds)
    for name in folds:
        assert "assert_never(layer)" in text[name]


def test_the_wheel_carries_the_specs_inside_the_package():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    assert wheel["packages"] == ["flopcount", "shufflenet"]
    assert wheel["force-include"]["specs"] == "shufflenet/specs"


def copied(to: Path) -> Path:
    for package in ("flopcount", "shufflenet"):
        shutil.copytree(ROOT / package, to / package, ignore=shutil.ignore_patterns("__pycache__"))
    return to


def names(folder: Path) -> list[str]:
    env = {"PYTHONPATH": str(folder)}
    (outcome,) = run_together(("specs", "--format", "json"), cwd=folder, env=env)
    return [spec["name"] for spec in outcome.json["specs"]]


def test_the_specs_inside_an_installed_package_come_before_a_folder_beside_it(tmp_path: Path):
    copied(tmp_path)
    tiny = (ROOT / "examples" / "tiny.toml").read_text()
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "beside.toml").write_text(tiny)
    assert names(tmp_path) == ["beside"]
    (tmp_path / "shufflenet" / "specs").mkdir()
    (tmp_path / "shufflenet" / "specs" / "inside.toml").write_text(tiny)
    assert names(tmp_path) == ["inside"]


def test_an_installed_package_works_from_any_folder_with_its_specs_inside(tmp_path: Path):
    installed = copied(tmp_path / "installed")
    shutil.copytree(ROOT / "specs", installed / "shufflenet" / "specs")
    (tmp_path / "elsewhere").mkdir()
    env = {"PYTHONPATH": str(installed)}
    code = "import shufflenet; print(shufflenet.__file__)"
    where = python("-c", code, cwd=tmp_path / "elsewhere", env=env)
    assert where.out.startswith(str(installed))
    outcome = python(
        "-m", "shufflenet", "table", "--format", "json", cwd=tmp_path / "elsewhere", env=env
    )
    assert outcome.json["columns"][0]["macs"] == 142_502_976
    audit = ("-m", "shufflenet", "audit", "--table", "1", "--format", "json")
    score = python(*audit, cwd=tmp_path / "elsewhere", env=env).json["score"]
    assert score == {"exact": 11, "under": 15, "nominal": 0, "disagree": 0, "reported": 0}


def test_importing_the_packages_loads_nothing_costly():
    code = f"""
import flopcount, shufflenet, sys
print([name for name in {[*COSTLY, "click"]} if name in sys.modules])
"""
    outcome = python("-c", code)
    assert (outcome.out, outcome.err) == ("[]\n", "")


# --- The map

MAP = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_every_room_that_the_map_names_is_there():
    named = set(re.findall(r"`((?:flopcount|shufflenet)/[\w/]*[\w](?:\.py|/)?)`", MAP))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_folder_of_the_house_is_on_the_map():
    folders = {path.parent.relative_to(ROOT).as_posix() for path in FILES}
    assert [name for name in sorted(folders) if f"`{name}/`" not in MAP] == []


def test_every_function_that_a_trip_passes_is_there():
    passed = re.findall(r"`((?:flopcount|shufflenet)(?:\.\w+)+)`", MAP)
    assert len(passed) > 15
    for name in passed:
        room, _, attribute = name.rpartition(".")
        assert name in ROOMS or hasattr(import_module(room), attribute), name


def test_a_name_that_a_package_has_not_is_quoted():
    for package in (flopcount, shufflenet):
        with pytest.raises(AttributeError, match="'nope'"):
            _ = package.nope
