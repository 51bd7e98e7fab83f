"""Operations of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.core.http import Api
from engage.core.replies import language
from engage.core.schemas import PageQuery
from engage.identity.caller import member
from engage.messages import queries, service
from engage.messages.errors import NoSuchMessage
from engage.messages.schemas import MessagePage

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("消息 · Messages")


@api.operation("GET", "/me/messages", access=member, zh="我的消息", query=PageQuery, returns=MessagePage)
def list_my_messages(look: Look, query: dict[str, Any]) -> Page:
    """List my messages, newest first."""
    return queries.list_messages(look, query, language())


@api.operation(
    "POST", "/me/messages/{message_id}/read", access=member, zh="标记消息为已读", refuses=[NoSuchMessage]
)
def mark_message_read(work: Work, message_id: UUID) -> None:
    """Mark a message as read; again changes nothing."""
    service.mark_read(work, message_id)
