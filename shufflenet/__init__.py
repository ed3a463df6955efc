"""ShuffleNet v1 and the structures it compares with: cost, module, proof, and widths for a budget.

``build``, ``fold`` and ``confirm`` need torch, ``detector`` torchvision too, ``solve`` and
``optimise`` NumPy; each is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shufflenet._version import __version__
from shufflenet.arch.network import Network, network
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec import Row, Spec, SpecError
from shufflenet.arch.spec_reader import load

if TYPE_CHECKING:
    from shufflenet.nn.builder import build as build
    from shufflenet.nn.confirm import confirm as confirm
    from shufflenet.nn.fold import fold as fold
    from shufflenet.paper.audit import audit as audit
    from shufflenet.paper.claim_files import load_claims as load_claims
    from shufflenet.paper.detection import detection_cost as detection_cost
    from shufflenet.paper.detection import detector as detector
    from shufflenet.solver.budget import solve as solve
    from shufflenet.solver.engine.optimise import optimise as optimise
    from shufflenet.solver.problem import Bound as Bound
    from shufflenet.solver.problem import Goal as Goal
    from shufflenet.solver.problem import Outcome as Outcome
    from shufflenet.solver.problem import Problem as Problem
    from shufflenet.solver.problem import Space as Space
    from shufflenet.solver.problem_files import load_problem as load_problem
    from shufflenet.solver.sweep.run import write_sweep as write_sweep
    from shufflenet.solver.sweep.space_table import Sweep as Sweep

__all__ = [
    "Bound",
    "Goal",
    "Network",
    "NothingLegalError",
    "Outcome",
    "Problem",
    "QuantityError",
    "Row",
    "Space",
    "Spec",
    "SpecError",
    "Sweep",
    "__version__",
    "audit",
    "build",
    "confirm",
    "detection_cost",
    "detector",
    "fold",
    "load",
    "load_claims",
    "load_problem",
    "network",
    "optimise",
    "solve",
    "write_sweep",
]

# A room loaded late must not have its function's name: importing it would hide the function.
_LATE = {
    **dict.fromkeys(("Bound", "Goal", "Outcome", "Problem", "Space"), "solver.problem"),
    "Sweep": "solver.sweep.space_table",
    "audit": "paper.audit",
    "build": "nn.builder",
    "confirm": "nn.confirm",
    "detection_cost": "paper.detection",
    "detector": "paper.detection",
    "fold": "nn.fold",
    "load_claims": "paper.claim_files",
    "load_problem": "solver.problem_files",
    "optimise": "solver.engine.optimise",
    "solve": "solver.budget",
    "write_sweep": "solver.sweep.run",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f"shufflenet.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
