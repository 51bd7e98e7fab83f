"""What a device at the door reports, and what becomes of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from engage.core.errors import Language


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

    def sentence(self, language: Language) -> str:
        """Return the reason as staff read it."""
        zh, en = _SENTENCES[self]
        return zh if language is Language.ZH else en


_SENTENCES: Final[dict[ScanConflict, tuple[str, str]]] = {
    ScanConflict.NO_SUCH_PERSON: (
        "没有此人，或账号已停用、注销。",
        "There is no such person, or their account is closed or suspended.",
    ),
    ScanConflict.NO_SUCH_SIGN_UP: (
        "此人没有报名；确已到场的，请按现场加入记录。",
        "This person has not signed up; if they are there, record them as a walk-in.",
    ),
    ScanConflict.SIGN_UP_NOT_CONFIRMED: (
        "此人没有已确认的名额；确已到场的，请按现场加入记录。",
        "This person has no confirmed place; if they are there, record them as a walk-in.",
    ),
    ScanConflict.CLOCK_AHEAD: (
        "记录的时间还没有到，请校准设备时钟。",
        "The time recorded is still to come; set the device's clock right.",
    ),
    ScanConflict.OUTSIDE_ACTIVITY: (
        "记录的时间不在本活动的签到、签退时间内。",
        "The time recorded is outside the times of check-in and check-out of this activity.",
    ),
    ScanConflict.CHECK_IN_CODE_INVALID: (
        "签到码不是本活动当时显示的。",
        "The code is not one that this activity showed at that time.",
    ),
}
