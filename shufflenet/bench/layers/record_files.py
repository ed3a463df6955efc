"""A record of timed leaves as JSON, written with what follows from it; and read again."""

from __future__ import annotations

from typing import Any

from flopcount.entries import Shape
from shufflenet.bench.json_fields import before_json, read_times, times_json
from shufflenet.bench.layers.compare import Key, Since
from shufflenet.bench.layers.leaves import Check, Cost, Totals
from shufflenet.bench.layers.record import KindTime, LayerRecord, LayerTime, by_kind, verdict
from shufflenet.bench.layers.roofline import Copied, Dense, Roof
from shufflenet.bench.rounds import Effort
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
    wholes,
)

#: The version of a record. Keys are only ever added within one.
VERSION = 1
# The leaves that a comparison tells apart.
_APART = ("added", "gone", "altered")


def layers_json(record: LayerRecord, beside: Since | None = None) -> dict[str, Any]:
    """The record as the object for JSON, beside an earlier one where there is one."""
    roof = record.roof
    before = [None] * len(record.layers) if beside is None else beside.leaves
    return {
        "layer_times": VERSION,
        "date": record.date,
        "machine": machine_json(record.machine),
        "threads": record.effort.threads,
        "rounds": record.effort.rounds,
        "seed": record.effort.seed,
        "network": record.network,
        "input": list(record.shape),
        "macs": record.macs,
        "check": record.check and _check_json(record.check),
        "against": beside and _since_json(beside),
        "whole": times_json(record.whole),
        "summed_ns": record.summed,
        "roof": {
            "peak_macs_per_second": roof.peak,
            "bytes_per_second": roof.bandwidth,
            "cached_bytes_per_second": roof.cached,
            "call": times_json(roof.call),
            "dense": [
                {
                    "name": one.name,
                    "macs": one.macs,
                    "macs_per_second": one.speed,
                    **times_json(one.times),
                }
                for one in roof.dense
            ],
            "copies": [
                {"bytes": one.moved, "bytes_per_second": one.speed, **times_json(one.times)}
                for one in roof.copies
            ],
        },
        "kinds": [_kind_json(kind) for kind in by_kind(record)],
        "layers": [
            {**_layer_json(layer, roof), "before": before_json(earlier)}
            for layer, earlier in zip(record.layers, before, strict=True)
        ],
    }


def _check_json(check: Check) -> dict[str, Any]:
    return {
        "params": check.leaves.params,
        "counted_macs": check.whole.macs,
        "counted_params": check.whole.params,
        "uncounted": dict(check.uncounted),
    }


def _since_json(beside: Since) -> dict[str, Any]:
    return {
        "file": beside.where,
        "date": beside.date,
        "differences": list(beside.differences),
        "whole": before_json(beside.whole),
        **{name: list(map(_key_json, getattr(beside, name))) for name in _APART},
    }


def _key_json(key: Key) -> dict[str, Any]:
    path, kind, number = key
    return {"path": path, "kind": kind, "number": number}


def _kind_json(kind: KindTime) -> dict[str, Any]:
    return {
        "kind": kind.kind,
        "layers": kind.layers,
        "macs": kind.macs,
        "bytes_moved": kind.moved,
        "ns": kind.ns,
        "macs_share": ratio_json(kind.macs_share),
        "time_share": ratio_json(kind.time_share),
        "roof_share": ratio_json(kind.roof_share),
    }


def _layer_json(layer: LayerTime, roof: Roof) -> dict[str, Any]:
    cost, found = layer.cost, verdict(layer, roof)
    return {
        "path": cost.path,
        "kind": cost.kind,
        "inputs": [list(shape) for shape in cost.inputs],
        "outputs": [list(shape) for shape in cost.outputs],
        "macs": cost.macs,
        "params": cost.params,
        "bytes_moved": cost.moved,
        **times_json(layer.times),
        "macs_per_second": found.speed,
        "intensity": ratio_json(found.intensity),
        "roof_ns": found.least_ns,
        "roof_share": ratio_json(found.share),
        "bound": found.bound,
    }


def load_layers(path: str) -> LayerRecord:
    """The record in a JSON file.

    Raises FieldError where the file cannot be read, or holds none of this version.
    """
    table = parsed(path)
    try:
        check_version(table, "layer_times", VERSION, "record of `shufflecost bench --layers`")
        return _record(table)
    except FieldError as error:
        raise FieldError(f"{path}: {error}") from error


def _record(table: dict[str, Any]) -> LayerRecord:
    effort = Effort(whole(table, "threads", 1), whole(table, "rounds", 1), whole(table, "seed"))
    return LayerRecord(
        read_machine(table),
        take(table, "date", str),
        effort,
        take(table, "network", str),
        wholes(table, "input", 1),
        tuple(_layer(layer) for layer in tables(table, "layers")),
        read_times(take(table, "whole", dict)),
        _roof(take(table, "roof", dict)),
        _check(table),
    )


def _check(table: dict[str, Any]) -> Check | None:
    # Records of networks of specs had none at first.
    found = take({"check": None} | table, "check", (dict, type(None)))
    if found is None:
        return None
    lost = take(found, "uncounted", dict)
    return Check(
        Totals(whole(table, "macs"), whole(found, "params")),
        Totals(whole(found, "counted_macs"), whole(found, "counted_params")),
        {name: whole(lost, name) for name in lost},
    )


def _roof(table: dict[str, Any]) -> Roof:
    dense = tuple(
        Dense(take(one, "name", str), whole(one, "macs", 1), read_times(one))
        for one in tables(table, "dense")
    )
    copies = tuple(
        Copied(whole(one, "bytes", 1), read_times(one)) for one in tables(table, "copies")
    )
    for key, found in (("dense", dense), ("copies", copies)):
        if not found:
            raise FieldError(f"{key!r}: a list is empty")
    return Roof(dense, copies, read_times(take(table, "call", dict)))


def _layer(table: dict[str, Any]) -> LayerTime:
    inputs, outputs = (
        tuple(Shape(*wholes({key: shape}, key)) for shape in take(table, key, list))
        for key in ("inputs", "outputs")
    )
    cost = Cost(
        take(table, "path", str),
        take(table, "kind", str),
        inputs,
        outputs,
        whole(table, "macs"),
        whole(table, "params"),
        whole(table, "bytes_moved"),
    )
    return LayerTime(cost, read_times(table))
