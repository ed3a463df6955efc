"""``shufflecost solve-widths`` over a design space: variables, bounds, objectives, fronts."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from flopcount.conventions import price
from shufflenet.arch.network import network
from shufflenet.arch.scaling import NothingLegalError
from shufflenet.arch.spec import SpecError
from shufflenet.arch.spec_reader import load
from shufflenet.solver.answers import answer, answers_json
from shufflenet.solver.engine.optimise import optimise
from shufflenet.solver.problem import Goal, Problem, Space
from shufflenet.solver.problem_files import load_problem
from shufflenet.solver.tables import answers_table
from tests.command import EXAMPLES, ROOT, Outcome, cells, fails, needs_torch, ran, run, run_together

TINY = str(EXAMPLES / "tiny.toml")
OLD_KEYS = ["schema", "spec", "unit", "input", "budget", "convention", "policy", "solutions"]
KEYS = ["schema", "spec", "convention", "latency", "goals", "bounds", "answers", "solutions"]
SOLVE = ("solve-widths", "--no-confirm")
# Small enough that brute force over the scalar fold takes no time.
SMALL = ("--spec", TINY, "--stem", "8-24:8", "--free-stages", "--widths", "32-96:16,64-192:32")
STEMS, STAGE2, STAGE3 = range(8, 25, 8), range(32, 97, 16), range(64, 193, 32)


def solved(*args: str) -> Any:
    return ran(*SOLVE, *args, "--format", "json").json


def best(*args: str) -> Any:
    (only,) = solved(*args)["solutions"]
    return only


def small() -> list[dict[str, Any]]:
    """Every legal network of the small space with its figures, by the scalar fold."""
    found = []
    for stem, two, three in product(STEMS, STAGE2, STAGE3):
        try:
            net = network(load(TINY), stem=stem, widths=(two, three))
        except (SpecError, NothingLegalError):
            continue
        tally = net.tally()
        found.append(
            {
                "stem": stem,
                "widths": [two, three],
                "macs": price(tally, "shufflenet-paper"),
                "params": tally.params,
                "memory": tally.peak_memory,
                "channels": two + three,
            }
        )
    return found


def as_small(solution: Any) -> dict[str, Any]:
    renamed = solution | {"memory": solution["peak_activation_bytes"]}
    keys = ("stem", "widths", "macs", "params", "memory", "channels")
    return {key: renamed[key] for key in keys}


@pytest.mark.parametrize(
    "args",
    [
        ("--budget", "9M"),
        ("--budget", "9M", "--stem", "8-16:4", "--top", "2"),
        ("--budget", "9M", "--unit", "resnet", "--size", "64", "--policy", "at-most"),
    ],
)
def test_a_budget_alone_is_answered_as_ever(args: tuple[str, ...]):
    assert list(solved("--spec", TINY, *args)) == [*OLD_KEYS, "with_stem_auto"]


@pytest.mark.parametrize(
    "more",
    [
        ("--free-stages",),
        ("--repeats", "2-3,1"),
        ("--bottleneck", "1:4"),
        ("--unit", "resnet,shufflenet"),
        ("--size", "96,64"),
        ("--scales", "0.5,1"),
        ("--widths", "32-64,64-128"),
        ("--widest", "2"),
        ("--align", "8"),
        ("--max-params", "1M"),
        ("--min-layers", "2"),
        ("--objective", "least-params"),
        ("--each-groups",),
    ],
)
def test_any_option_of_a_space_makes_it_one(more: tuple[str, ...]):
    found = solved("--spec", TINY, "--budget", "9M", "--widest", "2", *more)
    assert list(found) == KEYS
    (answer,) = found["answers"]
    assert answer["points"] is None
    assert answer["candidates"] > 0


def test_the_space_holds_exactly_its_legal_networks():
    (answer,) = solved(*SMALL, "--objective", "least-macs")["answers"]
    assert answer["candidates"] == len(small())


@pytest.mark.parametrize("figure", ["macs", "params", "memory", "channels"])
@pytest.mark.parametrize("sense", ["least", "most"])
def test_the_best_is_the_best_of_all(sense: str, figure: str):
    found = best(*SMALL, "--objective", f"{sense}-{figure}", "--max-macs", "12M")
    within = [net for net in small() if net["macs"] <= 12_000_000]
    sign = -1 if sense == "most" else 1
    first = min(within, key=lambda n: (sign * n[figure], n["macs"], n["stem"], n["widths"]))
    assert as_small(found) == first


def test_every_network_shown_is_within_its_bounds():
    bounds = ("--max-macs", "12M", "--max-params", "60k", "--min-channels", "200")
    found = solved(*SMALL, "--objective", "memory", *bounds, "--top", "50")["solutions"]
    within = [
        net
        for net in small()
        if net["macs"] <= 12_000_000 and net["params"] <= 60_000 and net["channels"] >= 200
    ]
    assert len(found) == min(50, len(within))
    order = sorted(within, key=lambda n: (n["memory"], n["macs"], n["stem"], n["widths"]))
    assert [as_small(net) for net in found] == order[: len(found)]
    assert [net["rank"] for net in found] == list(range(1, len(found) + 1))


def test_a_bound_holds_to_the_unit():
    least = best(*SMALL, "--objective", "least-params")["params"]
    kept = (*SMALL, "--objective", "most-macs", "--max-params")
    assert best(*kept, str(least))["params"] == least
    outcome = run(*SOLVE, *kept, str(least - 1))
    line = fails(outcome, 1, "params")
    assert str(least) in line.replace(",", "")


def test_a_budget_is_the_target_of_the_nearest_and_else_a_bound():
    nearest = solved(*SMALL, "--budget", "9M")
    assert nearest["goals"] == [
        {"figure": "macs", "sense": "nearest", "target": 9_000_000, "convention": None}
    ]
    assert nearest["bounds"] == []
    (only,) = nearest["solutions"]
    assert only["residual"] == only["macs"] - 9_000_000
    assert abs(only["residual"]) == min(abs(net["macs"] - 9_000_000) for net in small())
    for wish in (("--objective", "at-most"), ("--policy", "at-most")):
        within = solved(*SMALL, "--budget", "9M", *wish)
        assert within["bounds"][0]["at_most"] == 9_000_000
        assert within["solutions"][0]["macs"] == max(
            net["macs"] for net in small() if net["macs"] <= 9_000_000
        )
    other = solved(*SMALL, "--budget", "9M", "--objective", "channels")
    assert other["bounds"][0]["at_most"] == 9_000_000
    assert other["solutions"][0]["residual"] is None


def test_a_target_may_be_of_any_figure():
    found = best(*SMALL, "--objective", "nearest-params=50k")
    assert abs(found["residual"]) == min(abs(net["params"] - 50_000) for net in small())
    assert found["residual"] == found["params"] - 50_000


def test_each_of_several_values_may_be_a_range():
    fixed = ("--spec", TINY, "--widest", "1", "--objective", "macs", "--top", "1000")
    for ranged, named in (
        (("--size", "64-128:32", "--groups", "1-2"), ("--size", "64,96,128", "--groups", "1,2")),
        (("--bottleneck", "1:2-1:4"), ("--bottleneck", "1:2,1:3,1:4")),
    ):
        assert solved(*fixed, *ranged) == solved(*fixed, *named)
    scaled = ("--spec", TINY, "--objective", "macs", "--top", "9", "--scales")
    assert solved(*scaled, "0.25-1:0.25") == solved(*scaled, "0.25,0.5,0.75,1")


def test_a_range_of_groups_has_an_answer_each_where_a_budget_is_all_that_is_asked():
    asked_of = ("--spec", TINY, "--budget", "9M", "--groups")
    assert solved(*asked_of, "1-2") == solved(*asked_of, "1,2")


def test_a_figure_is_kept_near_a_value():
    found = solved(*SMALL, "--objective", "channels", "--near-params", "50k:2%", "--top", "50")
    within = [net for net in small() if 49_000 <= net["params"] <= 51_000]
    assert {net["params"] for net in found["solutions"]} <= {net["params"] for net in within}
    assert len(found["solutions"]) == min(50, len(within)) > 0
    (bound,) = found["bounds"]
    assert (bound["at_least"], bound["at_most"]) == (49_000, 51_000)


def test_a_bound_may_be_priced_by_a_convention_of_its_own(folder: Path):
    line = ("--max-macs", "12M", "--max-macs", "torch:20M", "--near-macs", "fvcore:10M:9%")
    found = solved(*SMALL, "--objective", "channels", *line)
    assert [(bound["convention"], bound["at_most"]) for bound in found["bounds"]] == [
        (None, 12_000_000),
        ("torch", 20_000_000),
        ("fvcore", 10_900_000),
    ]
    (net,) = found["solutions"]
    tally = network(load(TINY), stem=net["stem"], widths=net["widths"]).tally()
    assert price(tally, "torch") <= 20_000_000
    assert 9_100_000 <= price(tally, "fvcore") <= 10_900_000
    said = ran(*SOLVE, *SMALL, "--objective", "channels", *line).out
    assert "macs (torch) at most 20,000,000" in said
    table = '[[bounds]]\nfigure = "macs"\n'
    more = f'{table}at_most = "20M"\nconvention = "torch"\n'
    more += f'{table}near = "10M"\nwithin = "9%"\nconvention = "fvcore"\n'
    (folder / "phone.toml").write_text(PHONE + more)
    json = ("--no-confirm", "--format", "json")
    assert run("solve-widths", "--problem", "phone.toml", *json, cwd=folder).json == found


def test_groups_without_a_legal_network_are_named():
    space = Space(load(TINY), groups=(1, 7), widest=1)
    outcome = optimise(Problem(space, (Goal("macs", "least"),)))
    item = answer(replace(outcome, without=(7,)), 1)
    assert "g = 7: no legal network in the space" in answers_table([item]).notes
    assert answers_json([item])["answers"][0]["without"] == [7]


WIDE = ("--groups", "1,2,3,4,8", "--max-macs", "140M", "--objective", "most-channels")


def test_groups_are_a_variable_like_the_others():
    over_all = best(*WIDE)
    each = solved(*WIDE, "--each-groups")
    assert [answer["groups"] for answer in each["answers"]] == [1, 2, 3, 4, 8]
    assert [net["groups"] for net in each["solutions"]] == [1, 2, 3, 4, 8]
    widest = max(each["solutions"], key=lambda net: (net["channels"], -net["macs"]))
    assert over_all["groups"] == widest["groups"]
    assert over_all["widths"] == widest["widths"]
    assert over_all["candidates"] == sum(answer["candidates"] for answer in each["answers"])


def test_more_groups_buy_wider_stages_at_the_paper_s_budget():
    widths = [net["channels"] for net in solved(*WIDE, "--each-groups")["solutions"]]
    assert widths == sorted(widths)
    assert len(set(widths)) == 5


def test_of_each_groups_what_fits_is_shown_beside_what_does_not():
    args = ("--groups", "3,8", "--stem", "12", "--max-macs", "40M", "--objective", "most-channels")
    outcome = run(*SOLVE, *args, "--each-groups", "--format", "csv")
    assert outcome.code == 1
    assert "g = 3" in outcome.out.splitlines()[0]
    assert "g = 8" not in outcome.out.splitlines()[0]
    assert "shufflecost: g = 8: " in outcome.err


FRONT = (*SMALL, "--pareto", "macs,params,channels")


def front() -> list[tuple[int, int, int]]:
    """The front of the small space: least macs, most params, most channels."""
    points = {(net["macs"], -net["params"], -net["channels"]) for net in small()}
    return sorted(
        p
        for p in points
        if not any(q != p and all(b <= a for a, b in zip(p, q, strict=True)) for q in points)
    )


def test_the_front_is_whole():
    found = solved(*FRONT, "--top", "1000")
    (answer,) = found["answers"]
    points = [(n["macs"], -n["params"], -n["channels"]) for n in found["solutions"]]
    assert sorted(points) == front()
    assert answer["points"] == len(points)
    assert [point[0] for point in points] == sorted(point[0] for point in points)


def test_a_long_front_is_shown_evenly_spread_with_both_ends():
    whole = solved(*FRONT, "--top", "1000")["solutions"]
    assert len(whole) > 7
    found = solved(*FRONT, "--top", "7")
    (answer,) = found["answers"]
    assert answer["points"] == len(whole)
    ranks = [net["rank"] for net in found["solutions"]]
    assert len(ranks) == 7
    assert (ranks[0], ranks[-1]) == (1, len(whole))
    steps = {b - a for a, b in pairwise(ranks)}
    assert max(steps) - min(steps) <= 1
    assert found["solutions"] == [whole[rank - 1] for rank in ranks]


def test_the_table_says_how_much_of_a_front_it_shows():
    points = len(front())
    shown = ran(*SOLVE, *FRONT, "--top", "7")
    assert (shown.code, shown.err) == (0, "")
    assert f"the whole front of {len(small()):,} legal networks is {points:,} points" in shown.out
    assert "shown: 7 of them, evenly spread, both ends among them; --top shows more" in shown.out
    body = [cells(line) for line in shown.out.splitlines() if re.match(r"\d+ ", line)]
    assert len(body) == 7
    listed = ran(*SOLVE, *FRONT, "--top", "7", "--format", "csv")
    assert len(listed.out.splitlines()) == 8
    assert "shown: 7 of them" in listed.err


def test_few_networks_of_the_same_rows_stand_as_table_1():
    shown = ran(*SOLVE, *SMALL, "--objective", "params", "--top", "3").out
    lines = shown.splitlines()
    assert lines[0] == "Tiny: most params" or lines[0].endswith(": most params")
    assert cells(lines[2])[:5] == ["Layer", "Output", "KSize", "Stride", "Repeat"]
    assert "g = 1, #3" in lines[2]
    assert f"proven the best of {len(small()):,} legal networks" in shown


def test_networks_of_other_repeats_stand_in_a_list():
    args = ("--spec", TINY, "--repeats", "2-4,1", "--widest", "1", "--objective", "macs")
    shown = ran(*SOLVE, *args, "--top", "4").out
    head, _, *rows = shown.splitlines()[2:]
    assert cells(head)[:4] == ["#", "g", "Stem", "Widths"]
    assert "Repeats" in cells(head)
    assert cells(rows[0])[4] == "2, 1"
    found = solved(*args, "--top", "4")["solutions"]
    assert len({tuple(net["repeats"]) for net in found}) > 1


def test_units_sizes_and_bottlenecks_vary_together():
    args = ("--spec", TINY, "--unit", "shufflenet,resnet", "--size", "64,96x64", "--widest", "1")
    found = solved(*args, "--bottleneck", "1:2,1:4", "--objective", "macs", "--top", "40")
    nets = found["solutions"]
    told = {(n["unit"], n["input"]["height"], n["input"]["width"], n["bottleneck"]) for n in nets}
    assert len(told) > 4
    assert {unit for unit, *_ in told} <= {"shufflenet", "resnet"}
    shown = ran(*SOLVE, *args, "--bottleneck", "1:2,1:4", "--objective", "macs", "--top", "40").out
    assert {"Unit", "Size", "Bottleneck"} <= set(cells(shown.splitlines()[2]))


def test_scales_give_the_table_s_own_networks():
    found = best("--groups", "3", "--scales", "0.25,0.5,1", "--objective", "nearest-macs=38M")
    half = ran("table", "--groups", "3", "--scale", "0.5", "--format", "json").json["columns"][0]
    assert (found["widths"], found["macs"]) == (half["widths"], half["macs"])


def test_every_width_is_aligned():
    found = solved(
        *("--spec", TINY, "--stem", "auto", "--free-stages", "--widest", "1", "--align", "16"),
        *("--objective", "channels", "--max-macs", "9M", "--top", "20"),
    )["solutions"]
    assert found
    assert [w for net in found for w in (net["stem"], *net["widths"]) if w % 16] == []


def test_a_stage_at_the_edge_of_the_space_is_named():
    args = ("--spec", TINY, "--widest", "1", "--objective", "most-params")
    (answer,) = solved(*args)["answers"]
    assert answer["edge"] == ["Stage2", "Stage3"]
    shown = ran(*SOLVE, *args).out
    assert "Stage3 is as wide as the space allows; --widest or --widths can allow more" in shown


def test_ties_are_said_to_exist_or_listed():
    args = ("--spec", TINY, "--widest", "1", "--objective", "layers")
    (only,) = solved(*args)["solutions"]
    assert only["unique"] is False
    assert "others are as good: lower cost first" in ran(*SOLVE, *args).out
    every = solved(*args, "--top", "1000")["solutions"]
    shown = ran(*SOLVE, *args, "--top", "1000").out
    assert f"the first {len(every)} are equally good: lower cost first" in shown


PHONE = """
spec = "tiny.toml"
free_stages = true
stem = "8-24:8"
widths = "32-96:16,64-192:32"
goals = ["channels"]

