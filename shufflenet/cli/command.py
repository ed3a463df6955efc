"""The group of all commands, and the one place that turns an error into a line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from flopcount.conventions import PartOfSampleError, UnknownConventionError, UnpricedKindError
from flopcount.conventions.files import ConventionError
from flopcount.integers import FigureTooLargeError
from flopcount.toml_reader import error_lines
from shufflenet._version import __version__
from shufflenet.arch.quantities import QuantityError
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec import SpecError
from shufflenet.cli import options
from shufflenet.cli.output import say
from shufflenet.cost.latency_model import LatencyError
from shufflenet.cost.machine import FieldError
from shufflenet.system.atomic_files import OutputError
from shufflenet.system.user_code import OwnCodeError, RefusedError
from shufflenet.units import UnitError

BAD_INPUT = (
    SpecError,
    UnitError,
    RefusedError,
    QuantityError,
    ConventionError,
    UnknownConventionError,
    UnpricedKindError,
    PartOfSampleError,
    FigureTooLargeError,
    OutputError,
    FieldError,
    LatencyError,
)

# What a shell reports of a program that SIGPIPE ended.
_PIPE_CLOSED = 128 + 13
# The commands as the help shows them, group by group, with the room each is in.
_GROUPS = {
    "Networks": {
        "table": "table",
        "solve-widths": "solve",
        "sweep": "sweep",
        "compare": "compare",
        "formula": "formula",
        "cost": "cost",
        "detect": "detect",
    },
    "Any model": {"count": "count", "reconcile": "reconcile"},
    "This machine": {"bench": "bench", "latency": "latency", "export": "export"},
    "The paper": {"audit": "audit", "paper": "paper", "plot": "plot"},
    "Lists": {
        "specs": "lists",
        "units": "lists",
        "conventions": "lists",
        "completion": "lists",
    },
}
_COMMANDS = {name: room for group in _GROUPS.values() for name, room in group.items()}


class _Lazy(click.Group):
    """A group whose commands are imported when they are used, so that each starts at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"shufflenet.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, _COMMANDS))
        for title, group in _GROUPS.items():
            rows = []
            for name in group:
                command = self.get_command(ctx, name)
                assert command is not None
                rows.append((name.ljust(width), command.get_short_help_str()))
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=options.epilog(
        "shufflecost table --scale 0.5",
        "shufflecost solve-widths --budget 40M --groups 8",
        "shufflecost sweep --groups 1,2,3,4,8 --repeats 2-6,4-10,2-6 -o space.csv",
        "shufflecost compare --units resnet,resnext,xception",
        "shufflecost formula shufflenet --format latex",
        "shufflecost cost arch2 --groups 8 --layers",
        "shufflecost count torchvision:resnet50 --max-params 30M",
        "shufflecost reconcile torchvision:resnet50 fvcore thop",
        "shufflecost audit --table 5",
        "shufflecost bench shufflenet:groups=3 --layers",
        "shufflecost latency fit -o machine.json",
        "shufflecost export shufflenet --to onnx -o shufflenet.onnx",
    ),
)
@click.version_option(__version__, prog_name="shufflecost")
def cli() -> None:
    """What a convolutional network costs, proved; and a budget turned back into a network."""


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    if sys.stdout is None:
        _fail("cannot write: standard output is closed")
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        # A label that the terminal cannot show is escaped, never a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(args)
        sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            # The reader has gone, as `head` does; say nothing, here or at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_PIPE_CLOSED)
        _fail(f"cannot write: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 2
    sys.exit(code)


def _run(args: list[str] | None) -> int:
    try:
        result: Any = cli.main(args, prog_name="shufflecost", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return 2
    except click.ClickException as error:
        for line in error_lines(error) if error.__cause__ else [error.format_message()]:
            _fail(line)
        return 2
    except click.Abort:
        _fail("interrupted")
        return 130
    except NothingLegalError as error:
        _fail(str(error))
        return 1
    except OwnCodeError as error:
        say(error.told.rstrip())
        _fail(str(error))
        return 2
    except BAD_INPUT as error:
        for line in error_lines(error):
            _fail(line)
        return 2
    return result if isinstance(result, int) else 0


def _fail(message: str) -> None:
    # Where nobody can be told, the exit code still tells.
    with suppress(OSError):
        say(f"shufflecost: {' '.join(message.split())}")
