"""What a paper claims: its printed figures as records. `shufflenet.paper.claim_files` reads them.

A claim says where its figure stands, the figure as it is printed, and of which network it is. It
knows nothing of what arithmetic makes of it; that is `shufflenet.paper.audit`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias, get_args

from shufflenet.arch.layout import DEFAULT_CARDINALITY
from shufflenet.arch.spec import SpecError

Says: TypeAlias = Literal[
    "complexity",
    "channels",
    "output",
    "layers",
    "share",
    "difference",
    "ratio",
    "error",
    "map",
    "time",
    "rule",
]

#: What a claim of each sort is a figure of, and the unit in which it is printed.
MEANINGS: dict[Says, tuple[str, str]] = {
    "complexity": ("multiply-adds of a network, in millions", "M"),
    "channels": ("channels of a layer", ""),
    "output": ("side of a layer's output [px]", ""),
    "layers": ("layers with weights on the longest path", ""),
    "share": ("share of the 1x1 convolutions in a unit", "%"),
    "difference": ("the first printed figure of a pair minus the second", ""),
    "ratio": ("the first figure of a pair over the second", "x"),
    "error": ("classification error, measured", "%"),
    "map": ("mean average precision, measured", "%"),
    "time": ("time of one run, measured", "ms"),
    "rule": ("factor of a rule of thumb, of no networks in particular", "x"),
}
#: What is measured or said in general, so that no arithmetic reaches it.
REPORTED: frozenset[Says] = frozenset({"error", "map", "time", "rule"})
#: What follows from other claims.
DERIVED: frozenset[Says] = frozenset({"difference", "ratio"})

_PRINTED = r"\d{1,9}(\.\d{1,4})?"


class ClaimError(SpecError):
    """Claims that cannot be read, or break a rule; the text quotes file, row, value and rule."""


class Subject(NamedTuple):
    """The network that a claim is of, as the paper describes it.

    ``scale`` multiplies the spec's own widths; where it is None the widths are solved for: to keep
    the cost of ``like``, or to reach ``budget`` [MAC]. ``stage`` is a row and its width [channels]
    where the paper prints it elsewhere: nothing is solved for then. ``unit`` replaces the unit of
    all stages. ``image`` is its side [px] where the paper states it, else None. ``layer`` is the
    row that channels or a size are asked of; ``width`` [channels] that of a unit by itself.
    ``name`` tells the networks of one printed figure apart.
    """

    spec: str = ""
    groups: int | None = None
    scale: Decimal | None = None
    unit: str | None = None
    cardinality: int = DEFAULT_CARDINALITY
    layer: str = ""
    width: int | None = None
    budget: int | None = None
    image: int | None = None
    like: Subject | None = None
    stage: tuple[str, int] | None = None
    name: str = ""


@dataclass(frozen=True)
class Claim:
    """One printed figure, of one network: where it stands, what it says, its digits as printed.

    ``page`` is the number of the table, or ``"text"``; ``also`` says where else the paper repeats
    the figure. ``pairs`` are the claims that a derived one follows from. A figure that is printed
    once for several networks is ``nominal``: a claim of each. Raises ClaimError for a figure that
    is not a plain number, and for what a claim of its sort needs or cannot have.
    """

    page: str
    row: str
    column: str
    says: Says
    printed: str
    subject: Subject | None = None
    pairs: tuple[tuple[Claim, Claim], ...] = ()
    also: tuple[str, ...] = ()
    label: str = ""
    note: str = ""
    nominal: bool = False

    def __post_init__(self) -> None:
        if self.says not in get_args(Says):
            raise ClaimError(f"says {self.says!r} is none of {', '.join(get_args(Says))}")
        if not re.fullmatch(_PRINTED, self.printed, re.ASCII):
            raise ClaimError(
                f"printed {self.printed!r} is not a plain number as printed, such as 13 or 93.4"
            )
        for fault, says in _faults(self):
            if fault:
                raise ClaimError(f"a claim of {self.says} {says}")

    @cached_property
    def key(self) -> str:
        """The name by which other claims refer to this one."""
        parts = [self.page, self.row, self.column]
        return "/".join([*parts, self.subject.name] if self.nominal and self.subject else parts)

    @property
    def where(self) -> str:
        """Where the figure stands, for people."""
        return self.row if self.page == "text" else f"Table {self.page}"

    @property
    def what(self) -> str:
        """Of what it is, for people."""
        if self.page == "text":
            return self.column
        name = self.subject.name if self.nominal and self.subject else self.column
        return f"{self.row}, {name}"

    @property
    def computable(self) -> bool:
        """Whether arithmetic can reach it."""
        return self.says not in REPORTED and (self.subject is not None or bool(self.pairs))


def _faults(claim: Claim) -> tuple[tuple[bool, str], ...]:
    """What is wrong with a claim, whether it is, and in which words."""
    subject, says = claim.subject, claim.says
    derived = says in DERIVED
    asks_layer = says in ("channels", "output")
    return (
        (derived and not claim.pairs, "needs pairs of claims"),
        (not derived and bool(claim.pairs), "takes no pairs"),
        (derived and subject is not None, "takes no network"),
        (says in ("layers", "share", "channels", "output") and subject is None, "needs a network"),
        (
            subject is not None and asks_layer != bool(subject.layer),
            "needs the layer it is of" if asks_layer else "takes no layer",
        ),
        (
            subject is not None and (says == "share") != (subject.width is not None),
            "needs the width of its unit" if says == "share" else "takes no width",
        ),
        (says == "share" and subject is not None and not subject.unit, "needs its unit"),
        (
            says != "share" and subject is not None and not subject.spec,
            "needs the spec of its network",
        ),
        (
            subject is not None and subject.budget is not None and says != "channels",
            "takes no budget: a cost solved for would be its own proof",
        ),
        (
            subject is not None and subject.stage is not None and says != "complexity",
            "takes no widths printed elsewhere: they would be their own proof",
        ),
        (
            subject is not None and subject.stage is not None and subject.scale is not None,
            "takes no scale where its widths are printed elsewhere",
        ),
    )


@dataclass(frozen=True)
class Sheet:
    """One table of a paper, or its text, as claims in the order in which they are printed.

    ``stub`` heads the first column.
    """

    page: str
    title: str
    source: str
    stub: str
    claims: tuple[Claim, ...]
    file: str = ""

    @property
    def rows(self) -> tuple[str, ...]:
        """The labels of the rows, in order."""
        return tuple(dict.fromkeys(claim.row for claim in self.claims))

    @property
    def columns(self) -> tuple[str, ...]:
        """The headers of the columns, in order."""
        return tuple(dict.fromkeys(claim.column for claim in self.claims))

    def at(self, row: str, column: str) -> tuple[Claim, ...]:
        """The claims of one printed figure: none, one, or one for each network of a nominal one."""
        return tuple(c for c in self.claims if (c.row, c.column) == (row, column))
