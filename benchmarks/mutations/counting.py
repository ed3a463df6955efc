"""Mutations of what counts, prices and reports: the package flopcount."""

from __future__ import annotations

from mutations.mutation import Mutation

_FORMULAS = (
    Mutation(
        "conv_weight_without_groups",
        "_leaf",
        "product(d, exact(c, g), k * k)",
        "product(d, c, k * k)",
        ("flopcount/layers/test_cost",),
    ),
    Mutation(
        "linear_rows_left_out",
        "_leaf",
        "product(*shape[:-1], weight)",
        "weight",
        ("flopcount/layers/test_cost",),
    ),
    Mutation(
        "pool_window_height_twice",
        "_leaf",
        "covered(w, k, s, p, ceil)",
        "covered(h, k, s, p, ceil)",
        ("flopcount/layers/test_cost",),
    ),
    Mutation(
        "branch_input_freed_late",
        "_live_branches",
        "len(shapes) + 1 < len(layer.children)",
        "len(shapes) < len(layer.children)",
        ("flopcount/layers/test_memory",),
    ),
    Mutation(
        "kept_tensor_forgotten",
        "_Alive.replaced",
        "self.beside + self.elements if self.kept else self.beside",
        "self.beside",
        ("flopcount/layers/test_memory",),
    ),
    Mutation(
        "output_height_twice",
        "output",
        "sites(w, kernel, stride, padding)",
        "sites(h, kernel, stride, padding)",
        ("flopcount/layers/test_tree",),
    ),
    Mutation(
        "padded_width_rule_unchecked",
        "_window",
        "AtLeast('padded input width', w + 2 * padding, kernel)",
        "AtLeast('padded input width', w + 2 * padding, 1)",
        ("flopcount/layers/test_tree",),
    ),
    Mutation(
        "concat_takes_the_first_width",
        "joined",
        "total(shape[1] for shape in shapes)",
        "shapes[0][1]",
        ("flopcount/layers/test_tree",),
    ),
    Mutation(
        "depth_of_the_shallowest_branch",
        "depth",
        "max((depth(child) for _, child in children), default=0)",
        "min((depth(child) for _, child in children), default=0)",
        ("flopcount/layers/test_tree", "shufflenet/arch/test_network"),
    ),
    Mutation(
        "divides_turned_round",
        "Divides.holds",
        "self.value % self.by == 0",
        "self.by % self.value == 0",
        ("flopcount/layers/test_tree",),
    ),
    Mutation(
        "at_least_is_more_than",
        "AtLeast.holds",
        "self.value >= self.minimum",
        "self.value > self.minimum",
        ("flopcount/layers/test_tree",),
    ),
    Mutation(
        "ceil_window_behind_the_input",
        "sites",
        "smallest(_up(span, stride) + 1, _up(size + padding, stride))",
        "_up(span, stride) + 1",
        ("flopcount/test_integers::test_the_positions_of_a_window_are_those_tried_one_by_one",),
    ),
    Mutation(
        "product_may_wrap",
        "product",
        "bound > MAX",
        "bound > 4 * MAX",
        ("flopcount/test_integers",),
    ),
    Mutation(
        "window_reaches_over_the_edge",
        "covered",
        "min(start + kernel, size)",
        "start + kernel",
        ("flopcount/test_integers::test_the_positions_of_a_window_are_those_tried_one_by_one",),
    ),
    Mutation(
        "mixed_widths_swallowed",
        "same",
        "raise MixedWidthsError",
        "return False",
        ("flopcount/test_integers::test_widths_that_agree_in_some_candidates_only_are_refused",),
    ),
    Mutation(
        "columns_equal_by_length",
        "Columns.__eq__",
        "tuple(self) == tuple(other)",
        "len(self) == len(other)",
        (
            "flopcount/counters/test_lazy_records::test_columns_equal_and_hash_as_the_tuple_of_their_records",
        ),
    ),
    Mutation(
        "under_takes_longer_names",
        "Tally.under",
        "(f'{root}.' for root in roots)",
        "(f'{root}' for root in roots)",
        ("flopcount/test_tally",),
    ),
    Mutation(
        "tree_counts_parameters_twice",
        "grow",
        "entry.params if parameters is None else 0",
        "entry.params",
        (
            "flopcount/test_module_tree::test_parameters_of_a_living_module_stand_where_they_are_owned_and_not_where_they_are_read",
        ),
    ),
)

