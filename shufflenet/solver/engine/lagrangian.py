"""Cuts: weighted sums of figures that prune where each figure alone would not.

A network inside its windows keeps every weighted sum of them too. For the weights that make the
least of such a sum as large as possible (the multipliers of a Lagrangian relaxation) that sum
bounds a term far better than the term's own least. The weights are looked for in floating point
and rounded; whatever they are, the sum is one of exact integers and the bound it gives is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shufflenet.solver.engine.bounds import FAR, ChainSearch, Term, Windows

# A gap to the best weights that is not worth a further path.
_CLOSE = 1e-7
# Weighted sums stay below this, and so does what they are compared with.
_ROOM = FAR // 8


class WindowSide(NamedTuple):
    """One side of a window: ``sign`` times a term is at most ``sign`` times its limit."""

    term: int
    sign: int

    def limit(self, windows: Windows) -> int:
        """The most that ``sign`` times the term may be."""
        return windows.most[self.term] if self.sign > 0 else -windows.least[self.term]


class Cut(NamedTuple):
    """Weights of sides: the weighted sum of them is at most that of their limits."""

    weights: tuple[tuple[WindowSide, int], ...]

    def term(self, terms: Sequence[Term]) -> Term:
        """The weighted sum as a term of its own."""
        found: dict[str, int] = {}
        for side, weight in self.weights:
            for name, coefficient in terms[side.term]:
                found[name] = found.get(name, 0) + side.sign * weight * coefficient
        return tuple(found.items())

    def most(self, windows: Windows) -> int:
        """The most that the sum may be; FAR where a side has no limit."""
        total = 0
        for side, weight in self.weights:
            limit = side.limit(windows)
            if abs(limit) >= FAR:
                return FAR
            total += weight * limit
        return total if abs(total) < FAR else FAR


def sides(search: ChainSearch, windows: Windows) -> list[WindowSide]:
    """The sides of the windows that some network of the chain breaks."""
    found = []
    for t in range(len(search.terms)):
        if windows.most[t] < search.most[t]:
            found.append(WindowSide(t, 1))
        if windows.least[t] > search.least[t]:
            found.append(WindowSide(t, -1))
    return found


def cut(
    search: ChainSearch, wanted: WindowSide, others: Sequence[WindowSide], windows: Windows
) -> Cut | None:
    """The cut that bounds one side best by the others, or None where they do not bound it."""
    limits = [side.limit(windows) for side in others]
    near = [
        (side, limit)
        for side, limit in zip(others, limits, strict=True)
        if abs(limit) < FAR and side.term != wanted.term
    ][: search.limits.cut_sides]
    if not near:
        return None
    multipliers = _multipliers(search, wanted, near)
    if not multipliers.any():
        return None
    return _rounded(search, wanted, [side for side, _ in near], multipliers)


def _size(search: ChainSearch, side: WindowSide) -> int:
    return max(search.largest[side.term], 1)


def _rounded(
    search: ChainSearch,
    wanted: WindowSide,
    others: Sequence[WindowSide],
    multipliers: NDArray[np.float64],
) -> Cut | None:
    """The multipliers as whole numbers, as fine as there is room for."""
    sizes = [_size(search, side) for side in others]
    total = _size(search, wanted) + sum(
        float(m) * size for m, size in zip(multipliers, sizes, strict=True)
    )
    if not np.isfinite(total) or total >= _ROOM:
        return None
    scale = int(_ROOM / (2 * total))
    weights = [(wanted, scale)]
    for side, multiplier in zip(others, multipliers, strict=True):
        weight = round(float(multiplier) * scale)
        if weight:
            weights.append((side, weight))
    return Cut(tuple(weights)) if scale and len(weights) > 1 else None


def _multipliers(
    search: ChainSearch, wanted: WindowSide, others: Sequence[tuple[WindowSide, int]]
) -> NDArray[np.float64]:
    """Kelley's cutting planes: the multipliers, at least 0, with the largest least sum."""
    terms = [wanted, *(side for side, _ in others)]
    limits = np.array([0, *(limit for _, limit in others)], np.float64)
    # In units of their own size, so that no side drowns the others.
    units = np.array([_size(search, side) for side in terms], np.float64)
    box = np.full(len(others), 1e4)
    paths: list[NDArray[np.float64]] = []
    at = np.zeros(len(others))
    best, found = -np.inf, at
    for _ in range(search.limits.cut_paths):
        weights = np.concatenate([[1.0], at]) / units
        values = _least_path(search, terms, weights)
        gaps = (values - limits) / units
        if not paths and (gaps[1:] <= 0).all():
            # The least network keeps the other sides anyway: they do not bound this one.
            return at
        sum_here = gaps[0] + float(at @ gaps[1:])
        if sum_here > best:
            best, found = sum_here, at
        paths.append(gaps)
        at, bound = _highest(np.array(paths), box)
        if bound - best <= _CLOSE * max(abs(best), 1.0):
            break
    scaled: NDArray[np.float64] = found * units[0] / units[1:]
    return scaled


def _highest(paths: NDArray[np.float64], box: NDArray[np.float64]) -> tuple[Any, float]:
    """Where the least of some planes over a box is highest: one of the planes' corners."""
    dims = len(box)
    # Planes z <= f + g.x, and the sides of the box, as rows a.(x, z) <= b.
    rows = np.concatenate([-paths[:, 1:], np.ones((len(paths), 1))], axis=1)
    walls = np.concatenate([np.eye(dims), -np.eye(dims)])
    a = np.concatenate([rows, np.concatenate([walls, np.zeros((2 * dims, 1))], axis=1)])
    b = np.concatenate([paths[:, 0], box, np.zeros(dims)])
    chosen = np.array(list(combinations(range(len(b)), dims + 1)))
    regular = np.abs(np.linalg.det(a[chosen])) > 1e-12
    corners = np.linalg.solve(a[chosen[regular]], b[chosen[regular]][:, :, None])[:, :, 0]
    slack = b[None, :] - corners @ a.T
    inside = (slack >= -1e-9 * (1 + np.abs(b))[None, :]).all(axis=1)
    if not inside.any():
        return np.zeros(dims), np.inf
    corners = corners[inside]
    best = corners[int(corners[:, -1].argmax())]
    return np.clip(best[:-1], 0, box), float(best[-1])


def _least_path(
    search: ChainSearch, sides_: Sequence[WindowSide], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The sides' values on the path whose weighted sum is least."""
    index = [side.term for side in sides_]
    signed = np.array([side.sign for side in sides_], np.float64)
    used = [(t, w) for t, w in zip(index, (signed * weights).tolist(), strict=True) if w]
    after: Any = np.zeros(search.legal[-1].shape[1])
    chosen: list[tuple[Any, Any]] = []
    for p in reversed(range(len(search.legal))):
        own = sum(weight * search.floats(p)[1][t] for t, weight in used)
        own[~search.allowed[p]] = np.inf
        r = own.argmin(axis=1)
        after = after + own[np.arange(len(r)), r]
        pair = sum(weight * search.floats(p)[0][t] for t, weight in used)
        pair += after
        pair[~search.legal[p]] = np.inf
        j = pair.argmin(axis=1)
        after = pair[np.arange(len(j)), j]
        chosen.append((j, r))
    total = search.start[index].astype(np.float64)
    node = 0
    for p, (j, r) in enumerate(reversed(chosen)):
        own = int(j[node])
        total += search.pair[p][index, node, own] + search.own[p][index, own, int(r[own])]
        node = own
    return total * signed
