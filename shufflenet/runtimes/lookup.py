"""Runtimes by their names, of ours and of one's own; and which of them can run here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

from shufflenet.runtimes import RUNTIMES, Runtime
from shufflenet.system.user_code import RefusedError, load

# What has a say in how fast a network runs, as far as it is installed.
_DISTRIBUTIONS = (
    *("torch", "torchvision", "timm", "numpy", "onnx", "onnxruntime", "openvino", "ncnn", "pnnx"),
    *("executorch", "ai-edge-litert", "ai-edge-torch", "litert-torch", "tensorflow"),
)


class UnknownRuntimeError(RefusedError):
    """A name that is none of a runtime's."""


class Installed(NamedTuple):
    """The runtimes that can run here, and of the others what is missing, by their names."""

    names: tuple[str, ...]
    absent: dict[str, str]


def runtime(name: str) -> Runtime:
    """The runtime of a name; ``package.module:NAME`` or ``file.py:NAME`` is one of the user's.

    Raises UnknownRuntimeError where there is none; OwnCodeError where the user's code raises.
    """
    if ":" not in name:
        if name not in RUNTIMES:
            raise UnknownRuntimeError(
                f"unknown runtime {name!r}: known are {', '.join(RUNTIMES)}; one of your own is"
                " package.module:NAME"
            )
        return RUNTIMES[name]
    found = load(name, f"runtime {name!r}", UnknownRuntimeError)
    if not isinstance(found, Runtime):
        kind = type(found).__name__
        raise UnknownRuntimeError(f"runtime {name!r}: is of type {kind}, no Runtime")
    return found


def installed(names: tuple[str, ...] = ()) -> Installed:
    """Which of the runtimes, of all unless named, can run here.

    Raises what `runtime` does.
    """
    missing = {name: runtime(name).missing() for name in names or RUNTIMES}
    return Installed(
        tuple(name for name, what in missing.items() if not what),
        {name: what for name, what in missing.items() if what},
    )


def versions() -> dict[str, str]:
    """The versions of what has a say in how fast a network runs, as far as it is installed."""
    return dict(_versions())


def _versions() -> Iterator[tuple[str, str]]:
    for name in _DISTRIBUTIONS:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
