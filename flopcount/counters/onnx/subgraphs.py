"""The graphs inside If, Loop and Scan: which of them runs, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

import onnx
from onnx import helper, numpy_helper

from flopcount.counters.onnx.reading import OnnxError, OnnxSource, lightened, settled
from flopcount.counters.onnx.values import Scope, Value

#: The scope of an inner graph, after a pass over it.
ScopeT = TypeVar("ScopeT", bound=Scope)
#: Makes the pass over an inner graph, which sees the values around it.
GraphPass: TypeAlias = Callable[[OnnxSource, Mapping[str, Value]], ScopeT]

# A graph that runs more often is no network's: its entries would not fit into memory.
_MOST = 100_000


def choose(scope: Scope, node: Any, walk: GraphPass[ScopeT]) -> tuple[ScopeT, int] | None:
    """The scope of the graph that runs, and how often; None where data decide it.

    ``walk`` passes over an inner graph. Of an If that data decide, either graph is taken where
    both cost the same.
    """
    graphs = {a.name: a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH}
    try:
        if node.op_type == "If":
            return _if(scope, node, walk, graphs["then_branch"], graphs["else_branch"])
        if node.op_type == "Loop":
            return _loop(scope, node, walk, graphs["body"])
        return _scan(scope, node, walk, graphs["body"])
    except OnnxError:
        return None


def captured(node: Any) -> tuple[str, ...]:
    """The names that the graphs of a node take from around it."""
    graphs = (a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH)
    return tuple(dict.fromkeys(name for graph in graphs for name in _outer(graph)))


def _outer(graph: Any) -> Iterator[str]:
    own = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {name for node in graph.node for name in node.output}
    for node in graph.node:
        for name in (*node.input, *captured(node)):
            if name and name not in own:
                yield name
    for out in graph.output:
        if out.name not in own:
            yield out.name


def _if(
    scope: Scope, node: Any, walk: GraphPass[ScopeT], then: Any, other: Any
) -> tuple[ScopeT, int] | None:
    decided = scope.source.known.get(node.input[0])
    if decided is not None:
        return _inside(scope, walk, then if bool(decided.all()) else other, {}), 1
    both = [_inside(scope, walk, graph, {}) for graph in (then, other)]
    costs = [(sum(e.macs for e in inner.entries), inner.uncounted) for inner in both]
    return (both[0], 1) if costs[0] == costs[1] else None


def _loop(scope: Scope, node: Any, walk: GraphPass[ScopeT], body: Any) -> tuple[ScopeT, int] | None:
    known = scope.source.known
    trips = known.get(node.input[0])
    goes_on = known.get(node.input[1], None) if len(node.input) > 1 and node.input[1] else True
    if trips is None or goes_on is None or not 0 <= int(trips) <= _MOST:
        return None
    if not bool(goes_on):
        return _inside(scope, walk, body, {}), 0
    number, condition, *carried = (info.name for info in body.input)
    first = dict(zip(carried, (scope.value(name) for name in node.input[2:]), strict=True))
    inner = _inside(scope, walk, body, first, {condition: True}, (number,))
    stays = inner.source.known.get(body.output[0].name)
    if stays is None or not bool(stays):
        return None
    last = (inner.value(out.name) for out in body.output[1 : len(carried) + 1])
    for before, after in zip(first.values(), last, strict=True):
        if before.sizes != after.sizes:
            # The next turn would cost something else.
            return None
    return inner, int(trips)


def _scan(scope: Scope, node: Any, walk: GraphPass[ScopeT], body: Any) -> tuple[ScopeT, int] | None:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    scanned = attributes["num_scan_inputs"]
    states = len(node.input) - scanned
    axes = attributes.get("scan_input_axes", [0] * scanned)
    bound, trips = {}, 0
    for slot, (info, name) in enumerate(zip(body.input, node.input, strict=True)):
        value = scope.value(name)
        if value.sizes is None:
            return None
        if slot >= states:
            sizes = list(value.sizes)
            trips = sizes.pop(axes[slot - states])
            value = value._replace(sizes=tuple(sizes))
        bound[info.name] = value
    return (_inside(scope, walk, body, bound), trips) if trips <= _MOST else None


def _inside(
    scope: Scope,
    walk: GraphPass[ScopeT],
    body: Any,
    bound: Mapping[str, Value],
    known: Mapping[str, Any] | None = None,
    counters: tuple[str, ...] = (),
) -> ScopeT:
    """The pass over an inner graph, whose inputs are bound and which sees what is around it."""
    import numpy

    around = {name: scope.value(name) for name in _outer(body)}
    constants = {name: scope.source.known[name] for name in around if name in scope.source.known}
    constants |= {name: numpy.array(value) for name, value in (known or {}).items()}
    graph = onnx.GraphProto()
    graph.CopyFrom(body)
    del graph.input[:]
    seen = {name: value for name, value in {**bound, **around}.items() if name not in constants}
    for name, value in seen.items():
        graph.input.append(helper.make_tensor_value_info(name, value.type, value.sizes))
    for name in counters:
        graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ()))
    for name, figure in constants.items():
        graph.initializer.append(numpy_helper.from_array(figure, name))
    model = helper.make_model(graph, opset_imports=scope.source.opsets)
    weights = {name: w for name, w in lightened(model, "") if name not in constants}
    inputs = (*bound, *counters)
    source = settled(model, scope.source.where, inputs, {**scope.source.weights, **weights})
    return walk(source, {**around, **bound})
