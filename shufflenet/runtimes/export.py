"""A network as files that another runtime takes, and the proof that they compute what eager does.

The weights are the target's own. A spec has none: they are drawn from a seed, or loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from decimal import Decimal
from pickle import UnpicklingError
from typing import Any, NamedTuple, assert_never

import torch
from torch import Tensor, nn

from shufflenet.arch.network import changed
from shufflenet.nn.init import drawn
from shufflenet.runtimes import Runtime
from shufflenet.runtimes.agreement import WrongOutputError, check
from shufflenet.runtimes.eager import one_tensor
from shufflenet.runtimes.failing import RuntimeFailedError, told
from shufflenet.runtimes.files import Files
from shufflenet.system.user_code import lines, own_code, reason
from shufflenet.targets.resolve import ModuleTarget, OnnxTarget, SpecTarget, TargetError, resolve

_UNLOADABLE = (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError)
_UNFIT = (RuntimeError, TypeError, ValueError, LookupError, AssertionError, AttributeError)


class Choices(NamedTuple):
    """What is chosen of a network: None is as the target has it.

    All but the size and the weights are of a spec alone.
    """

    groups: int | None = None
    scale: Decimal | None = None
    stem: int | None = None
    widths: tuple[int, ...] | None = None
    seed: int | None = None
    size: tuple[int, int] | None = None
    weights: str | None = None

    @property
    def of_spec(self) -> dict[str, Any]:
        """Those that only a spec takes, as far as they are given."""
        names = ("groups", "scale", "stem", "widths", "seed")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class Original(NamedTuple):
    """What a file is to compute: a module in eval mode, the shape ``(1, c, h, w)`` of its image.

    ``own`` says that the user's own code made it, whose errors are that code's.
    """

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    own: bool = False


def original(name: str, arguments: Mapping[str, Any], choices: Choices) -> Original:
    """The network of a target, with weights.

    Raises TargetError for a target that is none, that holds no module, that does not take what is
    chosen, or whose weights do not fit; SpecError for a spec that breaks a rule; OwnCodeError
    where the user's own code raises anything.
    """
    found = resolve(name, arguments, real=True)
    match found:
        case SpecTarget():
            made = _of_spec(name, arguments, choices)
        case ModuleTarget():
            made = _of_module(found, choices)
        case OnnxTarget():
            raise TargetError(f"{name}: an ONNX file holds no module that could be exported")
        case _:
            assert_never(found)
    if choices.weights is not None:
        _load(made.module, choices.weights)
    return made


def _of_spec(name: str, arguments: Mapping[str, Any], choices: Choices) -> Original:
    chosen = choices.of_spec
    given: dict[str, Any] = {
        key: chosen[key] for key in ("groups", "scale", "stem") if key in chosen
    }
    for key in given.keys() & arguments.keys():
        raise TargetError(f"{name}: argument {key}={arguments[key]}: --{key} is given too")
    found = resolve(name, {**arguments, **given})
    assert isinstance(found, SpecTarget)
    net = found.network
    if choices.widths is not None or choices.size is not None:
        net = changed(net, choices.size, choices.widths)
    return Original(name, drawn(net, choices.seed or 0), tuple(net.input))


def _of_module(target: ModuleTarget, choices: Choices) -> Original:
    for key in choices.of_spec:
        raise TargetError(f"{target.name}: --{key} is of a spec; a module is as its code builds it")
    usual = target.inputs[0].sizes if len(target.inputs) == 1 else ()
    if usual and len(usual) != 4:
        raise TargetError(f"{target.name}: its input {target.inputs[0]} is no image")
    if not usual and choices.size is None:
        raise TargetError(f"{target.name}: has no usual input: give its --size")
    channels = usual[1] if usual else 3
    size = choices.size or usual[2:]
    return Original(target.name, target.module.eval(), (1, channels, *size), target.own)


def _load(module: nn.Module, path: str) -> None:
    try:
        # Nothing but tensors and plain values is unpickled.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except _UNLOADABLE as error:
        raise TargetError(f"{path}: no file of weights: {reason(error)}") from error
    if not isinstance(state, Mapping):
        raise TargetError(f"{path}: holds what is of type {type(state).__name__}, no state_dict")
    try:
        module.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        # The first line only says that there are errors.
        why = next(iter(lines(error)[1:]), reason(error))
        raise TargetError(f"{path}: does not fit the network: {why}") from error


def export(made: Original, runtime: Runtime, stem: str, seed: int = 0) -> float:
    """Write the files of a runtime, and run them on two images that are drawn from a seed.

    Gives how far the output is from eager's, as a share of its largest absolute value. Raises
    WrongOutputError where it is farther than the runtime's tolerance; RuntimeFailedError where the
    runtime cannot take the network; TargetError for a network that does not take the image;
    OwnCodeError where the user's own code raises anything.
    """
    if runtime.files is None:
        raise ValueError(f"{runtime.name} has no files")
    images = [_image(made.shape, seed), _image(made.shape, seed + 1)]
    expected = [_eager(made, image) for image in images]
    _write(made, runtime, runtime.files, stem)
    call = runtime.files.read(stem, made.shape, 1)
    worst = 0.0
    for image, output in zip(images, expected, strict=True):
        worst = max(worst, check(call(image.numpy()), output.numpy(), runtime.tolerance))
    return worst


def _write(made: Original, runtime: Runtime, files: Files, stem: str) -> None:
    # Torch and converters run the module's own code once more, to follow it.
    with own_code(made.name, RuntimeFailedError) if made.own else told(runtime.name, *_UNFIT):
        files.write(made.module, made.shape, stem)


def _image(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _eager(made: Original, image: Tensor) -> Tensor:
    try:
        with torch.inference_mode(), own_code(made.name) if made.own else nullcontext():
            output = made.module(image)
    except _UNFIT as error:
        size = "x".join(map(str, made.shape))
        raise TargetError(f"{made.name}: input {size} does not fit: {reason(error)}") from error
    try:
        return one_tensor(output)
    except WrongOutputError as error:
        raise TargetError(f"{made.name}: {error}") from error
