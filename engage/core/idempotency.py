"""Idempotency-Key: the first answer of a creating POST is kept for 24 hours and given again."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Index, LargeBinary, String, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from engage.core import audit
from engage.core.db import Base
from engage.core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    InvalidInput,
    Issue,
    KeyReused,
    NotAllowed,
    StillRunning,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engage.core.db import Work
    from engage.core.http import Operation

KEPT_FOR: Final = timedelta(hours=24)
MAX_KEY_CHARS: Final = 255


class IdempotentAnswer(Base):
    """The stored answer: written in the transaction whose effect it reports, so neither exists without the other."""

    __tablename__ = "idempotent_answer"
    __table_args__ = (Index("ix_idempotent_answer_created_at", "created_at"),)
    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))
    status: Mapped[int]
    location: Mapped[str | None] = mapped_column(String(500))
    body: Mapped[bytes]
    created_at: Mapped[datetime]


def check_key(key: str) -> None:
    """Refuse an unusable key.

    Raises:
        InvalidInput: empty, too long, or not printable ASCII.

    """
    if not 1 <= len(key) <= MAX_KEY_CHARS:
        raise InvalidInput(Issue("/Idempotency-Key", "too_long", {"max": MAX_KEY_CHARS}))
    if not (key.isascii() and key.isprintable()):
        raise InvalidInput(Issue("/Idempotency-Key", "bad_characters"))


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """Return what makes two requests the same one."""
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), body))).digest()


def earlier_answer(work: Work, key: str, request_print: bytes) -> IdempotentAnswer | None:
    """Return the answer given before under this key, or None after reserving the key for this transaction.

    Raises:
        StillRunning: the same key is being processed by another connection.
        KeyReused: the key was used for a different request.

    """
    key_hash = hashlib.sha256(key.encode()).digest()
    _reserve(work.session, work.actor.id, key_hash)
    kept = work.session.scalars(
        select(IdempotentAnswer).where(
            IdempotentAnswer.person_id == work.actor.id,
            IdempotentAnswer.key_hash == key_hash,
            IdempotentAnswer.created_at > work.now - KEPT_FOR,
        )
    ).one_or_none()
    if kept is not None and kept.fingerprint != request_print:
        raise KeyReused
    return kept


def _reserve(session: Session, person_id: UUID, key_hash: bytes) -> None:
    if session.get_bind().dialect.name != "postgresql":
        return  # SQLite runs one writing transaction at a time: the second one finds the answer
    number = int.from_bytes(hashlib.sha256(person_id.bytes + key_hash).digest()[:8], signed=True)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(number))):
        raise StillRunning


def ask_again(operation: Operation, work: Work, arguments: Mapping[str, Any], kept: IdempotentAnswer) -> None:
    """Make sure that staff may still be given what was answered before, and leave an entry.

    The use case itself knows what right it takes, so it is gone through once more and undone. That it has been done already, or is too late now,
    is why the answer was kept.

    Raises:
        NotAllowed: they might not do it any more.
        NotFound, InvalidInput: what it is about, or names, is gone or not theirs to use any more.

    """
    try:
        with work.rehearsal():
            operation.view(work, **arguments)
    except (Conflict, Forbidden, Invalid, IntegrityError) as refusal:
        if isinstance(refusal, NotAllowed | InvalidInput):
            raise
    made = UUID(orjson.loads(kept.body)["id"]) if kept.status == HTTPStatus.CREATED else None
    audit.record_use(operation, work.session, work.now, work.actor, arguments, made, result=audit.REPEATED)


def keep_answer(
    work: Work, key: str, request_print: bytes, status: int, location: str | None, body: bytes
) -> None:
    """Store the answer in the running transaction."""
    key_hash = hashlib.sha256(key.encode()).digest()
    work.session.merge(
        IdempotentAnswer(
            person_id=work.actor.id,
            key_hash=key_hash,
            fingerprint=request_print,
            status=status,
            location=location,
            body=body,
            created_at=work.now,
        )
    )
    work.session.flush()


def purge(session: Session, now: datetime) -> int:
    """Delete answers past their time; return how many."""
    result = session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at <= now - KEPT_FOR))
    return int(result.rowcount)  # type: ignore[attr-defined]
