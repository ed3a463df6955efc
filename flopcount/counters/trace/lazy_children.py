"""The parts of a sequence: a twin of each, made when somebody asks for it.

Whoever runs a sequence from outside needs no twin of a layer that is answered by a short cut, and
none of a sequence of such layers.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, ValuesView
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


class Unmade:
    """Stands for the twin of a module, until somebody asks for that.

    ``direct`` is the short cut of a layer; ``parts`` are those of a sequence, by name.
    """

    __slots__ = ("_make", "direct", "index", "module", "parts", "twin")

    def __init__(
        self, make: Callable[[Unmade], nn.Module], module: nn.Module, index: int, direct: Any
    ) -> None:
        self._make = make
        self.module = module
        self.index = index
        self.direct = direct
        self.parts: dict[str, Any] = {}
        self.twin: nn.Module | None = None

    def made(self) -> nn.Module:
        """The twin of the module."""
        if self.twin is None:
            self.twin = self._make(self)
        return self.twin


class Parts(dict[str, Any]):
    """The parts of a sequence by name. Only ``dict.values(parts)`` has those that are unmade."""

    def _make(self) -> None:
        for name, part in dict.items(self):
            if type(part) is Unmade:
                self[name] = part.made()

    def __getitem__(self, name: str) -> Any:
        part = super().__getitem__(name)
        if type(part) is Unmade:
            part = self[name] = part.made()
        return part

    # with an iterator of its own, whoever copies a dictionary asks it as it would any mapping
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Every part, made."""
        self._make()
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Every part, made, with its name."""
        self._make()
        return super().items()

    def get(self, name: str, default: Any = None) -> Any:
        """The part of that name, made."""
        try:
            return self[name]
        except KeyError:
            return default

    def copy(self) -> dict[str, Any]:
        """Every part, made, in a dictionary of its own."""
        return dict(self.items())

    def pop(self, name: str, *default: Any) -> Any:
        """Take a part out."""
        self._make()
        return super().pop(name, *default)

    def popitem(self) -> tuple[str, Any]:
        """Take the last part out, with its name."""
        self._make()
        return super().popitem()

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The part of that name, made; or the default, which has it from here on."""
        self._make()
        return super().setdefault(name, default)
