"""From a layer tree to a `torch.nn.Module` with the same leaf paths: the second fold.

The module is plain: it prints readably, trains, exports to ONNX and compiles, and takes any image
size where a global or adaptive pooling stands before its classifier.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import nullcontext
from typing import ClassVar, assert_never

import torch
from torch import Tensor, nn

from flopcount.layers import (
    Act,
    AdaptivePool,
    Branches,
    Chain,
    Conv,
    Dropout,
    Flatten,
    Function,
    GlobalPool,
    Identity,
    Join,
    Layer,
    Linear,
    LocalNorm,
    Negate,
    Norm,
    Pool,
    Shuffle,
    Slice,
    below,
)
from shufflenet.network import Network
from shufflenet.spec import SpecError


class BuildError(SpecError):
    """A layer tree that no module can be made of."""


class ChannelShuffle(nn.Module):
    """Channels ``(n, g*k, h, w)`` seen as g x k and transposed (Source: Sec. 3.1, Fig. 1 c)."""

    free_kind: ClassVar = "channel_shuffle"

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w) -> (n, c, h, w)``."""
        n, c, h, w = x.shape
        # (n, g*k, h, w) -> (n, g, k, h, w) -> (n, k, g, h, w) -> (n, k*g, h, w)
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)

    def extra_repr(self) -> str:
        """The groups."""
        return f"groups={self.groups}"


class Channels(nn.Module):
    """A view of ``width`` channels from ``offset`` on."""

    free_kind: ClassVar = "slice"

    def __init__(self, offset: int, width: int) -> None:
        super().__init__()
        self.offset = offset
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w) -> (n, width, h, w)``."""
        return x.narrow(1, self.offset, self.width)

    def extra_repr(self) -> str:
        """Which channels."""
        return f"offset={self.offset}, width={self.width}"


class Negation(nn.Module):
    """Each element with its sign changed."""

    free_kind: ClassVar = "elementwise"

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w) -> (n, c, h, w)``."""
        return -x


class Multiply(nn.Module):
    """The product of branches, ``(n, c, h, w)`` and others of that size or ``(n, c, 1, 1)``."""

    free_kind: ClassVar = "mul"

    def forward(self, *branches: Tensor) -> Tensor:
        """``(n, c, h, w), ... -> (n, c, h, w)``."""
        out = branches[0]
        for branch in branches[1:]:
            out = out * branch
        return out


class Add(nn.Module):
    """The sum of branches, ``(n, c, h, w)`` each."""

    free_kind: ClassVar = "add"

    def forward(self, *branches: Tensor) -> Tensor:
        """``(n, c, h, w), ... -> (n, c, h, w)``."""
        out = branches[0]
        for branch in branches[1:]:
            out = out + branch
        return out


class Concat(nn.Module):
    """Branches ``(n, c_i, h, w)`` one behind the other along the channels."""

    free_kind: ClassVar = "concat"

    def forward(self, *branches: Tensor) -> Tensor:
        """``(n, c_1, h, w), ... -> (n, c_1 + ..., h, w)``."""
        return torch.cat(branches, 1)


class Parallel(nn.Module):
    """Named branches that read one input, and the join of their outputs."""

    def __init__(self, branches: OrderedDict[str, nn.Module], name: str, join: nn.Module) -> None:
        super().__init__()
        self.branches = tuple(branches)
        self.join = name
        for branch, module in branches.items():
            self.add_module(branch, module)
        self.add_module(name, join)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w) -> (n, c', h', w')``."""
        outputs = [self.get_submodule(branch)(x) for branch in self.branches]
        joined: Tensor = self.get_submodule(self.join)(*outputs)
        return joined


# Names that a module has already; a layer of that name would hide them.
_TAKEN = frozenset(dir(nn.Sequential())) | {"branches", "join"}


def build(network: Network | Layer, *, device: str | torch.device | None = None) -> nn.Module:
    """A module of the network: ``(n, c, h, w) -> (n, classes)``, freshly initialised.

    ``device`` is torch's default device unless given. The leaves have the paths of the layer
    tree. Convolutions start with He's normal initialisation (fan out), classifiers with a normal
    one of deviation 0.01, batch norms as the identity. Raises BuildError where a layer's name
    is one that every module has (``train``), or is not one alone.
    """
    tree = network.tree if isinstance(network, Network) else network
    try:
        with nullcontext() if device is None else torch.device(device):
            module = _module(tree, "")
    except BuildError as error:
        where = f"{network.spec.where}: " if isinstance(network, Network) else ""
        raise BuildError(f"{where}{error}") from error
    _initialise(module)
    return module


def _module(layer: Layer, path: str) -> nn.Module:
    match layer:
        case Conv(c_in, c_out, kernel, stride, padding, groups, bias):
            return nn.Conv2d(c_in, c_out, kernel, stride, padding=padding, groups=groups, bias=bias)
        case Linear(c_in, c_out, bias):
            return nn.Linear(c_in, c_out, bias=bias)
        case Norm(c, eps):
            return nn.BatchNorm2d(c, float(eps))
        case LocalNorm(size):
            return nn.LocalResponseNorm(size)
        case Act(function):
            return _act(function)
        case Negate():
            return Negation()
        case Dropout(percent):
            return nn.Dropout(percent / 100)
        case Pool(mode, kernel, stride, padding, ceil):
            match mode:
                case "max":
                    return nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)
                case "avg":
                    return nn.AvgPool2d(kernel, stride, padding, ceil)
                case _:
                    assert_never(mode)
        case GlobalPool():
            return nn.AdaptiveAvgPool2d(1)
        case AdaptivePool(side):
            return nn.AdaptiveAvgPool2d(side)
        case Shuffle(groups):
            return ChannelShuffle(groups)
        case Slice(offset, width):
            return Channels(offset, width)
        case Flatten():
            return nn.Flatten()
        case Identity():
            return nn.Identity()
        case Chain(children):
            return nn.Sequential(_children(children, path))
        case Branches(children, join):
            return Parallel(_children(children, path, join), join, _join(join))
        case _:
            assert_never(layer)


def _act(function: Function) -> nn.Module:
    match function:
        case "relu":
            return nn.ReLU()
        case "relu6":
            return nn.ReLU6()
        case "hardswish":
            return nn.Hardswish()
        case "hardsigmoid":
            return nn.Hardsigmoid()
        case "silu":
            return nn.SiLU()
        case "sigmoid":
            return nn.Sigmoid()
        case _:
            assert_never(function)


def _join(join: Join) -> nn.Module:
    match join:
        case "add":
            return Add()
        case "concat":
            return Concat()
        case "mul":
            return Multiply()
        case _:
            assert_never(join)


def _children(
    children: tuple[tuple[str, Layer], ...], path: str, join: str = ""
) -> OrderedDict[str, nn.Module]:
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in children:
        here = below(path, name)
        if not name.isidentifier():
            raise BuildError(f"{here}: {name!r} cannot name a module")
        if name == join or name in modules:
            raise BuildError(f"{here}: {name!r} names two layers")
        if name in _TAKEN:
            raise BuildError(f"{here}: {name!r} is a name that every module has")
        modules[name] = _module(child, here)
    return modules


def _initialise(module: nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            nn.init.kaiming_normal_(child.weight, mode="fan_out", nonlinearity="relu")
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, nn.Linear):
            nn.init.normal_(child.weight, 0, 0.01)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
