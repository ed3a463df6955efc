"""Units: from one place in a network to a layer tree.

A unit is a function of a `Place` (widths, stride, groups), and knows nothing of rows or of the
network around it. The same function serves ints, arrays of candidate widths and symbols.

All convolutions have a batch norm behind them and no bias; a ReLU follows where the paper puts
one, which is not after a depthwise convolution (Source: Sec. 3.2, Fig. 2).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from flopcount.integers import Count, exact, largest, same
from flopcount.layers import (
    Act,
    Branches,
    Chain,
    Conv,
    Flatten,
    GlobalPool,
    Identity,
    Layer,
    Linear,
    Norm,
    Pool,
    Shuffle,
    leaves,
)
from flopcount.rules import AtLeast, Divides, Rule
from shufflenet.spec import Option, Row, is_unit_name


class UnitError(ValueError):
    """A unit that is unknown, not allowed, or not what its row asks for."""


class Place(NamedTuple):
    """What a row asks of a unit at one place: widths in and out, window, groups.

    ``c_in``, ``c_out`` are the widths before and after [channels], ``m`` the bottleneck's (0 for
    a unit without one), ``groups`` the paper's g, or the cardinality for a unit that has one.
    """

    c_in: Count
    c_out: Count
    m: Count = 0
    stride: int = 1
    groups: Count = 1
    kernel: int = 3
    options: Mapping[str, Option] = MappingProxyType({})

    def number(self, option: str, default: Count) -> Count:
        """A whole number from the row's options, or the default."""
        value = self.options.get(option)
        return default if value is None else int(value)

    @property
    def plain(self) -> bool:
        """Whether the shortcut can be the input itself: no stride and no change of width."""
        return self.stride == 1 and same(self.c_in, self.c_out)


