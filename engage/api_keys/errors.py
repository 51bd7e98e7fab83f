"""Refusals of API keys."""

from __future__ import annotations

from engage.core.errors import Conflict, Forbidden, NotFound


class NoSuchApiKey(NotFound):
    code = "no_such_api_key"
    zh, en = "没有这个 API 密钥。", "There is no such API key."


class ScopeNotYours(Forbidden):
    code = "scope_not_yours"
    zh, en = (
        "您目前没有这项权限，不能授予密钥：{scope}。",
        "You do not hold this permission now, so a key cannot have it: {scope}.",
    )


class TooManyApiKeys(Conflict):
    code = "too_many_api_keys"
    zh, en = (
        "有效的 API 密钥最多 {max} 个，请先撤销不用的。",
        "You may have {max} API keys at a time; revoke one first.",
    )


class ApiKeyRevoked(Conflict):
    code = "api_key_revoked"
    zh, en = "这个 API 密钥已撤销，请新建。", "This API key has been revoked; make a new one."
