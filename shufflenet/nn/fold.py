"""Batch norms folded into the convolutions before them, for inference.

In inference a batch norm scales and shifts each channel by fixed numbers, which the convolution
before it can do as well: by another weight, and a bias (Source: Jacob et al., arXiv:1712.05877,
Sec. 3.2).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from shufflenet.nn.fast_inference import unwatched
from shufflenet.nn.modules import Built


class FoldError(ValueError):
    """A module that cannot be folded, or weights that a folded one cannot take."""


def fold(module: nn.Module) -> nn.Module:
    """A copy of a built module in which every convolution does the batch norm behind it.

    The copy has other leaves (the norms are gone) and other weights (its convolutions have biases);
    it shares nothing with ``module``, which is left as it was. A norm behind anything but a
    convolution stays, and so does one where it or its convolution is hooked, forward or backward,
    or is of a class of one's own. Raises FoldError where a part of the module is in training mode,
    and later where the copy is to load weights of a network that is not folded. Source: Jacob et
    al., arXiv:1712.05877, Sec. 3.2.
    """
    for path, child in module.named_modules():
        if child.training:
            raise FoldError(
                f"{path or 'the module'}: is in training mode, and its batch norms follow each"
                " batch; call eval() first"
            )
    twin = copy.deepcopy(module)
    for child in list(twin.modules()):
        if type(child) in (nn.Sequential, Built):
            _fold_within(child)
    return twin


def _fold_within(chain: nn.Module) -> None:
    found = tuple(_pairs(chain))
    for conv, norm in found:
        setattr(chain, conv, _folded(getattr(chain, conv), getattr(chain, norm)))
        delattr(chain, norm)
    if found:
        norms = tuple(norm for _, norm in found)
        # The public name of it is younger than the oldest torch that is supported.
        register = chain._register_load_state_dict_pre_hook
        register(partial(_refuse, norms))  # type: ignore[no-untyped-call]


def _pairs(chain: nn.Module) -> Iterator[tuple[str, str]]:
    # What stands twice is left out by named_children, and its neighbours would look adjacent.
    for (name, conv), (other, norm) in pairwise(chain._modules.items()):
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            fixed = norm.running_mean is not None and norm.num_features == conv.out_channels
            if fixed and _free(conv) and _free(norm):
                yield name, other


def _free(module: nn.Module) -> bool:
    # In inference hooks of gradients are never called, and the quick way need not ask for them.
    own = module.__dict__
    return unwatched(module) and not (own["_backward_hooks"] or own["_backward_pre_hooks"])


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    # In double precision, so that each number is rounded once.
    mean, variance = _double(norm.running_mean), _double(norm.running_var)
    assert mean is not None
    assert variance is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight.detach().double(),
        _double(conv.bias),
        mean,
        variance,
        norm.eps,
        _double(norm.weight),
        _double(norm.bias),
    )
    # The convolution itself may stand elsewhere too, with no norm behind it.
    twin = copy.deepcopy(conv)
    trains = conv.weight.requires_grad
    twin.weight = nn.Parameter(weight.detach().to(conv.weight), trains)
    twin.bias = nn.Parameter(bias.detach().to(conv.weight), trains)
    return twin


def _double(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.detach().double()


def _refuse(norms: tuple[str, ...], state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
    for norm in norms:
        if any(key.startswith(f"{prefix}{norm}.") for key in state):
            raise FoldError(
                f"{prefix}{norm}: these are weights of a network that is not folded; load them"
                " into one that is not, and fold that"
            )
