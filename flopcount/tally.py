"""Shape, Entry, Tally: the vocabulary that every other room speaks.

A Tally holds raw facts, one entry for each leaf that ran. What those facts are worth is a matter of
convention, and `flopcount.conventions` prices them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from flopcount.integers import Count, product, total


class Shape(tuple[Count, ...]):
    """The sizes of one tensor, batch first: ``(n, c, h, w)`` or ``(n, features)``.

    Raises ValueError for a size that is a plain number but not a whole number of at least 0.
    """

    __slots__ = ()

    def __new__(cls, *sizes: Count) -> Self:
        """The shape of these sizes."""
        for size in sizes:
            if type(size) is int:
                if size < 0:
                    raise ValueError(f"shape {sizes}: size {size} is negative")
            elif isinstance(size, (bool, float, str)):
                raise ValueError(f"shape {sizes}: size {size!r} is not a whole number")
        return super().__new__(cls, sizes)

    def __getnewargs__(self) -> tuple[Count, ...]:
        return tuple(self)

    @property
    def elements(self) -> Count:
        """The number of elements."""
        return product(*self)

    def __str__(self) -> str:
        return "x".join(str(size) for size in self)


#: Kinds that only rename a tensor: they make no new one, and move nothing.
VIEWS = frozenset({"flatten", "identity", "dropout"})


class Entry(NamedTuple):
    """The raw facts of one leaf: what it is, what went in and out, what it multiplies and holds.

    ``macs`` [MAC] are multiply-adds; ``weight`` and ``bias`` [params] the elements of each;
    ``inputs`` and ``outputs`` are shapes ``(n, c, h, w)``.
    """

    path: str
    kind: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    macs: Count = 0
    weight: Count = 0
    bias: Count = 0

    @property
    def params(self) -> Count:
        """Learned parameters, weight and bias together [params]."""
        return total((self.weight, self.bias))

    @property
    def activations(self) -> Count:
        """Elements of the new tensors this leaf makes; a view makes none."""
        return 0 if self.kind in VIEWS else total(shape.elements for shape in self.outputs)

    @property
    def moved(self) -> Count:
        """Elements read and written, unfused: inputs, outputs, weights; a view moves none."""
        if self.kind in VIEWS:
            return 0
        return total([*(s.elements for s in (*self.inputs, *self.outputs)), self.params])


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted: an entry for each leaf, in order of execution.

    ``element_bytes`` [B] is the size of one element; ``peak_activations`` the most elements alive
    while any leaf runs, or None where it was not asked for; ``uncounted`` names what ran and has
    no rule, as ``path (Class)``, so that nothing is zero in silence.
    """

    entries: tuple[Entry, ...]
    element_bytes: int = 4
    peak_activations: Count | None = None
    uncounted: tuple[str, ...] = ()

    @property
    def macs(self) -> Count:
        """Multiply-adds of convolutions, linear maps and matrix products [MAC]."""
        return total(entry.macs for entry in self.entries)

    @property
    def params(self) -> Count:
        """Learned parameters [params]."""
        return total(entry.params for entry in self.entries)

    @property
    def param_bytes(self) -> Count:
        """Memory of the parameters [B]."""
        return product(self.params, self.element_bytes)

    @property
    def activations(self) -> Count:
        """Elements of every tensor made on the way."""
        return total(entry.activations for entry in self.entries)

    @property
    def peak_activation_bytes(self) -> Count | None:
        """The most activation bytes alive while any leaf runs, weights apart [B]."""
        if self.peak_activations is None:
            return None
        return product(self.peak_activations, self.element_bytes)

    @property
    def bytes_moved(self) -> Count:
        """Inputs, outputs and weights of every leaf, unfused [B]."""
        return product(total(entry.moved for entry in self.entries), self.element_bytes)

    def under(self, paths: Iterable[str]) -> Tally:
        """The entries at or below any of the paths, as a Tally of their own (no peak)."""
        roots = frozenset(paths)
        below = tuple(f"{root}." for root in roots)
        kept = tuple(e for e in self.entries if e.path in roots or e.path.startswith(below))
        lost = tuple(
            p for p in self.uncounted if p.partition(" (")[0] in roots or p.startswith(below)
        )
        return Tally(kept, self.element_bytes, None, lost)

    def by_path(self) -> dict[str, tuple[Entry, ...]]:
        """The entries of each path; a module that ran twice has two."""
        found: dict[str, tuple[Entry, ...]] = {}
        for entry in self.entries:
            found[entry.path] = (*found.get(entry.path, ()), entry)
        return found
