"""How a built network computes where nobody watches: the same leaves, by quicker ways.

On the CPU, in inference, torch's plain way through a network takes longer than it must: a 1x1
convolution in groups is done group by group, poolings are slow in channels-first memory, and every
nonlinearity and every sum fills new memory. Here each kind of layer is done by the quickest of
torch's own ways, to the same numbers. Whoever hooks a layer, traces, exports, compiles, counts or
trains gets the plain way, layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import _has_any_global_hook
from torch.overrides import has_torch_function_unary

#: A tensor, and whether nobody else holds it, so that it may be written on.
OwnedTensor: TypeAlias = tuple[Tensor, bool]
#: A layer done quickly: the module, its input, and whether nobody else holds that.
FastLayer: TypeAlias = Callable[[Any, Tensor, bool], OwnedTensor]
#: Classes, each with its methods __call__ and forward.
Methods: TypeAlias = tuple[tuple[type[nn.Module], Callable[..., Any], Callable[..., Any]], ...]


def alone(x: Tensor) -> bool:
    """Whether a module that is given ``x`` infers on the CPU, and no tool looks on."""
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and type(x) is Tensor
        and not has_torch_function_unary(x)
        and x.device.type == "cpu"
        and x.layout is torch.strided
        and not torch._C._is_tracing()
        and not _has_any_global_hook()  # type: ignore[no-untyped-call]
        # of this thread alone: the flag that torch keeps in Python is shared by all, and modes that
        # two threads enter at once leave it set
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._are_functorch_transforms_active()
    )


def unwatched(module: nn.Module) -> bool:
    """Whether a call of a module comes to the forward method of its class and nothing else."""
    own = module.__dict__
    return not (
        own["_forward_hooks"]
        or own["_forward_pre_hooks"]
        or "forward" in own
        or own.get("_compiled_call_impl") is not None
    )


def methods(kinds: Iterable[type[nn.Module]]) -> Methods:
    """By what each of the classes is called now, and its forward method."""
    return tuple((kind, kind.__call__, kind.forward) for kind in kinds)


def as_found(kept: Methods) -> bool:
    """Whether nobody has put other methods on the classes since ``methods`` kept theirs."""
    return all(kind.forward is forward and kind.__call__ is call for kind, call, forward in kept)


def step(module: nn.Module, x: Tensor, own: bool) -> OwnedTensor:
    """One layer, quickly if it is of exactly a known class, and else by calling it.

    A class of one's own says by a method ``quickly(self, x, own)`` how it is done.
    """
    kind = type(module)
    known = STEPS.get(kind) or kind.__dict__.get("quickly")
    if known is None or not unwatched(module):
        return module(x), False
    held: OwnedTensor = known(module, x, own)
    return held


def in_order(module: nn.Module, x: Tensor, own: bool) -> OwnedTensor:
    """The children of a module, one after the other."""
    for child in module._modules.values():
        if child is not None:
            x, own = step(child, x, own)
    return x, own


def _anew(module: nn.Module, x: Tensor, own: bool) -> OwnedTensor:
    return module.forward(x), True


def _as_it_is(module: nn.Module, x: Tensor, own: bool) -> OwnedTensor:
    return x, own


def _dropout(module: nn.Dropout, x: Tensor, own: bool) -> OwnedTensor:
    return (module.forward(x), False) if module.training else (x, own)


def _conv(module: nn.Conv2d, x: Tensor, own: bool) -> OwnedTensor:
    if module.groups > 1 and _is_product(module, x):
        return _product(x, module.weight, module.bias, module.groups), True
    return module.forward(x), True


def _is_product(module: nn.Conv2d, x: Tensor) -> bool:
    # Of several images torch's own way does all groups at once.
    return (
        module.kernel_size == (1, 1)
        and module.stride == (1, 1)
        and module.padding == (0, 0)
        and x.dim() == 4
        and x.shape[0] == 1
        and x.shape[1] == module.in_channels
        and x.dtype == module.weight.dtype
        and x.is_contiguous()
        and module.weight.is_contiguous()
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, g: int) -> Tensor:
    # (1, c, h, w), weight (d, c/g, 1, 1) -> (g, d/g, c/g) @ (g, c/g, h*w) -> (1, d, h, w)
    _, c, h, w = x.shape
    d = weight.shape[0]
    left, right = weight.view(g, d // g, c // g), x.view(g, c // g, h * w)
    if bias is None:
        return torch.bmm(left, right).view(1, d, h, w)
    return torch.baddbmm(bias.view(g, d // g, 1), left, right).view(1, d, h, w)


def _pool(module: nn.MaxPool2d | nn.AvgPool2d, x: Tensor, own: bool) -> OwnedTensor:
    if not _vectors(x) or getattr(module, "return_indices", False):
        return module.forward(x), False
    out = module.forward(x.contiguous(memory_format=torch.channels_last))
    return out.contiguous(), True


def _vectors(x: Tensor) -> bool:
    # In channels-last memory a vector holds neighbouring channels: of few, it is hardly filled.
    return x.dtype == torch.float32 and x.dim() == 4 and x.shape[1] >= 8 and x.is_contiguous()


def _overwriting(function: Callable[[Tensor], Tensor]) -> FastLayer:
    def act(module: nn.Module, x: Tensor, own: bool) -> OwnedTensor:
        if own:
            return function(x), True
        return module.forward(x), not getattr(module, "inplace", False)

    return act


#: The layers of torch's own that are done quickly, by their exact class.
STEPS: Mapping[type[nn.Module], FastLayer] = MappingProxyType(
    {
        nn.Sequential: in_order,
        nn.Conv2d: _conv,
        nn.BatchNorm2d: _anew,
        nn.Linear: _anew,
        nn.MaxPool2d: _pool,
        nn.AvgPool2d: _pool,
        nn.Identity: _as_it_is,
        nn.Dropout: _dropout,
        nn.ReLU: _overwriting(torch.relu_),
        nn.ReLU6: _overwriting(lambda x: functional.relu6(x, inplace=True)),
        nn.Hardswish: _overwriting(lambda x: functional.hardswish(x, inplace=True)),
        nn.Hardsigmoid: _overwriting(lambda x: functional.hardsigmoid(x, inplace=True)),
        nn.SiLU: _overwriting(lambda x: functional.silu(x, inplace=True)),
        nn.Sigmoid: _overwriting(torch.sigmoid_),
    }
)
