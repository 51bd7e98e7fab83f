"""Imports: the committees of the divisions, an operator's own list, and the invented bodies of the demo."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import or_, select

from engage.core.errors import InvalidInput, Issue
from engage.core.imports import ImportReport, data_rows, read_rows, upsert
from engage.orgs.errors import NoSuchOrg, OrgBelowItself, OrgTooDeep
from engage.orgs.models import ENCLAVE_KIND, Cluster, ClusterKind, ClusterMember, Org, OrgKind
from engage.orgs.service.divisions import is_nested
from engage.orgs.service.tree import place
from engage.regions.errors import NoSuchDivision
from engage.regions.models import Division, DivisionLevel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy.orm import Session

PROVINCE: Final = "140000"
CITY: Final = "140500"
COLUMNS: Final = ("name", "kind", "parent_ref", "external_ref", "division_code", "established_on")
_MIN_NAME_CHARS, _MAX_NAME_CHARS, _MAX_REF_CHARS = 2, 80, 64
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_FAULTS_SHOWN: Final = 100
_LEVELS: Final = tuple(DivisionLevel)
_DEMO_KINDS: Final = {
    "团工委": "work_committee",
    "三新团委": "new_sector_committee",
    "团属社团": "league_club",
    "联合村级团工委": "joint_village_committee",
    "青年学院": "youth_college",
    "飞地团组织": ENCLAVE_KIND,
}
_DEMO_CLUSTERS: Final = "大团建联合体"
_PARTNERS_IN_CLUSTER: Final = ("work_committee", "new_sector_committee")


def import_orgs(session: Session, now: datetime, file: Path | None = None) -> ImportReport:
    """Import the kinds, the committees from the province to the townships, and perhaps an operator's own list.

    Committees that exist are left as staff have edited them; of the list, the file wins. All of it or nothing.

    Args:
        session: of the transaction. The divisions must have been imported.
        now: when the new nodes were made.
        file: CSV of ``COLUMNS``. ``external_ref`` is the operator's key of the row, ``parent_ref`` that of the
            node above, in the file or imported before (``division:140524100`` is the committee of a township).
            ``kind`` is a code or a Chinese name.

    Raises:
        NoSuchDivision: the divisions are missing.
        InvalidInput: rows of the file are wrong; each pointer is ``/LINE/COLUMN``.
        OSError: the file cannot be read.

    """
    report = upsert(session, OrgKind, data_rows("org_kinds.csv"))
    orgs = _orgs_by_ref(session)
    report += _import_committees(session, now, orgs)
    if file is not None:
        report += _import_file(session, now, file, orgs)
    return report


def _orgs_by_ref(session: Session) -> dict[str, Org]:
    found = session.scalars(select(Org).where(Org.external_ref.is_not(None)))
    return {org.external_ref: org for org in found if org.external_ref}


def _import_committees(session: Session, now: datetime, orgs: dict[str, Org]) -> ImportReport:
    divisions = _divisions_with_committee(session)
    created = 0
    for division in divisions.values():
        if _ref(division.code) in orgs:
            continue
        org = Org(
            name=f"共青团{_spoken_name(division, divisions)}委员会",
            kind_code="committee",
            division_code=division.code,
            external_ref=_ref(division.code),
            created_at=now,
        )
        place(session, org, orgs.get(_ref(division.parent_code)) if division.parent_code else None)
        orgs[_ref(division.code)] = org
        created += 1
    return ImportReport(created=created, unchanged=len(divisions) - created)


def _ref(code: str) -> str:
    return f"division:{code}"


def _divisions_with_committee(session: Session) -> dict[str, Division]:
    """Return the province, the city, its counties and their townships by code, from the top down."""
    counties = select(Division.code).where(Division.parent_code == CITY, Division.retired_after.is_(None))
    found = session.scalars(
        select(Division).where(
            Division.retired_after.is_(None),
            or_(
                Division.code.in_((PROVINCE, CITY)),
                Division.code.in_(counties),
                Division.parent_code.in_(counties),
            ),
        )
    ).all()
    divisions = {
        division.code: division
        for division in sorted(found, key=lambda each: (_LEVELS.index(each.level), each.code))
    }
    if not {PROVINCE, CITY} <= divisions.keys():
        raise NoSuchDivision
    return divisions


def _spoken_name(division: Division, divisions: dict[str, Division]) -> str:
    """Return a name that is clear by itself: 陵川县崇文镇, 晋城市城区."""
    parent = divisions.get(division.parent_code or "")
    is_ambiguous = division.level is DivisionLevel.TOWNSHIP or division.name == "城区"
    return _spoken_name(parent, divisions) + division.name if parent and is_ambiguous else division.name


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    name: str
    kind_code: str
    parent_ref: str
    external_ref: str
    division_code: str | None
    established_on: date | None


class _Faults:
    """What is wrong with the file so far."""

    def __init__(self) -> None:
        self._issues: list[Issue] = []

    def add(self, number: int, column: str, code: str, **params: object) -> None:
        self._issues.append(Issue(f"/{number}/{column}", code, params))

    def refuse(self) -> None:
        if self._issues:
            raise InvalidInput(*self._issues[:_FAULTS_SHOWN])


def _import_file(session: Session, now: datetime, file: Path, orgs: dict[str, Org]) -> ImportReport:
    faults = _Faults()
    lines = _checked(session, read_rows(file, COLUMNS), orgs.keys(), faults)
    faults.refuse()
    report, changed = ImportReport(), []
    for line in _parents_first(lines, faults):
        try:
            written = _write(session, now, line, orgs)
        except OrgBelowItself:
            raise InvalidInput(Issue(f"/{line.number}/parent_ref", "circular")) from None
        except OrgTooDeep:
            raise InvalidInput(Issue(f"/{line.number}/parent_ref", "too_deep")) from None
        report += written
        if written.updated or (written.created and line.division_code):
            changed.append(line)
    session.flush()
    # When all are written: what one line breaks another may mend.
    for line in sorted(changed, key=lambda line: line.number):
        if not is_nested(session, orgs[line.external_ref]):
            faults.add(line.number, "division_code", "division_outside")
    faults.refuse()
    return report


def _checked(
    session: Session, rows: list[tuple[int, dict[str, str]]], known: Iterable[str], faults: _Faults
) -> list[_Line]:
    kinds = {
        name: kind.code for kind in session.scalars(select(OrgKind)) for name in (kind.code, kind.name_zh)
    }
    divisions = _division_codes(session, {row["division_code"] for _, row in rows})
    parents = {row["external_ref"] for _, row in rows if row["external_ref"]}.union(known)
    seen: set[str] = set()
    lines = []
    for number, row in rows:
        _check_texts(number, row, faults)
        if row["external_ref"] and row["external_ref"] in seen:
            faults.add(number, "external_ref", "not_unique")
        seen.add(row["external_ref"])
        if row["kind"] not in kinds:
            faults.add(number, "kind", "no_such_object")
        if row["parent_ref"] not in parents:
            faults.add(number, "parent_ref", "no_such_object" if row["parent_ref"] else "required")
        lines.append(
            _Line(
                number=number,
                name=row["name"],
                kind_code=kinds.get(row["kind"], ""),
                parent_ref=row["parent_ref"],
                external_ref=row["external_ref"],
                division_code=_division(number, row["division_code"], divisions, faults),
                established_on=_day(number, row["established_on"], faults),
            )
        )
    return lines


def _check_texts(number: int, row: dict[str, str], faults: _Faults) -> None:
    bounds = {"name": (_MIN_NAME_CHARS, _MAX_NAME_CHARS), "external_ref": (1, _MAX_REF_CHARS)}
    for column, (low, high) in bounds.items():
        value = row[column]
        if not value:
            faults.add(number, column, "required")
        elif len(value) < low:
            faults.add(number, column, "too_short", min=low)
        elif len(value) > high:
            faults.add(number, column, "too_long", max=high)
        elif _CONTROL.search(value):
            faults.add(number, column, "bad_characters")


def _division_codes(session: Session, codes: set[str]) -> dict[str, str | None]:
    """Return for each code that was ever in use the one in use today, None if there is none."""
    rows = session.execute(
        select(Division.code, Division.retired_after, Division.successor_code).where(Division.code.in_(codes))
    )
    return {code: code if retired_after is None else successor for code, retired_after, successor in rows}


def _division(number: int, code: str, divisions: dict[str, str | None], faults: _Faults) -> str | None:
    if code and code not in divisions:
        faults.add(number, "division_code", "no_such_division")
    elif code and divisions[code] is None:
        faults.add(number, "division_code", "division_retired")
    return divisions.get(code)


def _day(number: int, value: str, faults: _Faults) -> date | None:
    if value:
        try:
            return datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 - a calendar day has no offset
        except ValueError:
            faults.add(number, "established_on", "not_date")
    return None


def _parents_first(lines: list[_Line], faults: _Faults) -> list[_Line]:
    """Order lines so that each stands after its parent, whatever the order in the file."""
    refs = {line.external_ref for line in lines}
    below: dict[str, list[_Line]] = defaultdict(list)
    for line in lines:
        below[line.parent_ref].append(line)
    ordered = [line for line in lines if line.parent_ref not in refs]
    for line in ordered:  # grows while it is walked
        ordered += below.get(line.external_ref, [])
    placed = {line.external_ref for line in ordered}
    for line in lines:
        if line.external_ref not in placed:
            faults.add(line.number, "parent_ref", "circular")
    faults.refuse()
    return ordered


def _write(session: Session, now: datetime, line: _Line, orgs: dict[str, Org]) -> ImportReport:
    parent = orgs[line.parent_ref]
    values = {
        "name": line.name,
        "kind_code": line.kind_code,
        "division_code": line.division_code,
        "established_on": line.established_on,
    }
    org = orgs.get(line.external_ref)
    if org is None:
        org = Org(**values, external_ref=line.external_ref, created_at=now)
        place(session, org, parent)
        orgs[line.external_ref] = org
        return ImportReport(created=1)
    is_moved = org.parent_id != parent.id
    if not is_moved and all(getattr(org, name) == value for name, value in values.items()):
        return ImportReport(unchanged=1)
    org.accept_version(None)
    for name, value in values.items():
        setattr(org, name, value)
    if is_moved:
        place(session, org, parent)
    return ImportReport(updated=1)


def import_demo_orgs(session: Session, now: datetime) -> ImportReport:
    """Import the invented bodies of the demo below the committees of ``import_orgs``; never over what exists.

    Raises:
        NoSuchOrg: the committees are missing.

    """
    orgs = _orgs_by_ref(session)
    rows = data_rows("demo/hubs.csv")
    bodies = [row for row in rows if row["kind"] in _DEMO_KINDS]
    missing = [row for row in bodies if f"hub:{row['id']}" not in orgs]
    for row in missing:
        place_code = row["township_code"] or row["county_code"]
        org = Org(
            name=row["name"],
            kind_code=_DEMO_KINDS[row["kind"]],
            division_code=row["host_city_code"] or place_code,
            external_ref=f"hub:{row['id']}",
            created_at=now,
        )
        place(session, org, _committee(orgs, place_code))
        orgs[f"hub:{row['id']}"] = org
    report = ImportReport(created=len(missing), unchanged=len(bodies) - len(missing))
    clusters = [row for row in rows if row["kind"] == _DEMO_CLUSTERS]
    return report + _import_demo_clusters(session, clusters, orgs)


def _committee(orgs: dict[str, Org], code: str) -> Org:
    committee = orgs.get(_ref(code))
    if committee is None:
        raise NoSuchOrg
    return committee


def _import_demo_clusters(session: Session, rows: list[dict[str, str]], orgs: dict[str, Org]) -> ImportReport:
    present = set(session.scalars(select(Cluster.external_ref)))
    missing = [row for row in rows if f"hub:{row['id']}" not in present]
    for index, row in enumerate(missing):
        cluster = Cluster(
            name=row["name"],
            kind=ClusterKind.AREA,
            division_code=row["township_code"],
            external_ref=f"hub:{row['id']}",
        )
        session.add(cluster)
        session.flush()
        members = _partners(row, index, len(missing), orgs)
        session.add_all(ClusterMember(cluster_id=cluster.id, org_id=org.id) for org in members)
    session.flush()
    return ImportReport(created=len(missing), unchanged=len(rows) - len(missing))


def _partners(row: dict[str, str], index: int, clusters: int, orgs: dict[str, Org]) -> list[Org]:
    """Return the township's committee with all below it, and this cluster's share of the county's trade bodies."""
    core = _committee(orgs, row["township_code"])
    county = _committee(orgs, row["county_code"])
    local = [org for org in orgs.values() if org.parent_id == core.id]
    trades = [
        org
        for _, org in sorted(orgs.items())
        if org.parent_id == county.id and org.kind_code in _PARTNERS_IN_CLUSTER
    ]
    return [core, *local, *trades[index::clusters]]
