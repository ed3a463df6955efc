"""A latency model as JSON: written for one machine, and read again as it was."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from flopcount.toml_reader import shown
from shufflenet.arch.quantities import ratio_json
from shufflenet.cost.json_fields import Natural, Positive, loaded
from shufflenet.cost.latency_model import LEAF_KINDS, Model, TimeCheck, features
from shufflenet.cost.machine import FieldError, Machine

#: The version of a model's file; one of another version is refused.
MODEL_VERSION = 1


def model_json(model: Model) -> dict[str, Any]:
    """The model as the object for JSON: costs [fs], and how it did on networks it never saw."""
    errors = model.errors
    return {
        "latency": MODEL_VERSION,
        "date": model.date,
        "machine": asdict(model.machine),
        "runtime": model.runtime,
        "threads": model.threads,
        "median_error": ratio_json(model.median_error) if errors else None,
        "largest_error": ratio_json(errors[-1]) if errors else None,
        "checks": [msgspec.structs.asdict(_TimeCheckJson(*check)) for check in model.checks],
        "costs_fs": {kind: dict(costs) for kind, costs in sorted(model.costs.items())},
    }


class _TimeCheckJson(msgspec.Struct):
    # In the order of `TimeCheck`.
    network: str
    measured_ns: Natural
    low_ns: Natural
    high_ns: Natural
    predicted_ns: Natural


class _ModelJson(msgspec.Struct):
    date: str
    machine: Machine
    runtime: str
    threads: Positive
    checks: list[_TimeCheckJson]
    costs_fs: dict[str, dict[str, Natural]]


def load_model(path: str) -> Model:
    """The model in a JSON file.

    Raises FieldError where the file cannot be read, or holds none of this version.
    """
    found = loaded(path, _ModelJson, "latency", MODEL_VERSION, "model of `shufflecost latency fit`")
    for kind, costs in found.costs_fs.items():
        _check_name(path, "costs_fs", kind, LEAF_KINDS)
        for name in costs:
            _check_name(path, f"costs of {kind}", name, features(kind))
    checks = tuple(TimeCheck(*msgspec.structs.astuple(check)) for check in found.checks)
    return Model(
        found.machine, found.date, found.runtime, found.threads, found.costs_fs, checks, path
    )


def _check_name(path: str, where: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise FieldError(f"{path}: {where}: {shown(name)} is not one of {', '.join(known)}")
