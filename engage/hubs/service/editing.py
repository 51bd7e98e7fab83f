"""Creating and editing a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, select

from engage.core.errors import InvalidInput, Issue
from engage.hubs.access import hub_to_manage
from engage.hubs.models import Hub, HubKind
from engage.hubs.queries import read_hub
from engage.hubs.service.places import misplaced, plain_columns
from engage.orgs.access import org_to_manage
from engage.orgs.errors import OrgNotActive
from engage.orgs.models import OrgStatus
from engage.orgs.queries.counties import is_of_county
from engage.regions.models import county_of
from engage.regions.queries import current_codes

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Work


def create_hub(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Create a hub.

    Raises:
        NoSuchOrg, NotAllowed, OrgNotActive: not an organisation for which the caller may.
        InvalidInput: kind, division or county that cannot be used.

    """
    _check_org(work, body["org_id"])
    hub = Hub(**_columns(work, body), created_at=work.now, updated_at=work.now)
    work.session.add(hub)
    work.session.flush()
    return read_hub(work, hub.id)


def edit_hub(work: Work, hub_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Replace a hub; moving it to another organisation takes an officer of both.

    Raises:
        NoSuchHub, NoSuchOrg, NotAllowed, OrgNotActive: not the caller's to manage, or to move there.
        VersionConflict: somebody was faster.
        InvalidInput: kind, division or county that cannot be used.

    """
    hub = hub_to_manage(work, hub_id)
    hub.accept_version(version)
    if body["org_id"] != hub.org_id:
        org_to_manage(work, hub.org_id)
        _check_org(work, body["org_id"])
    for name, value in _columns(work, body).items():
        setattr(hub, name, value)
    hub.updated_at = work.now
    work.session.flush()
    return read_hub(work, hub_id)


def _check_org(work: Work, org_id: UUID) -> None:
    if org_to_manage(work, org_id).status is not OrgStatus.ACTIVE:
        raise OrgNotActive


def _columns(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a body whose references exist."""
    issues = _bad_place(work, body)
    if not work.session.scalar(select(exists().where(HubKind.code == body["kind"]))):
        issues.append(Issue("/kind", "no_such_object"))
    if issues:
        raise InvalidInput(*issues)
    return {
        **plain_columns(body),
        "org_id": body["org_id"],
        "county_code": body["county_code"] or county_of(body["division_code"]),
        "status": body["status"],
    }


def _bad_place(work: Work, body: dict[str, Any]) -> list[Issue]:
    stands, home = body["division_code"], body["county_code"]
    given = {"/division_code": stands, "/county_code": home} if home else {"/division_code": stands}
    known = current_codes(work, set(given.values()))
    issues = []
    for pointer, code in given.items():
        if code not in known:
            issues.append(Issue(pointer, "no_such_division"))
        elif (today := known[code]) is None or today[0] != code:
            issues.append(Issue(pointer, "division_retired"))
    if issues:
        return issues
    issue = misplaced(stands, home)
    if issue is None and home and home != county_of(stands) and not is_of_county(work, body["org_id"], home):
        issue = Issue("/county_code", "no_such_object")
    return [issue] if issue else []
