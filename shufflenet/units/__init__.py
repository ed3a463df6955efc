"""Units: from one place in a network to a layer tree.

A unit is a function of a `Place` (widths, stride, groups), and knows nothing of rows or of the
network around it. The same function serves ints, arrays of candidate widths and symbols.
"""

from __future__ import annotations

from shufflenet.units.context import Place, UnitError, conv_norm
from shufflenet.units.paper import resnet, resnext, shufflenet, vgg, xception
from shufflenet.units.record import Unit
from shufflenet.units.registry import UNITS
from shufflenet.units.user_units import made, stage_unit, unit

__all__ = [
    "UNITS",
    "Place",
    "Unit",
    "UnitError",
    "conv_norm",
    "made",
    "resnet",
    "resnext",
    "shufflenet",
    "stage_unit",
    "unit",
    "vgg",
    "xception",
]
