from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from flopcount import Shape
from flopcount.counters.trace import DataDependentError, count
from tests.flopcount.counters.trace.ways import Wired, empty, every_way

IMAGE = (2, 4, 8, 8)


def facts(entry: Any) -> tuple[Any, ...]:
    return entry.kind, entry.operator, entry.layer, entry.macs, entry.weight, entry.bias


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (nn.Conv2d(4, 6, 3), IMAGE, ("conv", "conv2d", "Conv2d", 2 * 6 * 36 * 36, 6 * 36, 6)),
        (nn.Conv1d(4, 6, 1, bias=False), (2, 4, 8), ("conv", "conv1d", "Conv1d", 384, 24, 0)),
        (
            nn.ConvTranspose2d(4, 6, 2),
            IMAGE,
            ("conv", "conv_transpose2d", "ConvTranspose2d", 2 * 4 * 64 * 6 * 4, 4 * 6 * 4, 6),
        ),
        (nn.Linear(8, 5), (2, 8), ("linear", "linear", "Linear", 2 * 8 * 5, 8 * 5, 5)),
        (nn.BatchNorm2d(4), IMAGE, ("batch_norm", "batch_norm", "BatchNorm2d", 0, 4, 4)),
        (
            nn.BatchNorm2d(4, affine=False),
            IMAGE,
            ("batch_norm", "batch_norm", "BatchNorm2d", 0, 0, 0),
        ),
        (nn.LayerNorm(8), IMAGE, ("layer_norm", "layer_norm", "LayerNorm", 0, 8, 8)),
        (nn.GroupNorm(2, 4), IMAGE, ("group_norm", "group_norm", "GroupNorm", 0, 4, 4)),
        (nn.RMSNorm(8), IMAGE, ("norm", "rms_norm", "RMSNorm", 0, 8, 0)),
        (nn.ReLU(), IMAGE, ("relu", "relu", "ReLU", 0, 0, 0)),
        (nn.ReLU6(), IMAGE, ("relu6", "hardtanh", "ReLU6", 0, 0, 0)),
        (nn.GELU(), IMAGE, ("activation", "gelu", "GELU", 0, 0, 0)),
        (nn.PReLU(4), IMAGE, ("activation", "prelu", "PReLU", 0, 4, 0)),
        (nn.Softmax(1), IMAGE, ("softmax", "softmax", "Softmax", 0, 0, 0)),
        (nn.MaxPool2d(2), IMAGE, ("max_pool", "max_pool2d", "MaxPool2d", 0, 0, 0)),
        (nn.AvgPool2d(2), IMAGE, ("avg_pool", "avg_pool2d", "AvgPool2d", 0, 0, 0)),
        (
            nn.AdaptiveAvgPool2d(1),
            IMAGE,
            ("global_avg_pool", "adaptive_avg_pool2d", "AdaptiveAvgPool2d", 0, 0, 0),
        ),
        (
            nn.AdaptiveAvgPool2d(3),
            IMAGE,
            ("adaptive_avg_pool", "adaptive_avg_pool2d", "AdaptiveAvgPool2d", 0, 0, 0),
        ),
        (nn.PixelShuffle(2), IMAGE, ("index", "pixel_shuffle", "PixelShuffle", 0, 0, 0)),
        (nn.ZeroPad2d(1), IMAGE, ("pad", "pad", "ZeroPad2d", 0, 0, 0)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_an_entry_says_what_ran_for_which_layer_with_what(model, shape, expected):
    for way, tally in every_way(model, empty(*shape)).items():
        (entry,) = tally.entries
        assert facts(entry) == expected, way
        assert entry.inputs == (Shape(*shape),), way


def test_a_function_between_layers_is_of_the_module_that_called_it():
    def run(m: Any, x: Any) -> Any:
        return functional.relu(m.conv(x)) + 1

    for way, tally in every_way(Wired(run, conv=nn.Conv2d(4, 4, 1)), empty(*IMAGE)).items():
        paths = [(entry.path, entry.kind, entry.layer) for entry in tally.entries]
        assert paths[0] == ("conv", "conv", "Conv2d"), way
        assert [path[:2] for path in paths[1:]] == [("", "relu"), ("", "elementwise")], way
        assert {path[2] for path in paths[1:]} == {f"{Wired.__module__}.Wired"}, way


def test_a_function_has_neither_path_nor_layer():
    def run(x: Any, weight: Any) -> Any:
        return functional.relu(functional.conv2d(x, weight))

    for way, tally in every_way(run, empty(*IMAGE), empty(6, 4, 3, 3)).items():
        assert [(e.path, e.kind, e.layer) for e in tally.entries] == [
            ("", "conv", ""),
            ("", "relu", ""),
        ], way
        # a weight that nobody owns is an input
        assert tally.entries[0].inputs == ((2, 4, 8, 8), (6, 4, 3, 3)), way
        assert (tally.params, tally.modules) == (0, ()), way


def test_a_method_of_a_module_is_counted_with_the_module_it_belongs_to():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.head = nn.Linear(8, 7), nn.Linear(7, 5)

        def embed(self, x: Any, times: int = 1) -> Any:
            return self.features(x) * times

        def forward(self, x: Any) -> Any:
            return self.head(self.embed(x))

    model = Model()
    tally = count(model.embed, empty(2, 8), times=3)
    assert [(e.path, e.kind) for e in tally.entries] == [
        ("features", "linear"),
        ("", "elementwise"),
    ]
    assert tally.macs == 2 * 8 * 7
    assert tally.params == (8 * 7 + 7) + (7 * 5 + 5)
    assert tally.uncalled == ("head",)
    assert count(model.forward, empty(2, 8)).macs == count(model, empty(2, 8)).macs


def windows(size: int, kernel: int, stride: int, padding: int, places: int) -> int:
    """The taps of all windows along one axis that lie on the image."""
    taps = ((at * stride - padding + tap) for at in range(places) for tap in range(kernel))
    return sum(0 <= tap < size for tap in taps)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("kind", ["Max", "Avg"])
def test_the_windows_of_a_pooling_are_what_lies_on_the_image(kind, kernel, stride, padding, ceil):
    model = getattr(nn, f"{kind}Pool2d")(kernel, stride, padding, ceil_mode=ceil)
    out = model(empty(2, 4, 8, 7)).shape
    expected = 2 * 4
    for size, places in ((8, out[2]), (7, out[3])):
        expected *= windows(size, kernel, stride, padding, places)
    for way, tally in every_way(model, empty(2, 4, 8, 7)).items():
        (entry,) = tally.entries
        assert (entry.windows, entry.outputs) == (expected, (tuple(out),)), way


def test_the_windows_of_an_adaptive_pooling_overlap_where_its_sizes_do_not_divide():
    # 8 places into 3: 0-2, 2-5, 5-7
    (entry,) = count(nn.AdaptiveAvgPool2d((3, 1)), empty(2, 4, 8, 8)).entries
    assert entry.windows == 2 * 4 * (3 + 4 + 3) * 8
    assert entry.outputs == ((2, 4, 3, 1),)


def test_kinds_and_operators_are_added_up_each_by_itself():
    def run(m: Any, x: Any) -> Any:
        y = m.a(x)
        return m.b(functional.relu(y)) + y

    model = Wired(run, a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 4, 3, padding=1, bias=False))
    for way, tally in every_way(model, empty(*IMAGE)).items():
        kinds, operators = tally.by_kind(), tally.by_operator()
        assert set(kinds) == {"conv", "relu", "add"}, way
        assert set(operators) == {"conv2d", "relu", "add"}, way
        a, b = 2 * 4 * 64 * 4, 2 * 4 * 64 * 4 * 9
        assert kinds["conv"] == operators["conv2d"], way
        assert kinds["conv"][:4] == (2, a + b, 4 * 4 + 4 + 4 * 4 * 9, 2 * (2 * 4 * 64)), way
        assert kinds["add"][:4] == (1, 0, 0, 2 * 4 * 64), way
        # read once, twice or three times, and written once: four bytes each
        sizes = {"conv": 4 * 512 + 20 + 144, "relu": 2 * 512, "add": 3 * 512}
        assert {kind: group.bytes_moved for kind, group in kinds.items()} == {
            kind: 4 * size for kind, size in sizes.items()
        }, way
        assert Counter(e.kind for e in tally.entries) == {
            kind: group.calls for kind, group in kinds.items()
        }, way
        for figure in ("macs", "activations", "bytes_moved"):
            whole = getattr(tally, figure)
            assert whole == sum(getattr(group, figure) for group in kinds.values()), way


