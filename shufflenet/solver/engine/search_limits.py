"""How much the exact search may look at: at once, before it tries another way, and in all.

No limit changes an answer. Each only decides how soon one is found, or that a proof is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from shufflenet.solver.problem import SpaceTooLargeError


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """The sizes that an exact search keeps to; an entry is one width and repeats of one part."""

    # [pairs of widths] in one table: a quarter of a gigabyte for each figure.
    table_pairs: int = 30_000_000

    # [entries] looked at together, at first, since few may be enough; doubled up to the second,
    # whose arrays stay within some tens of megabytes.
    first_batch: int = 2**14
    largest_batch: int = 2**20
    # [entries] of the last part that are sorted at most: 64 MB for each term.
    sorted_entries: int = 8_000_000
    # [entries] looked at for one answer at most: some minutes.
    proof_entries: int = 10_000_000_000
    # [entries] between two notes of how far a proof is: every few seconds.
    note_entries: int = 500_000_000
    # [networks] listed at once before their level is narrowed: a hundred milliseconds.
    listed_networks: int = 4_000
    # [units of a figure] A window no wider is worth a look at the common divisor of its sums.
    narrow_window: int = 2**14

    # [sides] weighed against one another in a Lagrangian relaxation, and [paths] that Kelley's
    # method looks at: the corners of its linear program are tried one by one, at most 12,000.
    cut_sides: int = 3
    cut_paths: int = 24

    # [rows] compared at once where dominance compares pairs: a megabyte of flags.
    compared_rows: int = 1_024
    # [prefixes] of one chain kept at once for a front of three goals or more.
    kept_prefixes: int = 2_000_000
    # [prefixes] of each width kept for a first, rough front, and [points] of it that further
    # prefixes are held against.
    rough_prefixes: int = 4
    reach_points: int = 64

    # [prefixes] of a chain tried, and [entries] looked at, in one look into a box of two goals.
    box_prefixes: int = 300_000
    box_entries: int = 50_000_000
    # [partings] after which both double, and [times] that they may.
    partings_to_double: int = 3
    doublings: int = 4
    # [prefixes] beyond which a box is rather parted than looked into further.
    parting_prefixes: int = 100_000
    # [powers of 2] A box is looked into up to one in 2**8 of its depth first, then 2**2 as deep.
    first_share: int = 8
    share_step: int = 2
    # Weights of two goals stay below the first of these, what is weighed below the second: the
    # multipliers of cuts need the room from there to 2**61.
    goal_weight: int = 2**20
    weighed_goals: int = 2**49
    # [points] of a front.
    front_points: int = 1_000_000

    # [entries] of the last part that a sweep lays out: some hundred megabytes for eight columns.
    laid_out_entries: int = 4_000_000
    # A window that leaves a term less than one in so many makes a sweep look up sorted entries.
    tight_window: int = 16


#: The limits where none are given.
LIMITS = SearchLimits()


@dataclass(slots=True)
class WorkMeter:
    """What the proof of one answer has taken so far: entries that were looked at."""

    limits: SearchLimits = LIMITS
    note: Callable[[int, int], object] = lambda done, most: None
    done: int = field(default=0, init=False)

    def spend(self, entries: int) -> None:
        """Look at so many more. Raises SpaceTooLargeError where that is more than a proof may.

        ``note`` is told now and then how many there were, and how many there may be.
        """
        before, self.done = self.done, self.done + entries
        every, most = self.limits.note_entries, self.limits.proof_entries
        if before // every < self.done // every:
            self.note(self.done, most)
        if self.done > most:
            raise SpaceTooLargeError(
                f"after {most:,} entries no proof is at hand; narrow the widths, align them,"
                " or bound what is not wanted"
            )