[[bounds]]
figure = "macs"
at_most = "12M"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(Path(TINY).read_text())
    (tmp_path / "phone.toml").write_text(PHONE)
    return tmp_path


def asked(folder: Path, *commands: tuple[str, ...]) -> list[Outcome]:
    """Runs in a folder, in one process."""
    return run_together(*(("solve-widths", *args) for args in commands), cwd=folder)


def test_a_problem_in_a_file_is_what_its_options_ask(folder: Path):
    json = ("--no-confirm", "--format", "json")
    (outcome,) = asked(folder, ("--problem", "phone.toml", *json))
    assert outcome.json == solved(*SMALL, "--objective", "channels", "--max-macs", "12M")


def test_options_come_before_the_file_and_bounds_add_up(folder: Path):
    json = ("--no-confirm", "--format", "json")
    file = ("--problem", "phone.toml")
    over, tighter, budget = asked(
        folder,
        (*file, "--objective", "params", "--max-params", "60k", *json),
        (*file, "--max-macs", "10M", *json),
        (*file, "--budget", "9M", "--objective", "nearest", *json),
    )
    assert over.json["goals"][0]["figure"] == "params"
    assert [bound["at_most"] for bound in over.json["bounds"]] == [12_000_000, 60_000]
    assert [bound["at_most"] for bound in tighter.json["bounds"]] == [10_000_000]
    assert budget.json["goals"][0]["target"] == 9_000_000


