"""The command ``shufflecost``: options in, tables and exit codes out."""

from shufflenet.cli.main import main

__all__ = ["main"]
