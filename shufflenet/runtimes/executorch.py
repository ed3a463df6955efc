"""ExecuTorch with XNNPACK, on a ``.pte`` file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shufflenet.runtimes.failing import told
from shufflenet.runtimes.files import Files
from shufflenet.system.user_code import lacking


def missing() -> str:
    """What is not installed, if anything is."""
    return lacking("executorch", "torch", "executorch")


def write(module: Any, shape: tuple[int, ...], stem: str) -> None:
    """Write a ``.pte`` file. Raises RuntimeFailedError where it cannot lower the module."""
    from shufflenet.runtimes.graphs import exported, quiet, unpadded

    program = unpadded(exported(module, shape))
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
        from executorch.exir.error import InternalError

        with told("ExecuTorch", InternalError, RuntimeError):
            edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            lowered = edge.to_executorch()
    with open(f"{stem}.pte", "wb") as stream:
        lowered.write_to_file(stream)


def read(stem: str, shape: tuple[int, ...], threads: int) -> Callable[[Any], Any]:
    """The file as a function of one array. Raises RuntimeFailedError where it cannot be run."""
    import torch

    from shufflenet.runtimes.graphs import quiet

    with quiet():
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

    # The only way there is: one pool of threads for the process, made before it is used.
    portable_lib._unsafe_reset_threadpool(threads)
    torch.set_num_threads(threads)
    with told("ExecuTorch", RuntimeError):
        method = Runtime.get().load_program(f"{stem}.pte").load_method("forward")

    def call(image: Any) -> Any:
        return method.execute([torch.from_numpy(image)])[0].numpy()

    return call


FILES = Files("pte", (".pte",), write, read)
