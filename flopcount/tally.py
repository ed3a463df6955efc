"""Tally: what was counted, as one record.

A Tally holds raw facts, one entry for each leaf or operator that ran. What those facts are worth
is a matter of convention, and `flopcount.conventions` prices them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flopcount.entries import Entry, Group, Module, Parameter, grouped
from flopcount.integers import Count, product, total
from flopcount.module_tree import Node, grow

if TYPE_CHECKING:
    from fractions import Fraction


class UncountedError(ValueError):
    """In strict mode: something ran that has no rule."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted: an entry for each leaf or operator, in order of execution.

    ``element_bytes`` [B] is the size of one element; ``peak_activations`` the most elements alive
    while any entry runs, and ``peak_bytes`` [B] the same with every tensor's own element size; None
    where it was not asked for. ``uncounted`` says what ran and has no rule, and how often, so that
    nothing is zero in silence. ``parameters`` and ``modules`` are those of a PyTorch module, None
    and empty where there is none; ``batch`` is the first size of its first input.
    """

    entries: tuple[Entry, ...]
    element_bytes: int = 4
    peak_activations: Count | None = None
    uncounted: Mapping[str, int] = field(default_factory=dict)
    parameters: Sequence[Parameter] | None = None
    modules: Sequence[Module] = ()
    peak_bytes: Count | None = None
    batch: Count = 1

    @property
    def macs(self) -> Count:
        """Multiply-adds of convolutions, linear maps and matrix products [MAC]."""
        return total(entry.macs for entry in self.entries)

    @property
    def params(self) -> Count:
        """Every distinct learned parameter, used or not [params]."""
        if self.parameters is None:
            return total(entry.params for entry in self.entries)
        return total(parameter.elements for parameter in self.parameters)

    @property
    def trainable_params(self) -> Count:
        """Parameters that ask for a gradient [params]; all of them where no module lives."""
        return self.params - self.frozen_params

    @property
    def frozen_params(self) -> Count:
        """Parameters that ask for no gradient [params]."""
        return total(p.elements for p in self.parameters or () if not p.trainable)

    @property
    def tied_params(self) -> Count:
        """Parameters that bear more than one name, each counted once [params]."""
        return total(p.elements for p in self.parameters or () if p.aliases)

    @property
    def uncalled_params(self) -> Count:
        """Parameters that nothing read [params]."""
        if self.parameters is None:
            return total(entry.params for entry in self.entries if entry.kind == "uncalled")
        return total(p.elements for p in self.parameters if not p.called)

    @property
    def uncalled(self) -> tuple[str, ...]:
        """The paths of the modules that own a parameter which nothing read."""
        if self.parameters is None:
            return tuple(entry.path for entry in self.entries if entry.kind == "uncalled")
        paths = (p.name.rpartition(".")[0] for p in self.parameters if not p.called)
        return tuple(dict.fromkeys(paths))

    @property
    def param_bytes(self) -> Count:
        """Memory of the parameters [B], at ``element_bytes`` each."""
        return product(self.params, self.element_bytes)

    @property
    def activations(self) -> Count:
        """Elements of every tensor made on the way."""
        return total(entry.activations for entry in self.entries)

    @property
    def peak_memory(self) -> Count | None:
        """The most activation bytes alive while any entry runs, excluding weights [B]."""
        if self.peak_bytes is not None or self.peak_activations is None:
            return self.peak_bytes
        return product(self.peak_activations, self.element_bytes)

    @property
    def bytes_moved(self) -> Count:
        """Inputs, outputs and weights of every entry, unfused [B]."""
        return total(self._bytes(entry) for entry in self.entries)

    @property
    def intensity(self) -> Fraction:
        """Arithmetic intensity, multiply-adds for each byte moved [MAC/B]; 0 where none moves."""
        from fractions import Fraction

        return Fraction(self.macs, self.bytes_moved) if self.bytes_moved else Fraction(0)

    @property
    def coverage(self) -> Fraction:
        """The share of what ran that has a rule; 1 where all has."""
        from fractions import Fraction

        lost = sum(self.uncounted.values())
        ran = sum(entry.kind != "uncalled" for entry in self.entries)
        return Fraction(ran - lost, ran) if lost else Fraction(1)

    def by_kind(self) -> dict[str, Group]:
        """What each kind of entry comes to."""
        return self._grouped((entry.kind, entry) for entry in self.entries)

    def by_operator(self) -> dict[str, Group]:
        """What each operator comes to; an entry that names none stands under its kind."""
        return self._grouped((entry.operator or entry.kind, entry) for entry in self.entries)

    def by_module(self) -> Node:
        """The tree of modules by canonical path, with what each does itself and with its own."""
        return grow(self.entries, self.parameters, self.modules)

    def under(self, paths: Iterable[str]) -> Tally:
        """The entries at or below any of the paths, as a Tally of their own (no peak)."""
        roots = frozenset(paths)
        below = tuple(f"{root}." for root in roots)
        kept = tuple(e for e in self.entries if e.path in roots or e.path.startswith(below))
        lost = Counter(entry.operator for entry in kept if entry.kind == "uncounted")
        return Tally(kept, self.element_bytes, None, dict(lost), batch=self.batch)

    def by_path(self) -> dict[str, tuple[Entry, ...]]:
        """The entries of each path; a module that ran twice has two."""
        found = grouped((entry.path, entry) for entry in self.entries)
        return {path: tuple(entries) for path, entries in found.items()}

    def _bytes(self, entry: Entry) -> Count:
        if entry.moved_bytes is not None:
            return entry.moved_bytes
        return product(entry.moved, self.element_bytes)

    def _grouped(self, named: Iterable[tuple[str, Entry]]) -> dict[str, Group]:
        return {
            name: Group(
                len(entries),
                total(entry.macs for entry in entries),
                total(entry.params for entry in entries),
                total(entry.activations for entry in entries),
                total(map(self._bytes, entries)),
            )
            for name, entries in grouped(named).items()
        }
