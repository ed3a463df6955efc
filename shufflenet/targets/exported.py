"""Programs that ``torch.export`` saved: loaded without running what is pickled in them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from shufflenet.arch.quantities import Input
from shufflenet.system.user_code import reason

# torch's own switch: tensors are read, and any other pickled object is refused.
_SWITCH = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"

_UNREADABLE = (RuntimeError, KeyError, ValueError, AssertionError, OSError, UnpicklingError)


class ProgramError(ValueError):
    """A file that holds no program, or one that cannot be loaded without running code."""


def loaded(path: str) -> tuple[nn.Module, tuple[Input, ...]]:
    """The module of a ``.pt2`` file, and the inputs that it was exported with.

    Raises ProgramError where the file cannot be read, holds compiled code, or pickled objects
    other than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except OSError as error:
        raise ProgramError(f"{path}: cannot be read: {error.strerror}") from error
    except zipfile.BadZipFile as error:
        raise ProgramError(f"{path}: not a file of torch.export: {error}") from error
    if any("aotinductor" in name for name in names):
        raise ProgramError(f"{path}: holds compiled code, which is not loaded; save the program")
    with _tensors_only(), _quiet():
        try:
            program = torch.export.load(path)
        except _UNREADABLE as error:
            raise ProgramError(f"{path}: cannot be loaded: {reason(error)}") from error
    args, kwargs = program.example_inputs or ((), {})
    tensors = _pytree.tree_leaves((args, kwargs))
    plain = not kwargs and all(isinstance(x, Tensor) for x in args)
    inputs = tuple(_input(x) for x in tensors) if plain else ()
    # As modules within modules, so that what runs has its path.
    return torch.export.unflatten(program), inputs


def _input(tensor: Tensor) -> Input:
    kind = str(tensor.dtype).removeprefix("torch.")
    return Input(tuple(tensor.shape), kind)


@contextmanager
def _tensors_only() -> Iterator[None]:
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before


@contextmanager
def _quiet() -> Iterator[None]:
    import logging

    logger = logging.getLogger("torch.export")
    before = logger.disabled
    # What it warns of is raised as well.
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
