"""A network as rows of data: the records. `shufflenet.arch.spec_reader` makes them from TOML.

The rows are those of the paper's Table 1: what stands in a row is what the paper prints, and the
unit that builds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

from shufflenet.arch.quantities import (
    MAX_REPEATS,
    MAX_WIDTH,
    QuantityError,
    check_size,
    check_width,
)
from shufflenet.units.context import Option, is_unit_name

_MAX_ROWS = 1_000
_MAX_UNITS = 5_000
_MAX_COLUMNS = 64
#: The largest kernel, stride and bottleneck ratio of any row.
MAX_KERNEL = 1_024
_MAX_NUMBERS = 64


class SpecError(ValueError):
    """A spec that cannot be read, or breaks a rule; the text quotes file, row, value and rule."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a spec, as the paper's Table 1 prints it, and the unit that builds it.

    ``output`` is (height, width) [px]; ``channels`` one width for each column of the spec, or
    None where the layer keeps its width; ``ratio`` the bottleneck's 1:ratio; ``fixed`` says that
    no scale changes the channels. Raises SpecError for a value outside its range.
    """

    layer: str
    unit: str
    output: tuple[int, int] | None = None
    kernel: int | None = None
    stride: int = 1
    repeat: int = 1
    channels: tuple[int, ...] | None = None
    ratio: int | None = None
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))
    note: str = ""
    fixed: bool = False
    #: The path of the row's layer in the tree.
    path: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if not is_label(self.layer):
            raise SpecError(
                f"layer {self.layer!r} does not start with a letter, or has characters other than"
                " letters, digits, space, _ and -, or more than 40"
            )
        if not is_unit_name(self.unit):
            raise SpecError(
                f"{self.layer}: unit {self.unit!r} is neither a name nor package.module:function"
            )
        limits = (
            ("kernel", self.kernel, MAX_KERNEL),
            ("stride", self.stride, MAX_KERNEL),
            ("repeat", self.repeat, MAX_REPEATS),
            ("ratio", self.ratio, MAX_KERNEL),
        )
        for name, value, most in limits:
            if value is not None and not 1 <= value <= most:
                raise SpecError(f"{self.layer}: {name} {value} is not between 1 and {most}")
        try:
            if self.output is not None:
                check_size(*self.output)
            for width in self.channels or ():
                check_width(width)
            check_options(self.options)
        except QuantityError as error:
            raise SpecError(f"{self.layer}: {error}") from error
        path = "".join(c if c.isalnum() else "_" for c in self.layer.lower())
        object.__setattr__(self, "path", path)

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (Row, *_shipped(self))

    def with_repeat(self, repeat: int) -> Row:
        """The row with another number of units. Raises SpecError for a number out of range."""
        return self if repeat == self.repeat else replace(self, repeat=repeat)


def _shipped(record: Any) -> tuple[dict[str, Any], dict[str, Option]]:
    """A record as another process gets it: options that nobody may change cannot be pickled."""
    values = {one.name: getattr(record, one.name) for one in fields(record) if one.init}
    return values, dict(values.pop("options"))


def _remade(kind: Any, values: dict[str, Any], options: dict[str, Option]) -> Any:
    return kind(**values, options=MappingProxyType(options))


def check_options(options: Mapping[str, Option]) -> None:
    """Check the numbers in the options of a row. Raises QuantityError for one out of its range."""
    for option, given in options.items():
        if isinstance(given, (bool, str)):
            continue
        numbers = [number for part in given for number in part] if isinstance(given, tuple) else []
        least, found = (0, [given]) if isinstance(given, int) else (1, numbers)
        if len(found) > _MAX_NUMBERS:
            raise QuantityError(f"option {option}: {len(found)} numbers, more than {_MAX_NUMBERS}")
        for number in found:
            if not least <= number <= MAX_WIDTH:
                raise QuantityError(
                    f"option {option} {number} is not between {least} and {MAX_WIDTH}"
                )


def is_label(text: str) -> bool:
    """Whether a text can name a layer: a letter, then letters, digits, space, _ and -."""
    return (
        0 < len(text) <= 40
        and text.isascii()
        and text[0].isalpha()
        and all(c.isalnum() or c in " _-" for c in text)
    )


class Hint(NamedTuple):
    """A remark on one scale: the stem with which a figure that the paper prints comes out."""

    scale: Decimal
    stem: int
    printed: str
    convention: str = "shufflenet-paper"


@dataclass(frozen=True, slots=True)
class Spec:
    """A network as data: its rows, and a column of widths for each number of groups.

    ``options`` are given to every row whose unit takes them; ``file`` says where it came from, for
    errors. Raises SpecError where the rows do not make a network: no Image first, a layer split by
    another, columns that are not one for each group.
    """

    name: str
    rows: tuple[Row, ...]
    title: str = ""
    source: str = ""
    groups: tuple[int, ...] = (1,)
    default_groups: int | None = None
    notes: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ()
    file: str = ""
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        try:
            check_options(self.options)
        except QuantityError as error:
            raise SpecError(str(error)) from error
        self._check_columns()
        self._check_rows()

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (Spec, *_shipped(self))

    def _check_columns(self) -> None:
        if not 1 <= len(self.groups) <= _MAX_COLUMNS:
            raise SpecError(f"groups: {len(self.groups)} columns is not 1 to {_MAX_COLUMNS}")
        if len(set(self.groups)) != len(self.groups):
            raise SpecError(f"groups {list(self.groups)}: a column is named twice")
        for groups in self.groups:
            if not 1 <= groups <= MAX_KERNEL:
                raise SpecError(f"groups {groups} is not between 1 and {MAX_KERNEL}")
        if self.default_groups is not None and self.default_groups not in self.groups:
            known = ", ".join(str(g) for g in self.groups)
            raise SpecError(
                f"default_groups: no column g = {self.default_groups}; columns are g = {known}"
            )
        for row in self.rows:
            if row.channels is not None and len(row.channels) != len(self.groups):
                raise SpecError(
                    f"{row.layer}: {len(row.channels)} channels {list(row.channels)}"
                    f" for {len(self.groups)} columns g = {list(self.groups)}"
                )

    def _check_rows(self) -> None:
        if not 2 <= len(self.rows) <= _MAX_ROWS:
            raise SpecError(f"{len(self.rows)} rows is not 2 to {_MAX_ROWS}")
        image = self.rows[0]
        if image.unit != "image" or image.output is None or image.channels is None:
            raise SpecError(
                f"{image.layer}: the first row is not an image (unit, output and channels)"
            )
        self._check_image(image)
        units = sum(row.repeat for row in self.rows)
        if units > _MAX_UNITS:
            raise SpecError(f"{units} repeats in all is more than {_MAX_UNITS}")
        ended: dict[str, str] = {}
        last = image
        for row in self.rows[1:]:
            if row.unit == "image":
                raise SpecError(f"{row.layer}: an image is only the first row")
            if row.path == last.path and row.layer != last.layer:
                raise SpecError(f"{row.layer}: the name is too like {last.layer!r}")
            if row.path != last.path:
                ended[last.path] = last.layer
            if row.path in ended:
                raise SpecError(
                    f"{row.layer}: rows of layer {ended[row.path]!r} are not next to each other"
                )
            if row.path == last.path and row.channels != last.channels and row.channels:
                raise SpecError(
                    f"{row.layer}: channels {list(row.channels)} are not those of the row above,"
                    f" {list(last.channels or ())}: a layer has one width"
                )
            last = row

    def _check_image(self, image: Row) -> None:
        plain = Row(image.layer, image.unit, image.output, channels=image.channels)
        for name in ("kernel", "stride", "repeat", "ratio", "options", "note", "fixed"):
            if getattr(image, name) != getattr(plain, name):
                shown = "ksize" if name == "kernel" else name
                raise SpecError(f"{image.layer}: an image takes no {shown}")

    @property
    def image(self) -> tuple[int, int]:
        """The spec's own image size (height, width) [px]."""
        assert self.rows[0].output is not None
        return self.rows[0].output

    @property
    def where(self) -> str:
        """What to call the spec in an error: its file, or its name."""
        return self.file or self.name

    def column(self, groups: int) -> int:
        """Which column belongs to a number of groups. Raises SpecError where none does."""
        if groups not in self.groups:
            known = ", ".join(str(g) for g in self.groups)
            raise SpecError(f"{self.where}: no column g = {groups}; columns are g = {known}")
        return self.groups.index(groups)

    @property
    def first_choice(self) -> int:
        """The groups to show where one column is asked for and none named."""
        return self.groups[0] if self.default_groups is None else self.default_groups
