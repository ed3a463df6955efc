"""Hypothesis strategies that draw legal networks only, built as records and not as TOML.

Nothing is drawn and thrown away: widths are multiples of what the unit and the units behind it
divide by, and grow where a unit concatenates. Sizes are followed by arithmetic of this file's own,
and printed in the rows, so that a network that is drawn also checks the sizes it prints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm
from types import MappingProxyType
from typing import get_args

from hypothesis import strategies as st

from flopcount.layers import Function
from shufflenet.arch.network import Network, network
from shufflenet.arch.spec import Row, Spec
from shufflenet.arch.spec_reader import bundled, load
from shufflenet.units.context import Option

#: The units that build stages of the paper's frame.
STAGE_UNITS = ("shufflenet", "resnet", "resnext", "xception", "vgg")
#: Those of other networks that take its place in the frame.
FRAMED_UNITS = ("shufflenet_v2", "separable", "inverted", "xception_block")
#: All that are drawn; an Inception's width follows from its towers, and is not.
DRAWN_UNITS = (*STAGE_UNITS, *FRAMED_UNITS, "fire", "pvanet_inception", "crelu_block")
#: What the paper divides a bottleneck by; a width is a multiple of it (ResNeXt rounds down).
QUARTER = 4
#: Every column of every bundled spec.
COLUMNS = [(name, groups) for name in bundled() for groups in load(name).groups]
#: Units that concatenate, so that their width grows wherever it does not stay.
GROWING = frozenset({"shufflenet", "xception"})


def sites(size: int, kernel: int, stride: int, padding: int) -> int:
    """Output positions along one axis: how often a window fits, moved by the stride."""
    return len(range(0, size + 2 * padding - kernel + 1, stride))


def own_spec(*rows: Row, groups: tuple[int, ...] = (1,)) -> Spec:
    """A spec of these rows."""
    return Spec("own", rows, groups=groups)


def image(h: int, w: int, c: int = 3, columns: int = 1) -> Row:
    return Row("Image", "image", output=(h, w), channels=(c,) * columns)


def head(classes: int, columns: int = 1) -> tuple[Row, Row]:
    """The global pooling and the classifier."""
    return (
        Row("GlobalPool", "global_pool", output=(1, 1)),
        Row("FC", "fc", channels=(classes,) * columns),
    )


def stage(
    name: str,
    unit: str,
    channels: tuple[int, ...],
    stride: int = 2,
    repeat: int = 1,
    options: dict[str, Option] | None = None,
    kernel: int | None = None,
) -> Row:
    return Row(
        name,
        unit,
        kernel=kernel,
        stride=stride,
        repeat=repeat,
        channels=channels,
        options=MappingProxyType(options or {}),
    )


def one_of_each(h: int = 32, w: int = 32, classes: int = 10) -> Spec:
    """A small network with one stage of each of the five units, and a shuffle in the first."""
    return own_spec(
        image(h, w),
        Row("Conv1", "conv", kernel=3, stride=2, channels=(8,)),
        Row("MaxPool", "max_pool", kernel=3, stride=2),
        stage("Stage2", "shufflenet", (24,), options={"first_groups": 1}),
        stage("Stage2", "shufflenet", (24,), stride=1, repeat=2),
        stage("Stage3", "resnet", (32,)),
        stage("Stage4", "resnext", (40,), stride=1, options={"cardinality": 2}),
        stage("Stage5", "xception", (48,), stride=1, repeat=2),
        stage("Stage6", "vgg", (20,), stride=1),
        *head(classes),
        groups=(2,),
    )


@dataclass(frozen=True)
class _Plan:
    """What one stage is, but for its widths."""

    unit: str
    stride: int
    opening: int
    repeat: int
    stays: bool
    kernel: int | None
    options: MappingProxyType[str, Option]


def _divisor(unit: str, groups: int, grouped: bool) -> int:
    """What a width behind this unit has to be a multiple of."""
    own = {
        "shufflenet": QUARTER * groups,
        "resnet": QUARTER,
        "xception": QUARTER,
        "shufflenet_v2": 2,
        "fire": 8,
    }.get(unit, 1)
    # A shuffled unit takes only whole groups in, whichever unit stands before it.
    return lcm(own, groups) if grouped else own


_inner = st.integers(1, 6)
_acts = st.sampled_from(get_args(Function))
_eps = st.sampled_from(("0.001", "1e-5"))
#: What a row may ask of each unit; none of it has to be there.
OPTIONS: dict[str, dict[str, st.SearchStrategy[Option]]] = {
    "shufflenet": {"first_groups": st.just(1), "shuffle": st.booleans()},
    "resnext": {"cardinality": st.sampled_from((1, 2, 3, 4))},
    "separable": {"between": st.booleans(), "act": _acts, "eps": _eps},
    "inverted": {
        "expand": st.integers(1, 3),
        "hidden": _inner,
        "se": _inner,
        "act": _acts,
        "se_act": _acts,
        "gate": _acts,
        "eps": _eps,
    },
    "xception_block": {
        "depth": st.integers(1, 3),
        "grows": st.sampled_from(("first", "last")),
        "starts": st.booleans(),
    },
    "pvanet_inception": {"pool": _inner, "eps": _eps},
}
#: What a row must ask.
NEEDED: dict[str, dict[str, st.SearchStrategy[Option]]] = {
    "crelu_block": {"inner": _inner},
    "pvanet_inception": {
        "towers": st.lists(
            st.lists(_inner, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3
        ).map(tuple)
    },
}


@st.composite
def _plans(draw: st.DrawFn) -> _Plan:
    unit = draw(st.sampled_from(DRAWN_UNITS))
    stride = 1 if unit == "fire" else draw(st.integers(1, 2))
    options: dict[str, Option] = {}
    for name, values in OPTIONS.get(unit, {}).items():
        if draw(st.booleans()):
            options[name] = draw(values)
    for name, values in NEEDED.get(unit, {}).items():
        options[name] = draw(values)
    kernel = None
    if unit in ("separable", "inverted"):
        kernel = draw(st.sampled_from((None, 1, 3, 5)))
    # Where the width grows with a stride, the unit cannot be repeated with that stride.
    opening = 1 if unit in GROWING and stride > 1 else draw(st.integers(1, 2))
    return _Plan(
        unit,
        stride,
        opening,
        draw(st.integers(0, 2)),
        draw(st.booleans()),
        kernel,
        MappingProxyType(options),
    )


def _width(draw: st.DrawFn, plan: _Plan, before: int, by: int) -> int:
    """A legal width behind a stage, of the width before it."""
    if plan.stride == 1 and plan.stays and before % by == 0:
        return before
    if plan.unit in GROWING:
        return (before // by + draw(st.integers(1, 3))) * by
    return by * draw(st.integers(1, max(1, 48 // by)))


def _stage_rows(plan: _Plan, name: str, widths: tuple[int, ...]) -> list[Row]:
    first = stage(
        name, plan.unit, widths, plan.stride, plan.opening, dict(plan.options), plan.kernel
    )
    if not plan.repeat:
        return [first]
    rest = {key: value for key, value in plan.options.items() if key != "first_groups"}
    return [first, stage(name, plan.unit, widths, 1, plan.repeat, rest, plan.kernel)]


def _printed(rows: list[Row]) -> list[Row]:
    """The rows with the output size that each of them has, as Table 1 prints it."""
    h, w = rows[0].output or (1, 1)
    found = [rows[0]]
    for row in rows[1:]:
        if row.unit in ("conv", "max_pool"):
            kernel = row.kernel or 1
            padding = int(row.options.get("padding", (kernel - 1) // 2))
            h, w = (sites(side, kernel, row.stride, padding) for side in (h, w))
        elif row.unit in DRAWN_UNITS:
            # Padded by half of it, an odd window stands at every stride-th place.
            for _ in range(row.repeat):
                h, w = (-(-side // row.stride) for side in (h, w))
        sized = row.unit in ("conv", "max_pool", *DRAWN_UNITS)
        found.append(replace(row, output=(h, w)) if sized else row)
    return found


@st.composite
def specs(
    draw: st.DrawFn, *, max_stages: int = 3, max_side: int = 33, max_columns: int = 2
) -> Spec:
    """A legal spec: units, groups, widths, repeats, stem and image all drawn."""
    columns = tuple(
        draw(
            st.lists(
                st.sampled_from((1, 2, 3, 4, 5, 8)), min_size=1, max_size=max_columns, unique=True
            )
        )
    )
    plans = draw(st.lists(_plans(), min_size=1, max_size=max_stages))
    grouped = any(plan.unit == "shufflenet" for plan in plans)
    # One width for all columns: what the image and the classifier have.
    common = lcm(*columns) if grouped else 1
    stem = draw(st.booleans())
    channels = draw(st.integers(1, 4)) if stem else common * draw(st.integers(1, 2))
    side = st.integers(1, max_side)
    rows = [image(draw(side), draw(side), channels, len(columns))]
    before = [channels] * len(columns)
    if stem:
        before = [(g if grouped else 1) * draw(st.integers(1, 6)) for g in columns]
        kernel = draw(st.sampled_from((1, 3, 5, 7)))
        wider = {"padding": kernel // 2 + draw(st.integers(0, 1))} if draw(st.booleans()) else {}
        rows.append(
            Row(
                "Conv1",
                "conv",
                kernel=kernel,
                stride=draw(st.integers(1, 2)),
                channels=tuple(before),
                options=MappingProxyType(wider),
            )
        )
        if draw(st.booleans()):
            rows.append(Row("MaxPool", "max_pool", kernel=3, stride=draw(st.integers(1, 2))))
    for index, plan in enumerate(plans):
        before = [
            _width(draw, plan, width, _divisor(plan.unit, g, grouped))
            for width, g in zip(before, columns, strict=True)
        ]
        rows += _stage_rows(plan, f"Stage{index + 2}", tuple(before))
    rows += head(draw(st.integers(1, 12)), len(columns))
    return own_spec(*_printed(rows), groups=columns)


@st.composite
def networks(draw: st.DrawFn, *, max_stages: int = 3, max_side: int = 33) -> Network:
    """A legal network: a spec, one of its columns, its own image size or another."""
    spec = draw(specs(max_stages=max_stages, max_side=max_side))
    side = st.integers(1, max_side)
    size = draw(st.none() | st.tuples(side, side))
    cardinality = draw(st.sampled_from((1, 2, 4, 16)))
    return network(spec, draw(st.sampled_from(spec.groups)), size=size, cardinality=cardinality)
