"""A place in a network, and the convolutions that units are made of."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, cast

from flopcount.integers import Count, exact, same
from flopcount.layers import Act, Branches, Chain, Conv, Function, Identity, Layer, Negate, Norm
from flopcount.layers.rules import Divides, LayerRule

#: Widths in lists side by side, such as those of the towers of an Inception.
Towers: TypeAlias = tuple[tuple[int, ...], ...]
#: What an option of a row may be; the unit knows what it means.
Option: TypeAlias = bool | int | str | Towers
#: A layer and its name.
NamedLayer: TypeAlias = tuple[str, Layer]

#: What batch norms add to the variance where a row says nothing else: torch's default.
EPS = Decimal("1e-5")


class UnitError(ValueError):
    """A unit that is unknown, not allowed, or not what its row asks for."""


class Place(NamedTuple):
    """What a row asks of a unit at one place: widths in and out, window, groups.

    ``c_in``, ``c_out`` are the widths before and after [channels], ``m`` the bottleneck's (0 for
    a unit without one), ``groups`` the paper's g, or the cardinality for a unit that has one.
    ``own`` is the width for which the row's options are written.
    """

    c_in: Count
    c_out: Count
    m: Count = 0
    stride: int = 1
    groups: Count = 1
    kernel: int = 3
    options: Mapping[str, Option] = MappingProxyType({})
    own: int = 0

    def number(self, option: str, default: Count) -> Count:
        """A whole number from the row's options, or the default."""
        value = self.options.get(option)
        return default if value is None else cast(int, value)

    def flag(self, option: str, default: bool) -> bool:
        """A yes or no from the row's options, or the default."""
        return bool(self.options.get(option, default))

    def text(self, option: str, default: str) -> str:
        """A text from the row's options, or the default."""
        return str(self.options.get(option, default))

    def function(self, option: str, default: Function) -> Function:
        """The name of a nonlinearity from the row's options, or the default."""
        return cast(Function, self.text(option, default))

    @property
    def eps(self) -> Decimal:
        """What the row's batch norms add to the variance."""
        return Decimal(str(self.options.get("eps", EPS)))

    def inner(self, width: int) -> Count:
        """A width inside the unit [channels], in proportion to the unit's own."""
        if type(self.c_out) is int and self.c_out == self.own:
            return width
        return exact(width * self.c_out, self.own)

    def keeps(self, *widths: int) -> tuple[LayerRule, ...]:
        """The rules that make such inner widths whole."""
        by = "the spec's width"
        return tuple(
            Divides(f"{width} x width =", width * self.c_out, self.own, by)
            for width in dict.fromkeys(widths)
        )

    @property
    def plain(self) -> bool:
        """Whether the shortcut can be the input itself: no stride and no change of width."""
        return self.stride == 1 and same(self.c_in, self.c_out)


def conv_norm(
    name: str, conv: Conv, act: Function | None = "relu", eps: Decimal = EPS
) -> tuple[NamedLayer, ...]:
    """A convolution, its batch norm and perhaps a nonlinearity, named after the convolution."""
    return (name, conv), (f"{name}_norm", Norm(conv.c_out, eps)), *activated(name, act)


def activated(name: str, act: Function | None) -> tuple[NamedLayer, ...]:
    """The nonlinearity behind a layer of that name, or nothing."""
    if act is None:
        return ()
    word = "relu" if act == "relu" else "act"
    return ((f"{name}_{word}", Act(act)),)


def crelu(name: str, conv: Conv, eps: Decimal) -> tuple[NamedLayer, ...]:
    """A convolution, then its result beside the negation of it, a batch norm and a ReLU.

    The norm's scale and shift for each of the two copies are those of the C.ReLU (Source: Kim et
    al., PVANET, arXiv:1608.08021, Fig. 1).
    """
    both = Branches((("same", Identity()), ("negated", Negate())), "concat")
    norm = Norm(2 * conv.c_out, eps)
    return (name, conv), (f"{name}_both", both), (f"{name}_norm", norm), (f"{name}_relu", Act())


def residual(shortcut: Layer, body: Layer, rules: tuple[LayerRule, ...] = ()) -> Chain:
    """The sum of a shortcut and a body, and a ReLU behind it."""
    return after(Branches((("shortcut", shortcut), ("body", body)), "add"), rules)


def after(branches: Branches, rules: tuple[LayerRule, ...] = ()) -> Chain:
    """Branches and a ReLU behind their join."""
    return Chain((("residual", branches), ("relu", Act("relu"))), rules)


def projected(place: Place, stride: int | None = None) -> Layer:
    """The shortcut past a unit: its input, or a 1x1 projection where the shape changes."""
    if place.plain:
        return Identity()
    conv = Conv(place.c_in, place.c_out, stride=place.stride if stride is None else stride)
    return Chain(conv_norm("project", conv, None, place.eps))


def is_unit_name(text: str) -> bool:
    """Whether a text can name a unit: a name, or package.module:function."""
    module, colon, attribute = text.partition(":")
    parts = [*module.split("."), attribute] if colon else [module]
    return len(text) <= 300 and text.isascii() and all(part.isidentifier() for part in parts)
