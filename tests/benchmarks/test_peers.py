"""The real tools, each in a process of its own: our totals are theirs, to the unit.

Skipped unless SHUFFLECOST_PEERS names a folder that ``benchmarks/peers/install.py`` filled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.command import ROOT

PEERS = os.environ.get("SHUFFLECOST_PEERS")
if not PEERS:
    pytest.skip("SHUFFLECOST_PEERS names no folder of tools", allow_module_level=True)

import torchvision  # noqa: E402 - not installed where the tools are not

from flopcount import Tally, price  # noqa: E402
from flopcount.conventions.pricing import UnpricedKindError  # noqa: E402
from flopcount.counters.trace import count  # noqa: E402

SCRIPTS = ROOT / "benchmarks" / "peers"
sys.path.insert(0, str(SCRIPTS))

from run import TOOLS, build  # noqa: E402
from samples import SAMPLES  # noqa: E402

#: Every tool, and the convention that says what it counts.
CONVENTION = {name: name for name in TOOLS} | {
    "calflops-flops": "deepspeed-flops",
    "calflops-macs": "deepspeed-macs",
}
MODELS = (
    *("alexnet", "vgg11", "resnet18", "resnet50", "resnext50_32x4d", "mobilenet_v2"),
    *("mobilenet_v3_small", "shufflenet_v2_x1_0", "squeezenet1_1", "googlenet", "densenet121"),
    *("efficientnet_b0", "mnasnet0_5", "regnet_y_400mf", "convnext_tiny", "inception_v3"),
    *("vit_b_16", "swin_t", "swin_v2_t"),
)
BATCHED = ("resnet18", "mobilenet_v2", "googlenet", "convnext_tiny", "vit_b_16", "swin_t")

_FUSED = "on the CPU it has no formula for the fused kernel of attention; on meta it counts it"
_SIZES = "counts one for each product of two sizes that the trace records"
_NO_ATTENTION = "knows no scaled dot product attention"
_AT = "does not see x @ y, which calls neither torch.matmul nor Tensor.matmul"
_COMPUTED = "sees a bias that is computed, and no parameter"
_STRIDED = "sees no bias where the input is not contiguous, for torch then adds it by itself"

#: Where a tool is not consistent with itself: (tool, model) or (tool, model, batch), and why.
EXCEPTIONS = {
    ("torch", "vit_b_16"): _FUSED,
    ("torchprofile", "vit_b_16"): _SIZES,
    ("torchprofile", "swin_t"): _SIZES,
    ("torchprofile", "swin_v2_t"): _SIZES,
    ("calflops-flops", "vit_b_16"): _NO_ATTENTION,
    ("calflops-macs", "vit_b_16"): _NO_ATTENTION,
    ("calflops-flops", "swin_v2_t"): _AT,
    ("calflops-macs", "swin_v2_t"): _AT,
    ("ptflops", "swin_v2_t"): _AT,
    ("ptflops-aten", "swin_v2_t"): _COMPUTED,
    ("ptflops-aten", "vit_b_16", 2): _STRIDED,
}

_SAME = "takes a padding that is a word for another operator, without a rule"
_TORCH_ADD = "counts torch.add and torch.mul, and neither + nor *"
_DIGITS = "reads four digits of what NumPy prints for an einsum"
_TWICE = "counts a module once for each of its parents"
_SEQUENCE = "takes the features of a sequence for its steps"
_PADDING = "counts the padding under an average that includes it"
_ROWS = "softmax along another axis than the last has other rows"
_BIASES = "counts three of the four biases of a gated unit"
_ONCE = "adds a bias once, so that half of an odd one is left for each of two samples"
_FIRST = "counts the first sample, and divides by the batch all the same"

#: The same for the samples.
SAMPLE_EXCEPTIONS = {
    ("fvcore", "conv_same"): _SAME,
    ("torchprofile", "conv_same"): _SAME,
    ("torchprofile", "deconv_groups"): "multiplies by the groups",
    ("thop-ultralytics", "avg_pool_padded"): _PADDING,
    ("thop", "softmax_channels"): _ROWS,
    ("thop-ultralytics", "softmax_channels"): _ROWS,
    ("ptflops", "torch_add"): _TORCH_ADD,
    ("ptflops", "torch_mul"): _TORCH_ADD,
    ("deepspeed-flops", "torch_add"): _TORCH_ADD,
    ("deepspeed-flops", "torch_mul"): _TORCH_ADD,
    ("ptflops", "at"): _AT,
    ("deepspeed-flops", "einsum"): _DIGITS,
    ("fvcore", "einsum", 2): _DIGITS,
    ("torch", "attention"): _FUSED,
    ("torch", "heads"): _FUSED,
    ("ptflops-aten", "heads"): _STRIDED,
    ("torchprofile", "heads"): _SIZES,
    ("torch-pruning", "lstm"): _SEQUENCE,
    ("torch-pruning", "gru"): _SEQUENCE,
    ("ptflops-aten", "gru"): _BIASES,
    ("ptflops", "shared"): _TWICE,
    ("thop", "shared"): _TWICE,
    ("torch-pruning", "shared"): _TWICE,
    ("torch-pruning", "linear_4d", 2): _ONCE,
    ("ptflops", "upsample", 2): _FIRST,
    ("torch-pruning", "upsample", 2): _FIRST,
}


def shape(model: str, batch: int) -> list[int]:
    if model.startswith("sample:"):
        return [batch, 6, 8, 8]
    size = 299 if model == "inception_v3" else 224
    return [batch, 3, size, size]


CASES = (
    *((model, 1) for model in MODELS),
    *((model, 2) for model in BATCHED),
    *((f"sample:{name}", batch) for name in SAMPLES for batch in (1, 2)),
)


@cache
def answers(tool: str) -> dict[tuple[str, int], object]:
    """What a tool counts in every case: a number, or the error that it ended in."""
    folder = Path(str(PEERS)) / TOOLS[tool][0]
    # calflops leaves torch patched once it has failed, as it does where there are no parameters.
    cases = [case for case in CASES if "calflops" not in tool or not is_sample(case[0])]
    requests = [{"model": model, "shape": shape(model, batch)} for model, batch in cases]
    outcome = subprocess.run(
        [sys.executable, str(SCRIPTS / "run.py"), tool],
        input="\n".join(map(json.dumps, requests)),
        env={**os.environ, "PYTHONPATH": str(folder) if TOOLS[tool][0] else ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    said = [json.loads(line) for line in outcome.stdout.splitlines()]
    return {
        case: answer.get("total", answer.get("error"))
        for case, answer in zip(cases, said, strict=True)
    }


def is_sample(model: str) -> bool:
    return model.startswith("sample:")


@cache
def counted(model: str, batch: int) -> Tally:
    return count(build(model, "cpu"), shape=tuple(shape(model, batch)))


def reason(tool: str, model: str, batch: int) -> str | None:
    """Why a tool's total is not ours, where it is listed."""
    listed = SAMPLE_EXCEPTIONS if is_sample(model) else EXCEPTIONS
    name = model.removeprefix("sample:")
    return listed.get((tool, name)) or listed.get((tool, name, batch))


