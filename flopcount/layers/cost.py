"""The analytical cost of a layer tree: the only multiply-add formulas, and the memory fold.

One code prices one network (ints), a million candidates (int64 arrays) or all of them at once
(symbols: the formula of a unit). Nothing here runs a network or imports one.
"""

from __future__ import annotations

from typing import NamedTuple, assert_never

from flopcount.entries import Entry, Shape
from flopcount.integers import Count, covered, exact, largest, product, spread, total
from flopcount.layers.tree import (
    Act,
    AdaptivePool,
    Branches,
    Chain,
    Conv,
    Dropout,
    Flatten,
    Function,
    GlobalPool,
    Identity,
    Layer,
    Leaf,
    Linear,
    LocalNorm,
    Negate,
    Norm,
    Pool,
    Shuffle,
    Slice,
    View,
    below,
    joined,
    output,
)
from flopcount.tally import Tally


def count(layer: Layer, shape: Shape, *, memory: bool = True, element_bytes: int = 4) -> Tally:
    """The tally of a tree for an input ``(n, c, h, w)``: multiply-adds [MAC], parameters, shapes.

    ``memory=False`` leaves the peak of activation memory out (symbols have none);
    ``element_bytes`` [B] is 4 for float32. Raises FigureTooLargeError past 2**63 - 1.
    """
    entries: list[Entry] = []
    _fold(layer, shape, "", entries)
    peak = peak_activations(layer, shape) if memory else None
    return Tally(tuple(entries), element_bytes, peak, batch=shape[0] if shape else 1)


def _fold(layer: Layer, shape: Shape, path: str, entries: list[Entry]) -> Shape:
    match layer:
        case Chain(children):
            before, last, cut = None, None, 0
            found: list[Entry] = []
            for name, child in children:
                here = below(path, name)
                if child is last and shape is before:
                    # The same unit on the same shape: its facts once more, under its own path.
                    entries += [_moved(entry, here + entry.path[cut:]) for entry in found]
                    continue
                before, last, cut, first = shape, child, len(here), len(entries)
                shape = _fold(child, shape, here, entries)
                found = entries[first:]
            return shape
        case Branches(children, join):
            shapes = [_fold(child, shape, below(path, name), entries) for name, child in children]
            out = joined(layer, shapes)
            ran = "mul" if join == "mul" else ""
            ends = (tuple(shapes), (out,))
            entries.append(Entry(below(path, join), join, *ends, operator=ran))
            return out
        case _:
            entry = _leaf(layer, shape, path)
            entries.append(entry)
            return entry.outputs[0]


def _moved(e: Entry, path: str) -> Entry:
    return Entry(path, *e[1:8], windows=e.windows)


# The kind of each nonlinearity, and the operator where its kind does not say which it is.
_ACTS: dict[Function, tuple[str, str]] = {
    "relu": ("relu", ""),
    "relu6": ("relu6", ""),
    "hardswish": ("activation", "hardswish"),
    "hardsigmoid": ("activation", "hardsigmoid"),
    "silu": ("activation", "silu"),
    "sigmoid": ("activation", "sigmoid"),
}


