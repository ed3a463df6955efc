"""A network as files that another runtime takes, and the proof that they compute what eager does.

The weights are the target's own. A spec has none: they are drawn from a seed, the statistics of
its batch norms too, or loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from decimal import Decimal
from pickle import UnpicklingError
from typing import Any, NamedTuple, assert_never

import torch
from torch import Tensor, nn

from shufflenet.builder import build
from shufflenet.network import Network, changed
from shufflenet.targets import (
    ModuleTarget,
    OnnxTarget,
    SpecTarget,
    TargetError,
    own_code,
    resolve,
)
from shufflenet.timing.agreement import WrongOutputError, check
from shufflenet.timing.runtimes import Runtime
from shufflenet.timing.runtimes.eager import one_tensor
from shufflenet.timing.runtimes.files import Files
from shufflenet.timing.runtimes.needs import RuntimeFailedError, told

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


class Subject(NamedTuple):
    """What is exported: a module in eval mode, the shape ``(1, c, h, w)`` of its image.

    ``own`` says that the user's own code made it, whose errors are that code's.
    """

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    own: bool = False


def subject(name: str, arguments: Mapping[str, Any], choices: Choices) -> Subject:
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


def _of_spec(name: str, arguments: Mapping[str, Any], choices: Choices) -> Subject:
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
    return Subject(name, drawn(net, choices.seed or 0), tuple(net.input))


def drawn(net: Network, seed: int) -> nn.Module:
    """The module of a network in eval mode, all of whose values are drawn from a seed.

    Its batch norms too, near to the identity: with those that a new module has, a runtime that
    left them out would compute the same.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        module = build(net).eval()
        for child in module.modules():
            if isinstance(child, nn.BatchNorm2d):
                _draw(child)
    return module


def _draw(norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.1)
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)


def _of_module(target: ModuleTarget, choices: Choices) -> Subject:
    for key in choices.of_spec:
        raise TargetError(f"{target.name}: --{key} is of a spec; a module is as its code builds it")
    usual = target.inputs[0].sizes if len(target.inputs) == 1 else ()
    if usual and len(usual) != 4:
        raise TargetError(f"{target.name}: its input {target.inputs[0]} is no image")
    if not usual and choices.size is None:
        raise TargetError(f"{target.name}: has no usual input: give its --size")
    channels = usual[1] if usual else 3
    size = choices.size or usual[2:]
    return Subject(target.name, target.module.eval(), (1, channels, *size), target.own)


def _load(module: nn.Module, path: str) -> None:
    try:
        # Nothing but tensors and plain values is unpickled.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except _UNLOADABLE as error:
        raise TargetError(f"{path}: no file of weights: {_first_line(error)}") from error
    if not isinstance(state, Mapping):
        raise TargetError(f"{path}: holds what is of type {type(state).__name__}, no state_dict")
    try:
        module.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in lines[1:] if line), lines[0])
        raise TargetError(f"{path}: does not fit the network: {reason}") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def export(made: Subject, runtime: Runtime, stem: str, seed: int = 0) -> float:
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


def _write(made: Subject, runtime: Runtime, files: Files, stem: str) -> None:
    # Torch and converters run the module's own code once more, to follow it.
    with own_code(made.name, RuntimeFailedError) if made.own else told(runtime.name, *_UNFIT):
        files.write(made.module, made.shape, stem)


def _image(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _eager(made: Subject, image: Tensor) -> Tensor:
    try:
        with torch.inference_mode(), own_code(made.name) if made.own else nullcontext():
            output = made.module(image)
    except _UNFIT as error:
        size = "x".join(map(str, made.shape))
        raise TargetError(
            f"{made.name}: input {size} does not fit: {_first_line(error)}"
        ) from error
    try:
        return one_tensor(output)
    except WrongOutputError as error:
        raise TargetError(f"{made.name}: {error}") from error
