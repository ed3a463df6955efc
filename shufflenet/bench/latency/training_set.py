"""What a latency model is fitted on, and what it is held against: networks, and layers drawn.

The networks that check a model are of other architectures, scales and sizes than those it has
seen; the layers that are drawn fill in what those do not have.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from math import exp, log
from typing import Any, NamedTuple, get_args

from flopcount.entries import Shape
from flopcount.integers import sites
from flopcount.layers import (
    Act,
    AdaptivePool,
    Conv,
    Dropout,
    Flatten,
    Function,
    GlobalPool,
    Identity,
    Linear,
    LocalNorm,
    Negate,
    Norm,
    Pool,
    Shuffle,
    Slice,
)
from shufflenet.arch.network import Network, network
from shufflenet.arch.spec_reader import load
from shufflenet.cost.leaf_kinds import Doer, Work


class Variant(NamedTuple):
    """A network by its spec, and how it differs from the spec's own."""

    spec: str
    groups: int | None = None
    how: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        """What it is called: ``shufflenet:groups=8,scale=0.5``."""
        said = {} if self.groups is None else {"groups": str(self.groups)}
        for key, value in self.how.items():
            between = "x" if key == "size" else ","
            said[key] = between.join(map(str, value)) if isinstance(value, tuple) else str(value)
        arguments = ",".join(f"{key}={value}" for key, value in said.items())
        return f"{self.spec}:{arguments}" if arguments else self.spec

    def network(self) -> Network:
        """The network itself."""
        return network(load(self.spec), self.groups, **self.how)


#: The networks whose leaves a model is fitted on.
SEEN = (
    Variant("shufflenet", 1),
    Variant("shufflenet", 3, {"scale": "0.5"}),
    Variant("shufflenet", 8),
    Variant("shufflenet", 3, {"size": (160, 160)}),
    Variant("shufflenet", 4, {"unit": "resnet"}),
    Variant("mobilenet_v1"),
    Variant("mobilenet_v3_large"),
    Variant("resnet50"),
    Variant("squeezenet1_0"),
    Variant("alexnet"),
)
#: Networks that no model is fitted on, by which its error is measured.
UNSEEN = (
    Variant("shufflenet", 2, {"scale": "1.5"}),
    Variant("shufflenet", 4, {"scale": "0.5", "size": (192, 256)}),
    Variant("arch2", 3, {"stem": 12, "widths": (132, 264, 528)}),
    Variant("shallow", 2),
    Variant("mobilenet_v1", None, {"scale": "0.5", "size": (128, 128)}),
    Variant("mobilenet_v2"),
    Variant("mobilenet_v3_small"),
    Variant("shufflenet_v2"),
    Variant("shufflenet_v2_x0_5"),
    Variant("efficientnet_b0"),
    Variant("regnet_x_400mf"),
    Variant("resnext50_32x4d"),
    Variant("squeezenet1_1"),
    Variant("googlenet"),
    Variant("pvanet"),
    Variant("alexnet_one_tower"),
    Variant("shufflenet", 3, {"unit": "xception"}),
)
# A layer that is drawn costs no more than this [MAC], and makes no more elements.
_MOST_MACS = 150_000_000
_MOST_ELEMENTS = 1_000_000
_SIDES = (4, 7, 8, 10, 14, 16, 20, 28, 32, 40, 56, 80, 112)


