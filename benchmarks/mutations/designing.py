"""Mutations of what searches: the solver of widths, design spaces, and sweeps of them."""

from __future__ import annotations

from mutations.mutation import Mutation

_WIDTHS = (
    Mutation(
        "narrow_stem_before_the_cheaper",
        "PricedProblem.outcome",
        "pool.ranked([*asked.goals, asked.cost], asked.ranges, problem.top + 1)",
        "pool.ranked([*asked.goals], asked.ranges, problem.top + 1)",
        (
            "shufflenet/solver/test_budget::test_of_two_that_miss_by_as_much_the_cheaper_comes_first_however_wide_its_stem",
        ),
    ),
    Mutation(
        "budget_itself_is_too_much",
        "solve",
        "Bound('macs', most=budget)",
        "Bound('macs', most=budget - 1)",
        (
            "shufflenet/solver/test_budget::test_at_most_takes_a_cost_that_meets_the_budget_and_leaves_one_that_passes_it_by_one",
        ),
    ),
    Mutation(
        "answer_always_unique",
        "solve",
        "outcome.best.unique",
        "True",
        (
            "shufflenet/solver/test_budget::test_of_two_that_miss_by_as_much_the_cheaper_comes_first_however_wide_its_stem",
        ),
    ),
    Mutation(
        "space_ends_below_the_budget",
        "_is_wide_enough",
        "int(costs[-1]) - budget <= reach",
        "int(costs[-1]) < costs[0]",
        (
            "shufflenet/solver/test_budget::test_at_most_never_exceeds_and_the_next_width_does",
            "shufflenet/solver/test_budget::test_at_most_is_what_trying_every_width_one_by_one_finds",
            "shufflenet/solver/test_budget::test_nearest_is_what_trying_every_width_one_by_one_finds",
        ),
    ),
    Mutation(
        "space_ends_before_costs_fall",
        "_widened",
        "turn = max(stems, default=frame.image[1]) // ratio[0]",
        "turn = 0",
        (
            "shufflenet/solver/test_budget::test_a_width_that_is_cheaper_since_it_needs_no_projection_is_found_behind_dearer_ones",
        ),
    ),
    Mutation(
        "space_ends_before_rules_repeat",
        "_never_legal",
        "high - start > period or not alive.any()",
        "True",
        (
            "shufflenet/solver/test_budget::test_a_width_that_is_legal_only_far_out_is_found",
            "shufflenet/solver/test_budget::test_nearest_is_what_trying_every_width_one_by_one_finds",
        ),
    ),
    Mutation(
        "sums_of_figures_may_wrap",
        "Sums.of",
        "max(largest) >= FAR // 4",
        "False",
        (
            "shufflenet/solver/test_budget::test_budgets_near_the_largest_figure_end_in_an_exact_answer_or_a_refusal",
        ),
    ),
)

