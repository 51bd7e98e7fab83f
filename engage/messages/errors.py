"""Refusals of messages."""

from __future__ import annotations

from engage.core.errors import NotFound


class NoSuchMessage(NotFound):
    code = "no_such_message"
    zh, en = "没有这条消息。", "There is no such message."
