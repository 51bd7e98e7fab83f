"""Callers with a role: a member, or the script of one with an API key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from flask import current_app
from sqlalchemy import bindparam, literal, or_, select, update

from engage.core.crypto import sha256
from engage.core.errors import NotAllowed
from engage.core.limits import KEY
from engage.core.lockout import By, Gate
from engage.core.prepared import Prepared
from engage.core.replies import this_request
from engage.identity.access import refuse_inactive
from engage.identity.caller import PRIVILEGE_REFUSALS, Claim, Member, member, require_privilege, who_beside
from engage.identity.errors import (
    ApiKeyExpired,
    ApiKeyInvalid,
    ApiKeyNotTaken,
    ApiKeyReadsOnly,
    ApiKeyWrongAddress,
)
from engage.identity.models import ApiKey, Person
from engage.identity.tokens.api_keys import PREFIX, is_from, is_secret, public_id_of
from engage.orgs.access import LATER, holds_a_role

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from engage.core.db import Database
    from engage.core.errors import DomainError
    from engage.identity.caller import Identity

_NOTED_EVERY: Final = timedelta(minutes=10)


@dataclass(slots=True)
class ShownKey:
    """An API key as it was sent; whose it is, is known once its secret was found right, also where the key is then refused."""

    public_id: str
    digest: bytes
    address: str | None
    person_id: UUID | None = None
    key_id: UUID | None = None

    @property
    def counted_as(self) -> tuple[str, str]:
        """By the whole key: who knows only its beginning counts on their own account."""
        return KEY, self.digest.hex()


# Who calls, and beside it whether they hold some role: one statement for both.
_STAFF: Final = Prepared(
    who_beside(select(literal(1).label("holds")).where(holds_a_role(LATER.actor.id, LATER.now)))
)
_OWNER: Final[Any] = Person.id
_OF_KEY: Final = Prepared(
    select(
        ApiKey.id,
        ApiKey.secret_hash,
        ApiKey.previous_hash,
        ApiKey.previous_until,
        ApiKey.scopes,
        ApiKey.addresses,
        ApiKey.expires_at,
        ApiKey.revoked_at,
        ApiKey.last_used_at,
        holds_a_role(_OWNER, LATER.now),
        *(Person.id, Person.status, Person.name, Person.birth_on, Person.hometown_code, Person.current_code),
    )
    .join(Person, Person.id == ApiKey.person_id)
    .where(ApiKey.public_id == bindparam("public_id"))
)
_KEY_REFUSALS: Final[tuple[type[DomainError], ...]] = (
    ApiKeyInvalid,
    ApiKeyExpired,
    ApiKeyWrongAddress,
    ApiKeyReadsOnly,
)


def _owner_of(shown: ShownKey, db: Connection | Session, now: datetime) -> Member:
    """Return whom an API key stands for. One statement, and rarely one that notes its use.

    Raises:
        ApiKeyInvalid: there is no such key, its secret is another one, or it was revoked.
        ApiKeyExpired: its time is over.
        ApiKeyWrongAddress: it may not be used from there.
        AccountSuspended, AccountClosed: its owner's account may not be used.
        NotAllowed: its owner holds no role any more.

    """
    row = _OF_KEY.one_or_none(db, {"public_id": shown.public_id, "now": now})
    if row is None:
        raise ApiKeyInvalid
    key_id, current, previous, until, scopes, addresses, expires_at, revoked_at, used_at, holds = row[:10]
    if not is_secret(shown.digest, current, previous, until, now):
        raise ApiKeyInvalid
    # Whoever has the secret is no stranger: what they are refused from here on is an entry of the audit log and counts for the key.
    person_id, status, name, birth_on, hometown_code, current_code = row[10:]
    shown.person_id, shown.key_id = person_id, key_id
    if revoked_at is not None:
        raise ApiKeyInvalid
    if expires_at <= now:
        raise ApiKeyExpired
    if not is_from(shown.address, addresses):
        raise ApiKeyWrongAddress
    refuse_inactive(status)
    if used_at is None or used_at <= now - _NOTED_EVERY:
        _note_use(db, key_id, now)
    if not holds:
        raise NotAllowed
    reach = frozenset(scopes)
    return Member(person_id, None, name, birth_on, hometown_code, current_code, scopes=reach, key_id=key_id)


def _note_use(db: Connection | Session, key_id: UUID, now: datetime) -> None:
    database: Database = current_app.extensions["engage.database"]
    not_noted = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - _NOTED_EVERY)
    with database.atomic():
        db.execute(update(ApiKey).where(ApiKey.id == key_id, not_noted).values(last_used_at=now))


def _shown_key() -> ShownKey | None:
    """Return the API key that this request shows, None where it shows something else or nothing.

    Raises:
        ApiKeyInvalid: it cannot be one of ours.
        ApiKeyReadsOnly: it was sent to change something.

    """
    asked = this_request()
    scheme, _, text = asked.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not text.startswith(PREFIX):
        return None
    public_id = public_id_of(text)
    if public_id is None:
        raise ApiKeyInvalid
    if asked.method not in ("GET", "HEAD"):
        raise ApiKeyReadsOnly
    return ShownKey(public_id, sha256(text), asked.remote_addr)


class _InPerson:
    """A member who holds some role now; on what, the use case asks. No key stands for them."""

    name = "staff"
    needs_privilege = False
    refusals: tuple[type[DomainError], ...] = (*member.refusals, NotAllowed)
    gate: Gate | None = None

    def identify(self) -> Identity | ShownKey:
        return member.identify()

    def load(self, db: Connection | Session, identity: Identity | ShownKey, now: datetime) -> Member:
        if isinstance(identity, ShownKey):
            return _owner_of(identity, db, now)
        claim = Claim(identity.person_id, identity.session_id)
        actor, found = claim.member_beside(db, now, _STAFF, {"me": claim.id, "now": now})
        if found[0] is None:
            raise NotAllowed
        return actor


class _Staff(_InPerson):
    """The same, or their script: for reading, a key of theirs does as well."""

    refusals: tuple[type[DomainError], ...] = (
        *(refusal for refusal in _InPerson.refusals if refusal is not ApiKeyNotTaken),
        *_KEY_REFUSALS,
    )
    gate: Gate | None = Gate("api_key", By.ADDRESS, (ApiKeyInvalid,), lets_good_pass=True)

    def identify(self) -> Identity | ShownKey:
        return _shown_key() or member.identify()


class _Privileged(_InPerson):
    """Staff who have just shown their second factor: for giving roles, files with people in them, and keys.

    A script never does: an API key has no session. Whatever will show contact data of a minor names this one.
    """

    needs_privilege = True
    refusals: tuple[type[DomainError], ...] = (*_InPerson.refusals, *PRIVILEGE_REFUSALS)

    def load(self, db: Connection | Session, identity: Identity | ShownKey, now: datetime) -> Member:
        actor = super().load(db, identity, now)
        require_privilege(actor, db, now)
        return actor


staff: Final = _Staff()
staff_in_person: Final = _InPerson()
staff_privileged: Final = _Privileged()
