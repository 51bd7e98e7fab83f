"""Pools inside a capacity, and the draw of a lottery."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.columns import enum_column
from engage.core.db import Base

MAX_POOLS: Final = 16
MAX_APPLICATIONS: Final = 20_000  # of one activity: what GET /draw lists in one answer


class Audience(StrEnum):
    """Whom a pool is for."""

    EVERYBODY = "everybody"
    COUNTIES = "counties"
    MEMBERS = "members"
    ENCLAVE_MEMBERS = "enclave_members"


class Decision(StrEnum):
    """What a reviewer says to an application."""

    ACCEPT = "accept"
    REFUSE = "refuse"


class DrawState(StrEnum):
    """How far a draw has come."""

    COMMITTED = "committed"  # the seed is fixed and its digest shown
    CLOSED = "closed"  # the entries are fixed and shown
    DRAWN = "drawn"


class DrawOutcome(StrEnum):
    """What the draw made of an entry."""

    PLACE = "place"
    WAITLIST = "waitlist"
    WITHDRAWN = "withdrawn"


class Pool(Base):
    """Part of an activity's places for part of its people.

    A person goes to the first pool, by ``position``, that is for them; when it is full to the others that are for them, by
    ``overflow_rank`` (null: not open to overflow). Once ``merged`` all pools are one and the counter binds no more.
    Bit ``position - 1`` of ``sign_up.pool_mask`` says that a pool is open to that person.
    """

    __tablename__ = "activity_pool"
    audited = ("name", "audience", "capacity", "overflow_rank")
    __table_args__ = (
        CheckConstraint("position BETWEEN 1 AND 16", name="position_in_mask"),
        CheckConstraint("capacity >= 0", name="capacity_not_negative"),
        CheckConstraint("taken >= 0 AND (merged OR taken <= capacity)", name="taken_within_capacity"),
        {"postgresql_with": {"fillfactor": 40}},
    )
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(40))
    audience: Mapped[Audience] = mapped_column(enum_column(Audience, "audience"))
    county_codes: Mapped[list[str]]
    capacity: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0, server_default="0")
    overflow_rank: Mapped[int | None]
    merged: Mapped[bool] = mapped_column(default=False, server_default=text("false"))


class LotteryDraw(Base):
    """The draw of an activity: committed to before sign-up opens, closed, then held once.

    ``commitment`` is the SHA-256 of the 32-byte seed in hexadecimal; the seed is sealed until the draw. ``public_source`` names a public
    number beforehand, ``public_value`` is that number, its digits alone. ``algorithm`` names the formula that it was announced with.

    What anyone needs to check the draw is kept here as it was, whatever becomes of the sign-ups: at the closing ``entries``, the very
    text that ``entries_digest`` is of, and at the draw ``places``, what was free, and ``withdrawn``, the entries that had left. From
    ``settled_at`` on every entry has what the draw gave it; until then the rest are on their way, a batch at a time.
    """

    __tablename__ = "lottery_draw"
    audited = ("commitment", "public_source", "draws_at", "drawn_at")
    __table_args__ = (
        CheckConstraint("first_time_weight BETWEEN 1 AND 10", name="first_time_weight_in_range"),
        CheckConstraint("(drawn_at IS NULL) = (seed IS NULL)", name="seed_shown_when_drawn"),
        CheckConstraint("(drawn_at IS NULL) = (places IS NULL)", name="drawn_with_places"),
        CheckConstraint("drawn_at IS NULL OR closed_at IS NOT NULL", name="drawn_once_closed"),
        CheckConstraint("settled_at IS NULL OR drawn_at IS NOT NULL", name="settled_once_drawn"),
        CheckConstraint(
            "drawn_at IS NULL OR public_source IS NULL OR public_value IS NOT NULL",
            name="drawn_with_public_value",
        ),
        CheckConstraint("(closed_at IS NULL) = (entries_digest IS NULL)", name="closed_with_digest"),
        CheckConstraint(
            "algorithm = 'engage-draw-1' OR (public_value <> '' AND trim(public_value, '0123456789') = '')",
            name="public_value_in_digits",
        ),
        CheckConstraint("(closed_at IS NULL) = (entries IS NULL)", name="closed_with_entries"),
        Index(
            "ix_lottery_draw_due",
            "draws_at",
            postgresql_where=text("settled_at IS NULL"),
            sqlite_where=text("settled_at IS NULL"),
        ),
    )
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"), primary_key=True)
    commitment: Mapped[str] = mapped_column(String(64))
    algorithm: Mapped[str] = mapped_column(String(40), server_default="engage-draw-1")
    sealed_seed: Mapped[bytes] = mapped_column(LargeBinary)
    draws_at: Mapped[datetime]
    first_time_weight: Mapped[int] = mapped_column(default=1, server_default="1")
    public_source: Mapped[str | None] = mapped_column(String(200))
    public_value: Mapped[str | None] = mapped_column(String(100))
    closed_at: Mapped[datetime | None]
    entries: Mapped[str | None] = mapped_column(Text)
    entries_digest: Mapped[str | None] = mapped_column(String(64))
    seed: Mapped[str | None] = mapped_column(String(64))
    places: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    withdrawn: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    drawn_at: Mapped[datetime | None]
    drawn_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    settled_at: Mapped[datetime | None]
