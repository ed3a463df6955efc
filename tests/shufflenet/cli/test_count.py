"""``shufflecost count``: specs, modules and ONNX files, their breakdowns, and limits for CI."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.command import EXAMPLES, Outcome, cells, fails, needs_torch, ran, run, run_together

TINY = str(EXAMPLES / "tiny.toml")
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, bias=False), nn.BatchNorm2d(width))
        self.head = nn.Linear(width, 5)
        self.spare = nn.Linear(2, 3)

    def forward(self, x):
        return self.head(self.stem(x).mean((2, 3)))

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, words, factor):
        return self.head(self.table(words)) * factor

class Choosing(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x) if x.sum() > 0 else self.head(self.head.weight)

class Frozen(nn.Linear):
    def __init__(self):
        super().__init__(4, 3)
        self.requires_grad_(False)

class Broken(nn.Linear):
    def forward(self, x):
        raise ZeroDivisionError("of one's own")

class Piped(nn.Linear):
    def forward(self, x):
        raise BrokenPipeError(32, "of one's own")

class Leaving(nn.Linear):
    def forward(self, x):
        raise SystemExit(0)

class Loud(Net):
    def __init__(self):
        print("while it is built")
        super().__init__()

    def forward(self, x):
        print("while it runs")
        return super().forward(x)

class Drawn(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1, 1, bias=False)

    def forward(self, x):
        return self.head(x.flatten()[: int(1_000_000 * x.sum()) % 100_003, None])
"""
NET = 6 * 6 * 8 * 27 + 8 * 5
KEYS = [
    "schema",
    "target",
    "source",
    "inputs",
    "execution",
    "backward",
    "convention",
    "unit",
    "macs",
    "params",
    "trainable_params",
    "tied_params",
    "uncalled_params",
    "param_bytes",
    "activations",
    "peak_activation_bytes",
    "bytes_moved",
    "batch",
    "uncounted",
    "coverage",
    "uncalled",
    "gates",
    "notes",
    "modules",
    "kinds",
    "operators",
]
LARGE = "x".join(["999999999"] * 4)
NET_AT = ("net.py:Net", "--input", "1x3x8x8")
MODULES: dict[str, tuple[str, ...]] = {
    "own": (*NET_AT, "--format", "json"),
    "wide": (*NET_AT, "--arg", "width=16", "--format", "json"),
    "trained": (*NET_AT, "--backward", "--format", "json"),
    "batch": ("net:Net", "--input", "4x3x8x8", "--format", "json"),
    "table": NET_AT,
    "depth 1": (*NET_AT, "--depth", "1", "--format", "csv"),
    "deep": (*NET_AT, "--depth", "9", "--format", "csv"),
    "kinds": (*NET_AT, "--by", "kind", "--format", "csv"),
    "operators": (*NET_AT, "--by", "operator", "--format", "csv"),
    "paper": (*NET_AT, "--convention", "shufflenet-paper", "--format", "json"),
    "flops": (*NET_AT, "--convention", "torch", "--format", "json"),
    "file": (*NET_AT, "--convention", "own.toml", "--format", "json"),
    "words": ("net:Words", "--input", "2x7:int64", "--input", "1", "--format", "json"),
    "frozen": ("net:Frozen", "--input", "1x4", "--format", "json"),
    "real": ("net:Choosing", "--input", "3x4", "--execution", "real", "--format", "json"),
    "limits": (*NET_AT, "--max-macs", "1k", "--max-params", "300", "--max-memory", "1KiB"),
    "within": (*NET_AT, "--max-macs", "1M", "--max-params", "1k", "--max-memory", "1MiB"),
    "exactly": (*NET_AT, "--max-macs", str(NET), "--max-params", "286"),
    "one over": (*NET_AT, "--max-macs", str(NET - 1), "--format", "json"),
    "strict": (*NET_AT, "--strict"),
    "loud": ("net.py:Loud", "--input", "1x3x8x8", "--format", "json"),
    "drawn": ("net.py:Drawn", "--input", "200000", "--execution", "real", "--format", "json"),
    "again": ("net.py:Drawn", "--input", "200000", "--execution", "real", "--format", "json"),
    "trained, thop": (*NET_AT, "--backward", "--convention", "thop", "--format", "json"),
    "trained, table": (*NET_AT, "--backward", "--convention", "thop"),
    "unfit": ("net.py:Net", "--input", "1x4x8x8"),
    "unfit, real": ("net.py:Net", "--input", "1x4x8x8", "--execution", "real"),
    "one too many": (*NET_AT, "--input", "1"),
    "too large": ("net.py:Net", "--input", LARGE),
    "too large for torchvision": ("torchvision:squeezenet1_1", "--input", LARGE),
    "unpriced": ("net.py:Net", "--input", "1x3x8x8", "--convention", "strict.toml"),
    "weights": ("torchvision:squeezenet1_1", "--arg", "weights=DEFAULT"),
    "no input": ("net.py:Net",),
    "no values": ("net:Choosing", "--input", "3x4"),
    "no argument": (*NET_AT, "--arg", "wide=3"),
    "torchvision": ("torchvision:squeezenet1_1", "--format", "json"),
    "torchvision, small": ("torchvision:squeezenet1_1", "--input", "1x3x64x64"),
    "torchvision, unfit": ("torchvision:squeezenet1_1", "--input", "1x1x64x64"),
    "torchvision, unknown": ("torchvision:squeezenet1_2",),
    "torchvision, bad": ("torchvision:squeezenet1_1", "--arg", "wide=3"),
    "spec": ("shufflenet", "--input", "2x3x96x96", "--format", "json"),
}
CONVENTION = 'name = "double"\nsays = "two for each"\nsource = "a test"\nunit = "flops"\n'
CONVENTION += 'free = ["rest"]\n[prices]\nconv = { macs = 2 }\nlinear = { macs = 2 }\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own")
    (path / "net.py").write_text(CODE)
    (path / "own.toml").write_text(CONVENTION)
    (path / "strict.toml").write_text(CONVENTION.replace('free = ["rest"]', 'free = ["relu"]'))
    return path


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Outcome]:
    """What every command on a module leaves; in one process, as loading torch takes long."""
    pytest.importorskip("torchvision")
    commands = [("count", *args) for args in MODULES.values()]
    left = run_together(*commands, cwd=folder, env={"PYTHONDONTWRITEBYTECODE": "1"})
    return dict(zip(MODULES, left, strict=True))


