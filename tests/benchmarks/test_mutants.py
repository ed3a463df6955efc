"""The mutations in ``benchmarks/mutations``: each fits the sources exactly once, on every floor."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.command import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from mutants import worse
from mutations import MUTATIONS, Mutation
from mutations.edits import (
    PACKAGES,
    MisfitError,
    Sources,
    misfits,
    mutated,
    place,
    same_syntax,
    test_file,
)

# pytest would take it for a test.
find_test_file = test_file
del test_file

FEWEST = 60
_SAMPLE = """
class Box:
    side: int = 3

    def area(self) -> int:
        if self.side < 0:
            raise ValueError("no side")
        return self.side * self.side

def outer() -> int:
    def inner() -> int:
        return 1 + 1
    return inner() + 1
"""


@cache
def sources() -> Sources:
    return Sources.below(ROOT)


@pytest.fixture
def sample(tmp_path: Path) -> Sources:
    for package in PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / PACKAGES[0] / "boxes.py").write_text(_SAMPLE, encoding="utf-8")
    return Sources.below(tmp_path)


def edited(sample: Sources, function: str, find: str, replace: str) -> str:
    mutation = Mutation("sample", function, find, replace, ())
    return ast.unparse(mutated(mutation, sample)[1])


def test_every_mutation_fits_the_sources_and_its_tests_exactly_once() -> None:
    assert misfits(MUTATIONS, sources(), ROOT / "tests") == []


def test_there_are_enough_mutations_and_their_names_are_unique() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert len(names) >= FEWEST
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_every_package_has_mutations() -> None:
    faces = ("__init__.py", "__main__.py", "_version.py")
    packages = {path.parent for path in sources().trees if path.name not in faces}
    assert packages - {place(mutation, sources()).parent for mutation in MUTATIONS} == set()


def test_a_mutation_that_is_applied_changes_its_copy_of_a_file_alone() -> None:
    for mutation in MUTATIONS:
        find, replace = ast.parse(mutation.find), ast.parse(mutation.replace)
        assert not same_syntax(find, replace), mutation.name
    for mutation in MUTATIONS[::20]:
        path, tree = mutated(mutation, sources())
        assert not same_syntax(tree, sources().trees[path]), mutation.name
        assert same_syntax(ast.parse(sources().texts[path]), sources().trees[path]), mutation.name


def test_no_mutation_is_caught_by_a_test_of_the_house() -> None:
    items = {item for mutation in MUTATIONS for item in mutation.tests}
    assert not {item for item in items if "house" in item or "mutants" in item}


def test_an_expression_is_found_however_it_is_written(sample: Sources) -> None:
    text = edited(sample, "Box.area", "(self.side\n  *self.side)", "6 * self.side ** 2")
    assert "return 6 * self.side ** 2" in text


def test_a_statement_is_dropped_or_replaced_by_several(sample: Sources) -> None:
    wrong = 'raise ValueError("no side")'
    assert "raise" not in edited(sample, "Box.area", wrong, "pass")
    assert "x = 1\n            return x" in edited(sample, "Box.area", wrong, "x = 1\nreturn x")


def test_a_nested_function_and_a_field_have_qualified_names(sample: Sources) -> None:
    assert "return 1 - 1" in edited(sample, "outer.inner", "1 + 1", "1 - 1")
    assert "side: int = 4" in edited(sample, "Box.side", "3", "4")


@pytest.mark.parametrize(
    ("function", "find", "replace", "reason"),
    [
        ("Box.size", "1", "2", "no function 'Box.size'"),
        ("Box.area", "self.width", "1", "is 0 times in 'Box.area' (flopcount/boxes.py)"),
        ("Box.area", "self.side", "1", "is 3 times in 'Box.area' (flopcount/boxes.py)"),
        ("Box.area", "self.side *", "1", "invalid syntax"),
        ("Box.area", "x = 1\ny = 2", "1", "replaces one thing by some"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_with_a_line_that_names_it(
    sample: Sources, function: str, find: str, replace: str, reason: str
) -> None:
    mutation = Mutation("lost_edit", function, find, replace, ())
    with pytest.raises(MisfitError) as caught:
        mutated(mutation, sample)
    line = str(caught.value)
    assert line.startswith("mutation lost_edit does not fit: ")
    assert reason in line
    assert "\n" not in line


def test_tests_are_found_by_stem_in_any_folder() -> None:
    files = [Path("tests/layers/test_cost.py"), Path("tests/cost/test_cost.py")]
    assert find_test_file("layers/test_cost", files) == files[0]
    with pytest.raises(MisfitError, match="test file test_cost is there 2 times"):
        find_test_file("test_cost", files)
    with pytest.raises(MisfitError, match="test file test_gone is there 0 times"):
        find_test_file("test_gone", files)


def test_a_mutation_without_its_tests_or_with_anothers_name_is_told(sample: Sources) -> None:
    good = Mutation("same", "outer.inner", "1 + 1", "1", ("test_mutants",))
    lost = Mutation("same", "outer.inner", "1 + 1", "1", ("test_gone", "test_mutants::test_gone"))
    assert misfits([good, lost], sample, ROOT / "tests") == [
        "mutation same is there twice",
        "mutation same does not fit: test file test_gone is there 0 times",
        "mutation same does not fit: test file test_mutants has no test test_gone",
    ]


def of(**caught: bool) -> dict[str, object]:
    return {"mutations": [{"name": name, "caught": found} for name, found in caught.items()]}


def test_a_record_is_worse_where_a_mutation_is_lost_or_the_share_falls() -> None:
    old = of(one=True, two=True, three=False)
    assert worse(of(one=True, two=True, three=True), old, some=False) == []
    assert worse(of(one=True), old, some=True) == []
    lost = worse(of(one=True, two=False, three=True), old, some=False)
    assert lost == ["two: was caught, and is not"]
    gone = worse(of(one=True, three=True), old, some=False)
    assert gone == ["two: was caught, and is not there any more"]
    fallen = worse(of(one=True, two=True, three=False, four=False), old, some=False)
    assert fallen == ["2 of 4 are caught, and 2 of 3 were"]
