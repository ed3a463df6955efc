"""The leaves of networks as calls in PyTorch eager, each at its real shapes, and timed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flopcount.entries import Shape
from flopcount.layers import Layer
from flopcount.layers import cost as layer_cost
from shufflenet.bench.layers.leaves import Cost, CountCheck, Leaves, TimedLeaf, Totals
from shufflenet.bench.layers.record import LayerRecord, LayerTime
from shufflenet.bench.layers.roofline import Copied, Dense, Roof
from shufflenet.bench.rounds import RoundSettings, TimedCall, in_rounds
from shufflenet.bench.timings import Summary, summary
from shufflenet.cost.leaf_kinds import places
from shufflenet.cost.machine import this_machine
from shufflenet.targets.resolve import seeded

if TYPE_CHECKING:
    from torch import Tensor

# A product of matrices by its side, and convolutions as (channels, height and width, kernel).
_SIDES = (256, 512, 1024)
_CONVOLUTIONS = ((128, 56, 3), (256, 28, 3), (256, 56, 1))
# What a copy reads and writes, together [B]: from what the nearest cache holds to what none does.
_COPIES = tuple(2**power for power in (15, 18, 20, 22, 24, 28))
_FLOAT = 4


@contextmanager
def inference(threads: int, seed: int = 0) -> Iterator[None]:
    """Inference on so many threads of numbers drawn from a seed, the smallest taken as zero.

    Weights that are drawn, not trained, can fade signals to numbers so small that processors slow
    down manyfold over them.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        with torch.inference_mode(), seeded(seed):
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def tree_leaves(tree: Layer, shape: Shape, name: str, seed: int = 0) -> Leaves:
    """A layer tree by its leaves on an image ``(n, c, h, w)``; ``name`` is the network's.

    Image and weights are drawn from the seed. Raises BuildError where it cannot be built.
    """
    from shufflenet.bench.layers.spec_leaves import calls_of, tasks_of, whole_call

    tally = layer_cost.count(tree, shape, memory=False)
    own = places(tree, tally)
    tasks = tasks_of(tree, shape, own)
    alone = tuple(dict.fromkeys(tasks))
    totals = Totals(int(tally.macs), int(tally.params))
    leaves = tuple(
        TimedLeaf(Cost.of(place, tally.element_bytes), task)
        for place, task in zip(own, tasks, strict=True)
    )
    with seeded(seed):
        calls: dict[Hashable, TimedCall] = dict(zip(alone, calls_of(alone), strict=True))
        whole = whole_call(tree, shape)
    return Leaves(name, tuple(shape), leaves, calls, whole, CountCheck(totals, totals, {}))


def time_layers(
    network: Leaves,
    effort: RoundSettings,
    note: Callable[[int], object] = lambda number: None,
) -> LayerRecord:
    """Every leaf of a network timed; in the same rounds the whole and the roofs.

    What several leaves do alike is timed once. ``note`` is told the number of each round. Raises
    what a leaf raises.
    """
    import torch

    with inference(effort.threads, effort.seed):
        dense, copies = _dense(), _copies()
        blocks = [
            [network.whole, *network.calls.values()],
            [_smallest()],
            *([call] for _, _, call in dense),
            *([call] for _, call in copies),
        ]
        found = [[summary(times) for times in block] for block in in_rounds(blocks, effort, note)]
    (whole, *own_times), *rest = found
    by_work = dict(zip(network.calls, own_times, strict=True))
    roof = _roof(
        [(label, macs) for label, macs, _ in dense],
        [moved for moved, _ in copies],
        [times for (times,) in rest],
    )
    return LayerRecord(
        this_machine({"torch": torch.__version__}),
        datetime.now(UTC).isoformat(timespec="seconds"),
        effort,
        network.name,
        network.shape,
        tuple(LayerTime(cost, by_work[work]) for cost, work in network.leaves),
        whole,
        roof,
        network.check,
    )


def _roof(
    dense: Sequence[tuple[str, int]], copies: Sequence[int], found: Sequence[Summary]
) -> Roof:
    call, *rest = found
    return Roof(
        tuple(Dense(*what, times) for what, times in zip(dense, rest, strict=False)),
        tuple(Copied(*what) for what in zip(copies, rest[len(dense) :], strict=True)),
        call,
    )


def _smallest() -> TimedCall:
    """A call that has next to nothing to do."""
    import torch
    from torch import nn

    from shufflenet.bench.layers.spec_leaves import written

    x, relu = torch.rand(1), nn.ReLU()
    return written(lambda: relu(x), [x])


def _dense() -> list[tuple[str, int, TimedCall]]:
    """What can come near the peak of a processor, with its name and cost [MAC]."""
    import torch
    from torch import nn

    from shufflenet.bench.layers.spec_leaves import written

    def call(run: Callable[..., object], *inputs: Tensor) -> TimedCall:
        return written(lambda: run(*inputs), inputs)

    found: list[tuple[str, int, TimedCall]] = []
    for side in _SIDES:
        pair = torch.rand(side, side), torch.rand(side, side)
        found.append((f"GEMM {side}x{side}x{side}", side**3, call(torch.mm, *pair)))
    for c, side, k in _CONVOLUTIONS:
        layer: Any = nn.Conv2d(c, c, k, padding=k // 2, bias=False)
        macs = side * side * c * c * k * k
        name = f"{k}x{k} convolution, {c} channels, {side}x{side}"
        found.append((name, macs, call(layer, torch.rand(1, c, side, side))))
    return found


def _copies() -> list[tuple[int, TimedCall]]:
    """Copies from one place to another, with what they read and write [B]."""
    import torch

    found = []
    for moved in _COPIES:
        source, target = (torch.rand(moved // (2 * _FLOAT)) for _ in range(2))
        found.append((moved, TimedCall(_copying(source, target), _copying(source, target))))
    return found


def _copying(source: Tensor, target: Tensor) -> Callable[[], object]:
    return lambda: target.copy_(source)
