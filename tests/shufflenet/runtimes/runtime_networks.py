"""The networks that runtimes are tried on."""

from __future__ import annotations

from dataclasses import replace

from shufflenet.arch.network import Network, network
from shufflenet.arch.spec_reader import load


def half_network() -> Network:
    """Table 8's network, small: an average pool that is padded, shuffles, grouped convolutions."""
    return network(load("arch2"), 3, widths=(24, 48, 96), stem=12, size=(64, 48))


def one_stage() -> Network:
    """All kinds of layers of Table 8's network once or twice, and enough work for two threads.

    A compiler takes long for each shape that a kind of layer has, and what it made for one process
    it finds again in the next.
    """
    whole = load("arch2")
    rows = [row for row in whole.rows if row.layer not in ("Stage3", "Stage4")]
    once = tuple(replace(row, repeat=1) for row in rows)
    return network(replace(whole, rows=once), 3, widths=(240,), stem=24, size=(112, 112))
