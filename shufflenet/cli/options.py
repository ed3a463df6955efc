"""The options that commands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from flopcount.conventions import CONVENTIONS
from shufflenet.arch import quantities, ranges
from shufflenet.cli.output import say
from shufflenet.cli.param_types import Exactly, NameParam, listed, read_file_name, read_name
from shufflenet.system.user_code import lacking

F = TypeVar("F", bound=Callable[..., Any])


def _specs() -> list[str]:
    from shufflenet.arch.spec_reader import bundled

    return list(bundled())


def _units() -> list[str]:
    from shufflenet.units import UNITS

    return list(UNITS)


def _stem(text: str) -> Any:
    return "auto" if text.strip() == "auto" else ranges.read_range(text)


SPEC = NameParam("spec", _specs)
UNIT = NameParam("unit", _units)
WIDTH = Exactly("channels", quantities.read_width)
WIDTHS = Exactly("channels,...", lambda text: tuple(map(quantities.read_width, text.split(","))))
STEM = Exactly("channels,...|auto", _stem, lambda: ["auto"])
GROUPS = Exactly("g,...", ranges.read_group_numbers)
GROUP = Exactly("g", quantities.read_groups)
CARDINALITY = Exactly("paths", lambda text: quantities.read_groups(text, "cardinality"))
SIZE = Exactly("px|hxw", quantities.read_size)
SCALE = Exactly("scale", quantities.read_scale)
BUDGET = Exactly("budget", quantities.read_budget)
MEMORY = Exactly("memory", quantities.read_memory)
INPUT = Exactly("sizes[:type]", quantities.read_input)
RATIO = Exactly("a:b:c", quantities.read_ratio)
UNIT_NAMES = Exactly("unit,...", listed(read_name), _units)

spec_option = click.option(
    "--spec", type=SPEC, default="shufflenet", show_default=True, help="Bundled name or own file."
)
group_option = click.option(
    "--groups", type=GROUP, help="Column to take. Default: the spec's default_groups."
)
scale_option = click.option(
    "--scale", type=SCALE, default="1", show_default=True, help="Multiplier of all widths."
)
size_option = click.option(
    "--size", type=SIZE, help="Image: a side, or height x width (480x640). Default: the spec's."
)
CONVENTION = NameParam("convention", lambda: list(CONVENTIONS))
convention_option = click.option(
    "--convention",
    type=CONVENTION,
    default="shufflenet-paper",
    show_default=True,
    help="How layers are priced; see `shufflecost conventions`.",
)


def own_convention_option(default: str) -> Callable[[F], F]:
    """``--convention`` where one of the user's own, in a file, does as well."""
    return click.option(
        "--convention",
        type=CONVENTION,
        default=default,
        show_default=True,
        help="How layers are priced: a name (see `shufflecost conventions`), or a .toml file.",
    )


units_from_option = click.option(
    "--units-from",
    multiple=True,
    metavar="PACKAGE",
    help="Allow units of your own from this package: its code is imported and run.",
)


argument_option = click.option(
    "--arg",
    "arguments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Argument of what builds the network; may be given several times.",
)


def target_options(command: F) -> F:
    """``TARGET``, and how it is made and run."""
    for option in reversed(_TARGET):
        command = option(command)
    return command


_TARGET = (
    click.argument("target", type=NameParam("target", _specs)),
    argument_option,
    click.option(
        "--input",
        "inputs",
        type=INPUT,
        multiple=True,
        help="Sizes of an input, 1x3x224x224 or 1x128:int64; once for each. Default: the usual.",
    ),
    click.option(
        "--execution",
        type=click.Choice(["meta", "real"]),
        default="meta",
        show_default=True,
        help="Run a module on shapes alone, or with values, where its course depends on them:"
        " drawn alike every time.",
    ),
    click.option("--backward", is_flag=True, help="Count a training step: gradients too."),
)
cardinality_option = click.option(
    "--cardinality", type=CARDINALITY, default=16, show_default=True, help="Of resnext units."
)


_AGREED = "done, and every figure agreed"
_DISAGREED = "sound input, but figures disagree, nothing legal fits, or a limit is broken"
_EXIT_CODES = """\b
Exit codes:
  0  {}
  1  {}
  2  usage, bad input, or a file that cannot be read or written"""
#: The exit codes of a command whose findings are what it is asked for.
FINDINGS = (
    "done, whatever the figures are found to be",
    "never: figures that disagree are what is asked for",
)
_OWN_CODE = ", or your code failed"


def epilog(
    *examples: str, own: bool = False, codes: tuple[str, str] = (_AGREED, _DISAGREED)
) -> str:
    """The end of a help text: examples, line by line, and the exit codes.

    ``own`` says that the command runs code of the user's, which can fail too; ``codes`` is what
    the exit codes 0 and 1 mean of it.
    """
    shown = "".join(f"  {example}\n" for example in examples)
    said = _EXIT_CODES.format(*codes) + (_OWN_CODE if own else "")
    return f"\b\nExamples:\n{shown}\n{said}"


FILE = Exactly("file", read_file_name)


latency_option = click.option(
    "--latency",
    "latency",
    type=FILE,
    help="Model of `shufflecost latency fit`: predict the time on its machine.",
)


threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="For what is timed.",
)


def seed_option(of: str, default: int | None = 0) -> Callable[[F], F]:
    """``--seed``; with None for its ``default``, one that is not given can be told from 0."""
    return click.option(
        "--seed",
        # As JSON has it, whoever reads it.
        type=click.IntRange(0, 2**32 - 1),
        default=default,
        show_default=default is not None,
        help=f"Of {of}.{' Default: 0.' if default is None else ''}",
    )


def file_option(what: str) -> Callable[[F], F]:
    """``-o`` where the result is a file and nothing else; ``what`` it holds."""
    return click.option(
        "-o",
        "--output",
        "path",
        metavar="FILE",
        type=FILE,
        required=True,
        help=f"{what} Written whole or not at all.",
    )


def output_options(command: F) -> F:
    """``--format`` and ``-o``."""
    form = click.option(
        "--format",
        "form",
        type=click.Choice(["table", "markdown", "latex", "csv", "json"]),
        default="table",
        show_default=True,
        help="Format of the result.",
    )
    path = click.option(
        "-o",
        "--output",
        "path",
        metavar="FILE",
        type=FILE,
        help="Write there, whole or not at all.",
    )
    return form(path(command))


def confirm_flag(command: F) -> F:
    """``--confirm`` where it is off unless asked for."""
    return click.option(
        "--confirm", is_flag=True, help="Build the module, and have it counted too (torch)."
    )(command)


def confirm_switch(command: F) -> F:
    """``--confirm/--no-confirm`` where it is on if torch is installed."""
    return click.option(
        "--confirm/--no-confirm",
        default=None,
        help="Have the built modules counted too. Default: where torch is installed.",
    )(command)


def wants_proof(confirm: bool | None) -> bool:
    """Whether to confirm. Raises click's usage error where torch is asked for and is not there."""
    if confirm is False:
        return False
    if confirm:
        need_torch("--confirm")
    absent = lacking("torch", "torch")
    if absent:
        say(f"not confirmed: {absent}")
    return not absent


def need_torch(what: str) -> None:
    """Check that torch is installed. Raises click's usage error, which names what needs it."""
    if lacking("torch", "torch"):
        raise click.UsageError(f"{what} needs torch: pip install 'shufflecost[torch]'")
