"""A layer answered by a fast path, and a part made when asked for, count as if they were run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from flopcount.counters.trace import count
from tests.flopcount.counters.trace.ways import agreed, empty

SHAPE = (2, 3, 8, 8)
SEVERAL = settings(deadline=None, max_examples=40)


class Net(nn.Module):
    """A Sequential with another in it, and whatever is done with them."""

    def __init__(self, run: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        inner = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))
        self.seq = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), inner, nn.BatchNorm2d(3))
        self._run = run

    def forward(self, x: Tensor) -> Any:
        return self._run(self, x)


def first(x: Any) -> Any:
    return next(iter(x))


def in_turn(parts: Any, x: Tensor) -> Tensor:
    for part in parts:
        x = part(x)
    return x


def convs(parts: Any) -> list[nn.Module]:
    return [part for part in parts if isinstance(part, nn.Conv2d)]


def conv(parts: Any, x: Tensor) -> Tensor:
    return nn.functional.conv2d(x, parts.state_dict()["0.weight"], padding=1)


ASKED: dict[str, Callable[[Any, Tensor], Any]] = {
    "nothing": lambda m, x: m.seq(x),
    "its forward": lambda m, x: m.seq.forward(x),
    "the forward of its parts": lambda m, x: m.seq[1].forward(m.seq[0].forward(x)),
    "indices": lambda m, x: m.seq[2](m.seq[1](m.seq[0](x))),
    "the last": lambda m, x: m.seq[-1](x),
    "a slice": lambda m, x: m.seq[:2](x),
    "a slice of a part": lambda m, x: m.seq[1][1:](m.seq[0](x)),
    "each": lambda m, x: in_turn(m.seq, x),
    "each in reverse": lambda m, x: first(reversed(list(m.seq)))(x),
    "its length": lambda m, x: m.seq(x) if len(m.seq) == 3 else x,
    "whether it has one": lambda m, x: m.seq(x) if m.seq[0] in list(m.seq) else x,
    "children": lambda m, x: in_turn(m.seq.children(), x),
    "named children": lambda m, x: in_turn((c for _, c in m.seq.named_children()), x),
    "modules": lambda m, x: in_turn(convs(m.seq.modules()), x),
    "modules, having run": lambda m, x: in_turn(convs(m.modules()), m.seq(x)),
    "named modules": lambda m, x: in_turn(convs(c for _, c in m.named_modules()), x),
    "a submodule": lambda m, x: m.get_submodule("seq.1.1")(m.seq.get_submodule("0")(x)),
    "attributes": lambda m, x: getattr(m.seq[1], "1")(getattr(m.seq, "0")(x)),
    "state": lambda m, x: m.seq(x) if len(m.seq.state_dict()) == 9 else x,
    "a weight by state": lambda m, x: conv(m.seq, x),
    "parameters": lambda m, x: m.seq(x) * sum(p.numel() for p in m.seq.parameters()),
    "its text": lambda m, x: m.seq(x) if "Conv2d" in repr(m.seq) else x,
    "the dictionary": lambda m, x: in_turn(dict(m.seq._modules).values(), x),
    "a copy of the dictionary": lambda m, x: in_turn(copy.copy(m.seq._modules).values(), x),
    "the dictionary and more": lambda m, x: in_turn((m.seq._modules | {}).values(), x),
    "a merged dictionary": lambda m, x: in_turn({**m.seq._modules}.values(), x),
    "a default": lambda m, x: m.seq._modules.setdefault("0", None)(x),
    "by name": lambda m, x: m.seq._modules.get("0")(x),
    "by no name": lambda m, x: m.seq(x) if m.seq._modules.get("9") is None else x,
    "the last with its name": lambda m, x: m.seq._modules.popitem()[1](x),
    "a sum": lambda m, x: (m.seq + nn.Sequential(nn.ReLU()))(x),
    "a multiple": lambda m, x: (m.seq * 2)(x),
    "a deep copy": lambda m, x: copy.deepcopy(m.seq)(x),
    "a deep copy of a part": lambda m, x: copy.deepcopy(m.seq[1])(m.seq[0](x)),
    "a copy": lambda m, x: copy.copy(m.seq)(x),
}
backward_too = pytest.mark.parametrize("backward", [False, True], ids=["forward", "training"])


@backward_too
@pytest.mark.parametrize("asked", ASKED)
def test_what_a_model_asks_of_a_sequence_changes_no_figure(asked, backward):
    tally = agreed(Net(ASKED[asked]), empty(*SHAPE), backward=backward)
    assert tally.macs > 0 or asked in ("the last", "each in reverse", "the last with its name")


def changed(change: Callable[[Any], Any]) -> Callable[[Any, Tensor], Tensor]:
    def run(m: Any, x: Tensor) -> Tensor:
        change(m.seq)
        return m.seq(x)

    return run


def doubled(module: nn.Module, args: Any, out: Tensor) -> Tensor:
    return out * 2


#: What is done to a sequence, and the multiply-adds of a sample afterwards.
FIRST, SECOND = 8 * 8 * 4 * 3 * 9, 8 * 8 * 3 * 4 * 9
CHANGED: dict[str, tuple[Callable[[Any], Any], int]] = {
    "append": (lambda s: s.append(nn.ReLU()), FIRST + SECOND),
    "insert": (lambda s: s.insert(1, nn.Conv2d(4, 4, 1)), FIRST + 8 * 8 * 4 * 4 + SECOND),
    "extend": (lambda s: s.extend([nn.Conv2d(3, 1, 1)]), FIRST + SECOND + 8 * 8 * 3),
    "delete": (lambda s: s.__delitem__(slice(0, 2)), 0),
    "pop": (lambda s: s.pop(2), FIRST + SECOND),
    "replace": (lambda s: s.__setitem__(1, nn.Conv2d(4, 3, 1)), FIRST + 8 * 8 * 4 * 3),
    "set": (lambda s: setattr(s, "1", nn.Conv2d(4, 3, 1)), FIRST + 8 * 8 * 4 * 3),
    "add a module": (lambda s: s.add_module("x", nn.Conv2d(3, 1, 1)), FIRST + SECOND + 8 * 8 * 3),
    "stride": (lambda s: setattr(s[0], "stride", (2, 2)), (FIRST + SECOND) // 4),
    "padding": (lambda s: setattr(s[1][1], "padding", (2, 2)), FIRST + SECOND // 64 * 100),
    "train": (lambda s: s.train(), FIRST + SECOND),
    "train a part": (lambda s: s[2].train(), FIRST + SECOND),
    "evaluate a part": (lambda s: s[2].eval(), FIRST + SECOND),
    "apply": (lambda s: s.apply(lambda m: setattr(m, "seen", True)), FIRST + SECOND),
    "a hook": (lambda s: s[0].register_forward_hook(doubled), FIRST + SECOND),
    "a hook of a sequence": (lambda s: s[1].register_forward_hook(doubled), FIRST + SECOND),
    "a hook before": (
        lambda s: s[1][1].register_forward_pre_hook(lambda m, args: (args[0] * 2,)),
        FIRST + SECOND,
    ),
}


@backward_too
@pytest.mark.parametrize("name", CHANGED)
def test_what_a_model_does_to_its_parts_counts_and_is_not_done_to_the_users(name, backward):
    change, each = CHANGED[name]
    tally = agreed(Net(changed(change)), empty(*SHAPE), backward=backward)
    assert sum(e.macs for e in tally.entries if not e.kind.endswith("_backward")) == 2 * each


class Listing(nn.Module):
    """The same layers in a Sequential and in a list that is none of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.seq = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 3, 3)))
        self.listed = [*self.seq, self.seq[2][0]]
        self.named = {"last": self.seq[2][0]}

    def forward(self, x: Tensor) -> Tensor:
        y = in_turn(self.listed[:3], x) + self.seq(x)
        return y.mean((2, 3)) + self.named["last"](self.listed[0](x)).mean((2, 3))


