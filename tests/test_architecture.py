"""The house: who imports whom, what is loaded when, and how a room is kept.

Imports are read with ``ast``, so that one inside a function or a TYPE_CHECKING block is seen too.
"""

from __future__ import annotations

import ast
import json
import shutil
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

import flopcount
import shufflenet
from tests.command import ROOT, python, run_together

MOST_LINES = 450
SPEAKS = ("print", "exit", "quit", "sys.exit", "os._exit")
FILES = sorted(
    path for package in ("flopcount", "shufflenet") for path in (ROOT / package).rglob("*.py")
)
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


class Import(NamedTuple):
    """One import: who, what, and when it is carried out."""

    room: str
    target: str
    line: int
    late: bool = False
    typing_only: bool = False


# Who must not import what. A room stands for itself and for all that is in it.
NEVER = {
    "flopcount": ["shufflenet"],
    "flopcount.layers.cost": ["flopcount.counters.hooks", "flopcount.counters.trace"],
    "flopcount.counters.hooks": [
        "flopcount.layers.cost",
        "flopcount.counters.trace",
        "flopcount.layers",
        "flopcount.counters.operators",
    ],
    "flopcount.counters.trace": ["flopcount.layers.cost", "flopcount.counters.hooks"],
    "flopcount.counters.onnx": [
        "flopcount.layers.cost",
        "flopcount.counters.hooks",
        "flopcount.counters.trace",
    ],
    "flopcount.tally": ["flopcount.conventions"],
    "shufflenet.nn.builder": ["flopcount.layers.cost"],
}
MADE_OF_TORCH = [
    "flopcount.counters.hooks",
    "flopcount.counters.trace",
    "shufflenet.nn.fast_inference",
    "shufflenet.nn.modules",
    "shufflenet.nn.builder",
    "shufflenet.nn.fold",
    "shufflenet.nn.confirm",
    "shufflenet.paper.detection",
    "shufflenet.targets.exported",
    "shufflenet.runtimes.graphs",
    "shufflenet.nn.init",
    "shufflenet.runtimes.export",
    "shufflenet.bench.layers.calls",
    "shufflenet.bench.layers.calls",
    "shufflenet.bench.layers.follow",
    "shufflenet.bench.layers.buffers",
    "shufflenet.bench.layers.module_leaves",
    "shufflenet.bench.layers.spec_leaves",
]
# What runs or converts a network, and the runtime of ours that alone may load it.
PLUGGED = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "ncnn": "ncnn",
    "pnnx": "ncnn",
    "executorch": "executorch",
    "litert_torch": "litert",
    "ai_edge_litert": "litert",
}
# The rooms that search a design space, all of them over arrays.
TABLES = [
    "shufflenet.solver.engine.variables",
    "shufflenet.solver.engine.unit_costs",
    "shufflenet.solver.engine.stage_tables",
    "shufflenet.solver.engine.bounds",
    "shufflenet.solver.engine.enumeration",
    "shufflenet.solver.engine.lagrangian",
    "shufflenet.solver.engine.best_first",
    "shufflenet.solver.engine.objectives",
    "shufflenet.solver.engine.dominance",
    "shufflenet.solver.engine.labels",
    "shufflenet.solver.engine.biobjective",
    "shufflenet.solver.engine.pareto",
    "shufflenet.solver.engine.infeasible",
    "shufflenet.solver.engine.optimise",
    "shufflenet.solver.sweep.expansion",
    "shufflenet.solver.sweep.space_table",
    "shufflenet.solver.sweep.formats",
    "shufflenet.solver.sweep.run",
]
# The rooms that run a network in a runtime, in a process of its own; and its layers, in eager.
TIMED = [
    "shufflenet.runtimes",
    "shufflenet.bench.subjects",
    "shufflenet.bench.layers.time_layers",
    "shufflenet.bench.layers.run",
]
# Who alone may import what.
ONLY = {
    "shufflenet.cli": ["shufflenet.cli", "shufflenet.__main__"],
    "click": ["shufflenet.cli"],
    "rich": ["flopcount.report", "shufflenet.cli"],
    "tabulate": ["flopcount.report", "shufflenet.cli"],
    "torch": [*MADE_OF_TORCH, "shufflenet.targets.resolve", "shufflenet.targets.count", *TIMED],
    "onnx": ["flopcount.counters.onnx"],
    "torchvision": ["shufflenet.paper.detection", "shufflenet.targets.resolve"],
    "timm": ["shufflenet.targets.resolve"],
    "matplotlib": ["shufflenet.plots.figures", "shufflenet.plots.roofline", "shufflenet.cli.plot"],
    "pyarrow": ["shufflenet.solver.sweep.formats"],
    **{name: [f"shufflenet.runtimes.{room}"] for name, room in PLUGGED.items()},
}
# What is costly is imported where it is used; but these rooms are made of it.
LATE = {
    "numpy": ["shufflenet.solver.budget", "shufflenet.solver.width_columns", *TABLES],
    "pyarrow": [],
    "sympy": [],
    "rich": [],
    "tabulate": [],
    "matplotlib": [],
    **{name: [] for name in PLUGGED},
    "torch": MADE_OF_TORCH,
    **dict.fromkeys(MADE_OF_TORCH, MADE_OF_TORCH),
    "torchvision": [],
    "timm": [],
    **dict.fromkeys(("onnx", "flopcount.counters.onnx"), ONLY["onnx"]),
    **dict.fromkeys(TABLES, TABLES),
    "shufflenet.solver.budget": ["shufflenet.solver.budget"],
    "shufflenet.solver.width_columns": [
        "shufflenet.solver.budget",
        "shufflenet.solver.width_columns",
    ],
}
# From the ground up: a room imports none of a later floor.
FLOORS = [
    ["flopcount.tally", "flopcount.integers", "flopcount.layers.rules", "flopcount.toml_reader"],
    [
        "flopcount.conventions.convention",
        "flopcount.conventions.tools",
        "flopcount.conventions",
        "flopcount.conventions.files",
        "flopcount.layers",
    ],
    [
        "flopcount.layers.cost",
        "flopcount.counters.hooks",
        "flopcount.counters.trace",
        "flopcount.counters.onnx",
        "flopcount.report",
        "flopcount.conventions.reconcile",
    ],
    [
        "shufflenet.arch.quantities",
        "shufflenet.targets.user_code",
        "shufflenet.targets.user_code",
        "shufflenet.targets.user_code",
        "shufflenet.arch.spec",
        "shufflenet.arch.spec_reader",
        "shufflenet.units",
        "shufflenet.arch.layout",
        "shufflenet.arch.scaling",
        "shufflenet.arch.network",
        "shufflenet.arch.spec_writer",
    ],
    [
        "shufflenet.bench.timings",
        "shufflenet.cost.machine",
        "shufflenet.bench.compare",
        "shufflenet.bench.json_fields",
        "shufflenet.cost.leaf_kinds",
        "shufflenet.cost.latency_model",
        "shufflenet.cost.latency_files",
    ],
    [
        "shufflenet.solver.problem",
        "shufflenet.solver.parsing",
        "shufflenet.solver.request",
        "shufflenet.solver.problem_files",
        *TABLES,
        "shufflenet.solver.sweep.files",
        "shufflenet.solver.sweep.executors",
        "shufflenet.solver.width_columns",
        "shufflenet.solver.budget",
        "shufflenet.nn.fast_inference",
        "shufflenet.nn.modules",
        "shufflenet.nn.fold",
        "shufflenet.nn.builder",
        "shufflenet.cost.breakdown",
        "shufflenet.targets.exported",
        "shufflenet.targets.resolve",
        "shufflenet.runtimes.agreement",
        "shufflenet.runtimes",
        "shufflenet.runtimes.graphs",
        "shufflenet.nn.init",
    ],
    [
        "shufflenet.nn.confirm",
        "shufflenet.runtimes.export",
        "shufflenet.targets.count",
        "shufflenet.paper.detection",
        "shufflenet.paper.claims",
        "shufflenet.paper.claim_files",
        "shufflenet.paper.hypotheses",
        "shufflenet.paper.candidates",
        "shufflenet.paper.reasons",
        "shufflenet.paper.audit",
        "shufflenet.runtimes",
        "shufflenet.bench.record",
        "shufflenet.runtimes.lookup",
        "shufflenet.bench.rounds",
        "shufflenet.bench.layers.roofline",
        "shufflenet.bench.layers.leaves",
        "shufflenet.bench.layers.calls",
        "shufflenet.bench.layers.calls",
        "shufflenet.bench.layers.follow",
        "shufflenet.bench.layers.buffers",
        "shufflenet.bench.layers.module_leaves",
        "shufflenet.bench.layers.spec_leaves",
        "shufflenet.bench.layers.record",
        "shufflenet.bench.layers.compare",
        "shufflenet.bench.layers.time_layers",
        "shufflenet.bench.layers.record_files",
        "shufflenet.bench.latency.training_set",
        "shufflenet.bench.latency.fit",
        "shufflenet.bench.latency.calibrate",
    ],
    ["shufflenet.bench.subjects", "shufflenet.bench.trial", "shufflenet.bench.worker"],
    ["shufflenet.bench.process", "shufflenet.bench.run", "shufflenet.bench.layers.run"],
    [
        "shufflenet.paper.audit_tables",
        "shufflenet.solver.answers",
        "shufflenet.solver.tables",
        "shufflenet.paper.detection_tables",
        "shufflenet.paper.paper_tables",
        "shufflenet.plots.points",
        "shufflenet.bench.table8",
        "shufflenet.bench.plan",
        "shufflenet.bench.record_files",
        "shufflenet.bench.layers.tables",
        "shufflenet.bench.latency.tables",
    ],
    ["shufflenet.plots.figures", "shufflenet.plots.roofline", "shufflenet.bench.tables"],
    ["shufflenet.cli"],
]


