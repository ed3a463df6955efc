"""A settled network as a spec file: one column, with all that was asked for said in its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType

from flopcount.layers import Branches, Chain, Layer
from flopcount.toml_reader import MAX_BYTES
from shufflenet.arch.layout import Frame, Placed, walk
from shufflenet.arch.network import Network
from shufflenet.arch.network import network as made_of
from shufflenet.arch.spec import Row, SpecError
from shufflenet.arch.spec_reader import loads
from shufflenet.units import Unit, unit
from shufflenet.units.context import Option

# TOML's own escapes, and a code for every other character that a basic string must not hold.
_ESCAPES = {code: f"\\u{code:04X}" for code in (*range(0x20), 0x7F)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\n"): "\\n",
    ord("\t"): "\\t",
}


def written(
    network: Network, *, title: str = "", source: str = "", notes: Sequence[str] = ()
) -> str:
    """The TOML text of a spec whose own network is this one: the same layers, input and cost.

    It has one column, and its rows say the widths, the sizes, the units, ratios and cardinalities
    that the network was made with; ``title`` is that of the network's spec unless given. The text
    is read back before it is returned. Raises SpecError where a row cannot be written exactly, or
    what is written is more or other than a spec may hold.
    """
    spec = network.spec
    rows = (_image(network), *_settled(network))
    head = _head(title or spec.title or spec.name, source, network.groups, notes)
    text = "\n".join((*head, "", "rows = [", *(f"  {_table(_row(row))}," for row in rows), "]", ""))
    _read_back(network, text)
    return text


def _image(network: Network) -> Row:
    return replace(network.spec.rows[0], output=network.frame.size, channels=(network.input[1],))


def _settled(network: Network) -> Iterator[Row]:
    """The rows behind the image, each as the frame and the widths have made it."""
    frame = network.frame
    placed = {part.path: part for part in walk(frame, network.widths)}
    for row, found in zip(frame.spec.rows[1:], network.rows, strict=True):
        try:
            yield _as_made(frame, row, placed[found.paths[0]], found.output)
        except SpecError as error:
            # The record knows its layer alone.
            reason = str(error).removeprefix(f"{row.layer}: ")
            raise SpecError(f"{frame.where(row)}: cannot be written: {reason}") from error


def _as_made(frame: Frame, row: Row, placed: Placed, size: tuple[int, int]) -> Row:
    taken, place = placed.row, placed.place
    chosen = unit(taken.unit, frame.units_from)
    return replace(
        taken,
        output=None if row.output is None else size,
        kernel=_kernel(chosen, placed),
        channels=None if row.channels is None else (place.c_out,),
        options=MappingProxyType(_options(chosen, placed)),
        # A footnote is about the unit that the spec names.
        note=row.note if taken.unit == row.unit else "",
    )


def _kernel(chosen: Unit, placed: Placed) -> int | None:
    kernel = placed.row.kernel
    if kernel is None or chosen.kernel == "refused":
        return None
    if chosen.name == "global_pool":
        # What is printed is what it pools, and that is another at another size.
        h, w = placed.before[2], placed.before[3]
        return h if h == w else None
    return kernel


def _options(chosen: Unit, placed: Placed) -> dict[str, Option]:
    """The options for the row's settled width, and the cardinality where the unit has one."""
    options = {
        name: _in_proportion(name, value, placed) if name in chosen.inside else value
        for name, value in placed.row.options.items()
    }
    if chosen.splits == "cardinality":
        options["cardinality"] = placed.place.groups
    return options


def _in_proportion(name: str, value: Option, placed: Placed) -> Option:
    width, own = placed.place.c_out, placed.place.own
    if own in (0, width) or isinstance(value, (bool, str)):
        return value

    def one(number: int) -> int:
        scaled, rest = divmod(number * width, own)
        if rest:
            raise SpecError(
                f"option {name}: {number} at width {own} is no whole number at width {width}"
            )
        return scaled

    if isinstance(value, int):
        return one(value)
    return tuple(tuple(one(number) for number in part) for part in value)


def _read_back(network: Network, text: str) -> None:
    """Check that the text is a spec and makes the same layers. Raises SpecError."""
    frame = network.frame
    name = f"{frame.spec.where}, written"
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SpecError(f"{name}: a text that is no Unicode: {error.reason}") from error
    if len(data) > MAX_BYTES:
        raise SpecError(f"{name}: more than {MAX_BYTES} bytes")
    again = made_of(loads(data, name=name), units_from=frame.units_from)
    before = walk(frame, network.widths)
    for one, other in zip(before, walk(again.frame, again.widths), strict=True):
        if not _same(one.layer, other.layer):
            raise SpecError(
                f"{frame.where(one.row)}: cannot be written: at width {one.place.c_out} unit"
                f" {one.row.unit} makes another layer of options for width {one.place.own}"
                " than of the same for its own"
            )


def _same(one: Layer, other: Layer) -> bool:
    """Whether two trees are the same, but for their makers' rules, which quote the spec's width."""
    if isinstance(one, Chain) and isinstance(other, Chain):
        joined = True
    elif isinstance(one, Branches) and isinstance(other, Branches):
        joined = one.join == other.join
    else:
        return one == other
    return (
        joined
        and [name for name, _ in one.children] == [name for name, _ in other.children]
        and all(_same(a, b) for (_, a), (_, b) in zip(one.children, other.children, strict=True))
    )


def _head(title: str, source: str, groups: int, notes: Sequence[str]) -> Iterator[str]:
    yield f"title = {_quoted(title)}"
    if source:
        yield f"source = {_quoted(source)}"
    yield f"groups = [{groups}]"
    if notes:
        yield "notes = ["
        yield from (f"  {_quoted(note)}," for note in notes)
        yield "]"


def _row(row: Row) -> Iterator[tuple[str, str]]:
    """What a row says, key by key in the order of a printed table; defaults are left out."""
    yield "layer", _quoted(row.layer)
    if row.output is not None:
        yield "output", _quoted("{}x{}".format(*row.output))
    if row.kernel is not None:
        yield "ksize", _quoted(f"{row.kernel}x{row.kernel}")
    if row.stride != 1 or (row.channels is not None and row.unit not in ("image", "fc")):
        yield "stride", str(row.stride)
    if row.repeat != 1:
        yield "repeat", str(row.repeat)
    yield "unit", _quoted(row.unit)
    if row.ratio is not None:
        yield "ratio", _quoted(f"1:{row.ratio}")
    if row.channels is not None:
        yield "channels", str(row.channels[0])
    if row.options:
        yield "options", _table((_key(name), _value(row.options[name])) for name in row.options)
    if row.note:
        yield "note", _quoted(row.note)
    if row.fixed:
        yield "fixed", "true"


def _table(pairs: Iterator[tuple[str, str]]) -> str:
    return f"{{ {', '.join(f'{key} = {value}' for key, value in pairs)} }}"


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _quoted(name)


def _value(value: Option) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return _quoted(value)
        case _:
            return str([list(part) for part in value])


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
