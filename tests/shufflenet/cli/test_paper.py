"""``shufflecost paper``: the tables as the paper prints them, ours beside its figures."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from shufflenet.paper.claim_files import load_claims
from shufflenet.paper.claims import Sheet
from tests.command import Outcome, columns_of_latex, fails, ran, run, run_together
from tests.shufflenet.paper.by_hand import by_hand

TABLES = [str(number) for number in range(1, 9)]
FORMATS = ["table", "markdown", "latex", "csv", "json"]
SHEETS: dict[str, Sheet] = {sheet.page: sheet for sheet in load_claims()}
each_table = pytest.mark.parametrize("number", TABLES)
CX = "Complexity (MFLOPs)"
OURS = "Ours [MAC]"


@cache
def everything() -> dict[tuple[str, str], Outcome]:
    asked = [(number, form) for number in TABLES for form in FORMATS]
    outcomes = run_together(*(("paper", number, "--format", form) for number, form in asked))
    return dict(zip(asked, outcomes, strict=True))


def shown(number: str, form: str) -> Outcome:
    outcome = everything()[number, form]
    assert outcome.code == 0, outcome.err
    return outcome


def grid(number: str) -> list[list[str]]:
    return list(csv.reader(shown(number, "csv").out.splitlines()))


def rows(number: str) -> dict[str, dict[str, str]]:
    header, *body = grid(number)
    return {row[0]: dict(zip(header, row, strict=True)) for row in body}


@each_table
def test_every_format_gives_the_table_with_its_title(number: str):
    title = f"Table {number}: {SHEETS[number].title}"
    assert shown(number, "table").out.startswith(f"{title}\n")
    assert shown(number, "markdown").out.startswith(f"**{title}**\n")
    assert shown(number, "latex").out.startswith(f"% {title}\n")
    assert shown(number, "json").json["title"] == SHEETS[number].title


@each_table
def test_no_two_columns_have_the_same_header(number: str):
    header = [name for name in grid(number)[0] if name != "Verdict"]
    assert len(set(header)) == len(header)


@pytest.mark.parametrize("number", TABLES[1:])
def test_the_rows_and_the_figures_are_those_that_are_printed(number: str):
    sheet = SHEETS[number]
    found = rows(number)
    assert [row for row in found if not row.startswith("- ")] == list(sheet.rows)
    for claim in sheet.claims:
        if claim.column != sheet.stub:
            cell = found[claim.row][claim.column]
            assert cell == (f"{claim.printed} ({claim.label})" if claim.label else claim.printed)


@pytest.mark.parametrize("number", TABLES[1:])
def test_the_columns_stand_in_the_order_of_the_paper(number: str):
    printed = [name for name in grid(number)[0] if name in SHEETS[number].columns]
    expected = [name for name in SHEETS[number].columns if name != SHEETS[number].stub]
    assert [name for name in printed if name != SHEETS[number].stub] == expected


@each_table
def test_the_json_object_has_a_cell_for_every_claim(number: str):
    found = shown(number, "json").json
    assert list(found) == ["schema", "table", "title", "source", "columns", "rows"]
    assert found["table"] == int(number)
    cells = [cell for row in found["rows"] for cell in row["cells"]]
    assert sorted(cell["key"] for cell in cells) == sorted(c.key for c in SHEETS[number].claims)
    for cell in cells:
        assert cell["column"] in found["columns"]


@each_table
def test_the_verdicts_are_those_of_the_audit(number: str):
    audit = ran("audit", "--table", number, "--format", "json").json
    verdicts = {claim["key"]: claim["verdict"] for claim in audit["claims"]}
    cells = [cell for row in shown(number, "json").json["rows"] for cell in row["cells"]]
    assert {cell["key"]: cell["verdict"] for cell in cells} == verdicts


def test_table_1_has_the_printed_complexities_below_ours():
    lines = {row[0]: row[5:] for row in grid("1") if row[0]}
    widths = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
    ours = [by_hand(g, (c, 2 * c, 4 * c)) for g, c in widths.items()]
    assert lines["Multiply-adds [MAC]"] == [str(macs) for macs in ours]
    assert lines["Complexity, printed"] == ["143M", "140M", "137M", "133M", "137M"]
    assert lines["Verdict"] == ["exact"] * 5
    assert "widths: 15 of 15 printed ones come out" in shown("1", "table").out
    assert "output sizes: 6 of 6 printed ones come out" in shown("1", "table").out


def test_table_2_has_ours_below_every_row():
    header, *body = grid("2")
    labels = [row[0] for row in body]
    assert labels[1::3] == ["- ours [MAC]"] * 5
    assert labels[2::3] == ["- verdict"] * 5
    assert header[1:] == [CX, *(f"g = {g}" for g in (1, 2, 3, 4, 8))]
    half = body[4]
    assert half[2] == str(by_hand(1, (72, 144, 288), 12))
    assert half[3] == str(by_hand(2, (104, 208, 416), 12))
    assert [word.split()[0] for word in body[5][2:]] == [
        "exact",
        "nominal",
        "under",
        "nominal",
        "nominal",
    ]


def test_table_3_has_costs_beside_its_errors():
    found = rows("3")
    first = found["ShuffleNet 1x (g = 3)"]
    assert first[OURS] == str(by_hand(3, (240, 480, 960)))
    assert first["Δ err. (%), ours"] == first["Δ err. (%)"] == "2.3"
    assert first["Under"] == "baseline"
    assert all(row[OURS].isdigit() for row in found.values())
    words = [row["Under"].split()[0] for row in found.values()]
    assert words == ["baseline", "under", "under", "nominal", "under", "nominal"]


def test_table_5_has_ours_beside_what_is_printed():
    found = rows("5")["ShuffleNet 2x (g = 3)"]
    assert found[CX] == "524"
    assert found[OURS] == str(by_hand(3, (480, 960, 1920), 48) + 1920 * 1000)
    assert found["Δ err. (%), ours"] == "0.3"
    (mark,) = re.findall(r"\[\d+\]", found["Verdict"])
    notes = shown("5", "csv").err.splitlines()
    assert f"{mark} exact under: FC layers counted too" in notes


def test_a_network_has_one_cost_in_tables_1_and_2():
    first = next(row for row in grid("1") if row[0] == "Multiply-adds [MAC]")
    second = grid("2")[2]
    assert second[0] == "- ours [MAC]"
    assert first[5:] == second[2:]


def test_table_5_says_where_the_classifier_changes_no_printed_figure():
    notes = shown("5", "csv").err.splitlines()
    for model in ("0.75 MobileNet-224", "0.5 MobileNet-224", "0.25 MobileNet-224"):
        (mark,) = re.findall(r"\[\d+\]", rows("5")[model]["Verdict"])
        assert f"{mark} exact; also under: FC layers counted too" in notes


def test_table_7_is_all_as_reported():
    header, *_ = grid("7")
    assert header == ["Model", *SHEETS["7"].columns]
    assert "as reported: mAP [.5, .95] (300x image); mAP" in shown("7", "table").out


@each_table
def test_every_footnote_is_used_and_every_mark_has_one(number: str):
    text = shown(number, "table").out
    body, _, notes = text.rpartition("\n\n")
    marks = set(re.findall(r"\[\d+\]", body))
    noted = re.findall(r"^\[\d+\]", notes, re.MULTILINE)
    assert set(noted) == marks
    assert len(noted) == len(set(noted))


def test_a_derived_figure_that_is_false_would_be_marked():
    from dataclasses import replace

    from shufflenet.paper.page import read_page
    from shufflenet.paper.paper_tables import paper_table

    sheet = SHEETS["3"]
    wrong = tuple(
        replace(claim, printed="9.9") if claim.printed == "2.3" else claim for claim in sheet.claims
    )
    table = paper_table(read_page("3", [replace(sheet, claims=wrong), SHEETS["2"]]))
    row = dict(zip(table.headers, table.rows[0], strict=True))
    assert row["Δ err. (%)"] == "9.9"
    assert row["Δ err. (%), ours"] == "2.3 no [1]"
    assert "[1] not reproducible; it does not follow from these figures" in table.notes


@each_table
def test_latex_is_a_table_of_booktabs_in_plain_letters(number: str):
    text = shown(number, "latex").out
    tex = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert tex.isascii()
    for rule in ("\\toprule", "\\midrule", "\\bottomrule"):
        assert rule in tex
    assert "\\hline" not in tex
    columns = columns_of_latex(tex)
    inside = tex.partition("\\begin{tabular}")[2].partition("\\end{tabular}")[0]
    body = [line for line in inside.splitlines()[1:] if not line.startswith("\\")]
    assert columns == len(grid(number)[0])
    assert len(body) == len(grid(number))
    for line in body:
        assert line.endswith("\\\\")
        assert len(re.findall(r"(?<!\\)&", line)) == columns - 1
    assert tex.count("{") == tex.count("}")


ENGINE = next((name for name in ("pdflatex", "tectonic", "lualatex") if shutil.which(name)), None)


@pytest.mark.skipif(ENGINE is None, reason="no TeX engine is installed")
def test_the_latex_of_every_table_compiles_in_a_paper_and_fits_its_page(tmp_path: Path):
    tables = [shown(number, "latex").out for number in TABLES]
    audits = run_together(*(("audit", "--table", n, "--format", "latex") for n in "356"))
    tables += [outcome.out for outcome in audits]
    for place, text in enumerate(tables):
        (tmp_path / f"table{place}.tex").write_text(text)
    # in a section, whose paragraphs are indented, and with no package but those that are named
    inputs = "\n\n".join(f"\\input{{table{place}}}" for place in range(len(tables)))
    needs = {need for text in tables for need in re.findall(r"^% needs (.*)$", text, re.MULTILINE)}
    (tmp_path / "paper.tex").write_text(
        "\n".join(["\\documentclass{article}", *sorted(needs), "\\begin{document}"])
        + f"\nBefore.\n\n{inputs}\n\\end{{document}}\n"
    )
    assert ENGINE is not None
    how: list[Any] = [] if ENGINE == "tectonic" else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run(
        [ENGINE, *how, "paper.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").exists()
    assert re.findall(r"Overfull \\hbox.*", done.stdout) == []


def test_an_unknown_table_is_refused():
    fails(run("paper", "9"), 2, "'9'")
    fails(run("paper"), 2, "TABLE")


def test_without_torch_a_table_is_the_same():
    assert run("paper", "6", torch=False) == ran("paper", "6")
