"""Mutations of what describes, builds and checks networks: specs, units, modules, claims."""

from __future__ import annotations

from mutations.mutation import Mutation

_SPECS = (
    Mutation(
        "row_number_without_a_most",
        "Row.__post_init__",
        "1 <= value <= most",
        "1 <= value",
        ("shufflenet/arch/test_spec",),
    ),
    Mutation(
        "split_layer_allowed",
        "Spec._check_rows",
        "row.path in ended",
        "False",
        (
            "shufflenet/arch/test_spec::test_rows_that_make_no_network_are_refused_with_value_and_rule",
        ),
    ),
    Mutation(
        "unknown_key_swallowed",
        "TomlTable.settle",
        "self.fault(key, f\"unknown key; known are {', '.join(sorted(known))}{hint}\")",
        "pass",
        ("shufflenet/arch/test_spec_reader",),
    ),
    Mutation(
        "faults_of_a_table_below_dropped",
        "TomlTable._read",
        "self.faults += table.faults",
        "pass",
        ("flopcount/test_toml_reader",),
    ),
    Mutation(
        "default_in_place_of_a_fault",
        "TomlTable.take",
        "self.fault(key, error)",
        "pass",
        ("flopcount/test_toml_reader",),
    ),
    Mutation(
        "name_with_control_characters_quoted_raw",
        "read_text",
        "printable(name)",
        "name",
        ("flopcount/test_toml_reader",),
    ),
    Mutation(
        "written_kernel_of_a_flat_map",
        "_kernel",
        "h if h == w else None",
        "h",
        ("shufflenet/arch/test_spec_writer::test_the_window_of_a_global_pool_is_what_it_pools",),
    ),
    Mutation(
        "written_option_rounded_down",
        "_in_proportion.one",
        "rest",
        "False",
        (
            "shufflenet/arch/test_spec_writer::test_a_unit_that_says_which_options_are_widths_is_written_at_any_where_they_are_whole",
        ),
    ),
    Mutation(
        "budget_with_a_fraction",
        "read_budget",
        "scaled.adjusted() < 0 or scaled != int(scaled)",
        "scaled.adjusted() < 0",
        ("shufflenet/arch/test_quantities",),
    ),
    Mutation(
        "share_rounded_down",
        "rounded_half_up",
        "2 * part * unit + whole",
        "2 * part * unit",
        ("shufflenet/arch/test_quantities",),
    ),
    Mutation(
        "range_without_its_last_value",
        "_between",
        "range(least, last + 1, step)",
        "range(least, last, step)",
        ("shufflenet/arch/test_ranges",),
    ),
    Mutation(
        "value_of_a_range_twice",
        "_once",
        "len(set(values)) != len(values)",
        "False",
        ("shufflenet/arch/test_ranges",),
    ),
)

_NETWORKS = (
    Mutation(
        "options_of_the_first_column",
        "Frame.own",
        "self.spec.groups.index(self.groups) if known else 0",
        "0",
        (
            "shufflenet/arch/test_spec_writer::test_a_network_that_is_written_is_read_again_as_it_was",
        ),
    ),
    Mutation(
        "output_width_rule_unchecked",
        "Placed.rules",
        "yield (self.path, Equal('output width', self.after[1], \"the row's\", self.place.c_out))",
        "pass",
        (
            "shufflenet/units/test_user_units::test_a_unit_whose_output_is_not_as_wide_as_its_row_is_refused",
        ),
    ),
    Mutation(
        "scaled_stage_rounded_down",
        "_Search.__init__",
        "ceil(wanted[self.paths[0]] / self.ratio[0])",
        "int(wanted[self.paths[0]] / self.ratio[0])",
        ("shufflenet/arch/test_scaling",),
    ),
    Mutation(
        "last_of_equally_far_rules_told",
        "_Search._broken",
        "broken.held > self.furthest.held",
        "broken.held >= self.furthest.held",
        ("shufflenet/arch/test_scaling",),
    ),
    Mutation(
        "network_keeps_no_rule",
        "_checked",
        "not rule.holds()",
        "False",
        ("shufflenet/arch/test_network",),
    ),
    Mutation(
        "printed_size_unchecked",
        "_in_place",
        "frame.size == frame.spec.image and row.output is not None and (row.output != (h, w))",
        "False",
        ("shufflenet/arch/test_network",),
    ),
    Mutation(
        "formula_of_resnext_without_groups",
        "resnext_unit",
        "exact(9 * m * m, g)",
        "9 * m * m",
        ("shufflenet/arch/test_formulas",),
    ),
    Mutation(
        "first_groups_ignored",
        "shufflenet",
        "place.number('first_groups', g)",
        "g",
        ("shufflenet/units/test_units",),
    ),
    Mutation(
        "depthwise_stride_ignored",
        "shufflenet",
        "Conv(m, m, 3, place.stride, 1, m)",
        "Conv(m, m, 3, 1, 1, m)",
        ("shufflenet/units/test_units",),
    ),
    Mutation(
        "narrow_bottleneck_vanishes",
        "Unit.bottleneck",
        "largest(c_out // (over * groups), 1)",
        "c_out // (over * groups)",
        ("shufflenet/units/test_units",),
    ),
    Mutation(
        "towers_end_in_their_first_width",
        "_ends",
        "widths[-1]",
        "widths[0]",
        ("shufflenet/units/test_other_units",),
    ),
    Mutation(
        "package_allowed_by_its_beginning",
        "unit",
        "f'{module_name}.'.startswith(f'{allowed}.')",
        "module_name.startswith(allowed)",
        (
            "shufflenet/units/test_units::test_a_unit_of_ones_own_is_refused_where_its_package_is_not_allowed",
        ),
    ),
)

