"""Leaf layers with what they cost, as data, and legal random trees made of them.

The table drives the formulas and the hooks alike; every figure is a closed-form product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, get_args

from hypothesis import strategies as st

from flopcount import Shape
from flopcount.integers import lift
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
    Layer,
    Leaf,
    Linear,
    LocalNorm,
    Negate,
    Norm,
    Pool,
    Shuffle,
    Slice,
)


@dataclass(frozen=True)
class Case:
    """A leaf, the shapes around it, and its multiply-adds and parameters."""

    name: str
    layer: Leaf
    input: Shape
    output: Shape
    kind: str
    macs: int = 0
    weight: int = 0
    bias: int = 0
    operator: str = ""

    def __str__(self) -> str:
        return self.name


CASES = (
    Case(
        "conv 1x1",
        Conv(6, 4),
        Shape(1, 6, 5, 5),
        Shape(1, 4, 5, 5),
        "conv",
        macs=4 * 5 * 5 * 6,
        weight=4 * 6,
    ),
    Case(
        "conv 1x1 with bias",
        Conv(6, 4, bias=True),
        Shape(2, 6, 5, 5),
        Shape(2, 4, 5, 5),
        "conv",
        macs=2 * 4 * 5 * 5 * 6,
        weight=4 * 6,
        bias=4,
    ),
    Case(
        "conv 1x1 stride 2 on odd sizes",
        Conv(6, 4, 1, 2),
        Shape(1, 6, 7, 5),
        Shape(1, 4, 4, 3),
        "conv",
        macs=4 * 4 * 3 * 6,
        weight=4 * 6,
    ),
    Case(
        "conv 3x3 padded",
        Conv(3, 4, 3, 1, 1, bias=True),
        Shape(2, 3, 8, 8),
        Shape(2, 4, 8, 8),
        "conv",
        macs=2 * 4 * 8 * 8 * 3 * 3 * 3,
        weight=4 * 3 * 3 * 3,
        bias=4,
    ),
    Case(
        "conv 3x3 unpadded",
        Conv(3, 4, 3),
        Shape(1, 3, 8, 6),
        Shape(1, 4, 6, 4),
        "conv",
        macs=4 * 6 * 4 * 3 * 3 * 3,
        weight=4 * 3 * 3 * 3,
    ),
    Case(
        "conv 3x3 stride 2 on even sizes",
        Conv(3, 24, 3, 2, 1),
        Shape(1, 3, 8, 6),
        Shape(1, 24, 4, 3),
        "conv",
        macs=24 * 4 * 3 * 3 * 3 * 3,
        weight=24 * 3 * 3 * 3,
    ),
    Case(
        "conv 3x3 stride 2 on odd sizes",
        Conv(3, 24, 3, 2, 1),
        Shape(1, 3, 9, 7),
        Shape(1, 24, 5, 4),
        "conv",
        macs=24 * 5 * 4 * 3 * 3 * 3,
        weight=24 * 3 * 3 * 3,
    ),
    Case(
        "conv 2x2 stride 3 leaves a remainder",
        Conv(2, 2, 2, 3),
        Shape(1, 2, 10, 7),
        Shape(1, 2, 3, 2),
        "conv",
        macs=2 * 3 * 2 * 2 * 2 * 2,
        weight=2 * 2 * 2 * 2,
    ),
    Case(
        "conv 7x7 stride 2",
        Conv(3, 8, 7, 2, 3),
        Shape(1, 3, 14, 15),
        Shape(1, 8, 7, 8),
        "conv",
        macs=8 * 7 * 8 * 3 * 7 * 7,
        weight=8 * 3 * 7 * 7,
    ),
    Case(
        "conv whose window is the image",
        Conv(4, 10, 5),
        Shape(1, 4, 5, 5),
        Shape(1, 10, 1, 1),
        "conv",
        macs=10 * 1 * 1 * 4 * 5 * 5,
        weight=10 * 4 * 5 * 5,
    ),
    Case(
        "conv padded by more than the window",
        Conv(1, 2, 1, 1, 2),
        Shape(1, 1, 3, 2),
        Shape(1, 2, 7, 6),
        "conv",
        macs=2 * 7 * 6 * 1,
        weight=2 * 1,
    ),
    Case(
        "conv of 2 groups",
        Conv(4, 6, 3, 1, 1, 2),
        Shape(2, 4, 5, 5),
        Shape(2, 6, 5, 5),
        "conv",
        macs=2 * 6 * 5 * 5 * 4 // 2 * 3 * 3,
        weight=6 * 4 // 2 * 3 * 3,
    ),
    Case(
        "pointwise conv of 3 groups with bias",
        Conv(12, 9, groups=3, bias=True),
        Shape(1, 12, 4, 3),
        Shape(1, 9, 4, 3),
        "conv",
        macs=9 * 4 * 3 * 12 // 3,
        weight=9 * 12 // 3,
        bias=9,
    ),
    Case(
        "conv of 2 groups, stride 2, odd sizes",
        Conv(8, 4, 5, 2, 2, 2),
        Shape(3, 8, 11, 9),
        Shape(3, 4, 6, 5),
        "conv",
        macs=3 * 4 * 6 * 5 * 8 // 2 * 5 * 5,
        weight=4 * 8 // 2 * 5 * 5,
    ),
    Case(
        "depthwise conv",
        Conv(8, 8, 3, 1, 1, 8),
        Shape(1, 8, 7, 7),
        Shape(1, 8, 7, 7),
        "conv",
        macs=8 * 7 * 7 * 3 * 3,
        weight=8 * 3 * 3,
    ),
    Case(
        "depthwise conv, stride 2, odd sizes",
        Conv(8, 8, 3, 2, 1, 8, bias=True),
        Shape(2, 8, 7, 9),
        Shape(2, 8, 4, 5),
        "conv",
        macs=2 * 8 * 4 * 5 * 3 * 3,
        weight=8 * 3 * 3,
        bias=8,
    ),
    Case(
        "depthwise conv with two filters a channel",
        Conv(4, 8, 3, 1, 1, 4),
        Shape(1, 4, 6, 5),
        Shape(1, 8, 6, 5),
        "conv",
        macs=8 * 6 * 5 * 1 * 3 * 3,
        weight=8 * 1 * 3 * 3,
    ),
    Case(
        "linear",
        Linear(8, 5),
        Shape(2, 8),
        Shape(2, 5),
        "linear",
        macs=2 * 5 * 8,
        weight=5 * 8,
        bias=5,
    ),
    Case(
        "linear without bias",
        Linear(960, 10, bias=False),
        Shape(1, 960),
        Shape(1, 10),
        "linear",
        macs=10 * 960,
        weight=10 * 960,
    ),
    Case(
        "linear on a sequence",
        Linear(8, 5),
        Shape(2, 6, 8),
        Shape(2, 6, 5),
        "linear",
        macs=2 * 6 * 5 * 8,
        weight=5 * 8,
        bias=5,
    ),
    Case(
        "norm",
        Norm(6),
        Shape(2, 6, 5, 3),
        Shape(2, 6, 5, 3),
        "batch_norm",
        weight=6,
        bias=6,
    ),
    Case(
        "norm with another epsilon",
        Norm(6, Decimal("0.001")),
        Shape(2, 6, 5, 3),
        Shape(2, 6, 5, 3),
        "batch_norm",
        weight=6,
        bias=6,
    ),
    Case(
        "local norm",
        LocalNorm(5),
        Shape(2, 6, 5, 3),
        Shape(2, 6, 5, 3),
        "norm",
        operator="local_response_norm",
    ),
    Case("relu6", Act("relu6"), Shape(2, 6, 5, 3), Shape(2, 6, 5, 3), "relu6"),
    *(
        Case(
            name,
            Act(name),
            Shape(2, 6, 5, 3),
            Shape(2, 6, 5, 3),
            "activation",
            operator=name,
        )
        for name in get_args(Function)
        if not name.startswith("relu")
    ),
    Case(
        "negation",
        Negate(),
        Shape(2, 6, 5, 3),
        Shape(2, 6, 5, 3),
        "elementwise",
        operator="neg",
    ),
    Case("dropout of a map", Dropout(), Shape(2, 6, 5, 3), Shape(2, 6, 5, 3), "dropout"),
    Case("dropout of features", Dropout(20), Shape(2, 6), Shape(2, 6), "dropout"),
    Case("slice", Slice(4, 2), Shape(2, 6, 5, 3), Shape(2, 2, 5, 3), "slice"),
    Case("relu of a map", Act(), Shape(2, 6, 5, 3), Shape(2, 6, 5, 3), "relu"),
    Case("relu of features", Act("relu"), Shape(2, 6), Shape(2, 6), "relu"),
    Case(
        "max pool 3x3 stride 2",
        Pool("max", 3, 2, 1),
        Shape(1, 4, 8, 7),
        Shape(1, 4, 4, 4),
        "max_pool",
    ),
    Case(
        "max pool 2x2 drops the last row and column",
        Pool("max", 2, 2),
        Shape(2, 4, 7, 5),
        Shape(2, 4, 3, 2),
        "max_pool",
    ),
    Case(
        "avg pool 3x3 stride 2",
        Pool("avg", 3, 2, 1),
        Shape(1, 4, 7, 8),
        Shape(1, 4, 4, 4),
        "avg_pool",
    ),
    Case(
        "avg pool 3x3 stride 1",
        Pool("avg", 3, 1, 1),
        Shape(1, 4, 1, 2),
        Shape(1, 4, 1, 2),
        "avg_pool",
    ),
    Case(
        "max pool 3x3 stride 2 rounding up",
        Pool("max", 3, 2, ceil=True),
        Shape(1, 4, 8, 7),
        Shape(1, 4, 4, 3),
        "max_pool",
    ),
    Case(
        "avg pool 2x2 stride 3 whose last window would lie behind the image",
        Pool("avg", 2, 3, 1, ceil=True),
        Shape(1, 4, 8, 6),
        Shape(1, 4, 3, 3),
        "avg_pool",
    ),
    Case(
        "adaptive pool",
        AdaptivePool(3),
        Shape(2, 4, 7, 2),
        Shape(2, 4, 3, 3),
        "adaptive_avg_pool",
    ),
    Case(
        "adaptive pool to one place",
        AdaptivePool(1),
        Shape(2, 4, 7, 2),
        Shape(2, 4, 1, 1),
        "global_avg_pool",
    ),
    Case("global pool", GlobalPool(), Shape(2, 9, 7, 5), Shape(2, 9, 1, 1), "global_avg_pool"),
    Case("shuffle", Shuffle(3), Shape(2, 12, 4, 5), Shape(2, 12, 4, 5), "channel_shuffle"),
    Case("flatten", Flatten(), Shape(2, 6, 3, 4), Shape(2, 6 * 3 * 4), "flatten"),
    Case("identity", Identity(), Shape(2, 6, 3, 4), Shape(2, 6, 3, 4), "identity"),
)

#: What a layer's rules forbid: the layer, what arrives, and what the first broken rule says.
BROKEN: tuple[tuple[Leaf, Shape, str], ...] = (
    (Conv(3, 8), Shape(1, 4, 5, 5), "input width 3 is not the arriving width 4"),
    (
        Conv(6, 8, groups=4),
        Shape(1, 6, 5, 5),
        "input width 6 is not a multiple of groups = 4",
    ),
    (
        Conv(8, 6, groups=4),
        Shape(1, 8, 5, 5),
        "output width 6 is not a multiple of groups = 4",
    ),
    (
        Conv(8, 8, groups=0),
        Shape(1, 8, 5, 5),
        "input width 8 is not a multiple of groups = 0",
    ),
    (Conv(3, 3, 5), Shape(1, 3, 4, 5), "padded input height 4 is less than 5"),
    (Conv(3, 3, 7, 1, 1), Shape(1, 3, 5, 4), "padded input width 6 is less than 7"),
    (Norm(3), Shape(1, 4, 5, 5), "width 3 is not the arriving width 4"),
    (
        Pool("max", 2, 2, 2),
        Shape(1, 4, 5, 5),
        "kernel 2 is less than 4",
    ),
    (Pool("avg", 3, 2), Shape(1, 4, 2, 5), "padded input height 2 is less than 3"),
    (Slice(4, 3), Shape(1, 6, 5, 5), "arriving width 6 is less than 7"),
    (Slice(-1, 2), Shape(1, 6, 5, 5), "offset -1 is less than 0"),
    (Dropout(101), Shape(1, 6), "percent kept -1 is less than 0"),
    (Dropout(-1), Shape(1, 6), "percent -1 is less than 0"),
    (Shuffle(3), Shape(1, 8, 5, 5), "shuffled width 8 is not a multiple of g = 3"),
    (Linear(7, 5), Shape(1, 8), "input features 7 is not the arriving features 8"),
)


def times(layer: Leaf, factor: Any) -> Leaf:
    """The layer with every width times a factor; depthwise stays depthwise."""
    match layer:
        case Conv(c_in, c_out, groups=groups):
            wide = lift(c_in * factor)
            split = wide if groups == c_in else groups
            return replace(layer, c_in=wide, c_out=lift(c_out * factor), groups=split)
        case Linear(c_in, c_out):
            return replace(layer, c_in=lift(c_in * factor), c_out=lift(c_out * factor))
        case Norm(c):
            return replace(layer, c=lift(c * factor))
        case Slice(offset, width):
            return Slice(lift(offset * factor), lift(width * factor))
        case _:
            return layer


def widened(case: Case, factor: Any) -> tuple[Leaf, Shape]:
    """The case's layer and input with every width times a factor: an int or an int64 array."""
    sizes = list(case.input)
    axis = -1 if isinstance(case.layer, Linear) else 1
    sizes[axis] = lift(sizes[axis] * factor)
    return times(case.layer, factor), Shape(*sizes)