def test_a_product_of_two_tensors_and_a_scaled_tensor_are_told_apart():
    def run(x: Any, y: Any) -> Any:
        return (x + y) * (x * y) + 1 - x * 2

    for way, tally in every_way(run, empty(2, 3), empty(2, 3)).items():
        kinds = {kind: group.calls for kind, group in tally.by_kind().items()}
        assert kinds == {"add": 1, "mul": 2, "elementwise": 3}, way
        assert set(tally.by_operator()) == {"add", "mul", "sub"}, way


def test_a_view_is_no_entry_and_a_copy_is_one():
    def run(x: Any) -> Any:
        y = x.view(2, -1).unsqueeze(0).transpose(0, 1)[..., :2]
        return y.contiguous()

    for way, tally in every_way(run, empty(*IMAGE)).items():
        assert [entry.kind for entry in tally.entries] == ["copy"], way
        assert tally.entries[0].outputs == ((2, 1, 2),), way


@pytest.mark.parametrize("cut", [{}, {"checked": True}, {"execution": "real"}], ids=str)
def test_a_shape_stands_for_an_input(cut):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5))
    by_shape = count(model, shape=(2, 3, 8, 8), **cut)
    assert by_shape.entries == count(model, empty(2, 3, 8, 8), **cut).entries
    assert by_shape.batch == 2


