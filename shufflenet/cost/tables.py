"""What people read: Table 1 at any scale, solutions as its columns, comparisons, breakdowns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from flopcount.conventions import Convention, price, price_entry
from flopcount.report import Cell, Table
from shufflenet.arch.network import Network, RowInPlace
from shufflenet.arch.quantities import as_printed
from shufflenet.arch.scaling import shown
from shufflenet.arch.spec import Hint
from shufflenet.cost.priced import Priced


def unit_name(convention: Convention) -> str:
    """What a figure under a convention is called, with its unit."""
    return "Multiply-adds [MAC]" if convention.unit == "macs" else "Operations [FLOP]"


def table_one(
    title: str,
    columns: Sequence[Priced],
    headers: Sequence[str],
    extra: Sequence[tuple[str, Sequence[Cell]]] = (),
    notes: Sequence[str] = (),
) -> Table:
    """Networks of one spec as the columns of the paper's Table 1, their cost below.

    ``extra`` gives further rows at the foot, with a cell for each column.
    """
    first = columns[0].network
    marks = _marks(first)
    body = [_image_row(columns)]
    last = ""
    for index, placed in enumerate(first.rows):
        body.append(_row(placed, columns, index, marks, last))
        last = placed.row.layer
    sections = frozenset({len(body) - 1})
    complexity = f"Complexity [{len(marks) + 1}]"
    foot: list[tuple[str, Sequence[Cell]]] = [
        (complexity, [as_printed(c.cost) for c in columns]),
        (unit_name(columns[0].convention), [c.cost for c in columns]),
        *extra,
        ("Parameters", [c.tally.params for c in columns]),
        ("Peak activations [B]", [c.tally.peak_memory for c in columns]),
    ]
    if any(column.confirmed is not None for column in columns):
        foot.append(("Confirmed", [verdict_text(c.confirmed) for c in columns]))
    body += [(name, "", "", "", "", *cells) for name, cells in foot]
    return Table(
        title,
        ("Layer", "Output", "KSize", "Stride", "Repeat", *headers),
        tuple(body),
        (*_notes(columns, marks), *notes),
        sections,
        left=2,
    )


def verdict_text(confirmed: bool | None) -> str:
    """What the witnesses say, as a cell; empty where none was asked."""
    return {True: "yes", False: "NO", None: ""}[confirmed]


def comparison_notes(items: Sequence[Priced]) -> Iterator[str]:
    """What a comparison of units must say of its figures."""
    first = items[0]
    yield (
        f"convention {first.convention.name}: {first.convention.says};"
        f" input {first.network.input}; parameters of the whole network"
    )
    yield "g: groups, or the cardinality of resnext; m: the bottleneck's width"
    for item in items:
        yield from rounding_notes(item.network)


def _image_row(columns: Sequence[Priced]) -> tuple[Cell, ...]:
    first = columns[0].network
    h, w = first.frame.size
    channels = (column.network.input[1] for column in columns)
    return (first.spec.rows[0].layer, f"{h}x{w}", "", "", "", *channels)


def _row(
    placed: RowInPlace, columns: Sequence[Priced], index: int, marks: dict[str, int], last: str
) -> tuple[Cell, ...]:
    row = placed.row
    mark = f" [{marks[row.note]}]" if row.note else ""
    h, w = placed.output
    weightless = row.channels is None
    return (
        "" if row.layer == last else f"{row.layer}{mark}",
        "" if row.unit == "fc" else f"{h}x{w}",
        f"{row.kernel}x{row.kernel}" if row.kernel else "",
        "" if row.unit in ("fc", "global_pool") else row.stride,
        "" if weightless or row.unit == "fc" else row.repeat,
        *("" if weightless else column.network.rows[index].channels for column in columns),
    )


def _marks(first: Network) -> dict[str, int]:
    """The number of each footnote that the rows of a spec carry."""
    notes = [placed.row.note for placed in first.rows if placed.row.note]
    return {note: number for number, note in enumerate(dict.fromkeys(notes), 1)}


def _notes(columns: Sequence[Priced], marks: dict[str, int]) -> Iterator[str]:
    for note, number in marks.items():
        yield f"[{number}] {note}"
    first = columns[0]
    yield (
        f"[{len(marks) + 1}] convention {first.convention.name}: {first.convention.says};"
        f" input {first.network.input}"
    )
    for column in columns:
        yield from rounding_notes(column.network)
    for note in first.network.spec.notes:
        yield f"{first.network.spec.name}: {note}"


def rounding_notes(net: Network) -> Iterator[str]:
    """Where a scale, or a unit that rounds its bottleneck, changed a width; and by which rule."""
    for item in net.rounded:
        yield (
            f"g = {net.groups}: {item.layer} {shown(item.wanted)} -> {item.used}"
            f" ({item.rule.removeprefix(f'{item.layer}: ')})"
        )
    seen = set()
    for placed in net.rows:
        if placed.ratio is None or not placed.rounded or placed.row.layer in seen:
            continue
        seen.add(placed.row.layer)
        yield (
            f"{placed.row.unit}: {placed.row.layer}, width {placed.channels}: bottleneck"
            f" {placed.channels / placed.ratio:g} rounded to {placed.m}, a multiple of the"
            f" cardinality {placed.groups}"
        )


def hint_notes(
    net: Network, convention: Convention, hinted: Iterable[tuple[Hint, Network]]
) -> Iterator[str]:
    """The spec's remarks on a network's scale, each beside the network with the stem it names."""
    for hint, other in hinted:
        ours = as_printed(price(net.tally(memory=False), convention), tenths=True)
        theirs = as_printed(price(other.tally(memory=False), convention), tenths=True)
        yield (
            f"at {shown(net.scale)}x the scaled stem is {net.stem} ({ours} at g = {net.groups});"
            f" --stem {hint.stem} gives the paper's {hint.printed}"
            f" ({theirs} at g = {net.groups})"
        )


def scale_title(net: Network) -> str:
    """The name of a network at its scale: ShuffleNet 0.5x."""
    return f"{net.spec.title} {shown(net.scale)}x"


def breakdown(item: Priced, title: str) -> Table:
    """The cost of a network row by row, and in all."""
    rows: list[tuple[Cell, ...]] = []
    for placed in item.network.rows:
        part = item.tally.under(placed.paths)
        cost = price(part, item.convention)
        h, w = placed.output
        rows.append(
            (
                placed.row.layer,
                placed.row.unit,
                f"{h}x{w}",
                len(placed.paths),
                placed.channels,
                cost,
                percent(cost, item.cost),
                part.params,
                part.activations,
                part.bytes_moved,
            )
        )
    whole = item.tally
    total = ("Total", "", "", "", "", item.cost, "100.0%" if item.cost else "")
    rows.append((*total, whole.params, whole.activations, whole.bytes_moved))
    headers = ("Layer", "Unit", "Output", "Repeat", "Width", unit_name(item.convention), "Share")
    return Table(
        title,
        (*headers, "Parameters", "Activations", "Moved [B]"),
        tuple(rows),
        tuple(_breakdown_notes(item)),
        frozenset({len(rows) - 2}),
        left=3,
    )


def _breakdown_notes(item: Priced) -> Iterator[str]:
    chosen = item.convention
    yield f"convention {chosen.name}: {chosen.says}; input {item.network.input}"
    yield (
        f"parameters {item.tally.param_bytes:,} B, peak activations"
        f" {item.tally.peak_memory:,} B (float32, nothing in place, weights apart);"
        " moved: inputs, outputs and weights of every layer, unfused"
    )
    if item.confirmed is not None:
        said = ", ".join(
            f"{name} {figure:,}" if isinstance(figure, int) else f"{name} {figure}"
            for name, figure in (item.witnesses or {}).items()
        )
        yield f"confirmed, leaf by leaf: {verdict_text(item.confirmed)} ({said} multiply-adds)"
    yield from rounding_notes(item.network)
    for note in item.network.spec.notes:
        yield f"{item.network.spec.name}: {note}"


def layer_by_layer(item: Priced, title: str) -> Table:
    """The cost of a network leaf by leaf."""
    rows: list[tuple[Cell, ...]] = []
    for entry in item.tally.entries:
        cost = price_entry(entry, item.convention)
        ins = ", ".join(map(str, entry.inputs))
        outs = ", ".join(map(str, entry.outputs))
        rows.append((entry.path, entry.kind, ins, outs, cost, entry.params))
    rows.append(("Total", "", "", "", item.cost, item.tally.params))
    return Table(
        title,
        ("Path", "Kind", "In", "Out", unit_name(item.convention), "Parameters"),
        tuple(rows),
        tuple(_breakdown_notes(item)),
        frozenset({len(rows) - 2}),
        left=4,
    )


def percent(part: int, whole: int) -> str:
    """A share in percent, rounded half up to one decimal; empty where the whole is nothing."""
    if whole == 0:
        return ""
    tenths = (2000 * part + whole) // (2 * whole)
    return f"{tenths // 10}.{tenths % 10}%"


def widths_text(net: Network) -> str:
    """The widths of the stages as people write them: 48, 96, 192."""
    return ", ".join(str(width) for width in net.stage_widths)
