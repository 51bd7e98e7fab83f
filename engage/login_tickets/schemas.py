"""JSON shapes of log-in on a web page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from marshmallow import validates_schema

from engage.core.schemas import Choice, Flag, Id, In, Inner, Instant, Out, Text, Whole, invalid
from engage.identity.models import MAX_DEVICE_CHARS
from engage.identity.schemas import TokensOut
from engage.login_tickets.models import NUMBER_DIGITS, TicketStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID: Final = "5f0c2f5e-7a1b-4c3d-9e8f-0a1b2c3d4e5f"
_SECRET: Final = "q0V3cYb1hDk7xZ2mT9sLwE4uRfJ8nPaG5iOo6vBtCyM"  # noqa: S105 - an example
_MAX_IMAGE_CHARS: Final = 20_000


class NewLoginTicketOut(Out):
    """``secret`` stays in the page that asked; ``text`` is what the QR code in ``image`` (SVG in a data URI) says."""

    id = Id(required=True, metadata={"example": _ID})
    secret = Text(43, 43, required=True, metadata={"example": _SECRET})
    number = Text(
        NUMBER_DIGITS,
        NUMBER_DIGITS,
        required=True,
        metadata={
            "example": "47",
            "description": "显示在网页上，由本人输入手机 · shown on the page, typed on the phone",
        },
    )
    text = Text(
        300, required=True, metadata={"example": f"https://engage.example.cn/console/scan?ticket={_ID}"}
    )
    image = Text(
        _MAX_IMAGE_CHARS, required=True, metadata={"example": "data:image/svg+xml;charset=utf-8,%3Csvg/%3E"}
    )
    expires_in = Whole(required=True, metadata={"example": 120, "description": "秒 · seconds"})


class LoginTicketOut(Out):
    """What is asking. ``device`` is of the page, in known words, null where it is not known."""

    id = Id(required=True, metadata={"example": _ID})
    device = Text(MAX_DEVICE_CHARS, required=True, allow_none=True, metadata={"example": "Windows · Edge"})
    status = Choice(TicketStatus, required=True, metadata={"example": "pending"})
    created_at = Instant(required=True, metadata={"example": "2026-10-01T15:01:00+08:00"})
    expires_at = Instant(required=True, metadata={"example": "2026-10-01T15:03:00+08:00"})


class LoginDecisionIn(In):
    accept = Flag(required=True, metadata={"example": True})
    number = Text(
        NUMBER_DIGITS,
        NUMBER_DIGITS,
        pattern="[0-9]+",
        load_default=None,
        allow_none=True,
        metadata={
            "example": "47",
            "description": "网页上显示的数字；同意时必填 · the number that the page shows; needed to accept",
        },
    )

    @validates_schema
    def _check_number(self, data: Mapping[str, Any], **_: Any) -> None:
        if data.get("accept") and data.get("number") is None:
            raise invalid("depends_on", "accept", other="number")


class LoginTicketSecretIn(In):
    secret = Text(43, 43, pattern="[A-Za-z0-9_-]+", required=True, metadata={"example": _SECRET})


class LoginOutcomeOut(Out):
    """``tokens`` are there when ``status`` is ``used``, for half a minute; null otherwise."""

    status = Choice(TicketStatus, required=True, metadata={"example": "used"})
    tokens = Inner(TokensOut, required=True, allow_none=True)
