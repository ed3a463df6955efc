"""Modules whose batch norms and biases do something, and their plain way beside the quick one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shufflenet.arch.network import Network, network
from shufflenet.arch.spec_reader import load

#: Networks whose classifier takes images of one size.
ONE_SIZE = frozenset({"alexnet", "vgg16", "pvanet_fc"})


def smaller(name: str, groups: int | None = None) -> Network:
    """A bundled network at a size that is run in no time, where it takes one."""
    return network(load(name), groups, size=None if name in ONE_SIZE else (64, 64))


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in eval mode, with norms as if trained: none of them is the identity."""
    chance = torch.Generator().manual_seed(seed)

    def drawn(like: Tensor, low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(like.shape, generator=chance)).to(like)

    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, nn.BatchNorm2d):
                child.weight.copy_(drawn(child.weight, 0.5, 1.5))
                child.bias.copy_(drawn(child.bias, -0.5, 0.5))
                child.running_mean.copy_(drawn(child.running_mean, -0.5, 0.5))
                child.running_var.copy_(drawn(child.running_var, 0.5, 2))
            elif isinstance(child, nn.Conv2d | nn.Linear) and child.bias is not None:
                child.bias.copy_(drawn(child.bias, -0.5, 0.5))
    return module.eval()


def image(shape: tuple[int, ...], seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plain(module: nn.Module, x: Tensor) -> Tensor:
    """What the plain way gives: gradients flow."""
    with torch.enable_grad():
        out: Tensor = module(x)
    return out.detach()


def quick(module: nn.Module, x: Tensor) -> Tensor:
    """What comes out in inference."""
    with torch.inference_mode():
        out = module(x)
    return out.clone()


def off(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest absolute value of the second."""
    scale = other.abs().max().item()
    return (one - other).abs().max().item() / (scale or 1)
