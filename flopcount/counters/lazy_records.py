"""Records kept as columns: one list for each field, and a record is made when it is asked for.

A count of a module finds hundreds of records of which most are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

RecordT = TypeVar("RecordT")


class Columns(Sequence[RecordT], Generic[RecordT]):
    """An immutable sequence of records that equals the tuple of them.

    ``make`` makes a record of a tuple of its fields; the columns are of one length.
    """

    __slots__ = ("_columns", "_make")

    def __init__(self, make: Callable[[tuple[Any, ...]], RecordT], *columns: Sequence[Any]) -> None:
        self._make = make
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns[0])

    def __iter__(self) -> Iterator[RecordT]:
        return map(self._make, zip(*self._columns, strict=True))

    @overload
    def __getitem__(self, at: int) -> RecordT: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[RecordT, ...]: ...
    def __getitem__(self, at: int | slice) -> RecordT | tuple[RecordT, ...]:
        if isinstance(at, slice):
            return tuple(self)[at]
        return self._make(tuple(column[at] for column in self._columns))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, Columns)):
            return NotImplemented
        return tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))