@cache
def spec(*args: str) -> Any:
    return ran("count", *args, "--format", "json").json


def rows(outcome: Outcome) -> list[dict[str, str]]:
    assert outcome.code == 0, outcome.err
    return list(csv.DictReader(io.StringIO(outcome.out)))


def test_a_spec_costs_what_cost_says():
    known = ran("cost", "shufflenet", "--convention", "macs", "--format", "json").json
    figures = spec("shufflenet")
    for key in ("macs", "params", "param_bytes", "activations", "bytes_moved"):
        assert figures[key] == known[key]
    assert figures["peak_activation_bytes"] == known["peak_activation_bytes"]
    assert (figures["source"], figures["convention"]) == ("spec", "macs")
    assert figures["inputs"] == [{"shape": [1, 3, 224, 224], "dtype": None}]


def test_arguments_of_a_spec_choose_its_column_and_scale():
    figures = spec("shufflenet", "--arg", "groups=8", "--arg", "scale=0.5")
    known = ("cost", "shufflenet", "--groups", "8", "--scale", "0.5", "--format", "json")
    assert figures["params"] == ran(*known).json["params"]


def test_the_json_object_has_its_keys_in_their_order():
    figures = spec(TINY)
    assert list(figures) == KEYS
    for key in ("macs", "params", "activations", "bytes_moved", "batch"):
        assert type(figures[key]) is int


