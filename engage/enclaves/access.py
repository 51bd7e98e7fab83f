"""Which enclave branches and applications a caller may see, manage and decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, exists, or_, select

from engage.activities.access import define_audience
from engage.activities.models import Audience
from engage.core.errors import NotAllowed
from engage.enclaves.errors import NoSuchEnclaveApplication, NoSuchEnclaveBranch, OwnApplication
from engage.enclaves.models import EnclaveApplication, EnclaveBranch, EnclaveParticipation, EnclaveStatus
from engage.orgs.access import Permission, Place, define_place, not_allowed, permitted
from engage.orgs.models import Org, OrgStatus

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from engage.core.db import Context, Work


def is_participant(person_id: UUID) -> ColumnElement[bool]:
    """Return the condition that a person takes part in some enclave branch now."""
    return exists().where(EnclaveParticipation.person_id == person_id, EnclaveParticipation.left_at.is_(None))


define_audience(Audience.ENCLAVE_MEMBERS, is_participant)


def is_open() -> ColumnElement[bool]:
    """Return the condition that a branch is in being; the statement joins ``Org`` to it."""
    return and_(EnclaveBranch.status == EnclaveStatus.ACTIVE, Org.status == OrgStatus.ACTIVE)


def decidable(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller decides on applications: its secretary, or an officer above it."""
    return permitted(look, Permission.DECIDE_ENCLAVE, EnclaveBranch.id)


def visible_branches(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller may see a branch: in being, or theirs to look after."""
    return or_(is_open(), decidable(look))


define_place(
    "enclave_branch",
    Place(EnclaveBranch.id, EnclaveBranch.id, (Permission.MANAGE_ENCLAVE, Permission.DECIDE_ENCLAVE)),
)


def branch_to_manage(work: Work, branch_id: UUID) -> tuple[EnclaveBranch, Org]:
    """Load a branch that the caller may edit and its node, and hold both until the transaction ends.

    Raises:
        NoSuchEnclaveBranch: there is none that the caller may see.
        NotAllowed: the caller sees it but is no officer of its home county or above.

    """
    row = work.session.execute(
        select(EnclaveBranch, Org, permitted(work, Permission.MANAGE_ENCLAVE, EnclaveBranch.id))
        .join(Org, Org.id == EnclaveBranch.id)
        .where(EnclaveBranch.id == branch_id, visible_branches(work))
        .with_for_update(of=(EnclaveBranch, Org), key_share=True)
    ).one_or_none()
    if row is None:
        raise NoSuchEnclaveBranch
    branch, org, allowed = row
    if not allowed:
        raise NotAllowed
    return branch, org


def require_decider(look: Context, branch_id: UUID) -> None:
    """Refuse a reader who does not decide on a branch's applications.

    Raises:
        NoSuchEnclaveBranch: there is none that the caller may see.
        NotAllowed: the caller sees it but is neither its secretary nor an officer above it.

    """
    allowed = look.db.scalar(
        select(decidable(look))
        .select_from(EnclaveBranch)
        .join(Org, Org.id == EnclaveBranch.id)
        .where(EnclaveBranch.id == branch_id, visible_branches(look))
    )
    if allowed is None:
        raise NoSuchEnclaveBranch
    if not allowed:
        raise not_allowed(look, Permission.DECIDE_ENCLAVE)


def visible_applications(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller may see an application: their own, or theirs to decide.

    The statement joins ``EnclaveBranch`` to it.
    """
    return or_(EnclaveApplication.person_id == look.actor.id, decidable(look))


def application_to_decide(work: Work, application_id: UUID) -> UUID:
    """Check that the caller may decide an application; return its branch.

    Raises:
        NoSuchEnclaveApplication: there is none that the caller may see.
        OwnApplication: it is the caller's own, whatever their role.

    """
    row = work.session.execute(
        select(EnclaveApplication.branch_id, EnclaveApplication.person_id)
        .join(EnclaveBranch, EnclaveBranch.id == EnclaveApplication.branch_id)
        .where(EnclaveApplication.id == application_id, visible_applications(work))
    ).one_or_none()
    if row is None:
        raise NoSuchEnclaveApplication
    branch_id, applicant_id = row
    if applicant_id == work.actor.id:
        raise OwnApplication
    return branch_id
