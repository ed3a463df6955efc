"""Types of options: their texts read, and completed by shells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from shufflenet.arch.quantities import QuantityError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    AnyParam = click.ParamType[Any]
    TextParam = click.ParamType[str]
else:
    # Only newer releases of click let the class be subscripted when the program runs.
    AnyParam = TextParam = click.ParamType


class Exactly(AnyParam):
    """An option read by a function of ours, whose QuantityError becomes click's.

    Where ``known`` gives names, shells complete the last of those with commas between.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[str], Any],
        known: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self.name = name
        self.read = read
        self.known = known

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """As it is to be written: click would put it in capitals."""
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value, read."""
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except QuantityError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The known names that start as the last one does."""
        from click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",")
        names = self.known() if self.known is not None else ()
        return [CompletionItem(before + comma + name) for name in names if name.startswith(last)]


class NameParam(TextParam):
    """A name that is checked later, by the library; shells complete it from what there is."""

    def __init__(self, name: str, known: Callable[[], list[str]]) -> None:
        self.name = name
        self.known = known

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The known names that start so."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in self.known() if name.startswith(incomplete)]


def listed(read: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """A reader of several values with commas between them, none of them twice."""

    def read_all(text: str) -> tuple[Any, ...]:
        values = tuple(read(part) for part in text.split(","))
        if len(set(values)) != len(values):
            raise QuantityError(f"{text!r} names a value twice")
        return values

    return read_all


def read_name(text: str) -> str:
    """A name without the blanks around it. Raises QuantityError where it is empty."""
    if not text.strip():
        raise QuantityError(f"{text!r}: a name is empty")
    return text.strip()


def read_file_name(text: str) -> str:
    """The name of a file. Raises QuantityError where it is empty."""
    if not text:
        raise QuantityError(f"{text!r}: the name of the file is empty")
    return text
