"""JSON shapes of evidence and findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from marshmallow import validates_schema

from engage.activities.models import ActivityState, AdmissionMode
from engage.activities.schemas.activity import RefOut
from engage.core.schemas import (
    Choice,
    Day,
    Decimal,
    Flag,
    Id,
    In,
    Inner,
    Instant,
    Out,
    PageQuery,
    Text,
    Whole,
    invalid,
    page_of,
)
from engage.evaluation.models import (
    MAX_FINDING_CHARS,
    FindingKind,
    FindingOutcome,
    FindingState,
    FindingSubject,
)
from engage.statistics.models import SMALL_CELL

if TYPE_CHECKING:
    from collections.abc import Mapping

_AN_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
_ORG: Final = {"id": _AN_ID, "name": "共青团陵川县委员会"}
_HUB: Final = {"id": _AN_ID, "name": "建设路青年之家"}
_FOUND: Final = "活动已结束十天，仍未总结。"
_ANSWER: Final = "已补写总结，今后三日内完成。"
_NOON: Final = "2026-10-01T12:00:00+08:00"
_SUBJECTS: Final = ("activity_id", "hub_id", "org_id")


class EvidenceSignUpsOut(Out):
    total = Whole(required=True, metadata={"example": 46})
    confirmed = Whole(required=True, metadata={"example": 30, "description": "现占名额 · places held now"})
    waiting = Whole(required=True, metadata={"example": 4})
    cancelled = Whole(required=True, metadata={"example": 8})


class EvidenceAttendanceOut(Out):
    """As in the figures of participation; all noughts where the activity was called off."""

    attended = Whole(required=True, metadata={"example": 24})
    late = Whole(required=True, metadata={"example": 3})
    absent = Whole(required=True, metadata={"example": 2})
    excused = Whole(required=True, metadata={"example": 1})
    walk_ins = Whole(required=True, metadata={"example": 2})
    rate = Decimal(0, 1, required=True, allow_none=True, metadata={"example": 0.931})


class EvidenceCheckInsOut(Out):
    total = Whole(required=True, metadata={"example": 29})
    by_code = Whole(required=True, metadata={"example": 20, "description": "本人扫码 · by their own scan"})
    by_staff = Whole(
        required=True, metadata={"example": 9, "description": "工作人员记录 · recorded by staff"}
    )
    after_end = Whole(
        required=True,
        metadata={
            "example": 3,
            "description": "活动结束后才收到的，含于以上 · of these, received after the end",
        },
    )


class EvidenceHoursOut(Out):
    minutes = Whole(
        required=True, metadata={"example": 3240, "description": "已扣除撤销 · reversals taken off"}
    )
    credits = Whole(required=True, metadata={"example": 28})
    reversals = Whole(required=True, metadata={"example": 1})


class EvidenceRatingsOut(Out):
    count = Whole(required=True, metadata={"example": 17})
    mean = Decimal(
        1,
        5,
        required=True,
        allow_none=True,
        metadata={
            "example": 4.6,
            "description": f"评分不足 {SMALL_CELL} 个时为 null · null for fewer than {SMALL_CELL} ratings",
        },
    )


class EvidenceOut(Out):
    """What can be checked about an activity: facts and counts, no person."""

    id = Id(required=True, metadata={"example": _AN_ID})
    title = Text(60, required=True, metadata={"example": "青年夜校"})
    state = Choice(ActivityState, required=True, metadata={"example": "summarised"})
    org = Inner(RefOut, required=True, metadata={"example": _ORG})
    hub = Inner(RefOut, required=True, allow_none=True, metadata={"example": _HUB})
    project = Inner(RefOut, required=True)
    starts_at = Instant(required=True, metadata={"example": _NOON})
    ends_at = Instant(required=True, metadata={"example": "2026-10-01T14:00:00+08:00"})
    sign_up_opens_at = Instant(required=True, metadata={"example": "2026-09-24T12:00:00+08:00"})
    sign_up_closes_at = Instant(required=True, metadata={"example": _NOON})
    admission_mode = Choice(AdmissionMode, required=True, metadata={"example": "first_come"})
    capacity = Whole(required=True, metadata={"example": 30})
    waitlist_capacity = Whole(required=True, metadata={"example": 20})
    created_at = Instant(required=True, metadata={"example": "2026-09-20T09:00:00+08:00"})
    published_at = Instant(
        required=True,
        allow_none=True,
        metadata={
            "example": "2026-09-22T09:00:00+08:00",
            "description": "首次发布，据审计日志；日志中没有时为 null，下同 · first published, by the audit log; null where it does not tell, as below",
        },
    )
    cancelled_at = Instant(required=True, allow_none=True, metadata={"example": None})
    closed_at = Instant(required=True, allow_none=True, metadata={"example": "2026-10-02T09:00:00+08:00"})
    updated_at = Instant(required=True, metadata={"example": "2026-10-02T09:00:00+08:00"})
    sign_ups = Inner(EvidenceSignUpsOut, required=True)
    attendance = Inner(EvidenceAttendanceOut, required=True)
    check_ins = Inner(EvidenceCheckInsOut, required=True)
    hours = Inner(EvidenceHoursOut, required=True)
    ratings = Inner(EvidenceRatingsOut, required=True)


class FindingsQuery(PageQuery):
    state = Choice(FindingState, load_default=None)
    kind = Choice(FindingKind, load_default=None)
    org_id = Id(
        load_default=None,
        metadata={"description": "该组织及其全部下级 · this organisation and all below it"},
    )
    hub_id = Id(load_default=None)
    activity_id = Id(load_default=None)
    overdue = Flag(
        load_default=False,
        metadata={"description": "只看逾期未答复的 · only those whose answer is overdue"},
    )


class FindingIn(In):
    """Exactly one of ``activity_id``, ``hub_id`` and ``org_id``; ``due_on`` for problems only."""

    activity_id = Id(load_default=None, allow_none=True, metadata={"example": _AN_ID})
    hub_id = Id(load_default=None, allow_none=True, metadata={"example": None})
    org_id = Id(load_default=None, allow_none=True, metadata={"example": None})
    kind = Choice(FindingKind, required=True, metadata={"example": "problem"})
    text = Text(
        MAX_FINDING_CHARS,
        lines=True,
        required=True,
        metadata={
            "example": _FOUND,
            "description": "不要写个人信息 · say nothing in it that tells who somebody is",
        },
    )
    due_on = Day(
        load_default=None,
        allow_none=True,
        metadata={
            "example": "2100-01-01",
            "description": "请在此日（含）前答复，限问题 · by when to answer, that day included; for problems",
        },
    )

    @validates_schema
    def _fits(self, data: Mapping[str, Any], **_: Any) -> None:
        given = [name for name in _SUBJECTS if data[name] is not None]
        if not given:
            raise invalid("required", "org_id")
        if len(given) > 1:
            raise invalid("not_together", given[1], other=given[0])
        if data["due_on"] is not None and data["kind"] is not FindingKind.PROBLEM:
            raise invalid("not_together", "due_on", other=f"kind = {data['kind']}")


class FindingAnswerIn(In):
    answer = Text(MAX_FINDING_CHARS, lines=True, required=True, metadata={"example": _ANSWER})


class FindingClosureIn(In):
    outcome = Choice(FindingOutcome, required=True, metadata={"example": "settled"})


class FindingSubjectOut(Out):
    """What a finding is about, and what it was called when it was written."""

    kind = Choice(FindingSubject, required=True, metadata={"example": "activity"})
    id = Id(required=True, metadata={"example": _AN_ID})
    name = Text(80, required=True, metadata={"example": "青年夜校"})


class FindingOut(Out):
    """Nobody is named. ``may_answer`` and ``may_close`` say which buttons work: to close is to settle it, and if it is ``mine`` also to withdraw it."""

    id = Id(required=True, metadata={"example": _AN_ID})
    subject = Inner(FindingSubjectOut, required=True)
    org = Inner(RefOut, required=True, metadata={"example": _ORG})
    kind = Choice(FindingKind, required=True, metadata={"example": "problem"})
    text = Text(MAX_FINDING_CHARS, required=True, metadata={"example": _FOUND})
    due_on = Day(required=True, allow_none=True, metadata={"example": "2026-10-20"})
    overdue = Flag(required=True, metadata={"example": False})
    state = Choice(FindingState, required=True, metadata={"example": "answered"})
    answer = Text(MAX_FINDING_CHARS, required=True, allow_none=True, metadata={"example": _ANSWER})
    outcome = Choice(FindingOutcome, required=True, allow_none=True, metadata={"example": None})
    created_at = Instant(required=True, metadata={"example": _NOON})
    answered_at = Instant(required=True, allow_none=True, metadata={"example": "2026-10-08T12:00:00+08:00"})
    closed_at = Instant(required=True, allow_none=True, metadata={"example": None})
    mine = Flag(required=True, metadata={"example": False, "description": "您写的 · you wrote it"})
    may_answer = Flag(required=True, metadata={"example": False})
    may_close = Flag(required=True, metadata={"example": True})
    version = Whole(1, required=True, metadata={"example": 2})


FindingPage = page_of(FindingOut, "FindingPage")
