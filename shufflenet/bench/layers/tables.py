"""Timed leaves as a table for people: each beneath the roof, then kind by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from flopcount.report import Cell, Table
from shufflenet.bench.compare import FEWEST, Against
from shufflenet.bench.layers.compare import Since
from shufflenet.bench.layers.leaves import CountCheck
from shufflenet.bench.layers.record import KindTime, LayerRecord, LayerTime, by_kind, light, verdict
from shufflenet.bench.layers.roofline import Roof, ridge

_HEADERS = (
    *("Layer", "Kind", "Output", "Multiply-adds [MAC]", "Moved [B]", "Time [us]"),
    *("Quartiles [us]", "Time", "Cost", "GMAC/s", "MAC/B", "Of the roof", "Bound"),
)


#: The columns of an earlier record, but for the unit of its times.
BESIDE = ("New/old", "Change")
# So many leaves are told at most.
_TOLD = 5


def layer_table(record: LayerRecord, beside: Since | None = None) -> Table:
    """Every leaf of a record with what bounds it, and below them every kind, the slowest first.

    Beside an earlier record every leaf is set beside its own of that.
    """
    kinds = by_kind(record)
    rows = [_leaf(layer, record) for layer in record.layers]
    rows += [_kind(kind) for kind in kinds]
    headers: tuple[str, ...] = _HEADERS
    if beside is not None:
        headers += ("Before [us]", *BESIDE)
        earlier = [change_cells(found, _us) for found in beside.leaves]
        earlier += [change_cells(None, _us)] * len(kinds)
        rows = [(*row, *before) for row, before in zip(rows, earlier, strict=True)]
    size = "x".join(map(str, record.shape[2:]))
    threads = "1 thread" if record.effort.threads == 1 else f"{record.effort.threads} threads"
    return Table(
        f"{record.network} at {size}, layer by layer: PyTorch eager, {threads},"
        f" {record.machine.cpu}",
        headers,
        tuple(rows),
        (*_notes(record, kinds), *(() if beside is None else _beside_notes(record, beside))),
        frozenset({len(record.layers) - 1}),
        left=3,
    )


def _leaf(layer: LayerTime, record: LayerRecord) -> tuple[Cell, ...]:
    found = verdict(layer, record.roof)
    cost, times = layer.cost, layer.times
    return (
        cost.path,
        cost.kind,
        str(cost.outputs[0]) if cost.outputs else "",
        cost.macs,
        cost.moved,
        _us(times.median),
        f"{_us(times.low)} to {_us(times.high)}",
        _percent(Fraction(times.median, max(record.summed, 1))),
        _percent(Fraction(cost.macs, max(record.macs, 1))),
        f"{found.speed / 1e9:.2f}" if cost.macs else "",
        f"{float(found.intensity):.2f}" if cost.macs else "",
        _percent(found.share),
        found.bound,
    )


def _kind(kind: KindTime) -> tuple[Cell, ...]:
    speed = f"{kind.macs / kind.ns:.2f}" if kind.macs and kind.ns else ""
    intensity = f"{kind.macs / kind.moved:.2f}" if kind.macs and kind.moved else ""
    return (
        f"all {kind.layers}",
        kind.kind,
        "",
        kind.macs,
        kind.moved,
        _us(kind.ns),
        "",
        _percent(kind.time_share),
        _percent(kind.macs_share),
        speed,
        intensity,
        _percent(kind.roof_share),
        "",
    )


def change_cells(found: Against | None, shown: Callable[[int], str]) -> tuple[Cell, ...]:
    """An earlier time, the ratio of the new one to it and what that says; empty where none is."""
    if found is None:
        return ("", "", "")
    noisy = found.change == "noise"
    ratio = f"{'~' if noisy else ''}{float(found.ratio):.3f}"
    return (shown(found.before.median), ratio, "within noise" if noisy else found.change)


def _us(ns: int) -> str:
    return f"{ns / 1e3:,.1f}"


def _percent(share: Fraction) -> str:
    return f"{float(share):.1%}"


def _notes(record: LayerRecord, kinds: Sequence[KindTime]) -> Iterator[str]:
    whole, summed = record.whole, record.summed
    off = float(Fraction(summed - whole.median, max(whole.median, 1)))
    rounds = "1 round" if whole.runs == 1 else f"medians of {whole.runs} rounds"
    yield (
        f"the layers take {summed / 1e6:.2f} ms together, the whole network"
        f" {whole.median / 1e6:.2f} ms ({whole.low / 1e6:.2f} to {whole.high / 1e6:.2f}):"
        f" {off:+.1%}; {rounds}, in which each had its turn"
    )
    yield roof_text(record.roof)
    for word, (time, cost) in light(kinds).items():
        what = "channel shuffle" if word == "channel shuffle" else "depthwise convolutions"
        yield (
            f"{what}: {_percent(time)} of the time for {_percent(cost)} of the multiply-adds,"
            f" {float(time - cost) * 100:+.1f} points beyond them"
        )
    free = sum((kind.time_share for kind in kinds if not kind.macs), Fraction(0))
    yield f"layers that multiply nothing: {_percent(free)} of the time"
    yield _bounds(record)
    if record.check is not None:
        yield from _check_notes(record.check)


def _check_notes(check: CountCheck) -> Iterator[str]:
    """What the leaves do not tell of the whole."""
    pairs = zip(("multiply-adds", "parameters"), check.leaves, check.whole, strict=True)
    for what, ours, whole in pairs:
        if ours != whole:
            yield (
                f"the {what} of the layers are {ours:,} together, and {whole:,} by the count of the"
                " whole network: something is counted in one of them alone"
            )
    if check.uncounted:
        yield f"uncounted: {', '.join(check.uncounted)}"


def _beside_notes(record: LayerRecord, beside: Since) -> Iterator[str]:
    before, ratio, says = change_cells(beside.whole, lambda ns: f"{ns / 1e6:.2f}")
    yield (
        f"before: {beside.where}, {beside.date}; the whole network took {before} ms, new/old"
        f" {ratio}, {says}; within noise (~): the quartiles of the two overlap, or are of fewer"
        f" than {FEWEST} rounds"
    )
    if beside.differences:
        yield f"not made alike: {'; '.join(beside.differences)}"
    for what, keys in (
        (f"not in {beside.where}", beside.added),
        (f"in {beside.where} alone", beside.gone),
        ("of other shapes or cost than before", beside.altered),
    ):
        if keys:
            named = [f"{path} ({kind})" for path, kind, _ in keys[:_TOLD]]
            more = f" and {len(keys) - _TOLD} more" if len(keys) > _TOLD else ""
            yield f"{what}: {', '.join(named)}{more}"


def _bounds(record: LayerRecord) -> str:
    found: dict[str, int] = dict.fromkeys(("memory", "compute", "call"), 0)
    for layer in record.layers:
        found[verdict(layer, record.roof).bound] += layer.times.median
    said = ", ".join(
        f"{bound} {_percent(Fraction(ns, max(record.summed, 1)))}" for bound, ns in found.items()
    )
    return (
        f"what bounds the time: {said}; call: one that has next to nothing to do takes"
        f" {_us(record.roof.call.median)} us, more than the roof asks of the layer"
    )


def roof_text(roof: Roof) -> str:
    """The roofs in words."""
    return (
        f"roof: {roof.peak / 1e9:.1f} GMAC/s ({roof.best.name}), {roof.bandwidth / 1e9:.1f} GB/s"
        f" from memory and up to {roof.cached / 1e9:.1f} GB/s from a cache (copies, read and"
        f" written); a layer is held against a copy of as many bytes; compute from"
        f" {float(ridge(roof)):.2f} MAC/B on, were all in memory"
    )
