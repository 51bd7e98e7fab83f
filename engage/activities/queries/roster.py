"""What a phone keeps to check people in without signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import or_, select

from engage.activities.access import manageable, visible_activities
from engage.activities.errors import NoSuchActivity
from engage.activities.models import Activity, CheckIn, SignUp, SignUpState
from engage.activities.queries.pools import pools_of
from engage.activities.queries.states import attendance_of
from engage.core.paging import Pager
from engage.identity.models import Person
from engage.orgs.access import Permission, not_allowed

if TYPE_CHECKING:
    from datetime import datetime

    from engage.core.db import Context


@dataclass(frozen=True, slots=True)
class RosterPage:
    """A page of everybody with a sign-up, and the ids of those that ended since; ``activity`` is its row."""

    activity: Any
    pools: list[dict[str, Any]]
    entries: list[dict[str, Any]]
    removed: list[UUID]
    next_cursor: str | None


def roster_page(look: Context, activity_id: UUID, query: dict[str, Any]) -> RosterPage:
    """Return a page of an activity's roster in order of sign-up, for its staff; with ``updated_since`` what changed from then on.

    Two statements, one more where places are in pools.

    Raises:
        NoSuchActivity: there is none that the caller may see.
        NotAllowed: the caller is not its staff.

    """
    activity = _activity(look, activity_id)
    pager = Pager(look.settings, f"roster:{activity_id}", query)
    rows = look.db.execute(_statement(activity_id, query, pager.after())).all()
    page = pager.page(rows, lambda row: [row.seq])
    live = [row for row in page.items if row.state is not SignUpState.CANCELLED]
    return RosterPage(
        activity=activity,
        pools=[] if activity.pools_merged else pools_of(look, activity_id),
        entries=[_entry(row, activity, look.now) for row in live],
        removed=[row.id for row in page.items if row.state is SignUpState.CANCELLED],
        next_cursor=page.next_cursor,
    )


def _activity(look: Context, activity_id: UUID) -> Any:
    row = look.db.execute(
        select(
            Activity.id, Activity.title, Activity.status, Activity.starts_at, Activity.ends_at, Activity.capacity, Activity.taken,
            Activity.waiting, Activity.sign_up_opens_at, Activity.sign_up_closes_at, Activity.queue_closes_at, Activity.pools_merged, Activity.late_minutes, Activity.requires_check_out,
            manageable(look, Permission.READ_PEOPLE).label("is_allowed"),
        ).where(Activity.id == activity_id, visible_activities(look))
    ).one_or_none()  # fmt: skip
    if row is None:
        raise NoSuchActivity
    if not row.is_allowed:
        raise not_allowed(look, Permission.READ_PEOPLE)
    return row


def _statement(activity_id: UUID, query: dict[str, Any], after: list[Any] | None) -> Any:
    statement = (
        select(
            SignUp.seq, SignUp.id, SignUp.state, SignUp.pool, SignUp.excused_at, Person.id.label("person_id"), Person.name,
            CheckIn.arrived_at, CheckIn.left_at, CheckIn.over_capacity,
        )
        .join(Person, Person.id == SignUp.person_id)
        .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
        .where(SignUp.activity_id == activity_id)
        .order_by(SignUp.seq)
        .limit(query["limit"] + 1)
    )  # fmt: skip
    since = query["updated_since"]
    if since is None:
        statement = statement.where(SignUp.state != SignUpState.CANCELLED)
    else:
        statement = statement.where(or_(*(row.updated_at >= since for row in (SignUp, CheckIn, Person))))
    return statement if after is None else statement.where(SignUp.seq > after[0])


def _entry(row: Any, activity: Any, now: datetime) -> dict[str, Any]:
    return {
        "sign_up_id": row.id,
        "person_id": row.person_id,
        "name": row.name,
        "state": row.state,
        "pool": row.pool,
        "attendance": attendance_of(row.state, row.arrived_at, row.excused_at, now, activity),
        "arrived_at": row.arrived_at,
        "left_at": row.left_at,
        "over_capacity": bool(row.over_capacity),
    }
