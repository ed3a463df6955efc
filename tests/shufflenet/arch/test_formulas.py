"""The closed forms of Sec. 3.2 and the fold over the units' trees are one and the same."""

from __future__ import annotations

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from flopcount.conventions import price
from flopcount.entries import Shape
from flopcount.integers import lift
from flopcount.layers import Layer, Shuffle, cost
from shufflenet.arch.formulas import (
    derive,
    formula,
    latex,
    resnet_unit,
    resnext_unit,
    shufflenet_unit,
)
from shufflenet.units import UNITS, Place, Unit, UnitError, made

H, W, C, M, G = sympy.symbols("h w c m g", positive=True, integer=True)

#: Sec. 3.2 as printed, then what Sec. 4.2 says of the others.
PRINTED = {
    "resnet": H * W * (2 * C * M + 9 * M**2),
    "resnext": H * W * (2 * C * M + 9 * M**2 / G),
    "shufflenet": H * W * (2 * C * M / G + 9 * M),
    "xception": H * W * (2 * C * M + 9 * M),
    "vgg": H * W * 2 * 9 * C * C,
}


@pytest.mark.parametrize("name", PRINTED)
def test_the_formula_of_a_unit_derived_from_its_tree_is_the_papers(name: str) -> None:
    assert sympy.simplify(derive(UNITS[name]) - PRINTED[name]) == 0


def test_the_quoted_closed_forms_are_the_papers() -> None:
    h, w, c, m, g = (lift(symbol) for symbol in (H, W, C, M, G))
    assert sympy.simplify(resnet_unit(c, h, w, m) - PRINTED["resnet"]) == 0
    assert sympy.simplify(resnext_unit(c, h, w, m, g) - PRINTED["resnext"]) == 0
    assert sympy.simplify(shufflenet_unit(c, h, w, m, g) - PRINTED["shufflenet"]) == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet", "h*w*(2*c*m + 9*m**2)"),
        ("resnext", "h*w*(2*c*m + 9*m**2/g)"),
        ("shufflenet", "h*w*(2*c*m/g + 9*m)"),
        ("xception", "h*w*(2*c*m + 9*m)"),
        ("vgg", "18*c**2*h*w"),
    ],
)
def test_a_formula_reads_as_the_paper_prints_it(name: str, text: str) -> None:
    assert formula(UNITS[name]) == text


def test_a_formula_in_latex_is_in_the_papers_letters() -> None:
    assert latex(UNITS["resnet"]) == r"h w \left(2 c m + 9 m^{2}\right)"
    assert latex(UNITS["shufflenet"]) == r"h w \left(\frac{2 c m}{g} + 9 m\right)"


sides = st.integers(1, 300)
groups = st.integers(1, 64)
times = st.integers(1, 40)


def folded(name: str, h: int, w: int, c: int, m: int, g: int) -> int:
    """The cost that the fold finds over whole numbers, all layers with weights."""
    layer = made(UNITS[name], Place(c, c, m, 1, g))
    return price(cost.count(layer, Shape(1, c, h, w), memory=False), "macs")


@given(h=sides, w=sides, g=groups, a=times, b=times)
@settings(deadline=None, max_examples=100)
def test_the_fold_over_whole_numbers_is_the_sum_of_its_taps(
    h: int, w: int, g: int, a: int, b: int
) -> None:
    c, m = a * g, b * g
    # One sum for each output element of each layer: as many taps as it has inputs.
    pointwise = h * w * m * c + h * w * c * m
    grouped = h * w * m * a + h * w * c * b
    assert folded("resnet", h, w, c, m, g) == pointwise + h * w * m * (3 * 3 * m)
    assert folded("resnext", h, w, c, m, g) == pointwise + h * w * m * (3 * 3 * b)
    assert folded("shufflenet", h, w, c, m, g) == grouped + h * w * m * (3 * 3)
    assert folded("xception", h, w, c, m, g) == pointwise + h * w * m * (3 * 3)
    assert folded("vgg", h, w, c, m, g) == 2 * h * w * c * (3 * 3 * c)


@given(h=sides, w=sides, g=groups, a=times, b=times)
@settings(deadline=None, max_examples=100)
def test_the_closed_forms_over_whole_numbers_are_the_sum_of_the_taps(
    h: int, w: int, g: int, a: int, b: int
) -> None:
    c, m = a * g, b * g
    sites = h * w
    assert resnet_unit(c, h, w, m) == sites * c * m + sites * m * 9 * m + sites * m * c
    assert resnext_unit(c, h, w, m, g) == sites * c * m + sites * m * 9 * b + sites * m * c
    assert shufflenet_unit(c, h, w, m, g) == sites * m * a + sites * m * 9 + sites * c * b


@given(h=sides, w=sides, g=st.integers(2, 64), a=times, b=times)
@settings(deadline=None, max_examples=100)
def test_a_shufflenet_unit_costs_less_than_the_others_under_the_same_settings(
    h: int, w: int, g: int, a: int, b: int
) -> None:
    # Sec. 3.2: "our structure has less complexity under the same settings"
    c, m = a * g, b * g
    ours = folded("shufflenet", h, w, c, m, g)
    assert ours < folded("resnext", h, w, c, m, g) < folded("resnet", h, w, c, m, g)


@pytest.mark.parametrize("name", PRINTED)
@given(h=sides, w=sides, g=groups, a=times, b=times)
@settings(deadline=None, max_examples=20)
def test_a_derived_formula_is_python_that_gives_the_cost(
    name: str, h: int, w: int, g: int, a: int, b: int
) -> None:
    c, m = a * g, b * g
    value = sympy.sympify(formula(UNITS[name]), locals={"h": H, "w": W, "c": C, "m": M, "g": G})
    at = value.subs({H: h, W: w, C: c, M: m, G: g})
    assert at == folded(name, h, w, c, m, g)


def test_a_unit_that_compares_its_widths_has_no_formula() -> None:
    def picky(place: Place) -> Layer:
        return Shuffle(max(place.c_in, 8))

    with pytest.raises(UnitError, match=r"unit mine:picky has no formula: .*truth value"):
        derive(Unit("mine:picky", picky, "compares"))
