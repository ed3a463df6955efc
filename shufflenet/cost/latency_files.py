"""A latency model as JSON: written for one machine, and read again as it was."""

from __future__ import annotations

from typing import Any

from shufflenet.cost.json_fields import (
    FieldError,
    check_version,
    machine_json,
    parsed,
    ratio_json,
    read_machine,
    tables,
    take,
    whole,
)
from shufflenet.cost.latency_model import KINDS, Check, Model, features

#: The version of a model's file; one of another version is refused.
VERSION = 1


def model_json(model: Model) -> dict[str, Any]:
    """The model as the object for JSON: costs [fs], and how it did on networks it never saw."""
    errors = model.errors
    return {
        "latency": VERSION,
        "date": model.date,
        "machine": machine_json(model.machine),
        "runtime": model.runtime,
        "threads": model.threads,
        "median_error": ratio_json(model.median_error) if errors else None,
        "largest_error": ratio_json(errors[-1]) if errors else None,
        "checks": [
            {
                "network": check.network,
                "measured_ns": check.measured,
                "low_ns": check.low,
                "high_ns": check.high,
                "predicted_ns": check.predicted,
            }
            for check in model.checks
        ],
        "costs_fs": {kind: dict(costs) for kind, costs in sorted(model.costs.items())},
    }


def prediction_json(ns: int, model: Model) -> dict[str, Any]:
    """A prediction [ns] as figures, with how good the model is. Raises as `median_error` does."""
    return {"predicted_ns": ns, **quality_json(model)}


def quality_json(model: Model) -> dict[str, Any]:
    """How good a model is, and where, as figures. Raises as `median_error` does."""
    return {
        "median_error": ratio_json(model.median_error),
        "largest_error": ratio_json(model.errors[-1]),
        "checked_networks": len(model.checks),
        "runtime": model.runtime,
        "threads": model.threads,
        "machine": machine_json(model.machine),
    }


def load_model(path: str) -> Model:
    """The model in a JSON file.

    Raises FieldError where the file cannot be read, or holds none of this version.
    """
    table = parsed(path)
    try:
        check_version(table, "latency", VERSION, "model of `shufflecost latency fit`")
        return _model(table, path)
    except FieldError as error:
        raise FieldError(f"{path}: {error}") from error


def _model(table: dict[str, Any], path: str) -> Model:
    costs = take(table, "costs_fs", dict)
    return Model(
        read_machine(table),
        take(table, "date", str),
        take(table, "runtime", str),
        whole(table, "threads", 1),
        {kind: _costs(take(costs, kind, dict), kind) for kind in costs},
        tuple(_check(check) for check in tables(table, "checks")),
        path,
    )


def _costs(table: dict[str, Any], kind: str) -> dict[str, int]:
    if kind not in KINDS:
        raise FieldError(f"'costs_fs': {kind!r} is not one of {', '.join(KINDS)}")
    known = features(kind)
    for name in table:
        if name not in known:
            raise FieldError(f"costs of {kind}: {name!r} is not one of {', '.join(known)}")
    return {name: whole(table, name) for name in table}


def _check(table: dict[str, Any]) -> Check:
    measured, low, high, predicted = (
        whole(table, f"{name}_ns") for name in ("measured", "low", "high", "predicted")
    )
    return Check(take(table, "network", str), measured, low, high, predicted)