@pytest.fixture(params=[tool for tool in TOOLS if tool not in ("shufflecost", "forward")])
def tool(request: pytest.FixtureRequest) -> str:
    folder = TOOLS[request.param][0]
    if folder and not (Path(str(PEERS)) / folder).is_dir():
        pytest.skip(f"{folder} is not installed")
    return str(request.param)


def differences(tool: str, sample: bool) -> dict[tuple[str, int], tuple[object, object]]:
    """Each case in which our total is not the tool's, with both."""
    found: dict[tuple[str, int], tuple[object, object]] = {}
    for (model, batch), theirs in answers(tool).items():
        if is_sample(model) != sample:
            continue
        try:
            ours: object = price(counted(model, batch), CONVENTION[tool])
        except (UnpricedKindError, ValueError) as error:
            ours = str(error)
        if ours != theirs:
            found[model.removeprefix("sample:"), batch] = (ours, theirs)
    return found


@pytest.mark.parametrize("sample", [False, True], ids=["torchvision", "samples"])
def test_our_total_is_the_tools_to_the_unit_but_where_an_exception_says_why(tool, sample):
    prefix = "sample:" if sample else ""
    different = differences(tool, sample)
    unexplained = {
        case: both
        for case, both in different.items()
        if reason(tool, prefix + case[0], case[1]) is None
    }
    assert unexplained == {}


def test_every_exception_is_needed(tool):
    for listed, sample in ((EXCEPTIONS, False), (SAMPLE_EXCEPTIONS, True)):
        different = differences(tool, sample)
        for name, model, *batch in listed:
            if name == tool:
                assert any(case[0] == model and case[1] in (batch or (1, 2)) for case in different)


def test_on_the_meta_device_torch_counts_attention_as_we_do():
    request = {"model": "vit_b_16", "shape": [1, 3, 224, 224], "device": "meta"}
    outcome = subprocess.run(
        [sys.executable, str(SCRIPTS / "run.py"), "torch"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(outcome.stdout)["total"] == price(counted("vit_b_16", 1), "torch")


def test_ten_models_and_more_were_compared_with_every_tool(tool):
    totals = [
        total for (model, _), total in answers(tool).items() if isinstance(total, int)
        and not is_sample(model)
    ]  # fmt: skip
    assert len(totals) == len(MODELS) + len(BATCHED)
    assert torchvision.__version__
