"""What the tests of specs draw: broken TOML, near misses of real specs, and a limit on time."""

from __future__ import annotations

import datetime
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

IMAGE = '{ layer = "Image", output = "32x32", unit = "image", channels = 3 }'
CONV = '{ layer = "Conv1", ksize = "3x3", unit = "conv", channels = 8 }'


def document(*rows: str, head: str = "") -> bytes:
    """A spec of these rows, as TOML."""
    return f"{head}\nrows = [\n{','.join(rows)}\n]\n".encode()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails what does not end in time, even where it is stuck in a system call."""

    def give_up(*_: object) -> None:
        raise AssertionError(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """A real text in which random slices are deleted, doubled, moved or replaced."""
    data = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        new = draw(
            st.sampled_from([b"", b"0", b"-1", b"\n", b'"', b"[", b"}", b"= ", b"0x" + b"f" * 6000])
            | st.binary(max_size=8)
            | st.just(data[start:end] * 2)
        )
        data = data[:start] + new + data[end:]
    return data


_KEYS = [
    "rows",
    "groups",
    "title",
    "source",
    "default_groups",
    "notes",
    "hints",
    "layer",
    "unit",
    "output",
    "ksize",
    "stride",
    "repeat",
    "channels",
    "ratio",
    "options",
    "note",
    "scale",
    "stem",
    "printed",
    "padding",
    "cardinality",
    "first_groups",
    "shuffle",
    "fixed",
    "towers",
    "act",
    "eps",
]
_TEXTS = [
    "image",
    "conv",
    "max_pool",
    "global_pool",
    "fc",
    "shufflenet",
    "resnet",
    "resnext",
    "xception",
    "vgg",
    "inception",
    "inverted",
    "crelu_block",
    "a.b:c",
    "Image",
    "Conv1",
    "Stage2",
    "224x224",
    "3x3",
    "0x0",
    "3x",
    "1:4",
    "1:0",
    "2:4",
    "0.5",
    "nan",
    "-1",
    "1e9999999",
]
_NUMBERS = (0, 1, 2, 3, -1, 10**9, 2**63)


class TooLong:
    """A whole number of more digits than Python prints."""

    def __str__(self) -> str:
        return "0x" + "f" * 6_000


_keys = st.sampled_from(_KEYS) | st.text(max_size=4)
_plain = (
    st.sampled_from(_TEXTS)
    | st.text(max_size=6)
    | st.sampled_from(_NUMBERS)
    | st.integers(0, 64)
    | st.booleans()
    | st.floats()
    | st.just(datetime.date(2017, 7, 4))
    | st.just(TooLong())
)
_values = st.recursive(
    _plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=8,
)
_whole = st.sampled_from([1, 2, 8, 0, -1, 10**9]) | st.just(TooLong())
_sizes = st.sampled_from(["16x16", "3x3", "0", "1x", "16"])
# Rows that are nearly rows get further into the reader than any table at random.
_near_rows = st.fixed_dictionaries(
    {
        "layer": st.sampled_from(["Image", "Conv1", "Stage2", "FC", "", 7]),
        "unit": st.sampled_from(
            [
                "image",
                "conv",
                "shufflenet",
                "resnext",
                "inception",
                "inverted",
                "fc",
                "a:b",
                "",
                True,
            ]
        ),
    },
    optional={
        **dict.fromkeys(("stride", "repeat"), _whole | _values),
        **dict.fromkeys(("output", "ksize"), _sizes | _values),
        "channels": _whole | st.lists(_whole, max_size=3) | _values,
        "ratio": st.sampled_from(["1:2", "1:4", "1:0"]) | _values,
        "options": st.dictionaries(_keys, _whole | st.booleans(), max_size=2) | _values,
        "oops": _values,
    },
)
_first_rows = st.just({"layer": "Image", "unit": "image", "output": "32x32", "channels": 3})
_near_hints = st.fixed_dictionaries(
    {"scale": st.sampled_from(["0.5", "0", "nan"]), "stem": _whole, "printed": st.just("13M")},
)
_near_specs = st.fixed_dictionaries(
    {"rows": st.tuples(_first_rows, _near_rows, _near_rows).map(list)},
    optional={
        "groups": st.lists(_whole, max_size=3) | _values,
        "default_groups": _whole | _values,
        "hints": st.lists(_near_hints, max_size=2) | _values,
        **dict.fromkeys(("title", "notes", "oops"), _values),
    },
)
_tables = _near_specs | st.dictionaries(_keys, _values, max_size=5)


def toml(table: dict[str, Any]) -> bytes:
    """A table as TOML."""
    lines = (f"{_quoted(key)} = {_shown(value)}\n" for key, value in table.items())
    return "".join(lines).encode("utf-8", "surrogatepass")


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return hex(value) if value >= 0 else str(value)
        case str():
            return _quoted(value)
        case list():
            return f"[{', '.join(_shown(item) for item in value)}]"
        case dict():
            pairs = (f"{_quoted(key)} = {_shown(item)}" for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case _:
            return str(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


tables = _tables.map(toml)
#: Any value that TOML has, and some that it has not.
values = _values
