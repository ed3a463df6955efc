"""``shufflecost count``: what any network costs, and whether it keeps a budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flopcount.conventions import Convention, price
from flopcount.report import Cell, Table
from shufflenet.arch.quantities import Input
from shufflenet.cli import options, target_options
from shufflenet.cli.output import OutputFormat, emit, say
from shufflenet.cost.breakdown import WHOLE, By, CostShare, parts, priceable
from shufflenet.targets.count import CountedTarget, Execution

if TYPE_CHECKING:
    from fractions import Fraction

_LISTED = 5


class _Gate(NamedTuple):
    """A limit that a figure must not pass; a figure that cannot be told keeps no limit."""

    option: str
    what: str
    limit: int
    figure: int | None

    @property
    def broken(self) -> bool:
        return self.figure is None or self.figure > self.limit

    @property
    def says(self) -> str:
        if self.figure is None:
            return f"{self.what} cannot be told, so {self.option} {self.limit:,} is not kept"
        over = self.figure - self.limit
        return f"{self.figure:,} {self.what} are {over:,} above {self.option} {self.limit:,}"


class _Result(NamedTuple):
    """What a command found, and how it is to be shown."""

    item: CountedTarget
    convention: Convention
    cost: int
    by: By
    parts: tuple[CostShare, ...]
    gates: tuple[_Gate, ...]


@click.command(
    short_help="The cost of any network: a module, an ONNX file, a spec.",
    epilog=options.epilog(
        "shufflecost count torchvision:resnet50 --depth 1",
        "shufflecost count shufflenet --arg groups=8 --max-macs 150M --max-memory 8MiB",
        "shufflecost count torchvision:vit_b_16 --by kind --convention fvcore",
        "shufflecost count net.py:Net --arg width=64 --input 1x3x32x32 --backward",
        "shufflecost count package.module:words --input 1x128:int64 --strict",
        "shufflecost count model.onnx --input 8x3x224x224 --format json",
        own=True,
    ),
)
@options.target_options
@options.own_convention_option("macs")
@click.option(
    "--by",
    type=click.Choice(["module", "kind", "operator"]),
    help="Rows of the table. Default: module, or kind where there is only one.",
)
@click.option("--depth", type=click.IntRange(1), help="Of the tree of modules. Default: a page.")
@click.option("--strict", is_flag=True, help="Exit with 1 where something ran that has no rule.")
@click.option("--max-macs", type=options.BUDGET, help="Exit with 1 above this cost (150M).")
@click.option("--max-params", type=options.BUDGET, help="Exit with 1 above so many (2M).")
@click.option(
    "--max-memory",
    type=options.MEMORY,
    help="Exit with 1 above this peak of activations (8MiB), weights apart.",
)
@options.output_options
def count(
    target: str,
    arguments: tuple[str, ...],
    inputs: tuple[Input, ...],
    execution: Execution,
    backward: bool,
    convention: str,
    by: By | None,
    depth: int | None,
    strict: bool,
    form: OutputFormat,
    path: str | None,
    **limits: int | None,
) -> int:
    """The cost of TARGET: multiply-adds, parameters, activations, by module, kind or operator.

    TARGET is a bundled spec or a .toml file; torchvision:NAME or timm:NAME (no weights are
    fetched); package.module:callable or file.py:callable, which gives a torch.nn.Module; a .onnx
    file; or a .pt2 file of torch.export.

    A callable of yours is code, and it is RUN: count only what you would run anyway. What it
    prints goes to standard error, and an error in it is told by its traceback. Specs and
    ONNX files run nothing; of a .pt2 file only tensors are unpickled. Pickled checkpoints
    (.pt, .pth, .ckpt) are refused: loading one runs code, and it holds no architecture.
    """
    if depth is not None and by not in (None, "module"):
        raise click.UsageError(f"--depth is of the tree of modules: it does not go with --by {by}")
    chosen = target_options.convention(convention)
    item = target_options.network(target, arguments, inputs, execution, backward)
    if by is None:
        by = "module" if item.tally.by_module().children else "kind"
    with target_options.priced(target):
        cost = price(priceable(item.tally), chosen)
        gates = tuple(_gates(item, cost, chosen, limits))
        result = _Result(item, chosen, cost, by, parts(item.tally, by, chosen, depth), gates)
        emit(form, path, lambda: _table(result), lambda: _figures(result))
    broken = [gate for gate in gates if gate.broken]
    for gate in broken:
        say(f"shufflecost: {target}: {gate.says}")
    if strict and item.tally.uncounted:
        say(f"shufflecost: {target}: uncounted: {item.uncounted}")
    return int(bool(broken) or (strict and bool(item.tally.uncounted)))


def _gates(
    item: CountedTarget, cost: int, chosen: Convention, limits: dict[str, int | None]
) -> Iterator[_Gate]:
    tally = item.tally
    unit = "multiply-adds" if chosen.unit == "macs" else "operations"
    figures = (
        ("max_macs", unit, cost),
        ("max_params", "parameters", tally.params),
        ("max_memory", "bytes of activations", tally.peak_memory),
    )
    for name, what, figure in figures:
        limit = limits[name]
        if limit is None:
            continue
        if name == "max_macs" and tally.uncounted and cost <= limit:
            # What is known is within it; what is not may not be.
            figure = None
        yield _Gate(f"--{name.replace('_', '-')}", what, limit, figure)


def _table(result: _Result) -> Table:
    from shufflenet.cost.tables import percent, unit_name

    item, cost = result.item, result.cost
    rows: list[tuple[Cell, ...]] = []
    for part in result.parts:
        layer = (part.layer,) if result.by == "module" else ()
        share = percent(part.cost, cost)
        calls = part.calls or None
        rows.append((part.name, *layer, calls, part.cost, share, part.params, part.activations))
    empty = ("",) if result.by == "module" else ()
    params = sum(part.params for part in result.parts)
    whole = item.tally.params if result.by == "module" else params
    total = ("Total", *empty, None, cost, percent(cost, cost), whole, item.tally.activations)
    headers = {
        "module": ("Module", "Layer", "Calls"),
        "kind": ("Kind", "Calls"),
        "operator": ("Operator", "Calls"),
    }[result.by]
    read = "Parameters" if result.by == "module" else "Parameters read"
    return Table(
        f"The cost of {item.target}",
        (*headers, unit_name(result.convention), "Share", read, "Activations"),
        (*rows, total),
        tuple(_notes(result)),
        frozenset({len(rows) - 1}),
        left=len(headers) - 1,
    )


def _notes(result: _Result) -> Iterator[str]:
    item, tally, chosen = result.item, result.item.tally, result.convention
    given = " ".join(map(str, item.inputs)) or "as the file states"
    passes = "; forward and backward" if item.backward else ""
    yield f"convention {chosen.name}: {chosen.says}; input {given}{passes}"
    peak = tally.peak_memory
    yield (
        f"{tally.params:,} parameters, {tally.param_bytes:,} B; peak activations"
        + (f" {peak:,} B (weights apart)" if peak is not None else " cannot be told")
        + f"; moved, unfused: {tally.bytes_moved:,} B"
    )
    if result.by == "module":
        yield "a module's figures are those with all that is below it"
    if tally.uncounted:
        from shufflenet.cost.tables import percent

        share = percent(tally.coverage.numerator, tally.coverage.denominator)
        yield f"uncounted, and in no figure: {item.uncounted}; {share} of what ran is counted"
    yield from target_options.caveats(item, chosen)
    if tally.uncalled:
        names = [name or WHOLE for name in tally.uncalled]
        shown = ", ".join(names[:_LISTED])
        more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
        yield f"not called: {shown}{more}; {tally.uncalled_params:,} parameters"
    for what, figure in (("frozen", tally.frozen_params), ("tied", tally.tied_params)):
        if figure:
            yield f"{what}: {figure:,} parameters"


def _figures(result: _Result) -> dict[str, Any]:
    item, tally, chosen = result.item, result.item.tally, result.convention
    by: tuple[By, By] = ("kind", "operator")
    kinds, operators = (parts(tally, name, chosen) for name in by)
    return {
        **target_options.described(item),
        "convention": chosen.name,
        "unit": chosen.unit,
        "macs": result.cost,
        "params": tally.params,
        "trainable_params": tally.trainable_params,
        "tied_params": tally.tied_params,
        "uncalled_params": tally.uncalled_params,
        "param_bytes": tally.param_bytes,
        "activations": tally.activations,
        "peak_activation_bytes": tally.peak_memory,
        "bytes_moved": tally.bytes_moved,
        "batch": tally.batch,
        "uncounted": dict(tally.uncounted),
        "coverage": _share(tally.coverage),
        "uncalled": list(tally.uncalled),
        "gates": [
            {"option": g.option, "limit": g.limit, "figure": g.figure, "broken": g.broken}
            for g in result.gates
        ],
        "notes": target_options.caveats(item, chosen),
        "modules": [
            {**_part(part, "path"), "layer": part.layer, "own_macs": part.own}
            for part in parts(tally, "module", chosen, depth=_EVERY)
        ],
        "kinds": [_part(part, "kind") for part in kinds],
        "operators": [_part(part, "operator") for part in operators],
    }


def _share(part: Fraction) -> float:
    # Rounded down, so that 1 is all.
    return part.numerator * 10_000 // part.denominator / 10_000


# Deeper than any tree.
_EVERY = 1_000


def _part(part: CostShare, name: str) -> dict[str, Any]:
    return {
        name: part.name,
        "calls": part.calls,
        "macs": part.cost,
        "params": part.params,
        "activations": part.activations,
    }
