"""For how long a QR code is good, and what is said of it. The rows are identity's: they end in a session."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from engage.identity.models import TicketState

GOOD_FOR: Final = timedelta(minutes=2)
# The page asks every two seconds; one that has not come by then is not there any more.
FETCHED_WITHIN: Final = timedelta(minutes=1)
NUMBER_DIGITS: Final = 2


class TicketStatus(StrEnum):
    """What a ticket is at an instant: its state, or expired."""

    PENDING = TicketState.PENDING.value
    CONFIRMED = TicketState.CONFIRMED.value
    REJECTED = TicketState.REJECTED.value
    USED = TicketState.USED.value
    EXPIRED = "expired"


def status_of(
    state: TicketState, expires_at: datetime, decided_at: datetime | None, now: datetime
) -> TicketStatus:
    """Return what a ticket is now."""
    is_late = state is TicketState.PENDING and expires_at <= now
    is_left = state is TicketState.CONFIRMED and decided_at is not None and decided_at + FETCHED_WITHIN <= now
    return TicketStatus.EXPIRED if is_late or is_left else TicketStatus(state.value)