Sizes = tuple[int, ...]
#: Leaves without a size of their own, which take anything.
PLAIN: tuple[Leaf, ...] = (Identity(), Negate(), Dropout(30))


def slid(size: int, kernel: int, stride: int, padding: int, ceil: bool = False) -> int:
    """The positions of a window, counted one by one.

    Where it rounds up, one more that reaches over the end, if it begins on the image or its first
    padding.
    """
    whole = range(0, size + 2 * padding - kernel + 1, stride)
    following = len(whole) * stride
    left = whole and whole[-1] + kernel < size + 2 * padding
    return len(whole) + bool(ceil and left and following < size + padding)


def _leaf(draw: Any, at: Sizes, *, keep: bool) -> tuple[Leaf, Sizes]:
    if len(at) == 2:
        n, c = at
        if draw(st.booleans()):
            d = draw(st.integers(1, 9))
            return Linear(c, d, bias=draw(st.booleans())), (n, d)
        return draw(st.sampled_from((*map(Act, get_args(Function)), *PLAIN))), at
    n, c, h, w = at
    moving = () if keep else ("strided", "pool", "global_pool", "adaptive", "flatten")
    kinds = ("conv", "conv", "norm", "act", "smooth", "shuffle", "slice", "plain", *moving)
    match draw(st.sampled_from(kinds)):
        case "conv" | "strided" as kind:
            g = draw(st.sampled_from([g for g in range(1, c + 1) if c % g == 0]))
            d = g * draw(st.integers(1, 3))
            k = draw(st.sampled_from((1, 3)))
            s = 2 if kind == "strided" else 1
            p = (k - 1) // 2
            conv = Conv(c, d, k, s, p, g, bias=draw(st.booleans()))
            return conv, (n, d, slid(h, k, s, p), slid(w, k, s, p))
        case "pool":
            mode, ceil = draw(st.sampled_from(("max", "avg"))), draw(st.booleans())
            k, s = draw(st.sampled_from(((3, 2), (3, 3), (2, 3))))
            pool = Pool(mode, k, s, 1, ceil)
            return pool, (n, c, slid(h, k, s, 1, ceil), slid(w, k, s, 1, ceil))
        case "adaptive":
            side = draw(st.integers(1, 4))
            return AdaptivePool(side), (n, c, side, side)
        case "slice":
            offset = draw(st.integers(0, c - 1))
            width = draw(st.integers(1, c - offset))
            return Slice(offset, width), (n, width, h, w)
        case "smooth":
            return Pool(draw(st.sampled_from(("max", "avg"))), 3, 1, 1), at
        case "norm":
            return Norm(c, draw(st.sampled_from((Decimal("1e-5"), Decimal("0.001"))))), at
        case "act":
            return Act(draw(st.sampled_from(get_args(Function)))), at
        case "shuffle":
            return Shuffle(draw(st.sampled_from([g for g in range(1, c + 1) if c % g == 0]))), at
        case "global_pool":
            return GlobalPool(), (n, c, 1, 1)
        case "flatten":
            return Flatten(), (n, c * h * w)
        case _:
            return draw(st.sampled_from((*PLAIN, LocalNorm(3)))), at


