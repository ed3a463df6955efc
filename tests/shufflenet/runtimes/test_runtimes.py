"""The runtimes: each that is installed computes what eager does, and the others say what they need.

No time is measured here.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import tomllib
from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from shufflenet.arch.network import Network, network
from shufflenet.arch.spec_reader import load
from shufflenet.runtimes import FORMATS, RUNTIMES
from shufflenet.runtimes.agreement import WrongOutputError, check, difference
from shufflenet.runtimes.failing import RuntimeFailedError
from shufflenet.system import user_code
from tests.command import ROOT, python
from tests.shufflenet.runtimes.runtime_networks import half_network, one_stage
from tests.strategies import networks, one_of_each

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from torch import nn  # noqa: E402

from shufflenet.nn.init import drawn  # noqa: E402
from shufflenet.runtimes.graphs import exported, quiet, unpadded  # noqa: E402

HERE = [name for name, runtime in RUNTIMES.items() if not runtime.missing()]
each_here = pytest.mark.parametrize("name", HERE)
#: Those that take long for a network, however small it is: seconds.
SLOW = {"compile", "executorch", "litert"}
#: What the runtimes make of a module: files.
OF_FILES = [name for name in HERE if RUNTIMES[name].files is not None]


def image(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def off(name: str, module: nn.Module, shape: tuple[int, ...], folder: Path) -> float:
    """How far a runtime is from eager on an image, of what its tolerance allows."""
    x = image(*shape)
    # Eager's own sums are in another order on another number of threads.
    expected = RUNTIMES["eager"].load(module, shape, 1, str(folder))(x).copy()
    runtime = RUNTIMES[name]
    return difference(runtime.load(module, shape, 1, str(folder))(x), expected)


# --- Agreement


@each_here
def test_each_runtime_computes_what_eager_does(name: str, tmp_path: Path):
    net = one_stage() if name == "compile" else half_network()
    assert off(name, drawn(net, 0), tuple(net.input), tmp_path) <= RUNTIMES[name].tolerance


@pytest.mark.parametrize("name", [name for name in HERE if name not in ("eager", "compile")])
def test_each_runtime_computes_every_unit(name: str, tmp_path: Path):
    net = network(one_of_each())
    assert off(name, drawn(net, 1), tuple(net.input), tmp_path) <= RUNTIMES[name].tolerance


@pytest.mark.parametrize("name", [name for name in HERE if name not in SLOW | {"eager"}])
def test_a_legal_network_whatever_it_is_computes_the_same(
    name: str, tmp_path_factory: pytest.TempPathFactory
):
    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(networks(max_stages=2))
    def claim(net: Network) -> None:
        folder = tmp_path_factory.mktemp("network")
        assert off(name, drawn(net, 2), tuple(net.input), folder) <= RUNTIMES[name].tolerance

    claim()


@each_here
def test_an_output_is_an_array_of_its_own(name: str, tmp_path: Path):
    if name in SLOW:
        pytest.skip("a call like that of the others, behind a long conversion")
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    call = RUNTIMES[name].load(module, (1, 3, 8, 8), 1, str(tmp_path))
    first = call(image(1, 3, 8, 8))
    kept = first.copy()
    second = call(image(1, 3, 8, 8, seed=1))
    assert first.dtype == np.float32
    assert (first == kept).all()
    assert (first != second).any()


@pytest.mark.parametrize("name", [name for name in HERE if name not in SLOW])
def test_several_images_are_several_outputs(name: str, tmp_path: Path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    assert off(name, module, (3, 3, 8, 8), tmp_path) <= 1e-5


@pytest.mark.parametrize("name", [name for name in OF_FILES if name not in SLOW])
def test_names_that_begin_with_a_digit_are_taken(name: str, tmp_path: Path):
    folder = tmp_path / "2 of 3"
    folder.mkdir()
    inner = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    module = nn.Sequential(inner, nn.Sequential(nn.Flatten(), nn.Linear(144, 5))).eval()
    files = RUNTIMES[name].files
    assert files is not None
    files.write(module, (1, 3, 8, 8), str(folder / "0-5x"))
    assert sorted(os.listdir(folder)) == sorted(f"0-5x{suffix}" for suffix in files.suffixes)
    x = image(1, 3, 8, 8)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    check(files.read(str(folder / "0-5x"), x.shape, 1)(x), expected, 1e-5)


@pytest.mark.parametrize(
    ("module", "size"),
    [
        ("shufflenet:3:0.5", 64),
        ("arch2:3:1", 64),
        ("alexnet_one_tower:1:1", 64),
    ],
)
def test_the_tolerance_refuses_weights_in_half_precision(module: str, size: int):
    name, groups, scale = module.split(":")
    made = drawn(network(load(name), int(groups), scale=scale, size=(size, size)), 0)
    x = torch.from_numpy(image(1, 3, size, size))
    rounded = deepcopy(made)
    with torch.no_grad():
        expected = made(x).numpy()
        for weights in rounded.parameters():
            weights.copy_(weights.half().float())
        found = rounded(x).numpy()
    for runtime in RUNTIMES.values():
        with pytest.raises(WrongOutputError, match=r"differs from eager's by .*is allowed"):
            check(found, expected, runtime.tolerance)


def test_a_difference_is_a_share_of_the_largest_value_and_never_of_what_is_not_finite():
    expected = np.array([[-4.0, 1.0]], dtype=np.float32)
    assert difference(expected, expected) == 0
    assert difference(expected + np.float32(0.5), expected) == 0.125
    assert difference(np.zeros((1, 2)), np.zeros((1, 2))) == 0
    assert difference(np.full((1, 2), 1e-9), np.zeros((1, 2))) == 1
    with pytest.raises(WrongOutputError, match=r"\(2,\), and eager's \(1, 2\)"):
        difference(expected[0], expected)
    for found in (expected * np.nan, expected * np.inf):
        with pytest.raises(WrongOutputError, match="the output has values that are not finite"):
            difference(found, expected)
    with pytest.raises(WrongOutputError, match="eager's output has values that are not finite"):
        difference(expected, expected * np.nan)


# --- The module handed in


def state(module: nn.Module) -> list[Any]:
    """All that a module is: its values and where they lie, its parts, flags and hooks."""
    found: list[Any] = []
    for path, part in module.named_modules():
        found += [path, id(part), part.training, sorted(vars(part)), type(part).forward]
        found += [len(hooks) for key, hooks in vars(part).items() if key.endswith("_hooks")]
    for path, tensor in (*module.named_parameters(), *module.named_buffers()):
        values = tensor.detach().flatten().tolist()
        found += [path, id(tensor), tensor.data_ptr(), tensor.stride(), tensor.requires_grad]
        found += [tensor._version, tensor.grad, values]
    return found


@each_here
def test_the_module_handed_in_stays_as_it_is(name: str, tmp_path: Path):
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(3, 2, 1)
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 5)).eval()
    before = state(module)
    call = RUNTIMES[name].load(module, (1, 3, 10, 10), 1, str(tmp_path))
    call(image(1, 3, 10, 10))
    assert state(module) == before


# --- Threads

BUSY = """
import json, os, sys, tempfile
import numpy as np
from shufflenet.runtimes import RUNTIMES
from shufflenet.nn.init import drawn
from tests.shufflenet.runtimes.runtime_networks import one_stage

