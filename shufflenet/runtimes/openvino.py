"""OpenVINO, on its intermediate representation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shufflenet.runtimes.failing import told
from shufflenet.runtimes.files import Files
from shufflenet.system.user_code import lacking


def missing() -> str:
    """What is not installed, if anything is."""
    return lacking("openvino", "torch", "openvino")


def write(module: Any, shape: tuple[int, ...], stem: str) -> None:
    """Write ``.xml`` and ``.bin``. Raises RuntimeFailedError where it cannot convert the module."""
    import openvino
    from openvino.frontend import OpConversionFailure

    from shufflenet.runtimes.graphs import exported, quiet

    program = exported(module, shape)
    with quiet(), told("OpenVINO", OpConversionFailure, RuntimeError):
        model = openvino.convert_model(program)
        # Unless told not to, it rounds all weights to half precision.
        openvino.save_model(model, f"{stem}.xml", compress_to_fp16=False)


def read(stem: str, shape: tuple[int, ...], threads: int) -> Callable[[Any], Any]:
    """The files as a function of one array. Raises RuntimeFailedError where they cannot be run."""
    import openvino

    config = {
        # Its default is bfloat16 wherever the processor has that.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # Bound to the first core, it would share that with whoever else is bound so.
        "ENABLE_CPU_PINNING": False,
    }
    with told("OpenVINO", RuntimeError):
        request = openvino.Core().compile_model(f"{stem}.xml", "CPU", config).create_infer_request()

    def call(image: Any) -> Any:
        return request.infer([image], share_inputs=True)[0]

    return call


FILES = Files("openvino", (".xml", ".bin"), write, read)
