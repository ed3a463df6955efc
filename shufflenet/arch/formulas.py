"""The paper's closed forms, and the derivation of any unit's formula from its layer tree.

The closed forms are quoted; the derivation runs the analytic fold over symbols. Tests prove that
they are one and the same.
"""

from __future__ import annotations

from typing import Any

from flopcount.conventions import price
from flopcount.entries import Shape
from flopcount.integers import Count, exact, lift
from flopcount.layers import cost as layer_cost
from shufflenet.units import Place, Unit, UnitError, made


def resnet_unit(c: Count, h: Count, w: Count, m: Count) -> Count:
    """``hw(2cm + 9m^2)`` [MAC], the ResNet bottleneck at stride 1 (Source: Sec. 3.2)."""
    return h * w * (2 * c * m + 9 * m * m)


def resnext_unit(c: Count, h: Count, w: Count, m: Count, g: Count) -> Count:
    """``hw(2cm + 9m^2/g)`` [MAC], the ResNeXt bottleneck at stride 1 (Source: Sec. 3.2)."""
    return h * w * (2 * c * m + exact(9 * m * m, g))


def shufflenet_unit(c: Count, h: Count, w: Count, m: Count, g: Count) -> Count:
    """``hw(2cm/g + 9m)`` [MAC], the ShuffleNet unit at stride 1 (Source: Sec. 3.2)."""
    return h * w * (exact(2 * c * m, g) + 9 * m)


def derive(unit: Unit) -> Any:
    """The cost of a unit at stride 1 as a SymPy expression in h, w, c, m, g [MAC].

    Derived by running the analytic fold over symbols, with c channels in and out. Raises
    UnitError where the unit does something to its widths that symbols cannot follow.
    """
    import sympy

    if unit.needs:
        raise UnitError(f"unit {unit.name} has no formula: it needs option {', '.join(unit.needs)}")
    h, w, c, m, g = sympy.symbols("h w c m g", positive=True, integer=True)
    groups = g if unit.splits is not None else 1
    place = Place(lift(c), lift(c), lift(m), 1, lift(groups))
    try:
        layer = made(unit, place)
        tally = layer_cost.count(layer, Shape(1, lift(c), lift(h), lift(w)), memory=False)
    except (TypeError, UnitError) as error:
        raise UnitError(f"unit {unit.name} has no formula: {error}") from error
    cost: Any = price(tally, "macs")
    return h * w * sympy.expand(sympy.cancel(cost / (h * w)))


def formula(unit: Unit) -> str:
    """The cost of a unit at stride 1 as a Python expression in ``h w c m g`` [MAC]."""
    return str(derive(unit))


def latex(unit: Unit) -> str:
    """The cost of a unit at stride 1 as LaTeX, in the paper's letters [MAC]."""
    import sympy

    text: str = sympy.latex(derive(unit), order="grlex")
    return text
