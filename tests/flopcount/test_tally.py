from __future__ import annotations

import copy
import pickle
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest

from flopcount import Entry, FigureTooLargeError, Shape, Tally
from flopcount.entries import Group, Parameter
from flopcount.integers import lift

CONV = Entry("stem.conv", "conv", (Shape(1, 3, 8, 8),), (Shape(1, 6, 4, 4),), 100, 54, 6)
RELU = Entry("stem.relu", "relu", (Shape(1, 6, 4, 4),), (Shape(1, 6, 4, 4),))
ADD = Entry("block.add", "add", (Shape(1, 6, 4, 4), Shape(1, 6, 4, 4)), (Shape(1, 6, 4, 4),))
VIEW = Entry("flatten", "flatten", (Shape(1, 6, 4, 4),), (Shape(1, 96),))
LINEAR = Entry("fc", "linear", (Shape(1, 96),), (Shape(1, 10),), 960, 960, 10)
TALLY = Tally((CONV, RELU, ADD, VIEW, LINEAR))


def test_a_shape_is_the_tuple_of_its_sizes():
    assert Shape(2, 3, 4, 5) == (2, 3, 4, 5)
    assert tuple(Shape()) == ()


def test_a_shape_has_the_product_of_its_sizes_as_elements():
    assert Shape(2, 3, 4, 5).elements == 2 * 3 * 4 * 5
    assert Shape(7).elements == 7
    assert Shape(2, 0, 4).elements == 0


def test_a_shape_of_arrays_has_elements_candidate_by_candidate():
    widths = lift(np.array([3, 6]))
    assert Shape(2, widths, 4, 4).elements.tolist() == [2 * 3 * 4 * 4, 2 * 6 * 4 * 4]


def test_a_shape_reads_with_an_x_between_its_sizes():
    assert str(Shape(1, 24, 112, 112)) == "1x24x112x112"


@pytest.mark.parametrize("size", [2.0, 0.5, True, "3", float("nan")])
def test_a_size_that_is_no_whole_number_is_refused(size):
    with pytest.raises(ValueError, match="is not a whole number"):
        Shape(1, size, 3)


def test_a_negative_size_is_refused_and_named():
    with pytest.raises(ValueError, match=r"shape \(1, -2, 3\): size -2 is negative"):
        Shape(1, -2, 3)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_a_shape_is_itself_after_a_copy_or_a_pickle(again):
    twin = again(Shape(1, 24, 7, 5))
    assert twin == Shape(1, 24, 7, 5)
    assert twin.elements == 24 * 7 * 5


def test_a_tally_is_itself_after_a_pickle():
    assert pickle.loads(pickle.dumps(TALLY)) == TALLY


def test_parameters_are_weight_and_bias_together():
    assert CONV.params == 54 + 6


def test_parameters_of_a_candidate_past_the_limit_are_refused_and_not_wrapped():
    wide = lift(np.array([1, 2**63 - 1]))
    entry = Entry("fc", "linear", (), (), 0, wide, lift(np.array([1, 7])))
    with pytest.raises(FigureTooLargeError):
        Tally((entry,)).params  # noqa: B018
    with pytest.raises(FigureTooLargeError):
        entry.params  # noqa: B018


def test_a_leaf_makes_the_elements_of_its_outputs():
    assert CONV.activations == 6 * 4 * 4
    assert ADD.activations == 6 * 4 * 4


@pytest.mark.parametrize("kind", ["flatten", "identity", "dropout"])
def test_a_view_makes_nothing_and_moves_nothing(kind):
    view = VIEW._replace(kind=kind)
    assert (view.activations, view.moved) == (0, 0)


def test_a_leaf_moves_its_inputs_its_outputs_and_its_parameters():
    assert CONV.moved == 3 * 8 * 8 + 6 * 4 * 4 + 54 + 6
    assert ADD.moved == 2 * 6 * 4 * 4 + 6 * 4 * 4


