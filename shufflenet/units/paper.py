"""The units that the paper compares in one frame: its own, and those before it.

All convolutions have a batch norm behind them and no bias; a ReLU follows where the paper puts
one, which is not after a depthwise convolution (Source: Sec. 3.2, Fig. 2).
"""

from __future__ import annotations

from flopcount.layers import Branches, Chain, Conv, Identity, Layer, Pool, Shuffle
from flopcount.layers.rules import AtLeast, Divides
from shufflenet.units.context import Place, after, conv_norm, projected, residual


def shufflenet(place: Place) -> Layer:
    """The ShuffleNet unit: 1x1 group conv, shuffle, 3x3 depthwise conv, 1x1 group conv.

    With stride 2 the shortcut is a 3x3 average pool, and the branches are concatenated
    (Source: Sec. 3.2, Fig. 2 b and c). Option ``shuffle = false`` leaves the shuffle out
    (Table 3); ``first_groups`` replaces g in the first 1x1 (Table 1, footnote 1).
    """
    c, m, g = place.c_in, place.m, place.groups
    concat = not place.plain
    d = place.c_out - c if concat else place.c_out
    shuffle = place.flag("shuffle", True) and not (type(g) is int and g == 1)
    body = Chain(
        (
            *conv_norm("compress", Conv(c, m, groups=place.number("first_groups", g))),
            *((("shuffle", Shuffle(g)),) if shuffle else ()),
            *conv_norm("depthwise", Conv(m, m, 3, place.stride, 1, m), None),
            *conv_norm("expand", Conv(m, d, groups=g), None),
        )
    )
    if not concat:
        return residual(Identity(), body)
    rules = (
        AtLeast("added width (out - in)", d, 1),
        Divides("added width (out - in)", d, g, "g"),
    )
    shortcut = Pool("avg", 3, place.stride, 1)
    return after(Branches((("shortcut", shortcut), ("body", body)), "concat"), rules)


def xception(place: Place) -> Layer:
    """The Xception-like unit: ShuffleNet's with one group, and so nothing to shuffle.

    Source: Sec. 4.2.
    """
    return shufflenet(place._replace(groups=1))


def resnet(place: Place) -> Layer:
    """The ResNet bottleneck: 1x1 to m, 3x3 with the stride, 1x1 back (Source: Sec. 3.2, [9])."""
    return resnext(place._replace(groups=1))


def resnext(place: Place) -> Layer:
    """The ResNeXt bottleneck: ResNet's with its 3x3 in g groups (Source: Sec. 3.2, [37])."""
    c, d, m = place.c_in, place.c_out, place.m
    body = Chain(
        (
            *conv_norm("compress", Conv(c, m)),
            *conv_norm("spatial", Conv(m, m, 3, place.stride, 1, place.groups)),
            *conv_norm("expand", Conv(m, d), None),
        )
    )
    return residual(projected(place), body)


def vgg(place: Place) -> Layer:
    """The VGG-like block: two 3x3 convolutions, the first with the stride, and no shortcut.

    Source: Sec. 4.2, [27].
    """
    c, d = place.c_in, place.c_out
    return Chain(
        (
            *conv_norm("conv1", Conv(c, d, 3, place.stride, 1)),
            *conv_norm("conv2", Conv(d, d, 3, 1, 1)),
        )
    )