class Sharing(nn.Module):
    """One layer in two sequences, and one sequence under two names."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.Conv2d(3, 3, 3, padding=1)
        self.one = nn.Sequential(layer, nn.ReLU())
        self.two = nn.Sequential(nn.Sequential(layer), layer)
        self.three = self.two
        self.late = nn.ModuleList([nn.Sequential(self.one, layer)])

    def forward(self, x: Tensor) -> Tensor:
        self.three[1].stride = (2, 2)
        return self.late[0](self.three(self.two(self.one(x))))


class Backward(nn.Sequential):
    """A sequence that runs its parts in the other order."""

    def forward(self, x: Tensor) -> Tensor:
        return in_turn(reversed(list(self)), x)


class Twice(nn.Sequential):
    """A sequence that asks its class to run it twice."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(super().forward(x))


class Named(nn.Sequential):
    """A sequence with its last part under a second name, by which it runs again."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__(*parts)
        self.last = self[-1]


class Calling(nn.Sequential):
    """A sequence that is called in its own way."""

    def __call__(self, x: Tensor) -> Any:
        return super().__call__(x) + 1


class Picking(nn.Sequential):
    """A sequence that gives its parts in its own way, twice the first of them."""

    def __iter__(self) -> Any:
        parts = list(self._modules.values())
        return iter([*parts[:1], *parts])


def same() -> nn.Conv2d:
    return nn.Conv2d(3, 3, 3, padding=1)


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Sequential(same(), nn.ReLU()), same())
    model[0][0].register_forward_hook(doubled)
    model[0].register_forward_pre_hook(lambda m, args: (m[0](args[0]),))
    return model


def patched() -> nn.Module:
    model = nn.Sequential(nn.Sequential(same(), nn.ReLU()), same())
    part = model[0]
    part.forward = lambda x: part[0](part[0](x))
    return model


EACH = 2 * 8 * 8 * 3 * 3 * 9
HELD: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "in a list": (Listing, 2 * 3 * (6 * 6 * FIRST // 64 + 4 * 4 * SECOND // 64)),
    # seven calls of one layer, whose stride everybody sees
    "shared": (Sharing, EACH // 64 * (16 + 4 + 5 * 1)),
    "in the other order": (lambda: Backward(nn.Conv2d(4, 3, 1), nn.Conv2d(3, 4, 1)), 2 * 64 * 24),
    "twice": (lambda: nn.Sequential(Twice(same(), nn.ReLU())), 2 * EACH),
    "by an attribute": (lambda: nn.Sequential(Named(same(), same())), 3 * EACH),
    "called otherwise": (lambda: nn.Sequential(Calling(same()), same()), 2 * EACH),
    "given otherwise": (lambda: nn.Sequential(Picking(same()), same()), 3 * EACH),
    "with hooks": (hooked, 3 * EACH),
    "with a forward of its own": (patched, 3 * EACH),
    "with none": (lambda: nn.Sequential(nn.Sequential(), same(), nn.Sequential()), EACH),
}


def given_more() -> nn.Module:
    layer = same()
    layer.more = nn.Linear(5, 5)
    layer.scale = nn.Parameter(torch.ones(7))
    return nn.Sequential(layer, nn.ReLU())


def test_a_layer_that_was_given_parts_of_its_own_has_them_in_the_inventory():
    tally = agreed(given_more(), empty(*SHAPE))
    assert tally.params == (3 * 3 * 9 + 3) + (5 * 5 + 5) + 7
    assert [m.path for m in tally.modules] == ["", "0", "0.more", "1"]


@backward_too
@pytest.mark.parametrize("name", HELD)
def test_layers_count_however_they_are_held(name, backward):
    model, macs = HELD[name]
    tally = agreed(model(), empty(*SHAPE), backward=backward)
    assert sum(e.macs for e in tally.entries if not e.kind.endswith("_backward")) == macs


def layers(depth: int) -> st.SearchStrategy[nn.Module]:
    """Modules that leave ``(n, 3, h, w)`` as it is: layers, and sequences and others of them."""
    plain = st.sampled_from([same, nn.ReLU, lambda: nn.BatchNorm2d(3), nn.Identity, nn.Sigmoid])
    leaves = plain.map(lambda make: make())
    if not depth:
        return leaves
    parts = st.lists(layers(depth - 1), max_size=3)
    kinds = st.sampled_from([nn.Sequential, Picking, Twice, Calling, Named, Summing, Lately])
    held = st.tuples(kinds, parts, st.integers(0, 3)).filter(lambda drawn: drawn[1])
    return leaves | held.map(lambda drawn: drawn[0](*drawn[1], *drawn[1][: drawn[2] // 3]))


class Summing(nn.Module):
    """The sum of what its parts make, which it holds in a list of torch's."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        return sum((part(x) for part in self.parts), x)


