"""What can be counted, and how it is named: specs, models of libraries, own code, files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from shufflenet.arch.quantities import Input
from shufflenet.arch.spec import SpecError
from shufflenet.system.user_code import OwnCodeError
from shufflenet.targets.resolve import (
    ModuleTarget,
    OnnxTarget,
    SpecTarget,
    TargetError,
    read_arguments,
    resolve,
    seeded,
)
from tests.command import EXAMPLES

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width, kernel=3):
        super().__init__()
        self.conv = nn.Conv2d(3, width, kernel)

    def forward(self, x):
        return self.conv(x)

    @staticmethod
    def small():
        return Net(2)

def number():
    return 3

def broken():
    raise RuntimeError("of one's own")

ready = Net(4)
figure = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with code in it, which is the working folder."""
    (tmp_path / "own_net.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def made(name: str, real: bool = False, **arguments: Any) -> Any:
    target = resolve(name, arguments, real=real)
    assert isinstance(target, ModuleTarget)
    return target


@pytest.mark.parametrize(
    ("texts", "read"),
    [
        (("width=64",), {"width": 64}),
        (("a=0.5", "b=None", "c=[1, 2]", "d={'x': (1, 2)}"),
         {"a": 0.5, "b": None, "c": [1, 2], "d": {"x": (1, 2)}}),
        (("name=gelu",), {"name": "gelu"}),
        (("name='64'",), {"name": "64"}),
        (("name=",), {"name": ""}),
        (("rule=a=b",), {"rule": "a=b"}),
        (("name=__import__('os')",), {"name": "__import__('os')"}),
    ],
)  # fmt: skip
def test_an_argument_is_a_literal_or_else_a_text(texts: tuple[str, ...], read: dict[str, Any]):
    assert read_arguments(texts) == read


@pytest.mark.parametrize("texts", [("width",), ("=3",), ("a b=3",), ("a=1", "a=2")])
def test_what_is_no_argument_is_quoted(texts: tuple[str, ...]):
    with pytest.raises(TargetError, match=repr(texts[-1])):
        read_arguments(texts)


def test_a_name_or_a_toml_file_is_a_spec():
    for name in ("shufflenet", str(EXAMPLES / "tiny.toml")):
        assert isinstance(resolve(name), SpecTarget)
    target = resolve("shufflenet", {"groups": 8, "scale": 0.5})
    assert isinstance(target, SpecTarget)
    assert (target.network.groups, str(target.network.scale)) == (8, "0.5")


REFUSED = {
    "nope": ("'nope'", "shufflenet", "torchvision:NAME", ".onnx"),
    "resnet18": ("'resnet18'", "torchvision:NAME"),
    "net.py": ("net.py:callable",),
    "weights.pt": ("runs code", "file.py:callable"),
    "weights.pth": ("runs code",),
    "folder/weights.ckpt": ("folder/weights.ckpt", "runs code"),
    "weights.bin": ("runs code",),
    "weights.PKL": ("runs code",),
    "weights.safetensors": ("weights but no architecture",),
    "absent.py:net": ("no file absent.py",),
    "absent_package.module:net": ("'absent_package'",),
    "own net:net": ("'own net'", "file.py"),
}


@pytest.mark.parametrize(("name", "quoted"), REFUSED.items())
def test_what_is_no_target_is_refused_with_the_reason(
    folder: Path, name: str, quoted: tuple[str, ...]
):
    with pytest.raises(TargetError) as caught:
        resolve(name)
    assert all(text in str(caught.value) for text in quoted), caught.value


@pytest.mark.parametrize("arguments", [{"groups": "x"}, {"wide": 3}, {"stem": True}])
def test_a_spec_takes_no_other_arguments(arguments: dict[str, Any]):
    with pytest.raises(TargetError, match=next(iter(arguments))):
        resolve("shufflenet", arguments)


def test_a_spec_that_breaks_a_rule_says_which():
    with pytest.raises(SpecError, match="g = 5"):
        resolve("shufflenet", {"groups": 5})


def test_an_onnx_file_is_named_and_not_yet_read():
    pytest.importorskip("onnx")
    assert resolve("absent.onnx") == OnnxTarget("absent.onnx", "absent.onnx")
    with pytest.raises(TargetError, match="takes no arguments"):
        resolve("absent.onnx", {"a": 1})


@pytest.mark.parametrize("missing", ["torch", "torchvision", "timm", "onnx"])
def test_what_is_not_installed_is_said_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, missing: str
):
    from importlib import util

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == missing else find(name))
    name = {"onnx": "net.onnx", "torch": "net.py:net"}.get(missing, f"{missing}:resnet18")
    with pytest.raises(TargetError, match=f"{missing} is not installed: pip install .*{missing}"):
        resolve(name)


