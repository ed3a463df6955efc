"""PyTorch eager, as it is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shufflenet.timing.runtimes.needs import lacking


def missing() -> str:
    """What is not installed, if anything is."""
    return lacking("torch", "torch")


def load(module: Any, shape: tuple[int, ...], threads: int, folder: str) -> Callable[[Any], Any]:
    """The module itself, called on one array ``(n, c, h, w)``."""
    import torch

    torch.set_num_threads(threads)

    def call(image: Any) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(image)).numpy()

    return call
