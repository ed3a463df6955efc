"""``torch.compile``: C++ made of the graph, at the first call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from shufflenet.runtimes.failing import told
from shufflenet.system.user_code import lacking

_COMPILERS = ("g++", "clang++", "c++", "cl")


def missing() -> str:
    """What is not installed, if anything is: a C++ compiler too."""
    absent = lacking("torch", "torch")
    named = os.environ.get("CXX", "")
    if absent or any(map(shutil.which, filter(None, (named, *_COMPILERS)))):
        return absent
    return "there is no C++ compiler (install g++, or name one in CXX)"


def load(module: Any, shape: tuple[int, ...], threads: int, folder: str) -> Callable[[Any], Any]:
    """The module compiled for this shape, called on one array ``(n, c, h, w)``.

    Raises RuntimeFailedError where it cannot be compiled.
    """
    from copy import deepcopy

    import torch
    from torch._dynamo.exc import TorchDynamoException

    # The compiler writes this number into the code.
    torch.set_num_threads(threads)
    # With the weights as constants, as the other runtimes have them: norms are folded into them.
    compiled: Any = torch.compile(
        deepcopy(module).requires_grad_(False), dynamic=False, options={"freezing": True}
    )

    def call(image: Any) -> Any:
        # Freezing is left out in inference mode.
        with torch.no_grad():
            return compiled(torch.from_numpy(image)).numpy()

    import numpy as np

    with told("torch.compile", TorchDynamoException):
        call(np.zeros(shape, dtype=np.float32))
    return call
