"""Quiet hours: messages wait for their end, and the clock of an offer stands still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from engage.core.clock import day_start, shanghai_day

_DAY: Final = timedelta(days=1)


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
