"""Quiet hours: messages wait for their end, unless they are no longer true by then, and the clock of an offer stands still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import select

from engage.activities.models import Activity, ActivityStatus, SignUp, SignUpState
from engage.core.clock import day_start, shanghai_day
from engage.messages import service as messages
from engage.messages.models import MessageKind

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_DAY: Final = timedelta(days=1)
# What somebody has for whom a message that waited is still true.
_STILL: Final = {
    MessageKind.SIGN_UP_PROMOTED: SignUpState.CONFIRMED,
    MessageKind.DRAW_WON: SignUpState.CONFIRMED,
    MessageKind.APPLICATION_ACCEPTED: SignUpState.CONFIRMED,
    MessageKind.PLACE_OFFERED: SignUpState.OFFERED,
    MessageKind.DRAW_LOST: SignUpState.WAITLISTED,
    MessageKind.APPLICATION_WAITLISTED: SignUpState.WAITLISTED,
    MessageKind.APPLICATION_REFUSED: SignUpState.REFUSED,
}


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A part of each Shanghai day, in minutes from midnight, over midnight when it ends before it begins; equal: none."""

    begins: int
    ends: int

    def next_end(self, at: datetime) -> datetime:
        """Return ``at``, or the end of the quiet hours that it falls in."""
        minute = (at - day_start(shanghai_day(at))) // timedelta(minutes=1)
        if self.begins <= self.ends:
            return self._at(at, self.ends) if self.begins <= minute < self.ends else at
        if minute >= self.begins:
            return self._at(at + _DAY, self.ends)
        return self._at(at, self.ends) if minute < self.ends else at

    def after(self, at: datetime, waking: timedelta) -> datetime:
        """Return the instant at which so much time outside quiet hours has passed."""
        now, left = self.next_end(at), waking
        while self.begins != self.ends:
            quiet = self._next_begin(now)
            if now + left <= quiet:
                break
            left -= quiet - now
            now = self.next_end(quiet)
        return now + left

    def _next_begin(self, at: datetime) -> datetime:
        today = self._at(at, self.begins)
        return today if today > at else self._at(at + _DAY, self.begins)

    @staticmethod
    def _at(day: datetime, minutes: int) -> datetime:
        return day_start(shanghai_day(day)) + timedelta(minutes=minutes)


def audible(activity: Any, now: datetime) -> datetime:
    """Return from when on people may be told something about an activity: now, or the end of its quiet hours."""
    return QuietHours(activity.quiet_from, activity.quiet_until).next_end(now)


def still_true(session: Session, waited: list[Any]) -> dict[int, dict[str, Any]]:
    """Return the params of messages that waited and are still true, by their number, with the times and the title of now. One statement.

    What somebody gets is told of once: a place that was lost and won again while they slept is the later one.
    """
    rows = session.execute(
        select(
            SignUp.person_id, SignUp.activity_id, SignUp.state, SignUp.promoted_at, SignUp.offered_at,
            SignUp.offer_expires_at, Activity.status, Activity.title, Activity.starts_at,
        )
        .join(Activity, Activity.id == SignUp.activity_id)
        .where(
            SignUp.person_id.in_({entry.person_id for entry in waited}),
            SignUp.activity_id.in_({UUID(entry.params["activity_id"]) for entry in waited}),
            SignUp.state.in_(set(_STILL.values())),
        )
    )  # fmt: skip
    found = {(row.person_id, str(row.activity_id)): row for row in rows}
    return {
        entry.seq: entry.params | {name: value for name, value in now.items() if name in entry.params}
        for entry in waited
        if (now := _now(entry, found.get((entry.person_id, entry.params["activity_id"])))) is not None
    }


def _now(entry: Any, sign_up: Any) -> dict[str, str] | None:
    """Return what a message that waited would say now, None when it is no longer true."""
    if sign_up is None or sign_up.state is not _STILL[entry.kind]:
        return None
    # Who was refused hears nothing else of the activity.
    if sign_up.status is not ActivityStatus.PUBLISHED and sign_up.state is not SignUpState.REFUSED:
        return None
    about = {"title": sign_up.title, "starts_at": sign_up.starts_at.isoformat()}
    if sign_up.state is SignUpState.CONFIRMED:
        return about if sign_up.promoted_at == entry.created_at else None
    if sign_up.state is SignUpState.OFFERED:
        expires_at = sign_up.offer_expires_at.isoformat()
        return {**about, "expires_at": expires_at} if sign_up.offered_at == entry.created_at else None
    return about


messages.recheck_with(_STILL, still_true)