def test_a_tally_sums_its_entries():
    assert TALLY.macs == 100 + 960
    assert TALLY.params == 54 + 6 + 960 + 10
    assert TALLY.activations == 3 * 6 * 4 * 4 + 10
    conv, relu, add = 3 * 64 + 96 + 60, 96 + 96, 3 * 96
    assert TALLY.bytes_moved == 4 * (conv + relu + add + (96 + 10 + 970))


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_bytes_are_elements_times_their_size(width):
    tally = Tally((CONV,), element_bytes=width, peak_activations=288)
    assert tally.param_bytes == width * (54 + 6)
    assert tally.peak_memory == width * 288
    assert tally.bytes_moved == width * CONV.moved


def test_a_tally_of_nothing_is_zero():
    empty = Tally(())
    assert (empty.macs, empty.params, empty.activations, empty.bytes_moved) == (0, 0, 0, 0)


def test_a_peak_that_was_not_asked_for_is_no_figure():
    assert TALLY.peak_memory is None


def test_a_sum_past_the_limit_is_refused():
    half = CONV._replace(macs=2**62)
    assert Tally((half, CONV._replace(macs=2**62 - 1))).macs == 2**63 - 1
    with pytest.raises(FigureTooLargeError):
        Tally((half, half)).macs  # noqa: B018


def test_under_a_path_are_the_path_and_what_is_below_it():
    assert TALLY.under(["stem"]).entries == (CONV, RELU)
    assert TALLY.under(["stem.relu", "fc"]).entries == (RELU, LINEAR)
    assert TALLY.under([]).entries == ()


def test_a_path_that_only_begins_alike_is_not_below():
    assert TALLY.under(["ste", "f", "block.ad"]).entries == ()


def test_a_part_of_a_tally_keeps_its_element_size_and_has_no_peak():
    part = Tally((CONV,), element_bytes=2, peak_activations=288).under(["stem"])
    assert (part.element_bytes, part.peak_activations) == (2, None)


@pytest.mark.parametrize("root", ["body", "body.act"])
def test_a_part_of_a_tally_still_says_what_was_not_counted(root):
    lost = Entry("body.act", "uncounted", (Shape(1, 6),), (Shape(1, 6),), operator="gelu")
    tally = Tally((CONV, lost), uncounted={"gelu": 2})
    assert tally.under([root]).uncounted == {"gelu": 1}


def test_entries_of_one_path_stay_together_in_order():
    twice = CONV._replace(weight=0, bias=0)
    found = Tally((CONV, RELU, twice)).by_path()
    assert found == {"stem.conv": (CONV, twice), "stem.relu": (RELU,)}
    assert list(found) == ["stem.conv", "stem.relu"]


OWNED = (
    Parameter("stem.weight", 54, aliases=("head.weight", "tail.weight")),
    Parameter("stem.bias", 6, trainable=False),
    Parameter("aside.fc.weight", 20, called=False),
    Parameter("aside.fc.bias", 5, trainable=False, called=False),
    Parameter("scale", 3, called=False),
)


def test_parameters_of_a_living_module_are_every_one_once_used_or_not():
    tally = Tally((CONV, CONV), parameters=OWNED)
    assert tally.params == 54 + 6 + 20 + 5 + 3
    assert tally.param_bytes == 4 * (54 + 6 + 20 + 5 + 3)


def test_parameters_are_trainable_or_frozen():
    tally = Tally((), parameters=OWNED)
    assert (tally.trainable_params, tally.frozen_params) == (54 + 20 + 3, 6 + 5)


def test_a_tied_parameter_is_one_however_many_names_it_has():
    assert Tally((), parameters=OWNED).tied_params == 54
    assert Tally((), parameters=OWNED[1:]).tied_params == 0


def test_what_nothing_read_is_named_by_the_module_that_owns_it():
    tally = Tally((), parameters=OWNED)
    assert tally.uncalled_params == 20 + 5 + 3
    assert tally.uncalled == ("aside.fc", "")


