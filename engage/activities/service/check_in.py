"""Coming and going by the code at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Boolean, String, Uuid, bindparam, column, select, text

from engage.activities.access import PUBLIC
from engage.activities.errors import (
    CheckInCodeInvalid,
    NoSuchActivity,
    NoSuchSignUp,
    NotCheckedIn,
    SignUpNotConfirmed,
)
from engage.activities.models import (
    Activity,
    ActivityStatus,
    CheckIn,
    CheckInMethod,
    SignUp,
    SignUpState,
)
from engage.activities.queries.states import minutes_present
from engage.activities.service import walk_ins
from engage.activities.service.codes import CHECK_OUT_AFTER, OPENS_BEFORE, is_current, refuse_not_open
from engage.core.columns import UtcDateTime
from engage.core.db import Work
from engage.core.errors import ConflictingChange
from engage.core.prepared import Prepared

if TYPE_CHECKING:
    from sqlalchemy.sql.selectable import TextualSelect

    from engage.core.db import Look

# The share of the sign-up's row makes a cancellation on its way wait and then see the check-in (sign_up.py), and waits for an upload (uploads.py).
_ARRIVE: Final = """
    WITH place AS (
        SELECT sign_up.id FROM sign_up JOIN activity ON activity.id = sign_up.activity_id
        WHERE sign_up.activity_id = :activity_id AND sign_up.person_id = :person_id AND sign_up.state = 'confirmed'
        AND activity.status = 'published' AND activity.starts_at <= :opens_until AND activity.ends_at > :now {share}
    )
    INSERT INTO check_in (activity_id, person_id, sign_up_id, method, checked_in_at, arrived_at, updated_at)
    SELECT :activity_id, :person_id, place.id, 'code', :now, :now, :now FROM place WHERE true
    ON CONFLICT (activity_id, person_id) DO NOTHING
    RETURNING method, checked_in_at, arrived_at, left_at
"""
# Never before the arrival, which a device whose clock is ahead may have reported.
_DEPART: Final = """
    UPDATE check_in SET updated_at = :now,
        left_at = CASE WHEN left_at > :now THEN left_at WHEN arrived_at > :now THEN arrived_at ELSE :now END
    WHERE activity_id = :activity_id AND person_id = :person_id
    RETURNING arrived_at, left_at, (SELECT state FROM sign_up WHERE id = check_in.sign_up_id) = 'walk_in' AS walked_in
