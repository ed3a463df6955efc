"""What is asked of the solver before it is settled: by a file, by options, or by both.

A request may leave anything out. One is laid over another, and what results becomes a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Literal, TypeAlias, TypeVar

from shufflenet.arch.layout import DEFAULT_CARDINALITY, stage_rows, stem_row
from shufflenet.arch.quantities import QuantityError, in_proportion
from shufflenet.arch.ranges import listed
from shufflenet.arch.spec import Spec, SpecError
from shufflenet.arch.spec_reader import load
from shufflenet.solver.problem import Bound, Goal, Problem, Space
from shufflenet.units import UnitError, stage_unit

IntTuple: TypeAlias = tuple[int, ...]
T = TypeVar("T")


class ProblemError(SpecError):
    """A problem that cannot be read, or breaks a rule; its text quotes file, key, value, rule."""


@dataclass(frozen=True, slots=True)
class Request:
    """A problem in the making; None and empty mean that nothing is said.

    ``spec`` is a bundled name or a file. ``goals`` are those of a problem, where the nearest cost
    may leave its target to ``budget``; or ``"at-most"``. ``latency`` names the file of a model,
    ``file`` is what errors name the request by, and ``beside`` are the fields that options say, not
    the file.
    """

    spec: str | None = None
    groups: tuple[int, ...] = ()
    unit: tuple[str, ...] = ()
    bottleneck: tuple[int, ...] = ()
    size: tuple[tuple[int, int], ...] = ()
    repeats: tuple[IntTuple, ...] = ()
    stem: IntTuple | Literal["auto"] = ()
    ratio: IntTuple | None = None
    free_stages: bool | None = None
    scales: tuple[Decimal, ...] = ()
    widths: tuple[IntTuple, ...] = ()
    widest: int | None = None
    align: int | None = None
    cardinality: int | None = None
    convention: str | None = None
    budget: int | None = None
    goals: tuple[Goal, ...] | Literal["at-most"] | None = None
    bounds: tuple[Bound, ...] = ()
    top: int | None = None
    latency: str | None = None
    file: str = ""
    beside: frozenset[str] = frozenset()

    def over(self, other: Request) -> Request:
        """The other request with all that this one says instead, and the bounds of both."""
        said = {
            field.name: value
            for field in fields(self)
            if field.name not in ("bounds", "beside")
            and (value := getattr(self, field.name)) not in (None, (), "")
        }
        if not said and not self.bounds:
            return other
        beside = frozenset(said)
        # Of these two one settles what the other does.
        for one, another in (("free_stages", "ratio"), ("ratio", "free_stages")):
            if said.get(one) and another not in said:
                said[another] = None
        if other.file:
            said["file"] = f"{other.file}, with the options given"
        return replace(other, **said, bounds=(*other.bounds, *self.bounds), beside=beside)

    @property
    def wanted(self) -> tuple[Goal, ...]:
        """The goals; the nearest to the budget where none is said."""
        if self.goals == "at-most":
            return (Goal("macs", "most"),)
        return self.goals or (Goal("macs", "nearest"),)

    @property
    def lacks_budget(self) -> bool:
        """Whether a goal needs a budget that is not there."""
        aimless = any(goal.sense == "nearest" and goal.target is None for goal in self.wanted)
        return self.budget is None and (aimless or self.goals == "at-most")

    @property
    def aimless(self) -> str:
        """What is to be said where a goal lacks its budget."""
        wanted = "at-most" if self.goals == "at-most" else "nearest"
        if not self.file:
            return f"goal {wanted!r} needs a budget, and there is none"
        return f"'budget': missing, and goal {wanted!r} needs it"

    def problem(self, units_from: Collection[str] = ()) -> Problem:
        """The problem that is asked for.

        A budget is the target of the nearest cost where that has none of its own; else the cost
        keeps within it. Raises ProblemError where a rule is broken.
        """
        try:
            return self._problem(units_from)
        except (QuantityError, UnitError, SpecError) as error:
            raise ProblemError(f"{self.file}: {error}" if self.file else str(error)) from error

    def _problem(self, units_from: Collection[str]) -> Problem:
        spec = self._settled("spec", lambda: load(self.spec or "shufflenet"))
        if self.lacks_budget:
            raise QuantityError(self.aimless)
        self._check_clashes()
        self._settled("unit", lambda: [stage_unit(name, units_from) for name in self.unit])
        align = self.align or 1
        space = Space(
            spec,
            groups=self.groups,
            units=self.unit,
            bottlenecks=self.bottleneck,
            sizes=self.size,
            repeats=self.repeats,
            stems=_all_stems(spec, align) if self.stem == "auto" else self.stem,
            ratio=None if self.ratio is None else in_proportion(self.ratio),
            free=bool(self.free_stages),
            scales=self.scales,
            widths=self.widths,
            widest=4 if self.widest is None else self.widest,
            align=align,
            cardinality=DEFAULT_CARDINALITY if self.cardinality is None else self.cardinality,
            units_from=units_from,
        )
        goals, bounds = self.wanted, list(self.bounds)
        if self.budget is not None:
            aimed = tuple(
                goal._replace(target=self.budget)
                if goal.sense == "nearest" and goal.target is None
                else goal
                for goal in goals
            )
            if aimed == goals:
                bounds.append(Bound("macs", most=self.budget))
            goals = aimed
        twice = [goal for goal in goals if goals.count(goal) > 1]
        if twice:
            raise QuantityError(f"goal {twice[0].sense}-{twice[0].figure} is given twice")
        chosen = self.convention or "shufflenet-paper"
        model = None
        if self.latency is not None:
            from shufflenet.cost.latency_files import load_model

            model = load_model(self.latency)
        return Problem(space, goals, tuple(_together(bounds)), chosen, self.top or 1, model)

    def _check_clashes(self) -> None:
        """Refuse what settles the same widths as another, each named as it was given."""
        clash = [key for key in ("ratio", "free_stages", "widths", "stem") if getattr(self, key)]
        if self.scales and clash:
            raise QuantityError(
                f"{self._told('scales')}: scales settle all widths, so {self._told(clash[0])}"
                " cannot be given too"
            )
        if self.free_stages and self.ratio:
            raise QuantityError(
                f"{self._told('free_stages')}: free stages keep no ratio, so"
                f" {self._told('ratio')} cannot be given too"
            )

    def _told(self, key: str) -> str:
        """A field with its value, as an option or as a file's key, whichever it was."""
        value = getattr(self, key)
        if key == "ratio":
            text = ":".join(map(str, value))
        elif key == "widths":
            text = ",".join(listed(stage, "/") for stage in value)
        else:
            text = listed(value, ",") if isinstance(value, tuple) else str(value).lower()
        if self.file and key not in self.beside:
            return f"{key!r} {text}"
        option = f"--{key.replace('_', '-')}"
        return option if key == "free_stages" else f"{option} {text}"

    def _settled(self, key: str, make: Callable[[], T]) -> T:
        """What is made of a value; in an error a file's key is named."""
        try:
            return make()
        except (UnitError, SpecError) as error:
            raise SpecError(f"{key!r}: {error}" if self.file else str(error)) from error


def _all_stems(spec: Spec, align: int) -> IntTuple:
    """Every width up to the widest that the spec gives its stem."""
    row = stem_row(spec)
    if row is None or row.channels is None:
        stages = ", ".join(stage.layer for stage in stage_rows(spec))
        raise QuantityError(f"{spec.where}: has no stem before {stages}, so none can be auto")
    # Narrower than what it must be a multiple of there is none, and that is for the solver to say.
    return tuple(range(align, max(row.channels) + 1, align)) or (align,)


def _together(bounds: list[Bound]) -> Iterator[Bound]:
    """One bound for each figure and convention, where several hold at once."""
    for figure, convention in dict.fromkeys((b.figure, b.convention) for b in bounds):
        alike = [b for b in bounds if (b.figure, b.convention) == (figure, convention)]
        least = [b.least for b in alike if b.least is not None]
        most = [b.most for b in alike if b.most is not None]
        yield Bound(figure, max(least, default=None), min(most, default=None), convention)
