"""One name, one meaning: what a class or a public constant is called stands in one room alone."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from tests.rooms import FILES, ROOMS

#: Names that several rooms define on purpose, and why.
SHARED = {
    # Every plug-in of a runtime says under this name which files it writes and reads.
    "FILES": "shufflenet.runtimes.",
}


def defined(source: str) -> set[str]:
    """Classes, aliases of types and public constants of a module, without leading underscores."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name.lstrip("_"))
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar":
            # A variable of types means nothing outside its module.
            continue
        for target in targets:
            name = target.id if isinstance(target, ast.Name) else ""
            private = name.startswith("_")
            if name.isupper() and not private:
                found.add(name)
            elif not name.isupper() and name.lstrip("_")[:1].isupper():
                found.add(name.lstrip("_"))
    return found


def twice(modules: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names that several modules, each a name and its source, define."""
    rooms: dict[str, list[str]] = {}
    for room, source in modules:
        for name in defined(source):
            rooms.setdefault(name, []).append(room)
    return {name: found for name, found in rooms.items() if len(found) > 1}


def test_no_name_of_a_class_or_a_constant_is_defined_in_two_rooms() -> None:
    sources = (path.read_text() for path in FILES)
    found = twice(zip(ROOMS, sources, strict=True))
    assert found.keys() == SHARED.keys()
    for name, below in SHARED.items():
        assert all(room.startswith(below) for room in found[name])


def test_a_name_that_two_modules_define_is_found() -> None:
    one = "class _Part: ...\nKINDS = 1\n_LIMIT = 1\nShape: TypeAlias = int\n"
    other = "class Part: ...\nKINDS: int = 2\n_LIMIT = 2\n_Shape = tuple[int, int]\n"
    assert twice([("one", one), ("other", other)]) == {
        name: ["one", "other"] for name in ("Part", "KINDS", "Shape")
    }
    assert twice([("one", one), ("other", "from one import KINDS\nT = TypeVar('T')\n")]) == {}
