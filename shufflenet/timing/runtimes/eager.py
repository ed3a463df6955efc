"""PyTorch eager, as it is built."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any


def missing() -> str:
    """What is not installed, if anything is."""
    return "" if find_spec("torch") else "torch is not installed (pip install 'shufflecost[torch]')"


def load(module: Any, shape: tuple[int, ...], threads: int, folder: str) -> Callable[[Any], Any]:
    """The module itself, called on one array ``(n, c, h, w)``."""
    import torch

    torch.set_num_threads(threads)

    def call(image: Any) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(image)).numpy()

    return call
