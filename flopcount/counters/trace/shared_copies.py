"""Copies of what no shell can be put over: scripted modules, and lazy ones."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from torch.utils._python_dispatch import TorchDispatchMode


class Shared(TorchDispatchMode):
    """Lets a deep copy share its parameters, and the values of all else unless they are copied."""

    def __init__(self, parameters: Iterable[Tensor], copied: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.parameters = {id(tensor) for tensor in parameters}
        self.copied = copied

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Give the tensor itself in the place of its copy."""
        if id(args[0]) in self.parameters:
            return args[0]
        # of another tensor with the same values, the version is its own
        return func(*args, **(kwargs or {})) if self.copied else args[0].data


class Scripted(nn.Module):
    """Stands for a scripted module, whose parts live where no shell can be put over them."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.__dict__["_scripted"] = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the scripted module."""
        return self._scripted(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_scripted"], name)


def lazy_copy(module: Any, real: bool) -> Any:
    """A copy of a lazy module: what it infers it writes on itself, its parameters and hooks."""
    # What has no shape yet is not copied: a buffer of that kind cannot be.
    makers: tuple[tuple[dict[str, Any], Any], ...] = (
        (module._parameters, UninitializedParameter),
        (module._buffers, UninitializedBuffer),
    )
    known = {
        id(part): make(part.requires_grad, part.device if real else "meta", part.dtype)
        for parts, make in makers
        for part in parts.values()
        if is_lazy(part)
    }
    return copy.deepcopy(module, known)