def test_the_documented_problem_keeps_its_bounds():
    args = ("--problem", str(ROOT / "examples" / "phone.toml"), "--format", "json", "--no-confirm")
    found = ran("solve-widths", *args).json["solutions"]
    assert len(found) == 3
    for net in found:
        assert net["params"] <= 1_000_000
        assert net["peak_activation_bytes"] <= 2 * 1024**2
        # the classifier's multiply-adds are torch's too
        assert 76_000_000 <= 2 * (net["macs"] + 1_000 * net["widths"][-1]) <= 84_000_000


def test_python_gives_the_same_answer_to_a_problem_file():
    path = ROOT / "examples" / "phone.toml"
    outcome = optimise(load_problem(path))
    args = ("--problem", str(path), "--format", "json", "--no-confirm")
    shown = ran("solve-widths", *args).json["solutions"]
    assert [list(found.network.stage_widths) for found in outcome.solutions] == [
        net["widths"] for net in shown
    ]
    assert [net["candidates"] for net in shown] == [outcome.candidates] * 3


@needs_torch
def test_every_network_shown_is_confirmed():
    outcome = run("solve-widths", *FRONT, "--top", "3", "--format", "json")
    assert [net["confirmed"] for net in outcome.json["solutions"]] == [True] * 3
    for net in outcome.json["solutions"]:
        assert len(set(net["witnesses"].values())) == 1


