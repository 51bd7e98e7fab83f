"""Operations of check-in and feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.errors import (
    ActivityCancelled,
    ActivityOver,
    CheckInCodeInvalid,
    CheckInNotOpen,
    FeedbackClosed,
    NoFeedback,
    NoSuchActivity,
    NoSuchSignUp,
    NotCheckedIn,
    SignUpNotConfirmed,
)
from engage.activities.queries import feedback as queries
from engage.activities.schemas.sign_up import (
    CheckInCodeOut,
    CheckInIn,
    CheckInOut,
    FeedbackIn,
    FeedbackPage,
    MyFeedbackOut,
    UploadIn,
    UploadOut,
)
from engage.activities.service import check_in as service
from engage.activities.service import feedback
from engage.core.errors import NotAllowed
from engage.core.http import Api, Mode
from engage.core.schemas import PageQuery
from engage.identity.caller import member
from engage.orgs.caller import staff

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("签到与评价 · Check-in and feedback")
_NOT_NOW: Final = (ActivityCancelled, CheckInNotOpen, ActivityOver)


@api.operation(
    "GET", "/activities/{activity_id}/check-in-code", access=staff, zh="现场签到码", returns=CheckInCodeOut,
    refuses=[NoSuchActivity, NotAllowed, *_NOT_NOW],
)  # fmt: skip
def show_check_in_code(look: Look, activity_id: UUID) -> dict[str, Any]:
    """Show the check-in code of this moment, as text and QR image.

    每 30 秒换新，60 秒后失效；活动开始前两小时起可用。
    Changes every 30 seconds and dies after 60; from two hours before the start.
    """
    return service.show_code(look, activity_id)


@api.operation(
    "POST", "/activities/{activity_id}/check-in", access=member, zh="扫码签到", body=CheckInIn, returns=CheckInOut,
    refuses=[NoSuchActivity, *_NOT_NOW, CheckInCodeInvalid, NoSuchSignUp, SignUpNotConfirmed], mode=Mode.STATEMENT,
)  # fmt: skip
def check_in(look: Look, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Check in with the code at the door.

    可安全重复。Safe to repeat.
    """
    return service.check_in(look, activity_id, body["code"])


@api.operation(
    "POST", "/activities/{activity_id}/check-ins", access=staff, zh="上传离线签到", body=UploadIn, returns=UploadOut,
    refuses=[NoSuchActivity, NotAllowed, *_NOT_NOW],
)  # fmt: skip
def upload_check_ins(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Upload check-ins made by staff without signal.

    逐条返回结果，重复上传无副作用；活动结束后七天内可上传。
    A result for each item, a replay changes nothing; until seven days after the end.
    """
    return service.upload(work, activity_id, body["items"])


@api.operation(
    "PUT", "/activities/{activity_id}/feedback", access=member, zh="评价活动", body=FeedbackIn, returns=MyFeedbackOut,
    refuses=[NoSuchActivity, NotCheckedIn, FeedbackClosed],
)  # fmt: skip
def give_feedback(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Rate an activity after checking in; can be changed for seven days."""
    return feedback.give_feedback(work, activity_id, body["stars"], body["text"])


@api.operation(
    "GET",
    "/activities/{activity_id}/feedback",
    access=member,
    zh="我的评价",
    returns=MyFeedbackOut,
    refuses=[NoFeedback],
)
def read_my_feedback(look: Look, activity_id: UUID) -> dict[str, Any]:
    """Read the caller's own feedback."""
    return queries.my_feedback(look, activity_id)


@api.operation(
    "GET", "/activities/{activity_id}/feedback-entries", access=staff, zh="全部评价（匿名）", query=PageQuery, returns=FeedbackPage,
    refuses=[NoSuchActivity, NotAllowed],
)  # fmt: skip
def list_feedback(look: Look, activity_id: UUID, query: dict[str, Any]) -> Page:
    """List feedback without names."""
    return queries.list_feedback(look, activity_id, query)
