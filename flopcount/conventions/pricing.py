"""What a convention is, as data, and what it makes of one entry.

A convention prices facts. What a call is worth goes by its operator, or else by its kind; what a
module's own call is worth on top goes by the module's class. So one vocabulary says both what a
tool that listens to operators counts and what one that hooks modules does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias, assert_never

from flopcount.entries import PRODUCTS, Entry, Shape
from flopcount.integers import Count, product, total

#: A raw fact of an entry that a price can multiply; `FACT_NAMES` says what each is.
Fact: TypeAlias = Literal[
    "macs",
    "inputs",
    "outputs",
    "bias_outputs",
    "affine_inputs",
    "windows",
    "weight_positions",
    "bias_positions",
    "weight_rows",
    "bias_rows",
    "weight_steps",
    "bias_steps",
    "states",
    "bias",
    "vectors",
    "scores",
    "sites",
]
#: Units for each fact; what is not named is worth nothing.
Price: TypeAlias = Mapping[Fact, int]

#: What each fact is, one of it.
FACT_NAMES: Mapping[Fact, str] = MappingProxyType(
    {
        "macs": "multiply-add",
        "inputs": "input element",
        "outputs": "output element",
        "bias_outputs": "output element where there is a bias",
        "affine_inputs": "input element where there is a learned scale or shift",
        "windows": "element under a window",
        "weight_positions": "weight element at each output position",
        "bias_positions": "bias element at each output position",
        "weight_rows": "weight element in each sample",
        "bias_rows": "bias element in each sample",
        "weight_steps": "weight element in each step of each sample",
        "bias_steps": "bias element in each step of each sample",
        "states": "hidden element of each layer in each step",
        "bias": "bias element",
        "vectors": "vector along the last axis of the input",
        "scores": "pair of a query and a key",
        "sites": "place of one output map",
    }
)

#: Products, run backward.
BACKWARD = frozenset(f"{kind}_backward" for kind in PRODUCTS)
#: Kinds without a product that is summed: what they do is comparing, adding, scaling or moving.
FREE_KINDS = frozenset(
    {
        "batch_norm",  # folds into the convolution before it
        "layer_norm",  # statistics, then a scale and a shift for each element
        "group_norm",
        "instance_norm",
        "norm",  # by the root mean square, over neighbours, of a vector
        "relu",
        "relu6",
        "activation",  # a function of each element by itself
        "max_pool",
        "avg_pool",  # sums without products
        "global_avg_pool",
        "adaptive_avg_pool",
        "add",
        "mul",  # a product that is not summed
        "elementwise",
        "concat",
        "softmax",
        "interpolate",  # weighs neighbours by their place, which learns nothing
        "reduce",
        "embedding",  # looks up
        "pad",
        "index",
        "copy",
        "create",
        "random",
        "sort",
        "compare",
        "loss",
        "fft",
        "vision",  # boxes: pooled, or struck out
        "channel_shuffle",  # moves only
        "slice",  # a view of some channels
        "flatten",
        "identity",
        "dropout",
        "uncalled",  # did not run; there for its parameters
    }
)
#: Every kind that there is but "uncounted", which no convention may price.
ENTRY_KINDS = PRODUCTS | BACKWARD | FREE_KINDS

#: The class of module that is meant where no PyTorch module was asked.
_CLASS = {
    "conv": "Conv2d",
    "linear": "Linear",
    "batch_norm": "BatchNorm2d",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "max_pool": "MaxPool2d",
    "avg_pool": "AvgPool2d",
    "global_avg_pool": "AdaptiveAvgPool2d",
    "adaptive_avg_pool": "AdaptiveAvgPool2d",
}


class UnpricedKindError(ValueError):
    """A convention says nothing about a kind of layer."""


@dataclass(frozen=True, slots=True)
class Convention:
    """A way to price a Tally: for each kind, how many units each raw fact is worth.

    ``unit`` says what the figure is called; ``free`` lists the kinds that are worth nothing, each
    on purpose. ``operators`` are prices that an operator has in place of its kind's; ``modules``
    are prices that a kind has on top where a module of that class ran it. ``batch`` says what is
    divided by the samples of the batch: nothing ("total"), what is priced by modules
    ("modules"), or all ("sample"). Raises ValueError where a kind is both priced and free, and for
    a fact that is none.
    """

    name: str
    says: str
    source: str
    unit: Literal["macs", "flops"]
    prices: Mapping[str, Price]
    free: frozenset[str] = FREE_KINDS
    operators: Mapping[str, Price] = field(default_factory=dict)
    modules: Mapping[str, Mapping[str, Price]] = field(default_factory=dict)
    batch: Literal["total", "modules", "sample"] = "total"

    def __post_init__(self) -> None:
        both = sorted(self.free & set(self.prices))
        if both:
            raise ValueError(f"convention {self.name}: {', '.join(both)}: both priced and free")
        lists: list[Mapping[str, Price]] = [self.prices, self.operators, *self.modules.values()]
        facts = {fact for prices in lists for price in prices.values() for fact in price}
        if facts - FACT_NAMES.keys():
            unknown = ", ".join(sorted(facts - FACT_NAMES.keys()))
            raise ValueError(f"convention {self.name}: no such fact: {unknown}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Mappings that nobody may change cannot be pickled.
        return Convention, tuple(_plain(getattr(self, one.name)) for one in fields(self))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(found) for key, found in value.items()}
    return value


#: A price of nothing.
NO_CHARGE: Price = MappingProxyType({})
#: One unit for each multiply-add, and two: an operation each for its product and its sum.
ONE_PER_MAC: Price = MappingProxyType({"macs": 1})
TWO_PER_MAC: Price = MappingProxyType({"macs": 2})


class Charge(NamedTuple):
    """What a convention charges for an entry: for the call, and on top for the module."""

    call: Price
    module: Price


def charge(entry: Entry, chosen: Convention) -> Charge:
    """What a convention charges for an entry.

    Raises UnpricedKindError where the convention neither prices the kind nor lists it as free.
    """
    kind = entry.kind
    layer = _CLASS.get(kind, "") if entry.layer is None else entry.layer
    module = chosen.modules.get(layer, {}).get(kind, NO_CHARGE)
    known = kind in chosen.prices or kind in chosen.free
    if not known and module is NO_CHARGE:
        raise UnpricedKindError(
            f"{entry.path}: convention {chosen.name} neither prices {kind!r} nor lists it as free"
        )
    if not known:
        return Charge(NO_CHARGE, module)
    if entry.operator in chosen.operators and kind not in BACKWARD:
        return Charge(chosen.operators[entry.operator], module)
    return Charge(chosen.prices.get(kind, NO_CHARGE), module)


def worth(entry: Entry, price: Price) -> Count:
    """What a price makes of an entry's facts."""
    if len(price) == 1:
        ((fact, units),) = price.items()
        if units >= 0:
            return product(units, amount(entry, fact))
    figures = (
        product(units, amount(entry, fact)) if units >= 0 else -product(-units, amount(entry, fact))
        for fact, units in price.items()
    )
    return total(figures)


