"""The recorder of one count: both modes write their lines here, and neither knows the other's.

The function mode sees every call of a torch function, the dispatch mode the operators below it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from flopcount.counters.trace.autograd_functions import Customs
from flopcount.counters.trace.ledger import Ledger
from flopcount.counters.trace.records import META, DataDependentError, TraceOptions
from flopcount.counters.trace.tensor_table import TensorTable

_is_grad_enabled = torch.is_grad_enabled
# The recorder of the count that each thread is at.
_current = threading.local()


class Recorder:
    """The lines of one count, with the tensors and the module that they are about.

    Invariant: while it is paused, neither mode intercepts anything, so that what the counter does
    itself is no line. While ``suppress_depth`` is positive, a module runs that is one line as a
    whole: of what happens inside it only views and reads of the model's tensors are written.
    """

    __slots__ = ("customs", "ledger", "options", "paused", "suppress_depth", "tensors")

    def __init__(self, options: TraceOptions) -> None:
        self.options = options
        self.ledger = Ledger()
        self.tensors = TensorTable()
        self.customs = Customs()
        self.paused = False
        self.suppress_depth = 0
        _current.recorder = self

    @property
    def path(self) -> str:
        """The path of the module that is running."""
        return self.ledger.paths[self.ledger.module]

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Write nothing meanwhile."""
        outer, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = outer

    def append(
        self,
        kind: str | None,
        operator: str,
        ins: Sequence[Any],
        outs: Sequence[Any],
        macs: int,
        weight: Any,
        bias: Any,
        windows: int,
    ) -> None:
        """Write one line, as it is."""
        grad = _is_grad_enabled() or (self.options.backward and self.customs.running())
        ledger = self.ledger
        ledger.lines.append(
            (ledger.module, kind, operator, ins, outs, macs, weight, bias, windows, grad)
        )

    def record_read(self, read: Iterable[Any]) -> None:
        """Write that tensors of the model were read by what is not a line itself."""
        owned = tuple(x for x in read if x is not None and self.tensors.owns(x))
        if owned:
            line = (self.ledger.module, None, "", owned, (), 0, None, None, 0, True)
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
        """Write one line; of a real pass, which must not keep its tensors, with references."""
        read = tuple(ins)
        if self.suppress_depth:
            self.record_read((*read, weight, bias))
            return
        made = tuple(outs)
        if self.options.real:
            ref = self.tensors.ref
            read, made = tuple(map(ref, read)), tuple(map(ref, made))
            weight = weight if weight is None else ref(weight)
            bias = bias if bias is None else ref(bias)
        if kind is not None or read:
            self.append(kind, operator, read, made, macs, weight, bias, windows)

    def write_view(self, first: Tensor, outs: tuple[Tensor, ...], operator: str = "") -> None:
        """Write that these are views of a tensor."""
        tensors = self.tensors
        if id(first) in tensors.model_tensors:
            # a view of a weight: it lives as long as the ledger does
            tensors.model_tensors.update((id(x), x) for x in outs)
        if self.options.real:
            first, outs = tensors.ref(first), tuple(map(tensors.ref, outs))
        self.append(None, operator, (first,), outs, 0, None, None, 0)

    def on_meta(self, tensor: Tensor) -> Tensor:
        """The tensor itself if it is on the meta device, else its copy there, without values.

        Raises DataDependentError for a tensor of `torch.func`, of which no shape says how many
        it stands for.
        """
        if tensor.is_meta:
            return tensor
        copied = self.tensors.meta_copies.get(id(tensor))
        if copied is None:
            if is_functorch_wrapped_tensor(tensor):
                raise DataDependentError("torch.func over a tensor of the model's", self.path)
            with self.pause():
                copied = torch.empty_strided(
                    tensor.size(), tensor.stride(), dtype=tensor.dtype, device=META
                )
            self.tensors.add_copy(tensor, copied)
        return copied


@contextmanager
def exclusive() -> Iterator[None]:
    """Suspend an enclosing count on this thread."""
    outer: Recorder | None = getattr(_current, "recorder", None)
    with nullcontext() if outer is None else outer.pause():
        try:
            yield
        finally:
            _current.recorder = outer
