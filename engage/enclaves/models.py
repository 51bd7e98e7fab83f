"""Enclave branches, applications to join them, and participation (which never moves the formal membership)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from engage.core.columns import enum_column
from engage.core.db import Base, Entity, Versioned


class EnclaveStatus(StrEnum):
    ACTIVE = "active"
    DISSOLVED = "dissolved"


class ApplicationState(StrEnum):
    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class EnclaveBranch(Base, Versioned):
    """A branch of a home county in a host city; the organisation node of kind ``enclave_branch`` carries its name."""

    __tablename__ = "enclave_branch"
    audited = ("home_county_code", "host_city_code", "status")
    __table_args__ = (
        CheckConstraint("(lat IS NULL) = (lng IS NULL)", name="point_is_whole"),
        Index("ix_enclave_branch_home_county_code", "home_county_code"),
        Index("ix_enclave_branch_host_city_code", "host_city_code"),
    )
    id: Mapped[UUID] = mapped_column(ForeignKey("org.id"), primary_key=True)
    home_county_code: Mapped[str] = mapped_column(ForeignKey("division.code"))
    host_city_code: Mapped[str] = mapped_column(ForeignKey("division.code"))
    host_org: Mapped[str | None] = mapped_column(String(80))  # company, chamber or park that hosts it
    address: Mapped[str | None] = mapped_column(String(200))
    lat: Mapped[float | None]
    lng: Mapped[float | None]
    contact_phone: Mapped[str | None] = mapped_column(String(20))
    description: Mapped[str | None] = mapped_column(String(2000))
    status: Mapped[EnclaveStatus] = mapped_column(
        enum_column(EnclaveStatus, "enclave_status"), default=EnclaveStatus.ACTIVE
    )
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class EnclaveApplication(Entity):
    __tablename__ = "enclave_application"
    audited = ("branch_id", "person_id", "state")
    __table_args__ = (
        Index(
            "uq_enclave_application_open",
            "branch_id",
            "person_id",
            unique=True,
            postgresql_where=text("state = 'submitted'"),
            sqlite_where=text("state = 'submitted'"),
        ),
        CheckConstraint("(state = 'rejected') = (reason IS NOT NULL)", name="rejection_has_reason"),
        Index("ix_enclave_application_branch_id_state_id", "branch_id", "state", "id"),
        Index("ix_enclave_application_person_id_id", "person_id", "id"),
    )
    branch_id: Mapped[UUID] = mapped_column(ForeignKey("enclave_branch.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    state: Mapped[ApplicationState] = mapped_column(
        enum_column(ApplicationState, "application_state"), default=ApplicationState.SUBMITTED
    )
    note: Mapped[str | None] = mapped_column(String(500))
    reason: Mapped[str | None] = mapped_column(String(500))
    decided_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    decided_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class EnclaveParticipation(Entity):
    __tablename__ = "enclave_participation"
    audited = ("branch_id", "person_id", "left_at")
    __table_args__ = (
        Index(
            "uq_enclave_participation_live",
            "branch_id",
            "person_id",
            unique=True,
            postgresql_where=text("left_at IS NULL"),
            sqlite_where=text("left_at IS NULL"),
        ),
        Index("ix_enclave_participation_person_id", "person_id"),
    )
    branch_id: Mapped[UUID] = mapped_column(ForeignKey("enclave_branch.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    joined_at: Mapped[datetime]
    left_at: Mapped[datetime | None]