def _chain(draw: Any, at: Sizes, depth: int, *, keep: bool) -> tuple[Layer, Sizes]:
    children: list[Layer] = []
    for _ in range(draw(st.integers(0, 3))):
        child, after = _tree(draw, at, depth - 1, keep=keep)
        # the same object again is what the fold may take a short cut on
        again = draw(st.integers(0, 2)) if after == at else 0
        children += [child] * (1 + again)
        at = after
    return Chain(tuple((f"s{i}", child) for i, child in enumerate(children))), at


def _branch(draw: Any, at: Sizes, depth: int, end: int | None, stride: int) -> tuple[Layer, Sizes]:
    plain = stride == 1 and (end is None or end == at[1])
    if plain and draw(st.booleans()):
        views = (Identity(), Chain(()), Chain((("s0", Identity()), ("s1", Dropout()))))
        return draw(st.sampled_from(views)), at
    body, after = _tree(draw, at, depth - 1, keep=True)
    width = draw(st.integers(1, 4)) if end is None else end
    if len(at) == 2:
        return Chain((("body", body), ("last", Linear(after[1], width)))), (at[0], width)
    n, c, h, w = after
    out = (n, width, slid(h, 3, stride, 1), slid(w, 3, stride, 1))
    return Chain((("body", body), ("last", Conv(c, width, 3, stride, 1)))), out


