"""A design space as a table: every row of it against the scalar fold, whoever prices it."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flopcount.conventions import CONVENTIONS, price
from shufflenet.arch.layout import Frame, stage_rows, stem_row
from shufflenet.arch.network import Network, assemble
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec import Spec, SpecError
from shufflenet.arch.spec_reader import bundled, load
from shufflenet.solver.problem import Bound, Space
from shufflenet.solver.sweep.formats import csv_rows
from shufflenet.solver.sweep.run import stream
from shufflenet.solver.sweep.space_table import PricedSweep, Rows, Sweep
from tests.shufflenet.solver.sweep.sweep_cases import SMALL, SPEC, rows_of


def with_repeats(spec: Spec, counts: tuple[int, ...] | None) -> Spec | None:
    """The spec with so many units in each stage; the last row of each gets what is left."""
    rows = list(spec.rows)
    for stage, count in zip(stage_rows(spec), counts or (), strict=False):
        own = [row for row in rows if row.path == stage.path]
        left = count - sum(row.repeat for row in own[:-1])
        at = rows.index(own[-1])
        if left < 0 or (left == 0 and len(own) == 1):
            return None
        rows[at : at + 1] = [replace(own[-1], repeat=left)] if left else []
    return replace(spec, rows=tuple(rows))


def choices(space: Space) -> Iterator[tuple[Any, ...]]:
    """Every choice of a space in its order: the frame, then the widths and the repeats."""
    spec = space.spec
    stages = stage_rows(spec)
    counts = [sorted(c) for c in space.repeats] or [[None]] * len(stages)
    for unit, size, over, g in product(
        space.units or (None,),
        space.sizes or (spec.image,),
        space.bottlenecks or (None,),
        space.groups or (spec.first_choice,),
    ):
        frame = Frame(spec, g, size, unit, bottleneck=over)
        stem = stem_row(spec)
        stems = sorted(space.stems) or ([None] if stem is None else [frame.fixed(stem)])
        if space.free:
            each = [list(product(sorted(w), c)) for w, c in zip(space.widths, counts, strict=True)]
            for first, *settled in product(stems, *each):
                widths, repeats = zip(*settled, strict=True)
                yield frame, first, widths, repeats
        else:
            ratio = space.ratio
            assert ratio is not None
            most = [max(w) for w in space.widths]
            steps = range(1, min(m // r for m, r in zip(most, ratio, strict=True)) + 1)
            found = [tuple(step * r for r in ratio) for step in steps]
            for first, widths in product(stems, found):
                if all(w in allowed for w, allowed in zip(widths, space.widths, strict=True)):
                    for repeats in product(*counts):
                        yield frame, first, widths, repeats


def brute_force(space: Space) -> Iterator[tuple[Frame, tuple[int, ...], Network]]:
    """Every legal network of a space in its order, each built and checked by itself."""
    for frame, stem, widths, repeats in choices(space):
        spec = with_repeats(space.spec, None if None in repeats else repeats)
        if spec is None or any(w % space.align for w in (*widths, stem or 0)):
            continue
        settled = {row.path: w for row, w in zip(stage_rows(spec), widths, strict=True)}
        first = stem_row(spec)
        if first is not None:
            settled[first.path] = stem
        try:
            made = assemble(replace(frame, spec=spec), settled)
        except SpecError:
            continue
        counts = tuple(
            sum(row.repeat for row in spec.rows if row.path == stage.path)
            for stage in stage_rows(spec)
        )
        yield frame, counts, made


def row_of(frame: Frame, counts: tuple[int, ...], net: Network, convention: str) -> tuple[Any, ...]:
    tally = net.tally()
    stem = () if net.stem is None else (net.stem,)
    return (
        *(frame.unit, *frame.size, frame.bottleneck, frame.groups),
        *(*stem, *net.stage_widths, *counts),
        *(price(tally, convention), tally.params, tally.peak_memory, tally.bytes_moved),
        *(net.depth, sum(net.stage_widths)),
    )


def some(values: list[Any], most: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(tuple)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    spec = load(draw(st.sampled_from(["shufflenet", "arch2", "shallow", "mobilenet_v1"])))
    stages = len(stage_rows(spec))
    repeats: tuple[tuple[int, ...], ...] = ()
    if spec.name != "mobilenet_v1" and draw(st.booleans()):
        repeats = tuple(draw(some([1, 2, 3, 5])) for _ in range(stages))
    free = stages == 3 and draw(st.booleans())
    ratio = None if free else tuple(draw(st.sampled_from([1, 2])) for _ in range(stages))
    steps = draw(some([2, 4, 6, 8, 12, 24], 3))
    widths = tuple(
        draw(some([12, 24, 32, 36, 48, 60], 3))
        if free
        else tuple(sorted({step * part for step in steps}))
        for part in (ratio or (1,) * stages)
    )
    own = spec.name == "mobilenet_v1"
    return Space(
        spec,
        groups=() if own else draw(some([1, 2, 3, 4])),
        units=() if own else draw(st.sampled_from([(), ("resnet",), ("shufflenet", "xception")])),
        bottlenecks=() if own else draw(st.sampled_from([(), (2,), (4, 3)])),
        sizes=((32, 32),) if draw(st.booleans()) else ((64, 48), (33, 32)),
        repeats=repeats,
        stems=draw(some([4, 6, 12, 24])),
        free=free,
        ratio=ratio,
        widths=widths,
        align=draw(st.sampled_from([1, 1, 4])),
    )


@given(spaces(), st.integers(1, 40), st.sampled_from(["shufflenet-paper", "torch"]), st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_rows_are_those_of_brute_force_in_the_space_s_order(
    space: Space, piece: int, convention: str, data: st.DataObject
):
    assume(sum(1 for _ in choices(space)) <= 300)
    wanted = [row_of(*found, convention) for found in brute_force(space)]
    figures = ("moved", "layers", "channels")
    sweep = Sweep(space, (), convention, figures, piece)
    assert rows_of(sweep) == wanted
    assert PricedSweep(sweep).candidates() == len(wanted)
    assume(wanted)
    at = len(sweep.columns) - 6
    bounds, kept = [], wanted
    for index, figure in enumerate(("macs", "params", "memory", "moved", "layers", "channels")):
        if data.draw(st.booleans()):
            values = sorted(row[at + index] for row in wanted)
            least = data.draw(st.sampled_from([None, *values[:3]]))
            most = data.draw(st.sampled_from([values[len(values) // 2], values[-1]]))
            least = None if least is not None and least > most else least
            bounds.append(Bound(figure, least, most))
            kept = [r for r in kept if (least or 0) <= r[at + index] <= most]
    bounded = Sweep(space, tuple(bounds), convention, figures, piece)
    assert rows_of(bounded) == kept


def test_networks_at_given_scales_are_rows():
    scales = ("0.25", "0.5", "1", "1.5")
    from shufflenet.arch.network import network
    from shufflenet.arch.quantities import read_scale

    space = Space(SPEC, groups=(3, 8), scales=tuple(map(read_scale, scales)))
    nets = [network(SPEC, g, scale=s) for g in (3, 8) for s in scales]
    wanted = [
        row_of(Frame(SPEC, net.groups, (224, 224)), (4, 8, 4), net, "shufflenet-paper")[:-3]
        for net in nets
    ]
    assert rows_of(Sweep(space)) == wanted


@pytest.mark.parametrize("piece", [1, 3, 7, 50, 5_000_000])
@pytest.mark.parametrize("most", [None, 4_000_000, 1_500_000])
def test_the_size_of_a_piece_changes_no_row(piece: int, most: int | None):
    bounds = () if most is None else (Bound("macs", None, most),)
    whole = rows_of(Sweep(SMALL, bounds, piece=100_000))
    assert whole
    assert rows_of(Sweep(SMALL, bounds, piece=piece)) == whole


def test_a_narrow_window_finds_the_rows_that_a_filter_does():
    macs = -3
    every = rows_of(Sweep(SMALL))
    values = sorted(row[macs] for row in every)
    least, most = values[len(values) // 2], values[len(values) // 2 + 3]
    wanted = [row for row in every if least <= row[macs] <= most]
    assert rows_of(Sweep(SMALL, (Bound("macs", least, most),))) == wanted


def test_what_is_done_grows_from_piece_to_piece():
    shares = [piece.done for piece in PricedSweep(Sweep(SMALL, piece=20)).pieces()]
    assert shares == sorted(shares)
    assert len(set(shares)) == len(shares) > 10
    assert shares[0] == 0
    assert shares[-1] < 1


def test_a_space_without_a_legal_network_is_told():
    space = replace(SMALL, groups=(8,), widths=((17,), (34,), (68,)))
    with pytest.raises(NothingLegalError):
        stream(PricedSweep(Sweep(space)), lambda data: None)


def test_a_figure_without_a_column_and_a_piece_out_of_range_are_refused():
    with pytest.raises(QuantityError, match="'intensity' is not one of"):
        Sweep(SMALL, figures=("intensity",))
    for piece in (0, 5_000_001):
        with pytest.raises(QuantityError, match=f"piece {piece} is not between"):
            Sweep(SMALL, piece=piece)


def test_two_sweeps_have_one_fingerprint_where_they_write_the_same():
    sweep = Sweep(SMALL)
    assert sweep.fingerprint == Sweep(copy.deepcopy(SMALL)).fingerprint
    moved = replace(SPEC, file="elsewhere/shufflenet.toml")
    assert sweep.fingerprint == Sweep(replace(SMALL, spec=moved)).fingerprint
    others = [
        Sweep(replace(SMALL, stems=(12,))),
        Sweep(SMALL, (Bound("macs", None, 10),)),
        Sweep(SMALL, convention="torch"),
        Sweep(SMALL, convention=CONVENTIONS["macs"]),
        Sweep(SMALL, figures=("moved",)),
        Sweep(SMALL, piece=10),
        Sweep(replace(SMALL, spec=load("arch2"))),
    ]
    assert len({one.fingerprint for one in (sweep, *others)}) == 1 + len(others)


def test_another_version_has_another_fingerprint(monkeypatch: pytest.MonkeyPatch):
    before = Sweep(SMALL).fingerprint
    monkeypatch.setattr(sys.modules[Sweep.__module__], "__version__", "0.0.0")
    assert Sweep(SMALL).fingerprint != before


def test_specs_and_conventions_can_be_shipped_to_another_process():
    for name in bundled():
        spec = load(name)
        again = pickle.loads(pickle.dumps(spec))
        assert again == spec
        with pytest.raises(TypeError):
            again.rows[0].options["new"] = 1
    for convention in CONVENTIONS.values():
        assert pickle.loads(pickle.dumps(convention)) == convention


@given(
    st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 30_000), min_size=1),
    st.lists(st.integers(0, 18), min_size=1),
)
def test_csv_writes_every_integer_in_full(values: list[int], powers: list[int]):
    values += [near for p in powers for near in (10**p - 1, 10**p, 10**p + 1)]
    rows = Rows(
        len(values), {"unit": None, "groups": 3}, {"n": np.array(values), "m": np.array(values)}
    )
    wanted = "".join(f",3,{value},{value}\n" for value in values)
    assert csv_rows(rows).decode() == wanted
