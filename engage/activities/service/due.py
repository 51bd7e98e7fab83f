"""What the clock brings about: offers expire, holds end, pools merge, queues close, attendance becomes credit.

Each activity is settled in a transaction of its own: its row is locked, and what was found is looked at again. So several workers and all
requests can meet at it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from engage.activities.models import Activity, ActivityStatus, CancelCause, SignUp, SignUpState
from engage.activities.service import admission, credit
from engage.activities.service.drawing import close_entries_due, draw_due, settle_due
from engage.activities.service.quiet import QuietHours
from engage.core import clock
from engage.core.db import Nobody, Work
from engage.messages import service as messages
from engage.messages.models import MessageKind

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select

    from engage.core.db import Database

log = logging.getLogger("engage.due")

_BATCH: Final = 50
_LOOKED_BACK: Final = timedelta(days=2)  # for queues that should have closed while no worker ran


def expire_offers(database: Database) -> int:
    """Pass the places of offers that nobody accepted in time on to the next; return at how many activities."""
    return _settle(
        database,
        lambda now: select(SignUp.activity_id).where(*_expired(now)).distinct(),
        _expire_offers,
    )


def _expired(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return SignUp.state == SignUpState.OFFERED, SignUp.offer_expires_at <= now


def _expire_offers(work: Work, activity_id: UUID, *, tells: bool = True) -> None:
    told = MessageKind.OFFER_EXPIRED if tells else None
    _drop(work, activity_id, CancelCause.EXPIRED, told, *_expired(work.now))


def release_held(database: Database) -> int:
    """Let those who had to wait until now take their turn; return at how many activities."""
    return _settle(
        database,
        lambda now: select(SignUp.activity_id).where(SignUp.held_until <= now).distinct(),
        _release_held,
    )


def _release_held(work: Work, activity_id: UUID) -> None:
    work.session.execute(
        update(SignUp)
        .where(SignUp.activity_id == activity_id, SignUp.held_until <= work.now)
        .values(held_until=None, updated_at=work.now)
        .execution_options(synchronize_session=False)
    )
    closes_at = work.session.scalar(select(Activity.queue_closes_at).where(Activity.id == activity_id))
    # They waited for their place until now: it is theirs, not offered, unless it is for the door by now.
    admission.fill(work, activity_id, at_once=closes_at is not None and work.now < closes_at)


def merge_pools(database: Database) -> int:
    """Make pools one whose time has come, and give what that frees; return at how many activities."""
    return _settle(
        database,
        lambda now: select(Activity.id).where(
            ~Activity.pools_merged,
            Activity.pools_merge_at <= now,
            Activity.status == ActivityStatus.PUBLISHED,
            Activity.ends_at > now,
        ),
        admission.fill,
    )


def close_queues(database: Database) -> int:
    """End the turns of those whom no place reached before their queue closed; return at how many activities."""
    return _settle(
        database,
        lambda now: select(Activity.id).where(
            Activity.queue_closes_at <= now,
            Activity.queue_closes_at > now - _LOOKED_BACK,
            Activity.status == ActivityStatus.PUBLISHED,
            Activity.ends_at > now,
            Activity.waiting > 0,
        ),
        _end_turns,
    )


def close_queue(work: Work, activity_id: UUID, *, tells: bool = True) -> None:
    """End what stood until the closing of a locked activity's queue, turns and offers, when that is past."""
    _expire_offers(work, activity_id, tells=tells)
    _end_turns(work, activity_id, tells=tells)


def _end_turns(work: Work, activity_id: UUID, *, tells: bool = True) -> None:
    closed = select(Activity.id).where(Activity.id == activity_id, Activity.queue_closes_at <= work.now)
    _drop(
        work,
        activity_id,
        CancelCause.QUEUE_CLOSED,
        MessageKind.QUEUE_CLOSED if tells else None,
        SignUp.state == SignUpState.WAITLISTED,
        closed.exists(),
    )


def settle_credit(database: Database) -> int:
    """Turn the attendance of activities that are closed into credit points; return at how many activities."""
    return _settle(database, credit.unsettled, credit.settle) if database.settings.credit else 0


def _drop(
    work: Work,
    activity_id: UUID,
    cause: CancelCause,
    told: MessageKind | None,
    *which: ColumnElement[bool],
) -> None:
    """End some sign-ups of a locked activity, tell the people unless another does, and give what became free."""
    people = work.session.scalars(
        update(SignUp)
        .where(SignUp.activity_id == activity_id, *which)
        .values(
            state=SignUpState.CANCELLED,
            pool=None,
            held_until=None,
            offer_expires_at=None,
            cancelled_at=work.now,
            cancel_cause=cause,
            updated_at=work.now,
        )
        .returning(SignUp.person_id)
        .execution_options(synchronize_session=False)
    ).all()
    if not people:
        return
    if told is not None:
        _tell(work, activity_id, people, told)
    admission.fill(work, activity_id)


def _tell(work: Work, activity_id: UUID, people: Iterable[UUID], told: MessageKind) -> None:
    title, quiet_from, quiet_until = work.session.execute(
        select(Activity.title, Activity.quiet_from, Activity.quiet_until).where(Activity.id == activity_id)
    ).one()
    audible = QuietHours(quiet_from, quiet_until).next_end(work.now)
    messages.enqueue_all(
        work.session, work.now, people, told, not_before=audible, activity_id=str(activity_id), title=title
    )


def _settle(
    database: Database,
    found: Callable[[datetime], Select[Any]],
    settle: Callable[[Work, UUID], Any],
) -> int:
    """Settle the activities that a look finds, a batch at most."""
    with database.reading() as connection:
        activity_ids = connection.scalars(found(clock.now()).limit(_BATCH)).all()
    return sum(_try_to_settle(database, activity_id, settle) for activity_id in activity_ids)


def _try_to_settle(database: Database, activity_id: UUID, settle: Callable[[Work, UUID], Any]) -> bool:
    try:
        with database.transaction() as session:
            work = Work(session, Nobody(), clock.now(), database.settings)
            admission.lock(work, activity_id)
            settle(work, activity_id)
    except IntegrityError:  # one activity that cannot be settled must not stop the others
        log.exception("not settled", extra={"fields": {"activity": str(activity_id)}})
        return False
    return True


DUE: Final = (
    close_entries_due, draw_due, settle_due, expire_offers, release_held, merge_pools, close_queues, settle_credit,
)  # fmt: skip


def advance_due(database: Database, stop: threading.Event) -> int:
    """Do whatever is due, round by round until nothing is or a stop is asked for; return how many activities were settled."""
    total = 0
    while not stop.is_set() and (done := sum(advance(database) for advance in DUE)):
        total += done
        log.info("settled", extra={"fields": {"count": done}})
    return total
