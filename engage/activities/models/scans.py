"""What a device at the door reports, and what becomes of it."""

from __future__ import annotations

from enum import StrEnum


class ScanKind(StrEnum):
    IN = "in"
    OUT = "out"


class ScanResult(StrEnum):
    ACCEPTED = "accepted"
    ALREADY = "already"  # nothing new in it
    CONFLICT = "conflict"


class ScanConflict(StrEnum):
    """Why a report was not taken in."""

    NO_SUCH_PERSON = "no_such_person"
    NO_SUCH_SIGN_UP = "no_such_sign_up"
    SIGN_UP_NOT_CONFIRMED = "sign_up_not_confirmed"
    CLOCK_AHEAD = "clock_ahead"
    OUTSIDE_ACTIVITY = "outside_activity"
    CHECK_IN_CODE_INVALID = "check_in_code_invalid"
