"""Operations of activities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.errors import (
    ActivityNotEditable,
    ActivityNotOver,
    ActivityTimesHeld,
    AdmissionFrozen,
    CapacityBelowPresent,
    CapacityBelowTaken,
    NoSuchActivity,
    PreviewOutdated,
    PreviewRequired,
    QuestionsFrozen,
    ReopeningTooLate,
    WaitlistBelowWaiting,
    WrongActivityState,
)
from engage.activities.queries import activities as queries
from engage.activities.schemas.activity import (
    ActivitiesQuery,
    ActivityIn,
    ActivityOut,
    ActivityPage,
    ClosureIn,
    ReasonIn,
)
from engage.activities.schemas.preview import ChangeIn, ChangePreviewOut
from engage.activities.service import lifecycle as service
from engage.activities.service import preview
from engage.core.errors import NotAllowed
from engage.core.http import Api, IfMatch
from engage.core.replies import NO_STORE
from engage.identity.caller import guest, guest_if
from engage.orgs.caller import staff
from engage.orgs.errors import NoSuchOrg

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("活动 · Activities")
_SHORT: Final = "private, no-cache"
_UNSEEN: Final = (PreviewRequired, PreviewOutdated)


@api.operation(
    "GET",
    "/activities",
    access=guest_if("managed"),
    zh="活动列表",
    query=ActivitiesQuery,
    returns=ActivityPage,
    cache=_SHORT,
)
def list_activities(look: Look, query: dict[str, Any]) -> Page:
    """List activities by start, or by distance around a point.

    按开始时间排列；给出 `near` 时按距离排列。不给日期范围时不含已结束的活动。只有给出 `managed` 时才看是谁在问，否则不看登录凭证。

    Sorted by start; by distance when `near` is given. Without a date range those that are over are left out. Only `managed` asks
    who is asking; without it no token is looked at.
    """
    return queries.list_activities(look, query)


@api.operation(
    "GET",
    "/activities/{activity_id}",
    access=guest,
    zh="活动详情与我的报名",
    returns=ActivityOut,
    refuses=[NoSuchActivity],
    cache=NO_STORE,
)
def read_activity(look: Look, activity_id: UUID) -> dict[str, Any]:
    """Read an activity, with the caller's own sign-up and the places left."""
    return queries.read_activity(look, activity_id)


@api.operation(
    "POST", "/activities", access=staff, zh="新建活动（草稿）", body=ActivityIn, returns=ActivityOut, status=201,
    refuses=[NoSuchOrg, NotAllowed], idempotent=True, location="/activities/{id}",
)  # fmt: skip
def create_activity(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Write a draft of an activity."""
    return service.create_activity(work, body)


@api.operation(
    "PUT", "/activities/{activity_id}", access=staff, zh="修改活动", body=ActivityIn, returns=ActivityOut,
    refuses=[
        NoSuchActivity, NoSuchOrg, NotAllowed, ActivityTimesHeld, ActivityNotEditable, QuestionsFrozen, AdmissionFrozen,
        CapacityBelowTaken, CapacityBelowPresent, WaitlistBelowWaiting, *_UNSEEN,
    ],
    if_match=True, cache=NO_STORE,
)  # fmt: skip
def edit_activity(work: Work, activity_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Replace an activity; more places promote the queue at once.

    已有人报名时，减少名额到已占用数以下或变更时间、地点，须先调用 `change-preview`，再以其 ETag 作为 `If-Match` 提交；受影响的人会收到消息。

    Once somebody has signed up, fewer places than are taken and another time or place need the ETag of `change-preview` in
    `If-Match`; everybody concerned is told. A hub manager then changes the times only while they see who signed up, and to no end after the time in
    which they were to see them; officers and secretaries change them as they like.
    """
    return service.edit_activity(work, activity_id, body, version)


@api.operation(
    "POST", "/activities/{activity_id}/change-preview", access=staff, zh="预览变更的影响", body=ChangeIn, returns=ChangePreviewOut,
    refuses=[
        NoSuchActivity, NoSuchOrg, NotAllowed, ActivityTimesHeld, ActivityNotEditable, WrongActivityState, QuestionsFrozen,
        AdmissionFrozen, CapacityBelowPresent, WaitlistBelowWaiting,
    ],
    tag_from="preview",
)  # fmt: skip
def preview_change(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Show what a change or a cancellation would mean for people who signed up.

    不作任何修改。把 `preview`（即 ETag）放入 `If-Match` 再提交变更，表示已了解这些影响；若情况有变，变更会被拒绝，须重新预览。

    Changes nothing. The change that carries `preview`, which is also the ETag, in `If-Match` accepts exactly these consequences; when
    they have become others it is refused.
    """
    if body["cancel"]:
        return preview.preview_cancellation(work, activity_id)
    return preview.preview_change(work, activity_id, body["change"])


@api.operation(
    "POST", "/activities/{activity_id}/publication", access=staff, zh="发布活动（或提交审核）", returns=ActivityOut,
    refuses=[NoSuchActivity, NotAllowed, WrongActivityState, ActivityNotEditable],
)  # fmt: skip
def publish_activity(work: Work, activity_id: UUID) -> dict[str, Any]:
    """Publish an activity, or hand it in for review where that is required."""
    return service.publish(work, activity_id)


@api.operation(
    "POST", "/activities/{activity_id}/rejection", access=staff, zh="退回活动", body=ReasonIn, returns=ActivityOut,
    refuses=[NoSuchActivity, NotAllowed, WrongActivityState],
)  # fmt: skip
def reject_activity(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Send an activity that was handed in back, with a reason."""
    return service.reject(work, activity_id, body["reason"])


@api.operation(
    "POST", "/activities/{activity_id}/cancellation", access=staff, zh="取消活动", body=ReasonIn, returns=ActivityOut,
    refuses=[NoSuchActivity, NotAllowed, WrongActivityState, ActivityNotEditable, *_UNSEEN], if_match=IfMatch.OPTIONAL,
)  # fmt: skip
def cancel_activity(
    work: Work, activity_id: UUID, body: dict[str, Any], version: int | None
) -> dict[str, Any]:
    """Call an activity off and tell everybody who signed up.

    已有人报名时须先调用 `change-preview`，再以其 ETag 作为 `If-Match` 提交。

    Once somebody has signed up, it needs the ETag of `change-preview` in `If-Match`.
    """
    return service.cancel_activity(work, activity_id, body["reason"], version)


@api.operation(
    "POST", "/activities/{activity_id}/reopening", access=staff, zh="恢复已取消的活动", body=ReasonIn, returns=ActivityOut,
    refuses=[NoSuchActivity, NotAllowed, WrongActivityState, ReopeningTooLate],
)  # fmt: skip
def reopen_activity(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Publish a cancelled activity again; sign-ups hold, free places are given, everybody is told."""
    return service.reopen(work, activity_id, body["reason"])


@api.operation(
    "POST", "/activities/{activity_id}/closure", access=staff, zh="总结活动", body=ClosureIn, returns=ActivityOut,
    refuses=[NoSuchActivity, NotAllowed, WrongActivityState, ActivityNotOver],
)  # fmt: skip
def close_activity(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Close an activity that is over, with a summary."""
    return service.summarise(work, activity_id, body["summary"])