@pytest.mark.parametrize("by", ["kinds", "operators"])
def test_kinds_and_operators_add_up_to_the_whole(by: str):
    figures = spec("shufflenet")
    for key in ("macs", "params", "activations"):
        assert sum(part[key] for part in figures[by]) == figures[key]


def test_modules_add_up_to_the_whole_by_their_own_and_by_the_highest():
    figures = spec("shufflenet")
    assert sum(part["own_macs"] for part in figures["modules"]) == figures["macs"]
    highest = [part for part in figures["modules"] if "." not in part["path"]]
    for key in ("macs", "params", "activations"):
        assert sum(part[key] for part in highest) == figures[key]


def test_the_table_ends_with_the_whole():
    (total,) = [line for line in ran("count", TINY).out.splitlines() if "Total" in line]
    figures = spec(TINY)
    macs, params, made = (f"{figures[key]:,}" for key in ("macs", "params", "activations"))
    assert cells(total) == ["Total", macs, "100.0%", params, made]


def test_a_page_of_modules_is_shown_and_depth_shows_more_or_less():
    page, one, all_of_it = (
        rows(ran("count", "shufflenet", *depth, "--format", "csv"))
        for depth in ((), ("--depth", "1"), ("--depth", "9"))
    )
    assert len(one) < len(page) <= 41 < len(all_of_it)
    assert one[0]["Module"] == "conv1"


def test_without_torch_a_spec_is_counted_and_a_module_is_refused_in_one_line():
    assert run("count", TINY, torch=False) == ran("count", TINY)
    fails(run("count", "net.py:Net", torch=False), 2, "net.py:Net", "shufflecost[torch]")


@pytest.mark.parametrize(
    ("args", "quoted"),
    [
        (("nope",), ("'nope'", "torchvision:NAME")),
        (("weights.pth",), ("weights.pth", "runs code")),
        (("shufflenet", "--input", "1x3"), ("1x3", "1x3x224x224")),
        (("shufflenet", "--input", "1x3x8x8:int64"), ("1x3x8x8:int64",)),
        (("shufflenet", "--input", "big"), ("'big'", "1x3x224x224")),
        (("shufflenet", "--input", "1x3:int65"), ("'int65'", "int64")),
        (("shufflenet", "--arg", "groups"), ("'groups'", "key=value")),
        (("shufflenet", "--backward"), ("shufflenet", "module")),
        (("shufflenet", "--convention", "nope"), ("'nope'", "macs")),
        (("shufflenet", "--convention", "absent.toml"), ("absent.toml",)),
        (("shufflenet", "--depth", "0"), ("--depth",)),
        (("shufflenet", "--by", "layer"), ("'layer'",)),
        (("shufflenet", "--by", "kind", "--depth", "1"), ("--depth", "--by kind")),
        (("shufflenet", "--max-macs", "2X"), ("'2X'",)),
        (("shufflenet", "--max-memory", "8Mib"), ("'Mib'", "MiB")),
    ],
)
def test_bad_input_is_one_line_that_quotes_it(args: tuple[str, ...], quoted: tuple[str, ...]):
    fails(run("count", *args), 2, *quoted)


def test_a_limit_that_is_broken_says_by_how_much_and_the_table_is_there():
    outcome = run("count", "shufflenet", "--max-macs", "100M", "--max-params", "5M",
                  "--max-memory", "2MiB")  # fmt: skip
    figures = spec("shufflenet")
    over, peak = figures["macs"] - 100_000_000, figures["peak_activation_bytes"] - 2 * 2**20
    assert outcome.code == 1
    assert outcome.out == ran("count", "shufflenet").out
    first, second = outcome.err.splitlines()
    assert first.startswith("shufflecost: shufflenet: ")
    assert f"{over:,} above --max-macs 100,000,000" in first
    assert f"{peak:,} above --max-memory 2,097,152" in second


