"""Mutations of what times, predicts, plots and talks to people: timing, plots, commands."""

from __future__ import annotations

from mutations.mutation import Mutation

_TIMES = (
    Mutation(
        "spread_touching_is_apart",
        "overlap",
        "one.low <= other.high and other.low <= one.high",
        "one.low < other.high and other.low < one.high",
        ("shufflenet/bench/test_timings",),
    ),
    Mutation(
        "upper_quartile_of_the_lower",
        "summary",
        "inner[last - quarter]",
        "inner[quarter]",
        ("shufflenet/bench/test_timings",),
    ),
    Mutation(
        "turns_never_go_back",
        "turns",
        "order[::-1] if number % 2 else order[:]",
        "order[:]",
        ("shufflenet/bench/test_timings",),
    ),
    Mutation(
        "several_threads_disturbed",
        "Record.is_disturbed",
        "self.threads == 1 and cell.busy is not None and (cell.busy < _UNDISTURBED)",
        "cell.busy is not None and cell.busy < _UNDISTURBED",
        ("shufflenet/bench/test_record",),
    ),
    Mutation(
        "speedup_turned_round",
        "speedup",
        "Fraction(theirs.median, max(ours.median, 1))",
        "Fraction(ours.median, max(theirs.median, 1))",
        ("shufflenet/bench/test_record",),
    ),
    Mutation(
        "cell_recorded_twice",
        "load_record",
        "len(record.by_key) != len(record.cells)",
        "False",
        ("shufflenet/bench/test_record",),
    ),
    Mutation(
        "another_key_blamed",
        "_culprit",
        "str(error) == complaint",
        "True",
        ("shufflenet/bench/test_record",),
    ),
    Mutation(
        "version_of_a_truth_value",
        "loaded",
        "type(found) is not int",
        "not isinstance(found, int)",
        ("shufflenet/bench/layers/test_record",),
    ),
    Mutation(
        "library_only_there_forgotten",
        "Machine.differences",
        "{*self.versions, *other.versions}",
        "{*self.versions}",
        ("shufflenet/bench/test_record",),
    ),
    Mutation(
        "wrong_output_is_timed",
        "Process._ask",
        "'wrong' in reply",
        "False",
        ("shufflenet/bench/test_process",),
    ),
    Mutation(
        "outputs_of_other_shapes_agree",
        "difference",
        "found.shape != expected.shape",
        "False",
        ("shufflenet/bench/test_trial::test_another_shape_or_what_is_not_finite_is_wrong",),
    ),
    Mutation(
        "any_output_is_one_tensor",
        "one_tensor",
        "not isinstance(output, Tensor)",
        "False",
        ("shufflenet/bench/test_trial::test_an_output_that_is_no_tensor_is_answered",),
    ),
    Mutation(
        "first_call_of_a_turn_counts",
        "Trial.turn",
        "self.call(self.image)",
        "pass",
        ("shufflenet/bench/test_trial::test_the_first_call_of_a_turn_is_not_told",),
    ),
    Mutation(
        "blocks_always_in_one_order",
        "in_rounds",
        "drawn.shuffle(order)",
        "pass",
        (
            "shufflenet/bench/layers/test_record::test_blocks_come_in_an_order_that_is_drawn_anew_for_every_round",
        ),
    ),
    Mutation(
        "written_input_not_restored",
        "_afresh.prepare",
        "part.copy_(source)",
        "pass",
        (
            "shufflenet/bench/layers/test_module_leaves_alone::test_a_call_finds_the_values_that_it_writes_on_as_they_were",
        ),
    ),
    Mutation(
        "pool_of_the_last_step",
        "BufferPool.for_steps",
        "max(size, most.get(kind, 0))",
        "size",
        (
            "shufflenet/bench/layers/test_module_leaves_alone::test_a_layer_that_fails_is_no_leaf_and_what_it_did_before_stays",
        ),
    ),
    Mutation(
        "memory_bound_only_where_strict",
        "judged",
        "moving >= computing",
        "moving > computing",
        (
            "shufflenet/bench/layers/test_record::test_what_bounds_a_layer_is_the_slower_of_peak_and_bandwidth",
        ),
    ),
    Mutation(
        "kinds_in_the_order_of_the_network",
        "by_kind",
        "sorted(times, key=lambda kind: -kind.ns)",
        "times",
        (
            "shufflenet/bench/layers/test_record::test_what_takes_longest_comes_first_wherever_it_stands_in_the_network",
        ),
    ),
)

