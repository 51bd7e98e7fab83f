"""JSON shapes of projects and activities."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from marshmallow import validates_schema

from engage.activities.models import ActivityState, Attendance, ProjectStatus, QuestionKind, SignUpState
from engage.activities.schemas.terms import (
    MAX_PLACES,
    AdmissionIn,
    AdmissionOut,
    AttendanceIn,
    AttendanceOut,
    WaitlistIn,
    WaitlistOut,
)
from engage.core.schemas import (
    Choice,
    Day,
    Decimal,
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
    invalid,
    ordered,
    page_of,
)
from engage.regions.schemas import DivisionCode, NearPageQuery, PositionIn, PositionOut

_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
# From start to end: so long, and some days before and after, a hub manager sees who signed up.
MAX_DAYS: Final = 31
MAX_QUESTIONS: Final = 20
MAX_CHOICES: Final = 20
MAX_SERVICE_MINUTES: Final = 10_080
_MAX_LIMIT: Final = 100
_DAILY: Final = {
    "example": 1,
    "description": "每人同一天最多报名几场，空为不限 · how many sign-ups a person may have that start on one day; null: any number",
}
_WEEKLY: Final = {
    "example": 3,
    "description": "每人同一周（周一起）最多报名几场，空为不限 · the same for a week from Monday; null: any number",
}


class RefOut(Out):
    id = Id(required=True, metadata={"example": _ID})
    name = Text(80, required=True, metadata={"example": "团青有约"})


class ProjectsQuery(PageQuery):
    q = Text(
        30, load_default=None, metadata={"example": "讲师", "description": "名称包含 · part of the name"}
    )


class ProjectIn(In):
    name = Text(40, required=True, metadata={"example": "团青有约"})
    summary = Text(
        2000, 0, lines=True, load_default=None, allow_none=True, metadata={"example": "与青年面对面交流。"}
    )
    org_id = Id(required=True, metadata={"example": _ID})
    daily_limit = Whole(1, _MAX_LIMIT, load_default=None, allow_none=True, metadata=_DAILY)
    weekly_limit = Whole(1, _MAX_LIMIT, load_default=None, allow_none=True, metadata=_WEEKLY)


class ProjectEditIn(ProjectIn):
    status = Choice(ProjectStatus, required=True, metadata={"example": "active"})


class ProjectOut(Out):
    id = Id(required=True, metadata={"example": _ID})
    name = Text(40, required=True, metadata={"example": "团青有约"})
    summary = Text(2000, 0, required=True, allow_none=True, metadata={"example": "与青年面对面交流。"})
    status = Choice(ProjectStatus, required=True, metadata={"example": "active"})
    org = Inner(RefOut, required=True)
    daily_limit = Whole(required=True, allow_none=True, metadata=_DAILY)
    weekly_limit = Whole(required=True, allow_none=True, metadata=_WEEKLY)
    version = Whole(required=True, metadata={"example": 1})


ProjectPage = page_of(ProjectOut, "ProjectPage")


class ActivitiesQuery(NearPageQuery):
    """Filters of the activity list. ``from`` and ``to`` are Shanghai days of the start, both inclusive."""

    project_id = Id(load_default=None)
    hub_id = Id(load_default=None)
    org_id = Id(load_default=None)
    county = DivisionCode(load_default=None, metadata={"example": "140502"})
    q = Text(30, load_default=None, metadata={"description": "标题或项目名包含 · part of title or project"})
    open = Flag(
        load_default=False, metadata={"description": "只看现在能报名的 · only those open for sign-up now"}
    )
    managed = Flag(
        load_default=False, metadata={"description": "我管理的，含草稿 · those I manage, drafts too"}
    )
    to = Day(load_default=None, metadata={"example": "2026-10-31"})

    class Meta(NearPageQuery.Meta):
        include = {"from": Day(load_default=None, metadata={"example": "2026-10-01"})}

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("from") and data.get("to") and data["from"] > data["to"]:
            raise invalid("bad_order", "to", first="from", second="to")


class QuestionIn(In):
    id = Text(20, load_default=None, allow_none=True, pattern=r"[a-z][a-z0-9_]*", metadata={"example": "q1"})
    kind = Choice(QuestionKind, required=True, metadata={"example": "choice"})
    label = Text(100, required=True, metadata={"example": "您的午餐选择？"})
    required = Flag(load_default=False)
    choices = Listed(
        Text(60), MAX_CHOICES, unique=True, load_default=list, metadata={"example": ["素食", "不限"]}
    )
    max_length = Whole(1, 500, load_default=None, allow_none=True)
    min = Decimal(-1e9, 1e9, load_default=None, allow_none=True)
    max = Decimal(-1e9, 1e9, load_default=None, allow_none=True)

    @validates_schema
    def _fits_kind(self, data: dict[str, Any], **_: Any) -> None:
        with_choices = data["kind"] in (QuestionKind.CHOICE, QuestionKind.MULTIPLE_CHOICE)
        if with_choices and len(data["choices"]) < 2:  # noqa: PLR2004 - one choice is none
            raise invalid("too_short", "choices", min=2)
        if not with_choices and data["choices"]:
            raise invalid("not_together", "choices", other="kind")
        if data["max_length"] is not None and data["kind"] is not QuestionKind.TEXT:
            raise invalid("not_together", "max_length", other="kind")
        for name in ("min", "max"):
            if data[name] is not None and data["kind"] is not QuestionKind.NUMBER:
                raise invalid("not_together", name, other="kind")
        if data["min"] is not None and data["max"] is not None and data["min"] > data["max"]:
            raise invalid("bad_order", "max", first="min", second="max")


class QuestionOut(Out):
    id = Text(20, required=True, metadata={"example": "q1"})
    kind = Choice(QuestionKind, required=True, metadata={"example": "choice"})
    label = Text(100, required=True, metadata={"example": "您的午餐选择？"})
    required = Flag(required=True, metadata={"example": False})
    choices = Listed(Text(60), MAX_CHOICES, required=True, metadata={"example": ["素食", "不限"]})
    max_length = Whole(1, 500, required=True, allow_none=True)
    min = Decimal(-1e9, 1e9, required=True, allow_none=True)
    max = Decimal(-1e9, 1e9, required=True, allow_none=True)


class ActivityIn(In):
    title = Text(60, required=True, metadata={"example": "团青有约：青年创业分享会"})
    summary = Text(
        4000, 0, lines=True, load_default=None, allow_none=True, metadata={"example": "三位返乡青年谈创业。"}
    )
    project_id = Id(required=True, metadata={"example": _ID})
    org_id = Id(
        load_default=None,
        allow_none=True,
        metadata={"description": "缺省为站点所属组织 · default: the hub's"},
    )
    hub_id = Id(load_default=None, allow_none=True, metadata={"example": _ID})
    place_name = Text(80, load_default=None, allow_none=True, metadata={"example": "二楼报告厅"})
    address = Text(200, load_default=None, allow_none=True)
    position = Inner(PositionIn, load_default=None, allow_none=True)
    county_code = DivisionCode(
        load_default=None, allow_none=True, metadata={"description": "缺省为站点所在县 · default: the hub's"}
    )
    starts_at = Instant(required=True, metadata={"example": "2026-12-05T14:00:00+08:00"})
    ends_at = Instant(required=True, metadata={"example": "2026-12-05T16:00:00+08:00"})
    sign_up_opens_at = Instant(required=True, metadata={"example": "2026-11-25T20:00:00+08:00"})
    sign_up_closes_at = Instant(required=True, metadata={"example": "2026-12-05T12:00:00+08:00"})
    capacity = Whole(1, MAX_PLACES, required=True, metadata={"example": 40})
    waitlist_capacity = Whole(0, MAX_PLACES, load_default=0, metadata={"example": 20})
    min_age = Whole(0, 120, load_default=None, allow_none=True)
    max_age = Whole(0, 120, load_default=None, allow_none=True)
    county_codes = Listed(
        DivisionCode(), 50, unique=True, load_default=list, metadata={"example": ["140502"]}
    )
    members_only = Flag(load_default=False)
    questions = Listed(Inner(QuestionIn), MAX_QUESTIONS, load_default=list)
    service_minutes = Whole(
        0,
        MAX_SERVICE_MINUTES,
        load_default=0,
        metadata={"example": 120, "description": "不超过活动时长 · no more than the activity lasts"},
    )
    admission = Inner(AdmissionIn, load_default=None, allow_none=True)
    waitlist = Inner(WaitlistIn, load_default=None, allow_none=True)
    attendance = Inner(AttendanceIn, load_default=None, allow_none=True)

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        ordered(data, "starts_at", "ends_at")
        if data["ends_at"] - data["starts_at"] > timedelta(days=MAX_DAYS):
            raise invalid("range_too_wide", "ends_at", max=MAX_DAYS)
        ordered(data, "sign_up_opens_at", "sign_up_closes_at")
        if data["sign_up_closes_at"] > data["ends_at"]:
            raise invalid("bad_order", "sign_up_closes_at", first="sign_up_closes_at", second="ends_at")
        if data["min_age"] is not None and data["max_age"] is not None and data["min_age"] > data["max_age"]:
            raise invalid("bad_order", "max_age", first="min_age", second="max_age")

    @validates_schema
    def _serves_while_it_lasts(self, data: dict[str, Any], **_: Any) -> None:
        lasts = (data["ends_at"] - data["starts_at"]) // timedelta(minutes=1)
        if 0 <= lasts < data["service_minutes"]:
            raise invalid("too_large", "service_minutes", max=lasts)

    @validates_schema
    def _has_place(self, data: dict[str, Any], **_: Any) -> None:
        if not data["hub_id"] and not data["place_name"]:
            raise invalid("required", "place_name")

    @validates_schema
    def _question_ids(self, data: dict[str, Any], **_: Any) -> None:
        given = [question["id"] or f"q{number}" for number, question in enumerate(data["questions"], 1)]
        if len(set(given)) < len(given):
            raise invalid("not_unique", "questions")


class PlaceOut(Out):
    name = Text(80, required=True, metadata={"example": "城区东街街道青年之家"})
    address = Text(200, required=True, allow_none=True, metadata={"example": "东街 1 号"})
    position = Inner(PositionOut, required=True, allow_none=True)


class ActivityCardOut(Out):
    """An activity in a list."""

    id = Id(required=True, metadata={"example": _ID})
    title = Text(60, required=True, metadata={"example": "团青有约：青年创业分享会"})
    state = Choice(ActivityState, required=True, metadata={"example": "registration_open"})
    project = Inner(RefOut, required=True)
    hub = Inner(RefOut, required=True, allow_none=True)
    place = Inner(PlaceOut, required=True)
    county_code = DivisionCode(required=True, metadata={"example": "140502"})
    starts_at = Instant(required=True, metadata={"example": "2026-12-05T14:00:00+08:00"})
    ends_at = Instant(required=True, metadata={"example": "2026-12-05T16:00:00+08:00"})
    sign_up_opens_at = Instant(required=True, metadata={"example": "2026-11-25T20:00:00+08:00"})
    sign_up_closes_at = Instant(required=True, metadata={"example": "2026-12-05T12:00:00+08:00"})
    capacity = Whole(required=True, metadata={"example": 40})
    places_left = Whole(
        required=True,
        metadata={
            "example": 12,
            "description": "候补截止后，在场的现场加入者也占用 · walk-ins who are there use places up once the queue has closed",
        },
    )
    waitlist_capacity = Whole(required=True, metadata={"example": 20})
    waiting = Whole(required=True, metadata={"example": 0})
    min_age = Whole(required=True, allow_none=True, metadata={"example": 18})
    max_age = Whole(required=True, allow_none=True, metadata={"example": 35})
    members_only = Flag(required=True, metadata={"example": False})
    distance_m = Whole(required=True, allow_none=True, metadata={"example": 850})


ActivityPage = page_of(ActivityCardOut, "ActivityPage")


class MySignUpStateOut(Out):
    """The caller's own sign-up, without answers."""

    id = Id(required=True, metadata={"example": _ID})
    state = Choice(SignUpState, required=True, metadata={"example": "waitlisted"})
    position = Whole(
        required=True,
        allow_none=True,
        metadata={
            "example": 3,
            "description": (
                "候补位次，1 为下一位；名额分池时按全部候补者计，排在前面的人可能等的是别的池，因此可能更快轮到"
                " · 1 is next; where places are in pools it counts all who wait, also for pools that are not open to this person, so that"
                " their turn may come sooner"
            ),
        },
    )
    created_at = Instant(required=True, metadata={"example": "2026-11-25T20:00:03+08:00"})
    checked_in_at = Instant(required=True, allow_none=True, metadata={"example": None})
    attendance = Choice(Attendance, required=True, allow_none=True, metadata={"example": None})
    offer_expires_at = Instant(
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "名额保留到此时 · the place is kept until then"},
    )
    held_until = Instant(
        required=True,
        allow_none=True,
        metadata={
            "example": None,
            "description": (
                "暂缓：信用分不足，或同一时间另有名额而本活动不允许（见 `warnings`）；原因消失即恢复排队，最迟到此时"
                " · passed over for now, for too few points or for a place elsewhere at the same time that this activity does not allow"
                " (see `warnings`): until that is no longer so, and until then at the latest"
            ),
        },
    )
    decision_reason = Text(
        200,
        0,
        required=True,
        allow_none=True,
        metadata={"example": None, "description": "审核意见 · what the reviewer said"},
    )