def test_types_of_elements_are_followed_to_the_bytes_that_move():
    def run(x: Any) -> Any:
        return x.half().relu()

    for way, tally in every_way(run, empty(2, 4)).items():
        assert [entry.moved_bytes for entry in tally.entries] == [8 * (4 + 2), 8 * (2 + 2)], way
    half = count(nn.Linear(4, 5, bias=False).to(torch.bfloat16), shape=(2, 4))
    assert half.element_bytes == 2
    assert half.bytes_moved == 2 * (2 * 4 + 4 * 5 + 2 * 5)


def test_a_mask_that_is_made_on_the_way_may_decide_its_course():
    def run(x: Any) -> Any:
        mask = torch.full((8, 8), float("-inf")).triu(1)
        return x @ x if bool(torch.isinf(mask).any()) else x

    for way, tally in every_way(run, empty(8, 8)).items():
        assert tally.macs == 8 * 8 * 8, way


@pytest.mark.parametrize(
    "write",
    [
        lambda known, x: known.__setitem__(0, x[0, 0]),
        lambda known, x: known[:1].copy_(x[0, :1]),
        lambda known, x: known.add_(x[0, 0]),
        lambda known, x: torch.mul(known, x[0, 0], out=known),
    ],
)
def test_what_was_known_is_unknown_once_something_unknown_is_written_on_it(write):
    def run(x: Any) -> Any:
        known = torch.zeros(2)
        write(known, x)
        return x @ x if bool(known.sum() > 0) else x

    x = torch.ones(3, 3)
    with pytest.raises(DataDependentError):
        count(run, x)
    assert count(run, x, execution="real").macs == (0 if run(x) is x else 3 * 3 * 3)


def test_what_was_known_is_known_still_when_something_known_is_written_on_it():
    def run(x: Any) -> Any:
        known = torch.zeros(2)
        known[:1].fill_(1)
        return x @ x if bool(known.sum() > 0) else x

    for way, tally in every_way(run, empty(3, 3)).items():
        assert tally.macs == 3 * 3 * 3, way


def test_a_tensor_that_is_resized_has_its_new_size():
    def run(x: Any) -> Any:
        return torch.empty(0).resize_as_(x).copy_(x) @ x.new_empty(0).resize_(8, 5)

    for way, tally in every_way(run, empty(6, 8)).items():
        assert tally.macs == 6 * 8 * 5, way