def _branches(draw: Any, at: Sizes, depth: int, *, keep: bool) -> tuple[Layer, Sizes]:
    join = draw(st.sampled_from(("add", "concat", "mul")))
    stride = 1 if keep or len(at) == 2 else draw(st.sampled_from((1, 2)))
    end = draw(st.sampled_from((at[1], at[1], 3))) if join != "concat" else None
    made = [_branch(draw, at, depth, end, stride) for _ in range(draw(st.integers(2, 3)))]
    if join == "mul" and len(at) == 4 and draw(st.booleans()):
        # one number for each channel, as a squeeze-and-excitation has it
        out = made[0][1]
        gate = Chain((("pool", GlobalPool()), ("last", Conv(at[1], out[1]))))
        made.append((gate, out))
    layer = Branches(tuple((f"b{i}", child) for i, (child, _) in enumerate(made)), join)
    n, c, *rest = made[0][1]
    return layer, (n, sum(out[1] for _, out in made) if join == "concat" else c, *rest)


def _tree(draw: Any, at: Sizes, depth: int, *, keep: bool) -> tuple[Layer, Sizes]:
    kinds = ("leaf",) if depth < 1 else ("leaf", "chain", "branches", "branches")
    match draw(st.sampled_from(kinds)):
        case "chain":
            return _chain(draw, at, depth, keep=keep)
        case "branches":
            return _branches(draw, at, depth, keep=keep)
        case _:
            return _leaf(draw, at, keep=keep)


@st.composite
def trees(draw: Any, depth: int = 3) -> tuple[Layer, Shape, Shape]:
    """A legal tree with branches in branches, views and repeats; its input and its output."""
    sizes = (draw(st.integers(1, 2)), *(draw(st.integers(1, 6)) for _ in range(3)))
    layer, after = _chain(draw, sizes, depth, keep=False)
    return layer, Shape(*sizes), Shape(*after)


@st.composite
def bodies(draw: Any, depth: int = 2) -> tuple[Layer, Shape]:
    """A legal tree whose output is as large as its input, and that input."""
    sizes = (1, draw(st.integers(1, 6)), draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    body, (_, c, _, _) = _tree(draw, sizes, depth, keep=True)
    return Chain((("body", body), ("last", Conv(c, sizes[1])))), Shape(*sizes)
