"""What a unit is: how it is made, what a row may ask of it, and how its bottleneck follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from flopcount.integers import Count, exact, largest
from flopcount.layers import Layer
from flopcount.layers.rules import AtLeast, Divides, Rule
from shufflenet.arch.spec import Option, Row
from shufflenet.units.place import Place, UnitError

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

    def check(self, row: Row) -> None:
        """Check that a row gives what the unit takes. Raises UnitError where it does not."""
        faults = (
            (self.kernel == "required" and row.kernel is None, "needs a ksize"),
            (self.kernel == "refused" and row.kernel is not None, "takes no ksize"),
            (self.widens and row.channels is None, "needs channels"),
            (not self.widens and row.channels is not None, "keeps its width: takes no channels"),
            (not self.strides and (row.stride, row.repeat) != (1, 1), "takes no stride or repeat"),
            (self.known and self.ratio is None and row.ratio is not None, "takes no ratio"),
        )
        for fault, says in faults:
            if fault:
                raise UnitError(f"unit {self.name} {says}")
        self._check_needs(row)
        for option, value in row.options.items() if self.known else ():
            if option not in self.options:
                known = ", ".join(self.options) or "none"
                raise UnitError(f"unit {self.name} takes no option {option!r}; known: {known}")
            if wrong := _unfit(value, self.options[option]):
                raise UnitError(f"unit {self.name}: option {option} = {value!r} {wrong}")

    def adopt(self, row: Row) -> Row:
        """The row with this unit in place of its own, and only the options that it takes.

        A bundled unit has a ratio of its own; the row's stays for a unit from elsewhere. A
        cardinality belongs to the unit that was there. Raises UnitError where the row lacks what
        this unit needs.
        """
        self._check_needs(row)
        taken = set(self.options) - {"cardinality"}
        kept = {name: value for name, value in row.options.items() if name in taken}
        ratio = None if self.known else row.ratio
        return replace(row, unit=self.name, ratio=ratio, options=MappingProxyType(kept))

    def _check_needs(self, row: Row) -> None:
        for option in self.needs:
            if option not in row.options:
                raise UnitError(f"unit {self.name} needs option {option}")

    @property
    def known(self) -> bool:
        """Whether the unit comes with the package, so that what it takes is known."""
        return ":" not in self.name

    def bottleneck(
        self, c_out: Count, groups: Count, ratio: int | None = None
    ) -> tuple[Count, tuple[Rule, ...]]:
        """The bottleneck m of a unit c_out wide, and the rules that make it whole."""
        over = self.ratio if ratio is None else ratio
        if over is None:
            return 0, ()
        if self.rounds == "down":
            # at least one channel for each path, however narrow the unit
            m = largest(c_out // (over * groups), 1) * groups
            return m, ()
        rule: Rule = Divides("width", c_out, over)
        if self.splits == "groups" and self.known:
            rule = Divides("width", c_out, over * groups, f"{over}*g")
        return exact(c_out, over), (rule, AtLeast("width", c_out, over))


def _unfit(value: Option, wanted: Takes) -> str:
    """What is wrong with the value of an option, if anything is."""
    if isinstance(wanted, tuple):
        return "" if value in wanted else f"is none of {', '.join(wanted)}"
    if wanted is Decimal:
        says = "is not a number between 0 and 1 in quotes, such as '0.001'"
        return "" if _is_fraction(value) else says
    if type(value) is wanted:
        return ""
    if wanted.__name__ == "tuple":
        return "is not lists of whole numbers in a list"
    return f"is not of type {wanted.__name__}"


def _is_fraction(value: Option) -> bool:
    if not isinstance(value, str) or len(value) > 40:
        return False
    try:
        return 0 < Decimal(value) < 1
    except ArithmeticError:
        return False
