"""The built module: the layer tree's own leaves, running, trainable, exported and initialised."""

from __future__ import annotations

import io
from collections import OrderedDict
from itertools import pairwise
from math import sqrt
from typing import Literal

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from flopcount.layers import Act, Branches, Chain, Conv, Identity, Layer, Pool, leaves
from shufflenet.arch.network import Network, network
from shufflenet.arch.spec import Row
from shufflenet.arch.spec_reader import load
from shufflenet.nn.builder import BuildError, ChannelShuffle, build
from tests.strategies import COLUMNS, head, image, networks, own_spec, stage

#: Parameters (convolutions, batch norms, classifier) of Table 1's five columns.
TABLE_1 = {1: 1_531_936, 2: 1_733_848, 3: 1_865_728, 4: 1_968_344, 8: 2_434_768}


@pytest.fixture(scope="module")
def paper() -> nn.Module:
    torch.manual_seed(0)
    return build(network(load("shufflenet"), 8)).eval()


def leaf_paths(module: nn.Module) -> list[str]:
    return [path for path, child in module.named_modules() if not list(child.children())]


def joins(layer: Layer, path: str = "") -> list[str]:
    """The paths of the joins, which stand behind their branches."""
    if not isinstance(layer, Chain | Branches):
        return []
    found = []
    for name, child in layer.children:
        found += joins(child, f"{path}.{name}" if path else name)
    if isinstance(layer, Branches):
        found.append(f"{path}.{layer.join}" if path else layer.join)
    return found


def images(n: int, size: tuple[int, int] = (32, 32), seed: int = 1) -> Tensor:
    return torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(seed))


# The tree and the module


@settings(deadline=None, max_examples=40)
@given(networks())
def test_the_leaf_paths_of_a_module_are_those_of_the_layer_tree_and_its_joins(
    net: Network,
) -> None:
    module = build(net, device="meta")
    expected = [path for path, _ in leaves(net.tree)]
    assert sorted(leaf_paths(module)) == sorted(expected + joins(net.tree))
    # But for the joins they also stand in the order of the tree.
    assert [path for path in leaf_paths(module) if path in set(expected)] == expected


@pytest.mark.parametrize(("name", "groups"), COLUMNS)
def test_the_leaf_paths_of_every_bundled_network_are_those_of_its_tally(
    name: str, groups: int
) -> None:
    net = network(load(name), groups)
    module = build(net, device="meta")
    assert leaf_paths(module) == [e.path for e in net.tally(memory=False).entries]


@pytest.mark.parametrize(("groups", "params"), TABLE_1.items())
def test_the_parameters_of_table_1_add_up_to_those_of_public_implementations(
    groups: int, params: int
) -> None:
    module = build(network(load("shufflenet"), groups), device="meta")
    assert sum(p.numel() for p in module.parameters()) == params


def test_no_convolution_has_a_bias_and_the_classifier_has_one(paper: nn.Module) -> None:
    assert [m.bias for m in paper.modules() if isinstance(m, nn.Conv2d)] == [None] * (1 + 3 * 16)
    (classifier,) = (m for m in paper.modules() if isinstance(m, nn.Linear))
    assert classifier.bias.shape == (1000,)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("mode", ["max", "avg"])
def test_a_pool_rounds_its_size_as_its_layer_says(mode: Literal["max", "avg"], ceil: bool) -> None:
    out = build(Pool(mode, 3, 2, 0, ceil))(torch.zeros(1, 2, 6, 9))
    # 6 leaves half a window more than two, and 9 none more than four
    assert out.shape == (1, 2, 3 if ceil else 2, 4)


def test_a_tree_that_is_no_network_is_built_as_well() -> None:
    layer = Chain((("first", Conv(3, 8, 3, 2, 1)), ("second", Conv(8, 4, groups=2, bias=True))))
    module = build(layer)
    assert leaf_paths(module) == ["first", "second"]
    assert module(images(2, (9, 7))).shape == (2, 4, 5, 4)
    assert torch.equal(module.second.bias, torch.zeros(4))


