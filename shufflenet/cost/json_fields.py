"""The fields of JSON files that are read again, each taken with its type checked."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from flopcount.integers import MAX
from shufflenet.arch.quantities import rounded_half_up
from shufflenet.cost.machine import Machine

_DIGITS = 4


class FieldError(ValueError):
    """A file that cannot be read, or does not hold what it should; the text says where."""


def parsed(path: str) -> Any:
    """What a JSON file holds. Raises FieldError where it cannot be read or is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except OSError as error:
        raise FieldError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FieldError(f"{path}: is not JSON: {error}") from error


def check_version(table: Any, key: str, known: int, what: str) -> None:
    """Check that a file says under a key that it is of a version. Raises FieldError."""
    if not isinstance(table, dict) or key not in table:
        raise FieldError(f"is no {what}")
    if type(table[key]) is not int or table[key] != known:
        raise FieldError(f"{key} {table[key]!r} is no version that is known; known is {known}")


def take(table: dict[str, Any], key: str, kind: Any) -> Any:
    """The value of a key. Raises FieldError where it is missing, or of another type."""
    if key not in table:
        raise FieldError(f"{key!r} is missing")
    value = table[key]
    # A truth value is an int to Python alone.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise FieldError(f"{key!r}: {str(value)[:60]!r} is of the wrong type")
    return value


def whole(table: dict[str, Any], key: str, least: int = 0) -> int:
    """A whole number. Raises FieldError as `take` does, below the least, and past 2^63-1."""
    value: int = take(table, key, int)
    if value > MAX:
        raise FieldError(f"{key!r}: a figure passes 2**63 - 1 = {MAX}")
    if value < least:
        raise FieldError(f"{key!r}: {value} is below {least}")
    return value


def wholes(table: dict[str, Any], key: str, least: int = 0) -> tuple[int, ...]:
    """Whole numbers. Raises FieldError as `whole` does."""
    return tuple(whole({key: value}, key, least) for value in take(table, key, list))


def tables(table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of objects. Raises FieldError as `take` does."""
    return [take({key: item}, key, dict) for item in take(table, key, list)]


def machine_json(machine: Machine) -> dict[str, Any]:
    """A machine as an object."""
    named = {name: getattr(machine, name) for name in ("cpu", "cores", "system", "python")}
    return {**named, "versions": dict(machine.versions)}


def read_machine(table: dict[str, Any], key: str = "machine") -> Machine:
    """The machine under a key. Raises FieldError as `take` does."""
    found = take(table, key, dict)
    versions = take(found, "versions", dict)
    return Machine(
        take(found, "cpu", str),
        whole(found, "cores", 0),
        take(found, "system", str),
        take(found, "python", str),
        {name: take(versions, name, str) for name in versions},
    )


def ratio_json(ratio: Fraction | None) -> float | None:
    """An exact ratio as a number of four digits; None stays what it is."""
    return None if ratio is None else rounded_half_up(ratio.numerator, ratio.denominator, _DIGITS)
