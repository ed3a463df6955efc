"""ONNX graphs: closed forms of graphs made by hand, and modules against their own exports."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import numpy  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from torch import nn  # noqa: E402

from flopcount.counters import hooks, trace  # noqa: E402
from flopcount.counters import onnx as onnx_counter  # noqa: E402
from flopcount.counters.onnx import OnnxError  # noqa: E402
from flopcount.counters.operators import einsum  # noqa: E402
from flopcount.tally import Tally  # noqa: E402

models = pytest.importorskip("torchvision").models

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def stored(name: str, *sizes: int, dtype: str = "float32") -> Any:
    return numpy_helper.from_array(numpy.ones(sizes, dtype), name)


def whole(name: str, *values: int) -> Any:
    return numpy_helper.from_array(numpy.array(values, "int64"), name)


def typed(name: str, *sizes: Any, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, sizes)


def graph_of(nodes: list[Any], inputs: list[Any], out: str, *weights: Any) -> Any:
    end = helper.make_empty_tensor_value_info(out)
    return helper.make_graph(nodes, "graph", inputs, [end], list(weights))


def model(nodes: list[Any], inputs: list[Any], out: str, *weights: Any, opset: int = 20) -> Any:
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph_of(nodes, inputs, out, *weights), opset_imports=imports)


def one(operator: str, inputs: list[Any], *weights: Any, opset: int = 20, **attributes: Any) -> Any:
    """A graph of one node, which reads all inputs and then all weights."""
    names = [x.name for x in (*inputs, *weights)]
    node = helper.make_node(operator, names, ["out"], name="node", **attributes)
    return model([node], inputs, "out", *weights, opset=opset)


X = typed("x", 2, 8, 9, 9)
PRICED = {
    "Conv": (one("Conv", [X], stored("w", 16, 8, 3, 3)), "conv", 2 * 16 * 7 * 7 * 8 * 9),
    "Conv, grouped and strided": (
        one("Conv", [X], stored("w", 16, 2, 3, 3), group=4, strides=[2, 2], pads=[1, 1, 1, 1]),
        "conv",
        2 * 16 * 5 * 5 * 2 * 9,
    ),
    "Conv of one axis": (
        one("Conv", [typed("x", 1, 3, 20)], stored("w", 4, 3, 5)),
        "conv",
        4 * 16 * 3 * 5,
    ),
    "ConvTranspose": (
        one("ConvTranspose", [X], stored("w", 8, 5, 2, 2), strides=[2, 2]),
        "conv",
        2 * 8 * 9 * 9 * 5 * 4,
    ),
    "DeformConv": (
        model(
            [helper.make_node("DeformConv", ["x", "w", "offset"], ["out"])],
            [X, typed("offset", 2, 18, 7, 7)],
            "out",
            stored("w", 4, 8, 3, 3),
        ),
        "conv",
        2 * 4 * 7 * 7 * 8 * 9,
    ),
    "ConvInteger": (
        one(
            "ConvInteger",
            [typed("x", 1, 3, 8, 8, kind=TensorProto.UINT8)],
            stored("w", 4, 3, 3, 3, dtype="uint8"),
        ),
        "conv",
        4 * 6 * 6 * 3 * 9,
    ),
    "Gemm": (one("Gemm", [typed("x", 4, 10)], stored("w", 10, 7)), "linear", 4 * 10 * 7),
    "Gemm, transposed": (
        one("Gemm", [typed("x", 10, 4)], stored("w", 7, 10), transA=1, transB=1),
        "linear",
        4 * 10 * 7,
    ),
    "Gemm of two inputs": (
        one("Gemm", [typed("x", 4, 10), typed("y", 10, 7)]),
        "matmul",
        4 * 10 * 7,
    ),
    "MatMul": (one("MatMul", [typed("x", 2, 4, 10)], stored("w", 10, 7)), "linear", 8 * 10 * 7),
    "MatMul of two inputs": (
        one("MatMul", [typed("x", 2, 1, 4, 10), typed("y", 3, 10, 7)]),
        "matmul",
        2 * 3 * 4 * 10 * 7,
    ),
    "MatMul of vectors": (one("MatMul", [typed("x", 10), typed("y", 10)]), "matmul", 10),
    "MatMulInteger": (
        one(
            "MatMulInteger",
            [typed("x", 4, 10, kind=TensorProto.INT8)],
            stored("w", 10, 7, dtype="int8"),
        ),
        "linear",
        4 * 10 * 7,
    ),
    "Einsum": (
        one("Einsum", [typed("x", 2, 3, 4), typed("y", 2, 4, 5)], equation="bij,bjk->bik"),
        "matmul",
        2 * 3 * 4 * 5,
    ),
    "LSTM": (
        one(
            "LSTM",
            [typed("x", 5, 2, 8)],
            stored("w", 2, 64, 8),
            stored("r", 2, 64, 16),
            hidden_size=16,
            direction="bidirectional",
        ),
        "rnn",
        5 * 2 * 2 * 4 * 16 * (8 + 16),
    ),
    "GRU": (
        one(
            "GRU",
            [typed("x", 5, 2, 8)],
            stored("w", 1, 48, 8),
            stored("r", 1, 48, 16),
            hidden_size=16,
        ),
        "rnn",
        5 * 2 * 3 * 16 * (8 + 16),
    ),
    "Attention": (
        one(
            "Attention",
            [typed(name, 2, 4, s, 8) for name, s in (("q", 5), ("k", 7), ("v", 7))],
            opset=23,
        ),
        "attention",
        2 * 4 * 5 * 7 * (8 + 8),
    ),
    "Attention, behind what came before": (
        model(
            [helper.make_node("Attention", ["q", "k", "v", "", "past", "values"], ["out", "", ""])],
            [
                typed(name, 2, 4, s, 8)
                for name, s in (("q", 5), ("k", 7), ("v", 7), ("past", 3), ("values", 3))
            ],
            "out",
            opset=23,
        ),
        "attention",
        2 * 4 * 5 * (3 + 7) * (8 + 8),
    ),
    "Attention, its heads named": (
        one(
            "Attention",
            [typed("q", 2, 5, 32), typed("k", 2, 7, 16), typed("v", 2, 7, 16)],
            opset=23,
            q_num_heads=4,
            kv_num_heads=2,
        ),
        "attention",
        2 * 4 * 5 * 7 * (8 + 8),
    ),
}


@pytest.mark.parametrize(("made", "kind", "macs"), PRICED.values(), ids=PRICED)
def test_an_operator_takes_the_products_that_it_sums(made: Any, kind: str, macs: int):
    tally = onnx_counter.count(made)
    (entry,) = tally.entries
    assert (entry.kind, entry.macs, tally.macs) == (kind, macs, macs)
    assert tally.uncounted == {}


def test_quantised_products_are_counted_and_their_weights_are_parameters():
    scale = [numpy_helper.from_array(numpy.float32(1), n) for n in ("xs", "ws", "ys")]
    zero = [numpy_helper.from_array(numpy.uint8(0), n) for n in ("xz", "wz", "yz")]
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    made = model(
        [helper.make_node("QLinearConv", names, ["out"])],
        [typed("x", 1, 3, 8, 8, kind=TensorProto.UINT8)],
        "out",
        stored("w", 4, 3, 3, 3, dtype="uint8"),
        *scale,
        *zero,
    )
    tally = onnx_counter.count(made)
    assert (tally.macs, tally.params) == (4 * 6 * 6 * 3 * 9, 4 * 3 * 9)


def test_a_weight_behind_a_quantiser_is_a_parameter_and_its_scale_is_none():
    made = model(
        [
            helper.make_node("DequantizeLinear", ["w", "s"], ["real"], axis=0),
            helper.make_node("Gemm", ["x", "real"], ["out"]),
        ],
        [typed("x", 2, 8)],
        "out",
        stored("w", 8, 4, dtype="int8"),
        stored("s", 8),
    )
    tally = onnx_counter.count(made)
    assert (tally.macs, tally.params, len(tally.entries)) == (2 * 8 * 4, 8 * 4, 1)


@pytest.mark.parametrize(
    ("pads", "ceil", "windows"),
    [([0, 0, 0, 0], 0, 8 * 8), ([1, 1, 1, 1], 0, 12 * 12), ([0, 0, 0, 0], 1, 9 * 9)],
)
def test_a_pool_says_what_lies_under_its_windows(pads: list[int], ceil: int, windows: int):
    # 9 wide, windows of 2 by 2 at every second place; or of 3 with a margin
    k = 3 if any(pads) else 2
    made = one(
        "MaxPool",
        [typed("x", 1, 1, 9, 9)],
        kernel_shape=[k, k],
        strides=[2, 2],
        pads=pads,
        ceil_mode=ceil,
    )
    (entry,) = onnx_counter.count(made).entries
    inside = {(3, 0): 13 * 13}.get((k, ceil), windows)
    assert (entry.kind, entry.windows) == ("max_pool", inside)


def test_views_and_what_constants_decide_give_no_entry():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Div", ["n", "two"], ["half"]),
        helper.make_node("Concat", ["half", "rest"], ["sizes"], axis=0),
        helper.make_node("Reshape", ["x", "sizes"], ["y"]),
        helper.make_node("Transpose", ["y"], ["z"], perm=[1, 0]),
        helper.make_node("Relu", ["z"], ["out"]),
    ]
    weights = [whole("zero", 0), whole("two", 2), whole("rest", -1)]
    tally = onnx_counter.count(model(nodes, [typed("x", "n", 6)], "out", *weights), {"x": (4, 6)})
    assert [(e.operator, e.outputs) for e in tally.entries] == [("Relu", ((12, 2),))]
    assert (tally.params, tally.batch) == (0, 4)


def test_an_unknown_operator_is_reported_and_what_follows_it_too():
    nodes = [
        helper.make_node("Strange", ["x"], ["y"], domain="own"),
        helper.make_node("Relu", ["y"], ["z"]),
        helper.make_node("Relu", ["x"], ["out"]),
    ]
    tally = onnx_counter.count(model(nodes, [typed("x", 1, 3)], "out"))
    assert tally.uncounted == {"own.Strange": 1, "Relu": 1}
    assert [e.kind for e in tally.entries] == ["uncounted", "uncounted", "relu"]
    assert tally.peak_memory is None


def scan() -> Any:
    body = graph_of(
        [helper.make_node("MatMul", ["row", "w"], ["y"])],
        [helper.make_tensor_value_info("row", FLOAT, None)],
        "y",
    )
    node = helper.make_node("Scan", ["x"], ["out"], body=body, num_scan_inputs=1)
    return model([node], [typed("x", 5, 2, 3)], "out", stored("w", 3, 4))


def loop(trips: Any, *inputs: Any) -> Any:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["v", "w"], ["next"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [typed("i", kind=INT64), typed("go", kind=BOOL), typed("v", 2, 3)],
        [typed("on", kind=BOOL), typed("next", 2, 3)],
    )
    node = helper.make_node("Loop", ["trips", "", "x"], ["out"], body=body)
    weights = [stored("w", 3, 3), *trips]
    return model([node], [typed("x", 2, 3), *inputs], "out", *weights)


def choice(same: bool, *decided: Any) -> Any:
    def branch(name: str, weight: str) -> Any:
        node = helper.make_node("MatMul", ["x", weight], [name])
        return graph_of([node], [], name)

    node = helper.make_node(
        "If",
        ["which"],
        ["out"],
        then_branch=branch("a", "w"),
        else_branch=branch("b", "w" if same else "v"),
    )
    given = [] if decided else [typed("which", kind=BOOL)]
    weights = [stored("w", 3, 4), stored("v", 3, 8), *decided]
    return model([node], [typed("x", 2, 3), *given], "out", *weights)


def test_the_graph_inside_a_scan_runs_once_for_each_row():
    tally = onnx_counter.count(scan())
    assert (tally.macs, len(tally.entries), tally.params) == (5 * 2 * 3 * 4, 5, 12)


def test_a_loop_of_a_fixed_number_of_turns_is_counted_and_another_is_reported():
    fixed = numpy_helper.from_array(numpy.int64(4), "trips")
    tally = onnx_counter.count(loop([fixed]))
    assert (tally.macs, tally.uncounted) == (4 * 2 * 3 * 3, {})
    asked = onnx_counter.count(loop([], typed("trips", kind=INT64)))
    assert (asked.macs, asked.uncounted, asked.peak_memory) == (0, {"Loop": 1}, None)


def test_of_a_choice_the_graph_that_runs_is_counted():
    which = numpy_helper.from_array(numpy.array(False), "which")
    assert onnx_counter.count(choice(False, which)).macs == 2 * 3 * 8
    assert onnx_counter.count(choice(True)).macs == 2 * 3 * 4
    assert onnx_counter.count(choice(False)).uncounted == {"If": 1}


def test_a_function_of_the_model_is_counted_by_what_is_in_it():
    function = helper.make_function(
        "own",
        "Twice",
        ["a", "w"],
        ["c"],
        [
            helper.make_node("MatMul", ["a", "w"], ["b"]),
            helper.make_node("MatMul", ["b", "w"], ["c"]),
        ],
        [helper.make_opsetid("", 20)],
    )
    made = model(
        [helper.make_node("Twice", ["x", "w"], ["out"], domain="own")],
        [typed("x", 2, 3)],
        "out",
        stored("w", 3, 3),
    )
    made.functions.append(function)
    tally = onnx_counter.count(made)
    assert (tally.macs, tally.params, len(tally.entries)) == (2 * 2 * 3 * 3, 9, 2)


def test_the_peak_holds_what_is_needed_later_and_no_weight():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Reshape", ["a", "flat"], ["b"]),
        helper.make_node("Gemm", ["b", "w"], ["c"]),
        helper.make_node("Add", ["c", "x"], ["out"]),
    ]
    made = model(nodes, [typed("x", 2, 6)], "out", stored("w", 6, 6), whole("flat", 2, 6))
    # x is alive to the end; a is b; c is made of b while x waits
    assert onnx_counter.count(made).peak_memory == 3 * 2 * 6 * 4


def test_parameters_are_what_was_learned():
    names = ["x", "scale", "shift", "mean", "var"]
    nodes = [
        helper.make_node("BatchNormalization", names, ["a"]),
        helper.make_node("Mul", ["a", "half"], ["b"]),
        helper.make_node("Add", ["b", "table"], ["out"]),
    ]
    channels = [stored(name, 8) for name in names[1:]]
    half = numpy_helper.from_array(numpy.float32(0.5), "half")
    unused = stored("unused", 5)
    made = model(nodes, [X], "out", *channels, half, stored("table", 8, 9, 9), unused)
    tally = onnx_counter.count(made)
    found = {p.name.rpartition(".")[2]: (p.elements, p.called) for p in tally.parameters or ()}
    expected = {"scale": (8, True), "shift": (8, True), "table": (8 * 81, True)}
    assert found == {**expected, "unused": (5, False)}


def test_every_element_has_the_size_of_its_type():
    made = one("Relu", [typed("x", 2, 3, kind=TensorProto.FLOAT16)])
    tally = onnx_counter.count(made)
    assert (tally.element_bytes, tally.bytes_moved, tally.peak_memory) == (2, 24, 24)


OPEN = one("Conv", [typed("x", "batch", 3, "side", "side")], stored("w", 4, 3, 3, 3))
REFUSED: dict[str, tuple[Any, Any, tuple[str, ...]]] = {
    "no shape": (OPEN, None, ("'x'", "batchx3xsidexside")),
    "a name of none": (OPEN, {"y": (1, 3, 8, 8)}, ("'y'", "'x'")),
    "another rank": (OPEN, {"x": (1, 3, 8)}, ("'x'", "4 sizes", "3 given")),
    "another number": (OPEN, {"x": (1, 4, 8, 8)}, ("'x'", "size 1", "3", "4")),
    "one name, two numbers": (OPEN, {"x": (1, 3, 8, 9)}, ("'x'", "'side'", "8", "9")),
    "too many": (OPEN, [(1, 3, 8, 8), (1,)], ("2 inputs given", "1")),
    "shapes that contradict": (
        one("MatMul", [typed("x", 2, 3), typed("y", 4, 5)]),
        None,
        ("MatMul",),
    ),
    "nothing": (onnx.ModelProto(), None, ("no graph",)),
}


@pytest.mark.parametrize(("made", "shapes", "quoted"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_counted_is_refused(made: Any, shapes: Any, quoted: tuple[str, ...]):
    with pytest.raises(OnnxError) as caught:
        onnx_counter.count(made, shapes)
    assert all(text in str(caught.value) for text in quoted), caught.value


def test_shapes_may_be_given_in_order_or_by_name():
    first, second = (
        onnx_counter.count(OPEN, [(2, 3, 8, 8)]),
        onnx_counter.count(OPEN, {"x": (2, 3, 8, 8)}),
    )
    assert first == second
    assert (first.macs, first.batch) == (2 * 4 * 6 * 6 * 27, 2)


def test_a_file_is_read_without_the_weights_beside_it(tmp_path: Path):
    nodes = [
        helper.make_node("Reshape", ["x", "sizes"], ["y"]),
        helper.make_node("Gemm", ["y", "w"], ["out"]),
    ]
    made = model(nodes, [typed("x", 2, 3, 4)], "out", stored("w", 12, 500), whole("sizes", 2, 12))
    onnx.save(
        made,
        tmp_path / "net.onnx",
        save_as_external_data=True,
        size_threshold=0,
        location="net.data",
    )
    whole_tally = onnx_counter.count(tmp_path / "net.onnx")
    assert (whole_tally.macs, whole_tally.params) == (2 * 12 * 500, 12 * 500)
    (tmp_path / "net.data").unlink()
    assert onnx_counter.count(tmp_path / "net.onnx").uncounted == {"Gemm": 1}


@pytest.mark.parametrize("content", [b"not a graph", b"", b"\x00" * 100])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "net.onnx").write_bytes(content)
    for path in (tmp_path / "net.onnx", tmp_path / "absent.onnx", tmp_path):
        with pytest.raises(OnnxError, match=re.escape(str(path))):
            onnx_counter.count(path)


def test_the_model_that_was_handed_in_is_as_before():
    before = OPEN.SerializeToString()
    onnx_counter.count(OPEN, [(1, 3, 8, 8)])
    assert OPEN.SerializeToString() == before


@pytest.mark.parametrize(
    ("equation", "shapes", "out", "macs"),
    [
        ("ij,jk->ik", ((2, 3), (3, 4)), (2, 4), 24),
        ("ij,jk", ((2, 3), (3, 4)), (2, 4), 24),
        ("...ij,...jk->...ik", ((5, 2, 3), (3, 4)), (5, 2, 4), 5 * 24),
        ("i,j->ij", ((2,), (3,)), (2, 3), 0),
        ("ij->i", ((2, 3),), (2,), 0),
        ("ii->i", ((3, 3),), (3,), 0),
        ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5)), (2, 5), 2 * 3 * 4 + 2 * 4 * 5),
        ("ij,k->i", ((2, 3), (4,)), (2,), 0),
    ],
)
def test_a_sum_in_einsteins_notation_is_contracted_from_left_to_right(
    equation: str, shapes: Any, out: Any, macs: int
):
    assert einsum(equation, shapes) == (out, macs)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


class _Sequence(nn.Module):
    """What an image network has not: words, recurrence, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.recurrent = nn.LSTM(16, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, words: Any) -> Any:
        hidden, _ = self.recurrent(self.words(words))
        return self.head(self.encoder(hidden))


