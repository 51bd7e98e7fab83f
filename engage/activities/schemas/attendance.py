"""JSON shapes of check-in, the roster and feedback."""

from __future__ import annotations

from typing import Final

from engage.activities.models import (
    MAX_POOLS,
    ActivityState,
    Attendance,
    CheckInMethod,
    ScanConflict,
    ScanKind,
    ScanResult,
    SignUpState,
)
from engage.activities.schemas.terms import PoolOut
from engage.core.schemas import (
    Choice,
    Flag,
    Id,
    In,
    Inner,
    Instant,
    Listed,
    Out,
    PageQuery,
    Text,
    Whole,
    page_of,
)

_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
_AT: Final = "2026-12-05T13:52:10+08:00"
_CODE: Final = "K7QF2M4X"
_SIGNATURE: Final = "eyJhY3Rpdml0eSI6IjAxOTlmMGMyIn0.Zb2k9X0"
_SHIFTS: Final = 2
MAX_BATCH: Final = 500
MAX_ROSTER: Final = 500


class CheckInCodeOut(Out):
    code = Text(8, required=True, metadata={"example": _CODE})
    image = Text(20_000, required=True, metadata={"example": "data:image/png;base64,iVBORw0KGgo="})
    shown_until = Instant(
        required=True, metadata={"example": _AT, "description": "此时换新码 · when the next code follows"}
    )
    expires_at = Instant(
        required=True, metadata={"example": _AT, "description": "此后不再有效 · not taken from then on"}
    )


class CheckInIn(In):
    code = Text(8, 8, required=True, metadata={"example": _CODE})


class CheckInOut(Out):
    checked_in_at = Instant(
        required=True, metadata={"example": _AT, "description": "系统收到的时间 · when it reached us"}
    )
    method = Choice(CheckInMethod, required=True, metadata={"example": "code"})
    arrived_at = Instant(required=True, metadata={"example": _AT})
    left_at = Instant(required=True, allow_none=True, metadata={"example": None})


class CheckOutOut(Out):
    arrived_at = Instant(required=True, metadata={"example": _AT})
    left_at = Instant(required=True, metadata={"example": "2026-12-05T16:01:30+08:00"})
    minutes_present = Whole(
        required=True,
        metadata={
            "example": 120,
            "description": "活动时间内在场的整分钟数 · whole minutes of the activity the person was there for",
        },
    )


class RosterQuery(PageQuery):
    limit = Whole(
        1, MAX_ROSTER, load_default=MAX_ROSTER, metadata={"description": "rows on a page", "example": 500}
    )
    updated_since = Instant(
        load_default=None,
        metadata={
            "description": "上次名单的 next_since；只返回此后的变化 · next_since of the roster before: only what changed"
        },
    )


class RosterActivityOut(Out):
    id = Id(required=True, metadata={"example": _ID})
    title = Text(60, required=True, metadata={"example": "青春夜校：手机摄影"})
    state = Choice(ActivityState, required=True, metadata={"example": "registration_closed"})
    starts_at = Instant(required=True, metadata={"example": "2026-12-05T14:00:00+08:00"})
    ends_at = Instant(required=True, metadata={"example": "2026-12-05T16:00:00+08:00"})
    capacity = Whole(required=True, metadata={"example": 40})
    taken = Whole(required=True, metadata={"example": 38})
    waiting = Whole(required=True, metadata={"example": 3})
    pools = Listed(Inner(PoolOut), MAX_POOLS, required=True)


class RosterRulesOut(Out):
    """What the phone judges by itself."""

    opens_before_minutes = Whole(
        required=True,
        metadata={"example": 120, "description": "开始前多久可签到 · before the start, check-in opens"},
    )
    check_out_after_minutes = Whole(
        required=True,
        metadata={"example": 60, "description": "结束后多久仍可签退 · after the end, check-out closes"},
    )
    clock_tolerance_minutes = Whole(
        required=True,
        metadata={
            "example": 5,
            "description": "设备时钟可相差多少，含签到码 · by which a device's clock may differ, for codes too",
        },
    )
    uploads_until = Instant(
        required=True,
        metadata={
            "example": "2026-12-12T16:00:00+08:00",
            "description": "此前须上传；名单签名同时失效 · uploads are taken, and the signature is good, until then",
        },
    )
    late_minutes = Whole(required=True, metadata={"example": 15})
    requires_check_out = Flag(required=True, metadata={"example": False})
    walk_ins_from = Instant(
        required=True,
        metadata={
            "example": "2026-12-05T13:00:00+08:00",
            "description": "此前空出的名额归候补，此后归现场 · free places are the queue's before, for who comes to the door from then",
        },
    )


class ShiftOut(Out):
    """The key of six hours' codes: Base32 of the first five bytes of HMAC-SHA-256(key, Unix time // 30 as eight bytes, big-endian)."""

    id = Whole(required=True, metadata={"example": 83_015})
    key = Text(44, required=True, metadata={"example": "c2hpZnQga2V5IG9mIDMyIGJ5dGVzIGluIEJhc2U2NCE="})
    valid_from = Instant(required=True, metadata={"example": "2026-12-05T08:00:00+08:00"})
    valid_until = Instant(required=True, metadata={"example": "2026-12-05T14:00:00+08:00"})


