"""Sealing: entries get their place in the chain."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select

from engage.audit.models import BEGINNING, AuditLink, AuditUnsealed, hash_after
from engage.core.audit import AuditEntry

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from engage.core.db import Database

BATCH: Final = 500
_LOCK: Final = 0x656E67_6175646974  # one number for all workers: "eng", "audit"
_ENTRIES: Final[Any] = AuditEntry.__table__
_LINKS: Final[Any] = AuditLink.__table__

log = logging.getLogger("engage.audit")


def seal_due(database: Database) -> int:
    """Append a batch of entries that are committed and not in the chain yet; return how many.

    One writer at a time: whoever comes while another is at it leaves the rest to it. The new head is logged, so that a copy of the log
    that is kept elsewhere holds anchors.
    """
    with database.transaction() as session:
        sealed = _seal(session)
    if sealed:
        position, digest = sealed[-1]
        log.info("audit sealed", extra={"fields": {"position": position, "hash": digest.hex()}})
    return len(sealed)


def _seal(session: Session) -> list[tuple[int, bytes]]:
    # SQLite has one writing transaction at a time anyway. The lock comes first and alone: what is read then is seen as it is then.
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    if is_postgresql and not session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))):
        return []
    waiting = (
        select(_ENTRIES)
        .join(AuditUnsealed, AuditUnsealed.entry_id == _ENTRIES.c.id)
        .order_by(_ENTRIES.c.id)
        .limit(BATCH)
    )
    entries = session.execute(waiting).mappings().all()
    if not entries:
        return []
    head = select(AuditLink.position, AuditLink.hash).order_by(AuditLink.position.desc()).limit(1)
    position, digest = session.execute(head).one_or_none() or (0, BEGINNING)
    links = []
    for entry in entries:
        position, digest = position + 1, hash_after(digest, dict(entry))
        links.append({"position": position, "entry_id": entry["id"], "hash": digest})
    session.execute(insert(_LINKS), links)
    session.execute(
        delete(AuditUnsealed)
        .where(AuditUnsealed.entry_id.in_([link["entry_id"] for link in links]))
        .execution_options(synchronize_session=False)
    )
    return [(link["position"], link["hash"]) for link in links]
