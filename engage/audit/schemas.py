"""JSON shapes of the audit log."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError, validates_schema

from engage.core.audit import MAX_CHANGES, MAX_VALUE_CHARS
from engage.core.logging import REQUEST_ID
from engage.core.schemas import (
    Fault,
    Flag,
    Id,
    Inner,
    Instant,
    Listed,
    Out,
    PageQuery,
    Query,
    Text,
    Whole,
    ordered,
    page_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_ADDRESS_CHARS: Final = 45
_ID: Final = "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"
_MAX_POSITION: Final = 2**53 - 1
_NO_ID: Final[dict[str, Any]] = {"required": True, "allow_none": True, "metadata": {"example": None}}


class Address(Text):
    """The address of a machine as the log has it, IPv4 or IPv6; no network."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_MAX_ADDRESS_CHARS, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            ip_address(text)
        except ValueError:
            raise ValidationError(Fault("bad_format")) from None
        return text


class AuditExportQuery(Query):
    actor_id = Id(load_default=None, metadata={"description": "操作人 · who"})
    object_id = Id(
        load_default=None, metadata={"description": "对象或对象之内 · the object, or what is inside one"}
    )
    action = Text(
        64,
        load_default=None,
        metadata={"description": "操作名 · operation or command", "example": "cancel_activity"},
    )
    result = Text(
        64,
        load_default=None,
        metadata={
            "description": "done、repeated（重复提交，给出原来的回答）或拒绝代码 · done, repeated (under its key, and answered as before), or the code of a refusal",
            "example": "not_allowed",
        },
    )
    request_id = Text(
        64,
        8,
        pattern=REQUEST_ID,
        load_default=None,
        metadata={
            "description": "请求编号，即回答头 X-Request-Id · the X-Request-Id of the answer",
            "example": "0199f0c2b7a07c3f9f5d2f7a1c3e5b7d",
        },
    )
    address = Address(
        load_default=None, metadata={"description": "来源地址 · where it came from", "example": "10.0.0.7"}
    )
    session_id = Id(load_default=None, metadata={"description": "一次登录 · one log-in", "example": _ID})
    api_key_id = Id(
        load_default=None,
        metadata={"description": "代其操作的密钥 · the key that acted for them", "example": _ID},
    )
    from_at = Instant(data_key="from", load_default=None, metadata={"example": "2026-10-01T00:00:00+08:00"})
    until_at = Instant(data_key="until", load_default=None, metadata={"example": "2026-11-01T00:00:00+08:00"})

    @validates_schema
    def _check_range(self, data: Mapping[str, Any], **_: Any) -> None:
        ordered({"from": data.get("from_at"), "until": data.get("until_at")}, "from", "until")


class AuditEntriesQuery(AuditExportQuery, PageQuery):
    pass


class AuditChangeOut(Out):
    """A changed field. Where ``shown`` is false the values are personal or free text, and it only says that they changed."""

    object = Text(64, required=True, metadata={"example": "activity"})
    id = Text(100, required=True, metadata={"example": _ID})
    field = Text(64, required=True, metadata={"example": "capacity"})
    shown = Flag(required=True, metadata={"example": True})
    before = Text(MAX_VALUE_CHARS, 0, required=True, allow_none=True, metadata={"example": "20"})
    after = Text(MAX_VALUE_CHARS, 0, required=True, allow_none=True, metadata={"example": "30"})


class AuditEntryOut(Out):
    """One use of a right. ``position`` is its place in the chain; while ``sealed`` is false, for seconds, it has none yet."""

    id = Id(required=True, metadata={"example": _ID})
    occurred_at = Instant(required=True, metadata={"example": "2026-10-01T15:01:00+08:00"})
    actor_id = Id(
        required=True,
        allow_none=True,
        metadata={"example": _ID, "description": "空：命令行 · null: the command line"},
    )
    api_key_id = Id(**_NO_ID)
    session_id = Id(**_NO_ID)
    action = Text(64, required=True, metadata={"example": "edit_activity"})
    object_kind = Text(40, required=True, allow_none=True, metadata={"example": "activities"})
    object_id = Id(required=True, allow_none=True, metadata={"example": _ID})
    part_id = Id(**_NO_ID)
    result = Text(64, required=True, metadata={"example": "done"})
    people = Whole(
        required=True,
        allow_none=True,
        metadata={
            "example": None,
            "description": "读到多少人的个人信息 · of how many people personal data was shown",
        },
    )
    request_id = Text(
        64, required=True, allow_none=True, metadata={"example": "0199f0c2b7a07c3f9f5d2f7a1c3e5b7d"}
    )
    address = Text(_MAX_ADDRESS_CHARS, required=True, allow_none=True, metadata={"example": "10.0.0.7"})
    purpose = Text(200, required=True, allow_none=True, metadata={"example": None})
    changes = Listed(Inner(AuditChangeOut), MAX_CHANGES, required=True)
    changes_omitted = Whole(
        required=True,
        metadata={
            "example": 0,
            "description": "超出上限、未列出的变更数 · changes beyond the limit, not listed",
        },
    )
    position = Whole(high=_MAX_POSITION, required=True, allow_none=True, metadata={"example": 1024})
    sealed = Flag(required=True, metadata={"example": True})


AuditEntryPage = page_of(AuditEntryOut, "AuditEntryPage")
