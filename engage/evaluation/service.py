"""Writing, answering and closing findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from engage.core.clock import shanghai_day
from engage.evaluation.access import answerable, closable, finding_to_change, subject_to_judge
from engage.evaluation.errors import (
    FindingClosed,
    FindingDueInPast,
    NotYourAnswer,
    NotYourFinding,
    OwnAnswer,
    OwnFinding,
)
from engage.evaluation.models import Finding, FindingOutcome
from engage.evaluation.queries import read_finding
from engage.messages.models import MessageKind
from engage.messages.service import enqueue, enqueue_all
from engage.orgs.access import Permission, nearest_holders, permits_somebody

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Work


def write_finding(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Write a finding and tell the nearest who answer for what it is about.

    Args:
        work: the caller's transaction.
        body: as ``FindingIn`` loads it.

    Raises:
        NoSuchActivity, NoSuchHub, NoSuchOrg, NotAllowed: not the caller's to inspect.
        FindingDueInPast: the answer would have been due before today.

    """
    subject = subject_to_judge(work, body)
    if body["due_on"] is not None and body["due_on"] < shanghai_day(work.now):
        raise FindingDueInPast
    finding = Finding(
        org_id=subject.org_id,
        hub_id=subject.hub_id,
        activity_id=subject.activity_id,
        about=subject.name,
        kind=body["kind"],
        text=body["text"],
        due_on=body["due_on"],
        written_by=work.actor.id,
        created_at=work.now,
    )
    work.session.add(finding)
    work.session.flush()
    told = nearest_holders(work, Permission.ANSWER_FINDING, subject.org_id, subject.hub_id)
    enqueue_all(
        work.session,
        work.now,
        told,
        MessageKind.FINDING_WRITTEN,
        finding_id=str(finding.id),
        about=subject.name,
    )
    return read_finding(work, finding.id)


def answer_finding(work: Work, finding_id: UUID, answer: str, version: int | None) -> dict[str, Any]:
    """Answer a finding, or replace one's answer while it is not closed, and tell who wrote it.

    Raises:
        NoSuchFinding, NotAllowed: not the caller's to answer.
        VersionConflict: somebody was faster.
        FindingClosed: it was settled or withdrawn.
        OwnFinding: the caller wrote it.
        NotYourAnswer: somebody else answered.

    """
    finding = finding_to_change(work, finding_id, answerable(work))
    _accept(finding, version)
    if finding.written_by == work.actor.id:
        raise OwnFinding
    if finding.answered_by not in (None, work.actor.id):
        raise NotYourAnswer
    if answer != finding.answer:
        finding.answer, finding.answered_by, finding.answered_at = answer, work.actor.id, work.now
        work.session.flush()
        _tell(work, finding, finding.written_by, Permission.WRITE_FINDING, MessageKind.FINDING_ANSWERED)
    return read_finding(work, finding_id)


def close_finding(
    work: Work, finding_id: UUID, outcome: FindingOutcome, version: int | None
) -> dict[str, Any]:
    """Settle a finding, or withdraw one's own; from then on it stays as it is. Who wrote it and who answered it are told.

    Raises:
        NoSuchFinding, NotAllowed: not the caller's to close.
        VersionConflict: somebody was faster.
        FindingClosed: it was closed before.
        NotYourFinding: only who wrote it withdraws it.
        OwnAnswer: whoever answered it does not settle it.

    """
    finding = finding_to_change(work, finding_id, closable(work))
    _accept(finding, version)
    if outcome is FindingOutcome.WITHDRAWN and finding.written_by != work.actor.id:
        raise NotYourFinding
    if finding.answered_by == work.actor.id:
        raise OwnAnswer
    finding.outcome, finding.closed_by, finding.closed_at = outcome, work.actor.id, work.now
    work.session.flush()
    _tell(work, finding, finding.written_by, Permission.WRITE_FINDING, MessageKind.FINDING_CLOSED)
    _tell(work, finding, finding.answered_by, Permission.ANSWER_FINDING, MessageKind.FINDING_CLOSED)
    return read_finding(work, finding_id)


def _tell(
    work: Work, finding: Finding, person_id: UUID | None, permission: Permission, kind: MessageKind
) -> None:
    """Tell somebody else what became of a finding, while they have a role there."""
    if person_id is None or person_id == work.actor.id:
        return
    still = permits_somebody(work, permission, person_id, Finding.org_id, Finding.hub_id)
    if work.session.scalar(select(still).where(Finding.id == finding.id)):
        enqueue(work.session, work.now, person_id, kind, finding_id=str(finding.id), about=finding.about)


def _accept(finding: Finding, version: int | None) -> None:
    finding.accept_version(version)
    if finding.closed_at is not None:
        raise FindingClosed
