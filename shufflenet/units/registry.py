"""The units that come with the package, by name: those of stages, then the plain layers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import get_args

from flopcount.layers import Function
from shufflenet.units import mobile, paper, plain, towers
from shufflenet.units.record import Takes, Unit

_FUNCTIONS: tuple[str, ...] = get_args(Function)


def _takes(**options: Takes) -> Mapping[str, Takes]:
    return MappingProxyType(options)


_STAGES = (
    Unit(
        "shufflenet",
        paper.shufflenet,
        "1x1 group conv, channel shuffle, 3x3 depthwise conv, 1x1 group conv (Fig. 2)",
        ratio=4,
        splits="groups",
        options=_takes(shuffle=bool, first_groups=int),
    ),
    Unit("resnet", paper.resnet, "bottleneck 1x1, 3x3, 1x1 (Sec. 3.2)", ratio=4),
    Unit(
        "resnext",
        paper.resnext,
        "bottleneck with a grouped 3x3; m rounded down to the cardinality (Sec. 4.2)",
        ratio=2,
        splits="cardinality",
        rounds="down",
        options=_takes(cardinality=int),
    ),
    Unit("xception", paper.xception, "ShuffleNet's unit with one group (Sec. 4.2)", ratio=4),
    Unit("vgg", paper.vgg, "two 3x3 convolutions, no shortcut (Sec. 4.2)"),
    Unit(
        "shufflenet_v2",
        mobile.shufflenet_v2,
        "half passes, half 1x1, 3x3 depthwise conv, 1x1; shuffled (ShuffleNet v2)",
    ),
    Unit(
        "separable",
        mobile.separable,
        "depthwise conv, 1x1 (MobileNet v1)",
        kernel="optional",
        options=_takes(between=bool, act=_FUNCTIONS, eps=Decimal),
    ),
    Unit(
        "inverted",
        mobile.inverted,
        "1x1 up, depthwise conv, squeeze-and-excitation, 1x1 down (MobileNet v2, v3, EfficientNet)",
        kernel="optional",
        options=_takes(
            expand=int,
            hidden=int,
            se=int,
            act=_FUNCTIONS,
            se_act=_FUNCTIONS,
            gate=_FUNCTIONS,
            eps=Decimal,
        ),
        inside=("hidden", "se"),
    ),
    Unit(
        "xception_block",
        mobile.xception_block,
        "separable 3x3s around a shortcut (Xception)",
        options=_takes(depth=int, grows=("first", "last"), starts=bool, eps=Decimal),
    ),
    Unit("fire", towers.fire, "1x1 to m, then 1x1 beside 3x3 (SqueezeNet)", ratio=8),
    Unit(
        "inception",
        towers.inception,
        "towers of 1x1 and 3x3s beside a pool (GoogLeNet)",
        options=_takes(towers=tuple, pool=int, eps=Decimal),
        needs=("towers",),
        inside=("towers", "pool"),
    ),
    Unit(
        "pvanet_inception",
        towers.pvanet_inception,
        "Inception, a 1x1 behind it, and a shortcut (PVANET)",
        options=_takes(towers=tuple, pool=int, eps=Decimal),
        needs=("towers",),
        inside=("towers", "pool"),
    ),
    Unit(
        "crelu_block",
        towers.crelu_block,
        "1x1, 3x3 with C.ReLU, 1x1, and a shortcut (PVANET)",
        options=_takes(inner=int, eps=Decimal),
        needs=("inner",),
        inside=("inner",),
    ),
)
_PLAIN = (
    Unit(
        "conv",
        plain.conv,
        "convolution, batch norm, ReLU",
        stage=False,
        kernel="required",
        options=_takes(
            padding=int,
            groups=int,
            bias=bool,
            norm=bool,
            act=("none", "crelu", *_FUNCTIONS),
            eps=Decimal,
            dropout=int,
        ),
    ),
    Unit(
        "max_pool",
        plain.max_pool,
        "maximum pooling",
        stage=False,
        kernel="required",
        widens=False,
        options=_takes(padding=int, ceil=bool),
    ),
    Unit(
        "global_pool",
        plain.global_pool,
        "average over all positions",
        stage=False,
        kernel="optional",
        widens=False,
        strides=False,
    ),
    Unit(
        "adaptive_pool",
        plain.adaptive_pool,
        "averages over side x side parts of any size",
        stage=False,
        widens=False,
        strides=False,
        options=_takes(side=int),
        needs=("side",),
    ),
    Unit(
        "lrn",
        plain.lrn,
        "local response normalisation",
        stage=False,
        widens=False,
        strides=False,
        options=_takes(size=int),
    ),
    Unit(
        "flatten",
        plain.flatten,
        "all features in one row",
        stage=False,
        widens=False,
        strides=False,
    ),
    Unit(
        "fc",
        plain.fc,
        "fully connected classifier with bias",
        stage=False,
        strides=False,
        options=_takes(act=("none", *_FUNCTIONS), dropout=int),
    ),
)

#: The units that come with the package, by name: those of stages, then the plain layers.
UNITS: Mapping[str, Unit] = MappingProxyType({unit.name: unit for unit in (*_STAGES, *_PLAIN)})
