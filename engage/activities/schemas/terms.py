"""JSON shapes of an activity's terms: how places are given, how the queue moves, what counts as being there.

Everything may be left out; the city's defaults (``ENGAGE_…``) hold then.
"""

from __future__ import annotations

from typing import Any, Final

from marshmallow import validates_schema

from engage.activities.models import MAX_POOLS, AdmissionMode, Audience, DrawState
from engage.core.config import Overlap
from engage.core.schemas import (
    Choice,
    ClockTime,
    Flag,
    In,
    Inner,
    Instant,
    Listed,
    Out,
    Text,
    Whole,
    invalid,
)
from engage.regions.schemas import DivisionCode

MAX_PLACES: Final = 100_000
_MAX_MINUTES: Final = 43_200  # thirty days
_COUNTIES: Final = 50


class PoolIn(In):
    name = Text(40, required=True, metadata={"example": "陵川县名额"})
    audience = Choice(Audience, required=True, metadata={"example": "counties"})
    county_codes = Listed(
        DivisionCode(), _COUNTIES, unique=True, load_default=list, metadata={"example": ["140524"]}
    )
    capacity = Whole(0, MAX_PLACES, required=True, metadata={"example": 40})
    overflow_rank = Whole(
        1,
        MAX_POOLS,
        load_default=None,
        allow_none=True,
        metadata={"description": "前面的池满后依此次序进入；空为不接收 · order of overflow; null takes none"},
    )

    @validates_schema
    def _counties_of_counties(self, data: dict[str, Any], **_: Any) -> None:
        if data["audience"] is Audience.COUNTIES and not data["county_codes"]:
            raise invalid("required", "county_codes")
        if data["audience"] is not Audience.COUNTIES and data["county_codes"]:
            raise invalid("not_together", "county_codes", other="audience")


class LotteryIn(In):
    draws_at = Instant(
        required=True,
        metadata={
            "example": "2026-12-05T13:00:00+08:00",
            "description": (
                "抽签时间，至少在报名截止 5 分钟后，不晚于候补截止"
                " · when it is drawn: at least five minutes after the end of sign-up, before the queue closes"
            ),
        },
    )
    public_source = Text(
        200,
        load_default=None,
        allow_none=True,
        metadata={
            "example": "中国福利彩票 3D 2026-12-04 开奖号码",
            "description": (
                "事先约定的公开号码的出处，其号码参与抽签；空为不用"
                " · where a public number comes from that takes part in the draw; null: none"
            ),
        },
    )
    first_time_weight = Whole(
        1,
        10,
        load_default=1,
        metadata={
            "example": 2,
            "description": "首次参加本项目者的签数 · tickets of people who were never at an activity of the project",
        },
    )


class AdmissionIn(In):
    mode = Choice(AdmissionMode, load_default=AdmissionMode.FIRST_COME, metadata={"example": "first_come"})
    overlap = Choice(
        Overlap,
        load_default=None,
        allow_none=True,
        metadata={
            "description": (
                "同一时间另有名额的人：allow 允许；warn 允许，报名详情中提醒；refuse 不能报名，候补、审核、抽签轮到时先由后面的人递补"
                " · who has a place elsewhere at the same time: allowed; allowed, and their sign-up warns of it; refused, and passed when their"
                " turn comes in the queue, by review or by draw"
            )
        },
    )
    pools = Listed(Inner(PoolIn), MAX_POOLS, load_default=list)
    pools_merge_at = Instant(
        load_default=None,
        allow_none=True,
        metadata={
            "example": "2026-12-04T14:00:00+08:00",
            "description": "此后各池合一；缺省为候补截止时 · pools are one from then on; default: when the queue closes",
        },
    )
    lottery = Inner(
        LotteryIn,
        load_default=None,
        allow_none=True,
        metadata={
            "example": None,
            "description": "抽签时必填，仅用于抽签 · with mode lottery, and only then",
        },
    )

    @validates_schema
    def _lottery_of_mode(self, data: dict[str, Any], **_: Any) -> None:
        if data["mode"] is AdmissionMode.LOTTERY and data["lottery"] is None:
            raise invalid("required", "lottery")
        if data["mode"] is not AdmissionMode.LOTTERY and data["lottery"] is not None:
            raise invalid("not_together", "lottery", other="mode")

    @validates_schema
    def _merge_of_pools(self, data: dict[str, Any], **_: Any) -> None:
        if data["pools_merge_at"] is not None and not data["pools"]:
            raise invalid("depends_on", "pools_merge_at", other="pools")


