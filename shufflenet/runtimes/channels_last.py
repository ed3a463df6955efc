"""PyTorch eager with the channels of a position beside each other in memory (NHWC)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shufflenet.system.user_code import lacking


def missing() -> str:
    """What is not installed, if anything is."""
    return lacking("torch", "torch")


def load(module: Any, shape: tuple[int, ...], threads: int, folder: str) -> Callable[[Any], Any]:
    """A copy of the module in that format, called on one array ``(n, c, h, w)``."""
    from copy import deepcopy

    import torch

    torch.set_num_threads(threads)
    # A module is converted in place, so the one handed in is not.
    converted = deepcopy(module).to(memory_format=torch.channels_last)

    def call(image: Any) -> Any:
        with torch.inference_mode():
            turned = torch.from_numpy(image).contiguous(memory_format=torch.channels_last)
            return converted(turned).numpy()

    return call