def amount(entry: Entry, fact: Fact) -> Count:
    """How much of a fact an entry has."""
    match fact:
        case "macs":
            return entry.macs
        case "inputs":
            return _elements(entry.inputs)
        case "outputs":
            return _elements(entry.outputs)
        case "bias_outputs":
            return _elements(entry.outputs) if _any(entry.bias) else 0
        case "affine_inputs":
            return _elements(entry.inputs) if _any(entry.weight) or _any(entry.bias) else 0
        case "windows":
            return entry.windows
        case "weight_positions":
            return product(entry.weight, _positions(entry))
        case "bias_positions":
            return product(entry.bias, _positions(entry))
        case "weight_rows":
            return product(entry.weight, *_sizes(entry.outputs)[:1])
        case "bias_rows":
            return product(entry.bias, *_sizes(entry.outputs)[:1])
        case "weight_steps":
            return product(entry.weight, *_sizes(entry.outputs)[:2])
        case "bias_steps":
            return product(entry.bias, *_sizes(entry.outputs)[:2])
        case "states":
            return _states(entry)
        case "bias":
            return entry.bias
        case "vectors":
            return product(*_sizes(entry.inputs)[:-1])
        case "scores":
            # (..., t, e), (..., s, e) -> (..., t, s)
            return product(*_sizes(entry.inputs)[:-1], *_sizes(entry.inputs[1:])[-2:-1])
        case "sites":
            # (n, d, *s) -> s
            return product(*_sizes(entry.outputs)[2:])
        case _:
            assert_never(fact)


def _elements(shapes: Iterable[Shape]) -> Count:
    return total(shape.elements for shape in shapes)


def _sizes(shapes: tuple[Shape, ...]) -> tuple[Count, ...]:
    """The sizes of the first tensor; of none, a size of 0."""
    return tuple(shapes[0]) if shapes else (0,)


def _positions(entry: Entry) -> Count:
    # (n, d, *s) -> n * s
    n, *s = _sizes(entry.outputs)
    return product(n, *s[1:])


def _states(entry: Entry) -> Count:
    # (n, t, d), (layers, n, h) -> n * t * layers * h
    if len(entry.outputs) < 2 or len(entry.outputs[1]) < 2:
        return 0
    layers, *_, h = entry.outputs[1]
    return product(*entry.outputs[0][:2], layers, h)


def _any(elements: Count) -> bool:
    """Whether there are any; a column of widths and a symbol are never 0."""
    return type(elements) is not int or elements > 0