"""
_TYPES: Final[dict[str, Any]] = {
    "activity_id": Uuid(),
    "person_id": Uuid(),
    "now": UtcDateTime(),
    "opens_until": UtcDateTime(),
}


def _typed(statement: str, *returned: Any) -> TextualSelect:
    used = (bindparam(name, type_=kind) for name, kind in _TYPES.items() if f":{name}" in statement)
    return text(statement).bindparams(*used).columns(*returned)


_ARRIVING: Final = Prepared(
    {
        dialect: _typed(
            _ARRIVE.format(share=share),
            column("method", String()),
            *(column(name, UtcDateTime()) for name in ("checked_in_at", "arrived_at", "left_at")),
        )
        for dialect, share in (("postgresql", "FOR SHARE OF sign_up"), ("sqlite", ""))
    }
)
_DEPARTING: Final = Prepared(
    _typed(
        _DEPART,
        *(column(name, UtcDateTime()) for name in ("arrived_at", "left_at")),
        column("walked_in", Boolean()),
    )
)


def check_in(look: Look, activity_id: UUID, code: str) -> dict[str, Any]:
    """Check the caller in with the code they see at the door. Repeating it changes nothing.

    One statement, which is its own transaction; a second one tells why nothing was written.

    Raises:
        NoSuchActivity: not published.
        ActivityCancelled, CheckInNotOpen, ActivityOver: nobody checks in now.
        CheckInCodeInvalid: wrong, or older than 60 seconds.
        NoSuchSignUp, SignUpNotConfirmed: the caller has no place.
        ConflictingChange: the caller got a place between the two statements.

    """
    is_right = is_current(look.settings, activity_id, code, look.now)
    if is_right:
        values = {
            "activity_id": activity_id,
            "person_id": look.actor.id,
            "now": look.now,
            "opens_until": look.now + OPENS_BEFORE,
        }
        with look.atomic():
            row = _ARRIVING.one_or_none(look.db, values)
        if row is not None:
            method, checked_in_at, arrived_at, left_at = row
            return {
                "method": CheckInMethod(method),
                "checked_in_at": checked_in_at,
                "arrived_at": arrived_at,
                "left_at": left_at,
            }
    facts = _facts(look, activity_id)
    if facts.checked_in_at is not None:
        return {name: getattr(facts, name) for name in ("checked_in_at", "method", "arrived_at", "left_at")}
    refuse_not_open(facts.status, facts.starts_at, facts.ends_at, look.now)
    if not is_right:
        raise CheckInCodeInvalid
    if facts.state is None:
        raise NoSuchSignUp
    raise ConflictingChange if facts.state is SignUpState.CONFIRMED else SignUpNotConfirmed


def check_out(look: Look, activity_id: UUID, code: str) -> dict[str, Any]:
    """Note that the caller leaves, with the code they see at the door. Repeating it later moves the departure.

    One transaction, which holds the activity: a closure gives hours for this departure or comes before it, and the room that a walk-in makes is
    counted with it. A statement after it tells why nothing was written.

    Raises:
        NoSuchActivity: not published.
        ActivityCancelled, CheckInNotOpen, ActivityOver: before it opens, or an hour after its end.
        CheckInCodeInvalid: wrong, or older than 60 seconds.
        NotCheckedIn: the caller is not there.

    """
    is_right = is_current(look.settings, activity_id, code, look.now)
    departed = _depart(look, activity_id) if is_right else None
    if departed is not None:
        return departed
    facts = _facts(look, activity_id)
    refuse_not_open(facts.status, facts.starts_at, facts.ends_at + CHECK_OUT_AFTER, look.now)
    if not is_right:
        raise CheckInCodeInvalid
    raise NotCheckedIn


def _depart(look: Look, activity_id: UUID) -> dict[str, Any] | None:
    """Note the departure, if the activity is open for it and the caller is there."""
    is_open = (
        Activity.status == ActivityStatus.PUBLISHED,
        Activity.starts_at <= look.now + OPENS_BEFORE,
        Activity.ends_at > look.now - CHECK_OUT_AFTER,
    )
    with look.database.transaction() as session:
        # Before the check-in, as uploads and the closure do. Who waited for it is judged by what it is then.
        held = select(Activity).where(Activity.id == activity_id, *is_open).with_for_update(key_share=True)
        activity = session.scalars(held).one_or_none()
        if activity is None:
            return None
        values = {"activity_id": activity_id, "person_id": look.actor.id, "now": look.now}
        row = _DEPARTING.one_or_none(session, values)
        if row is None:
            return None
        arrived_at, left_at, walked_in = row
        if walked_in:
            walk_ins.mark(Work(session, look.actor, look.now, look.settings), activity)
    present = minutes_present(arrived_at, left_at, activity.starts_at, activity.ends_at)
    return {"arrived_at": arrived_at, "left_at": left_at, "minutes_present": present}


def _facts(look: Look, activity_id: UUID) -> Any:
    row = look.db.execute(
        select(
            Activity.status, Activity.starts_at, Activity.ends_at, SignUp.state, CheckIn.checked_in_at, CheckIn.method,
            CheckIn.arrived_at, CheckIn.left_at,
        )
        .outerjoin(
            SignUp,
            (SignUp.activity_id == Activity.id) & (SignUp.person_id == look.actor.id) & (SignUp.state != SignUpState.CANCELLED),
        )
        .outerjoin(CheckIn, (CheckIn.activity_id == Activity.id) & (CheckIn.person_id == look.actor.id))
        .where(Activity.id == activity_id, Activity.status.in_(PUBLIC))
    ).one_or_none()  # fmt: skip
    if row is None:
        raise NoSuchActivity
    return row
