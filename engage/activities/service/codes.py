"""The code at the door: a new one every 30 seconds, made of a key that is good for one shift of six hours.

A phone that holds the keys of its shift shows the codes without signal; whoever scans one checks in through the server, which makes the same
codes of the same key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import segno
from sqlalchemy import select

from engage.activities.access import require_manageable
from engage.activities.errors import ActivityCancelled, ActivityOver, CheckInNotOpen
from engage.activities.models import Activity, ActivityStatus
from engage.core.clock import SHANGHAI

if TYPE_CHECKING:
    from engage.core.config import Settings
    from engage.core.db import Look

CODE_SECONDS: Final = 30  # a new code this often; each is good for two steps, so it dies after 60 s
SHIFT_HOURS: Final = 6
OPENS_BEFORE: Final = timedelta(hours=2)
CHECK_OUT_AFTER: Final = timedelta(hours=1)  # the end, for those who leave last
UPLOADS_UNTIL: Final = timedelta(days=7)  # after the end, of what was seen without signal
CLOCK_TOLERANCE: Final = timedelta(minutes=5)  # between ours and a device's clock
_STEPS_IN_SHIFT: Final = SHIFT_HOURS * 3600 // CODE_SECONDS
_TOLERATED_STEPS: Final = CLOCK_TOLERANCE // timedelta(seconds=CODE_SECONDS)
_CODE_BYTES: Final = 5  # eight characters of Base32
_QR_SCALE: Final = 8


def shift_of(instant: datetime) -> int:
    """Return the number of the shift that an instant is in; shifts begin at 02:00, 08:00, 14:00 and 20:00 in Shanghai."""
    return _step(instant) // _STEPS_IN_SHIFT


def shift_key(settings: Settings, activity_id: UUID, shift: int) -> bytes:
    """Return the key of an activity's codes in one shift."""
    return hmac.digest(settings.key("check-in-shift"), activity_id.bytes + shift.to_bytes(8), hashlib.sha256)


def shifts_from(settings: Settings, activity_id: UUID, now: datetime) -> list[dict[str, Any]]:
    """Return the shift of this moment and the next: a phone that loads them is covered for six hours at least."""
    return [
        {
            "id": shift,
            "key": base64.b64encode(shift_key(settings, activity_id, shift)).decode(),
            "valid_from": _instant(shift * _STEPS_IN_SHIFT),
            "valid_until": _instant((shift + 1) * _STEPS_IN_SHIFT),
        }
        for shift in (shift_of(now), shift_of(now) + 1)
    ]


def _step(instant: datetime) -> int:
    return int(instant.timestamp()) // CODE_SECONDS


def _instant(step: int) -> datetime:
    return datetime.fromtimestamp(step * CODE_SECONDS, UTC).astimezone(SHANGHAI)


def _code_at(settings: Settings, activity_id: UUID, step: int) -> str:
    key = shift_key(settings, activity_id, step // _STEPS_IN_SHIFT)
    digest = hmac.digest(key, step.to_bytes(8), hashlib.sha256)
    return base64.b32encode(digest[:_CODE_BYTES]).decode()


def _is_one_of(settings: Settings, activity_id: UUID, code: str, steps: range) -> bool:
    given = code.upper().encode()
    # A list, so that it takes as long whichever step is right.
    return any(
        [hmac.compare_digest(given, _code_at(settings, activity_id, step).encode()) for step in steps]  # noqa: C419
    )


def is_current(settings: Settings, activity_id: UUID, code: str, now: datetime) -> bool:
    """Say whether a code is shown now, or was until less than 30 seconds ago."""
    return _is_one_of(settings, activity_id, code, range(_step(now) - 1, _step(now) + 1))


def was_shown(settings: Settings, activity_id: UUID, code: str, scanned_at: datetime) -> bool:
    """Say whether a code was shown about when a device scanned it, by a clock that may differ from ours."""
    step = _step(scanned_at)
    return _is_one_of(
        settings, activity_id, code, range(step - _TOLERATED_STEPS - 1, step + _TOLERATED_STEPS + 1)
    )


def show_code(look: Look, activity_id: UUID) -> dict[str, Any]:
    """Return the code to show at the door now, as text and as a QR image (PNG in a data URI).

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        ActivityCancelled, CheckInNotOpen, ActivityOver: nobody comes or goes now.

    """
    require_manageable(look, activity_id)
    status, starts_at, ends_at = look.db.execute(
        select(Activity.status, Activity.starts_at, Activity.ends_at).where(Activity.id == activity_id)
    ).one()
    refuse_not_open(status, starts_at, ends_at + CHECK_OUT_AFTER, look.now)
    step = _step(look.now)
    code = _code_at(look.settings, activity_id, step)
    return {
        "code": code,
        "image": _qr(code),
        "shown_until": _instant(step + 1),
        "expires_at": _instant(step + 2),
    }


def _qr(code: str) -> str:
    picture = io.BytesIO()
    segno.make(code, error="m", micro=False).save(picture, kind="png", scale=_QR_SCALE)
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()


def refuse_not_open(status: ActivityStatus, starts_at: datetime, until: datetime, now: datetime) -> None:
    """Refuse before the doors of an activity open, and from an instant on.

    Raises:
        ActivityCancelled, CheckInNotOpen, ActivityOver: what it is instead.

    """
    if status is ActivityStatus.CANCELLED:
        raise ActivityCancelled
    if status is ActivityStatus.SUMMARISED or now >= until:
        raise ActivityOver
    if status is not ActivityStatus.PUBLISHED or now < starts_at - OPENS_BEFORE:
        raise CheckInNotOpen
