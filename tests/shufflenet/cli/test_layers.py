"""``bench --layers``: of specs and of modules, beside earlier records, and what it refuses.

No time is looked at but those that are written into a record.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from shufflenet.bench.layers.record_files import layers_json, load_layers
from tests.command import EXAMPLES, ROOT, Outcome, fails, needs_torch, run, run_together
from tests.shufflenet.bench.machines import layer, made_record

TINY = (EXAMPLES / "tiny.toml").read_text()
NET = """
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        print("it is run")
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.attention = nn.MultiheadAttention(2 * width, 2, batch_first=True)
        self.recurrent = nn.LSTM(2 * width, width, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, image):
        image.sub_(0.5)
        x = F.relu(self.stem(image), inplace=True)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        x += self.depthwise(x)
        x = torch.cat((x, -x), dim=1)
        x = F.adaptive_avg_pool2d(x, 2).flatten(2).mT
        x, _ = self.attention(x, x, x)
        x, _ = self.recurrent(x)
        return self.head(x[:, -1])


class Fails(Net):
    def forward(self, image):
        raise ZeroDivisionError("in the middle")


class Late(Net):
    def forward(self, image):
        if image.is_meta:
            return super().forward(image)
        raise ZeroDivisionError("with values alone")


class Often(Net):
    runs = 0

    def forward(self, image):
        if not image.is_meta:
            self.runs += 1
        if self.runs > 2:
            raise ZeroDivisionError("when timed")
        return super().forward(image)


class Chooses(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)

    def forward(self, image):
        x = self.stem(image)
        return x[x > x.mean()] if x.sum().item() < 1e9 else x


class Once(nn.Module):
    def forward(self, x):
        self.runs = getattr(self, "runs", 0) + 1
        assert x.is_meta or self.runs < 4, "too often"
        return x + 1


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Once()

    def forward(self, image):
        return self.layer(image)


class Nowhere(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1, device="meta")

    def forward(self, image):
        return self.stem(image)
"""
WIDTH, SIDE = 8, 16
#: What `Net` multiplies on an image of 32x32, layer by layer.
MACS = {
    "stem": SIDE * SIDE * WIDTH * 3 * 9,
    "depthwise": SIDE * SIDE * WIDTH * 9,
    # four tokens: three projections, the two products of both heads, and one projection
    "attention": 4 * 4 * (2 * WIDTH) ** 2 + 2 * 4 * 4 * 2 * WIDTH,
    "recurrent": 4 * 4 * WIDTH * (2 * WIDTH + WIDTH),
    "head": WIDTH * 10,
}
QUICK = ("--layers", "--repeat", "3", "--size", "32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with networks."""
    made = tmp_path_factory.mktemp("layers")
    (made / "tiny.toml").write_text(TINY)
    (made / "net.py").write_text(NET)
    return made


@pytest.fixture(scope="module")
def shown(folder: Path) -> dict[str, Outcome]:
    """A spec and a module in several formats, and beside earlier records of them."""
    commands = {
        "spec": ("tiny.toml", "--format", "json", "-o", "spec.json"),
        "module": ("net.py:Net:width=8", "--format", "json", "-o", "module.json"),
        "table": ("net.py:Net",),
        "csv": ("net.py:Net", "--format", "csv"),
        "values": ("net.py:Chooses", "--format", "json"),
        "spec again": ("tiny.toml", "--against", "spec.json", "--format", "json"),
    }
    asked = [("bench", *args, *QUICK) for args in commands.values()]
    found = dict(zip(commands, run_together(*asked, cwd=folder), strict=True))
    for outcome in found.values():
        assert outcome.code == 0, outcome.err
    slow, fast = (again(folder / "module.json", factor) for factor in (0, 10**6))
    slow["layers"].pop()
    (folder / "slower.json").write_text(json.dumps(slow))
    (folder / "faster.json").write_text(json.dumps(fast))
    later = {
        "slower": ("net.py:Net:width=8", "--against", "slower.json", "--format", "json"),
        "faster": ("net.py:Net:width=8", "--against", "faster.json"),
        "another": ("net.py:Net:width=8", "--against", "spec.json", "--seed", "7"),
    }
    asked = [("bench", *args, *QUICK) for args in later.values()]
    return found | dict(zip(later, run_together(*asked, cwd=folder), strict=True))


def again(path: Path, factor: int) -> Any:
    """A record whose times are so many times as long, and at least 1 ns."""
    table = json.loads(path.read_text())
    for times in (table["whole"], *table["layers"]):
        for name in ("median_ns", "low_ns", "high_ns", "least_ns"):
            times[name] = max(times[name] * factor, 1)
    return table


