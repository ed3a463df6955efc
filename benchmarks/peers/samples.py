"""Small modules that show one price each, for ``run.py``: every one takes images of 6 x 8 x 8."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Does(nn.Module):
    """A module that does what a function of it and an image says."""

    def __init__(self, does: Callable[[Does, Tensor], Tensor], **children: nn.Module) -> None:
        super().__init__()
        self.does = does
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        """What it does to an image."""
        return self.does(self, x)


class Shared(nn.Module):
    """One convolution under two parents."""

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d(6, 6, 3, padding=1)
        self.first, self.second = nn.Sequential(conv), nn.Sequential(conv)

    def forward(self, x: Tensor) -> Tensor:
        """Both, one behind the other."""
        return self.second(self.first(x))


def _rows(x: Tensor) -> Tensor:
    """The image as a sequence of its places: (n, 64, 6)."""
    return x.flatten(2).transpose(1, 2)


def _attend(self: Does, x: Tensor) -> Tensor:
    rows = _rows(x)
    return self.get_submodule("heads")(rows, rows, rows, need_weights=False)[0]


#: Each sample's name, and what makes it.
SAMPLES: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(6, 4, 3, padding=1),
    "conv_no_bias": lambda: nn.Conv2d(6, 4, 3, stride=2, groups=2, bias=False),
    "conv_same": lambda: nn.Conv2d(6, 4, 3, padding="same"),
    "conv_function": lambda: Does(lambda _, x: functional.conv2d(x, torch.ones(4, 6, 3, 3))),
    "deconv": lambda: nn.ConvTranspose2d(6, 4, 2, stride=2),
    "deconv_groups": lambda: nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2),
    "linear_4d": lambda: nn.Linear(8, 5),
    "linear_no_bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(384, 5, bias=False)),
    "linear_function": lambda: Does(lambda _, x: functional.linear(x, torch.ones(5, 8))),
    "batch_norm": lambda: nn.BatchNorm2d(6),
    "batch_norm_plain": lambda: nn.BatchNorm2d(6, affine=False),
    "layer_norm": lambda: nn.LayerNorm(8),
    "layer_norm_plain": lambda: nn.LayerNorm(8, elementwise_affine=False),
    "group_norm": lambda: nn.GroupNorm(2, 6),
    "group_norm_plain": lambda: nn.GroupNorm(2, 6, affine=False),
    "instance_norm": lambda: nn.InstanceNorm2d(6, affine=True),
    "relu": nn.ReLU,
    "relu_function": lambda: Does(lambda _, x: functional.relu(x)),
    "relu6": nn.ReLU6,
    "relu6_function": lambda: Does(lambda _, x: functional.relu6(x)),
    "gelu": nn.GELU,
    "gelu_function": lambda: Does(lambda _, x: functional.gelu(x)),
    "silu": nn.SiLU,
    "silu_function": lambda: Does(lambda _, x: functional.silu(x)),
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "prelu": nn.PReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "max_pool": lambda: nn.MaxPool2d(3, 2, 1),
    "max_pool_function": lambda: Does(lambda _, x: functional.max_pool2d(x, 2)),
    "adaptive_max_pool": lambda: nn.AdaptiveMaxPool2d(4),
    "avg_pool": lambda: nn.AvgPool2d(2),
    "avg_pool_padded": lambda: nn.AvgPool2d(3, 2, 1),
    "avg_pool_unpadded": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "avg_pool_function": lambda: Does(lambda _, x: functional.avg_pool2d(x, 2)),
    "mean_pool": lambda: nn.AdaptiveAvgPool2d(1),
    "mean_pool_function": lambda: Does(lambda _, x: functional.adaptive_avg_pool2d(x, 1)),
    "adaptive": lambda: nn.AdaptiveAvgPool2d(4),
    "adaptive_uneven": lambda: nn.AdaptiveAvgPool2d(3),
    "adaptive_function": lambda: Does(lambda _, x: functional.adaptive_avg_pool2d(x, 4)),
    "mean": lambda: Does(lambda _, x: x.mean((2, 3))),
    "softmax": lambda: nn.Softmax(dim=-1),
    "softmax_channels": lambda: nn.Softmax(dim=1),
    "softmax_function": lambda: Does(lambda _, x: functional.softmax(x, -1)),
    "add": lambda: Does(lambda _, x: x + x),
    "torch_add": lambda: Does(lambda _, x: torch.add(x, x)),
    "mul": lambda: Does(lambda _, x: x * x),
    "torch_mul": lambda: Does(lambda _, x: torch.mul(x, x)),
    "cat": lambda: Does(lambda _, x: torch.cat((x, x), 1)),
    "at": lambda: Does(lambda _, x: x @ x),
    "matmul": lambda: Does(lambda _, x: torch.matmul(x, x)),
    "tensor_matmul": lambda: Does(lambda _, x: x.matmul(x)),
    "bmm": lambda: Does(lambda _, x: torch.bmm(x.flatten(0, 1), x.flatten(0, 1))),
    "einsum": lambda: Does(lambda _, x: torch.einsum("ncij,ncjk->ncik", x, x)),
    "attention": lambda: Does(lambda _, x: functional.scaled_dot_product_attention(x, x, x)),
    "heads": lambda: Does(_attend, heads=nn.MultiheadAttention(6, 2, batch_first=True)),
    "lstm": lambda: Does(lambda self, x: self.lstm(_rows(x))[0], lstm=nn.LSTM(6, 5)),
    "gru": lambda: Does(lambda self, x: self.gru(_rows(x))[0], gru=nn.GRU(6, 5, 2)),
    "upsample": lambda: nn.Upsample(scale_factor=2),
    "bilinear_upsample": lambda: nn.UpsamplingBilinear2d(scale_factor=2),
    "interpolate": lambda: Does(lambda _, x: functional.interpolate(x, (12, 12))),
    "bilinear": lambda: Does(lambda self, x: self.map(x, x), map=nn.Bilinear(8, 8, 3)),
    "shared": Shared,
}
