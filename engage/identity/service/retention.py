"""What is deleted when its time is over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from engage.identity.models import AuthSession, LoginAttempt, LoginTicket, RefreshToken, SecondFactor

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

_ATTEMPT_KEPT: Final = timedelta(days=1)
_SESSION_KEPT: Final = timedelta(days=30)
_BEGUN_KEPT: Final = timedelta(days=1)
_PURGED_AT_ONCE: Final = 1000


def purge(session: Session, now: datetime) -> int:
    """Delete what is past its time: log-in attempts and tickets, used-up tokens, sessions, second factors begun and left; return how many rows.

    At most some thousand rows at a time, so that nobody waits long for the writer of a SQLite file.
    """
    statements = (
        delete(LoginAttempt).where(
            LoginAttempt.code_hash.in_(
                select(LoginAttempt.code_hash)
                .where(LoginAttempt.started_at <= now - _ATTEMPT_KEPT)
                .limit(_PURGED_AT_ONCE)
            )
        ),
        delete(LoginTicket).where(
            LoginTicket.id.in_(
                select(LoginTicket.id)
                .where(LoginTicket.expires_at <= now - _ATTEMPT_KEPT)
                .limit(_PURGED_AT_ONCE)
            )
        ),
        delete(RefreshToken).where(
            RefreshToken.token_hash.in_(
                select(RefreshToken.token_hash).where(RefreshToken.expires_at <= now).limit(_PURGED_AT_ONCE)
            )
        ),
        delete(AuthSession).where(
            AuthSession.id.in_(
                select(AuthSession.id)
                .where(AuthSession.expires_at <= now - _SESSION_KEPT)
                .limit(_PURGED_AT_ONCE)
            )
        ),
        delete(SecondFactor).where(
            SecondFactor.confirmed_at.is_(None),  # again: they may have confirmed it meanwhile
            SecondFactor.person_id.in_(
                select(SecondFactor.person_id)
                .where(SecondFactor.confirmed_at.is_(None), SecondFactor.begun_at <= now - _BEGUN_KEPT)
                .limit(_PURGED_AT_ONCE)
            ),
        ),
    )
    deleted = 0
    for statement in statements:
        result = session.execute(statement.execution_options(synchronize_session=False))
        deleted += result.rowcount  # type: ignore[attr-defined]
    return deleted
