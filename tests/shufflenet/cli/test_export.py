"""``shufflecost export``: files that compute what eager does, in place together or not at all."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from shufflenet.arch.network import network
from shufflenet.arch.spec_reader import load
from shufflenet.system import atomic_files
from shufflenet.system.atomic_files import OutputError, check_files, folder_beside, place
from tests.command import ROOT, Outcome, fails, run, run_together

torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

import numpy as np  # noqa: E402
from torch import nn  # noqa: E402

from shufflenet.nn.builder import build  # noqa: E402
from shufflenet.nn.init import drawn  # noqa: E402

SMALL = ("export", "shufflenet", "--groups", "3", "--scale", "0.25", "--size", "32x48")
TO = ("--to", "onnx", "-o")
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        print("while it is built")
        torch.manual_seed(5)
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3), nn.Dropout(0.5), nn.Flatten())

    def forward(self, x):
        return self.layers(x)

class Gray(Net):
    def __init__(self):
        super().__init__()
        self.layers[0] = nn.Conv2d(1, 2, 3)

class Pair(Net):
    def forward(self, x):
        return x, x

class Broken(Net):
    def forward(self, x):
        raise ZeroDivisionError("of one's own")

class Unfollowed(Net):
    def forward(self, x):
        if torch.compiler.is_compiling():
            raise ValueError("not while it is followed")
        return super().forward(x)

class Choosing(Net):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else super().forward(-x)

class Endless(Net):
    def forward(self, x):
        return super().forward(x) / 0
"""


