from __future__ import annotations

import csv
import json
import re
from io import BytesIO, StringIO, TextIOWrapper

import pytest

from flopcount.report import Math, Signed, Table, render, show, to_json

FORMS = ("table", "markdown", "latex", "csv")
TABLE = Table(
    "Cost",
    ("layer", "MAC", "share_%"),
    (
        ("stem", 10_838_016, "8%"),
        ("stage2", 43_130_304, "31%"),
        ("whole", 137_460_672, None),
    ),
    ("one multiply-add is one & not two",),
    frozenset({1}),
)
FORMULA = Math("h*w*(2*c*m/g + 9*m)", r"hw\left(\frac{2cm}{g} + 9m\right)")
ESCAPE = re.compile(r"\x1b\[([\d;]*)m")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def on_a_terminal(table: Table, width: int, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    stream = Terminal()
    show(table, stream)
    return stream.getvalue()


def in_encoding(table: Table, encoding: str) -> str:
    buffer = BytesIO()
    stream = TextIOWrapper(buffer, encoding=encoding)
    show(table, stream)
    stream.flush()
    return buffer.getvalue().decode(encoding)


def cells_of_markdown(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cut = re.compile(r"(?<!\\)\|")
    return [[cell.strip() for cell in cut.split(row)[1:-1]] for row in rows]


@pytest.mark.parametrize("form", ["table", "markdown", "latex"])
def test_people_read_numbers_with_separators(form):
    text = render(TABLE, form)
    assert "137,460,672" in text
    assert "137460672" not in text


def test_programs_read_numbers_as_they_are():
    rows = list(csv.reader(StringIO(render(TABLE, "csv"))))
    assert rows == [
        ["layer", "MAC", "share_%"],
        ["stem", str(10_838_016), "8%"],
        ["stage2", str(43_130_304), "31%"],
        ["whole", str(137_460_672), ""],
    ]


def test_csv_quotes_what_would_end_a_cell():
    table = Table("t", ("a", "b"), (('x, "y"', 1), ("two\nlines", 2)))
    assert list(csv.reader(StringIO(render(table, "csv"), newline=""))) == [
        ["a", "b"],
        ['x, "y"', "1"],
        ["two\nlines", "2"],
    ]


@pytest.mark.parametrize("number", [0, -1_234, 2**63 - 1])
def test_any_whole_number_is_shown_in_full(number):
    table = Table("t", ("a", "b"), (("x", number),))
    assert f"{number:,}" in render(table, "markdown")
    assert render(table, "csv").splitlines()[1] == f"x,{number}"


def test_markdown_is_a_title_a_table_and_its_notes():
    text = render(TABLE, "markdown")
    assert text.startswith("**Cost**\n\n|")
    assert text.endswith("\n\n- one multiply-add is one & not two\n")
    head, line, *rows = cells_of_markdown(text)
    assert head == ["layer", "MAC", "share_%"]
    assert all(set(cell) <= set("-:") for cell in line)
    assert rows == [
        ["stem", "10,838,016", "8%"],
        ["stage2", "43,130,304", "31%"],
        ["whole", "137,460,672", ""],
    ]


def test_markdown_without_notes_ends_with_its_table():
    assert render(Table("t", ("a",), (("x",),)), "markdown").endswith("|\n")


def test_a_bar_in_a_markdown_cell_does_not_end_the_cell():
    _, _, row = cells_of_markdown(render(Table("t", ("a", "b"), (("x|y", 1),)), "markdown"))
    assert len(row) == 2


def test_latex_sets_a_table_between_rules():
    lines = render(TABLE, "latex").splitlines()
    assert lines[:2] == ["% Cost", "% needs \\usepackage{booktabs}"]
    assert lines[2] == "\\begin{tabular}{lrr}"
    kinds = [line.strip() for line in lines if not line.startswith("%")]
    rules = [i for i, line in enumerate(kinds) if line.endswith("rule")]
    rows = [i for i, line in enumerate(kinds) if line.endswith("\\\\")]
    assert [kinds[i] for i in rules] == ["\\toprule", "\\midrule", "\\midrule", "\\bottomrule"]
    assert len(rows) == 1 + 3
    assert rows[2] < rules[2] < rows[3]


def test_latex_of_a_wide_table_breaks_texts_and_headers_and_is_shrunk_to_the_line():
    prose, path = "one text of many short words " * 3, "stage2.unit1.residual.body.compress"
    headers = ("says", "path", "Complexity (MFLOPs)", "A_b")
    table = Table("t", headers, ((prose, path, 1, 2),), left=2)
    lines = render(table, "latex").splitlines()
    assert lines[1] == "% needs \\usepackage{array,booktabs,graphicx}"
    box, begin, columns = lines[2].partition("\\begin{tabular}")
    fit = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"
    assert box == r"\noindent" + fit
    # a path breaks nowhere, and figures stay on their line
    assert (begin, columns) == ("\\begin{tabular}", r"{>{\raggedright\arraybackslash}p{11em}lrr}")
    heads = [head.strip() for head in lines[4].removesuffix(r"\\").split("&")]
    assert heads == ["says", "path", r"\shortstack[r]{Complexity\\(MFLOPs)}", r"A\_b"]
    assert lines[-1] == r"\end{tabular}}"


def test_latex_breaks_a_long_header_where_its_two_lines_are_most_alike():
    headers = ("path", "Peak activations of all", "Cost of all of the layers")
    table = Table("t", headers, (("stage2.unit1.residual.body.compress", 1, 2),))
    heads = render(table, "latex").splitlines()[4].removesuffix(r"\\").split("&")
    assert [head.strip() for head in heads[1:]] == [
        r"\shortstack[r]{Peak activations\\of all}",
        r"\shortstack[r]{Cost of all\\of the layers}",
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("c_in", r"c\_in"),
        ("50%", r"50\%"),
        ("a & b", r"a \& b"),
        ("#1", r"\#1"),
        ("$x", r"\$x"),
        ("{x}", r"\{x\}"),
        ("a\\b", r"a\textbackslash{}b"),
    ],
)
def test_latex_escapes_what_it_would_obey(text, escaped):
    table = Table("t", (f"h{text}", "b"), ((f"c{text}", 1),), (f"n{text}",))
    lines = render(table, "latex").splitlines()
    assert any(line.startswith(f" h{escaped}") for line in lines)
    assert any(line.startswith(f" c{escaped}") for line in lines)
    assert f"\\par n{escaped}" in lines


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("~", r"\textasciitilde{}"), ("^", r"\textasciicircum{}"), ("<", "<"), (">", ">")],
)
def test_latex_notes_write_their_signs_as_text(text, escaped):
    words = {"<": r"\textless{}", ">": r"\textgreater{}"}
    table = Table("t", ("a",), (("x",),), (f"n{text}",))
    assert f"\\par n{words.get(text, escaped)}" in render(table, "latex").splitlines()


