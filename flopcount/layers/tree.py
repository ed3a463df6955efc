"""The closed union of layer kinds, and the arithmetic of their shapes.

A layer tree is plain data: frozen dataclasses, leaves and two ways to compose them. It has no
opinion on what a layer costs (`flopcount.layers.cost`) or how it runs (the builder); it knows what
shape comes out, and which rules make it legal.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias, assert_never

from flopcount.entries import Shape
from flopcount.integers import Count, product, sites, total
from flopcount.layers.rules import AtLeast, Divides, Equal, LayerRule


@dataclass(frozen=True, slots=True)
class Conv:
    """A square convolution ``(n, c, h, w) -> (n, d, h', w')``; depthwise where groups = c."""

    c_in: Count
    c_out: Count
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    groups: Count = 1
    bias: bool = False


@dataclass(frozen=True, slots=True)
class Linear:
    """A fully connected map ``(n, c) -> (n, d)``."""

    c_in: Count
    c_out: Count
    bias: bool = True


@dataclass(frozen=True, slots=True)
class Norm:
    """A batch normalisation with weight and bias, ``(n, c, h, w) -> (n, c, h, w)``."""

    c: Count
    eps: Decimal = Decimal("1e-5")


@dataclass(frozen=True, slots=True)
class LocalNorm:
    """A local response normalisation over ``size`` neighbouring channels, ``(n, c, h, w)``.

    Its constants are Caffe's: alpha 1e-4 over the size, beta 0.75, k 1.
    """

    size: int = 5


#: The functions of an `Act`.
Function: TypeAlias = Literal["relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid"]


@dataclass(frozen=True, slots=True)
class Act:
    """An element-wise nonlinearity of any shape."""

    function: Function = "relu"


@dataclass(frozen=True, slots=True)
class Negate:
    """Each element with its sign changed, of any shape."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """So many percent of the elements set to zero in training; in inference, nothing."""

    percent: int = 50


@dataclass(frozen=True, slots=True)
class Pool:
    """A square maximum or average pooling ``(n, c, h, w) -> (n, c, h', w')``.

    With ``ceil`` the last window may reach over the padding.
    """

    mode: Literal["max", "avg"]
    kernel: int
    stride: int
    padding: int = 0
    ceil: bool = False


@dataclass(frozen=True, slots=True)
class GlobalPool:
    """The average over all positions, ``(n, c, h, w) -> (n, c, 1, 1)``."""


@dataclass(frozen=True, slots=True)
class AdaptivePool:
    """The averages over ``side`` x ``side`` parts, ``(n, c, h, w) -> (n, c, side, side)``."""

    side: int


@dataclass(frozen=True, slots=True)
class Slice:
    """A view of ``width`` channels from ``offset`` on, ``(n, c, h, w) -> (n, width, h, w)``."""

    offset: Count
    width: Count


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Channel shuffle: ``(n, g*k, h, w)`` seen as g x k, transposed (Source: Sec. 3.1, Fig. 1)."""

    groups: Count


@dataclass(frozen=True, slots=True)
class Flatten:
    """A view, ``(n, c, h, w) -> (n, c*h*w)``."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What goes in comes out; the plain shortcut of a residual unit."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Named layers, one after the other; ``rules`` are what its maker requires besides theirs."""

    children: tuple[tuple[str, Layer], ...]
    rules: tuple[LayerRule, ...] = ()


#: How branches are joined; ``mul`` stretches what is 1 x 1 over all positions.
Join: TypeAlias = Literal["add", "concat", "mul"]


@dataclass(frozen=True, slots=True)
class Branches:
    """Named layers that all read one input and run in order; their outputs are joined."""

    children: tuple[tuple[str, Layer], ...]
    join: Join


#: Every kind of leaf.
Leaf: TypeAlias = (
    Conv
    | Linear
    | Norm
    | LocalNorm
    | Act
    | Negate
    | Dropout
    | Pool
    | GlobalPool
    | AdaptivePool
    | Shuffle
    | Slice
    | Flatten
    | Identity
)
#: Every kind of leaf that makes no new tensor.
View: TypeAlias = Slice | Flatten | Identity | Dropout
#: Every kind of layer.
Layer: TypeAlias = Leaf | Chain | Branches


def below(path: str, name: str) -> str:
    """The path of a child."""
    return f"{path}.{name}" if path else name


def output(layer: Layer, shape: Shape) -> Shape:
    """The shape that leaves a layer, of the shape ``(n, c, h, w)`` that enters."""
    match layer:
        case Conv(_, c_out, kernel, stride, padding):
            n, _, h, w = shape
            out = sites(h, kernel, stride, padding)
            return Shape(n, c_out, out, out if w is h else sites(w, kernel, stride, padding))
        case Norm() | LocalNorm() | Act() | Negate() | Dropout() | Shuffle() | Identity():
            return shape
        case Pool(_, kernel, stride, padding, ceil):
            n, c, h, w = shape
            out = sites(h, kernel, stride, padding, ceil)
            return Shape(n, c, out, out if w is h else sites(w, kernel, stride, padding, ceil))
        case GlobalPool():
            n, c, _, _ = shape
            return Shape(n, c, 1, 1)
        case AdaptivePool(side):
            n, c, _, _ = shape
            return Shape(n, c, side, side)
        case Slice():
            n, _, *rest = shape
            return Shape(n, layer.width, *rest)
        case Flatten():
            return Shape(shape[0], product(*shape[1:]))
        case Linear():
            return Shape(*shape[:-1], layer.c_out)
        case Chain():
            for _, child in layer.children:
                shape = output(child, shape)
            return shape
        case Branches():
            return joined(layer, [output(child, shape) for _, child in layer.children])
        case _:
            assert_never(layer)


