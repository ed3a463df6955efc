"""Counted and priced networks as records: what every table and every JSON object is made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flopcount.conventions import Convention, price
from flopcount.layers import Conv, leaves
from flopcount.tally import Tally
from shufflenet.arch.network import Network
from shufflenet.arch.quantities import rounded_half_up
from shufflenet.arch.scaling import Rounded, shown


class Priced(NamedTuple):
    """A network with its analytic tally and its cost under a convention, in that one's unit.

    ``confirmed`` is None where no witness was asked; else ``witnesses`` are the multiply-adds of
    the whole network by each [MAC].
    """

    network: Network
    tally: Tally
    convention: Convention
    cost: int
    confirmed: bool | None = None
    witnesses: Mapping[str, int | str] | None = None

    @property
    def pointwise(self) -> int:
        """What the 1x1 convolutions cost, in the convention's unit."""
        wanted = [
            p
            for p, leaf in leaves(self.network.tree)
            if isinstance(leaf, Conv) and leaf.kernel == 1
        ]
        return price(self.tally.under(wanted), self.convention)

    @property
    def pointwise_share(self) -> float:
        """The share of the 1x1 convolutions, rounded half up to four digits."""
        return rounded_half_up(self.pointwise, self.cost, 4)


def priced(network: Network, convention: Convention, *, memory: bool = True) -> Priced:
    """Count a network and price it."""
    tally = network.tally(memory=memory)
    return Priced(network, tally, convention, price(tally, convention))


def column_json(item: Priced) -> dict[str, Any]:
    """A column of Table 1 as figures."""
    return {
        "groups": item.network.groups,
        "stem": item.network.stem,
        "widths": list(item.network.stage_widths),
        "macs": item.cost,
        "params": item.tally.params,
        "peak_activation_bytes": item.tally.peak_memory,
        "confirmed": item.confirmed,
        "witnesses": None if item.witnesses is None else dict(item.witnesses),
        "rounded": [rounded_json(rounding) for rounding in item.network.rounded],
    }


def rounded_json(rounding: Rounded) -> dict[str, Any]:
    """A rounded width as figures; what was wanted may be a fraction, and is a text."""
    return {
        "layer": rounding.layer,
        "wanted": shown(rounding.wanted),
        "used": rounding.used,
        "rule": rounding.rule,
    }


def rows_json(networks: list[Network]) -> list[dict[str, Any]]:
    """The rows of Table 1 as figures, with a width for each column."""
    first = networks[0]
    image = first.spec.rows[0]
    rows: list[dict[str, Any]] = [
        {
            "layer": image.layer,
            "unit": image.unit,
            "output": list(first.frame.size),
            "ksize": None,
            "stride": None,
            "repeat": None,
            "channels": [network.input[1] for network in networks],
        }
    ]
    for index, placed in enumerate(first.rows):
        rows.append(
            {
                "layer": placed.row.layer,
                "unit": placed.row.unit,
                "output": list(placed.output),
                "ksize": placed.row.kernel,
                "stride": placed.row.stride,
                "repeat": placed.row.repeat,
                "channels": [network.rows[index].channels for network in networks],
            }
        )
    return rows


def input_json(network: Network) -> Mapping[str, int]:
    """The size of the input image as figures [px]."""
    h, w = network.frame.size
    return {"channels": network.input[1], "height": h, "width": w}