# Running


@pytest.mark.parametrize("size", [(224, 224), (480, 640), (65, 97), (33, 32), (1, 1)])
def test_one_module_classifies_images_of_any_size(paper: nn.Module, size: tuple[int, int]) -> None:
    with torch.no_grad():
        out = paper(images(2, size))
    assert out.shape == (2, 1000)
    assert out.isfinite().all()


@pytest.mark.parametrize("size", [(224, 224), (480, 640), (65, 97)])
def test_a_batch_of_one_gives_in_evaluation_what_it_gives_among_others(
    paper: nn.Module, size: tuple[int, int]
) -> None:
    batch = images(3, size)
    with torch.no_grad():
        together = paper(batch)
        alone = paper(batch[:1])
    assert alone.shape == (1, 1000)
    torch.testing.assert_close(alone, together[:1], rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=15)
@given(networks(max_side=17), st.integers(1, 3), st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_a_built_network_takes_any_batch_at_other_sizes_than_it_was_described_at(
    net: Network, n: int, size: tuple[int, int]
) -> None:
    module = build(net).eval()
    with torch.no_grad():
        out = module(torch.zeros(n, net.input[1], *size))
    assert out.shape == (n, net.spec.rows[-1].channels[0])


def test_a_network_in_channels_last_gives_the_output_of_one_in_channels_first(
    small: Network,
) -> None:
    torch.manual_seed(2)
    module = build(small).eval()
    x = images(2)
    with torch.no_grad():
        first = module(x)
        last = module.to(memory_format=torch.channels_last)(
            x.contiguous(memory_format=torch.channels_last)
        )
    torch.testing.assert_close(last, first, rtol=1e-4, atol=1e-5)


def test_a_residual_unit_adds_its_input_and_a_strided_one_concatenates_its_average_pool() -> None:
    torch.manual_seed(3)
    spec = own_spec(
        image(9, 9),
        Row("Conv1", "conv", kernel=3, channels=(4,)),
        stage("Stage2", "shufflenet", (16,)),
        stage("Stage2", "shufflenet", (16,), stride=1),
        *head(2),
        groups=(2,),
    )
    module = build(network(spec)).eval()
    x = torch.randn(2, 4, 9, 9)
    with torch.no_grad():
        strided, plain = module.stage2.unit1, module.stage2.unit2
        out = strided(x)
        assert torch.equal(out[:, :4], nn.functional.avg_pool2d(x, 3, 2, 1).relu())
        assert torch.equal(out[:, 4:], strided.residual.body(x).relu())
        assert torch.equal(plain(out), (out + plain.residual.body(out)).relu())


# Training


def test_every_parameter_of_a_network_of_all_five_units_gets_a_finite_gradient(
    small: Network,
) -> None:
    torch.manual_seed(4)
    module = build(small).train()
    loss = nn.functional.cross_entropy(module(images(8)), torch.arange(8))
    loss.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_a_few_steps_of_sgd_lower_the_loss_on_one_batch(small: Network) -> None:
    torch.manual_seed(5)
    module = build(small).train()
    descent = torch.optim.SGD(module.parameters(), lr=0.05)
    x, labels = images(8), torch.arange(8)
    losses = []
    for _ in range(6):
        descent.zero_grad()
        loss = nn.functional.cross_entropy(module(x), labels)
        losses.append(loss.item())
        loss.backward()
        descent.step()
    assert losses[-1] < losses[0]


# Compiled and exported


def test_a_compiled_module_in_one_graph_gives_the_eager_output(small: Network) -> None:
    torch.manual_seed(6)
    module = build(small).eval()
    x = images(2)
    torch.compiler.reset()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), module(x), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def exported(small: Network) -> onnx.ModelProto:
    torch.manual_seed(7)
    stream = io.BytesIO()
    torch.onnx.export(
        build(small).eval(),
        (images(2),),
        stream,
        input_names=["x"],
        output_names=["classes"],
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("n")},),
        verbose=False,
    )
    return onnx.load_from_string(stream.getvalue())


