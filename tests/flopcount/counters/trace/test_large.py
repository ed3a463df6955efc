"""What a count costs in memory: nothing that grows with the weights or with the input."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("resource", reason="the peak of memory is asked of the kernel")

ROOT = Path(__file__).parents[4]
MIB = 2**20

#: Before the program: the most memory that this process has held so far [B], and what it holds.
ASK = """
    import json, pathlib, resource
    import torch
    from torch import nn
    from torch.nn import functional as F
    from flopcount.counters.trace import count

    def peak():
        # what getrusage says counts the process that this one was forked from as well
        if pathlib.Path("/proc/self/status").exists():
            lines = pathlib.Path("/proc/self/status").read_text().splitlines()
            return 1024 * int(next(line for line in lines if "VmHWM" in line).split()[1])
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
"""

LLAMA = """
    class Attention(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in "qkvo")

        def forward(self, x, cos, sin):
            n, t, d = x.shape
            parts = (part(x).view(n, t, self.heads, -1) for part in (self.q, self.k, self.v))
            q, k, v = (part.transpose(1, 2) for part in parts)
            q, k = (x * cos + turned(x) * sin for x in (q, k))
            found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.o(found.transpose(1, 2).reshape(n, t, d))


    def turned(x):
        one, other = x.chunk(2, -1)
        return torch.cat((-other, one), -1)


    class Block(nn.Module):
        def __init__(self, width, inner, heads):
            super().__init__()
            self.attention = Attention(width, heads)
            self.before, self.after = nn.RMSNorm(width), nn.RMSNorm(width)
            self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
            self.down = nn.Linear(inner, width, bias=False)

        def forward(self, x, cos, sin):
            x = x + self.attention(self.before(x), cos, sin)
            y = self.after(x)
            return x + self.down(F.silu(self.gate(y)) * self.up(y))


    class Llama(nn.Module):
        def __init__(self, layers, width, inner, heads, words):
            super().__init__()
            self.words = nn.Embedding(words, width)
            self.blocks = nn.ModuleList(Block(width, inner, heads) for _ in range(layers))
            self.norm = nn.RMSNorm(width)
            self.head = nn.Linear(width, words, bias=False)
            self.half = width // heads // 2

        def forward(self, tokens):
            at = torch.arange(tokens.shape[1], device=tokens.device)
            slow = 10000.0 ** -(torch.arange(self.half, device=tokens.device) / self.half)
            angles = torch.outer(at.float(), slow).repeat(1, 2)
            x = self.words(tokens)
            for block in self.blocks:
                x = block(x, angles.cos(), angles.sin())
            return self.head(self.norm(x))


    with torch.device("meta"):
        model = Llama(32, 4096, 11008, 32, 32000)
    tally = count(model, torch.zeros(1, 2048, dtype=torch.long), strict=True)
    print(json.dumps([tally.macs, tally.params, peak()]))
"""

IMAGE = """
    with torch.device("meta"):
        model = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 10, 3, padding=1, groups=2, bias=False), nn.AdaptiveAvgPool2d(1),
        )
    count(model, shape=(1, 3, 32, 32))
    before = peak()
    tally = count(model, shape=(1, 3, 100_000, 100_000), strict=True)
    print(json.dumps([tally.macs, tally.peak_memory, peak() - before]))
"""

WEIGHTS = """
    model = nn.Sequential(*(nn.Linear(4096, 4096, bias=False) for _ in range(4)))
    assert all(not p.is_meta for p in model.parameters())
    found = []
    for checked in (False, True):
        for backward in (False, True):
            options = {"checked": checked, "backward": backward}
            # what of torch is loaded on first use
            count(nn.Sequential(nn.Linear(3, 4)), shape=(1, 3), **options)
            before = peak()
            tally = count(model, shape=(16, 4096), **options)
            found.append([tally.macs, 4 * tally.params, peak() - before])
    print(json.dumps(found))
"""


@cache
def said(program: str) -> Any:
    """What a program says that runs by itself."""
    outcome = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ASK) + textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    return json.loads(outcome.stdout)


def test_a_language_model_of_seven_billion_parameters_is_counted_within_a_gibibyte():
    macs, params, memory = said(LLAMA)
    layers, width, inner, words, tokens = 32, 4096, 11008, 32000, 2048
    weights = layers * (4 * width * width + 3 * width * inner)
    norms = (2 * layers + 1) * width
    attention = layers * 2 * tokens * tokens * width
    assert params == weights + 2 * words * width + norms > 6_700_000_000
    assert macs == (weights + words * width) * tokens + attention
    assert memory < 1024 * MIB


def test_an_image_of_ten_gigapixels_takes_no_memory():
    macs, peak, memory = said(IMAGE)
    halved = 50_000 * 50_000
    assert macs == halved * 64 * 3 * 7 * 7 + halved * 10 * 32 * 3 * 3
    # the first convolution's output, and the norm's
    assert peak == 4 * (64 * halved + 64 * halved)
    assert memory < 8 * MIB


@pytest.mark.parametrize("way", range(4), ids=["forward", "training", "checked", "both"])
def test_the_weights_of_a_model_in_memory_are_not_copied(way):
    macs, weights, memory = said(WEIGHTS)[way]
    products = 16 * 4096 * 4096
    # the first one's input asks for no gradient
    assert macs == 4 * products + ((2 * 4 - 1) * products if way % 2 else 0)
    assert weights == 4 * 4 * 4096 * 4096 > 200 * MIB
    assert memory < 8 * MIB
