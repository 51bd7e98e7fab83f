"""Who calls: the only place that touches access tokens (flask-jwt-extended)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from flask import current_app
from flask_jwt_extended import JWTManager, create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import PyJWTError, get_unverified_header
from sqlalchemy import bindparam, select, true

from engage.core import clock
from engage.core.config import TokenAlgorithm
from engage.core.db import Nobody
from engage.core.errors import DomainError, NotLoggedIn
from engage.core.limits import PERSON
from engage.core.prepared import Prepared
from engage.core.replies import this_request
from engage.identity.access import refuse_inactive
from engage.identity.errors import (
    AccountClosed,
    AccountSuspended,
    ApiKeyNotTaken,
    SecondFactorMissing,
    SecondFactorRequired,
    SessionEnded,
    TokenExpired,
    TokenInvalid,
)
from engage.identity.models import AuthSession, Person
from engage.identity.queries import has_second_factor
from engage.identity.tokens.api_keys import PREFIX
from engage.identity.tokens.signing import Key, SigningKeys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from flask import Flask
    from sqlalchemy import Connection, Select
    from sqlalchemy.orm import Session
    from sqlalchemy.sql.selectable import TextualSelect

    from engage.core.config import Settings
    from engage.core.db import Database
    from engage.core.lockout import Gate
    from engage.identity.service import OpenSession

_ISSUER: Final = "engage"
_AUDIENCE: Final = "engage-api"
SIGNING_KEYS: Final = "engage.signing_keys"
# Verifying costs 150 us and more, parsing above all (docs/decisions.md). Only tokens that passed the full
# verification get into ``KeySet.verified``; expiry is compared on every use, the session is read on every use by member.load().
_CACHE_SIZE: Final = 4096
_MAX_HEADER_CHARS: Final = 4096
# Whoever runs behind shall take what another machine of ours has just signed: nobody signs for later, so nothing is gained
# by refusing it. The end of a token has no leeway.
_CLOCKS_DIFFER_BY: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a verified access token says: the person and the session it belongs to."""

    person_id: UUID
    session_id: UUID
    expires_at: float
    counted_as: tuple[str, str] = field(init=False)  # by the rate limits, at each use of the token

    def __post_init__(self) -> None:
        object.__setattr__(self, "counted_as", (PERSON, self.person_id.hex))


@dataclass(frozen=True, slots=True)
class _Signed:
    """Who a token is for, and the key that signs it: chosen once, for its header and for its signature."""

    person_id: str
    key: Key


@dataclass(frozen=True, slots=True)
class Member:
    """An active person with a live session or a good API key, read fresh for this request.

    ``scopes`` are the permissions that a key may use, by their names; None: everything the person may.
    """

    id: UUID
    session_id: UUID | None
    name: str | None
    birth_on: date | None
    hometown_code: str | None
    current_code: str | None
    scopes: frozenset[str] | None = None
    key_id: UUID | None = None
    privileged_until: datetime | None = None


def install(app: Flask, settings: Settings, database: Database) -> None:
    """Configure flask-jwt-extended with the signing keys of the database, the first of them derived from the settings."""
    app.config.update(
        JWT_ALGORITHM=settings.token_algorithm.value,
        JWT_DECODE_ALGORITHMS=[algorithm.value for algorithm in TokenAlgorithm],
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ENCODE_ISSUER=_ISSUER,
        JWT_DECODE_ISSUER=_ISSUER,
        JWT_ENCODE_AUDIENCE=_AUDIENCE,
        JWT_DECODE_AUDIENCE=_AUDIENCE,
        JWT_DECODE_LEEWAY=int(_CLOCKS_DIFFER_BY.total_seconds()),
    )
    manager = JWTManager(app)
    manager.user_identity_loader(lambda signed: signed.person_id)
    # The algorithm of the key, which may not be that of the settings any more.
    manager.additional_headers_loader(
        lambda signed: {"kid": signed.key.kid, "alg": signed.key.algorithm.value}
    )
    manager.encode_key_loader(lambda signed: signed.key.private)
    manager.decode_key_loader(_verifying)
    app.extensions[SIGNING_KEYS] = SigningKeys(database)


def _signing_keys() -> SigningKeys:
    keys: SigningKeys = current_app.extensions[SIGNING_KEYS]
    return keys


