"""ONNX Runtime, on an ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shufflenet.runtimes.failing import told
from shufflenet.runtimes.files import Files
from shufflenet.system.user_code import lacking


def missing() -> str:
    """What is not installed, if anything is."""
    return lacking("onnxruntime", "torch", "onnx", "onnxscript", "onnxruntime")


def write(module: Any, shape: tuple[int, ...], stem: str) -> None:
    """Write an ONNX file. Raises RuntimeFailedError where torch cannot export the module."""
    import torch
    from torch.onnx.errors import OnnxExporterError

    from shufflenet.runtimes.graphs import exported, quiet

    program = exported(module, shape)
    with quiet(), told("torch.onnx", OnnxExporterError):
        torch.onnx.export(
            program,
            (),
            f"{stem}.onnx",
            input_names=["image"],
            output_names=["scores"],
            external_data=False,
            verbose=False,
        )


def read(stem: str, shape: tuple[int, ...], threads: int) -> Callable[[Any], Any]:
    """The file as a function of one array. Raises RuntimeFailedError where it cannot be run."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    refused = (
        state.Fail,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
    )
    with told("ONNX Runtime", *refused):
        session = onnxruntime.InferenceSession(
            f"{stem}.onnx", options, providers=["CPUExecutionProvider"]
        )
    name = session.get_inputs()[0].name

    def call(image: Any) -> Any:
        return session.run(None, {name: image})[0]

    return call


FILES = Files("onnx", (".onnx",), write, read)