class Lately(nn.Module):
    """A sequence that gets a part more while it runs."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.seq = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.seq[:1](self.seq.append(nn.ReLU())(x))


@SEVERAL
@given(layers(3), st.booleans())
def test_any_nesting_counts_as_it_does_when_every_function_runs(model, backward):
    agreed(model, empty(2, 3, 4, 4), backward=backward)


class InstanceNorm(nn.Module):
    """A norm of each sample by itself, with a weight for each of five channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.instance_norm(x, weight=self.weight, bias=self.weight)


UNFIT: dict[str, Callable[[], nn.Module]] = {
    "a norm of other channels": lambda: nn.BatchNorm2d(5),
    "a norm of each sample, of other channels": InstanceNorm,
    "a convolution of a divisor of the channels": lambda: nn.Conv2d(1, 4, 3),
    "a convolution of fewer channels in groups": lambda: nn.Conv2d(2, 4, 3, groups=2),
}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("checked", [False, True])
def test_a_layer_that_does_not_fit_its_input_is_refused_as_torch_refuses_it(name, checked):
    layer = UNFIT[name]().eval()
    with pytest.raises(RuntimeError) as refused:
        layer(empty(*SHAPE))
    with pytest.raises(type(refused.value)):
        count(nn.Sequential(nn.ReLU(), layer), empty(*SHAPE), checked=checked)
