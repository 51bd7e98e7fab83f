"""Reads of the inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from engage.core.paging import Page, Pager, beyond
from engage.messages.models import Message, MessageKind, sentence

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from engage.core.db import Context
    from engage.core.errors import Language


def list_messages(look: Context, query: dict[str, Any], language: Language) -> Page:
    """Return the caller's messages in a language, newest first."""
    pager = Pager(look.settings, "messages", query)
    statement = select(Message.id, Message.kind, Message.params, Message.created_at, Message.read_at).where(
        *_mine(look)
    )
    after = pager.after()
    if after:
        statement = statement.where(beyond([Message.id], after, descending=True))
    rows = look.db.execute(statement.order_by(Message.id.desc()).limit(query["limit"] + 1)).all()
    return pager.page([_message(row, language) for row in rows], lambda item: [item["id"]])


def count_unread(look: Context) -> int:
    """Return how many of the caller's messages have not been read. One statement."""
    return look.db.scalar(select(func.count()).where(*_mine(look), Message.read_at.is_(None))) or 0


def _mine(look: Context) -> tuple[ColumnElement[bool], ...]:
    return (
        Message.person_id == look.actor.id,
        # While two versions of the service run side by side, the newer one may write kinds this one cannot tell.
        Message.kind.in_([kind.value for kind in MessageKind]),
    )


def _message(row: Any, language: Language) -> dict[str, Any]:
    kind = MessageKind(row.kind)
    return {
        "id": row.id,
        "kind": kind,
        "text": sentence(kind, row.params, language),
        "subject_kind": kind.subject,
        "subject_id": row.params[f"{kind.subject}_id"],
        "created_at": row.created_at,
        "read_at": row.read_at,
    }
