"""ncnn, on what pnnx converts: the closest to the paper's phone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

from shufflenet.runtimes.failing import RuntimeFailedError, told
from shufflenet.runtimes.files import Files
from shufflenet.system.user_code import lacking


def missing() -> str:
    """What is not installed, if anything is."""
    return lacking("ncnn", "torch", "pnnx", "ncnn")


def write(module: Any, shape: tuple[int, ...], stem: str) -> None:
    """Write ``.param`` and ``.bin``. Raises RuntimeFailedError where pnnx fails."""
    import tempfile

    import pnnx
    import torch

    from shufflenet.runtimes.graphs import quiet

    # pnnx takes one image: ncnn has no batches.
    image = torch.zeros((1, *shape[1:]))
    with tempfile.TemporaryDirectory(prefix="shufflecost-") as folder:
        # Of this name pnnx makes that of a Python module, which no digit may begin.
        traced = os.path.join(folder, "network.pt")
        with quiet(), torch.no_grad(), told("torch.jit", RuntimeError):
            trace: Any = torch.jit.trace
            trace(module, image, check_trace=False).save(traced)
        size = ",".join(map(str, image.shape))
        # The program itself: its Python function imports and runs code that it wrote, and sets
        # the module handed in to eval mode.
        done = subprocess.run(
            [
                pnnx.EXEC_PATH,
                traced,
                f"inputshape=[{size}]f32",
                # Unless told not to, it rounds all weights to half precision.
                "fp16=0",
                f"ncnnparam={os.path.abspath(stem)}.param",
                f"ncnnbin={os.path.abspath(stem)}.bin",
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode or not os.path.exists(f"{stem}.param"):
        told_last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise RuntimeFailedError(f"pnnx: exit code {done.returncode}: {''.join(told_last)}")


def read(stem: str, shape: tuple[int, ...], threads: int) -> Callable[[Any], Any]:
    """The files as a function of one array, whose images are run one after the other.

    Raises RuntimeFailedError where ncnn cannot read them.
    """
    import ncnn
    import numpy as np

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    # All of these are on where a processor has them, and round what is stored or added up.
    for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{name}", False)
    if net.load_param(f"{stem}.param") or net.load_model(f"{stem}.bin"):
        raise RuntimeFailedError(f"ncnn: {stem}.param and .bin cannot be read")

    def one(image: Any) -> Any:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(image))
        code, scores = extractor.extract("out0")
        if code:
            raise RuntimeFailedError(f"ncnn: stopped with {code}")
        return np.array(scores)

    def call(images: Any) -> Any:
        return np.stack([one(image) for image in images])

    return call


FILES = Files("ncnn", (".param", ".bin"), write, read)