def within(name: str, room: str) -> bool:
    return f"{name}.".startswith(f"{room}.")


def imports(source: str, room: str, package: bool = False) -> list[Import]:
    """Every import of a source; ``package`` says that it is an ``__init__``."""
    found: list[Import] = []

    def visit(node: ast.AST, late: bool, typing_only: bool) -> None:
        for target in _targets(node, room, package):
            found.append(Import(room, target, getattr(node, "lineno", 0), late, typing_only))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.body:
                visit(child, late, True)
            for child in node.orelse:
                visit(child, late, typing_only)
            return
        late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, late, typing_only)

    visit(ast.parse(source), False, False)
    return found


def _targets(node: ast.AST, room: str, package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = room.split(".")
            parts = parts[: len(parts) - node.level + package]
            base = ".".join([*parts, *([base] if base else [])])
        # `from flopcount import hooks` imports a room as much as a name of it
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = ast.unparse(node.func).rpartition(".")[2]
        if called in ("import_module", "__import__"):
            yield str(node.args[0].value)


def room_of(path: Path) -> tuple[str, bool]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = parts[-1] == "__init__"
    return ".".join(parts[:-1] if package else parts), package


@cache
def house() -> tuple[Import, ...]:
    found: list[Import] = []
    for path in FILES:
        room, package = room_of(path)
        found += imports(path.read_text(), room, package)
    return tuple(found)


def trespasses(found: tuple[Import, ...] | list[Import]) -> list[Import]:
    """Every import that a rule forbids."""
    return [item for item in found if _forbidden(item)]


def _forbidden(item: Import) -> bool:
    never = [what for room, whats in NEVER.items() if within(item.room, room) for what in whats]
    if any(within(item.target, what) for what in never):
        return True
    if item.room == "flopcount.layers.cost" and within(item.target, "shufflenet.nn.builder"):
        return True
    for what, rooms in ONLY.items():
        if within(item.target, what) and not any(within(item.room, room) for room in rooms):
            return True
    if item.late or item.typing_only:
        return False
    for what, rooms in LATE.items():
        if within(item.target, what) and not any(within(item.room, room) for room in rooms):
            return True
    return _floor(item.target) > _floor(item.room) > -1


def _floor(name: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if any(within(name, room) for room in rooms):
            return number
    return -1


def test_every_import_keeps_the_rules_of_the_house():
    assert trespasses(house()) == []


PLANTED = {
    "flopcount knows no architecture": ("flopcount.layers", "import shufflenet.units"),
    "flopcount, late": ("flopcount.layers", "def f():\n    from shufflenet import units"),
    "flopcount, by its name": ("flopcount", "import_module('shufflenet.units')"),
    "analytic, hooks": ("flopcount.layers.cost", "from flopcount.counters.hooks import count"),
    "analytic, trace": ("flopcount.layers.cost", "from flopcount import trace"),
    "hooks, analytic": ("flopcount.counters.hooks", "def f():\n    import flopcount.layers.cost"),
    "hooks, layers": ("flopcount.counters.hooks", "from flopcount.layers import Conv"),
    "hooks, relative": ("flopcount.counters.hooks", "from .layers import Conv"),
    "hooks, operators": ("flopcount.counters.hooks", "from . import operators"),
    "trace, hooks": ("flopcount.counters.trace", "from flopcount import hooks"),
    "tally, conventions": ("flopcount.tally", "from flopcount.conventions import price"),
    "builder, analytic": ("shufflenet.nn.builder", "from flopcount.layers.cost import count"),
    "analytic, builder": ("flopcount.layers.cost", "import shufflenet.nn.builder"),
    "the command": ("shufflenet.arch.network", "def f():\n    from shufflenet.cli import main"),
    "click": ("shufflenet.cost.tables", "import click"),
    "click, for types": (
        "shufflenet.arch.spec",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import click",
    ),
    "rich": ("shufflenet.cost.tables", "def f():\n    from rich.table import Table"),
    "rich, early": ("flopcount.report", "from rich.table import Table"),
    "tabulate": ("shufflenet.cost.priced", "import tabulate"),
    "torch": ("shufflenet.arch.network", "def f():\n    import torch.nn"),
    "torch, early": ("shufflenet.targets.resolve", "from torch import nn"),
    "torchvision, early": ("shufflenet.paper.detection", "from torchvision import ops"),
    "torchvision": ("shufflenet.targets.count", "def f():\n    from torchvision import models"),
    "onnx": ("shufflenet.targets.count", "def f():\n    import onnx"),
    "a room of onnx, early": ("shufflenet.targets.count", "from flopcount import onnx_graph"),
    "a room of torch, early": (
        "shufflenet.cli.cost",
        "from shufflenet.nn.confirm import confirm",
    ),
    "numpy, early": ("flopcount.integers", "try:\n    import numpy as np\nexcept E:\n    pass"),
    "numpy, in a class": ("shufflenet.arch.scaling", "class A:\n    import numpy"),
    "sympy, early": ("shufflenet.arch.formulas", "import sympy"),
    "matplotlib": ("shufflenet.plots.points", "def f():\n    import matplotlib"),
    "matplotlib, early": ("shufflenet.plots.figures", "from matplotlib.figure import Figure"),
    "a runtime": ("shufflenet.runtimes.export", "def f():\n    import openvino"),
    "another's runtime": (
        "shufflenet.runtimes.litert",
        "def f():\n    from executorch.runtime import Runtime",
    ),
    "a runtime, early": ("shufflenet.runtimes.ncnn", "import pnnx"),
    "a floor up": ("flopcount.tally", "from flopcount.layers import Conv"),
    "two floors up": ("shufflenet.units", "from shufflenet.solver.budget import solve"),
}


@pytest.mark.parametrize(("room", "source"), PLANTED.values(), ids=PLANTED)
def test_the_rules_refuse_what_is_planted(room: str, source: str):
    assert len(trespasses(imports(source, room, room == "flopcount"))) >= 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("shufflenet.arch.formulas", "def f():\n    import sympy"),
        ("shufflenet.solver.budget", "import numpy as np"),
        ("flopcount.integers", "def f():\n    import numpy"),
        ("flopcount.counters.hooks", "import torch"),
        ("shufflenet.cli.cost", "def f():\n    from shufflenet.nn.confirm import confirm"),
        ("shufflenet", "if TYPE_CHECKING:\n    from shufflenet.nn.builder import build"),
        ("shufflenet.__main__", "from shufflenet.cli import main"),
        ("shufflenet.units", "from flopcount.layers import Conv"),
    ],
)
def test_the_rules_allow_what_the_house_is_built_of(room: str, source: str):
    found = imports(source, room)
    assert len(found) == 1
    assert trespasses(found) == []


