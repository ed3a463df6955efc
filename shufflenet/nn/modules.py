"""The modules that torch has none of, which a network is built of besides torch's own.

Each is plain: it trains, exports and compiles. What else it can do where nobody watches is said by
``quickly`` (`shufflenet.nn.fast_inference`).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import torch
from torch import Tensor, nn

from shufflenet.nn.fast_inference import (
    STEPS,
    OwnedTensor,
    alone,
    as_found,
    in_order,
    methods,
    step,
    unwatched,
)


class Built(nn.Sequential):
    """A whole network: its layers one after the other, done quickly where nobody watches."""

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w) -> (n, classes)``."""
        # What is within this condition torch.jit.script does not compile.
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            quick = alone(x) and not self.training and as_found(_METHODS)
            if quick:
                return in_order(self, x, False)[0]
        for child in self:
            x = child(x)
        return x


class ChannelShuffle(nn.Module):
    """Channels ``(n, g*k, h, w)`` seen as g x k and transposed (Source: Sec. 3.1, Fig. 1 c).

    It copies each element once, and leaves channels-last memory channels-last.
    """

    free_kind: ClassVar = "channel_shuffle"

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w) -> (n, c, h, w)``."""
        n, c, h, w = x.shape
        g, k = self.groups, c // self.groups
        if _channels_last(x):
            # (n, h, w, g*k) -> (n, h, w, g, k) -> (n, h, w, k, g) -> (n, h, w, k*g)
            out = x.permute(0, 2, 3, 1).view(n, h, w, g, k).transpose(3, 4)
            return out.reshape(n, h, w, c).permute(0, 3, 1, 2)
        # (n, g*k, h, w) -> (n, g, k, h, w) -> (n, k, g, h, w) -> (n, k*g, h, w)
        return x.view(n, g, k, h, w).transpose(1, 2).reshape(n, c, h, w)

    def quickly(self, x: Tensor, own: bool) -> OwnedTensor:
        """The same by torch's own kernel, where that is the quicker one."""
        # Of any other number of axes torch's kernel shuffles one, where the plain way refuses.
        known = x.dim() == 4 and x.is_contiguous()
        return (torch.channel_shuffle(x, self.groups) if known else self.forward(x)), own

    def free_size(self, x: torch.Size) -> torch.Size:
        """What comes out is as large as what goes in."""
        return x

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

    def free_size(self, x: torch.Size) -> torch.Size:
        """What comes out is as large as what goes in."""
        return x


class Multiply(nn.Module):
    """The product of branches, ``(n, c, h, w)`` and others of that size or ``(n, c, 1, 1)``."""

    free_kind: ClassVar = "mul"

    def forward(self, *branches: Tensor) -> Tensor:
        """``(n, c, h, w), ... -> (n, c, h, w)``."""
        out = branches[0]
        for branch in branches[1:]:
            out = out * branch
        return out

    def free_size(self, *branches: torch.Size) -> tuple[int, ...]:
        """What comes out is along each axis as large as the largest branch."""
        return tuple(map(max, zip(*branches, strict=True)))


class Add(nn.Module):
    """The sum of branches, ``(n, c, h, w)`` each."""

    free_kind: ClassVar = "add"

    def forward(self, *branches: Tensor) -> Tensor:
        """``(n, c, h, w), ... -> (n, c, h, w)``."""
        out = branches[0]
        for branch in branches[1:]:
            out = out + branch
        return out

    def joined(self, branches: list[OwnedTensor]) -> OwnedTensor:
        """The same, written on a branch that nobody else holds."""
        out, own = branches[0]
        for branch, theirs in branches[1:]:
            alike = _alike(out, branch)
            if own and alike:
                out.add_(branch)
            elif theirs and alike:
                out = branch.add_(out)
            else:
                out = out + branch
            own = True
        return out, own

    def free_size(self, first: torch.Size, *others: torch.Size) -> torch.Size:
        """What comes out is as large as each of the branches."""
        return first


class Concat(nn.Module):
    """Branches ``(n, c_i, h, w)`` one behind the other along the channels."""

    free_kind: ClassVar = "concat"

    def forward(self, *branches: Tensor) -> Tensor:
        """``(n, c_1, h, w), ... -> (n, c_1 + ..., h, w)``."""
        return torch.cat(branches, 1)

    def joined(self, branches: list[OwnedTensor]) -> OwnedTensor:
        """The same, always in memory of its own."""
        return self.forward(*(x for x, _ in branches)), True

    def free_size(self, first: torch.Size, *others: torch.Size) -> tuple[int, ...]:
        """What comes out has the channels of all branches."""
        channels = sum(size[1] for size in (first, *others))
        return (first[0], channels, *first[2:])


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
        outputs = [getattr(self, branch)(x) for branch in self.branches]
        joined: Tensor = getattr(self, self.join)(*outputs)
        return joined

    def quickly(self, x: Tensor, own: bool) -> OwnedTensor:
        """The same; the input is read by every branch, so none of them may write on it."""
        branches = [step(getattr(self, branch), x, False) for branch in self.branches]
        return join(getattr(self, self.join), branches)


def join(module: nn.Module, branches: list[OwnedTensor]) -> OwnedTensor:
    """Branches joined by a module, by its method ``joined`` where it has one and nobody watches."""
    joined = type(module).__dict__.get("joined")
    if joined is None or not unwatched(module):
        return module(*(x for x, _ in branches)), False
    held: OwnedTensor = joined(module, branches)
    return held


def _channels_last(x: Tensor) -> bool:
    # What torch.fx follows a network with has no memory to ask for.
    if not isinstance(x, Tensor) or x.is_contiguous():
        return False
    return x.is_contiguous(memory_format=torch.channels_last)


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype


#: Of the classes whose forward methods the quick way goes past.
_METHODS = methods((*STEPS, ChannelShuffle, Parallel, Add, Concat))