def test_the_onnx_export_passes_the_checker_with_shapes_inferred(exported: onnx.ModelProto) -> None:
    onnx.checker.check_model(exported, full_check=True)


def test_the_onnx_export_leaves_the_batch_free_and_fixes_the_rest(
    exported: onnx.ModelProto,
) -> None:
    def sizes(value: onnx.ValueInfoProto) -> list[str | int]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    (x,), (out,) = exported.graph.input, exported.graph.output
    assert sizes(x) == ["n", 3, 32, 32]
    assert sizes(out) == ["n", 10]


def test_the_onnx_export_holds_a_node_for_every_convolution(
    exported: onnx.ModelProto, small: Network
) -> None:
    convs = [node for node in exported.graph.node if node.op_type == "Conv"]
    wanted = [layer.groups for _, layer in leaves(small.tree) if isinstance(layer, Conv)]
    found = [next(a.i for a in node.attribute if a.name == "group") for node in convs]
    assert sorted(found) == sorted(wanted)


# Initialisation


def test_batch_norms_start_as_the_identity(paper: nn.Module) -> None:
    norms = [m for m in paper.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 1 + 3 * 16
    for norm in norms:
        c = norm.num_features
        assert torch.equal(norm.weight, torch.ones(c))
        assert torch.equal(norm.bias, torch.zeros(c))
        assert torch.equal(norm.running_mean, torch.zeros(c))
        assert torch.equal(norm.running_var, torch.ones(c))


def test_convolutions_start_with_the_deviation_of_he_by_fan_out(paper: nn.Module) -> None:
    convs = {p: m.weight for p, m in paper.named_modules() if isinstance(m, nn.Conv2d)}
    assert len(convs) == 1 + 3 * 16
    for path, weight in convs.items():
        d, _, kernel, _ = weight.shape
        wanted = sqrt(2 / (d * kernel * kernel))
        # Of n normal numbers the deviation is off by one part in sqrt(2n), so six is far out.
        n = weight.numel()
        assert weight.std().item() == pytest.approx(wanted, rel=6 / sqrt(2 * n)), path
        assert abs(weight.mean().item()) < 6 * wanted / sqrt(n), path


def test_the_classifier_starts_with_a_deviation_of_a_hundredth_and_no_bias(
    paper: nn.Module,
) -> None:
    (classifier,) = (m for m in paper.modules() if isinstance(m, nn.Linear))
    assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert abs(classifier.weight.mean().item()) < 0.0005
    assert torch.equal(classifier.bias, torch.zeros(1000))


def test_the_same_seed_builds_the_same_weights_and_another_seed_builds_others(
    small: Network,
) -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.detach().flatten() for p in build(small).parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_a_module_on_the_meta_device_has_the_names_and_shapes_of_one_on_the_cpu(
    small: Network,
) -> None:
    meta, real = build(small, device="meta"), build(small)
    assert all(p.is_meta for p in meta.parameters())
    assert all(p.device.type == "cpu" for p in real.parameters())
    assert OrderedDict((k, v.shape) for k, v in meta.state_dict().items()) == OrderedDict(
        (k, v.shape) for k, v in real.state_dict().items()
    )


# The channel shuffle


def shuffled_by_index(x: Tensor, groups: int) -> Tensor:
    """Channel i of the output is read off a g x k table of channels, column by column."""
    k = x.shape[1] // groups
    return x[:, [row * k + column for column in range(k) for row in range(groups)]]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 8),
    st.integers(1, 7),
    st.integers(1, 2),
    st.integers(1, 4),
    st.integers(1, 4),
    st.booleans(),
)
def test_the_channel_shuffle_is_the_permutation_of_channels_by_index_and_torchs_own(
    g: int, k: int, n: int, h: int, w: int, last: bool
) -> None:
    x = torch.arange(float(n * g * k * h * w)).view(n, g * k, h, w)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    out = ChannelShuffle(g)(x)
    assert torch.equal(out, shuffled_by_index(x, g))
    assert torch.equal(out, nn.ChannelShuffle(g)(x.contiguous()))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 8), st.integers(1, 8))
