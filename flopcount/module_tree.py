"""The tree of modules: what each does itself, and with all that is below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from flopcount.entries import Entry, Module, Parameter
from flopcount.integers import Count, total


class Node(NamedTuple):
    """One module: its own figures, those with everything below it, and its children.

    ``macs``, ``params`` and ``activations`` are its own; ``total_macs`` [MAC], ``total_params``
    [params] and ``total_activations`` are with its children. A shared module stands once, under
    its first path; ``aliases`` lists the others.
    """

    path: str
    layer: str
    calls: int
    aliases: tuple[str, ...]
    macs: Count
    params: Count
    activations: Count
    total_macs: Count
    total_params: Count
    total_activations: Count
    children: tuple[Node, ...]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    def walk(self, depth: int | None = None) -> Iterator[tuple[int, Node]]:
        """This node and those below it, each with its depth, down to ``depth``."""
        yield from _walk(self, 0, depth)


def _walk(node: Node, at: int, depth: int | None) -> Iterator[tuple[int, Node]]:
    yield at, node
    if depth is None or at < depth:
        for child in node.children:
            yield from _walk(child, at + 1, depth)


def grow(
    entries: Iterable[Entry], parameters: Sequence[Parameter] | None, modules: Iterable[Module]
) -> Node:
    """The tree of what was counted: entries, parameters (None: those of the entries), modules.

    A path between two modules that nothing was counted at is a node too, so that every parent is.
    """
    known = {module.path: module for module in modules}
    own: dict[str, list[tuple[Count, Count, Count]]] = {}
    for entry in entries:
        params = entry.params if parameters is None else 0
        own.setdefault(entry.path, []).append((entry.macs, params, entry.activations))
    for parameter in parameters or ():
        own.setdefault(parameter.name.rpartition(".")[0], []).append((0, parameter.elements, 0))
    below: dict[str, list[str]] = {"": []}
    for path in (*known, *own):
        _plant(path, below)
    return _node("", below, own, known)


def _plant(path: str, below: dict[str, list[str]]) -> None:
    if path not in below:
        parent = path.rpartition(".")[0]
        _plant(parent, below)
        below[parent].append(path)
        below[path] = []


def _node(
    path: str,
    below: dict[str, list[str]],
    own: dict[str, list[tuple[Count, Count, Count]]],
    modules: dict[str, Module],
) -> Node:
    children = tuple(_node(child, below, own, modules) for child in below[path])
    macs, params, activations = (
        total(part) for part in zip(*own.get(path, [(0, 0, 0)]), strict=True)
    )
    module = modules.get(path, Module(path, ""))
    return Node(
        path,
        module.layer,
        module.calls,
        module.aliases,
        macs,
        params,
        activations,
        total([macs, *(child.total_macs for child in children)]),
        total([params, *(child.total_params for child in children)]),
        total([activations, *(child.total_activations for child in children)]),
        children,
    )