def outputs(path: Path, image: Any) -> Any:
    """What ONNX Runtime computes of a file."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})[0]


def image(*shape: int) -> Any:
    return np.random.default_rng(7).standard_normal(shape, dtype=np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("export")
    (made / "net.py").write_text(CODE)
    net = network(load("shufflenet"), 3, scale="0.25")
    torch.save(drawn(net, 9).state_dict(), made / "weights.pth")
    torch.save({"a": torch.zeros(1)}, made / "others.pth")
    torch.save([1, 2], made / "list.pth")
    torch.save(build(net), made / "pickled.pth")
    (made / "text.pth").write_text("no weights")
    (made / "model.onnx").write_bytes(b"")
    (made / "taken.onnx").mkdir()
    return made


# --- What is written


@pytest.fixture(scope="module")
def exports(folder: Path) -> dict[str, Outcome]:
    commands = {
        "default": (*SMALL, *TO, "default.onnx"),
        "seed 0": (*SMALL, "--seed", "0", *TO, "seed0.onnx"),
        "seed 1": (*SMALL, "--seed", "1", *TO, "seed1.onnx"),
        "weights": (*SMALL, "--weights", "weights.pth", *TO, "weights.onnx"),
        "own code": ("export", "net.py:Net", "--size", "6x8", "--arg", "width=2", *TO, "own.onnx"),
    }
    return dict(zip(commands, run_together(*commands.values(), cwd=folder), strict=True))


def test_an_export_says_what_it_wrote_and_how_far_it_is_from_eager(exports: dict[str, Outcome]):
    for name, outcome in exports.items():
        assert outcome.code == 0, (name, outcome.err)
        assert outcome.out == ""
        assert "onnx: differs from eager by " in outcome.err.splitlines()[-1]
    assert exports["default"].err.count("\n") == 1


def test_the_file_computes_what_the_built_network_does(exports: dict[str, Outcome], folder: Path):
    net = network(load("shufflenet"), 3, scale="0.25", size=(32, 48))
    x = image(1, 3, 32, 48)
    given = build(net).eval()
    given.load_state_dict(torch.load(folder / "weights.pth"))
    for name, made in (("default", drawn(net, 0)), ("seed1", drawn(net, 1)), ("weights", given)):
        with torch.no_grad():
            expected = made(torch.from_numpy(x)).numpy()
        found = outputs(folder / f"{name}.onnx", x)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_one_seed_gives_one_network_and_another_another(exports: dict[str, Outcome], folder: Path):
    x = image(1, 3, 32, 48)
    default, same, other = (outputs(folder / f"{n}.onnx", x) for n in ("default", "seed0", "seed1"))
    assert (default == same).all()
    assert (default != other).any()


def test_own_code_is_exported_as_it_infers_and_what_it_prints_is_no_result(
    exports: dict[str, Outcome], folder: Path
):
    assert exports["own code"].err.startswith("while it is built\n")
    x = image(1, 3, 6, 8)
    torch.manual_seed(5)
    layers = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten())
    with torch.no_grad():
        expected = layers(torch.from_numpy(x)).numpy()
    assert np.allclose(outputs(folder / "own.onnx", x), expected, atol=1e-6)


# --- What is refused

OWN = ("--size", "6x8", *TO, "x.onnx")
REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "another ending": ((*SMALL, *TO, "x.tflite"), ("-o x.tflite", "--to onnx writes *.onnx")),
    "an ending alone": ((*SMALL, *TO, ".onnx"), ("*.onnx",)),
    "no such format": ((*SMALL, "--to", "caffe", "-o", "x.caffe"), ("'caffe'",)),
    "no folder": ((*SMALL, *TO, "missing/x.onnx"), ("missing/x.onnx", "No such file or directory")),
    "a folder": ((*SMALL, *TO, "taken.onnx"), ("taken.onnx", "is a directory")),
    "no such spec": (("export", "nope", *TO, "x.onnx"), ("'nope'",)),
    "an ONNX file": (("export", "model.onnx", *TO, "x.onnx"), ("model.onnx", "no module")),
    "groups that are none": (("export", "shufflenet", "--groups", "5", *TO, "x.onnx"), ("5",)),
    "groups twice": ((*SMALL, "--arg", "groups=2", *TO, "x.onnx"), ("--groups is given too",)),
    "widths and scale": (
        (*SMALL, "--widths", "12,24,48", *TO, "x.onnx"),
        ("--widths and --scale",),
    ),
    "weights and seed": (
        (*SMALL, "--weights", "weights.pth", "--seed", "1", *TO, "x.onnx"),
        ("--weights and --seed",),
    ),
    "no file of weights": ((*SMALL, "--weights", "no.pth", *TO, "x.onnx"), ("no.pth: cannot be",)),
    "text for weights": ((*SMALL, "--weights", "text.pth", *TO, "x.onnx"), ("text.pth: no file",)),
    "a pickled module": ((*SMALL, "--weights", "pickled.pth", *TO, "x.onnx"), ("pickled.pth",)),
    "a list of weights": ((*SMALL, "--weights", "list.pth", *TO, "x.onnx"), ("type list",)),
    "other weights": ((*SMALL, "--weights", "others.pth", *TO, "x.onnx"), ("does not fit",)),
    "no size": (("export", "net.py:Net", *TO, "x.onnx"), ("give its --size",)),
    "a size too small": (("export", "shufflenet", "--size", "0", *TO, "x.onnx"), ("0",)),
    "groups of a module": (
        ("export", "net.py:Net", "--groups", "2", *OWN),
        ("--groups is of a spec",),
    ),
    "a seed of a module": (("export", "net.py:Net", "--seed", "0", *OWN), ("--seed is of a spec",)),
}


@cache
def refusals(folder: Path) -> dict[str, Outcome]:
    outcomes = run_together(*(args for args, _ in REFUSED.values()), cwd=folder)
    return dict(zip(REFUSED, outcomes, strict=True))


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_told_in_a_line_and_nothing_is_written(case: str, folder: Path):
    outcome = refusals(folder)[case]
    # What own code prints while it is built comes before.
    said = outcome._replace(err=outcome.err.replace("while it is built\n", ""))
    fails(said, 2, *REFUSED[case][1])
    assert not list(folder.glob("**/x.*"))


def test_a_module_that_is_not_exported_says_why(folder: Path):
    asked = {
        "Broken": (2, "ZeroDivisionError: of one's own"),
        "Pair": (2, "net.py:Pair: the output is of type tuple, not one tensor"),
        "Unfollowed": (2, "net.py:Unfollowed: ValueError: not while it is followed"),
        "Choosing": (1, "not exported to onnx: torch.export: "),
        "Endless": (1, "eager's output has values that are not finite"),
        "Gray": (2, "net.py:Gray"),
    }
    commands = [("export", f"net.py:{name}", *OWN) for name in asked]
    for outcome, (code, reason) in zip(
        run_together(*commands, cwd=folder), asked.values(), strict=True
    ):
        assert outcome.code == code, outcome.err
        assert reason in outcome.err.splitlines()[-1]
    assert not list(folder.glob("**/x.*"))


def test_a_wrong_output_is_not_put_in_place(folder: Path):
    before = """
from shufflenet.runtimes import FORMATS
right = FORMATS["onnx"].files
def read(*args):
    call = right.read(*args)
    return lambda image: call(image) * 1.001
FORMATS["onnx"] = FORMATS["onnx"]._replace(files=right._replace(read=read))
"""
    (folder / "old.onnx").write_bytes(b"as it was")
    (outcome,) = run_together((*SMALL, *TO, "old.onnx"), before=before, cwd=folder)
    fails(outcome, 1, "not exported to onnx", "differs from eager's by 1.0e-03", "is allowed")
    assert (folder / "old.onnx").read_bytes() == b"as it was"
    assert not list(folder.glob(".shufflecost-*"))


def test_a_converter_that_fails_is_told_in_a_line(folder: Path):
    before = """
