"""TOML into claims. Every error is a ClaimError, which names file, claim, key, value and rule.

A file holds one table of a paper, or its text, as a list of claims. Those that come with the
package are in ``specs/claims``, apart from the definitions.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple, cast

from flopcount import toml_reader
from flopcount.toml_reader import TomlError, shown
from shufflenet.arch.quantities import (
    QuantityError,
    check_groups,
    check_width,
    read_budget,
    read_scale,
    read_size,
)
from shufflenet.arch.spec_reader import bundled, folder
from shufflenet.paper.claims import DERIVED, Claim, ClaimError, Says, Sheet, Subject

_SHEET_KEYS = ("table", "title", "source", "stub", "claims")
_CLAIM_KEYS = (
    *("row", "column", "says", "printed", "network", "networks"),
    *("pairs", "also", "label", "note"),
)
_NETWORK_KEYS = (
    *("name", "spec", "groups", "scale", "unit", "cardinality"),
    *("layer", "width", "widths", "budget", "image", "like"),
)
# What settles the widths of a network that has no scale.
_SETTLING = {"like", "budget", "width", "widths"}
_MOST_CLAIMS = 2_000
_MOST_TABLES = 99
_LONGEST = 200


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
    return _settled([_read(file, shown) for shown, file in files.items()])


class _Draft(NamedTuple):
    """A claim whose references to others are still names."""

    claim: Claim
    where: str
    like: tuple[str, ...]
    widths: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


def _read(path: str, shown: str) -> tuple[Sheet, list[_Draft]]:
    try:
        table = toml_reader.parsed(toml_reader.read(path))
        reader = _Reader(table, "")
        reader.only(_SHEET_KEYS)
        number = reader.whole("table", 1)
        if not 1 <= number <= _MOST_TABLES:
            raise ClaimError(f"'table': {number} is not between 1 and {_MOST_TABLES}")
        page = str(number) if "table" in table else "text"
        title, source, stub = (reader.text(key) for key in ("title", "source", "stub"))
        sheet = Sheet(page, title, source, stub, (), shown)
        drafts = [draft for item in reader.tables("claims") for draft in item.drafts(page)]
    except (TomlError, ClaimError) as error:
        raise ClaimError(f"{shown}: {error}") from error
    if not 0 < len(drafts) <= _MOST_CLAIMS:
        raise ClaimError(f"{shown}: {len(drafts)} claims is not 1 to {_MOST_CLAIMS}")
    return sheet, [draft._replace(where=f"{shown}: {draft.where}") for draft in drafts]


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


class _Reader(NamedTuple):
    """One TOML table, and where it stands; every value is taken with its type checked."""

    table: dict[str, Any]
    where: str

    def drafts(self, page: str) -> Iterator[_Draft]:
        """The claim, or where it is of several networks one for each."""
        self.only(_CLAIM_KEYS)
        row, column = self.text("row"), self.text("column")
        reader = _Reader(self.table, f"{self.where} ({row}, {column})")
        if "network" in self.table and "networks" in self.table:
            raise ClaimError(f"{reader.at('networks')}: there is a 'network', too")
        nominal = "networks" in self.table
        networks: list[_Reader | None] = [*reader.tables("networks")] if nominal else [None]
        if "network" in self.table:
            networks = [reader.below("network")]
        for network in networks:
            subject = None if network is None else network.subject(nominal)
            like, widths = (
                () if network is None else network.texts_of(key) for key in ("like", "widths")
            )
            pairs = reader.pairs()
            draft = reader.claim(page, subject, nominal, pairs)
            yield _Draft(draft, reader.where, like, widths, pairs)

    def claim(
        self,
        page: str,
        subject: Subject | None,
        nominal: bool,
        pairs: tuple[tuple[str, str], ...],
    ) -> Claim:
        says = cast(Says, self.text("says"))
        try:
            # Stands in for the claims of the pairs, which are not all read yet.
            stand_in = Claim(page, "", "", "error", "0")
            return Claim(
                page=page,
                row=self.text("row"),
                column=self.text("column"),
                says=says,
                printed=self.text("printed"),
                subject=subject,
                pairs=((stand_in, stand_in),) * len(pairs),
                also=self.texts("also"),
                label=self.text("label", ""),
                note=self.text("note", ""),
                nominal=nominal,
            )
        except ClaimError as error:
            message = str(error).removeprefix(f"{self.where}: ")
            raise ClaimError(f"{self.where}: {message}") from error

    def subject(self, nominal: bool) -> Subject:
        self.only(_NETWORK_KEYS)
        spec = self.text("spec", "" if "unit" in self.table else None)
        if spec and spec not in bundled():
            raise ClaimError(
                f"{self.at('spec')}: unknown spec {shown(spec)}; bundled are {', '.join(bundled())}"
            )
        if "scale" not in self.table and not _SETTLING & set(self.table):
            raise ClaimError(
                f"{self.where}: neither a 'scale' nor a 'like' or 'budget' settles its widths"
            )
        try:
            return Subject(
                spec=spec,
                groups=check_groups(self.whole("groups", 1)) if "groups" in self.table else None,
                scale=self.scale(),
                unit=self.text("unit", "") or None,
                cardinality=check_groups(self.whole("cardinality", 16), "cardinality"),
                layer=self.text("layer", ""),
                width=check_width(self.whole("width", 0)) if "width" in self.table else None,
                budget=read_budget(self.text("budget")) if "budget" in self.table else None,
                image=read_size(self.text("image"))[0] if "image" in self.table else None,
                name=self.text("name", None if nominal else ""),
            )
        except QuantityError as error:
            raise ClaimError(f"{self.where}: {error}") from error

    def scale(self) -> Decimal | None:
        return read_scale(self.text("scale")) if "scale" in self.table else None

    def pairs(self) -> tuple[tuple[str, str], ...]:
        found = []
        for item in self.list("pairs"):
            if not isinstance(item, list) or len(item) != 2:
                raise ClaimError(f"{self.at('pairs')}: {shown(item)} is not two claims")
            found.append((self.checked("pairs", item[0]), self.checked("pairs", item[1])))
        return tuple(found)

    def texts_of(self, key: str) -> tuple[str, ...]:
        return (self.text(key),) if key in self.table else ()

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self.checked(key, item) for item in self.list(key))

    def text(self, key: str, default: str | None = None) -> str:
        value = self.table.get(key, default)
        if value is None:
            raise ClaimError(f"{self.at(key)}: missing")
        return self.checked(key, value)

    def checked(self, key: str, value: object) -> str:
        if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
            raise ClaimError(
                f"{self.at(key)}: {shown(value)} is not a printable text of at most"
                f" {_LONGEST} characters"
            )
        return value

    def whole(self, key: str, default: int) -> int:
        value = self.table.get(key, default)
        if type(value) is not int or value.bit_length() > 63:
            raise ClaimError(f"{self.at(key)}: {shown(value)} is not a whole number of 63 bits")
        return value

    def list(self, key: str) -> list[Any]:
        value = self.table.get(key, [])
        if not isinstance(value, list):
            raise ClaimError(f"{self.at(key)}: {shown(value)} is not a list")
        return value

    def below(self, key: str) -> _Reader:
        value = self.table[key]
        if not isinstance(value, dict):
            raise ClaimError(f"{self.at(key)}: {shown(value)} is not a table")
        return _Reader(value, f"{self.where}: {key!r}")

    def tables(self, key: str) -> Iterator[_Reader]:
        word = key.removesuffix("s")
        for number, item in enumerate(self.list(key), 1):
            if not isinstance(item, dict):
                raise ClaimError(f"{self.at(key)}: {shown(item)} is not a table")
            at = f"{word} {number}"
            yield _Reader(item, f"{self.where}: {at}" if self.where else at)

    def only(self, known: Collection[str]) -> None:
        for key in self.table:
            if key not in known:
                raise ClaimError(
                    f"{self.at(shown(key)[1:-1])}: unknown key; known are {', '.join(known)}"
                )

    def at(self, key: str) -> str:
        return f"{self.where}: {key!r}" if self.where else repr(key)
