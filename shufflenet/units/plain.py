"""Plain layers: one convolution, a pool, a classifier."""

from __future__ import annotations

from typing import cast

from flopcount.integers import exact
from flopcount.layers import (
    AdaptivePool,
    Chain,
    Conv,
    Dropout,
    Flatten,
    Function,
    GlobalPool,
    Layer,
    Linear,
    LocalNorm,
    Pool,
)
from flopcount.layers.rules import Divides
from shufflenet.units.context import NamedLayer, Place, activated, conv_norm, crelu


def conv(place: Place) -> Layer:
    """A convolution, a batch norm and a ReLU.

    Option ``padding`` is (k - 1)//2 by default, which keeps the size at stride 1 and odd k.
    ``act`` is another nonlinearity, ``none``, or ``crelu``, which doubles the channels of the
    convolution; ``norm = false`` leaves the norm out, ``bias = true`` adds a bias; ``groups`` are
    those of the convolution; ``dropout`` percent are dropped in front of it.
    """
    padding = place.number("padding", (place.kernel - 1) // 2)
    groups, bias = place.number("groups", 1), place.flag("bias", False)
    act = place.text("act", "relu")
    rest = (place.kernel, place.stride, padding, groups, bias)
    if act == "crelu":
        layer = Conv(place.c_in, exact(place.c_out, 2), *rest)
        return Chain(crelu("conv", layer, place.eps), (Divides("width", place.c_out, 2),))
    layer = Conv(place.c_in, place.c_out, *rest)
    function = None if act == "none" else cast(Function, act)
    if place.flag("norm", True):
        return Chain((*_dropped(place), *conv_norm("conv", layer, function, place.eps)))
    return Chain((*_dropped(place), ("conv", layer), *activated("conv", function)))


def max_pool(place: Place) -> Layer:
    """A maximum pooling, with the option ``padding`` as `conv` has it.

    Option ``ceil = true`` rounds the size up.
    """
    padding = place.number("padding", (place.kernel - 1) // 2)
    return Pool("max", place.kernel, place.stride, padding, place.flag("ceil", False))


def global_pool(place: Place) -> Layer:
    """The average over all positions, whatever the size of the input."""
    return GlobalPool()


def adaptive_pool(place: Place) -> Layer:
    """The averages over as many parts as the option ``side`` says, squared."""
    return AdaptivePool(place.number("side", 1))


def lrn(place: Place) -> Layer:
    """A local response normalisation, over 5 channels or the option ``size``."""
    return LocalNorm(place.number("size", 5))


def flatten(place: Place) -> Layer:
    """A view of all features in one row."""
    return Flatten()


def fc(place: Place) -> Layer:
    """The classifier: a fully connected layer with bias on the flattened features.

    Options ``dropout``, in percent and in front, and ``act``, behind.
    """
    act = place.text("act", "none")
    function = None if act == "none" else cast(Function, act)
    linear = ("linear", Linear(place.c_in, place.c_out))
    return Chain((("flatten", Flatten()), *_dropped(place), linear, *activated("linear", function)))


def _dropped(place: Place) -> tuple[NamedLayer, ...]:
    percent = place.number("dropout", 0)
    return (("dropout", Dropout(percent)),) if percent else ()
