"""Credit: turning attendance into points, once, and hearing who objects.

Each entry says by which activity and which rule; the person is told of every loss, and how long it can be appealed
against. What somebody has is computed from the entries (queries/credit.py), never stored.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import and_, exists, insert, or_, select, update

from engage.activities.access import appeal_to_decide
from engage.activities.errors import (
    AlreadyAppealed,
    AppealDecided,
    AppealTooLate,
    NoSuchCreditEntry,
    NothingToAppeal,
)
from engage.activities.models import (
    Activity,
    ActivityStatus,
    AppealState,
    CheckIn,
    CreditAppeal,
    CreditEntry,
    CreditRule,
    CreditSettlement,
    SignUp,
    SignUpState,
)
from engage.activities.queries import credit
from engage.activities.queries.states import attendance
from engage.activities.service.codes import UPLOADS_UNTIL
from engage.activities.service.quiet import audible
from engage.messages import service as messages
from engage.messages.models import MessageKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from engage.core.config import Settings
    from engage.core.db import Work

# Of the end, when nobody's presence can change any more.
SETTLED_AFTER: Final = UPLOADS_UNTIL + timedelta(days=1)
_LOOKS_BACK: Final = timedelta(days=30)  # what ended before that stays as it was when credit was switched on
_TOLD: Final = {
    CreditRule.ABSENT: MessageKind.CREDIT_ABSENT,
    CreditRule.LATE: MessageKind.CREDIT_LATE,
    CreditRule.LATE_CANCEL: MessageKind.CREDIT_LATE_CANCEL,
}
_HAS_NO_ENTRY: Final = ~exists().where(CreditEntry.sign_up_id == SignUp.id)
_ABOUT: Final = (Activity.id, Activity.title, Activity.quiet_from, Activity.quiet_until)


def unsettled(now: datetime) -> Select[Any]:
    """Return the select of the activities that took place and of which no check-in can be uploaded any more."""
    return select(Activity.id).where(_is_due(now)).order_by(Activity.ends_at)


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(
        Activity.status.in_((ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED)),
        Activity.ends_at <= now - SETTLED_AFTER,
        Activity.ends_at > now - _LOOKS_BACK,
        ~exists().where(CreditSettlement.activity_id == Activity.id),
    )


def settle(work: Work, activity_id: UUID) -> None:
    """Turn the attendance of a locked activity into entries, once; nothing if somebody was faster."""
    about = work.session.execute(
        select(*_ABOUT).where(Activity.id == activity_id, _is_due(work.now))
    ).one_or_none()
    if about is None:
        return
    work.session.add(CreditSettlement(activity_id=activity_id, settled_at=work.now))
    work.session.flush()
    _enter(work, about, _rules_met(work, activity_id))


def _rules_met(work: Work, activity_id: UUID) -> list[tuple[UUID, UUID, CreditRule]]:
    """Return (sign-up, person, rule) by what became of each place; who was excused or walked in meets none."""
    became = attendance(work.now)
    in_force = [rule.value for rule in CreditRule if _points(work.settings, rule)]
    rows = work.session.execute(
        select(SignUp.id, SignUp.person_id, became)
        .join(Activity, Activity.id == SignUp.activity_id)
        .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
        .where(SignUp.activity_id == activity_id, became.in_(in_force), _HAS_NO_ENTRY)
    )
    return [(sign_up_id, person_id, CreditRule(str(rule))) for sign_up_id, person_id, rule in rows]


def _points(settings: Settings, rule: CreditRule) -> int:
    """Return what a rule adds, by the settings of the moment; 0 when it is off."""
    size: int = getattr(settings, f"credit_{rule}")
    return size if rule is CreditRule.ATTENDED else -size


def _enter(work: Work, about: Any, found: Sequence[tuple[UUID, UUID, CreditRule]]) -> None:
    """Write entries, and tell those who lose points, after quiet hours."""
    if not found:
        return
    settings = work.settings
    work.session.execute(
        insert(CreditEntry),
        [
            {
                "person_id": person_id,
                "activity_id": about.id,
                "sign_up_id": sign_up_id,
                "rule": rule,
                "points": _points(settings, rule),
                "created_at": work.now,
                "fades_at": work.now + timedelta(days=settings.credit_fades_days),
            }
            for sign_up_id, person_id, rule in found
        ],
    )
    not_before = audible(about, work.now)
    for rule, kind in _TOLD.items():
        messages.enqueue_all(
            work.session, work.now, [person_id for _, person_id, its in found if its is rule], kind, not_before=not_before,
            activity_id=str(about.id), title=about.title, points=str(-_points(settings, rule)),
            appeal_until_at=credit.appeal_until(settings, work.now).isoformat(),
        )  # fmt: skip


def note_late_leave(work: Work, activity_id: UUID, sign_up_id: UUID) -> None:
    """Enter what it costs to give up a confirmed place after the time for excuses; nothing before, or when credit is off.

    For whoever leaves of their own accord, in the transaction in which they do, before their sign-up ends. Free for whom staff
    excused, for whom the queue or staff brought a place after that time, which was never theirs to give up in time, and of what was called off.
    """
    if not (work.settings.credit and _points(work.settings, CreditRule.LATE_CANCEL)):
        return
    row = work.session.execute(
        select(*_ABOUT, SignUp.person_id)
        .join(SignUp, SignUp.activity_id == Activity.id)
        .where(
            Activity.id == activity_id,
            Activity.status == ActivityStatus.PUBLISHED,
            Activity.excuse_until_at <= work.now,
            SignUp.id == sign_up_id,
            SignUp.state == SignUpState.CONFIRMED,
            SignUp.excused_at.is_(None),
            _HAS_NO_ENTRY,
            or_(
                SignUp.promoted_at.is_(None),
                SignUp.promoted_at < Activity.excuse_until_at,
                SignUp.offered_at.is_not(None),
            ),
            or_(SignUp.added_by.is_(None), SignUp.created_at < Activity.excuse_until_at),
        )
    ).one_or_none()
    if row is not None:
        _enter(work, row, [(sign_up_id, row.person_id, CreditRule.LATE_CANCEL)])


def appeal(work: Work, entry_id: UUID, text: str) -> dict[str, Any]:
    """Object to an entry that took points from the caller, once.

    Raises:
        NoSuchCreditEntry: there is none, or it is somebody else's.
        NothingToAppeal: it gave points.
        AlreadyAppealed: there is an appeal.
        AppealTooLate: it is too old.

    """
    # Of two at the same time the second waits here, and then sees the appeal of the first.
    entry = work.session.execute(
        select(CreditEntry.points, CreditEntry.created_at)
        .where(CreditEntry.id == entry_id, CreditEntry.person_id == work.actor.id)
        .with_for_update()
    ).one_or_none()
    if entry is None:
        raise NoSuchCreditEntry
    if entry.points > 0:
        raise NothingToAppeal
    if work.session.scalar(select(exists().where(CreditAppeal.entry_id == entry_id))):
        raise AlreadyAppealed
    if work.now >= credit.appeal_until(work.settings, entry.created_at):
        raise AppealTooLate
    work.session.add(CreditAppeal(entry_id=entry_id, text=text, created_at=work.now))
    work.session.flush()
    return credit.my_entry(work, entry_id)


def decide_appeal(work: Work, appeal_id: UUID, *, uphold: bool, reason: str) -> dict[str, Any]:
    """Uphold an appeal, which gives the points back, or dismiss it; the person is told. Repeating changes nothing.

    Raises:
        NoSuchAppeal, NotAllowed: not the caller's to decide.
        AppealDecided: it was decided the other way.

    """
    found = appeal_to_decide(work, appeal_id)
    state = AppealState.UPHELD if uphold else AppealState.DISMISSED
    if found.state is not AppealState.OPEN:
        if found.state is not state:
            raise AppealDecided
        return credit.appeal_for_staff(work, appeal_id)
    found.state, found.reason = state, reason
    found.decided_at, found.decided_by = work.now, work.actor.id
    work.session.flush()
    if uphold:
        _withdraw(work, found.entry_id)
    _tell(work, found.entry_id, state, reason)
    return credit.appeal_for_staff(work, appeal_id)


def _withdraw(work: Work, entry_id: UUID) -> None:
    # Who is no longer to be held back for it is found by the worker (due.py).
    work.session.execute(
        update(CreditEntry)
        .where(CreditEntry.id == entry_id)
        .values(withdrawn_at=work.now, withdrawn_by=work.actor.id)
        .execution_options(synchronize_session=False)
    )


def _tell(work: Work, entry_id: UUID, state: AppealState, reason: str) -> None:
    kind = (
        MessageKind.CREDIT_APPEAL_UPHELD
        if state is AppealState.UPHELD
        else MessageKind.CREDIT_APPEAL_DISMISSED
    )
    person_id, activity_id, title = work.session.execute(
        select(CreditEntry.person_id, Activity.id, Activity.title)
        .join(Activity, Activity.id == CreditEntry.activity_id)
        .where(CreditEntry.id == entry_id)
    ).one()
    messages.enqueue(
        work.session, work.now, person_id, kind, activity_id=str(activity_id), title=title, reason=reason
    )
