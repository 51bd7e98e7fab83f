"""Import of kinds, and of a customer's list of hubs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from engage.core.errors import InvalidInput, Issue
from engage.core.imports import ImportReport, data_rows, upsert
from engage.hubs.models import Hub, HubKind
from engage.hubs.service.places import misplaced, plain_columns
from engage.orgs.models import Org, OrgStatus
from engage.regions.models import Division, county_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.orm import Session

Row = dict[str, Any]


def import_hub_kinds(session: Session) -> ImportReport:
    """Bring the kinds of hubs to the state of the data file; kinds that are not in it stay."""
    return upsert(session, HubKind, data_rows("hub_kinds.csv"))


def import_hubs(session: Session, now: datetime, rows: Iterable[tuple[int, Row]]) -> ImportReport:
    """Create the hubs of a list and bring those it already brought to what it says now.

    Args:
        session: of the transaction.
        now: the instant of the import.
        rows: line numbers, and rows as ``HubRow`` loads them. ``external_ref`` is the key; ``org_ref`` is the
            ``external_ref`` of the owning organisation. Status is left alone, hubs that are not listed too.

    Raises:
        InvalidInput: a reference does not exist or a key is there twice, at ``/<line>/<column>``.

    """
    wanted = _resolved(session, list(rows))
    refs = [row["external_ref"] for row in wanted]
    present = {
        hub.external_ref: hub for hub in session.scalars(select(Hub).where(Hub.external_ref.in_(refs)))
    }
    created = updated = 0
    for row in wanted:
        hub = present.get(row["external_ref"])
        if hub is None:
            session.add(Hub(**row, created_at=now, updated_at=now))
            created += 1
        elif any(getattr(hub, name) != value for name, value in row.items()):
            for name, value in row.items():
                setattr(hub, name, value)
            hub.accept_version(None)
            hub.updated_at = now
            updated += 1
    session.flush()
    return ImportReport(created, updated, len(wanted) - created - updated)


def _resolved(session: Session, listed: list[tuple[int, Row]]) -> list[Row]:
    kinds = set(session.scalars(select(HubKind.code)))
    divisions = set(session.scalars(select(Division.code).where(Division.retired_after.is_(None))))
    orgs = _orgs(session, {row["org_ref"] for _, row in listed})
    issues: list[Issue] = []
    keys: set[str] = set()
    for line, row in listed:
        checks = {
            "external_ref": (row["external_ref"] not in keys, "not_unique"),
            "kind": (row["kind"] in kinds, "no_such_object"),
            "org_ref": (row["org_ref"] in orgs, "no_such_object"),
            "division_code": (row["division_code"] in divisions, "no_such_division"),
            "county_code": (row["county_code"] in {None, *divisions}, "no_such_division"),
        }
        issues += [Issue(f"/{line}/{column}", code) for column, (good, code) in checks.items() if not good]
        issue = misplaced(row["division_code"], row["county_code"])
        if issue:
            issues.append(Issue(f"/{line}{issue.pointer}", issue.code, issue.params))
        keys.add(row["external_ref"])
    if issues:
        raise InvalidInput(*issues)
    return [
        {
            **plain_columns(row),
            "external_ref": row["external_ref"],
            "org_id": orgs[row["org_ref"]],
            "county_code": row["county_code"] or county_of(row["division_code"]),
        }
        for _, row in listed
    ]


def _orgs(session: Session, refs: set[str]) -> dict[str | None, UUID]:
    found = session.execute(
        select(Org.external_ref, Org.id).where(Org.external_ref.in_(refs), Org.status == OrgStatus.ACTIVE)
    )
    return {ref: org_id for ref, org_id in found}  # noqa: C416 - a row is no pair to the type checker
