"""JSON shapes of messages."""

from __future__ import annotations

from engage.core.schemas import Choice, Id, Instant, Out, Text, page_of
from engage.messages.models import MessageKind, SubjectKind


class MessageOut(Out):
    """``subject_kind`` and ``subject_id`` say what to open; ``text`` is in the language asked for."""

    id = Id(required=True, metadata={"example": "0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d"})
    kind = Choice(MessageKind, required=True, metadata={"example": "sign_up_promoted"})
    text = Text(
        4000,
        required=True,
        metadata={"example": "好消息：您已从候补递补为“青年夜校”的正式名额，10月1日19:30开始。"},
    )
    subject_kind = Choice(SubjectKind, required=True, metadata={"example": "activity"})
    subject_id = Id(required=True, metadata={"example": "0199f0c2-c1d4-7e21-8f0a-6b1c2d3e4f50"})
    created_at = Instant(required=True, metadata={"example": "2026-10-01T15:01:00+08:00"})
    read_at = Instant(required=True, allow_none=True, metadata={"example": None})


MessagePage = page_of(MessageOut, "MessagePage")
