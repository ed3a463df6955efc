"""The leaves of a built network as it does them itself, quickly; and as calls that can be timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from flopcount.entries import Shape
from flopcount.layers import Branches, Identity, Layer, below
from shufflenet.bench.rounds import TimedCall
from shufflenet.cost.leaf_kinds import LeafCost, Task, Work
from shufflenet.nn.builder import build
from shufflenet.nn.fast_inference import OwnedTensor, in_order, step
from shufflenet.nn.modules import Parallel, join


def tasks_of(tree: Layer, shape: Shape, places: Sequence[LeafCost]) -> list[Task]:
    """What the built network does at each place of its tree, on an image ``(n, c, h, w)``.

    It is run once. Raises BuildError where it cannot be built.
    """
    held: dict[str, tuple[bool, ...]] = {}
    module = _noted(build(tree).eval(), "", held)
    image = torch.rand(tuple(shape))
    with torch.inference_mode():
        if isinstance(module, nn.Sequential):
            in_order(module, image, False)
        else:
            step(module, image, False)
    return [Task(place.work, held[place.entry.path]) for place in places]


class _Noted(nn.Module):
    """A leaf that notes of its inputs which are held by nobody else, and does what it did."""

    def __init__(self, inner: nn.Module, path: str, notes: dict[str, tuple[bool, ...]]) -> None:
        super().__init__()
        self.inner = inner
        self.path = path
        self.notes = notes

    def quickly(self, x: Tensor, own: bool) -> OwnedTensor:
        """One input."""
        self.notes[self.path] = (own,)
        return step(self.inner, x, own)

    def joined(self, branches: list[OwnedTensor]) -> OwnedTensor:
        """Branches joined."""
        self.notes[self.path] = tuple(own for _, own in branches)
        return join(self.inner, branches)


def _noted(module: nn.Module, path: str, notes: dict[str, tuple[bool, ...]]) -> nn.Module:
    if not isinstance(module, nn.Sequential | Parallel):
        return _Noted(module, path, notes)
    for name, child in module._modules.items():
        assert child is not None
        module._modules[name] = _noted(child, below(path, name), notes)
    return module


def calls_of(tasks: Sequence[Task]) -> list[TimedCall]:
    """A call of each task, whose inputs are written right before it, as by the layer before."""
    # All read the same memory, so that many tasks need no more than the largest does.
    pool = torch.rand(max((sum(s.elements for s in t.work.inputs) for t in tasks), default=0))
    return [_call(task, _inputs(pool, task.work.inputs)) for task in tasks]


def _call(task: Task, inputs: Sequence[Tensor]) -> TimedCall:
    return written(doing(task, module_of(task.work), inputs), inputs)


def doing(task: Task, module: nn.Module, inputs: Sequence[Tensor]) -> Callable[[], OwnedTensor]:
    """What does a task by its module, on tensors of which it may write on those that it holds."""
    given = list(zip(inputs, task.held, strict=True))
    if isinstance(task.work.doer, str):
        return lambda: join(module, given)
    ((x, own),) = given
    return lambda: step(module, x, own)


def module_of(work: Work) -> nn.Module:
    """The module that does a work."""
    doer = work.doer
    if not isinstance(doer, str):
        return build(doer).eval()
    branches = Branches(tuple((f"input{i}", Identity()) for i in range(len(work.inputs))), doer)
    return build(branches).eval().get_submodule(doer)


def _inputs(pool: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    found = []
    start = 0
    for shape in shapes:
        found.append(pool[start : start + shape.elements].view(tuple(shape)))
        start += shape.elements
    return found


def whole_call(tree: Layer, shape: Shape) -> TimedCall:
    """A call of a whole network on one image ``(n, c, h, w)``."""
    image = torch.rand(tuple(shape))
    module = build(tree).eval()
    return written(lambda: module(image), [image])


def written(run: Callable[[], object], inputs: Sequence[Tensor]) -> TimedCall:
    """A call right before which its inputs are written, within 0 and 1."""

    def write() -> None:
        for tensor in inputs:
            # What is written on its input again and again must not grow beyond all numbers.
            tensor.clamp_(0, 1)

    return TimedCall(run, write)