torch = pytest.importorskip("torch")


@pytest.mark.parametrize("where", ["own_net.py", "./own_net.py", "own_net"])
def test_a_callable_is_called_with_the_arguments(folder: Path, where: str):
    target = made(f"{where}:Net", width=5)
    assert target.module.conv.weight.shape == (5, 3, 3, 3)
    assert (target.own, target.inputs) == (True, ())


def test_a_callable_may_be_part_of_another_and_a_module_may_be_there_already(folder: Path):
    assert made("own_net.py:Net.small").module.conv.out_channels == 2
    assert made("own_net.py:ready").module.conv.out_channels == 4


UNFIT: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "no such name": ("own_net.py:Nett", {}, ("'Nett'", "Net")),
    "an argument too few": ("own_net.py:Net", {}, ("'width'", "(width, kernel=3)")),
    "an unknown argument": ("own_net.py:Net", {"width": 2, "wide": 3}, ("'wide'",)),
    "a number": ("own_net.py:number", {}, ("int", "torch.nn.Module")),
    "no callable": ("own_net.py:figure", {}, ("int", "neither a callable nor a module")),
    "arguments to a module": ("own_net.py:ready", {"width": 3}, ("width", "a module already")),
}


@pytest.mark.parametrize(("name", "arguments", "quoted"), UNFIT.values(), ids=UNFIT)
def test_a_callable_that_does_not_fit_is_refused(
    folder: Path, name: str, arguments: dict[str, Any], quoted: tuple[str, ...]
):
    with pytest.raises(TargetError) as caught:
        resolve(name, arguments)
    assert all(text in str(caught.value) for text in quoted), caught.value


OWN_ERRORS = {
    "RuntimeError": "def net():\n    raise RuntimeError('why')",
    "ModuleNotFoundError": "import absent_package",
    "BrokenPipeError": "raise BrokenPipeError(32, 'why')",
    "SystemExit": "import sys\ndef net():\n    sys.exit(0)",
    "StopIteration": "next(iter(()))",
    "SyntaxError": "def net(:",
}


@pytest.mark.parametrize("name", OWN_ERRORS)
@pytest.mark.parametrize("where", ["needs.py", "needs"])
def test_an_error_of_own_code_is_named_and_told_from_its_first_frame_on(
    folder: Path, name: str, where: str
):
    (folder / "needs.py").write_text(OWN_ERRORS[name])
    with pytest.raises(OwnCodeError, match=f"^{where}:net: {name}") as caught:
        resolve(f"{where}:net")
    assert type(caught.value.__cause__).__name__ == name
    frames = [line for line in caught.value.told.splitlines() if line.startswith('  File "')]
    assert "needs.py" in frames[0]
    assert not any("targets.py" in line for line in frames)