from shufflenet.runtimes import FORMATS
def write(*args):
    raise KeyError("no such operator")
FORMATS["onnx"] = FORMATS["onnx"]._replace(files=FORMATS["onnx"].files._replace(write=write))
"""
    (outcome,) = run_together((*SMALL, *TO, "x.onnx"), before=before, cwd=folder)
    fails(outcome, 1, "not exported to onnx: onnxruntime: KeyError: 'no such operator'")


def test_an_absent_runtime_says_what_to_install(folder: Path):
    before = """
from shufflenet.system import user_code
user_code.find_spec = lambda name: name == "torch" or None
"""
    formats = {
        "onnx": "x.onnx",
        "openvino": "x.xml",
        "ncnn": "x.param",
        "pte": "x.pte",
        "tflite": "x.tflite",
    }
    commands = [(*SMALL, "--to", form, "-o", path) for form, path in formats.items()]
    for form, outcome in zip(
        formats, run_together(*commands, before=before, cwd=folder), strict=True
    ):
        fails(outcome, 2, f"--to {form}: ", "not installed (pip install 'shufflecost[")


def test_without_torch_it_says_that_torch_is_needed(tmp_path: Path):
    outcome = run(
        *SMALL, *TO, "x.onnx", torch=False, cwd=tmp_path, env={"PYTHONPATH": pythonpath()}
    )
    fails(outcome, 2, "torch is not installed (pip install 'shufflecost[torch]')")


def pythonpath() -> str:
    from tests.command import environment

    return environment(torch=False)["PYTHONPATH"] + os.pathsep + str(ROOT)


# --- Several files


def finished(folder: str) -> dict[str, str]:
    made = {}
    for name in ("net.xml", "net.bin"):
        made[name] = os.path.join(folder, f"new-{name}")
        Path(made[name]).write_text(f"new {name}")
    return made


@pytest.mark.parametrize("old", [(), ("net.xml",), ("net.bin",), ("net.xml", "net.bin")])
@pytest.mark.parametrize("fails_at", [None, "net.xml", "net.bin"])
def test_files_land_together_or_not_at_all(
    old: tuple[str, ...], fails_at: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in old:
        (tmp_path / name).write_text(f"old {name}")
    real = os.replace

    def replace(source: str, target: str) -> None:
        if fails_at and target == str(tmp_path / fails_at) and "new-" in source:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(atomic_files.os, "replace", replace)
    with folder_beside("net.xml") as folder:
        made = finished(folder)
        if fails_at is None:
            place(made, folder)
        else:
            with pytest.raises(OutputError, match=f"{fails_at}: cannot be written: No space left"):
                place(made, folder)
    kind, names = ("new", ("net.xml", "net.bin")) if fails_at is None else ("old", old)
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    for name in names:
        assert (tmp_path / name).read_text() == f"{kind} {name}"


def test_a_file_keeps_its_rights_and_a_link_its_target(tmp_path: Path):
    (tmp_path / "real.xml").write_text("old")
    (tmp_path / "real.xml").chmod(0o640)
    (tmp_path / "net.xml").symlink_to("real.xml")
    path = str(tmp_path / "net.xml")
    with folder_beside(path) as folder:
        place({path: finished(folder)["net.xml"]}, folder)
    assert (tmp_path / "net.xml").is_symlink()
    assert (tmp_path / "real.xml").read_text() == "new net.xml"
    assert (tmp_path / "real.xml").stat().st_mode & 0o777 == 0o640


def test_what_is_no_place_for_a_file_is_told_before_anything_is_made(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path / "missing" / "net.bin", "No such file or directory"),
        (tmp_path, "is a directory"),
        (tmp_path / "pipe", "is no regular file"),
    ):
        with pytest.raises(OutputError, match=reason):
            check_files([str(tmp_path / "net.xml"), str(path)])
    check_files([str(tmp_path / "net.xml")])


@pytest.mark.parametrize(
    ("form", "needed", "names"),
    [("openvino", "openvino", ("n.xml", "n.bin")), ("ncnn", "pnnx", ("n.param", "n.bin"))],
)
def test_two_files_are_named_after_the_first(
    form: str, needed: str, names: tuple[str, str], tmp_path: Path
):
    pytest.importorskip(needed)
    (outcome,) = run_together((*SMALL, "--to", form, "-o", names[0]), cwd=tmp_path)
    assert outcome.code == 0, outcome.err
    assert outcome.err.startswith(f"{names[0]} and {names[1]}: differs from eager by ")
    assert sorted(os.listdir(tmp_path)) == sorted(names)
