"""Shape, Entry and the other records that a Tally is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self, TypeVar

from flopcount.integers import Count, product, total

K = TypeVar("K")
V = TypeVar("V")


class Shape(tuple[Count, ...]):
    """The sizes of one tensor, batch first: ``(n, c, h, w)`` or ``(n, features)``.

    Raises ValueError for a size that is a plain number but not a whole number of at least 0.
    """

    __slots__ = ()

    def __new__(cls, *sizes: Count) -> Self:
        """The shape of these sizes."""
        if len(sizes) == 1 and isinstance(sizes[0], Iterator):
            # as a tuple is made, which is how records are copied
            sizes = tuple(sizes[0])
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


#: Kinds that multiply and add.
PRODUCTS = frozenset({"conv", "linear", "matmul", "attention", "rnn", "bilinear"})
#: Kinds that only rename a tensor: they make no new one, and move nothing.
VIEW_KINDS = frozenset({"flatten", "identity", "dropout", "slice"})


class Entry(NamedTuple):
    """The raw facts of one leaf or operator: what it is, what went in and out, what it multiplies.

    ``macs`` [MAC] are multiply-adds; ``weight`` and ``bias`` [params] the elements of each that it
    read; ``inputs`` and ``outputs`` are shapes ``(n, c, h, w)``. ``windows`` are the elements under
    a pooling window, padding left out, summed over all its positions. ``operator`` names what ran;
    ``layer`` is the class of the module whose own work it was, "" where a function was called
    between layers, and None where no PyTorch module was asked. ``moved_bytes`` [B] is known where
    the tensors were alive, each with its own element size.
    """

    path: str
    kind: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    macs: Count = 0
    weight: Count = 0
    bias: Count = 0
    operator: str = ""
    layer: str | None = None
    windows: Count = 0
    moved_bytes: Count | None = None

    @property
    def params(self) -> Count:
        """Learned parameters read, weight and bias together [params]."""
        return total((self.weight, self.bias))

    @property
    def activations(self) -> Count:
        """Elements of the new tensors this leaf makes; a view makes none."""
        return 0 if self.kind in VIEW_KINDS else total(shape.elements for shape in self.outputs)

    @property
    def moved(self) -> Count:
        """Elements read and written, unfused: inputs, outputs, weights; a view moves none."""
        if self.kind in VIEW_KINDS:
            return 0
        return total([*(s.elements for s in (*self.inputs, *self.outputs)), self.params])


class Parameter(NamedTuple):
    """One distinct parameter of a PyTorch module, under the first of its names.

    ``aliases`` are its other names: it is tied. ``called`` says that some operator read it.
    """

    name: str
    elements: Count
    trainable: bool = True
    called: bool = True
    aliases: tuple[str, ...] = ()


class Module(NamedTuple):
    """One distinct module, under the first of its paths; ``aliases`` are the others."""

    path: str
    layer: str
    calls: int = 0
    aliases: tuple[str, ...] = ()


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """The values of each key, both in the order in which they come."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


class Group(NamedTuple):
    """What the entries of one kind or operator come to, and how many there are."""

    calls: int
    macs: Count
    params: Count
    activations: Count
    bytes_moved: Count
