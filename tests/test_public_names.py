"""Every public name is what it is said to be, also after every room of the house was imported.

A room that had the name of a public function would hide it as soon as it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import flopcount
import shufflenet
from tests.command import ROOT
from tests.rooms import ROOMS

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("torchvision")

# `__main__` would run the command.
MODULES = [room for room in ROOMS if not room.endswith("__main__")]
SPEC = shufflenet.load("shufflenet")
SMALL = shufflenet.network(SPEC, 3, scale="0.25", size=(64, 64))
SPACE = shufflenet.Space(SPEC, groups=(3,), stems=(12, 24), repeats=((3, 4), (6, 8), (4,)))
CHANNELS = shufflenet.Goal("channels", "most")
FEW = shufflenet.Bound("macs", most=40_000_000)
FC = flopcount.Entry("fc", "linear", (flopcount.Shape(1, 2),), (flopcount.Shape(1, 3),), 6, 6)


def squared(call: flopcount.Call) -> int:
    return int(call.args[0].shape[0]) ** 2


def by_rule() -> int:
    def inverse(x: Any) -> Any:
        return torch.linalg.inv(x)

    rules = {"linalg_inv": flopcount.Rule("matmul", squared)}
    return int(flopcount.count(inverse, torch.empty(4, 4), rules=rules).macs)


def whole(tally: Any) -> int:
    return int(tally.macs)


#: Of each public name: what comes of a call, and what it must be.
CALLS: dict[str, tuple[Callable[[Path], Any], Any]] = {
    "flopcount.CONVENTIONS": (lambda _: flopcount.CONVENTIONS["macs"].unit, "macs"),
    "flopcount.Call": (lambda _: flopcount.Call((1,), {}, 2).out, 2),
    "flopcount.Convention": (
        lambda _: flopcount.Convention("mine", "", "", "macs", {"linear": {"macs": 1}}).name,
        "mine",
    ),
    "flopcount.Entry": (lambda _: FC.params, 6),
    "flopcount.Rule": (lambda _: by_rule(), 16),
    "flopcount.Shape": (lambda _: flopcount.Shape(1, 2, 3).elements, 6),
    "flopcount.Tally": (lambda _: flopcount.Tally((FC, FC)).macs, 12),
    "flopcount.count": (
        lambda _: whole(flopcount.count(torch.nn.Linear(2, 3), torch.empty(1, 2))),
        6,
    ),
    "flopcount.load_convention": (
        lambda _: flopcount.load_convention(ROOT / "examples" / "my-convention.toml").name,
        "folded-flops",
    ),
    "flopcount.price": (lambda _: flopcount.price(flopcount.Tally((FC,)), "torch"), 12),
    "flopcount.price_by_kind": (
        lambda _: flopcount.price_by_kind(flopcount.Tally((FC,)), "torch"),
        {"linear": 12},
    ),
    "flopcount.reconcile": (
        lambda _: flopcount.reconcile(flopcount.Tally((FC,)), "macs", "torch").difference,
        6,
    ),
    "shufflenet.Bound": (lambda _: shufflenet.Bound("macs", most=40_000_000).most, 40_000_000),
    "shufflenet.Goal": (lambda _: shufflenet.Goal("channels", "most").figure, "channels"),
    "shufflenet.Network": (lambda _: isinstance(SMALL, shufflenet.Network), True),
    "shufflenet.Outcome": (
        lambda _: isinstance(
            shufflenet.optimise(shufflenet.Problem(SPACE, (CHANNELS,))), shufflenet.Outcome
        ),
        True,
    ),
    "shufflenet.Problem": (lambda _: shufflenet.Problem(SPACE, (CHANNELS,)).top, 1),
    "shufflenet.Row": (lambda _: shufflenet.Row("Conv1", "conv", (1, 1), 3).path, "conv1"),
    "shufflenet.Space": (lambda _: shufflenet.Space(SPEC).spec.name, "shufflenet"),
    "shufflenet.Spec": (lambda _: isinstance(SPEC, shufflenet.Spec), True),
    "shufflenet.Sweep": (lambda _: shufflenet.Sweep(SPACE, (FEW,)).bounds, (FEW,)),
    "shufflenet.__version__": (lambda _: shufflenet.__version__.count("."), 2),
    "shufflenet.audit": (lambda _: shufflenet.audit(shufflenet.load_claims()).count("exact"), 44),
    "shufflenet.build": (lambda _: len(list(shufflenet.build(SMALL).children())), 7),
    "shufflenet.confirm": (lambda _: shufflenet.confirm(SMALL).agreed, True),
    "shufflenet.detection_cost": (
        lambda _: shufflenet.detection_cost(shufflenet.detector(SMALL, 64), (64, 64), 10).proposals,
        10,
    ),
    "shufflenet.detector": (
        lambda _: isinstance(shufflenet.detector(SMALL, 64), torch.nn.Module),
        True,
    ),
    "shufflenet.fold": (
        lambda _: any(
            isinstance(module, torch.nn.BatchNorm2d)
            for module in shufflenet.fold(shufflenet.build(SMALL, device="cpu").eval()).modules()
        ),
        False,
    ),
    "shufflenet.load": (lambda _: shufflenet.load("resnet50").name, "resnet50"),
    "shufflenet.load_claims": (lambda _: len(shufflenet.load_claims()), 9),
    "shufflenet.load_problem": (
        lambda _: shufflenet.load_problem(ROOT / "examples" / "phone.toml").top,
        3,
    ),
    "shufflenet.network": (lambda _: shufflenet.network(SPEC, 3).stage_widths, (240, 480, 960)),
    "shufflenet.optimise": (
        lambda _: shufflenet.optimise(shufflenet.Problem(SPACE, (CHANNELS,), (FEW,))).candidates,
        628,
    ),
    "shufflenet.solve": (
        lambda _: shufflenet.solve(SPEC, 140_000_000, groups=3).best.network.stage_widths,
        (240, 480, 960),
    ),
    "shufflenet.write_sweep": (
        lambda folder: shufflenet.write_sweep(
            shufflenet.Sweep(SPACE, (FEW,), figures=("channels",)), str(folder / "sweep.csv")
        ),
        68,
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _every_room_is_imported() -> None:
    for room in MODULES:
        import_module(room)


def test_every_public_name_is_called_or_is_an_error():
    public = {
        f"{package.__name__}.{name}": getattr(package, name)
        for package in (flopcount, shufflenet)
        for name in package.__all__
    }
    errors = {
        name
        for name, value in public.items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert set(public) - errors == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_a_public_name_does_what_it_says_after_every_room_was_imported(name: str, tmp_path: Path):
    call, wanted = CALLS[name]
    assert call(tmp_path) == wanted


@pytest.mark.parametrize("room", [room for room in MODULES if "." in room])
def test_no_room_has_the_name_of_what_its_package_exports(room: str):
    package, _, name = room.rpartition(".")
    assert name not in getattr(import_module(package), "__all__", ())
