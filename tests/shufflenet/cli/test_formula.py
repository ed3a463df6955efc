"""``shufflecost formula``: the cost of a unit, derived."""

from __future__ import annotations

import pytest

from tests.command import EXAMPLES, confirmed, fails, needs_torch, ran, run

FORMULAS = {
    "shufflenet": "h*w*(2*c*m/g + 9*m)",
    "resnet": "h*w*(2*c*m + 9*m**2)",
    "resnext": "h*w*(2*c*m + 9*m**2/g)",
    "xception": "h*w*(2*c*m + 9*m)",
    "vgg": "18*c**2*h*w",
    # ShuffleNet v2: two 1x1 on half of the channels, one depthwise convolution
    "shufflenet_v2": "h*w*(c**2/2 + 9*c/2)",
    "separable": "h*w*(c**2 + 9*c)",
    "inverted": "h*w*(12*c**2 + 54*c)",
    "xception_block": "h*w*(2*c**2 + 18*c)",
    "fire": "6*c*h*m*w",
}
NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}


def test_the_formulas_are_those_of_the_papers():
    found = ran("formula", "--format", "json").json
    assert list(found) == ["schema", "formulas"]
    assert {item["unit"]: item["formula"] for item in found["formulas"]} == FORMULAS
    for item in found["formulas"]:
        assert list(item) == ["unit", "formula", "latex", "confirmed"]
        assert item["confirmed"] is None


@pytest.mark.parametrize("name", list(FORMULAS))
def test_the_table_shows_the_formula_of_every_unit(name: str):
    (line,) = [line for line in ran("formula").out.splitlines() if line.split()[:1] == [name]]
    assert line.partition(name)[2].strip() == FORMULAS[name]


def test_the_units_come_in_the_order_given():
    found = ran("formula", "resnext", "shufflenet", "--format", "json").json["formulas"]
    assert [item["unit"] for item in found] == ["resnext", "shufflenet"]
    assert [item["formula"] for item in found] == [FORMULAS["resnext"], FORMULAS["shufflenet"]]


def test_latex_sets_the_formula_as_mathematics():
    shown = ran("formula", "shufflenet", "--format", "latex").out
    assert r"$h w \left(\frac{2 c m}{g} + 9 m\right)$" in shown
    assert "MATH0000" not in shown
    (entry,) = ran("formula", "shufflenet", "--format", "json").json["formulas"]
    assert f"${entry['latex']}$" in shown


def test_a_unit_of_ones_own_has_its_formula_derived_where_it_is_allowed():
    args = ("formula", "own_units:inverted", "--units-from", "own_units", "--format", "json")
    outcome = run(*args, cwd=EXAMPLES, env=NO_BYTECODE)
    (entry,) = outcome.json["formulas"]
    h, w, c = 3, 5, 8
    value = eval(entry["formula"], {"h": h, "w": w, "c": c})
    assert value == h * w * (6 * c * c + 9 * 6 * c + 6 * c * c)


def test_the_code_of_a_unit_is_not_run_unless_it_is_allowed(tmp_path):
    (tmp_path / "loud.py").write_text("raise SystemExit('it ran')\n")
    for more in ((), ("--units-from", "lou"), ("--units-from", "loud.part")):
        outcome = run("formula", "loud:unit", *more, cwd=tmp_path, env=NO_BYTECODE)
        fails(outcome, 2, "'loud:unit'", "--units-from loud")
    allowed = run("formula", "loud:unit", "--units-from", "loud", cwd=tmp_path, env=NO_BYTECODE)
    assert "it ran" in allowed.err


@needs_torch
def test_every_formula_is_confirmed_by_units_that_were_built_and_counted():
    found = confirmed()["formula"].json["formulas"]
    assert [item["confirmed"] for item in found] == [True] * len(FORMULAS)
    own = confirmed()["own formula"]
    assert (own.code, own.err) == (0, "")
    assert "Confirmed by hooks" in own.out
    assert "yes" in own.out.split()


def test_without_torch_the_formulas_are_the_same():
    assert run("formula", "resnet", torch=False) == ran("formula", "resnet")


def test_without_torch_confirm_is_refused_in_one_line():
    fails(run("formula", "--confirm", torch=False), 2, "--confirm", "shufflecost[torch]")
