"""The leaves of a living module: each call that it makes, at its real shapes, with its cost."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from flopcount.counters.operator_kinds import operator_of
from flopcount.counters.trace import DataDependentError, count
from flopcount.entries import Entry
from flopcount.tally import Tally
from shufflenet.bench.layers.buffers import AloneError, BufferPool, step_call
from shufflenet.bench.layers.calls import RecordedCall, in_turn, shuffles
from shufflenet.bench.layers.follow import Found, followed, is_torchs
from shufflenet.bench.layers.leaves import Cost, CountCheck, Leaves, TimedLeaf, Totals
from shufflenet.bench.rounds import TimedCall
from shufflenet.cost.breakdown import WHOLE
from shufflenet.cost.leaf_kinds import kernel_name, named
from shufflenet.nn.fast_inference import unwatched
from shufflenet.system.user_code import OwnCodeError, own_code, reason
from shufflenet.targets.resolve import TargetError

_SHUFFLE = "channel shuffle"


def module_leaves(
    module: nn.Module,
    image: Tensor,
    name: str,
    counted: Tally,
    seed: int = 0,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Leaves:
    """A module by the leaves of one run on an image ``(n, c, h, w)``, beside the count of it.

    What is timed reads numbers that are drawn from the seed. ``around`` is entered where the whole
    is run. Raises what the module raises, and TargetError for a leaf that cannot be run alone.
    """
    whole = RecordedCall.of(module, (image,), {}, lambda tensor: 0)
    with around():
        found = list(shuffled(followed(module, image)))
    own = [work_of(leaf) for leaf in found]
    works: dict[Hashable, Found] = {}
    for work, leaf in zip(own, found, strict=True):
        works.setdefault(work, leaf)
    pool = BufferPool.for_steps([whole, *(leaf.step for leaf in works.values())], seed)
    with around():
        run = step_call(whole, pool)
    alone = {work: _alone(leaf, name, pool) for work, leaf in works.items()}
    leaves = tuple(
        TimedLeaf(alone[work][0]._replace(path=leaf.path or WHOLE), work)
        for work, leaf in zip(own, found, strict=True)
    )
    return Leaves(
        name,
        tuple(image.shape),
        leaves,
        {work: call for work, (_, call) in alone.items()},
        run,
        CountCheck(
            Totals(sum(leaf.cost.macs for leaf in leaves), _read(found)),
            Totals(int(counted.macs), int(counted.params - counted.uncalled_params)),
            dict(counted.uncounted),
        ),
    )


def work_of(leaf: Found) -> Hashable:
    """What makes leaves do the same.

    A layer of torch's own is told by its class and by the functions that it calls; another module
    by itself, since it may do what no function shows.
    """
    step, module = leaf.step, leaf.module
    known = module is not None and is_torchs(module) and unwatched(module)
    if not known or not leaf.within:
        return step.key
    inner = tuple(one.key for one in leaf.within)
    return type(module), step._replace(what=None).key, inner


def shuffled(found: Iterable[Found]) -> Iterator[Found]:
    """The leaves, with those functions in one that are a channel shuffle together."""
    for (path, in_module), group in groupby(found, key=lambda x: (x.path, x.module is not None)):
        leaves = list(group)
        steps = [leaf.step for leaf in leaves]
        at = 0
        for start, end in () if in_module else shuffles(steps):
            yield from leaves[at:start]
            yield Found(path, in_turn(steps[start:end]), None, tuple(steps[start:end]))
            at = end
        yield from leaves[at:]


def _read(found: Iterable[Found]) -> int:
    """How many elements the parameters have that the leaves read, each counted once."""
    read: dict[int, int] = {}
    for leaf in found:
        for step in (leaf.step, *leaf.within):
            kept = (operand.kept for operand in step.operands)
            read.update((id(x), x.numel()) for x in kept if isinstance(x, nn.Parameter))
    return sum(read.values())


def _alone(leaf: Found, name: str, pool: BufferPool) -> tuple[Cost, TimedCall]:
    """What a leaf costs, and a call of it; ``name`` is the network's."""
    try:
        with own_code(name):
            _check_device(leaf)
            call = step_call(leaf.step, pool)
            return _cost(leaf), call
    except OwnCodeError as error:
        why = reason(error.__cause__ or error)
        raise TargetError(
            f"{name}: leaf {leaf.path or WHOLE!r} ({_called(leaf)}) cannot be run alone: {why}"
        ) from error


def _check_device(leaf: Found) -> None:
    for step in (leaf.step, *leaf.within):
        for operand in (*step.operands, *step.outputs):
            if operand.device.type != "cpu":
                raise AloneError(f"a tensor of it is on {operand.device}, and not on the CPU")


# --- What a leaf costs, and what it is called


def _cost(leaf: Found) -> Cost:
    step, tally = leaf.step, counted_alone(leaf.step)
    return Cost(
        leaf.path,
        kind_of(leaf, tally),
        tuple(operand.shape for operand in step.operands if operand.token is not None),
        tuple(operand.shape for operand in step.outputs),
        int(tally.macs),
        int(tally.params - tally.uncalled_params),
        int(tally.bytes_moved),
    )


