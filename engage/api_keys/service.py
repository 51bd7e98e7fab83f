"""Making, replacing and revoking API keys."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, select

from engage.api_keys.errors import ApiKeyRevoked, NoSuchApiKey, ScopeNotYours, TooManyApiKeys
from engage.api_keys.models import MAX_KEYS
from engage.api_keys.queries import shown
from engage.identity.models import ApiKey, Person
from engage.identity.tokens.api_keys import new_key
from engage.orgs.access import Permission, held_with
from engage.orgs.models import RoleGrant

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from engage.core.db import Work

log = logging.getLogger("engage.api_keys")


def create_key(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Make a key for the caller; what is returned is the only place where it stands whole.

    Raises:
        ScopeNotYours: the caller holds no role that gives this permission.
        TooManyApiKeys: the caller has as many that are good as one may have.

    """
    _require_held(work, body["scopes"])
    # Held until the end, so that two requests do not both find room for the last one.
    work.session.execute(select(Person.id).where(Person.id == work.actor.id).with_for_update(key_share=True))
    good = (ApiKey.person_id == work.actor.id, ApiKey.revoked_at.is_(None), ApiKey.expires_at > work.now)
    if (work.session.scalar(select(func.count()).where(*good)) or 0) >= MAX_KEYS:
        raise TooManyApiKeys(max=MAX_KEYS)
    made = new_key()
    key = ApiKey(
        person_id=work.actor.id,
        name=body["name"],
        public_id=made.public_id,
        secret_hash=made.digest,
        scopes=[scope.value for scope in body["scopes"]],
        addresses=body["addresses"],
        created_at=work.now,
        expires_at=work.now + timedelta(days=body["valid_days"]),
    )
    work.session.add(key)
    work.session.flush()
    _note(work, "api key made", key.id)
    return {**shown(key), "key": made.text}


def _require_held(work: Work, scopes: Iterable[str]) -> None:
    for scope in scopes:
        held = exists(select(RoleGrant.id).where(held_with(work, Permission(scope))))
        if not work.session.scalar(select(held)):
            raise ScopeNotYours(scope=scope)


def rotate_key(work: Work, key_id: UUID, overlap_hours: int, valid_days: int) -> dict[str, Any]:
    """Give a key of the caller another secret and more time; the secret that scripts have stays good for a while.

    Done again meanwhile, perhaps because an answer was lost, it is the secret made last that goes, not the one in use.

    Raises:
        NoSuchApiKey: there is none, or it is somebody else's.
        ApiKeyRevoked: it was revoked.
        ScopeNotYours: the caller does not hold any more what the key is good for.

    """
    key = _own_key(work, key_id)
    if key.revoked_at is not None:
        raise ApiKeyRevoked
    _require_held(work, key.scopes)
    made = new_key(key.public_id)
    ends_at = key.previous_until
    if ends_at is None or ends_at <= work.now:
        key.previous_hash, ends_at = key.secret_hash, key.expires_at
    key.previous_until = min(work.now + timedelta(hours=overlap_hours), ends_at)
    key.secret_hash = made.digest
    key.expires_at = work.now + timedelta(days=valid_days)
    work.session.flush()
    _note(work, "api key rotated", key.id)
    return {**shown(key), "key": made.text}


def revoke_key(work: Work, key_id: UUID) -> None:
    """Let a key of the caller be good for nothing from now on; again changes nothing.

    Raises:
        NoSuchApiKey: there is none, or it is somebody else's.

    """
    key = _own_key(work, key_id)
    if key.revoked_at is None:
        key.revoked_at = work.now
        work.session.flush()
        _note(work, "api key revoked", key_id)


def _own_key(work: Work, key_id: UUID) -> ApiKey:
    """Return a key of the caller, held until the end."""
    key: ApiKey | None = work.session.scalar(
        select(ApiKey).where(ApiKey.id == key_id, ApiKey.person_id == work.actor.id).with_for_update()
    )
    if key is None:
        raise NoSuchApiKey
    return key


def _note(work: Work, what: str, key_id: UUID) -> None:
    log.info(what, extra={"fields": {"key": str(key_id), "person": str(work.actor.id)}})
