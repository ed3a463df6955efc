"""PyTorch eager, as it is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shufflenet.runtimes.agreement import WrongOutputError
from shufflenet.system.user_code import lacking

if TYPE_CHECKING:
    from torch import Tensor


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


def output(module: Any, image: Any, threads: int) -> Any:
    """What the module gives for one array, as another. Raises as `one_tensor` does."""
    import torch

    torch.set_num_threads(threads)
    with torch.inference_mode():
        return one_tensor(module(torch.from_numpy(image))).numpy().copy()


def one_tensor(output: Any) -> Tensor:
    """What a module gave, which must be a tensor. Raises WrongOutputError where it is none."""
    from torch import Tensor

    if not isinstance(output, Tensor):
        raise WrongOutputError(f"the output is of type {type(output).__name__}, not one tensor")
    return output
