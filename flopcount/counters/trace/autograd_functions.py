"""Functions with a backward method of their own: what flows back through one, nobody can tell.

Torch turns gradients off while the forward method of a `torch.autograd.Function` runs, as
`torch.no_grad` does; which of them it was, only the stack says.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import NamedTuple

from torch.autograd import Function


class Custom(NamedTuple):
    """One call of such a function: its class, and how many there were before it."""

    name: str
    number: int


class Customs:
    """The calls of such functions, one after the other."""

    def __init__(self) -> None:
        # held, so that no other frame is taken for it
        self._frame: FrameType | None = None
        self._call = Custom("", 0)
        self._names: dict[CodeType, str] = {}

    def running(self) -> Custom | None:
        """The call that is running; of one inside another, the outer, whose backward would run."""
        found: FrameType | None = None
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if self._name(frame.f_code):
                found = frame
            frame = frame.f_back
        if found is not self._frame:
            self._frame = found
            if found is not None:
                self._call = Custom(self._name(found.f_code), self._call.number + 1)
        return None if found is None else self._call

    def _name(self, code: CodeType) -> str:
        """The name of the class whose forward method has that code; "" where there is none."""
        known = self._names.get(code)
        if known is None:
            classes = _below(Function)
            found = (kind.__name__ for kind in classes if code in _codes(kind))
            known = self._names[code] = next(found, "")
        return known


def _below(kind: type[Function]) -> Iterator[type[Function]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _codes(kind: type[Function]) -> tuple[object, ...]:
    """The codes of a forward method, as it is and as it was before somebody wrapped it."""
    forward = getattr(kind, "forward", None)
    if not callable(forward):
        return ()
    return tuple(getattr(f, "__code__", None) for f in (forward, inspect.unwrap(forward)))
