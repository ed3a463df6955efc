"""What torch does with every call that is made meanwhile: the state of a thread around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

import torch


class Ambient(NamedTuple):
    """Whether and into what calls are cast on the CPU, and what is written down for gradients.

    ``cached`` says that a weight is cast once where the casting begins and ends, not for each call.
    """

    cast: torch.dtype | None
    cached: bool
    gradients: bool
    inference: bool

    @classmethod
    def now(cls) -> Self:
        """The state of the calling thread."""
        cast = torch.is_autocast_enabled("cpu")
        return cls(
            torch.get_autocast_dtype("cpu") if cast else None,
            cast and torch.is_autocast_cache_enabled(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
        )

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Where it holds, whatever did before.

        No weight that was cast before is read again: each time all are cast afresh.
        """
        cast = torch.autocast(
            "cpu", self.cast, enabled=self.cast is not None, cache_enabled=self.cached
        )
        # inference first, which takes gradients away
        with torch.inference_mode(self.inference), torch.set_grad_enabled(self.gradients), cast:
            yield
