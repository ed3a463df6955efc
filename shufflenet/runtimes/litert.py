"""LiteRT, once TensorFlow Lite, with its XNNPACK, on a ``.tflite`` file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shufflenet.runtimes.failing import told
from shufflenet.runtimes.files import Files
from shufflenet.system.user_code import lacking


def missing() -> str:
    """What is not installed, if anything is."""
    return lacking("litert", "torch", "litert_torch", "ai_edge_litert")


def write(module: Any, shape: tuple[int, ...], stem: str) -> None:
    """Write a ``.tflite`` file. Raises RuntimeFailedError where it cannot convert the module."""
    from copy import deepcopy

    import torch

    from shufflenet.runtimes.graphs import quiet

    with quiet():
        import litert_torch

        with told("LiteRT", RuntimeError, ValueError, NotImplementedError):
            # It writes on the values of the module it is given, the same ones again.
            converted = litert_torch.convert(deepcopy(module), (torch.zeros(shape),))
            converted.export(f"{stem}.tflite")


def read(stem: str, shape: tuple[int, ...], threads: int) -> Callable[[Any], Any]:
    """The file as a function of one array. Raises RuntimeFailedError where it cannot be run."""
    from shufflenet.runtimes.graphs import quiet

    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        with told("LiteRT", RuntimeError, ValueError):
            interpreter = Interpreter(model_path=f"{stem}.tflite", num_threads=threads)
            interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    taken = interpreter.get_output_details()[0]["index"]

    def call(image: Any) -> Any:
        interpreter.set_tensor(given, image)
        interpreter.invoke()
        return interpreter.get_tensor(taken)

    return call


FILES = Files("tflite", (".tflite",), write, read)
