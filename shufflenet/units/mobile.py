"""Units of depthwise convolutions: MobileNets, EfficientNet, Xception and ShuffleNet v2."""

from __future__ import annotations

from flopcount.integers import Count, exact
from flopcount.layers import (
    Act,
    Branches,
    Chain,
    Conv,
    Function,
    GlobalPool,
    Identity,
    Layer,
    Norm,
    Pool,
    Shuffle,
    Slice,
)
from flopcount.layers.rules import Divides, LayerRule
from shufflenet.units.context import NamedLayer, Place, activated, conv_norm, projected


def separable(place: Place) -> Layer:
    """A depthwise separable convolution: k x k depthwise, then 1x1 (MobileNet, arXiv:1704.04861).

    A batch norm and a nonlinearity stand behind both; option ``between = false`` leaves those of
    the depthwise one out, as Xception has it (arXiv:1610.02357). ``act`` is another
    nonlinearity.
    """
    act = place.function("act", "relu")
    depthwise = _depthwise(place.c_in, place.kernel or 3, place.stride)
    between = conv_norm("depthwise", depthwise, act, place.eps)
    point = conv_norm("pointwise", Conv(place.c_in, place.c_out), act, place.eps)
    return Chain((*(between if place.flag("between", True) else between[:1]), *point))


def xception_block(place: Place) -> Layer:
    """Xception's block: separable 3x3s, a max pool where it strides, and a shortcut.

    A ReLU stands before each; option ``starts = false`` leaves the first one out. ``depth`` is how
    many there are, 2 by default; ``grows`` whether the ``first`` or the ``last`` of them changes
    the width (Source: Chollet, Xception, arXiv:1610.02357, Fig. 5).
    """
    depth = place.number("depth", 2)
    at = depth - 1 if place.text("grows", "first") == "last" else 0
    layers: list[NamedLayer] = []
    c: Count = place.c_in
    for index in range(depth):
        d = place.c_out if index >= at else place.c_in
        name = f"separable{index + 1}"
        if index or place.flag("starts", True):
            layers.append((f"relu{index + 1}", Act()))
        layers += ((f"{name}_depthwise", _depthwise(c, 3)), (f"{name}_pointwise", Conv(c, d)))
        layers.append((f"{name}_norm", Norm(d, place.eps)))
        c = d
    if place.stride > 1:
        layers.append(("pool", Pool("max", 3, place.stride, 1)))
    body = Chain(tuple(layers))
    return Branches((("shortcut", projected(place)), ("body", body)), "add")


def inverted(place: Place) -> Layer:
    """An inverted residual: 1x1 up, k x k depthwise, 1x1 down without a nonlinearity.

    Option ``expand`` is how many times wider it is inside, 6 by default, and with 1 the first 1x1
    is left out; ``hidden`` gives that width itself. ``se`` is the width inside a
    squeeze-and-excitation behind the depthwise convolution, with the nonlinearities ``se_act`` and
    ``gate``; ``act`` is the unit's own (Source: MobileNet v2, arXiv:1801.04381, Sec. 3.3; v3,
    arXiv:1905.02244, Fig. 4).
    """
    c, act, eps = place.c_in, place.function("act", "relu6"), place.eps
    hidden, expand = place.number("hidden", 0), place.number("expand", 6)
    wide = place.inner(hidden) if hidden else expand * c
    up = conv_norm("expand", Conv(c, wide), act, eps) if hidden or expand != 1 else ()
    kernel = place.kernel or 3
    down = Conv(wide, place.c_out)
    body = Chain(
        (
            *up,
            *conv_norm("depthwise", _depthwise(wide, kernel, place.stride), act, eps),
            *_excited(place, wide),
            *conv_norm("project", down, None, eps),
        ),
        place.keeps(*(width for width in (hidden, place.number("se", 0)) if width)),
    )
    if not place.plain:
        return body
    return Branches((("shortcut", Identity()), ("body", body)), "add")


def _excited(place: Place, wide: Count) -> tuple[NamedLayer, ...]:
    """A squeeze-and-excitation: each channel times a number that all positions tell.

    Source: Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, Sec. 3.
    """
    width = place.number("se", 0)
    if not width:
        return ()
    few = place.inner(width)
    se_act: Function = place.function("se_act", "relu")
    gate = Chain(
        (
            ("pool", GlobalPool()),
            ("squeeze", Conv(wide, few, bias=True)),
            *activated("squeeze", se_act),
            ("restore", Conv(few, wide, bias=True)),
            *activated("restore", place.function("gate", "hardsigmoid")),
        )
    )
    return (("excite", Branches((("map", Identity()), ("gate", gate)), "mul")),)


def shufflenet_v2(place: Place) -> Layer:
    """The ShuffleNet v2 unit: half of the channels pass, half go 1x1, 3x3 depthwise, 1x1.

    Where it strides or changes the width, both halves see all channels, and the first goes 3x3
    depthwise, 1x1. The halves are concatenated and shuffled (Source: Ma et al., ShuffleNet V2,
    arXiv:1807.11164, Fig. 3 c and d).
    """
    c, half = place.c_in, exact(place.c_out, 2)
    # as wide as the first, by the rule; so the two are the whole for every candidate width
    other = place.c_out - half
    rules: tuple[LayerRule, ...] = (Divides("width", place.c_out, 2),)
    entering: tuple[NamedLayer, ...] = ()
    if place.plain:
        first: Layer = Slice(0, half)
        entering = (("split", Slice(half, other)),)
        c = other
    else:
        first = Chain(
            (
                *conv_norm("depthwise", _depthwise(c, 3, place.stride), None),
                *conv_norm("pointwise", Conv(c, half)),
            )
        )
    second = Chain(
        (
            *entering,
            *conv_norm("compress", Conv(c, other)),
            *conv_norm("depthwise", _depthwise(other, 3, place.stride), None),
            *conv_norm("expand", Conv(other, other)),
        )
    )
    joined = Branches((("first", first), ("second", second)), "concat")
    return Chain((("halves", joined), ("shuffle", Shuffle(2))), rules)


def _depthwise(c: Count, kernel: int, stride: int = 1) -> Conv:
    return Conv(c, c, kernel, stride, kernel // 2, c)
