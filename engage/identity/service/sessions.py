"""Sessions and the refresh tokens that keep them alive."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, update

from engage.core import audit
from engage.core.crypto import keyed_hash, sha256, url_token
from engage.core.errors import DomainError, raised
from engage.identity.access import inactive
from engage.identity.errors import NoSuchSession, RefreshTokenInvalid, RefreshTokenReused, SessionEnded
from engage.identity.models import AuthSession, LoginMethod, Person, RefreshToken, SessionEnd
from engage.identity.queries import live_sessions
from engage.identity.service.notices import Notice, tell

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from engage.core.config import Settings
    from engage.core.db import Errand, Work

REFRESH_GRACE: Final = timedelta(seconds=30)

log = logging.getLogger("engage.identity")


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A live session, and the refresh token that its client holds now."""

    person_id: UUID
    session_id: UUID
    refresh_token: str


def first_token(settings: Settings, code: str, session_id: UUID) -> str:
    """Return the refresh token that a session begins with; ``code`` is the secret that whoever logs in has shown."""
    # Derived, not drawn: a repeated request gets the same token although only its hash is stored.
    return url_token(keyed_hash(settings.key("refresh-token"), f"first:{session_id}:{code}"))


def _next_token(settings: Settings, token: str) -> str:
    return url_token(keyed_hash(settings.key("refresh-token"), f"next:{token}"))


def lives_until(work: Work, created_at: datetime, method: LoginMethod = LoginMethod.WECHAT) -> datetime:
    """Return when a session ends that is used now and not again: it slides on with each use, but not for ever.

    That of a web page ends much sooner: the machine may be shared, and whoever sits down next finds what was left open.
    """
    settings = work.settings
    if method is LoginMethod.QR:
        return min(work.now + settings.web_idle_life, created_at + settings.web_session_life)
    return min(work.now + settings.refresh_token_life, created_at + settings.session_life)


def stored(work: Work, token: str, session_id: UUID, expires_at: datetime) -> RefreshToken:
    """Return the row of a refresh token issued now."""
    return RefreshToken(
        token_hash=sha256(token), session_id=session_id, issued_at=work.now, expires_at=expires_at
    )


def refresh(errand: Errand, token: str) -> OpenSession:
    """Exchange a refresh token for its successor; the session lives on from now.

    A used token gives the same successor again for 30 seconds, because the answer may have been lost or two requests
    may have left together. After that, or once the successor itself was used, two parties hold the session's tokens:
    it is ended, the person is told, and that stays although the request is refused.

    Raises:
        RefreshTokenInvalid: unknown or expired.
        RefreshTokenReused: used before; the session has been ended.
        SessionEnded: logged out, or ended for reuse earlier.
        AccountSuspended: stopped by staff.
        AccountClosed: closed by its owner.

    """
    with errand.work() as work:
        outcome = _rotate(work, token)
    return raised(outcome)


def _rotate(work: Work, token: str) -> OpenSession | DomainError:
    row = work.session.execute(
        select(RefreshToken.expires_at, RefreshToken.replaced_at, AuthSession.ended_at)
        .add_columns(AuthSession.id, AuthSession.person_id, AuthSession.created_at, AuthSession.method)
        .add_columns(Person.status)
        .join(AuthSession, AuthSession.id == RefreshToken.session_id)
        .join(Person, Person.id == AuthSession.person_id)
        .where(RefreshToken.token_hash == sha256(token))
        .with_for_update(of=RefreshToken)
    ).one_or_none()
    if row is None or row.expires_at <= work.now:
        return RefreshTokenInvalid()
    refusal = inactive(row.status)
    if refusal is not None:
        audit.record_refusal(work.session, work.now, "refresh", row.person_id, refusal, session_id=row.id)
        return refusal
    if row.ended_at is not None:
        return SessionEnded()
    successor = _next_token(work.settings, token)
    if row.replaced_at is None:
        expires_at = lives_until(work, row.created_at, row.method)
        if expires_at <= work.now:  # the setting was lowered meanwhile
            return RefreshTokenInvalid()
        _replace(work, token, successor, row.id, expires_at)
    elif work.now - row.replaced_at > REFRESH_GRACE or _is_used(work, successor):
        audit.watch(work.session)
        end_session(work, row.id, SessionEnd.REFRESH_REUSED)
        since = row.created_at.isoformat()
        tell(work, row.person_id, Notice.SESSION_STOLEN, row.id, logged_in_at=since)
        log.warning("refresh token reused", extra={"fields": {"session": str(row.id)}})
        of_thief = OpenSession(row.person_id, row.id, token)
        audit.record(work.session, work.now, "refresh", actor=of_thief, result=RefreshTokenReused.code)
        return RefreshTokenReused()
    return OpenSession(row.person_id, row.id, successor)


def _replace(work: Work, token: str, successor: str, session_id: UUID, expires_at: datetime) -> None:
    work.session.execute(
        update(RefreshToken).where(RefreshToken.token_hash == sha256(token)).values(replaced_at=work.now)
    )
    work.session.add(stored(work, successor, session_id, expires_at))
    work.session.execute(
        update(AuthSession)
        .where(AuthSession.id == session_id)
        .values(expires_at=expires_at, refreshed_at=work.now)
    )
    work.session.flush()


def _is_used(work: Work, token: str) -> bool:
    replaced_at = select(RefreshToken.replaced_at).where(RefreshToken.token_hash == sha256(token))
    return work.session.scalar(replaced_at) is not None


def end_sessions(work: Work, reason: SessionEnd | None, *which: ColumnElement[bool]) -> int:
    """End those of some sessions that have not ended: their refresh tokens and their access tokens stop at once; return how many."""
    ended = work.session.scalars(
        update(AuthSession)
        .where(AuthSession.ended_at.is_(None), *which)
        .values(ended_at=work.now, end_reason=reason)
        .returning(AuthSession.id)
        .execution_options(synchronize_session=False)
    ).all()
    after = {"ended_at": work.now, "end_reason": reason}
    for session_id in ended:
        audit.changed(work, AuthSession.__tablename__, session_id, before={}, after=after)
    return len(ended)


def end_session(work: Work, session_id: UUID, reason: SessionEnd) -> None:
    """End a session, unless it has ended."""
    end_sessions(work, reason, AuthSession.id == session_id)


def end_own_session(work: Work, session_id: UUID) -> None:
    """End a session of the caller, be it this one.

    Raises:
        NoSuchSession: there is none that is live, or it is somebody else's.

    """
    if not end_sessions(work, SessionEnd.LOGGED_OUT, AuthSession.id == session_id, *live_sessions(work)):
        raise NoSuchSession


def end_other_sessions(work: Work) -> None:
    """End every session of the caller but the one that asks."""
    end_sessions(work, SessionEnd.LOGGED_OUT, AuthSession.id != work.actor.session_id, *live_sessions(work))