class Alone(nn.Module):
    """One step as a module, which has what the step reads and nothing on the way has made."""

    def __init__(self, step: RecordedCall) -> None:
        super().__init__()
        # a module is known with its parameters as one that is within
        self.run = step.run
        # a count looks to inference itself
        ambient = step.ambient._replace(inference=False)
        self.shape = step._replace(what=None, operands=(), outputs=(), ambient=ambient)
        self.names: list[str] = []
        for place, operand in enumerate(step.operands):
            own = operand.kept if operand.token is None else None
            name = "" if own is None else f"own{place}"
            self.names.append(name)
            if isinstance(own, nn.Parameter):
                self.register_parameter(name, own)
            elif own is not None:
                self.register_buffer(name, own)

    def forward(self, *inputs: Tensor) -> Any:
        """The call, with its other operands."""
        given = iter(inputs)
        tensors = [getattr(self, name) if name else next(given) for name in self.names]
        return self.shape.bound(*self.shape.arguments(tensors))()


def counted_alone(step: RecordedCall) -> Tally:
    """The tally of one step at its shapes."""
    module = Alone(step)
    made = [operand for operand in step.operands if operand.token is not None]
    shapes = [
        torch.empty_strided(x.size, x.stride, dtype=x.dtype, device="meta")
        if x.kept is None
        else x.kept
        for x in made
    ]
    try:
        # what has no values is not cast, and types that were would no longer fit
        if step.ambient.cast is None:
            return count(module, *shapes)
    except DataDependentError:
        pass
    drawn = [torch.rand(x.size, dtype=x.dtype) if x.kept is None else x.kept for x in made]
    return count(module, *drawn, execution="real")


# Kinds that are many operators, which are told by their names.
_MANY_NAMES = (
    "activation elementwise norm reduce index copy create random sort compare loss vision rnn"
    " uncounted"
)
_MANY = frozenset(_MANY_NAMES.split())


def kind_of(leaf: Found, tally: Tally) -> str:
    """The kind of a leaf as people call it, as those of a layer tree are called."""
    if leaf.within and [(0, len(leaf.within))] == list(shuffles(leaf.within)):
        return _SHUFFLE
    step, entries = leaf.step, tally.entries
    if leaf.module is not None and len(entries) > 1:
        entries = _own_entries(leaf.module, entries)
    if not entries and leaf.module is not None and hasattr(leaf.module, "free_kind"):
        # a view, as its class says of itself
        return named(str(leaf.module.free_kind))
    if len(entries) == 1:
        return _entry_name(entries[0], [step, *leaf.within])
    if leaf.module is None or len(leaf.within) == 1:
        called = step if leaf.module is None else leaf.within[0]
        return named(operator_of(called.name))
    if not leaf.within and [x.token for x in step.operands] == [x.token for x in step.outputs]:
        return "identity"
    return _called(leaf)


# the words of a class's name: MultiheadAttention, and ReLU6 as torch writes it
_WORDS = re.compile(r"[PR]?ReLU\d*|SiLU|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+[a-z]*")


def _called(leaf: Found) -> str:
    """The name of what a leaf calls, in words."""
    if leaf.module is None:
        return named(operator_of(leaf.step.name))
    return " ".join(_WORDS.findall(type(leaf.module).__name__)).lower()


def _own_entries(module: nn.Module, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Of the entries of a layer those that it is there for, beside its hooks and its padding."""
    if isinstance(module, _ConvNd):
        return tuple(entry for entry in entries if entry.kind == "conv")
    if not is_torchs(module):
        return tuple(entries)
    name = _squashed(type(module).__name__)
    own = [x for x in entries if name in (_squashed(x.kind), _squashed(x.operator))]
    return tuple(own or (entry for entry in entries if entry.macs))


def _squashed(name: str) -> str:
    """The name of a class or a function, as both have it: AvgPool2d, avg_pool2d."""
    return re.sub(r"[123]d$", "", name.replace("_", "").lower())


def _entry_name(entry: Entry, steps: Sequence[RecordedCall]) -> str:
    if entry.kind == "conv":
        return next(filter(None, map(_conv_name, steps)), "convolution")
    if entry.kind == "adaptive_avg_pool" and set(entry.outputs[0][2:]) == {1}:
        return "global avg pool"
    if entry.kind not in _MANY:
        return named(entry.kind)
    return named(entry.operator or operator_of(steps[-1].name))


# of these the weight is (d, c/g, k, k), or (c, d/g, k, k)
_CONVOLUTION = re.compile(r"conv(_transpose)?[123]d|convolution")


def _conv_name(step: RecordedCall) -> str:
    """The name of a convolution by the shapes that it was called with; "" of another function."""
    name = operator_of(step.name)
    if not _CONVOLUTION.fullmatch(name) or not step.outputs:
        return ""
    args, kwargs = step.arguments(step.operands)
    given = dict(zip(("input", "weight"), args, strict=False)) | kwargs
    image, weight = given["input"], given["weight"]
    # the channels stand before as many sizes as the kernel has, with or without images before them
    axis, kernel = -len(weight.size) + 1, weight.size[2:]
    if name.startswith("conv_transpose") or (name == "convolution" and args[6]):
        # (n, c, h, w) -> (n, d, h', w'), weight (c, d/g, k, k)
        groups = step.outputs[0].size[axis] // weight.size[1]
        return f"{kernel_name(kernel, weight.size[0], groups)}, transposed"
    # (n, c, h, w) -> (n, d, h', w'), weight (d, c/g, k, k)
    channels = image.size[axis]
    return kernel_name(kernel, channels, channels // weight.size[1])