_SEARCH = (
    Mutation(
        "memory_window_closed",
        "ChainSearch.misses",
        "self.peak < windows.memory",
        "self.peak <= windows.memory",
        (
            "shufflenet/solver/engine/test_optimise::test_free_stages_give_the_optimum_and_the_ties_of_brute_force",
        ),
    ),
    Mutation(
        "steps_counted_the_wrong_way",
        "ChainSearch.above",
        "(rest - value) % step",
        "(value - rest) % step",
        (
            "shufflenet/solver/engine/test_optimise::test_free_stages_give_the_optimum_and_the_ties_of_brute_force",
        ),
    ),
    Mutation(
        "cut_without_its_weights",
        "Cut.most",
        "weight * limit",
        "limit",
        (
            "shufflenet/solver/engine/test_optimise::test_free_stages_give_the_optimum_and_the_ties_of_brute_force",
        ),
    ),
    Mutation(
        "target_missed_from_one_side",
        "_Ranking._level",
        "{key.target - value, key.target + value}",
        "{key.target + value}",
        (
            "shufflenet/solver/engine/test_optimise::test_free_stages_give_the_optimum_and_the_ties_of_brute_force",
        ),
    ),
    Mutation(
        "stretch_not_ranked",
        "_Ranking.run",
        "sorted(found, key=self._rank)",
        "found",
        (
            "shufflenet/solver/engine/test_optimise::test_free_stages_give_the_optimum_and_the_ties_of_brute_force",
        ),
    ),
    Mutation(
        "unique_asks_only_the_one_before",
        "_apart",
        "value not in values[max(index - 1, 0):index] and value not in values[index + 1:index + 2]",
        "value not in values[max(index - 1, 0):index]",
        (
            "shufflenet/solver/engine/test_optimise::test_free_stages_give_the_optimum_and_the_ties_of_brute_force",
        ),
    ),
    Mutation(
        "equal_rows_both_kept",
        "_beaten_by_one",
        "values[1:] >= np.minimum.accumulate(values)[:-1]",
        "values[1:] > np.minimum.accumulate(values)[:-1]",
        ("shufflenet/solver/engine/test_dominance",),
    ),
    Mutation(
        "dominance_only_where_strict",
        "_no_less",
        "others[None, :, column] <= rows[:, column, None]",
        "others[None, :, column] < rows[:, column, None]",
        ("shufflenet/solver/engine/test_dominance",),
    ),
    Mutation(
        "points_alike_in_one_goal_are_one",
        "first_points",
        "(rows[1:] != rows[:-1]).any(axis=1)",
        "(rows[1:] != rows[:-1]).all(axis=1)",
        ("shufflenet/solver/engine/test_dominance",),
    ),
    Mutation(
        "equal_point_beats_the_first",
        "_in_reach",
        "(point <= best).all(axis=1) & (point < best).any(axis=1)",
        "(point <= best).all(axis=1)",
        (
            "shufflenet/solver/engine/test_optimise::test_scales_give_the_optimum_the_ties_and_the_front_of_brute_force",
        ),
    ),
    Mutation(
        "share_of_a_bound_from_below",
        "BoundSide.share",
        "value - self.value if self.most else self.value - value",
        "value - self.value",
        ("shufflenet/solver/engine/test_infeasible",),
    ),
    Mutation(
        "bound_of_a_relaxation_dropped",
        "_Relaxation._nearest",
        "side not in dropped",
        "side in dropped",
        (
            "shufflenet/solver/engine/test_infeasible::test_every_relaxation_that_is_told_admits_a_network_when_it_is_typed_in",
        ),
    ),
    Mutation(
        "repeats_counted_once",
        "CostChain.candidates",
        "link.allowed.sum(axis=1).astype(object)",
        "link.allowed.any(axis=1).astype(object)",
        (
            "shufflenet/solver/engine/test_optimise::test_free_stages_give_the_optimum_and_the_ties_of_brute_force",
        ),
    ),
    Mutation(
        "one_width_is_an_edge",
        "_edge",
        "len(widths) > 1 and widths[j] == widths.max()",
        "widths[j] == widths.max()",
        ("shufflenet/cli/test_space::test_a_stage_at_the_edge_of_the_space_is_named",),
    ),
    Mutation(
        "last_equal_entry_left_out",
        "_Sorted.between",
        "np.searchsorted(flat, base + most, 'right')",
        "np.searchsorted(flat, base + most, 'left')",
        (
            "shufflenet/solver/engine/test_optimise::test_free_stages_give_the_optimum_and_the_ties_of_brute_force",
        ),
    ),
    Mutation(
        "problem_file_found_from_here_only",
        "_spec",
        "beside(name) if is_file else name",
        "name",
        ("shufflenet/solver/test_problem_files",),
    ),
)

_SWEEPS = (
    Mutation(
        "fingerprint_without_the_version",
        "Sweep.fingerprint",
        "[__version__, values]",
        "[values]",
        ("shufflenet/solver/sweep/test_space_table::test_another_version_has_another_fingerprint",),
    ),
    Mutation(
        "window_without_its_end",
        "Expansion._kept",
        "values <= windows.most[t]",
        "values < windows.most[t]",
        ("shufflenet/solver/sweep/test_space_table",),
    ),
    Mutation(
        "sweep_file_not_synced",
        "_Lines.add",
        "os.fsync(self.handle)",
        "pass",
        (
            "shufflenet/solver/sweep/test_files::test_rows_are_on_the_disk_before_the_journal_knows_of_them",
        ),
    ),
    Mutation(
        "journal_written_in_place",
        "write_whole",
        "one = _stage(path, data, f'{path}.new')",
        "one = _Staged(path, data, path, None)",
        (
            "shufflenet/solver/sweep/test_files::test_rows_are_on_the_disk_before_the_journal_knows_of_them",
        ),
    ),
    Mutation(
        "torn_end_not_cut_off",
        "_Lines.cut",
        "os.ftruncate(self.handle, journal.written)",
        "pass",
        ("shufflenet/solver/sweep/test_files::test_what_the_journal_does_not_know_of_is_cut_off",),
    ),
    Mutation(
        "header_before_every_piece",
        "_fill",
        "b'' if file.journal.written else header",
        "header",
        ("shufflenet/solver/sweep/test_files",),
    ),
    Mutation(
        "sweep_begins_again",
        "results",
        "islice(priced.pieces(), skip, None)",
        "islice(priced.pieces(), 0, None)",
        ("shufflenet/solver/sweep/test_files",),
    ),
)

#: Mutations of the solvers and of sweeps.
DESIGNING: tuple[Mutation, ...] = (*_WIDTHS, *_SEARCH, *_SWEEPS)
