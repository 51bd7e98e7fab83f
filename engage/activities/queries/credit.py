"""Reads of credit: what somebody has, why, and the appeals that a level decides."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from engage.activities.access import decidable
from engage.activities.models import Activity, AppealState, CreditAppeal, CreditEntry
from engage.core.paging import Page, Pager, beyond
from engage.core.prepared import Prepared
from engage.identity.models import Person
from engage.orgs.access import LATER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select

    from engage.core.config import Settings
    from engage.core.db import Context

_APPEAL: Final[tuple[Any, ...]] = (
    CreditAppeal.id,
    CreditAppeal.state,
    CreditAppeal.text,
    CreditAppeal.created_at,
    CreditAppeal.decided_at,
    CreditAppeal.reason,
)
_ENTRY: Final[tuple[Any, ...]] = (
    CreditEntry.id,
    CreditEntry.rule,
    CreditEntry.points,
    CreditEntry.created_at,
    CreditEntry.fades_at,
    CreditEntry.withdrawn_at,
    Activity.id,
    Activity.title,
)


def _in_force(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the condition on an entry that it counts: not faded, not withdrawn."""
    return CreditEntry.fades_at > now, CreditEntry.withdrawn_at.is_(None)


# What a person's entries add up to at an instant.
_CHANGE: Final = Prepared(
    select(func.coalesce(func.sum(CreditEntry.points), 0)).where(
        CreditEntry.person_id == LATER.actor.id, *_in_force(LATER.now)
    )
)


def points_of(look: Context, person_id: UUID) -> int:
    """Return the points somebody has: what everybody starts with and their entries, never above the start."""
    ((change,),) = _CHANGE.all(look.db, {"me": person_id, "now": look.now})
    return min(look.settings.credit_start, look.settings.credit_start + int(change))


def end_of_holding(look: Context, starts_at: datetime) -> datetime | None:
    """Return the instant before which who has too few points gets no place, None when it is past."""
    until = starts_at - timedelta(hours=look.settings.credit_held_hours)
    return until if look.now < until else None


def held_until(look: Context, person_id: UUID, starts_at: datetime) -> datetime | None:
    """Return until when somebody gets no place, None when they may have one. One statement, none when off."""
    until = end_of_holding(look, starts_at)
    return until if until is not None and held_people(look, [person_id]) else None


def too_few_points(settings: Settings, now: datetime) -> Select[UUID]:
    """Return the select of the people who have too few points to be given a place before the last hours: whoever has no entry is none."""
    return (
        select(CreditEntry.person_id)
        .where(*_in_force(now))
        .group_by(CreditEntry.person_id)
        .having(func.sum(CreditEntry.points) < settings.credit_threshold - settings.credit_start)
    )


def held_people(look: Context, person_ids: Sequence[UUID]) -> set[UUID]:
    """Return who of some people has too few points. One statement, none when off."""
    if not (look.settings.credit and person_ids):
        return set()
    held = too_few_points(look.settings, look.now).where(CreditEntry.person_id.in_(person_ids))
    return set(look.db.scalars(held))


def my_credit(look: Context) -> dict[str, Any]:
    """Return the caller's points and what they mean now. One statement."""
    settings = look.settings
    points = points_of(look, look.actor.id)
    return {
        "enabled": settings.credit,
        "points": points,
        "start": settings.credit_start,
        "threshold": settings.credit_threshold,
        "held": settings.credit and points < settings.credit_threshold,
        "held_hours": settings.credit_held_hours,
        "fades_days": settings.credit_fades_days,
        "appeal_days": settings.credit_appeal_days,
    }


def appeal_until(settings: Settings, created_at: datetime) -> datetime:
    """Return the instant from which an entry can no longer be appealed against."""
    return created_at + timedelta(days=settings.credit_appeal_days)


