"""The runtimes that a network can be timed in, as plug-ins: each an extra, absent ones said so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shufflenet.runtimes import (
    channels_last,
    compiled,
    eager,
    executorch,
    litert,
    ncnn,
    onnxruntime,
    openvino,
)
from shufflenet.runtimes.files import Files


class Runtime(NamedTuple):
    """A runtime by name: what it needs, and how it takes a module.

    ``missing`` is "" where it can run here, and else says what is not installed and how to install
    it. ``load`` takes a module in eval mode, the shape ``(n, c, h, w)`` of its input, a number of
    threads and an empty folder for its files, and gives a function of one float32 array that
    returns the output as another: the call that is timed. Threads are the process's, not the
    call's: a process that loads two runtimes, or one twice, has the number it was given last.
    ``tolerance`` is by how much an output may differ from eager's, as a share of the largest
    absolute value of eager's output. ``files`` is how its model is written to files, if it is.
    """

    name: str
    extra: str
    missing: Callable[[], str]
    load: Callable[[Any, tuple[int, ...], int, str], Callable[[Any], Any]]
    tolerance: float
    files: Files | None = None


def _of_files(name: str, missing: Callable[[], str], files: Files, tolerance: float) -> Runtime:
    return Runtime(name, name, missing, files.load, tolerance, files)


_ALL = (
    Runtime("eager", "torch", eager.missing, eager.load, 0.0),
    Runtime("channels-last", "torch", channels_last.missing, channels_last.load, 1e-4),
    Runtime("compile", "torch", compiled.missing, compiled.load, 1e-4),
    _of_files("onnxruntime", onnxruntime.missing, onnxruntime.FILES, 1e-4),
    _of_files("openvino", openvino.missing, openvino.FILES, 1e-4),
    _of_files("ncnn", ncnn.missing, ncnn.FILES, 1e-4),
    _of_files("executorch", executorch.missing, executorch.FILES, 1e-4),
    _of_files("litert", litert.missing, litert.FILES, 1e-4),
)
#: Every runtime by its name.
RUNTIMES: Mapping[str, Runtime] = {runtime.name: runtime for runtime in _ALL}
#: What can be exported to, and the runtime that takes it.
FORMATS: Mapping[str, Runtime] = {
    runtime.files.form: runtime for runtime in _ALL if runtime.files is not None
}
