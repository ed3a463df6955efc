"""The tally of any target: a spec by its formulas, a module by its trace, ONNX from its graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, assert_never

from flopcount.entries import Shape
from flopcount.layers import cost
from flopcount.tally import Tally
from shufflenet.arch.network import network
from shufflenet.arch.quantities import Input
from shufflenet.system.user_code import OwnCodeError, frames_of, is_own, own_code, reason
from shufflenet.targets.resolve import (
    ModuleTarget,
    OnnxTarget,
    SpecTarget,
    TargetError,
    resolve,
    seeded,
)

if TYPE_CHECKING:
    import torch

#: With shapes alone, or with values.
Execution: TypeAlias = Literal["meta", "real"]
#: Where a tally comes from.
Source: TypeAlias = Literal["spec", "module", "onnx"]


class ValuesNeededError(TargetError):
    """A module whose course depends on values, counted with shapes alone."""


class CountedTarget(NamedTuple):
    """A target with its tally: where the tally comes from, what was asked of it, and its inputs.

    ``inputs`` is empty where an ONNX file states them itself.
    """

    target: str
    source: Source
    tally: Tally
    inputs: tuple[Input, ...]
    backward: bool = False
    execution: Execution = "meta"

    @property
    def uncounted(self) -> str:
        """What ran and has no rule, with how often it ran; empty where all has one."""
        times = self.tally.uncounted.items()
        return ", ".join(f"{operator} ({calls:,})" for operator, calls in times)


def counted(
    name: str,
    arguments: dict[str, Any] | None = None,
    inputs: tuple[Input, ...] = (),
    *,
    execution: Execution = "meta",
    backward: bool = False,
) -> CountedTarget:
    """Count the target of a name on inputs, its usual ones where none are given.

    Raises TargetError where the target is none, where inputs are missing or do not fit, and where
    a module needs values and has none; SpecError for a spec that breaks a rule; OwnCodeError
    where the user's own code raises anything.
    """
    target = resolve(name, arguments, real=execution == "real")
    if not isinstance(target, ModuleTarget) and (backward or execution == "real"):
        raise TargetError(f"{name}: only a module is run with values, or trained")
    match target:
        case SpecTarget():
            return _spec(target, inputs)
        case OnnxTarget():
            return _onnx(target, inputs)
        case ModuleTarget():
            return counted_module(target, inputs, execution, backward)
        case _:
            assert_never(target)


def _spec(target: SpecTarget, inputs: tuple[Input, ...]) -> CountedTarget:
    net = target.network
    if not inputs:
        return CountedTarget(target.name, "spec", net.tally(), (Input(tuple(net.input)),))
    sizes = inputs[0].sizes
    if len(inputs) > 1 or len(sizes) != 4 or sizes[1] != net.input[1] or inputs[0].dtype:
        shown = " ".join(map(str, inputs))
        raise TargetError(
            f"{target.name}: input {shown} does not fit: a spec takes one, such as {net.input}"
        )
    frame = net.frame
    again = network(
        net.spec,
        net.groups,
        scale=net.scale,
        size=(sizes[2], sizes[3]),
        widths=net.stage_widths,
        stem=net.stem,
        unit=frame.unit,
        cardinality=frame.cardinality,
    )
    tally = cost.count(again.tree, Shape(*sizes))
    return CountedTarget(target.name, "spec", tally, inputs)


def _onnx(target: OnnxTarget, inputs: tuple[Input, ...]) -> CountedTarget:
    from flopcount.counters import onnx

    if any(given.dtype for given in inputs):
        raise TargetError(f"{target.name}: the file states the types of its inputs itself")
    try:
        tally = onnx.count(target.path, [given.sizes for given in inputs])
    except onnx.OnnxError as error:
        raise TargetError(str(error)) from error
    return CountedTarget(target.name, "onnx", tally, inputs)


def counted_module(
    target: ModuleTarget,
    inputs: tuple[Input, ...] = (),
    execution: Execution = "meta",
    backward: bool = False,
) -> CountedTarget:
    """Count a module on inputs, its usual ones where none are given.

    Raises ValuesNeededError where shapes alone do not do, and what `counted` does.
    """
    from flopcount.counters.trace import DataDependentError, count

    used = inputs or target.inputs
    if not used:
        raise TargetError(f"{target.name}: has no usual input: give one, such as 1x3x224x224")
    with seeded():
        tensors = [_tensor(target, given, execution) for given in used]
        with running(target, used):
            try:
                tally = count(target.module, *tensors, execution=execution, backward=backward)
            except DataDependentError as error:
                why = str(error).partition(":  count(")[0].partition(", and shapes alone")[0]
                raise ValuesNeededError(
                    f"{target.name}: {why}: it is counted as it runs, with execution real"
                ) from error
    return CountedTarget(target.name, "module", tally, used, backward, execution)


@contextmanager
def running(target: ModuleTarget, used: tuple[Input, ...]) -> Iterator[None]:
    """Where a module runs on inputs.

    Raises TargetError where they do not fit it; OwnCodeError where the user's own code raises
    anything else.
    """
    try:
        with own_code(target.name) if target.own else nullcontext():
            yield
    except OwnCodeError as error:
        where = _unfit(error.__cause__)
        if where is None:
            raise
        raise _misfit(target, used, error.__cause__ or error, where) from error
    except TargetError:
        raise
    except (RuntimeError, TypeError, ValueError, LookupError, AssertionError, OSError) as error:
        raise _misfit(target, used, error) from error


def _misfit(
    target: ModuleTarget, used: tuple[Input, ...], error: BaseException, where: str = ""
) -> TargetError:
    shown = " ".join(map(str, used))
    return TargetError(f"{target.name}: input {shown} does not fit: {reason(error)}{where}")


def _unfit(error: BaseException | None) -> str | None:
    """Where own code gave torch what it refuses, in words; None where the error is the code's."""
    if not isinstance(error, RuntimeError | TypeError | ValueError | IndexError | AssertionError):
        return None
    frames = frames_of(error)
    own = [frame for frame in frames if is_own(frame)]
    if not own:
        return ""
    # A call that lacks an argument is a mistake in the code, but for the first one, of the whole.
    if is_own(frames[-1]) or isinstance(error, TypeError):
        return None
    return f" ({own[-1].filename}, line {own[-1].lineno})"


def usual_dtype(target: ModuleTarget) -> torch.dtype:
    """The type of an input of which nothing is said: that of the first weight of floats."""
    import torch

    weights = (p.dtype for p in target.module.parameters() if p.is_floating_point())
    return next(weights, torch.float32)


def _tensor(target: ModuleTarget, given: Input, execution: Execution) -> Any:
    try:
        return _drawn(target, given, execution)
    except (RuntimeError, TypeError, MemoryError) as error:
        why = reason(error)
        raise TargetError(f"{target.name}: input {given} cannot be made: {why}") from error


def _drawn(target: ModuleTarget, given: Input, execution: Execution) -> Any:
    import torch

    dtype = getattr(torch, given.dtype) if given.dtype else usual_dtype(target)
    if execution == "meta":
        return torch.empty(given.sizes, dtype=dtype, device="meta")
    if dtype.is_floating_point or dtype.is_complex:
        return torch.rand(given.sizes, dtype=dtype)
    # A number that every table of words has.
    return torch.zeros(given.sizes, dtype=dtype)
