"""Where the cost of a tally lies: by module, by kind or by operator, under any convention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias

from flopcount.conventions import Convention, PartOfSampleError, price
from flopcount.entries import Entry
from flopcount.module_tree import Node
from flopcount.tally import Tally

#: What the rows of a breakdown are.
By: TypeAlias = Literal["module", "kind", "operator"]

# A tree is shown as deep as it stays readable.
_MOST_ROWS = 40

#: The name of what a model does between its modules, where the path is empty.
WHOLE = "(itself)"


class CostShare(NamedTuple):
    """One row: a module with all that is below it, a kind or an operator.

    ``cost`` is in the convention's unit; ``own`` is that of the module without what is below it;
    ``params`` [params] of a kind or operator are those that it read.
    """

    name: str
    layer: str
    calls: int
    cost: int
    own: int
    params: int
    activations: int


def priceable(tally: Tally) -> Tally:
    """The tally without what has no rule, which no convention can price; that is told apart."""
    if not tally.uncounted:
        return tally
    kept = tuple(entry for entry in tally.entries if entry.kind != "uncounted")
    return replace(tally, entries=kept)


def parts(
    tally: Tally, by: By, chosen: Convention, depth: int | None = None
) -> tuple[CostShare, ...]:
    """The rows of a breakdown, in the order in which they ran; modules down to ``depth``.

    Raises UnpricedKindError and PartOfSampleError as `price` does.
    """
    if by == "module":
        return _modules(tally, chosen, depth)
    groups = tally.by_kind() if by == "kind" else tally.by_operator()
    costs = _costs(tally, chosen, by)
    return tuple(
        CostShare(name, "", group.calls, cost, cost, group.params, group.activations)
        for name, group in groups.items()
        for cost in (costs.get(name, 0),)
    )


def readable_depth(root: Node) -> int:
    """The greatest depth at which a tree is no longer than a page, and at least 1."""
    at = [depth for depth, _ in root.walk()]
    deepest = max(at)
    fits = (depth for depth in range(deepest, 1, -1) if _rows(at, depth) <= _MOST_ROWS)
    return next(fits, 1)


def _rows(at: list[int], depth: int) -> int:
    return sum(0 < place <= depth for place in at)


def _modules(tally: Tally, chosen: Convention, depth: int | None) -> tuple[CostShare, ...]:
    root = tally.by_module()
    own = _costs(tally, chosen, "module")
    whole: dict[str, int] = {}
    _sum(root, own, whole)
    shown = readable_depth(root) if depth is None else depth
    found = []
    for at, node in root.walk(shown):
        if at:
            found.append(_part(node, own, whole))
        elif own.get("") or node.macs or node.params:
            # What the whole does itself, between its modules.
            cost = own.get("", 0)
            found.append(
                CostShare(WHOLE, node.layer, node.calls, cost, cost, node.params, node.activations)
            )
    return tuple(found)


def _part(node: Node, own: Mapping[str, int], whole: Mapping[str, int]) -> CostShare:
    return CostShare(
        node.path,
        node.layer,
        node.calls,
        whole[node.path],
        own.get(node.path, 0),
        node.total_params,
        node.total_activations,
    )


def _sum(node: Node, own: Mapping[str, int], whole: dict[str, int]) -> int:
    below = sum(_sum(child, own, whole) for child in node.children)
    whole[node.path] = own.get(node.path, 0) + below
    return whole[node.path]


def _costs(tally: Tally, chosen: Convention, by: By) -> dict[str, int]:
    found: dict[str, list[Entry]] = {}
    for entry in priceable(tally).entries:
        found.setdefault(_key(entry, by), []).append(entry)
    costs = {}
    for name, entries in found.items():
        part = Tally(tuple(entries), tally.element_bytes, batch=tally.batch)
        try:
            costs[name] = price(part, chosen)
        except PartOfSampleError as error:
            # The whole may divide where its parts do not.
            raise PartOfSampleError(
                f"{by} {name or WHOLE}: {error}; with a batch of 1 every part has a price"
            ) from error
    return costs


def _key(entry: Entry, by: By) -> str:
    if by == "module":
        return entry.path
    return entry.kind if by == "kind" else entry.operator or entry.kind
