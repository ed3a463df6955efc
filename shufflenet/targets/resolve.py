"""What a command is asked to count: a spec, a module made by code, an ONNX file or a program.

A spec or an ONNX file runs no code. A callable of one's own is imported and run; torch and the
libraries of models are loaded only where a target asks for them.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from shufflenet.arch.network import Network, network
from shufflenet.arch.quantities import Input
from shufflenet.arch.spec_reader import bundled, load
from shufflenet.system.user_code import RefusedError, own_code
from shufflenet.system.user_code import load as load_code

if TYPE_CHECKING:
    from torch import nn

_PICKLED = (
    "a pickled checkpoint runs code when it is loaded, and holds weights but no architecture:"
    " name the code that builds the model instead, as file.py:callable"
)
_WEIGHTS = (
    "it holds weights but no architecture: name the code that builds the model instead, as"
    " file.py:callable"
)
_REFUSED = {
    **dict.fromkeys((".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".tar"), _PICKLED),
    **dict.fromkeys((".safetensors", ".npz", ".h5"), _WEIGHTS),
}
_LIBRARIES = ("torchvision", "timm")
_SPEC_ARGUMENTS = ("groups", "scale", "stem", "unit", "cardinality", "widths")
# What has a library fetch weights, or load a pickled file of them.
_FETCHING = (
    "weights",
    "weights_backbone",
    "pretrained",
    "pretrained_backbone",
    "checkpoint_path",
)


class TargetError(RefusedError):
    """A target that is none, or that cannot be made as asked."""


class SpecTarget(NamedTuple):
    """A network of a spec, counted by its formulas."""

    name: str
    network: Network


class ModuleTarget(NamedTuple):
    """A living module, its usual inputs where they are known, and whose code it is.

    ``own`` says that the user's own code made it, whose errors are that code's.
    """

    name: str
    module: nn.Module
    inputs: tuple[Input, ...] = ()
    own: bool = False


class OnnxTarget(NamedTuple):
    """An ONNX file, counted from its graph."""

    name: str
    path: str


#: Everything that can be counted.
Target: TypeAlias = SpecTarget | ModuleTarget | OnnxTarget


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Where torch draws the numbers of a seed, and goes on afterwards as if it had not."""
    import torch

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        yield


def read_arguments(texts: tuple[str, ...]) -> dict[str, Any]:
    """Arguments written ``key=value``: each value a Python literal, or else the text itself.

    Raises TargetError for what is not written so, and for a key given twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise TargetError(f"argument {text!r} is not key=value")
        if key in found:
            raise TargetError(f"argument {text!r}: {key} is given twice")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[key] = value
    return found


def runs_code(target: str) -> bool:
    """Whether a target, by its name, is code that is run or loaded, and neither spec nor graph."""
    suffix = os.path.splitext(target)[1].lower()
    if suffix == ".pt2":
        return True
    return ":" in target and suffix not in (".toml", ".onnx", *_REFUSED)


def resolve(
    target: str, arguments: Mapping[str, Any] | None = None, *, real: bool = False
) -> Target:
    """The target of a name: a spec, ``torchvision:NAME``, ``timm:NAME``, ``module:callable``,
    ``file.py:callable``, or a file that ends in ``.toml``, ``.onnx`` or ``.pt2``.

    ``real`` says that the module will be run with values, so that its weights must have some.
    Raises TargetError for a target that is none of these, for a file that holds no architecture,
    for a library that is not installed, and for arguments that do not fit; SpecError for a spec
    that breaks a rule; OwnCodeError where the user's own code raises anything.
    """
    given = dict(arguments or {})
    suffix = os.path.splitext(target)[1].lower()
    if suffix in _REFUSED:
        raise TargetError(f"{target}: {_REFUSED[suffix]}")
    if suffix in (".onnx", ".pt2"):
        if given:
            raise TargetError(f"{target}: a file takes no arguments, and {_listed(given)} is given")
        return _graph(target) if suffix == ".onnx" else _program(target)
    library, colon, name = target.partition(":")
    if colon and library in _LIBRARIES:
        _need(target, library)
        for key in _FETCHING:
            if given.get(key):
                raise TargetError(
                    f"{target}: argument {key}={given[key]}: no weights are fetched or loaded, and"
                    " none change the cost"
                )
        made = _from_torchvision if library == "torchvision" else _from_timm
        return made(target, name, given, real)
    if colon and suffix != ".toml":
        _need(target, "torch")
        with seeded(), own_code(target):
            return _from_code(target, given)
    return _from_spec(target, given)


def _from_spec(target: str, given: dict[str, Any]) -> SpecTarget:
    is_file = target.endswith(".toml") or "/" in target or os.sep in target
    if target.endswith(".py"):
        raise TargetError(f"{target}: name what builds the model in it, as {target}:callable")
    if not is_file and target not in bundled():
        raise TargetError(
            f"unknown target {target!r}: no bundled spec ({', '.join(bundled())}), and neither"
            " torchvision:NAME, timm:NAME, package.module:callable, file.py:callable nor a file"
            " that ends in .toml, .onnx or .pt2"
        )
    for key, value in given.items():
        numbers = value if key == "widths" and isinstance(value, tuple) else (value,)
        whole = key not in ("scale", "unit") and any(type(n) is not int for n in numbers)
        if key not in _SPEC_ARGUMENTS or whole:
            raise TargetError(
                f"{target}: argument {key}={value} does not fit: a spec takes"
                f" {', '.join(_SPEC_ARGUMENTS)}"
            )
        if key == "widths":
            given = given | {key: numbers}
    asked: dict[str, Any] = given | {k: str(given[k]) for k in ("scale", "unit") if k in given}
    return SpecTarget(target, network(load(target), **asked))


def _need(target: str, library: str) -> None:
    from importlib.util import find_spec

    for name in ("torch", library):
        if find_spec(name) is None:
            what = "'shufflecost[torch]'" if name == "torch" else name
            raise TargetError(f"{target}: {name} is not installed: pip install {what}")


def _from_torchvision(target: str, name: str, given: dict[str, Any], real: bool) -> ModuleTarget:
    from torchvision import models

    if name not in models.list_models():
        raise TargetError(f"{target}: {_unknown(name, models.list_models())}")
    builder = models.get_model_builder(name)
    # Weights would be downloaded, and drawing random ones takes long; neither changes the cost.
    asked = {"weights": None, "weights_backbone": None, "init_weights": False} | given
    taken = _parameters_of(builder)
    asked = {key: value for key, value in asked.items() if key in {*taken, "weights", *given}}
    module = _library_made(target, lambda: builder(**asked), real)
    return ModuleTarget(target, module, _usual(models, name))


def _parameters_of(function: Any) -> tuple[str, ...]:
    import inspect

    return tuple(inspect.signature(inspect.unwrap(function)).parameters)


def _usual(models: Any, name: str) -> tuple[Input, ...]:
    """The size that a classifier's weights were made for."""
    weights = next(iter(models.get_model_weights(name)), None)
    size = getattr(getattr(weights, "transforms", None), "keywords", {}).get("crop_size")
    return (Input((1, 3, size, size)),) if isinstance(size, int) else ()


