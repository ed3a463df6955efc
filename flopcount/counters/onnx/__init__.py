"""Count an ONNX file from its graph: no weight is loaded, and nothing runs.

Shapes are inferred by the onnx package; what each operator takes is written in `pricing`. Shape
arithmetic, constants and whatever else is known before any input is there give no entry, unless
they multiply and add.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

if find_spec("onnx") is None:
    raise ModuleNotFoundError(
        "an ONNX file is read with onnx: pip install 'shufflecost[onnx]'", name="onnx"
    )

from flopcount.counters.onnx.naming import bits, is_floating
from flopcount.counters.onnx.reading import OnnxError, Shapes, read
from flopcount.counters.onnx.walk import GraphWalk
from flopcount.tally import Tally

if TYPE_CHECKING:
    import onnx

__all__ = ["OnnxError", "count"]


def count(source: str | os.PathLike[str] | onnx.ModelProto, shapes: Shapes | None = None) -> Tally:
    """The tally of one run of an ONNX file or model, node by node.

    ``shapes`` gives the sizes of inputs by name, or in order; those that the file states in
    numbers need none. Parameters are the stored fractions that a node works with; a running
    statistic, a quantiser's scale, a mask or a single factor is none, a batch norm that the
    exporter folded has become a bias, and a table that is fixed looks as one that is learned
    unless the exporter says which it is. Raises OnnxError where the file cannot be read, or the
    size of an input is neither stated nor given.
    """
    found = read(source, shapes)
    walk = GraphWalk(found)
    walk.run()
    ends = [walk.value(name) for name in found.inputs]
    widths = (bits(value.type) for value in ends if is_floating(value.type))
    batches = (value.sizes[0] for value in ends if value.sizes)
    return Tally(
        tuple(walk.entries),
        (next(widths, 32) or 32) // 8,
        uncounted=dict(walk.uncounted),
        parameters=walk.parameters(),
        peak_bytes=walk.peak(),
        batch=next(batches, 1),
    )
