"""Mutations of what times, predicts, plots and talks to people: timing, plots, commands."""

from __future__ import annotations

from mutations.mutation import Mutation

_TIMES = (
    Mutation(
        "spread_touching_is_apart",
        "overlap",
        "one.low <= other.high and other.low <= one.high",
        "one.low < other.high and other.low < one.high",
        ("test_timing_samples",),
    ),
    Mutation(
        "upper_quartile_of_the_lower",
        "summary",
        "inner[last - quarter]",
        "inner[quarter]",
        ("test_timing_samples",),
    ),
    Mutation(
        "turns_never_go_back",
        "turns",
        "order[::-1] if number % 2 else order[:]",
        "order[:]",
        ("test_timing_samples",),
    ),
    Mutation(
        "several_threads_disturbed",
        "Record.is_disturbed",
        "self.threads == 1 and cell.busy is not None and (cell.busy < _UNDISTURBED)",
        "cell.busy is not None and cell.busy < _UNDISTURBED",
        ("test_timing_records",),
    ),
    Mutation(
        "speedup_turned_round",
        "speedup",
        "Fraction(theirs.median, max(ours.median, 1))",
        "Fraction(ours.median, max(theirs.median, 1))",
        ("test_timing_records",),
    ),
    Mutation(
        "cell_recorded_twice",
        "_record",
        "len(record.by_key) != len(cells)",
        "False",
        ("test_timing_records",),
    ),
    Mutation(
        "library_only_there_forgotten",
        "Machine.differences",
        "{*self.versions, *other.versions}",
        "{*self.versions}",
        ("test_timing_records",),
    ),
    Mutation(
        "wrong_output_is_timed",
        "Process._ask",
        "'wrong' in reply",
        "False",
        ("test_timing_workers",),
    ),
    Mutation(
        "outputs_of_other_shapes_agree",
        "difference",
        "found.shape != expected.shape",
        "False",
        ("test_timing_trial",),
    ),
    Mutation(
        "any_output_is_one_tensor",
        "one_tensor",
        "not isinstance(output, Tensor)",
        "False",
        ("test_timing_trial", "test_runtimes"),
    ),
    Mutation(
        "first_call_of_a_turn_counts",
        "Trial.turn",
        "self.call(self.image)",
        "pass",
        ("test_timing_trial",),
    ),
    Mutation(
        "blocks_always_in_one_order",
        "in_rounds",
        "drawn.shuffle(order)",
        "pass",
        ("test_layer_times", "test_module_leaves"),
    ),
    Mutation(
        "written_input_not_restored",
        "_afresh.prepare",
        "part.copy_(source)",
        "pass",
        ("test_module_leaves_alone",),
    ),
    Mutation(
        "pool_of_the_last_step",
        "Pool.for_steps",
        "max(size, most.get(kind, 0))",
        "size",
        ("test_module_leaves_alone", "test_module_leaves"),
    ),
    Mutation(
        "memory_bound_only_where_strict",
        "judged",
        "moving >= computing",
        "moving > computing",
        ("test_layer_times",),
    ),
    Mutation(
        "kinds_in_the_order_of_the_network",
        "by_kind",
        "sorted(times, key=lambda kind: -kind.ns)",
        "times",
        ("test_layer_times",),
    ),
)

_LATENCY = (
    Mutation(
        "scaled_costs_rounded_down",
        "scaled",
        "2 * fs * measured + predicted",
        "2 * fs * measured",
        ("test_latency",),
    ),
    Mutation(
        "costs_may_be_negative",
        "non_negative",
        "free & (tried <= 0)",
        "free & (tried < -1e9)",
        ("test_latency",),
    ),
    Mutation(
        "time_rounded_down",
        "Model._time",
        "(fs + FEMTO // 2) // FEMTO",
        "fs // FEMTO",
        ("test_latency",),
    ),
    Mutation(
        "median_error_of_the_upper_half",
        "Model.median_error",
        "errors[last // 2] + errors[len(errors) // 2]",
        "errors[len(errors) // 2] + errors[len(errors) // 2]",
        ("test_latency",),
    ),
    Mutation(
        "size_named_with_a_comma",
        "Variant.name",
        "'x' if key == 'size' else ','",
        "','",
        ("test_latency", "test_tasks"),
    ),
)

_PEOPLE = (
    Mutation(
        "argument_given_twice",
        "read_arguments",
        "key in found",
        "False",
        ("test_targets",),
    ),
    Mutation(
        "target_without_a_seed",
        "seeded",
        "torch.manual_seed(seed)",
        "pass",
        ("test_targets",),
    ),
    Mutation(
        "models_of_one_cost_are_one_point",
        "error_points",
        "points.setdefault((point.family, point.macs, point.error), point)",
        "points.setdefault((point.family, point.macs), point)",
        ("test_plots",),
    ),
    Mutation(
        "grouped_convolution_is_depthwise",
        "_kind",
        "leaf.groups == leaf.c_in",
        "leaf.groups > 1",
        ("test_plots",),
    ),
    Mutation(
        "staged_file_left_behind",
        "write_files",
        "one.clear()",
        "pass",
        ("test_cli_output",),
    ),
    Mutation(
        "output_not_synced",
        "_stage",
        "os.fsync(stream.fileno())",
        "pass",
        ("test_cli_output",),
    ),
    Mutation(
        "output_loses_its_mode",
        "_stage",
        "os.chmod(name, stat.S_IMODE(mode))",
        "pass",
        ("test_cli_output",),
    ),
    Mutation(
        "replaced_file_not_put_back",
        "place",
        "os.unlink(target) if before is None else os.replace(before, target)",
        "os.unlink(target)",
        ("test_cli_output", "test_cli_export"),
    ),
    Mutation(
        "value_in_a_list_twice",
        "listed.read_all",
        "len(set(values)) != len(values)",
        "False",
        ("test_cli_errors", "test_cli_compare"),
    ),
)

#: Mutations of timing, latency, targets, plots and commands.
MEASURING: tuple[Mutation, ...] = (*_TIMES, *_LATENCY, *_PEOPLE)
