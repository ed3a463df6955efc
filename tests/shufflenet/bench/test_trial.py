"""What a worker does by itself: a network is named, built, and checked before it is timed."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from shufflenet.arch.spec import SpecError
from shufflenet.bench import worker
from shufflenet.bench.latency.training_set import SEEN, UNSEEN, Variant
from shufflenet.bench.plan import plan, subjects
from shufflenet.bench.subjects import module_of, read_subject, tally_of, tree_of
from shufflenet.bench.table8 import TABLE_8, TABLE_8_BASELINE
from shufflenet.bench.timings import Warmth
from shufflenet.bench.trial import Job, Trial, loaded
from shufflenet.runtimes import RUNTIMES
from shufflenet.runtimes.agreement import WrongOutputError, difference
from shufflenet.runtimes.lookup import UnknownRuntimeError, installed, runtime, versions
from shufflenet.targets.resolve import TargetError
from tests.command import needs_torch

SIZE = (224, 224)


@pytest.mark.parametrize(
    ("text", "target", "arguments", "until"),
    [
        ("shufflenet", "shufflenet", {}, ""),
        ("shufflenet:scale=0.5,groups=3", "shufflenet", {"scale": 0.5, "groups": 3}, ""),
        (
            "arch2:widths=132,264,528,stem=12",
            "arch2",
            {"widths": (132, 264, 528), "stem": 12},
            "",
        ),
        ("torchvision:resnet18", "torchvision:resnet18", {}, ""),
        ("torchvision:resnet18:num_classes=10", "torchvision:resnet18", {"num_classes": 10}, ""),
        ("net.py:Net", "net.py:Net", {}, ""),
        ("a/b.toml:groups=2", "a/b.toml", {"groups": 2}, ""),
        ("net.py:Net:name=a:b=c", "net.py:Net", {"name": "a:b=c"}, ""),
        ("vgg16:until=flatten", "vgg16", {}, "flatten"),
    ],
)
def test_a_network_is_a_target_with_arguments_behind_a_colon(
    text: str, target: str, arguments: dict[str, Any], until: str
):
    assert read_subject(f" {text} ") == (text, target, arguments, until)


@pytest.mark.parametrize("text", ["", " ", "shufflenet:groups=1,groups=2"])
def test_a_network_that_cannot_be_read_is_refused(text: str):
    with pytest.raises(TargetError):
        read_subject(text)


def test_the_networks_of_table_8_cost_what_the_paper_says():
    macs = {text: tally_of(read_subject(text), SIZE)[0].macs for text in TABLE_8}
    millions = [round(figure / 1e6) for figure in macs.values()]
    assert millions == [38, 39, 137, 714]
    assert 18 < macs[TABLE_8_BASELINE] / macs["arch2:groups=3,widths=132,264,528,stem=12"] < 19


def test_alexnet_without_its_fc_layers_lacks_their_multiply_adds():
    whole, cut = (
        tally_of(read_subject(TABLE_8_BASELINE + more), SIZE)[0] for more in ("", ":until=flatten")
    )
    assert whole.macs - cut.macs == 4096 * (256 * 6 * 6) + 4096 * 4096 + 4096 * 1000


def test_the_layer_that_a_network_is_cut_at_must_be_one():
    with pytest.raises(TargetError, match=r"until=nope is none of .*flatten, fc6"):
        tally_of(read_subject("alexnet:until=nope"), SIZE)


def test_widths_are_arguments_of_a_spec():
    for widths in ("132,264,528", "(132,264,528)"):
        text = f"arch2:widths={widths},stem=12"
        assert tally_of(read_subject(text), SIZE)[0].macs == 39_467_712
    with pytest.raises(TargetError, match="widths=a does not fit"):
        tally_of(read_subject("arch2:widths=a"), SIZE)


def test_without_a_network_those_of_table_8_are_timed_and_alexnet_without_its_fc_layers():
    names = [subject.text for subject in subjects((), TABLE_8_BASELINE)]
    assert names == [*TABLE_8, f"{TABLE_8_BASELINE}:until=flatten"]


def test_the_baseline_is_timed_with_the_networks_once():
    assert [s.text for s in subjects(("vgg16",), "resnet50")] == ["vgg16", "resnet50"]
    assert [s.text for s in subjects(("vgg16", "resnet50"), "vgg16")] == ["vgg16", "resnet50"]
    cut = "alexnet:groups=1,until=flatten"
    assert [s.text for s in subjects(("alexnet:groups=1",), "vgg16")][-1] == cut
    with pytest.raises(TargetError, match="'vgg16' is named twice"):
        subjects(("vgg16", "vgg16"), "resnet50")


def test_a_plan_has_every_network_in_every_runtime_at_every_size():
    made = plan(subjects(("squeezenet1_1",), TABLE_8_BASELINE), ("one", "two"), [SIZE, (480, 640)])
    assert len(made.cells) == len({(c.network, c.runtime, c.size) for c in made.cells}) == 3 * 2 * 2
    assert made.notes == ()
    assert all(cell.macs > 0 for cell in made.cells)
    with pytest.raises(SpecError):
        plan(subjects(("shufflenet:groups=7",), TABLE_8_BASELINE), ("one",), [SIZE])


def test_a_runtime_is_known_by_its_name():
    assert runtime("eager") is RUNTIMES["eager"]
    with pytest.raises(UnknownRuntimeError, match="unknown runtime 'nope': known are eager"):
        runtime("nope")
    for name in ("nope_at_all:X", "shufflenet.bench:X", "not a module:X"):
        with pytest.raises(UnknownRuntimeError, match=f"runtime '{name}'"):
            runtime(name)


def test_what_is_missing_is_said_by_the_runtime(monkeypatch: pytest.MonkeyPatch):
    gone = RUNTIMES["eager"]._replace(missing=lambda: "gone is not installed")
    monkeypatch.setattr(
        "shufflenet.runtimes.lookup.RUNTIMES", {"eager": RUNTIMES["eager"], "x": gone}
    )
    assert installed(("x",)) == ((), {"x": "gone is not installed"})
    assert installed().absent == {"x": "gone is not installed"}


def test_versions_are_those_of_what_is_installed():
    assert versions()["numpy"] == np.__version__


def test_how_far_an_output_is_off_is_a_share_of_the_largest_value():
    expected = np.array([[1.0, -4.0]])
    assert difference(expected, expected) == 0
    assert difference(np.array([[1.0, -3.0]]), expected) == 0.25
    zeros = np.zeros((1, 2))
    assert difference(zeros, zeros) == 0
    assert difference(zeros + 1e-9, zeros) == 1


def test_another_shape_or_what_is_not_finite_is_wrong():
    expected = np.array([[1.0, 2.0]])
    with pytest.raises(WrongOutputError, match=r"\(2, 1\), and eager's \(1, 2\)"):
        difference(expected.T, expected)
    for found, whose in (
        (np.array([[1.0, np.nan]]), expected),
        (expected, np.array([[1, np.inf]])),
    ):
        with pytest.raises(WrongOutputError, match="not finite"):
            difference(found, whose)


def test_the_first_call_of_a_turn_is_not_told():
    calls = []
    trial = Trial(calls.append, "image", 0.0, 0.0)
    assert len(trial.turn(4).ns) == 4
    assert calls == ["image"] * 5


@pytest.mark.parametrize("variant", [*SEEN, *UNSEEN], ids=lambda variant: variant.name)
def test_the_name_of_a_network_that_a_model_is_held_against_can_be_typed(variant: Variant):
    net = variant.network()
    assert tree_of(read_subject(variant.name)) == (net.tree, net.input)


def test_the_size_of_a_network_is_given_once():
    assert tree_of(read_subject("vgg16"), (64, 32))[1] == (1, 3, 64, 32)
    with pytest.raises(TargetError, match="its size is given twice"):
        tree_of(read_subject("vgg16:size=64x32"), (64, 32))


@needs_torch
def test_the_module_is_in_eval_mode_and_has_the_same_weights_for_a_seed():
    import torch

    subject = read_subject("shallow:scale=0.25,groups=3")
    one, again, other = (module_of(subject, (32, 32), seed) for seed in (0, 0, 1))
    assert not one.training
    first, second, third = (m.state_dict()["conv1.conv.weight"] for m in (one, again, other))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def answers(*requests: dict[str, Any]) -> list[Any]:
    replies = io.StringIO()
    worker.serve([json.dumps(request) for request in requests], replies)
    return [json.loads(line) for line in replies.getvalue().splitlines()]


def asked(tmp_path: Any, **more: Any) -> dict[str, Any]:
    shape = (1, 3, 32, 32)
    job = Job("shallow:scale=0.25,groups=3", "eager", (32, 32), shape, 1, 0, str(tmp_path))
    return {"do": "load", "job": job._replace(**more)._asdict()}


@needs_torch
def test_a_worker_answers_every_request_with_a_line(tmp_path):
    load, warm, time = answers(
        asked(tmp_path), {"do": "warm", "most": 10**6}, {"do": "time", "calls": 3}
    )
    assert load == {"difference": 0.0, "tolerance": 0.0}
    assert Warmth(**warm).runs >= 3
    assert len(time["ns"]) == 3
    assert all(type(ns) is int and ns > 0 for ns in [*time["ns"], time["cpu"]])


@needs_torch
def test_a_wrong_output_is_answered_and_never_timed(tmp_path, monkeypatch: pytest.MonkeyPatch):
    eager = RUNTIMES["eager"]

    def off(*args: Any) -> Any:
        call = eager.load(*args)
        return lambda image: call(image) * 1.5

    wrong = eager._replace(load=off, tolerance=0.1)
    monkeypatch.setattr("shufflenet.runtimes.lookup.RUNTIMES", {"eager": wrong})
    (answer,) = answers(asked(tmp_path))
    assert answer == {
        "wrong": "the output differs from eager's by 5.0e-01 of its largest value, and 1.0e-01 is"
        " allowed"
    }
    monkeypatch.setattr(
        "shufflenet.runtimes.lookup.RUNTIMES", {"eager": wrong._replace(tolerance=0.6)}
    )
    assert loaded(Job(**asked(tmp_path)["job"])).difference == pytest.approx(0.5, abs=1e-6)


@needs_torch
def test_an_output_that_is_no_tensor_is_answered(tmp_path):
    code = "from torch import nn\nclass Pair(nn.Module):\n    def forward(self, x): return x, x"
    (tmp_path / "pair.py").write_text(code)
    (answer,) = answers(asked(tmp_path, network=f"{tmp_path / 'pair.py'}:Pair"))
    assert answer == {"wrong": "the output is of type tuple, not one tensor"}


def test_what_is_no_request_is_refused():
    with pytest.raises(ValueError, match="time before load"):
        answers({"do": "time", "calls": 1})
