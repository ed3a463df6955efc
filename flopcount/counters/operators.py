"""Rules for operators, from shapes alone: what comes out, and how many multiply-adds it takes.

Plain integers in, plain integers out: no tensor is looked at and no library asked. Each rule is
headed by its shape signature, and written in just those letters. A rule raises `ShapeError` where
the shapes do not fit, so that whoever asked can let the operator speak for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple, TypeAlias

Sizes: TypeAlias = tuple[int, ...]
#: One number for every axis, or one for each.
Each: TypeAlias = int | tuple[int, ...]

#: So many answers of each rule are kept.
REMEMBERED = 4096


class ShapeError(ValueError):
    """Shapes that do not fit a rule."""


class OperatorCost(NamedTuple):
    """The sizes that come out, and the multiply-adds it takes [MAC]."""

    out: Sizes
    macs: int


def each(value: Each, axes: int) -> Sizes:
    """One number for each axis. Raises ShapeError where there are others than one or ``axes``."""
    if isinstance(value, int):
        return (value,) * axes
    found = tuple(value)
    if len(found) == axes:
        return found
    if len(found) == 1:
        return found * axes
    raise ShapeError(f"{found} for {axes} axes")


@lru_cache(REMEMBERED)
def conv(
    x: Sizes, weight: Sizes, stride: Each = 1, padding: Each | str = 0, dilation: Each = 1
) -> OperatorCost:
    """A convolution of any rank, batched or not; ``padding`` may be ``"same"`` or ``"valid"``.

    Raises ShapeError where the ranks or channels do not fit.
    """
    # (n, c, *s) -> (n, d, *s'), weight (d, c/g, *k)
    axes = len(weight) - 2
    n, s = x[: -axes - 1], x[-axes:]
    d, per_group, *k = weight
    _fits(len(n) <= 1 and len(x) > axes and per_group > 0, x, weight)
    _fits(x[-axes - 1] % per_group == 0, x, weight)
    if padding == "same":
        out = s
    else:
        p = (0,) * axes if isinstance(padding, str) else each(padding, axes)
        t, e = each(stride, axes), each(dilation, axes)
        out = tuple((s[i] + 2 * p[i] - e[i] * (k[i] - 1) - 1) // t[i] + 1 for i in range(axes))
    _fits(min(out, default=1) > 0, x, weight)
    return OperatorCost((*n, d, *out), prod(n) * d * prod(out) * per_group * prod(k))


@lru_cache(REMEMBERED)
def conv_transpose(
    x: Sizes,
    weight: Sizes,
    stride: Each = 1,
    padding: Each = 0,
    output_padding: Each = 0,
    groups: int = 1,
    dilation: Each = 1,
) -> OperatorCost:
    """A transposed convolution of any rank: the mirror of the convolution it undoes.

    Raises ShapeError where the ranks or channels do not fit.
    """
    # (n, c, *s) -> (n, d, *s'), weight (c, d/g, *k)
    axes = len(weight) - 2
    n, c, s = x[: -axes - 1], x[-axes - 1], x[-axes:]
    _fits(len(n) <= 1 and len(x) > axes and c == weight[0], x, weight)
    _, per_group, *k = weight
    t, p = each(stride, axes), each(padding, axes)
    e, over = each(dilation, axes), each(output_padding, axes)
    out = tuple((s[i] - 1) * t[i] - 2 * p[i] + e[i] * (k[i] - 1) + over[i] + 1 for i in range(axes))
    _fits(min(out, default=1) > 0, x, weight)
    return OperatorCost((*n, per_group * groups, *out), prod(x) * per_group * prod(k))


@lru_cache(REMEMBERED)
def linear(x: Sizes, weight: Sizes) -> OperatorCost:
    """A linear map over the last axis. Raises ShapeError where the features do not fit."""
    # (*n, c) -> (*n, d), weight (d, c) or (c)
    *n, c = x
    _fits(len(weight) in (1, 2) and weight[-1] == c, x, weight)
    out = (*n, *weight[:-1])
    return OperatorCost(out, prod(out) * c)


@lru_cache(REMEMBERED)
def matmul(a: Sizes, b: Sizes) -> OperatorCost:
    """A product of vectors, matrices or batches of them, broadcast as NumPy does.

    Raises ShapeError where they do not fit.
    """
    _fits(bool(a) and bool(b), a, b)
    # (*n, i, k) @ (*m, k, j) -> (*nm, i, j); a vector is (k), and its axis falls away
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    k = b[-2] if len(b) > 1 else b[0]
    _fits(a[-1] == k, a, b)
    out = (*broadcast(a[:-2], b[:-2]), *rows, *columns)
    return OperatorCost(out, prod(out) * k)


@lru_cache(REMEMBERED)
def grouped(a: Sizes, b: Sizes, groups: int = 1) -> OperatorCost:
    """Products of matrices that lie one behind the other, each group's with its own other one.

    Where that goes for both, what they share is cut in groups, and so many matrices come out.
    Raises ShapeError where they do not fit.
    """
    # (t, k) @ (g, k, j) -> (t, j); (g, i, k) @ (k, t) -> (i, t); (i, t) @ (t, j) -> (g, i, j)
    _fits(len(a) in (2, 3) and len(b) in (2, 3), a, b)
    if len(a) == len(b) == 3:
        _fits(a[0] == b[0], a, b)
        return matmul(a, b)
    *_, i, k = a
    _fits(k == b[-2], a, b)
    out = (groups, i, b[-1]) if len(a) == len(b) else (i, b[-1])
    return OperatorCost(out, i * k * b[-1])


@lru_cache(REMEMBERED)
def attention(q: Sizes, k: Sizes, v: Sizes) -> OperatorCost:
    """The two products of scaled dot product attention; fewer heads of keys are shared.

    A causal mask saves nothing: the products are those of the whole matrix.
    Raises ShapeError where the shapes do not fit.
    """
    # (*n, t, e), (*n, s, e), (*n, s, f) -> (*n, t, f)
    _fits(min(len(q), len(k), len(v)) >= 2, q, k, v)
    *n, t, e = q
    s, f = k[-2], v[-1]
    _fits(k[-1] == e and v[-2] == s, q, k, v)
    if len(n) == len(k) - 2 and n and n[-1] != k[-3] and k[-3] and n[-1] % k[-3] == 0:
        # grouped-query: (n, heads, t, e) against (n, heads / groups, s, e)
        batch = (*broadcast(tuple(n[:-1]), k[:-3]), n[-1])
    else:
        batch = broadcast(tuple(n), broadcast(k[:-2], v[:-2]))
    return OperatorCost((*batch, t, f), prod(batch) * t * s * (e + f))


@lru_cache(REMEMBERED)
def bilinear(x: Sizes, y: Sizes, weight: Sizes) -> OperatorCost:
    """A bilinear map: a contraction with the weight, and one with the second input.

    Raises ShapeError where the features do not fit.
    """
    # (*n, i), (*n, j) -> (*n, o), weight (o, i, j)
    o, i, j = weight
    _fits(x[-1] == i and y[-1] == j and x[:-1] == y[:-1], x, y, weight)
    return OperatorCost((*x[:-1], o), prod(x[:-1]) * o * (i * j + j))


def recurrent(rows: int, weights: Sequence[Sizes]) -> int:
    """Multiply-adds [MAC] of a recurrent net: every matrix once for each row of each step."""
    return rows * sum(prod(weight) for weight in weights if len(weight) == 2)


@lru_cache(REMEMBERED)
def broadcast(a: Sizes, b: Sizes) -> Sizes:
    """The sizes of two tensors brought together. Raises ShapeError where they do not fit."""
    if a == b:
        return a
    if len(a) < len(b):
        a, b = b, a
    over = len(a) - len(b)
    tail = a[over:]
    for x, y in zip(tail, b, strict=True):
        _fits(x == y or x == 1 or y == 1, a, b)
    return (*a[:over], *(y if x == 1 else x for x, y in zip(tail, b, strict=True)))


@lru_cache(REMEMBERED)
def pooled(
    x: Sizes,
    kernel: Each,
    stride: Each,
    padding: Each = 0,
    dilation: Each = 1,
    ceil: bool = False,
    axes: int = 2,
) -> tuple[Sizes, int]:
    """What a pooling makes, and the elements under its windows with the padding left out.

    Raises ShapeError where the rank does not fit.
    """
    # (*n, c, *s) -> (*n, c, *s')
    _fits(len(x) > axes, x)
    outer, sizes = x[:-axes], x[-axes:]
    under, out = prod(outer), []
    along = (each(kernel, axes), each(stride, axes), each(padding, axes), each(dilation, axes))
    for s, k, t, p, e in zip(sizes, *along, strict=True):
        reach = e * (k - 1) + 1
        count = -(-(s + 2 * p - reach) // t) + 1 if ceil else (s + 2 * p - reach) // t + 1
        if ceil and (count - 1) * t >= s + p:
            # the last window may not start beyond the image
            count -= 1
        _fits(count > 0, x)
        out.append(count)
        under *= windowed(s, k, t, p, e, count)
    return (*outer, *out), under


def windowed(size: int, kernel: int, stride: int, padding: int, dilation: int, count: int) -> int:
    """The elements under so many positions of a window along one axis, padding left out."""
    # each tap lies inside the image for a run of positions
    offsets = [dilation * tap - padding for tap in range(kernel)]
    first = (max(0, -(offset // stride)) for offset in offsets)
    last = (min(count - 1, (size - 1 - offset) // stride) for offset in offsets)
    return sum(max(0, b - a + 1) for a, b in zip(first, last, strict=True))


@lru_cache(REMEMBERED)
def reduced(x: Sizes, dims: Sizes | int | None, keep: bool) -> Sizes:
    """The sizes after a reduction over some axes, or over all. Raises ShapeError past the rank."""
    rank = len(x)
    chosen = (dims,) if isinstance(dims, int) else dims
    if not chosen:
        chosen = tuple(range(rank))
    _fits(all(-rank <= dim < rank for dim in chosen), x)
    gone = {dim % rank for dim in chosen}
    if keep:
        return tuple(1 if i in gone else size for i, size in enumerate(x))
    return tuple(size for i, size in enumerate(x) if i not in gone)


@lru_cache(REMEMBERED)
def concatenated(shapes: tuple[Sizes, ...], dim: int) -> Sizes:
    """The sizes of tensors put one behind the other. Raises ShapeError where they do not fit."""
    shapes = tuple(s for s in shapes if s != (0,)) or shapes
    first = shapes[0]
    at = dim % len(first) if first else 0
    _fits(bool(first) and -len(first) <= dim < len(first), *shapes)
    rest = (*first[:at], *first[at + 1 :])
    _fits(all((*s[:at], *s[at + 1 :]) == rest for s in shapes), *shapes)
    return (*first[:at], sum(s[at] for s in shapes), *first[at + 1 :])


@lru_cache(REMEMBERED)
def padded(x: Sizes, pad: Sizes) -> Sizes:
    """The sizes after padding, which is given from the last axis on. Raises ShapeError."""
    axes = len(pad) // 2
    _fits(len(pad) == 2 * axes and axes <= len(x), x, pad)
    out = list(x)
    for i in range(axes):
        before, after = pad[2 * i : 2 * i + 2]
        # what is cut must be there
        _fits(out[-1 - i] + min(before, 0) + min(after, 0) >= 0, x, pad)
        out[-1 - i] += before + after
    return tuple(out)


def _fits(holds: bool, *shapes: Sizes) -> None:
    if not holds:
        raise ShapeError(f"shapes {', '.join('x'.join(map(str, s)) for s in shapes)} do not fit")


@lru_cache(REMEMBERED)
def einsum(equation: str, shapes: tuple[Sizes, ...]) -> OperatorCost:
    """A sum of products in Einstein's notation, contracted from left to right two at a time.

    What only one of two tensors has and nothing later asks for is added up before, without a
    product; two tensors that share no summed index are only scaled by each other. Raises
    ShapeError where the shapes do not fit the equation.
    """
    # "ik,kj->ij": (i, k), (k, j) -> (i, j)
    given, arrow, wanted = equation.replace(" ", "").partition("->")
    terms = given.split(",")
    _fits(len(terms) == len(shapes), *shapes)
    labelled = [_labels(term, shape) for term, shape in zip(terms, shapes, strict=True)]
    sizes: dict[str, int] = {}
    for labels, shape in zip(labelled, shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            known = sizes.get(label, 1)
            _fits(known == size or 1 in (known, size), *shapes)
            sizes[label] = size if known == 1 else known
    dots = tuple(sorted((x for x in sizes if x.startswith(".")), key=lambda x: -int(x[1:])))
    every = [label for labels in labelled for label in labels]
    once = (x for x in sorted(sizes) if not x.startswith(".") and every.count(x) == 1)
    asked = _named(wanted, dots) if arrow else (*dots, *once)
    _fits(set(asked) <= set(sizes), *shapes)
    macs, held = 0, set(labelled[0])
    for at, labels in enumerate(labelled[1:], 1):
        new = set(labels)
        later = set(asked).union(*labelled[at + 1 :])
        if (held & new) - later:
            macs += prod(sizes[label] for label in (held | new) - ((held ^ new) - later))
        held = (held | new) & later
    return OperatorCost(tuple(sizes[label] for label in asked), macs)


def _labels(term: str, shape: Sizes) -> tuple[str, ...]:
    """A label for each axis; those of an ellipsis are numbered from the last one on."""
    hidden = len(shape) - len(term.replace("...", "")) if "..." in term else 0
    labels = _named(term, tuple(f".{i}" for i in range(hidden - 1, -1, -1)))
    _fits(hidden >= 0 and len(labels) == len(shape), shape)
    return labels


def _named(term: str, dots: tuple[str, ...]) -> tuple[str, ...]:
    before, ellipsis, after = term.partition("...")
    return (*before, *(dots if ellipsis else ()), *after)