def test_the_rooms_of_the_rules_are_those_of_the_house():
    rooms = {room_of(path)[0] for path in FILES}
    # planned, and bound by the rules before they are there
    planned = {"flopcount.counters.trace", "flopcount.counters.operators"}
    named = {room for floor in FLOORS for room in floor} | set(NEVER)
    named |= {room for rooms in ONLY.values() for room in rooms}
    assert named - planned - rooms == set()


def reach(room: str, found: tuple[Import, ...]) -> set[str]:
    """All rooms that importing a room loads, however indirectly."""
    rooms = {item.room for item in found}
    loaded: set[str] = set()
    waiting = [room]
    while waiting:
        name = waiting.pop()
        if name in loaded:
            continue
        loaded.add(name)
        parents = {other for other in rooms if within(name, other)}
        for item in found:
            if item.room == name and not item.late and not item.typing_only:
                parents |= {other for other in rooms if within(item.target, other)}
        waiting += parents
    return loaded


def test_no_formula_can_reach_the_hooks_however_indirectly():
    formulas = {"flopcount.layers", "flopcount.layers.cost", "flopcount.counters.operators"}
    assert reach("flopcount.counters.hooks", house()) & formulas == set()
    assert "flopcount.tally" in reach("flopcount.counters.hooks", house())
    planted = (*house(), *imports("import flopcount.layers", "flopcount.tally"))
    assert "flopcount.layers" in reach("flopcount.counters.hooks", planted)


