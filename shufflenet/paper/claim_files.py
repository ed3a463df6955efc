"""TOML into claims. Every error is a ClaimError, which names file, claim, key, value and rule.

A file holds one table of a paper, or its text, as a list of claims. Those that come with the
package are in ``specs/claims``, apart from the definitions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple, cast, get_args

from flopcount.toml_reader import (
    TomlTable,
    list_of,
    one_of,
    parsed_by,
    printable,
    read_file,
    shown,
    text,
    whole,
    wrong,
)
from shufflenet.arch.layout import DEFAULT_CARDINALITY
from shufflenet.arch.quantities import (
    MAX_GROUPS,
    MAX_WIDTH,
    read_budget,
    read_scale,
    read_size,
)
from shufflenet.arch.spec_reader import bundled, folder
from shufflenet.paper.claims import DERIVED, Claim, ClaimError, Says, Sheet, Subject

# What settles the widths of a network that has no scale.
_SETTLING = ("scale", "like", "budget", "width", "widths")
_MOST_CLAIMS = 2_000
_TEXT = text(200)
_GROUPS = whole(1, MAX_GROUPS)


def load_claims(path: str | os.PathLike[str] | None = None) -> tuple[Sheet, ...]:
    """The claims of a file, or all that come with the package, table by table and then the text.

    Raises ClaimError where a file cannot be read, or a claim breaks a rule.
    """
    if path is not None:
        files = {os.fspath(path): os.fspath(path)}
    else:
        here = os.path.join(folder(), "claims")
        names = sorted(name for name in os.listdir(here) if name.endswith(".toml"))
        files = {f"specs/claims/{name}": os.path.join(here, name) for name in names}
    return _settled(
        [
            read_file(file, partial(_sheet, file=printable(name)), ClaimError, name)
            for name, file in files.items()
        ]
    )


class _NetworkTable(NamedTuple):
    """The network of a claim, and the names of the claims that settle its widths."""

    subject: Subject | None = None
    like: tuple[str, ...] = ()
    widths: tuple[str, ...] = ()


class _Draft(NamedTuple):
    """A claim whose references to others are still names."""

    claim: Claim
    where: str
    like: tuple[str, ...]
    widths: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


def _sheet(table: TomlTable, file: str) -> tuple[Sheet, list[_Draft]]:
    number = table.take("table", whole(1, 99), None)
    page = "text" if number is None else str(number)
    claims = table.tables("claims", partial(_drafts, page=page, file=file))
    title, source, stub = (table.take(key, _TEXT) for key in ("title", "source", "stub"))
    drafts = [draft for claim in claims for draft in claim]
    if not table.faults and not 0 < len(drafts) <= _MOST_CLAIMS:
        table.fault(None, f"{len(drafts)} claims is not 1 to {_MOST_CLAIMS}")
    return table.build(Sheet, page, title, source, stub, (), file), drafts


def _drafts(table: TomlTable, page: str, file: str) -> list[_Draft]:
    """The claim, or where it is of several networks one for each."""
    row, column = table.take("row", _TEXT), table.take("column", _TEXT)
    if not table.faults:
        table.label(f"{row}, {column}")
    if "network" in table and "networks" in table:
        table.fault("networks", "there is a 'network', too")
    nominal = "networks" in table
    several = table.tables("networks", partial(_network, nominal=True))
    one = table.below("network", partial(_network, nominal=False), _NetworkTable())
    says = cast(Says, table.take("says", one_of(get_args(Says))))
    printed = table.take("printed", _TEXT)
    pairs = table.take("pairs", list_of(_pair, "pairs"), ())
    also = table.take("also", list_of(_TEXT, "texts"), ())
    label, note = table.take("label", _TEXT, ""), table.take("note", _TEXT, "")
    table.settle()
    # Stands in for the claims of the pairs, which are not all read yet.
    stand_in = Claim(page, "", "", "error", "0")
    found = []
    for network in several if nominal else (one,):
        claim = table.build(
            Claim,
            page=page,
            row=row,
            column=column,
            says=says,
            printed=printed,
            subject=network.subject,
            pairs=((stand_in, stand_in),) * len(pairs),
            also=also,
            label=label,
            note=note,
            nominal=nominal,
        )
        where = f"{file}: {table.where}"
        found.append(_Draft(claim, where, network.like, network.widths, pairs))
    return found


def _network(table: TomlTable, nominal: bool) -> _NetworkTable:
    if not any(key in table for key in _SETTLING):
        table.fault(None, "neither a 'scale' nor a 'like' or 'budget' settles its widths")
    like, widths = (table.take(key, _name, ()) for key in ("like", "widths"))
    subject = table.build(
        Subject,
        spec=table.take("spec", parsed_by(_spec, _TEXT), *([""] if "unit" in table else [])),
        groups=table.take("groups", _GROUPS, None),
        scale=table.take("scale", parsed_by(read_scale, _TEXT), None),
        unit=table.take("unit", _TEXT, "") or None,
        cardinality=table.take("cardinality", _GROUPS, DEFAULT_CARDINALITY),
        layer=table.take("layer", _TEXT, ""),
        width=table.take("width", whole(1, MAX_WIDTH), None),
        budget=table.take("budget", parsed_by(read_budget, _TEXT), None),
        image=table.take("image", lambda value: read_size(_TEXT(value))[0], None),
        name=table.take("name", _TEXT, *([] if nominal else [""])),
    )
    return _NetworkTable(subject, like, widths)


def _spec(name: str) -> str:
    if name and name not in bundled():
        raise ClaimError(f"unknown spec {shown(name)}; bundled are {', '.join(bundled())}")
    return name


def _name(value: object) -> tuple[str, ...]:
    return (_TEXT(value),)


def _pair(value: object) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise wrong(value, "two claims")
    return _TEXT(value[0]), _TEXT(value[1])


def _settled(read: list[tuple[Sheet, list[_Draft]]]) -> tuple[Sheet, ...]:
    """The sheets with every reference resolved."""
    drafts: dict[str, _Draft] = {}
    for _, found in read:
        for draft in found:
            if draft.claim.key in drafts:
                raise ClaimError(f"{draft.where}: {draft.claim.key!r} is claimed twice")
            drafts[draft.claim.key] = draft
    subjects: dict[str, Subject | None] = {}
    for key in drafts:
        _resolve(key, drafts, subjects, ())
    claims = {
        key: _with_subject(draft, subjects[key]) for key, draft in drafts.items() if not draft.pairs
    }
    for key, draft in drafts.items():
        if draft.pairs:
            pairs = tuple(
                (_other(draft, one, drafts, claims), _other(draft, two, drafts, claims))
                for one, two in draft.pairs
            )
            claims[key] = replace(draft.claim, pairs=pairs)
    sheets = [
        replace(sheet, claims=tuple(claims[draft.claim.key] for draft in found))
        for sheet, found in read
    ]
    return tuple(sorted(sheets, key=_order))


def _with_subject(draft: _Draft, subject: Subject | None) -> Claim:
    try:
        return replace(draft.claim, subject=subject)
    except ClaimError as error:
        raise ClaimError(f"{draft.where}: {error}") from error


def _order(sheet: Sheet) -> tuple[bool, int]:
    """Table by table, and the text last."""
    return sheet.page == "text", 0 if sheet.page == "text" else int(sheet.page)


def _resolve(
    key: str,
    drafts: Mapping[str, _Draft],
    done: dict[str, Subject | None],
    asked: tuple[str, ...],
) -> Subject | None:
    draft = drafts[key]
    if key in asked:
        raise ClaimError(f"{draft.where}: 'like' {key!r} leads back to itself")
    if key not in done:
        subject = draft.claim.subject
        for name in draft.like:
            other = drafts.get(name)
            if other is None or other.claim.says != "complexity" or other.claim.subject is None:
                raise ClaimError(
                    f"{draft.where}: 'like' {shown(name)} is no claim of a network's complexity"
                )
            assert subject is not None
            subject = subject._replace(like=_resolve(name, drafts, done, (*asked, key)))
        for name in draft.widths:
            assert subject is not None
            subject = subject._replace(stage=_stage(draft, name, drafts))
        done[key] = subject
    return done[key]


def _stage(draft: _Draft, name: str, drafts: Mapping[str, _Draft]) -> tuple[str, int]:
    """The row and the width [channels] that another claim prints of the network of a claim."""
    ours, other = draft.claim.subject, drafts.get(name)
    theirs = other.claim.subject if other is not None and other.claim.says == "channels" else None
    if other is None or ours is None or theirs is None or _made_of(ours) != _made_of(theirs):
        raise ClaimError(f"{draft.where}: 'widths' {shown(name)} is no claim of its channels")
    if not other.claim.printed.isdecimal():
        raise ClaimError(
            f"{draft.where}: 'widths' {shown(name)}: {other.claim.printed} is no whole number"
        )
    return theirs.layer, int(other.claim.printed)


def _made_of(subject: Subject) -> tuple[object, ...]:
    return subject.spec, subject.groups, subject.unit, subject.cardinality


def _other(
    draft: _Draft, name: str, drafts: Mapping[str, _Draft], claims: Mapping[str, Claim]
) -> Claim:
    if name not in drafts:
        raise ClaimError(f"{draft.where}: 'pairs' {shown(name)} is no claim")
    if drafts[name].claim.says in DERIVED:
        raise ClaimError(f"{draft.where}: 'pairs' {shown(name)} is derived itself")
    return claims[name]
