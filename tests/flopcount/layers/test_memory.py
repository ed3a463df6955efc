from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings

from flopcount import Shape
from flopcount.integers import lift
from flopcount.layers import (
    Act,
    AdaptivePool,
    Branches,
    Chain,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Identity,
    Layer,
    Linear,
    LocalNorm,
    Negate,
    Norm,
    Pool,
    Shuffle,
    Slice,
)
from flopcount.layers.cost import count, peak_activations
from tests.cases import Sizes, bodies, slid, trees


def after(layer: Layer, at: Sizes) -> Sizes:
    match layer:
        case Conv() | Pool():
            n, c, h, w = at
            slide = (layer.kernel, layer.stride, layer.padding, getattr(layer, "ceil", False))
            width = layer.c_out if isinstance(layer, Conv) else c
            return n, width, slid(h, *slide), slid(w, *slide)
        case Linear():
            return *at[:-1], layer.c_out
        case GlobalPool():
            return *at[:2], 1, 1
        case AdaptivePool(side):
            return *at[:2], side, side
        case Norm() | LocalNorm() | Act() | Negate() | Shuffle():
            return at
    raise AssertionError(layer)


def elements(at: Sizes) -> int:
    found = 1
    for size in at:
        found *= size
    return found


@dataclass
class Schedule:
    """Tensors by number with their elements, and the steps that read some and make one."""

    tensors: list[int] = field(default_factory=list)
    steps: list[tuple[list[int], int]] = field(default_factory=list)

    def tensor(self, at: Sizes) -> int:
        self.tensors.append(elements(at))
        return len(self.tensors) - 1

    def run(self, layer: Layer, tensor: int, at: Sizes) -> tuple[int, Sizes]:
        match layer:
            case Chain(children):
                for _, child in children:
                    tensor, at = self.run(child, tensor, at)
                return tensor, at
            case Identity() | Dropout():
                return tensor, at
            case Slice():
                # a view: the whole tensor stays for as long as it
                return tensor, (at[0], layer.width, *at[2:])
            case Flatten():
                return tensor, (at[0], elements(at[1:]))
            case Branches(children, join):
                ends = [self.run(child, tensor, at) for _, child in children]
                n, c, *rest = ends[0][1]
                width = sum(end[1] for _, end in ends) if join == "concat" else c
                return self.step([end for end, _ in ends], (n, width, *rest))
            case _:
                return self.step([tensor], after(layer, at))

    def step(self, inputs: list[int], at: Sizes) -> tuple[int, Sizes]:
        made = self.tensor(at)
        self.steps.append((inputs, made))
        return made, at

    def peak(self, result: int) -> int:
        made = {0: -1} | {out: time for time, (_, out) in enumerate(self.steps)}
        last = {t: time for time, (inputs, _) in enumerate(self.steps) for t in inputs}
        last[result] = len(self.steps)
        alive = [
            sum(self.tensors[t] for t in made if made[t] <= time <= last[t])
            for time in range(len(self.steps))
        ]
        return max(alive, default=self.tensors[0])


def oracle(layer: Layer, shape: Shape) -> int:
    schedule = Schedule()
    result, _ = schedule.run(layer, schedule.tensor(tuple(shape)), tuple(shape))
    return schedule.peak(result)


def branches(join: str, *children: Layer) -> Branches:
    return Branches(tuple((f"b{i}", child) for i, child in enumerate(children)), join)


def chain(*children: Layer) -> Chain:
    return Chain(tuple((f"s{i}", child) for i, child in enumerate(children)))


PIXELS = 4 * 4
ACT = Act()
BODY = chain(Conv(8, 32), Conv(32, 8))

