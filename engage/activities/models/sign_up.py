"""Sign-ups, check-ins and feedback."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from engage.core import ids
from engage.core.columns import enum_column
from engage.core.db import Base, Entity

UNRANKED: Final = 1_000_000  # behind everybody whom a reviewer or a draw gave a rank


class SignUpState(StrEnum):
    """``confirmed`` and ``offered`` hold a place; all but ``cancelled`` are live: one a person and activity."""

    APPLIED = "applied"  # waits for a decision, or for the draw
    REFUSED = "refused"
    WAITLISTED = "waitlisted"
    OFFERED = "offered"  # a place is kept until the offer expires
    CONFIRMED = "confirmed"
    WALK_IN = "walk_in"  # came to the door; beside the capacity
    CANCELLED = "cancelled"


HOLDS_PLACE: Final = (SignUpState.CONFIRMED, SignUpState.OFFERED)


class CancelCause(StrEnum):
    """Why a sign-up ended."""

    LEFT = "left"
    EXCUSED = "excused"  # left with a reason before the deadline
    STAFF = "staff"
    DECLINED = "declined"
    EXPIRED = "expired"
    QUEUE_CLOSED = "queue_closed"
    RELEASED = "released"  # the person was erased, closed or suspended


class Attendance(StrEnum):
    """What became of a sign-up once the activity is over."""

    ATTENDED = "attended"
    LATE = "late"
    ABSENT = "absent"
    EXCUSED = "excused"
    WALK_IN = "walk_in"


class CheckInMethod(StrEnum):
    CODE = "code"
    STAFF = "staff"


def _partial(name: str, condition: str, *columns: str) -> Index:
    return Index(name, *columns, postgresql_where=text(condition), sqlite_where=text(condition))


class SignUp(Base):
    """A place, a turn in the queue, an application or an entry. ``seq`` is the order of arrival.

    The queue is in the order of (``rank``, ``seq``). ``starts_at`` and ``ends_at`` are the activity's own, kept by a trigger: what one person has
    at a time is found without a look at each activity.
    """

    __tablename__ = "sign_up"
    audited = ("activity_id", "person_id", "state")
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
        _partial("ix_sign_up_applied", "state = 'applied'", "activity_id"),
        _partial("ix_sign_up_queue", "state = 'waitlisted'", "activity_id", "rank", "seq"),
        _partial("ix_sign_up_offers", "state = 'offered'", "offer_expires_at"),
        _partial("ix_sign_up_held", "held_until IS NOT NULL", "held_until"),
        _partial("ix_sign_up_queued", "joined_position IS NOT NULL", "activity_id", "joined_position"),
        Index("ix_sign_up_activity_id_seq", "activity_id", "seq"),
        Index("ix_sign_up_person_id_ends_at", "person_id", "ends_at"),
        CheckConstraint("(state = 'cancelled') = (cancelled_at IS NOT NULL)", name="cancelled_has_time"),
        CheckConstraint("excused_at IS NULL OR state = 'confirmed'", name="excused_was_confirmed"),
        CheckConstraint("(state = 'offered') = (offer_expires_at IS NOT NULL)", name="offered_has_expiry"),
        CheckConstraint("held_until IS NULL OR state = 'waitlisted'", name="held_in_queue"),
        CheckConstraint("pool IS NULL OR state IN ('confirmed', 'offered')", name="pool_of_a_place"),
        CheckConstraint("pool IS NULL OR (pool_mask >> (pool - 1)) & 1 = 1", name="pool_open_to_person"),
        CheckConstraint("rank BETWEEN 1 AND 1000000", name="rank_in_range"),
    )
    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    id: Mapped[UUID] = mapped_column(default=ids.new_id)
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    state: Mapped[SignUpState] = mapped_column(enum_column(SignUpState, "sign_up_state"))
    answers: Mapped[dict[str, Any]]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    rank: Mapped[int] = mapped_column(default=UNRANKED, server_default=str(UNRANKED))
    pool_mask: Mapped[int] = mapped_column(default=0, server_default="0")  # pools open to the person
    pool: Mapped[int | None]  # where the place is, while places are divided
    joined_position: Mapped[int | None]  # what was told on joining the queue
    held_until: Mapped[datetime | None]  # passed over till then, unless for nothing (queries/holding.py)
    offered_at: Mapped[datetime | None]
    offer_expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    added_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))  # staff who added somebody
    promoted_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    cancelled_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    cancel_cause: Mapped[CancelCause | None] = mapped_column(enum_column(CancelCause, "cancel_cause"))
    cancel_reason: Mapped[str | None] = mapped_column(String(200))
    decided_at: Mapped[datetime | None]  # of an application
    decided_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    decision_reason: Mapped[str | None] = mapped_column(String(200))
    excused_at: Mapped[datetime | None]
    excused_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    excuse_reason: Mapped[str | None] = mapped_column(String(200))


class CheckIn(Base):
    """Presence: once per person and activity, whatever the path.

    ``checked_in_at`` is when the server took it in; ``arrived_at`` and ``left_at`` are when it was, by the device that saw it:
    the earliest arrival and the latest departure of all that were reported, whatever the order of the reports.
    """

    __tablename__ = "check_in"
    __table_args__ = (
        Index("uq_check_in_sign_up_id", "sign_up_id", unique=True),
        Index("ix_check_in_person_id", "person_id"),
        CheckConstraint("left_at IS NULL OR left_at >= arrived_at", name="left_after_arrival"),
    )
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), primary_key=True)
    sign_up_id: Mapped[UUID] = mapped_column(ForeignKey("sign_up.id"))
    method: Mapped[CheckInMethod] = mapped_column(enum_column(CheckInMethod, "check_in_method"))
    checked_in_at: Mapped[datetime]
    claimed_at: Mapped[datetime | None]  # what the offline device's clock said
    arrived_at: Mapped[datetime]
    left_at: Mapped[datetime | None]
    over_capacity: Mapped[bool] = mapped_column(
        default=False, server_default=text("false")
    )  # a walk-in beyond it
    updated_at: Mapped[datetime]
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
