"""An ONNX file into a graph whose shapes are known: read without its weights, bound, inferred.

Only small tensors keep their values, since a shape may hang on them. What constants and shapes
alone decide is computed, so that no shape arithmetic of an exporter is left in the way.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, TypeAlias

import onnx
from google.protobuf.message import DecodeError
from onnx import external_data_helper, helper, inliner, numpy_helper, shape_inference

from flopcount.counters.onnx.naming import STANDARD_DOMAINS

#: The sizes of an input for each by its name, or in order.
Shapes: TypeAlias = Mapping[str, Sequence[int]] | Sequence[Sequence[int]]

# A tensor that decides a shape is no larger.
_MOST_KNOWN = 1024
# An exporter's longest chain of shapes that hang on shapes is far shorter.
_ROUNDS = 50
_INTEGERS = ("bool", "int32", "int64")
# No more factors than a tensor has axes.
_FACTORS = 16
# Computed where all that goes in is known; those that spread may make much of little.
_ARITHMETIC = (
    "Abs Add And Cast Ceil Concat Div Equal Floor Gather GatherElements GatherND Greater"
    " GreaterOrEqual Less LessOrEqual Max Min Mod Mul Neg NonZero Not Or Pow ReduceMax ReduceMin"
    " ReduceProd ReduceSum Round ScatterElements ScatterND Sign Slice Split Sqrt Sub Where Xor"
    " Identity Reshape Squeeze Transpose Unsqueeze"
)
_FOLDED = frozenset(_ARITHMETIC.split())
_SPREADING = frozenset({"ConstantOfShape", "Expand", "Range", "Tile"})


class OnnxError(ValueError):
    """An ONNX file that cannot be read, or whose shapes cannot be known."""


class Weight(NamedTuple):
    """One stored tensor: its sizes, its type, and what the exporter says that it is."""

    name: str
    sizes: tuple[int, ...]
    type: int
    said: str = ""


class OnnxSource(NamedTuple):
    """What was read: where from, the graph with its shapes, small values, and stored tensors."""

    where: str
    graph: onnx.GraphProto
    inputs: tuple[str, ...]
    types: Mapping[str, tuple[int, tuple[int, ...] | None]]
    known: Mapping[str, Any]
    weights: Mapping[str, Weight]
    opsets: Sequence[Any]


def read(source: str | os.PathLike[str] | onnx.ModelProto, shapes: Shapes | None) -> OnnxSource:
    """The graph of a file or a model, at the shapes of its inputs.

    Raises OnnxError where it cannot be read, where the size of an input is neither a number nor
    given, where a given one does not fit, and where shapes inside contradict each other.
    """
    if isinstance(source, onnx.ModelProto):
        model, where, folder = onnx.ModelProto(), "the model", ""
        model.CopyFrom(source)
    else:
        where = os.fspath(source)
        model, folder = _loaded(where), os.path.dirname(os.path.abspath(where))
    if not model.HasField("graph") or not model.opset_import:
        raise OnnxError(f"{where}: not an ONNX model: it holds no graph")
    said = _said(model.graph)
    weights = {name: w._replace(said=said.get(name, "")) for name, w in lightened(model, folder)}
    if model.functions:
        model = inliner.inline_local_functions(model)
        weights |= dict(lightened(model, folder))
    inputs = tuple(i.name for i in model.graph.input if i.name not in weights)
    _bind(model.graph, inputs, shapes, where)
    return settled(model, where, inputs, weights)


def settled(
    model: onnx.ModelProto, where: str, inputs: tuple[str, ...], weights: Mapping[str, Weight]
) -> OnnxSource:
    """The graph with every shape that can be known. Raises OnnxError for a contradiction."""
    strict = all(
        node.domain in STANDARD_DOMAINS and onnx.defs.has(node.op_type) for node in model.graph.node
    )
    for _ in range(_ROUNDS):
        try:
            model = shape_inference.infer_shapes(model, strict_mode=strict, data_prop=True)
        except shape_inference.InferenceError as error:
            raise OnnxError(f"{where}: shapes cannot be inferred: {error}") from error
        types = dict(_types(model.graph))
        if not _fold(model.graph, types, weights):
            break
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return OnnxSource(where, model.graph, inputs, types, known, weights, model.opset_import)


def _loaded(path: str) -> onnx.ModelProto:
    try:
        # A pipe or a device could hang or never end.
        if os.path.exists(path) and not os.path.isfile(path):
            raise OnnxError(f"{path}: not a regular file")
        return onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as error:
        raise OnnxError(f"{path}: cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise OnnxError(f"{path}: not an ONNX file: {error}") from error


def _said(graph: onnx.GraphProto) -> dict[str, str]:
    """What torch's exporter says of each stored tensor: a parameter, or a buffer."""
    return {
        info.name: entry.value
        for info in graph.value_info
        for entry in info.metadata_props
        if entry.key.endswith("InputSpec.kind")
    }