@needs_torch
def test_a_module_of_ones_own_is_counted_by_what_ran(outcomes: dict[str, Outcome]):
    figures = outcomes["own"].json
    assert (figures["macs"], figures["source"], figures["batch"]) == (NET, "module", 1)
    assert figures["params"] == 8 * 27 + 16 + 45 + 9
    assert (figures["uncalled"], figures["uncalled_params"]) == (["spare"], 9)
    assert figures["uncounted"] == {}
    wide = outcomes["wide"].json
    assert wide["macs"] == 6 * 6 * 16 * 27 + 16 * 5
    assert outcomes["batch"].json["macs"] == 4 * NET


@needs_torch
def test_training_costs_the_gradients_too(outcomes: dict[str, Outcome]):
    trained = outcomes["trained"].json
    assert trained["backward"] is True
    # the image needs no gradient
    assert trained["macs"] == 2 * 6 * 6 * 8 * 27 + 3 * 8 * 5


@needs_torch
def test_the_table_of_a_module_says_all_that_is_to_be_said(outcomes: dict[str, Outcome]):
    text = outcomes["table"].out
    assert "input 1x3x8x8" in text
    assert "not called: spare; 9 parameters" in text
    (stem,) = [line for line in text.splitlines() if line.startswith("stem ")]
    share = f"{(6 * 6 * 8 * 27 * 1000 * 2 + NET) // (2 * NET) / 10}%"
    assert cells(stem)[:5] == ["stem", "Sequential", "1", f"{6 * 6 * 8 * 27:,}", share]


@needs_torch
def test_depth_and_by_choose_the_rows(outcomes: dict[str, Outcome]):
    names = [row["Module"] for row in rows(outcomes["depth 1"])]
    assert [name for name in names if "." in name] == []
    assert {"stem.0", "stem.1"} <= {row["Module"] for row in rows(outcomes["deep"])}
    for by, column in (("kinds", "Kind"), ("operators", "Operator")):
        found = {row[column]: row["Multiply-adds [MAC]"] for row in rows(outcomes[by])}
        assert found["linear"] == str(8 * 5)
        assert found["Total"] == str(NET)


@needs_torch
def test_any_convention_prices_it_and_one_of_ones_own_too(outcomes: dict[str, Outcome]):
    assert outcomes["paper"].json["macs"] == 6 * 6 * 8 * 27
    assert outcomes["flops"].json["macs"] == 2 * NET
    own = outcomes["file"].json
    assert (own["macs"], own["convention"]) == (2 * NET, "double")


@needs_torch
def test_inputs_may_be_several_and_of_any_type(outcomes: dict[str, Outcome]):
    figures = outcomes["words"].json
    assert figures["macs"] == 2 * 7 * 4 * 3
    assert figures["inputs"] == [
        {"shape": [2, 7], "dtype": "int64"},
        {"shape": [1], "dtype": None},
    ]


@needs_torch
def test_frozen_parameters_are_not_trainable(outcomes: dict[str, Outcome]):
    figures = outcomes["frozen"].json
    assert (figures["params"], figures["trainable_params"]) == (15, 0)


@needs_torch
def test_what_needs_values_is_refused_and_counted_with_them(outcomes: dict[str, Outcome]):
    fails(outcomes["no values"], 2, "net:Choosing", "needs values", "real")
    assert outcomes["real"].json["macs"] == 3 * 4 * 3


@needs_torch
def test_limits_hold_up_to_the_last_one(outcomes: dict[str, Outcome]):
    broken = outcomes["limits"]
    assert broken.code == 1
    assert [line.split()[-2] for line in broken.err.splitlines()] == [
        "--max-macs",
        "--max-memory",
    ]
    for name in ("within", "exactly"):
        assert (outcomes[name].code, outcomes[name].err) == (0, "")
    over = outcomes["one over"]
    assert (over.code, json.loads(over.out)["gates"]) == (
        1,
        [{"option": "--max-macs", "limit": NET - 1, "figure": NET, "broken": True}],
    )
    assert f"{NET:,} multiply-adds are 1 above" in over.err


