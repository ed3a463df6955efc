"""Hypothesis strategies that draw legal modules of torch's, small enough to be run as well.

A module is drawn with the shape of one sample that it takes, the batch left out: ``(features,)``,
``(tokens, features)``, or ``(channels, *sizes)``. What comes out of it is asked of torch itself, by
running it; every sample is worked on by itself, so that a batch costs what its samples do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeAlias

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

#: The sizes of one sample.
Sample: TypeAlias = tuple[int, ...]
#: Draws one layer for a sample.
Maker: TypeAlias = Callable[[st.DrawFn, Sample], nn.Module]

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_AVG_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
#: A drawn module makes no more than so many elements of a sample.
_MOST = 3000


class Function(nn.Module):
    """A function called between layers."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Learned(nn.Module):
    """A matrix of its own, handed to a function."""

    def __init__(self, features: int, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.zeros(features, features))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.matrix)


class First(nn.Module):
    """A module that gives several back, of which the first goes on."""

    def __init__(self, inner: nn.Module, times: int = 1) -> None:
        super().__init__()
        self.inner = inner
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(*(x,) * self.times)[0]


class Add(nn.Module):
    """A sum, which says of itself that it is one."""

    free_kind: ClassVar = "add"

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Concat(nn.Module):
    """Tensors one behind the other, which says so of itself."""

    free_kind: ClassVar = "concat"

    def forward(self, *branches: Tensor) -> Tensor:
        return torch.cat(branches, 1)


class Residual(nn.Module):
    """The input, added to what its body makes of it."""

    def __init__(self, body: nn.Module, join: nn.Module | None) -> None:
        super().__init__()
        self.body = body
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.join is None else self.join(x, y)


class Branches(nn.Module):
    """Branches that read one input, one behind the other."""

    def __init__(self, branches: list[nn.Module], join: nn.Module | None) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        ends = [branch(x) for branch in self.branches]
        return torch.cat(ends, 1) if self.join is None else self.join(*ends)


def after(module: nn.Module, sample: Sample) -> Sample:
    """What comes out of a module for such a sample."""
    training = module.training
    with torch.no_grad():
        found = module.eval()(torch.zeros(2, *sample)).shape[1:]
    module.train(training)
    return tuple(found)


def divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def conv(draw: st.DrawFn, sample: Sample) -> nn.Module:
    channels, *sizes = sample
    groups = draw(st.sampled_from(divisors(channels)))
    out = groups * draw(st.integers(1, 3))
    padding = draw(st.integers(0, 2))
    kernel = tuple(draw(st.integers(1, min(3, size + 2 * padding))) for size in sizes)
    reach = min((s + 2 * padding - 1) // max(1, k - 1) for s, k in zip(sizes, kernel, strict=True))
    return _CONVS[len(sizes) - 1](
        channels,
        out,
        kernel,
        stride=draw(st.integers(1, 3)),
        padding=padding,
        dilation=draw(st.integers(1, max(1, min(2, reach)))),
        groups=groups,
        bias=draw(st.booleans()),
    )


def padded_conv(draw: st.DrawFn, sample: Sample) -> nn.Module:
    channels, *sizes = sample
    made = _CONVS[len(sizes) - 1]
    if draw(st.booleans()):
        # torch warns of an even one, which it pads to one side
        return made(channels, 2, draw(st.sampled_from((1, 3))), padding="same")
    mode = draw(st.sampled_from(("circular", "replicate")))
    return made(channels, 2, 3, padding=1, padding_mode=mode)


def transposed(draw: st.DrawFn, sample: Sample) -> nn.Module:
    channels, *sizes = sample
    groups = draw(st.sampled_from(divisors(channels)))
    stride, dilation = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return _TRANSPOSED[len(sizes) - 1](
        channels,
        groups * draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
        stride=stride,
        output_padding=draw(st.integers(0, max(stride, dilation) - 1)),
        groups=groups,
        bias=draw(st.booleans()),
        dilation=dilation,
    )


def linear(draw: st.DrawFn, sample: Sample) -> nn.Module:
    return nn.Linear(sample[-1], draw(st.integers(1, 5)), bias=draw(st.booleans()))


def batch_norm(draw: st.DrawFn, sample: Sample) -> nn.Module:
    return _NORMS[len(sample) - 1](sample[0], affine=draw(st.booleans()))


def other_norm(draw: st.DrawFn, sample: Sample) -> nn.Module:
    last = sample[-draw(st.integers(1, len(sample))) :]
    affine = draw(st.booleans())
    made = [
        nn.LayerNorm(last, elementwise_affine=affine),
        nn.RMSNorm(last, elementwise_affine=affine),
        nn.GroupNorm(draw(st.sampled_from(divisors(sample[0]))), sample[0], affine=affine),
    ]
    if torch.Size(sample[1:]).numel() > 1:
        made.append(_INSTANCE_NORMS[len(sample) - 2](sample[0], affine=affine))
    return draw(st.sampled_from(made))


def activation(draw: st.DrawFn, sample: Sample) -> nn.Module:
    plain = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh, nn.ELU)
    more = (nn.PReLU, nn.LeakyReLU, nn.Hardtanh, nn.Softplus, nn.Mish, nn.Hardsigmoid)
    return draw(st.sampled_from((*plain, *more)))()


