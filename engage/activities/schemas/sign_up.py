"""JSON shapes of sign-ups."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from engage.activities.models import CheckInMethod, SignUpState
from engage.activities.schemas.activity import MAX_QUESTIONS, ActivityCardOut, MySignUpStateOut, RefOut
from engage.core.schemas import (
    AnyJson,
    Choice,
    Id,
    In,
    Inner,
    Instant,
    Listed,
    Out,
    PageQuery,
    Query,
    Text,
    Whole,
    page_of,
)
from engage.identity.models import Gender

_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"


class When(StrEnum):
    UPCOMING = "upcoming"
    PAST = "past"


class AnswerIn(In):
    question_id = Text(20, required=True, metadata={"example": "q1"})
    value = AnyJson(
        required=True,
        metadata={
            "example": "素食",
            "description": "文字、数字、选项或选项列表 · text, number, choice or list of choices",
        },
    )


class AnswerOut(Out):
    question_id = Text(20, required=True, metadata={"example": "q1"})
    value = AnyJson(required=True, metadata={"example": "素食"})


class SignUpIn(In):
    answers = Listed(Inner(AnswerIn), MAX_QUESTIONS, load_default=None)


class WarningKind(StrEnum):
    OVERLAP = "overlap"


class WarningOut(Out):
    code = Choice(WarningKind, required=True, metadata={"example": "overlap"})
    activity = Inner(RefOut, required=True)


def _warnings() -> Listed:
    return Listed(
        Inner(WarningOut),
        1,
        required=True,
        metadata={
            "example": [],
            "description": "同一时间另有名额 · the person has a place elsewhere at the same time",
        },
    )


class AnsweredSignUpOut(MySignUpStateOut):
    answers = Listed(Inner(AnswerOut), MAX_QUESTIONS, required=True)


class SignUpOut(AnsweredSignUpOut):
    warnings = _warnings()


class EstimateOut(Out):
    """How queues of the project have moved: at ``promoted_through`` of ``of`` activities somebody this far back got a place.

    Places in pools are counted together, here as in the position.
    """

    of = Whole(required=True, metadata={"example": 8})
    promoted_through = Whole(required=True, metadata={"example": 5})


class OwnSignUpOut(SignUpOut):
    joined_position = Whole(
        required=True,
        allow_none=True,
        metadata={"example": 7, "description": "加入候补时的位次 · the position on joining the queue"},
    )
    estimate = Inner(EstimateOut, required=True, allow_none=True)


class MySignUpsQuery(PageQuery):
    when = Choice(When, load_default=When.UPCOMING)


class MySignUpOut(MySignUpStateOut):
    activity = Inner(ActivityCardOut, required=True)


MySignUpPage = page_of(MySignUpOut, "MySignUpPage")


class SignUpExportQuery(Query):
    state = Choice(SignUpState, load_default=None)


class SignUpsQuery(SignUpExportQuery, PageQuery):
    pass


class SignedUpPersonOut(Out):
    id = Id(required=True, metadata={"example": _ID})
    name = Text(40, required=True, allow_none=True, metadata={"example": "李晓"})
    gender = Choice(Gender, required=True, allow_none=True, metadata={"example": "female"})
    age = Whole(
        required=True,
        allow_none=True,
        metadata={"example": 22, "description": "活动当日周岁 · on the day of the activity"},
    )


class StaffSignUpOut(AnsweredSignUpOut):
    """A sign-up as the staff of its activity see it."""

    person = Inner(SignedUpPersonOut, required=True)
    rank = Whole(
        required=True,
        allow_none=True,
        metadata={
            "example": None,
            "description": "审核名次或抽签名次 · rank given by the reviewer or the draw",
        },
    )
    cancelled_at = Instant(required=True, allow_none=True, metadata={"example": None})
    cancel_reason = Text(200, required=True, allow_none=True, metadata={"example": None})
    excuse_reason = Text(200, required=True, allow_none=True, metadata={"example": None})
    check_in_method = Choice(CheckInMethod, required=True, allow_none=True, metadata={"example": None})


class AddedSignUpOut(StaffSignUpOut):
    warnings = _warnings()


StaffSignUpPage = page_of(StaffSignUpOut, "StaffSignUpPage")


class AddPersonIn(In):
    person_id = Id(required=True, metadata={"example": _ID})
    answers = Listed(Inner(AnswerIn), MAX_QUESTIONS, load_default=list)
