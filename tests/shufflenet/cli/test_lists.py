"""``specs``, ``units``, ``conventions``, ``completion``, and what every command says of itself."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from flopcount.conventions import CONVENTIONS
from shufflenet import __version__
from shufflenet.bench.layers.record_files import layers_json
from shufflenet.cost.latency_files import model_json
from shufflenet.units import UNITS
from tests.command import EXAMPLES, ROOT, Outcome, python, ran, run, run_together
from tests.shufflenet.bench.machines import layer, made_model, made_record

# in the order of the group's help
NAMES = [
    "table",
    "solve-widths",
    "sweep",
    "compare",
    "formula",
    "cost",
    "detect",
    "count",
    "reconcile",
    "bench",
    "latency",
    "export",
    "audit",
    "paper",
    "plot",
    "specs",
    "units",
    "conventions",
    "completion",
]


def listed(command: str) -> Any:
    figures = ran(command, "--format", "json").json
    assert list(figures) == ["schema", command]
    return figures[command]


def test_specs_lists_every_file_of_the_folder_as_it_is():
    files = sorted((ROOT / "specs").glob("*.toml"))
    found = listed("specs")
    assert [spec["name"] for spec in found] == [file.stem for file in files]
    for file, spec in zip(files, found, strict=True):
        written = tomllib.loads(file.read_text())
        for key in ("title", "source", "groups"):
            assert spec[key] == written.get(key, [1])
        assert spec["notes"] == written.get("notes", [])


def test_units_lists_every_unit_with_what_it_takes():
    found = {unit["name"]: unit for unit in listed("units")}
    assert list(found) == list(UNITS)
    assert found["shufflenet"]["options"] == ["shuffle", "first_groups"]
    assert (found["shufflenet"]["bottleneck"], found["shufflenet"]["splits"]) == ("1:4", "groups")
    assert (found["resnext"]["bottleneck"], found["resnext"]["splits"]) == ("1:2", "cardinality")
    assert found["vgg"]["bottleneck"] is None
    stages = [name for name, unit in found.items() if unit["stage"]]
    assert stages[:5] == ["shufflenet", "resnet", "resnext", "xception", "vgg"]
    assert {"inverted", "separable", "fire", "inception"} <= set(stages)
    assert found["inception"]["needs"] == ["towers"]


def test_conventions_lists_every_convention_with_its_unit_and_source():
    found = {item["name"]: item for item in listed("conventions")}
    assert list(found) == list(CONVENTIONS)
    assert found["shufflenet-paper"]["unit"] == found["macs"]["unit"] == "macs"
    assert found["torch"]["unit"] == "flops"
    assert all(item["source"] for item in found.values())


@pytest.mark.parametrize("command", ["specs", "units", "conventions"])
def test_a_list_shows_every_name_in_its_table(command: str):
    shown = [line.split()[:1] for line in ran(command).out.splitlines()]
    for item in listed(command):
        assert [item["name"]] in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_command(shell: str):
    script = ran("completion", shell)
    assert (script.code, script.err) == (0, "")
    assert f"_SHUFFLECOST_COMPLETE={shell}_complete" in script.out
    assert "shufflecost" in script.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_one_that_the_shell_can_read(shell: str):
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    script = ran("completion", shell).out
    done = subprocess.run([found, "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("so", ["solve-widths"]),
        ("table --spec ", sorted(path.stem for path in (ROOT / "specs").glob("*.toml"))),
        ("cost shuf", sorted(path.stem for path in (ROOT / "specs").glob("shuf*.toml"))),
        ("formula res", ["resnet", "resnext"]),
        ("table --convention ", list(CONVENTIONS)),
        ("table --format ", ["table", "markdown", "latex", "csv", "json"]),
        ("solve-widths --policy ", ["nearest", "at-most"]),
    ],
)
def test_the_shell_completes_the_names_there_are(words: str, expected: list[str]):
    typed = f"shufflecost {words}"
    env = {
        "_SHUFFLECOST_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
    }
    outcome = run(env=env)
    assert [line.removeprefix("plain,") for line in outcome.out.splitlines()] == expected


def test_the_version_is_the_packages():
    outcome = run("--version")
    assert outcome.code == 0
    assert re.fullmatch(rf"shufflecost\W+version {re.escape(__version__)}\n", outcome.out)


def test_the_command_is_the_one_that_the_project_installs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"shufflecost": "shufflenet.cli:main"}
    outcome = python("-c", "from shufflenet.cli import main; main(['--version'])")
    assert outcome == run("--version")


def test_without_a_command_the_help_goes_to_standard_error():
    outcome = run()
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.strip() == ran("--help").out.strip()


def test_the_help_names_every_command():
    said = ran("--help").out
    commands = said.partition("Networks:\n")[2].partition("\n\n  Examples:")[0]
    lines = [line.split() for line in commands.splitlines() if line.startswith("  ")]
    assert [words[0] for words in lines] == NAMES
    assert all(len(words) > 2 for words in lines)


def test_the_help_groups_the_commands():
    titles = re.findall(r"^(\w[\w ]*):$", ran("--help").out, re.MULTILINE)
    assert titles == ["Options", "Networks", "Any model", "This machine", "The paper", "Lists"]


def helps() -> dict[str, Outcome]:
    return {name: ran(*name.split(), "--help") for name in ("", *NAMES)}


@pytest.mark.parametrize("name", ["", *NAMES])
def test_every_help_shows_examples_and_all_exit_codes(name: str):
    outcome = helps()[name]
    assert (outcome.code, outcome.err) == (0, "")
    said = outcome.out
    examples, _, codes = said.partition("Examples:\n")[2].partition("Exit codes:\n")
    assert [line.split()[0] for line in codes.splitlines()] == ["0", "1", "2"]
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert lines
    assert all(line.startswith(f"shufflecost {name}".strip()) for line in lines)


@pytest.mark.parametrize("name", ["", "table"])
def test_h_is_short_for_help(name: str):
    assert run(*name.split(), "-h") == helps()[name]


NET = """
from torch import nn