class ActivityOut(ActivityCardOut):
    """An activity with all that is known, and the caller's own sign-up."""

    summary = Text(4000, 0, required=True, allow_none=True, metadata={"example": "三位返乡青年谈创业。"})
    org = Inner(RefOut, required=True)
    county_codes = Listed(DivisionCode(), 50, required=True, metadata={"example": ["140502"]})
    questions = Listed(Inner(QuestionOut), MAX_QUESTIONS, required=True)
    service_minutes = Whole(required=True, metadata={"example": 120})
    admission = Inner(AdmissionOut, required=True)
    waitlist = Inner(WaitlistOut, required=True)
    attendance = Inner(AttendanceOut, required=True)
    status_reason = Text(500, required=True, allow_none=True, metadata={"example": None})
    closing_summary = Text(4000, 0, required=True, allow_none=True, metadata={"example": None})
    version = Whole(required=True, metadata={"example": 1})
    can_manage = Flag(required=True, metadata={"example": False})
    my_sign_up = Inner(MySignUpStateOut, required=True, allow_none=True)


class ReasonIn(In):
    reason = Text(200, required=True, lines=True, metadata={"example": "场地临时停用"})


class ClosureIn(In):
    summary = Text(4000, required=True, lines=True, metadata={"example": "到场 38 人，反响热烈。"})
