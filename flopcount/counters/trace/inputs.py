"""The inputs of a count: tensors with shapes and no values, but for whole numbers and masks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from flopcount.counters.trace.records import MAX_KNOWN_ELEMENTS, META
from flopcount.counters.trace.tensor_table import TensorTable


def made(shape: Any, like: Tensor, device: torch.device, real: bool) -> tuple[Tensor, ...]:
    """Inputs of one shape ``(n, c, h, w)`` or several, of the type of the model's parameters.

    Raises TypeError where it is neither.
    """
    several = isinstance(shape, Sequence) and not all(isinstance(size, int) for size in shape)
    shapes = shape if several else (shape,)
    for sizes in shapes:
        if not isinstance(sizes, Sequence) or not all(isinstance(size, int) for size in sizes):
            raise TypeError(f"shape {shape!r}: is neither one shape nor several")
    if real:
        return tuple(torch.rand(tuple(s), dtype=like.dtype, device=device) for s in shapes)
    return tuple(torch.empty(tuple(s), dtype=like.dtype, device=META) for s in shapes)


def prepared(tree: Any, known: TensorTable, *, real: bool) -> Any:
    """The inputs as the model gets them: never the user's own tensors.

    Of a pass that is not real, whole numbers and masks keep their values, and ``known`` has them.
    """

    def ready(tensor: Tensor) -> Tensor:
        tensor = tensor.detach()
        if real:
            return tensor.clone()
        if not tensor.is_meta and tensor.numel() <= MAX_KNOWN_ELEMENTS and _worth_knowing(tensor):
            kept = tensor.to("cpu", copy=True)
            known.learn([kept])
            return kept
        return torch.empty_strided(
            tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta"
        )

    def whole(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return ready(leaf)
        if is_dataclass(leaf) and not isinstance(leaf, type):
            copied = copy.copy(leaf)
            for field in fields(leaf):
                value = prepared(getattr(leaf, field.name), known, real=real)
                object.__setattr__(copied, field.name, value)
            return copied
        return leaf

    return tree_map(whole, tree)


def _worth_knowing(tensor: Tensor) -> bool:
    # Whole numbers, and masks: what is added to be minus infinity somewhere.
    whole = not tensor.is_floating_point() and not tensor.is_complex()
    return whole or bool(torch.isinf(tensor).any())
