"""What can be checked about an activity, without people: its facts, its counts, and when it was published and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, literal, null, or_, select, true

from engage.activities.access import manageable, visible_activities
from engage.activities.errors import NoSuchActivity
from engage.activities.models import (
    Activity,
    ActivityStatus,
    CheckIn,
    CheckInMethod,
    Feedback,
    HoursEntry,
    HoursKind,
    Project,
    SignUp,
    SignUpState,
)
from engage.activities.queries.hours import minutes_moved
from engage.activities.queries.states import state_of
from engage.core.audit import DONE, AuditEntry
from engage.hubs.models import Hub
from engage.orgs.access import Permission, not_allowed
from engage.orgs.models import Org
from engage.statistics.models import SMALL_CELL
from engage.statistics.queries.participation import RATE_DECIMALS, persons_of

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Subquery

    from engage.core.db import Context

_FACTS: Final = (
    Activity.id, Activity.title, Activity.starts_at, Activity.ends_at, Activity.sign_up_opens_at, Activity.sign_up_closes_at,
    Activity.admission_mode, Activity.capacity, Activity.waitlist_capacity, Activity.created_at, Activity.updated_at,
)  # fmt: skip
_ATTENDANCES: Final = ("attended", "late", "absent", "excused", "walk_ins")
_PARTICIPATION: Final = ("sign_ups", "confirmed", *_ATTENDANCES, "expected", "came")
_MEAN_DECIMALS: Final = 1
# Operations that publish an activity or end it; what each changed says which it was.
_STEPS: Final = ("publish_activity", "cancel_activity", "reopen_activity", "close_activity")
_ORDER: Final[Any] = (AuditEntry.occurred_at, AuditEntry.id)
_MAX_STEPS: Final = 50  # of the first, and of the last


def read_evidence(look: Context, activity_id: UUID) -> dict[str, Any]:
    """Return what can be checked about an activity. Three statements.

    Raises:
        NoSuchActivity: there is none that the caller may see.
        NotAllowed: the caller sees it but reads no evidence there.

    """
    row = look.db.execute(
        select(
            manageable(look, Permission.READ_EVIDENCE).label("allowed"), *_FACTS, Activity.status,
            Org.id.label("org_id"), Org.name.label("org"), Hub.id.label("hub_id"), Hub.name.label("hub"),
            Project.id.label("project_id"), Project.name.label("project"),
        )
        .join(Org, Org.id == Activity.org_id)
        .join(Project, Project.id == Activity.project_id)
        .outerjoin(Hub, Hub.id == Activity.hub_id)
        .where(Activity.id == activity_id, visible_activities(look))
    ).one_or_none()  # fmt: skip
    if row is None:
        raise NoSuchActivity
    if not row.allowed:
        raise not_allowed(look, Permission.READ_EVIDENCE)
    times = (row.sign_up_opens_at, row.sign_up_closes_at, row.starts_at, row.ends_at)
    return {
        **{column.key: getattr(row, column.key) for column in _FACTS},
        "state": state_of(row.status, *times, look.now),
        "org": {"id": row.org_id, "name": row.org},
        "hub": row.hub_id and {"id": row.hub_id, "name": row.hub},
        "project": {"id": row.project_id, "name": row.project},
        **_steps(look, activity_id, row.status),
        **_counts(look, activity_id),
    }


def _steps(look: Context, activity_id: UUID, status: ActivityStatus) -> dict[str, Any]:
    """Return when an activity was first published, and when it came to the end that it is at, as far as the audit log tells."""
    steps = select(AuditEntry.id).where(
        AuditEntry.object_id == activity_id,
        AuditEntry.action.in_(_STEPS),
        AuditEntry.result == DONE,
        AuditEntry.changes.is_not(null()),
    )
    ends = (
        select(steps.order_by(*order).limit(_MAX_STEPS).subquery().c.id)
        for order in (_ORDER, [column.desc() for column in _ORDER])
    )
    entries = look.db.execute(
        select(AuditEntry.occurred_at, AuditEntry.changes)
        .where(or_(*(AuditEntry.id.in_(end) for end in ends)))
        .order_by(*_ORDER)
    ).all()
    moves = [
        (change["after"], occurred_at)
        for occurred_at, changes in entries
        for change in changes["items"]
        if (change["object"], change["id"], change["field"]) == ("activity", str(activity_id), "status")
    ]
    ended: datetime | None = dict(moves).get(status)
    return {
        "published_at": dict(reversed(moves)).get(ActivityStatus.PUBLISHED),
        "cancelled_at": ended if status is ActivityStatus.CANCELLED else None,
        "closed_at": ended if status is ActivityStatus.SUMMARISED else None,
    }


def _counts(look: Context, activity_id: UUID) -> dict[str, Any]:
    parts = (
        _participation(look, activity_id),
        _sign_ups(activity_id),
        _check_ins(activity_id),
        _hours(activity_id),
        _ratings(activity_id),
    )
    joined: Any = parts[0]
    for part in parts[1:]:
        joined = joined.join(part, true())
    columns: tuple[Any, ...] = tuple(column for part in parts for column in part.c)
    counted = look.db.execute(select(*columns).select_from(joined)).mappings().one()
    row = {name: int(value) for name, value in counted.items() if name != "mean"}
    return {
        "sign_ups": {
            "total": row["sign_ups"],
            **{name: row[name] for name in ("confirmed", "waiting", "cancelled")},
        },
        "attendance": {
            **{name: row[name] for name in _ATTENDANCES},
            "rate": round(row["came"] / row["expected"], RATE_DECIMALS) if row["expected"] else None,
        },
        "check_ins": {
            "total": row["check_ins"],
            **{name: row[name] for name in ("by_code", "by_staff", "after_end")},
        },
        "hours": {name: row[name] for name in ("minutes", "credits", "reversals")},
        "ratings": {
            "count": row["ratings"],
            "mean": round(float(counted["mean"]), _MEAN_DECIMALS) if row["ratings"] >= SMALL_CELL else None,
        },
    }


def _participation(look: Context, activity_id: UUID) -> Subquery:
    """Return the sums of the figures of participation over one activity, whatever its state."""
    counted = (
        select(
            Activity.id,
            literal(1).label("key"),
            Activity.status,
            Activity.starts_at,
            Activity.ends_at,
            Activity.late_minutes,
        )
        .where(Activity.id == activity_id)
        .cte("counted")
    )
    persons = persons_of(counted, look.now)
    sums = (func.coalesce(func.sum(persons.c[name]), 0).label(name) for name in _PARTICIPATION)
    return select(*sums).subquery("participation")


def _sign_ups(activity_id: UUID) -> Subquery:
    waiting, cancelled = (
        func.count().filter(SignUp.state == state)
        for state in (SignUpState.WAITLISTED, SignUpState.CANCELLED)
    )
    return (
        select(waiting.label("waiting"), cancelled.label("cancelled"))
        .where(SignUp.activity_id == activity_id)
        .subquery("queue")
    )


def _check_ins(activity_id: UUID) -> Subquery:
    def by(method: CheckInMethod) -> Any:
        return func.count().filter(CheckIn.method == method)

    return (
        select(
            func.count().label("check_ins"),
            by(CheckInMethod.CODE).label("by_code"),
            by(CheckInMethod.STAFF).label("by_staff"),
            func.count().filter(CheckIn.checked_in_at >= Activity.ends_at).label("after_end"),
        )
        .select_from(CheckIn)
        .join(Activity, Activity.id == CheckIn.activity_id)
        .where(CheckIn.activity_id == activity_id)
        .subquery("presence")
    )


def _hours(activity_id: UUID) -> Subquery:
    is_reversal = HoursEntry.kind == HoursKind.REVERSAL
    return (
        select(
            func.coalesce(func.sum(minutes_moved()), 0).label("minutes"),
            func.count().filter(~is_reversal).label("credits"),
            func.count().filter(is_reversal).label("reversals"),
        )
        .where(HoursEntry.activity_id == activity_id)
        .subquery("ledger")
    )


def _ratings(activity_id: UUID) -> Subquery:
    return (
        select(func.count().label("ratings"), func.avg(Feedback.stars).label("mean"))
        .where(Feedback.activity_id == activity_id)
        .subquery("rated")
    )
