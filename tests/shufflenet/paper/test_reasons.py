"""Why figures do not come out, and what is said of those that do: each follows from the claims."""

from __future__ import annotations

import pytest

from shufflenet.paper.audit import Audit, audit
from tests.shufflenet.paper.audited import BY_KEY, CX, FOUND, SHEETS, false


def test_every_disagreement_has_a_reason_and_no_other_finding_has_one():
    for finding in FOUND.findings:
        assert bool(finding.why) == (finding.verdict in ("nominal", "disagree"))
        if finding.verdict == "nominal":
            assert finding.claim.nominal
            assert finding.why[0] == "one figure is printed for the whole row"
        assert len(set(finding.why)) == len(finding.why)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (f"2/ShuffleNet 1x/{CX}/g = 4", "Table 1 prints 133M for this network"),
        (f"2/ShuffleNet 0.5x/{CX}/g = 2", "Stage2 cannot have 100 channels, so it has 104"),
        (f"2/ShuffleNet 0.5x (arch2)/{CX}/g = 2", "its widths are not printed"),
        ("8/ShuffleNet 0.5x (arch2, g = 3)/FLOPs (M)", "its widths are not printed"),
        (f"5/ShuffleNet 0.5x (shallow, g = 3)/{CX}", "its widths are not printed"),
        (f"6/PVANET (our impl.)/{CX}", "the paper's own reimplementation, which it does not"),
    ],
)
def test_the_reason_follows_from_the_claims_and_the_network(key: str, reason: str):
    assert any(said.startswith(reason) for said in BY_KEY[key].why)


def test_a_figure_that_is_simply_false_has_that_for_a_reason():
    assert false("1/Complexity/g = 3", "150").why == ("nothing that is left open gives it",)
    wrong = false("3/ShuffleNet 1x (g = 3)/Δ err. (%)", "9.9")
    assert wrong.why == ("it does not follow from these figures",)


def test_a_table_by_itself_knows_what_the_others_print():
    (second,) = (sheet for sheet in SHEETS if sheet.page == "2")
    alone = audit([second]).findings
    among = audit([second], SHEETS).findings
    assert among == tuple(f for f in FOUND.findings if f.claim.page == "2")
    assert not any("Table 1" in reason for f in alone for reason in f.why)


def test_a_bottleneck_that_is_rounded_down_is_said_to_be():
    channels = BY_KEY["text/Sec. 4.2/channels of Stage4 at 38 MFLOPs: ResNeXt"]
    said = "bottleneck rounded down to a multiple of the cardinality 16: Stage2 48/2 to 16"
    assert channels.remarks == BY_KEY[f"4/38/{CX}/ResNeXt"].remarks == (said,)
    assert BY_KEY[f"4/38/{CX}/ResNet"].remarks == ()


def test_an_exact_figure_that_the_classifier_does_not_change_is_said_to_be():
    for scale in ("0.75", "0.5", "0.25"):
        finding = BY_KEY[f"5/{scale} MobileNet-224/{CX}"]
        assert finding.verdict == "exact"
        assert "FC layers counted too" in finding.alike
    assert BY_KEY["1/Complexity/g = 4"].alike == ()


def test_claims_that_say_the_same_are_counted_once():
    assert FOUND.judged == len([f for f in FOUND.findings if f.tried])
    assert FOUND.distinct < FOUND.judged
    one = BY_KEY[f"5/ShuffleNet 2x (g = 3)/{CX}"]
    same = BY_KEY[f"6/ShuffleNet 2x (g = 3)/{CX}"]
    other = BY_KEY[f"5/ShuffleNet 1x (g = 3)/{CX}"]
    assert Audit((one, same)).distinct == 1
    assert Audit((one, same, other)).distinct == 2
    widths = tuple(BY_KEY[f"1/Stage{stage}/g = 1"] for stage in (2, 3, 4))
    assert Audit(widths).distinct == 3


def test_a_rule_of_thumb_is_of_no_networks_and_so_reported():
    finding = BY_KEY["text/Sec. 4.5/theoretical reduction, in general"]
    assert (finding.claim.printed, finding.verdict) == ("4", "reported")
