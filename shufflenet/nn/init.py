"""The values of a spec's network, which has none of its own: drawn, and fit to be run.

Two needs meet here. A file without a batch norm must not compute what one with it does, so no norm
may be the identity. And signals must neither fade nor swell with depth, as in no trained network
they do: numbers near the smallest take processors many times as long.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from shufflenet.arch.network import Network
from shufflenet.nn.builder import build
from shufflenet.targets.resolve import seeded


def drawn(net: Network, seed: int) -> nn.Module:
    """The module of a network in eval mode, all of whose values are drawn from a seed.

    Its batch norms are drawn near to what scales the signal of a random image ``(1, c, h, w)`` to
    a mean square of 1, each of them anew where it stands. Raises BuildError for a network that no
    module can be made of.
    """
    with seeded(seed), torch.no_grad():
        module = build(net).eval()
        norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
        # each is drawn right before it runs, on what those before it have let through
        hooks = [norm.register_forward_pre_hook(_draw) for norm in norms]
        module(torch.randn(tuple(net.input)))
        for hook in hooks:
            hook.remove()
    return module


def _draw(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    x: Tensor = inputs[0]
    # Of all channels together: one alone may have no signal, or a single value.
    square = x.square().mean().item() or 1.0
    norm.weight.uniform_(0.5, 1.5)
    norm.bias.normal_(0, 0.1)
    norm.running_mean.normal_(0, 0.1).mul_(square**0.5)
    norm.running_var.uniform_(0.5, 1.5).mul_(square)