def test_a_shuffle_by_g_is_undone_by_a_shuffle_by_k(g: int, k: int) -> None:
    x = torch.randn(1, g * k, 2, 3)
    assert torch.equal(ChannelShuffle(k)(ChannelShuffle(g)(x)), x)


def test_a_shuffle_spreads_each_group_over_all_groups_behind_it() -> None:
    g, k = 3, 9
    groups = torch.arange(g).repeat_interleave(k).float().view(1, g * k, 1, 1)
    out = ChannelShuffle(g)(groups).flatten().tolist()
    for start, stop in pairwise(range(0, g * k + 1, k)):
        assert sorted(out[start:stop]) == [float(row) for row in range(g) for _ in range(k // g)]


# Names


@pytest.mark.parametrize(
    "layer",
    ["Train", "Eval", "Half", "Type", "Forward", "Modules", "Training", "Append", "Branches", "To"],
)
def test_a_layer_with_a_name_that_every_module_has_is_refused_with_its_path(layer: str) -> None:
    spec = own_spec(image(8, 8), Row(layer, "conv", kernel=3, channels=(4,)), *head(2))
    net = network(spec)
    with pytest.raises(BuildError, match=f"^own: {layer.lower()}: '{layer.lower()}' is a name"):
        build(net)


def test_a_taken_name_inside_a_unit_is_refused_with_its_whole_path() -> None:
    tree = Chain((("stage2", Chain((("unit1", Chain((("train", Act()),))),))),))
    with pytest.raises(BuildError, match=r"^stage2\.unit1\.train: 'train' is a name"):
        build(tree)


@pytest.mark.parametrize("join", ["add", "concat"])
def test_a_branch_with_the_name_of_its_join_is_refused_not_overwritten(join: str) -> None:
    tree = Branches(((join, Conv(4, 4)), ("other", Identity())), join)  # type: ignore[arg-type]
    with pytest.raises(BuildError, match=join):
        build(tree)


def test_two_layers_of_one_name_are_refused_not_merged() -> None:
    tree = Chain((("twice", Conv(3, 4)), ("twice", Act())))
    with pytest.raises(BuildError, match="twice"):
        build(tree)


@pytest.mark.parametrize("name", ["", "a.b"])
def test_a_name_that_no_module_can_have_is_refused(name: str) -> None:
    with pytest.raises(BuildError):
        build(Chain(((name, Act()),)))


# Reading a module


def test_the_repr_shows_where_the_groups_are(paper: nn.Module) -> None:
    text = repr(paper)
    lines = [line.strip() for line in text.splitlines()]
    assert "(shuffle): ChannelShuffle(groups=8)" in lines
    assert lines.count("(add): Add()") == 3 + 7 + 3
    assert lines.count("(concat): Concat()") == 3
    assert "(shortcut): AvgPool2d(kernel_size=3, stride=2, padding=1)" in lines
    compress = paper.stage2.unit2.residual.body.compress
    assert repr(compress) == (
        "Conv2d(384, 96, kernel_size=(1, 1), stride=(1, 1), groups=8, bias=False)"
    )


def test_one_group_builds_no_shuffle_and_several_build_one_in_each_unit() -> None:
    for groups, shuffles in ((1, 0), (3, 16)):
        module = build(network(load("shufflenet"), groups), device="meta")
        found = [m for m in module.modules() if isinstance(m, ChannelShuffle)]
        assert [m.groups for m in found] == [groups] * shuffles
