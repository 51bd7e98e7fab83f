"""Credit: what each attendance, or its lack, did to a person's points, and appeals against it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.columns import enum_column
from engage.core.db import Base, Entity


class CreditRule(StrEnum):
    """Why points changed; all but leaving late are named as the attendance they follow from."""

    ABSENT = "absent"
    LATE = "late"
    LATE_CANCEL = "late_cancel"  # a place given up after the time for excuses
    ATTENDED = "attended"


class AppealState(StrEnum):
    OPEN = "open"
    UPHELD = "upheld"
    DISMISSED = "dismissed"


class CreditEntry(Entity):
    """One change of a person's points by one rule and one sign-up; it counts until it fades or an appeal withdraws it.

    The points somebody has are computed from these, never stored. Triggers hold the entry to the person and the
    activity of its sign-up, and let nothing but the withdrawal change it.
    """

    __tablename__ = "credit_entry"
    audited = ("sign_up_id", "rule", "points", "withdrawn_at")
    __table_args__ = (
        Index("uq_credit_entry_sign_up_id_rule", "sign_up_id", "rule", unique=True),
        Index("ix_credit_entry_person_id_fades_at", "person_id", "fades_at"),
        Index("ix_credit_entry_person_id_id", "person_id", "id"),
        CheckConstraint("points <> 0 AND (points > 0) = (rule = 'attended')", name="points_by_rule"),
        CheckConstraint("fades_at > created_at", name="fades_later"),
        CheckConstraint("(withdrawn_at IS NULL) = (withdrawn_by IS NULL)", name="withdrawn_by_somebody"),
    )
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"))
    sign_up_id: Mapped[UUID] = mapped_column(ForeignKey("sign_up.id"))
    rule: Mapped[CreditRule] = mapped_column(enum_column(CreditRule, "credit_rule"))
    points: Mapped[int]
    created_at: Mapped[datetime]
    fades_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))


class CreditSettlement(Base):
    """That an activity's attendance has been turned into entries: once, whatever is noted later."""

    __tablename__ = "credit_settlement"
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"), primary_key=True)
    settled_at: Mapped[datetime]


class CreditAppeal(Entity):
    """A person's objection to an entry, once, decided by the level above the activity's own staff."""

    __tablename__ = "credit_appeal"
    audited = ("entry_id", "state")
    __table_args__ = (
        Index("uq_credit_appeal_entry_id", "entry_id", unique=True),
        Index("ix_credit_appeal_state_id", "state", "id"),
        CheckConstraint(
            "(state = 'open') = (decided_at IS NULL) AND (decided_at IS NULL) = (decided_by IS NULL)"
            " AND (decided_at IS NULL) = (reason IS NULL)",
            name="decided_whole",
        ),
    )
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("credit_entry.id"))
    text: Mapped[str] = mapped_column(String(500))
    state: Mapped[AppealState] = mapped_column(
        enum_column(AppealState, "appeal_state"), default=AppealState.OPEN
    )
    created_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    reason: Mapped[str | None] = mapped_column(String(200))