_MODULES = (
    Mutation(
        "hook_counts_conv_by_its_input",
        "_product",
        "out.numel() * int(module.weight[0].numel())",
        "x.numel() * int(module.weight[0].numel())",
        ("flopcount/counters/test_hooks::test_a_living_leaf_costs_the_product_of_its_case",),
    ),
    Mutation(
        "hook_counts_shared_weights_twice",
        "_HookRecords._params",
        "self._seen.add(id(parameter))",
        "pass",
        ("flopcount/counters/test_hooks::test_a_living_leaf_costs_the_product_of_its_case",),
    ),
    Mutation(
        "operator_conv_without_dilation",
        "conv",
        "e[i] * (k[i] - 1)",
        "k[i] - 1",
        (
            "flopcount/counters/test_operators::test_a_convolution_comes_out_as_torch_makes_it_and_sums_a_filter_for_each_output",
        ),
    ),
    Mutation(
        "operator_pool_last_window",
        "pooled",
        "(count - 1) * t >= s + p",
        "(count - 1) * t > s + p",
        (
            "flopcount/counters/test_operators::test_a_pooling_comes_out_as_torch_makes_it_and_sees_what_lies_on_the_image",
        ),
    ),
    Mutation(
        "einsum_forgets_what_comes_later",
        "einsum",
        "(held & new) - later",
        "held & new",
        (
            "flopcount/counters/test_operators::test_an_einsum_costs_its_products_from_left_to_right",
        ),
    ),
    Mutation(
        "backward_of_attention_swapped",
        "_attention",
        "scores, values = (rows * t * s * e, rows * t * s * f)",
        "values, scores = (rows * t * s * e, rows * t * s * f)",
        (
            "flopcount/counters/trace/test_backward::test_attention_costs_on_the_way_back_what_its_two_products_cost",
        ),
    ),
    Mutation(
        "backward_of_what_leads_nowhere",
        "_flow",
        "any(out in flowing and needs[out] for out in step.outs)",
        "any(needs[out] for out in step.outs)",
        (
            "flopcount/counters/trace/test_backward::test_nothing_flows_back_past_where_a_tensor_is_cut_off",
        ),
    ),
    Mutation(
        "shape_rule_takes_any_channels",
        "convolved",
        "x[-axes - 1] != w[1] * groups",
        "False",
        (
            "flopcount/counters/trace/test_fast_paths::test_a_layer_that_does_not_fit_its_input_is_refused_as_torch_refuses_it",
        ),
    ),
    Mutation(
        "fast_path_takes_any_norm",
        "_batch_norm.path",
        "weight.shape[0] != size[1]",
        "False",
        (
            "flopcount/counters/trace/test_fast_paths::test_a_layer_that_does_not_fit_its_input_is_refused_as_torch_refuses_it",
        ),
    ),
    Mutation(
        "shadow_module_forgets_other_names",
        "ShadowModule._part",
        "self._alias(module, path, frozenset())",
        "pass",
        (
            "flopcount/counters/trace/test_parameters::test_a_shared_module_costs_each_call_and_owns_its_parameters_once",
        ),
    ),
    Mutation(
        "inventory_takes_all_for_trainable",
        "ShadowModule.inventory",
        "tensor.requires_grad",
        "True",
        (
            "flopcount/counters/trace/test_parameters::test_frozen_and_trainable_parameters_add_up_to_all",
        ),
    ),
    Mutation(
        "torch_generator_not_restored",
        "kept",
        "torch.set_rng_state(state)",
        "pass",
        (
            "flopcount/counters/trace/test_untouched::test_a_model_that_draws_numbers_leaves_every_generator_as_it_was",
        ),
    ),
    Mutation(
        "numpy_generator_not_restored",
        "kept",
        "numpy.set_state(theirs)",
        "pass",
        (
            "flopcount/counters/trace/test_untouched::test_a_model_that_draws_numbers_leaves_every_generator_as_it_was",
        ),
    ),
    Mutation(
        "outer_count_is_not_suspended",
        "exclusive",
        "outer.pause()",
        "nullcontext()",
        (
            "flopcount/counters/trace/test_forward::test_a_count_inside_a_counted_model_changes_neither",
        ),
    ),
    Mutation(
        "own_work_is_a_line",
        "Recorder.pause",
        "(self.paused, True)",
        "(self.paused, self.paused)",
        ("flopcount/counters/trace/test_forward",),
    ),
    Mutation(
        "parts_of_a_whole_are_lines",
        "Recorder.write",
        "self.suppress_depth",
        "False",
        ("flopcount/counters/trace/test_user_rules",),
    ),
    Mutation(
        "operators_of_a_function_are_lost",
        "DispatchMode._write",
        "self.gathered.macs += macs",
        "pass",
        ("flopcount/counters/trace/test_products",),
    ),
    Mutation(
        "written_values_stay_known",
        "TensorTable.forget",
        "self._sources[key] = self.known_values.pop(key)",
        "pass",
        (
            "flopcount/counters/trace/test_facts::test_what_was_known_is_unknown_once_something_unknown_is_written_on_it",
        ),
    ),
    Mutation(
        "traced_peak_frees_early",
        "_Settling._peak",
        "change[last + 1] -= size",
        "change[last] -= size",
        (
            "flopcount/counters/trace/test_memory::test_peak_and_traffic_are_those_of_the_schedule_times_the_size_of_an_element",
        ),
    ),
    Mutation(
        "learned_product_is_no_linear_map",
        "_Settling._enter",
        "kind == 'matmul' and weights",
        "False",
        (
            "flopcount/counters/trace/test_products::test_a_product_with_a_learned_matrix_is_a_linear_map_and_any_other_is_not",
        ),
    ),
    Mutation(
        "recurrence_in_one_direction",
        "Recurrence.of",
        "2 if args[at + 6] else 1",
        "1",
        (
            "flopcount/counters/trace/test_recurrent::test_a_packed_sequence_costs_its_own_rows_and_no_padding",
        ),
    ),
    Mutation(
        "packed_rows_one_step_longer",
        "pack",
        "length > step",
        "length >= step",
        (
            "flopcount/counters/trace/test_recurrent::test_a_packed_sequence_costs_its_own_rows_and_no_padding",
        ),
    ),
)

