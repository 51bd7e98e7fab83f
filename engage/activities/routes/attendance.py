"""Operations of check-in, check-out, the roster and feedback."""

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
    RosterSignatureInvalid,
    SignUpNotConfirmed,
)
from engage.activities.queries import feedback as queries
from engage.activities.schemas.attendance import (
    CheckInCodeOut,
    CheckInIn,
    CheckInOut,
    CheckOutOut,
    FeedbackIn,
    FeedbackPage,
    MyFeedbackOut,
    RosterOut,
    RosterQuery,
    UploadIn,
    UploadOut,
)
from engage.activities.service import check_in as service
from engage.activities.service import codes, feedback, rosters, uploads
from engage.core.audit import listed
from engage.core.errors import ConflictingChange, NotAllowed
from engage.core.http import Api, Mode
from engage.core.replies import language
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

    每 30 秒换新，60 秒后失效；活动开始前两小时起、结束后一小时内可用，签到签退同码。
    Changes every 30 seconds and dies after 60; from two hours before the start to an hour after the end, for coming and going.
    """
    return codes.show_code(look, activity_id)


@api.operation(
    "POST", "/activities/{activity_id}/check-in", access=member, zh="扫码签到", body=CheckInIn, returns=CheckInOut,
    refuses=[NoSuchActivity, *_NOT_NOW, CheckInCodeInvalid, NoSuchSignUp, SignUpNotConfirmed, ConflictingChange], mode=Mode.STATEMENT,
)  # fmt: skip
def check_in(look: Look, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Check in with the code at the door.

    可安全重复。Safe to repeat.
    """
    return service.check_in(look, activity_id, body["code"])


@api.operation(
    "POST", "/activities/{activity_id}/check-out", access=member, zh="扫码签退", body=CheckInIn, returns=CheckOutOut,
    refuses=[NoSuchActivity, *_NOT_NOW, CheckInCodeInvalid, NotCheckedIn], mode=Mode.STATEMENT,
)  # fmt: skip
def check_out(look: Look, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Check out with the code at the door.

    可安全重复，以最后一次为准；活动结束后一小时内有效。
    Safe to repeat, the last one counts; until an hour after the end.
    """
    return service.check_out(look, activity_id, body["code"])


@api.operation(
    "GET", "/activities/{activity_id}/roster", access=staff, zh="下载签到名单（离线用）", query=RosterQuery, returns=RosterOut,
    refuses=[NoSuchActivity, NotAllowed], people=listed("entries"),
)  # fmt: skip
def read_roster(look: Look, activity_id: UUID, query: dict[str, Any]) -> dict[str, Any]:
    """Read what a phone needs to check people in without signal.

    名单、名额、规则、本班次及下一班次的签到码密钥、签名。`updated_since` 取上次的 `next_since`，只返回其后的变化与已结束的报名；
    少量变化可能重复出现。大名单分页，每页均有签名。

    Entries, places, rules, the code keys of this shift and the next, signed. With `updated_since` (the last `next_since`) only what changed,
    and in `removed` the sign-ups that ended; a change may be told twice, never missed. Large rosters come in pages, each signed.
    """
    return rosters.read_roster(look, activity_id, query)


@api.operation(
    "POST", "/activities/{activity_id}/check-ins", access=staff, zh="上传离线签到", body=UploadIn, returns=UploadOut,
    refuses=[NoSuchActivity, NotAllowed, *_NOT_NOW, RosterSignatureInvalid],
)  # fmt: skip
def upload_check_ins(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Upload arrivals and departures that staff recorded, also without signal.

    逐条返回结果：`accepted` 已记入，`already` 无新内容，`conflict` 未记入及原因。多台设备以任何次序上传，结果相同：取最早到达与最晚离开；重复上传无副作用。
    `walk_in` 记入现场加入的人，名额已满也记入并注明。活动结束后七天内可上传，已总结的也收，服务时长随之重新结算。

    A result for each item: `accepted`, `already` (nothing new) or `conflict` with its reason. Devices may upload in any order: the earliest arrival
    and the latest departure count, a replay changes nothing. `walk_in` takes in who has no confirmed place, beyond the capacity too, and marks them.
    Until seven days after the end, of a closed activity too: its hours are settled anew, given or taken back.
    """
    return uploads.upload(work, activity_id, body["items"], body["roster_signature"], language())


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
    refuses=[NoSuchActivity, NotAllowed], people=listed(),
)  # fmt: skip
def list_feedback(look: Look, activity_id: UUID, query: dict[str, Any]) -> Page:
    """List feedback without names.

    文字是本人写的，可能透露身份：谁能看、何时能看，与报名名单相同，查看记入审计日志。
    The words are people's own and may say who they are: whoever may see who signed up may read them, for as long, and reading is an entry of the audit log.
    """
    return queries.list_feedback(look, activity_id, query)
