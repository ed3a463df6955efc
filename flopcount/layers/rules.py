"""Rules that make a layer tree legal, as records that can be asked and can say what is wrong.

A rule holds plain numbers, or arrays of candidates; ``holds()`` then answers for each candidate.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from flopcount.integers import Count


class Divides(NamedTuple):
    """``value`` is a multiple of ``by``; ``by_name`` says where the multiple comes from (4*g)."""

    what: str
    value: Count
    by: Count
    by_name: str = ""

    def holds(self) -> bool:
        """True where the rule is kept, for each candidate."""
        if self.by is self.value:
            return True
        if type(self.by) is int and self.by < 1:
            return False
        return self.value % self.by == 0

    def __str__(self) -> str:
        by = f"{self.by_name} = {self.by}" if self.by_name else f"{self.by}"
        return f"{self.what} {self.value} is not a multiple of {by}"


class AtLeast(NamedTuple):
    """``value`` is no smaller than ``minimum``."""

    what: str
    value: Count
    minimum: int

    def holds(self) -> bool:
        """True where the rule is kept, for each candidate."""
        return self.value >= self.minimum

    def missing(self) -> int:
        """How much a broken value lacks."""
        return self.minimum - self.value

    def __str__(self) -> str:
        return f"{self.what} {self.value} is less than {self.minimum}"


class Equal(NamedTuple):
    """``value`` equals ``other``: what arrives is what the layer expects."""

    what: str
    value: Count
    other_what: str
    other: Count

    def holds(self) -> bool:
        """True where the rule is kept, for each candidate."""
        if self.value is self.other:
            return True
        return self.value == self.other

    def missing(self) -> int:
        """How far a broken value is from the other."""
        return abs(self.value - self.other)

    def __str__(self) -> str:
        return f"{self.what} {self.value} is not {self.other_what} {self.other}"


#: Every kind of rule.
LayerRule: TypeAlias = Divides | AtLeast | Equal