class RosterEntryOut(Out):
    sign_up_id = Id(required=True, metadata={"example": _ID})
    person_id = Id(required=True, metadata={"example": _ID})
    name = Text(40, required=True, allow_none=True, metadata={"example": "李晓"})
    state = Choice(SignUpState, required=True, metadata={"example": "confirmed"})
    pool = Whole(required=True, allow_none=True, metadata={"example": None})
    attendance = Choice(Attendance, required=True, allow_none=True, metadata={"example": None})
    arrived_at = Instant(required=True, allow_none=True, metadata={"example": None})
    left_at = Instant(required=True, allow_none=True, metadata={"example": None})
    over_capacity = Flag(
        required=True,
        metadata={"example": False, "description": "现场加入时已超过名额 · walked in beyond the capacity"},
    )


class RosterOut(Out):
    """A page of what a phone needs to check people in by itself.

    Keep ``next_since`` of the first page for the next ``updated_since``, and ``signature`` of any page for the upload.
    """

    activity = Inner(RosterActivityOut, required=True)
    rules = Inner(RosterRulesOut, required=True)
    shifts = Listed(Inner(ShiftOut), _SHIFTS, required=True)
    entries = Listed(Inner(RosterEntryOut), MAX_ROSTER, required=True)
    removed = Listed(
        Id(metadata={"example": _ID}),
        MAX_ROSTER,
        required=True,
        metadata={"description": "此后结束的报名（sign_up_id）· sign-ups that ended since"},
    )
    as_of = Instant(required=True, metadata={"example": _AT})
    next_since = Instant(required=True, metadata={"example": "2026-12-05T13:51:10+08:00"})
    next_cursor = Text(2000, required=True, allow_none=True, metadata={"example": None})
    signature = Text(
        1000,
        required=True,
        metadata={
            "example": _SIGNATURE,
            "description": (
                "由服务器签发、服务器核对：本页全部内容的摘要，连同活动、读取人和时间 · by and for the server: the digest of all that the page"
                " says, with activity, reader and time"
            ),
        },
    )


class ScannedIn(In):
    person_id = Id(required=True, metadata={"example": _ID})
    scanned_at = Instant(
        required=True, metadata={"example": _AT, "description": "设备时间 · the device's time"}
    )
    kind = Choice(ScanKind, load_default=ScanKind.IN, metadata={"example": "in"})
    walk_in = Flag(
        load_default=False,
        metadata={
            "description": "名单上没有确认名额的人也记入（再次上报同样填写）· also whoever has no confirmed place on the roster; say so each time"
        },
    )
    code = Text(
        8,
        8,
        load_default=None,
        allow_none=True,
        metadata={"description": "扫到的签到码，可核对 · the code that was scanned, to be verified"},
    )


class UploadIn(In):
    items = Listed(Inner(ScannedIn), MAX_BATCH, 1, required=True)
    roster_signature = Text(
        1000,
        load_default=None,
        allow_none=True,
        metadata={
            "description": (
                "所用名单的 signature，记入审计日志；上报内容仍按系统记录核对 · of the roster that was used, for the audit log; what is reported is"
                " still judged by what is on record"
            )
        },
    )


class UploadedOut(Out):
    person_id = Id(required=True, metadata={"example": _ID})
    result = Choice(ScanResult, required=True, metadata={"example": "accepted"})
    code = Choice(
        ScanConflict,
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "冲突原因 · the reason of a conflict"},
    )
    detail = Text(
        200,
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "冲突原因的说明 · the reason as a sentence"},
    )
    over_capacity = Flag(
        required=True,
        metadata={"example": False, "description": "现场加入且已超过名额 · walked in beyond the capacity"},
    )


class UploadOut(Out):
    results = Listed(Inner(UploadedOut), MAX_BATCH, required=True)


class FeedbackIn(In):
    stars = Whole(1, 5, required=True, metadata={"example": 5})
    text = Text(1000, 0, lines=True, load_default=None, allow_none=True, metadata={"example": "很有收获。"})


class MyFeedbackOut(Out):
    stars = Whole(1, 5, required=True, metadata={"example": 5})
    text = Text(1000, 0, required=True, allow_none=True, metadata={"example": "很有收获。"})
    created_at = Instant(required=True, metadata={"example": _AT})
    updated_at = Instant(required=True, metadata={"example": _AT})
    editable_until = Instant(required=True, metadata={"example": _AT})


class FeedbackOut(Out):
    id = Id(required=True, metadata={"example": _ID})
    stars = Whole(1, 5, required=True, metadata={"example": 5})
    text = Text(1000, 0, required=True, allow_none=True, metadata={"example": "很有收获。"})
    created_at = Instant(required=True, metadata={"example": _AT})


FeedbackPage = page_of(FeedbackOut, "FeedbackPage")
