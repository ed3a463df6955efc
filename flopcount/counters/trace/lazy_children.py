"""The children of a sequence: a shadow of each, made when somebody asks for it.

Whoever runs a sequence from outside needs no shadow of a layer that is answered by a fast path, and
none of a sequence of such layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def _with_all(name: str) -> Any:
    """The method of that name of a dictionary, once every child is materialized."""
    method = getattr(dict, name)

    def run(children: LazyChildren, *args: Any) -> Any:
        for key, child in dict.items(children):
            if type(child) is LazyModule:
                children[key] = child.materialize()
        return method(children, *args)

    return run


class LazyChildren(dict[str, Any]):
    """The children of a sequence by name; only ``dict.values(children)`` has lazy ones."""

    def __getitem__(self, name: str) -> Any:
        child = super().__getitem__(name)
        if type(child) is LazyModule:
            child = self[name] = child.materialize()
        return child

    # with an iterator of its own, whoever copies a dictionary asks it as it would any mapping
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def get(self, name: str, default: Any = None) -> Any:
        """The child of that name, materialized."""
        try:
            return self[name]
        except KeyError:
            return default

    def copy(self) -> dict[str, Any]:
        """Every child, materialized, in a dictionary of its own."""
        return dict(self.items())

    values = _with_all("values")
    items = _with_all("items")
    pop = _with_all("pop")
    popitem = _with_all("popitem")
    setdefault = _with_all("setdefault")