def test_no_room_of_flopcount_names_one_of_shufflenet():
    texts = [
        (path.name, node.value)
        for path in FILES
        if room_of(path)[0].startswith("flopcount")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [text for text in texts if fnmatch(text[1], "shufflenet.*") and " " not in text[1]] == []


COSTLY = ["torch", "torchvision", "onnx", "numpy", "sympy", "rich", "tabulate", "matplotlib"]
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
        "import sys, shufflenet.solver as design\n"
        "design.Problem, design.load_problem\n"
        "print('numpy' in sys.modules, {*design.__all__} <= {*dir(design)})\n"
        "print(all(getattr(design, name) for name in design.__all__))\n"
        "print(design.optimise.__name__, design.write_sweep.__name__, 'numpy' in sys.modules)\n"
    )
    said = python("-c", program).out.split()
    assert said == ["False", "True", "True", "optimise", "write_sweep", "True"]


def speaks(source: str) -> list[str]:
    """The calls of a source that print, or leave the program."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [name for name in (ast.unparse(call.func) for call in calls) if name in SPEAKS]


@each_file
def test_the_library_neither_prints_nor_leaves(path: Path):
    allowed = {"sys.exit"} if room_of(path)[0] == "shufflenet.cli.main" else set()
    assert set(speaks(path.read_text())) <= allowed


def test_a_print_is_found_wherever_it_stands():
    source = "def f():\n    if True:\n        print(1)\nclass A:\n    x = lambda: sys.exit(2)"
    assert sorted(speaks(source)) == ["print", "sys.exit"]
    assert speaks("blueprint(1)") == []


def undocumented(source: str) -> list[str]:
    """The public functions and classes of a source, and itself, that have no docstring."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else ["the module"]

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if child.name.startswith("_"):
                    continue
                if not ast.get_docstring(child):
                    found.append(child.name)
                if isinstance(child, ast.ClassDef):
                    visit(child)
            elif isinstance(child, ast.If | ast.Try):
                visit(child)

    visit(tree)
    return found


