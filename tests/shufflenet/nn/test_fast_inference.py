"""The quick way of a built network: the same numbers as the plain way, and no one sees it."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.mkldnn import to_mkldnn

from flopcount.counters import trace
from flopcount.layers import Act, Branches, Chain, Conv, Identity, Layer, Norm, Pool, leaves
from shufflenet.arch.network import Network, network
from shufflenet.arch.spec_reader import load
from shufflenet.nn.builder import build
from shufflenet.nn.confirm import confirm, torch_flops
from shufflenet.nn.fast_inference import alone
from shufflenet.nn.modules import Add, Built, ChannelShuffle, Parallel
from tests.shufflenet.nn.live import image, lively, off, plain, quick, smaller
from tests.strategies import COLUMNS, networks

#: What rounding may change, as a share of the largest output: products are summed in other orders.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}


@pytest.fixture(scope="module")
def grouped() -> nn.Module:
    """A small ShuffleNet, with all that the quick way does otherwise."""
    torch.manual_seed(0)
    return lively(build(network(load("shufflenet"), 3, scale="0.25", size=(64, 64))))


def leaf_modules(module: nn.Module) -> dict[str, nn.Module]:
    return {path: m for path, m in module.named_modules() if not list(m.children())}


# The same numbers


@pytest.mark.parametrize(("name", "groups"), COLUMNS)
def test_every_bundled_network_gives_in_inference_what_the_plain_way_gives(
    name: str, groups: int
) -> None:
    net = smaller(name, groups)
    torch.manual_seed(0)
    module, x = lively(build(net)), image(tuple(net.input))
    assert off(quick(module, x), plain(module, x)) <= TOLERANCE[torch.float32]


@settings(deadline=None, max_examples=30)
@given(networks(), st.integers(1, 3), st.booleans(), st.sampled_from(sorted(TOLERANCE, key=str)))
def test_every_legal_network_gives_in_inference_what_the_plain_way_gives(
    net: Network, n: int, last: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    module = lively(build(net)).to(dtype)
    x = image((n, *net.input[1:]), dtype=dtype)
    if last:
        module = module.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    assert off(quick(module, x), plain(module, x)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_image_that_is_given_is_not_written_on(mode: type, grouped: nn.Module) -> None:
    x = image((1, 3, 64, 64))
    before = x.clone()
    with mode():
        grouped(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "tree",
    [
        Chain((("act", Act()),)),
        Chain((("same", Identity()), ("act", Act("hardswish")))),
        Chain((("both", Branches((("one", Act()), ("other", Identity())), "add")),)),
        Chain((("pool", Pool("max", 1, 1)), ("act", Act("silu")))),
    ],
)
def test_a_network_that_starts_without_new_memory_leaves_its_image_as_it_was(tree: Layer) -> None:
    x = image((1, 8, 5, 5))
    before = x.clone()
    module = build(tree).eval()
    out = quick(module, x)
    assert torch.equal(x, before)
    assert torch.equal(out, plain(module, x))


@pytest.mark.parametrize("join", ["add", "concat", "mul"])
def test_what_several_branches_read_is_not_written_on_by_the_first(join: str) -> None:
    inner = Branches((("act", Act()), ("same", Identity())), join)  # type: ignore[arg-type]
    module = build(Chain((("conv", Conv(3, 8)), ("both", inner), ("act", Act("sigmoid"))))).eval()
    x = image((1, 3, 4, 6))
    assert torch.equal(quick(module, x), plain(module, x))


@pytest.mark.parametrize(
    "function", ["relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid"]
)
def test_every_nonlinearity_gives_the_same_where_it_writes_on_its_input(function: str) -> None:
    act = Act(function)  # type: ignore[arg-type]
    module = build(Chain((("conv", Conv(3, 8)), ("norm", Norm(8)), ("act", act)))).eval()
    x = image((2, 3, 4, 6))
    assert torch.equal(quick(module, x), plain(module, x))


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(("max", "avg")),
    st.integers(1, 20),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
    st.tuples(st.integers(4, 12), st.integers(4, 12)),
)
def test_pools_give_the_same_bits_by_either_way(
    mode: str, c: int, kernel: int, stride: int, ceil: bool, size: tuple[int, int]
) -> None:
    pool = Pool(mode, kernel, stride, kernel // 2, ceil)  # type: ignore[arg-type]
    module = build(Chain((("pool", pool),))).eval()
    x = image((2, c, *size))
    out = quick(module, x)
    torch.testing.assert_close(out, plain(module, x), rtol=1e-6, atol=1e-6)
    assert out.is_contiguous()


# The channel shuffle


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 8),
    st.integers(1, 6),
    st.integers(0, 2),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from(("first", "last", "cut", "turned")),
)
def test_a_shuffle_is_a_view_transposed_whatever_the_memory_it_is_given(
    g: int, k: int, n: int, size: tuple[int, int], memory: str
) -> None:
    c, (h, w) = g * k, size
    x = image((n, c, h, w))
    if memory == "last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif memory == "turned":
        x = image((n, c, w, h)).transpose(2, 3)
    elif memory == "cut":
        x = image((n, c + 3, h, w))[:, 2:-1]
    index = torch.arange(c).view(g, k).t().flatten()
    shuffle = ChannelShuffle(g)
    own = x.contiguous() if memory in ("cut", "turned") else x
    assert torch.equal(shuffle(own), own[:, index])
    out, held = shuffle.quickly(x if memory in ("first", "last") else own, False)
    assert torch.equal(out, x[:, index])
    assert not held


@pytest.mark.parametrize("way", [plain, quick])
def test_channels_last_memory_stays_channels_last_through_a_shuffle(way: object) -> None:
    x = image((2, 12, 5, 7)).contiguous(memory_format=torch.channels_last)
    module = build(Chain((("conv", Conv(12, 12, groups=3)), ("norm", Norm(12)), ("act", Act()))))
    module.append(ChannelShuffle(3))
    module = lively(module).to(memory_format=torch.channels_last)
    out = way(module, x)  # type: ignore[operator]
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert not out.is_contiguous()


@pytest.mark.parametrize("way", [plain, quick])
@pytest.mark.parametrize("shape", [(4, 6, 5), (6, 5), (1, 6, 4, 5, 2)])
def test_a_shuffle_of_another_number_of_axes_is_refused_by_either_way(
    shape: tuple[int, ...], way: object
) -> None:
    with pytest.raises(ValueError, match="values to unpack"):
        way(Built(ChannelShuffle(3)).eval(), image(shape))  # type: ignore[operator]


# Who looks on


def test_a_hook_sees_each_leaf_once_and_what_it_keeps_is_not_written_on(
    grouped: nn.Module,
) -> None:
    kept: list[tuple[str, Tensor, Tensor, Tensor, Tensor]] = []
    handles = []
    for path, leaf in leaf_modules(grouped).items():

        def keep(module: nn.Module, args: tuple[Tensor], out: Tensor, path: str = path) -> None:
            kept.append((path, args[0], args[0].clone(), out, out.clone()))

        handles.append(leaf.register_forward_hook(keep))
    try:
        out = quick(grouped, image((1, 3, 64, 64)))
    finally:
        for handle in handles:
            handle.remove()
    assert sorted(path for path, *_ in kept) == sorted(leaf_modules(grouped))
    for path, given_, copied, result, result_copied in kept:
        assert torch.equal(given_, copied), path
        assert torch.equal(result, result_copied), path
    assert torch.equal(out, plain(grouped, image((1, 3, 64, 64))))


@pytest.mark.parametrize("hooked", ["conv_norm", "conv_relu", "conv"])
def test_what_a_hook_on_one_leaf_keeps_is_not_written_on_by_the_next(hooked: str) -> None:
    layers = (("conv", Conv(3, 8)), ("conv_norm", Norm(8)), ("conv_relu", Act()))
    module = lively(build(Chain(layers)))
    kept: list[tuple[Tensor, Tensor]] = []

    def keep(leaf: nn.Module, args: object, out: Tensor) -> None:
        kept.append((out, out.clone()))

    module.get_submodule(hooked).register_forward_hook(keep)
    quick(module, image((1, 3, 6, 6)))
    ((out, before),) = kept
    assert torch.equal(out, before)


def test_a_hook_on_all_modules_sees_every_leaf(grouped: nn.Module) -> None:
    seen: list[nn.Module] = []
    handle = nn.modules.module.register_module_forward_hook(lambda m, args, out: seen.append(m))
    try:
        quick(grouped, image((1, 3, 64, 64)))
    finally:
        handle.remove()
    assert set(leaf_modules(grouped).values()) <= set(seen)


def test_a_forward_method_put_on_a_leaf_is_called() -> None:
    module = build(Chain((("conv", Conv(4, 4, groups=2)), ("relu", Act())))).eval()
    module.conv.forward = lambda x: x - 1
    x = image((1, 4, 3, 3))
    assert torch.equal(quick(module, x), (x - 1).relu())


@pytest.mark.parametrize("method", ["forward", "__call__"])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ReLU, nn.AvgPool2d, ChannelShuffle, Parallel, Add])
def test_a_method_put_on_a_class_is_called(
    kind: type[nn.Module], method: str, grouped: nn.Module
) -> None:
    seen: list[nn.Module] = []
    own = getattr(kind, method)

    def watch(module: nn.Module, *args: Tensor) -> Tensor:
        seen.append(module)
        out: Tensor = own(module, *args)
        return out

    x = image((1, 3, 64, 64))
    with mock.patch.object(kind, method, watch):
        quick(grouped, x)
    assert {id(m) for m in seen} == {id(m) for m in grouped.modules() if type(m) is kind}
    seen.clear()
    quick(grouped, x)
    assert not seen


def test_a_call_put_on_all_modules_sees_every_leaf(grouped: nn.Module) -> None:
    seen: list[nn.Module] = []
    own = nn.Module.__call__

    def watch(module: nn.Module, *args: Tensor) -> Tensor:
        seen.append(module)
        out: Tensor = own(module, *args)
        return out

    with mock.patch.object(nn.Module, "__call__", watch):
        quick(grouped, image((1, 3, 64, 64)))
    assert set(leaf_modules(grouped).values()) <= set(seen)


def test_a_layer_replaced_by_one_of_another_class_is_called_and_keeps_what_it_keeps() -> None:
    class Keeping(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            self.kept = super().forward(x)
            return self.kept

    module = build(Chain((("conv", Conv(4, 4)), ("relu", Act())))).eval()
    module.conv = Keeping(4, 4, 1)
    quick(module, image((1, 4, 3, 3)))
    assert (module.conv.kept < 0).any()


def test_a_norm_left_in_training_goes_on_following_its_batches() -> None:
    module = lively(build(Chain((("conv", Conv(4, 4)), ("norm", Norm(4)), ("relu", Act())))))
    module.norm.train()
    other = copy.deepcopy(module)
    x = image((2, 4, 3, 3))
    assert torch.equal(quick(module, x), plain(other, x))
    assert torch.equal(module.norm.running_mean, other.norm.running_mean)


def test_torchs_counter_sees_every_leaf_of_a_network_that_infers_on_the_cpu(
    small: Network,
) -> None:
    flops = torch_flops(build(small, device="cpu"), tuple(small.input))
    for entry in small.tally(memory=False).entries:
        assert flops.get(entry.path, 0) == 2 * entry.macs, entry.path


@pytest.mark.parametrize("execution", ["meta", "real"])
def test_the_count_in_inference_is_that_of_the_plain_way(execution: str, small: Network) -> None:
    module = build(small).eval()
    x = image(tuple(small.input))
    with torch.inference_mode():
        seen = trace.count(module, x, execution=execution)  # type: ignore[arg-type]
    sequence = nn.Sequential(OrderedDict(module.named_children())).eval()
    assert seen.entries == trace.count(sequence, x, execution=execution).entries  # type: ignore[arg-type]
    assert confirm(small).agreed


def test_a_traced_graph_has_the_plain_layers(grouped: nn.Module) -> None:
    with torch.no_grad():
        graph = torch.jit.trace(grouped, image((1, 3, 64, 64))).inlined_graph
    ops = [node.kind() for node in graph.nodes()]
    convs = [m for m in grouped.modules() if isinstance(m, nn.Conv2d)]
    assert ops.count("aten::_convolution") == len(convs)
    assert not {"aten::bmm", "aten::relu_", "aten::add_"} & set(ops)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning", "ignore::DeprecationWarning")
def test_a_chain_is_scripted_and_gives_the_plain_output() -> None:
    *layers, _, _ = lively(build(network(load("mobilenet_v1"), size=(64, 64)))).children()
    module = Built(*layers, ChannelShuffle(4), nn.ReLU()).eval()
    x = image((1, 3, 64, 64))
    scripted = torch.jit.script(module)
    assert off(quick(scripted, x), plain(module, x)) <= TOLERANCE[torch.float32]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning", "ignore::DeprecationWarning")
def test_a_network_with_branches_is_not_scripted(grouped: nn.Module) -> None:
    with pytest.raises(Exception, match="variable number of arguments"):
        torch.jit.script(grouped)


def test_a_symbolic_trace_has_the_plain_layers(grouped: nn.Module) -> None:
    x = image((1, 3, 64, 64))
    with torch.inference_mode():
        followed = torch.fx.symbolic_trace(grouped)
    called = {str(node.target) for node in followed.graph.nodes if node.op == "call_module"}
    torchs = {p for p, m in leaf_modules(grouped).items() if type(m).__module__[:5] == "torch"}
    assert torchs <= called
    assert torch.equal(plain(followed, x), plain(grouped, x))


def test_weights_batched_by_a_transform_give_the_plain_output(grouped: nn.Module) -> None:
    params = {name: torch.stack([p, p / 2]) for name, p in grouped.named_parameters()}
    buffers = dict(grouped.named_buffers())
    x = image((1, 3, 64, 64))

    def run(weights: dict[str, Tensor]) -> Tensor:
        out: Tensor = torch.func.functional_call(grouped, (weights, buffers), (x,))
        return out

    with torch.no_grad():
        both = torch.func.vmap(run)({k: v.detach() for k, v in params.items()})
        one = run({k: v[1].detach() for k, v in params.items()})
    assert off(both[1], one) <= 1e-5


@pytest.fixture
def modes() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.usefixtures("modes")
def test_nobody_is_alone_who_is_watched_or_learns() -> None:
    x = torch.zeros(1)
    assert alone(x)
    assert not alone(x.to("meta"))
    assert not alone(x.to_sparse())
    assert not alone(nn.Parameter(x))
    with torch.enable_grad():
        assert not alone(x)
    with torch.device("cpu"):
        assert not alone(x)
    with torch.utils.flop_counter.FlopCounterMode(display=False):
        assert not alone(x)


def test_what_another_thread_does_keeps_nobody_from_being_alone(
    monkeypatch: pytest.MonkeyPatch, modes: None
) -> None:
    # as two threads leave it that enter and leave their modes in turn
    monkeypatch.setattr(torch.utils._python_dispatch, "_is_in_torch_dispatch_mode", True)
    assert alone(torch.zeros(1))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning", "ignore::DeprecationWarning")
def test_a_network_converted_to_the_memory_of_onednn_gives_the_plain_output() -> None:
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2)
    module, x = Built(*layers).eval(), image((1, 3, 12, 12))
    wanted = plain(module, x)
    converted = to_mkldnn(module)
    with torch.no_grad():
        out = converted(x.to_mkldnn()).to_dense()
    assert off(out, wanted) <= 1e-5


# Training


def test_training_gives_the_gradients_and_statistics_of_a_plain_sequence(small: Network) -> None:
    torch.manual_seed(3)
    module = build(small).train()
    other = nn.Sequential(OrderedDict(copy.deepcopy(module).named_children())).train()
    x, labels = image((8, 3, 32, 32)), torch.arange(8)
    for one in (module, other):
        nn.functional.cross_entropy(one(x), labels).backward()
    assert list(module.state_dict()) == list(other.state_dict())
    for (name, a), b in zip(module.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for (name, p), q in zip(module.named_parameters(), other.parameters(), strict=True):
        assert p.grad is not None, name
        assert torch.equal(p.grad, q.grad), name


def test_a_backward_hook_on_every_layer_still_works(small: Network) -> None:
    module = build(small).train()
    seen: list[nn.Module] = []
    for leaf in leaf_modules(module).values():
        leaf.register_full_backward_hook(lambda m, into, out: seen.append(m))
    module(image((4, 3, 32, 32)).requires_grad_()).sum().backward()
    assert {type(m) for m in seen} >= {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Linear}


def test_the_layers_are_of_torchs_own_classes_wherever_torch_has_one(small: Network) -> None:
    module = build(small)
    ours = {path for path, m in leaf_modules(module).items() if type(m).__module__[:5] != "torch"}
    names = {type(m).__name__ for path, m in leaf_modules(module).items() if path in ours}
    assert names == {"Add", "Concat", "ChannelShuffle"}
    assert len(list(leaves(small.tree))) + len(ours) >= len(leaf_modules(module))
