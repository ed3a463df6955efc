"""From a budget or a design space to the networks that are proven best in it.

``optimise``, ``load_problem``, ``Sweep`` and ``write_sweep`` are loaded on first use: the rooms
that search need NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shufflenet.solver.problem import (
    FIGURES,
    Bound,
    Figure,
    Goal,
    Outcome,
    Problem,
    Sense,
    SolvedNetwork,
    Space,
)

if TYPE_CHECKING:
    from shufflenet.solver.engine.optimise import optimise as optimise
    from shufflenet.solver.problem_files import load_problem as load_problem
    from shufflenet.solver.sweep.run import write_sweep as write_sweep
    from shufflenet.solver.sweep.space_table import Sweep as Sweep

__all__ = [
    "FIGURES",
    "Bound",
    "Figure",
    "Goal",
    "Outcome",
    "Problem",
    "Sense",
    "SolvedNetwork",
    "Space",
    "Sweep",
    "load_problem",
    "optimise",
    "write_sweep",
]

_LATE = {
    "Sweep": "sweep.space_table",
    "load_problem": "problem_files",
    "optimise": "engine.optimise",
    "write_sweep": "sweep.run",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f"shufflenet.solver.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