def test_where_no_module_lives_every_parameter_is_trainable_and_its_entry_says_if_it_ran():
    aside = LINEAR._replace(path="aside.fc", kind="uncalled", macs=0)
    tally = Tally((CONV, aside))
    assert (tally.trainable_params, tally.frozen_params, tally.tied_params) == (60 + 970, 0, 0)
    assert (tally.uncalled, tally.uncalled_params) == (("aside.fc",), 960 + 10)


def test_a_living_module_without_parameters_has_none_whatever_was_read():
    tally = Tally((CONV,), parameters=())
    assert (tally.params, tally.trainable_params, tally.uncalled_params) == (0, 0, 0)


def test_intensity_is_multiply_adds_for_each_byte_moved():
    moved = 4 * (96 + 10 + 970)
    assert Tally((LINEAR,)).intensity == Fraction(960, moved)
    assert Tally((LINEAR,), element_bytes=2).intensity == 2 * Fraction(960, moved)
    assert Tally(()).intensity == Tally((VIEW,)).intensity == 0


def test_bytes_that_were_seen_alive_go_before_those_that_elements_come_to():
    alive = LINEAR._replace(moved_bytes=7)
    assert Tally((alive, RELU)).bytes_moved == 7 + 4 * (96 + 96)
    assert Tally((alive,)).intensity == Fraction(960, 7)


def test_coverage_is_the_share_of_what_ran_that_has_a_rule():
    lost = Entry("body", "uncounted", (Shape(1, 6),), (Shape(1, 6),), operator="fft")
    aside = LINEAR._replace(kind="uncalled")
    tally = Tally((CONV, RELU, lost, lost, LINEAR, aside), uncounted={"fft": 2})
    assert tally.coverage == Fraction(3, 5)
    assert TALLY.coverage == Tally(()).coverage == 1


def test_kinds_come_to_what_their_entries_do():
    again = CONV._replace(weight=0, bias=0)
    found = Tally((CONV, RELU, again, VIEW)).by_kind()
    conv, read = 6 * 4 * 4, 3 * 8 * 8
    bytes_moved = 4 * (2 * (read + conv) + 60)
    assert found["conv"] == Group(2, 2 * 100, 60, 2 * conv, bytes_moved)
    assert found["relu"] == Group(1, 0, 0, conv, 4 * 2 * conv)
    assert found["flatten"] == Group(1, 0, 0, 0, 0)
    assert list(found) == ["conv", "relu", "flatten"]


def test_operators_come_to_what_their_entries_do_and_one_without_a_name_to_its_kind():
    first, second = (LINEAR._replace(operator=name) for name in ("addmm", "linear"))
    found = Tally((first, second, second, RELU)).by_operator()
    assert {name: (group.calls, group.macs) for name, group in found.items()} == {
        "addmm": (1, 960),
        "linear": (2, 2 * 960),
        "relu": (1, 0),
    }


@pytest.mark.parametrize("grouped", [Tally.by_kind, Tally.by_operator])
def test_groups_sum_to_the_tally(grouped):
    groups = grouped(TALLY).values()
    assert sum(group.calls for group in groups) == 5
    assert sum(group.macs for group in groups) == 100 + 960
    assert sum(group.params for group in groups) == 54 + 6 + 960 + 10
    assert sum(group.activations for group in groups) == TALLY.activations
    assert sum(group.bytes_moved for group in groups) == TALLY.bytes_moved


def test_a_peak_in_bytes_goes_before_one_in_elements():
    assert Tally((CONV,), peak_bytes=300).peak_memory == 300
    assert Tally((CONV,), peak_activations=288, peak_bytes=300).peak_memory == 300
    assert Tally((CONV,), peak_activations=0).peak_memory == 0


def test_a_tally_can_be_taken_apart_into_plain_records() -> None:
    tally = Tally((CONV,))
    entry = asdict(tally)["entries"][0]
    assert entry == CONV
    assert type(entry.inputs[0]) is Shape
    with pytest.raises(ValueError, match="-1"):
        Shape(iter((2, -1)))
