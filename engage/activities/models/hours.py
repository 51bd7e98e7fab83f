"""The ledger of service hours, and the certificates that rest on it."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.columns import enum_column
from engage.core.crypto import sha256
from engage.core.db import Base, Entity

CODE_PURPOSE: Final = "hours-certificate-code"


class HoursKind(StrEnum):
    """How time came onto the ledger."""

    AWARD = "award"  # presence was recorded on the spot
    CORRECTION = "correction"  # made up by staff afterwards
    REVERSAL = "reversal"  # takes one of the other two back


class HoursReason(StrEnum):
    """Why somebody in the list of an activity has no hours of it."""

    ABSENT = "absent"
    EXCUSED = "excused"
    ACTIVITY_CANCELLED = "activity_cancelled"
    NOT_CHECKED_OUT = "not_checked_out"
    TOO_SHORT = "too_short"
    OVERLAP = "overlap"  # hours of another activity at the same time
    REVERSED = "reversed"  # by staff; what presence no longer bears out has the reason for that
    NO_SERVICE_TIME = "no_service_time"  # the activity counts no hours
    NOT_CLOSED = "not_closed"  # not over yet, or not closed: that awards them


class CertificateStatus(StrEnum):
    VALID = "valid"
    SUPERSEDED = "superseded"  # an entry it rests on was reversed


class HoursAccount(Entity):
    """An account of the ledger: of an activity, which gives, or of a person, who receives."""

    __tablename__ = "hours_account"
    __table_args__ = (
        CheckConstraint("(activity_id IS NULL) <> (person_id IS NULL)", name="has_one_owner"),
        Index("uq_hours_account_activity_id", "activity_id", unique=True),
        Index("uq_hours_account_person_id", "person_id", unique=True),
    )
    activity_id: Mapped[UUID | None] = mapped_column(ForeignKey("activity.id"))
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))


class HoursEntry(Entity):
    """Minutes moved from one account to another; never changed, only reversed.

    Triggers hold what a CHECK cannot: accounts of the right owners, no two entries in force of one person for
    overlapping times, a reversal that mirrors what it reverses, no change of what is written.
    """

    __tablename__ = "hours_entry"
    audited = ("activity_id", "person_id", "kind", "minutes", "reverses_id")
    __table_args__ = (
        CheckConstraint("minutes > 0", name="minutes_positive"),
        CheckConstraint("from_at < until_at", name="from_before_until"),
        CheckConstraint("debit_account_id <> credit_account_id", name="moves_between_accounts"),
        CheckConstraint("(kind = 'reversal') = (reverses_id IS NOT NULL)", name="reversal_names_entry"),
        CheckConstraint("kind = 'award' OR reason IS NOT NULL", name="reason_given"),
        Index("uq_hours_entry_reverses_id", "reverses_id", unique=True),
        Index("uq_hours_entry_id_person_id", "id", "person_id", unique=True),
        Index("ix_hours_entry_person_id_id", "person_id", "id"),
        Index("ix_hours_entry_activity_id_person_id", "activity_id", "person_id"),
    )
    debit_account_id: Mapped[UUID] = mapped_column(ForeignKey("hours_account.id"))
    credit_account_id: Mapped[UUID] = mapped_column(ForeignKey("hours_account.id"))
    minutes: Mapped[int]
    kind: Mapped[HoursKind] = mapped_column(enum_column(HoursKind, "hours_kind"))
    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    from_at: Mapped[datetime]  # the activity's time, which no other entry in force of the person may touch
    until_at: Mapped[datetime]
    reverses_id: Mapped[UUID | None] = mapped_column(ForeignKey("hours_entry.id"))
    reason: Mapped[str | None] = mapped_column(String(200))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))  # null: it follows from presence
    created_at: Mapped[datetime]


class HoursCertificate(Entity):
    """A statement of somebody's hours, with the names as they were on that day.

    The verification code is found by its hash and shown to its owner by opening the sealed copy.
    """

    __tablename__ = "hours_certificate"
    __table_args__ = (
        CheckConstraint("from_on <= until_on", name="from_by_until"),
        Index("uq_hours_certificate_code_hash", "code_hash", unique=True),
        Index("uq_hours_certificate_id_person_id", "id", "person_id", unique=True),
        Index("ix_hours_certificate_person_id_id", "person_id", "id"),
    )
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    holder_name: Mapped[str] = mapped_column(String(40))
    issuer_name: Mapped[str] = mapped_column(String(80))
    from_on: Mapped[date]
    until_on: Mapped[date]
    code_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    code_sealed: Mapped[bytes]
    issued_at: Mapped[datetime]


class HoursCertificateEntry(Base):
    """An entry that a certificate rests on; both are of the same person."""

    __tablename__ = "hours_certificate_entry"
    __table_args__ = (
        ForeignKeyConstraint(
            ["certificate_id", "person_id"],
            ["hours_certificate.id", "hours_certificate.person_id"],
            name="fk_hours_certificate_entry_certificate_id",
        ),
        ForeignKeyConstraint(
            ["entry_id", "person_id"],
            ["hours_entry.id", "hours_entry.person_id"],
            name="fk_hours_certificate_entry_entry_id",
        ),
        Index("ix_hours_certificate_entry_entry_id", "entry_id"),
    )
    certificate_id: Mapped[UUID] = mapped_column(primary_key=True)
    entry_id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID]


def hash_of_code(code: str) -> bytes:
    """Return what a verification code is found by; blanks, hyphens and case do not matter."""
    return sha256("".join(code.replace("-", " ").split()).upper())