class _Draw:
    """Layers drawn from a seed: widths and sizes over orders of magnitude."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def width(self, least: int = 8, most: int = 1024, of: int = 1) -> int:
        """A width, as likely small as large, that is a multiple."""
        drawn = exp(self.random.uniform(log(least), log(most)))
        return max(round(drawn / of), 1) * of

    def any(self, *values: int) -> int:
        """One of several."""
        return self.random.choice(values)

    def shape(self, width: int) -> Shape:
        """A shape ``(1, c, h, w)`` of that width."""
        side = self.any(*_SIDES)
        return Shape(1, width, side, side)

    def works(self, count: int, draw: Callable[[_Draw], Work]) -> list[Work]:
        """So many works, none of them too large."""
        found: list[Work] = []
        while len(found) < count:
            work = draw(self)
            if _size(work) <= _MOST_ELEMENTS and _macs(work) <= _MOST_MACS:
                found.append(work)
        return found


def _size(work: Work) -> int:
    return sum(shape.elements for shape in work.inputs)


def _macs(work: Work) -> int:
    doer = work.doer
    if isinstance(doer, Linear):
        return doer.c_in * doer.c_out
    if not isinstance(doer, Conv):
        return 0
    _, c, h, w = work.inputs[0]
    out = [sites(side, doer.kernel, doer.stride, doer.padding) for side in (h, w)]
    return out[0] * out[1] * doer.c_out * doer.kernel**2 * c // doer.groups


def _pointwise(draw: _Draw) -> Work:
    c, d = draw.width(), draw.width()
    return Work(Conv(c, d, stride=draw.any(1, 1, 1, 2)), (draw.shape(c),))


def _pointwise_group(draw: _Draw) -> Work:
    g = draw.any(2, 3, 4, 8)
    c, d = draw.width(24, 1536, g), draw.width(24, 1536, g)
    return Work(Conv(c, d, stride=draw.any(1, 1, 1, 2), groups=g), (draw.shape(c),))


def _dense(draw: _Draw) -> Work:
    c = draw.any(3, *(draw.width(8, 384) for _ in range(4)))
    d, k = draw.width(8, 384), draw.any(3, 3, 3, 5, 7)
    return Work(Conv(c, d, k, draw.any(1, 1, 2), k // 2), (draw.shape(c),))


def _group(draw: _Draw) -> Work:
    each, g = draw.any(2, 4, 8, 12, 16, 24, 32), draw.any(2, 4, 8, 16, 32)
    c, k = each * g, draw.any(3, 3, 5)
    return Work(Conv(c, c, k, draw.any(1, 1, 2), k // 2, g), (draw.shape(c),))


def _depthwise(draw: _Draw) -> Work:
    c, k = draw.width(), draw.any(3, 3, 5)
    return Work(Conv(c, c, k, draw.any(1, 1, 2), k // 2, c), (draw.shape(c),))


def _linear(draw: _Draw) -> Work:
    c, d = draw.width(16, 4096), draw.width(16, 4096)
    return Work(Linear(c, d), (Shape(1, c),))


def _join(name: Any) -> Callable[[_Draw], Work]:
    def drawn(draw: _Draw) -> Work:
        shape = draw.shape(draw.width())
        if name == "mul":
            return Work(name, (shape, Shape(*shape[:2], 1, 1)))
        count = draw.any(2, 2, 3, 4) if name == "concat" else 2
        return Work(name, (shape,) * count)

    return drawn


def _alone(make: Callable[[int], Doer], of: int = 1) -> Callable[[_Draw], Work]:
    """A layer that is made of nothing but its width."""

    def drawn(draw: _Draw) -> Work:
        c = draw.width(16, 1024, of)
        return Work(make(c), (draw.shape(c),))

    return drawn


def _act(function: Function) -> Callable[[_Draw], Work]:
    return _alone(lambda c: Act(function))


def _shuffle(draw: _Draw) -> Work:
    g = draw.any(2, 3, 4, 8)
    c = draw.width(24, 1024, g)
    return Work(Shuffle(g), (draw.shape(c),))


def _pool(draw: _Draw) -> Work:
    mode: Any = ("max", "avg")[draw.any(0, 0, 1)]
    k, s = draw.any(2, 3, 3), draw.any(1, 2, 2)
    return Work(Pool(mode, k, s, k // 2), (draw.shape(draw.width()),))


# How many layers of each kind are drawn.
_DRAWN: tuple[tuple[int, Callable[[_Draw], Work]], ...] = (
    (60, _pointwise),
    (80, _pointwise_group),
    (80, _dense),
    (50, _group),
    (60, _depthwise),
    (20, _linear),
    (40, _pool),
    *((12, _join(name)) for name in ("add", "concat", "mul")),
    *((8, _act(function)) for function in get_args(Function)),
    (20, _alone(Norm)),
    (12, _alone(lambda c: GlobalPool())),
    (8, _alone(lambda c: AdaptivePool(6))),
    (8, _alone(lambda c: LocalNorm())),
    (8, _alone(lambda c: Negate())),
    (4, _alone(lambda c: Dropout())),
    (4, _alone(lambda c: Flatten())),
    (4, _alone(lambda c: Identity())),
    (4, _alone(lambda c: Slice(c // 2, c // 2), 2)),
    (20, _shuffle),
)


def drawn_works(seed: int = 0) -> list[list[Work]]:
    """Works of every kind that a network can have, kind by kind, the same for a seed."""
    draw = _Draw(seed)
    return [draw.works(count, make) for count, make in _DRAWN]
