"""The bundled networks beside torchvision's: which is which, built without values, and in order."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision import models

from flopcount.entries import Entry
from flopcount.tally import Tally

#: Our spec, and torchvision's model of the same network.
TWINS = {
    "alexnet_one_tower": "alexnet",
    "vgg16": "vgg16",
    "squeezenet1_0": "squeezenet1_0",
    "squeezenet1_1": "squeezenet1_1",
    "googlenet": "googlenet",
    "resnet50": "resnet50",
    "resnext50_32x4d": "resnext50_32x4d",
    "shufflenet_v2": "shufflenet_v2_x1_0",
    "shufflenet_v2_x0_5": "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_5": "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0": "shufflenet_v2_x2_0",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_large": "mobilenet_v3_large",
    "mobilenet_v3_small": "mobilenet_v3_small",
    "efficientnet_b0": "efficientnet_b0",
    "regnet_x_400mf": "regnet_x_400mf",
}
#: Those that run their body before the projection beside it.
BODY_FIRST = ("resnet50", "resnext50_32x4d")
#: Kinds that both have as leaves of their own, wherever they stand.
SHARED = frozenset(
    [
        "conv",
        "linear",
        "batch_norm",
        "relu",
        "relu6",
        "activation",
        "max_pool",
        "adaptive_avg_pool",
        "dropout",
    ]
)


def theirs(name: str) -> nn.Module:
    """Torchvision's model for one of our specs, in double precision and without values."""
    model = TWINS[name]
    options = {"aux_logits": False, "init_weights": False} if model == "googlenet" else {}
    # This one works its widths out with tensors, which must have values.
    device = "cpu" if model.startswith("regnet") else "meta"
    with torch.device(device):
        made = models.get_model(model, weights=None, **options)
    return made.double().to("meta").eval()


def in_their_order(name: str, entries: tuple[Entry, ...]) -> list[Entry]:
    """Our leaves in the order in which torchvision runs them."""
    if name not in BODY_FIRST:
        return list(entries)
    ordered: list[Entry] = []
    waiting: list[Entry] = []
    for entry in entries:
        if ".residual.shortcut." in entry.path:
            waiting.append(entry)
            continue
        if entry.path.endswith(".residual.add"):
            ordered += waiting
            waiting = []
        ordered.append(entry)
    return ordered + waiting


def leaves(entries: list[Entry] | tuple[Entry, ...]) -> list[tuple[object, ...]]:
    """What both say of the leaves that multiply, are learned, or stand alone."""
    return [
        (e.kind, e.inputs, e.outputs, e.macs, e.weight, e.bias)
        for e in entries
        if e.kind in SHARED - {"dropout"}
    ]


def filled(module: nn.Module, seed: int) -> nn.Module:
    """The module with values in which every part of it can be seen."""
    module = module.to_empty(device="cpu")
    drawn = torch.Generator().manual_seed(seed)
    for child in module.modules():
        for tensor in (*child.parameters(False), *child.buffers(False)):
            if tensor.is_floating_point():
                tensor.data.copy_(_values(child, tensor, drawn))
            else:
                tensor.zero_()
    return module


def _values(child: nn.Module, tensor: Tensor, drawn: torch.Generator) -> Tensor:
    values = torch.rand(tensor.shape, dtype=torch.float64, generator=drawn)
    if isinstance(child, nn.BatchNorm2d):
        # from variances near nothing, where the epsilon shows
        return values.add_(0.001) if tensor is not child.bias else values.sub_(0.5)
    if tensor.dim() < 2:
        return values.sub_(0.5)
    fan_in = tensor[0].numel()
    return values.sub_(0.5).mul_(2 * (6 / fan_in) ** 0.5)


def learned_leaves(module: nn.Module, x: Tensor) -> list[tuple[str, nn.Module]]:
    """The modules with parameters, in the order in which they run."""
    found: list[tuple[str, nn.Module]] = []
    hooks = [
        child.register_forward_hook(lambda m, *_, path=path: found.append((path, m)))
        for path, child in module.named_modules()
        if next(child.parameters(False), None) is not None
    ]
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return found


def given(ours: nn.Module, name: str, tally: Tally, other: nn.Module, side: int) -> nn.Module:
    """Our module, built without values, with the very tensors of torchvision's, leaf by leaf."""
    x = torch.empty(1, 3, side, side, dtype=torch.float64, device="meta")
    mine = dict(learned_leaves(ours, x))
    order = [e.path for e in in_their_order(name, tally.entries) if e.path in mine]
    source = learned_leaves(theirs(name), x)
    assert len(order) == len(source)
    parts = dict(other.named_modules())
    for path, (their_path, their_leaf) in zip(order, source, strict=True):
        assert type(mine[path]) is type(their_leaf)
        mine[path].load_state_dict(parts[their_path].state_dict(), assign=True)
    return ours
