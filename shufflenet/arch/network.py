"""A network settled: its rows at given groups, scale, size and widths, checked, as one tree."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from flopcount.entries import Shape
from flopcount.layers import Chain, Layer, cost, depth
from flopcount.tally import Tally
from shufflenet.arch.layout import DEFAULT_CARDINALITY, Frame, Placed, stage_rows, stem_row, walk
from shufflenet.arch.quantities import (
    QuantityError,
    check_groups,
    check_scale,
    check_size,
    check_width,
    read_scale,
)
from shufflenet.arch.scaling import NothingLegalError, Rounded, settle
from shufflenet.arch.spec import Hint, Row, Spec, SpecError


class RowInPlace(NamedTuple):
    """A row of the spec as it stands in a network.

    ``channels`` is the width behind it, ``output`` (height, width) [px], ``paths`` its units';
    ``m`` is the bottleneck's width and 1:``ratio`` what it was made from (None without one);
    ``rounded`` says that the unit rounded m, and ``groups`` is its g or cardinality.
    """

    row: Row
    channels: int
    output: tuple[int, int]
    paths: tuple[str, ...]
    m: int | None = None
    ratio: int | None = None
    groups: int = 1
    rounded: bool = False


class Network(NamedTuple):
    """A whole network: what it was made from, its widths, its layer tree, its rows in place."""

    frame: Frame
    scale: Decimal
    widths: Mapping[str, int]
    rounded: tuple[Rounded, ...]
    tree: Chain
    rows: tuple[RowInPlace, ...]

    @property
    def spec(self) -> Spec:
        """The spec it was made from."""
        return self.frame.spec

    @property
    def groups(self) -> int:
        """The number of groups of its column."""
        return self.frame.groups

    @property
    def input(self) -> Shape:
        """The shape of its input, ``(1, c, h, w)``."""
        return self.frame.image

    @property
    def stem(self) -> int | None:
        """The width of the stem [channels], or None where the spec has no stem."""
        row = stem_row(self.spec)
        return None if row is None else self.widths[row.path]

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """The width of every stage [channels]."""
        return tuple(self.widths[row.path] for row in stage_rows(self.spec))

    @property
    def depth(self) -> int:
        """Layers with weights on the longest path."""
        return depth(self.tree)

    def tally(self, *, memory: bool = True) -> Tally:
        """The analytical cost, leaf by leaf. Raises FigureTooLargeError past 2**63 - 1."""
        return cost.count(self.tree, self.input, memory=memory)


def network(
    spec: Spec,
    groups: int | None = None,
    *,
    scale: Decimal | int | str = 1,
    size: tuple[int, int] | None = None,
    stem: int | None = None,
    widths: Collection[int] | None = None,
    unit: str | None = None,
    cardinality: int = DEFAULT_CARDINALITY,
    units_from: Collection[str] = (),
) -> Network:
    """The network of a spec: the column of ``groups``, all widths scaled, an image of ``size``.

    ``stem`` and ``widths`` (one for each stage) replace the scaled ones; ``unit`` replaces the
    unit of every stage row; ``size`` is (height, width) [px]. Raises SpecError where a rule is
    broken or a printed output size does not come out; NothingLegalError where a scale leaves no
    legal width; QuantityError for a number out of its range.
    """
    h, w = spec.image if size is None else check_size(*size)
    chosen = spec.first_choice if groups is None else groups
    factor = read_scale(scale) if isinstance(scale, str) else check_scale(Decimal(scale))
    check_groups(cardinality, "cardinality")
    frame = Frame(spec, chosen, (h, w), unit, cardinality, units_from)
    if stem is not None:
        _check_stem(spec, stem)
    if widths is None:
        settled = settle(frame, factor, stem)
        return assemble(frame, settled.widths, factor, settled.rounded)
    given = _given_widths(frame, widths, stem)
    return assemble(frame, given, factor)


def assemble(
    frame: Frame,
    widths: Mapping[str, int],
    scale: Decimal = Decimal(1),
    rounded: tuple[Rounded, ...] = (),
) -> Network:
    """The network of a frame at settled widths, with every rule and printed size checked.

    Raises SpecError, which quotes file, row, groups, value and rule.
    """
    units = _checked(frame, widths)
    at = iter(units)
    rows = tuple(
        _in_place(frame, row, [next(at) for _ in range(row.repeat)]) for row in frame.spec.rows[1:]
    )
    return Network(frame, scale, dict(widths), rounded, _tree(units), rows)


def changed(
    net: Network, size: tuple[int, int] | None = None, widths: Collection[int] | None = None
) -> Network:
    """The network on an image of another ``size`` (height, width) [px], or at other widths.

    ``widths`` are one for each stage. Raises SpecError and QuantityError as `network` does.
    """
    frame = net.frame if size is None else replace(net.frame, size=check_size(*size))
    if widths is None:
        return assemble(frame, net.widths, net.scale, net.rounded)
    return assemble(frame, _given_widths(frame, widths, net.stem), net.scale)


def hinted(net: Network, convention: str) -> list[tuple[Hint, Network]]:
    """The spec's hints on a network's scale under a convention, each with the network it means.

    A stem that is not legal for the network's groups is left out.
    """
    found: list[tuple[Hint, Network]] = []
    if net.stem is None or net.frame.size != net.spec.image:
        return found
    allowed = net.frame.units_from
    for hint in net.spec.hints:
        if (hint.scale, hint.convention) != (net.scale, convention) or net.stem == hint.stem:
            continue
        with suppress(NothingLegalError):
            other = network(
                net.spec, net.groups, scale=net.scale, stem=hint.stem, units_from=allowed
            )
            found.append((hint, other))
    return found


def _tree(units: list[Placed]) -> Chain:
    layers: dict[str, list[tuple[str, Layer]]] = {}
    for placed in units:
        layer, _, name = placed.path.partition(".")
        layers.setdefault(layer, []).append((name, placed.layer))
    # A layer of one unit is that unit; a stage of several holds them by name.
    return Chain(
        tuple(
            (layer, parts[0][1] if len(parts) == 1 else Chain(tuple(parts)))
            for layer, parts in layers.items()
        )
    )


def _checked(frame: Frame, widths: Mapping[str, int]) -> list[Placed]:
    units: list[Placed] = []
    for placed in walk(frame, widths):
        repeats = units and placed.layer is units[-1].layer
        for path, rule in () if repeats else placed.rules():
            if not rule.holds():
                at = "" if path == placed.path else f" (at {path})"
                raise SpecError(f"{frame.where(placed.row)}: {rule}{at}")
        units.append(placed)
    return units


def _in_place(frame: Frame, row: Row, units: list[Placed]) -> RowInPlace:
    after = units[-1].after
    h, w = (after[2], after[3]) if len(after) == 4 else (1, 1)
    if frame.size == frame.spec.image and row.output is not None and row.output != (h, w):
        raise SpecError(
            f"{frame.where(row)}: output {row.output[0]}x{row.output[1]} is printed, but stride"
            f" {row.stride} from {units[0].before[2]}x{units[0].before[3]} gives {h}x{w}"
        )
    paths = tuple(unit.path for unit in units)
    chosen, taken = frame.unit_of(row)
    ratio = chosen.ratio if taken.ratio is None else taken.ratio
    if ratio is None:
        return RowInPlace(taken, after[1], (h, w), paths)
    place = units[-1].place
    rounded = chosen.rounds == "down" and place.m * ratio != place.c_out
    return RowInPlace(taken, after[1], (h, w), paths, place.m, ratio, place.groups, rounded)


def _check_stem(spec: Spec, stem: int) -> None:
    if stem_row(spec) is None:
        raise SpecError(f"{spec.where}: has no stem, so none can be {stem}")
    check_width(stem)


def _given_widths(frame: Frame, widths: Collection[int], stem: int | None) -> dict[str, int]:
    rows = stage_rows(frame.spec)
    if len(widths) != len(rows):
        raise QuantityError(
            f"widths {','.join(map(str, widths))}: {len(widths)} given, {len(rows)} stages"
            f" ({', '.join(row.layer for row in rows)})"
        )
    given = {row.path: check_width(width) for row, width in zip(rows, widths, strict=True)}
    stem_at = stem_row(frame.spec)
    if stem_at is not None:
        given[stem_at.path] = frame.fixed(stem_at) if stem is None else stem
    return given
