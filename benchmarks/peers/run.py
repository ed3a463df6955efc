"""Let one tool count, in a process of its own: a line of JSON in, a line of JSON out.

    PYTHONPATH=FOLDER/thop python benchmarks/peers/run.py thop
    {"model": "resnet50", "shape": [1, 3, 224, 224], "device": "cpu", "repeat": 5, "seconds": 0.1}
    {"model": "resnet50", "total": 4133742592, "seconds": [...]}

It counts so often at the least, and for so long. ``model`` is a name of ``torchvision.models``,
``sample:NAME`` for one of `samples`, or ``spec:NAME`` for a network of this project's, in three
groups. Models are made without weights, in eval mode, outside of the time that is taken. Each tool
is called as its own documents show. ``python run.py TOOL MODEL ...`` prints one object with the
total of each model.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import logging
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from samples import SAMPLES
from torch import nn

Counter = Callable[[nn.Module, torch.Tensor], Any]


def _torch() -> Counter:
    from torch.utils.flop_counter import FlopCounterMode

    def count(model: nn.Module, x: torch.Tensor) -> Any:
        with FlopCounterMode(display=False) as counter:
            model(x)
        return counter.get_total_flops()

    return count


def _fvcore() -> Counter:
    from fvcore.nn import FlopCountAnalysis

    def count(model: nn.Module, x: torch.Tensor) -> Any:
        analysis = FlopCountAnalysis(model, x)
        return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()

    return count


def _ptflops(backend: str) -> Counter:
    from ptflops import get_model_complexity_info

    def count(model: nn.Module, x: torch.Tensor) -> Any:
        return get_model_complexity_info(
            model,
            tuple(x.shape[1:]),
            as_strings=False,
            print_per_layer_stat=False,
            input_constructor=lambda _: x,
            backend=backend,
        )[0]

    return count


def _thop() -> Counter:
    try:
        import distutils.version  # noqa: F401
    except ImportError:
        # Python 3.12 has none, and thop compares two versions with it.
        import setuptools  # noqa: F401
    from thop import profile

    return lambda model, x: profile(model, inputs=(x,), verbose=False)[0]


def _torchinfo() -> Counter:
    from torchinfo import summary

    def count(model: nn.Module, x: torch.Tensor) -> Any:
        return summary(model, input_data=x, verbose=0, device=x.device).total_mult_adds

    return count


def _torchprofile() -> Counter:
    from torchprofile import profile_macs

    return profile_macs


def _calflops(which: int) -> Counter:
    # The package imports transformers at its start, which counting a plain module needs none of.
    spec = importlib.util.find_spec("calflops")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'calflops'")
    package = types.ModuleType("calflops")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["calflops"] = package
    from calflops.flops_counter import calculate_flops

    def count(model: nn.Module, x: torch.Tensor) -> Any:
        return calculate_flops(model, args=[x], print_results=False, output_as_string=False)[which]

    return count


def _deepspeed(which: int) -> Counter:
    from deepspeed.profiling.flops_profiler import get_model_profile

    def count(model: nn.Module, x: torch.Tensor) -> Any:
        return get_model_profile(model, args=[x], print_profile=False, as_string=False)[which]

    return count


def _torch_pruning() -> Counter:
    from torch_pruning.utils import count_ops_and_params

    return lambda model, x: count_ops_and_params(model, x)[0]


def _ours() -> Counter:
    from flopcount import count

    return lambda model, x: count(model, x).macs


def _forward() -> Counter:
    def run(model: nn.Module, x: torch.Tensor) -> Any:
        with torch.no_grad():
            model(x)
        return 0

    return run


#: Each convention's name, the folder its tool is installed in, and the tool.
TOOLS: dict[str, tuple[str, Callable[[], Counter]]] = {
    "torch": ("", _torch),
    "fvcore": ("fvcore", _fvcore),
    "ptflops": ("ptflops", lambda: _ptflops("pytorch")),
    "ptflops-aten": ("ptflops", lambda: _ptflops("aten")),
    "thop": ("thop", _thop),
    "thop-ultralytics": ("thop-ultralytics", _thop),
    "torchinfo": ("torchinfo", _torchinfo),
    "torchprofile": ("torchprofile", _torchprofile),
    "deepspeed-flops": ("deepspeed", lambda: _deepspeed(0)),
    "deepspeed-macs": ("deepspeed", lambda: _deepspeed(1)),
    "calflops-flops": ("calflops", lambda: _calflops(0)),
    "calflops-macs": ("calflops", lambda: _calflops(1)),
    "torch-pruning": ("torch-pruning", _torch_pruning),
    # no peers: what they are timed beside
    "shufflecost": ("", _ours),
    "forward": ("", _forward),
}


@functools.lru_cache(1)
def build(name: str, device: str) -> nn.Module:
    """The model of that name without weights, in eval mode, on a device."""
    if name.startswith("spec:"):
        import shufflenet

        spec = shufflenet.load(name.removeprefix("spec:"))
        return shufflenet.build(shufflenet.network(spec, groups=3), device=device).eval()
    with warnings.catch_warnings(), torch.device(device):
        warnings.simplefilter("ignore")
        if name.startswith("sample:"):
            return SAMPLES[name.removeprefix("sample:")]().eval()
        model: nn.Module = torchvision.models.get_model(name, weights=None)
        return model.eval()


def answer(count: Counter, request: dict[str, Any]) -> dict[str, Any]:
    """What the tool counts for a request, and how long each of its runs took [s]."""
    device = request.get("device", "cpu")
    model = build(request["model"], device)
    x = torch.zeros(request.get("shape", [1, 3, 224, 224]), device=device)
    seconds: list[float] = []
    while len(seconds) < request.get("repeat", 1) or sum(seconds) < request.get("seconds", 0):
        start = time.perf_counter()
        total = count(model, x)
        seconds.append(time.perf_counter() - start)
    if total is None:
        raise ValueError("the tool gave no total")
    # Some count in floats; a whole one is an int.
    exact = int(total) if float(total).is_integer() else float(total)
    return {"model": request["model"], "total": exact, "seconds": seconds}


def guarded(count: Counter, request: dict[str, Any]) -> dict[str, Any]:
    """The answer, or the error that the tool ended in."""
    try:
        # Tools speak; standard output is for the answers.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return answer(count, request)
    except Exception as error:  # noqa: BLE001 - whatever a tool ends in is its answer
        said = (str(error).splitlines() or [""])[0]
        return {"model": request["model"], "error": f"{type(error).__name__}: {said}"}


def main() -> None:
    """Answer requests until standard input ends, or the models on the command line."""
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()):
        count = TOOLS[sys.argv[1]][1]()
    if sys.argv[2:]:
        answers = [guarded(count, {"model": model}) for model in sys.argv[2:]]
        print(json.dumps({a["model"]: a.get("total", a.get("error")) for a in answers}))
        return
    for line in sys.stdin:
        print(json.dumps(guarded(count, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
