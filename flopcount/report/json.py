"""Figures as one JSON object of the project's schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def to_json(figures: Mapping[str, Any]) -> str:
    """The figures as one JSON object, schema 1, in the order given."""
    return json.dumps({"schema": 1, **figures}, indent=2, allow_nan=False) + "\n"
