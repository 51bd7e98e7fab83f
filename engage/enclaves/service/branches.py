"""Creating, editing and dissolving enclave branches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import update

from engage.core.errors import InvalidInput, Issue
from engage.enclaves.access import branch_to_manage
from engage.enclaves.models import (
    ApplicationState,
    EnclaveApplication,
    EnclaveBranch,
    EnclaveParticipation,
    EnclaveStatus,
)
from engage.enclaves.queries import read_branch
from engage.messages.models import MessageKind
from engage.messages.service import enqueue_all
from engage.orgs.access import Permission, org_to_manage
from engage.orgs.errors import OrgNotActive
from engage.orgs.models import ENCLAVE_KIND, Org, OrgStatus
from engage.orgs.queries.counties import is_of_county
from engage.orgs.service import place
from engage.regions.models import DivisionLevel, county_of
from engage.regions.queries import current_codes

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Work

# Cities that are provinces: Beijing, Tianjin, Shanghai, Chongqing, Hong Kong, Macao.
_CITY_PROVINCES: Final = frozenset({"11", "12", "31", "50", "81", "82"})
_UNDER_PROVINCE: Final = "90"  # third and fourth digit of counties that a province itself governs
_DISSOLVED: Final = "该组织已撤销。"


def create_branch(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Create a branch and its node of the tree.

    Args:
        work: the caller's transaction.
        body: as ``EnclaveBranchIn`` loads it.

    Raises:
        NoSuchOrg, NotAllowed, OrgNotActive, OrgTooDeep: not a parent below which the caller may.
        InvalidInput: a county that is not the parent's, or a place that is no city.

    """
    parent = org_to_manage(work, body["parent_org_id"], Permission.MANAGE_ENCLAVE)
    if parent.status is not OrgStatus.ACTIVE:
        raise OrgNotActive
    issues = _bad_city(work, body["host_city_code"]) + _bad_county(work, parent, body["home_county_code"])
    if issues:
        raise InvalidInput(*issues)
    org = Org(
        name=body["name"], kind_code=ENCLAVE_KIND, division_code=body["host_city_code"], created_at=work.now
    )
    place(work.session, org, parent)
    branch = EnclaveBranch(
        id=org.id,
        home_county_code=body["home_county_code"],
        created_at=work.now,
        updated_at=work.now,
        **_columns(body),
    )
    work.session.add(branch)
    work.session.flush()
    return read_branch(work, branch.id)


def edit_branch(work: Work, branch_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Replace what is said about a branch; dissolving it closes its applications and ends participation.

    Raises:
        NoSuchEnclaveBranch, NotAllowed: not the caller's to edit.
        VersionConflict: somebody was faster.
        InvalidInput: the host is no city.

    """
    branch, org = branch_to_manage(work, branch_id)
    branch.accept_version(version)
    if body["host_city_code"] != branch.host_city_code:
        issues = _bad_city(work, body["host_city_code"])
        if issues:
            raise InvalidInput(*issues)
    for name, value in _columns(body).items():
        setattr(branch, name, value)
    branch.updated_at = work.now
    _name_node(org, body)
    if body["status"] is EnclaveStatus.DISSOLVED:
        _close(work, branch_id, org.name)
    branch.status = body["status"]
    work.session.flush()
    return read_branch(work, branch_id)


def _name_node(org: Org, body: dict[str, Any]) -> None:
    is_dissolved = body["status"] is EnclaveStatus.DISSOLVED
    values = {
        "name": body["name"],
        "kind_code": ENCLAVE_KIND,
        "division_code": body["host_city_code"],
        "status": OrgStatus.DISSOLVED if is_dissolved else OrgStatus.ACTIVE,
    }
    if any(getattr(org, name) != value for name, value in values.items()):
        org.accept_version(None)
        for name, value in values.items():
            setattr(org, name, value)


def _close(work: Work, branch_id: UUID, name: str) -> None:
    """Answer those who still wait, and let the participants go; their memberships are elsewhere."""
    waiting = work.session.execute(
        update(EnclaveApplication)
        .where(
            EnclaveApplication.branch_id == branch_id, EnclaveApplication.state == ApplicationState.SUBMITTED
        )
        .values(
            state=ApplicationState.REJECTED,
            reason=_DISSOLVED,
            decided_by=work.actor.id,
            decided_at=work.now,
        )
        .returning(EnclaveApplication.person_id)
        .execution_options(synchronize_session=False)
    )
    kind = MessageKind.ENCLAVE_APPLICATION_REJECTED
    told = waiting.scalars().all()
    enqueue_all(
        work.session, work.now, told, kind, branch_id=str(branch_id), branch_name=name, reason=_DISSOLVED
    )
    work.session.execute(
        update(EnclaveParticipation)
        .where(EnclaveParticipation.branch_id == branch_id, EnclaveParticipation.left_at.is_(None))
        .values(left_at=work.now)
        .execution_options(synchronize_session=False)
    )


def _columns(body: dict[str, Any]) -> dict[str, Any]:
    position = body["position"]
    names = ("host_city_code", "host_org", "address", "contact_phone", "description")
    return {
        **{name: body[name] for name in names},
        "lat": position.lat if position else None,
        "lng": position.lng if position else None,
    }


def _bad_city(work: Work, code: str) -> list[Issue]:
    known = current_codes(work, {code})
    if code not in known:
        return [Issue("/host_city_code", "no_such_division")]
    today = known[code]
    if today is None or today[0] != code:
        return [Issue("/host_city_code", "division_retired")]
    is_city = {
        DivisionLevel.PROVINCE: code[:2] in _CITY_PROVINCES,
        DivisionLevel.PREFECTURE: True,
        DivisionLevel.COUNTY: code[2:4] == _UNDER_PROVINCE,
    }
    if is_city.get(today[1], False):
        return []
    return [Issue("/host_city_code", "wrong_division_level", {"levels": DivisionLevel.PREFECTURE})]


def _bad_county(work: Work, parent: Org, code: str) -> list[Issue]:
    if county_of(code) != code:
        return [Issue("/home_county_code", "wrong_division_level", {"levels": DivisionLevel.COUNTY})]
    # The officers of the home county decide who joins: the branch must stand below their committee.
    if not is_of_county(work, parent.id, code):
        return [Issue("/home_county_code", "no_such_object")]
    return []
