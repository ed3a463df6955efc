"""Design spaces: what may vary, what must hold, and the networks that are proven best in them."""

from __future__ import annotations

from shufflenet.design.problem import (
    FIGURES,
    Bound,
    Figure,
    Found,
    Goal,
    Outcome,
    Problem,
    Sense,
    Space,
)

__all__ = [
    "FIGURES",
    "Bound",
    "Figure",
    "Found",
    "Goal",
    "Outcome",
    "Problem",
    "Sense",
    "Space",
]
