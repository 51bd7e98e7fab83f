"""Operations of sign-ups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.activities.errors import (
    ActivityCancelled,
    ActivityFull,
    ActivityOver,
    ActivityStarted,
    AgeNotAllowed,
    AlreadyCheckedIn,
    CountyNotAllowed,
    CreditTooLow,
    DailyLimitReached,
    ExcuseTooLate,
    MembersOnly,
    NoOffer,
    NoPoolForYou,
    NoSuchActivity,
    NoSuchSignUp,
    OfferExpired,
    Overlaps,
    PoolFull,
    QueueClosed,
    SignUpClosed,
    SignUpNotConfirmed,
    SignUpNotOpen,
    TooManyApplications,
    WeeklyLimitReached,
    WrongActivityState,
)
from engage.activities.queries import exports
from engage.activities.queries import sign_ups as queries
from engage.activities.schemas.activity import ReasonIn
from engage.activities.schemas.credit import ExcuseOut
from engage.activities.schemas.imports import SignUpImportIn, SignUpImportOut
from engage.activities.schemas.sign_up import (
    AddedSignUpOut,
    AddPersonIn,
    MySignUpPage,
    MySignUpsQuery,
    OwnSignUpOut,
    SignUpExportQuery,
    SignUpIn,
    SignUpOut,
    SignUpsQuery,
    StaffSignUpOut,
    StaffSignUpPage,
)
from engage.activities.service import by_staff, imports, offers
from engage.activities.service import excuse as excuses
from engage.activities.service import sign_up as service
from engage.core.audit import listed, rows
from engage.core.errors import ConflictingChange, NotAllowed
from engage.core.http import Api, Binary, Mode
from engage.core.replies import NO_STORE, language
from engage.identity.caller import claimed, member
from engage.identity.errors import NoSuchPerson, ProfileIncomplete
from engage.orgs.caller import staff, staff_privileged

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("报名 · Sign-ups")
_NOT_FOR_YOU: Final = (
    ProfileIncomplete, AgeNotAllowed, CountyNotAllowed, MembersOnly, NoPoolForYou, Overlaps, DailyLimitReached, WeeklyLimitReached,
)  # fmt: skip


@api.operation(
    "PUT", "/activities/{activity_id}/sign-up", access=claimed, zh="报名", body=SignUpIn, returns=SignUpOut, mode=Mode.STATEMENT,
    refuses=[NoSuchActivity, ActivityCancelled, ActivityOver, SignUpNotOpen, SignUpClosed, ActivityFull, PoolFull, QueueClosed, TooManyApplications, ConflictingChange, CreditTooLow, *_NOT_FOR_YOU],
)  # fmt: skip
def sign_up(look: Look, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Sign up: a place, or a turn in the queue.

    可安全重复：重复提交返回同一个名额。Safe to repeat: a repetition returns the same place.
    """
    return service.sign_up_claimed(look, activity_id, body["answers"])


@api.operation(
    "GET", "/activities/{activity_id}/sign-up", access=member, zh="我的报名", returns=OwnSignUpOut, refuses=[NoSuchActivity, NoSuchSignUp],
    cache=NO_STORE,
)  # fmt: skip
def read_my_sign_up(look: Look, activity_id: UUID) -> dict[str, Any]:
    """Read the caller's own sign-up, and for who waits how such queues have moved.

    仅限有效的报名；请假后见“我的全部报名”的往期。
    `estimate` 只陈述该项目以往活动的事实，不足三场时为空。The live one only: who was excused finds that among the past of `/me/sign-ups`.
    `estimate` states what happened at past activities of the project, null for fewer than three.
    """
    return queries.my_sign_up_and_chance(look, activity_id)


@api.operation(
    "DELETE", "/activities/{activity_id}/sign-up", access=member, zh="取消报名",
    refuses=[NoSuchActivity, ActivityStarted, AlreadyCheckedIn],
)  # fmt: skip
def leave_activity(work: Work, activity_id: UUID) -> None:
    """Give up one's place or turn; the next in line is promoted.

    可安全重复。Safe to repeat.
    """
    service.leave(work, activity_id)


@api.operation(
    "POST", "/activities/{activity_id}/sign-up/acceptance", access=member, zh="确认为我保留的名额", returns=SignUpOut,
    refuses=[NoSuchActivity, ActivityCancelled, NoOffer, OfferExpired, Overlaps],
)  # fmt: skip
def accept_offer(work: Work, activity_id: UUID) -> dict[str, Any]:
    """Accept the place that is kept for the caller.

    逾期即顺延给下一位；可安全重复。不接受请取消报名。
    An expired offer goes to the next in line. Safe to repeat; leave to decline.
    """
    return offers.accept(work, activity_id)


