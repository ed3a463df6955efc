"""The leaves of a built network are timed as it does them: by what it may write on, and quickly."""

from __future__ import annotations

import pytest

from flopcount.entries import Shape
from flopcount.layers import (
    Act,
    Branches,
    Chain,
    Conv,
    Identity,
    Layer,
    Norm,
    Pool,
    Shuffle,
    cost,
    leaves,
)
from shufflenet.arch.network import network
from shufflenet.arch.spec_reader import bundled, load
from shufflenet.bench.layers.time_layers import tree_leaves
from shufflenet.cost.leaf_kinds import Task, places

torch = pytest.importorskip("torch")

from shufflenet.bench.layers import spec_leaves  # noqa: E402


def tasks_by_path(tree: Layer, shape: Shape) -> dict[str, Task]:
    found = places(tree, cost.count(tree, shape, memory=False))
    own = spec_leaves.tasks_of(tree, shape, found)
    return {place.entry.path: task for place, task in zip(found, own, strict=True)}


UNIT = Branches(
    (
        ("shortcut", Chain((("pool", Pool("avg", 3, 1, 1)), ("act", Act("relu"))))),
        ("residual", Chain((("act", Act("relu")), ("shuffle", Shuffle(2)), ("last", Act("relu"))))),
        ("same", Identity()),
    ),
    "add",
)
TREE = Chain(
    (
        ("first", Act("relu")),
        ("conv", Conv(8, 16)),
        ("norm", Norm(16)),
        ("act", Act("relu")),
        ("unit", UNIT),
        ("behind", Act("relu")),
    )
)


def test_a_leaf_holds_its_input_alone_unless_the_user_or_another_branch_does_too():
    held = {path: task.held for path, task in tasks_by_path(TREE, Shape(1, 8, 6, 6)).items()}
    assert held == {
        # the image is the user's
        "first": (False,),
        "conv": (True,),
        "norm": (True,),
        "act": (True,),
        # what the unit reads, its branches share
        "unit.shortcut.pool": (False,),
        "unit.shortcut.act": (True,),
        "unit.residual.act": (False,),
        "unit.residual.shuffle": (True,),
        "unit.residual.last": (True,),
        "unit.same": (False,),
        "unit.add": (True, True, False),
        "behind": (True,),
    }


@pytest.mark.parametrize("name", sorted(bundled()))
def test_every_leaf_of_every_network_is_a_task(name: str):
    net = network(load(name), size=(64, 64) if name != "alexnet" else None)
    found = tasks_by_path(net.tree, net.input)
    assert {
        path: task.work.doer for path, task in found.items() if path in dict(leaves(net.tree))
    } == (dict(leaves(net.tree)))
    assert all(len(task.held) == len(task.work.inputs) for task in found.values())


def test_a_call_does_what_the_leaf_does_and_its_input_stays_within_bounds_however_often():
    found = tasks_by_path(TREE, Shape(1, 8, 6, 6))
    with torch.inference_mode():
        calls = spec_leaves.calls_of(list(found.values()))
        for _ in range(200):
            for call in calls:
                call.prepare()
                out, _ = call.run()
                assert out.isfinite().all()
                assert out.max() <= 1e3


def test_a_call_writes_on_its_input_only_where_the_network_does():
    with torch.inference_mode():
        for path, task in tasks_by_path(TREE, Shape(1, 8, 6, 6)).items():
            module = spec_leaves.module_of(task.work)
            inputs = [torch.randn(tuple(shape)) for shape in task.work.inputs]
            given = [x.clone() for x in inputs]
            expected = module(*inputs)
            out, _ = spec_leaves.doing(task, module, given)()
            assert torch.allclose(out, expected, atol=1e-6), path
            for x, before, own in zip(given, inputs, task.held, strict=True):
                assert own or torch.equal(x, before), path


def test_a_whole_network_runs_the_quick_way_when_it_is_timed(monkeypatch: pytest.MonkeyPatch):
    from shufflenet.nn import modules

    ran: list[int] = []
    known = modules.in_order
    monkeypatch.setattr(modules, "in_order", lambda *given: (ran.append(1), known(*given))[1])
    call = spec_leaves.whole_call(TREE, Shape(1, 8, 6, 6))
    with torch.inference_mode():
        call.prepare()
        call.run()
    assert ran == [1]


def output(seed: int) -> torch.Tensor:
    """What a network that is timed makes of its image."""
    whole = tree_leaves(TREE, Shape(1, 8, 6, 6), "made up", seed).whole
    with torch.inference_mode():
        whole.prepare()
        found: torch.Tensor = whole.run()
    return found


def test_a_network_that_is_timed_is_drawn_from_the_seed():
    same, again, other = output(3), output(3), output(4)
    assert torch.equal(same, again)
    assert not torch.equal(same, other)