def pool(draw: st.DrawFn, sample: Sample) -> nn.Module:
    axes = len(sample) - 1
    kernel = draw(st.integers(1, min(3, *sample[1:])))
    padding, ceil = draw(st.integers(0, kernel // 2)), draw(st.booleans())
    stride = draw(st.integers(1, 3))
    made = draw(st.sampled_from((_MAX_POOLS, _AVG_POOLS)))[axes - 1]
    return made(kernel, stride, padding=padding, ceil_mode=ceil)


def adaptive(draw: st.DrawFn, sample: Sample) -> nn.Module:
    return _ADAPTIVE[len(sample) - 2](draw(st.integers(1, 3)))


def renaming(draw: st.DrawFn, sample: Sample) -> nn.Module:
    return draw(st.sampled_from((nn.Identity, nn.Dropout, nn.Flatten)))()


def function(draw: st.DrawFn, sample: Sample) -> nn.Module:
    plain = [
        *(F.relu, torch.exp, torch.neg, F.gelu, lambda x: x * 2, lambda x: 1 - x),
        *(lambda x: x.softmax(-1), lambda x: x.mean(-1, keepdim=True), lambda x: x.flatten(1)),
        *(lambda x: torch.cat([x, x], 1), lambda x: x.clamp(0, 1), lambda x: x.add(1).relu_()),
        *(lambda x: x.flip(1), lambda x: F.pad(x, (1, 0)), lambda x: x.cumsum(1)),
        *(lambda x: x[:, :1], lambda x: torch.where(x > 0, x, 0.0), lambda x: x / x.norm()),
        lambda x: sum(part for part in x.split(1, 1)),
    ]
    if len(sample) > 1:
        plain += [
            *(lambda x: x.transpose(1, 2), lambda x: x @ x.transpose(-1, -2)),
            *(lambda x: F.scaled_dot_product_attention(x, x, x), lambda x: x.amax(2)),
            lambda x: torch.einsum("b...ij,b...kj->b...ik", x, x),
            *(lambda x: F.interpolate(x, scale_factor=2), lambda x: x.transpose(1, 2).flatten(1)),
            *(lambda x: x.roll(1, 1), lambda x: torch.stack([x, x], 1).sum(2)),
        ]
    if len(sample) > 2:
        plain += [lambda x: x.mean((2, 3)), lambda x: x.permute(0, 2, 3, 1, *range(4, x.dim()))]
    return Function(draw(st.sampled_from(plain)))


def learned(draw: st.DrawFn, sample: Sample) -> nn.Module:
    uses = (
        lambda x, w: x @ w,
        lambda x, w: torch.matmul(x, w.t()),
        F.linear,
        lambda x, w: torch.einsum("...i,ij->...j", x, w),
        lambda x, w: x * w[0],
    )
    return Learned(sample[-1], draw(st.sampled_from(uses)))


def sequence(draw: st.DrawFn, sample: Sample) -> nn.Module:
    features = sample[-1]
    heads = draw(st.sampled_from(divisors(features)))
    both = draw(st.booleans())
    made = (
        lambda: First(nn.MultiheadAttention(features, heads, batch_first=True), 3),
        lambda: nn.TransformerEncoderLayer(features, heads, 7, batch_first=True, norm_first=both),
        lambda: First(nn.LSTM(features, 3, 2, batch_first=True, bidirectional=both)),
        lambda: First(nn.GRU(features, 4, batch_first=True, bidirectional=both)),
    )
    return draw(st.sampled_from(made))()


def global_pool(draw: st.DrawFn, sample: Sample) -> nn.Module:
    return nn.AdaptiveAvgPool2d(1)


def relu(draw: st.DrawFn, sample: Sample) -> nn.Module:
    return nn.ReLU()


def makers(sample: Sample, plain: bool) -> list[Maker]:
    """What can be put behind such a sample; ``plain`` are the layers that the hooks know."""
    found: list[Maker] = [linear, batch_norm, renaming]
    found += [relu] if plain else [activation, other_norm, function, function, learned]
    if len(sample) == 2 and not plain:
        found += [sequence, sequence]
    if 2 <= len(sample) <= 4:
        found += [conv, conv, transposed, pool]
        found += [] if plain else [padded_conv, adaptive]
    if len(sample) == 3 and plain:
        found.append(global_pool)
    return found


def leaf(draw: st.DrawFn, sample: Sample, plain: bool) -> nn.Module:
    return draw(st.sampled_from(makers(sample, plain)))(draw, sample)


def _joined(ends: list[nn.Module], sample: Sample, plain: bool) -> nn.Module:
    """The branches one behind the other, made flat where they do not fit otherwise."""
    shapes = [after(end, sample) for end in ends]
    if any(len(s) != len(shapes[0]) or s[1:] != shapes[0][1:] for s in shapes):
        flat = {id(end): nn.Sequential(end, nn.Flatten()) for end in ends}
        ends = [flat[id(end)] for end in ends]
    return Branches(ends, Concat() if plain else None)


@st.composite
def bodies(
    draw: st.DrawFn, sample: Sample, *, depth: int, plain: bool, shared: bool = True
) -> nn.Module:
    """A module for such a sample: a layer, a chain, a residual or branches."""
    kinds = ["leaf", "chain", "residual", "branches", "shared", "twice"][: 6 if shared else 4]
    kind = draw(st.sampled_from(kinds)) if depth else "leaf"
    inner = bodies(sample, depth=depth - 1, plain=plain, shared=shared)
    if kind == "leaf":
        return leaf(draw, sample, plain)
    if kind == "branches":
        return _joined([draw(inner) for _ in range(draw(st.integers(2, 3)))], sample, plain)
    if kind == "shared":
        return _joined([draw(inner)] * 2, sample, plain)
    if kind in ("residual", "twice"):
        body = draw(inner)
        fits = after(body, sample) == sample
        if kind == "twice":
            return nn.Sequential(body, nn.Identity(), body) if fits else body
        join = Add() if plain else None
        return Residual(body, join) if fits else _joined([nn.Identity(), body], sample, plain)
    chain: list[nn.Module] = []
    for _ in range(draw(st.integers(0, 4))):
        layer = draw(bodies(sample, depth=depth - 1, plain=plain, shared=shared))
        out = after(layer, sample)
        if not 0 < torch.Size(out).numel() <= _MOST or not 1 <= len(out) <= 4:
            break
        chain.append(layer)
        sample = out
    return nn.Sequential(*chain)


_SAMPLES = st.one_of(
    st.tuples(st.integers(1, 6)),
    st.tuples(st.integers(1, 5), st.integers(2, 6)),
    st.tuples(st.integers(1, 6), st.integers(2, 7), st.integers(2, 7)),
    st.tuples(st.integers(1, 4), *(st.integers(2, 4),) * 3),
)


@st.composite
def modules(
    draw: st.DrawFn, *, depth: int = 3, plain: bool = False, shared: bool = True
) -> tuple[nn.Module, Sample]:
    """A module in evaluation mode and the sample it takes.

    ``plain`` draws only layers that the hooks know; without ``shared`` no module is called twice.
    """
    sample = draw(_SAMPLES)
    first = leaf(draw, sample, plain)
    rest = draw(bodies(after(first, sample), depth=depth, plain=plain, shared=shared))
    return nn.Sequential(first, rest).eval(), sample
