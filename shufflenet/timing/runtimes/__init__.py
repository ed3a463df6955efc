"""The runtimes that a network can be timed in, as plug-ins: each an extra, absent ones said so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shufflenet.timing.runtimes import eager


class Runtime(NamedTuple):
    """A runtime by name: what it needs, and how it takes a module.

    ``missing`` is "" where it can run here, and else says what is not installed and how to install
    it. ``load`` takes a module in eval mode, the shape ``(n, c, h, w)`` of its input, a number of
    threads and an empty folder for its files, and gives a function of one float32 array that
    returns the output as another: the call that is timed. ``tolerance`` is by how much an output
    may differ from eager's, as a share of the largest absolute value of eager's output.
    """

    name: str
    extra: str
    missing: Callable[[], str]
    load: Callable[[Any, tuple[int, ...], int, str], Callable[[Any], Any]]
    tolerance: float


#: Every runtime by its name.
RUNTIMES: Mapping[str, Runtime] = {
    "eager": Runtime("eager", "torch", eager.missing, eager.load, 0.0),
}
