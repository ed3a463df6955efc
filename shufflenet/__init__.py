"""ShuffleNet v1 and the structures it compares with: cost, module, proof, and widths for a budget.

``build``, ``fold`` and ``confirm`` need torch, ``detector`` torchvision too, ``solve`` NumPy; each
is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shufflenet._version import __version__
from shufflenet.network import Network, network
from shufflenet.quantities import QuantityError
from shufflenet.reader import load
from shufflenet.scaling import NothingLegalError
from shufflenet.spec import Row, Spec, SpecError

if TYPE_CHECKING:
    from shufflenet.auditing import audit as audit
    from shufflenet.builder import build as build
    from shufflenet.claim_files import load_claims as load_claims
    from shufflenet.confirmation import confirm as confirm
    from shufflenet.detection import detection_cost as detection_cost
    from shufflenet.detection import detector as detector
    from shufflenet.folded import fold as fold
    from shufflenet.solver import solve as solve

__all__ = [
    "Network",
    "NothingLegalError",
    "QuantityError",
    "Row",
    "Spec",
    "SpecError",
    "__version__",
    "audit",
    "build",
    "confirm",
    "detection_cost",
    "detector",
    "fold",
    "load",
    "load_claims",
    "network",
    "solve",
]

# A room loaded late must not have its function's name: importing it would hide the function.
_LATE = {
    "audit": "auditing",
    "build": "builder",
    "confirm": "confirmation",
    "detection_cost": "detection",
    "detector": "detection",
    "fold": "folded",
    "load_claims": "claim_files",
    "solve": "solver",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f"shufflenet.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
