"""The layers of a network timed, by how it is named on the command line."""

from __future__ import annotations

from collections.abc import Callable

from shufflenet.counting import running
from shufflenet.quantities import Input
from shufflenet.targets import runs_code
from shufflenet.timing.eager_layers import inference, time_layers, tree_leaves
from shufflenet.timing.layer_records import LayerRecord
from shufflenet.timing.rounds import Effort
from shufflenet.timing.subjects import Subject, living, tally_of, tree_of

#: The size of image (height, width) [px] of a module, which has none of its own.
SIZE = (224, 224)


def timed(
    subject: Subject,
    size: tuple[int, int] | None,
    effort: Effort,
    note: Callable[[int], object] = lambda number: None,
) -> LayerRecord:
    """The layers of a network on one image of a size, or its own; ``note`` as of `time_layers`.

    Raises TargetError where it is none, or takes no such image; SpecError for a spec that breaks
    a rule; OwnCodeError where the user's own code raises anything.
    """
    if not runs_code(subject.target) and not subject.target.lower().endswith(".onnx"):
        tree, shape = tree_of(subject, size)
        return time_layers(tree_leaves(tree, shape, subject.text), effort, note)
    return _of_module(subject, size or SIZE, effort, note)


def _of_module(
    subject: Subject, size: tuple[int, int], effort: Effort, note: Callable[[int], object]
) -> LayerRecord:
    import torch

    from shufflenet.timing.module_leaves import module_leaves

    tally, shape = tally_of(subject, size)
    target = living(subject)
    floats = (p.dtype for p in target.module.parameters() if p.is_floating_point())
    drawn = torch.Generator().manual_seed(effort.seed)
    image = torch.rand(shape, dtype=next(floats, torch.float32), generator=drawn)
    with running(target, (Input(shape),)):
        with inference(effort.threads):
            leaves = module_leaves(target.module, image, subject.text, tally, effort.seed)
        return time_layers(leaves, effort, note)
