"""Projects and activities."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.db import Entity, Versioned, enum_column


class ProjectStatus(StrEnum):
    ACTIVE = "active"
    ARCHIVED = "archived"


class ActivityStatus(StrEnum):
    """What staff decided; what the clock adds is in ``ActivityState``."""

    DRAFT = "draft"
    REVIEW = "review"
    REJECTED = "rejected"
    PUBLISHED = "published"
    CANCELLED = "cancelled"
    SUMMARISED = "summarised"


class ActivityState(StrEnum):
    """The state people see (domain: draft, review, published, registration open, running, ended, summarised)."""

    DRAFT = "draft"
    REVIEW = "review"
    REJECTED = "rejected"
    PUBLISHED = "published"
    REGISTRATION_OPEN = "registration_open"
    REGISTRATION_CLOSED = "registration_closed"
    RUNNING = "running"
    ENDED = "ended"
    SUMMARISED = "summarised"
    CANCELLED = "cancelled"


class QuestionKind(StrEnum):
    TEXT = "text"
    CHOICE = "choice"
    MULTIPLE_CHOICE = "multiple_choice"
    NUMBER = "number"


class Project(Entity, Versioned):
    """A brand under which activities are held, such as 团青有约."""

    __tablename__ = "project"
    __table_args__ = (Index("uq_project_name", "name", unique=True), Index("ix_project_org_id", "org_id"))
    name: Mapped[str] = mapped_column(String(40))
    summary: Mapped[str | None] = mapped_column(String(2000))
    org_id: Mapped[UUID] = mapped_column(ForeignKey("org.id"))
    status: Mapped[ProjectStatus] = mapped_column(
        enum_column(ProjectStatus, "project_status"), default=ProjectStatus.ACTIVE
    )
    created_at: Mapped[datetime]


class Activity(Entity, Versioned):
    """Something people sign up for.

    ``taken`` and ``waiting`` count the confirmed and the waitlisted sign-ups. Triggers on ``sign_up`` keep them, so
    that the CHECKs below hold against every statement, whoever sends it.
    """

    __tablename__ = "activity"
    __table_args__ = (
        CheckConstraint("capacity >= 1", name="capacity_positive"),
        CheckConstraint("taken BETWEEN 0 AND capacity", name="taken_within_capacity"),
        CheckConstraint("waiting BETWEEN 0 AND waitlist_capacity", name="waiting_within_waitlist"),
        CheckConstraint("starts_at < ends_at", name="starts_before_end"),
        CheckConstraint("sign_up_opens_at < sign_up_closes_at", name="opens_before_close"),
        CheckConstraint("sign_up_closes_at <= ends_at", name="sign_up_closes_by_end"),
        CheckConstraint("min_age IS NULL OR max_age IS NULL OR min_age <= max_age", name="ages_in_order"),
        CheckConstraint("(lat IS NULL) = (lng IS NULL)", name="point_is_whole"),
        CheckConstraint("hub_id IS NOT NULL OR place_name IS NOT NULL", name="has_place"),
        CheckConstraint("service_minutes >= 0", name="service_minutes_not_negative"),
        Index("ix_activity_status_starts_at_id", "status", "starts_at", "id"),
        Index("ix_activity_org_id_starts_at", "org_id", "starts_at"),
        Index("ix_activity_hub_id_starts_at", "hub_id", "starts_at"),
        Index("ix_activity_project_id_starts_at", "project_id", "starts_at"),
        {
            "postgresql_with": {"fillfactor": 40}
        },  # the counters change in place (HOT), not by growing the table
    )
    title: Mapped[str] = mapped_column(String(60))
    summary: Mapped[str | None] = mapped_column(String(4000))
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id"))
    org_id: Mapped[UUID] = mapped_column(ForeignKey("org.id"))
    hub_id: Mapped[UUID | None] = mapped_column(ForeignKey("hub.id"))
    place_name: Mapped[str | None] = mapped_column(String(80))
    address: Mapped[str | None] = mapped_column(String(200))
    lat: Mapped[float | None]
    lng: Mapped[float | None]
    county_code: Mapped[str] = mapped_column(ForeignKey("division.code"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    sign_up_opens_at: Mapped[datetime]
    sign_up_closes_at: Mapped[datetime]
    capacity: Mapped[int]
    waitlist_capacity: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0, server_default="0")
    waiting: Mapped[int] = mapped_column(default=0, server_default="0")
    min_age: Mapped[int | None]
    max_age: Mapped[int | None]
    county_codes: Mapped[list[str]]  # empty: everybody
    members_only: Mapped[bool]
    questions: Mapped[list[dict[str, Any]]]
    service_minutes: Mapped[int]
    status: Mapped[ActivityStatus] = mapped_column(
        enum_column(ActivityStatus, "activity_status"), default=ActivityStatus.DRAFT
    )
    status_reason: Mapped[str | None] = mapped_column(String(500))  # of a rejection or cancellation
    closing_summary: Mapped[str | None] = mapped_column(String(4000))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
