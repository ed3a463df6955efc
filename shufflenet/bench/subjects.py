"""A network to be timed, as it is named on the command line, and as a module of one image size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from flopcount.entries import Shape
from flopcount.layers import Chain
from flopcount.tally import Tally
from shufflenet.arch.network import Network, changed
from shufflenet.arch.quantities import Input, read_size
from shufflenet.targets.count import counted
from shufflenet.targets.resolve import (
    ModuleTarget,
    OnnxTarget,
    SpecTarget,
    TargetError,
    read_arguments,
    resolve,
    runs_code,
)

if TYPE_CHECKING:
    from torch import nn

# shufflenet:scale=0.5,groups=3 has arguments behind a colon, torchvision:resnet18 has none
_WRITTEN = r"(?P<target>.+?)(:(?P<arguments>[A-Za-z_]\w*=.*))?"
# A value may hold commas itself: widths=132,264,528,stem=12
_BETWEEN = r",(?=[A-Za-z_]\w*=)"
#: Channels of the image that a module is given.
IMAGE_CHANNELS = 3
_NO_SPEC = "{}: is no network of a spec, and only those are known layer by layer before they run"


class BenchSubject(NamedTuple):
    """A network as it is named: its target, the arguments of that, and the layer it is cut at.

    ``until`` names the first layer of a spec that is left out, with all behind it; "" is none.
    """

    text: str
    target: str
    arguments: dict[str, Any]
    until: str = ""


def read_subject(text: str) -> BenchSubject:
    """A network of a text: what ``count`` takes, and arguments behind a colon.

    Raises TargetError for arguments that are not written ``key=value,...``.
    """
    match = re.fullmatch(_WRITTEN, text.strip(), re.DOTALL)
    if match is None:
        raise TargetError(f"network {text!r} is empty")
    written = match["arguments"]
    given = read_arguments(tuple(re.split(_BETWEEN, written)) if written else ())
    until = str(given.pop("until", ""))
    return BenchSubject(text.strip(), match["target"], given, until)


def cut_before_classifier(subject: BenchSubject) -> BenchSubject | None:
    """AlexNet without its FC layers; None of any other network, and of one that is cut already."""
    if subject.until or subject.target not in ("alexnet", "alexnet_one_tower"):
        return None
    text = f"{subject.text}{',' if subject.arguments else ':'}until=flatten"
    return BenchSubject(text, subject.target, subject.arguments, "flatten")


def tally_of(subject: BenchSubject, size: tuple[int, int]) -> tuple[Tally, tuple[int, ...]]:
    """Its cost on one image of a size (height, width) [px], and the shape of that.

    Raises TargetError where it is none, or takes no such image; SpecError for a spec that breaks
    a rule; OwnCodeError where the user's own code raises anything.
    """
    found = resolve(subject.target, subject.arguments)
    if isinstance(found, SpecTarget):
        net = _at(subject, found.network, size)
        return net.tally(memory=False), tuple(net.input)
    _check_module(subject, found)
    shape = Shape(1, IMAGE_CHANNELS, *size)
    tally = counted(subject.target, subject.arguments, (Input(tuple(shape)),)).tally
    return tally, tuple(shape)


def tree_of(subject: BenchSubject, size: tuple[int, int] | None = None) -> tuple[Chain, Shape]:
    """The layer tree of a spec's network on an image of a size, or of its own, and the image.

    The text may have the size too: ``shufflenet:size=192x256``. No code of the user's is run.
    Raises TargetError where it is no spec's network, or the size is given twice; QuantityError for
    a size that is none; SpecError for a spec that breaks a rule.
    """
    if runs_code(subject.target):
        raise TargetError(_NO_SPEC.format(subject.text))
    given = dict(subject.arguments)
    if "size" in given:
        if size is not None:
            raise TargetError(f"{subject.text}: its size is given twice")
        size = read_size(str(given.pop("size")))
    found = resolve(subject.target, given)
    if not isinstance(found, SpecTarget):
        raise TargetError(_NO_SPEC.format(subject.text))
    net = _at(subject, found.network, size or found.network.frame.size)
    return net.tree, net.input


def module_of(subject: BenchSubject, size: tuple[int, int], seed: int) -> nn.Module:
    """Its module in eval mode, made for images of a size; a spec's weights are drawn from a seed.

    Raises what `tally_of` does, and BuildError for a layer tree that no module can be made of.
    """
    found = resolve(subject.target, subject.arguments, real=True)
    if isinstance(found, SpecTarget):
        from shufflenet.nn.init import drawn

        return drawn(_at(subject, found.network, size), seed)
    return _check_module(subject, found).module.eval()


def living(subject: BenchSubject) -> ModuleTarget:
    """A module that is no spec's, with weights, in eval mode.

    Raises TargetError where it is none; OwnCodeError where the user's own code raises anything.
    """
    found = resolve(subject.target, subject.arguments, real=True)
    if isinstance(found, SpecTarget):
        raise TargetError(f"{subject.text}: a spec's network, and no module")
    target = _check_module(subject, found)
    target.module.eval()
    return target


def _check_module(subject: BenchSubject, found: ModuleTarget | OnnxTarget) -> ModuleTarget:
    if isinstance(found, OnnxTarget):
        raise TargetError(f"{subject.text}: an ONNX file is no module that could be built and run")
    if subject.until:
        raise TargetError(
            f"{subject.text}: only a spec's network is cut, with until={subject.until}"
        )
    return found


def _at(subject: BenchSubject, net: Network, size: tuple[int, int]) -> Network:
    again = changed(net, size)
    names = [name for name, _ in again.tree.children]
    if not subject.until:
        return again
    if subject.until not in names[1:]:
        raise TargetError(
            f"{subject.text}: until={subject.until} is none of the layers behind the first:"
            f" {', '.join(names[1:])}"
        )
    return again._replace(tree=Chain(again.tree.children[: names.index(subject.until)]))
