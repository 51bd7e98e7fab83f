"""The roster that a phone takes to a door without signal, with the keys of its shift, signed for who took it."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson
from itsdangerous import BadData, URLSafeSerializer

from engage.activities.errors import RosterSignatureInvalid
from engage.activities.queries.roster import roster_page
from engage.activities.queries.states import state_of
from engage.activities.service.codes import (
    CHECK_OUT_AFTER,
    CLOCK_TOLERANCE,
    OPENS_BEFORE,
    UPLOADS_UNTIL,
    shift_of,
    shifts_from,
)
from engage.core import audit

if TYPE_CHECKING:
    from engage.core.config import Settings
    from engage.core.db import Look, Work

_MINUTE: Final = timedelta(minutes=1)
# What a transaction wrote counts from its beginning but is seen from its end; none lives as long as this (core/db.py).
_OVERLAP: Final = timedelta(minutes=1)


def read_roster(look: Look, activity_id: UUID, query: dict[str, Any]) -> dict[str, Any]:
    """Return a page of what a phone needs to check people in by itself, for staff of the activity.

    ``next_since`` lies a little before ``as_of``: a change that was under way is told next time, at worst twice.

    Raises:
        NoSuchActivity: there is none that the caller may see.
        NotAllowed: the caller is not its staff.

    """
    page = roster_page(look, activity_id, query)
    activity = page.activity
    shown = {
        "activity": {
            "id": activity.id,
            "title": activity.title,
            "state": state_of(
                activity.status,
                activity.sign_up_opens_at,
                activity.sign_up_closes_at,
                activity.starts_at,
                activity.ends_at,
                look.now,
            ),
            "starts_at": activity.starts_at,
            "ends_at": activity.ends_at,
            "capacity": activity.capacity,
            "taken": activity.taken,
            "waiting": activity.waiting,
            "pools": page.pools,
        },
        "rules": {
            "opens_before_minutes": OPENS_BEFORE // _MINUTE,
            "check_out_after_minutes": CHECK_OUT_AFTER // _MINUTE,
            "clock_tolerance_minutes": CLOCK_TOLERANCE // _MINUTE,
            "uploads_until": activity.ends_at + UPLOADS_UNTIL,
            "late_minutes": activity.late_minutes,
            "requires_check_out": activity.requires_check_out,
            "walk_ins_from": activity.queue_closes_at,
        },
        "shifts": shifts_from(look.settings, activity_id, look.now),
        "entries": page.entries,
        "removed": page.removed,
        "as_of": look.now,
        "next_since": look.now - _OVERLAP,
        "next_cursor": page.next_cursor,
    }
    return {**shown, "signature": _sign(look, activity_id, shown)}


def _serializer(settings: Settings) -> URLSafeSerializer:
    return URLSafeSerializer(
        settings.key("roster"), salt="roster", signer_kwargs={"digest_method": hashlib.sha256}
    )


def _sign(look: Look, activity_id: UUID, shown: dict[str, Any]) -> str:
    return str(
        _serializer(look.settings).dumps(
            {
                "activity": activity_id.hex,
                "person": look.actor.id.hex,
                "shift": shift_of(look.now),
                "as_of": look.now.isoformat(),
                "page": _digest(shown),
            }
        )
    )


def _digest(shown: dict[str, Any]) -> str:
    """Return the digest of all that a page says; of the keys of shifts it names the ids."""
    said = {**shown, "shifts": [shift["id"] for shift in shown["shifts"]]}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def note_used(work: Work, activity_id: UUID, signature: str) -> None:
    """Note in the entry of the audit log which roster staff worked from; refuse one that was not given to them for this activity.

    It is good for as long as uploads are taken. What they report is judged by what is on record, not by what that roster said.

    Raises:
        RosterSignatureInvalid: it is forged, somebody else's or another activity's.

    """
    try:
        signed = _serializer(work.settings).loads(signature)
    except BadData:
        raise RosterSignatureInvalid from None
    if (signed["activity"], signed["person"]) != (activity_id.hex, work.actor.id.hex):
        raise RosterSignatureInvalid
    # A roster from before pages were signed whole names none.
    used = {name: signed.get(name) for name in ("as_of", "page")}
    audit.changed(work, "roster", activity_id, before={}, after=used)
