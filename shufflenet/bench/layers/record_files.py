"""A record of timed leaves as JSON, written with what follows from it; and read again."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from msgspec import structs

from flopcount.entries import Shape
from shufflenet.arch.quantities import ratio_json
from shufflenet.bench.json_fields import TimesJson, before_json, times_json
from shufflenet.bench.layers.compare import Since
from shufflenet.bench.layers.leaves import Cost, CountCheck, Totals
from shufflenet.bench.layers.record import KindTime, LayerRecord, LayerTime, by_kind, verdict
from shufflenet.bench.layers.roofline import Copied, Dense, Roof
from shufflenet.bench.rounds import RoundSettings
from shufflenet.bench.timings import Summary
from shufflenet.cost.json_fields import Natural, Positive, loaded
from shufflenet.cost.machine import Machine

#: The version of a record. Keys are only ever added within one.
LAYERS_VERSION = 1
# What a comparison knows a leaf by.
_KEY = ("path", "kind", "number")


def layers_json(record: LayerRecord, beside: Since | None = None) -> dict[str, Any]:
    """The record as the object for JSON, beside an earlier one where there is one."""
    roof, check = record.roof, record.check
    before = [None] * len(record.layers) if beside is None else beside.leaves
    return {
        "layer_times": LAYERS_VERSION,
        "date": record.date,
        "machine": asdict(record.machine),
        "threads": record.effort.threads,
        "rounds": record.effort.rounds,
        "seed": record.effort.seed,
        "network": record.network,
        "input": list(record.shape),
        "macs": record.macs,
        "check": check
        and structs.asdict(
            _CountCheckJson(check.leaves.params, *check.whole, dict(check.uncounted))
        ),
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


def _since_json(beside: Since) -> dict[str, Any]:
    return {
        "file": beside.where,
        "date": beside.date,
        "differences": list(beside.differences),
        "whole": before_json(beside.whole),
        **{
            name: [dict(zip(_KEY, key, strict=True)) for key in getattr(beside, name)]
            for name in ("added", "gone", "altered")
        },
    }


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
    found = verdict(layer, roof)
    return {
        **structs.asdict(_LayerJson(*layer.cost, *layer.times)),
        "macs_per_second": found.speed,
        "intensity": ratio_json(found.intensity),
        "roof_ns": found.least_ns,
        "roof_share": ratio_json(found.share),
        "bound": found.bound,
    }


class _CountCheckJson(msgspec.Struct):
    params: Natural
    counted_macs: Natural
    counted_params: Natural
    uncounted: dict[str, Natural]

    def check(self, macs: int) -> CountCheck:
        counted = Totals(self.counted_macs, self.counted_params)
        return CountCheck(Totals(macs, self.params), counted, self.uncounted)


class _DenseJson(TimesJson):
    name: str
    macs: Positive


class _CopiedJson(TimesJson):
    bytes: Positive


class _RoofJson(msgspec.Struct):
    dense: Annotated[list[_DenseJson], msgspec.Meta(min_length=1)]
    copies: Annotated[list[_CopiedJson], msgspec.Meta(min_length=1)]
    call: TimesJson

    def roof(self) -> Roof:
        return Roof(
            tuple(Dense(one.name, one.macs, one.summary()) for one in self.dense),
            tuple(Copied(one.bytes, one.summary()) for one in self.copies),
            self.call.summary(),
        )


class _LayerJson(msgspec.Struct):
    # In the order of `Cost`, and then of `Summary`.
    path: str
    kind: str
    inputs: tuple[tuple[Natural, ...], ...]
    outputs: tuple[tuple[Natural, ...], ...]
    macs: Natural
    params: Natural
    bytes_moved: Natural
    median_ns: Natural
    low_ns: Natural
    high_ns: Natural
    least_ns: Natural
    runs: Positive

    def layer(self) -> LayerTime:
        path, kind, inputs, outputs, macs, params, moved, *times = structs.astuple(self)
        cost = Cost(path, kind, _shapes(inputs), _shapes(outputs), macs, params, moved)
        return LayerTime(cost, Summary(*times))


def _shapes(found: tuple[tuple[int, ...], ...]) -> tuple[Shape, ...]:
    return tuple(Shape(*sizes) for sizes in found)


class _LayerRecordJson(msgspec.Struct):
    date: str
    machine: Machine
    threads: Positive
    rounds: Positive
    seed: Natural
    network: str
    input: tuple[Positive, ...]
    macs: Natural
    whole: TimesJson
    roof: _RoofJson
    layers: list[_LayerJson]
    # Records of networks of specs had none at first.
    check: _CountCheckJson | None = None


def load_layers(path: str) -> LayerRecord:
    """The record in a JSON file.

    Raises FieldError where the file cannot be read, or holds none of this version.
    """
    what = "record of `shufflecost bench --layers`"
    found = loaded(path, _LayerRecordJson, "layer_times", LAYERS_VERSION, what)
    return LayerRecord(
        found.machine,
        found.date,
        RoundSettings(found.threads, found.rounds, found.seed),
        found.network,
        found.input,
        tuple(layer.layer() for layer in found.layers),
        found.whole.summary(),
        found.roof.roof(),
        None if found.check is None else found.check.check(found.macs),
    )
