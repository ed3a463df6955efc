"""Problem files: what they say becomes a problem, and what is wrong in them is quoted."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shufflenet.arch.quantities import QuantityError
from shufflenet.solver.parsing import (
    FIGURE_FORMATS,
    bound_text,
    goal_text,
    near,
    read_end,
    read_goal,
    read_near,
    read_objective,
)
from shufflenet.solver.problem import FIGURES, USUAL, Bound, Goal
from shufflenet.solver.problem_files import load_problem, read_request
from shufflenet.solver.request import ProblemError, Request
from tests.command import EXAMPLES, ROOT

TINY = (EXAMPLES / "tiny.toml").read_text()
WANTED = 'goals = ["most-channels"]\n'


@pytest.fixture
def write(tmp_path: Path):
    """A function that writes a problem file, and a spec beside it."""
    (tmp_path / "tiny.toml").write_text(TINY)

    def written(text: str) -> Path:
        path = tmp_path / "phone.toml"
        path.write_text(text)
        return path

    return written


def documented() -> str:
    text = (ROOT / "docs" / "solving.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    return str(block)


def test_the_file_in_the_documentation_says_what_the_documentation_tells(write):
    problem = load_problem(write(documented()))
    space = problem.space
    assert space.spec.name == "shufflenet"
    assert space.groups == (2, 4, 8)
    assert space.units == ("shufflenet",)
    assert space.bottlenecks == (4,)
    assert space.sizes == ((224, 224), (192, 192))
    assert space.stems == (8, 16, 24)
    assert space.repeats == ((3, 4), (6, 7, 8), (3, 4))
    assert space.ratio == (1, 2, 4)
    assert (space.free, space.widest, space.align) == (False, 2, 8)
    assert problem.goals == (Goal("channels", "most"),)
    assert problem.bounds == (
        Bound("params", most=1_000_000),
        Bound("memory", most=2 * 1024**2),
        Bound("macs", 76_000_000, 84_000_000, "torch"),
    )
    assert problem.convention == "shufflenet-paper"
    assert problem.top == 3


def test_the_file_in_the_documentation_is_the_example():
    assert (EXAMPLES / "phone.toml").read_text() == documented()


def test_every_key_of_a_file_is_in_the_documentation():
    text = (ROOT / "docs" / "solving.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)`", text))
    keys = set(Request.__dataclass_fields__) - {"file", "beside"}
    assert keys | {"at_least", "at_most", "near", "within", "figure", "sense", "nearest"} <= named


def test_what_a_file_leaves_out_is_the_spec_s_own(write):
    problem = load_problem(write('budget = "40M"\n'))
    space = problem.space
    assert (space.spec.name, space.groups, space.units, space.stems) == ("shufflenet", (), (), ())
    assert (space.repeats, space.widths, space.scales, space.ratio) == ((), (), (), None)
    assert problem.goals == (Goal("macs", "nearest", 40_000_000),)
    assert problem.bounds == ()
    assert problem.top == 1


@pytest.mark.parametrize(
    "said",
    [
        '"2-4,4-8:2,1/3"',
        '["2-4", "4-8:2", "1,3"]',
        '["2-4", "4-8:2", "1/3"]',
        '[[2, 3, 4], [4, "6-8:2"], [1, 3]]',
        '["2,3,4", "4,6,8", [1, 3]]',
    ],
)
def test_a_range_for_each_stage_is_written_in_several_ways(write, said: str):
    problem = load_problem(write(f"repeats = {said}\n{WANTED}"))
    assert problem.space.repeats == ((2, 3, 4), (4, 6, 8), (1, 3))


@pytest.mark.parametrize(
    ("said", "stems"),
    [
        ("8", (8,)),
        ('"8-32:8"', (8, 16, 24, 32)),
        ('[8, "16-20:4"]', (8, 16, 20)),
        ('"auto"', tuple(range(1, 25))),
    ],
)
def test_the_stem_is_a_width_several_a_range_or_any(write, said: str, stems: tuple[int, ...]):
    assert load_problem(write(f"stem = {said}\n{WANTED}")).space.stems == stems


def test_any_stem_is_one_of_those_aligned(write):
    space = load_problem(write(f'stem = "auto"\nalign = 8\n{WANTED}')).space
    assert space.stems == (8, 16, 24)


def test_a_value_alone_is_a_list_of_one(write):
    text = 'groups = 4\nunit = "resnet"\nsize = 192\nbottleneck = "1:2"\nscales = "0.5"\n'
    space = load_problem(write(text + WANTED)).space
    assert (space.groups, space.units, space.sizes) == ((4,), ("resnet",), ((192, 192),))
    assert (space.bottlenecks, space.scales) == ((2,), (Decimal("0.5"),))


def test_each_of_several_values_may_be_a_range(write):
    text = 'groups = ["1-3", 8]\nsize = "128-192:32,96x64"\nbottleneck = ["1:2-1:4", "1:8"]\n'
    space = load_problem(write(text + WANTED)).space
    assert space.groups == (1, 2, 3, 8)
    assert space.sizes == ((128, 128), (160, 160), (192, 192), (96, 64))
    assert space.bottlenecks == (2, 3, 4, 8)
    scaled = load_problem(write(f'scales = ["0.1-0.3:0.1", 1]\n{WANTED}')).space.scales
    assert [str(scale) for scale in scaled] == ["0.1", "0.2", "0.3", "1"]


def test_a_spec_file_is_looked_for_beside_the_problem(write):
    path = write(f'spec = "tiny.toml"\n{WANTED}')
    assert load_problem(path).space.spec.name == "tiny"
    assert load_problem(os.path.relpath(path)).space.spec.name == "tiny"


def test_a_budget_bounds_the_cost_where_no_goal_aims_at_it(write):
    problem = load_problem(write(f'budget = "40M"\n{WANTED}'))
    assert problem.bounds == (Bound("macs", most=40_000_000),)
    problem = load_problem(write('budget = "40M"\ngoals = ["at-most"]\n'))
    assert problem.goals == (Goal("macs", "most"),)
    assert problem.bounds == (Bound("macs", most=40_000_000),)
    problem = load_problem(write('budget = "40M"\ngoals = ["nearest", "params"]\n'))
    assert problem.goals == (Goal("macs", "nearest", 40_000_000), Goal("params", "most"))
    assert problem.bounds == ()


def test_goals_are_texts_or_tables(write):
    text = """
    goals = [
      "memory",
      "nearest-params=1M",
      { figure = "macs", nearest = "280M", convention = "torch" },
      { figure = "macs", sense = "least" },
      { figure = "layers" },
    ]
    """
    assert load_problem(write(text)).goals == (
        Goal("memory", "least"),
        Goal("params", "nearest", 1_000_000),
        Goal("macs", "nearest", 280_000_000, "torch"),
        Goal("macs", "least"),
        Goal("layers", "most"),
    )


def test_bounds_of_one_figure_hold_together(write):
    text = """
    [[bounds]]
    figure = "params"
    at_most = "2M"
    [[bounds]]
    figure = "params"
    at_least = 1000
    at_most = "1M"
    [[bounds]]
    figure = "moved"
    at_least = "1.25MB"
    """
    assert load_problem(write(WANTED + text)).bounds == (
        Bound("params", 1000, 1_000_000),
        Bound("moved", 1_250_000),
    )


@given(
    target=st.integers(1, 10**12),
    percent=st.integers(1, 9_999),
    step=st.integers(-3, 3),
)
def test_near_holds_all_within_the_share_and_nothing_else(target: int, percent: int, step: int):
    within = Fraction(percent, 10_000)
    bound = near("params", target, within)
    assert isinstance(bound.least, int)
    assert isinstance(bound.most, int)
    for end in (bound.least, bound.most):
        value = end + step
        assert (bound.least <= value <= bound.most) == (abs(value - target) <= within * target)


def test_a_line_bounds_a_figure_near_a_value_and_in_a_convention_of_its_own():
    assert read_end("params", "1M") == ("", 1_000_000)
    assert read_end("macs", "torch:300M") == ("torch", 300_000_000)
    assert read_near("params", "1M:5%") == Bound("params", 950_000, 1_050_000)
    assert read_near("macs", "torch:280M:0.5%") == Bound("macs", 278_600_000, 281_400_000, "torch")


@pytest.mark.parametrize(
    ("read", "figure", "text", "says"),
    [
        (read_end, "params", "torch:1M", "params 'torch:1M': params knows no convention"),
        (read_end, "macs", "tourch:1M", "macs 'tourch:1M': unknown convention 'tourch': known are"),
        (read_end, "macs", ":1M", "unknown convention ''"),
        (read_end, "macs", "torch:1m", "macs '1m': 'm' is no multiple"),
        (read_near, "macs", "140M", "macs '140M' has no share that it is near to, as 150M:5%"),
        (read_near, "macs", "torch:140M", "has no share"),
        (read_near, "macs", "140M:100%", "share '100%' is not less than 100%"),
    ],
)
def test_a_bound_on_a_line_that_is_none_is_quoted_with_its_rule(read, figure, text: str, says: str):
    with pytest.raises(QuantityError, match=re.escape(says)):
        read(figure, text)


@pytest.mark.parametrize("figure", USUAL)
@pytest.mark.parametrize("sense", ["least", "most"])
def test_every_goal_is_read_as_it_is_named(figure, sense):
    assert read_goal(f"{sense}-{figure}") == Goal(figure, sense)
    assert read_goal(figure) == Goal(figure, USUAL[figure])
    target = FIGURE_FORMATS[figure].read(FIGURE_FORMATS[figure].example)
    assert read_goal(f"nearest-{figure}={FIGURE_FORMATS[figure].example}") == Goal(
        figure, "nearest", target
    )


def test_every_figure_has_its_words_and_reads_its_example():
    assert tuple(FIGURE_FORMATS) == FIGURES
    assert all(words.read(words.example) > 0 for words in FIGURE_FORMATS.values())


def test_the_objective_of_one_may_be_the_most_within_a_budget():
    assert read_objective("at-most") == "at-most"
    assert read_objective("nearest") == Goal("macs", "nearest")
    with pytest.raises(QuantityError, match="'at-most'"):
        read_goal("at-most")


def test_goals_and_bounds_are_told_with_their_figures():
    assert goal_text(Goal("channels", "most")) == "most channels"
    assert goal_text(Goal("macs", "nearest", 140_000_000)) == "nearest macs to 140,000,000"
    assert bound_text(Bound("macs", 1, 2_000, "torch")) == (
        "macs (torch) at least 1 and at most 2,000"
    )


FAULTS = {
    "a typo in a key": ('grups = [1]\ngoals = ["macs"]', ("'grups'", "unknown key", "groups")),
    "an unknown spec": (f'spec = "nope"\n{WANTED}', ("'spec'", "'nope'", "bundled are")),
    "a spec that is not there": (f'spec = "nope.toml"\n{WANTED}', ("'spec'", "nope.toml")),
    "a spec as a number": (f"spec = 3\n{WANTED}", ("'spec'", "3", "printable text")),
    "groups of 0": (f"groups = [0]\n{WANTED}", ("'groups'", "0", "between 1 and 1024")),
    "groups as words": (f'groups = ["one"]\n{WANTED}', ("'groups'", "'one'", "whole number")),
    "a range of groups": (f'groups = "8-1"\n{WANTED}', ("'groups'", "'8-1'", "holds nothing")),
    "groups twice, by a range": (f'groups = [2, "1-3"]\n{WANTED}', ("'groups'", "twice")),
    "a range of sizes": (f'size = "96x64-128"\n{WANTED}', ("'size'", "'96x64-128'", "128-224:32")),
    "a range of bottlenecks": (f'bottleneck = "1:2-4"\n{WANTED}', ("'1:2-4'", "1:2-1:4")),
    "a range of scales": (f'scales = "0.5-1"\n{WANTED}', ("'scales'", "'0.5-1'", "step")),
    "a scale as a float": (f"scales = [0.5]\n{WANTED}", ("'scales'", "0.5", "text", '"0.5"')),
    "a scale below 0": (f"scales = [-1]\n{WANTED}", ("'scales'", "-1 is below 0")),
    "a stem as a float": (f"stem = 8.5\n{WANTED}", ("'stem'", "8.5", '"8.5"')),
    "groups as true": (f"groups = true\n{WANTED}", ("'groups'", "True", "whole number")),
    "groups twice": (f"groups = [2, 2]\n{WANTED}", ("'groups'", "[2, 2]", "twice")),
    "no groups": (f"groups = []\n{WANTED}", ("'groups'", "empty")),
    "an unknown unit": (f'unit = ["nope"]\n{WANTED}', ("'unit'", "'nope'")),
    "a plain layer": (f'unit = "conv"\n{WANTED}', ("'unit'", "conv", "plain layer")),
    "a unit of one's own": (f'unit = "own:unit"\n{WANTED}', ("'unit'", "'own:unit'")),
    "a bottleneck": (f'bottleneck = ["1-4"]\n{WANTED}', ("'bottleneck'", "'1-4'", "1:4")),
    "a bottleneck of 0": (f'bottleneck = ["1:0"]\n{WANTED}', ("'bottleneck'", "0")),
    "a size": (f'size = ["wide"]\n{WANTED}', ("'size'", "'wide'", "480x640")),
    "repeats of two stages": (f'repeats = "2,3"\n{WANTED}', ("repeats", "2 given", "3 stages")),
    "repeats that are empty": (
        f'repeats = ["4-2", "1", "1"]\n{WANTED}',
        ("'repeats'", "'4-2'", "holds nothing"),
    ),
    "a step of 0": (f'repeats = "2-4:0,1,1"\n{WANTED}', ("'repeats'", "'2-4:0'")),
    "repeats of 0": (f"repeats = [0, 1, 1]\n{WANTED}", ("'repeats'", "0", "between 1 and 1000")),
    "too many repeats": (f'repeats = "1,1001,1"\n{WANTED}', ("'repeats'", "1001", "1000")),
    "a stage of nothing": (f"repeats = [[], 1, 1]\n{WANTED}", ("'repeats'", "empty")),
    "a repeat below 0": (f"repeats = [-1, 1, 1]\n{WANTED}", ("'repeats'", "-1")),
    "a stem too wide": (f"stem = 1048577\n{WANTED}", ("'stem'", "1048577", "1048576")),
    "a stem of words": (f'stem = "wide"\n{WANTED}', ("'stem'", "'wide'", "range such as")),
    "a stem twice": (f'stem = "8-12,12"\n{WANTED}', ("'stem'", "'8-12,12'", "twice")),
    "widths of one stage": (f'widths = "8-64"\n{WANTED}', ("widths", "1 given", "3 stages")),
    "a ratio": (f'ratio = "1:2"\n{WANTED}', ("ratio", "2 given", "3 stages")),
    "a ratio of words": (f'ratio = "a:b"\n{WANTED}', ("'ratio'", "'a:b'")),
    "a ratio and free stages": (
        f'free_stages = true\nratio = "1:2:4"\n{WANTED}',
        ("'free_stages' true", "'ratio' 1:2:4"),
    ),
    "free stages as a text": (f'free_stages = "yes"\n{WANTED}', ("'free_stages'", "'yes'")),
    "scales and widths": (
        f'scales = ["1"]\nwidths = "8,8,8"\n{WANTED}',
        ("'scales' 1:", "'widths' 8,8,8"),
    ),
    "scales and a stem": (
        f'scales = ["0.5-1:0.25"]\nstem = "8-96:8"\n{WANTED}',
        ("'scales' 0.5,0.75,1:", "'stem' 8,16,...,96"),
    ),
    "a scale": (f'scales = ["half"]\n{WANTED}', ("'scales'", "'half'", "0.5")),
    "widest": (f"widest = 0\n{WANTED}", ("'widest'", "0", "between 1 and 1000")),
    "align": (f'align = "8"\n{WANTED}', ("'align'", "'8'", "whole number")),
    "a convention": (f'convention = "nope"\n{WANTED}', ("'convention'", "'nope'")),
    "a budget": ('budget = "40m"', ("'budget'", "'40m'", "milli")),
    "top": (f"top = 0\n{WANTED}", ("'top'", "0", "between 1 and 1000")),
    "no goal and no budget": ("groups = [1]", ("'budget'", "missing", "'nearest'")),
    "at most and no budget": ('goals = ["at-most"]', ("'budget'", "missing", "'at-most'")),
    "at most beside another": (
        'goals = ["at-most", "macs"]',
        ("'goals'", "'at-most' stands alone"),
    ),
    "an aim of 0": (
        'goals = [{ figure = "params", nearest = 0 }]',
        ("goal 1", "'nearest'", "params '0' is not above zero"),
    ),
    "no goals": ("goals = []", ("'goals'", "empty")),
    "goals as a text": ('goals = "macs"', ("'goals'", "'macs'", "list")),
    "an unknown sense": ('goals = ["best-macs"]', ("'goals'", "'best-macs'", "least-")),
    "an unknown figure": ('goals = ["most-fun"]', ("'goals'", "'most-fun'", "channels")),
    "a goal of a ratio": (
        'goals = ["most-intensity"]',
        ("'most-intensity'", "one of macs"),
    ),
    "no target": ('goals = ["nearest-params"]', ("'goals'", "'nearest-params'", "target")),
    "a target of the least": ('goals = ["least-macs=4"]', ("'goals'", "'least-macs=4'", "target")),
    "a goal twice": ('goals = ["macs", "least-macs"]', ("least-macs", "twice")),
    "a goal of two senses": (
        'goals = [{ figure = "macs", sense = "least", nearest = 4 }]',
        ("goal 1", "'sense'", "'nearest'"),
    ),
    "a goal's convention": (
        'goals = [{ figure = "params", convention = "torch" }]',
        ("goal 1", "'convention'", "params", "torch"),
    ),
    "a goal that is a number": ("goals = [1, 2]", ("'goals'", "1", "table")),
    "a goal of no figure": ('goals = [{ sense = "most" }]', ("goal 1", "'figure'", "missing")),
}
BOUNDS = {
    "no figure": ("at_most = 3", ("'figure'", "missing")),
    "an unknown figure": ('figure = "fun"\nat_most = 3', ("'figure'", "'fun'", "params")),
    "an unknown key": ('figure = "macs"\nmost = 3', ("'most'", "unknown key", "at_most")),
    "no end": ('figure = "macs"', ("at_least, at_most and near",)),
    "what is no number": ('figure = "macs"\nat_most = "much"', ("'at_most'", "'much'")),
    "a float": ('figure = "macs"\nat_most = 1.5', ("'at_most'", "1.5", "text", '"1.5"')),
    "below 0": ('figure = "macs"\nat_most = -1', ("'at_most'", "-1 is below 0")),
    "a ratio": ('figure = "intensity"\nat_most = "1.5"', ("'figure'", "'intensity'", "macs")),
    "moved": ('figure = "moved"\nat_most = "0"', ("'at_most'", "moved '0' is not above zero")),
    "a share as a float": ('figure = "macs"\nnear = 5\nwithin = 0.05', ("'within'", '"5%"')),
    "ends that cross": ('figure = "macs"\nat_least = 3\nat_most = 2', ("'at_least'", "3", "2")),
    "memory": ('figure = "memory"\nat_most = "2MB?"', ("'at_most'", "'2MB?'")),
    "near without within": ('figure = "macs"\nnear = "1M"', ("'within'", "missing")),
    "within alone": ('figure = "macs"\nat_most = 3\nwithin = "5%"', ("'within'", "'near'")),
    "near and an end": (
        'figure = "macs"\nnear = "1M"\nwithin = "5%"\nat_most = 3',
        ("'at_most'", "'near'"),
    ),
    "within no share": ('figure = "macs"\nnear = "1M"\nwithin = "5"', ("'within'", "'5'", "5%")),
    "within all": ('figure = "macs"\nnear = "1M"\nwithin = "100%"', ("'within'", "'100%'")),
    "a convention": ('figure = "macs"\nat_most = 3\nconvention = "no"', ("'convention'", "'no'")),
    "one of layers": (
        'figure = "layers"\nat_most = 3\nconvention = "torch"',
        ("'convention'", "layers", "torch"),
    ),
}
FAULTS |= {
    f"a bound: {name}": (f"{WANTED}[[bounds]]\n{text}", ("bound 1", *quotes))
    for name, (text, quotes) in BOUNDS.items()
}


@pytest.mark.parametrize(("text", "quotes"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_quoted_with_its_file_key_value_and_rule(write, text: str, quotes):
    path = write(text)
    with pytest.raises(ProblemError) as caught:
        load_problem(path)
    said = str(caught.value)
    assert all(line.startswith(f"{path}: ") for line in said.split("\n"))
    # One line says all of it; only of a list may there be another, with another item's fault.
    assert [quote for quote in quotes if quote not in said.split("\n")[0]] == []


def test_bounds_that_leave_nothing_between_them_are_refused(write):
    text = '[[bounds]]\nfigure = "params"\nat_most = 5\n[[bounds]]\nfigure = "params"\nat_least = 6'
    with pytest.raises(ProblemError, match="params: at least 6 and at most 5"):
        load_problem(write(WANTED + text))


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"groups = [", "not TOML"), (b"unit = '\xff'", "UTF-8"), (b"#" * 1_000_001, "1000000 bytes")],
)
def test_what_is_no_problem_file_is_refused(tmp_path: Path, data: bytes, says: str):
    path = tmp_path / "phone.toml"
    path.write_bytes(data)
    with pytest.raises(ProblemError, match=says) as caught:
        load_problem(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_is_none_is_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.toml")
    for name, says in (("", "regular"), ("pipe.toml", "regular"), ("no.toml", "No such file")):
        with pytest.raises(ProblemError, match=says):
            load_problem(tmp_path / name)


def test_what_is_laid_over_a_request_replaces_it_but_for_bounds_which_add_up(write):
    path = write(f'groups = [1, 2]\nwidest = 2\n{WANTED}[[bounds]]\nfigure = "macs"\nat_most = 9\n')
    over = Request(groups=(4,), bounds=(Bound("macs", most=8), Bound("params", most=7)))
    request = over.over(read_request(path))
    assert (request.groups, request.widest) == ((4,), 2)
    assert request.goals == (Goal("channels", "most"),)
    assert request.problem().bounds == (Bound("macs", most=8), Bound("params", most=7))


def test_a_ratio_and_free_stages_replace_each_other(write):
    free = read_request(write(f"free_stages = true\n{WANTED}"))
    assert Request(ratio=(1, 2, 4)).over(free).problem().space.ratio == (1, 2, 4)
    kept = read_request(write(f'ratio = "1:1:1"\n{WANTED}'))
    space = Request(free_stages=True).over(kept).problem().space
    assert (space.free, space.ratio) == (True, None)


def test_an_error_of_a_file_under_options_names_both(write):
    path = write(f"scales = ['1']\n{WANTED}")
    with pytest.raises(
        ProblemError, match=r"with the options given: 'scales' 1: .* --widths 8,8,8 "
    ):
        Request(widths=((8,), (8,), (8,))).over(read_request(path)).problem()
