"""JSON shapes of service hours and certificates."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import validates_schema

from engage.activities.models import Attendance, CertificateStatus, HoursKind, HoursReason
from engage.activities.schemas.activity import MAX_SERVICE_MINUTES
from engage.core.schemas import (
    MAX_INT,
    Choice,
    Day,
    Flag,
    Id,
    In,
    Inner,
    Instant,
    Listed,
    Out,
    Text,
    Whole,
    invalid,
    page_of,
)

_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
_AT: Final = "2026-12-05T14:00:00+08:00"
_MAX_ACTIVITIES: Final = 500


class ServedActivityOut(Out):
    id = Id(required=True, metadata={"example": _ID})
    title = Text(60, required=True, metadata={"example": "青年夜校"})
    starts_at = Instant(required=True, metadata={"example": _AT})
    ends_at = Instant(required=True, metadata={"example": "2026-12-05T16:00:00+08:00"})


class HoursEntryOut(Out):
    """An entry of the ledger; never changed, only reversed by another one."""

    id = Id(required=True, metadata={"example": _ID})
    kind = Choice(
        HoursKind,
        required=True,
        metadata={
            "example": "award",
            "description": "现场签到、补录、撤销 · scanned on the spot, made up by staff, taken back",
        },
    )
    minutes = Whole(
        -MAX_INT,
        required=True,
        metadata={"example": 120, "description": "撤销为负数 · negative when taken back"},
    )
    reason = Text(200, required=True, allow_none=True, metadata={"example": None})
    reverses_id = Id(required=True, allow_none=True, metadata={"example": None})
    reversed = Flag(required=True, metadata={"example": False})
    created_at = Instant(required=True, metadata={"example": _AT})
    activity = Inner(ServedActivityOut, required=True)


class StaffHoursEntryOut(HoursEntryOut):
    person_id = Id(required=True, metadata={"example": _ID})


class MyHoursPage(page_of(HoursEntryOut, "HoursEntryPage")):  # type: ignore[misc]
    """A page of the caller's entries, and the sums over all of them."""

    total_minutes = Whole(required=True, metadata={"example": 480})
    awarded_minutes = Whole(required=True, metadata={"example": 480})
    corrected_minutes = Whole(required=True, metadata={"example": 60})
    reversed_minutes = Whole(required=True, metadata={"example": 60})


class ServedPersonOut(Out):
    id = Id(required=True, metadata={"example": _ID})
    name = Text(40, required=True, allow_none=True, metadata={"example": "李晓"})


class ActivityHoursOut(Out):
    """Presence and hours of one person at one activity."""

    person = Inner(ServedPersonOut, required=True)
    attendance = Choice(Attendance, required=True, allow_none=True, metadata={"example": "attended"})
    arrived_at = Instant(required=True, allow_none=True, metadata={"example": _AT})
    left_at = Instant(required=True, allow_none=True, metadata={"example": None})
    minutes_present = Whole(required=True, allow_none=True, metadata={"example": 115})
    percent_present = Whole(required=True, allow_none=True, metadata={"example": 95})
    minutes = Whole(required=True, metadata={"example": 120})
    kind = Choice(HoursKind, required=True, allow_none=True, metadata={"example": "award"})
    entry_id = Id(required=True, allow_none=True, metadata={"example": _ID})
    reason = Choice(
        HoursReason,
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "没有时长的原因 · why there are none"},
    )


ActivityHoursPage = page_of(ActivityHoursOut, "ActivityHoursPage")


class MakeUpIn(In):
    person_id = Id(required=True, metadata={"example": _ID})
    minutes = Whole(
        1,
        MAX_SERVICE_MINUTES,
        required=True,
        metadata={
            "example": 120,
            "description": "不超过活动的时长或其服务时长 · no more than the activity lasts, or gives",
        },
    )
    reason = Text(200, required=True, lines=True, metadata={"example": "现场设备故障，未能签到"})


class CertificateIn(In):
    from_on = Day(load_default=None, allow_none=True, metadata={"example": "2026-01-01"})
    until_on = Day(load_default=None, allow_none=True, metadata={"example": "2026-12-31"})

    @validates_schema
    def in_order(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse a period that ends before it begins; one day is a period."""
        if data["from_on"] and data["until_on"] and data["until_on"] < data["from_on"]:
            raise invalid("bad_order", "until_on", first="from_on", second="until_on")


class CertificateCheckOut(Out):
    """What anybody who holds the code may know; nothing about the person."""

    number = Text(20, required=True, metadata={"example": "2026-4F3A91C07B"})
    status = Choice(
        CertificateStatus,
        required=True,
        metadata={
            "example": "valid",
            "description": "其中有时长被撤销即失效 · superseded once time on it is reversed",
        },
    )
    issuer_name = Text(80, required=True, metadata={"example": "共青团晋城市委员会"})
    issued_on = Day(required=True, metadata={"example": "2027-01-05"})
    from_on = Day(required=True, metadata={"example": "2026-01-01"})
    until_on = Day(required=True, metadata={"example": "2026-12-31"})
    total_minutes = Whole(required=True, metadata={"example": 750})
    activity_count = Whole(required=True, metadata={"example": 5})


class CertificateCardOut(CertificateCheckOut):
    id = Id(required=True, metadata={"example": _ID})
    holder_name = Text(40, required=True, metadata={"example": "李晓"})


CertificatePage = page_of(CertificateCardOut, "CertificatePage")


class CertifiedActivityOut(Out):
    activity_id = Id(required=True, metadata={"example": _ID})
    title = Text(60, required=True, metadata={"example": "青年夜校"})
    held_on = Day(required=True, metadata={"example": "2026-12-05"})
    minutes = Whole(required=True, metadata={"example": 120})
    made_up = Flag(
        required=True,
        metadata={"example": False, "description": "补录，未经现场签到 · not scanned on the spot"},
    )


class CertificateOut(CertificateCardOut):
    """A certificate with its activities, and with the code by which others check it."""

    verification_code = Text(40, required=True, metadata={"example": "K7QF-2M4X-AB3D-EFGH-JKLM-NPQR"})
    verification_url = Text(
        400,
        required=True,
        allow_none=True,
        metadata={"example": "https://engage.example.cn/v1/certificates/K7QF-2M4X-AB3D-EFGH-JKLM-NPQR"},
    )
    activities = Listed(Inner(CertifiedActivityOut), _MAX_ACTIVITIES, required=True)
