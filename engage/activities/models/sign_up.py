"""Sign-ups, check-ins and feedback."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from engage.core import ids
from engage.core.db import Base, Entity, enum_column


class SignUpState(StrEnum):
    CONFIRMED = "confirmed"
    WAITLISTED = "waitlisted"
    CANCELLED = "cancelled"


class Attendance(StrEnum):
    """What became of a confirmed sign-up once the activity is over."""

    ATTENDED = "attended"
    ABSENT = "absent"
    EXCUSED = "excused"


class CheckInMethod(StrEnum):
    CODE = "code"
    STAFF = "staff"


class SignUp(Base):
    """A place or a turn in the queue. ``seq`` is the order of arrival."""

    __tablename__ = "sign_up"
    __table_args__ = (
        Index("uq_sign_up_id", "id", unique=True),
        Index(
            "uq_sign_up_live",
            "activity_id",
            "person_id",
            unique=True,
            postgresql_where=text("state <> 'cancelled'"),
            sqlite_where=text("state <> 'cancelled'"),
        ),
        Index(
            "ix_sign_up_queue",
            "activity_id",
            "seq",
            postgresql_where=text("state = 'waitlisted'"),
            sqlite_where=text("state = 'waitlisted'"),
        ),
        Index("ix_sign_up_activity_id_seq", "activity_id", "seq"),
        Index("ix_sign_up_person_id_seq", "person_id", "seq"),
        CheckConstraint("(state = 'cancelled') = (cancelled_at IS NOT NULL)", name="cancelled_has_time"),
        CheckConstraint("excused_at IS NULL OR state = 'confirmed'", name="excused_was_confirmed"),
    )
    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    id: Mapped[UUID] = mapped_column(default=ids.new_id)
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    state: Mapped[SignUpState] = mapped_column(enum_column(SignUpState, "sign_up_state"))
    answers: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    added_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))  # staff who added somebody
    promoted_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    cancelled_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    cancel_reason: Mapped[str | None] = mapped_column(String(200))
    excused_at: Mapped[datetime | None]
    excused_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    excuse_reason: Mapped[str | None] = mapped_column(String(200))


class CheckIn(Base):
    """Presence: once per person and activity, whatever the path. ``checked_in_at`` is the server's clock."""

    __tablename__ = "check_in"
    __table_args__ = (
        Index("uq_check_in_sign_up_id", "sign_up_id", unique=True),
        Index("ix_check_in_person_id", "person_id"),
    )
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), primary_key=True)
    sign_up_id: Mapped[UUID] = mapped_column(ForeignKey("sign_up.id"))
    method: Mapped[CheckInMethod] = mapped_column(enum_column(CheckInMethod, "check_in_method"))
    checked_in_at: Mapped[datetime]
    claimed_at: Mapped[datetime | None]  # what the offline device's clock said
    checked_in_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))


class Feedback(Entity):
    __tablename__ = "feedback"
    __table_args__ = (
        Index("uq_feedback_activity_id_person_id", "activity_id", "person_id", unique=True),
        CheckConstraint("stars BETWEEN 1 AND 5", name="stars_one_to_five"),
        Index("ix_feedback_activity_id_id", "activity_id", "id"),
    )
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    stars: Mapped[int]
    text: Mapped[str | None] = mapped_column(String(1000))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