@api.operation(
    "POST", "/activities/{activity_id}/sign-up/excuse", access=member, zh="请假", body=ReasonIn, returns=ExcuseOut,
    refuses=[NoSuchActivity, NoSuchSignUp, AlreadyCheckedIn, ActivityCancelled, ExcuseTooLate],
)  # fmt: skip
def excuse_myself(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Give up one's place with a reason, in time: it stands as excused, not as absent.

    请假截止时间见活动的出勤设置；逾期仍可取消报名。候补或待审的，即为取消并留下原因。可安全重复。
    Who only waits or applied leaves, and the reason is kept. Until the time that the activity's attendance terms set; leaving is possible after it. Safe to repeat.
    """
    return excuses.excuse_myself(work, activity_id, body["reason"])


@api.operation(
    "GET", "/me/sign-ups", access=member, zh="我的全部报名", query=MySignUpsQuery, returns=MySignUpPage
)
def list_my_sign_ups(look: Look, query: dict[str, Any]) -> Page:
    """List the caller's sign-ups, upcoming or past.

    往期含已请假的，出勤为 `excused`。The past ones with those that an excuse ended, their attendance `excused`.
    """
    return queries.list_my_sign_ups(look, query)


@api.operation(
    "GET", "/activities/{activity_id}/sign-ups", access=staff, zh="报名名单", query=SignUpsQuery, returns=StaffSignUpPage,
    refuses=[NoSuchActivity, NotAllowed], people=listed(),
)  # fmt: skip
def list_sign_ups(look: Look, activity_id: UUID, query: dict[str, Any]) -> Page:
    """List who signed up, with answers."""
    return queries.list_sign_ups(look, activity_id, query)


@api.operation(
    "GET", "/activities/{activity_id}/sign-ups/export", access=staff_privileged, zh="导出报名名单（CSV）", query=SignUpExportQuery,
    binary=Binary("text/csv", "sign-ups.csv", "报名编号,姓名,性别,年龄,状态,候补位次,名次,出勤,…"), refuses=[NoSuchActivity, NotAllowed],
    people=rows,
)  # fmt: skip
def export_sign_ups(look: Look, activity_id: UUID, query: dict[str, Any]) -> bytes:
    """Export who signed up, with answers, as CSV for a spreadsheet.

    与报名名单出自同一查询，全部行；UTF-8，WPS 和 Excel 可直接打开；每个报名问题一列。
    The rows of the list by the same query, all of them; UTF-8 that WPS and Excel open; a column for each question.
    """
    return exports.export_sign_ups(look, activity_id, query["state"])


@api.operation(
    "POST", "/activities/{activity_id}/sign-ups", access=staff, zh="代为报名", body=AddPersonIn, returns=AddedSignUpOut, status=201,
    refuses=[NoSuchActivity, NotAllowed, NoSuchPerson, WrongActivityState, ActivityOver, SignUpClosed, ActivityFull, PoolFull, QueueClosed, CreditTooLow, *_NOT_FOR_YOU], idempotent=True,
)  # fmt: skip
def add_person(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Sign somebody up as staff, also outside the sign-up window.

    已提交而待审核或未通过的报名，由此通过审核。An application, also one that was refused, is accepted by it.
    """
    return by_staff.add_person(work, activity_id, body["person_id"], body["answers"])


@api.operation(
    "POST", "/activities/{activity_id}/sign-up-imports", access=staff, zh="批量代为报名", body=SignUpImportIn, returns=SignUpImportOut,
    refuses=[NoSuchActivity, NotAllowed, WrongActivityState, ActivityOver], idempotent=True,
)  # fmt: skip
def import_sign_ups(work: Work, activity_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Sign many people up as staff, in the order given.

    逐人返回结果，规则与代为报名相同，待审核或未通过的报名由此通过；一人被拒不影响其他人，重复提交无副作用。
    A result for each person by the rules of signing up one, applications are accepted by it; who is refused keeps nobody else out, a
    repetition changes nothing.
    """
    return {"results": imports.import_people(work, activity_id, body["items"], language())}


@api.operation(
    "POST", "/activities/{activity_id}/sign-ups/{sign_up_id}/cancellation", access=staff, zh="取消某人的报名", body=ReasonIn,
    returns=StaffSignUpOut, refuses=[NoSuchActivity, NotAllowed, NoSuchSignUp, AlreadyCheckedIn, ActivityOver],
)  # fmt: skip
def cancel_sign_up(work: Work, activity_id: UUID, sign_up_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Cancel somebody's sign-up with a reason; the next in line is promoted."""
    return by_staff.cancel_for(work, activity_id, sign_up_id, body["reason"])


@api.operation(
    "POST", "/activities/{activity_id}/sign-ups/{sign_up_id}/excuse", access=staff, zh="登记请假", body=ReasonIn,
    returns=StaffSignUpOut, refuses=[NoSuchActivity, NotAllowed, NoSuchSignUp, SignUpNotConfirmed, AlreadyCheckedIn, WrongActivityState],
)  # fmt: skip
def excuse_sign_up(work: Work, activity_id: UUID, sign_up_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Note that somebody has a good reason not to come.

    开始前登记的，名额随即让出，由下一位递补；开始后只作记录。可安全重复。
    Before the start this frees the place for the next in line; after it, it is only noted. Safe to repeat.
    """
    return by_staff.excuse(work, activity_id, sign_up_id, body["reason"])