_GRAPHS = (
    Mutation(
        "graph_transposed_conv_by_its_output",
        "_conv_transpose",
        "prod(call.sizes(0)) * prod(call.sizes(1)[1:])",
        "prod(call.outputs[0]) * prod(call.sizes(1)[1:])",
        ("flopcount/counters/onnx/test_onnx::test_an_operator_takes_the_products_that_it_sums",),
    ),
    Mutation(
        "graph_gemm_not_transposed",
        "_gemm",
        "a[0] if call.attributes.get('transA', 0) else a[-1]",
        "a[-1]",
        ("flopcount/counters/onnx/test_onnx::test_an_operator_takes_the_products_that_it_sums",),
    ),
    Mutation(
        "graph_attention_without_the_past",
        "_attention",
        "k[-2] + past",
        "k[-2]",
        ("flopcount/counters/onnx/test_onnx::test_an_operator_takes_the_products_that_it_sums",),
    ),
    Mutation(
        "graph_peak_frees_late",
        "GraphWalk.peak",
        "last.get(n, at) <= at",
        "last.get(n, at) < at",
        (
            "flopcount/counters/onnx/test_onnx::test_the_peak_holds_what_is_needed_later_and_no_weight",
        ),
    ),
)

_PRICES = (
    Mutation(
        "backward_priced_by_operator",
        "charge",
        "entry.operator in chosen.operators and kind not in BACKWARD",
        "entry.operator in chosen.operators",
        ("flopcount/conventions/test_conventions",),
    ),
    Mutation(
        "unpriced_kind_swallowed",
        "charge",
        "not known and module is NO_CHARGE",
        "False",
        ("flopcount/conventions/test_conventions",),
    ),
    Mutation(
        "price_cached_without_the_layer",
        "_summed",
        "key = (entry.kind, entry.operator, entry.layer)",
        "key = (entry.kind, entry.operator)",
        ("flopcount/conventions/test_conventions",),
    ),
    Mutation(
        "states_of_one_layer",
        "_states",
        "product(*entry.outputs[0][:2], layers, h)",
        "product(*entry.outputs[0][:2], h)",
        ("flopcount/conventions/test_conventions",),
    ),
    Mutation(
        "remainder_of_a_batch_dropped",
        "per_sample",
        "type(figure) is int and type(batch) is int and (not batch or figure % batch)",
        "False",
        ("flopcount/conventions/test_conventions",),
    ),
    Mutation(
        "price_list_of_ptflops_lstm",
        "_ptflops",
        "_recurrent(1, (1, 7, 10))",
        "_recurrent(1, (1, 7, 8))",
        ("flopcount/conventions/test_conventions",),
    ),
    Mutation(
        "free_kind_named_twice",
        "_free",
        "kinds.count(kind) > 1",
        "False",
        ("flopcount/conventions/test_files",),
    ),
    Mutation(
        "negative_price_without_a_bound",
        "whole.field",
        "not least <= value <= most",
        "value > most",
        ("flopcount/conventions/test_files",),
    ),
    Mutation(
        "reconciled_lines_unsorted",
        "reconcile",
        "lines.sort(key=lambda line: (-abs(line.difference), -max(line.a, line.b), line.kind))",
        "pass",
        ("flopcount/conventions/test_reconcile",),
    ),
    Mutation(
        "narrower_fact_taken_for_all",
        "_folded",
        "amounts[some] == amounts[every]",
        "True",
        ("flopcount/conventions/test_reconcile",),
    ),
    Mutation(
        "header_cut_where_it_is_longest",
        "_stacked",
        "max(i, len(header) - i)",
        "min(i, len(header) - i)",
        ("flopcount/report/test_report",),
    ),
    Mutation(
        "line_behind_the_last_row",
        "to_latex",
        "index + 1 < len(table.rows)",
        "index < len(table.rows)",
        ("flopcount/report/test_report",),
    ),
)

#: Mutations of flopcount.
COUNTING: tuple[Mutation, ...] = (*_FORMULAS, *_MODULES, *_GRAPHS, *_PRICES)
