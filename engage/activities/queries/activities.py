"""Lists and details of activities: rows of columns, statements built once per combination of filters."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Integer, String, Uuid, bindparam, exists, func, literal, or_, select

from engage.activities.access import is_public, manageable
from engage.activities.errors import NoSuchActivity
from engage.activities.models import Activity, ActivityStatus, CheckIn, Project, SignUp, SignUpState
from engage.activities.queries.draw import lottery_of
from engage.activities.queries.entry import ENTRY, MINE, Entry, Facts, wire
from engage.activities.queries.pools import pools_of
from engage.activities.queries.states import not_over, state_of, takes_more
from engage.core.clock import day_start
from engage.core.columns import UtcDateTime
from engage.core.paging import Page, Pager, beyond
from engage.core.prepared import Prepared
from engage.hubs.models import Hub
from engage.orgs.access import LATER
from engage.orgs.models import Org
from engage.regions.geo import Point, box_around, distance_m
from engage.regions.queries import box_filters, box_values

if TYPE_CHECKING:
    from engage.core.db import Context

# Around a point, distance decides the order; more than this many within the radius would be no list for a phone.
_MAX_NEAR: Final = 1000
_HOME_RADIUS_M: Final = 50_000
_DAY: Final = timedelta(days=1)

_LAT: Final = func.coalesce(Activity.lat, Hub.lat)
_LNG: Final = func.coalesce(Activity.lng, Hub.lng)
CARD: Final = (
    Activity.id,
    Activity.title,
    Activity.status,
    Activity.project_id,
    Project.name,
    Activity.hub_id,
    Hub.name,
    Activity.place_name,
    func.coalesce(Activity.address, Hub.address),
    _LAT,
    _LNG,
    Activity.county_code,
    Activity.starts_at,
    Activity.ends_at,
    Activity.sign_up_opens_at,
    Activity.sign_up_closes_at,
    Activity.capacity,
    Activity.taken,
    Activity.waitlist_capacity,
    Activity.waiting,
    Activity.min_age,
    Activity.max_age,
    Activity.members_only,
    Activity.queue_closes_at,
    Activity.walk_ins_present,
)


def card(row: Any, now: datetime, distance: float | None = None) -> dict[str, Any]:
    """Return the wire form of one row of the card columns."""
    (
        activity_id, title, status, project_id, project, hub_id, hub, place_name, address, lat, lng, county_code, starts_at,
        ends_at, opens_at, closes_at, capacity, taken, waitlist_capacity, waiting, min_age, max_age, members_only, queue_closes_at,
        walk_ins_present,
    ) = row  # fmt: skip
    used = taken if now < queue_closes_at else taken + walk_ins_present
    return {
        "id": activity_id,
        "title": title,
        "state": state_of(status, opens_at, closes_at, starts_at, ends_at, now),
        "project": {"id": project_id, "name": project},
        "hub": {"id": hub_id, "name": hub} if hub_id else None,
        "place": {
            "name": place_name or hub,
            "address": address,
            "position": None if lat is None else {"lat": lat, "lng": lng},
        },
        "county_code": county_code,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "sign_up_opens_at": opens_at,
        "sign_up_closes_at": closes_at,
        "capacity": capacity,
        "places_left": max(0, capacity - used),
        "waitlist_capacity": waitlist_capacity,
        "waiting": waiting,
        "min_age": min_age,
        "max_age": max_age,
        "members_only": members_only,
        "distance_m": None if distance is None else round(distance),
    }


def cards(*more: Any) -> Any:
    """Return the select of the card columns, then of ``more``."""
    return (
        select(*CARD, *more)
        .join(Project, Project.id == Activity.project_id)
        .outerjoin(Hub, Hub.id == Activity.hub_id)
    )


_FILTERS: Final[dict[str, Any]] = {
    "project_id": lambda: Activity.project_id == bindparam("project_id", type_=Uuid()),
    "hub_id": lambda: Activity.hub_id == bindparam("hub_id", type_=Uuid()),
    "org_id": lambda: Activity.org_id == bindparam("org_id", type_=Uuid()),
    "county": lambda: Activity.county_code == bindparam("county", type_=String()),
    "since": lambda: Activity.starts_at >= bindparam("since", type_=UtcDateTime()),
    "until": lambda: Activity.starts_at < bindparam("until", type_=UtcDateTime()),
    "not_over": lambda: not_over(Activity.ends_at),
    "q": lambda: or_(
        Activity.title.icontains(bindparam("q", type_=String()), escape="\\"),
        Project.name.icontains(bindparam("q", type_=String()), escape="\\"),
    ),
    "open": lambda: (
        (Activity.status == ActivityStatus.PUBLISHED)
        & (Activity.sign_up_opens_at <= bindparam("now", type_=UtcDateTime()))
        & (Activity.sign_up_closes_at > bindparam("now", type_=UtcDateTime()))
        & takes_more()
    ),
    "not_mine": lambda: (
        ~(
            exists()
            .where(SignUp.activity_id == Activity.id, SignUp.person_id == LATER.actor.id)
            .where(SignUp.state != SignUpState.CANCELLED)
        )
    ),
    "public": is_public,
    "managed": lambda: manageable(LATER),
    "after": lambda: beyond(
        [Activity.starts_at, Activity.id],
        [bindparam("after_at", type_=UtcDateTime()), bindparam("after_id", type_=Uuid())],
    ),
    **box_filters(_LAT, _LNG),
}


@cache
def _list(filters: frozenset[str]) -> Prepared[Any]:
    """Return the statement for a set of filters; building one costs more than running it."""
    statement = cards().where(*(_FILTERS[name]() for name in sorted(filters)))
    by_start = statement.order_by(Activity.starts_at, Activity.id)
    return Prepared(by_start.limit(bindparam("rows", type_=Integer())))


def _run(look: Context, values: dict[str, Any]) -> list[Any]:
    """Run the list whose filters are named in ``values``."""
    return _list(frozenset(_FILTERS.keys() & values.keys())).all(look.db, values)


def list_activities(look: Context, query: dict[str, Any]) -> Page:
    """Return activities by start, or by distance when ``near`` is given. One statement.

    Without a date range those that are over are left out.
    """
    values = _values(look, query)
    pager = Pager(look.settings, "activities", query)
    if query["near"] is not None:
        return _near_page(look, query, pager, values)
    after = pager.after()
    if after:
        values |= {"after": True, "after_at": after[0], "after_id": after[1]}
    rows = _run(look, {**values, "rows": query["limit"] + 1})
    items = [card(row, look.now) for row in rows]
    return pager.page(items, lambda item: [item["starts_at"], item["id"]])


def _values(look: Context, query: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: query[name] for name in ("project_id", "hub_id", "org_id", "county") if query[name] is not None
    }
    values["now"] = look.now
    if query["q"]:
        values["q"] = query["q"].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if query["from"]:
        values["since"] = day_start(query["from"])
    if query["to"]:
        values["until"] = day_start(query["to"]) + _DAY
    if not query["from"] and not query["to"]:
        values["not_over"] = True
    if query["open"]:
        values["open"] = True
    if query["managed"]:
        values |= {"managed": True, "me": look.actor.id}
    else:
        values["public"] = True
    return values


def _near_page(look: Context, query: dict[str, Any], pager: Pager, values: dict[str, Any]) -> Page:
    after = pager.after()
    found = _around(look, query["near"], query["radius_m"], values)
    if after:
        found = [pair for pair in found if (round(pair[0]), pair[1][0].bytes) > (after[0], after[1].bytes)]
    items = [card(row, look.now, distance) for distance, row in found[: query["limit"] + 1]]
    return pager.page(items, lambda item: [item["distance_m"], item["id"]])


def _around(look: Context, near: Point, radius_m: float, values: dict[str, Any]) -> list[tuple[float, Any]]:
    """Return (metres, row) of the activities of a circle, the nearest first."""
    rows = _run(look, {**values, **box_values(box_around(near, radius_m)), "rows": _MAX_NEAR})
    found = [
        (distance, row) for row in rows if (distance := distance_m(near, Point(row[9], row[10]))) <= radius_m
    ]
    return sorted(found, key=lambda pair: (round(pair[0]), pair[1][0].bytes))


def open_activities(look: Context, near: Point | None, limit: int) -> list[dict[str, Any]]:
    """Return activities that are open for sign-up and that the caller has not signed up to, for the home screen.

    The nearest first within 50 km of a point in GCJ-02; where there is none, or without a point, the soonest. At most
    two statements.
    """
    values = {"now": look.now, "open": True, "public": True}
    if look.actor.id is not None:
        values |= {"not_mine": True, "me": look.actor.id}
    if near is not None:
        found = _around(look, near, _HOME_RADIUS_M, values)[:limit]
        if found:
            return [card(row, look.now, distance) for distance, row in found]
    return [card(row, look.now) for row in _run(look, {**values, "rows": limit})]


_EXTRA: Final = (
    Activity.summary,
    Activity.org_id,
    Org.name,
    Activity.county_codes,
    Activity.questions,
    Activity.service_minutes,
    Activity.status_reason,
    Activity.closing_summary,
    Activity.version,
    Activity.admission_mode,
    Activity.overlap,
    Activity.applied,
    Activity.pools_merge_at,
    Activity.pools_merged,
    Activity.offers_from_at,
    Activity.offer_minutes,
    Activity.queue_closes_at,
    Activity.quiet_from,
    Activity.quiet_until,
    Activity.excuse_until_at,
    Activity.late_minutes,
    Activity.presence_percent,
    Activity.requires_check_out,
)


@cache
def _detail(*, known: bool) -> Prepared[Any]:
    activity_id = bindparam("activity_id", type_=Uuid())
    if not known:
        return Prepared(
            cards(*_EXTRA, literal(value=False))
            .join(Org, Org.id == Activity.org_id)
            .where(Activity.id == activity_id, is_public())
        )
    staff = manageable(LATER)
    return Prepared(
        cards(*_EXTRA, staff, Activity.late_minutes, *ENTRY)
        .join(Org, Org.id == Activity.org_id)
        .outerjoin(SignUp, MINE)
        .outerjoin(CheckIn, (CheckIn.activity_id == Activity.id) & (CheckIn.person_id == LATER.actor.id))
        .where(Activity.id == activity_id, or_(is_public(), staff))
    )


def read_activity(look: Context, activity_id: UUID) -> dict[str, Any]:
    """Return one activity with the caller's own sign-up. One statement.

    Raises:
        NoSuchActivity: there is none that the caller may see.

    """
    known = look.actor.id is not None
    values = (
        {"activity_id": activity_id, "me": look.actor.id, "now": look.now}
        if known
        else {"activity_id": activity_id}
    )
    row = _detail(known=known).one_or_none(look.db, values)
    if row is None:
        raise NoSuchActivity
    size = len(CARD)
    (
        summary, org_id, org, county_codes, questions, service_minutes, status_reason, closing_summary, version, *terms, can_manage,
    ) = row[size : size + len(_EXTRA) + 1]  # fmt: skip
    return {
        **card(row[:size], look.now),
        "summary": summary,
        "org": {"id": org_id, "name": org},
        "county_codes": county_codes,
        "questions": questions,
        "service_minutes": service_minutes,
        **_terms(look, activity_id, row[12], terms),
        "status_reason": status_reason,
        "closing_summary": closing_summary,
        "version": version,
        "can_manage": bool(can_manage),
        "my_sign_up": _mine(row[size + len(_EXTRA) + 1 :], row, look.now) if known else None,
    }


def _terms(look: Context, activity_id: UUID, starts_at: datetime, columns: list[Any]) -> dict[str, Any]:
    (
        mode, overlap, applied, pools_merge_at, pools_merged, offers_from_at, offer_minutes, queue_closes_at, quiet_from, quiet_until,
        excuse_until_at, late_minutes, presence_percent, requires_check_out,
    ) = columns  # fmt: skip
    return {
        "admission": {
            "mode": mode,
            "overlap": overlap,
            "applied": applied,
            "pools": [] if pools_merge_at is None else pools_of(look, activity_id),
            "pools_merge_at": pools_merge_at,
            "pools_merged": pools_merged,
            "lottery": lottery_of(look, activity_id, mode),
        },
        "waitlist": {
            "offer_window_minutes": _minutes_between(offers_from_at, starts_at),
            "offer_minutes": offer_minutes,
            "closes_minutes": _minutes_between(queue_closes_at, starts_at),
            "quiet_from": _clock_time(quiet_from),
            "quiet_until": _clock_time(quiet_until),
        },
        "attendance": {
            "excuse_minutes": _minutes_between(excuse_until_at, starts_at),
            "late_minutes": late_minutes,
            "presence_percent": presence_percent,
            "requires_check_out": requires_check_out,
        },
    }


def _minutes_between(first: datetime, second: datetime) -> int:
    return int((second - first).total_seconds()) // 60


def _clock_time(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _mine(columns: Any, row: Any, now: datetime) -> dict[str, Any] | None:
    late_minutes, *entry = columns
    if entry[0] is None:
        return None
    return wire(Entry(*entry), Facts(row[2], row[12], row[13], late_minutes), now)