class Unit(NamedTuple):
    """A unit by name: how it is made and how its bottleneck follows from its width.

    ``ratio`` is the bottleneck's default 1:ratio (None: no bottleneck); ``splits`` says whether
    its g is the network's groups, a cardinality of its own, or absent; ``rounds`` whether the
    bottleneck is kept exact (a rule) or rounded down to a multiple of g (a footnote); ``stage``
    whether stages can be made of it; ``kernel`` whether a row gives a ksize; ``widens`` and
    ``strides`` whether it may change the width, or stride and repeat; ``options`` their types.
    """

    name: str
    make: Callable[[Place], Layer]
    says: str
    ratio: int | None = None
    splits: Literal["groups", "cardinality"] | None = None
    rounds: Literal["exact", "down"] = "exact"
    stage: bool = True
    kernel: Literal["required", "optional", "refused"] = "refused"
    widens: bool = True
    strides: bool = True
    options: Mapping[str, type] = MappingProxyType({})

    def check(self, row: Row) -> None:
        """Check that a row gives what the unit takes. Raises UnitError where it does not."""
        faults = (
            (self.kernel == "required" and row.kernel is None, "needs a ksize"),
            (self.kernel == "refused" and row.kernel is not None, "takes no ksize"),
            (self.widens and row.channels is None, "needs channels"),
            (not self.widens and row.channels is not None, "keeps its width: takes no channels"),
            (not self.strides and (row.stride, row.repeat) != (1, 1), "takes no stride or repeat"),
            (self.known and self.ratio is None and row.ratio is not None, "takes no ratio"),
        )
        for fault, says in faults:
            if fault:
                raise UnitError(f"unit {self.name} {says}")
        for option, value in row.options.items():
            if not self.known:
                continue
            if option not in self.options:
                known = ", ".join(self.options) or "none"
                raise UnitError(f"unit {self.name} takes no option {option!r}; known: {known}")
            wanted = self.options[option]
            if type(value) is not wanted:
                kind = wanted.__name__
                raise UnitError(
                    f"unit {self.name}: option {option} = {value!r} is not of type {kind}"
                )

    def adopt(self, row: Row) -> Row:
        """The row with this unit in place of its own, and only the options that it takes.

        A bundled unit has a ratio of its own; the row's stays for a unit from elsewhere. A
        cardinality belongs to the unit that was there.
        """
        taken = set(self.options) - {"cardinality"}
        kept = {name: value for name, value in row.options.items() if name in taken}
        ratio = None if self.known else row.ratio
        return replace(row, unit=self.name, ratio=ratio, options=MappingProxyType(kept))

    @property
    def known(self) -> bool:
        """Whether the unit comes with the package, so that what it takes is known."""
        return ":" not in self.name

    def bottleneck(
        self, c_out: Count, groups: Count, ratio: int | None = None
    ) -> tuple[Count, tuple[Rule, ...]]:
        """The bottleneck m of a unit c_out wide, and the rules that make it whole."""
        over = self.ratio if ratio is None else ratio
        if over is None:
            return 0, ()
        if self.rounds == "down":
            # at least one channel for each path, however narrow the unit
            m = largest(c_out // (over * groups), 1) * groups
            return m, ()
        rule: Rule = Divides("width", c_out, over)
        if self.splits == "groups" and self.known:
            rule = Divides("width", c_out, over * groups, f"{over}*g")
        return exact(c_out, over), (rule, AtLeast("width", c_out, over))


Named: TypeAlias = tuple[str, Layer]


def conv_norm(name: str, conv: Conv, *, relu: bool) -> tuple[Named, ...]:
    """A convolution, its batch norm and perhaps a ReLU, named after the convolution."""
    act = ((f"{name}_relu", Act("relu")),) if relu else ()
    return ((name, conv), (f"{name}_norm", Norm(conv.c_out)), *act)


def shufflenet(place: Place) -> Layer:
    """The ShuffleNet unit: 1x1 group conv, shuffle, 3x3 depthwise conv, 1x1 group conv.

    With stride 2 the shortcut is a 3x3 average pool, and the branches are concatenated
    (Source: Sec. 3.2, Fig. 2 b and c). Option ``shuffle = false`` leaves the shuffle out
    (Table 3); ``first_groups`` replaces g in the first 1x1 (Table 1, footnote 1).
    """
    c, m, g = place.c_in, place.m, place.groups
    concat = not place.plain
    d = place.c_out - c if concat else place.c_out
    shuffle = place.options.get("shuffle", True) and not (type(g) is int and g == 1)
    body = Chain(
        (
            *conv_norm("compress", Conv(c, m, groups=place.number("first_groups", g)), relu=True),
            *((("shuffle", Shuffle(g)),) if shuffle else ()),
            *conv_norm("depthwise", Conv(m, m, 3, place.stride, 1, m), relu=False),
            *conv_norm("expand", Conv(m, d, groups=g), relu=False),
        )
    )
    if not concat:
        return _after(Branches((("shortcut", Identity()), ("body", body)), "add"))
    rules = (
        AtLeast("added width (out - in)", d, 1),
        Divides("added width (out - in)", d, g, "g"),
    )
    shortcut = Pool("avg", 3, place.stride, 1)
    return _after(Branches((("shortcut", shortcut), ("body", body)), "concat"), rules)


def xception(place: Place) -> Layer:
    """The Xception-like unit: ShuffleNet's with one group, and so nothing to shuffle.

    Source: Sec. 4.2.
    """
    return shufflenet(place._replace(groups=1))


def resnet(place: Place) -> Layer:
    """The ResNet bottleneck: 1x1 to m, 3x3 with the stride, 1x1 back (Source: Sec. 3.2, [9])."""
    return resnext(place._replace(groups=1))


def resnext(place: Place) -> Layer:
    """The ResNeXt bottleneck: ResNet's with its 3x3 in g groups (Source: Sec. 3.2, [37])."""
    c, d, m = place.c_in, place.c_out, place.m
    body = Chain(
        (
            *conv_norm("compress", Conv(c, m), relu=True),
            *conv_norm("spatial", Conv(m, m, 3, place.stride, 1, place.groups), relu=True),
            *conv_norm("expand", Conv(m, d), relu=False),
        )
    )
    shortcut: Layer = Identity()
    if not place.plain:
        projection = Conv(c, d, stride=place.stride)
        shortcut = Chain(conv_norm("project", projection, relu=False))
    return _after(Branches((("shortcut", shortcut), ("body", body)), "add"))


def vgg(place: Place) -> Layer:
    """The VGG-like block: two 3x3 convolutions, the first with the stride, and no shortcut.

    Source: Sec. 4.2, [27].
    """
    c, d = place.c_in, place.c_out
    return Chain(
        (
            *conv_norm("conv1", Conv(c, d, 3, place.stride, 1), relu=True),
            *conv_norm("conv2", Conv(d, d, 3, 1, 1), relu=True),
        )
    )


def conv(place: Place) -> Layer:
    """A convolution, a batch norm and a ReLU.

    Option ``padding``; by default (k - 1)//2, which keeps the size at stride 1 and odd k.
    """
    padding = place.number("padding", (place.kernel - 1) // 2)
    layer = Conv(place.c_in, place.c_out, place.kernel, place.stride, padding)
    return Chain(conv_norm("conv", layer, relu=True))


def max_pool(place: Place) -> Layer:
    """A maximum pooling, with the option ``padding`` as `conv` has it."""
    padding = place.number("padding", (place.kernel - 1) // 2)
    return Pool("max", place.kernel, place.stride, padding)


def global_pool(place: Place) -> Layer:
    """The average over all positions, whatever the size of the input."""
    return GlobalPool()


def fc(place: Place) -> Layer:
    """The classifier: a fully connected layer with bias on the flattened features."""
    return Chain((("flatten", Flatten()), ("linear", Linear(place.c_in, place.c_out))))


def _after(branches: Branches, rules: tuple[Rule, ...] = ()) -> Chain:
    return Chain((("residual", branches), ("relu", Act("relu"))), rules)


_PADDING = MappingProxyType({"padding": int})
_SHUFFLENET_OPTIONS = MappingProxyType({"shuffle": bool, "first_groups": int})

#: The units that come with the package, by name: those of stages, then the plain layers.
UNITS: Mapping[str, Unit] = MappingProxyType(
    {
        unit.name: unit
        for unit in (
            Unit(
                "shufflenet",
                shufflenet,
                "1x1 group conv, channel shuffle, 3x3 depthwise conv, 1x1 group conv (Fig. 2)",
                ratio=4,
                splits="groups",
                options=_SHUFFLENET_OPTIONS,
            ),
            Unit("resnet", resnet, "bottleneck 1x1, 3x3, 1x1 (Sec. 3.2)", ratio=4),
            Unit(
                "resnext",
                resnext,
                "bottleneck with a grouped 3x3; m rounded down to the cardinality (Sec. 4.2)",
                ratio=2,
                splits="cardinality",
                rounds="down",
                options=MappingProxyType({"cardinality": int}),
            ),
            Unit("xception", xception, "ShuffleNet's unit with one group (Sec. 4.2)", ratio=4),
            Unit("vgg", vgg, "two 3x3 convolutions, no shortcut (Sec. 4.2)"),
            Unit(
                "conv",
                conv,
                "convolution, batch norm, ReLU",
                stage=False,
                kernel="required",
                options=_PADDING,
            ),
            Unit(
                "max_pool",
                max_pool,
                "maximum pooling",
                stage=False,
                kernel="required",
                widens=False,
                options=_PADDING,
            ),
            Unit(
                "global_pool",
                global_pool,
                "average over all positions",
                stage=False,
                kernel="optional",
                widens=False,
                strides=False,
            ),
            Unit("fc", fc, "fully connected classifier with bias", stage=False, strides=False),
        )
    }
)


def unit(name: str, units_from: Collection[str] = ()) -> Unit:
    """The unit of a bundled name, or of ``package.module:function``.

    A function of one's own is imported here and nowhere else, and only where ``units_from`` names
    its package. It takes a `Place` and returns a layer tree; a `Unit` record serves as well.
    Raises UnitError where there is none, or it is not allowed.
    """
    if isinstance(units_from, str):
        units_from = (units_from,)
    if name in UNITS:
        return UNITS[name]
    if ":" not in name:
        known = ", ".join(UNITS)
        raise UnitError(
            f"unknown unit {name!r}: known are {known}; one of your own is package.module:function"
        )
    if not is_unit_name(name):
        raise UnitError(f"unit {name!r} is neither a name nor package.module:function")
    module_name, _, attribute = name.partition(":")
    if not any(f"{module_name}.".startswith(f"{allowed}.") for allowed in units_from):
        package = module_name.partition(".")[0]
        raise UnitError(
            f"unit {name!r} runs code of package {package!r}, which is not allowed;"
            f" --units-from {package} allows it"
        )
    try:
        found = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise UnitError(f"unit {name!r} cannot be imported: {error}") from error
    if isinstance(found, Unit):
        return found._replace(name=name)
    if not callable(found):
        raise UnitError(f"unit {name!r} is of type {type(found).__name__}, no function of a Place")
    summary = (getattr(found, "__doc__", None) or "").strip().partition("\n")[0]
    return Unit(name, found, summary, splits="groups", kernel="optional")


def stage_unit(name: str, units_from: Collection[str] = ()) -> Unit:
    """The unit of that name, which must be one that stages are made of. Raises UnitError."""
    found = unit(name, units_from)
    if not found.stage:
        raise UnitError(f"unit {name} is a plain layer, not the unit of a stage")
    return found


# What a slip in code of one's own raises; anything else is worth its traceback.
_SLIPS = (
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    AssertionError,
    ImportError,
)


def made(chosen: Unit, place: Place) -> Layer:
    """The unit's tree at a place.

    Raises UnitError where a unit of one's own fails, returns no layer, or one with fractions.
    """
    if chosen.known:
        return chosen.make(place)
    try:
        layer = chosen.make(place)
    except _SLIPS as error:
        raise UnitError(f"unit {chosen.name!r} failed: {type(error).__name__}: {error}") from error
    if not isinstance(layer, Layer):
        kind = type(layer).__name__
        raise UnitError(f"unit {chosen.name!r} returned a {kind}, not a layer")
    for path, leaf in leaves(layer):
        for name in leaf.__slots__:
            if isinstance(value := getattr(leaf, name), float):
                raise UnitError(f"unit {chosen.name!r}: {path}: {name} {value} is no whole number")
    return layer