def joined(layer: Branches, shapes: list[Shape]) -> Shape:
    """The shape that the join of the branches' outputs ``(n, c, h, w)`` has."""
    match layer.join:
        case "add" | "mul":
            return shapes[0]
        case "concat":
            n, _, *rest = shapes[0]
            return Shape(n, total(shape[1] for shape in shapes), *rest)
        case _:
            assert_never(layer.join)


#: Rules with the path of the layer that needs them; the shape that leaves the layer is returned.
Constraints: TypeAlias = Generator[tuple[str, LayerRule], None, Shape]


def constraints(layer: Layer, shape: Shape, path: str = "") -> Constraints:
    """Every rule the tree must keep for an input ``(n, c, h, w)``, with the path that needs it."""
    match layer:
        case Chain(children, rules):
            for rule in rules:
                yield path, rule
            for name, child in children:
                shape = yield from constraints(child, shape, below(path, name))
            return shape
        case Branches(children, join):
            yield path, AtLeast("number of branches", len(children), 1)
            shapes = []
            for name, child in children:
                shapes.append((yield from constraints(child, shape, below(path, name))))
            yield from _join_rules(join, shapes, below(path, join))
            return joined(layer, shapes)
        case _:
            yield from _leaf_rules(layer, shape, path)
            return output(layer, shape)


def _leaf_rules(layer: Leaf, shape: Shape, path: str) -> Iterator[tuple[str, LayerRule]]:
    match layer:
        case Conv(c_in, c_out, kernel, stride, padding, groups):
            yield path, Equal("input width", c_in, "the arriving width", shape[1])
            yield path, AtLeast("output width", c_out, 1)
            yield path, AtLeast("padding", padding, 0)
            if not (type(groups) is int and groups == 1):
                yield path, Divides("input width", c_in, groups, "groups")
                yield path, Divides("output width", c_out, groups, "groups")
                yield path, AtLeast("groups", groups, 1)
            yield from _window(path, shape, kernel, stride, padding)
        case Norm(c):
            yield path, Equal("width", c, "the arriving width", shape[1])
        case LocalNorm(size):
            yield path, AtLeast("size", size, 1)
        case Dropout(percent):
            yield path, AtLeast("percent kept", 100 - percent, 0)
            yield path, AtLeast("percent", percent, 0)
        case Pool(_, kernel, stride, padding):
            yield path, AtLeast("padding", padding, 0)
            yield path, AtLeast("kernel", kernel, 2 * padding)
            yield from _window(path, shape, kernel, stride, padding)
        case AdaptivePool(side):
            yield path, AtLeast("side", side, 1)
        case Slice(offset, width):
            yield path, AtLeast("offset", offset, 0)
            yield path, AtLeast("width", width, 1)
            yield path, AtLeast("arriving width", shape[1], offset + width)
        case Shuffle(groups):
            yield path, AtLeast("groups", groups, 1)
            yield path, Divides("shuffled width", shape[1], groups, "g")
        case Linear(c_in, c_out, _):
            yield path, Equal("input features", c_in, "the arriving features", shape[-1])
            yield path, AtLeast("output features", c_out, 1)
        case Act() | Negate() | GlobalPool() | Flatten() | Identity():
            pass
        case _:
            assert_never(layer)


def _window(
    path: str, shape: Shape, kernel: int, stride: int, padding: int
) -> Iterator[tuple[str, LayerRule]]:
    yield path, AtLeast("kernel", kernel, 1)
    yield path, AtLeast("stride", stride, 1)
    _, _, h, w = shape
    yield path, AtLeast("padded input height", h + 2 * padding, kernel)
    if w is not h:
        yield path, AtLeast("padded input width", w + 2 * padding, kernel)


def _join_rules(join: Join, shapes: list[Shape], path: str) -> Iterator[tuple[str, LayerRule]]:
    first, *others = shapes
    axes = (0, *range(2, len(first))) if join == "concat" else tuple(range(len(first)))
    for other in others:
        if len(other) != len(first):
            yield path, Equal("rank", len(other), "the first branch's", len(first))
            continue
        for axis in axes:
            if join == "mul" and axis > 1 and type(other[axis]) is int and other[axis] == 1:
                continue
            yield path, Equal("size", other[axis], "the first branch's", first[axis])


def leaves(layer: Layer, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """Every leaf of the tree with its path; joins of branches, which are no layers, left out."""
    match layer:
        case Chain(children) | Branches(children):
            for name, child in children:
                yield from leaves(child, below(path, name))
        case _:
            yield path, layer


def depth(layer: Layer) -> int:
    """Layers with weights on the longest path, as the field counts them (a ResNet-50 has 50)."""
    match layer:
        case Conv() | Linear():
            return 1
        case Norm() | LocalNorm() | Act() | Negate() | Dropout() | Pool() | GlobalPool():
            return 0
        case AdaptivePool() | Shuffle() | Slice() | Flatten() | Identity():
            return 0
        case Chain(children):
            return sum(depth(child) for _, child in children)
        case Branches(children):
            return max((depth(child) for _, child in children), default=0)
        case _:
            assert_never(layer)
