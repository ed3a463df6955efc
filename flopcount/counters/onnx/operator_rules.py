"""What every ONNX operator is and takes: those that multiply and add, and those that are free.

Plain integers and names; the onnx package is not needed here. What stands in none of these lists
is reported and never taken as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from flopcount.counters import operators
from flopcount.counters.operators import ShapeError, Sizes


class NodeInput(NamedTuple):
    """One input of an operator: its sizes, and whether it is made from weights and constants."""

    sizes: Sizes
    static: bool


class NodeCall(NamedTuple):
    """One operator as it runs; an input that is left out is None."""

    operator: str
    inputs: tuple[NodeInput | None, ...]
    outputs: tuple[Sizes, ...]
    attributes: Mapping[str, Any]

    def sizes(self, slot: int) -> Sizes:
        """The sizes of an input. Raises ShapeError where it is left out."""
        found = self.inputs[slot] if slot < len(self.inputs) else None
        if found is None:
            raise ShapeError(f"{self.operator}: input {slot} is left out")
        return found.sizes


class NodeCost(NamedTuple):
    """The kind of an operator, its multiply-adds [MAC], and the elements under its windows."""

    kind: str
    macs: int = 0
    windows: int = 0


NodeRule: TypeAlias = Callable[[NodeCall], NodeCost]


def _conv(call: NodeCall) -> NodeCost:
    # (n, c, *s) -> (n, d, *s'), weight (d, c/g, *k): one filter for each output element
    slot = 3 if call.operator == "QLinearConv" else 1
    return NodeCost("conv", prod(call.outputs[0]) * prod(call.sizes(slot)[1:]))


def _conv_transpose(call: NodeCall) -> NodeCost:
    # (n, c, *s) -> (n, d, *s'), weight (c, d/g, *k): every input element is spread by one filter
    return NodeCost("conv", prod(call.sizes(0)) * prod(call.sizes(1)[1:]))


def _product(factors: Iterable[NodeInput | None], macs: int) -> NodeCost:
    weighted = any(operand is not None and operand.static for operand in factors)
    return NodeCost("linear" if weighted else "matmul", macs)


def _gemm(call: NodeCall) -> NodeCost:
    # (i, k), (k, j) -> (i, j); either may come transposed
    a = call.sizes(0)
    k = a[0] if call.attributes.get("transA", 0) else a[-1]
    return _product(call.inputs[:2], prod(call.outputs[0]) * k)


def _matmul(call: NodeCall) -> NodeCost:
    b = 3 if call.operator == "QLinearMatMul" else 1
    macs = operators.matmul(call.sizes(0), call.sizes(b)).macs
    return _product((call.inputs[0], call.inputs[b]), macs)


def _rnn(call: NodeCall) -> NodeCost:
    # x (t, n, i), weights (directions, gates*h, i) and (directions, gates*h, h)
    t, n, _ = call.sizes(0)
    matrices = [sizes[1:] for sizes in (call.sizes(1), call.sizes(2)) for _ in range(sizes[0])]
    return NodeCost("rnn", operators.recurrent(t * n, matrices))


def _attention(call: NodeCall) -> NodeCost:
    # (n, heads, t, e), (n, heads, s, e), (n, heads, s, f); or (n, t, heads*e) with the heads named
    heads = call.attributes.get("q_num_heads", 0)
    shared = call.attributes.get("kv_num_heads", 0)
    q, k, v = _heads(call.sizes(0), heads), _heads(call.sizes(1), shared), call.sizes(2)
    v = _heads(v, shared)
    if len(call.inputs) > 4 and call.inputs[4] is not None:
        # what came before is put in front of the keys and values
        past = call.sizes(4)[-2]
        k, v = (*k[:-2], k[-2] + past, k[-1]), (*v[:-2], v[-2] + past, v[-1])
    return NodeCost("attention", operators.attention(q, k, v).macs)


def _heads(sizes: Sizes, heads: int) -> Sizes:
    if len(sizes) == 4:
        return sizes
    if len(sizes) != 3 or heads < 1 or sizes[2] % heads:
        raise ShapeError(f"{sizes} are no {heads} heads")
    return (sizes[0], heads, sizes[1], sizes[2] // heads)


def _einsum(call: NodeCall) -> NodeCost:
    equation = call.attributes.get("equation", b"")
    text = equation.decode() if isinstance(equation, bytes) else str(equation)
    shapes = tuple(call.sizes(slot) for slot in range(len(call.inputs)))
    return _product(call.inputs, operators.einsum(text, shapes).macs)


def _pool(call: NodeCall) -> NodeCost:
    # (n, c, *s) -> (n, c, *s'), window k
    x, out = call.sizes(0), call.outputs[0]
    kind = "max_pool" if call.operator in ("MaxPool", "LpPool") else "avg_pool"
    k = tuple(call.attributes["kernel_shape"])
    axes = len(k)
    stride = tuple(call.attributes.get("strides", (1,) * axes))
    dilation = tuple(call.attributes.get("dilations", (1,) * axes))
    start = _start(call, x[-axes:], out[-axes:], k, stride, dilation)
    under = prod(out[:-axes])
    for axis in zip(x[-axes:], k, stride, start, dilation, out[-axes:], strict=True):
        under *= operators.windowed(*axis)
    return NodeCost(kind, 0, under)


def _start(
    call: NodeCall, s: Sizes, out: Sizes, k: Sizes, stride: Sizes, dilation: Sizes
) -> tuple[int, ...]:
    """The padding before each axis."""
    auto = call.attributes.get("auto_pad", b"NOTSET")
    auto = auto.decode() if isinstance(auto, bytes) else auto
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        upper = int(auto == "SAME_LOWER")
        spans = zip(s, out, k, stride, dilation, strict=True)
        return tuple(
            (max(0, (o - 1) * t + e * (w - 1) + 1 - size) + upper) // 2
            for size, o, w, t, e in spans
        )
    return tuple(call.attributes.get("pads", (0,) * len(k)))[: len(k)]


def _global(call: NodeCall) -> NodeCost:
    kind = "global_avg_pool" if call.operator == "GlobalAveragePool" else "max_pool"
    return NodeCost(kind, 0, prod(call.sizes(0)))


def _clip(call: NodeCall) -> NodeCost:
    bounds = (call.attributes.get("min"), call.attributes.get("max"))
    return NodeCost("relu6" if bounds == (0.0, 6.0) else "elementwise")


def _both(call: NodeCall) -> NodeCost:
    # a literal is one number: scaling by it brings no two tensors together
    kind = {"Add": "add", "Sum": "add", "Mul": "mul"}[call.operator]
    tensors = [x for x in call.inputs if x is not None and not (x.static and prod(x.sizes) == 1)]
    return NodeCost(kind if len(tensors) > 1 else "elementwise")


def _gather(call: NodeCall) -> NodeCost:
    table = call.inputs[0]
    looked_up = table is not None and table.static and len(table.sizes) == 2
    return NodeCost("embedding" if looked_up else "index")


_CONVS = ("Conv", "ConvInteger", "QLinearConv", "DeformConv")
_MATMULS = ("MatMul", "MatMulInteger", "QLinearMatMul")
_RECURRENT_NODES = ("LSTM", "GRU", "RNN")

#: Operators with a rule of their own.
RULES: Mapping[str, NodeRule] = MappingProxyType(
    {
        **dict.fromkeys(_CONVS, _conv),
        "ConvTranspose": _conv_transpose,
        "Gemm": _gemm,
        **dict.fromkeys(_MATMULS, _matmul),
        "Einsum": _einsum,
        **dict.fromkeys(_RECURRENT_NODES, _rnn),
        "Attention": _attention,
        **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pool),
        **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _global),
        "Clip": _clip,
        **dict.fromkeys(("Add", "Sum", "Mul"), _both),
        "Gather": _gather,
    }
)

#: Operators that multiply and add; a constant one is counted all the same.
PRODUCT_NODES = frozenset(
    {*_CONVS, *_MATMULS, *_RECURRENT_NODES, "ConvTranspose", "Gemm", "Einsum", "Attention"}
)

# One kind a line, with the reason why none of its operators sums a product of a network's.
_NODES_BY_KIND = {
    # an affine map for each channel, folded into the layer before it
    "batch_norm": "BatchNormalization",
    # statistics over the features, then an affine map
    "layer_norm": "LayerNormalization",
    "group_norm": "GroupNormalization",
    "instance_norm": "InstanceNormalization",
    "norm": "RMSNormalization LpNormalization MeanVarianceNormalization LRN",
    # comparing with constants
    "relu": "Relu ThresholdedRelu",
    # a function of each element by itself
    "activation": "LeakyRelu PRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Tanh Gelu Softplus"
    " Softsign Mish Swish SwiGLU Shrink",
    "max_pool": "MaxUnpool",
    # bringing tensors together
    "concat": "Concat",
    # each element over a sum
    "softmax": "Softmax LogSoftmax Hardmax",
    # weights of neighbours that depend on the place alone
    "interpolate": "Resize Upsample GridSample AffineGrid",
    # adding up, comparing, or a statistic
    "reduce": "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum"
    " ReduceLogSumExp ReduceSumSquare ArgMax ArgMin CumSum CumProd",
    "pad": "Pad CenterCropPad",
    # looking up, taking out and putting in
    "index": "GatherElements GatherND Scatter ScatterElements ScatterND Slice Split Compress"
    " ReverseSequence TensorScatter NonZero Unique OneHot Tile DepthToSpace SpaceToDepth Col2Im"
    " Trilu",
    # moving, or changing the type of an element
    "copy": "Cast CastLike BitCast Expand",
    # nothing goes in
    "create": "ConstantOfShape EyeLike Range HannWindow HammingWindow BlackmanWindow"
    " MelWeightMatrix Constant",
    "random": "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial"
    " Dropout",
    "sort": "TopK",
    "compare": "Equal Greater GreaterOrEqual Less LessOrEqual IsNaN IsInf",
    "loss": "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
    # butterflies, whose products no count of multiply-adds lists
    "fft": "DFT STFT",
    # overlaps of boxes, and neighbours read at places that depend on the data
    "vision": "RoiAlign MaxRoiPool NonMaxSuppression",
    # a function of the elements at one place
    "elementwise": "Sub Div Pow Sqrt Exp Log Abs Neg Reciprocal Sign Floor Ceil Round Erf Sin Cos"
    " Tan Sinh Cosh Asin Acos Atan Asinh Acosh Atanh Min Max Mean Mod Where And Or Xor Not BitShift"
    " BitwiseAnd BitwiseOr BitwiseXor BitwiseNot QuantizeLinear DequantizeLinear"
    " DynamicQuantizeLinear RotaryEmbedding",
}

#: Every free operator with its kind.
FREE_NODES: Mapping[str, str] = MappingProxyType(
    {name: kind for kind, names in _NODES_BY_KIND.items() for name in names.split()}
)

#: Operators that only rename a tensor: nothing is made, nothing moves.
VIEW_NODES = frozenset(
    {"Identity", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Dropout"}
)

#: Operators whose result differs from run to run, though nothing goes in.
RANDOM_NODES = frozenset(_NODES_BY_KIND["random"].split()) - {"Dropout"}

#: The inputs that hold the weights of an operator; a single number there is learned too.
WEIGHT_SLOTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("Conv", "ConvTranspose", "DeformConv", "ConvInteger", "PRelu"), (1,)),
        **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), (1,)),
        **dict.fromkeys(("GroupNormalization", "LayerNormalization", "RMSNormalization"), (1,)),
        **dict.fromkeys(("LSTM", "GRU"), (1, 2, 7)),
        **dict.fromkeys(("Gemm", "MatMul", "MatMulInteger"), (0, 1)),
        **dict.fromkeys(("QLinearConv", "QLinearMatMul"), (0, 3)),
        "RNN": (1, 2),
    }
)

#: The input that holds the bias of an operator.
BIAS_SLOT: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "BatchNormalization"), 2),
        **dict.fromkeys(("InstanceNormalization", "GroupNormalization", "LayerNormalization"), 2),
        **dict.fromkeys(("LSTM", "GRU", "RNN", "DeformConv"), 3),
        "QLinearConv": 8,
        "Add": 1,
    }
)

#: The inputs that set an operator up or hold its state: what stands there is no parameter.
SETTING_SLOTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "BatchNormalization": (3, 4),  # the running statistics
        **dict.fromkeys(_RECURRENT_NODES, (4, 5, 6)),  # lengths and first states
        "Attention": (3, 4, 5),  # the mask, and the keys and values before
        **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), (1, 2)),
        **dict.fromkeys(("QLinearConv", "QLinearMatMul"), (1, 2, 4, 5, 6, 7)),
        **dict.fromkeys(("ConvInteger", "MatMulInteger"), (2, 3)),
        **dict.fromkeys(("Resize", "Upsample", "Pad", "OneHot", "RoiAlign"), (1, 2, 3)),
        **dict.fromkeys(("Where", "Clip", "RotaryEmbedding"), (0, 1, 2)),
        **dict.fromkeys(("Sub", "Div", "Mod", "Pow", "Min", "Max", "GridSample"), (0, 1)),
        **dict.fromkeys(("NonMaxSuppression", "MaxRoiPool"), (0, 1, 2, 3, 4)),
        **dict.fromkeys(_NODES_BY_KIND["compare"].split(), (0, 1)),
    }
)


def price(call: NodeCall) -> NodeCost | None:
    """What an operator is and takes; None where there is no rule for it.

    Raises ShapeError where the shapes do not fit its rule.
    """
    rule = RULES.get(call.operator)
    if rule is not None:
        return rule(call)
    kind = FREE_NODES.get(call.operator)
    return None if kind is None else NodeCost(kind)