@each_file
def test_everything_public_has_a_docstring(path: Path):
    assert undocumented(path.read_text()) == []


def test_a_missing_docstring_is_found():
    source = "def f(): pass\nclass A:\n    '''A.'''\n    def g(self): pass\n    def _h(self): pass"
    assert undocumented(source) == ["the module", "f", "g"]
    assert undocumented("'''Said.'''\ndef f():\n    '''Said.'''") == []


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
    text = {path.name: path.read_text() for path in FILES}
    folds = [name for name in text if "match layer:" in text[name]]
    assert {"analytic.py", "layers.py", "builder.py"} <= set(folds)
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


def test_the_late_names_of_the_packages_stay_functions_when_their_rooms_are_loaded():
    pytest.importorskip("torch")
    late = [
        (flopcount, "count", "flopcount.counters.trace"),
        (flopcount, "load_convention", "flopcount.conventions.files"),
        (flopcount, "reconcile", "flopcount.conventions.reconcile"),
        (shufflenet, "audit", "shufflenet.paper.audit"),
        (shufflenet, "build", "shufflenet.nn.builder"),
        (shufflenet, "confirm", "shufflenet.nn.confirm"),
        (shufflenet, "detection_cost", "shufflenet.paper.detection"),
        (shufflenet, "detector", "shufflenet.paper.detection"),
        (shufflenet, "load_claims", "shufflenet.paper.claim_files"),
        (shufflenet, "load_problem", "shufflenet.solver.problem_files"),
        (shufflenet, "optimise", "shufflenet.solver.engine.optimise"),
        (shufflenet, "write_sweep", "shufflenet.solver.sweep.run"),
        (shufflenet, "solve", "shufflenet.solver.budget"),
    ]
    for package, name, room in late:
        function = getattr(import_module(room), name)
        assert getattr(package, name) is function
        assert callable(function)


def test_a_name_that_a_package_has_not_is_quoted():
    for package in (flopcount, shufflenet):
        with pytest.raises(AttributeError, match="'nope'"):
            _ = package.nope