def record(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


@needs_torch
def test_the_layers_of_a_spec_are_those_of_its_cost(shown: dict[str, Outcome], folder: Path):
    found = record(folder, "spec.json")
    asked = ("cost", "tiny.toml", "--layers", "--size", "32", "--convention", "macs")
    cost = run(*asked, "--format", "json", cwd=folder).json
    assert [row["path"] for row in found["layers"]] == [row["path"] for row in cost["layers"]]
    assert [row["macs"] for row in found["layers"]] == [row["macs"] for row in cost["layers"]]
    assert found["check"] == {
        "params": cost["params"],
        "counted_macs": sum(row["macs"] for row in cost["layers"]),
        "counted_params": cost["params"],
        "uncounted": {},
    }


@needs_torch
def test_the_layers_of_a_module_are_the_layers_and_functions_that_it_calls(
    shown: dict[str, Outcome], folder: Path
):
    found = record(folder, "module.json")
    layers = found["layers"]
    assert {row["path"]: row["macs"] for row in layers if row["macs"]} == MACS
    assert [(row["path"], row["kind"]) for row in layers] == [
        ("(itself)", "sub"),
        ("stem", "3x3 convolution"),
        ("(itself)", "relu"),
        ("(itself)", "channel shuffle"),
        ("depthwise", "3x3 depthwise"),
        ("(itself)", "add"),
        ("(itself)", "neg"),
        ("(itself)", "concat"),
        ("(itself)", "adaptive avg pool"),
        ("(itself)", "flatten"),
        ("(itself)", "mT"),
        ("attention", "multihead attention"),
        ("recurrent", "lstm"),
        ("(itself)", "getitem"),
        ("head", "FC"),
    ]
    assert found["macs"] == found["check"]["counted_macs"] == sum(MACS.values())
    assert found["check"]["params"] == found["check"]["counted_params"]
    assert found["input"] == [1, 3, 32, 32]
    assert (found["layer_times"], found["against"]) == (1, None)


@needs_torch
def test_a_module_whose_course_depends_on_values_is_timed_with_them(shown: dict[str, Outcome]):
    found = shown["values"].json
    kinds = [row["kind"] for row in found["layers"]]
    assert kinds == ["1x1 convolution", "sum", "item", "mean", "gt", "getitem"]
    assert found["macs"] == found["check"]["counted_macs"] == 32 * 32 * 3 * 8
    assert found["check"]["params"] == found["check"]["counted_params"] == 3 * 8 + 8


@needs_torch
def test_what_a_module_prints_is_not_taken_for_the_result(shown: dict[str, Outcome]):
    assert "it is run" in shown["csv"].err
    rows = list(csv.DictReader(io.StringIO(shown["csv"].out)))
    assert rows[1]["Kind"] == "3x3 convolution"
    assert "it is run" not in shown["table"].out


@needs_torch
def test_the_notes_of_a_module_tell_the_shuffle_and_the_depthwise_layers(
    shown: dict[str, Outcome],
):
    assert re.search(r"^channel shuffle: \S+% of the time for 0\.0% of", shown["table"].out, re.M)
    assert "depthwise convolutions: " in shown["table"].out
    # the count of the whole is that of the layers, so that there is nothing to tell
    assert "together, and" not in shown["table"].out


@needs_torch
def test_every_layer_stands_beside_the_same_of_an_earlier_record(
    shown: dict[str, Outcome], folder: Path
):
    found = shown["slower"].json
    *rest, last = found["layers"]
    before = again(folder / "module.json", 0)["layers"]
    assert {row["before"]["change"] for row in rest} == {"slower"}
    assert [row["before"]["median_ns"] for row in rest] == [row["median_ns"] for row in before[:-1]]
    assert all(row["before"]["ratio"] == row["median_ns"] for row in rest)
    # the last one is not in the record
    assert last["before"] is None
    against = found["against"]
    assert against["added"] == [{"path": "head", "kind": "FC", "number": 0}]
    assert (against["gone"], against["altered"]) == ([], [])
    assert (against["file"], against["whole"]["change"]) == ("slower.json", "slower")
    assert against["differences"] == [
        f"multiply-adds {sum(MACS.values()) - 80:,} -> {found['macs']:,}"
    ]


@needs_torch
def test_a_record_of_a_spec_is_compared_with_itself(shown: dict[str, Outcome]):
    found = shown["spec again"].json
    assert found["against"]["differences"] == []
    assert all(row["before"]["median_ns"] > 0 for row in found["layers"])
    assert found["against"]["added"] == found["against"]["gone"] == []


@needs_torch
def test_a_table_says_what_became_of_every_layer(shown: dict[str, Outcome]):
    out = shown["faster"].out
    assert "Before [us]" in out
    assert len(re.findall(r" faster *$", out, re.M)) == 15
    assert re.search(r"^before: faster\.json, .*, faster; within noise", out, re.M)
    assert "not made alike" not in out


@needs_torch
def test_a_record_of_another_network_is_compared_and_told(shown: dict[str, Outcome]):
    out = shown["another"].out
    assert shown["another"].code == 0
    assert "not made alike: seed 0 -> 7; network tiny.toml -> net.py:Net:width=8" in out
    assert re.search(r"^not in spec\.json: \(itself\) \(sub\), .* and \d+ more$", out, re.M)
    assert "in spec.json alone: " in out


@needs_torch
def test_every_json_key_of_a_record_of_layers_is_documented(shown: dict[str, Outcome]):
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]*)`", text))))
    found = shown["slower"].json
    found["machine"]["versions"].clear()
    assert set(re.findall(r'"([a-z_]+)":', json.dumps(found))) - documented == set()


@needs_torch
def test_a_roofline_is_drawn_of_a_module_and_of_records_old_and_new(
    shown: dict[str, Outcome], folder: Path
):
    pytest.importorskip("matplotlib")
    old = record(folder, "spec.json")
    # as the first records were
    del old["check"], old["against"]
    for row in old["layers"]:
        del row["before"]
    (folder / "old.json").write_text(json.dumps(old))
    outcomes = run_together(
        *(
            ("plot", "roofline", "--record", f"{name}.json", "-o", f"{name}.svg")
            for name in ("module", "old")
        ),
        cwd=folder,
    )
    assert set(outcomes) == {(0, "", "")}
    assert "net.py:Net:width=8 at 32x32" in (folder / "module.svg").read_text()
    assert load_layers(str(folder / "old.json")).check is None


BAD = {
    "own code that fails": (("net.py:Fails",), "net.py:Fails: ZeroDivisionError: in the middle"),
    "own code that fails with values": (("net.py:Late",), "with values alone"),
    "own code that fails when it is timed": (("net.py:Often",), "ZeroDivisionError: when timed"),
    "a layer that cannot be run alone": (
        ("net.py:Remembers",),
        "net.py:Remembers: leaf 'layer' (once) cannot be run alone: too often",
    ),
    "a weight that is nowhere": (
        ("net.py:Nowhere",),
        "net.py:Nowhere: stem.weight is on meta, and layers are timed on the CPU",
    ),
    "an argument that does not fit": (("net.py:Net:height=3",), "height"),
    "an image that does not fit": (("torchvision:vit_b_16", "--size", "32"), "1x3x32x32"),
    "a module that is cut": (("torchvision:alexnet:until=x",), "only a spec's network is cut"),
    "no network": (("nope",), "unknown target 'nope'"),
    "two networks": (("tiny.toml", "net.py:Net"), "those of one NETWORK"),
    "an ONNX file": (("net.onnx",), "an ONNX file is no module"),
    "another option": (("tiny.toml", "--time", "3"), "--time does not go with it"),
    "no record": (("tiny.toml", "--against", "none.json"), "none.json: cannot be read"),
    "a broken record": (("tiny.toml", "--against", "broken.json"), "broken.json: is not JSON"),
    "a record of a network": (
        ("tiny.toml", "--against", "bench.json"),
        "bench.json: is no record of `shufflecost bench --layers`",
    ),
    "a record of nothing": (
        ("tiny.toml", "--against", "empty.json"),
        "empty.json: Object missing required field `layers`",
    ),
    "a newer record": (("tiny.toml", "--against", "newer.json"), "layer_times 2 is no version"),
    "a broken check": (
        ("tiny.toml", "--against", "check.json"),
        "check.params: -1: Expected `int` >= 0",
    ),
}


@needs_torch
def test_bad_input_is_a_line_and_no_layer_is_timed(folder: Path):
    pytest.importorskip("torchvision")
    table = layers_json(made_record(layer("a", "relu", 0, 1, 1)))
    texts = {
        "broken": "{",
        "bench": json.dumps({"bench": 1}),
        "empty": json.dumps({key: value for key, value in table.items() if key != "layers"}),
        "newer": json.dumps(table | {"layer_times": 2}),
        "check": json.dumps(
            table
            | {"check": {"params": -1, "counted_macs": 0, "counted_params": 0, "uncounted": {}}}
        ),
    }
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(text)
    commands = [("bench", *args, "--layers", "-o", "out.txt") for args, _ in BAD.values()]
    outcomes = run_together(*commands, cwd=folder)
    for outcome, (name, (_, quoted)) in zip(outcomes, BAD.items(), strict=True):
        *told, line = outcome.err.splitlines()
        assert (outcome.code, outcome.out) == (2, ""), name
        assert line.startswith("shufflecost: "), name
        assert quoted in line, name
        # before it comes no round, but the traceback of the user's own code
        assert not any("round" in said for said in told), name
        if "own code" not in name:
            assert told in ([], ["it is run"]), name
    assert not (folder / "out.txt").exists()


def test_without_torch_no_layer_can_be_timed():
    outcome = run("bench", "shufflenet", "--layers", torch=False)
    fails(outcome, 2, "timing layers needs torch", "shufflecost[torch]")