@needs_torch
def test_strict_is_kept_where_everything_is_counted(outcomes: dict[str, Outcome]):
    assert outcomes["strict"] == outcomes["table"]


@needs_torch
def test_bad_input_to_a_module_is_one_line(outcomes: dict[str, Outcome]):
    fails(outcomes["no input"], 2, "net.py:Net", "1x3x224x224")
    fails(outcomes["no argument"], 2, "net.py:Net(width=8)", "'wide'")


@needs_torch
def test_a_model_of_torchvision_has_its_usual_input(outcomes: dict[str, Outcome]):
    figures = outcomes["torchvision"].json
    assert figures["inputs"][0]["shape"] == [1, 3, 224, 224]
    assert (figures["params"], figures["uncounted"]) == (1_235_496, {})
    assert "input 1x3x64x64" in outcomes["torchvision, small"].out
    fails(outcomes["torchvision, unfit"], 2, "squeezenet1_1", "1x1x64x64")
    fails(outcomes["torchvision, unknown"], 2, "'squeezenet1_2'", "squeezenet1_1")
    fails(outcomes["torchvision, bad"], 2, "'wide'")


def test_a_spec_takes_another_image_and_a_batch():
    figures = spec("shufflenet", "--input", "2x3x96x96")
    (one,) = (spec("shufflenet", "--input", "1x3x96x96"),)
    assert (figures["batch"], figures["macs"]) == (2, 2 * one["macs"])
    known = ("cost", "shufflenet", "--size", "96", "--convention", "macs", "--format", "json")
    assert one["macs"] == ran(*known).json["macs"]


@needs_torch
def test_an_error_of_own_code_is_its_traceback_and_one_line(folder: Path):
    sizes = ("--arg", "in_features=1", "--arg", "out_features=1", "--input", "1")
    errors = {
        "Broken": "ZeroDivisionError: of one's own",
        "Piped": "BrokenPipeError: [Errno 32] of one's own",
        "Leaving": "SystemExit: 0",
    }
    found = run_together(*(("count", f"net.py:{name}", *sizes) for name in errors), cwd=folder)
    for (name, line), outcome in zip(errors.items(), found, strict=True):
        assert (outcome.code, outcome.out) == (2, "")
        first, frame, *_, last = outcome.err.splitlines()
        assert first.startswith("Traceback")
        assert "net.py" in frame
        assert last == f"shufflecost: net.py:{name}: {line}"


@needs_torch
def test_what_own_code_prints_is_not_in_the_result(outcomes: dict[str, Outcome]):
    loud = outcomes["loud"]
    assert loud.json["macs"] == NET
    assert "while it is built\n" in loud.err
    assert "while it runs\n" in loud.err


@needs_torch
def test_values_are_drawn_alike_every_time(outcomes: dict[str, Outcome]):
    assert outcomes["drawn"].json["execution"] == "real"
    assert outcomes["drawn"] == outcomes["again"]


@needs_torch
def test_a_convention_without_backward_prices_says_so(outcomes: dict[str, Outcome]):
    note = "thop prices no backward pass: the figure is of the forward pass alone"
    assert outcomes["trained, thop"].json["notes"] == [note]
    assert note in outcomes["trained, table"].out
    assert outcomes["trained"].json["notes"] == outcomes["paper"].json["notes"] == []


@needs_torch
def test_an_input_that_does_not_fit_own_code_is_one_line(outcomes: dict[str, Outcome]):
    for name in ("unfit", "unfit, real"):
        fails(outcomes[name], 2, "net.py:Net", "1x4x8x8", "does not fit", "net.py, line")
    fails(outcomes["one too many"], 2, "net.py:Net", "1x3x8x8 1", "does not fit")
    fails(outcomes["too large"], 2, "net.py:Net", "999999999x")
    fails(outcomes["too large for torchvision"], 2, "squeezenet1_1", "999999999x")


