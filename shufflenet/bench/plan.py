"""What a run of ``bench`` is to time: its networks with the baseline, and what each costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shufflenet.bench.run import Planned
from shufflenet.bench.subjects import BenchSubject, cut_before_classifier, read_subject, tally_of
from shufflenet.bench.table8 import TABLE_8
from shufflenet.targets.resolve import TargetError


class Plan(NamedTuple):
    """The cells to be timed, and what limits their figures, a sentence each."""

    cells: list[Planned]
    notes: tuple[str, ...]


def subjects(networks: Iterable[str], baseline: str) -> tuple[BenchSubject, ...]:
    """The networks, or those of Table 8 where none is named, and the baseline behind them.

    AlexNet is followed by itself without its FC layers. Raises TargetError for a network that is
    named twice, or with arguments that cannot be read.
    """
    named = [text.strip() for text in networks] or list(TABLE_8)
    base = baseline.strip()
    found: dict[str, BenchSubject] = {}
    for text in [*named, *([] if base in named else [base])]:
        subject = read_subject(text)
        if text in found:
            raise TargetError(f"network {text!r} is named twice")
        found[text] = subject
    for subject in list(found.values()):
        cut = cut_before_classifier(subject)
        if cut is not None:
            found.setdefault(cut.text, cut)
    return tuple(found.values())


def plan(
    networks: Iterable[BenchSubject], runtimes: Iterable[str], sizes: Iterable[tuple[int, int]]
) -> Plan:
    """Every network in every runtime at every size, with its cost.

    Raises what `tally_of` does.
    """
    names = tuple(runtimes)
    cells: list[Planned] = []
    notes: dict[str, None] = {}
    asked = tuple(networks)
    for size in sizes:
        for subject in asked:
            tally, shape = tally_of(subject, size)
            if tally.uncounted:
                notes[f"{subject.text}: uncounted: {', '.join(tally.uncounted)}"] = None
            cells += [Planned(subject.text, name, shape, tally.macs) for name in names]
    return Plan(cells, tuple(notes))
