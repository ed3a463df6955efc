"""From a layer tree to a `torch.nn.Module` with the same leaf paths: the second fold.

The module is plain: it prints readably, trains, exports to ONNX and compiles, and takes any image
size where a global or adaptive pooling stands before its classifier.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import nullcontext
from typing import assert_never

import torch
from torch import nn

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
from shufflenet.arch.network import Network
from shufflenet.arch.spec import SpecError
from shufflenet.nn import fold as folding
from shufflenet.nn.modules import (
    Add,
    Built,
    Channels,
    ChannelShuffle,
    Concat,
    Multiply,
    Negation,
    Parallel,
)


class BuildError(SpecError):
    """A layer tree that no module can be made of."""


# Names that a module has already; a layer of that name would hide them.
_TAKEN = frozenset(dir(nn.Sequential())) | {"branches", "join"}


def build(
    network: Network | Layer, *, device: str | torch.device | None = None, fold: bool = False
) -> nn.Module:
    """A module of the network: ``(n, c, h, w) -> (n, classes)``, freshly initialised.

    ``device`` is torch's default device unless given. The leaves have the paths of the layer
    tree. Convolutions start with He's normal initialisation (fan out), classifiers with a normal
    one of deviation 0.01, batch norms as the identity. With ``fold`` it is in eval mode, and its
    batch norms are folded into the convolutions before them (`shufflenet.nn.fold.fold`). Raises
    BuildError where a layer's name is one that every module has (``train``), or is not one alone.
    """
    tree = network.tree if isinstance(network, Network) else network
    try:
        with nullcontext() if device is None else torch.device(device):
            module = _module(tree, "")
    except BuildError as error:
        where = f"{network.spec.where}: " if isinstance(network, Network) else ""
        raise BuildError(f"{where}{error}") from error
    if isinstance(tree, Chain):
        module = Built(OrderedDict(module.named_children()))
    _initialise(module)
    return folding.fold(module.eval()) if fold else module


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
