"""Reads of API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from engage.core.paging import Page, Pager, beyond
from engage.identity.models import ApiKey
from engage.identity.tokens.api_keys import PREFIX

if TYPE_CHECKING:
    from engage.core.db import Context

_SHOWN: Final = (
    ApiKey.id,
    ApiKey.name,
    ApiKey.scopes,
    ApiKey.addresses,
    ApiKey.created_at,
    ApiKey.expires_at,
    ApiKey.last_used_at,
    ApiKey.previous_until,
    ApiKey.revoked_at,
)


def list_my_keys(look: Context, query: dict[str, Any]) -> Page:
    """Return the caller's keys, the newest first, revoked ones too. One statement."""
    pager = Pager(look.settings, "api-keys", query)
    statement = select(*_SHOWN, ApiKey.public_id).where(ApiKey.person_id == look.actor.id)
    after = pager.after()
    if after:
        statement = statement.where(beyond([ApiKey.id], after, descending=True))
    rows = look.db.execute(statement.order_by(ApiKey.id.desc()).limit(query["limit"] + 1)).all()
    return pager.page([shown(row) for row in rows], lambda item: [item["id"]])


def shown(key: Any) -> dict[str, Any]:
    """Return what a person sees of a key of theirs, given the key or a row of it."""
    values = {column.key: getattr(key, column.key) for column in _SHOWN}
    return {**values, "starts_with": f"{PREFIX}{key.public_id}"}
