"""The children of a sequence: a shadow of each, made when somebody asks for it.

Whoever runs a sequence from outside needs no shadow of a layer that is answered by a fast path, and
none of a sequence of such layers.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, ValuesView
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


class LazyModule:
    """Stands for the shadow of a module, until somebody asks for that.

    ``direct`` is the fast path of a layer; ``children`` are those of a sequence, by name.
    """

    __slots__ = ("_make", "children", "direct", "index", "module", "shadow")

    def __init__(
        self, make: Callable[[LazyModule], nn.Module], module: nn.Module, index: int, direct: Any
    ) -> None:
        self._make = make
        self.module = module
        self.index = index
        self.direct = direct
        self.children: dict[str, Any] = {}
        self.shadow: nn.Module | None = None

    def materialize(self) -> nn.Module:
        """The shadow of the module."""
        if self.shadow is None:
            self.shadow = self._make(self)
        return self.shadow


class LazyChildren(dict[str, Any]):
    """The children of a sequence by name; only ``dict.values(children)`` has lazy ones."""

    def _make(self) -> None:
        for name, part in dict.items(self):
            if type(part) is LazyModule:
                self[name] = part.materialize()

    def __getitem__(self, name: str) -> Any:
        part = super().__getitem__(name)
        if type(part) is LazyModule:
            part = self[name] = part.materialize()
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
