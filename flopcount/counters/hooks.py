"""Count a PyTorch module by forward hooks: an independent check of the formulas.

It shares no arithmetic with them. Every figure comes from live tensors: a convolution's
multiply-adds are the elements of its output times the taps behind each one, read off its weight.
It runs on a copy, by default on the meta device, so that no weight is copied, no kernel runs, and
the module that was handed in is never touched.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from flopcount.entries import Entry, Shape
from flopcount.tally import Tally, UncountedError

#: A module's multiply-adds [MAC], from itself, its first input and its output.
ModuleRule: TypeAlias = Callable[[Any, Tensor, Tensor], int]


def _product(module: Any, x: Tensor, out: Tensor) -> int:
    # every output element sums over one filter or row: weight (d, c/g, *kernel) or (d, c)
    return out.numel() * int(module.weight[0].numel())


def _transposed(module: Any, x: Tensor, out: Tensor) -> int:
    # every input element is spread by one filter: weight (c, d/g, *kernel)
    return x.numel() * int(module.weight[0].numel())


#: Modules that multiply and add, with their kind.
PRICED_MODULES: Mapping[type[nn.Module], tuple[str, ModuleRule]] = MappingProxyType(
    {
        nn.Conv1d: ("conv", _product),
        nn.Conv2d: ("conv", _product),
        nn.Conv3d: ("conv", _product),
        nn.ConvTranspose1d: ("conv", _transposed),
        nn.ConvTranspose2d: ("conv", _transposed),
        nn.ConvTranspose3d: ("conv", _transposed),
        nn.Linear: ("linear", _product),
    }
)

#: Modules that are free on purpose, with their kind: no product of theirs is summed.
FREE_MODULES: Mapping[type[nn.Module], str] = MappingProxyType(
    {
        nn.BatchNorm1d: "batch_norm",
        nn.BatchNorm2d: "batch_norm",
        nn.BatchNorm3d: "batch_norm",
        nn.LocalResponseNorm: "norm",
        nn.ReLU: "relu",
        nn.ReLU6: "relu6",
        nn.Hardswish: "activation",
        nn.Hardsigmoid: "activation",
        nn.SiLU: "activation",
        nn.Sigmoid: "activation",
        nn.MaxPool1d: "max_pool",
        nn.MaxPool2d: "max_pool",
        nn.MaxPool3d: "max_pool",
        nn.AvgPool1d: "avg_pool",
        nn.AvgPool2d: "avg_pool",
        nn.AvgPool3d: "avg_pool",
        nn.AdaptiveAvgPool2d: "adaptive_avg_pool",
        nn.ChannelShuffle: "channel_shuffle",
        nn.Flatten: "flatten",
        nn.Identity: "identity",
        nn.Dropout: "dropout",
        nn.Dropout2d: "dropout",
    }
)


def count(
    module: nn.Module,
    *inputs: Tensor,
    shape: tuple[int, ...] | None = None,
    free: Mapping[type[nn.Module], str] = MappingProxyType({}),
    device: str | torch.device | None = "meta",
    strict: bool = False,
) -> Tally:
    """The tally of one inference pass, leaf by leaf, by forward hooks.

    The input is given as tensors or by its ``shape`` ``(n, c, h, w)``. ``free`` names further
    modules that multiply nothing, with their kind; a class of one's own says so itself by an
    attribute ``free_kind = "add"``. ``device=None`` runs on the module's own
    device. A parameter counts once, under the first module that uses it; one that no call
    reached is an entry of kind ``uncalled``. Functions called between modules are not seen.
    Raises UncountedError under ``strict`` where a module ran that has no rule, and TypeError
    where there is no input, or two.
    """
    if (shape is None) == (not inputs):
        raise TypeError("count takes either input tensors or a shape")
    records = _HookRecords({**FREE_MODULES, **free})
    copied = _copied(module, device).eval()
    floats = (x for x in (*copied.parameters(), *inputs) if x.is_floating_point())
    like = next(floats, torch.empty(0))
    if shape is not None:
        where = device if device is not None else like.device
        inputs = (torch.empty(shape, dtype=like.dtype, device=where),)
    # A copy, since a layer may work in place.
    inputs = tuple(x.detach().to(device or x.device, copy=True) for x in inputs)
    for path, child in copied.named_modules():
        child.register_forward_hook(records.hook(path), with_kwargs=True)
    with torch.no_grad():
        copied(*inputs)
    tally = Tally(
        (*records.entries, *records.uncalled(copied)),
        like.element_size(),
        uncounted=dict(records.uncounted),
        batch=next((x.shape[0] for x in inputs if x.dim()), 1),
    )
    if strict and tally.uncounted:
        raise UncountedError(f"no rule for {', '.join(tally.uncounted)}")
    return tally


class _HookRecords:
    """What the hooks of one pass write down."""

    def __init__(self, free: Mapping[type[nn.Module], str]) -> None:
        self.free = free
        self.entries: list[Entry] = []
        self.uncounted: Counter[str] = Counter()
        self._seen: set[int] = set()

    def hook(self, path: str) -> Callable[[nn.Module, Any, Any, Any], None]:
        def write(module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            kind, rule = self._rule(module)
            operator = ""
            if kind is None:
                if not self._unknown(module):
                    return
                kind, operator = "uncounted", f"{path} ({type(module).__name__})"
                self.uncounted[operator] += 1
            if kind == "adaptive_avg_pool" and out.shape[2:].numel() == 1:
                kind = "global_avg_pool"
            tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
            outs = [x for x in (out if isinstance(out, tuple) else (out,)) if isinstance(x, Tensor)]
            macs = 0 if rule is None else rule(module, tensors[0], outs[0])
            weight, bias = self._params(module)
            ends = (_shapes(tensors), _shapes(outs))
            self.entries.append(Entry(path, kind, *ends, macs, weight, bias, operator))

        return write

    def _rule(self, module: nn.Module) -> tuple[str | None, ModuleRule | None]:
        declared = getattr(type(module), "free_kind", None)
        if isinstance(declared, str):
            return declared, None
        for base in type(module).__mro__:
            if base in PRICED_MODULES:
                return PRICED_MODULES[base]
            if base in self.free:
                return self.free[base], None
        return None, None

    def _unknown(self, module: nn.Module) -> bool:
        # A container is its children, unless it holds parameters that only its own code can use.
        childless = next(module.children(), None) is None
        empty = isinstance(module, nn.Sequential)
        return (childless and not empty) or next(module.parameters(False), None) is not None

    def _params(self, module: nn.Module) -> tuple[int, int]:
        weight = bias = 0
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in self._seen:
                continue
            self._seen.add(id(parameter))
            if name == "bias":
                bias += parameter.numel()
            else:
                weight += parameter.numel()
        return weight, bias

    def uncalled(self, module: nn.Module) -> Iterator[Entry]:
        for path, child in module.named_modules():
            weight, bias = self._params(child)
            if weight or bias:
                yield Entry(path, "uncalled", (), (), 0, weight, bias)


def _shapes(tensors: list[Tensor]) -> tuple[Shape, ...]:
    return tuple(Shape(*tensor.shape) for tensor in tensors)


def _copied(module: nn.Module, device: str | torch.device | None) -> nn.Module:
    """A copy to hang hooks on, which shares nothing. On the meta device no weight is copied."""
    memo: dict[int, Any] = {}
    if device is not None:
        for parameter in module.parameters():
            moved = parameter.detach().to(device, copy=True)
            memo[id(parameter)] = nn.Parameter(moved, parameter.requires_grad)
        for buffer in module.buffers():
            memo[id(buffer)] = buffer.detach().to(device, copy=True)
    return copy.deepcopy(module, memo)
