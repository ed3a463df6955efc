"""Packages that only some of it needs: whether they are installed, and the extra that has them."""

from __future__ import annotations

from importlib.util import find_spec


def lacking(extra: str, *packages: str) -> str:
    """Which of the packages are not installed, and the extra that brings them; "" if all are."""
    absent = [name for name in packages if find_spec(name) is None]
    if not absent:
        return ""
    verb = "is" if len(absent) == 1 else "are"
    return f"{', '.join(absent)} {verb} not installed (pip install 'shufflecost[{extra}]')"
