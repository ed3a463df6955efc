"""``shufflecost audit``: the printed figures beside ours, and the score."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from shufflenet.paper.claim_files import load_claims
from shufflenet.paper.hypotheses import AXES
from tests.command import fails, ran, run, run_together

VERDICTS = ["exact", "under", "nominal", "disagree", "reported"]
WORDS = {
    "exact": "exact",
    "under": "exact under",
    "nominal": "nominal",
    "disagree": "not reproducible",
}
WHY = "Hypothesis, or why not"
KEYS = ["schema", "score", "judged", "planted", "most_departures", "axes", "claims"]
CLAIM_KEYS = [
    *("key", "where", "also", "claim", "says", "unit", "printed", "nominal"),
    *("verdict", "macs", "figures", "hypothesis", "departures", "tried", "note"),
    *("alike", "why", "nearest", "remarks"),
]
CX = "Complexity (MFLOPs)"


def figures(*args: str) -> Any:
    return ran("audit", *args, "--format", "json").json


def rows(*args: str) -> list[dict[str, str]]:
    return list(csv.DictReader(ran("audit", *args, "--format", "csv").out.splitlines()))


def by_key(found: Any) -> dict[str, Any]:
    return {claim["key"]: claim for claim in found["claims"]}


def test_every_claim_is_judged_and_the_exit_code_is_0():
    found = figures()
    claims = [claim for sheet in load_claims() for claim in sheet.claims]
    assert [claim["key"] for claim in found["claims"]] == [claim.key for claim in claims]
    assert [claim["printed"] for claim in found["claims"]] == [c.printed for c in claims]


def test_the_json_object_has_its_keys_in_their_order():
    found = figures()
    assert list(found) == KEYS
    assert list(found["score"]) == VERDICTS
    assert {tuple(claim) for claim in found["claims"]} == {tuple(CLAIM_KEYS)}


def test_the_score_counts_the_claims_by_verdict():
    found = figures()
    counted = dict.fromkeys(VERDICTS, 0)
    for claim in found["claims"]:
        counted[claim["verdict"]] += 1
    assert found["score"] == counted
    assert counted["disagree"] > 0


def test_the_hypotheses_are_listed_with_their_baseline_first():
    found = figures()
    assert [axis["axis"] for axis in found["axes"]] == list(AXES)
    for axis in found["axes"]:
        choices = [choice["choice"] for choice in axis["choices"]]
        assert choices == list(AXES[axis["axis"]].choices)
    notes = ran("audit", "--table", "1").out
    for axis in AXES.values():
        assert f"{axis.says}: {'; '.join(axis.choices.values())}\n" in notes


def test_every_figure_of_a_complexity_is_a_whole_number_of_multiply_adds():
    for claim in figures()["claims"]:
        whole = claim["says"] == "complexity" and claim["verdict"] != "reported"
        assert (type(claim["macs"]) is int) == whole


def test_a_table_is_audited_by_itself():
    whole, table = by_key(figures()), by_key(figures("--table", "5"))
    assert table == {key: claim for key, claim in whole.items() if key.startswith("5/")}
    assert {row["Where"] for row in rows("--table", "5")} == {"Table 5"}


def test_the_text_is_audited_by_its_sections():
    assert {row["Where"] for row in rows("--table", "text")} == {
        *("Sec. 3.1", "Sec. 4.1.1", "Sec. 4.2", "Sec. 4.3", "Sec. 4.4", "Sec. 4.5")
    }


def test_the_table_shows_the_printed_figure_ours_and_the_hypothesis():
    (row,) = [row for row in rows("--table", "5") if "1.5x" in row["Claim"] and CX in row["Claim"]]
    assert (row["Printed"], row["Ours"]) == ("292M", "292443552")
    assert row["Verdict"] == "exact under"
    assert row[WHY] == "FC layers counted too; stem not scaled"


@pytest.mark.parametrize("verdict", WORDS)
def test_only_shows_one_verdict_and_the_score_of_all(verdict: str):
    shown = rows("--only", verdict)
    assert {row["Verdict"] for row in shown} == {WORDS[verdict]}
    whole = figures()
    assert len(shown) == whole["score"][verdict]
    chosen = figures("--only", verdict)
    assert {claim["verdict"] for claim in chosen["claims"]} == {verdict}
    assert chosen["score"] == whole["score"]


def test_what_is_reported_only_is_shown_when_asked_for():
    assert "reported only" not in {row["Verdict"] for row in rows()}
    reported = rows("--only", "reported")
    assert len(reported) == figures()["score"]["reported"]
    assert {row["Ours"] for row in reported} == {""}


def test_what_is_not_reproducible_is_shown_with_why_and_with_the_nearest():
    for verdict in ("nominal", "disagree"):
        for row in rows("--only", verdict):
            assert row["Ours"]
            assert row[WHY]
            assert int(row["Tried"]) >= 1
        for claim in figures("--only", verdict)["claims"]:
            assert claim["why"]
            near, ours = (
                abs(macs - float(claim["printed"]) * 1e6)
                for macs in (claim["nearest"]["macs"], claim["macs"])
            )
            assert near <= ours


def test_the_score_says_how_many_claims_are_distinct():
    found = figures()
    reached = [claim for claim in found["claims"] if claim["verdict"] != "reported"]
    assert found["judged"]["claims"] == len(reached) > found["judged"]["distinct"]


def test_the_help_says_one_thing_of_the_exit_code():
    for command in ("audit", "paper"):
        text = " ".join(ran(command, "--help").out.split())
        assert "0 done, whatever the figures are found to be 1 never: figures" in text
        assert "every figure agreed" not in text
        assert "exit code is" not in text


def test_without_torch_the_audit_is_the_same():
    args = ("audit", "--table", "2", "--format", "json")
    assert run(*args, torch=False) == ran(*args)


OWN = """\
title = "t"
source = "s"
stub = "Model"
table = 1
claims = [
  { row = "Complexity", column = "g = 3", says = "complexity", printed = "PRINTED", network = { spec = "shufflenet", groups = 3, scale = "1" } },
]
"""  # noqa: E501


@pytest.mark.parametrize(
    ("printed", "verdict", "macs"),
    [
        ("137", "exact", 136_500_672),
        ("136.5", "exact", 136_500_672),
        ("137.5", "under", 137_460_672),
        ("141", "disagree", 136_500_672),
    ],
)
def test_claims_of_ones_own_are_judged_alike(tmp_path: Path, printed: str, verdict: str, macs: int):
    (tmp_path / "own.toml").write_text(OWN.replace("PRINTED", printed))
    outcome = run("audit", "--claims", "own.toml", "--format", "json", cwd=tmp_path)
    (claim,) = outcome.json["claims"]
    assert (claim["verdict"], claim["macs"]) == (verdict, macs)


def test_claims_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path):
    (tmp_path / "own.toml").write_text(OWN.replace('"PRINTED"', '"about 137"'))
    (tmp_path / "layer.toml").write_text(
        OWN.replace("PRINTED", "137")
        .replace('"complexity"', '"channels"')
        .replace('scale = "1"', 'scale = "1", layer = "Stage9"')
    )
    good = OWN.replace("PRINTED", "137")
    (tmp_path / "unit.toml").write_text(good.replace('scale = "1"', 'scale = "1", unit = "nope"'))
    (tmp_path / "column.toml").write_text(good.replace("groups = 3", "groups = 5"))
    (tmp_path / "good.toml").write_text(OWN.replace("PRINTED", "137"))
    commands = [
        (("audit", "--claims", "own.toml"), ("own.toml", "(Complexity, g = 3)", "'about 137'")),
        (
            ("audit", "--claims", "layer.toml"),
            ("layer.toml: (Complexity, g = 3)", "'Stage9'", "Stage4"),
        ),
        (("audit", "--claims", "none.toml"), ("none.toml", "No such file")),
        (("audit", "--claims", "."), (".", "not a regular file")),
        (("audit", "--claims", "good.toml", "--table", "2"), ("'2'", "there are 1")),
        (("audit", "--table", "9"), ("'9'", "1, 2, 3, 4, 5, 6, 7, 8, text")),
        (("audit", "--claims", "unit.toml"), ("unit.toml: (Complexity, g = 3)", "'nope'")),
        (
            ("audit", "--claims", "column.toml"),
            ("column.toml: (Complexity, g = 3)", "g = 5", "1, 2, 3, 4, 8"),
        ),
        (("audit", "--only", "wrong"), ("'wrong'", "disagree")),
    ]
    outcomes = run_together(*(args for args, _ in commands), cwd=tmp_path)
    for outcome, (_, quotes) in zip(outcomes, commands, strict=True):
        fails(outcome, 2, *quotes)
