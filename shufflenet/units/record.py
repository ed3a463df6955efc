"""What a unit is: how it is made, what a row may ask of it, and how its bottleneck follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from flopcount.integers import Count, exact, largest
from flopcount.layers import Layer
from flopcount.layers.rules import AtLeast, Divides, LayerRule
from shufflenet.units.context import Place

#: What an option may be: of a type, a number with decimals in quotes, or one of some names.
Takes: TypeAlias = type | tuple[str, ...]


class Unit(NamedTuple):
    """A unit by name: how it is made and how its bottleneck follows from its width.

    ``ratio`` is the bottleneck's default 1:ratio (None: no bottleneck); ``splits`` says whether
    its g is the network's groups, a cardinality of its own, or absent; ``rounds`` whether the
    bottleneck is kept exact (a rule) or rounded down to a multiple of g (a footnote); ``stage``
    whether stages can be made of it; ``kernel`` whether a row gives a ksize; ``widens`` and
    ``strides`` whether it may change the width, or stride and repeat; ``options`` what each is,
    ``needs`` those that a row must give, and ``inside`` those that are widths inside the unit, in
    proportion to the row's.
    """

    name: str
    make: Callable[[Place], Layer]
    says: str
    ratio: int | None = None
    splits: Literal["groups", "cardinality"] | None = None
    rounds: Literal["exact", "down"] = "exact"
    stage: bool = True
    kernel: Literal["required", "optional", "refused"] = "refused"
    widens: bool = True
    strides: bool = True
    options: Mapping[str, Takes] = MappingProxyType({})
    needs: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the unit comes with the package, so that what it takes is known."""
        return ":" not in self.name

    def bottleneck(
        self, c_out: Count, groups: Count, ratio: int | None = None
    ) -> tuple[Count, tuple[LayerRule, ...]]:
        """The bottleneck m of a unit c_out wide, and the rules that make it whole."""
        over = self.ratio if ratio is None else ratio
        if over is None:
            return 0, ()
        if self.rounds == "down":
            # at least one channel for each path, however narrow the unit
            m = largest(c_out // (over * groups), 1) * groups
            return m, ()
        rule: LayerRule = Divides("width", c_out, over)
        if self.splits == "groups" and self.known:
            rule = Divides("width", c_out, over * groups, f"{over}*g")
        return exact(c_out, over), (rule, AtLeast("width", c_out, over))
