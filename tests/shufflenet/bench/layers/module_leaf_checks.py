"""What a living module is followed by, held against the module itself and against its count."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

import flopcount
from shufflenet.bench.layers.follow import Found, followed
from shufflenet.bench.layers.leaves import Leaves
from shufflenet.bench.layers.module_leaves import module_leaves, shuffled
from shufflenet.bench.layers.time_layers import inference


def flat(found: Any) -> Iterator[Tensor]:
    """The tensors of what came out of a call."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, dict):
        yield from flat(list(found.values()))
    elif found is not None and not isinstance(found, (str, int, float, bool)):
        for item in found:
            yield from flat(item)


def leaves_in_turn(found: list[Found], image: Tensor) -> list[Tensor]:
    """What the leaves make one after the other, each of what those before it have made."""
    have = {1: image}
    last: list[Tensor] = [image]
    for leaf in found:
        step = leaf.step
        tensors = [x.kept if x.token is None else have[x.token] for x in step.operands]
        last = list(flat(step.bound(*step.arguments(tensors))()))
        for operand, tensor in zip(step.outputs, last, strict=True):
            assert tuple(tensor.shape) == operand.size
            if operand.token is not None:
                have[operand.token] = tensor
    return last


def check_leaves(module: nn.Module, image: Tensor) -> list[Found]:
    """The leaves of a module: in turn they come to its output, and together to its count."""
    counted = flopcount.count(copy.deepcopy(module), image.clone())
    with torch.inference_mode():
        expected = list(flat(copy.deepcopy(module)(image.clone())))
        found = list(shuffled(followed(copy.deepcopy(module), image.clone())))
        outputs = leaves_in_turn(found, image.clone())
        leaves = module_leaves(module, image.clone(), "net", counted)
    if found:
        # the last leaf may make more than the network hands on
        assert len(outputs) >= len(expected) > 0
        for ours, theirs in zip(outputs, expected, strict=False):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    assert leaves.check.leaves == leaves.check.whole
    assert leaves.check.whole.macs == counted.macs
    return found


def kinds(module: nn.Module, *size: int) -> Counter[str]:
    counted = flopcount.count(module, shape=size)
    with torch.inference_mode():
        found = module_leaves(module.eval(), torch.rand(size), "net", counted)
    assert found.check.leaves == found.check.whole
    return Counter(leaf.cost.kind for leaf in found.leaves)


def leaves_of(module: nn.Module) -> Leaves:
    counted = flopcount.count(module, shape=(1, 8, 6, 6))
    with inference(1):
        return module_leaves(module, torch.rand(1, 8, 6, 6), "net", counted)
