"""Units by name: those of the package, and functions of one's own where they are allowed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import get_args

from flopcount.layers import Act, Function, Layer, Leaf, leaves
from shufflenet.system.user_code import load, own_code, reason, reason_with_kind
from shufflenet.units.context import Place, UnitError, is_unit_name
from shufflenet.units.record import Unit
from shufflenet.units.registry import UNITS


def unit(name: str, units_from: Collection[str] = ()) -> Unit:
    """The unit of a bundled name, or of ``package.module:function``.

    A function of one's own is imported here and nowhere else, and only where ``units_from`` names
    its package. It takes a `Place` and returns a layer tree; a `Unit` record serves as well.
    Raises UnitError where there is none, or it is not allowed; OwnCodeError where its module raises
    what no module does that cannot be loaded.
    """
    if isinstance(units_from, str):
        units_from = (units_from,)
    if name in UNITS:
        return UNITS[name]
    if ":" not in name:
        raise _unknown(name, UNITS)
    if not is_unit_name(name):
        raise UnitError(f"unit {name!r} is neither a name nor package.module:function")
    module_name = name.partition(":")[0]
    if not any(f"{module_name}.".startswith(f"{allowed}.") for allowed in units_from):
        package = module_name.partition(".")[0]
        raise UnitError(
            f"unit {name!r} runs code of package {package!r}, which is not allowed;"
            f" --units-from {package} allows it"
        )
    label = f"unit {name!r} cannot be imported"
    try:
        found = load(name, label, UnitError, _UNLOADABLE)
    except _UNLOADABLE as error:
        raise UnitError(f"{label}: {reason(error)}") from error
    if isinstance(found, Unit):
        return found._replace(name=name)
    if not callable(found):
        raise UnitError(f"unit {name!r} is of type {type(found).__name__}, no function of a Place")
    summary = (getattr(found, "__doc__", None) or "").strip().partition("\n")[0]
    return Unit(name, found, summary, splits="groups", kernel="optional")


def _unknown(name: str, known: Iterable[str]) -> UnitError:
    return UnitError(
        f"unknown unit {name!r}: known are {', '.join(known)}; one of your own is"
        " package.module:function"
    )


def stage_unit(name: str, units_from: Collection[str] = ()) -> Unit:
    """The unit of that name, which must be one that stages are made of. Raises UnitError."""
    if name not in UNITS and ":" not in name:
        raise _unknown(name, (known for known in UNITS if UNITS[known].stage))
    found = unit(name, units_from)
    if not found.stage:
        raise UnitError(f"unit {name} is a plain layer, not the unit of a stage")
    return found


# What is told in a line: of a module that cannot be loaded, and of a slip in a unit. Anything else
# is worth its traceback.
_UNLOADABLE = (ImportError, AttributeError, SyntaxError, OSError)
_SLIPS = (
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    AssertionError,
    ImportError,
    OSError,
)


def made(chosen: Unit, place: Place) -> Layer:
    """The unit's tree at a place.

    Raises UnitError where a unit of one's own fails, returns no layer, or one with fractions or a
    function that is none; OwnCodeError where it raises what no slip does.
    """
    if chosen.known:
        return chosen.make(place)
    try:
        with own_code(f"unit {chosen.name!r}", *_SLIPS):
            layer = chosen.make(place)
    except _SLIPS as error:
        raise UnitError(f"unit {chosen.name!r} failed: {reason_with_kind(error)}") from error
    if not isinstance(layer, Layer):
        kind = type(layer).__name__
        raise UnitError(f"unit {chosen.name!r} returned a {kind}, not a layer")
    for path, leaf in leaves(layer):
        if fault := _fault(leaf):
            raise UnitError(f"unit {chosen.name!r}: {path}: {fault}")
    return layer


def _fault(leaf: Leaf) -> str:
    """What no fold can make anything of in a leaf of one's own, if anything is."""
    for name in leaf.__slots__:
        if isinstance(value := getattr(leaf, name), float):
            return f"{name} {value} is no {'Decimal' if name == 'eps' else 'whole number'}"
    if isinstance(leaf, Act) and leaf.function not in get_args(Function):
        return f"function {leaf.function!r} is none of {', '.join(get_args(Function))}"
    return ""