def _verifying(header: dict[str, Any], _claims: dict[str, Any]) -> Any:
    """Return what verifies a token. A key is good for its own algorithm alone, whatever the token says.

    Raises:
        TokenInvalid: there is no such key, or it has another algorithm.
        TokenExpired: the key was retired; whoever has a refresh token gets a token signed by another one.

    """
    key = _signing_keys().find(header.get("kid"))
    if key is None or header["alg"] != key.algorithm.value:
        raise TokenInvalid
    if not key.verifies(clock.now()):
        raise TokenExpired
    return key.public


def issue_access_token(person_id: UUID, session_id: UUID, life: timedelta) -> str:
    """Return a signed access token for a session, good for ``life`` by the service's clock."""
    claims = {"sid": str(session_id), "exp": int((clock.now() + life).timestamp())}
    signed = _Signed(str(person_id), _signing_keys().known().signer(clock.now()))
    token: str = create_access_token(identity=signed, additional_claims=claims)
    return token


def tokens_of(session: OpenSession, settings: Settings) -> dict[str, Any]:
    """Return what a client keeps of an open session: a fresh access token and the refresh token."""
    life = settings.access_token_life
    return {
        "access_token": issue_access_token(session.person_id, session.session_id, life),
        "refresh_token": session.refresh_token,
        "token_type": "Bearer",
        "expires_in": int(life.total_seconds()),
    }


def _verify(header: str) -> Identity:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or len(header) > _MAX_HEADER_CHARS:
        raise TokenInvalid
    if token.startswith(PREFIX):
        raise ApiKeyNotTaken
    try:
        # Expiry is left to _identity(): one comparison, for cached tokens too, by the service's own clock.
        claims = decode_token(token, allow_expired=True)
        identity = Identity(UUID(claims["sub"]), UUID(claims["sid"]), claims["exp"])
        named = get_unverified_header(token).get("kid")
    except (PyJWTError, JWTExtendedException, KeyError, ValueError, TypeError, RecursionError):
        # Deeply nested JSON: older versions of PyJWT let the RecursionError through.
        raise TokenInvalid from None
    if claims["type"] != "access":
        raise TokenInvalid
    _remember(header, identity, named)
    return identity


def _remember(header: str, identity: Identity, kid: str | None) -> None:
    """Keep a verified token beside the keys as they are now, unless its own was retired meanwhile or soon will be."""
    keys = _signing_keys().known()
    key = keys.keys.get(kid or keys.first)
    if key is None or (key.verifies_until and key.verifies_until.timestamp() < identity.expires_at):
        return
    if len(keys.verified) >= _CACHE_SIZE:
        keys.verified.clear()
    keys.verified[header] = identity


def _identity() -> Identity | None:
    header = this_request().environ.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    identity: Identity | None = _signing_keys().known().verified.get(header)
    if identity is None:
        identity = _verify(header)
    if identity.expires_at <= clock.now().timestamp():
        raise TokenExpired
    return identity


def shown() -> Identity | None:
    """Return who shows a good token where none is asked for: by whom the request is counted."""
    try:
        return _identity()
    except DomainError:
        return None


_WHO: Final[tuple[Any, ...]] = (
    Person.name,
    Person.birth_on,
    Person.hometown_code,
    Person.current_code,
    Person.status,
    AuthSession.ended_at,
    AuthSession.expires_at,
    AuthSession.privileged_until,
)
_MEMBER: Final = Prepared(
    select(*_WHO)
    .select_from(Person)
    .join(AuthSession, AuthSession.person_id == Person.id)
    .where(Person.id == bindparam("person_id"), AuthSession.id == bindparam("session_id"))
)


def who_beside(statement: TextualSelect | Select[Any]) -> Select[Any]:
    """Return the statement that reads who calls and, beside it, what another one finds, if anything: see ``Claim.member_beside``."""
    found = statement.subquery("found")
    return (
        select(*_WHO, *found.c)
        .select_from(Person)
        .join(AuthSession, AuthSession.person_id == Person.id)
        .outerjoin(found, true())
        .where(Person.id == bindparam("person_id"), AuthSession.id == bindparam("session_id"))
    )


