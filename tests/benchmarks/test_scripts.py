"""The benchmarks are not run by tests; but each finds all that it imports."""

from __future__ import annotations

import json

import pytest

from tests.command import ROOT, python

SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
_IMPORT = """
import json, runpy, sys
folder, *names = sys.argv[1:]
sys.path.insert(0, folder)
found = {}
for name in names:
    try:
        found[name] = sorted(runpy.run_path(f"{folder}/{name}.py", run_name=name))
    except ImportError as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def test_every_benchmark_imports_what_is_there():
    for name in ("torch", "torchvision", "pyarrow"):
        pytest.importorskip(name)
    outcome = python("-W", "ignore", "-c", _IMPORT, str(ROOT / "benchmarks"), *SCRIPTS)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out.splitlines()[-1])
    assert {name: what for name, what in found.items() if isinstance(what, str)} == {}
    assert "main" in found["alternate"]
