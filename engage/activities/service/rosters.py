"""The roster that a phone takes to a door without signal, with the keys of its shift, signed for who took it."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer

from engage.activities.errors import RosterSignatureInvalid
from engage.activities.queries.roster import RosterPage, roster_page
from engage.activities.queries.states import state_of
from engage.activities.service.codes import (
    CHECK_OUT_AFTER,
    CLOCK_TOLERANCE,
    OPENS_BEFORE,
    UPLOADS_UNTIL,
    shift_of,
    shifts_from,
)

if TYPE_CHECKING:
    from engage.core.config import Settings
    from engage.core.db import Context, Look

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
    return {
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
        "signature": _sign(look, activity_id, page),
    }


def _serializer(settings: Settings) -> URLSafeSerializer:
    return URLSafeSerializer(
        settings.key("roster"), salt="roster", signer_kwargs={"digest_method": hashlib.sha256}
    )


def _sign(look: Look, activity_id: UUID, page: RosterPage) -> str:
    lines = [f"{entry['sign_up_id']} {entry['state'].value}\n" for entry in page.entries]
    lines += [f"{sign_up_id} removed\n" for sign_up_id in page.removed]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return str(
        _serializer(look.settings).dumps(
            {
                "activity": activity_id.hex,
                "person": look.actor.id.hex,
                "shift": shift_of(look.now),
                "as_of": look.now.isoformat(),
                "entries": digest,
            }
        )
    )


def check_signature(look: Context, activity_id: UUID, signature: str) -> None:
    """Refuse a roster that the caller was not given for this activity. It is good for as long as uploads are taken.

    Raises:
        RosterSignatureInvalid: it is forged, somebody else's or another activity's.

    """
    try:
        signed = _serializer(look.settings).loads(signature)
    except BadData:
        raise RosterSignatureInvalid from None
    if (signed["activity"], signed["person"]) != (activity_id.hex, look.actor.id.hex):
        raise RosterSignatureInvalid
