"""The paper's Table 8 as networks to be timed, with its figures of an ARM phone."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from shufflenet.paper.claim_files import load_claims

#: What the paper sets its networks against: AlexNet as it is run today, on any size of image.
TABLE_8_BASELINE = "alexnet_one_tower"
#: Each network of Table 8, with its row there; 0.5x as Table 2 has it stands beside arch2.
TABLE_8 = {
    "shufflenet:scale=0.5,groups=3": "",
    "arch2:groups=3,widths=132,264,528,stem=12": "ShuffleNet 0.5x (arch2, g = 3)",
    "shufflenet:groups=3": "ShuffleNet 1x (g = 3)",
    TABLE_8_BASELINE: "AlexNet",
}


class Printed(NamedTuple):
    """A time as the paper prints it [ms], and how many times faster than its AlexNet that is."""

    ms: str
    ratio: Fraction


def printed() -> dict[tuple[str, tuple[int, int]], Printed]:
    """The paper's times of the networks of Table 8, by network and size (height, width) [px]."""
    (sheet,) = (sheet for sheet in load_claims() if sheet.page == "8")
    times = {(c.row, c.column): c.printed for c in sheet.claims if c.says == "time"}
    found = {}
    for network, row in TABLE_8.items():
        for (where, column), ms in times.items():
            if where != row:
                continue
            h, _, w = column.partition("x")
            base = times[TABLE_8[TABLE_8_BASELINE], column]
            ratio = Fraction(Decimal(base)) / Fraction(Decimal(ms))
            found[network, (int(h), int(w))] = Printed(ms, ratio)
    return found
