"""The layers of a network timed, by how it is named on the command line."""

from __future__ import annotations

from collections.abc import Callable

from flopcount.tally import Tally
from shufflenet.arch.quantities import Input
from shufflenet.bench.layers.record import LayerRecord
from shufflenet.bench.layers.time_layers import inference, time_layers, tree_leaves
from shufflenet.bench.rounds import RoundSettings
from shufflenet.bench.subjects import IMAGE_CHANNELS, BenchSubject, living, tree_of
from shufflenet.system.user_code import own_code
from shufflenet.targets.count import ValuesNeededError, counted_module, running, usual_dtype
from shufflenet.targets.resolve import ModuleTarget, TargetError, runs_code

#: The size of image (height, width) [px] of a module, which has none of its own.
LAYERS_SIZE = (224, 224)


def timed(
    subject: BenchSubject,
    size: tuple[int, int] | None,
    effort: RoundSettings,
    note: Callable[[int], object] = lambda number: None,
) -> LayerRecord:
    """The layers of a network on one image of a size, or its own; ``note`` as of `time_layers`.

    Raises TargetError where it is none, takes no such image, is not on the CPU, or has a leaf that
    cannot be run alone; SpecError for a spec that breaks a rule; OwnCodeError where the user's own
    code raises anything.
    """
    if not runs_code(subject.target) and not subject.target.lower().endswith(".onnx"):
        tree, shape = tree_of(subject, size)
        return time_layers(tree_leaves(tree, shape, subject.text, effort.seed), effort, note)
    return _of_module(subject, size or LAYERS_SIZE, effort, note)


def _of_module(
    subject: BenchSubject,
    size: tuple[int, int],
    effort: RoundSettings,
    note: Callable[[int], object],
) -> LayerRecord:
    import torch

    from shufflenet.bench.layers.module_leaves import module_leaves

    target, shape = living(subject), (1, IMAGE_CHANNELS, *size)
    _check_devices(target)
    inputs = (Input(shape),)
    tally = _tally(target, inputs)
    drawn = torch.Generator().manual_seed(effort.seed)
    image = torch.rand(shape, dtype=usual_dtype(target), generator=drawn)
    with inference(effort.threads):
        leaves = module_leaves(
            target.module,
            image,
            subject.text,
            tally,
            effort.seed,
            lambda: running(target, inputs),
        )
    with own_code(target.name):
        return time_layers(leaves, effort, note)


def _check_devices(target: ModuleTarget) -> None:
    module = target.module
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.device.type != "cpu":
            raise TargetError(
                f"{target.name}: {name} is on {tensor.device}, and layers are timed on the CPU"
            )


def _tally(target: ModuleTarget, inputs: tuple[Input, ...]) -> Tally:
    """What a module costs; it is run for that where shapes alone do not tell."""
    try:
        return counted_module(target, inputs).tally
    except ValuesNeededError:
        return counted_module(target, inputs, "real").tally