def test_a_network_is_saved_as_a_spec_that_other_commands_take(folder: Path):
    args = ("--problem", "phone.toml", "--no-confirm", "--format", "json")
    old = ("--spec", "tiny.toml", "--budget", "9M", "--no-confirm", "--format", "json")
    both = asked(folder, (*args, "--save", "my-net.toml"), (*old, "--save", "old.toml"))
    for outcome, name in zip(both, ("my-net.toml", "old.toml"), strict=True):
        (net,) = outcome.json["solutions"]
        cost = run("cost", name, "--format", "json", cwd=folder).json
        for key in ("stem", "widths", "macs", "params", "peak_activation_bytes"):
            assert cost[key] == net[key]


_MISCOUNT = """
from shufflenet.nn import confirm as confirmation
right = confirmation.torch_flops
confirmation.torch_flops = lambda module, shape: right(module, shape) | {"fc.linear": 0}
"""


@needs_torch
def test_a_network_on_which_the_witnesses_disagree_is_not_saved(folder: Path):
    space = ("solve-widths", "--problem", "phone.toml", "--save", "a.toml")
    budget = ("solve-widths", "--spec", "tiny.toml", "--budget", "9M", "--save", "b.toml")
    for outcome in run_together(space, budget, before=_MISCOUNT, cwd=folder):
        assert outcome.code == 1
        assert ".toml: not written, as the witnesses disagree" in outcome.err
        assert "NO" in outcome.out.split()
    assert sorted(path.name for path in folder.iterdir()) == ["phone.toml", "tiny.toml"]


