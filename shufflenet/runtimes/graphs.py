"""Graphs of a module for runtimes to convert; the module handed in stays as it is."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from shufflenet.runtimes.failing import told

_POOL = torch.ops.aten.avg_pool2d.default
_PAD = torch.ops.aten.constant_pad_nd.default


@contextmanager
def quiet() -> Iterator[None]:
    """Where a converter written in Python says nothing of its progress, and warns of nothing."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def exported(module: nn.Module, shape: tuple[int, ...]) -> ExportedProgram:
    """The graph that ``torch.export`` makes of a module for an input ``(n, c, h, w)``.

    Raises RuntimeFailedError where torch cannot follow the module.
    """
    with quiet(), torch.no_grad(), told("torch.export", RuntimeError):
        return torch.export.export(module, (torch.zeros(shape),))


def unpadded(program: ExportedProgram) -> ExportedProgram:
    """The program, whose padded average pools are now pads before pools that are not.

    XNNPACK has no average pool that counts its padding, and what it has not is run by plain loops.
    """
    graph = program.graph_module.graph
    for node in graph.find_nodes(op="call_function", target=_POOL):
        _part(graph, node)
    program.graph_module.recompile()
    return program


def _part(graph: fx.Graph, node: fx.Node) -> None:
    # avg_pool2d(x, kernel, stride=kernel, padding=0, ceil=False, count_pad=True, divisor=None)
    defaults: tuple[Any, ...] = (None, None, [], [0], False, True, None)
    given = (*node.args, *defaults[len(node.args) :])
    x, kernel, stride, padding, _, counted, divisor = given
    above, left = (*padding, *padding)[:2]
    if not counted or not (above or left):
        # One that leaves its padding out XNNPACK has.
        return
    image = x.meta["val"]
    with image.fake_mode:
        pad = [left, left, above, above]
        larger = _PAD(image, pad, 0.0)
        pooled = _POOL(larger, kernel, stride, [0, 0], False, True, divisor)
    if pooled.shape != node.meta["val"].shape:
        # A window that ceil adds reaches beyond the padding, and counts only what is inside.
        return
    with graph.inserting_before(node):
        padded = graph.call_function(_PAD, (x, pad, 0.0))
    padded.meta = {**node.meta, "val": larger}
    node.args = (padded, kernel, stride, [0, 0], False, True, divisor)
