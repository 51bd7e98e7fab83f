"""What the clock brings about: offers expire, holds end, pools merge, queues and applications end, attendance becomes credit; and what was left undone.

Each activity is settled in a transaction of its own: its row is locked, and what was found is looked at again. So several workers and all
requests can meet at it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import literal_column, select, update
from sqlalchemy.exc import IntegrityError

from engage.activities.models import Activity, ActivityStatus, SignUp
from engage.activities.queries.holding import held_for_nothing
from engage.activities.queries.inactive import held_by_inactive
from engage.activities.queries.review import too_late_to_decide
from engage.activities.service import admission, credit, release, transitions
from engage.activities.service.drawing import close_entries_due, draw_due, settle_due
from engage.core import clock
from engage.core.db import Nobody, Work

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Select

    from engage.core.db import Database

log = logging.getLogger("engage.due")

_BATCH: Final = 50
# Written into the SQL: neither engine uses a partial index for a condition that is bound.
_WAITLISTED: Final[Any] = literal_column("'waitlisted'")
_APPLIED: Final[Any] = literal_column("'applied'")


def expire_offers(database: Database) -> int:
    """Pass the places of offers that nobody accepted in time on to the next; return at how many activities.

    Not while an activity is called off: re-opening it renews them.
    """
    return _settle(
        database,
        lambda now: (
            select(SignUp.activity_id)
            .join(Activity, Activity.id == SignUp.activity_id)
            .where(*transitions.expired(now), Activity.status != ActivityStatus.CANCELLED)
            .distinct()
        ),
        transitions.expire_offers,
    )


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


def let_back_in_line(database: Database) -> int:
    """Let those take their turn who are held back for nothing any more; return at how many activities.

    Points that fade, come back or are won, a place elsewhere that ends, moves or is called off, another setting: whatever it was, it is seen here.
    """
    return _settle(
        database,
        lambda now: held_for_nothing(database.settings, now).with_only_columns(SignUp.activity_id).distinct(),
        _let_back_in_line,
    )


def _let_back_in_line(work: Work, activity_id: UUID) -> None:
    found = held_for_nothing(work.settings, work.now).where(SignUp.activity_id == activity_id)
    work.session.execute(
        update(SignUp)
        .where(SignUp.seq.in_(found))
        .values(held_until=None, updated_at=work.now)
        .execution_options(synchronize_session=False)
    )
    admission.fill(work, activity_id)


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
    """End the turns of those whom no place reached before their queue closed; return at how many activities.

    Found by who waits, which are few, however long ago their queue should have closed.
    """
    return _settle(
        database,
        lambda now: (
            select(SignUp.activity_id)
            .join(Activity, Activity.id == SignUp.activity_id)
            .where(
                SignUp.state == _WAITLISTED,
                Activity.queue_closes_at <= now,
                Activity.status.in_(transitions.QUEUE_MOVES),
            )
            .distinct()
        ),
        transitions.close_queue,
    )


def end_undecided(database: Database) -> int:
    """End the applications that nobody decided on while there was time, and the entries of no draw; return at how many activities."""
    return _settle(
        database,
        lambda now: (
            select(SignUp.activity_id)
            .join(Activity, Activity.id == SignUp.activity_id)
            .where(SignUp.state == _APPLIED, too_late_to_decide(now))
            .distinct()
        ),
        transitions.end_undecided,
    )


def release_inactive(database: Database) -> int:
    """Free what people hold whose account was stopped while they signed up; return at how many activities."""
    return _settle(
        database,
        lambda now: select(SignUp.activity_id).where(*held_by_inactive(now, now)).distinct(),
        release.release_inactive,
    )


def settle_credit(database: Database) -> int:
    """Turn the attendance of activities that are closed into credit points; return at how many activities."""
    return _settle(database, credit.unsettled, credit.settle) if database.settings.credit else 0


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
    close_entries_due, draw_due, settle_due, release_inactive, expire_offers, release_held, let_back_in_line, merge_pools,
    close_queues, end_undecided, settle_credit,
)  # fmt: skip


def advance_due(database: Database, stop: threading.Event) -> int:
    """Do whatever is due, round by round until nothing is or a stop is asked for; return how many activities were settled."""
    total = 0
    while not stop.is_set() and (done := sum(advance(database) for advance in DUE)):
        total += done
        log.info("settled", extra={"fields": {"count": done}})
    return total
