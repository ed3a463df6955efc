"""How quickly a built network infers on one image, beside public implementations of the same.

    python benchmarks/builder.py
    python benchmarks/builder.py --rounds 100 shufflenet mobilenet_v2

One thread, 224x224, float32. All of one network are timed in turn, A B C, C B A, ..., and what
counts is the median of the ratios of each turn. pytorchcv is compared where it is installed
(`pip install pytorchcv`).
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
from collections.abc import Callable
from itertools import pairwise

import torch
import torchvision
from speed import report, seconds
from torch import Tensor, nn

from shufflenet import build, fold, load, network

#: Bundled networks that torchvision has as well, and what its ratio is promised to be.
TORCHVISION = {
    "mobilenet_v2": "mobilenet_v2",
    "resnet50": "resnet50",
    "shufflenet_v2": "shufflenet_v2_x1_0",
}
PEER, FASTER, AS_FAST = "shufflenet_g3_w1", 1.2, 0.97

Times = dict[str, list[float]]


def timed(modules: dict[str, nn.Module], x: Tensor, rounds: int) -> Times:
    """Seconds of each module, all of them in turn and each turn the other way round."""
    calls: dict[str, Callable[[], Tensor]] = {
        name: lambda module=module: module(x) for name, module in modules.items()
    }
    times: Times = {name: [] for name in calls}
    with torch.inference_mode():
        for _ in range(5):
            for call in calls.values():
                call()
        for turn in range(rounds):
            for name in list(calls)[:: 1 if turn % 2 else -1]:
                times[name].append(seconds(calls[name]))
    return times


def beside(times: Times, one: str, other: str) -> tuple[str, float]:
    """What is printed of two, and how many times quicker the second is."""
    ratios = sorted(a / b for a, b in zip(times[one], times[other], strict=True))
    quarters = statistics.quantiles(ratios, n=4)
    a, b = (statistics.median(times[name]) * 1e3 for name in (one, other))
    shown = f"  {one}: {a:.2f} ms; {other}: {b:.2f} ms ({quarters[0]:.2f} to {quarters[2]:.2f})"
    return shown, quarters[1]


def measure(name: str, rounds: int) -> None:
    """One network: ours, folded, and whoever else has it."""
    net = network(load(name), 3 if name == "shufflenet" else None)
    ours = build(net).eval()
    # Not of the class that a built network is of, and so never done quickly.
    plain = nn.Sequential(*ours.children()).eval()
    modules: dict[str, nn.Module] = {"ours": ours, "layer by layer": plain, "folded": fold(ours)}
    promised = {}
    if name == "shufflenet":
        if importlib.util.find_spec("pytorchcv") is None:
            print("  pytorchcv is not installed, and is skipped (pip install pytorchcv)")
        else:
            from pytorchcv.model_provider import get_model

            modules["pytorchcv"] = get_model(PEER).eval()
            promised["pytorchcv"] = FASTER
    if name in TORCHVISION:
        modules["torchvision"] = torchvision.models.get_model(TORCHVISION[name]).eval()
        promised["torchvision"] = AS_FAST
    times = timed(modules, torch.randn(tuple(net.input)), rounds)
    print(name)
    for other, least in promised.items():
        shown, ratio = beside(times, other, "ours")
        report(shown, f"{ratio:.2f}x", f"at least {least}x", ratio >= least)
    for one, other in pairwise(("layer by layer", "ours", "folded")):
        shown, ratio = beside(times, one, other)
        print(f"{shown:<66} {ratio:.2f}x", flush=True)


def main() -> None:
    """All of it, as asked on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", default=["shufflenet", *TORCHVISION])
    parser.add_argument("--rounds", type=int, default=60)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, one thread")
    for name in given.networks:
        measure(name, given.rounds)


if __name__ == "__main__":
    main()
