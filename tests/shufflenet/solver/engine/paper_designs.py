"""ShuffleNet's figures written out from the paper, and what may be wished of a space of designs.

Nothing here is the project's arithmetic: a unit is what Sec. 3.2 and Table 1 say, term by term, in
the letters of Sec. 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

#: The side of the image, and of what leaves Conv1, MaxPool and the three stages [px].
IMAGE, CONV1, POOLED = 224, 112, 56
SIDES = (28, 14, 7)
CLASSES = 1000
#: The reference widths of Stage2, for each number of groups (Source: Table 1).
REFERENCE = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}


class Design(NamedTuple):
    """A ShuffleNet: groups, the stem's width, the widths and the units of the three stages."""

    g: int
    stem: int
    widths: tuple[int, ...]
    units: tuple[int, ...]


class Figures(NamedTuple):
    """Multiply-adds of convolutions, parameters, peak of activations [B], sum of widths."""

    macs: int
    params: int
    memory: int
    channels: int


def legal(d: Design) -> bool:
    """Whether every width is whole groups of bottlenecks, and more than the one before."""
    before = (d.stem, *d.widths)
    return all(
        c % (4 * d.g) == 0 and c > b and (c - b) % d.g == 0
        for b, c in zip(before, d.widths, strict=False)
    )


def figures(d: Design) -> Figures:
    """What a design costs, layer by layer."""
    g, before, big = d.g, d.stem, POOLED
    macs = CONV1**2 * 9 * 3 * d.stem
    params = 9 * 3 * d.stem + 2 * d.stem
    peaks = [
        IMAGE**2 * 3 + CONV1**2 * d.stem,
        2 * CONV1**2 * d.stem,
        (CONV1**2 + POOLED**2) * d.stem,
    ]
    for at, (c, n, h) in enumerate(zip(d.widths, d.units, SIDES, strict=True)):
        m, added, first = c // 4, c - before, g if at else 1
        # Fig. 2 c: 1x1 at the size that comes in, 3x3 depthwise with the stride, 1x1 at its own
        macs += big**2 * before * m // first + h**2 * (9 * m + m * added // g)
        params += before * m // first + 9 * m + m * added // g + 2 * (m + m + added)
        pooled = h**2 * before
        peaks += [
            big**2 * before + pooled,
            big**2 * (before + m) + pooled,
            big**2 * 2 * m + pooled,
            (big**2 + h**2) * m + pooled,
            h**2 * (m + added) + pooled,
            h**2 * 2 * added + pooled,
            h**2 * 2 * c,
        ]
        # Fig. 2 b, as often as is left: what comes in stays for the sum
        macs += (n - 1) * h**2 * (2 * c * m // g + 9 * m)
        params += (n - 1) * (2 * c * m // g + 9 * m + 2 * (m + m + c))
        peaks += [h**2 * 3 * c] if n > 1 else []
        before, big = c, h
    params += CLASSES * before + CLASSES
    peaks += [(big**2 + 1) * before, before + CLASSES]
    return Figures(macs, params, 4 * max(peaks), sum(d.widths))


@dataclass(frozen=True)
class Room:
    """What may vary: groups, stems, the units of each stage; widths up to so many times Table 1."""

    groups: tuple[int, ...]
    stems: tuple[int, ...]
    units: tuple[tuple[int, ...], ...]
    widest: int = 4

    def most(self, g: int, at: int) -> int:
        """The widest that a stage may be, in steps of 4g."""
        return self.widest * REFERENCE[g] * 2**at // (4 * g)


class Wish(NamedTuple):
    """A figure to make small or large, or to bring near to a target; and what must hold."""

    figure: str
    sense: str
    target: int = 0
    at_most: tuple[tuple[str, int], ...] = ()
    at_least: tuple[tuple[str, int], ...] = ()

    def key(self, found: Figures) -> int:
        """What is to be the least."""
        value: int = getattr(found, self.figure)
        if self.sense == "nearest":
            return abs(value - self.target)
        return value if self.sense == "least" else -value

    def kept(self, found: Figures) -> bool:
        """Whether the bounds hold."""
        return all(getattr(found, name) <= most for name, most in self.at_most) and all(
            getattr(found, name) >= least for name, least in self.at_least
        )
