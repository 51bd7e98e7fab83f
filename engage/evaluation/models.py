"""Findings: what was found, where, the answer to it, and how it ended."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.columns import enum_column
from engage.core.db import Entity, Versioned

MAX_FINDING_CHARS = 1000


class FindingKind(StrEnum):
    COMMENDATION = "commendation"
    SUGGESTION = "suggestion"
    PROBLEM = "problem"


class FindingState(StrEnum):
    """Derived: closed once it is settled or withdrawn, before that answered or still open."""

    OPEN = "open"
    ANSWERED = "answered"
    CLOSED = "closed"


class FindingOutcome(StrEnum):
    SETTLED = "settled"
    WITHDRAWN = "withdrawn"


class FindingSubject(StrEnum):
    ACTIVITY = "activity"
    HUB = "hub"
    ORG = "org"


class Finding(Entity, Versioned):
    """What somebody who inspects found: about an activity if one is named, else a hub, else the organisation.

    ``org_id`` is the organisation that was responsible when it was written, ``about`` what it is about was called then. What is written stays; a
    wrong finding is withdrawn and written anew.
    """

    __tablename__ = "finding"
    audited = (
        "org_id",
        "hub_id",
        "activity_id",
        "kind",
        "due_on",
        "answered_by",
        "answered_at",
        "closed_by",
        "outcome",
    )
    __table_args__ = (
        CheckConstraint("due_on IS NULL OR kind = 'problem'", name="due_for_problems"),
        CheckConstraint(
            "(answered_at IS NULL) = (answered_by IS NULL) AND (answered_at IS NULL) = (answer IS NULL)",
            name="answered_whole",
        ),
        CheckConstraint("answered_by IS NULL OR answered_by <> written_by", name="answered_by_another"),
        CheckConstraint(
            "(closed_at IS NULL) = (closed_by IS NULL) AND (closed_at IS NULL) = (outcome IS NULL)",
            name="closed_whole",
        ),
        CheckConstraint(
            "outcome IS NULL OR outcome <> 'withdrawn' OR closed_by = written_by", name="withdrawn_by_writer"
        ),
        CheckConstraint(
            "outcome IS NULL OR answered_by IS NULL OR closed_by <> answered_by", name="closed_by_another"
        ),
        Index("ix_finding_org_id_id", "org_id", "id"),
        Index("ix_finding_hub_id_id", "hub_id", "id"),
        Index("ix_finding_activity_id_id", "activity_id", "id"),
        Index(
            "ix_finding_due_on",
            "due_on",
            postgresql_where=text("answered_at IS NULL AND closed_at IS NULL"),
            sqlite_where=text("answered_at IS NULL AND closed_at IS NULL"),
        ),
    )
    org_id: Mapped[UUID] = mapped_column(ForeignKey("org.id"))
    hub_id: Mapped[UUID | None] = mapped_column(ForeignKey("hub.id"))
    activity_id: Mapped[UUID | None] = mapped_column(ForeignKey("activity.id"))
    about: Mapped[str] = mapped_column(String(80))
    kind: Mapped[FindingKind] = mapped_column(enum_column(FindingKind, "finding_kind"))
    text: Mapped[str] = mapped_column(String(MAX_FINDING_CHARS))
    due_on: Mapped[date | None]
    written_by: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[datetime]
    answer: Mapped[str | None] = mapped_column(String(MAX_FINDING_CHARS))
    answered_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    answered_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    outcome: Mapped[FindingOutcome | None] = mapped_column(enum_column(FindingOutcome, "finding_outcome"))