def Net(width):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU())

def words():
    return nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3))
"""

CLUSTER = """
from concurrent.futures import ThreadPoolExecutor

def executor():
    return ThreadPoolExecutor(2)
"""


# Times are for other tests; here they would take theirs.
INSTANT = """
import shufflenet.cli.bench
from shufflenet.bench.timings import Turn, Warmth
class Instant:
    def __init__(self, job, timeout): pass
    def load(self): return 0.0, 0.0
    def warm(self, most): return Warmth(9, True, 1_000_000)
    def time(self, calls): return Turn([1_000_000] * calls, 1_000_000 * calls)
    def close(self): pass
shufflenet.cli.bench.Process = Instant
from shufflenet.bench.layers import spec_leaves, time_layers
def at_once(blocks, effort, note):
    return [[[1_000] * effort.rounds for call in block] for block in blocks]
spec_leaves.calls_of = lambda tasks: [None for task in tasks]
spec_leaves.whole_call = lambda tree, shape: None
time_layers.in_rounds = at_once
from shufflenet.bench import rounds
rounds.in_rounds = at_once
"""


def graph(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    weight = helper.make_tensor("w", 1, (4, 3, 1, 1), [0.5] * 12)
    x = helper.make_tensor_value_info("x", 1, ("n", 3, 224, 224))
    y = helper.make_tensor_value_info("y", 1, None)
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    model = helper.make_model(
        helper.make_graph([node], "g", [x], [y], [weight]),
        opset_imports=[helper.make_opsetid("", 20)],
    )
    onnx.save(model, path)


def lacks_a_runtime(outcome: Outcome) -> bool:
    """Whether a command ended since a runtime is an extra that is not installed here."""
    return outcome.code == 2 and "not installed (pip install" in outcome.err


def test_every_example_of_every_help_runs_as_it_stands(tmp_path):
    pytest.importorskip("torchvision")
    pytest.importorskip("pyarrow")
    (tmp_path / "package").mkdir()
    for file in ("net.py", "package/module.py"):
        (tmp_path / file).write_text(NET)
    graph(tmp_path / "model.onnx")
    convention = (EXAMPLES / "my-convention.toml").read_text()
    (tmp_path / "my-convention.toml").write_text(convention)
    (tmp_path / "my-net.toml").write_text((EXAMPLES / "tiny.toml").read_text())
    (tmp_path / "phone.toml").write_text((EXAMPLES / "phone.toml").read_text())
    (tmp_path / "cluster.py").write_text(CLUSTER)
    own = (EXAMPLES / "own_units.py").read_text().replace("def inverted", "def mine")
    (tmp_path / "my_units.py").write_text(own)
    (tmp_path / "machine.json").write_text(json.dumps(model_json(made_model())))
    record = made_record(layer("0", "3x3 convolution", 10**6, 10**5, 10**5))
    (tmp_path / "layers.json").write_text(json.dumps(layers_json(record)))
    lines = [
        line.split(">")[0].strip()
        for outcome in helps().values()
        for line in outcome.out.splitlines()
        if line.startswith("    shufflecost ")
    ]
    assert len(lines) > 20
    # Proof is for other tests; here it would take its time.
    examples = [shlex.split(line.replace(" --confirm", ""))[1:] for line in dict.fromkeys(lines)]
    solving = ("solve-widths", "compare")
    examples = [[*words, "--no-confirm"] if words[0] in solving else words for words in examples]
    outcomes = run_together(*map(tuple, examples), before=INSTANT, cwd=tmp_path)
    failed = [
        (words, outcome.err)
        for words, outcome in zip(examples, outcomes, strict=True)
        if (outcome.code != 0 or bool(outcome.out) == ("-o" in words))
        and not (words[0] == "export" and lacks_a_runtime(outcome))
    ]
    assert failed == []
    assert (tmp_path / "layers.csv").exists()
    assert (tmp_path / "table1.json").exists()