@needs_torch
def test_what_cannot_be_priced_names_the_target(outcomes: dict[str, Outcome]):
    fails(outcomes["unpriced"], 2, "net.py:Net", "double", "'batch_norm'")
    fails(outcomes["weights"], 2, "squeezenet1_1", "weights=DEFAULT")


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What commands on ONNX files leave."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper

    path = tmp_path_factory.mktemp("graphs")
    weight = helper.make_tensor("fc.weight", 1, (6, 4), [0.5] * 24)
    ends = [helper.make_tensor_value_info("x", 1, ("n", 6))]
    ends.append(helper.make_tensor_value_info("y", 1, None))
    nodes = [helper.make_node("MatMul", ["x", "fc.weight"], ["h"])]
    for name, last in (("net", ("Relu", "")), ("strange", ("Strange", "own"))):
        node = helper.make_node(last[0], ["h"], ["y"], domain=last[1])
        graph = helper.make_graph([*nodes, node], "g", ends[:1], ends[1:], [weight])
        sets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
        onnx.save(helper.make_model(graph, opset_imports=sets), path / f"{name}.onnx")
    (path / "bad.onnx").write_bytes(b"not a graph")
    at = ("--input", "3x6")
    return run_together(
        ("count", "net.onnx", *at, "--format", "json"),
        ("count", "net.onnx"),
        ("count", "net.onnx", "--input", "3x7"),
        ("count", "bad.onnx"),
        ("count", "absent.onnx"),
        ("count", "strange.onnx", *at),
        ("count", "strange.onnx", *at, "--strict", "--max-memory", "1MiB"),
        ("count", "net.onnx", *at, "--backward"),
        ("count", "strange.onnx", *at, "--max-macs", "72", "--max-params", "24"),
        ("count", "strange.onnx", *at, "--max-macs", "71", "--format", "json"),
        ("count", "strange.onnx", *at, "--max-macs", "1k", "--format", "json"),
        cwd=path,
    )


def test_an_onnx_file_is_counted_from_its_graph(graphs: list[Outcome]):
    figures = graphs[0].json
    assert (figures["macs"], figures["params"], figures["source"]) == (3 * 6 * 4, 24, "onnx")
    assert figures["modules"][0]["path"] == "fc"


def test_what_is_wrong_with_an_onnx_file_is_one_line(graphs: list[Outcome]):
    fails(graphs[1], 2, "net.onnx", "'x'", "nx6")
    fails(graphs[2], 2, "net.onnx", "'x'", "6", "7")
    fails(graphs[3], 2, "bad.onnx", "not an ONNX file")
    fails(graphs[4], 2, "absent.onnx", "No such file")
    fails(graphs[7], 2, "net.onnx", "module")


def test_what_is_uncounted_is_said_and_strict_refuses_it(graphs: list[Outcome]):
    loose, strict = graphs[5:7]
    assert (loose.code, loose.err) == (0, "")
    assert "uncounted, and in no figure: own.Strange (1); 50.0% of what ran is counted" in loose.out
    assert (strict.code, strict.out) == (1, loose.out)
    first, second = strict.err.splitlines()
    assert "cannot be told, so --max-memory 1,048,576 is not kept" in first
    assert "strange.onnx: uncounted: own.Strange (1)" in second


def test_a_cost_that_is_not_all_known_keeps_no_limit(graphs: list[Outcome]):
    table, above, within = graphs[8:11]
    assert [outcome.code for outcome in (table, above, within)] == [1, 1, 1]
    (line,) = table.err.splitlines()
    assert "multiply-adds cannot be told, so --max-macs 72 is not kept" in line
    assert f"{3 * 6 * 4} multiply-adds are 1 above --max-macs 71" in above.err
    for outcome, figure in ((above, 3 * 6 * 4), (within, None)):
        figures = json.loads(outcome.out)
        (gate,) = figures["gates"]
        assert (gate["figure"], gate["broken"]) == (figure, True)
        assert figures["coverage"] == 1 / 2
