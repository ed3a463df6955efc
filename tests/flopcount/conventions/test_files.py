"""A convention from a file: what is written is what is charged, and every slip is quoted."""

from __future__ import annotations

import os
import tomllib

import pytest

from flopcount import ConventionError, Entry, Shape, Tally, load_convention, price, reconcile
from flopcount.conventions.pricing import (
    BACKWARD,
    ENTRY_KINDS,
    FACT_NAMES,
    FREE_KINDS,
    PRODUCTS,
    UnpricedKindError,
)
from tests.command import ROOT

EXAMPLE = ROOT / "examples" / "my-convention.toml"
OUT = Shape(2, 6, 8, 8)
N = 2 * 6 * 8 * 8
ENTRIES = (
    Entry("conv", "conv", (Shape(2, 3, 8, 8),), (OUT,), N * 27, 162, 6, "conv2d", "Conv2d"),
    Entry("norm", "batch_norm", (OUT,), (OUT,), 0, 6, 6, "batch_norm", "BatchNorm2d"),
    Entry("act", "activation", (OUT,), (OUT,), operator="hardswish", layer="Hardswish"),
    Entry("slope", "activation", (OUT,), (OUT,), weight=6, operator="prelu", layer="PReLU"),
)
SAMPLE = N // 2


@pytest.fixture
def file(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "mine.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_the_example_charges_what_it_says():
    mine = load_convention(EXAMPLE)
    assert (mine.name, mine.unit, mine.batch) == ("folded-flops", "flops", "sample")
    worth = price(Tally(ENTRIES, batch=2), mine)
    assert worth == SAMPLE * (2 * 27 + 1) + 4 * SAMPLE + 2 * SAMPLE


def test_the_document_shows_the_example():
    text = (ROOT / "docs" / "conventions.md").read_text()
    shown = text.split("```toml\n")[1].split("```")[0]
    assert shown == EXAMPLE.read_text()


def test_the_document_names_every_fact_and_every_kind():
    text = (ROOT / "docs" / "conventions.md").read_text()
    for name in [*FACT_NAMES, *PRODUCTS, *FREE_KINDS]:
        assert f"`{name}`" in text


def test_a_path_may_be_a_text_and_a_convention_goes_where_a_name_does():
    mine = load_convention(os.fspath(EXAMPLE))
    assert mine == load_convention(EXAMPLE)
    found = reconcile(Tally(ENTRIES, batch=2), "torch", mine)
    assert sum(line.difference for line in found.lines) == found.difference


def test_a_file_needs_no_more_than_a_unit(file):
    bare = load_convention(file('unit = "macs"'))
    assert (bare.name, bare.batch, dict(bare.prices), bare.free) == (
        "mine",
        "total",
        {},
        frozenset(),
    )
    with pytest.raises(UnpricedKindError, match="mine neither prices 'conv'"):
        price(Tally(ENTRIES), bare)


def test_the_rest_is_free_but_no_kind_that_multiplies(file):
    mine = load_convention(
        file('unit = "macs"\nfree = ["rest", "linear"]\n[prices]\nrelu = { inputs = 1 }')
    )
    assert mine.free == (FREE_KINDS - {"relu"}) | {"linear"}
    with pytest.raises(UnpricedKindError, match="'conv'"):
        price(Tally(ENTRIES), mine)


def test_a_price_may_take_off_what_another_fact_adds(file):
    mine = load_convention(
        file('unit = "macs"\n[prices]\nbatch_norm = { inputs = 2, weight_rows = -1 }')
    )
    assert price(Tally(ENTRIES[1:2]), mine) == 2 * N - 2 * 6


BROKEN = {
    "'prices': 'conf': unknown key; known are activation": "[prices]\nconf = { macs = 1 }",
    "'prices': 'uncounted': unknown key; known are ": "[prices]\nuncounted = { macs = 1 }",
    "'prices': 'conv': 'mac': unknown key; known are affine_inputs": "[prices]\nconv = { mac = 1 }",
    "'prices': 'conv': 'macs': 1.0 is not a whole number": "[prices]\nconv = { macs = 1.0 }",
    "'prices': 'conv': 'macs': True is not a whole number": "[prices]\nconv = { macs = true }",
    "'prices': 'conv': 'macs': '2' is not a whole number": "[prices]\nconv = { macs = '2' }",
    "'prices': 'conv': 'macs': 9999999 is not between -1000000": "prices.conv.macs = 9999999",
    "'prices': 'conv': 'macs': -9999999 is not between -1000000": "prices.conv.macs = -9999999",
    "'prices': 'conv': 2 is not a table": "[prices]\nconv = 2",
    "'prices': 3 is not a table": "prices = 3",
    "'price': unknown key; known are batch, free": "price = 3",
    "'operators': 'not one': not the name of an operator": "[operators]\n'not one' = { macs = 1 }",
    "'modules': 'ReLU': 'rely': unknown key; known are ": "[modules.ReLU]\nrely = { inputs = 1 }",
    "'modules': 'ReLU': 1 is not a table": "[modules]\nReLU = 1",
    "'free': 'conv' has a price, too": "free = ['conv']\n[prices]\nconv = { macs = 1 }",
    "'free': 'relu' stands there twice": "free = ['relu', 'relu']",
    "'free': 'relly' is not one of rest, ": "free = ['relly']",
    "'free': 1 is not one of rest, ": "free = [1]",
    "'free': 'rest' is not a list": "free = 'rest'",
    "'batch': 'half' is not one of total, modules, sample": "batch = 'half'",
    "'batch': 2 is not one of": "batch = 2",
    "'name': 3 is not a printable text": "name = 3",
    "'name': '' is not a printable text of 1 to 60 characters": "name = ''",
    "'says': [] is not a printable text": "says = []",
    "not TOML: Cannot overwrite a value": "[prices]\nconv = { macs = 1 }\nconv = { macs = 2 }",
}


@pytest.mark.parametrize(("says", "text"), BROKEN.items(), ids=BROKEN)
def test_what_breaks_a_rule_is_quoted_with_file_key_and_value(file, says, text):
    path = file(f"unit = 'macs'\n{text}")
    with pytest.raises(ConventionError) as caught:
        load_convention(path)
    assert str(caught.value).startswith(f"{path}: {says}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("says", "text"),
    [
        ("'unit': missing", ""),
        ("'unit': 'MAC' is not one of macs, flops", "unit = 'MAC'"),
        ("not TOML: ", "unit = "),
        ("not UTF-8 at byte 8", b"unit = '\xff'"),
        ("more than 1000000 bytes", "#" * 1_000_001),
        ("more than 2000 dots", "a" + ".a" * 2_001 + " = 1"),
    ],
)
def test_what_is_no_convention_at_all_is_refused(file, says, text):
    path = file(text)
    with pytest.raises(ConventionError) as caught:
        load_convention(path)
    assert str(caught.value).startswith(f"{path}: {says}")


def test_a_long_value_is_cut_short(file):
    with pytest.raises(ConventionError) as caught:
        load_convention(file(f"unit = '{'x' * 500}'"))
    assert len(str(caught.value).partition("mine.toml")[2]) < 200


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConventionError, match=r"none\.toml: cannot be read: No such file"):
        load_convention(tmp_path / "none.toml")
    with pytest.raises(ConventionError, match="not a regular file"):
        load_convention(tmp_path)
    with pytest.raises(ConventionError, match="cannot be read: embedded null"):
        load_convention("a\0b")
    assert issubclass(ConventionError, ValueError)


def test_every_kind_may_be_priced(file):
    lines = "\n".join(f"{kind} = {{ macs = 1 }}" for kind in sorted(ENTRY_KINDS))
    assert set(load_convention(file(f"unit = 'macs'\n[prices]\n{lines}")).prices) == ENTRY_KINDS
    assert BACKWARD <= ENTRY_KINDS


def test_the_example_is_toml_and_needs_no_key_that_is_not_there():
    assert set(tomllib.loads(EXAMPLE.read_text())) <= {
        *("name", "says", "source", "unit", "batch", "free"),
        *("prices", "operators", "modules"),
    }
