"""Functions of torch's that are written in Python, and ask whether somebody overrides them."""

from __future__ import annotations

from types import FunctionType
from weakref import WeakKeyDictionary

# A copy holds what its function holds, and goes when that goes.
_copies: WeakKeyDictionary[FunctionType, FunctionType] = WeakKeyDictionary()
_NEVER = {
    "has_torch_function": lambda *_: False,
    "has_torch_function_unary": lambda *_: False,
    "has_torch_function_variadic": lambda *_: False,
}


def asks(func: FunctionType) -> bool:
    """Whether a function asks, by a name of its own module, if somebody overrides it."""
    return any(name in func.__code__.co_names and name in func.__globals__ for name in _NEVER)


def unasked(func: FunctionType) -> FunctionType:
    """The same function without the question whether somebody overrides it.

    It was overridden, by us; what we want is what it would have done, under our eyes.
    """
    known = _copies.get(func)
    if known is None:
        names = {**func.__globals__, **_NEVER}
        known = FunctionType(
            func.__code__, names, func.__name__, func.__defaults__, func.__closure__
        )
        known.__kwdefaults__ = func.__kwdefaults__
        _copies[func] = known
    else:
        # its module may have changed since
        known.__globals__.update(func.__globals__)
        known.__globals__.update(_NEVER)
    return known
