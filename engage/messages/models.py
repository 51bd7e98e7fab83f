"""The outbox, written in the transaction it reports, and the inbox the worker fills from it."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.clock import SHANGHAI
from engage.core.db import Base, Entity
from engage.core.errors import Language

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class MessageKind(StrEnum):
    """What a message tells; its parameters are the placeholders of its sentence, and the id of its subject."""

    SIGN_UP_CONFIRMED = "sign_up_confirmed"
    SIGN_UP_WAITLISTED = "sign_up_waitlisted"
    SIGN_UP_PROMOTED = "sign_up_promoted"
    PLACE_OFFERED = "place_offered"
    OFFER_EXPIRED = "offer_expired"
    QUEUE_CLOSED = "queue_closed"
    DRAW_WON = "draw_won"
    DRAW_LOST = "draw_lost"
    APPLICATION_ACCEPTED = "application_accepted"
    APPLICATION_WAITLISTED = "application_waitlisted"
    APPLICATION_REFUSED = "application_refused"
    APPLICATION_NOT_DECIDED = "application_not_decided"
    DRAW_NOT_HELD = "draw_not_held"
    SIGN_UP_CANCELLED_BY_STAFF = "sign_up_cancelled_by_staff"
    PLACE_WITHDRAWN = "place_withdrawn"
    PLACE_LOST = "place_lost"
    ACTIVITY_CANCELLED = "activity_cancelled"
    ACTIVITY_CHANGED = "activity_changed"
    HOURS_AWARDED = "hours_awarded"
    HOURS_MADE_UP = "hours_made_up"
    HOURS_REVERSED = "hours_reversed"
    HOURS_WITHDRAWN = "hours_withdrawn"
    ACTIVITY_REOPENED = "activity_reopened"
    CREDIT_ABSENT = "credit_absent"
    CREDIT_LATE = "credit_late"
    CREDIT_LATE_CANCEL = "credit_late_cancel"
    CREDIT_APPEAL_UPHELD = "credit_appeal_upheld"
    CREDIT_APPEAL_DISMISSED = "credit_appeal_dismissed"
    ENCLAVE_APPLICATION_RECEIVED = "enclave_application_received"
    ENCLAVE_APPLICATION_APPROVED = "enclave_application_approved"
    ENCLAVE_APPLICATION_REJECTED = "enclave_application_rejected"
    FINDING_WRITTEN = "finding_written"
    FINDING_ANSWERED = "finding_answered"
    FINDING_CLOSED = "finding_closed"
    SESSION_STOLEN = "session_stolen"
    SECOND_FACTOR_ENROLLED = "second_factor_enrolled"
    SECOND_FACTOR_REMOVED = "second_factor_removed"
    SECOND_FACTOR_RESET = "second_factor_reset"
    SECOND_FACTOR_LOCKED = "second_factor_locked"
    RECOVERY_CODE_USED = "recovery_code_used"
    RECOVERY_CODES_RENEWED = "recovery_codes_renewed"
    ROLE_GIVEN = "role_given"
    ROLE_ENDED = "role_ended"
    WEB_LOG_IN = "web_log_in"

    @property
    def subject(self) -> SubjectKind:
        """What the message is about, so that a client can open it."""
        begins = self.value.partition("_")[0]
        return _SUBJECTS.get(begins, SubjectKind.ACTIVITY)

    @property
    def parameters(self) -> frozenset[str]:
        """Every parameter that must be given: the id of the subject, such as ``activity_id``, and those of the sentences."""
        return frozenset({f"{self.subject}_id", *_PLACEHOLDER.findall(_SENTENCES[self][0])})


class SubjectKind(StrEnum):
    ACTIVITY = "activity"
    BRANCH = "branch"
    FINDING = "finding"
    SESSION = "session"
    ACCOUNT = "account"  # the reader's own
    ROLE_GRANT = "role_grant"


# By the first word of a kind; all others are about an activity.
_SUBJECTS: Final = {
    "enclave": SubjectKind.BRANCH,
    "finding": SubjectKind.FINDING,
    "session": SubjectKind.SESSION,
    "web": SubjectKind.SESSION,
    "second": SubjectKind.ACCOUNT,
    "recovery": SubjectKind.ACCOUNT,
    "role": SubjectKind.ROLE_GRANT,
}
# Values are put in when a message is read, in the reader's language; those named ``…_at`` are ISO 8601 instants, ``role`` is that of a grant.
_SENTENCES: Final[dict[MessageKind, tuple[str, str]]] = {
    MessageKind.SIGN_UP_CONFIRMED: (
        "您已成功报名“{title}”，{starts_at}开始，请准时参加。",
        "You have a place in “{title}”. It starts at {starts_at}.",
    ),
    MessageKind.SIGN_UP_WAITLISTED: (
        "您已进入“{title}”的候补队列；轮到您时会自动递补并通知您。",
        "You are on the waiting list of “{title}”; you will be told when a place is yours.",
    ),
    MessageKind.SIGN_UP_PROMOTED: (
        "好消息：您已从候补递补为“{title}”的正式名额，{starts_at}开始。",
        "Good news: a place in “{title}” is now yours. It starts at {starts_at}.",
    ),
    MessageKind.PLACE_OFFERED: (
        "“{title}”空出一个名额，为您保留到{expires_at}，请在此之前确认；逾期将顺延给下一位。",
        "A place in “{title}” is kept for you until {expires_at}. Please accept it by then, or it goes to the next.",
    ),
    MessageKind.OFFER_EXPIRED: (
        "为您保留的“{title}”名额已过期，已顺延给下一位；您可以重新报名，排在队尾。",
        "The place in “{title}” kept for you has gone to the next. You may sign up again, at the end of the queue.",
    ),
    MessageKind.QUEUE_CLOSED: (
        "“{title}”的候补已截止，没有轮到您，很抱歉；现场如有空位，可到场登记。",
        "The waiting list of “{title}” has closed before it was your turn. There may still be places at the door.",
    ),
    MessageKind.DRAW_WON: (
        "抽签结果：“{title}”抽中了您，{starts_at}开始，请准时参加。",
        "The draw gave you a place in “{title}”. It starts at {starts_at}.",
    ),
    MessageKind.DRAW_LOST: (
        "抽签结果：您暂未获得“{title}”的名额，候补位次是第 {number} 位；轮到您时会递补并通知您。",
        "The draw of “{title}” made you number {number} on the waiting list; you will be told when a place is yours.",
    ),
    MessageKind.APPLICATION_ACCEPTED: (
        "您对“{title}”的报名已通过审核，{starts_at}开始，请准时参加。",
        "Your application for “{title}” has been accepted. It starts at {starts_at}.",
    ),
    MessageKind.APPLICATION_WAITLISTED: (
        "您对“{title}”的报名已通过审核，目前候补，位次是第 {number} 位；轮到您时会自动递补并通知您。",
        "Your application for “{title}” has been accepted; you are number {number} on the waiting list and will be told when a place is yours.",
    ),
    MessageKind.APPLICATION_REFUSED: (
        "很抱歉，您对“{title}”的报名未通过审核，原因：{reason}",
        "We are sorry: your application for “{title}” was not accepted. Reason: {reason}",
    ),
    MessageKind.APPLICATION_NOT_DECIDED: (
        "很抱歉，“{title}”的报名审核已经截止，主办方未能及时审核您的报名，报名已自动取消；如有疑问，请联系活动工作人员。",
        "We are sorry: nobody decided on your application for “{title}” in time, and it has ended. Please ask its staff if in doubt.",
    ),
    MessageKind.DRAW_NOT_HELD: (
        "很抱歉，“{title}”未能按时抽签，您的报名已自动取消；如有疑问，请联系活动工作人员。",
        "We are sorry: the draw of “{title}” was not held in time, and your entry has ended. Please ask its staff if in doubt.",
    ),
    MessageKind.SIGN_UP_CANCELLED_BY_STAFF: (
        "您对“{title}”的报名已被工作人员取消，原因：{reason}",
        "Staff cancelled your sign-up for “{title}”. Reason: {reason}",
    ),
    MessageKind.PLACE_WITHDRAWN: (
        "很抱歉，“{title}”的名额减少，您的名额转为候补，排在候补队列前面；有名额时会自动递补并通知您。",
        "We are sorry: “{title}” has fewer places now, and yours has become a turn near the head of the waiting list.",
    ),
    MessageKind.PLACE_LOST: (
        "很抱歉，“{title}”的安排有变，您的名额未能保留，候补也已截止；现场如有空位，可到场登记。",
        "We are sorry: “{title}” has changed, your place could not be kept and its waiting list has closed. There may still be places at the door.",
    ),
    MessageKind.ACTIVITY_CANCELLED: (
        "很抱歉，您报名的“{title}”已取消，原因：{reason}",
        "We are sorry: “{title}” has been cancelled. Reason: {reason}",
    ),
    MessageKind.ACTIVITY_CHANGED: (
        "您报名的“{title}”有变动，现为{starts_at}开始，请查看详情。",
        "“{title}” has changed; it now starts at {starts_at}. Please look at the details.",
    ),
    MessageKind.HOURS_AWARDED: (
        "您参加“{title}”的服务时长 {minutes} 分钟已记入，可在“我的时长”中查看。",
        "{minutes} minutes of service for “{title}” are now on your record.",
    ),
    MessageKind.HOURS_MADE_UP: (
        "已为您补录“{title}”的服务时长 {minutes} 分钟，原因：{reason}",
        "{minutes} minutes of service for “{title}” were added to your record by staff. Reason: {reason}",
    ),
    MessageKind.HOURS_REVERSED: (
        "您在“{title}”的服务时长 {minutes} 分钟已被撤销，原因：{reason}；如有疑问，请联系活动工作人员。",
        "{minutes} minutes of service for “{title}” were taken off your record; ask its staff if in doubt. Reason: {reason}",
    ),
    MessageKind.HOURS_WITHDRAWN: (
        "后来收到的签到签退记录显示，您在“{title}”的在场时间未达到要求，{minutes} 分钟服务时长不再计入；如有疑问，请联系活动工作人员。",
        "Check-ins and check-outs received later show that you were not at “{title}” for long enough: its {minutes} minutes of service no longer count; ask its staff if in doubt.",
    ),
    MessageKind.ACTIVITY_REOPENED: (
        "“{title}”恢复举办，{starts_at}开始，您的报名仍然有效；来不了请取消。说明：{reason}",
        "“{title}” takes place after all, at {starts_at}. Your sign-up holds; cancel if you cannot come. Why: {reason}",
    ),
    MessageKind.CREDIT_ABSENT: (
        "您报名了“{title}”但没有到场，扣信用分{points}分。如有异议，请在{appeal_until_at}前到“我的信用”申诉。",
        "You did not come to “{title}”: {points} credit points are lost. You can appeal until {appeal_until_at}.",
    ),
    MessageKind.CREDIT_LATE: (
        "您参加“{title}”时迟到，扣信用分{points}分。如有异议，请在{appeal_until_at}前到“我的信用”申诉。",
        "You came late to “{title}”: {points} credit points are lost. You can appeal until {appeal_until_at}.",
    ),
    MessageKind.CREDIT_LATE_CANCEL: (
        "您在请假截止后才取消“{title}”的名额，扣信用分{points}分。如有异议，请在{appeal_until_at}前到“我的信用”申诉。",
        "You left “{title}” too late: {points} credit points are lost. You can appeal until {appeal_until_at}.",
    ),
    MessageKind.CREDIT_APPEAL_UPHELD: (
        "您就“{title}”扣分提出的申诉成立，所扣分数已恢复。说明：{reason}",
        "Your appeal about “{title}” was upheld and the points are yours again. Note: {reason}",
    ),
    MessageKind.CREDIT_APPEAL_DISMISSED: (
        "您就“{title}”扣分提出的申诉未获支持，扣分不变。原因：{reason}",
        "Your appeal about “{title}” was not upheld; the points stay lost. Reason: {reason}",
    ),
    MessageKind.ENCLAVE_APPLICATION_RECEIVED: (
        "“{branch_name}”收到一份新的加入申请，请处理。",
        "Somebody has applied to join “{branch_name}”; please decide.",
    ),
    MessageKind.ENCLAVE_APPLICATION_APPROVED: (
        "您加入“{branch_name}”的申请已通过，欢迎！",
        "Your application to join “{branch_name}” has been approved. Welcome!",
    ),
    MessageKind.ENCLAVE_APPLICATION_REJECTED: (
        "您加入“{branch_name}”的申请未通过，原因：{reason}",
        "Your application to join “{branch_name}” was not approved. Reason: {reason}",
    ),
    MessageKind.FINDING_WRITTEN: (
        "“{about}”有一条新的督查意见，请查看；需要答复的，请及时答复。",
        "There is a new finding about “{about}”. Please read it, and answer it where it asks for an answer.",
    ),
    MessageKind.FINDING_CLOSED: (
        "关于“{about}”的督查意见已办结或撤回。",
        "The finding about “{about}” has been closed.",
    ),
    MessageKind.FINDING_ANSWERED: (
        "您就“{about}”写的督查意见已有答复，请查看。",
        "Your finding about “{about}” has been answered; please read the answer.",
    ),
    MessageKind.SESSION_STOLEN: (
        "安全提醒：您{logged_in_at}的登录凭证被重复使用，可能已被他人获取，我们已将该登录退出。请到“登录设备”查看，退出不认识的设备。",
        "Security: your log-in of {logged_in_at} was used twice, so somebody else may have it; it has been ended. Look at your sessions and end those you do not know.",
    ),
    MessageKind.SECOND_FACTOR_ENROLLED: (
        "安全提醒：您的账号已启用二次验证。如非本人操作，请退出其他登录设备，并联系管理员。",
        "Security: a second factor was enrolled for your account. If that was not you, end your other sessions and tell an administrator.",
    ),
    MessageKind.SECOND_FACTOR_REMOVED: (
        "安全提醒：您的账号已移除二次验证。如非本人操作，请退出其他登录设备，并联系管理员。",
        "Security: the second factor of your account was removed. If that was not you, end your other sessions and tell an administrator.",
    ),
    MessageKind.SECOND_FACTOR_RESET: (
        "安全提醒：管理员已重置您的二次验证，请重新启用。如非您本人申请，请联系管理员。",
        "Security: an administrator reset your second factor; please enrol again. If you did not ask for it, tell an administrator.",
    ),
    MessageKind.SECOND_FACTOR_LOCKED: (
        "安全提醒：您的账号连续输错验证码，{until_at}前不能再试。如非本人操作，请退出不认识的登录设备。",
        "Security: wrong codes were entered for your account; none is taken until {until_at}. If that was not you, end the sessions you do not know.",
    ),
    MessageKind.RECOVERY_CODE_USED: (
        "安全提醒：您的一个恢复码已被使用，还剩 {left} 个。如非本人操作，请退出其他登录设备，并联系管理员。",
        "Security: one of your recovery codes was used; {left} are left. If that was not you, end your other sessions and tell an administrator.",
    ),
    MessageKind.RECOVERY_CODES_RENEWED: (
        "安全提醒：您的恢复码已全部更换，旧的不再有效。如非本人操作，请退出其他登录设备，并联系管理员。",
        "Security: your recovery codes were replaced; the old ones are void. If that was not you, end your other sessions and tell an administrator.",
    ),
    MessageKind.ROLE_GIVEN: (
        "您在“{place}”获得了新的角色：{role}，{starts_at}起生效。授予理由：{reason}",
        "You have been given the role of {role} at “{place}”, from {starts_at} on. Reason: {reason}",
    ),
    MessageKind.ROLE_ENDED: (
        "您在“{place}”的{role}角色已被收回。理由：{reason}",
        "Your role of {role} at “{place}” has been ended. Reason: {reason}",
    ),
    MessageKind.WEB_LOG_IN: (
        "您的账号于{logged_in_at}通过扫码在网页登录，设备：{device}。如非本人操作，请立即到“登录设备”退出该登录。",
        "Your account was logged in on a web page by QR code at {logged_in_at}; device: {device}. If this was not you, end that session at once under “sessions”.",
    ),
}
_WORDS_OF_ROLES: Final = {
    "platform_admin": ("平台管理员", "platform administrator"),
    "officer": ("团干部", "League officer"),
    "analyst": ("统计员", "analyst"),
    "branch_secretary": ("支部书记", "branch secretary"),
    "hub_manager": ("站点管理员", "hub manager"),
    "delegate": ("团代表", "delegate"),
    "inspector": ("督查员", "inspector"),
    "auditor": ("审计员", "auditor"),
}


def sentence(kind: MessageKind, params: dict[str, str], language: Language) -> str:
    """Return the text of a message for a person."""
    zh, en = _SENTENCES[kind]
    chinese = language is Language.ZH
    return (zh if chinese else en).format_map(
        {name: _word(name, value, chinese=chinese) for name, value in params.items()}
    )


def _word(name: str, value: str, *, chinese: bool) -> str:
    if name == "role":
        zh, en = _WORDS_OF_ROLES.get(value, (value, value))
        return zh if chinese else en
    return _time(value, chinese=chinese) if name.endswith("_at") else value


def _time(value: str, *, chinese: bool) -> str:
    at = datetime.fromisoformat(value).astimezone(SHANGHAI)
    if chinese:
        return f"{at.month}月{at.day}日{at:%H:%M}"
    return f"{at:%H:%M} on {at.day} {_MONTHS[at.month - 1]}"


class OutboxEntry(Base):
    """Something to tell a person. ``params`` holds ids, titles and times, never contact data."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_due",
            "available_at",
            postgresql_where=text("delivered_at IS NULL"),
            sqlite_where=text("delivered_at IS NULL"),
        ),
    )
    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    kind: Mapped[str] = mapped_column(String(40))
    params: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    available_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    delivered_at: Mapped[datetime | None]


class Message(Entity):
    """A message in a person's inbox."""

    __tablename__ = "message"
    __table_args__ = (
        Index("ix_message_person_id_id", "person_id", "id"),
        Index("uq_message_outbox_seq", "outbox_seq", unique=True),
    )
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    outbox_seq: Mapped[int] = mapped_column(
        BigInteger
    )  # a delivery repeated after a crash makes no second message
    kind: Mapped[str] = mapped_column(String(40))
    params: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