def lightened(model: onnx.ModelProto, folder: str) -> Iterator[tuple[str, Weight]]:
    """Every stored tensor, and the model left with the values of small ones only."""
    graph = model.graph
    constants = [node for node in graph.node if _is_stored(node)]
    for node in constants:
        value = helper.get_node_attr_value(node, node.attribute[0].name)
        tensor = value if node.attribute[0].name == "value" else _tensor(value)
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)
    named = {info.name for info in graph.input}
    for tensor in list(graph.initializer):
        sizes = tuple(tensor.dims)
        yield tensor.name, Weight(tensor.name, sizes, tensor.data_type)
        if prod(sizes) <= _MOST_KNOWN and _brought(tensor, folder):
            continue
        if tensor.name not in named:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, sizes)
            graph.input.append(info)
        graph.initializer.remove(tensor)
    for sparse in graph.sparse_initializer:
        values = sparse.values
        yield values.name, Weight(values.name, tuple(sparse.dims), values.data_type)
        info = helper.make_tensor_value_info(values.name, values.data_type, tuple(sparse.dims))
        graph.input.append(info)
    del graph.sparse_initializer[:]


def _is_stored(node: onnx.NodeProto) -> bool:
    stored = ("value", "value_int", "value_ints", "value_float", "value_floats")
    return (
        node.op_type == "Constant"
        and node.domain in STANDARD_DOMAINS
        and len(node.attribute) == 1
        and node.attribute[0].name in stored
    )


def _tensor(value: Any) -> onnx.TensorProto:
    import numpy

    whole = isinstance(value, int) or (isinstance(value, list) and isinstance(value[0], int))
    return numpy_helper.from_array(numpy.array(value, dtype="int64" if whole else "float32"))


def _brought(tensor: onnx.TensorProto, folder: str) -> bool:
    """Whether the values of a small tensor are at hand, read from beside the file if need be."""
    if not external_data_helper.uses_external_data(tensor):
        return True
    try:
        external_data_helper.load_external_data_for_tensor(tensor, folder)
    except (OSError, ValueError, onnx.checker.ValidationError):
        # What hangs on it is reported as uncounted.
        return False
    tensor.data_location = onnx.TensorProto.DEFAULT
    return True


def _bind(
    graph: onnx.GraphProto, inputs: tuple[str, ...], shapes: Shapes | None, where: str
) -> None:
    given = _by_name(inputs, shapes or {}, where)
    found = {info.name: info for info in graph.input}
    bound: dict[str, int] = {}
    for name, sizes in given.items():
        tensor = found[name].type.tensor_type
        dims = tensor.shape.dim
        if tensor.HasField("shape") and len(dims) != len(sizes):
            raise OnnxError(f"{where}: input {name!r} has {len(dims)} sizes, {len(sizes)} given")
        while len(dims) < len(sizes):
            dims.add()
        for at, (dim, size) in enumerate(zip(dims, sizes, strict=True)):
            fixed = dim.dim_value if dim.HasField("dim_value") else bound.get(dim.dim_param, size)
            if fixed >= 0 and fixed != size:
                what = f"{dim.dim_param!r} is" if dim.dim_param else "is"
                raise OnnxError(f"{where}: input {name!r}: size {at} {what} {fixed}, not {size}")
            if dim.dim_param:
                bound[dim.dim_param] = size
            dim.dim_value = size
    _substitute(graph, bound)
    for name in inputs:
        tensor = found[name].type.tensor_type
        open_sizes = [dim for dim in tensor.shape.dim if not _is_fixed(dim)]
        if open_sizes or (
            found[name].type.HasField("tensor_type") and not tensor.HasField("shape")
        ):
            said = "x".join(_written(dim) for dim in tensor.shape.dim) or "of no known rank"
            raise OnnxError(f"{where}: input {name!r} is {said}: give its shape in numbers")


