"""Check-in: by the rotating code at the door, or by staff, also from a batch made without signal."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import segno
from sqlalchemy import String, Uuid, bindparam, select, text

from engage.activities.access import PUBLIC, activity_to_manage, require_manageable
from engage.activities.errors import (
    ActivityCancelled,
    ActivityOver,
    CheckInCodeInvalid,
    CheckInNotOpen,
    NoSuchActivity,
    NoSuchSignUp,
    SignUpNotConfirmed,
)
from engage.activities.models import Activity, ActivityStatus, CheckIn, CheckInMethod, SignUp, SignUpState
from engage.core.db import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from engage.core.config import Settings
    from engage.core.db import Context, Look, Work

CODE_SECONDS: Final = 30  # a new code this often; each is good for two steps, so it dies after 60 s
OPENS_BEFORE: Final = timedelta(hours=2)
UPLOADS_UNTIL: Final = timedelta(days=7)  # after the end, for batches made without signal
CLOCK_TOLERANCE: Final = timedelta(minutes=5)  # how far ahead of ours a device's clock may be
_CODE_BYTES: Final = 5  # eight characters of Base32
_QR_SCALE: Final = 8

# The share of the sign-up's row makes a cancellation on its way wait and then see the check-in (sign_up.py).
_INSERT: Final = """
    WITH place AS (SELECT id FROM sign_up WHERE id = :sign_up_id AND state = 'confirmed' {share})
    INSERT INTO check_in (
        activity_id, person_id, sign_up_id, method, checked_in_at, claimed_at, arrived_at, updated_at, checked_in_by
    )
    SELECT :activity_id, :person_id, place.id, :method, :now, :claimed_at, coalesce(:claimed_at, :now), :now, :by FROM place WHERE true
    ON CONFLICT (activity_id, person_id) DO NOTHING
    RETURNING checked_in_at