def _from_timm(target: str, name: str, given: dict[str, Any], real: bool) -> ModuleTarget:
    import timm

    if not timm.is_model(name):
        raise TargetError(f"{target}: {_unknown(name, timm.list_models())}")
    asked = {"pretrained": False} | given
    module = _library_made(target, lambda: timm.create_model(name, **asked), real)
    size = (getattr(module, "pretrained_cfg", None) or {}).get("input_size", ())
    usual = (Input((1, *size)),) if size else ()
    return ModuleTarget(target, module, usual)


def _library_made(target: str, make: Any, real: bool) -> nn.Module:
    import torch

    try:
        if real:
            with seeded():
                return _checked(target, make())
        try:
            # Without values, the weights take neither time nor memory.
            with torch.device("meta"):
                return _checked(target, make())
        except RuntimeError:
            # Some read a value while they are built, which a tensor without values refuses.
            with seeded():
                return _checked(target, make())
    except (TypeError, ValueError, OSError) as error:
        raise TargetError(f"{target}: {error}") from error


def _checked(target: str, made: Any) -> nn.Module:
    from torch import nn

    if not isinstance(made, nn.Module):
        kind = type(made).__name__
        raise TargetError(f"{target}: gave what is of type {kind}, not a torch.nn.Module")
    return made


def _unknown(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 5)
    return f"no model is called {name!r}" + (f"; near it are {', '.join(near)}" if near else "")


def _from_code(target: str, given: dict[str, Any]) -> ModuleTarget:
    from torch import nn

    found = load_code(target, target, TargetError)
    if isinstance(found, nn.Module):
        if given:
            raise TargetError(f"{target}: is a module already, and takes no {_listed(given)}")
        return ModuleTarget(target, found, own=True)
    if not callable(found):
        kind = type(found).__name__
        raise TargetError(f"{target}: is of type {kind}, neither a callable nor a module")
    _fit(target, found, given)
    return ModuleTarget(target, _checked(target, found(**given)), own=True)


def _fit(target: str, function: Any, given: dict[str, Any]) -> None:
    import inspect

    try:
        signature = inspect.signature(function)
    except ValueError:
        # It says nothing of its arguments; then it judges them itself.
        return
    try:
        signature.bind(**given)
    except TypeError as error:
        raise TargetError(f"{target}{signature}: {error}") from error


def _listed(given: Mapping[str, Any]) -> str:
    return ", ".join(given)


def _graph(target: str) -> OnnxTarget:
    from importlib.util import find_spec

    if find_spec("onnx") is None:
        raise TargetError(f"{target}: onnx is not installed: pip install 'shufflecost[onnx]'")
    return OnnxTarget(target, target)


def _program(target: str) -> ModuleTarget:
    _need(target, "torch")
    from shufflenet.targets.exported import ProgramError, loaded

    try:
        module, inputs = loaded(target)
    except ProgramError as error:
        raise TargetError(str(error)) from error
    return ModuleTarget(target, module, inputs)