def test_latex_sets_a_sign_that_is_no_letter_as_a_formula():
    table = Table("t", ("Δ err.", "b"), (("x", 1),), ("Δ: a difference",))
    text = render(table, "latex")
    assert text.isascii()
    assert "$\\Delta$ err." in text
    assert "\\par $\\Delta$: a difference" in text
    assert "Δ err." in render(table, "markdown")


def test_a_section_after_the_last_row_draws_no_second_rule():
    table = Table("t", ("a", "b"), (("x", 1), ("y", 2)), sections=frozenset({1}))
    assert render(table, "latex").count("\\midrule") == 1


def test_every_section_has_its_rule():
    rows = tuple((f"r{i}", i) for i in range(5))
    table = Table("t", ("a", "b"), rows, sections=frozenset({0, 2}))
    body = render(table, "latex").split("\\midrule\n")
    assert [re.findall(r"r\d", part) for part in body[1:]] == [["r0"], ["r1", "r2"], ["r3", "r4"]]


def test_a_formula_is_set_as_tex_in_latex_and_as_text_elsewhere():
    table = Table("t", ("unit", "MAC"), (("a_b", FORMULA), ("c", Math("x", r"\xi"))))
    latex = render(table, "latex")
    assert f"${FORMULA.tex}$" in latex
    assert r"$\xi$" in latex
    assert FORMULA.text not in latex
    for form in ("table", "markdown", "csv"):
        assert FORMULA.text in render(table, form)
        assert "frac" not in render(table, form)


@pytest.mark.parametrize("many", [1, 11, 120])
def test_every_formula_stands_in_its_own_row(many):
    rows = tuple((f"r{i}r", Math(f"t{i}", f"x_{{{i}}}")) for i in range(many))
    latex = render(Table("t", ("a", "b"), rows), "latex")
    found = re.findall(r"r(\d+)r +& +\$x_\{(\d+)\}\$", latex)
    assert found == [(str(i), str(i)) for i in range(many)]


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_figure_is_an_empty_cell(form):
    text = render(Table("t", ("a", "b"), (("x", None), ("y", 0))), form)
    assert "None" not in text
    assert "0" in text


@pytest.mark.parametrize("form", FORMS)
def test_a_text_of_digits_is_left_as_it_is(form):
    table = Table("t", ("a", "b"), (("007", "1e3"), ("x", "12000")))
    text = render(table, form)
    for cell in ("007", "1e3", "12000"):
        assert cell in text


@pytest.mark.parametrize(("left", "columns"), [(0, "rrr"), (1, "lrr"), (2, "llr"), (3, "lll")])
def test_the_first_columns_stand_left_and_the_others_right(left, columns):
    table = Table("t", ("a", "b", "c"), (("x", 1, 2),), left=left)
    assert f"\\begin{{tabular}}{{{columns}}}" in render(table, "latex")


@pytest.mark.parametrize("form", FORMS)
def test_a_table_without_rows_still_has_its_headers(form):
    text = render(Table("t", ("alpha", "beta"), ()), form)
    assert "alpha" in text
    assert "beta" in text


def test_a_latex_table_without_rows_declares_its_columns():
    text = render(Table("t", ("alpha", "beta"), ()), "latex")
    assert "\\begin{tabular}{lr}" in text


