"""The command ``shufflecost``: options in, tables and exit codes out."""

import gc

# Starting up makes many objects and no garbage: looking for it would take a tenth of the time.
gc.set_threshold(100_000)

from shufflenet.cli.command import main  # noqa: E402

__all__ = ["main"]
