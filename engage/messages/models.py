"""The outbox, written in the transaction it reports, and the inbox the worker fills from it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.db import Base, Entity


class OutboxEntry(Base):
    """Something to tell a person. ``params`` holds ids, titles and times, never contact data."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_due",
            "available_at",
            postgresql_where=text("delivered_at IS NULL"),
            sqlite_where=text("delivered_at IS NULL"),
        ),
    )
    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    kind: Mapped[str] = mapped_column(String(40))
    params: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    available_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    delivered_at: Mapped[datetime | None]


class Message(Entity):
    """A message in a person's inbox."""

    __tablename__ = "message"
    __table_args__ = (
        Index("ix_message_person_id_id", "person_id", "id"),
        Index("uq_message_outbox_seq", "outbox_seq", unique=True),
    )
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    outbox_seq: Mapped[int] = mapped_column(
        BigInteger
    )  # a delivery repeated after a crash makes no second message
    kind: Mapped[str] = mapped_column(String(40))
    params: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
