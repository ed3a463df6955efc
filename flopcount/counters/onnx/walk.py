"""One pass over a graph in its order: an entry for each node that works, and what is alive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from onnx import helper

from flopcount.counters.onnx import subgraphs
from flopcount.counters.onnx.naming import STANDARD_DOMAINS, is_floating, module_path
from flopcount.counters.onnx.operator_rules import (
    BIAS_SLOT,
    PRODUCT_NODES,
    RANDOM_NODES,
    SETTING_SLOTS,
    VIEW_NODES,
    WEIGHT_SLOTS,
    NodeCall,
    NodeCost,
    NodeInput,
    price,
)
from flopcount.counters.onnx.reading import OnnxSource
from flopcount.counters.onnx.values import NodeStep, Scope, Value
from flopcount.counters.operators import ShapeError
from flopcount.entries import Entry, Parameter, Shape


class GraphWalk(Scope):
    """What a pass over a graph writes down."""

    def __init__(self, source: OnnxSource, outer: Mapping[str, Value] | None = None) -> None:
        super().__init__(source, outer)
        self.used: dict[str, bool] = {}
        self.readers: dict[str, str] = {}
        self._roots: dict[str, str] = {}
        self._steps: list[NodeStep] = []

    def run(self) -> None:
        """GraphWalk every node."""
        for number, node in enumerate(self.source.graph.node):
            self._visit(node, module_path(node, number))

    def _visit(self, node: Any, path: str) -> None:
        if node.op_type in ("If", "Loop", "Scan") and node.domain in STANDARD_DOMAINS:
            self._nested(node, path)
            return
        inputs = [self.value(name) if name else None for name in node.input]
        there = [value for value in inputs if value is not None]
        static = all(value.static for value in there) and node.op_type not in RANDOM_NODES
        outputs = self._outputs(node, static, inputs)
        if static and node.op_type not in PRODUCT_NODES and node.domain in STANDARD_DOMAINS:
            self._set_up(node, inputs)
            return
        self._use(node, inputs, self._owner(node, inputs) or path)
        if self._is_view(node):
            if not static:
                self._roots[node.output[0]] = self.root(node.input[0])
            return
        self._step(node.input, node.output)
        self.entries.append(self._entry(node, path, inputs, outputs))

    def root(self, name: str) -> str:
        """The tensor whose memory a name stands for."""
        return self._roots.get(name, name)

    def _outputs(self, node: Any, static: bool, inputs: Sequence[Value | None]) -> list[Value]:
        found = []
        for name in (name for name in node.output if name):
            kind, sizes = self.source.types.get(name, (0, None))
            origins = _inherited(node, inputs, kind) if static else frozenset()
            self.values[name] = Value(sizes, kind, static, origins)
            found.append(self.values[name])
        return found

    def _is_view(self, node: Any) -> bool:
        if node.op_type not in VIEW_NODES or node.domain not in STANDARD_DOMAINS:
            return False
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            training = self.source.known.get(node.input[2])
            return training is not None and not bool(training)
        return True

    def _set_up(self, node: Any, inputs: Sequence[Value | None]) -> None:
        """Note what sets up a node that is computed here: a quantiser's scale is no parameter."""
        for slot, _, name in _origins(inputs):
            if slot in SETTING_SLOTS.get(node.op_type, ()):
                self.used.setdefault(name, False)
                self.readers.setdefault(name, "")

    def _use(self, node: Any, inputs: Sequence[Value | None], path: str) -> None:
        """Note the weights that a node reads, and those that only set it up."""
        for slot, value, name in _origins(inputs):
            learned = self._learned(node, slot, value, name)
            self.used[name] = self.used.get(name, False) or learned
            self.readers.setdefault(name, path)

    def _learned(self, node: Any, slot: int, value: Value, name: str) -> bool:
        weight = self.source.weights.get(name)
        if weight is None or weight.said == "BUFFER":
            return False
        if weight.said == "PARAMETER":
            return True
        declared = slot in WEIGHT_SLOTS.get(node.op_type, ()) or slot == BIAS_SLOT.get(node.op_type)
        if slot in SETTING_SLOTS.get(node.op_type, ()):
            return False
        if not is_floating(value.type):
            return declared and node.op_type in PRODUCT_NODES
        return prod(weight.sizes) > 1 or (declared and node.op_type != "Add")

    def _entry(
        self, node: Any, path: str, inputs: Sequence[Value | None], outputs: list[Value]
    ) -> Entry:
        live = [v for v in inputs if v is not None and not v.static]
        ends = (_shapes(live), _shapes(outputs))
        name = node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}.{node.op_type}"
        found = self._priced(node, inputs, outputs)
        if found is None:
            self.uncounted[name] += 1
            found = NodeCost("uncounted")
        weight, bias = self._params(node, inputs)
        sizes = [self.value(n).bytes for n in dict.fromkeys((*node.input, *node.output)) if n]
        moved = None if None in sizes else sum(size for size in sizes if size is not None)
        return Entry(
            self._owner(node, inputs) or path,
            found.kind,
            *ends,
            found.macs,
            weight,
            bias,
            name,
            None,
            found.windows,
            moved,
        )

    def _priced(
        self, node: Any, inputs: Sequence[Value | None], outputs: list[Value]
    ) -> NodeCost | None:
        values = [v for v in (*inputs, *outputs) if v is not None]
        if node.domain not in STANDARD_DOMAINS or any(value.sizes is None for value in values):
            return None
        operands = tuple(None if v is None else NodeInput(v.sizes or (), v.static) for v in inputs)
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Clip":
            attributes |= self._bounds(node)
        sizes = tuple(value.sizes or () for value in outputs)
        try:
            return price(NodeCall(node.op_type, operands, sizes, attributes))
        except (ShapeError, LookupError):
            return None

    def _bounds(self, node: Any) -> dict[str, float]:
        known = (self.source.known.get(name) for name in node.input[1:3])
        found = zip(("min", "max"), known, strict=False)
        return {name: float(value) for name, value in found if value is not None}

    def _params(self, node: Any, inputs: Sequence[Value | None]) -> tuple[int, int]:
        weight = bias = 0
        for slot, value, name in _origins(inputs):
            if not self._learned(node, slot, value, name):
                continue
            elements = prod(self.source.weights[name].sizes)
            if slot == BIAS_SLOT.get(node.op_type) or node.op_type == "Add":
                bias += elements
            else:
                weight += elements
        return weight, bias

    def _owner(self, node: Any, inputs: Sequence[Value | None]) -> str:
        """The module that owns the weight, where the weight's name says so."""
        for slot, _, name in _origins(inputs):
            if slot in WEIGHT_SLOTS.get(node.op_type, ()) and name.endswith(".weight"):
                return name.removesuffix(".weight")
        return ""

    def _nested(self, node: Any, path: str) -> None:
        self._outputs(node, False, ())
        chosen = subgraphs.choose(self, node, _walked)
        reads = (*node.input, *subgraphs.captured(node))
        if chosen is None:
            self._step(reads, node.output, None)
            self.uncounted[node.op_type] += 1
            live = [self.value(n) for n in node.input if n and not self.value(n).static]
            outs = [self.value(n) for n in node.output if n]
            ends = (_shapes(live), _shapes(outs))
            self.entries.append(Entry(path, "uncounted", *ends, operator=node.op_type))
            return
        inner, times = chosen
        self._step(reads, node.output, inner.peak())
        self.entries += inner.entries * times
        for operator, calls in inner.uncounted.items():
            self.uncounted[operator] += calls * times
        for name, learned in inner.used.items():
            self.used[name] = self.used.get(name, False) or learned
            self.readers.setdefault(name, inner.readers[name])

    def _step(self, reads: Iterable[str], writes: Iterable[str], inside: int | None = 0) -> None:
        alive = (self.root(n) for n in reads if n and not self.value(n).static)
        made = (n for n in writes if n and not self.value(n).static)
        self._steps.append(NodeStep(tuple(dict.fromkeys(alive)), tuple(made), inside))

    def peak(self) -> int | None:
        """The most bytes alive while a node runs, excluding weights [B]; None if unknown."""
        graph = self.source.graph
        ends = {self.root(out.name) for out in graph.output}
        last = {name: at for at, step in enumerate(self._steps) for name in step.reads}
        last |= dict.fromkeys(ends, len(self._steps))
        alive = {n for n in self.source.inputs if not self.value(n).static}
        names = alive.union(*(step.writes for step in self._steps))
        sizes = {name: self.value(name).bytes for name in names}
        if None in sizes.values() or any(step.inside is None for step in self._steps):
            return None
        held = sum(sizes[name] or 0 for name in alive)
        most = held
        for at, step in enumerate(self._steps):
            new = [name for name in step.writes if name not in alive]
            held += sum(sizes[name] or 0 for name in new)
            alive.update(new)
            most = max(most, held + (step.inside or 0))
            gone = [n for n in (*step.reads, *new) if n in alive and last.get(n, at) <= at]
            alive.difference_update(gone)
            held -= sum(sizes[name] or 0 for name in set(gone))
        return most

    def parameters(self) -> tuple[Parameter, ...]:
        """The stored tensors that were learned, in the order of the file."""
        found = []
        for weight in self.source.weights.values():
            learned = self.used.get(weight.name)
            if learned is None:
                alone = is_floating(weight.type) and prod(weight.sizes) > 1
                learned = weight.said == "PARAMETER" or (alone and weight.said != "BUFFER")
            if learned:
                called = weight.name in self.used
                found.append(Parameter(self._full(weight.name), prod(weight.sizes), True, called))
        return tuple(found)

    def _full(self, name: str) -> str:
        """A name with the path of its module: of one that an exporter made up, its reader's."""
        path = self.readers.get(name, "")
        return name if "." in name or not path else f"{path}.{name}"


def _walked(source: OnnxSource, outer: Mapping[str, Value]) -> GraphWalk:
    """A finished pass over an inner graph, which sees what is around it."""
    inner = GraphWalk(source, outer)
    inner.run()
    return inner


def _shapes(values: Iterable[Value]) -> tuple[Shape, ...]:
    return tuple(Shape(*value.sizes) for value in values if value.sizes is not None)


def _origins(inputs: Sequence[Value | None]) -> Iterator[tuple[int, Value, str]]:
    """Every weight behind an input, by name, with the slot of the input and its value."""
    for slot, value in enumerate(inputs):
        if value is not None:
            yield from ((slot, value, name) for name in value.origins)


def _inherited(node: Any, inputs: Sequence[Value | None], kind: int) -> frozenset[str]:
    """The weights that a constant was made from: what only sets its maker up is left out."""
    settings = SETTING_SLOTS.get(node.op_type, ())
    scaled, floating = node.op_type == "DequantizeLinear", is_floating(kind)
    return frozenset(
        name
        for slot, value, name in _origins(inputs)
        if slot not in settings and (scaled or is_floating(value.type) == floating)
    )
