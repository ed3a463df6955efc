"""What a count knows while the model runs, and the lines that it writes down.

Both modes record here: the function mode, which sees every call of a torch function, and the
dispatch mode, which sees the operators below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import _is_alias_of  # type: ignore[attr-defined]
from torch._C._functorch import is_functorch_wrapped_tensor

from flopcount.counters.trace.autograd_functions import Customs
from flopcount.counters.trace.ledger import Ledger
from flopcount.counters.trace.records import DataDependentError, Gathered, Ghost, Rule

_META = torch.device("meta")
_is_grad_enabled = torch.is_grad_enabled


class Recorder:
    """The state of one count: the ledger, the tensors that are known, and where the model is.

    Under ``real`` execution every function runs on values; ``checked`` says that every function
    runs at all, so that the rules are held against it.
    """

    def __init__(self, ledger: Ledger, *, real: bool, checked: bool) -> None:
        self.ledger = ledger
        self.real = real
        self.checked = checked or real
        self.rules: Mapping[Any, Rule] = {}
        self.gathered: Gathered | None = None
        self.busy = False
        self.everywhere = False
        self.backward = False
        self.paused = False
        # that something ran which calls no torch function, and that gradients flow on the way
        self.overheard = False
        self.differentiated = False
        self.muted = 0
        self.apart: dict[int, Any] = {}
        # values worked out on the way, by id; kept, so that no id is used twice
        self.worked_out: dict[int, Tensor] = {}
        self.shadows: dict[int, Tensor] = {}
        # what is on the CPU wherever the model is, by id
        self.on_cpu: set[int] = set()
        self._sources: dict[int, Tensor] = {}
        self._ghosts: dict[int, Ghost] = {}
        self.paths: list[str] = [""]
        self.customs = Customs()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let what is done meanwhile be none of the model's."""
        busy, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = busy

    @property
    def path(self) -> str:
        """The path of the module that is running."""
        return self.paths[self.ledger.module]

    def glimpse(self, read: Iterable[Any]) -> None:
        """Remember that these were read, though the line is another's."""
        seen = tuple(x for x in read if x is not None and id(x) in self.apart)
        if seen:
            line = (self.ledger.module, None, "", seen, (), 0, None, None, 0, True)
            self.ledger.lines.append(line)

    def write(
        self,
        kind: str | None,
        operator: str,
        ins: Iterable[Any],
        outs: Iterable[Any],
        macs: int = 0,
        weight: Any = None,
        bias: Any = None,
        windows: int = 0,
    ) -> None:
        """Write one line down."""
        read = tuple(ins)
        if self.muted:
            self.glimpse((*read, weight, bias))
            return
        made = tuple(outs)
        if self.real:
            read = tuple(map(self.ghost, read))
            made = tuple(map(self.ghost, made))
            weight = weight if weight is None else self.ghost(weight)
            bias = bias if bias is None else self.ghost(bias)
        if kind is None and not read:
            return
        grad = _is_grad_enabled() or (self.backward and self.customs.running())
        line = (self.ledger.module, kind, operator, read, made, macs, weight, bias, windows, grad)
        self.ledger.lines.append(line)

    def write_view(self, first: Tensor, outs: tuple[Tensor, ...], operator: str = "") -> None:
        """Write down that these are other names of a tensor."""
        if id(first) in self.apart:
            # a name of a weight: it lives as long as the ledger does
            self.apart.update((id(x), x) for x in outs)
        muted, self.muted = self.muted, 0
        self.write(None, operator, (first,), outs)
        self.muted = muted

    def ghost(self, tensor: Any) -> Any:
        """What stands for a tensor in the ledger: itself, where it lives as long as the model."""
        if id(tensor) in self.apart:
            return tensor
        known = self._ghosts.get(id(tensor))
        if known is None or known.shape != tensor.shape or known.ref() is not tensor:
            known = self._ghosts[id(tensor)] = Ghost(tensor)
            # two ghosts must not share an id
            self._sources[id(known)] = known  # type: ignore[assignment]
        return known

    def meta(self, tensor: Tensor) -> Tensor:
        """The tensor itself if it is on the meta device, else its shadow there."""
        if tensor.is_meta:
            return tensor
        shadow = self.shadows.get(id(tensor))
        if shadow is None:
            if is_functorch_wrapped_tensor(tensor):
                # one of many that no shape tells of
                raise DataDependentError("torch.func over a tensor of the model's", self.path)
            with self.aside():
                shadow = torch.empty_strided(
                    tensor.size(), tensor.stride(), dtype=tensor.dtype, device=_META
                )
            self.shadows[id(tensor)] = shadow
            self._sources[id(shadow)] = tensor
        return shadow

    def source(self, tensor: Tensor) -> Tensor:
        """The tensor that a shadow is of, or itself."""
        return self._sources.get(id(tensor), tensor)

    def number(self, tensor: Tensor) -> Any:
        """The number that a tensor of one element was worked out to be, else itself."""
        known = tensor.dim() == 0 and id(tensor) in self.worked_out
        return tensor.item() if known else tensor

    def forget(self, ins: Iterable[Tensor]) -> None:
        """Know no longer what was worked out, where something unknown was written on it."""
        for tensor in ins:
            shadow = self.shadows.get(id(tensor))
            if shadow is not None and shadow._version and id(tensor) in self.worked_out:
                for key, other in tuple(self.worked_out.items()):
                    if _is_alias_of(tensor, other):
                        # kept, as they all are, so that no id is used twice
                        self._sources[key] = self.worked_out.pop(key)
