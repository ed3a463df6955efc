"""What a run must leave as it was: the generators of random numbers, and what compiles."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch.jit._fuser import optimized_execution


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: a run makes many objects that all live until its end."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def kept() -> Iterator[None]:
    """Put the states of all random generators back, and compile nothing meanwhile."""
    numpy = sys.modules.get("numpy.random")
    own = random.getstate()
    theirs = numpy.get_state() if numpy is not None else None
    state = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with ExitStack() as stack:
        # Optimised, scripted code hides its operators, and remembers what it was run on.
        stack.enter_context(optimized_execution(False))
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            yield
        finally:
            if not torch.equal(torch.get_rng_state(), state):
                torch.set_rng_state(state)
            if cuda:
                torch.cuda.set_rng_state_all(cuda)
            if random.getstate() != own:
                random.setstate(own)
            if numpy is not None and theirs is not None:
                numpy.set_state(theirs)
