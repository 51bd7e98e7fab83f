"""Check-ins that staff made without signal: merged to the same presence whatever the order in which devices send them.

Presence is the earliest arrival and the latest departure of all reports; whoever is seen leaving was there. The rows of everybody concerned are
locked before they are read, so that this rule stands here alone and not in the statements too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import select

from engage.activities.access import activity_to_manage
from engage.activities.models import (
    Activity,
    ActivityStatus,
    CheckIn,
    CheckInMethod,
    ScanConflict,
    ScanKind,
    ScanResult,
    SignUp,
    SignUpState,
)
from engage.activities.service import admission, hours, transitions, walk_ins
from engage.activities.service.codes import (
    CHECK_OUT_AFTER,
    CLOCK_TOLERANCE,
    OPENS_BEFORE,
    UPLOADS_UNTIL,
    refuse_not_open,
    was_shown,
)
from engage.activities.service.rosters import note_used
from engage.core import ids
from engage.core.db import upserting
from engage.core.errors import Language
from engage.identity.models import Person, PersonStatus
from engage.orgs.access import Permission

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engage.core.db import Work

_ADMITTED: Final = (SignUpState.CONFIRMED, SignUpState.WALK_IN)
_MERGED: Final = ("arrived_at", "left_at", "method", "claimed_at", "checked_in_by", "updated_at")


@dataclass(frozen=True, slots=True)
class Presence:
    """When somebody was there, and who saw them come."""

    arrived_at: datetime
    left_at: datetime | None
    method: CheckInMethod
    claimed_at: datetime | None
    checked_in_by: UUID | None


@dataclass(slots=True)
class _Entry:
    """What is known of a person at the door; ``before`` is the presence on record, ``presence`` the one that becomes of it."""

    sign_up_id: UUID | None = None
    state: SignUpState | None = None
    is_known: bool = True
    walks_in: bool = False
    before: Presence | None = None
    presence: Presence | None = None


@dataclass(frozen=True, slots=True)
class _Door:
    work: Work
    activity: Activity
    entries: dict[UUID, _Entry] = field(default_factory=dict)


def upload(
    work: Work,
    activity_id: UUID,
    items: list[dict[str, Any]],
    signature: str | None = None,
    language: Language = Language.ZH,
) -> dict[str, Any]:
    """Take in a batch of what staff saw at the door, perhaps hours ago without signal.

    Each item has its own result, in the order given: ``accepted``, ``already`` (nothing new in it; a replay changes nothing) or ``conflict`` with
    the code of the reason and its sentence. A constant number of statements, whatever the size of the batch. Once the activity is closed, hours follow what is
    new: those that are due are given, those that are no longer due are taken back.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        ActivityCancelled, CheckInNotOpen, ActivityOver: too early, or more than seven days after the end.
        RosterSignatureInvalid: the batch names a roster that the caller was not given.

    """
    activity = activity_to_manage(work, activity_id, Permission.READ_PEOPLE)
    closed = activity.status is ActivityStatus.SUMMARISED
    status = ActivityStatus.PUBLISHED if closed else activity.status
    refuse_not_open(status, activity.starts_at, activity.ends_at + UPLOADS_UNTIL, work.now)
    if signature is not None:
        note_used(work, activity_id, signature)
    door = _Door(work, activity, _read(work, activity_id, {item["person_id"] for item in items}))
    results = [_take_in(door, item) for item in items]
    freed = _let_in(door)
    _write(door)
    if freed:
        admission.fill(work, activity_id)
    beyond = walk_ins.mark(work, activity)
    if closed:
        hours.settle(work, activity)
    for result in results:
        result["over_capacity"] = result["person_id"] in beyond
        result["detail"] = result["code"] and result["code"].sentence(language)
    return {"results": results}


def _read(work: Work, activity_id: UUID, person_ids: set[UUID]) -> dict[UUID, _Entry]:
    entries = {person_id: _Entry() for person_id in person_ids}
    # Sign-ups first: who checks in by code at this moment holds a share of theirs until their check-in can be read (check_in.py).
    places = work.session.execute(
        select(SignUp.person_id, SignUp.id, SignUp.state)
        .where(
            SignUp.activity_id == activity_id,
            SignUp.person_id.in_(person_ids),
            SignUp.state != SignUpState.CANCELLED,
        )
        .with_for_update(key_share=True)
    )
    for person_id, sign_up_id, state in places:
        entries[person_id].sign_up_id, entries[person_id].state = sign_up_id, state
    presences = work.session.execute(
        select(
            CheckIn.person_id, CheckIn.arrived_at, CheckIn.left_at, CheckIn.method, CheckIn.claimed_at, CheckIn.checked_in_by
        )
        .where(CheckIn.activity_id == activity_id, CheckIn.person_id.in_(person_ids))
        .with_for_update()
    )  # fmt: skip
    for person_id, arrived_at, left_at, method, claimed_at, by in presences:
        there = Presence(arrived_at, left_at, method, claimed_at, by)
        entries[person_id].before = entries[person_id].presence = there
    _mark_unknown(work, entries)
    return entries


def _mark_unknown(work: Work, entries: dict[UUID, _Entry]) -> None:
    # Who holds a place keeps it from before; an account that was suspended or closed gains nothing by the door.
    without = [person_id for person_id, entry in entries.items() if entry.state not in _ADMITTED]
    known = work.session.scalars(
        select(Person.id).where(Person.id.in_(without), Person.status == PersonStatus.ACTIVE)
    )
    for person_id in set(without).difference(known):
        entries[person_id].is_known = False


def _take_in(door: _Door, item: dict[str, Any]) -> dict[str, Any]:
    entry = door.entries[item["person_id"]]
    conflict = _conflict(door, entry, item)
    result = ScanResult.CONFLICT
    if conflict is None:
        entry.walks_in = entry.walks_in or entry.state is not SignUpState.CONFIRMED
        merged = merge(entry.presence, item["kind"], item["scanned_at"], door.work.actor.id)
        result = ScanResult.ALREADY if merged == entry.presence else ScanResult.ACCEPTED
        entry.presence = merged
    return {"person_id": item["person_id"], "result": result, "code": conflict}


def _conflict(door: _Door, entry: _Entry, item: dict[str, Any]) -> ScanConflict | None:
    """Return why an item cannot be taken in, judged by what was on record before the batch: so its order does not matter."""
    if not entry.is_known:
        return ScanConflict.NO_SUCH_PERSON
    if not item["walk_in"] and entry.state is not SignUpState.CONFIRMED:
        return ScanConflict.NO_SUCH_SIGN_UP if entry.state is None else ScanConflict.SIGN_UP_NOT_CONFIRMED
    scanned_at, activity = item["scanned_at"], door.activity
    if scanned_at > door.work.now + CLOCK_TOLERANCE:
        return ScanConflict.CLOCK_AHEAD
    until = activity.ends_at + (CHECK_OUT_AFTER if item["kind"] is ScanKind.OUT else timedelta())
    if not activity.starts_at - OPENS_BEFORE <= scanned_at < until:
        return ScanConflict.OUTSIDE_ACTIVITY
    if item["code"] is not None and not was_shown(door.work.settings, activity.id, item["code"], scanned_at):
        return ScanConflict.CHECK_IN_CODE_INVALID
    return None


def merge(before: Presence | None, kind: ScanKind, scanned_at: datetime, by: UUID) -> Presence:
    """Return a presence with one more report: the same for any order of the same reports."""
    left_at = scanned_at if kind is ScanKind.OUT else None
    seen = Presence(scanned_at, left_at, CheckInMethod.STAFF, scanned_at, by)
    if before is None:
        return seen
    departures = [at for at in (before.left_at, left_at) if at is not None]
    first = min(before, seen, key=_precedence)
    return replace(first, left_at=max(departures, default=None))


def _precedence(presence: Presence) -> tuple[datetime, bool, int]:
    """Return what decides who saw somebody come: the earliest, at the same instant themselves before staff, then the lower id."""
    by = presence.checked_in_by
    return presence.arrived_at, presence.method is CheckInMethod.STAFF, by.int if by else 0


def _let_in(door: _Door) -> bool:
    """Sign up who walked in; return whether a place became free."""
    work, activity = door.work, door.activity
    arrivals = {
        person_id: entry
        for person_id, entry in door.entries.items()
        if entry.walks_in and entry.state is not SignUpState.WALK_IN
    }
    change = [entry.sign_up_id for entry in arrivals.values() if entry.sign_up_id is not None]
    added = [_walk_in(work, activity, person_id, arrivals[person_id]) for person_id in _without(arrivals)]
    transitions.walk_in(work, change, added)
    return any(entry.state is SignUpState.OFFERED for entry in arrivals.values())


def _without(arrivals: dict[UUID, _Entry]) -> Iterable[UUID]:
    return [person_id for person_id, entry in arrivals.items() if entry.sign_up_id is None]


def _walk_in(work: Work, activity: Activity, person_id: UUID, entry: _Entry) -> dict[str, Any]:
    entry.sign_up_id = ids.new_id()
    return {
        "id": entry.sign_up_id,
        "activity_id": activity.id,
        "person_id": person_id,
        "answers": {},
        "starts_at": activity.starts_at,
        "ends_at": activity.ends_at,
        "added_by": work.actor.id,
    }


def _write(door: _Door) -> None:
    work = door.work
    rows = [
        {
            "activity_id": door.activity.id,
            "person_id": person_id,
            "sign_up_id": entry.sign_up_id,
            "checked_in_at": work.now,
            "updated_at": work.now,
            "over_capacity": False,
            **asdict(entry.presence),
        }
        for person_id, entry in door.entries.items()
        if entry.presence is not None and entry.presence != entry.before
    ]
    if rows:
        statement = upserting(work.session, CheckIn)
        work.session.connection().execute(
            statement.on_conflict_do_update(
                index_elements=["activity_id", "person_id"],
                set_={name: statement.excluded[name] for name in _MERGED},
            ),
            rows,
        )