def test_of_a_spec_and_a_result_neither_is_written_where_one_cannot_be(folder: Path):
    before = sorted(path.name for path in folder.iterdir())
    args = ("--problem", "phone.toml", "--no-confirm")
    both = asked(
        folder,
        (*args, "--save", "missing/my-net.toml", "-o", "a.txt"),
        (*args, "--save", "my-net.toml", "-o", "missing/a.txt"),
    )
    for outcome in both:
        fails(outcome, 2, "missing/", "cannot be written")
    assert sorted(path.name for path in folder.iterdir()) == before
    run("solve-widths", *args, "--save", "my-net.toml", "-o", "a.txt", cwd=folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*before, "a.txt", "my-net.toml"]
    )


def test_a_spec_that_cannot_be_saved_is_one_error_and_shows_nothing(folder: Path):
    args = ("--problem", "phone.toml", "--no-confirm", "--save", "missing/my-net.toml")
    fails(run("solve-widths", *args, cwd=folder), 2, "missing/my-net.toml", "cannot be written")


USAGE = {
    "nothing": ((), ("'--budget'",)),
    "a space without a goal": (("--free-stages",), ("'--budget'", "--objective")),
    "nearest without a budget": (("--objective", "nearest"), ("'--budget'",)),
    "at most without a budget": (("--objective", "at-most"), ("'--budget'", "at-most")),
    "two wishes": (
        ("--objective", "macs", "--pareto", "macs,params"),
        ("--objective", "--pareto"),
    ),
    "a wish and a policy": (
        ("--objective", "macs", "--policy", "nearest", "--budget", "9M"),
        ("--objective", "--policy"),
    ),
    "an unknown objective": (("--objective", "fun"), ("'--objective'", "'fun'", "channels")),
    "a front of one": (("--pareto", "macs"), ("'--pareto'", "'macs'", "two or more")),
    "a goal twice": (("--pareto", "macs,least-macs"), ("'--pareto'", "twice")),
    "intensity": (("--objective", "most-intensity"), ("'most-intensity'", "one of macs")),
    "no target": (("--objective", "nearest-params"), ("'nearest-params'", "target")),
    "a bound": (("--max-params", "1m"), ("'--max-params'", "'1m'")),
    "memory": (("--max-memory", "2MB?"), ("'--max-memory'", "'2MB?'")),
    "layers": (("--min-layers", "few"), ("'--min-layers'", "'few'")),
    "a bound of a ratio": (("--max-intensity", "2"), ("'--max-intensity'", "No such option")),
    "bounds that cross": (
        ("--objective", "macs", "--min-params", "9", "--max-params", "8"),
        ("params", "9", "8"),
    ),
    "repeats": (("--repeats", "2-6,x"), ("'--repeats'", "'x'")),
    "repeats of two stages": (
        ("--repeats", "2,3", "--objective", "macs"),
        ("repeats", "2 given", "Stage4"),
    ),
    "widths": (("--widths", "8-4"), ("'--widths'", "'8-4'", "holds nothing")),
    "a bottleneck": (("--bottleneck", "4"), ("'--bottleneck'", "'4'", "1:4")),
    "scales": (("--scales", "1,1"), ("'--scales'", "'1,1'", "twice")),
    "sizes": (("--size", "224,224x224"), ("'--size'", "twice")),
    "widest": (("--widest", "0"), ("'--widest'", "0")),
    "align": (("--align", "eight"), ("'--align'", "'eight'")),
    "an unknown unit": (
        ("--unit", "resnet,nope", "--objective", "macs"),
        ("unknown unit 'nope'", "shufflenet, "),
    ),
    "a ratio of free stages": (
        ("--free-stages", "--ratio", "1:2:4", "--objective", "macs"),
        ("--free-stages: free stages keep no ratio", "--ratio 1:2:4 "),
    ),
    "scales and widths": (
        ("--scales", "1", "--widths", "8,8,8", "--objective", "macs"),
        ("--scales 1: scales settle all widths", "--widths 8,8,8 "),
    ),
    "scales and a stem": (
        ("--scales", "0.5,1", "--stem", "24", "--objective", "macs"),
        ("--scales 0.5,1: ", "--stem 24 cannot"),
    ),
    "a range of scales": (("--scales", "0.25-1"), ("'--scales'", "'0.25-1'", "0.25-1:0.25")),
    "a range of sizes": (("--size", "96x64-128"), ("'--size'", "'96x64-128'", "128-224:32")),
    "a range of bottlenecks": (("--bottleneck", "1:4-1:2"), ("'1:4-1:2'", "holds nothing")),
    "a range of groups": (("--groups", "1-"), ("'--groups'", "'1-'")),
    "at most among others": (("--pareto", "at-most,macs"), ("'--pareto'", "'at-most' stands")),
    "near nothing": (("--near-macs", "140M"), ("'--near-macs'", "'140M'", "150M:5%")),
    "a convention of params": (("--max-params", "torch:1M"), ("'--max-params'", "no convention")),
    "an unknown convention": (("--max-macs", "nope:1M"), ("'--max-macs'", "'nope'", "torch")),
    "a file without a goal or a budget": (
        ("--problem", "empty.toml"),
        ("empty.toml: 'budget': missing", "'nearest'", "--budget"),
    ),
    "an objective beside a file without a budget": (
        ("--problem", "phone.toml", "--objective", "at-most"),
        ("phone.toml, with the options given: 'budget': missing", "'at-most'", "--budget"),
    ),
    "a front saved": (("--pareto", "macs,params", "--save", "a.toml"), ("--save", "--pareto")),
    "several saved": (
        ("--objective", "macs", "--top", "2", "--save", "a.toml"),
        ("--save", "--top 1"),
    ),
    "several groups saved": (
        ("--budget", "9M", "--groups", "1,2", "--save", "a.toml"),
        ("--save", "--groups", "--objective"),
    ),
    "each of several groups saved": (
        ("--budget", "9M", "--groups", "1,2", "--each-groups", "--save", "a.toml"),
        ("--save", "--each-groups"),
    ),
    "several of a budget saved": (
        ("--budget", "9M", "--top", "2", "--save", "a.toml"),
        ("--save", "--top 1"),
    ),
    "saved as no spec": (("--budget", "9M", "--save", "a.txt"), ("--save", "'a.txt'", ".toml")),
    "saved where the result goes": (
        ("--budget", "9M", "--save", "a.toml", "-o", "./a.toml"),
        ("--save", "-o"),
    ),
    "a problem that is not there": (("--problem", "no.toml"), ("no.toml", "No such file")),
}