_LATENCY = (
    Mutation(
        "scaled_costs_rounded_down",
        "scaled",
        "2 * fs * measured + predicted",
        "2 * fs * measured",
        ("shufflenet/cost/test_latency_model::test_scaling_the_costs_scales_every_one_of_them",),
    ),
    Mutation(
        "disturbed_leaves_weigh_as_much",
        "_robust",
        "1 / np.sqrt(np.maximum(off, _SMALL))",
        "np.ones(len(rows))",
        (
            "shufflenet/bench/latency/test_fit::test_a_leaf_that_was_disturbed_does_not_bend_the_fit",
        ),
    ),
    Mutation(
        "cost_shared_among_the_same_features",
        "_robust",
        "first.sort()",
        "first = np.arange(rows.shape[1])",
        (
            "shufflenet/bench/latency/test_fit::test_of_features_that_are_the_same_for_every_leaf_the_first_has_the_cost",
        ),
    ),
    Mutation(
        "time_rounded_down",
        "Model._time",
        "(fs + FEMTO // 2) // FEMTO",
        "fs // FEMTO",
        (
            "shufflenet/cost/test_latency_model::test_the_time_of_a_network_is_that_of_its_leaves_added_up",
        ),
    ),
    Mutation(
        "median_error_of_the_upper_half",
        "Model.median_error",
        "errors[last // 2] + errors[len(errors) // 2]",
        "errors[len(errors) // 2] + errors[len(errors) // 2]",
        ("shufflenet/cost/test_latency_model::test_the_errors_are_told_with_every_prediction",),
    ),
    Mutation(
        "size_named_with_a_comma",
        "Variant.name",
        "'x' if key == 'size' else ','",
        "','",
        (
            "shufflenet/bench/test_trial::test_the_name_of_a_network_that_a_model_is_held_against_can_be_typed",
        ),
    ),
)

_PEOPLE = (
    Mutation(
        "argument_given_twice",
        "read_arguments",
        "key in found",
        "False",
        ("shufflenet/targets/test_resolve::test_what_is_no_argument_is_quoted",),
    ),
    Mutation(
        "target_without_a_seed",
        "seeded",
        "torch.manual_seed(seed)",
        "pass",
        (
            "shufflenet/targets/test_resolve::test_what_is_drawn_from_a_seed_is_the_same_and_changes_nothing_that_is_drawn_later",
        ),
    ),
    Mutation(
        "models_of_one_cost_are_one_point",
        "error_points",
        "points.setdefault((point.family, point.macs, point.error), point)",
        "points.setdefault((point.family, point.macs), point)",
        (
            "shufflenet/plots/test_figures::test_two_errors_of_one_family_at_one_cost_are_two_points",
        ),
    ),
    Mutation(
        "grouped_convolution_is_depthwise",
        "_kind",
        "leaf.groups == leaf.c_in",
        "leaf.groups > 1",
        ("shufflenet/plots/test_figures::test_the_kinds_of_a_shufflenet_are_told_apart",),
    ),
    Mutation(
        "staged_file_left_behind",
        "write_files",
        "one.clear()",
        "pass",
        (
            "shufflenet/cli/test_output::test_where_one_of_several_files_cannot_be_written_none_is_and_nothing_is_left",
        ),
    ),
    Mutation(
        "output_not_synced",
        "_stage",
        "os.fsync(stream.fileno())",
        "pass",
        (
            "shufflenet/cli/test_output::test_files_are_on_the_disk_before_the_first_gets_its_name",
            "shufflenet/solver/sweep/test_files::test_rows_are_on_the_disk_before_the_journal_knows_of_them",
        ),
    ),
    Mutation(
        "output_loses_its_mode",
        "_stage",
        "os.chmod(name, mode)",
        "pass",
        ("shufflenet/cli/test_output::test_an_existing_file_keeps_its_mode",),
    ),
    Mutation(
        "replaced_file_not_put_back",
        "place",
        "os.unlink(target) if before is None else os.replace(before, target)",
        "os.unlink(target)",
        ("shufflenet/cli/test_export::test_files_land_together_or_not_at_all",),
    ),
    Mutation(
        "value_in_a_list_twice",
        "listed.read_all",
        "len(set(values)) != len(values)",
        "False",
        ("shufflenet/cli/test_errors", "shufflenet/cli/test_compare"),
    ),
)

#: Mutations of timing, latency, targets, plots and commands.
MEASURING: tuple[Mutation, ...] = (*_TIMES, *_LATENCY, *_PEOPLE)
