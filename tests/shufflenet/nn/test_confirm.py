"""The proof agrees on every bundled network, and no planted fault gets past it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from torch import nn

from flopcount.counters import hooks, trace
from flopcount.entries import Entry, Parameter, Shape
from flopcount.tally import Tally
from shufflenet.arch.network import Network, network
from shufflenet.arch.spec import Row
from shufflenet.arch.spec_reader import load
from shufflenet.nn import confirm as confirmation
from shufflenet.nn.builder import build
from shufflenet.nn.confirm import Difference, compare, confirm, torch_flops
from tests.strategies import COLUMNS, head, image, one_of_each, own_spec, stage

#: A leaf that multiplies, and one that does not.
CONV = "stage2.unit2.residual.body.expand"
FREE = "stage2.unit2.residual.body.shuffle"
#: What is compared at a leaf, in its order.
FACTS = ("kind", "shapes", "macs", "weight", "bias")
#: Leaves that only rename a tensor; the trace has none there.
RENAMES = ("identity", "flatten")


class Witnesses(NamedTuple):
    """What the four say of one network, before anything is planted."""

    claimed: Tally
    counted: Tally
    traced: Tally
    flops: dict[str, int]

    def at(self, path: str) -> Entry:
        (entry,) = (e for e in self.claimed.entries if e.path == path)
        return entry


@pytest.fixture(scope="module")
def witnesses(small: Network) -> Witnesses:
    shape = tuple(small.input)
    module = build(small, device="meta")
    return Witnesses(
        small.tally(memory=False),
        hooks.count(module, shape=shape),
        trace.count(module, shape=shape),
        torch_flops(module, shape),
    )


def changed(tally: Tally, path: str, change: Callable[[Entry], Entry | None]) -> Tally:
    """The tally with one entry changed, or taken out where the change gives None."""
    entries = [change(e) if e.path == path else e for e in tally.entries]
    assert [e for e in entries if e is not None] != list(tally.entries)
    return replace(tally, entries=tuple(e for e in entries if e is not None))


def longer(tally: Tally, entry: Entry) -> Tally:
    """The tally with one entry more."""
    return replace(tally, entries=(*tally.entries, entry))


def adding(macs: int = 0, weight: int = 0, bias: int = 0) -> Callable[[Entry], Entry]:
    return lambda e: e._replace(macs=e.macs + macs, weight=e.weight + weight, bias=e.bias + bias)


def taken_out(_: Entry) -> None:
    return None


# Agreement


@pytest.mark.parametrize(("name", "groups"), COLUMNS)
def test_all_witnesses_agree_on_every_column_of_every_bundled_spec(name: str, groups: int) -> None:
    net = network(load(name), groups)
    found = confirm(net)
    assert found.differences == ()
    assert found.agreed
    entries = net.tally(memory=False).entries
    assert found.leaves == len(entries)
    assert found.macs == sum(e.macs for e in entries)
    assert found.params == sum(e.weight + e.bias for e in entries)
    assert list(found.witnesses.items()) == [
        (name, found.macs) for name in ("analytic", "hooks", "trace", "torch")
    ]


@pytest.mark.parametrize(("groups", "macs"), [(1, 142_502_976), (3, 136_500_672), (8, 136_829_952)])
def test_what_is_confirmed_is_table_1_with_its_classifier(groups: int, macs: int) -> None:
    found = confirm(network(load("shufflenet"), groups))
    features = {1: 576, 3: 960, 8: 1536}[groups]
    assert found.macs == macs + features * 1000


@pytest.mark.parametrize("unit", ["shufflenet", "resnet", "resnext", "xception", "vgg"])
@pytest.mark.parametrize("size", [(224, 224), (480, 640), (65, 97)])
def test_all_witnesses_agree_on_table_1_with_every_unit_at_every_size(
    unit: str, size: tuple[int, int]
) -> None:
    found = confirm(network(load("shufflenet"), 3, unit=unit, size=size))
    assert found.differences == ()


def test_all_witnesses_agree_on_a_network_scaled_and_rounded() -> None:
    net = network(load("shufflenet"), 4, scale="0.5")
    assert net.stage_widths == (144, 288, 576)
    assert confirm(net).agreed


# Planted in the analytic tally


def test_one_multiply_add_too_many_is_found_at_its_leaf_and_in_the_whole(
    small: Network, witnesses: Witnesses
) -> None:
    right = witnesses.at(CONV).macs
    found = confirm(small, changed(witnesses.claimed, CONV, adding(macs=1)))
    whole = sum(e.macs for e in witnesses.claimed.entries)
    assert not found.agreed
    assert found.differences == (
        Difference(CONV, "macs", right + 1, right, right, right),
        Difference("(whole)", "macs", whole + 1, whole, whole, whole),
    )
    assert found.witnesses == {
        "analytic": whole + 1,
        "hooks": whole,
        "trace": whole,
        "torch": whole,
    }


def test_a_multiply_add_too_many_is_found_wherever_it_is_planted(witnesses: Witnesses) -> None:
    claimed = witnesses.claimed
    for entry in claimed.entries:
        wrong = changed(claimed, entry.path, adding(macs=1))
        found = compare(*witnesses._replace(claimed=wrong))
        assert [(d.path, d.what) for d in found.differences] == [
            (entry.path, "macs"),
            ("(whole)", "macs"),
        ]


def test_a_parameter_too_many_is_found_wherever_it_is_planted(witnesses: Witnesses) -> None:
    claimed = witnesses.claimed
    whole = sum(e.weight + e.bias for e in claimed.entries)
    for entry in claimed.entries:
        for what, right in (("weight", entry.weight), ("bias", entry.bias)):
            wrong = changed(claimed, entry.path, adding(**{what: 1}))
            found = compare(*witnesses._replace(claimed=wrong))
            assert found.differences == (
                Difference(entry.path, what, right + 1, right, right, None),
                Difference("(whole)", "params", whole + 1, whole, whole, None),
            )


def test_two_faults_that_cancel_in_the_total_are_both_found(witnesses: Witnesses) -> None:
    claimed = witnesses.claimed
    first, second = [e.path for e in claimed.entries if e.kind == "conv"][:2]
    wrong = changed(changed(claimed, first, adding(macs=7)), second, adding(macs=-7))
    assert wrong.macs == claimed.macs
    found = compare(*witnesses._replace(claimed=wrong))
    assert [(d.path, d.what) for d in found.differences] == [(first, "macs"), (second, "macs")]


@pytest.mark.parametrize("path", [CONV, FREE])
def test_a_leaf_missing_from_the_tally_is_found_with_all_that_is_known_of_it(
    witnesses: Witnesses, path: str
) -> None:
    gone = witnesses.at(path)
    wrong = changed(witnesses.claimed, path, taken_out)
    found = compare(*witnesses._replace(claimed=wrong))
    here = [d for d in found.differences if d.path == path]
    assert [(d.what, d.analytic) for d in here] == [(what, None) for what in FACTS]
    assert (here[0].hooks, here[2].hooks, here[2].torch) == (gone.kind, gone.macs, gone.macs)
    assert (here[3].hooks, here[4].hooks) == (gone.weight, gone.bias)
    assert [d.trace for d in here] == [d.hooks for d in here]
    elsewhere = [(d.path, d.what) for d in found.differences if d.path != path]
    assert elsewhere == ([("(whole)", "macs"), ("(whole)", "params")] if gone.macs else [])


@pytest.mark.parametrize("macs", [0, 5])
def test_a_leaf_that_no_module_has_is_found(witnesses: Witnesses, macs: int) -> None:
    claimed = witnesses.claimed
    shape = Shape(1, 4, 2, 2)
    extra = Entry("stage9.conv", "conv", (shape,), (shape,), macs, 3)
    found = compare(*witnesses._replace(claimed=longer(claimed, extra)))
    assert found.leaves == len(claimed.entries) + 1
    assert found.differences[:5] == (
        Difference("stage9.conv", "kind", "conv", None, None, None),
        Difference("stage9.conv", "shapes", "1x4x2x2 -> 1x4x2x2", None, None, None),
        Difference("stage9.conv", "macs", macs, None, None, 0),
        Difference("stage9.conv", "weight", 3, None, None, None),
        Difference("stage9.conv", "bias", 0, None, None, None),
    )
    whole = sum(e.params for e in claimed.entries)
    assert found.differences[-1] == Difference("(whole)", "params", whole + 3, whole, whole, None)
    assert [d.what for d in found.differences[5:]] == (["macs"] if macs else []) + ["params"]


def test_a_leaf_claimed_twice_is_found(witnesses: Witnesses) -> None:
    twice = longer(witnesses.claimed, witnesses.at(FREE))
    found = compare(*witnesses._replace(claimed=twice))
    assert {d.path for d in found.differences} == {FREE}
    assert {d.what for d in found.differences} >= {"kind", "shapes"}


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_wrong_shape_is_found_wherever_it_is_planted(witnesses: Witnesses, side: str) -> None:
    claimed = witnesses.claimed
    for entry in claimed.entries:
        (first, *others) = getattr(entry, side)
        wider = Shape(*first[:-1], first[-1] + 1)
        wrong = changed(
            claimed, entry.path, lambda e, new=(wider, *others): e._replace(**{side: new})
        )
        found = compare(*witnesses._replace(claimed=wrong))
        assert [(d.path, d.what, d.torch) for d in found.differences] == [
            (entry.path, "shapes", None)
        ]


def test_height_and_width_exchanged_are_found_where_the_image_is_oblong() -> None:
    net = network(one_of_each(32, 48))
    turned = network(one_of_each(48, 32)).tally(memory=False)
    found = confirm(net, turned)
    assert turned.macs == net.tally(memory=False).macs
    assert {d.what for d in found.differences} == {"shapes"}
    assert any(d.path == CONV for d in found.differences)


def test_a_wrong_kind_is_found_wherever_it_is_planted(witnesses: Witnesses) -> None:
    claimed = witnesses.claimed
    for entry in claimed.entries:
        wrong = changed(claimed, entry.path, lambda e: e._replace(kind="another"))
        first, *more = compare(*witnesses._replace(claimed=wrong)).differences
        assert (first.path, first.what, first.torch) == (entry.path, "kind", None)
        assert (first.analytic, first.hooks) == ("another", entry.kind)
        assert (first.trace, more) == (entry.kind, [])


def test_a_tally_of_another_network_is_not_confirmed() -> None:
    spec = load("shufflenet")
    wrong = network(spec, 3).tally(memory=False)
    assert confirm(network(spec, 3), wrong).agreed
    assert not confirm(network(spec, 4), wrong).agreed


# Planted in what the hooks, the trace and torch find


def test_a_leaf_that_the_hooks_miss_is_found(witnesses: Witnesses) -> None:
    whole = sum(e.params for e in witnesses.claimed.entries)
    done = sum(e.macs for e in witnesses.claimed.entries)
    for entry in witnesses.claimed.entries:
        wrong = changed(witnesses.counted, entry.path, taken_out)
        found = compare(*witnesses._replace(counted=wrong))
        here = [d for d in found.differences if d.path == entry.path]
        assert [(d.what, d.hooks) for d in here] == [(what, None) for what in FACTS]
        assert [(d.analytic, d.trace) for d in here[2:]] == (
            [(0, None)] * 3
            if entry.kind in RENAMES
            else [(n, n) for n in (entry.macs, entry.weight, entry.bias)]
        )
        macs = Difference("(whole)", "macs", done, done - entry.macs, done, done)
        lost = Difference("(whole)", "params", whole, whole - entry.params, whole, None)
        expected = (*((macs,) if entry.macs else ()), *((lost,) if entry.params else ()))
        assert found.differences[5:] == expected


def test_an_entry_of_the_trace_alone_is_found_even_where_it_says_it_renames(
    witnesses: Witnesses,
) -> None:
    x = Shape(1, 9, 9, 9)
    for extra in (
        Entry("fc.flatten", "dropout", (x,), (x,), 0, 5, 5),
        Entry("stage2.unit2.residual.shortcut", "flatten", (x,), (x,)),
        Entry("stage9.x", "identity", (x,), (x,), 0, 5, 5),
    ):
        wrong = replace(witnesses.traced, entries=(*witnesses.traced.entries, extra))
        found = compare(*witnesses._replace(traced=wrong))
        here = {d.what: d.trace for d in found.differences if d.path == extra.path}
        assert here["kind"] == extra.kind
        assert here["shapes"] == f"{x} -> {x}"
        assert here.get("weight", 0) == extra.weight


def test_a_figure_wrong_in_the_trace_alone_is_found_wherever_it_is(witnesses: Witnesses) -> None:
    whole = sum(e.macs for e in witnesses.claimed.entries)
    for entry in witnesses.traced.entries:
        for what in ("macs", "weight", "bias"):
            right = getattr(witnesses.at(entry.path), what)
            wrong = changed(witnesses.traced, entry.path, adding(**{what: 1}))
            found = compare(*witnesses._replace(traced=wrong))
            torch_s = right if what == "macs" else None
            at_leaf = Difference(entry.path, what, right, right, right + 1, torch_s)
            in_all = Difference("(whole)", "macs", whole, whole, whole + 1, whole)
            assert found.differences == ((at_leaf, in_all) if what == "macs" else (at_leaf,))
            assert found.witnesses["trace"] == (whole + 1 if what == "macs" else whole)


def test_a_kind_wrong_in_the_trace_alone_is_found_wherever_it_is(witnesses: Witnesses) -> None:
    for entry in witnesses.traced.entries:
        right = witnesses.at(entry.path).kind
        for kind in ("another", *RENAMES):
            wrong = changed(witnesses.traced, entry.path, lambda e, new=kind: e._replace(kind=new))
            found = compare(*witnesses._replace(traced=wrong))
            assert found.differences == (Difference(entry.path, "kind", right, right, kind, None),)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_shape_wrong_in_the_trace_alone_is_found_wherever_it_is(
    witnesses: Witnesses, side: str
) -> None:
    for entry in witnesses.traced.entries:
        (first, *others) = getattr(entry, side)
        wider = (Shape(*first[:-1], first[-1] + 1), *others)
        wrong = changed(
            witnesses.traced, entry.path, lambda e, new=wider: e._replace(**{side: new})
        )
        (difference,) = compare(*witnesses._replace(traced=wrong)).differences
        assert (difference.path, difference.what) == (entry.path, "shapes")
        assert difference.analytic == difference.hooks != difference.trace
        assert difference.torch is None


def test_a_leaf_that_the_trace_misses_is_found_wherever_it_is(witnesses: Witnesses) -> None:
    whole = sum(e.macs for e in witnesses.claimed.entries)
    for entry in witnesses.traced.entries:
        wrong = changed(witnesses.traced, entry.path, taken_out)
        found = compare(*witnesses._replace(traced=wrong))
        right = witnesses.at(entry.path)
        here = found.differences[:5]
        assert [(d.path, d.what, d.trace) for d in here] == [
            (entry.path, what, None) for what in FACTS
        ]
        assert [d.analytic for d in here] == [d.hooks for d in here]
        assert [d.hooks for d in (here[0], *here[2:])] == [
            *(right.kind, right.macs, right.weight, right.bias)
        ]
        less = Difference("(whole)", "macs", whole, whole, whole - right.macs, whole)
        assert found.differences[5:] == ((less,) if right.macs else ())


@pytest.mark.parametrize("macs", [0, 5])
def test_a_leaf_that_the_trace_alone_finds_is_found(witnesses: Witnesses, macs: int) -> None:
    shape = Shape(1, 4, 2, 2)
    extra = Entry("stage9.conv", "conv", (shape,), (shape,), macs, 3)
    found = compare(*witnesses._replace(traced=longer(witnesses.traced, extra)))
    whole = sum(e.macs for e in witnesses.claimed.entries)
    assert found.leaves == len(witnesses.claimed.entries)
    assert found.differences[:5] == (
        Difference("stage9.conv", "kind", None, None, "conv", None),
        Difference("stage9.conv", "shapes", None, None, "1x4x2x2 -> 1x4x2x2", None),
        Difference("stage9.conv", "macs", None, None, macs, 0),
        Difference("stage9.conv", "weight", None, None, 3, None),
        Difference("stage9.conv", "bias", None, None, 0, None),
    )
    more = Difference("(whole)", "macs", whole, whole, whole + macs, whole)
    assert found.differences[5:] == ((more,) if macs else ())


@pytest.mark.parametrize("path", [CONV, FREE])
def test_a_leaf_that_the_trace_finds_twice_is_found(witnesses: Witnesses, path: str) -> None:
    (entry,) = witnesses.traced.by_path()[path]
    found = compare(*witnesses._replace(traced=longer(witnesses.traced, entry)))
    first = found.differences[0]
    assert (first.path, first.what) == (path, "kind")
    assert (first.hooks, first.trace) == (entry.kind, f"{entry.kind}, {entry.kind}")


def test_what_the_trace_has_no_rule_for_is_found_where_it_ran(witnesses: Witnesses) -> None:
    (entry,) = witnesses.traced.by_path()[FREE]
    unknown = entry._replace(kind="uncounted", operator="mystery")
    found = compare(*witnesses._replace(traced=longer(witnesses.traced, unknown)))
    assert not found.agreed
    assert found.differences[0] == Difference(
        FREE, "kind", entry.kind, entry.kind, f"{entry.kind}, uncounted", None
    )


def test_parameters_that_the_trace_adds_up_otherwise_are_found(witnesses: Witnesses) -> None:
    whole = sum(e.params for e in witnesses.claimed.entries)
    owned = witnesses.traced.parameters
    assert owned
    more = replace(witnesses.traced, parameters=(*owned, Parameter("stage9.weight", 5)))
    less = replace(witnesses.traced, parameters=owned[1:])
    for traced, said in ((more, whole + 5), (less, whole - owned[0].elements)):
        found = compare(*witnesses._replace(traced=traced))
        assert found.differences == (Difference("(whole)", "params", whole, whole, said, None),)


@pytest.mark.parametrize("extra", [1, 2, -1, -2])
def test_torchs_counter_off_at_one_leaf_is_found_wherever_it_is(
    witnesses: Witnesses, extra: int
) -> None:
    for entry in witnesses.claimed.entries:
        wrong = {**witnesses.flops, entry.path: 2 * entry.macs + extra}
        (difference,) = compare(*witnesses._replace(flops=wrong)).differences
        assert (difference.path, difference.what) == (entry.path, "macs")
        assert (difference.analytic, difference.hooks) == (entry.macs, entry.macs)
        assert difference.trace == entry.macs != difference.torch
        if extra % 2 == 0:
            assert difference.torch == entry.macs + extra // 2


def test_a_leaf_that_torch_does_not_count_is_found(witnesses: Witnesses) -> None:
    missing = {path: count for path, count in witnesses.flops.items() if path != CONV}
    right = witnesses.at(CONV).macs
    found = compare(*witnesses._replace(flops=missing))
    assert found.differences == (Difference(CONV, "macs", right, right, right, 0),)


@pytest.mark.parametrize("extra", [1, 2, -2])
def test_a_whole_that_is_not_the_sum_of_the_leaves_is_found(
    witnesses: Witnesses, extra: int
) -> None:
    whole = sum(e.macs for e in witnesses.claimed.entries)
    wrong = {**witnesses.flops, "": 2 * whole + extra}
    found = compare(*witnesses._replace(flops=wrong))
    said = whole + extra // 2 if extra % 2 == 0 else f"{2 * whole + extra}/2"
    assert found.differences == (Difference("(whole)", "macs", whole, whole, whole, said),)
    assert found.witnesses == {"analytic": whole, "hooks": whole, "trace": whole, "torch": said}


def test_the_trace_asked_is_that_of_the_module_built(
    monkeypatch: pytest.MonkeyPatch, small: Network, witnesses: Witnesses
) -> None:
    count = trace.count

    def wrong(module: nn.Module, **how: Any) -> Tally:
        return changed(count(module, **how), CONV, adding(weight=1))

    monkeypatch.setattr(confirmation.trace, "count", wrong)
    right = witnesses.at(CONV).weight
    assert confirm(small).differences == (
        Difference(CONV, "weight", right, right, right + 1, None),
    )


# Reading a difference


def test_a_difference_says_where_what_and_what_each_witness_found() -> None:
    assert str(Difference("stage2.conv", "macs", 3, 4, 5, "9/2")) == (
        "stage2.conv: macs: analytic 3, hooks 4, trace 5, torch 9/2"
    )
    assert str(Difference("stage9.conv", "kind", None, None, "conv", None)) == (
        "stage9.conv: kind: analytic None, hooks None, trace conv, torch None"
    )


def test_a_network_without_a_classifier_or_stages_is_confirmed() -> None:
    bare = own_spec(image(9, 5), Row("Conv1", "conv", kernel=3, stride=2, channels=(4,)))
    assert confirm(network(bare)).agreed
    straight = own_spec(image(4, 4, 8), stage("Stage2", "shufflenet", (8,), stride=1), *head(2))
    assert confirm(network(straight)).agreed


def test_a_network_without_a_single_parameter_is_confirmed() -> None:
    pooled = own_spec(image(9, 5), Row("MaxPool", "max_pool", kernel=3, stride=2))
    found = confirm(network(pooled))
    assert found.agreed
    assert (found.leaves, found.macs, found.params) == (1, 0, 0)