def test_own_code_draws_alike_every_time_and_leaves_the_next_draw_alone(folder: Path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second = (made("own_net.py:Net", width=2).module.conv.weight for _ in "ab")
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("key", ["weights", "weights_backbone", "pretrained"])
def test_weights_are_never_fetched(key: str):
    pytest.importorskip("torchvision")
    with pytest.raises(TargetError, match=f"{key}=DEFAULT: no weights are fetched"):
        resolve("torchvision:resnet18", {key: "DEFAULT"})


def test_a_file_never_stands_in_for_a_module_that_is_loaded(folder: Path):
    (folder / "json.py").write_text(CODE)
    before = sys.modules["json"]
    assert made("json.py:Net.small").module.conv.out_channels == 2
    assert sys.modules["json"] is before


def test_a_model_of_torchvision_is_made_without_weights_and_without_values():
    pytest.importorskip("torchvision")
    target = made("torchvision:resnet18", num_classes=7)
    assert {p.device.type for p in target.module.parameters()} == {"meta"}
    assert target.module.fc.out_features == 7
    assert (target.inputs, target.own) == ((Input((1, 3, 224, 224)),), False)
    assert made("torchvision:inception_v3").inputs == (Input((1, 3, 299, 299)),)
    assert made("torchvision:deeplabv3_mobilenet_v3_large").inputs == ()
    real = made("torchvision:squeezenet1_1", real=True)
    assert {p.device.type for p in real.module.parameters()} == {"cpu"}


@pytest.mark.parametrize(
    ("name", "arguments", "quoted"),
    [("resnet5", {}, "resnet50"), ("zzz", {}, "'zzz'"), ("resnet18", {"wide": 3}, "'wide'")],
)
def test_a_model_that_torchvision_has_not_is_refused(
    name: str, arguments: dict[str, Any], quoted: str
):
    pytest.importorskip("torchvision")
    with pytest.raises(TargetError, match=quoted):
        resolve(f"torchvision:{name}", arguments)


TIMM = """
from torch import nn, linspace

def is_model(name):
    return name in list_models()

def list_models():
    return ["steps_10", "plain"]

def create_model(name, pretrained, width=4):
    assert not pretrained
    if name == "steps_10":
        [x.item() for x in linspace(0, 1, 3)]
    module = nn.Linear(3, width)
    module.pretrained_cfg = {"input_size": (3, 240, 240)}
    return module
"""


def test_a_model_of_timm_is_made_so_too_and_where_it_reads_values_with_them(folder: Path):
    (folder / "timm.py").write_text(TIMM)
    sys.path.insert(0, str(folder))
    plain, steps = made("timm:plain", width=7), made("timm:steps_10")
    assert (plain.module.weight.device.type, plain.module.out_features) == ("meta", 7)
    assert steps.module.weight.device.type == "cpu"
    assert plain.inputs == (Input((1, 3, 240, 240)),)
    for name, quoted in (("timm:plane", "plain"), ("timm:hf-hub:a/b", "hf-hub:a/b")):
        with pytest.raises(TargetError, match=quoted):
            resolve(name)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "net.pt2"
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten())
    torch.export.save(torch.export.export(net, (torch.zeros(2, 3, 8, 8),)), path)
    return path


def test_a_program_knows_its_inputs_and_its_modules(program: Path):
    target = made(str(program))
    assert target.inputs == (Input((2, 3, 8, 8), "float32"),)
    assert [name for name, _ in target.module.named_children()] == ["0", "1"]


class _Pickled:
    """What writes a file as soon as it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def test_what_is_pickled_in_a_program_is_not_run(program: Path, tmp_path: Path):
    import io
    import zipfile

    planted = io.BytesIO()
    torch.save(_Pickled(str(tmp_path / "ran")), planted)
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(tmp_path / "bad.pt2", "w") as new:
        for info in old.infolist():
            pickled = "sample_inputs" in info.filename
            new.writestr(info, planted.getvalue() if pickled else old.read(info.filename))
        assert any("sample_inputs" in name for name in old.namelist())
    with pytest.raises(TargetError, match=r"bad\.pt2: cannot be loaded"):
        resolve(str(tmp_path / "bad.pt2"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_a_program_that_is_none_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "net.pt2").write_bytes(content)
    for name in ("net.pt2", "absent.pt2"):
        with pytest.raises(TargetError, match=name):
            resolve(str(tmp_path / name))


def test_what_is_drawn_from_a_seed_is_the_same_and_changes_nothing_that_is_drawn_later():
    torch.manual_seed(5)
    later = torch.rand(3)
    drawn = []
    for state in (5, 6):
        torch.manual_seed(state)
        with seeded(2):
            drawn.append(torch.rand(3))
        after = torch.rand(3)
        assert torch.equal(after, later) == (state == 5)
    assert torch.equal(*drawn)