def _by_name(inputs: tuple[str, ...], shapes: Shapes, where: str) -> dict[str, Sequence[int]]:
    if isinstance(shapes, Mapping):
        given = dict(shapes)
    elif len(shapes) > len(inputs):
        raise OnnxError(f"{where}: {len(shapes)} inputs given, it has {len(inputs)}")
    else:
        given = dict(zip(inputs, shapes, strict=False))
    for name in given:
        if name not in inputs:
            known = ", ".join(map(repr, inputs))
            raise OnnxError(f"{where}: it has no input {name!r}: there are {known}")
    return given


def _is_fixed(dim: Any) -> bool:
    return bool(dim.HasField("dim_value") and dim.dim_value >= 0)


def _written(dim: Any) -> str:
    return str(dim.dim_value) if _is_fixed(dim) else dim.dim_param or "?"


def _substitute(graph: onnx.GraphProto, bound: Mapping[str, int]) -> None:
    for info in (*graph.input, *graph.output, *graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param in bound:
                dim.dim_value = bound[dim.dim_param]
    # Of a name that stands for no number, nothing is known.
    for info in (*graph.output, *graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if not _is_fixed(dim):
                dim.Clear()


def _types(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, tuple[int, ...] | None]]]:
    """The type and, where all are known, the sizes of every tensor."""
    for info in (*graph.value_info, *graph.input, *graph.output):
        tensor = info.type.tensor_type
        dims = tensor.shape.dim
        whole = tensor.HasField("shape") and all(map(_is_fixed, dims))
        yield info.name, (tensor.elem_type, tuple(d.dim_value for d in dims) if whole else None)
    for stored in graph.initializer:
        yield stored.name, (stored.data_type, tuple(stored.dims))


def _fold(
    graph: onnx.GraphProto,
    types: dict[str, tuple[int, tuple[int, ...] | None]],
    stored: Collection[str],
) -> bool:
    """Compute what constants and shapes decide; whether anything was."""
    import numpy

    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept, found = [], False
    for node in graph.node:
        made: list[Any] = []
        if node.domain in STANDARD_DOMAINS and node.op_type in ("Shape", "Size"):
            sizes = types.get(node.input[0], (0, None))[1]
            if sizes is not None:
                part = slice(_attribute(node, "start", 0), _attribute(node, "end", None))
                value = sizes[part] if node.op_type == "Shape" else prod(sizes)
                made = [numpy.array(value, dtype="int64")]
        elif _is_arithmetic(node, known, types, stored):
            made = _computed(node, known)
        if not made:
            kept.append(node)
            continue
        found = True
        for name, value in zip(node.output, made, strict=False):
            known[name] = value
            types[name] = (helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            graph.initializer.append(numpy_helper.from_array(value, name))
    if found:
        del graph.node[:]
        graph.node.extend(kept)
        for info in [info for info in graph.value_info if info.name in known]:
            graph.value_info.remove(info)
    return found


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    values = (helper.get_attribute_value(a) for a in node.attribute if a.name == name)
    return next(values, default)


def _is_arithmetic(
    node: onnx.NodeProto,
    known: Mapping[str, Any],
    types: Mapping[str, tuple[int, Any]],
    stored: Collection[str],
) -> bool:
    if node.domain not in STANDARD_DOMAINS or node.op_type not in _FOLDED | _SPREADING:
        return False
    names = [name for name in node.input if name]
    if not names or not all(name in known for name in names):
        return False
    values = {name: known[name] for name in names}
    fractions = [n for n, value in values.items() if value.dtype.name not in _INTEGERS]
    # A few factors that were computed are sizes still; learned ones must stay what they are.
    factors = any(name not in stored for name in fractions)
    most = _FACTORS if factors else 1
    if any(values[name].size > most or (values[name].ndim and not factors) for name in fractions):
        return False
    sizes = types.get(node.output[0], (0, None))[1]
    return node.op_type in _FOLDED if sizes is None else prod(sizes) <= _MOST_KNOWN


def _computed(node: onnx.NodeProto, known: Mapping[str, Any]) -> list[Any]:
    import numpy
    from onnx.reference import ReferenceEvaluator

    feeds = {name: known[name] for name in node.input if name}
    try:
        # A division of unknowns may be by zero; then nothing is computed.
        with numpy.errstate(all="raise"):
            found = ReferenceEvaluator(node).run(None, feeds)
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError):
        return []
    made = [numpy.asarray(value) for value in found]
    return made if all(value.size <= _MOST_KNOWN for value in made) else []
