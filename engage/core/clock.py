"""The only reader of the clock."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# China has kept one offset without summer time since 1991; a fixed offset is exact and ten times cheaper than zoneinfo.
SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")


def _system() -> datetime:
    return datetime.now(SHANGHAI)


_source: Callable[[], datetime] = _system


def now() -> datetime:
    """Return the present instant, aware, with the offset that answers carry."""
    return _source()


def use(source: Callable[[], datetime] | None) -> None:
    """Replace the source of time (tests); ``None`` restores the system clock."""
    global _source  # noqa: PLW0603
    _source = (lambda: source().astimezone(SHANGHAI)) if source else _system


def shanghai_day(instant: datetime) -> date:
    """Return the calendar day in Shanghai on which an aware instant falls."""
    return instant.astimezone(SHANGHAI).date()


def day_start(day: date) -> datetime:
    """Return the instant at which a Shanghai day begins."""
    return datetime.combine(day, time(), SHANGHAI)


def age_on(birth_on: date, day: date) -> int:
    """Return full years (周岁) lived on a day; someone born on 29 February completes a year on 1 March."""
    before_birthday = (day.month, day.day) < (birth_on.month, birth_on.day)
    return day.year - birth_on.year - before_birthday
