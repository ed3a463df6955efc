"""TOML files read with care: what could hang, never end or take for ever is refused."""

from __future__ import annotations

import os
import stat
import tomllib
from typing import Any

#: The largest file that is read [B].
MAX_BYTES = 1_000_000
_MAX_DOTS = 2_000


class TomlError(ValueError):
    """A file that cannot be read, or is not TOML; whoever asked for it names the file."""


def read(path: str) -> bytes:
    """The bytes of a file [B]. Raises TomlError for what is no regular file, or too large."""
    data = None
    try:
        # A pipe or a device could hang or never end.
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TomlError(f"cannot be read: {reason}") from error
    if data is None:
        raise TomlError("not a regular file")
    if len(data) > MAX_BYTES:
        raise TomlError(f"more than {MAX_BYTES} bytes")
    return data


def parsed(data: bytes) -> dict[str, Any]:
    """The table in a TOML text. Raises TomlError where it is none."""
    if data.count(b".") > _MAX_DOTS:
        # A key of thousands of dotted parts costs the parser its square in time and memory.
        raise TomlError(f"more than {_MAX_DOTS} dots")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TomlError(f"not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise TomlError(f"not TOML: {error}") from error


def shown(value: object) -> str:
    """A value as an error quotes it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
