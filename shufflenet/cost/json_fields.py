"""JSON files that are read again: one is decoded into a struct that describes its fields."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from flopcount.integers import MAX
from flopcount.toml_reader import shown
from shufflenet.cost.machine import FieldError

#: Whole numbers as files hold them: from 0 or 1 to 2^63-1.
Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX)]
Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX)]

_Fields = TypeVar("_Fields", bound=msgspec.Struct)


def loaded(path: str, fields: type[_Fields], key: str, version: int, what: str) -> _Fields:
    """The fields of the object in a JSON file that says under a key that it is of a version.

    Raises FieldError where the file cannot be read, or does not hold them.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            table = json.load(stream)
    except OSError as error:
        raise FieldError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FieldError(f"{path}: is not JSON: {error}") from error
    if not isinstance(table, dict) or key not in table:
        raise FieldError(f"{path}: is no {what}")
    found = table[key]
    if type(found) is not int or found != version:
        raise FieldError(
            f"{path}: {key} {shown(found)} is no version that is known; known is {version}"
        )
    try:
        return msgspec.convert(table, fields)
    except msgspec.ValidationError as error:
        raise FieldError(f"{path}: {_explained(str(error), table, fields)}") from error
    except UnicodeEncodeError as error:
        raise FieldError(f"{path}: a key is not Unicode: {error}") from error


def _explained(complaint: str, table: dict[str, Any], fields: type[msgspec.Struct]) -> str:
    """What msgspec complains of, with the place and the value there."""
    rule, _, steps = complaint.partition(" - at `$")
    place, value = "", table
    for step in re.findall(r"\w+|\.\.\.", steps):
        if step == "...":
            name = _culprit(complaint, value, table, fields)
            place, value = f"{place}[{shown(name)}]", value[name]
        elif isinstance(value, list):
            place, value = f"{place}[{step}]", value[int(step)]
        else:
            place, value = f"{place}.{step}", value[step]
    quoted = "" if "missing" in rule else shown(value)
    return ": ".join(filter(None, (place.removeprefix("."), quoted, rule)))


def _culprit(
    complaint: str, values: dict[str, Any], table: dict[str, Any], fields: type[msgspec.Struct]
) -> str:
    """The key that a complaint is about, which does not name it; its value alone is left."""
    items = dict(values)
    for name, value in items.items():
        values.clear()
        values[name] = value
        try:
            msgspec.convert(table, fields)
        except msgspec.ValidationError as error:
            if str(error) == complaint:
                break
    return name
