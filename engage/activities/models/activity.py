"""Projects and activities."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.columns import enum_column
from engage.core.config import Overlap
from engage.core.db import Entity, Versioned


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


class AdmissionMode(StrEnum):
    """How places are given."""

    FIRST_COME = "first_come"
    REVIEW = "review"
    LOTTERY = "lottery"


class Project(Entity, Versioned):
    """A brand under which activities are held, such as 团青有约.

    ``daily_limit`` and ``weekly_limit``: how many live sign-ups one person may have to its activities that start on the
    same Shanghai day, and in the same week from Monday; null: no limit.
    """

    __tablename__ = "project"
    audited = ("name", "org_id", "status", "daily_limit", "weekly_limit")
    __table_args__ = (
        Index("uq_project_name", "name", unique=True),
        Index("ix_project_org_id", "org_id"),
        CheckConstraint("daily_limit IS NULL OR daily_limit >= 1", name="daily_limit_positive"),
        CheckConstraint("weekly_limit IS NULL OR weekly_limit >= 1", name="weekly_limit_positive"),
    )
    name: Mapped[str] = mapped_column(String(40))
    summary: Mapped[str | None] = mapped_column(String(2000))
    org_id: Mapped[UUID] = mapped_column(ForeignKey("org.id"))
    status: Mapped[ProjectStatus] = mapped_column(
        enum_column(ProjectStatus, "project_status"), default=ProjectStatus.ACTIVE
    )
    daily_limit: Mapped[int | None]
    weekly_limit: Mapped[int | None]
    created_at: Mapped[datetime]


class Activity(Entity, Versioned):
    """Something people sign up for.

    ``taken`` counts the places held (confirmed or offered), ``waiting`` the turns in the queue, ``held`` those of them that
    are passed over for now, ``applied`` the applications and entries that wait for a decision. Triggers on
    ``sign_up`` keep all four, so that the CHECKs below hold against every statement, whoever sends it.
    ``walk_ins_present`` counts who walked in and has not left; from ``queue_closes_at`` on each of them uses up a free place.

    Freed places promote at once until ``offers_from_at``, are offered until ``queue_closes_at``, and are left to walk-ins from then on.
    ``pools_merged`` is true where places are not divided, or no longer.
    """

    __tablename__ = "activity"
    audited = (
        "title",
        "project_id",
        "org_id",
        "hub_id",
        "starts_at",
        "ends_at",
        "first_ends_at",
        "sign_up_opens_at",
        "sign_up_closes_at",
        "capacity",
        "waitlist_capacity",
        "admission_mode",
        "overlap",
        "members_only",
        "min_age",
        "max_age",
        "service_minutes",
        "presence_percent",
        "status",
    )
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
        CheckConstraint("applied >= 0", name="applied_not_negative"),
        CheckConstraint("held BETWEEN 0 AND waiting", name="held_within_waiting"),
        CheckConstraint("walk_ins_present >= 0", name="walk_ins_present_not_negative"),
        CheckConstraint(
            "offers_from_at <= queue_closes_at AND queue_closes_at <= starts_at", name="queue_times_in_order"
        ),
        CheckConstraint("excuse_until_at <= starts_at", name="excuse_by_start"),
        CheckConstraint("offer_minutes >= 1", name="offer_minutes_positive"),
        CheckConstraint("quiet_from BETWEEN 0 AND 1439", name="quiet_from_in_day"),
        CheckConstraint("quiet_until BETWEEN 0 AND 1439", name="quiet_until_in_day"),
        CheckConstraint("late_minutes >= 0", name="late_minutes_not_negative"),
        CheckConstraint("presence_percent BETWEEN 0 AND 100", name="presence_percent_in_range"),
        CheckConstraint("pools_merged OR pools_merge_at IS NOT NULL", name="pools_have_an_end"),
        Index("ix_activity_status_starts_at_id", "status", "starts_at", "id"),
        Index("ix_activity_queue_closes_at", "queue_closes_at"),
        Index("ix_activity_ends_at", "ends_at"),
        Index(
            "ix_activity_pools_due",
            "pools_merge_at",
            postgresql_where=text("NOT pools_merged"),
            sqlite_where=text("NOT pools_merged"),
        ),
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
    # Before a hub manager first moved it while people had signed up; NULL where none did, or an officer has moved it since.
    first_ends_at: Mapped[datetime | None]
    sign_up_opens_at: Mapped[datetime]
    sign_up_closes_at: Mapped[datetime]
    capacity: Mapped[int]
    waitlist_capacity: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0, server_default="0")
    waiting: Mapped[int] = mapped_column(default=0, server_default="0")
    held: Mapped[int] = mapped_column(default=0, server_default="0")
    applied: Mapped[int] = mapped_column(default=0, server_default="0")
    walk_ins_present: Mapped[int] = mapped_column(default=0, server_default="0")
    admission_mode: Mapped[AdmissionMode] = mapped_column(
        enum_column(AdmissionMode, "admission_mode"),
        default=AdmissionMode.FIRST_COME,
        server_default="first_come",
    )
    drawn: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # of a lottery
    offers_from_at: Mapped[datetime]
    queue_closes_at: Mapped[datetime]
    offer_minutes: Mapped[int] = mapped_column(default=120, server_default="120")
    quiet_from: Mapped[int] = mapped_column(
        default=1320, server_default="1320"
    )  # minutes of the Shanghai day
    quiet_until: Mapped[int] = mapped_column(default=480, server_default="480")
    pools_merged: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    pools_merge_at: Mapped[datetime | None]
    overlap: Mapped[Overlap] = mapped_column(
        enum_column(Overlap, "overlap"), default=Overlap.WARN, server_default="warn"
    )
    excuse_until_at: Mapped[datetime]
    late_minutes: Mapped[int] = mapped_column(default=15, server_default="15")
    presence_percent: Mapped[int] = mapped_column(default=60, server_default="60")
    requires_check_out: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
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
