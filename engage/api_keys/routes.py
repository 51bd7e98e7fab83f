"""Operations of API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.api_keys import queries, service
from engage.api_keys.errors import ApiKeyRevoked, NoSuchApiKey, ScopeNotYours, TooManyApiKeys
from engage.api_keys.schemas import ApiKeyIn, ApiKeyPage, ApiKeyRotationIn, NewApiKeyOut
from engage.core.http import Api
from engage.core.schemas import PageQuery
from engage.identity.caller import member
from engage.orgs.caller import staff_privileged

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Look, Work
    from engage.core.paging import Page

api: Final = Api("API 密钥 · API keys")


@api.operation("GET", "/me/api-keys", access=member, zh="我的 API 密钥", query=PageQuery, returns=ApiKeyPage)
def list_my_api_keys(look: Look, query: dict[str, Any]) -> Page:
    """List my API keys, the newest first."""
    return queries.list_my_keys(look, query)


@api.operation(
    "POST", "/me/api-keys", access=staff_privileged, zh="新建 API 密钥", body=ApiKeyIn, returns=NewApiKeyOut, status=201,
    refuses=[ScopeNotYours, TooManyApiKeys],
)  # fmt: skip
def create_api_key(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Make an API key for a script of mine.

    密钥只显示这一次，以 `Authorization: Bearer engage_…` 使用，只能读取，且不超过您当下的权限。不支持 Idempotency-Key：回复丢失时请撤销后重建。

    The key is shown this once. A script sends it as `Authorization: Bearer engage_…`; it reads, within its scopes, what I myself may read at
    that moment. There is no `Idempotency-Key`, because the answer is kept nowhere: if it is lost, revoke the key and make another.
    """
    return service.create_key(work, body)


@api.operation(
    "POST", "/me/api-keys/{key_id}/rotation", access=staff_privileged, zh="轮换 API 密钥", body=ApiKeyRotationIn,
    returns=NewApiKeyOut, refuses=[NoSuchApiKey, ApiKeyRevoked, ScopeNotYours],
)  # fmt: skip
def rotate_api_key(work: Work, key_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Give an API key another secret and more time; the old secret stays good for some hours."""
    return service.rotate_key(work, key_id, body["overlap_hours"], body["valid_days"])


@api.operation(
    "DELETE", "/me/api-keys/{key_id}", access=member, zh="撤销 API 密钥", refuses=[NoSuchApiKey], audited=True
)
def revoke_api_key(work: Work, key_id: UUID) -> None:
    """Revoke an API key of mine at once."""
    service.revoke_key(work, key_id)
