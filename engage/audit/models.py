"""The chain: a hash for each entry over all before it, so that whoever kept one of them can tell that nothing was altered."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.audit import AuditEntry
from engage.core.db import Base

if TYPE_CHECKING:
    from collections.abc import Mapping

BEGINNING: Final = bytes(32)
COLUMNS: Final = tuple(column.name for column in AuditEntry.__table__.columns)


class AuditLink(Base):
    """The place of an entry in the chain. No foreign key: it would keep nobody from anything, and a deleted entry shall be found."""

    __tablename__ = "audit_link"
    __table_args__ = (
        CheckConstraint("position > 0", name="counted_from_one"),
        Index("uq_audit_link_entry_id", "entry_id", unique=True),
    )
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry_id: Mapped[UUID]
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))


class AuditUnsealed(Base):
    """An entry that waits for its place in the chain. A trigger puts it here, so that it costs the request no statement."""

    __tablename__ = "audit_unsealed"
    entry_id: Mapped[UUID] = mapped_column(primary_key=True)


def hash_after(previous: bytes, entry: Mapping[Any, Any]) -> bytes:
    """Return the hash of an entry (every column by name) that stands after another."""
    return hashlib.sha256(previous + _canonical(entry)).digest()


def _canonical(entry: Mapping[Any, Any]) -> bytes:
    """Return the same bytes for the same entry whatever the engine, the zone of its connection and the order of keys."""
    values = {name: _plain(entry[name]) for name in COLUMNS}
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
