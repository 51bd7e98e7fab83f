"""JSON shapes of credit, excuses and appeals."""

from __future__ import annotations

from typing import Final

from engage.activities.models import AppealState, CreditRule
from engage.core.schemas import Choice, Flag, Id, In, Inner, Instant, Out, PageQuery, Text, Whole, page_of

_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
_AT: Final = "2026-12-06T09:00:00+08:00"
_MOST: Final = 1_000_000


class ExcuseOut(Out):
    sign_up_id = Id(required=True, metadata={"example": _ID})
    excused_at = Instant(required=True, metadata={"example": _AT})
    reason = Text(200, required=True, metadata={"example": "单位临时加班"})


class CreditOut(Out):
    """The caller's points, and what they mean now."""

    enabled = Flag(
        required=True,
        metadata={
            "example": True,
            "description": "关闭时分数不影响任何事 · while off, points have no consequences",
        },
    )
    points = Whole(-_MOST, _MOST, required=True, metadata={"example": 92})
    start = Whole(
        required=True,
        metadata={
            "example": 100,
            "description": "起始分，也是最高分 · what everybody begins with, and the most",
        },
    )
    threshold = Whole(required=True, metadata={"example": 60})
    held = Flag(
        required=True,
        metadata={
            "example": False,
            "description": "低于门槛：可以候补，活动开始前 held_hours 小时才确认名额"
            " · below the threshold: may queue, and is confirmed held_hours before the start at the earliest",
        },
    )
    held_hours = Whole(required=True, metadata={"example": 24})
    fades_days = Whole(
        required=True,
        metadata={"example": 180, "description": "每次变动的有效天数 · how long a change counts"},
    )
    appeal_days = Whole(
        required=True,
        metadata={"example": 14, "description": "申诉期限 · how long a loss can be appealed against"},
    )


class CreditActivityOut(Out):
    id = Id(required=True, metadata={"example": _ID})
    title = Text(60, required=True, metadata={"example": "团青有约：青年创业分享会"})


class CreditChangeOut(Out):
    """One change of points: by which activity and which rule."""

    id = Id(required=True, metadata={"example": _ID})
    activity = Inner(CreditActivityOut, required=True)
    rule = Choice(CreditRule, required=True, metadata={"example": "absent"})
    points = Whole(-1000, 1000, required=True, metadata={"example": -10})
    created_at = Instant(required=True, metadata={"example": _AT})
    fades_at = Instant(required=True, metadata={"example": "2027-06-04T09:00:00+08:00"})
    withdrawn_at = Instant(
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "申诉成立后撤销 · withdrawn by an appeal that was upheld"},
    )


class AppealOut(Out):
    id = Id(required=True, metadata={"example": _ID})
    state = Choice(AppealState, required=True, metadata={"example": "open"})
    text = Text(500, required=True, metadata={"example": "我当天到场了，忘记扫码，同伴可以证明。"})
    created_at = Instant(required=True, metadata={"example": _AT})
    decided_at = Instant(required=True, allow_none=True, metadata={"example": None})
    reason = Text(200, required=True, allow_none=True, metadata={"example": None})


class CreditEntryOut(CreditChangeOut):
    """A change of the caller's points, and how to object."""

    counts = Flag(
        required=True,
        metadata={"example": True, "description": "未失效、未撤销 · neither faded nor withdrawn"},
    )
    appeal = Inner(AppealOut, required=True, allow_none=True)
    appeal_until = Instant(
        required=True,
        allow_none=True,
        metadata={
            "example": "2026-12-20T09:00:00+08:00",
            "description": "此前可申诉；加分为空 · until then; null where nothing was lost",
        },
    )
    can_appeal = Flag(required=True, metadata={"example": True})


CreditEntryPage = page_of(CreditEntryOut, "CreditEntryPage")


class AppealIn(In):
    text = Text(
        500, required=True, lines=True, metadata={"example": "我当天到场了，忘记扫码，同伴可以证明。"}
    )


class AppealsQuery(PageQuery):
    state = Choice(AppealState, load_default=AppealState.OPEN)


class AppellantOut(Out):
    id = Id(required=True, metadata={"example": _ID})
    name = Text(40, required=True, allow_none=True, metadata={"example": "李晓"})


class StaffAppealOut(AppealOut):
    """An appeal as those who decide see it."""

    entry = Inner(CreditChangeOut, required=True)
    person = Inner(AppellantOut, required=True)


StaffAppealPage = page_of(StaffAppealOut, "StaffAppealPage")


class AppealDecisionIn(In):
    uphold = Flag(
        required=True,
        metadata={"example": True, "description": "true：申诉成立，恢复分数 · the points are given back"},
    )
    reason = Text(200, required=True, lines=True, metadata={"example": "签到记录漏传，已核实到场。"})
