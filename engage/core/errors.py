"""Refusals: every error a caller can meet, its stable code, its sentence in Chinese and English."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final, TypeVar


class Language(StrEnum):
    ZH = "zh"
    EN = "en"


@dataclass(frozen=True)
class Issue:
    """One fault of the input: where (JSON pointer, RFC 6901), a stable code, and values for its sentence."""

    pointer: str
    code: str
    params: dict[str, object] = field(default_factory=dict)

    def sentence(self, language: Language) -> str:
        zh, en = ISSUE_TEXTS[self.code]
        return (zh if language is Language.ZH else en).format(**self.params)


ISSUE_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "required": ("必填。", "This is required."),
    "null": ("不能为空值。", "This must not be null."),
    "unknown_field": ("没有这个字段。", "There is no such field."),
    "not_text": ("应为文字。", "This must be text."),
    "not_whole_number": ("应为整数。", "This must be a whole number."),
    "not_number": ("应为数字。", "This must be a number."),
    "not_boolean": ("应为 true 或 false。", "This must be true or false."),
    "not_list": ("应为列表。", "This must be a list."),
    "not_object": ("应为 JSON 对象。", "This must be a JSON object."),
    "not_json": ("不是有效的 JSON。", "This is not valid JSON."),
    "not_utf8": ("不是 UTF-8 编码。", "This is not encoded in UTF-8."),
    "byte_order_mark": (
        "开头有字节顺序标记（BOM），请去掉。",
        "There is a byte order mark at the beginning; leave it out.",
    ),
    "nested_too_deep": ("嵌套超过 {max} 层。", "This is nested deeper than {max} levels."),
    "name_twice": ("同一个对象中有重复的名称。", "A name is given twice in one object."),
    "number_out_of_range": (
        "有数字超出双精度浮点数的范围。",
        "A number is beyond the range of a double.",
    ),
    "half_surrogate": (
        "文字中有不成对的代理码（如 \\ud800）。",
        "A text holds half of a surrogate pair (such as \\ud800).",
    ),
    "not_id": ("不是有效的编号（UUID）。", "This is not a valid id (UUID)."),
    "not_date": ("应为日期，如 2026-10-01。", "This must be a date such as 2026-10-01."),
    "not_instant": (
        "应为带时区的时间，如 2026-10-01T15:01:00+08:00。",
        "This must be a time with offset such as 2026-10-01T15:01:00+08:00.",
    ),
    "not_point": ("应为“纬度,经度”，如 35.50,112.83。", "This must be “lat,lng” such as 35.50,112.83."),
    "not_clock_time": ("应为 24 小时制时刻，如 09:00。", "This must be a 24-hour time such as 09:00."),
    "not_choice": ("只能是：{choices}。", "This must be one of: {choices}."),
    "too_short": ("太短：至少 {min} 个。", "Too short: at least {min}."),
    "too_long": ("太长：最多 {max} 个。", "Too long: at most {max}."),
    "too_small": ("不能小于 {min}。", "This must not be less than {min}."),
    "too_large": ("不能大于 {max}。", "This must not be greater than {max}."),
    "bad_characters": ("含有不允许的字符。", "This contains characters that are not allowed."),
    "not_digits": (
        "应为数字，中间可以有空格、逗号或横线。",
        "This must be digits, with spaces, commas or dashes between them at most.",
    ),
    "bad_format": ("格式不对。", "This has the wrong format."),
    "not_unique": ("有重复。", "There are duplicates."),
    "bad_order": (
        "先后次序不对：{first} 应早于 {second}。",
        "Wrong order: {first} must come before {second}.",
    ),
    "too_soon_after": (
        "应至少比 {first} 晚 {minutes} 分钟。",
        "This must be at least {minutes} minutes after {first}.",
    ),
    "too_late_before": (
        "应至少比 {second} 早 {minutes} 分钟。",
        "This must be at least {minutes} minutes before {second}.",
    ),
    "sign_up_has_opened": (
        "报名已经开始，抽签的条件已定，开始时间不能再推后。",
        "Sign-up has opened, and with it the terms of the draw are settled; it cannot be made to open later.",
    ),
    "pools_unequal_capacity": (
        "各名额池合计 {sum}，应等于总名额 {capacity}。",
        "The pools add up to {sum}; they must equal the capacity of {capacity}.",
    ),
    "ranks_with_holes": (
        "名次应从 1 起连续（可并列），缺少第 {missing} 名。",
        "Ranks must run from 1 without holes (ties are allowed); {missing} is missing.",
    ),
    "no_public_source": (
        "本次抽签事先没有约定公开号码，不能填写。",
        "No public number was named beforehand for this draw, so none can be given.",
    ),
    "already_admitted": ("已有名额。", "This person has a place already."),
    "overlap": ("与另一个时段重叠。", "This overlaps another period."),
    "range_too_wide": ("范围太大：最多 {max} 天。", "The range is too wide: at most {max} days."),
    "outlasts_giver": (
        "不能超过您自己授权的期限，最晚到 {latest}。",
        "This must not outlast your own grant: {latest} at the latest.",
    ),
    "month_not_settled": (
        "各县汇总在月份结束一周后可看，目前最近的是 {latest}。",
        "The totals of a month are shown a week after its end; the latest so far is {latest}.",
    ),
    "bad_cursor": (
        "翻页标记无效，请从第一页重新读取。",
        "This cursor is not valid here; start again at the first page.",
    ),
    "no_such_division": ("没有这个行政区划。", "There is no such division."),
    "division_retired": ("这个行政区划已撤销。", "This division has been retired."),
    "division_outside": (
        "行政区划必须在上级组织的行政区划之内，并包含下级组织的行政区划。",
        "The division must lie within those of the organisations above, and contain those of the organisations below.",
    ),
    "wrong_division_level": (
        "行政区划级别不对，应为：{levels}。",
        "Wrong level of division; it must be: {levels}.",
    ),
    "no_such_object": ("没有这个对象，或您不能使用它。", "There is no such object, or you may not use it."),
    "depends_on": ("需要同时给出 {other}。", "This needs {other} beside it."),
    "not_together": ("不能与 {other} 同时给出。", "This cannot be given together with {other}."),
    "missing_answer": ("“{question}”必须回答。", "“{question}” must be answered."),
    "no_such_question": ("没有这道题。", "There is no such question."),
    "circular": ("上下级关系成环。", "This would stand above itself."),
    "too_deep": ("层级过深。", "There would be too many levels."),
    "scope_missing": ("这个 API 密钥没有权限范围 {scope}。", "This API key has no scope {scope}."),
    "invalid": ("无效。", "This is not valid."),
}

STATUS_TITLES: Final[dict[int, tuple[str, str]]] = {
    400: ("请求无法理解", "Bad Request"),
    401: ("需要登录", "Unauthorized"),
    403: ("没有权限", "Forbidden"),
    404: ("没有找到", "Not Found"),
    405: ("不支持的方法", "Method Not Allowed"),
    406: ("无法提供该格式", "Not Acceptable"),
    408: ("请求超时", "Request Timeout"),
    409: ("与当前状态冲突", "Conflict"),
    411: ("缺少长度", "Length Required"),
    412: ("内容已被修改", "Precondition Failed"),
    413: ("内容过大", "Content Too Large"),
    414: ("地址过长", "URI Too Long"),
    415: ("不支持的内容类型", "Unsupported Media Type"),
    416: ("范围无法满足", "Range Not Satisfiable"),
    422: ("输入有误", "Unprocessable Content"),
    428: ("缺少前提条件", "Precondition Required"),
    429: ("请求过于频繁", "Too Many Requests"),
    431: ("请求头过大", "Request Header Fields Too Large"),
    500: ("服务器内部错误", "Internal Server Error"),
    502: ("上游服务出错", "Bad Gateway"),
    503: ("暂时无法服务", "Service Unavailable"),
}


R = TypeVar("R")


class DomainError(Exception):
    """A refusal with a stable code. ``zh`` and ``en`` are sentences; ``{name}`` in them is filled from ``params``."""

    status: ClassVar[int]
    code: ClassVar[str]
    zh: ClassVar[str]
    en: ClassVar[str]
    retry_after: int | None = None

    def __init__(self, *issues: Issue, retry_after: int | None = None, **params: object) -> None:
        super().__init__(self.code)
        self.issues = issues
        self.params = params
        if retry_after is not None:
            self.retry_after = retry_after

    def sentence(self, language: Language) -> str:
        return (self.zh if language is Language.ZH else self.en).format(**self.params)

    def problem(self, language: Language, request_id: str) -> dict[str, object]:
        """Return the body of RFC 9457 in one language."""
        title_zh, title_en = STATUS_TITLES[self.status]
        body: dict[str, object] = {
            "type": f"urn:engage:problem:{self.code}",
            "title": title_zh if language is Language.ZH else title_en,
            "status": self.status,
            "detail": self.sentence(language),
            "code": self.code,
            "request_id": request_id,
        }
        if self.issues:
            body["errors"] = [
                {"pointer": issue.pointer, "code": issue.code, "detail": issue.sentence(language)}
                for issue in self.issues
            ]
        return body


def raised(outcome: R | DomainError) -> R:
    """Return an outcome, or raise it where it is a refusal: after the transaction, so that what was written of it stays."""
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


class BadRequest(DomainError):
    status = 400


class Unauthorised(DomainError):
    status = 401


class Forbidden(DomainError):
    status = 403


class NotFound(DomainError):
    status = 404


class Conflict(DomainError):
    status = 409


class Invalid(DomainError):
    status = 422


class TooMany(DomainError):
    status = 429


class Unavailable(DomainError):
    status = 503
    retry_after = 1


class BadGateway(DomainError):
    status = 502
    retry_after = 5


class InvalidJson(BadRequest):
    code = "invalid_json"
    zh, en = "请求内容无法按 JSON 读取，请按提示修改。", "The body cannot be read as JSON; see errors."


class MalformedRequest(BadRequest):
    code = "malformed_request"
    zh, en = "请求格式有误。", "The request is malformed."


class InvalidInput(Invalid):
    code = "invalid_input"
    zh, en = "输入有误，请按提示修改。", "Some of the input is not valid; see errors."


class NotLoggedIn(Unauthorised):
    code = "not_logged_in"
    zh, en = "请先登录。", "Please log in first."


class NotAllowed(Forbidden):
    code = "not_allowed"
    zh, en = "您没有权限执行此操作。", "You may not do this."


class NoSuchAddress(NotFound):
    code = "no_such_address"
    zh, en = "没有这个接口地址。", "There is nothing at this address."


class MethodNotAllowed(DomainError):
    status = 405
    code = "method_not_allowed"
    zh, en = "这个地址不支持该请求方法。", "This address does not support that method."


class BodyTooLarge(DomainError):
    status = 413
    code = "body_too_large"
    zh, en = "请求内容过大。", "The body is too large."


class UnsupportedMediaType(DomainError):
    status = 415
    code = "unsupported_media_type"
    zh, en = "请求内容的类型应为 application/json。", "The content type must be application/json."


class VersionRequired(DomainError):
    status = 428
    code = "version_required"
    zh, en = (
        "请在 If-Match 中给出您读到的版本（ETag）。",
        "Send the version that you read (its ETag) in If-Match.",
    )


class VersionConflict(DomainError):
    status = 412
    code = "version_conflict"
    zh, en = "内容已被他人修改，请重新读取后再试。", "Somebody changed this meanwhile; read it again first."


class StillRunning(Conflict):
    code = "still_running"
    zh, en = (
        "相同的请求仍在处理中，请稍后重试。",
        "The same request is still being processed; try again shortly.",
    )
    retry_after = 1


class KeyReused(Invalid):
    code = "idempotency_key_reused"
    zh, en = (
        "这个 Idempotency-Key 已用于另一个请求。",
        "This Idempotency-Key was used for a different request.",
    )


class ConflictingChange(Conflict):
    code = "conflicting_change"
    zh, en = (
        "与另一项修改冲突，请重新读取后再试。",
        "This conflicts with another change; read again and retry.",
    )


class DatabaseBusy(Unavailable):
    code = "database_busy"
    zh, en = "系统繁忙，请稍后重试。", "The service is busy; please try again shortly."


class RateLimited(TooMany):
    code = "rate_limited"
    zh, en = (
        "请求过于频繁，请 {seconds} 秒后再试。",
        "Too many requests; try again in {seconds} seconds.",
    )


class LockedOut(TooMany):
    code = "locked_out"
    zh, en = (
        "失败次数过多，已暂时锁定，请 {seconds} 秒后再试。",
        "Too many failed attempts: locked for now; try again in {seconds} seconds.",
    )


class InternalError(DomainError):
    status = 500
    code = "internal_error"
    zh, en = "服务器出现意外错误，请稍后重试。", "Something went wrong on the server; please try again later."


class HttpRefusal(DomainError):
    """Any other refusal of the HTTP layer (werkzeug), under a code made from its status."""

    def __init__(self, status: int) -> None:
        title_zh, title_en = STATUS_TITLES.get(status, STATUS_TITLES[400])
        self.status = status if status in STATUS_TITLES else 400  # type: ignore[misc]
        self.code = f"http_{self.status}"  # type: ignore[misc]
        self.zh, self.en = f"{title_zh}。", f"{title_en}."  # type: ignore[misc]
        super().__init__()
