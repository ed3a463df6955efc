"""Units of several towers side by side: fire modules, Inception, and those of PVANET."""

from __future__ import annotations

from typing import cast

from flopcount.integers import Count, exact, total
from flopcount.layers import Act, Branches, Chain, Conv, Layer, Pool
from flopcount.layers.rules import LayerRule
from shufflenet.units.context import (
    NamedLayer,
    Place,
    Towers,
    UnitError,
    conv_norm,
    crelu,
    projected,
    residual,
)


def fire(place: Place) -> Layer:
    """SqueezeNet's fire module: a 1x1 to m, then a 1x1 and a 3x3 side by side, with biases.

    Source: Iandola et al., SqueezeNet, arXiv:1602.07360, Sec. 3.2.
    """
    if place.stride != 1:
        raise UnitError(f"unit fire has no stride, but a stride of {place.stride} is asked for")
    half = exact(place.c_out, 2)

    def one(name: str, conv: Conv) -> tuple[NamedLayer, ...]:
        return (name, conv), (f"{name}_relu", Act())

    wide = (
        ("one", Chain(one("expand1x1", Conv(place.m, half, bias=True)))),
        ("three", Chain(one("expand3x3", Conv(place.m, half, 3, 1, 1, bias=True)))),
    )
    squeeze = one("squeeze", Conv(place.c_in, place.m, bias=True))
    return Chain((*squeeze, ("expand", Branches(wide, "concat"))))


def inception(place: Place) -> Layer:
    """An Inception module: towers of a 1x1 and 3x3s, side by side with a pool and its 1x1.

    Option ``towers`` gives the widths of each, the 1x1 first; ``pool`` the width behind the pool,
    which is not there without it (Source: Szegedy et al., Going Deeper with Convolutions,
    arXiv:1409.4842, Fig. 2 b, with two 3x3 or one where it has a 5x5).
    """
    return Chain((("towers", _towers(place)),), _rules(place))


def pvanet_inception(place: Place) -> Layer:
    """PVANET's Inception: the towers, a 1x1 behind their join, and a shortcut around it all.

    Options as `inception` has them (Source: Kim et al., PVANET, arXiv:1608.08021, Table 1, Fig. 2).
    """
    joined = _joined_width(place)
    out = conv_norm("out", Conv(joined, place.c_out), None, place.eps)
    body = Chain((("towers", _towers(place)), *out))
    return residual(projected(place), body, _rules(place))


def crelu_block(place: Place) -> Layer:
    """PVANET's bottleneck: 1x1 with the stride, 3x3 with C.ReLU, 1x1, and a shortcut.

    Option ``inner`` is the width inside, before the C.ReLU doubles it (Source: Kim et al., PVANET,
    arXiv:1608.08021, Table 1, Fig. 1).
    """
    inner = place.number("inner", 0)
    m, eps = place.inner(inner), place.eps
    body = Chain(
        (
            *conv_norm("compress", Conv(place.c_in, m, stride=place.stride), eps=eps),
            *crelu("spatial", Conv(m, m, 3, 1, 1), eps),
            *conv_norm("expand", Conv(2 * m, place.c_out), None, eps),
        )
    )
    return residual(projected(place), body, place.keeps(inner))


def _towers(place: Place) -> Branches:
    eps = place.eps
    found: list[NamedLayer] = []
    for number, widths in enumerate(cast(Towers, place.options["towers"]), 1):
        layers: list[NamedLayer] = []
        c, kernel, stride = place.c_in, 1, place.stride
        for index, width in enumerate(widths, 1):
            d = place.inner(width)
            conv = Conv(c, d, kernel, stride, kernel // 2)
            layers += conv_norm(f"conv{index}", conv, eps=eps)
            c, kernel, stride = d, 3, 1
        found.append((f"tower{number}", Chain(tuple(layers))))
    pooled = place.number("pool", 0)
    if pooled:
        conv = Conv(place.c_in, place.inner(pooled))
        pool = Pool("max", 3, place.stride, 1)
        found.append(("pool", Chain((("max", pool), *conv_norm("conv", conv, eps=eps)))))
    return Branches(tuple(found), "concat")


def _ends(place: Place) -> tuple[int, ...]:
    """The widths that the towers end in, and that of the pool."""
    pooled = place.number("pool", 0)
    towers = cast(Towers, place.options["towers"])
    return (*(widths[-1] for widths in towers), *((pooled,) if pooled else ()))


def _joined_width(place: Place) -> Count:
    return total(place.inner(width) for width in _ends(place))


def _rules(place: Place) -> tuple[LayerRule, ...]:
    inside = (width for widths in cast(Towers, place.options["towers"]) for width in widths)
    return place.keeps(*inside, *_ends(place))
