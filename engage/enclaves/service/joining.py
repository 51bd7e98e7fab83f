"""Joining an enclave branch: apply, decide, withdraw, leave. The formal membership is never touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, insert, select, update

from engage.core import audit, ids
from engage.core.db import upserting
from engage.enclaves.access import application_to_decide, is_open, visible_branches
from engage.enclaves.errors import (
    AlreadyDecided,
    AlreadyParticipating,
    ApplicationExists,
    EnclaveBranchDissolved,
    NoSuchEnclaveApplication,
    NoSuchEnclaveBranch,
    NotFromHomeCounty,
)
from engage.enclaves.models import (
    ApplicationState,
    EnclaveApplication,
    EnclaveBranch,
    EnclaveParticipation,
)
from engage.enclaves.queries import read_application
from engage.identity.errors import ProfileIncomplete
from engage.messages.models import MessageKind
from engage.messages.service import enqueue, enqueue_all
from engage.orgs.access import Permission, nearest_holders
from engage.orgs.models import Org
from engage.regions.models import Division, county_of
from engage.regions.queries import current_codes

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Work


def apply(work: Work, branch_id: UUID, note: str | None) -> dict[str, Any]:
    """Hand in an application and tell those who decide.

    Raises:
        NoSuchEnclaveBranch, EnclaveBranchDissolved: nothing to join.
        ProfileIncomplete, NotFromHomeCounty: the caller cannot join here.
        ApplicationExists, AlreadyParticipating: the caller has done so already.

    """
    home_code, home_name, branch_name = _branch_to_join(work, branch_id)
    _check_profile(work, home_code, home_name)
    application_id = work.session.scalar(
        upserting(work.session, EnclaveApplication)
        .values(
            id=ids.new_id(),
            branch_id=branch_id,
            person_id=work.actor.id,
            state=ApplicationState.SUBMITTED,
            note=note,
            created_at=work.now,
        )
        .on_conflict_do_nothing()
        .returning(EnclaveApplication.id)
    )
    if application_id is None:
        raise ApplicationExists
    # Only now: an approval that was under way held the index entry above, and is committed by this time.
    if _participates(work, branch_id):
        raise AlreadyParticipating
    deciders = nearest_holders(work, Permission.DECIDE_ENCLAVE, branch_id)
    kind = MessageKind.ENCLAVE_APPLICATION_RECEIVED
    enqueue_all(work.session, work.now, deciders, kind, branch_id=str(branch_id), branch_name=branch_name)
    return read_application(work, application_id)


def _branch_to_join(work: Work, branch_id: UUID) -> tuple[str, str, str]:
    row = work.session.execute(
        select(EnclaveBranch.home_county_code, Division.name, Org.name, is_open())
        .join(Org, Org.id == EnclaveBranch.id)
        .join(Division, Division.code == EnclaveBranch.home_county_code)
        .where(EnclaveBranch.id == branch_id, visible_branches(work))
        .with_for_update(read=True, of=EnclaveBranch)  # it shall not be dissolved meanwhile
    ).one_or_none()
    if row is None:
        raise NoSuchEnclaveBranch
    *names, is_active = row
    if not is_active:
        raise EnclaveBranchDissolved
    home_code, home_name, branch_name = names
    return home_code, home_name, branch_name


def _check_profile(work: Work, home_code: str, home_name: str) -> None:
    hometown = work.actor.hometown_code
    if not (work.actor.name and work.actor.birth_on and hometown):
        raise ProfileIncomplete
    today = current_codes(work, {hometown}).get(hometown)
    if county_of(today[0] if today else hometown) != home_code:
        raise NotFromHomeCounty(county=home_name)


def _participates(work: Work, branch_id: UUID) -> bool:
    live = exists().where(
        EnclaveParticipation.branch_id == branch_id,
        EnclaveParticipation.person_id == work.actor.id,
        EnclaveParticipation.left_at.is_(None),
    )
    return bool(work.session.scalar(select(live)))


def approve(work: Work, application_id: UUID) -> dict[str, Any]:
    """Accept an application: the applicant takes part from now on, and is told.

    Raises:
        NoSuchEnclaveApplication, OwnApplication: not the caller's to decide.
        AlreadyDecided: decided or withdrawn, perhaps a moment ago.
        EnclaveBranchDissolved: there is nothing to join any more.

    """
    branch_id = application_to_decide(work, application_id)
    applicant_id = _decide(work, application_id, ApplicationState.APPROVED)
    name = _name_of_open_branch(work, branch_id)
    work.session.execute(
        insert(EnclaveParticipation).values(branch_id=branch_id, person_id=applicant_id, joined_at=work.now)
    )
    kind = MessageKind.ENCLAVE_APPLICATION_APPROVED
    enqueue(work.session, work.now, applicant_id, kind, branch_id=str(branch_id), branch_name=name)
    return read_application(work, application_id)


def reject(work: Work, application_id: UUID, reason: str) -> dict[str, Any]:
    """Refuse an application with a reason that the applicant is told.

    Raises:
        NoSuchEnclaveApplication, OwnApplication: not the caller's to decide.
        AlreadyDecided: decided or withdrawn, perhaps a moment ago.

    """
    branch_id = application_to_decide(work, application_id)
    applicant_id = _decide(work, application_id, ApplicationState.REJECTED, reason)
    decided = read_application(work, application_id)
    kind, name = MessageKind.ENCLAVE_APPLICATION_REJECTED, decided["branch"]["name"]
    enqueue(
        work.session, work.now, applicant_id, kind, branch_id=str(branch_id), branch_name=name, reason=reason
    )
    return decided


def _decide(work: Work, application_id: UUID, state: ApplicationState, reason: str | None = None) -> UUID:
    """Move a submitted application in one statement, so that of several decisions one wins; return the applicant."""
    applicant_id: UUID | None = work.session.scalar(
        update(EnclaveApplication)
        .where(
            EnclaveApplication.id == application_id, EnclaveApplication.state == ApplicationState.SUBMITTED
        )
        .values(state=state, reason=reason, decided_by=work.actor.id, decided_at=work.now)
        .returning(EnclaveApplication.person_id)
        .execution_options(synchronize_session=False)
    )
    if applicant_id is None:
        raise AlreadyDecided
    before = {"state": ApplicationState.SUBMITTED}
    audit.changed(work, "enclave_application", application_id, before=before, after={"state": state})
    return applicant_id


def _name_of_open_branch(work: Work, branch_id: UUID) -> str:
    name: str | None = work.session.scalar(
        select(Org.name)
        .join(EnclaveBranch, EnclaveBranch.id == Org.id)
        .where(EnclaveBranch.id == branch_id, is_open())
    )
    if name is None:
        raise EnclaveBranchDissolved
    return name


def withdraw(work: Work, application_id: UUID) -> dict[str, Any]:
    """Take back one's own application while it is open.

    Raises:
        NoSuchEnclaveApplication: the caller has none such.
        AlreadyDecided: decided or withdrawn, perhaps a moment ago.

    """
    own = exists().where(
        EnclaveApplication.id == application_id, EnclaveApplication.person_id == work.actor.id
    )
    if not work.session.scalar(select(own)):
        raise NoSuchEnclaveApplication
    _decide(work, application_id, ApplicationState.WITHDRAWN)
    return read_application(work, application_id)


def leave(work: Work, branch_id: UUID) -> None:
    """End the caller's participation; without one nothing happens.

    Raises:
        NoSuchEnclaveBranch: there never was such a branch.

    """
    if not work.session.scalar(select(exists().where(EnclaveBranch.id == branch_id))):
        raise NoSuchEnclaveBranch
    work.session.execute(
        update(EnclaveParticipation)
        .where(
            EnclaveParticipation.branch_id == branch_id,
            EnclaveParticipation.person_id == work.actor.id,
            EnclaveParticipation.left_at.is_(None),
        )
        .values(left_at=work.now)
        .execution_options(synchronize_session=False)
    )