def list_my_entries(look: Context, query: dict[str, Any]) -> Page:
    """Return the caller's entries, the newest first, each with its appeal. One statement."""
    pager = Pager(look.settings, "my-credit-entries", query)
    statement = _entries().where(CreditEntry.person_id == look.actor.id)
    after = pager.after()
    if after:
        statement = statement.where(beyond([CreditEntry.id], after, descending=True))
    rows = look.db.execute(statement.order_by(CreditEntry.id.desc()).limit(query["limit"] + 1)).all()
    return pager.page([_my_entry(row, look) for row in rows], lambda item: [item["id"]])


def my_entry(look: Context, entry_id: UUID) -> dict[str, Any]:
    """Return one of the caller's entries, which has been found before, with its appeal."""
    return _my_entry(look.db.execute(_entries().where(CreditEntry.id == entry_id)).one(), look)


def _entries() -> Select[Any]:
    return (
        select(*_ENTRY, *_APPEAL)
        .join(Activity, Activity.id == CreditEntry.activity_id)
        .outerjoin(CreditAppeal, CreditAppeal.entry_id == CreditEntry.id)
    )


def _my_entry(row: Any, look: Context) -> dict[str, Any]:
    appeal = row[len(_ENTRY) :]
    entry = _entry(row[: len(_ENTRY)])
    until = appeal_until(look.settings, entry["created_at"]) if entry["points"] < 0 else None
    return {
        **entry,
        "counts": entry["withdrawn_at"] is None and entry["fades_at"] > look.now,
        "appeal": None if appeal[0] is None else _appeal(appeal),
        "appeal_until": until,
        "can_appeal": until is not None and look.now < until and appeal[0] is None,
    }


def _entry(row: Any) -> dict[str, Any]:
    entry_id, rule, points, created_at, fades_at, withdrawn_at, activity_id, title = row
    return {
        "id": entry_id,
        "activity": {"id": activity_id, "title": title},
        "rule": rule,
        "points": points,
        "created_at": created_at,
        "fades_at": fades_at,
        "withdrawn_at": withdrawn_at,
    }


def _appeal(row: Any) -> dict[str, Any]:
    appeal_id, state, text, created_at, decided_at, reason = row
    return {
        "id": appeal_id,
        "state": state,
        "text": text,
        "created_at": created_at,
        "decided_at": decided_at,
        "reason": reason,
    }


def list_appeals(look: Context, query: dict[str, Any]) -> Page:
    """Return the appeals that the caller decides: open ones the oldest first, decided ones the newest. One statement."""
    pager = Pager(look.settings, "credit-appeals", query)
    newest_first = query["state"] is not AppealState.OPEN
    statement = _appeals().where(decidable(look), CreditAppeal.state == query["state"])
    after = pager.after()
    if after:
        statement = statement.where(beyond([CreditAppeal.id], after, descending=newest_first))
    order = CreditAppeal.id.desc() if newest_first else CreditAppeal.id
    rows = look.db.execute(statement.order_by(order).limit(query["limit"] + 1)).all()
    return pager.page([_for_staff(row) for row in rows], lambda item: [item["id"]])


def appeal_for_staff(look: Context, appeal_id: UUID) -> dict[str, Any]:
    """Return one appeal as those who decide see it; the caller has been checked before."""
    return _for_staff(look.db.execute(_appeals().where(CreditAppeal.id == appeal_id)).one())


def _appeals() -> Select[Any]:
    return (
        select(*_ENTRY, *_APPEAL, Person.id, Person.name)
        .select_from(CreditAppeal)
        .join(CreditEntry, CreditEntry.id == CreditAppeal.entry_id)
        .join(Activity, Activity.id == CreditEntry.activity_id)
        .join(Person, Person.id == CreditEntry.person_id)
    )


def _for_staff(row: Any) -> dict[str, Any]:
    *rest, person_id, name = row
    return {
        **_appeal(rest[len(_ENTRY) :]),
        "entry": _entry(rest[: len(_ENTRY)]),
        "person": {"id": person_id, "name": name},
    }
