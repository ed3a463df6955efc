"""Find the place of a mutation in the sources, and apply it there: by syntax, never by line.

A function is found by its qualified name in any file, and what to replace in it by its syntax
tree, so that a mutation survives a file that moves and a line that is reformatted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from mutations.mutation import Mutation

#: The packages that mutations lie in.
PACKAGES = ("flopcount", "shufflenet")

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_Scope: TypeAlias = ast.stmt


class MisfitError(ValueError):
    """A mutation that does not fit the sources; the text names it and says why."""


class Sources(NamedTuple):
    """The text and syntax of every file, and where each qualified name is defined."""

    texts: dict[Path, str]
    trees: dict[Path, ast.Module]
    names: dict[str, list[tuple[Path, _Scope]]]

    @classmethod
    def below(cls, root: Path) -> Sources:
        """The sources of the packages below a folder; paths are relative to it."""
        texts: dict[Path, str] = {}
        trees: dict[Path, ast.Module] = {}
        names: dict[str, list[tuple[Path, _Scope]]] = {}
        for package in PACKAGES:
            for file in sorted((root / package).rglob("*.py")):
                path = file.relative_to(root)
                texts[path] = file.read_text(encoding="utf-8")
                trees[path] = ast.parse(texts[path])
                for name, scope in _named(trees[path], ""):
                    names.setdefault(name, []).append((path, scope))
        return cls(texts, trees, names)


def _named(node: ast.AST, prefix: str) -> Iterator[tuple[str, _Scope]]:
    """Every definition and assignment below a node, with its qualified name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _DEFINITIONS):
            yield f"{prefix}{child.name}", child
            yield from _named(child, f"{prefix}{child.name}.")
        elif isinstance(child, (ast.Assign, ast.AnnAssign)) and isinstance(
            node, (ast.Module, ast.ClassDef)
        ):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield f"{prefix}{target.id}", child
        elif isinstance(child, (ast.stmt, ast.ExceptHandler)):
            yield from _named(child, prefix)


class Snippet(NamedTuple):
    """Source text as syntax: one expression, or statements."""

    statements: list[ast.stmt]

    @classmethod
    def of(cls, text: str) -> Snippet:
        """The syntax of a text; ``return`` and the like may stand outside a function."""
        return cls(ast.parse(text).body)

    @property
    def expression(self) -> ast.expr | None:
        """The expression, where it is one and nothing else."""
        if len(self.statements) == 1 and isinstance(self.statements[0], ast.Expr):
            return self.statements[0].value
        return None


def place(mutation: Mutation, sources: Sources) -> Path:
    """The file that a mutation lies in. Raises MisfitError unless it fits exactly once."""
    find, replace = _snippets(mutation)
    where = sources.names.get(mutation.function, [])
    found = [path for path, scope in where for _ in _matches(scope, find, replace)]
    if len(found) == 1:
        return found[0]
    if not where:
        reason = f"no function {mutation.function!r}"
    else:
        files = ", ".join(sorted({str(path) for path, _ in where}))
        reason = f"{mutation.find!r} is {len(found)} times in {mutation.function!r} ({files})"
    raise MisfitError(f"mutation {mutation.name} does not fit: {reason}")


def _matches(scope: ast.AST, find: Snippet, replace: Snippet) -> list[ast.AST]:
    """The nodes below a scope that a snippet is, as an expression if both are one."""
    alone = replace.expression is not None
    wanted = find.expression if alone and find.expression is not None else find.statements[0]
    kind = type(wanted)
    return [node for node in ast.walk(scope) if type(node) is kind and same_syntax(node, wanted)]


def same_syntax(one: object, other: object) -> bool:
    """Whether two nodes say the same, wherever they stand."""
    if type(one) is not type(other):
        return False
    if isinstance(one, ast.AST):
        return all(
            same_syntax(getattr(one, name, None), getattr(other, name, None))
            for name in one._fields
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_syntax, one, other))
    return one == other


def _snippets(mutation: Mutation) -> tuple[Snippet, Snippet]:
    try:
        find, replace = Snippet.of(mutation.find), Snippet.of(mutation.replace)
    except SyntaxError as error:
        raise MisfitError(f"mutation {mutation.name} does not fit: {error}") from error
    if len(find.statements) != 1 or not replace.statements:
        raise MisfitError(f"mutation {mutation.name} does not fit: it replaces one thing by some")
    if find.expression is None and replace.expression is not None:
        # an expression stands for itself as a statement
        return find, Snippet(replace.statements)
    return find, replace


def mutated(mutation: Mutation, sources: Sources) -> tuple[Path, ast.Module]:
    """The file that a mutation lies in and its syntax tree with the edit.

    Raises MisfitError unless the mutation fits exactly once.
    """
    path = place(mutation, sources)
    find, replace = _snippets(mutation)
    # Parsed anew, since the edit changes it.
    tree = ast.parse(sources.texts[path])
    scopes = [scope for name, scope in _named(tree, "") if name == mutation.function]
    ((node,),) = (found for scope in scopes if (found := _matches(scope, find, replace)))
    _Edit(node, replace).visit(tree)
    return path, ast.fix_missing_locations(tree)


class _Edit(ast.NodeTransformer):
    """Replaces one node by an expression, or by statements."""

    def __init__(self, node: object, replace: Snippet) -> None:
        self.node = node
        self.replace = replace

    def visit(self, node: ast.AST) -> ast.AST | list[ast.stmt]:
        """The node, or what stands in its place."""
        if node is not self.node:
            found: ast.AST = self.generic_visit(node)
            return found
        if isinstance(node, ast.expr):
            assert self.replace.expression is not None
            return self.replace.expression
        return self.replace.statements


def test_file(item: str, files: Sequence[Path]) -> Path:
    """The test file that an item names. Raises MisfitError unless it is exactly one."""
    stem, _, test = item.partition("::")
    parts = tuple(stem.split("/"))
    found = [path for path in files if path.with_suffix("").parts[-len(parts) :] == parts]
    if len(found) != 1:
        raise MisfitError(f"test file {stem} is there {len(found)} times")
    if test:
        tree = ast.parse(found[0].read_text(encoding="utf-8"))
        if test not in {name for name, _ in _named(tree, "")}:
            raise MisfitError(f"test file {stem} has no test {test}")
    return found[0]


def misfits(mutations: Iterable[Mutation], sources: Sources, tests: Path) -> list[str]:
    """What does not fit, a line for each mutation: its edit, its tests or its name."""
    found: list[str] = []
    seen: set[str] = set()
    files = sorted(tests.rglob("test_*.py"))
    for mutation in mutations:
        if mutation.name in seen:
            found.append(f"mutation {mutation.name} is there twice")
        seen.add(mutation.name)
        try:
            place(mutation, sources)
        except MisfitError as error:
            found.append(str(error))
        if not mutation.tests:
            found.append(f"mutation {mutation.name} has no tests")
        for item in mutation.tests:
            try:
                test_file(item, files)
            except MisfitError as error:
                found.append(f"mutation {mutation.name} does not fit: {error}")
    return found