class _Grouped(nn.Module):
    """A channel shuffle, whose shapes an exporter works out as the graph runs."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(4, 8, 3, padding=1)
        self.mixed = nn.Conv2d(8, 8, 1, groups=2)

    def forward(self, x: Any) -> Any:
        x = self.wide(x)
        n, c, h, w = x.shape
        return self.mixed(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))


def built(spec: str, **choices: Any) -> Any:
    import shufflenet

    return shufflenet.build(shufflenet.network(shufflenet.load(spec), size=(64, 64), **choices))


IMAGE = (1, 3, 64, 64)
MODULES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "resnet18": (models.resnet18, IMAGE),
    "mobilenet_v2": (models.mobilenet_v2, IMAGE),
    "shufflenet_v2": (models.shufflenet_v2_x0_5, IMAGE),
    "squeezenet": (models.squeezenet1_1, IMAGE),
    "vision transformer": (
        lambda: models.VisionTransformer(
            32, 8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64
        ),
        (2, 3, 32, 32),
    ),
    "words": (_Sequence, (2, 7)),
    "shufflenet": (lambda: built("shufflenet", groups=3, scale="0.25"), IMAGE),
    "arch2": (lambda: built("arch2", groups=8, scale="0.5"), IMAGE),
}


#: The newer exporter takes seconds for what the older one does at once.
FEW = ("resnet18", "vision transformer", "words")
EXPORTS = [(name, False) for name in MODULES] + [(name, True) for name in FEW]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], tuple[Path, Any]]:
    """Each module in a file of each exporter, and itself; made once."""
    folder = tmp_path_factory.mktemp("exports")

    @cache
    def export(name: str, dynamo: bool) -> tuple[Path, Any]:
        make, sizes = MODULES[name]
        torch.manual_seed(0)
        module = make().eval()
        return exported(folder / f"{name}-{dynamo}.onnx", module, sizes, dynamo), module

    return export


def exported(path: Path, module: Any, sizes: tuple[int, ...], dynamo: bool, **how: Any) -> Path:
    words = isinstance(module, _Sequence)
    example = torch.zeros(sizes, dtype=torch.int64) if words else torch.zeros(sizes)
    if dynamo:
        how["verbose"] = False
    torch.onnx.export(module, (example,), path, dynamo=dynamo, **how)
    return path


def traced(module: Any, sizes: tuple[int, ...]) -> Tally:
    kind = torch.int64 if isinstance(module, _Sequence) else torch.float32
    return trace.count(module, torch.empty(sizes, dtype=kind, device="meta"))


@pytest.mark.parametrize(("name", "dynamo"), EXPORTS)
def test_a_module_and_its_export_cost_the_same(exports: Any, name: str, dynamo: bool):
    path, module = exports(name, dynamo)
    tally, sizes = onnx_counter.count(path), MODULES[name][1]
    own = traced(module, sizes)
    assert tally.uncounted == {}
    assert tally.macs == own.macs
    for kind in ("conv", "rnn"):
        ours, theirs = (t.by_kind().get(kind) for t in (tally, own))
        assert (ours and ours.macs) == (theirs and theirs.macs)
    if name not in ("vision transformer", "words"):
        assert tally.macs == hooks.count(module, shape=sizes).macs


@pytest.mark.parametrize("dynamo", [True, False], ids=["new exporter", "old exporter"])
def test_an_export_whose_batch_is_open_is_counted_at_any(tmp_path: Path, dynamo: bool):
    module = _Grouped().eval()
    how: dict[str, Any] = {"dynamic_axes": {"x": {0: "n"}}, "input_names": ["x"]}
    if dynamo:
        how = {"dynamic_shapes": ({0: torch.export.Dim("n")},)}
    # of a batch of one, the newer exporter would take it that it is always one
    path = exported(tmp_path / "net.onnx", module, (2, 4, 8, 8), dynamo, **how)
    tally = onnx_counter.count(path, [(5, 4, 8, 8)])
    macs = 5 * (8 * 8 * 8 * 4 * 9 + 8 * 8 * 8 * 4)
    assert (tally.macs, tally.uncounted, tally.batch) == (macs, {}, 5)
    with pytest.raises(OnnxError, match="'"):
        onnx_counter.count(path)


def test_an_export_that_folds_no_norm_has_the_parameters_of_its_module(tmp_path: Path):
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Flatten(), nn.LayerNorm(8 * 36), nn.PReLU(), nn.Linear(8 * 36, 4)
    ).eval()
    for parameter in module.parameters():
        # equal tensors would be one in the file
        nn.init.normal_(parameter)
    path = exported(tmp_path / "net.onnx", module, (1, 3, 8, 8), True)
    assert onnx_counter.count(path).params == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("dynamo", [True, False], ids=["new exporter", "old exporter"])
def test_a_node_stands_where_its_module_does(exports: Any, dynamo: bool):
    path, module = exports("resnet18", dynamo)
    tally = onnx_counter.count(path)
    convs = {e.path for e in tally.entries if e.kind == "conv"}
    assert convs == {n for n, m in module.named_modules() if isinstance(m, nn.Conv2d)}
