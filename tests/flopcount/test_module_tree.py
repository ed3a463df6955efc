"""The tree of modules: every figure stands once, and the root has them all."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flopcount.counters.trace import count
from flopcount.entries import Entry, Module, Parameter, Shape
from flopcount.module_tree import Node
from flopcount.tally import Tally

CONV = Entry("stem.conv", "conv", (Shape(1, 3, 8, 8),), (Shape(1, 6, 4, 4),), 100, 54, 6)
RELU = Entry("stem.relu", "relu", (Shape(1, 6, 4, 4),), (Shape(1, 6, 4, 4),))
ADD = Entry("", "add", (Shape(1, 6, 4, 4),) * 2, (Shape(1, 6, 4, 4),))
LINEAR = Entry("head.fc", "linear", (Shape(1, 96),), (Shape(1, 10),), 960, 960, 10)
TALLY = Tally((CONV, RELU, ADD, LINEAR))


def nodes(tally: Tally) -> dict[str, Node]:
    return {node.path: node for _, node in tally.by_module().walk()}


def test_the_root_has_all_that_the_tally_has():
    root = TALLY.by_module()
    assert root.path == ""
    assert root.total_macs == 100 + 960
    assert root.total_params == 54 + 6 + 960 + 10
    assert root.total_activations == 3 * 96 + 10


def test_a_parent_has_what_it_does_itself_and_what_its_children_do():
    found = nodes(TALLY)
    assert (found[""].macs, found[""].activations) == (0, 96)
    assert (found["stem"].macs, found["stem"].total_macs) == (0, 100)
    assert (found["stem"].total_params, found["stem"].total_activations) == (60, 96 + 96)
    assert (found["stem.conv"].macs, found["stem.conv"].total_macs) == (100, 100)


def test_every_path_between_two_is_a_node():
    deep = Tally((CONV._replace(path="a.b.c"),))
    assert [(depth, node.path) for depth, node in deep.by_module().walk()] == [
        (0, ""),
        (1, "a"),
        (2, "a.b"),
        (3, "a.b.c"),
    ]


def test_a_name_is_the_last_part_of_a_path():
    assert {path: node.name for path, node in nodes(TALLY).items()} == {
        "": "",
        "stem": "stem",
        "stem.conv": "conv",
        "stem.relu": "relu",
        "head": "head",
        "head.fc": "fc",
    }


def test_a_walk_goes_as_deep_as_it_is_told():
    root = TALLY.by_module()
    assert [node.path for _, node in root.walk(0)] == [""]
    assert [node.path for _, node in root.walk(1)] == ["", "stem", "head"]
    assert [depth for depth, _ in root.walk(2)] == [0, 1, 2, 2, 1, 2]
    assert list(root.walk(9)) == list(root.walk())


def test_a_walk_can_begin_anywhere():
    stem = nodes(TALLY)["stem"]
    walked = [(depth, node.path) for depth, node in stem.walk()]
    assert walked == [(0, "stem"), (1, "stem.conv"), (1, "stem.relu")]


def test_a_module_that_ran_twice_is_one_node_with_both():
    twice = Tally((CONV, CONV._replace(weight=0, bias=0)))
    node = nodes(twice)["stem.conv"]
    assert (node.macs, node.params, node.activations) == (2 * 100, 54 + 6, 2 * 96)


def test_parameters_of_a_living_module_stand_where_they_are_owned_and_not_where_they_are_read():
    owned = (Parameter("stem.conv.weight", 54), Parameter("scale", 7, called=False))
    read_elsewhere = CONV._replace(path="head.fc")
    found = nodes(Tally((read_elsewhere,), parameters=owned))
    assert (found["stem.conv"].params, found["head.fc"].params, found[""].params) == (54, 0, 7)
    assert found[""].total_params == 54 + 7


def test_layers_calls_and_aliases_are_those_of_the_module():
    modules = (Module("", "Net", 1), Module("stem", "Sequential", 2, ("head.stem",)))
    found = nodes(Tally((CONV,), modules=modules))
    assert (found[""].layer, found[""].calls) == ("Net", 1)
    assert (found["stem"].layer, found["stem"].calls) == ("Sequential", 2)
    assert found["stem"].aliases == ("head.stem",)
    assert (found["stem.conv"].layer, found["stem.conv"].calls) == ("", 0)


def test_a_tally_of_nothing_is_a_root_without_children():
    root = Tally(()).by_module()
    assert (root.total_macs, root.total_params, root.children) == (0, 0, ())


PATHS = st.lists(st.sampled_from("abc"), max_size=4).map(".".join)
ENTRIES = st.builds(
    lambda path, macs, weight, size: Entry(
        path, "linear", (Shape(1, size),), (Shape(1, size),), macs, weight
    ),
    PATHS,
    st.integers(0, 10**9),
    st.integers(0, 10**6),
    st.integers(0, 10**4),
)


@given(st.lists(ENTRIES, max_size=12))
def test_what_all_nodes_do_themselves_sums_to_the_total(entries):
    tally = Tally(tuple(entries))
    walked = [node for _, node in tally.by_module().walk()]
    assert sum(node.macs for node in walked) == tally.macs == walked[0].total_macs
    assert sum(node.params for node in walked) == tally.params == walked[0].total_params
    assert sum(node.activations for node in walked) == walked[0].total_activations
    assert len({node.path for node in walked}) == len(walked)


@given(st.lists(ENTRIES, max_size=12))
def test_every_node_has_itself_and_its_children(entries):
    for depth, node in Tally(tuple(entries)).by_module().walk():
        assert node.total_macs == node.macs + sum(c.total_macs for c in node.children)
        assert node.total_params == node.params + sum(c.total_params for c in node.children)
        assert depth == (node.path.count(".") + 1 if node.path else 0)
        assert all(child.path.rpartition(".")[0] == node.path for child in node.children)


class Net(nn.Module):
    """A shared block, a parameter of its own, and a part that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
        self.again = nn.ModuleList([self.first])
        self.aside = nn.Linear(3, 2)
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again[0](self.first(x)) * self.scale @ self.scale


def test_the_tree_of_a_living_module_has_every_module_under_its_first_path():
    found = nodes(count(Net(), shape=(2, 6)))
    assert list(found) == ["", "first", "first.0", "first.1", "again", "aside"]
    assert {path: node.calls for path, node in found.items()} == {
        "": 1,
        "first": 2,
        "first.0": 2,
        "first.1": 2,
        "again": 0,
        "aside": 0,
    }
    assert found["first"].aliases == ("again.0",)
    assert (found[""].macs, found[""].params) == (2 * 6, 6)
    assert (found["first.0"].macs, found["first.0"].params) == (2 * 2 * 6 * 6, 6 * 6 + 6)
    assert (found["aside"].macs, found["aside"].params) == (0, 3 * 2 + 2)
    assert found[""].total_macs == 2 * 6 + 2 * 2 * 6 * 6
    assert found[""].total_params == 6 + (6 * 6 + 6) + (3 * 2 + 2)
