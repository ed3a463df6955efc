"""ShuffleNet's multiply-adds by hand, from the paper's own table."""

from __future__ import annotations

from collections.abc import Sequence


def by_hand(
    g: int, widths: Sequence[int], stem: int = 24, repeats: Sequence[int] = (4, 8, 4)
) -> int:
    """Convolutions of Table 1 at 224x224, summed layer by layer from the paper alone [MAC]."""
    total = 112 * 112 * stem * 3 * 9
    c, size, ungrouped = stem, 56, True
    for width, repeat in zip(widths, repeats, strict=True):
        m = width // 4
        # stride 2: the first 1x1 at the input's resolution, the last makes what is added
        total += size * size * m * c // (1 if ungrouped else g)
        size, ungrouped = size // 2, False
        total += size * size * m * 9 + size * size * (width - c) * m // g
        c = width
        total += (repeat - 1) * (2 * size * size * c * m // g + size * size * m * 9)
    return total