"""
_TYPES: Final = (
    bindparam("sign_up_id", type_=Uuid()),
    bindparam("activity_id", type_=Uuid()),
    bindparam("person_id", type_=Uuid()),
    bindparam("method", type_=String()),
    bindparam("now", type_=UtcDateTime()),
    bindparam("claimed_at", type_=UtcDateTime()),
    bindparam("by", type_=Uuid()),
)
_CHECK_IN: Final = {
    "postgresql": text(_INSERT.format(share="FOR SHARE")).bindparams(*_TYPES),
    "sqlite": text(_INSERT.format(share="")).bindparams(*_TYPES),
}


def _code_at(settings: Settings, activity_id: UUID, step: int) -> str:
    digest = hmac.digest(settings.key("check-in-code"), activity_id.bytes + step.to_bytes(8), hashlib.sha256)
    return base64.b32encode(digest[:_CODE_BYTES]).decode()


def _step(now: datetime) -> int:
    return int(now.timestamp()) // CODE_SECONDS


def _is_current(settings: Settings, activity_id: UUID, code: str, now: datetime) -> bool:
    given = code.upper().encode()
    steps = (_step(now), _step(now) - 1)
    return any([hmac.compare_digest(given, _code_at(settings, activity_id, step).encode()) for step in steps])  # noqa: C419 - same time either way


def show_code(look: Look, activity_id: UUID) -> dict[str, Any]:
    """Return the code to show at the door now, as text and as a QR image (PNG in a data URI).

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        ActivityCancelled, CheckInNotOpen, ActivityOver: nobody checks in now.

    """
    require_manageable(look, activity_id)
    status, starts_at, ends_at = look.db.execute(
        select(Activity.status, Activity.starts_at, Activity.ends_at).where(Activity.id == activity_id)
    ).one()
    _refuse_not_open(status, starts_at, ends_at, look.now)
    step = _step(look.now)
    code = _code_at(look.settings, activity_id, step)
    return {
        "code": code,
        "image": _qr(code),
        "shown_until": datetime.fromtimestamp((step + 1) * CODE_SECONDS, UTC).astimezone(starts_at.tzinfo),
        "expires_at": datetime.fromtimestamp((step + 2) * CODE_SECONDS, UTC).astimezone(starts_at.tzinfo),
    }


def _qr(code: str) -> str:
    picture = io.BytesIO()
    segno.make(code, error="m", micro=False).save(picture, kind="png", scale=_QR_SCALE)
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()


def _refuse_not_open(status: ActivityStatus, starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    if status is ActivityStatus.CANCELLED:
        raise ActivityCancelled
    if status is ActivityStatus.SUMMARISED or now >= ends_at:
        raise ActivityOver
    if status is not ActivityStatus.PUBLISHED or now < starts_at - OPENS_BEFORE:
        raise CheckInNotOpen


def check_in(look: Look, activity_id: UUID, code: str) -> dict[str, Any]:
    """Check the caller in with the code they see at the door. Repeating it changes nothing.

    Raises:
        NoSuchActivity: not published.
        ActivityCancelled, CheckInNotOpen, ActivityOver: nobody checks in now.
        CheckInCodeInvalid: wrong, or older than 60 seconds.
        NoSuchSignUp, SignUpNotConfirmed: the caller has no place.

    """
    row = look.db.execute(
        select(
            Activity.status,
            Activity.starts_at,
            Activity.ends_at,
            SignUp.id,
            SignUp.state,
            CheckIn.checked_in_at,
            CheckIn.method,
        )
        .outerjoin(
            SignUp,
            (SignUp.activity_id == Activity.id)
            & (SignUp.person_id == look.actor.id)
            & (SignUp.state != SignUpState.CANCELLED),
        )
        .outerjoin(CheckIn, (CheckIn.activity_id == Activity.id) & (CheckIn.person_id == look.actor.id))
        .where(Activity.id == activity_id, Activity.status.in_(PUBLIC))
    ).one_or_none()
    if row is None:
        raise NoSuchActivity
    status, starts_at, ends_at, sign_up_id, state, checked_in_at, method = row
    if checked_in_at is not None:
        return {"checked_in_at": checked_in_at, "method": method}
    _refuse_not_open(status, starts_at, ends_at, look.now)
    if not _is_current(look.settings, activity_id, code, look.now):
        raise CheckInCodeInvalid
    _refuse_no_place(sign_up_id, state)
    with look.atomic():
        _record(look.db, activity_id, look.actor.id, sign_up_id, CheckInMethod.CODE, look.now)
    return _recorded(look, activity_id, look.actor.id)


def _refuse_no_place(sign_up_id: UUID | None, state: SignUpState | None) -> None:
    if sign_up_id is None:
        raise NoSuchSignUp
    if state is not SignUpState.CONFIRMED:
        raise SignUpNotConfirmed


def _record(
    db: Connection | Session,
    activity_id: UUID,
    person_id: UUID,
    sign_up_id: UUID,
    method: CheckInMethod,
    now: datetime,
    *,
    claimed_at: datetime | None = None,
    by: UUID | None = None,
) -> bool:
    """Write presence unless it is there or the place is gone; say whether it was written."""
    dialect = db.get_bind().dialect if hasattr(db, "get_bind") else db.dialect
    row = db.execute(
        _CHECK_IN[dialect.name],
        {
            "activity_id": activity_id,
            "person_id": person_id,
            "sign_up_id": sign_up_id,
            "method": method.value,
            "now": now,
            "claimed_at": claimed_at,
            "by": by,
        },
    ).one_or_none()
    return row is not None


def _recorded(look: Context, activity_id: UUID, person_id: UUID) -> dict[str, Any]:
    row = look.db.execute(
        select(CheckIn.checked_in_at, CheckIn.method).where(
            CheckIn.activity_id == activity_id, CheckIn.person_id == person_id
        )
    ).one_or_none()
    if row is None:  # the place was cancelled while the code was on its way
        raise NoSuchSignUp
    return {"checked_in_at": row[0], "method": row[1]}


def upload(work: Work, activity_id: UUID, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Take in a batch of check-ins that staff made, perhaps hours ago without signal.

    The server's clock dates each check-in; the device's time is kept beside it. Each item has its own result, in the
    order given: ``accepted``, ``already`` (whatever the path it came by; a replay changes nothing) or ``refused``
    with the code of the reason.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        ActivityCancelled, CheckInNotOpen, ActivityOver: too early, or more than seven days after the end.

    """
    activity = activity_to_manage(work, activity_id)
    _refuse_not_open(activity.status, activity.starts_at, activity.ends_at + UPLOADS_UNTIL, work.now)
    people = _places(work, activity_id, {item["person_id"] for item in items})
    return {"results": [_take_in(work, activity, item, people) for item in items]}


def _places(work: Work, activity_id: UUID, person_ids: set[UUID]) -> dict[UUID, tuple[UUID, SignUpState]]:
    rows = work.session.execute(
        select(SignUp.person_id, SignUp.id, SignUp.state).where(
            SignUp.activity_id == activity_id,
            SignUp.person_id.in_(person_ids),
            SignUp.state != SignUpState.CANCELLED,
        )
    )
    return {person_id: (sign_up_id, state) for person_id, sign_up_id, state in rows}


def _take_in(
    work: Work, activity: Activity, item: dict[str, Any], people: Mapping[UUID, tuple[UUID, SignUpState]]
) -> dict[str, Any]:
    person_id, claimed_at = item["person_id"], item["scanned_at"]
    sign_up_id, state = people.get(person_id, (None, None))
    code = _fault(activity, sign_up_id, state, claimed_at, work.now)
    result = "refused"
    if sign_up_id is not None and code is None:
        wrote = _record(
            work.session, activity.id, person_id, sign_up_id, CheckInMethod.STAFF, work.now,
            claimed_at=claimed_at, by=work.actor.id,
        )  # fmt: skip
        result = "accepted" if wrote else "already"
    return {"person_id": person_id, "result": result, "code": code}


def _fault(
    activity: Activity,
    sign_up_id: UUID | None,
    state: SignUpState | None,
    claimed_at: datetime,
    now: datetime,
) -> str | None:
    if sign_up_id is None:
        return NoSuchSignUp.code
    if state is not SignUpState.CONFIRMED:
        return SignUpNotConfirmed.code
    if claimed_at > now + CLOCK_TOLERANCE:
        return "clock_ahead"
    if not activity.starts_at - OPENS_BEFORE <= claimed_at < activity.ends_at:
        return "outside_activity"
    return None