def ticks():
    found = {}
    for task in os.listdir("/proc/self/task"):
        fields = open(f"/proc/self/task/{task}/stat").read().rpartition(")")[2].split()
        found[task] = int(fields[11]) + int(fields[12])
    return found

name, threads = sys.argv[1], int(sys.argv[2])
net = one_stage()
image = np.ones(net.input, dtype=np.float32)
with tempfile.TemporaryDirectory() as folder:
    call = RUNTIMES[name].load(drawn(net, 0), tuple(net.input), threads, folder)
    call(image)
    before = ticks()
    for _ in range(10_000):
        call(image)
        after = ticks()
        spent = sorted((after[task] - before.get(task, 0) for task in after), reverse=True)
        if sum(spent) >= 60:
            break
print(json.dumps(spent))
"""
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are not told")


def spent(name: str, threads: int) -> list[int]:
    """How many ticks each thread of a process has worked, the busiest first."""
    outcome = python("-W", "ignore", "-c", BUSY, name, str(threads))
    assert outcome.code == 0, outcome.err
    found: list[int] = json.loads(outcome.out.splitlines()[-1])
    return found


@needs_proc
@each_here
def test_one_thread_is_one_thread(name: str):
    busiest, *others = spent(name, 1)
    assert sum(others) <= busiest // 10, others


@needs_proc
def test_the_probe_of_threads_sees_two():
    busiest, *others = spent("eager", 2)
    assert sum(others) > busiest // 10


# --- What is absent


def packages_of(extra: str) -> set[str]:
    """What an extra installs, by names with underscores, and so what those extras that it names."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    for needed in extras["optional-dependencies"][extra]:
        name, _, more = needed.partition("[")
        if name == "shufflecost":
            found |= {p for e in more.rstrip("]").split(",") for p in packages_of(e)}
        else:
            found.add(needed.partition(">")[0].replace("-", "_"))
    return found


def room(name: str) -> str:
    return {"channels-last": "channels_last", "compile": "compiled"}.get(name, name)


def asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The packages that a runtime looks for."""
    asked: list[str] = []
    monkeypatch.setattr(user_code, "find_spec", lambda package: asked.append(package) or True)
    RUNTIMES[name].missing()
    return asked


@pytest.mark.parametrize("name", RUNTIMES)
def test_an_absent_runtime_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch):
    asked = asked_for(name, monkeypatch)
    monkeypatch.setattr(user_code, "find_spec", lambda package: None)
    extra = RUNTIMES[name].extra
    verb = "is" if len(asked) == 1 else "are"
    expected = f"{', '.join(asked)} {verb} not installed (pip install 'shufflecost[{extra}]')"
    assert RUNTIMES[name].missing() == expected
    monkeypatch.setattr(user_code, "find_spec", lambda package: package != asked[-1] or None)
    assert RUNTIMES[name].missing().startswith(f"{asked[-1]} is not installed")


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_extra_installs_all_that_a_runtime_imports(name: str, monkeypatch: pytest.MonkeyPatch):
    asked = set(asked_for(name, monkeypatch))
    assert asked <= packages_of(RUNTIMES[name].extra)
    source = (ROOT / "shufflenet" / "runtimes" / f"{room(name)}.py").read_text()
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    imported -= {*sys.stdlib_module_names, "shufflenet", "numpy"}
    assert imported <= asked


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch):
    compiled = import_module("shufflenet.runtimes.compiled")
    monkeypatch.setattr(user_code, "find_spec", lambda package: True)
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    assert RUNTIMES["compile"].missing() == (
        "there is no C++ compiler (install g++, or name one in CXX)"
    )
    monkeypatch.setenv("CXX", "mycc")
    monkeypatch.setattr(compiled.shutil, "which", lambda name: name if name == "mycc" else None)
    assert RUNTIMES["compile"].missing() == ""


def test_each_format_is_of_the_runtime_that_takes_it():
    assert {form: runtime.name for form, runtime in FORMATS.items()} == {
        "onnx": "onnxruntime",
        "openvino": "openvino",
        "ncnn": "ncnn",
        "pte": "executorch",
        "tflite": "litert",
    }


def test_the_list_of_runtimes_loads_none_of_them():
    code = """
import sys
import shufflenet.runtimes as r
[runtime.missing() for runtime in r.RUNTIMES.values()]
names = ["torch", "numpy", "onnxruntime", "openvino", "ncnn", "pnnx", "executorch", "litert_torch"]
print([name for name in names if name in sys.modules])
"""
    assert python("-c", code).out == "[]\n"


# --- What fails


class Choosing(nn.Module):
    """A module whose course depends on values, which no graph can follow."""

    def forward(self, x: Any) -> Any:
        return x.flatten(1) if x.sum() > 0 else x.flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("name", [name for name in OF_FILES if name not in ("ncnn", "litert")])
def test_a_module_that_no_graph_can_follow_is_told_in_a_line(name: str, tmp_path: Path):
    with pytest.raises(RuntimeFailedError) as caught:
        RUNTIMES[name].load(Choosing().eval(), (1, 3, 4, 4), 1, str(tmp_path))
    assert str(caught.value).startswith("torch.export: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in OF_FILES if name not in SLOW])
def test_files_that_are_none_are_told_in_a_line(name: str, tmp_path: Path):
    files = RUNTIMES[name].files
    assert files is not None
    for suffix in files.suffixes:
        (tmp_path / f"network{suffix}").write_bytes(b"no network")
    with pytest.raises(RuntimeFailedError) as caught:
        files.read(str(tmp_path / "network"), (1, 3, 8, 8), 1)
    assert "\n" not in str(caught.value)


# --- Padded average pools

POOLS: dict[str, Callable[[], nn.Module]] = {
    "unpadded": lambda: nn.AvgPool2d(2),
    "padded": lambda: nn.AvgPool2d(3, 2, 1),
    "one step at a time": lambda: nn.AvgPool2d(3, 1, 1),
    "padded on one axis": lambda: nn.AvgPool2d((3, 2), (2, 1), (1, 0)),
    "padding not counted": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "rounded up": lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "rounded up far": lambda: nn.AvgPool2d(2, 3, 1, ceil_mode=True),
    "divided by another number": lambda: nn.AvgPool2d(3, 2, 1, divisor_override=7),
}


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (7, 10)])
@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_that_pads_first_computes_the_same(pool: str, size: tuple[int, int]):
    module = nn.Sequential(nn.Conv2d(2, 3, 1), POOLS[pool]()).eval()
    x = torch.from_numpy(image(1, 2, *size))
    program = unpadded(exported(module, tuple(x.shape)))
    with torch.no_grad(), quiet():
        expected = module(x)
        found = torch.export.export(program.module(), (x,)).module()(x)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)


def pads(program: Any) -> list[Any]:
    """The padding of every average pool that counts it."""
    nodes = program.graph.find_nodes(op="call_function", target=torch.ops.aten.avg_pool2d.default)
    return [
        node.args[3] for node in nodes if len(node.args) > 3 and (*node.args, True)[5:6] != (0,)
    ]


def test_no_counted_padding_is_left_in_a_shufflenet():
    net = half_network()
    program = exported(drawn(net, 0), tuple(net.input))
    assert pads(program) == [[1, 1]] * 3
    assert pads(unpadded(program)) == [[0, 0]] * 3