_BUILT = (
    Mutation(
        "average_pool_never_rounds_up",
        "_module",
        "nn.AvgPool2d(kernel, stride, padding, ceil)",
        "nn.AvgPool2d(kernel, stride, padding)",
        ("shufflenet/nn/test_builder::test_a_pool_rounds_its_size_as_its_layer_says",),
    ),
    Mutation(
        "initialised_by_fan_in",
        "_initialise",
        "'fan_out'",
        "'fan_in'",
        (
            "shufflenet/nn/test_builder::test_convolutions_start_with_the_deviation_of_he_by_fan_out",
        ),
    ),
    Mutation(
        "shuffle_turned_round",
        "ChannelShuffle.forward",
        "x.view(n, g, k, h, w)",
        "x.view(n, k, g, h, w)",
        (
            "shufflenet/nn/test_builder::test_the_channel_shuffle_is_the_permutation_of_channels_by_index_and_torchs_own",
        ),
    ),
    Mutation(
        "sum_written_on_what_is_not_ours",
        "Add.joined",
        "own and alike",
        "alike",
        (
            "shufflenet/nn/test_fast_inference::test_every_legal_network_gives_in_inference_what_the_plain_way_gives",
        ),
    ),
    Mutation(
        "group_product_of_a_batch",
        "_is_product",
        "x.shape[0] == 1",
        "x.shape[0] >= 1",
        (
            "shufflenet/nn/test_fast_inference::test_every_legal_network_gives_in_inference_what_the_plain_way_gives",
        ),
    ),
    Mutation(
        "global_hooks_not_asked_for",
        "alone",
        "not _has_any_global_hook()",
        "True",
        ("shufflenet/nn/test_fast_inference::test_a_hook_on_all_modules_sees_every_leaf",),
    ),
    Mutation(
        "folded_without_epsilon",
        "_folded",
        "norm.eps",
        "0.0",
        ("shufflenet/nn/test_fold::test_every_bundled_network_gives_folded_what_it_gave",),
    ),
    Mutation(
        "hooked_norm_folded",
        "_pairs",
        "fixed and _free(conv) and _free(norm)",
        "fixed and _free(conv)",
        ("shufflenet/nn/test_fold::test_a_layer_that_is_hooked_stays_as_it_is",),
    ),
    Mutation(
        "torch_not_compared_at_leaves",
        "_leaf",
        "not a == b == c or (what == 'macs' and a != half)",
        "not a == b == c",
        (
            "shufflenet/nn/test_confirm::test_torchs_counter_off_at_one_leaf_is_found_wherever_it_is",
        ),
    ),
    Mutation(
        "whole_not_compared_with_torch",
        "_differences",
        "claimed.macs == counted.macs == traced.macs == whole",
        "claimed.macs == counted.macs == traced.macs",
        ("shufflenet/nn/test_confirm::test_a_whole_that_is_not_the_sum_of_the_leaves_is_found",),
    ),
)

_CLAIMS = (
    Mutation(
        "claim_proves_itself",
        "_faults",
        "subject is not None and subject.budget is not None and (says != 'channels')",
        "False",
        ("shufflenet/paper/test_claims",),
    ),
    Mutation(
        "figure_claimed_twice",
        "_settled",
        "draft.claim.key in drafts",
        "False",
        ("shufflenet/paper/test_claims",),
    ),
    Mutation(
        "figure_rounded_half_down",
        "prints_as",
        "(value / place + Fraction(1, 2)).__floor__() * place",
        "-(-value / place + Fraction(1, 2)).__floor__() * place",
        (
            "shufflenet/paper/test_audit::test_a_figure_is_rounded_half_up_to_the_digits_that_are_printed",
        ),
    ),
    Mutation(
        "nearest_candidate_by_its_best_figure",
        "Finding.nearest",
        "max(abs(value - target) for value in c.figures)",
        "min(abs(value - target) for value in c.figures)",
        (
            "shufflenet/paper/test_audit::test_the_nearest_candidate_is_the_one_whose_farthest_figure_is_nearest",
        ),
    ),
    Mutation(
        "image_of_the_paper_replaced",
        "_settled",
        "subject.image is not None and hypothesis.image != BASELINE.image",
        "False",
        (
            "shufflenet/paper/test_audit::test_a_hypothesis_that_does_not_apply_is_not_tried",
            "shufflenet/paper/test_audit::test_the_verdicts_are_those_that_were_looked_at",
        ),
    ),
    Mutation(
        "detector_cut_a_stage_early",
        "halves",
        "stride > STRIDE",
        "stride >= STRIDE",
        ("shufflenet/paper/test_detection::test_a_network_is_cut_where_its_stride_passes_16",),
    ),
    Mutation(
        "heads_of_other_costs_allowed",
        "detection_cost",
        "odd",
        "False",
        (
            "shufflenet/paper/test_detection::test_a_head_that_does_not_cost_the_same_for_each_region_is_refused",
        ),
    ),
)

#: Mutations of specs, networks, modules and claims.
NETWORKS: tuple[Mutation, ...] = (*_SPECS, *_NETWORKS, *_BUILT, *_CLAIMS)