class WaitlistIn(In):
    offer_window_minutes = Whole(
        0,
        _MAX_MINUTES,
        load_default=None,
        allow_none=True,
        metadata={"description": "开始前多久起改为限时确认 · how long before the start places are offered"},
    )
    offer_minutes = Whole(
        1,
        _MAX_MINUTES,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "限时确认的时长，静默时段不计 · how long an offer stands, quiet hours aside"
        },
    )
    closes_minutes = Whole(
        0,
        _MAX_MINUTES,
        load_default=None,
        allow_none=True,
        metadata={"description": "开始前多久候补截止 · how long before the start the queue closes"},
    )
    quiet_from = ClockTime(load_default=None, allow_none=True, metadata={"example": "22:00"})
    quiet_until = ClockTime(load_default=None, allow_none=True, metadata={"example": "08:00"})


class AttendanceIn(In):
    excuse_minutes = Whole(
        0,
        _MAX_MINUTES,
        load_default=None,
        allow_none=True,
        metadata={"description": "开始前多久之前请假不扣分 · how long before the start an excuse is free"},
    )
    late_minutes = Whole(
        0,
        1440,
        load_default=None,
        allow_none=True,
        metadata={"description": "开始后多久算迟到 · how long after the start is late"},
    )
    presence_percent = Whole(
        0,
        100,
        load_default=None,
        allow_none=True,
        metadata={"description": "计时长所需的在场比例 · presence that hours count from"},
    )
    requires_check_out = Flag(load_default=False)


class PoolOut(Out):
    position = Whole(required=True, metadata={"example": 1})
    name = Text(40, required=True, metadata={"example": "陵川县名额"})
    audience = Choice(Audience, required=True, metadata={"example": "counties"})
    county_codes = Listed(DivisionCode(), _COUNTIES, required=True, metadata={"example": ["140524"]})
    capacity = Whole(required=True, metadata={"example": 40})
    taken = Whole(required=True, metadata={"example": 12})
    overflow_rank = Whole(required=True, allow_none=True, metadata={"example": None})


class LotteryOut(Out):
    draws_at = Instant(required=True, metadata={"example": "2026-12-05T13:00:00+08:00"})
    public_source = Text(
        200, required=True, allow_none=True, metadata={"example": "中国福利彩票 3D 2026-12-04 开奖号码"}
    )
    first_time_weight = Whole(1, 10, required=True, metadata={"example": 2})
    state = Choice(DrawState, required=True, metadata={"example": "committed"})


class AdmissionOut(Out):
    mode = Choice(AdmissionMode, required=True, metadata={"example": "first_come"})
    overlap = Choice(Overlap, required=True, metadata={"example": "warn"})
    applied = Whole(
        required=True,
        metadata={"example": 0, "description": "待审核或待抽签 · waiting for a decision or the draw"},
    )
    pools = Listed(Inner(PoolOut), MAX_POOLS, required=True)
    pools_merge_at = Instant(
        required=True, allow_none=True, metadata={"example": "2026-12-04T14:00:00+08:00"}
    )
    pools_merged = Flag(required=True, metadata={"example": False})
    lottery = Inner(LotteryOut, required=True, allow_none=True, metadata={"example": None})


class WaitlistOut(Out):
    offer_window_minutes = Whole(required=True, metadata={"example": 1440})
    offer_minutes = Whole(required=True, metadata={"example": 120})
    closes_minutes = Whole(required=True, metadata={"example": 60})
    quiet_from = Text(5, required=True, metadata={"example": "22:00"})
    quiet_until = Text(5, required=True, metadata={"example": "08:00"})


class AttendanceOut(Out):
    excuse_minutes = Whole(required=True, metadata={"example": 120})
    late_minutes = Whole(required=True, metadata={"example": 15})
    presence_percent = Whole(required=True, metadata={"example": 60})
    requires_check_out = Flag(required=True, metadata={"example": False})
