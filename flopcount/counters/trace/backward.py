"""The multiply-adds of a training step: of every gradient that flows back through what ran.

A gradient is asked for where an output that depends on something trainable is reached from what
the model gives back. An operator then costs, for each of its operands that needs a gradient, what
it cost going forward: two products for a convolution or a linear map, one where its input needs
none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from flopcount.counters.trace.autograd_functions import Custom
from flopcount.counters.trace.ledger import LedgerLine, PlainLine
from flopcount.counters.trace.shadow_module import ShadowModule, layer_of
from flopcount.entries import PRODUCTS, Entry, Shape

# Kinds that take nothing of a tensor but its sizes; None is what is detached.
_SOURCES = (None, "create", "random")


class _Factor(NamedTuple):
    """A tensor that an operator read: its token, whether it needs a gradient, and is learned."""

    tensor: Any
    token: int
    needs: bool
    learned: bool


class _BackwardStep(NamedTuple):
    """An operator that a gradient may flow through, and the tokens of what it made."""

    line: LedgerLine
    operands: tuple[_Factor, ...]
    outs: tuple[int, ...]


def backward(
    lines: Iterable[PlainLine],
    shadow: ShadowModule | None,
    needing: set[int],
    outputs: Iterable[Any],
) -> tuple[Entry, ...]:
    """An entry for every gradient, in the order in which they are found.

    ``needing`` are the ids of the inputs that ask for a gradient.
    """
    tokens = _Tokens(needing)
    if shadow is not None:
        for parameter in shadow.parameters:
            tokens.learn(parameter)
    steps: list[_BackwardStep] = []
    for line in map(LedgerLine._make, lines):
        kind = line.kind
        read = tuple(x for x in (*line.ins, line.weight, line.bias) if x is not None)
        before = tuple(tokens.of(x) for x in read)
        custom = isinstance(line.tracked, Custom)
        if kind is None and line.operator != "detach" and not custom:
            for out in line.outs:
                tokens.rename(read[0], out)
            continue
        operands = tuple(
            _Factor(x, t, tokens.needs[t], t in tokens.learned)
            for x, t in zip(read, before, strict=True)
        )
        flows = custom or (bool(line.tracked) and kind not in _SOURCES)
        asked = flows and any(operand.needs for operand in operands)
        made = tuple(
            tokens.make(out, asked and _differentiable(out), any(out is x for x in read))
            for out in line.outs
        )
        if kind is None and operands[0].learned and not custom:
            tokens.learned.update(made)
        steps.append(_BackwardStep(line, operands, made))
    flowing = {tokens.of(x) for x in outputs}
    return tuple(_flow(steps, tokens.needs, flowing, shadow))


def _differentiable(tensor: Any) -> bool:
    return bool(tensor.dtype.is_floating_point or tensor.dtype.is_complex)


class _Tokens:
    """What each tensor holds, by a number; all names of one tensor hold the same."""

    def __init__(self, needing: set[int]) -> None:
        self.needing = needing
        self.needs: list[bool] = []
        # tokens of what is a parameter, or another name of one
        self.learned: set[int] = set()
        self._tokens: dict[int, int] = {}
        self._names: dict[int, set[int]] = {}

    def of(self, tensor: Any) -> int:
        """The token of what a tensor holds; one not met before needs a gradient if it says so."""
        token = self._tokens.get(id(tensor))
        if token is None:
            asks = id(tensor) in self.needing or bool(getattr(tensor, "requires_grad", False))
            token = self.make(tensor, asks, False)
        return token

    def learn(self, tensor: Any) -> None:
        """Meet a parameter."""
        self.learned.add(self.of(tensor))

    def rename(self, tensor: Any, other: Any) -> None:
        """Another name of a tensor."""
        self._tokens[id(other)] = self._tokens[id(tensor)]
        names = self._names.setdefault(id(tensor), {id(tensor)})
        names.add(id(other))
        self._names[id(other)] = names

    def make(self, tensor: Any, needs: bool, written: bool) -> int:
        """A token for a new value; ``written`` on a tensor, all its names have it."""
        token = len(self.needs)
        self.needs.append(needs)
        if not written:
            self._names.pop(id(tensor), None)
        for name in self._names.get(id(tensor), (id(tensor),)):
            self._tokens[name] = token
        return token


def _flow(
    steps: list[_BackwardStep], needs: list[bool], flowing: set[int], shadow: ShadowModule | None
) -> Iterable[Entry]:
    told: set[Custom] = set()
    for step in reversed(steps):
        if not any(out in flowing and needs[out] for out in step.outs):
            continue
        flowing.update(operand.token for operand in step.operands if operand.needs)
        custom = step.line.tracked
        if isinstance(custom, Custom):
            if custom not in told:
                yield _untold(step, custom.name, shadow)
            told.add(custom)
        elif step.line.macs:
            yield from _gradients(step, shadow)


def _gradients(step: _BackwardStep, shadow: ShadowModule | None) -> Iterable[Entry]:
    module, kind, operator, ins, outs, macs, weight, *_ = step.line
    learned = {id(operand.tensor) for operand in step.operands if operand.learned}
    if kind == "matmul" and any(id(x) in learned for x in ins[:2]):
        kind = "linear"
    # what is added to a product is not read again
    factors = 2 if kind in ("conv", "linear", "matmul") and operator != "deform_conv2d" else 3
    path, layer = _place(module, shadow)
    if kind == "attention":
        found = _attention(step)
    elif kind == "bilinear":
        found = _bilinear(step)
    elif kind in PRODUCTS:
        operands = _products(step)
        found = [(operand.tensor, macs) for operand in operands if operand.needs]
    else:
        # A rule of the user's says nothing of the way back.
        yield _untold(step, operator, shadow)
        return
    out = outs[0]
    for tensor, cost in found:
        read = [x for x in (*ins[:factors], weight) if x is not None and x is not tensor]
        moved = sum(x.numel() * x.element_size() for x in (out, *read, tensor))
        yield Entry(
            path,
            f"{kind}_backward",
            tuple(_shape(x) for x in (out, *read) if id(x) not in learned),
            (_shape(tensor),),
            cost,
            sum(x.numel() for x in read if id(x) in learned),
            0,
            f"{operator}_backward",
            layer,
            0,
            moved,
        )


def _untold(step: _BackwardStep, operator: str, shadow: ShadowModule | None) -> Entry:
    path, layer = _place(step.line.module, shadow)
    return Entry(path, "uncounted", (), (), operator=f"{operator}_backward", layer=layer)


def _place(module: int, shadow: ShadowModule | None) -> tuple[str, str]:
    return ("", "") if shadow is None else (shadow.paths[module], layer_of(shadow.kinds[module]))


def _products(step: _BackwardStep) -> tuple[_Factor, ...]:
    """The operands that are multiplied: a tensor that is added costs nothing on the way back."""
    line = step.line
    if line.operator == "deform_conv2d":
        # the input, its offsets and its mask come of one product; the weight of another
        x, own, *others = step.operands
        return (x._replace(needs=x.needs or any(o.needs for o in others[:2])), own)
    if line.weight is not None or line.kind == "conv":
        multiplied = (*line.ins[:1], line.ins[1] if line.weight is None else line.weight)
    else:
        multiplied = line.ins[:2]
    return tuple(o for o in step.operands if any(o.tensor is x for x in multiplied))


def _attention(step: _BackwardStep) -> list[tuple[Any, int]]:
    """Of softmax(q k') v: one product for the gradient of v, and of what multiplied it."""
    q, k, v = step.operands[:3]
    t, e = q.tensor.shape[-2:]
    s, f = v.tensor.shape[-2:]
    rows = step.line.macs // (t * s * (e + f)) if t * s * (e + f) else 0
    scores, values = rows * t * s * e, rows * t * s * f
    found = [(v.tensor, values)] if v.needs else []
    if q.needs or k.needs:
        # the gradient of the weights, from which both q's and k's come
        found.append((step.line.outs[0], values))
    return found + [(operand.tensor, scores) for operand in (q, k) if operand.needs]


def _bilinear(step: _BackwardStep) -> list[tuple[Any, int]]:
    """Of x W y: each gradient is two contractions, as the map itself is."""
    x, y = step.line.ins[:2]
    weight = step.line.weight
    o, i, j = weight.shape
    rows = x.numel() // i if i else 0
    costs = {id(x): o * (i * j + i), id(y): o * (i * j + j), id(weight): o * (i * j + i)}
    return [
        (operand.tensor, rows * costs[id(operand.tensor)])
        for operand in step.operands
        if operand.needs and id(operand.tensor) in costs
    ]


def _shape(tensor: Any) -> Shape:
    return tuple.__new__(Shape, tensor.shape)
