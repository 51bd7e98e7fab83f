"""JSON shapes of API keys."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from engage.api_keys.models import MAX_ADDRESSES, MAX_DAYS, MAX_OVERLAP_HOURS, Scope
from engage.core.schemas import Choice, Fault, Id, In, Instant, Listed, Out, Text, Whole, page_of
from engage.identity.models import MAX_KEY_NAME_CHARS

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_NETWORK_CHARS = 43
_DAYS = {"example": 90, "description": "有效天数，从现在起 · days from now on that it is good for"}
_KEY = "engage_k3v9q2m7x4c8p1t6_Zk3vYh8QmT2xWc6Rb9LfPs4NdGj7UaE10qMIsy"


class Network(Text):
    """An address or a network in CIDR, IPv4 or IPv6."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_MAX_NETWORK_CHARS, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return str(ip_network(text))
        except ValueError:
            raise ValidationError(Fault("bad_format")) from None


class ApiKeyIn(In):
    name = Text(
        MAX_KEY_NAME_CHARS,
        required=True,
        metadata={"example": "月报脚本", "description": "用途，便于辨认 · what it is for"},
    )
    scopes = Listed(
        Choice(Scope, metadata={"example": "read_figures"}), len(Scope), 1, unique=True, required=True
    )
    addresses = Listed(
        Network(metadata={"example": "203.0.113.0/24"}),
        MAX_ADDRESSES,
        unique=True,
        load_default=list,
        metadata={
            "description": "只能从这些网段使用；空表示不限 · networks (CIDR) that it may be used from; none: anywhere"
        },
    )
    valid_days = Whole(1, MAX_DAYS, load_default=90, metadata=_DAYS)


class ApiKeyRotationIn(In):
    overlap_hours = Whole(
        0,
        MAX_OVERLAP_HOURS,
        load_default=24,
        metadata={
            "example": 24,
            "description": "旧密钥继续可用的小时数 · hours for which the old one stays good",
        },
    )
    valid_days = Whole(1, MAX_DAYS, load_default=90, metadata=_DAYS)


class ApiKeyOut(Out):
    """``starts_with`` tells keys apart; the key itself is shown once. ``last_used_at`` is exact to ten minutes."""

    id = Id(required=True, metadata={"example": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"})
    name = Text(MAX_KEY_NAME_CHARS, required=True, metadata={"example": "月报脚本"})
    starts_with = Text(23, required=True, metadata={"example": "engage_k3v9q2m7x4c8p1t6"})
    scopes = Listed(Choice(Scope, metadata={"example": "read_figures"}), len(Scope), required=True)
    addresses = Listed(Network(metadata={"example": "203.0.113.0/24"}), MAX_ADDRESSES, required=True)
    created_at = Instant(required=True, metadata={"example": "2026-10-01T15:01:00+08:00"})
    expires_at = Instant(required=True, metadata={"example": "2026-12-30T15:01:00+08:00"})
    last_used_at = Instant(required=True, allow_none=True, metadata={"example": "2026-10-08T02:00:00+08:00"})
    previous_until = Instant(required=True, allow_none=True, metadata={"example": None})
    revoked_at = Instant(required=True, allow_none=True, metadata={"example": None})


class NewApiKeyOut(ApiKeyOut):
    """``key`` is shown now and never again: only its hash is kept."""

    key = Text(62, 62, required=True, metadata={"example": _KEY})


ApiKeyPage = page_of(ApiKeyOut, "ApiKeyPage")
