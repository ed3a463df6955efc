"""The paper's claims as data: what is read, and what is refused with file, claim and rule."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from shufflenet import SpecError, load
from shufflenet.paper.audit import audit
from shufflenet.paper.claim_files import load_claims
from shufflenet.paper.claims import DERIVED, REPORTED, Claim, ClaimError, Sheet, Subject
from tests.command import ROOT

SHEETS = load_claims()
PAGES = {sheet.page: sheet for sheet in SHEETS}
CLAIMS = [claim for sheet in SHEETS for claim in sheet.claims]
KEYS = {claim.key: claim for claim in CLAIMS}


def printed(page: str, row: str, column: str) -> str:
    claims = PAGES[page].at(row, column)
    (figure,) = {claim.printed for claim in claims}
    return figure


def test_there_is_a_sheet_for_every_table_and_one_for_the_text():
    assert list(PAGES) == [*map(str, range(1, 9)), "text"]
    folder = ROOT / "specs" / "claims"
    assert sorted(sheet.file for sheet in SHEETS) == sorted(
        f"specs/claims/{path.name}" for path in folder.glob("*.toml")
    )


def test_claims_are_no_specs():
    with pytest.raises(SpecError, match="unknown spec"):
        load("claims")


@pytest.mark.parametrize(
    ("page", "figures"),
    [
        # rows x columns that are printed, a nominal figure being one
        ("1", 6 + 3 * 5 + 5),
        ("2", 5 * (1 + 5)),
        ("3", 6 * 3),
        ("4", 5 + 5 * 5 - 4),
        ("5", 9 * 2 + 5),
        ("6", 7 * 2),
        ("7", 3 * 2),
        ("8", 3 * 5),
    ],
)
def test_every_figure_of_every_table_is_a_claim(page: str, figures: int):
    sheet = PAGES[page]
    assert len({(claim.row, claim.column) for claim in sheet.claims}) == figures


def test_a_nominal_complexity_is_a_claim_of_each_network_in_its_row():
    several = Counter((c.page, c.row) for c in CLAIMS if c.nominal)
    assert {count for (page, _), count in several.items() if page == "2"} == {5}
    assert [count for (page, _), count in several.items() if page == "4"] == [5, 4, 4, 4, 4]
    for page, row in several:
        names = [c.subject.name for c in CLAIMS if (c.page, c.row) == (page, row) and c.subject]
        assert set(names) <= set(PAGES[page].columns)


@pytest.mark.parametrize(
    ("page", "row", "column", "figure"),
    [
        ("1", "Complexity", "g = 4", "133"),
        ("1", "Stage4", "g = 8", "1536"),
        ("2", "ShuffleNet 0.25x (arch2)", "g = 8", "53.3"),
        ("3", "ShuffleNet 0.25x (arch2, g = 8)", "Δ err. (%)", "4.0"),
        ("4", "140", "VGG-like", "56.0"),
        ("5", "0.25 MobileNet-224", "Complexity (MFLOPs)", "41"),
        ("6", "VGG-16", "Complexity (MFLOPs)", "15300"),
        ("7", "ShuffleNet 2x (g = 3)", "mAP [.5, .95] (600x image)", "24.5"),
        ("8", "AlexNet", "720x1280", "3633.9"),
    ],
)
def test_a_figure_is_kept_as_it_is_printed(page: str, row: str, column: str, figure: str):
    assert printed(page, row, column) == figure


def test_the_widths_of_table_1_are_those_of_the_spec():
    spec = load("shufflenet")
    for row in spec.rows:
        for place, groups in enumerate(spec.groups):
            claims = PAGES["1"].at(row.layer, f"g = {groups}")
            if claims:
                assert row.channels is not None
                assert claims[0].printed == str(row.channels[place])


def test_an_error_that_two_tables_print_is_the_same_in_both():
    rows = {
        "140": "ShuffleNet 1x",
        "38": "ShuffleNet 0.5x",
        "13": "ShuffleNet 0.25x",
        "40 (arch2)": "ShuffleNet 0.5x (arch2)",
        "13 (arch2)": "ShuffleNet 0.25x (arch2)",
    }
    for row, in_table_2 in rows.items():
        (ours,) = PAGES["4"].at(row, "ShuffleNet (ours)")
        scale, groups = ours.label.split(", ")
        assert f"ShuffleNet {scale}" in in_table_2
        assert printed("2", in_table_2, groups) == ours.printed
        assert printed("2", in_table_2, "g = 1") == printed("4", row, "Xception-like")


def test_what_is_measured_is_reported_only_and_the_rest_is_computable():
    for claim in CLAIMS:
        pending = claim.says == "complexity" and claim.subject is None
        assert claim.computable == (claim.says not in REPORTED and not pending)


def test_a_figure_that_the_text_repeats_says_where():
    model = "5/ShuffleNet 0.5x (arch2, g = 8)"
    for column in ("Δ err. (%)", "Complexity (MFLOPs)"):
        assert KEYS[f"{model}/{column}"].also == ("Abstract", "Sec. 1", "Sec. 4.3")
    assert KEYS["6/PVANET (our impl.)/Cls err. (%)"].also == ("Sec. 4.2",)
    assert KEYS["4/38/Complexity (MFLOPs)/ResNet"].also == ("Sec. 4.2",)


def test_no_cost_is_solved_for_its_own_budget():
    assert {c.says for c in CLAIMS if c.subject and c.subject.budget} == {"channels"}
    with pytest.raises(ClaimError, match="its own proof"):
        Claim("1", "r", "c", "complexity", "38", Subject("shufflenet", budget=38_000_000))


# One line for each claim, as the files of the paper have it.
# ruff: noqa: E501
GOOD = """\
table = 2
title = "t"
source = "s"
stub = "Model"
claims = [
  { row = "a", column = "cost", says = "complexity", printed = "137", network = { spec = "shufflenet", groups = 3, scale = "1" } },
  { row = "b", column = "cost", says = "complexity", printed = "40", network = { spec = "arch2", groups = 3, like = "2/a/cost" } },
  { row = "a", column = "err", says = "error", printed = "34.1" },
  { row = "b", column = "err", says = "error", printed = "43.8" },
  { row = "b", column = "more", says = "difference", printed = "9.7", pairs = [["2/b/err", "2/a/err"]] },
  { row = "b", column = "wide", says = "channels", printed = "528", network = { spec = "arch2", groups = 3, layer = "Stage4", budget = "40M" } },
  { row = "d", column = "cost", says = "complexity", printed = "40", network = { spec = "arch2", groups = 3, like = "2/a/cost", widths = "2/b/wide" } },
]
"""
A = 'printed = "137", network = { spec = "shufflenet", groups = 3, scale = "1" }'
FAULTS = {
    "not TOML": ("claims = [", "claims = ", ("not TOML",)),
    "no claims": (GOOD[GOOD.index("claims") :], "", ("0 claims",)),
    "a typo in a key of the file": ("title =", "titel =", ("'titel'", "unknown key", "title")),
    "a typo in a key": ("says =", "sais =", ("claim 1", "'sais'", "unknown key")),
    "a missing key": ('says = "error", ', "", ("claim 3 (a, err)", "'says'", "missing")),
    "an unknown sort": ('says = "error"', 'says = "eror"', ("(a, err)", "'eror'", "difference")),
    "no number": ('"34.1"', '"~34"', ("(a, err)", "'~34'", "plain number")),
    "a number that is not as printed": ('"34.1"', "34.1", ("'printed'", "34.1", "text")),
    "an unknown spec": ('"shufflenet"', '"shuflenet"', ("'shuflenet'", "unknown spec", "arch2")),
    "groups out of range": ("groups = 3, scale", "groups = 0, scale", ("'groups': 0 is not",)),
    "groups as text": ("groups = 3, scale", 'groups = "3", scale', ("'groups'", "'3'")),
    "no scale at all": (', scale = "1"', "", ("(a, cost)", "scale", "like")),
    "a scale that is none": ('scale = "1"', 'scale = "one"', ("'one'",)),
    "a budget of a cost": (
        'like = "2/a/cost"',
        'budget = "40M"',
        ("(b, cost)", "its own proof"),
    ),
    "a budget in milli": ('budget = "40M"', 'budget = "40m"', ("'40m'", "milli")),
    "no spec": (
        'network = { spec = "shufflenet", groups = 3, scale = "1" }',
        'network = { unit = "resnet", scale = "1" }',
        ("(a, cost)", "needs the spec"),
    ),
    "a share without a unit": (
        'says = "complexity", printed = "137", network = { spec = "shufflenet", groups = 3, scale',
        'says = "share", printed = "137", network = { spec = "arch2", width = 256, scale',
        ("(a, cost)", "needs its unit"),
    ),
    "no layer": ('layer = "Stage4", ', "", ("(b, wide)", "needs the layer")),
    "a layer of a cost": (
        'like = "2/a/cost"',
        'like = "2/a/cost", layer = "Stage4"',
        ("(b, cost)", "takes no layer"),
    ),
    "like nothing": ('like = "2/a/cost"', 'like = "2/c/cost"', ("(b, cost)", "'2/c/cost'")),
    "like an error": ('like = "2/a/cost"', 'like = "2/a/err"', ("'2/a/err'", "complexity")),
    "widths of nothing": (
        'like = "2/a/cost"',
        'widths = "2/c/wide"',
        ("(b, cost)", "'widths'", "'2/c/wide'", "no claim of its channels"),
    ),
    "widths of another network": (
        'groups = 3, scale = "1"',
        'groups = 3, widths = "2/b/wide"',
        ("(a, cost)", "'2/b/wide'", "no claim of its channels"),
    ),
    "widths and a scale": (
        'like = "2/a/cost"',
        'scale = "1", widths = "2/b/wide"',
        ("(b, cost)", "takes no scale"),
    ),
    "widths that are no whole number": (
        'printed = "528"',
        'printed = "528.5"',
        ("(d, cost)", "'2/b/wide'", "528.5", "no whole number"),
    ),
    "widths of a width": (
        'budget = "40M"',
        'widths = "2/b/wide"',
        ("(b, wide)", "their own proof"),
    ),
    "a layer that its network has not": (
        'layer = "Stage4"',
        'layer = "Stage9"',
        ("(b, wide)", "'layer'", "'Stage9'", "Stage4"),
    ),
    "groups that its spec has not": (
        "groups = 3, scale",
        "groups = 5, scale",
        ("(a, cost)", "g = 5"),
    ),
    "a unit that is none": (
        'groups = 3, scale = "1"',
        'groups = 3, scale = "1", unit = "nope"',
        ("(a, cost)", "'nope'", "resnet"),
    ),
    "like itself": ('like = "2/a/cost"', 'like = "2/b/cost"', ("'2/b/cost'", "itself")),
    "a pair of nothing": ('"2/a/err"', '"2/c/err"', ("(b, more)", "'2/c/err'")),
    "a pair of three": ('"2/a/err"]', '"2/a/err", "2/a/err"]', ("(b, more)", "not two claims")),
    "a pair with what is derived": ('"2/a/err"]', '"2/b/more"]', ("'2/b/more'", "derived")),
    "no pairs": (', pairs = [["2/b/err", "2/a/err"]]', "", ("(b, more)", "needs pairs")),
    "pairs of an error": (
        'printed = "34.1"',
        'printed = "34.1", pairs = [["2/b/err", "2/a/err"]]',
        ("(a, err)", "takes no pairs"),
    ),
    "claimed twice": ('row = "b", column = "err"', 'row = "a", column = "err"', ("twice",)),
    "both kinds of networks": (
        A,
        f"{A}, networks = []",
        ("'networks'", "'network'"),
    ),
    "a network that is none": (
        'network = { spec = "shufflenet", groups = 3, scale = "1" }',
        'network = "shufflenet"',
        ("'network'", "'shufflenet'", "table"),
    ),
    "a table below none": ("table = 2", "table = -2", ("'table'", "-2")),
    "a text with an escape": ('title = "t"', 'title = "\\u001b"', ("'title'", "printable")),
}


def test_the_good_claims_are_good(tmp_path: Path):
    file = tmp_path / "own.toml"
    file.write_text(GOOD)
    (sheet,) = load_claims(file)
    assert len(audit([sheet]).findings) == len(sheet.claims)
    assert (sheet.page, sheet.rows, sheet.columns) == (
        "2",
        ("a", "b", "d"),
        ("cost", "err", "more", "wide"),
    )
    first, second, *_, last = sheet.claims
    assert first.subject == Subject("shufflenet", 3, Decimal(1))
    assert second.subject is not None
    assert second.subject.like == first.subject
    assert last.subject == second.subject._replace(stage=("Stage4", 528))


@pytest.mark.parametrize(("old", "new", "quotes"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_refused_with_its_file_claim_value_and_rule(
    tmp_path: Path, old: str, new: str, quotes: tuple[str, ...]
):
    assert old in GOOD
    file = tmp_path / "own.toml"
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ClaimError) as refused:
        audit(load_claims(file))
    text = str(refused.value)
    assert text.startswith(f"{file}: ")
    for quote in quotes:
        assert quote in text


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ClaimError, match=re.escape(f"{tmp_path / 'none.toml'}: cannot be read")):
        load_claims(tmp_path / "none.toml")


def test_a_derived_claim_holds_the_claims_it_follows_from():
    for claim in CLAIMS:
        assert bool(claim.pairs) == (claim.says in DERIVED)
        for pair in claim.pairs:
            for other in pair:
                assert KEYS[other.key] == other


def test_a_sheet_knows_the_claims_of_one_figure():
    one = Claim("2", "r", "c", "error", "1.0")
    sheet = Sheet("2", "t", "s", "Model", (one, Claim("2", "r", "d", "error", "2.0")))
    assert sheet.at("r", "c") == (one,)
    assert sheet.at("r", "e") == ()