@pytest.mark.parametrize("row", [(), ("x",), ("x", 1, 2)])
def test_a_row_of_wrong_length_is_refused(row):
    with pytest.raises(ValueError, match=f"{len(row)} cells in a row of 2"):
        Table("t", ("a", "b"), (("fine", 1), row))


def test_a_pipe_is_never_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    long, wide = "stage2.unit1.residual.body.compress_norm." * 8, 10**60
    headers = ("layer", *(f"a_rather_long_header_{i}" for i in range(12)))
    table = Table("t", headers, ((long, *(wide + i for i in range(12))),), (f"note {long}",))
    lines = render(table, "table").splitlines()
    (row,) = [line for line in lines if line.lstrip().startswith("stage2")]
    assert row.split() == [long, *(f"{wide + i:,}" for i in range(12))]
    assert any(all(header in line for header in headers) for line in lines)
    assert lines[-1] == f"note {long}"


def test_a_title_longer_than_its_table_stays_in_one_line_of_a_pipe():
    title = "shufflenet 1x, g = 3, 224x224, multiply-adds by the convention of the paper"
    assert title in render(Table(title, ("a",), (("x",),)), "table").splitlines()


def test_a_pipe_has_no_escapes_and_no_blanks_at_the_ends():
    text = render(TABLE, "table")
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert text.endswith("one multiply-add is one & not two\n")


def test_what_is_shown_is_never_read_as_markup():
    table = Table("[bold]t[/bold]", ("[red]a",), (("[blue]x[/blue]",),), ("[i]n",))
    text = render(table, "table")
    for part in ("[bold]t[/bold]", "[red]a", "[blue]x[/blue]", "[i]n"):
        assert part in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_stream_that_is_not_unicode_gets_an_ascii_box(encoding):
    text = in_encoding(TABLE, encoding)
    assert text.isascii()
    assert "+" in text
    assert "137,460,672" in text


def test_a_unicode_stream_gets_a_drawn_line():
    assert "─" in in_encoding(TABLE, "utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_section_stands_apart_on_paper(encoding):
    lines = in_encoding(TABLE, encoding).splitlines()
    first, second, third = (
        next(i for i, line in enumerate(lines) if name in line)
        for name in ("stem", "stage2", "whole")
    )
    assert (second - first, third - second) == (1, 2)


def test_a_terminal_has_its_headers_in_bold(monkeypatch):
    text = on_a_terminal(TABLE, 80, monkeypatch)
    assert re.search(r"\x1b\[1m *layer", text)
    assert "137,460,672" in text
    assert ESCAPE.sub("", text).splitlines()[-1] == "one multiply-add is one & not two"


def test_a_terminal_has_its_title_in_bold(monkeypatch):
    assert re.search(r"\x1b\[1m *Cost", on_a_terminal(TABLE, 80, monkeypatch))


def test_no_color_asks_for_no_colour(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    codes = ESCAPE.findall(on_a_terminal(TABLE, 80, monkeypatch))
    numbers = {int(n) for code in codes for n in code.split(";") if n}
    assert not any(30 <= n <= 49 or 90 <= n <= 107 for n in numbers)


def test_a_dumb_terminal_gets_no_escapes(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in on_a_terminal(TABLE, 80, monkeypatch)


def test_a_narrow_terminal_wraps_prose_and_breaks_no_name_and_no_figure(monkeypatch):
    prose = "leaving the classifier out gives all five printed complexities"
    table = Table("t", ("name", "says", "MAC"), (("paper", prose, 137_460_672),), left=2)
    text = ESCAPE.sub("", on_a_terminal(table, 50, monkeypatch))
    assert max(map(len, text.splitlines())) <= 50
    rows = text[text.index("paper") :].replace("paper", "").replace("137,460,672", "")
    assert rows.split() == prose.split()
    assert "137,460,672" in text


def test_a_table_that_fits_no_terminal_keeps_its_own_width(monkeypatch):
    table = Table("t", ("layer", "MAC"), (("stage2.unit1.body", 137_460_672),))
    text = ESCAPE.sub("", on_a_terminal(table, 20, monkeypatch))
    assert any(line.split() == ["stage2.unit1.body", "137,460,672"] for line in text.splitlines())


@pytest.mark.parametrize(
    ("number", "shown"), [(1_234, "+1,234"), (-1_234, "-1,234"), (0, "+0"), (2**40, f"+{2**40:,}")]
)
def test_people_read_a_difference_with_its_sign_and_programs_the_number(number, shown):
    table = Table("t", ("a", "b"), (("x", Signed(number)),))
    for form in ("table", "markdown", "latex"):
        assert shown in render(table, form)
    assert render(table, "csv").splitlines()[1] == f"x,{number}"


def test_json_is_one_object_of_schema_1_in_the_order_given():
    text = to_json({"macs": 137_460_672, "layers": [{"path": "stem"}], "peak": None})
    assert text.endswith("}\n")
    assert list(json.loads(text).items()) == [
        ("schema", 1),
        ("macs", 137_460_672),
        ("layers", [{"path": "stem"}]),
        ("peak", None),
    ]


def test_json_has_no_number_that_is_none():
    with pytest.raises(ValueError, match="JSON"):
        to_json({"share": float("nan")})
