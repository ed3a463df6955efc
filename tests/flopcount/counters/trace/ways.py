"""Every way to count one model, which must all say the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from flopcount import Tally
from flopcount.counters.trace import count


class Wired(nn.Module):
    """A module of given parts whose forward pass is a function of them and the inputs."""

    def __init__(self, run: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self._run = run

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self._run(self, *inputs, **named)


def on_meta(tree: Any) -> Any:
    """The tensors of any nesting without their values, but for whole numbers and masks."""

    def bare(x: Tensor) -> Tensor:
        valued = not x.is_floating_point() or bool(torch.isinf(x).any())
        return x if valued else x.to("meta")

    return tree_map_only(Tensor, bare, tree)


def every_way(model: Any, *inputs: Any, **named: Any) -> Mapping[str, Tally]:
    """The tallies of a model built on the CPU or on meta, with what is below it or values too."""
    shell = copy.deepcopy(model).to("meta") if isinstance(model, nn.Module) else model
    bare = on_meta((inputs, named))
    return {
        "cpu": count(model, *inputs, **named),
        "meta": count(shell, *bare[0], **bare[1]),
        "checked": count(model, *inputs, checked=True, **named),
        "checked on meta": count(shell, *bare[0], checked=True, **bare[1]),
        "real": count(model, *inputs, execution="real", **named),
    }


def macs(model: Any, *inputs: Any, **named: Any) -> int:
    """The multiply-adds of a model, which every way must agree on, and nothing is left out."""
    found = every_way(model, *inputs, **named)
    assert {way: tally.uncounted for way, tally in found.items()} == {way: {} for way in found}
    figures = {way: tally.macs for way, tally in found.items()}
    assert len(set(figures.values())) == 1, figures
    if isinstance(model, nn.Module):
        owned = sum(p.numel() for p in model.parameters())
        assert {way: tally.params for way, tally in found.items()} == dict.fromkeys(found, owned)
    return found["cpu"].macs


def empty(*shape: int) -> Tensor:
    """A tensor of that shape whose values are of no interest."""
    return torch.zeros(shape)


def held(model: nn.Module) -> list[tuple[Any, ...]]:
    """All that a module and its parts hold, by what it is and not by what it equals."""
    found: list[tuple[Any, ...]] = []
    for path, part in model.named_modules(remove_duplicate=False):
        for name, value in vars(part).items():
            found.append((path, name, id(value)))
            if isinstance(value, dict):
                found += [(path, name, key, id(item)) for key, item in value.items()]
            elif isinstance(value, (list, tuple)):
                found += [(path, name, id(item)) for item in value]
    tensors = model.state_dict(keep_vars=True).items()
    return [*found, *((name, x._version, x.requires_grad) for name, x in tensors)]


def agreed(model: nn.Module, *inputs: Any, **options: Any) -> Tally:
    """The tally of a model, which is the checked one entry by entry; the model is as it was."""
    before = held(model)
    fast = count(model, *inputs, **options)
    assert held(model) == before
    checked = count(model, *inputs, checked=True, **options)
    assert held(model) == before
    assert list(fast.entries) == list(checked.entries)
    assert fast == checked
    assert fast.uncounted == {}
    return fast