def _member_of(claim: Claim, row: tuple[Any, ...] | None, now: datetime) -> Member:
    """Return who has shown a token, from their row of ``_WHO``.

    Raises:
        SessionEnded: there is no such session, or it has ended.
        AccountSuspended, AccountClosed: the account may not be used.

    """
    if row is None:
        raise SessionEnded
    name, birth_on, hometown, current, status, ended_at, expires_at, until = row
    refuse_inactive(status)
    if ended_at is not None or expires_at <= now:
        raise SessionEnded
    return Member(claim.id, claim.session_id, name, birth_on, hometown, current, None, None, until)


def require_privilege(actor: Member, db: Connection | Session, now: datetime) -> None:
    """Refuse whoever has not shown their second factor in this session a short while ago. Only a refusal costs a statement.

    Raises:
        SecondFactorRequired: they have one.
        SecondFactorMissing: they have none.

    """
    if actor.privileged_until is not None and actor.privileged_until > now:
        return
    settings: Settings = current_app.extensions["engage.settings"]
    if settings.second_factor:
        raise SecondFactorRequired if has_second_factor(db, actor.id) else SecondFactorMissing


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody who has shown a good token. Whether they are a member is to be read before anything is done for them."""

    id: UUID
    session_id: UUID

    def member(self, db: Connection | Session, now: datetime) -> Member:
        """Read who they are. One statement; raises as ``_member_of``."""
        return _member_of(self, _MEMBER.one_or_none(db, self._values()), now)

    def member_beside(
        self, db: Connection | Session, now: datetime, statement: Prepared[Any], values: Mapping[str, Any]
    ) -> tuple[Member, tuple[Any, ...]]:
        """Read who they are and what a statement made by ``who_beside`` finds, in one statement; raises as ``_member_of``."""
        row = statement.one_or_none(db, {**values, **self._values()})
        return _member_of(self, row and row[: len(_WHO)], now), row[len(_WHO) :] if row else ()

    def _values(self) -> dict[str, Any]:
        return {"person_id": self.id, "session_id": self.session_id}


PRIVILEGE_REFUSALS: Final[tuple[type[DomainError], ...]] = (SecondFactorRequired, SecondFactorMissing)


class _Member:
    """A person who has logged in, whose account is active and whose session has not ended."""

    name = "member"
    needs_privilege = False
    refusals: tuple[type[DomainError], ...] = (
        NotLoggedIn,
        TokenInvalid,
        TokenExpired,
        SessionEnded,
        AccountSuspended,
        AccountClosed,
        ApiKeyNotTaken,
    )
    gate: Gate | None = None

    def identify(self) -> Identity:
        identity = _identity()
        if identity is None:
            raise NotLoggedIn
        return identity

    def load(self, db: Connection | Session, identity: Identity, now: datetime) -> Member:
        return Claim(identity.person_id, identity.session_id).member(db, now)


class _Claimed(_Member):
    """A member, whom the use case itself reads with its first statement: for presses that come by the thousand."""

    def load(self, _db: Connection | Session, identity: Identity, _now: datetime) -> Any:
        return Claim(identity.person_id, identity.session_id)


class _PrivilegedMember(_Member):
    """A member who has just shown their second factor."""

    needs_privilege = True
    refusals: tuple[type[DomainError], ...] = (*_Member.refusals, *PRIVILEGE_REFUSALS)

    def load(self, db: Connection | Session, identity: Identity, now: datetime) -> Member:
        actor = super().load(db, identity, now)
        require_privilege(actor, db, now)
        return actor


class _Guest:
    """Everybody, for answers that depend on who asks: nobody, or a member in full, never somebody whose session ended.

    ``parameter``: only a request that gives it looks at who asks; any other is public, whatever it shows.
    """

    name = "guest"
    needs_privilege = False
    refusals: tuple[type[DomainError], ...] = tuple(
        refusal for refusal in _Member.refusals if refusal is not NotLoggedIn
    )
    gate: Gate | None = None

    def __init__(self, parameter: str | None = None) -> None:
        self.parameter = parameter

    def identify(self) -> Identity | None:
        if self.parameter is not None and self.parameter not in this_request().args:
            return None
        return _identity()

    def load(self, db: Connection | Session, identity: Identity | None, now: datetime) -> Member | Nobody:
        return Nobody() if identity is None else member.load(db, identity, now)


def guest_if(parameter: str) -> _Guest:
    """Return the access of an answer that depends on who asks only where the request gives a parameter."""
    return _Guest(parameter)


member: Final = _Member()
member_privileged: Final = _PrivilegedMember()
claimed: Final = _Claimed()
guest: Final = _Guest()