def _leaf(layer: Leaf, shape: Shape, path: str) -> Entry:
    out = output(layer, shape)
    ends = (shape,), (out,)
    match layer:
        case Conv(c, d, k, _, _, g, bias):
            # (n, c, h, w) -> (n, d, h', w'), weight (d, c/g, k, k)
            n, _, h, w = out
            weight = product(d, exact(c, g), k * k)
            return Entry(path, "conv", *ends, product(n, h, w, weight), weight, d if bias else 0)
        case Norm(c):
            # (n, c, h, w) -> (n, c, h, w), weight (c), bias (c)
            return Entry(path, "batch_norm", *ends, 0, c, c)
        case LocalNorm():
            return Entry(path, "norm", *ends, operator="local_response_norm")
        case Act(function):
            kind, operator = _ACTS[function]
            return Entry(path, kind, *ends, operator=operator)
        case Negate():
            return Entry(path, "elementwise", *ends, operator="neg")
        case Dropout():
            return Entry(path, "dropout", *ends)
        case Pool(mode, k, s, p, ceil):
            n, c, h, w = shape
            windows = product(n, c, covered(h, k, s, p, ceil), covered(w, k, s, p, ceil))
            return Entry(path, f"{mode}_pool", *ends, windows=windows)
        case GlobalPool():
            return Entry(path, "global_avg_pool", *ends, windows=shape.elements)
        case AdaptivePool(side):
            n, c, h, w = shape
            kind = "global_avg_pool" if side == 1 else "adaptive_avg_pool"
            return Entry(path, kind, *ends, windows=product(n, c, spread(h, side), spread(w, side)))
        case Shuffle():
            return Entry(path, "channel_shuffle", *ends)
        case Slice():
            return Entry(path, "slice", *ends)
        case Flatten():
            return Entry(path, "flatten", *ends)
        case Identity():
            return Entry(path, "identity", *ends)
        case Linear(c, d, bias):
            # (n, ..., c) -> (n, ..., d), weight (d, c)
            weight = product(d, c)
            return Entry(
                path, "linear", *ends, product(*shape[:-1], weight), weight, d if bias else 0
            )
        case _:
            assert_never(layer)


class _Alive(NamedTuple):
    """A tensor on its way through the tree, and what is alive beside it [elements].

    ``beside`` leaves the tensor itself out. ``kept`` says that somebody reads it again later;
    once a layer has made a new tensor of it, it is alive beside that one. ``shape`` may be that of
    a view, and ``part`` says that the view has not all of the ``elements``.
    """

    shape: Shape
    elements: Count
    beside: Count
    kept: bool
    peak: Count
    part: bool = False

    def replaced(self, out: Shape, elements: Count, alive: Count) -> _Alive:
        """After a layer that made a new tensor, while so much was alive."""
        beside = self.beside + self.elements if self.kept else self.beside
        return _Alive(out, elements, beside, False, largest(self.peak, alive))


def peak_activations(layer: Layer, shape: Shape) -> Count:
    """The most elements alive while any leaf runs, for an input ``(n, c, h, w)``.

    Alive are the leaf's inputs, its outputs and every tensor still needed later; branches run in
    order, nothing is done in place, views share their tensor, and weights are excluded.
    """
    elements = shape.elements
    return _live(layer, _Alive(shape, elements, 0, False, elements)).peak


def _live(layer: Layer, at: _Alive) -> _Alive:
    match layer:
        case Chain(children):
            before = last = None
            for _, child in children:
                if child is not last or before is None or not _unmoved(before, at):
                    before, last = at, child
                    at = _live(child, at)
            return at
        case Branches():
            return _live_branches(layer, at)
        case Slice():
            return at._replace(shape=output(layer, at.shape), part=True)
        case _ if isinstance(layer, View):
            return at._replace(shape=output(layer, at.shape))
        case _:
            out = output(layer, at.shape)
            elements = at.elements if out is at.shape and not at.part else out.elements
            return at.replaced(out, elements, total((at.beside, at.elements, elements)))


def _unmoved(before: _Alive, at: _Alive) -> bool:
    """Whether all is as before a layer but the peak, so that the same layer cannot raise it."""
    return at.shape is before.shape and at.beside is before.beside and at.kept is before.kept


def _live_branches(layer: Branches, at: _Alive) -> _Alive:
    views = [_is_view(child) for _, child in layer.children]
    shared = any(views)
    finished: list[Count] = []
    shapes: list[Shape] = []
    peak = at.peak
    for view, (_, child) in zip(views, layer.children, strict=True):
        kept = at.kept or shared or len(shapes) + 1 < len(layer.children)
        beside = total((at.beside, *finished))
        inside = _live(child, _Alive(at.shape, at.elements, beside, kept, peak, at.part))
        shapes.append(inside.shape)
        peak = inside.peak
        if not view:
            finished.append(inside.elements)
    out = joined(layer, shapes)
    elements = out.elements
    own = at.elements if at.kept or shared else 0
    alive = total((at.beside, own, *finished, elements))
    return at.replaced(out, elements, largest(peak, alive))


def _is_view(layer: Layer) -> bool:
    if isinstance(layer, Chain):
        return all(_is_view(child) for _, child in layer.children)
    return isinstance(layer, View)
