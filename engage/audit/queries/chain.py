"""Whether the log is what it was: every hash again, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import func, select

from engage.audit.models import BEGINNING, AuditLink, AuditUnsealed, hash_after
from engage.core.audit import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

PAGE: Final = 1000
MAX_FINDINGS: Final = 100
# The worker seals every two seconds. Until it does, an entry can be deleted without a trace together with its row of the queue.
LATE: Final = timedelta(minutes=1)
_ENTRIES: Final[Any] = AuditEntry.__table__


class Wrong(StrEnum):
    LINK_MISSING = "link_missing"  # positions run from 1 without holes
    ENTRY_MISSING = "entry_missing"  # its link is there, or what says that it waits for one
    ALTERED = "altered"  # the entry or its place is not what was sealed
    NOT_CHAINED = "not_chained"  # neither in the chain nor waiting for it
    NOT_AS_EXPECTED = "not_as_expected"  # an anchor kept elsewhere says otherwise


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and where."""

    wrong: Wrong
    position: int | None
    entry_id: UUID | None = None


@dataclass(slots=True)
class Verdict:
    """What was looked at, what is wrong, and the head, which is the next anchor. ``waiting_since``: as the function returns it."""

    position: int = 0
    hash: bytes = BEGINNING
    unsealed: int = 0
    waiting_since: datetime | None = None
    wrong: int = 0
    findings: list[Finding] = field(default_factory=list)

    def find(self, wrong: Wrong, position: int | None, entry_id: UUID | None = None) -> None:
        """Count a finding, and keep the first ones."""
        self.wrong += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(wrong, position, entry_id))


def verify(
    db: Connection, anchors: Mapping[int, bytes], since: tuple[int, bytes] = (0, BEGINNING)
) -> Verdict:
    """Recompute the chain from its beginning and look for entries outside it; ``anchors`` are hashes by position that must be met.

    ``since`` is a head up to which the log was verified before and perhaps taken away: nothing up to there is looked at.
    A wrong link is told once: the next is computed from the hash that stands there.
    """
    verdict = Verdict(*since, waiting_since=waiting_since(db))
    left = dict(anchors)
    for link in _links(db, since[0]):
        for missing in range(
            verdict.position + 1, min(link["position"], verdict.position + 1 + MAX_FINDINGS)
        ):
            verdict.find(Wrong.LINK_MISSING, missing)
        if link["id"] is None:
            verdict.find(Wrong.ENTRY_MISSING, link["position"], link["entry_id"])
        elif hash_after(verdict.hash, link) != link["hash"]:
            verdict.find(Wrong.ALTERED, link["position"], link["entry_id"])
        verdict.position, verdict.hash = link["position"], link["hash"]
        if left.pop(verdict.position, verdict.hash) != verdict.hash:
            verdict.find(Wrong.NOT_AS_EXPECTED, verdict.position, link["entry_id"])
    for position in sorted(left):
        verdict.find(Wrong.NOT_AS_EXPECTED, position)
    for entry_id, position, is_waiting in _entries(db):
        verdict.unsealed += is_waiting
        if position is None and not is_waiting:
            verdict.find(Wrong.NOT_CHAINED, None, entry_id)
    for entry_id in _lost(db):
        verdict.find(Wrong.ENTRY_MISSING, None, entry_id)
    return verdict


def waiting_since(db: Connection) -> datetime | None:
    """Return when the oldest entry was written that has no place in the chain yet; None where none waits."""
    statement = select(func.min(AuditEntry.occurred_at)).join(
        AuditUnsealed, AuditUnsealed.entry_id == AuditEntry.id
    )
    return db.scalar(statement)


def _links(db: Connection, after: int) -> Iterator[Any]:
    link = AuditLink.__table__.c
    statement = select(link.position, link.entry_id, link.hash, *_ENTRIES.c)
    statement = statement.select_from(AuditLink).outerjoin(_ENTRIES, _ENTRIES.c.id == link.entry_id)
    while page := db.execute(
        statement.where(link.position > after).order_by(link.position).limit(PAGE)
    ).mappings().all():  # fmt: skip
        yield from page
        after = page[-1]["position"]


def _entries(db: Connection) -> Iterator[Any]:
    """Yield every entry with its position, and whether it waits for one: in one statement, for the worker moves them."""
    statement = (
        select(AuditEntry.id, AuditLink.position, AuditUnsealed.entry_id.is_not(None))
        .outerjoin(AuditLink, AuditLink.entry_id == AuditEntry.id)
        .outerjoin(AuditUnsealed, AuditUnsealed.entry_id == AuditEntry.id)
        .order_by(AuditEntry.id)
        .limit(PAGE)
    )
    page = db.execute(statement).all()
    while page:
        yield from page
        page = db.execute(statement.where(AuditEntry.id > page[-1][0])).all()


def _lost(db: Connection) -> Iterator[UUID]:
    """Yield what was to get a place and is not there any more. It never gets one, so its row stays and tells."""
    statement = (
        select(AuditUnsealed.entry_id)
        .outerjoin(AuditEntry, AuditEntry.id == AuditUnsealed.entry_id)
        .where(AuditEntry.id.is_(None))
        .order_by(AuditUnsealed.entry_id)
        .limit(PAGE)
    )
    page = db.scalars(statement).all()
    while page:
        yield from page
        page = db.scalars(statement.where(AuditUnsealed.entry_id > page[-1])).all()