def test_what_cannot_be_asked_is_one_line_and_writes_nothing(folder: Path):
    (folder / "empty.toml").touch()
    outcomes = asked(folder, *((*args, "--no-confirm") for args, _ in USAGE.values()))
    missed = {}
    for (name, (_, quotes)), outcome in zip(USAGE.items(), outcomes, strict=True):
        line = fails(outcome, 2)
        missed[name] = [quote for quote in quotes if quote not in line]
    assert {name: quotes for name, quotes in missed.items() if quotes} == {}
    left = ["empty.toml", "phone.toml", "tiny.toml"]
    assert sorted(path.name for path in folder.iterdir()) == left


def test_a_fault_of_a_problem_file_is_quoted_with_file_key_value_and_rule(folder: Path):
    (folder / "bad.toml").write_text(PHONE.replace('"12M"', '"12m"'))
    outcome = run(*SOLVE, "--problem", "bad.toml", cwd=folder)
    fails(outcome, 2, "bad.toml", "bound 1", "'at_most'", "'12m'", "milli")


def test_nothing_within_the_bounds_is_one_line_and_exit_1():
    outcome = run(*SOLVE, *SMALL, "--objective", "channels", "--max-params", "10")
    fails(outcome, 1, "params")


def test_every_key_of_the_json_is_documented():
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]*)`", text))))
    printed = ran(*SOLVE, *FRONT, "--max-macs", "12M", "--top", "2", "--format", "json").out
    keys = set(re.findall(r'"([a-z_]+)":', printed)) - {"schema"}
    assert {"answers", "points", "edge", "goals", "bounds"} <= keys
    assert keys - documented == set()


def test_the_help_shows_both_bounds_of_a_figure_on_a_line():
    said = ran("solve-widths", "--help").out
    bounds = said.partition("\nBounds:\n")[2].partition("\n\n")[0]
    for figure in ("macs", "params", "memory", "moved", "layers", "channels"):
        assert f"--max-{figure}, --min-{figure}" in bounds
    assert "--near-FIGURE" in bounds
    assert "torch:150M" in bounds
    assert "Design space:" in said