# Each on an input of 8 channels, 4x4, with the channels alive at the worst moment.
KNOWN = [
    ("a conv holds its input and its output", Conv(8, 3), 8 + 3),
    ("nothing is done in place", Act(), 8 + 8),
    ("views alone make nothing", chain(Identity(), Flatten(), Identity()), 8),
    ("an empty chain makes nothing", Chain(()), 8),
    ("a chain forgets what was read", chain(Conv(8, 2), Conv(2, 2), Conv(2, 4)), 8 + 2),
    ("a shortcut keeps the input", branches("add", Identity(), BODY), 8 + 32 + 8),
    ("a join holds branches and output", branches("concat", Conv(8, 64), Conv(8, 64)), 2 * 128),
    (
        "the second branch runs beside the first and the input",
        branches("concat", Conv(8, 2), chain(Conv(8, 50), Conv(50, 3))),
        8 + 2 + 50,
    ),
    (
        "the last branch is the last to read the input",
        branches("concat", chain(Conv(8, 50), Conv(50, 2)), chain(Conv(8, 50), Conv(50, 3))),
        8 + 2 + 50,
    ),
    (
        "a later branch keeps the input alive through an earlier one",
        branches("concat", chain(Conv(8, 50), Conv(50, 20)), Conv(8, 1)),
        8 + 50 + 20,
    ),
    ("an input added to itself is one tensor", branches("add", Identity(), Identity()), 8 + 8),
    (
        "a shortcut behind the body keeps the input as well",
        branches("add", BODY, Identity()),
        8 + 32 + 8,
    ),
    (
        "a repeat beside a kept input holds one tensor more than its first run",
        branches("concat", chain(ACT, ACT, Conv(8, 1)), Identity()),
        8 + 8 + 8,
    ),
    (
        "a shortcut in a shortcut keeps both",
        branches("add", Identity(), chain(Conv(8, 8), branches("add", Identity(), BODY))),
        8 + 8 + 32 + 8,
    ),
    (
        "a branch of views is the input itself",
        branches("add", chain(Identity(), chain(Identity())), BODY),
        8 + 32 + 8,
    ),
    (
        "a branch that ends in a view is a tensor of its own",
        chain(branches("concat", chain(Conv(8, 9), Flatten()), chain(Conv(8, 9), Flatten()))),
        9 + 9 + 18,
    ),
    (
        "a view of the input keeps it",
        branches("concat", Flatten(), chain(Conv(8, 32), Conv(32, 8), Flatten())),
        8 + 32 + 8,
    ),
]


@pytest.mark.parametrize(("layer", "channels"), [k[1:] for k in KNOWN], ids=[k[0] for k in KNOWN])
def test_the_peak_is_what_is_alive_at_the_worst_moment(layer, channels):
    assert peak_activations(layer, Shape(1, 8, 4, 4)) == channels * PIXELS


@pytest.mark.parametrize(("layer", "channels"), [k[1:] for k in KNOWN], ids=[k[0] for k in KNOWN])
def test_the_schedule_finds_the_known_peaks_too(layer, channels):
    assert oracle(layer, Shape(1, 8, 4, 4)) == channels * PIXELS


@given(trees(depth=4))
@settings(deadline=None, max_examples=250)
def test_the_peak_is_that_of_the_schedule(tree):
    layer, shape, _ = tree
    assert peak_activations(layer, shape) == oracle(layer, shape)


@given(bodies(depth=3))
@settings(deadline=None, max_examples=80)
def test_repeated_units_peak_as_the_schedule_says(body_and_shape):
    body, shape = body_and_shape
    unit = branches("add", Identity(), body)
    kept = branches("add", Identity(), chain(unit, unit, unit), Chain(()))
    for layer in (chain(unit, unit, unit), kept, chain(Act(), kept, kept)):
        assert peak_activations(layer, shape) == oracle(layer, shape)


@given(bodies())
@settings(deadline=None, max_examples=40)
def test_the_peak_does_not_depend_on_which_objects_are_shared(body_and_shape):
    body, shape = body_and_shape
    apart = chain(*(copy.deepcopy(body) for _ in range(3)))
    assert peak_activations(chain(body, body, body), shape) == peak_activations(apart, shape)


@given(trees())
@settings(deadline=None, max_examples=50)
def test_no_leaf_holds_more_than_the_peak(tree):
    layer, shape, _ = tree
    tally = count(layer, shape)
    for entry in tally.entries:
        if entry.activations:
            distinct = entry.inputs if entry.kind == "concat" else entry.inputs[:1]
            held = max(s.elements for s in distinct) + entry.activations
            assert held <= tally.peak_activations


def test_a_column_of_widths_peaks_candidate_by_candidate():
    def unit(k) -> Layer:
        inner = branches("concat", Identity(), chain(Conv(lift(2 * k), 30), Conv(30, 4)))
        body = chain(Conv(8, lift(2 * k)), inner, Conv(lift(2 * k + 4), 8))
        return branches("add", Identity(), body)

    ks = (1, 2, 5, 11, 40)
    columns = peak_activations(unit(np.array(ks, np.int64)), Shape(1, 8, 4, 4))
    assert columns.tolist() == [oracle(unit(k), Shape(1, 8, 4, 4)) for k in ks]
